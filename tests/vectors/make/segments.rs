//! Streams whose header or segments someone has changed.

use super::craft::{Draft, Floe};
use super::streams::{FULL, seal_detached};
use super::{Case, NOTE, case, cipher, sample};

/// Bytes of a detached payload before its FLOE message.
const HEAD: usize = 24;
/// Bytes of a detached payload before its first segment.
const START: usize = HEAD + 74;
const SEGMENT: usize = 4096;

pub(super) fn cases() -> Vec<Case> {
    [headers(), parameters(), segments(), lengths()]
        .into_iter()
        .flatten()
        .collect()
}

fn fails(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>, error: &'static str) -> Case {
    Case::detached(header, payload).key(1).fails(error)
}

fn headers() -> Vec<Case> {
    let flip = |at: usize, error| {
        let (header, mut payload) = seal_detached(&cipher(1), 100);
        payload[at] ^= 1;
        fails(header, payload, error)
    };
    vec![
        case(
            "stream_header_foreign",
            "The header of another stream under the same master key.",
            || {
                let (header, _) = seal_detached(&cipher(1), 100);
                let (_, payload) = seal_detached(&cipher(1), 100);
                fails(
                    header,
                    payload,
                    "authentication-failed/payload-of-another-header",
                )
            },
        ),
        case(
            "stream_header_one_byte_more",
            "A byte follows the detached header.",
            || {
                let (mut header, payload) = seal_detached(&cipher(1), 100);
                header.push(0);
                fails(header, payload, "malformed/trailing-bytes")
            },
        ),
        case(
            "stream_header_cut",
            "The detached header without its last byte.",
            || {
                let (mut header, payload) = seal_detached(&cipher(1), 100);
                header.pop();
                fails(header, payload, "truncated")
            },
        ),
        case(
            "stream_payload_iv_flipped",
            "A bit of the payload's 32 random bytes.",
            || flip(HEAD + 10, "authentication-failed/stream-header"),
        ),
        case(
            "stream_payload_tag_flipped",
            "A bit of the payload's header tag.",
            || flip(START - 1, "authentication-failed/stream-header"),
        ),
        case(
            "stream_segment_length_changed",
            "4,096 becomes 4,352, under the old tag.",
            || flip(HEAD + 4, "authentication-failed/stream-header"),
        ),
        case(
            "stream_payload_of_other_aad",
            "The payload under the right key and another AAD.",
            || {
                let draft = Draft::detached();
                let aad = [draft.immutable(), vec![0]].concat();
                let floe = Floe::new(&draft.payload_key(), aad, super::SEGMENT);
                let payload = [draft.payload_head(), floe.message(&[NOTE])].concat();
                fails(
                    draft.header(),
                    payload,
                    "authentication-failed/stream-header",
                )
            },
        ),
    ]
}

fn parameters() -> Vec<Case> {
    let of_length = |length: u32, error| {
        let draft = Draft::detached();
        let floe = Floe::new(&draft.payload_key(), draft.immutable(), length);
        let payload = [draft.payload_head(), floe.message(&[b"BP"])].concat();
        fails(draft.header(), payload, error)
    };
    let of_params = |params: [u8; 10]| {
        let draft = Draft::detached();
        let floe = Floe::of_params(&draft.payload_key(), draft.immutable(), &params);
        let payload = [draft.payload_head(), floe.message(&[b"BP"])].concat();
        fails(draft.header(), payload, "malformed/stream-parameters")
    };
    vec![
        case(
            "stream_of_another_aead",
            "An AEAD that FLOE does not define, under a right tag.",
            || of_params([1, 0, 0, 0, 16, 0, 0, 0, 0, 32]),
        ),
        case(
            "stream_of_another_hash",
            "A hash that FLOE does not define, under a right tag.",
            || of_params([0, 1, 0, 0, 16, 0, 0, 0, 0, 32]),
        ),
        case(
            "stream_of_a_longer_iv",
            "An IV of 33 bytes, under a right tag.",
            || of_params([0, 0, 0, 0, 16, 0, 0, 0, 0, 33]),
        ),
        case(
            "stream_segment_length_of_4095",
            "A segment length one byte too short, under a right tag.",
            || of_length(4095, "malformed/segment-length"),
        ),
        case(
            "stream_segment_length_of_16_mib_and_1",
            "A segment length one byte too long, under a right tag.",
            || of_length(16_777_217, "malformed/segment-length"),
        ),
        case(
            "stream_segment_length_of_0",
            "No segment length, under a right tag.",
            || of_length(0, "malformed/segment-length"),
        ),
    ]
}

fn segments() -> Vec<Case> {
    let order = |segments: usize, positions: &'static [usize], error| {
        let (header, payload) = seal_detached(&cipher(1), (segments - 1) * FULL + 100);
        let (floe, body) = payload.split_at(START);
        let segments: Vec<&[u8]> = body.chunks(SEGMENT).collect();
        let moved = positions.iter().flat_map(|position| segments[*position]);
        let moved: Vec<u8> = floe.iter().chain(moved).copied().collect();
        fails(header, moved, error)
    };
    let flip = |at: usize, error| {
        let (header, mut payload) = seal_detached(&cipher(1), FULL + 100);
        payload[START + at] ^= 1;
        fails(header, payload, error)
    };
    vec![
        case(
            "stream_segments_exchanged",
            "The first two of three segments in the other order.",
            || order(3, &[1, 0, 2], "authentication-failed/segment"),
        ),
        case(
            "stream_first_segment_dropped",
            "The first of three segments is gone.",
            || order(3, &[1, 2], "authentication-failed/segment"),
        ),
        case(
            "stream_middle_segment_dropped",
            "The second of three segments is gone.",
            || order(3, &[0, 2], "authentication-failed/segment"),
        ),
        case(
            "stream_last_segment_missing",
            "Cut where a segment ends.",
            || order(2, &[0], "truncated"),
        ),
        case(
            "stream_segment_repeated",
            "The first of two segments stands there twice.",
            || order(2, &[0, 0, 1], "authentication-failed/segment"),
        ),
        case(
            "stream_last_segment_repeated",
            "The last segment, once more.",
            || order(2, &[0, 1, 1], "malformed/trailing-bytes"),
        ),
        case(
            "stream_segment_foreign",
            "A segment of another stream, in its own place.",
            || {
                let (header, payload) = seal_detached(&cipher(1), FULL + 100);
                let (_, other) = seal_detached(&cipher(1), FULL + 100);
                let (first, _) = payload.split_at(START + SEGMENT);
                let (_, last) = other.split_at(START + SEGMENT);
                fails(
                    header,
                    [first, last].concat(),
                    "authentication-failed/segment",
                )
            },
        ),
        case(
            "stream_segment_of_an_earlier_message",
            "A segment of another message under the same header.",
            || {
                let draft = Draft::detached();
                let earlier = draft.floe().segment(0, true, b"earlier");
                let payload = [draft.payload_head(), draft.floe().header(), earlier].concat();
                fails(draft.header(), payload, "authentication-failed/segment")
            },
        ),
        case(
            "stream_segment_iv_flipped",
            "A bit of the first segment's IV.",
            || flip(4, "authentication-failed/segment"),
        ),
        case(
            "stream_segment_ciphertext_flipped",
            "A bit of the first segment's ciphertext.",
            || flip(16, "authentication-failed/segment"),
        ),
        case(
            "stream_segment_tag_flipped",
            "The last bit of the first segment.",
            || flip(SEGMENT - 1, "authentication-failed/segment"),
        ),
        case(
            "stream_last_segment_flipped",
            "A bit of the last segment's ciphertext.",
            || flip(SEGMENT + 16, "authentication-failed/segment"),
        ),
        case(
            "stream_ends_in_a_segment_that_is_not_last",
            "The only segment says that another follows.",
            || {
                let draft = Draft::detached();
                let floe = draft.floe();
                let segment = floe.segment(0, false, &sample(FULL));
                let payload = [draft.payload_head(), floe.header(), segment].concat();
                fails(draft.header(), payload, "truncated")
            },
        ),
        case(
            "stream_last_segment_sealed_as_another",
            "A last segment's length over a segment that was sealed as not the last.",
            || {
                let draft = Draft::detached();
                let floe = draft.floe();
                let mut segment = floe.segment(0, false, &sample(FULL));
                segment[..4].copy_from_slice(&[0, 0, 16, 0]);
                let payload = [draft.payload_head(), floe.header(), segment].concat();
                fails(draft.header(), payload, "authentication-failed/segment")
            },
        ),
        case(
            "stream_short_segment_before_the_last",
            "A segment of 100 bytes that is not the last, with another behind it.",
            || {
                let draft = Draft::detached();
                let floe = draft.floe();
                let (first, last) = (floe.segment(0, false, b"BP"), floe.segment(1, true, b"120"));
                fails(
                    draft.header(),
                    [draft.payload_head(), floe.header(), first, last].concat(),
                    "truncated",
                )
            },
        ),
    ]
}

fn lengths() -> Vec<Case> {
    let word = |word: u32, error| {
        let (header, mut payload) = seal_detached(&cipher(1), 100);
        payload[START..START + 4].copy_from_slice(&word.to_be_bytes());
        fails(header, payload, error)
    };
    let cut = |len: usize| {
        let (header, payload) = seal_detached(&cipher(1), FULL + 100);
        fails(header, &payload[..len], "truncated")
    };
    vec![
        case(
            "stream_last_length_word_too_long",
            "133 for a last segment of 132 bytes.",
            || word(133, "truncated"),
        ),
        case(
            "stream_last_length_word_too_short",
            "131 for a last segment of 132 bytes.",
            || word(131, "malformed/trailing-bytes"),
        ),
        case(
            "stream_last_length_word_below_32",
            "31 is the length of no segment.",
            || word(31, "malformed/segment-length-word"),
        ),
        case(
            "stream_last_length_word_above_the_segment_length",
            "4,097 is the length of no segment.",
            || word(4097, "malformed/segment-length-word"),
        ),
        case(
            "stream_last_length_word_of_another_segment",
            "0xFFFFFFFF, where nothing follows.",
            || word(u32::MAX, "truncated"),
        ),
        case(
            "stream_one_byte_more",
            "A byte follows the last segment.",
            || {
                let (header, mut payload) = seal_detached(&cipher(1), 100);
                payload.push(0);
                fails(header, payload, "malformed/trailing-bytes")
            },
        ),
        case(
            "stream_one_byte_more_after_a_full_segment",
            "A byte follows a last segment that is full.",
            || {
                let (header, mut payload) = seal_detached(&cipher(1), FULL);
                payload.push(0);
                fails(header, payload, "malformed/trailing-bytes")
            },
        ),
        case(
            "stream_cut_in_its_payload_header",
            "One byte less than stand before the first segment.",
            || cut(START - 1),
        ),
        case(
            "stream_cut_before_its_first_segment",
            "No byte of a segment.",
            || cut(START),
        ),
        case(
            "stream_cut_in_a_segment",
            "Within the first of two segments.",
            || cut(START + 2000),
        ),
        case(
            "stream_cut_in_a_length_word",
            "Within the length of the last segment.",
            || cut(START + 4096 + 3),
        ),
        case(
            "stream_last_byte_missing",
            "Within the last segment.",
            || cut(START + 4096 + 131),
        ),
    ]
}
