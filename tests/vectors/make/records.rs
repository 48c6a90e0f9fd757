//! Records that open.

use super::craft::{Draft, pairs, with_length};
use super::{
    Case, NOTE, PASSPHRASE, Pairs, case, cipher, context, keyring, passphrase, rotated, sample,
};
use crate::envelope::{Context, Envelope, EnvelopeCipher};

const LABELS: Pairs = &[("system", "ehr"), ("tenant", "clinic-7")];
const BINDINGS: Pairs = &[("patient", "MRN-0042"), ("record", "obs-7")];

pub(super) fn cases() -> Vec<Case> {
    [
        plain(),
        contexts(),
        sessions(),
        slots(),
        at_limits(),
        text(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn plain() -> Vec<Case> {
    let sealed = |len: usize| {
        let plaintext = sample(len);
        let envelope = cipher(1).encrypt(&plaintext, &Context::new()).unwrap();
        Case::record(envelope).key(1).opens(plaintext)
    };
    vec![
        case("record_plain", "A record under one master key.", || {
            let envelope = cipher(1).encrypt(NOTE, &Context::new()).unwrap();
            Case::record(envelope).key(1).opens(NOTE)
        }),
        case("record_empty", "A record of no bytes.", || sealed(0)),
        case("record_of_one_byte", "A record of one byte.", || sealed(1)),
        case("record_of_16_bytes", "A record of one AES block.", || {
            sealed(16)
        }),
        case("record_of_1024_bytes", "A record of 1,024 bytes.", || {
            sealed(1024)
        }),
        case(
            "record_of_4096_bytes",
            "A record whose plaintext is given by its digest.",
            || sealed(4096),
        ),
        case(
            "record_rewrapped",
            "Rewrapped from master key 1 to 2: generation 1.",
            || {
                let envelope = cipher(1).encrypt(NOTE, &Context::new()).unwrap();
                let moved = rotated(1, 2).rewrap(envelope).unwrap();
                Case::record(moved).key(2).opens(NOTE)
            },
        ),
        case(
            "record_of_the_last_generation",
            "Generation 4,294,967,295, which no rewrap can follow.",
            || {
                let mut draft = Draft::record();
                draft.generation = u32::MAX;
                Case::record(draft.seal(NOTE)).key(1).opens(NOTE)
            },
        ),
    ]
}

fn contexts() -> Vec<Case> {
    let sealed = |labels: Pairs, bindings: Pairs| {
        let envelope = cipher(1).encrypt(NOTE, &context(labels, bindings)).unwrap();
        Case::record(envelope).key(1).opens(NOTE)
    };
    vec![
        case("record_labels", "Two labels, both presented.", || {
            sealed(LABELS, &[]).labels(LABELS)
        }),
        case(
            "record_labels_of_which_one_is_presented",
            "Two labels, of which the reader presents one.",
            || sealed(LABELS, &[]).labels(&[("tenant", "clinic-7")]),
        ),
        case(
            "record_labels_of_which_none_is_presented",
            "Two labels, of which the reader presents none.",
            || sealed(LABELS, &[]),
        ),
        case("record_bindings", "Two bindings.", || {
            sealed(&[], BINDINGS).bindings(BINDINGS)
        }),
        case(
            "record_labels_and_bindings",
            "Two labels and two bindings.",
            || sealed(LABELS, BINDINGS).labels(LABELS).bindings(BINDINGS),
        ),
        case(
            "record_keys_in_order_of_bytes",
            "Keys sort as unsigned bytes and a prefix comes first.",
            || {
                const SORTED: Pairs =
                    &[("A", "1"), ("a", "2"), ("a-", "3"), ("aa", "4"), ("é", "5")];
                sealed(SORTED, SORTED).labels(SORTED).bindings(SORTED)
            },
        ),
        case(
            "record_label_nearly_of_the_format",
            "Keys that only resemble those which the format keeps for itself.",
            || {
                const NEAR: Pairs = &[("phi-envelop", "1"), ("x-phi-envelope", "2")];
                sealed(NEAR, &[]).labels(NEAR)
            },
        ),
        case(
            "record_binding_of_the_formats_name",
            "Bindings are never stored, and may be named so.",
            || {
                const OWN: Pairs = &[("phi-envelope", "1")];
                sealed(&[], OWN).bindings(OWN)
            },
        ),
        case(
            "record_text_is_not_normalised",
            "One word in two encodings, composed and decomposed: two bindings.",
            || {
                const TWO: Pairs = &[
                    ("nam\u{e9}", "M\u{fc}ller"),
                    ("name\u{301}", "Mu\u{308}ller"),
                ];
                sealed(&[], TWO).bindings(TWO)
            },
        ),
    ]
}

fn sessions() -> Vec<Case> {
    let sealed = |labels: Pairs, bindings: Pairs| {
        let session = cipher(1).session(&context(labels, &[])).unwrap();
        session.encrypt("the first", &Context::new()).unwrap();
        let envelope = session.encrypt(NOTE, &context(&[], bindings)).unwrap();
        Case::record(envelope).key(1).opens(NOTE)
    };
    vec![
        case(
            "record_of_a_session",
            "A message id beside the data key id.",
            || sealed(&[], &[]),
        ),
        case(
            "record_of_a_session_with_labels_and_bindings",
            "The bindings tag is over the message id.",
            || sealed(LABELS, BINDINGS).labels(LABELS).bindings(BINDINGS),
        ),
    ]
}

fn slots() -> Vec<Case> {
    let for_two = || {
        let builder = EnvelopeCipher::builder().encrypt_for(keyring(1));
        let cipher = builder.encrypt_for(passphrase(PASSPHRASE)).build().unwrap();
        Case::record(cipher.encrypt(NOTE, &context(LABELS, &[])).unwrap()).opens(NOTE)
    };
    vec![
        case(
            "record_second_slot_opens",
            "Slots of master keys 1 and 2; the reader has the second.",
            || {
                let draft = Draft::record().with_master(2);
                Case::record(draft.seal(NOTE)).key(2).opens(NOTE)
            },
        ),
        case("record_passphrase", "A passphrase slot alone.", || {
            let cipher = EnvelopeCipher::new(passphrase(PASSPHRASE));
            let envelope = cipher.encrypt(NOTE, &Context::new()).unwrap();
            Case::record(envelope).passphrase(PASSPHRASE).opens(NOTE)
        }),
        case(
            "record_passphrase_beside_a_master_key",
            "Opened by the passphrase.",
            || for_two().passphrase(PASSPHRASE),
        ),
        case(
            "record_master_key_beside_a_passphrase",
            "Opened by the master key.",
            || for_two().key(1),
        ),
        case(
            "record_wrong_passphrase_passed_over",
            "The passphrase is wrong and the master key is right.",
            || {
                let draft = Draft::new(1, vec![0, 0]);
                let draft = draft.with_passphrase(PASSPHRASE).with_master(1);
                Case::record(draft.seal(NOTE))
                    .passphrase("another")
                    .key(1)
                    .opens(NOTE)
            },
        ),
        case(
            "record_external_slot_passed_over",
            "First a slot of a provider that the reader does not know.",
            || {
                let key_id = [b"\x0forg.example.kms".as_slice(), b"key-7"].concat();
                let draft = Draft::new(1, vec![0, 0]);
                let draft = draft.with_slot(0xF0, &key_id, &[7; 60]).with_master(1);
                Case::record(draft.seal(NOTE)).key(1).opens(NOTE)
            },
        ),
        case(
            "record_unknown_scheme_passed_over",
            "First a slot of a scheme that no version knows.",
            || {
                let draft = Draft::new(1, vec![0, 0]);
                let draft = draft.with_slot(0x77, b"k", b"w").with_master(1);
                Case::record(draft.seal(NOTE)).key(1).opens(NOTE)
            },
        ),
        case(
            "record_reserved_scheme_passed_over",
            "First a slot of a reserved scheme.",
            || {
                let draft = Draft::new(1, vec![0, 0]);
                let draft = draft.with_slot(0x0B, &[3; 32], &[9; 80]).with_master(1);
                Case::record(draft.seal(NOTE)).key(1).opens(NOTE)
            },
        ),
        case(
            "record_slot_that_does_not_unwrap_passed_over",
            "Master key 1's slot is damaged under a right header tag; master key 2's opens.",
            || {
                let mut draft = Draft::record().with_master(2);
                *draft.slots[0].last_mut().unwrap() ^= 1;
                Case::record(draft.seal(NOTE)).key(1).key(2).opens(NOTE)
            },
        ),
        case(
            "record_slot_of_another_data_key_passed_over",
            "Master key 1's slot unwraps to a key that does not verify the header tag; master key 2's opens.",
            || {
                let mut other = Draft::new(1, vec![0, 0]);
                let mut draft = Draft::new(1, vec![0, 0]);
                other.data_key_id = draft.data_key_id;
                draft.slots.push(other.wrap(&keyring(1)));
                let draft = draft.with_master(2);
                Case::record(draft.seal(NOTE)).key(1).key(2).opens(NOTE)
            },
        ),
        case(
            "record_one_key_id_under_two_schemes",
            "Equal key ids are no repetition where the schemes differ.",
            || {
                let draft = Draft::record().with_slot(0x77, &[0xA1; 16], &[1; 60]);
                Case::record(draft.seal(NOTE)).key(1).opens(NOTE)
            },
        ),
    ]
}

fn at_limits() -> Vec<Case> {
    vec![
        case(
            "record_32_slots",
            "As many slots as there may be; the last one opens.",
            || {
                let mut draft = Draft::new(1, vec![0, 0]);
                for number in 0..31 {
                    draft = draft.with_slot(0x77, &[number], &[number]);
                }
                Case::record(draft.with_master(1).seal(NOTE))
                    .key(1)
                    .opens(NOTE)
            },
        ),
        case(
            "record_slot_of_the_longest",
            "A key id of 512 and a wrapped key of 4,096 bytes.",
            || {
                let draft = Draft::record().with_slot(0x77, &[1; 512], &[0; 4096]);
                Case::record(draft.seal(NOTE)).key(1).opens(NOTE)
            },
        ),
        case(
            "record_header_of_16384_bytes",
            "The longest header.",
            || {
                Case::record(header_of(16_384).seal(NOTE))
                    .key(1)
                    .opens(NOTE)
            },
        ),
        case(
            "record_32_labels",
            "As many labels as there may be.",
            || {
                let keys: Vec<[u8; 1]> = (b'A'..b'A' + 32).map(|key| [key]).collect();
                let labels: Vec<(&[u8], &[u8])> =
                    keys.iter().map(|key| (&key[..], &b"v"[..])).collect();
                let draft = Draft::labelled(&labels);
                Case::record(draft.seal(NOTE)).key(1).opens(NOTE)
            },
        ),
        case(
            "record_labels_of_4096_bytes",
            "The longest labels: keys of 64 and values of 256 bytes among them.",
            || {
                let keys: Vec<[u8; 64]> = (b'A'..b'A' + 13).map(|key| [key; 64]).collect();
                let (long, rest) = ([b'v'; 256], [b'w'; 4096 - 12 * 323 - 67]);
                let mut labels: Vec<(&[u8], &[u8])> =
                    keys.iter().map(|key| (&key[..], &long[..])).collect();
                labels[12].1 = &rest;
                assert_eq!(pairs(&labels).len(), 4096);
                let draft = Draft::of_labels(with_length(&pairs(&labels)));
                Case::record(draft.seal(NOTE)).key(1).opens(NOTE)
            },
        ),
    ]
}

/// A record whose header takes `len` bytes.
pub(super) fn header_of(len: usize) -> Draft {
    let mut draft = Draft::record();
    for number in 0..3 {
        draft = draft.with_slot(0x77, &[number], &[0; 4096]);
    }
    let rest = len - draft.header().len() - 6;
    let draft = draft.with_slot(0x77, &[3], &vec![0; rest]);
    assert_eq!(draft.header().len(), len);
    draft
}

fn text() -> Vec<Case> {
    let sealed = |plaintext: &[u8]| {
        let envelope = cipher(1).encrypt(plaintext, &context(LABELS, &[])).unwrap();
        let envelope = Envelope::from_bytes(envelope).unwrap();
        Case::text(envelope.to_string()).key(1).opens(plaintext)
    };
    vec![
        case("text_of_a_record", "The text form.", || sealed(NOTE)),
        case(
            "text_of_a_record_a_byte_longer",
            "The text form with another number of characters over.",
            || sealed(b"BP 120/80 mmHg, pulse 64/min."),
        ),
        case(
            "text_of_a_record_two_bytes_longer",
            "The text form with the third number of characters over.",
            || sealed(b"BP 120/80 mmHg, pulse 64/min.."),
        ),
    ]
}
