//! Records that someone without the keys has changed.

use super::craft::Draft;
use super::{Case, NOTE, Pairs, case, cipher, context, keyring};
use crate::envelope::{Context, EnvelopeCipher};
use crate::format::header::Header;

const LABELS: Pairs = &[("tenant", "clinic-7")];
const BINDINGS: Pairs = &[("patient", "MRN-0042")];

pub(super) fn cases() -> Vec<Case> {
    [flipped(), cut(), slots(), mixed()]
        .into_iter()
        .flatten()
        .collect()
}

/// A record of a session, which has every field that there is.
fn full() -> Vec<u8> {
    let session = cipher(1).session(&context(LABELS, &[])).unwrap();
    session.encrypt(NOTE, &context(&[], BINDINGS)).unwrap()
}

fn reads_full(envelope: impl AsRef<[u8]>) -> Case {
    Case::record(envelope)
        .key(1)
        .labels(LABELS)
        .bindings(BINDINGS)
}

fn flipped() -> Vec<Case> {
    // Magic to block length 16, data key id 16, message id 16, labels 2 + 17, bindings tag 32, slot 1 + 2 + 16 + 2 + 60.
    const TAG: usize = 16 + 16 + 16 + 19 + 32 + 81;
    let flip = |at: usize, error| {
        let mut envelope = full();
        envelope[at] ^= 1;
        reads_full(envelope).fails(error)
    };
    vec![
        case("record_magic_flipped", "A bit of the magic.", || {
            flip(0, "not-an-envelope")
        }),
        case(
            "record_generation_changed",
            "A bit of the generation.",
            || flip(11, "authentication-failed/header"),
        ),
        case(
            "record_data_key_id_flipped",
            "A bit of the data key id, which the wrap authenticates.",
            || flip(16, "authentication-failed/wrapped-key"),
        ),
        case(
            "record_message_id_flipped",
            "A bit of the message id.",
            || flip(32, "authentication-failed/header"),
        ),
        case(
            "record_label_changed",
            "A label's value, which the wrap authenticates; the reader presents what stands there.",
            || {
                flip(16 + 16 + 16 + 18, "authentication-failed/wrapped-key")
                    .labels(&[("tenant", "clinic-6")])
            },
        ),
        case(
            "record_bindings_tag_flipped",
            "A bit of the bindings tag.",
            || flip(16 + 16 + 16 + 19, "authentication-failed/header"),
        ),
        case(
            "record_scheme_changed",
            "The keyring's slot becomes one of scheme 0x81.",
            || {
                let mut envelope = full();
                envelope[TAG - 81] ^= 0x80;
                reads_full(envelope).fails("no-matching-key")
            },
        ),
        case(
            "record_slot_key_id_flipped",
            "A bit of the slot's key id.",
            || flip(TAG - 81 + 3, "no-matching-key"),
        ),
        case(
            "record_wrapped_iv_flipped",
            "A bit of the wrap's IV.",
            || flip(TAG - 60, "authentication-failed/wrapped-key"),
        ),
        case(
            "record_wrapped_key_flipped",
            "A bit of the wrapped key.",
            || flip(TAG - 48, "authentication-failed/wrapped-key"),
        ),
        case(
            "record_wrapped_tag_flipped",
            "A bit of the wrap's tag.",
            || flip(TAG - 1, "authentication-failed/wrapped-key"),
        ),
        case(
            "record_header_tag_flipped",
            "A bit of the header tag.",
            || flip(TAG, "authentication-failed/header"),
        ),
        case("record_iv_flipped", "A bit of the payload's IV.", || {
            flip(TAG + 32, "authentication-failed/record")
        }),
        case(
            "record_ciphertext_flipped",
            "A bit of the ciphertext.",
            || flip(TAG + 32 + 12, "authentication-failed/record"),
        ),
        case("record_tag_flipped", "The last bit.", || {
            flip(
                TAG + 32 + 12 + NOTE.len() + 15,
                "authentication-failed/record",
            )
        }),
    ]
}

fn cut() -> Vec<Case> {
    let cut = |len: fn(usize) -> usize, error| {
        let envelope = cipher(1).encrypt(NOTE, &Context::new()).unwrap();
        Case::record(&envelope[..len(envelope.len())])
            .key(1)
            .fails(error)
    };
    // 16 + 16 + labels length 2 + slot 81 + tag 32
    const HEADER: usize = 147;
    vec![
        case("record_of_no_bytes", "Nothing at all.", || {
            cut(|_| 0, "not-an-envelope")
        }),
        case("record_cut_in_its_magic", "Two bytes of the magic.", || {
            cut(|_| 2, "truncated")
        }),
        case("record_cut_after_its_magic", "The magic alone.", || {
            cut(|_| 4, "truncated")
        }),
        case("record_cut_in_its_data_key_id", "20 bytes.", || {
            cut(|_| 20, "truncated")
        }),
        case("record_cut_in_its_slot", "60 bytes.", || {
            cut(|_| 60, "truncated")
        }),
        case(
            "record_cut_in_its_header_tag",
            "The header without its last byte.",
            || cut(|_| HEADER - 1, "truncated"),
        ),
        case("record_without_its_payload", "The header alone.", || {
            cut(|_| HEADER, "truncated")
        }),
        case(
            "record_cut_before_a_tag_fits",
            "27 bytes of payload: no room for IV and tag.",
            || cut(|_| HEADER + 27, "truncated"),
        ),
        case(
            "record_last_byte_missing",
            "What is left parses, and does not verify.",
            || cut(|len| len - 1, "authentication-failed/record"),
        ),
        case("record_one_byte_more", "A zero byte at the end.", || {
            let mut envelope = cipher(1).encrypt(NOTE, &Context::new()).unwrap();
            envelope.push(0);
            Case::record(envelope)
                .key(1)
                .fails("authentication-failed/record")
        }),
        case("record_behind_white_space", "A line feed in front.", || {
            let envelope = cipher(1).encrypt(NOTE, &Context::new()).unwrap();
            let envelope = [b"\n", envelope.as_slice()].concat();
            Case::record(envelope).key(1).fails("not-an-envelope")
        }),
    ]
}

fn slots() -> Vec<Case> {
    let for_two = || Draft::record().with_master(2);
    // The tag that was right before the slots were touched.
    let under_old_tag = |draft: &mut Draft, edit: fn(&mut Draft)| {
        let before = draft.header();
        edit(draft);
        let after = draft.header();
        let payload = draft.seal(NOTE).split_off(after.len());
        let (tagged, _) = after.split_at(after.len() - 32);
        let (_, tag) = before.split_at(before.len() - 32);
        [tagged, tag, &payload].concat()
    };
    vec![
        case(
            "record_slot_stripped",
            "The second recipient's slot is gone, and the count says so.",
            || {
                let envelope = under_old_tag(&mut for_two(), |draft| drop(draft.slots.pop()));
                Case::record(envelope)
                    .key(1)
                    .fails("authentication-failed/header")
            },
        ),
        case(
            "record_slot_stripped_and_counted",
            "The second recipient's slot is gone, and the count is not: the tag is read as a slot.",
            || {
                let mut draft = for_two();
                draft.slots.pop();
                draft.count = Some(2);
                Case::record(draft.seal(NOTE))
                    .key(1)
                    .fails("malformed/key-id-length")
            },
        ),
        case(
            "record_slot_added",
            "A slot more, of a scheme that the reader does not know.",
            || {
                let envelope = under_old_tag(&mut for_two(), |draft| {
                    draft.slots.push(super::craft::slot(0x77, b"k", b"w"));
                });
                Case::record(envelope)
                    .key(1)
                    .fails("authentication-failed/header")
            },
        ),
        case(
            "record_slots_exchanged",
            "The two slots in the other order.",
            || {
                let envelope = under_old_tag(&mut for_two(), |draft| draft.slots.reverse());
                Case::record(envelope)
                    .key(1)
                    .fails("authentication-failed/header")
            },
        ),
        case(
            "record_slot_foreign",
            "The slot of another envelope under the same master key.",
            || {
                let mut draft = Draft::record();
                draft.slots = Draft::record().slots;
                Case::record(draft.seal(NOTE))
                    .key(1)
                    .fails("authentication-failed/wrapped-key")
            },
        ),
        case(
            "record_slot_of_another_data_key",
            "The slot unwraps under this data key id, to a key that does not verify the header tag.",
            || {
                let mut other = Draft::new(1, vec![0, 0]);
                let mut draft = Draft::new(1, vec![0, 0]);
                other.data_key_id = draft.data_key_id;
                draft.slots.push(other.wrap(&keyring(1)));
                Case::record(draft.seal(NOTE))
                    .key(1)
                    .fails("authentication-failed/header")
            },
        ),
        case(
            "record_passphrase_check_flipped",
            "A bit of the passphrase slot's check value.",
            || {
                let mut draft = Draft::new(1, vec![0, 0]).with_passphrase(super::PASSPHRASE);
                draft.slots[0][1 + 2 + 16 + 2 + 12] ^= 1;
                Case::record(draft.seal(NOTE))
                    .passphrase(super::PASSPHRASE)
                    .fails("wrong-passphrase")
            },
        ),
        case(
            "record_passphrase_wrap_flipped",
            "The last bit of the passphrase slot.",
            || {
                let mut draft = Draft::new(1, vec![0, 0]).with_passphrase(super::PASSPHRASE);
                *draft.slots[0].last_mut().unwrap() ^= 1;
                Case::record(draft.seal(NOTE))
                    .passphrase(super::PASSPHRASE)
                    .fails("authentication-failed/wrapped-key")
            },
        ),
    ]
}

fn mixed() -> Vec<Case> {
    let spliced = |headers: &[u8], payloads: &[u8]| {
        let len = |envelope| Header::parse(envelope).unwrap().0.bytes().len();
        let (header, _) = headers.split_at(len(headers));
        let (_, payload) = payloads.split_at(len(payloads));
        Case::record([header, payload].concat())
            .key(1)
            .fails("authentication-failed/record")
    };
    vec![
        case(
            "record_payload_foreign",
            "The payload of another envelope.",
            || {
                let seal = || cipher(1).encrypt(NOTE, &Context::new()).unwrap();
                spliced(&seal(), &seal())
            },
        ),
        case(
            "record_payload_of_the_same_session",
            "The payload of another record under the same data key.",
            || {
                let session = EnvelopeCipher::new(keyring(1))
                    .session(&Context::new())
                    .unwrap();
                let seal = || session.encrypt(NOTE, &Context::new()).unwrap();
                spliced(&seal(), &seal())
            },
        ),
        case(
            "record_payload_of_other_bindings",
            "The payload of a record of one session, under the header of another patient's.",
            || {
                let session = EnvelopeCipher::new(keyring(1))
                    .session(&Context::new())
                    .unwrap();
                let seal = |bindings| session.encrypt(NOTE, &context(&[], bindings)).unwrap();
                let theirs = seal(&[("patient", "MRN-0043")]);
                spliced(&seal(BINDINGS), &theirs).bindings(BINDINGS)
            },
        ),
    ]
}
