//! Whole envelopes that this reader does not get, and texts that are none.

use super::craft::{Draft, pairs};
use super::streams::{seal_detached, seal_inline};
use super::{Case, NOTE, PASSPHRASE, Pairs, case, cipher, context, passphrase};
use crate::envelope::{Context, Envelope, EnvelopeCipher};
use crate::keys::Keyring;

const LABELS: Pairs = &[("system", "ehr"), ("tenant", "clinic-7")];
const BINDINGS: Pairs = &[("patient", "MRN-0042"), ("record", "obs-7")];

pub(super) fn cases() -> Vec<Case> {
    [contexts(), keys(), kinds(), text()]
        .into_iter()
        .flatten()
        .collect()
}

fn contexts() -> Vec<Case> {
    let record = |labels, bindings| {
        Case::record(cipher(1).encrypt(NOTE, &context(labels, bindings)).unwrap()).key(1)
    };
    vec![
        case(
            "record_bindings_missing",
            "The reader presents no bindings.",
            || record(&[], BINDINGS).fails("context-mismatch/bindings-missing"),
        ),
        case(
            "record_bindings_unexpected",
            "The reader presents bindings and the record has none.",
            || {
                record(&[], &[])
                    .bindings(BINDINGS)
                    .fails("context-mismatch/bindings-unexpected")
            },
        ),
        case("record_bindings_differ", "Another patient.", || {
            record(&[], BINDINGS)
                .bindings(&[("patient", "MRN-0043"), ("record", "obs-7")])
                .fails("context-mismatch/bindings-differ")
        }),
        case("record_bindings_incomplete", "One of two bindings.", || {
            record(&[], BINDINGS)
                .bindings(&[("patient", "MRN-0042")])
                .fails("context-mismatch/bindings-differ")
        }),
        case("record_bindings_one_more", "A binding too many.", || {
            record(&[], BINDINGS)
                .bindings(&[
                    ("patient", "MRN-0042"),
                    ("record", "obs-7"),
                    ("tenant", "clinic-7"),
                ])
                .fails("context-mismatch/bindings-differ")
        }),
        case(
            "record_bindings_shifted",
            "The same letters, divided otherwise between key and value.",
            || {
                record(&[], &[("patient", "MRN-0042")])
                    .bindings(&[("patientM", "RN-0042")])
                    .fails("context-mismatch/bindings-differ")
            },
        ),
        case(
            "record_bindings_in_another_case",
            "Text is compared byte by byte.",
            || {
                record(&[], &[("patient", "MRN-0042")])
                    .bindings(&[("patient", "mrn-0042")])
                    .fails("context-mismatch/bindings-differ")
            },
        ),
        case(
            "record_bindings_normalised",
            "A composed letter for a decomposed one.",
            || {
                record(&[], &[("name", "Mu\u{308}ller")])
                    .bindings(&[("name", "M\u{fc}ller")])
                    .fails("context-mismatch/bindings-differ")
            },
        ),
        case(
            "record_bindings_given_as_labels",
            "The record's labels, presented as bindings.",
            || {
                record(LABELS, &[])
                    .bindings(LABELS)
                    .fails("context-mismatch/bindings-unexpected")
            },
        ),
        case("record_label_differs", "Another value.", || {
            record(LABELS, &[])
                .labels(&[("tenant", "clinic-8")])
                .fails("context-mismatch/labels-differ")
        }),
        case(
            "record_label_not_there",
            "A label that the record has not.",
            || {
                record(LABELS, &[])
                    .labels(&[("table", "observations")])
                    .fails("context-mismatch/labels-differ")
            },
        ),
        case(
            "record_label_of_a_record_without_labels",
            "The record has no labels.",
            || {
                record(&[], &[])
                    .labels(LABELS)
                    .fails("context-mismatch/labels-differ")
            },
        ),
        case("stream_detached_bindings_differ", "Another export.", || {
            let mut draft = Draft::detached();
            draft.bindings = pairs(&[(b"export", b"42")]);
            let payload = draft.payload(&[NOTE]);
            Case::detached(draft.header(), payload)
                .key(1)
                .bindings(&[("export", "43")])
                .fails("context-mismatch/bindings-differ")
        }),
        case("stream_inline_label_differs", "Another tenant.", || {
            let envelope = seal_inline(&cipher(1), 100, &context(LABELS, &[]));
            Case::inline(envelope)
                .key(1)
                .labels(&[("tenant", "clinic-8")])
                .fails("context-mismatch/labels-differ")
        }),
    ]
}

fn keys() -> Vec<Case> {
    vec![
        case(
            "record_no_matching_key",
            "The reader has another master key.",
            || {
                let envelope = cipher(1).encrypt(NOTE, &Context::new()).unwrap();
                Case::record(envelope).key(2).fails("no-matching-key")
            },
        ),
        case(
            "record_old_key_after_rewrap",
            "The reader has the key that the record was moved off.",
            || {
                let envelope = cipher(1).encrypt(NOTE, &Context::new()).unwrap();
                let moved = super::rotated(1, 2).rewrap(envelope).unwrap();
                Case::record(moved).key(1).fails("no-matching-key")
            },
        ),
        case(
            "record_passphrase_not_known",
            "The reader has a master key and no passphrase.",
            || {
                let cipher = EnvelopeCipher::new(passphrase(PASSPHRASE));
                let envelope = cipher.encrypt(NOTE, &Context::new()).unwrap();
                Case::record(envelope).key(1).fails("no-matching-key")
            },
        ),
        case("record_wrong_passphrase", "Another passphrase.", || {
            let cipher = EnvelopeCipher::new(passphrase(PASSPHRASE));
            let envelope = cipher.encrypt(NOTE, &Context::new()).unwrap();
            Case::record(envelope)
                .passphrase("correct horse battery stable")
                .fails("wrong-passphrase")
        }),
        case(
            "record_only_unknown_schemes",
            "No slot that any reader of this version knows.",
            || {
                let draft = Draft::new(1, vec![0, 0]).with_slot(0x0B, &[1; 32], &[2; 80]);
                let draft = draft.with_slot(0x77, b"k", b"w");
                Case::record(draft.seal(NOTE))
                    .key(1)
                    .fails("no-matching-key")
            },
        ),
        case(
            "record_another_key_of_the_same_id",
            "The reader's key has the id that the slot names, and is another.",
            || {
                let mut draft = Draft::new(1, vec![0, 0]);
                let other = super::master(2).with_id(super::master_id(1));
                draft
                    .slots
                    .push(draft.wrap(&Keyring::from_master_key(other, "vector")));
                Case::record(draft.seal(NOTE))
                    .key(1)
                    .fails("authentication-failed/wrapped-key")
            },
        ),
    ]
}

fn kinds() -> Vec<Case> {
    vec![
        case(
            "record_that_is_a_detached_header",
            "A stream's header, opened as a record.",
            || {
                let (header, _) = seal_detached(&cipher(1), 100);
                Case::record(header).key(1).fails("malformed/other-kind")
            },
        ),
        case(
            "record_that_is_an_inline_stream",
            "A stream, opened as a record.",
            || {
                let envelope = seal_inline(&cipher(1), 100, &Context::new());
                Case::record(&envelope[..8192])
                    .key(1)
                    .fails("malformed/other-kind")
            },
        ),
        case(
            "stream_inline_that_is_a_record",
            "A record, opened as a stream.",
            || {
                let envelope = cipher(1).encrypt(NOTE, &Context::new()).unwrap();
                Case::inline(envelope).key(1).fails("malformed/other-kind")
            },
        ),
        case(
            "stream_inline_that_is_detached",
            "A detached header and its payload, one after the other.",
            || {
                let (header, payload) = seal_detached(&cipher(1), 100);
                Case::inline([header, payload].concat())
                    .key(1)
                    .fails("malformed/other-kind")
            },
        ),
        case(
            "stream_detached_that_is_inline",
            "An inline stream's header, as it stands in its block.",
            || {
                let envelope = seal_inline(&cipher(1), 100, &Context::new());
                let (blocks, payload) = envelope.split_at(8192);
                Case::detached(&blocks[..147], payload)
                    .key(1)
                    .fails("malformed/other-kind")
            },
        ),
        case(
            "stream_detached_whose_kind_was_changed",
            "An inline stream's header with the kind of a detached one, under the old tag.",
            || {
                let envelope = seal_inline(&cipher(1), 100, &Context::new());
                let (blocks, payload) = envelope.split_at(8192);
                let mut header = blocks[..147].to_vec();
                header[5] = 3;
                header[12..16].fill(0);
                let head = [&b"PHIP\x01\x03\0\0"[..], &header[16..32]].concat();
                Case::detached(header, [&head, payload].concat())
                    .key(1)
                    .fails("authentication-failed/header")
            },
        ),
        case(
            "stream_detached_made_of_a_record",
            "A record's header with the kind of a detached stream and a right tag; the payload key is another.",
            || {
                let mut draft = Draft::record();
                let payload = draft.payload(&[NOTE]);
                draft.kind = 3;
                Case::detached(draft.header(), payload)
                    .key(1)
                    .fails("authentication-failed/stream-header")
            },
        ),
    ]
}

fn text() -> Vec<Case> {
    // 147 bytes of header and 28 of IV and tag: with 2 more the text has 4 · 59 characters.
    let text = |plaintext: &[u8]| {
        let envelope = cipher(1).encrypt(plaintext, &Context::new()).unwrap();
        Envelope::from_bytes(envelope).unwrap().to_string()
    };
    let refused = |text: String, error| Case::text(text).key(1).fails(error);
    vec![
        case(
            "text_padded",
            "Padding, where it would be due in other encodings.",
            || refused(text(b"") + "==", "malformed/text-length"),
        ),
        case("text_with_a_line_end", "A line feed at the end.", || {
            refused(text(b"12") + "\n", "malformed/text-alphabet")
        }),
        case("text_with_a_space_in_front", "A space in front.", || {
            refused(" ".to_owned() + &text(b"12"), "malformed/text-alphabet")
        }),
        case(
            "text_of_the_standard_alphabet",
            "`+` and `/` are not in the alphabet of base64url.",
            || {
                let mut standard = text(b"12");
                standard.replace_range(10..12, "+/");
                refused(standard, "malformed/text-alphabet")
            },
        ),
        case(
            "text_with_trailing_bits",
            "The last character has a bit that belongs to no byte.",
            || {
                let mut text = text(b"");
                let last = text.pop().unwrap();
                text.push(char::from(u8::try_from(last).unwrap() + 1));
                refused(text, "malformed/text-trailing-bits")
            },
        ),
        case(
            "text_of_an_impossible_length",
            "One character more than four to three bytes.",
            || refused(text(b"12") + "A", "malformed/text-length"),
        ),
        case("text_empty", "No characters.", || {
            refused(String::new(), "not-an-envelope")
        }),
        case("text_cut", "The first 40 characters.", || {
            refused(text(b"12")[..40].to_owned(), "truncated")
        }),
        case(
            "text_of_a_detached_header",
            "Only a record has a text form.",
            || {
                use base64::Engine as _;
                let (header, _) = seal_detached(&cipher(1), 100);
                let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header);
                refused(text, "malformed/other-kind")
            },
        ),
    ]
}
