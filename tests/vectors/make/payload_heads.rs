//! The head of a detached payload, which names its header (FORMAT §2).

use super::craft::Draft;
use super::{Case, NOTE, case};

pub(super) fn cases() -> Vec<Case> {
    let set = |at: usize, byte: u8, error| {
        let draft = Draft::detached();
        let mut payload = draft.payload(&[NOTE]);
        payload[at] = byte;
        Case::detached(draft.header(), payload).key(1).fails(error)
    };
    let cut = |len: usize, error| {
        let draft = Draft::detached();
        Case::detached(draft.header(), &draft.payload(&[NOTE])[..len])
            .key(1)
            .fails(error)
    };
    vec![
        case(
            "stream_detached_with_a_message_id",
            "The payload's head states the message id, and not the data key id.",
            || {
                let mut draft = Draft::detached();
                draft.message_id = Some([0x4D; 16]);
                Case::detached(draft.header(), draft.payload(&[NOTE]))
                    .key(1)
                    .opens(NOTE)
            },
        ),
        case(
            "stream_payload_head_with_the_data_key_id",
            "The header has a message id, and the payload's head states the data key id.",
            || {
                let mut draft = Draft::detached();
                draft.message_id = Some([0x4D; 16]);
                let mut payload = draft.payload(&[NOTE]);
                payload[8..24].copy_from_slice(&draft.data_key_id);
                Case::detached(draft.header(), payload)
                    .key(1)
                    .fails("authentication-failed/payload-of-another-header")
            },
        ),
        case(
            "stream_payload_head_of_another_header",
            "A bit of the id. The reader has no key, and need not have one to see it.",
            || {
                let draft = Draft::detached();
                let mut payload = draft.payload(&[NOTE]);
                payload[23] ^= 1;
                Case::detached(draft.header(), payload)
                    .key(2)
                    .fails("authentication-failed/payload-of-another-header")
            },
        ),
        case(
            "stream_payload_head_of_another_magic",
            "No payload.",
            || set(3, b'p', "malformed/not-a-payload"),
        ),
        case(
            "stream_payload_head_of_version_0",
            "There never was a version 0.",
            || set(4, 0, "malformed/payload-head"),
        ),
        case(
            "stream_payload_head_of_version_2",
            "A later version.",
            || set(4, 2, "newer-version"),
        ),
        case(
            "stream_payload_head_of_another_kind",
            "Byte 5 is 2.",
            || set(5, 2, "malformed/payload-head"),
        ),
        case("stream_payload_head_byte_6", "Byte 6 is 1.", || {
            set(6, 1, "malformed/payload-head")
        }),
        case("stream_payload_head_byte_7", "Byte 7 is 128.", || {
            set(7, 128, "malformed/payload-head")
        }),
        case(
            "stream_payload_head_missing",
            "The FLOE message alone.",
            || {
                let draft = Draft::detached();
                Case::detached(draft.header(), draft.floe().message(&[NOTE]))
                    .key(1)
                    .fails("malformed/not-a-payload")
            },
        ),
        case(
            "stream_payload_head_twice",
            "A head behind the head.",
            || {
                let draft = Draft::detached();
                let payload = [draft.payload_head(), draft.payload(&[NOTE])].concat();
                Case::detached(draft.header(), payload)
                    .key(1)
                    .fails("malformed/stream-parameters")
            },
        ),
        case("stream_without_payload", "No bytes.", || {
            cut(0, "truncated")
        }),
        case("stream_payload_cut_in_its_magic", "Three bytes.", || {
            cut(3, "truncated")
        }),
        case("stream_payload_cut_in_its_head", "23 bytes.", || {
            cut(23, "truncated")
        }),
        case("stream_payload_of_a_head_alone", "24 bytes.", || {
            cut(24, "truncated")
        }),
        case(
            "stream_inline_that_is_a_payload",
            "A detached payload, opened as a stream: no header is sought in it.",
            || {
                let draft = Draft::new(2, vec![0, 0]).with_master(1);
                let blocks = [draft.payload_head(), vec![0; 4096 - 24], draft.block()];
                let payload = draft.floe().message(&[NOTE]);
                Case::inline([blocks.concat(), payload].concat())
                    .key(1)
                    .fails("not-an-envelope")
            },
        ),
        case(
            "stream_inline_that_is_a_compact_record",
            "The head of a compact record, and a whole block behind it: none is sought.",
            || {
                let draft = Draft::new(2, vec![0, 0]).with_master(1);
                let head = [&b"PHIE\x01\x0B"[..], &[0; 4090]].concat();
                let payload = draft.floe().message(&[NOTE]);
                Case::inline([head, draft.block(), payload].concat())
                    .key(1)
                    .fails("malformed/kind")
            },
        ),
        case(
            "stream_inline_behind_a_record",
            "The head of a record, and a whole block behind it: none is sought.",
            || {
                let record = Draft::record().seal(&[0; 4096]);
                let draft = Draft::new(2, vec![0, 0]).with_master(1);
                let payload = draft.floe().message(&[NOTE]);
                Case::inline([&record[..4096], &draft.block(), &payload].concat())
                    .key(1)
                    .fails("malformed/other-kind")
            },
        ),
    ]
}
