//! Segments put where others were.

use super::*;

/// The parts of a FLOE message.
fn segments(payload: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let (header, body) = payload.split_at(FLOE_HEADER);
    (header, body.chunks(SEGMENT).collect())
}

#[test]
fn segments_swapped_repeated_dropped_or_appended_are_refused() {
    let cipher = cipher(keyring());
    let (header, payload) = seal_detached(&cipher, &sample(STREAM));
    let (floe, parts) = segments(&payload);
    let file = seal_inline(&cipher, &sample(STREAM));
    let (inline_floe, inline_parts) = segments(&file[PAYLOAD..]);
    let check = |order: &[usize], expected: Error, whole: usize| {
        let pick = |floe: &[u8], parts: &[&[u8]]| {
            order
                .iter()
                .fold(floe.to_vec(), |out, at| [&out[..], parts[*at]].concat())
        };
        assert_stops(
            open_detached(&cipher, &header, &pick(floe, &parts)),
            &expected,
            whole,
        );
        let inline = [&file[..PAYLOAD], &pick(inline_floe, &inline_parts)].concat();
        assert_stops(open_inline(&cipher, &inline), &expected, whole);
    };
    check(&[1, 0, 2], segment(0), 0);
    check(&[0, 0, 2], segment(1), 1);
    check(&[0, 0, 1, 2], segment(1), 1);
    check(&[0, 1, 1, 2], segment(2), 2);
    check(&[1, 2], segment(0), 0);
    check(&[0, 2], segment(1), 1);
    check(&[2], segment(0), 0);
    check(&[0, 1, 2, 2], TRAILING_BYTES, 2);
    check(&[0, 1, 2, 0], TRAILING_BYTES, 2);
    check(&[], Error::Truncated, 0);
    check(&[0, 1], Error::Truncated, 2);
    check(&[0], Error::Truncated, 1);
    check(&[0, 2, 1], TRAILING_BYTES, 1);
}

#[test]
fn bytes_after_the_last_segment_are_refused_whether_it_is_short_or_full() {
    let cipher = cipher(keyring());
    for len in [STREAM, 3 * PLAIN] {
        let (header, payload) = seal_detached(&cipher, &sample(len));
        for more in [1, 31, 32, 33, 900, SEGMENT - 932, SEGMENT, 2 * SEGMENT + 40] {
            let longer = [&payload[..], &sample(more)].concat();
            let (out, end) = open_detached(&cipher, &header, &longer);
            assert_same(&end.unwrap_err(), &TRAILING_BYTES, "appended");
            assert!(out == sample(len)[..2 * PLAIN]);
        }
    }
}

#[test]
fn a_segment_made_the_last_by_its_length_word_is_refused() {
    let cipher = cipher(keyring());
    let (header, payload) = seal_detached(&cipher, &sample(STREAM));
    let mut cut = payload[..FLOE_HEADER + 2 * SEGMENT].to_vec();
    cut[FLOE_HEADER + SEGMENT..][..4].copy_from_slice(&4096_u32.to_be_bytes());
    assert_stops(open_detached(&cipher, &header, &cut), &segment(1), 1);

    let (header, payload) = seal_detached(&cipher, &sample(2 * PLAIN));
    let mut longer = [&payload[..], &payload[FLOE_HEADER + SEGMENT..]].concat();
    longer[FLOE_HEADER + SEGMENT..][..4].copy_from_slice(&[0xff; 4]);
    assert_stops(open_detached(&cipher, &header, &longer), &segment(1), 1);
}

#[test]
fn segments_and_headers_of_another_stream_are_refused() {
    let cipher = cipher(keyring());
    let (header, payload) = seal_detached(&cipher, &sample(STREAM));
    let (other_header, other_payload) = seal_detached(&cipher, &sample(STREAM));
    for position in 0..3 {
        let at = FLOE_HEADER + position * SEGMENT;
        let end = payload.len().min(at + SEGMENT);
        let mut mixed = payload.clone();
        mixed[at..end].copy_from_slice(&other_payload[at..end]);
        assert_stops(
            open_detached(&cipher, &header, &mixed),
            &segment(position as u64),
            position,
        );
    }
    let floe_header = [&other_payload[..FLOE_HEADER], &payload[FLOE_HEADER..]].concat();
    assert_stops(
        open_detached(&cipher, &header, &floe_header),
        &STREAM_HEADER,
        0,
    );
    assert_stops(
        open_detached(&cipher, &other_header, &payload),
        &STREAM_HEADER,
        0,
    );

    let file = seal_inline(&cipher, &sample(STREAM));
    let other = seal_inline(&cipher, &sample(STREAM));
    let mixed = [&other[..PAYLOAD], &file[PAYLOAD..]].concat();
    assert_stops(open_inline(&cipher, &mixed), &STREAM_HEADER, 0);
    let one_block = [&file[..BLOCK], &other[BLOCK..PAYLOAD], &file[PAYLOAD..]].concat();
    let reader = cipher.decrypt_reader(&one_block[..], &context()).unwrap();
    assert_eq!(reader.header_damage(), Some(HeaderDamage::Differ)); // of equal generations A
    let one_block = [&other[..BLOCK], &file[BLOCK..]].concat();
    assert_stops(open_inline(&cipher, &one_block), &STREAM_HEADER, 0);
}
