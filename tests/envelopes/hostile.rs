//! Bytes made to break the reader: each rule of the format broken alone, under a right tag, is refused by its own name
//! before any provider is asked; random bytes and mutated envelopes never panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a test stops where something is not as it says
#![allow(clippy::cast_possible_truncation)] // lengths in tests are chosen to fit

use std::sync::LazyLock;

use crate::common::{
    BLOCK, EXTERNAL, KEYRING, OpenBook, PASSPHRASE, RawHeader, RawSlot, context, data_key, drain,
    drain_opened, expand, keyring, pair, sample,
};
use phi_envelope::{
    Context, Envelope, EnvelopeCipher, Error, MasterKey, Result, error::Malformed,
    header::EnvelopeKind, inspect, keys::WrappedKey,
};
use proptest::prelude::*;

const UNKNOWN: u8 = 0x33;

/// A record of someone who holds its data key.
struct Known {
    book: OpenBook,
    cipher: EnvelopeCipher,
    header: RawHeader,
    key: Vec<u8>,
    payload: Vec<u8>,
}

impl Known {
    fn new() -> Self {
        let book = OpenBook::new("b");
        let cipher = EnvelopeCipher::builder()
            .encrypt_for(book.clone())
            .segment_length(4096);
        let cipher = cipher.unwrap().build().unwrap();
        let envelope = cipher.encrypt(sample(50), &Context::new()).unwrap();
        let (header, payload) = RawHeader::parse(&envelope);
        Self {
            key: data_key(&header),
            book,
            cipher,
            header,
            payload,
        }
    }

    /// The header with a change, of each kind, under a right tag.
    fn of_each_kind(&self, change: &dyn Fn(&mut RawHeader)) -> [RawHeader; 3] {
        [(1, 0), (2, 4096), (3, 0)].map(|(kind, block_length)| {
            let mut header = self.header.clone();
            header.kind = kind;
            header.block_length = block_length;
            change(&mut header);
            header.sealed(&self.key)
        })
    }

    /// Everything that reads headers says the same about this one.
    #[track_caller]
    fn assert_refused(&self, change: &dyn Fn(&mut RawHeader), expected: &Error, what: &str) {
        let [record, inline, detached] = self.of_each_kind(change);
        self.assert_record_refused(&record, expected, what);
        self.assert_inline_refused(&inline, expected, what);
        self.assert_detached_refused(&detached, expected, what);
        assert_eq!(self.book.unwraps(), 0, "{what}: a provider was asked");
    }

    #[track_caller]
    fn assert_record_refused(&self, header: &RawHeader, expected: &Error, what: &str) {
        let bytes = header.with(&self.payload);
        let outcomes = [
            inspect(&bytes).map(drop),
            self.cipher.decrypt(&bytes, &Context::new()).map(drop),
            self.cipher
                .decrypt_in_place(bytes.clone(), &Context::new())
                .map(drop),
            self.cipher.rewrap(&bytes).map(drop),
            self.cipher.reencrypt(&bytes, &Context::new()).map(drop),
            Envelope::from_bytes(bytes).map(drop),
        ];
        assert_all(outcomes, expected, what);
    }

    #[track_caller]
    fn assert_inline_refused(&self, header: &RawHeader, expected: &Error, what: &str) {
        // The blocks hold even a header of more than their length: what is not whole is read as far as it goes.
        let bytes = header.write();
        let length = bytes.len().next_multiple_of(BLOCK).max(BLOCK);
        let block = crate::common::block(
            &bytes,
            if length - bytes.len() < 8 {
                length + BLOCK
            } else {
                length
            },
        );
        let file = [&block[..], &block, &sample(200)].concat();
        let outcomes = [
            inspect(&file).map(drop),
            self.cipher
                .decrypt_reader(&file[..], &Context::new())
                .map(drop),
        ];
        assert_all(outcomes, expected, what);
    }

    #[track_caller]
    fn assert_detached_refused(&self, header: &RawHeader, expected: &Error, what: &str) {
        let bytes = header.write();
        let opened = self
            .cipher
            .decrypt_reader_detached(&bytes, &[7; 200][..], &Context::new());
        let outcomes = [
            inspect(&bytes).map(drop),
            opened.map(drop),
            self.cipher.rewrap(&bytes).map(drop),
        ];
        assert_all(outcomes, expected, what);
    }
}

#[track_caller]
fn assert_all<const N: usize>(outcomes: [Result<()>; N], expected: &Error, what: &str) {
    for (index, outcome) in outcomes.into_iter().enumerate() {
        let error = outcome.expect_err(what);
        assert_eq!(
            format!("{error:?}"),
            format!("{expected:?}"),
            "{what}, reader {index}"
        );
    }
}

#[test]
fn the_unchanged_header_of_each_kind_is_accepted() {
    let known = Known::new();
    let [record, inline, detached] = known.of_each_kind(&|_| ());
    known
        .cipher
        .decrypt(record.with(&known.payload), &Context::new())
        .unwrap();
    assert_eq!(
        inspect(&record.with(&known.payload)).unwrap().kind,
        EnvelopeKind::Record
    );
    let block = inline.block();
    assert_eq!(
        inspect(&[&block[..], &block].concat()).unwrap().kind,
        EnvelopeKind::StreamInline
    );
    assert_eq!(
        inspect(&detached.write()).unwrap().kind,
        EnvelopeKind::StreamDetached
    );
}

#[test]
fn what_does_not_begin_as_an_envelope_is_none() {
    let known = Known::new();
    let check =
        |change: &dyn Fn(&mut RawHeader), expected| known.assert_refused(change, &expected, "head");
    check(&|h| h.magic = *b"PHIF", Error::NotAnEnvelope);
    check(&|h| h.magic = *b"phie", Error::NotAnEnvelope);
    check(&|h| h.magic = [0; 4], Error::NotAnEnvelope);
    check(&|h| h.version = 0, Error::Malformed(Malformed::Version));
    for version in [2, 0x7f, 0xff] {
        check(&|h| h.version = version, Error::NewerVersion { version });
    }
    for bytes in [
        &b""[..],
        b"Q",
        b"PHI?",
        b"QHIE",
        b"PK\x03\x04",
        &[0; 100_000],
    ] {
        assert!(
            matches!(inspect(bytes), Err(Error::NotAnEnvelope)),
            "{:?}",
            &bytes[..bytes.len().min(8)]
        );
        assert!(matches!(
            known.cipher.decrypt(bytes, &Context::new()),
            Err(Error::NotAnEnvelope)
        ));
        let opened = known.cipher.decrypt_reader(bytes, &Context::new());
        assert!(matches!(opened, Err(Error::NotAnEnvelope)));
    }
    for bytes in [
        &b"P"[..],
        b"PHI",
        b"PHIE",
        b"PHIE\x01",
        b"PHIE\x01\x01\x00\x01",
    ] {
        assert!(matches!(inspect(bytes), Err(Error::Truncated)));
        assert!(matches!(
            known.cipher.decrypt(bytes, &Context::new()),
            Err(Error::Truncated)
        ));
    }
}

#[test]
fn each_rule_of_the_fixed_fields_is_refused_by_name() {
    let known = Known::new();
    let check = |change: &dyn Fn(&mut RawHeader), rule, what| {
        known.assert_refused(change, &Error::Malformed(rule), what);
    };
    for kind in [0, 0x0b, 0x0c, 0x81, 0xff] {
        check(&|h| h.kind = kind, Malformed::Kind, "kind");
    }
    for bit in 2..8 {
        check(&|h| h.flags |= 1 << bit, Malformed::Flags, "flags");
    }
    check(&|h| h.slot_count = Some(0), Malformed::NoSlot, "no slot");
    check(&|h| h.slots.clear(), Malformed::NoSlot, "no slot");
    check(
        &|h| h.slot_count = Some(33),
        Malformed::TooManySlots,
        "count of 33",
    );
    check(
        &|h| h.slot_count = Some(255),
        Malformed::TooManySlots,
        "count of 255",
    );
    check(
        &|h| {
            h.slots
                .extend((0..32).map(|id| RawSlot::new(UNKNOWN, &[id], b"k")))
        },
        Malformed::TooManySlots,
        "33 slots",
    );
    for length in [1, 4095, 4097, 6144, 65_537, 69_632, 1 << 31, u32::MAX] {
        check(
            &|h| h.block_length = length,
            Malformed::BlockLength,
            "block length",
        );
    }
    let rule = Error::Malformed(Malformed::BlockLength);
    let [record, inline, detached] =
        known.of_each_kind(&|h| h.block_length = 4096 - h.block_length);
    known.assert_record_refused(&record, &rule, "a record with a block length");
    known.assert_inline_refused(&inline, &rule, "an inline stream without one");
    known.assert_detached_refused(&detached, &rule, "a detached stream with one");
}

#[test]
fn each_rule_of_labels_is_refused_by_name() {
    let known = Known::new();
    let check = |labels: Vec<u8>, rule, what| {
        known.assert_refused(
            &|h| h.labels = labels.clone(),
            &Error::Malformed(rule),
            what,
        );
    };
    let many = |n: usize| {
        (0..n)
            .flat_map(|i| pair(format!("{i:02}").as_bytes(), b"v"))
            .collect::<Vec<_>>()
    };
    let both = |a: &[u8], b: &[u8]| [pair(a, b"v"), pair(b, b"v")].concat();
    check(pair(b"", b"v"), Malformed::LabelKeyLength, "empty key");
    check(
        pair(&[b'k'; 65], b"v"),
        Malformed::LabelKeyLength,
        "key of 65",
    );
    check(
        pair(&[b'k'; 255], b"v"),
        Malformed::LabelKeyLength,
        "key of 255",
    );
    check(pair(b"k", b""), Malformed::LabelValueLength, "empty value");
    check(
        pair(b"k", &[b'v'; 257]),
        Malformed::LabelValueLength,
        "value of 257",
    );
    check(pair(b"\xff", b"v"), Malformed::LabelUtf8, "key not UTF-8");
    check(pair(b"k", b"\xc3"), Malformed::LabelUtf8, "value not UTF-8");
    check(
        pair(b"k", b"\xed\xa0\x80"),
        Malformed::LabelUtf8,
        "value a surrogate",
    );
    for key in ["phi-envelope", "PHI-ENVELOPE", "phi-Envelope:kind"] {
        check(pair(key.as_bytes(), b"v"), Malformed::LabelReserved, key);
        let refused = Context::new().label(key, "v");
        assert!(matches!(
            refused,
            Err(Error::Malformed(Malformed::LabelReserved))
        ));
        Context::new().bind(key, "v").unwrap();
    }
    for key in ["phi-envelop", "phi_envelope", "x-phi-envelope"] {
        Context::new().label(key, "v").unwrap();
    }
    check(both(b"k", b"k"), Malformed::LabelOrder, "equal keys");
    check(both(b"b", b"a"), Malformed::LabelOrder, "keys fall");
    check(both(b"ab", b"a"), Malformed::LabelOrder, "prefix second");
    check(
        both("é".as_bytes(), b"z"),
        Malformed::LabelOrder,
        "order of unsigned bytes",
    );
    check(many(33), Malformed::TooManyLabels, "33 labels");
    check(
        [&many(15)[..], &[0; 5000]].concat()[..4097].to_vec(),
        Malformed::LabelsLength,
        "4,097 bytes",
    );
    check(vec![b'x'; 65_535], Malformed::LabelsLength, "65,535 bytes");
    check(
        b"\x05k".to_vec(),
        Malformed::LabelOverrun,
        "key over the end",
    );
    check(
        b"\x01k".to_vec(),
        Malformed::LabelOverrun,
        "no value length",
    );
    check(
        b"\x01k\x00".to_vec(),
        Malformed::LabelOverrun,
        "half a value length",
    );
    check(
        b"\x01k\x00\x05v".to_vec(),
        Malformed::LabelOverrun,
        "value over the end",
    );
    check(
        [pair(b"k", b"v"), vec![1]].concat(),
        Malformed::LabelOverrun,
        "a byte more",
    );
}

#[test]
fn each_rule_of_slots_is_refused_by_name() {
    let known = Known::new();
    let check = |slots: Vec<RawSlot>, rule, what: &str| {
        known.assert_refused(
            &|h| h.slots.extend(slots.clone()),
            &Error::Malformed(rule),
            what,
        );
        known.assert_refused(
            &|h| drop(h.slots.splice(0..0, slots.clone())),
            &Error::Malformed(rule),
            &format!("{what}, in front"),
        );
    };
    let one = |scheme, key_id: &[u8], wrapped: &[u8], rule, what| {
        check(vec![RawSlot::new(scheme, key_id, wrapped)], rule, what);
    };
    one(0, b"id", b"key", Malformed::SchemeZero, "scheme 0");
    one(UNKNOWN, b"", b"key", Malformed::KeyIdLength, "no key id");
    one(
        UNKNOWN,
        &[1; 513],
        b"key",
        Malformed::KeyIdLength,
        "key id of 513",
    );
    one(
        UNKNOWN,
        b"id",
        b"",
        Malformed::WrappedKeyLength,
        "no wrapped key",
    );
    one(
        UNKNOWN,
        b"id",
        &[1; 4097],
        Malformed::WrappedKeyLength,
        "wrapped key of 4,097",
    );
    for len in [1, 15, 17, 512] {
        one(
            KEYRING,
            &vec![1; len],
            &[1; 60],
            Malformed::KeyIdLength,
            "keyring's key id",
        );
        one(
            PASSPHRASE,
            &vec![1; len],
            &passphrase(8, 1, 1),
            Malformed::KeyIdLength,
            "salt",
        );
    }
    for len in [1, 59, 61, 4096] {
        one(
            KEYRING,
            &[1; 16],
            &vec![1; len],
            Malformed::WrappedKeyLength,
            "keyring's wrapped key",
        );
    }
    for len in [1, 103, 105, 4096] {
        let mut wrapped = passphrase(8, 1, 1);
        wrapped.resize(len, 0);
        one(
            PASSPHRASE,
            &[1; 16],
            &wrapped,
            Malformed::WrappedKeyLength,
            "passphrase's wrapped key",
        );
    }
    for key_id in [
        &b"\x00id"[..],
        b"\x00",
        b"\x01",
        b"\x04name",
        b"\x05name",
        b"\xff",
        b"\x05na\xc3\xa9eid",
        b"\x01\x80id",
    ] {
        one(
            EXTERNAL,
            key_id,
            b"key",
            Malformed::ExternalKeyId,
            "external key id",
        );
    }
    for scheme in [UNKNOWN, 0x0c, 0xff] {
        let twice = [b"one", b"two"].map(|wrapped| RawSlot::new(scheme, b"id", wrapped));
        check(
            twice.to_vec(),
            Malformed::DuplicateSlot,
            "two slots of one key",
        );
    }
    let two = [1, 2].map(|id| RawSlot::new(PASSPHRASE, &[id; 16], &passphrase(8, 1, 1)));
    check(
        two.to_vec(),
        Malformed::TwoPassphraseSlots,
        "two passphrases",
    );
    let huge = (0..4)
        .map(|id| RawSlot::new(UNKNOWN, &[id], &[0; 4096]))
        .collect();
    check(
        huge,
        Malformed::HeaderLength,
        "a header of more than 16,384 bytes",
    );
}

/// A text with its length in front.
fn counted(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn transit(version: u32, realm: &[u8], mount: &[u8], name: &[u8]) -> Vec<u8> {
    let parts = [&version.to_be_bytes()[..], &counted(realm), &counted(mount)];
    [&parts.concat(), name].concat()
}

/// A slot of each scheme at a bound of its lengths, good.
fn good_slots() -> Vec<(u8, Vec<u8>, usize)> {
    let kem = |kem: u16, len| [&kem.to_be_bytes()[..], &vec![7; len]].concat();
    vec![
        (0x03, kem(0x647a, 32), 1168),
        (0x03, kem(0x0051, 32), 1713),
        // A KEM that is not listed: an unknown slot.
        (0x03, kem(0x0020, 1), 1),
        (0x03, kem(0x0020, 510), 4096),
        (0x04, vec![b'a'; 20], 1),
        (0x04, vec![b'a'; 512], 4096),
        (0x05, transit(1, b"", b"m", b"n"), 60),
        (
            0x05,
            transit(u32::MAX, &[b'r'; 63], &[b'm'; 191], &[b'n'; 200]),
            60,
        ),
        (0x06, [counted(b"t"), vec![0]].concat(), 60),
        (
            0x06,
            [counted("\u{e9}".repeat(16).as_bytes()), vec![0xff; 64]].concat(),
            60,
        ),
        (0x07, b"p".to_vec(), 1),
        (0x07, vec![b'p'; 512], 4096),
        (0x08, b"u".to_vec(), 1),
        (0x08, vec![b'u'; 512], 4096),
        (0x09, b"any".to_vec(), 5),
        (0x0b, b"any".to_vec(), 5),
        (EXTERNAL, [counted(b"!~"), vec![0]].concat(), 1),
    ]
}

#[test]
fn each_scheme_has_its_lengths_and_numbers_and_text() {
    let known = Known::new();
    let add = |slot: RawSlot| move |h: &mut RawHeader| h.slots.push(slot.clone());
    for (scheme, key_id, wrapped) in good_slots() {
        let slot = RawSlot::new(scheme, &key_id, &vec![1; wrapped]);
        let [record, ..] = known.of_each_kind(&add(slot));
        let opened = known
            .cipher
            .decrypt(record.with(&known.payload), &Context::new());
        assert!(opened.is_ok(), "scheme {scheme:#04x}: {opened:?}");
    }
    // Of this one no provider was asked yet.
    let known = Known::new();
    let refused = |scheme, key_id: &[u8], wrapped: usize, rule| {
        let slot = RawSlot::new(scheme, key_id, &vec![1; wrapped]);
        let what = format!("scheme {scheme:#04x}, key id {}", key_id.escape_ascii());
        known.assert_refused(&add(slot), &Error::Malformed(rule), &what);
    };
    // A scheme with one length of the wrapped key has no other.
    for (scheme, key_id, wrapped) in good_slots() {
        if matches!(wrapped, 60 | 1168 | 1713) {
            refused(scheme, &key_id, wrapped - 1, Malformed::WrappedKeyLength);
            refused(scheme, &key_id, wrapped + 1, Malformed::WrappedKeyLength);
        }
    }
    let length = Malformed::KeyIdLength;
    for (scheme, key_id) in [
        (0x03, b"\x64\x7a".to_vec()),
        (0x03, b"\x00".to_vec()),
        (0x03, [&b"\x64\x7a"[..], &[7; 31]].concat()),
        (0x03, [&b"\x00\x51"[..], &[7; 33]].concat()),
        (0x04, vec![b'a'; 19]),
        (0x05, b"\x00\x00\x00".to_vec()),
        (0x05, transit(1, &[b'r'; 64], b"m", b"n")),
        (0x05, transit(1, b"r", b"", b"n")),
        (0x05, transit(1, b"r", &[b'm'; 192], b"n")),
        (0x05, transit(1, b"r", b"m", b"")),
        (0x05, transit(1, b"r", b"m", &[b'n'; 201])),
        (0x05, b"\x00\x00\x00\x01\x05r".to_vec()),
        (0x06, b"\x00id".to_vec()),
        (0x06, [counted(&[b't'; 33]), vec![0]].concat()),
        (0x06, counted(b"token")),
        (0x06, [counted(b"t"), vec![0; 65]].concat()),
        (0x06, b"\x09short".to_vec()),
        (0x0a, vec![1; 19]),
        (0x0a, vec![1; 21]),
    ] {
        refused(scheme, &key_id, 60, length);
    }
    refused(
        0x05,
        &transit(0, b"r", b"m", b"n"),
        60,
        Malformed::SlotNumber,
    );
    refused(
        0x0a,
        &[&[1; 16][..], &[0; 4]].concat(),
        60,
        Malformed::SlotNumber,
    );
    // Control characters of both blocks, and what is not UTF-8.
    for bad in ["\u{0}", "\u{1f}", "\u{7f}", "\u{80}", "\u{9f}"].map(str::as_bytes) {
        let at_end = |text: &[u8]| [text, bad].concat();
        for (scheme, key_id) in [
            (0x04, at_end(&[b'a'; 30])),
            (0x05, transit(1, &at_end(b"r"), b"m", b"n")),
            (0x05, transit(1, b"r", &at_end(b"m"), b"n")),
            (0x05, transit(1, b"r", b"m", &at_end(b"n"))),
            (0x06, [counted(&at_end(b"t")), vec![0]].concat()),
            (0x07, at_end(b"projects/p")),
            (0x08, at_end(b"https://v")),
        ] {
            refused(scheme, &key_id, 60, Malformed::SlotText);
        }
    }
    refused(0x08, b"https://\xff", 60, Malformed::SlotText);
    for name in [&b"a b"[..], b"a\x7f", b"a\n"] {
        refused(
            EXTERNAL,
            &[counted(name), vec![1]].concat(),
            60,
            Malformed::ExternalKeyId,
        );
    }
}

#[test]
fn a_compartments_slot_stands_alone_and_both_passphrase_schemes_count_as_one() {
    let known = Known::new();
    let compartment = RawSlot::new(0x0a, &[&[1; 16][..], &[0, 0, 0, 1]].concat(), &[1; 60]);
    let [record, ..] = known.of_each_kind(&|h| h.slots = vec![compartment.clone()]);
    let alone = known
        .cipher
        .decrypt(record.with(&known.payload), &Context::new());
    assert!(
        matches!(alone, Err(Error::NoMatchingKey { .. })),
        "{alone:?}"
    );
    let rule = Error::Malformed(Malformed::CompartmentSlot);
    known.assert_refused(&|h| h.slots.push(compartment.clone()), &rule, "behind");
    known.assert_refused(
        &|h| h.slots.insert(0, compartment.clone()),
        &rule,
        "in front",
    );
    let own = RawHeader {
        kind: 0x05,
        slots: vec![compartment],
        ..record
    };
    assert_eq!(
        format!("{:?}", inspect(&own.with(&known.payload)).unwrap_err()),
        format!("{rule:?}")
    );
    let both = [
        RawSlot::new(PASSPHRASE, &[1; 16], &passphrase(8, 1, 1)),
        RawSlot::new(0x09, &[1; 16], &[1; 60]),
    ];
    let rule = Error::Malformed(Malformed::TwoPassphraseSlots);
    known.assert_refused(&|h| h.slots.extend(both.clone()), &rule, "0x02 and 0x09");
}

#[test]
fn slots_are_named_for_people_and_escaped() {
    let shown = |scheme, key_id: &[u8]| {
        let key_id = key_id.to_vec();
        phi_envelope::header::SlotId { scheme, key_id }.to_string()
    };
    let hash = [0xab; 32];
    assert_eq!(
        shown(0x03, &[&b"\x64\x7a"[..], &hash].concat()),
        format!("recipient 647a{}", "ab".repeat(32))
    );
    let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd";
    assert_eq!(shown(0x04, arn.as_bytes()), format!("aws-kms {arn}"));
    assert_eq!(
        shown(0x05, &transit(3, b"prod", b"ns/transit", b"ehr")),
        "transit prod ns/transit/ehr v3"
    );
    assert_eq!(
        shown(0x05, &transit(3, b"", b"t", b"ehr")),
        "transit t/ehr v3"
    );
    assert_eq!(
        shown(0x06, &[counted(b"ward"), vec![1, 0xff]].concat()),
        "pkcs11 ward 01ff"
    );
    assert_eq!(shown(0x07, b"projects/p"), "google-kms projects/p");
    assert_eq!(
        shown(0x08, b"https://v/k/1"),
        "azure-key-vault https://v/k/1"
    );
    assert_eq!(
        shown(0x0a, &[&[0xcd; 16][..], &[0, 0, 0, 7]].concat()),
        format!("compartment {} key 7", "cd".repeat(16))
    );
    assert_eq!(shown(0x0c, b"\x01\x02"), "scheme 0x0c 0102");
    // U+202E turns round what follows it.
    assert!(!shown(0x07, "a\u{202e}b".as_bytes()).contains('\u{202e}'));
    // What is malformed shows its bytes in hexadecimal.
    assert_eq!(shown(0x07, b"\x1b[31m"), "scheme 0x07 1b5b33316d");
}

#[test]
fn a_writer_of_each_scheme_demands_what_its_words_are_made_of() {
    let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd";
    let named = |made: phi_envelope::Result<WrappedKey>| {
        made.map(|made| made.as_slot().unwrap().id().to_string())
    };
    let gcm = &[1; 60];
    assert_eq!(
        named(WrappedKey::aws_kms(arn, b"blob")).unwrap(),
        format!("aws-kms {arn}")
    );
    for arn in [
        "alias/ehr",
        "arn:aws:kms:eu-central-1:111122223333:alias/ehr",
        "arn:aws:kms:eu-central-1:111122223333:key/",
        "arn:aws:s3:eu-central-1:111122223333:key/1234abcd",
        "arn:aws:kms:eu-central-1:111122223333:key/1234abcd:x",
        "arn:aws:kms:eu central-1:111122223333:key/1234abcd",
    ] {
        assert!(WrappedKey::aws_kms(arn, b"blob").is_err(), "{arn}");
    }
    assert_eq!(
        named(WrappedKey::transit(3, "prod", "ns/transit", "ehr", gcm)).unwrap(),
        "transit prod ns/transit/ehr v3"
    );
    for (version, realm, mount, name) in [
        (0, "r", "m", "n"),
        (1, "a b", "m", "n"),
        (1, "r", "", "n"),
        (1, "r", "/m", "n"),
        (1, "r", "m/", "n"),
        (1, "r", "m/../x", "n"),
        (1, "r", "m/./x", "n"),
        (1, "r", "m m", "n"),
        (1, "r", "m", "a/b"),
        (1, "r", "m", ""),
    ] {
        let made = WrappedKey::transit(version, realm, mount, name, gcm);
        assert!(made.is_err(), "{version} {realm} {mount} {name}");
    }
    // A token fills its label up with spaces.
    assert_eq!(
        named(WrappedKey::pkcs11("ward    ", b"\x01", gcm)).unwrap(),
        "pkcs11 ward 01"
    );
    assert!(WrappedKey::pkcs11("   ", b"\x01", gcm).is_err());
    assert!(WrappedKey::pkcs11("ward", b"", gcm).is_err());
    assert!(WrappedKey::google_kms("projects/p", b"c").is_ok());
    assert!(WrappedKey::google_kms("a\nb", b"c").is_err());
    assert!(WrappedKey::azure("https://v/k/1", b"c").is_ok());
    assert!(WrappedKey::azure("https://v\u{85}", b"c").is_err());
    assert!(WrappedKey::recipient(0x647a, &[1; 32], &[1; 1168]).is_ok());
    assert!(WrappedKey::recipient(0x647a, &[1; 32], &[1; 1167]).is_err());
    assert!(WrappedKey::recipient(0x0020, &[1; 32], &[1; 1168]).is_err());
    assert!(WrappedKey::compartment(&[1; 16], 1, gcm).is_ok());
    assert!(WrappedKey::compartment(&[1; 16], 0, gcm).is_err());
    assert!(WrappedKey::external("a b", b"1", b"c").is_err());
}

/// A passphrase slot's wrapped key of these costs.
fn passphrase(memory_kib: u32, passes: u32, lanes: u32) -> Vec<u8> {
    let costs = [memory_kib, passes, lanes].map(u32::to_be_bytes).concat();
    [&costs[..], &[7; 92]].concat()
}

#[test]
fn argon2_costs_out_of_bounds_are_malformed_for_every_reader() {
    let known = Known::new();
    let with = |m, t, p| {
        move |h: &mut RawHeader| {
            h.slots
                .push(RawSlot::new(PASSPHRASE, &[1; 16], &passphrase(m, t, p)))
        }
    };
    let rule = Error::Malformed(Malformed::PassphraseCosts);
    for (m, t, p) in [
        (7, 1, 1),
        (127, 1, 16),
        (1_048_577, 1, 1),
        (u32::MAX, 1, 1),
        (8, 0, 1),
        (8, 17, 1),
        (8, u32::MAX, 1),
        (8, 1, 0),
        (136, 1, 17),
        (8, 1, u32::MAX),
        (0, 0, 0),
        (1_048_576, 2, 1),
        (65_537, 16, 1),
        (524_289, 2, 16),
        (u32::MAX, u32::MAX, u32::MAX),
    ] {
        known.assert_refused(&with(m, t, p), &rule, &format!("m {m} t {t} p {p}"));
    }
    for (m, t, p) in [
        (8, 1, 1),
        (128, 16, 16),
        (1_048_576, 1, 1),
        (65_536, 16, 16),
    ] {
        let [record, ..] = known.of_each_kind(&with(m, t, p));
        known
            .cipher
            .decrypt(record.with(&known.payload), &Context::new())
            .unwrap();
    }
}

#[test]
fn headers_at_the_limits_are_accepted() {
    let known = Known::new();
    let check = |change: &dyn Fn(&mut RawHeader), what| {
        for header in known.of_each_kind(change) {
            let bytes = header.write();
            let inspected = match header.kind {
                1 => inspect(&header.with(&[0; 28])),
                2 if bytes.len() > BLOCK - 8 => continue,
                2 => inspect(&[header.block(), header.block()].concat()),
                _ => inspect(&bytes),
            };
            let inspected = inspected.expect(what);
            assert_eq!(inspected.slots.len(), header.slots.len(), "{what}");
            assert_eq!(inspected.header_len, bytes.len());
        }
    };
    let many = |n: usize| {
        (0..n)
            .flat_map(|i| pair(format!("{i:02}").as_bytes(), b"v"))
            .collect::<Vec<_>>()
    };
    check(&|h| h.labels = many(32), "32 labels");
    check(
        &|h| h.labels = pair(&[b'k'; 64], &[b'v'; 256]),
        "a label of the longest key and value",
    );
    check(
        &|h| h.labels = [pair(b"a", b"v"), pair(b"ab", b"v")].concat(),
        "a prefix first",
    );
    check(
        &|h| h.labels = [pair(b"z", b"v"), pair("é".as_bytes(), b"v")].concat(),
        "unsigned bytes",
    );
    let longest = (0..16)
        .flat_map(|i| pair(format!("{i:03}").as_bytes(), &[b'v'; 250]))
        .collect::<Vec<_>>();
    assert_eq!(longest.len(), 4096);
    check(&|h| h.labels = longest.clone(), "4,096 bytes of labels");
    check(
        &|h| {
            h.slots
                .extend((0..31).map(|id| RawSlot::new(UNKNOWN, &[id], b"k")))
        },
        "32 slots",
    );
    check(
        &|h| h.slots.push(RawSlot::new(UNKNOWN, &[1; 512], &[1; 4096])),
        "the longest slot",
    );
    check(
        &|h| {
            h.slots
                .push(RawSlot::new(KEYRING, b"0123456789abcdef", &[1; 60]))
        },
        "a keyring's slot",
    );
    let name = [&[255][..], &[b'n'; 255], b"i"].concat();
    check(
        &|h| h.slots.push(RawSlot::new(EXTERNAL, &name, b"k")),
        "the longest name",
    );
    check(
        &|h| {
            h.slots
                .extend([UNKNOWN, 0x34].map(|scheme| RawSlot::new(scheme, b"id", b"k")))
        },
        "one id in two schemes",
    );
    check(&|h| h.generation = u32::MAX, "the last generation");

    let filled = |h: &mut RawHeader, more: usize| {
        h.slots
            .extend((0..3).map(|id| RawSlot::new(UNKNOWN, &[id], &[0; 4096])));
        let rest = 16_384 - h.write().len() - 6;
        h.slots
            .push(RawSlot::new(UNKNOWN, b"r", &vec![0; rest + more]));
    };
    check(&|h| filled(h, 0), "16,384 bytes");
    let too_long = Error::Malformed(Malformed::HeaderLength);
    known.assert_refused(&|h| filled(h, 1), &too_long, "16,385 bytes");
}

#[test]
fn a_header_cut_anywhere_is_truncated() {
    let known = Known::new();
    let change = |h: &mut RawHeader| {
        h.labels = pair(b"tenant", b"clinic-7");
        h.slots
            .push(RawSlot::new(PASSPHRASE, &[1; 16], &passphrase(8, 1, 1)));
    };
    for header in known.of_each_kind(&change) {
        let bytes = header.write();
        for len in 1..bytes.len() {
            let cut = &bytes[..len];
            assert!(matches!(inspect(cut), Err(Error::Truncated)), "{len}");
            assert!(matches!(
                known.cipher.decrypt(cut, &Context::new()),
                Err(Error::Truncated)
            ));
            let opened = known.cipher.decrypt_reader(cut, &Context::new());
            assert!(matches!(opened, Err(Error::Truncated)));
            let opened = known
                .cipher
                .decrypt_reader_detached(cut, &b""[..], &Context::new());
            assert!(matches!(opened, Err(Error::Truncated)));
        }
    }
    let lie = |h: &mut RawHeader| h.labels_length = Some(4096);
    known.assert_detached_refused(
        &known.of_each_kind(&lie)[2],
        &Error::Truncated,
        "labels over the end",
    );
    assert_eq!(known.book.unwraps(), 0);
}

#[test]
fn a_count_of_slots_that_lies_is_refused() {
    let known = Known::new();
    for lie in [2, 3, 32] {
        let [record, inline, detached] = known.of_each_kind(&|h| h.slot_count = Some(lie));
        // What stands after the last slot is read as one more.
        assert!(
            known
                .cipher
                .decrypt(record.with(&known.payload), &Context::new())
                .is_err()
        );
        let block = inline.block();
        assert!(
            known
                .cipher
                .decrypt_reader(&[&block[..], &block].concat()[..], &Context::new())
                .is_err()
        );
        assert!(inspect(&detached.write()).is_err());
    }
    let fewer = |h: &mut RawHeader| {
        h.slots.push(RawSlot::new(UNKNOWN, b"id", &[1; 60]));
        h.slot_count = Some(1);
    };
    let [record, _, detached] = known.of_each_kind(&fewer);
    assert!(
        known
            .cipher
            .decrypt(record.with(&known.payload), &Context::new())
            .is_err()
    );
    assert!(matches!(
        inspect(&detached.write()),
        Err(Error::Malformed(Malformed::TrailingBytes))
    ));
}

#[test]
fn text_has_one_form() {
    let known = Known::new();
    // Of a length that leaves two and four bits in the last character, and none.
    for len in 50..53 {
        let envelope = known.cipher.encrypt(sample(len), &Context::new()).unwrap();
        let envelope = Envelope::from_bytes(envelope).unwrap();
        let text = envelope.to_string();
        assert!(text.starts_with("UEhJRQEB"));
        assert_eq!(text.parse::<Envelope>().unwrap(), envelope);
        let rule = |text: &str| match text.parse::<Envelope>() {
            Err(Error::Malformed(rule)) => rule,
            other => panic!("{other:?}"),
        };
        for end in ["=", "==", "===", "\n", " ", "A=", "\0"] {
            let rule = rule(&format!("{text}{end}"));
            assert!(
                matches!(rule, Malformed::TextLength | Malformed::TextAlphabet),
                "{rule:?}"
            );
        }
        let put = |at: usize, char: &str| format!("{}{char}{}", &text[..at], &text[at + 1..]);
        for char in ["+", "/", " ", "\n", "\t", "*", ".", "~", "\u{7f}"] {
            assert_eq!(rule(&put(20, char)), Malformed::TextAlphabet);
        }
        assert_eq!(rule(&put(20, "=")), Malformed::TextLength);
        assert_eq!(
            rule(&text.replace("UEhJ", "UEhJ=")[..]),
            Malformed::TextLength
        );
        if text.len().is_multiple_of(4) {
            assert_eq!(rule(&format!("{text}A")), Malformed::TextLength);
            continue;
        }
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let last = alphabet.find(text.chars().last().unwrap()).unwrap();
        let bits = &put(text.len() - 1, &alphabet[last + 1..=last + 1]);
        assert_eq!(rule(bits), Malformed::TextTrailingBits);
    }
    let [_, inline, detached] = known.of_each_kind(&|_| ());
    use base64::Engine as _;
    let text = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    for stream in [inline.block(), detached.write()] {
        let parsed = text(&stream).parse::<Envelope>();
        assert!(matches!(
            parsed,
            Err(Error::Malformed(Malformed::OtherKind { .. }))
        ));
    }
    assert!(matches!("".parse::<Envelope>(), Err(Error::NotAnEnvelope)));
    assert!(matches!(
        "UEhJRQEB".parse::<Envelope>(),
        Err(Error::Truncated)
    ));
    assert!(matches!(
        "AAAA".parse::<Envelope>(),
        Err(Error::NotAnEnvelope)
    ));
}

/// Valid envelopes, and ciphers that open them.
struct Corpus {
    cipher: EnvelopeCipher,
    record: Vec<u8>,
    bound: Vec<u8>,
    of_session: Vec<u8>,
    inline: Vec<u8>,
    detached: Vec<u8>,
    payload: Vec<u8>,
}

static CORPUS: LazyLock<Corpus> = LazyLock::new(|| {
    let builder = EnvelopeCipher::builder()
        .encrypt_for(keyring())
        .encrypt_for(OpenBook::new("b"));
    let cipher = builder.segment_length(4096).unwrap().build().unwrap();
    let (detached, mut out) = cipher
        .encrypt_writer_detached(Vec::new(), &context())
        .unwrap();
    std::io::Write::write_all(&mut out, &sample(5000)).unwrap();
    let payload = out.finish().unwrap();
    let mut out = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
    std::io::Write::write_all(&mut out, &sample(5000)).unwrap();
    Corpus {
        record: cipher.encrypt(sample(40), &Context::new()).unwrap(),
        bound: cipher.encrypt(sample(40), &context()).unwrap(),
        of_session: cipher
            .session(&crate::common::labels())
            .unwrap()
            .encrypt(sample(40), &context())
            .unwrap(),
        inline: out.finish().unwrap(),
        detached,
        payload,
        cipher,
    }
});

impl Corpus {
    fn all(&self) -> [&Vec<u8>; 5] {
        [
            &self.record,
            &self.bound,
            &self.of_session,
            &self.inline,
            &self.detached,
        ]
    }
}

/// Puts bytes into every call that reads some, and says whether any of them gave plaintext.
fn read_every_way(bytes: &[u8]) -> bool {
    let cipher = &CORPUS.cipher;
    let _ = inspect(bytes);
    let _ = cipher.rewrap(bytes);
    let _ = cipher.add_recipient(bytes, &OpenBook::new("new"), &crate::common::labels());
    let _ = Envelope::from_bytes(bytes.to_vec());
    let _ = String::from_utf8_lossy(bytes).parse::<Envelope>();
    let _ = MasterKey::from_base64(&String::from_utf8_lossy(bytes));
    [Context::new(), context()].iter().any(|context| {
        let inline = drain_opened(cipher.decrypt_reader(bytes, context));
        let header =
            drain_opened(cipher.decrypt_reader_detached(bytes, &CORPUS.payload[..], context));
        let payload =
            drain_opened(cipher.decrypt_reader_detached(&CORPUS.detached, bytes, context));
        let seeking = cipher
            .decrypt_reader(std::io::Cursor::new(bytes), context)
            .map(|mut reader| {
                let _ = reader.plaintext_len();
                let _ = std::io::Seek::seek(&mut reader, std::io::SeekFrom::End(-3));
                drop(drain(reader));
            });
        drop(seeking);
        cipher.decrypt(bytes, context).is_ok()
            || cipher.decrypt_in_place(bytes.to_vec(), context).is_ok()
            || [inline, header, payload].iter().any(|(_, end)| end.is_ok())
    })
}

#[derive(Clone, Debug)]
enum Mutation {
    Put(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Copy(prop::sample::Index, prop::sample::Index, u8),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |index: &prop::sample::Index, bytes: &[u8]| index.index(bytes.len() + 1);
        match self {
            Self::Put(index, byte) => {
                let at = index.index(bytes.len().max(1));
                if let Some(there) = bytes.get_mut(at) {
                    *there = *byte;
                }
            }
            Self::Flip(index, bit) => {
                let at = index.index(bytes.len().max(1));
                if let Some(there) = bytes.get_mut(at) {
                    *there ^= 1 << (bit % 8);
                }
            }
            Self::Cut(index) => bytes.truncate(at(index, bytes)),
            Self::Remove(index, len) => {
                let from = at(index, bytes);
                let to = bytes.len().min(from + usize::from(*len));
                bytes.drain(from..to);
            }
            Self::Insert(index, more) => {
                let at = at(index, bytes);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Copy(from, to, len) => {
                let (from, to) = (at(from, bytes), at(to, bytes));
                let piece = bytes[from..bytes.len().min(from + usize::from(*len))].to_vec();
                bytes.splice(to..to, piece);
            }
        }
    }
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let index = any::<prop::sample::Index>;
    let mutation = prop_oneof![
        4 => (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Put(at, byte)),
        4 => (index(), any::<u8>()).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        1 => index().prop_map(Mutation::Cut),
        1 => (index(), any::<u8>()).prop_map(|(at, len)| Mutation::Remove(at, len)),
        1 => (index(), prop::collection::vec(any::<u8>(), 1..80)).prop_map(|(at, more)| Mutation::Insert(at, more)),
        1 => (index(), index(), any::<u8>()).prop_map(|(from, to, len)| Mutation::Copy(from, to, len)),
    ];
    prop::collection::vec(mutation, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert!(!read_every_way(&bytes));
    }

    #[test]
    fn random_bytes_after_a_good_beginning_are_refused(
        kind in 1..4_u8,
        flags in 0..4_u8,
        slots in 1..4_u8,
        rest in prop::collection::vec(prop_oneof![Just(0), Just(1), Just(2), Just(16), any::<u8>()], 0..600),
    ) {
        let block_length = if kind == 2 { [0, 0, 0x10, 0] } else { [0; 4] };
        let head = [b'P', b'H', b'I', b'E', 1, kind, flags, slots, 0, 0, 0, 0];
        prop_assert!(!read_every_way(&[&head[..], &block_length, &rest].concat()));
    }

    #[test]
    fn mutated_envelopes_are_refused_or_open_by_their_other_block(which in 0..5_usize, mutations in mutations()) {
        let original = CORPUS.all()[which];
        let mut bytes = original.clone();
        mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
        let opened = read_every_way(&bytes);
        if bytes == *original {
            prop_assert!(opened);
        } else if opened {
            // One of the two blocks is whole, and all of the payload.
            prop_assert_eq!(which, 3);
            let (out, end) = drain_opened(CORPUS.cipher.decrypt_reader(&bytes[..], &context()));
            prop_assert!(end.is_ok() && out == sample(5000));
        }
    }

    #[test]
    fn mutated_headers_under_a_right_tag_never_panic(which in 0..5_usize, mutations in mutations()) {
        let (header, payload) = RawHeader::parse(CORPUS.all()[which]);
        let key = data_key(&header);
        let mut bytes = header.write();
        bytes.truncate(bytes.len() - 32);
        mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
        bytes.extend(expand(&key, "header", &bytes));
        match which {
            3 => {
                let block = crate::common::block(&bytes, bytes.len().max(BLOCK - 8) + 8);
                read_every_way(&[&block[..], &block, &payload[payload.len().saturating_sub(5138)..]].concat());
            }
            4 => drop(read_every_way(&bytes)),
            _ => drop(read_every_way(&[bytes, payload].concat())),
        }
    }

    #[test]
    fn any_text_is_refused_as_an_envelope(text: String, base64 in "[A-Za-z0-9_-]{0,400}") {
        prop_assert!(text.parse::<Envelope>().is_err());
        prop_assert!(base64.parse::<Envelope>().is_err());
        let begun = ["UEhJRQEB", &base64].concat();
        if let Ok(envelope) = begun.parse::<Envelope>() {
            prop_assert_eq!(envelope.to_string(), begun);
        }
    }
}
