//! Records as text and as fields of a caller's own types: one encoding, and no other.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use phi_envelope::{Context, Envelope, EnvelopeCipher, Error, Keyring, error::Malformed};
use serde::{Deserialize, Serialize};

fn cipher() -> EnvelopeCipher {
    EnvelopeCipher::new(Keyring::generate("ehr-2026").unwrap())
}

/// Envelopes of three lengths in a row, so that the text ends in each of its three ways.
fn envelopes() -> Vec<Envelope> {
    let seal = |len| cipher().encrypt(vec![7; len], &Context::new()).unwrap();
    (9..12)
        .map(|len| Envelope::from_bytes(seal(len)).unwrap())
        .collect()
}

fn rule(text: &str) -> Malformed {
    match text.parse::<Envelope>() {
        Err(Error::Malformed(rule)) => rule,
        other => panic!("{text:?}: {other:?}"),
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u32,
    ssn: Envelope,
    note: Option<Envelope>,
}

#[test]
fn an_envelope_goes_through_text_and_opens() {
    let cipher = cipher();
    for len in 0..100 {
        let plaintext = vec![7; len];
        let envelope =
            Envelope::from_bytes(cipher.encrypt(&plaintext, &Context::new()).unwrap()).unwrap();
        let text = envelope.to_string();
        assert!(text.starts_with("UEhJRQEB"), "{text}");
        assert_eq!(text, URL_SAFE_NO_PAD.encode(envelope.as_bytes()));
        let read: Envelope = text.parse().unwrap();
        assert_eq!(read, envelope);
        assert!(cipher.decrypt(&read, &Context::new()).unwrap()[..] == plaintext);
        assert_eq!(read.clone().into_bytes(), envelope.as_ref());
    }
}

#[test]
fn the_text_begins_the_same_whatever_is_in_the_envelope() {
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(Keyring::generate("a").unwrap())
        .encrypt_for(Keyring::generate("b").unwrap())
        .build()
        .unwrap();
    let context = Context::new()
        .label("k", "v")
        .unwrap()
        .bind("k", "v")
        .unwrap();
    let session = cipher.session(&Context::new()).unwrap();
    for bytes in [
        cipher.encrypt("", &Context::new()).unwrap(),
        cipher.encrypt("note", &context).unwrap(),
        session.encrypt("note", &Context::new()).unwrap(),
    ] {
        let text = Envelope::try_from(bytes).unwrap().to_string();
        assert!(text.starts_with("UEhJRQEB"), "{text}");
    }
}

#[test]
fn padding_is_refused() {
    for envelope in envelopes() {
        let padded = URL_SAFE.encode(envelope.as_bytes());
        if padded.ends_with('=') {
            assert_eq!(rule(&padded), Malformed::TextLength);
        }
        for padding in ["=", "==", "==="] {
            assert_eq!(rule(&format!("{envelope}{padding}")), Malformed::TextLength);
        }
    }
}

#[test]
fn white_space_is_refused_wherever_it_stands() {
    for envelope in envelopes() {
        let text = envelope.to_string();
        for space in [" ", "\n", "\r\n", "\t", "\u{a0}"] {
            for at in [0, 1, 8, text.len() / 2, text.len() - 1, text.len()] {
                let spaced = format!("{}{space}{}", &text[..at], &text[at..]);
                assert!(
                    matches!(
                        rule(&spaced),
                        Malformed::TextAlphabet | Malformed::TextLength
                    ),
                    "{spaced:?}"
                );
            }
        }
    }
}

#[test]
fn the_other_alphabet_is_refused() {
    for envelope in envelopes() {
        let standard = STANDARD.encode(envelope.as_bytes());
        let standard = standard.trim_end_matches('=');
        if standard.contains(['+', '/']) {
            assert_eq!(rule(standard), Malformed::TextAlphabet);
        }
        let text = envelope.to_string();
        for wrong in ["+", "/", "*", ".", ",", "\0", "é", "Ａ"] {
            let replaced = format!("{}{wrong}{}", &text[..20], &text[20 + wrong.len()..]);
            assert_eq!(rule(&replaced), Malformed::TextAlphabet, "{wrong:?}");
        }
    }
}

#[test]
fn trailing_bits_that_are_not_zero_are_refused() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut ways = Vec::new();
    for envelope in envelopes() {
        let text = envelope.to_string();
        let (head, last) = text.split_at(text.len() - 1);
        let value = ALPHABET
            .iter()
            .position(|c| *c == last.as_bytes()[0])
            .unwrap();
        let unused: usize = match text.len() % 4 {
            2 => 4,
            3 => 2,
            _ => 0,
        };
        ways.push(unused);
        for bits in 1..1 << unused {
            let twin = format!("{head}{}", char::from(ALPHABET[value | bits]));
            assert_eq!(rule(&twin), Malformed::TextTrailingBits);
        }
    }
    ways.sort_unstable();
    assert_eq!(ways, [0, 2, 4], "every way to end was tried");
}

#[test]
fn text_of_an_impossible_length_is_refused() {
    for envelope in envelopes() {
        let text = envelope.to_string();
        let cut = text.len() - (text.len() - 1) % 4;
        assert_eq!(cut % 4, 1);
        assert_eq!(rule(&text[..cut]), Malformed::TextLength);
    }
}

#[test]
fn text_that_is_cut_off_or_no_envelope_is_refused_as_its_bytes_would_be() {
    let text = envelopes()[0].to_string();
    assert!(matches!("".parse::<Envelope>(), Err(Error::NotAnEnvelope)));
    assert!(matches!(
        "bm90IGFuIGVudmVsb3Bl".parse::<Envelope>(),
        Err(Error::NotAnEnvelope)
    ));
    for len in (4..100).step_by(4) {
        assert!(
            matches!(text[..len].parse::<Envelope>(), Err(Error::Truncated)),
            "{len}"
        );
    }
    let newer = text.replacen("UEhJRQEB", "UEhJRQIB", 1);
    assert!(matches!(
        newer.parse::<Envelope>(),
        Err(Error::NewerVersion { version: 2 })
    ));
}

#[test]
fn streams_have_no_text() {
    let cipher = cipher();
    let inline = cipher
        .encrypt_writer(Vec::new(), &Context::new())
        .unwrap()
        .finish()
        .unwrap();
    let (detached, writer) = cipher
        .encrypt_writer_detached(Vec::new(), &Context::new())
        .unwrap();
    writer.finish().unwrap();
    for stream in [inline, detached] {
        let text = URL_SAFE_NO_PAD.encode(&stream);
        assert!(matches!(rule(&text), Malformed::OtherKind { .. }));
        assert!(matches!(
            Envelope::from_bytes(stream.clone()),
            Err(Error::Malformed(Malformed::OtherKind { .. }))
        ));
        let json = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&stream));
        assert!(serde_json::from_str::<Envelope>(&json).is_err());
        let binary = postcard::to_allocvec(&stream).unwrap();
        assert!(postcard::from_bytes::<Envelope>(&binary).is_err());
    }
}

#[test]
fn in_json_an_envelope_is_its_text() {
    let [ssn, note, _] = envelopes().try_into().unwrap();
    let row = Row {
        id: 7,
        ssn: ssn.clone(),
        note: Some(note.clone()),
    };
    let json = serde_json::to_string(&row).unwrap();
    assert_eq!(json, format!(r#"{{"id":7,"ssn":"{ssn}","note":"{note}"}}"#));
    assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), row);
    assert_eq!(serde_json::from_slice::<Row>(json.as_bytes()).unwrap(), row);
    assert_eq!(
        serde_json::from_reader::<_, Row>(json.as_bytes()).unwrap(),
        row
    );
    let value = serde_json::to_value(&row).unwrap();
    assert_eq!(serde_json::from_value::<Row>(value).unwrap(), row);
    // A string whose characters are escaped is the same string.
    let escaped = json.replace("UEhJRQEB", "\\u0055EhJRQEB");
    assert_eq!(serde_json::from_str::<Row>(&escaped).unwrap(), row);
    let without = Row { note: None, ..row };
    let json = serde_json::to_string(&without).unwrap();
    assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), without);
}

#[test]
fn in_json_anything_else_is_refused() {
    let text = envelopes()[0].to_string();
    let bytes = serde_json::to_string(envelopes()[0].as_bytes()).unwrap();
    for json in [
        format!("\"{text}=\""),
        format!("\" {text}\""),
        format!("\"{}\"", &text[..40]),
        "\"\"".to_owned(),
        "null".to_owned(),
        "7".to_owned(),
        bytes,
    ] {
        assert!(serde_json::from_str::<Envelope>(&json).is_err(), "{json}");
    }
    let refused = serde_json::from_str::<Envelope>("7").unwrap_err();
    assert!(refused.to_string().contains("base64url text"), "{refused}");
}

#[test]
fn in_a_binary_format_an_envelope_is_its_bytes() {
    let [ssn, note, _] = envelopes().try_into().unwrap();
    let bytes = postcard::to_allocvec(&ssn).unwrap();
    // A length in front, in as many bytes as it takes, and nothing else.
    assert!(bytes.ends_with(ssn.as_bytes()) && bytes.len() <= ssn.as_bytes().len() + 2);
    assert_eq!(postcard::from_bytes::<Envelope>(&bytes).unwrap(), ssn);
    let row = Row {
        id: 7,
        ssn,
        note: Some(note),
    };
    let bytes = postcard::to_allocvec(&row).unwrap();
    assert_eq!(postcard::from_bytes::<Row>(&bytes).unwrap(), row);
    for len in 0..bytes.len() {
        assert!(postcard::from_bytes::<Row>(&bytes[..len]).is_err(), "{len}");
    }
    for wrong in [&b""[..], b"PHIE", b"not an envelope"] {
        let bytes = postcard::to_allocvec(wrong).unwrap();
        assert!(postcard::from_bytes::<Envelope>(&bytes).is_err());
    }
}

#[test]
fn debug_shows_the_length_alone() {
    let envelope = &envelopes()[0];
    assert_eq!(
        format!("{envelope:?}"),
        format!("Envelope({} bytes)", envelope.as_bytes().len())
    );
}
