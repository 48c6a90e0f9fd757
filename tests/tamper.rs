//! Whoever holds the storage changes it: each single bit, each length, and every part put where another was. Nothing opens,
//! the error names what was wrong, and of a stream nothing comes out from the bad segment on.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test stops where something is not as it says

mod common;

use std::ops::Range;

use common::{
    BLOCK, FLOE_HEADER, Field, OpenBook, PLAIN, RawHeader, RawSlot, SEGMENT, block, context,
    data_key, drain, drain_opened, flipped, keyring, labels, sample, with_digest,
};
use phi_envelope::{
    Authenticated, Context, ContextMismatch, EnvelopeCipher, Error, HeaderDamage, Keyring,
    Malformed, Result, SessionLimits,
};

/// Two full segments and a short one.
const STREAM: usize = 2 * PLAIN + 900;
/// Where the payload of an inline stream begins.
const PAYLOAD: usize = 2 * BLOCK;

const HEADER: Error = Error::AuthenticationFailed(Authenticated::Header);
const WRAPPED_KEY: Error = Error::AuthenticationFailed(Authenticated::WrappedKey);
const RECORD: Error = Error::AuthenticationFailed(Authenticated::Record);
const STREAM_HEADER: Error = Error::AuthenticationFailed(Authenticated::StreamHeader);
const TRAILING_BYTES: Error = Error::Malformed(Malformed::TrailingBytes);
const NO_HEADER_BLOCK: Error = Error::Malformed(Malformed::NoHeaderBlock);

fn segment(position: u64) -> Error {
    Error::AuthenticationFailed(Authenticated::Segment(position))
}

fn cipher(keyring: Keyring) -> EnvelopeCipher {
    let builder = EnvelopeCipher::builder().write_for(keyring);
    builder.segment_length(4096).unwrap().build().unwrap()
}

fn seal_inline(cipher: &EnvelopeCipher, plaintext: &[u8]) -> Vec<u8> {
    let mut out = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
    std::io::Write::write_all(&mut out, plaintext).unwrap();
    out.finish().unwrap()
}

fn seal_detached(cipher: &EnvelopeCipher, plaintext: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (header, mut out) = cipher
        .encrypt_writer_detached(Vec::new(), &context())
        .unwrap();
    std::io::Write::write_all(&mut out, plaintext).unwrap();
    (header, out.finish().unwrap())
}

fn open_inline(cipher: &EnvelopeCipher, bytes: &[u8]) -> (Vec<u8>, Result<()>) {
    drain_opened(cipher.decrypt_reader(bytes, &context()))
}

fn open_detached(cipher: &EnvelopeCipher, header: &[u8], payload: &[u8]) -> (Vec<u8>, Result<()>) {
    drain_opened(cipher.decrypt_reader_detached(header, payload, &context()))
}

/// Equal variants, down to the rule, the tag or the segment.
#[track_caller]
fn assert_same(error: &Error, expected: &Error, what: &str) {
    assert_eq!(format!("{error:?}"), format!("{expected:?}"), "{what}");
}

#[track_caller]
fn assert_record_refused(opened: Result<phi_envelope::Plaintext>, expected: &Error) {
    assert_same(&opened.unwrap_err(), expected, "record");
}

/// Refused with this error after exactly this many whole segments of the plaintext, whose prefix they are.
#[track_caller]
fn assert_stops((out, end): (Vec<u8>, Result<()>), expected: &Error, segments: usize) {
    assert_same(&end.unwrap_err(), expected, "stream");
    assert!(
        out == sample(STREAM)[..segments * PLAIN],
        "{} bytes came out",
        out.len()
    );
}

fn each_flip(bytes: &[u8], range: Range<usize>, mut look: impl FnMut(usize, &[u8])) {
    let mut bytes = bytes.to_vec();
    for bit in 8 * range.start..8 * range.end {
        bytes[bit / 8] ^= 1 << (bit % 8);
        look(bit, &bytes);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

/// What a flip in a field of a header may be refused as. Where the flip moves the fields after it, that is much.
fn fits(field: Field, error: &Error) -> bool {
    let malformed = matches!(error, Error::Malformed(_) | Error::Truncated);
    match field {
        Field::Magic => matches!(error, Error::NotAnEnvelope),
        Field::Version => matches!(error, Error::NotAnEnvelope | Error::NewerVersion { .. }),
        Field::Kind => matches!(
            error,
            Error::Malformed(Malformed::Kind | Malformed::OtherKind | Malformed::BlockLength)
        ),
        Field::Flags | Field::SlotCount | Field::LabelsLength | Field::SlotLength => {
            malformed
                || matches!(
                    error,
                    Error::ContextMismatch(
                        ContextMismatch::BindingsMissing | ContextMismatch::BindingsUnexpected
                    ) | Error::NoMatchingKey { .. }
                )
        }
        Field::BlockLength => matches!(error, Error::Malformed(Malformed::BlockLength)),
        Field::Labels => {
            malformed
                || matches!(
                    error,
                    Error::AuthenticationFailed(Authenticated::WrappedKey)
                )
        }
        Field::DataKeyId | Field::SlotWrapped => matches!(
            error,
            Error::AuthenticationFailed(Authenticated::WrappedKey)
        ),
        Field::SlotScheme | Field::SlotKeyId => {
            malformed || matches!(error, Error::NoMatchingKey { .. })
        }
        Field::Generation | Field::BindingsTag | Field::Tag | Field::MessageId => matches!(
            error,
            Error::AuthenticationFailed(Authenticated::Header | Authenticated::WrappedKey)
        ),
    }
}

fn assert_each_header_flip_fits(header: &[u8], mut open: impl FnMut(&[u8]) -> Error) {
    for (field, range) in RawHeader::parse(header).0.fields() {
        each_flip(header, range, |bit, header| {
            let error = open(header);
            assert!(fits(field, &error), "bit {bit}, {field:?}: {error:?}");
        });
    }
}

/// The segment that holds this byte of a FLOE message, or none for its header.
fn segment_at(byte: usize) -> Option<usize> {
    Some(byte.checked_sub(FLOE_HEADER)? / SEGMENT)
}

#[test]
fn every_flipped_bit_of_a_record_is_refused() {
    let cipher = cipher(keyring());
    let envelope = cipher.encrypt(sample(100), &context()).unwrap();
    let (header, payload) = RawHeader::parse(&envelope);
    assert_eq!(header.with(&payload), envelope);
    assert_each_header_flip_fits(&header.write(), |header| {
        let envelope = [header, &payload].concat();
        let in_place = cipher
            .decrypt_in_place(envelope.clone(), &context())
            .unwrap_err();
        let error = cipher.decrypt(&envelope, &context()).unwrap_err();
        assert_same(&in_place, &error, "in place");
        assert!(cipher.rewrap(&envelope).is_err());
        error
    });
    let payload_at = header.write().len()..envelope.len();
    each_flip(&envelope, payload_at, |_, envelope| {
        assert_record_refused(cipher.decrypt(envelope, &context()), &RECORD);
        assert_record_refused(
            cipher.decrypt_in_place(envelope.to_vec(), &context()),
            &RECORD,
        );
    });
}

#[test]
fn every_flipped_bit_of_a_sessions_record_is_refused() {
    let cipher = cipher(keyring());
    let session = cipher
        .session_within(&labels(), SessionLimits::default())
        .unwrap();
    let envelope = session.encrypt(sample(40), &context()).unwrap();
    let (header, payload) = RawHeader::parse(&envelope);
    assert_eq!(header.message_id.len(), 16);
    assert_each_header_flip_fits(&header.write(), |header| {
        cipher
            .decrypt([header, &payload].concat(), &context())
            .unwrap_err()
    });
}

#[test]
fn every_shortened_or_lengthened_record_is_refused() {
    let cipher = cipher(keyring());
    let envelope = cipher.encrypt(sample(100), &context()).unwrap();
    let header = RawHeader::parse(&envelope).0.write().len();
    assert_record_refused(cipher.decrypt(b"", &context()), &Error::NotAnEnvelope);
    for len in 1..envelope.len() {
        // From a payload of IV and tag on, what is missing is not known to be.
        let expected = if len < header + 28 {
            Error::Truncated
        } else {
            RECORD
        };
        assert_record_refused(cipher.decrypt(&envelope[..len], &context()), &expected);
        assert_record_refused(
            cipher.decrypt_in_place(envelope[..len].to_vec(), &context()),
            &expected,
        );
    }
    for more in 1..64 {
        let longer = [&envelope[..], &sample(more)].concat();
        assert_record_refused(cipher.decrypt(&longer, &context()), &RECORD);
    }
}

#[test]
fn every_flipped_bit_of_a_detached_stream_is_refused() {
    let cipher = cipher(keyring());
    let (header, payload) = seal_detached(&cipher, &sample(STREAM));
    assert_each_header_flip_fits(&header, |header| {
        let (out, end) = open_detached(&cipher, header, &payload);
        assert!(out.is_empty());
        end.unwrap_err()
    });
    each_flip(&payload, 0..payload.len(), |bit, payload| {
        check_payload_flip(open_detached(&cipher, &header, payload), bit / 8);
    });
}

/// A flip at this byte of a FLOE message: nothing comes out from its segment on.
fn check_payload_flip((out, end): (Vec<u8>, Result<()>), byte: usize) {
    let error = end.unwrap_err();
    let segments = segment_at(byte);
    let fits = match segments {
        None => matches!(
            error,
            Error::AuthenticationFailed(Authenticated::StreamHeader)
                | Error::Malformed(Malformed::StreamParameters | Malformed::SegmentLength)
        ),
        // The length word is looked at first.
        Some(at) if (byte - FLOE_HEADER) % SEGMENT < 4 => {
            matches!(
                error,
                Error::Truncated
                    | Error::Malformed(Malformed::TrailingBytes | Malformed::SegmentLengthWord)
            ) || matches!(error, Error::AuthenticationFailed(Authenticated::Segment(p)) if p == at as u64)
        }
        Some(at) => {
            matches!(error, Error::AuthenticationFailed(Authenticated::Segment(p)) if p == at as u64)
        }
    };
    assert!(fits, "byte {byte}: {error:?}");
    let whole = segments.unwrap_or(0) * PLAIN;
    assert!(
        out == sample(STREAM)[..whole],
        "byte {byte}: {} bytes came out",
        out.len()
    );
}

#[test]
fn every_shortened_detached_stream_is_refused() {
    let cipher = cipher(keyring());
    let (header, payload) = seal_detached(&cipher, &sample(STREAM));
    for len in 0..header.len() {
        let expected = if len == 0 {
            Error::NotAnEnvelope
        } else {
            Error::Truncated
        };
        assert_stops(
            open_detached(&cipher, &header[..len], &payload),
            &expected,
            0,
        );
    }
    for len in 0..payload.len() {
        let segments = segment_at(len).map_or(0, |at| at.min(2));
        let at_boundary = len > FLOE_HEADER && (len - FLOE_HEADER) % SEGMENT == 0;
        // A stream that ends with a segment that is not the last gives the segments before it.
        let whole = segments - usize::from(at_boundary);
        let (out, end) = open_detached(&cipher, &header, &payload[..len]);
        assert_same(&end.unwrap_err(), &Error::Truncated, "cut");
        let least = whole * PLAIN;
        let most = segments * PLAIN;
        assert!(
            (least..=most).contains(&out.len()),
            "{len}: {} bytes came out",
            out.len()
        );
        assert!(sample(STREAM).starts_with(&out));
    }
}

#[test]
fn every_flipped_bit_of_an_inline_streams_payload_is_refused() {
    let cipher = cipher(keyring());
    let file = seal_inline(&cipher, &sample(STREAM));
    each_flip(&file, PAYLOAD..file.len(), |bit, file| {
        check_payload_flip(open_inline(&cipher, file), bit / 8 - PAYLOAD);
    });
}

#[test]
fn every_shortened_inline_stream_is_refused() {
    let cipher = cipher(keyring());
    let file = seal_inline(&cipher, &sample(STREAM));
    assert_stops(open_inline(&cipher, b""), &Error::NotAnEnvelope, 0);
    for len in 1..file.len() {
        let (out, end) = open_inline(&cipher, &file[..len]);
        assert_same(
            &end.unwrap_err(),
            &Error::Truncated,
            &format!("cut to {len} bytes"),
        );
        assert!(out.len() <= len.saturating_sub(PAYLOAD) / SEGMENT * PLAIN);
        assert!(sample(STREAM).starts_with(&out));
    }
}

#[test]
fn a_flipped_bit_in_one_header_block_opens_by_the_other_and_is_reported() {
    let cipher = cipher(keyring());
    let plaintext = sample(40);
    let file = seal_inline(&cipher, &plaintext);
    each_flip(&file, 0..PAYLOAD, |bit, file| {
        let expected = if bit / 8 < BLOCK {
            HeaderDamage::FirstBlock
        } else {
            HeaderDamage::SecondBlock
        };
        let reader = cipher.decrypt_reader(file, &context()).unwrap();
        assert_eq!(reader.header_damage(), Some(expected), "bit {bit}");
        let (out, end) = drain(reader.single_threaded());
        end.unwrap();
        assert_eq!(out, plaintext);
    });
    let whole = cipher.decrypt_reader(&file[..], &context()).unwrap();
    assert_eq!(whole.header_damage(), None);
}

/// No block is whole; where the flip lengthened them, the end of one is not there.
fn is_no_block(error: &Error) -> bool {
    matches!(
        error,
        Error::Malformed(Malformed::NoHeaderBlock) | Error::Truncated
    )
}

#[test]
fn the_same_flipped_bit_in_both_header_blocks_is_refused() {
    let cipher = cipher(keyring());
    let file = seal_inline(&cipher, &sample(40));
    let (header, _) = RawHeader::parse(&file);
    let fields = header.fields();
    each_flip(&file, 0..BLOCK, |bit, flipped| {
        let mut file = file.clone();
        file[..BLOCK].copy_from_slice(&flipped[..BLOCK]);
        file[BLOCK..PAYLOAD].copy_from_slice(&flipped[..BLOCK]);
        let (out, end) = open_inline(&cipher, &file);
        let error = end.unwrap_err();
        assert!(out.is_empty());
        let field = fields.iter().find(|(_, range)| range.contains(&(bit / 8)));
        // The digest finds what the header's rules do not.
        let found = is_no_block(&error);
        match field {
            Some((field, _)) => assert!(
                found || fits(*field, &error),
                "bit {bit}, {field:?}: {error:?}"
            ),
            None => assert!(found, "bit {bit}: {error:?}"),
        }
    });
}

#[test]
fn a_flipped_bit_behind_a_right_digest_opens_by_the_other_block_or_not_at_all() {
    let cipher = cipher(keyring());
    let file = seal_inline(&cipher, &sample(40));
    let (header, _) = RawHeader::parse(&file);
    for (field, range) in header.fields() {
        each_flip(&file, range, |bit, flipped| {
            let forged = with_digest(flipped[..BLOCK - 8].to_vec());
            for (at, damaged) in [
                (0, HeaderDamage::FirstBlock),
                (BLOCK, HeaderDamage::SecondBlock),
            ] {
                let mut one = file.clone();
                one[at..at + BLOCK].copy_from_slice(&forged);
                match cipher.decrypt_reader(&one[..], &context()) {
                    Ok(reader) => {
                        // Block A leads where the generations are equal, and then B is not looked at.
                        let differ =
                            at == BLOCK && reader.header_damage() == Some(HeaderDamage::Differ);
                        assert!(
                            differ || reader.header_damage() == Some(damaged),
                            "bit {bit}"
                        );
                        assert_eq!(drain(reader).0, sample(40));
                    }
                    // A leading block for other readers stops this one.
                    Err(error) => assert!(
                        at == 0
                            && matches!(field, Field::SlotScheme | Field::SlotKeyId)
                            && matches!(error, Error::NoMatchingKey { .. }),
                        "bit {bit}, {field:?}: {error:?}"
                    ),
                }
            }
            let mut both = file.clone();
            both[..BLOCK].copy_from_slice(&forged);
            both[BLOCK..PAYLOAD].copy_from_slice(&forged);
            let (out, end) = open_inline(&cipher, &both);
            let error = end.unwrap_err();
            assert!(out.is_empty());
            let unparsed = is_no_block(&error);
            assert!(
                unparsed || fits(field, &error),
                "bit {bit}, {field:?}: {error:?}"
            );
        });
    }
}

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
    check(&[0, 1], Error::Truncated, 1);
    check(&[0], Error::Truncated, 0);
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

#[test]
fn the_header_of_another_record_is_refused() {
    let cipher = cipher(keyring());
    let [one, other] = [1, 2].map(|_| cipher.encrypt(sample(50), &context()).unwrap());
    let (header, _) = RawHeader::parse(&other);
    let (_, payload) = RawHeader::parse(&one);
    assert_record_refused(cipher.decrypt(header.with(&payload), &context()), &RECORD);
}

#[test]
fn the_parts_of_two_envelopes_of_one_session_do_not_mix() {
    let cipher = cipher(keyring());
    let session = cipher.session(&labels()).unwrap();
    let [one, other] = [1, 2].map(|_| session.encrypt(sample(50), &context()).unwrap());
    let (one_header, one_payload) = RawHeader::parse(&one);
    let (other_header, other_payload) = RawHeader::parse(&other);
    assert_eq!(one_header.data_key_id, other_header.data_key_id);
    assert_eq!(one_header.slots, other_header.slots);
    for mixed in [
        one_header.with(&other_payload),
        other_header.with(&one_payload),
    ] {
        assert_record_refused(cipher.decrypt(mixed, &context()), &RECORD);
    }
    let mut renamed = one_header.clone();
    renamed.message_id = other_header.message_id.clone();
    assert_record_refused(
        cipher.decrypt(renamed.with(&one_payload), &context()),
        &HEADER,
    );
    let mut rebound = one_header;
    rebound.bindings_tag = other_header.bindings_tag;
    assert_record_refused(
        cipher.decrypt(rebound.with(&one_payload), &context()),
        &HEADER,
    );
}

#[test]
fn the_parts_of_a_session_and_of_bindings_elsewhere_do_not_mix() {
    let cipher = cipher(keyring());
    let session = cipher.session(&labels()).unwrap();
    let patient = |mrn| Context::new().bind("patient", mrn).unwrap();
    let one = session.encrypt("one", &patient("1")).unwrap();
    let other = session.encrypt("other", &patient("2")).unwrap();
    let differ = Error::ContextMismatch(ContextMismatch::BindingsDiffer);
    assert_record_refused(cipher.decrypt(&other, &patient("1")), &differ);
    let (header, _) = RawHeader::parse(&one);
    let (_, payload) = RawHeader::parse(&other);
    assert_record_refused(
        cipher.decrypt(header.with(&payload), &patient("1")),
        &RECORD,
    );
}

/// The ways to change a header, each with the error that it is to give.
fn header_changes(header: &RawHeader, other: &RawHeader) -> Vec<(&'static str, RawHeader, Error)> {
    let changed = |change: &dyn Fn(&mut RawHeader)| {
        let mut header = header.clone();
        change(&mut header);
        header
    };
    vec![
        (
            "first slot stripped",
            changed(&|h| drop(h.slots.remove(0))),
            HEADER,
        ),
        (
            "second slot stripped",
            changed(&|h| drop(h.slots.pop())),
            HEADER,
        ),
        (
            "slots in another order",
            changed(&|h| h.slots.reverse()),
            HEADER,
        ),
        (
            "a slot of another envelope added",
            changed(&|h| {
                h.slots
                    .push(RawSlot::new(0x01, &[9; 16], &other.slots[0].wrapped))
            }),
            HEADER,
        ),
        (
            "a slot of an unknown scheme added",
            changed(&|h| h.slots.push(RawSlot::new(0x77, b"id", b"wrapped"))),
            HEADER,
        ),
        (
            "the first slot of another envelope",
            changed(&|h| h.slots[0] = other.slots[0].clone()),
            WRAPPED_KEY,
        ),
        (
            "all slots of another envelope",
            changed(&|h| h.slots = other.slots.clone()),
            WRAPPED_KEY,
        ),
        (
            "the data key id of another envelope",
            changed(&|h| h.data_key_id = other.data_key_id),
            WRAPPED_KEY,
        ),
        (
            "all slots and the data key id of another envelope",
            changed(&|h| {
                h.slots = other.slots.clone();
                h.data_key_id = other.data_key_id;
            }),
            HEADER,
        ),
        (
            "a label's value changed",
            changed(&|h| *h.labels.last_mut().unwrap() = b'8'),
            WRAPPED_KEY,
        ),
        ("labels gone", changed(&|h| h.labels.clear()), WRAPPED_KEY),
        (
            "a label added",
            changed(&|h| h.labels.extend(common::pair(b"zone", b"eu"))),
            WRAPPED_KEY,
        ),
        (
            "generation put back",
            changed(&|h| h.generation -= 1),
            HEADER,
        ),
        (
            "generation raised",
            changed(&|h| h.generation = u32::MAX),
            HEADER,
        ),
        (
            "the bindings tag of another envelope",
            changed(&|h| h.bindings_tag = other.bindings_tag.clone()),
            HEADER,
        ),
        (
            "the bindings tag zero",
            changed(&|h| h.bindings_tag = vec![0; 32]),
            HEADER,
        ),
        (
            "a message id added",
            changed(&|h| {
                h.flags |= 2;
                h.message_id = h.data_key_id.to_vec();
            }),
            HEADER,
        ),
        (
            "the tag of another envelope",
            changed(&|h| h.tag = other.tag),
            HEADER,
        ),
    ]
}

/// Of two recipients, once rewrapped.
fn two_recipients(keyring: &Keyring) -> EnvelopeCipher {
    let builder = EnvelopeCipher::builder()
        .write_for(keyring.clone())
        .write_for(common::keyring());
    builder.segment_length(4096).unwrap().build().unwrap()
}

#[test]
fn every_field_of_a_records_header_is_authenticated() {
    let ring = keyring();
    let cipher = two_recipients(&ring);
    let sealed = [1, 2].map(|_| cipher.encrypt(sample(50), &context()).unwrap());
    ring.rotate("next").unwrap();
    let [(header, payload), (other, _)] =
        sealed.map(|e| RawHeader::parse(&cipher.rewrap(e).unwrap()));
    assert_eq!(header.generation, 1);
    cipher.decrypt(header.with(&payload), &context()).unwrap();
    for (what, changed, expected) in header_changes(&header, &other) {
        let error = cipher
            .decrypt(changed.with(&payload), &context())
            .unwrap_err();
        assert_same(&error, &expected, what);
        assert_same(
            &cipher.rewrap(changed.with(&payload)).unwrap_err(),
            &expected,
            what,
        );
    }
    let mut unbound = header.clone();
    unbound.flags = 0;
    unbound.bindings_tag.clear();
    assert_record_refused(cipher.decrypt(unbound.with(&payload), &labels()), &HEADER);
    let missing = Error::ContextMismatch(ContextMismatch::BindingsUnexpected);
    assert_record_refused(cipher.decrypt(unbound.with(&payload), &context()), &missing);
}

#[test]
fn every_field_of_a_streams_header_is_authenticated() {
    let ring = keyring();
    let cipher = two_recipients(&ring);
    let sealed = [1, 2].map(|_| seal_detached(&cipher, &sample(STREAM)));
    ring.rotate("next").unwrap();
    let [(header, payload), (other, _)] = sealed
        .map(|(header, payload)| (RawHeader::parse(&cipher.rewrap(header).unwrap()).0, payload));
    open_detached(&cipher, &header.write(), &payload).1.unwrap();
    for (what, changed, expected) in header_changes(&header, &other) {
        let (out, end) = open_detached(&cipher, &changed.write(), &payload);
        assert!(out.is_empty());
        assert_same(&end.unwrap_err(), &expected, what);
    }
}

#[test]
fn every_field_of_both_header_blocks_is_authenticated() {
    let builder = EnvelopeCipher::builder()
        .write_for(keyring())
        .write_for(OpenBook::new("book"));
    let cipher = builder.segment_length(4096).unwrap().build().unwrap();
    let file = seal_inline(&cipher, &sample(STREAM));
    let twice =
        |header: &RawHeader| [&header.block()[..], &header.block(), &file[PAYLOAD..]].concat();

    let [header, other] = [&file, &seal_inline(&cipher, &sample(STREAM))].map(|file| {
        let (mut header, _) = RawHeader::parse(file);
        header.generation = 1;
        let key = data_key(&header);
        header.sealed(&key)
    });
    open_inline(&cipher, &twice(&header)).1.unwrap();
    for (what, changed, expected) in header_changes(&header, &other) {
        let (out, end) = open_inline(&cipher, &twice(&changed));
        assert!(out.is_empty());
        assert_same(&end.unwrap_err(), &expected, what);
    }
}

#[test]
fn another_kind_or_block_length_is_refused_behind_right_digests() {
    let cipher = cipher(keyring());
    let file = seal_inline(&cipher, &sample(STREAM));
    let (header, _) = RawHeader::parse(&file);
    let payload = &file[PAYLOAD..];

    for block_length in [8192, 65_536] {
        let longer = RawHeader {
            block_length,
            ..header.clone()
        }
        .block();
        let file = [&longer[..], &longer, payload].concat();
        assert_stops(open_inline(&cipher, &file), &HEADER, 0);
    }
    let detached = RawHeader {
        kind: 3,
        block_length: 0,
        ..header.clone()
    };
    assert_stops(
        open_detached(&cipher, &detached.write(), payload),
        &HEADER,
        0,
    );
    let record = RawHeader {
        kind: 1,
        block_length: 0,
        ..header
    };
    assert_record_refused(cipher.decrypt(record.with(payload), &context()), &HEADER);

    let (header, payload) = seal_detached(&cipher, &sample(STREAM));
    let (header, _) = RawHeader::parse(&header);
    let inline = RawHeader {
        kind: 2,
        block_length: 4096,
        ..header.clone()
    }
    .block();
    assert_stops(
        open_inline(&cipher, &[&inline[..], &inline, &payload].concat()),
        &HEADER,
        0,
    );
    let record = RawHeader { kind: 1, ..header };
    assert_record_refused(cipher.decrypt(record.with(&payload), &context()), &HEADER);

    let envelope = cipher.encrypt(sample(4000), &context()).unwrap();
    let (header, payload) = RawHeader::parse(&envelope);
    let detached = RawHeader {
        kind: 3,
        ..header.clone()
    };
    assert_stops(
        open_detached(&cipher, &detached.write(), &payload),
        &HEADER,
        0,
    );
    let inline = RawHeader {
        kind: 2,
        block_length: 4096,
        ..header
    }
    .block();
    assert_stops(
        open_inline(&cipher, &[&inline[..], &inline, &payload].concat()),
        &HEADER,
        0,
    );
}

#[test]
fn padding_and_digest_are_checked_in_both_blocks() {
    let cipher = cipher(keyring());
    let file = seal_inline(&cipher, &sample(STREAM));
    let (header, _) = RawHeader::parse(&file);
    let mut padded = block(&header.write(), BLOCK);
    padded.truncate(BLOCK - 8);
    padded[BLOCK - 9] = 1;
    let padded = with_digest(padded);
    let undigested = flipped(&file[..BLOCK], 8 * BLOCK - 1);
    for bad in [padded, undigested] {
        let one = [&bad[..], &file[BLOCK..]].concat();
        let reader = cipher.decrypt_reader(&one[..], &context()).unwrap();
        assert_eq!(reader.header_damage(), Some(HeaderDamage::FirstBlock));
        let both = [&bad[..], &bad, &file[PAYLOAD..]].concat();
        assert_stops(open_inline(&cipher, &both), &NO_HEADER_BLOCK, 0);
    }
}

#[test]
fn the_payload_is_bound_to_its_kind_even_for_a_key_holder() {
    let book = OpenBook::new("book");
    let cipher = EnvelopeCipher::builder()
        .write_for(book)
        .segment_length(4096)
        .unwrap();
    let cipher = cipher.build().unwrap();
    let (header, payload) = seal_detached(&cipher, &sample(STREAM));
    let (header, _) = RawHeader::parse(&header);
    let key = data_key(&header);
    let record = RawHeader {
        kind: 1,
        ..header.clone()
    }
    .sealed(&key);
    assert_record_refused(cipher.decrypt(record.with(&payload), &context()), &RECORD);
    let mut relabelled = header;
    *relabelled.labels.last_mut().unwrap() = b'8';
    let relabelled = relabelled.sealed(&key).write();
    let opened = cipher.decrypt_reader_detached(&relabelled, &payload[..], &bindings());
    assert_stops(drain_opened(opened), &STREAM_HEADER, 0);

    let envelope = cipher.encrypt(sample(50), &context()).unwrap();
    let (header, payload) = RawHeader::parse(&envelope);
    let key = data_key(&header);
    let stream = RawHeader { kind: 3, ..header }.sealed(&key);
    let long = [&payload[..], &sample(100)].concat();
    let (out, end) = open_detached(&cipher, &stream.write(), &long);
    assert!(out.is_empty() && matches!(end, Err(Error::Malformed(_))));
}

/// The bindings of [`context`] alone.
fn bindings() -> Context {
    Context::new()
        .bind("patient", "MRN-0042")
        .unwrap()
        .bind("record", "77")
        .unwrap()
}

#[test]
fn another_context_opens_nothing_and_wrong_presence_asks_no_provider() {
    let book = OpenBook::new("book");
    let cipher = EnvelopeCipher::builder()
        .write_for(book.clone())
        .segment_length(4096)
        .unwrap();
    let cipher = cipher.build().unwrap();
    let bound = cipher.encrypt("note", &context()).unwrap();
    let unbound = cipher.encrypt("note", &labels()).unwrap();
    let file = seal_inline(&cipher, &sample(STREAM));
    let (header, payload) = seal_detached(&cipher, &sample(STREAM));

    let differ = [
        (
            "one value differs",
            labels()
                .bind("patient", "MRN-0042")
                .unwrap()
                .bind("record", "78")
                .unwrap(),
        ),
        (
            "one is missing",
            labels().bind("patient", "MRN-0042").unwrap(),
        ),
        ("one is more", context().bind("ward", "7").unwrap()),
        (
            "keys and values moved",
            labels()
                .bind("patien", "tMRN-0042")
                .unwrap()
                .bind("record", "77")
                .unwrap(),
        ),
        (
            "values exchanged",
            labels()
                .bind("patient", "77")
                .unwrap()
                .bind("record", "MRN-0042")
                .unwrap(),
        ),
        (
            "in upper case",
            labels()
                .bind("Patient", "MRN-0042")
                .unwrap()
                .bind("record", "77")
                .unwrap(),
        ),
    ];
    for (what, context) in &differ {
        check_everywhere(
            &cipher,
            (&bound, &file, (&header, &payload)),
            context,
            ContextMismatch::BindingsDiffer,
            what,
        );
    }
    let labels_differ = [
        (
            "another value",
            bindings().label("tenant", "clinic-8").unwrap(),
        ),
        (
            "a label that is not there",
            bindings().label("ward", "7").unwrap(),
        ),
        (
            "one right and one wrong",
            bindings()
                .label("tenant", "clinic-7")
                .unwrap()
                .label("system", "lab")
                .unwrap(),
        ),
    ];
    for (what, context) in &labels_differ {
        check_everywhere(
            &cipher,
            (&bound, &file, (&header, &payload)),
            context,
            ContextMismatch::LabelsDiffer,
            what,
        );
    }
    let asked = book.unwraps();
    check_everywhere(
        &cipher,
        (&bound, &file, (&header, &payload)),
        &labels(),
        ContextMismatch::BindingsMissing,
        "none",
    );
    let unexpected = Error::ContextMismatch(ContextMismatch::BindingsUnexpected);
    assert_record_refused(cipher.decrypt(&unbound, &context()), &unexpected);
    assert_eq!(book.unwraps(), asked);

    cipher.decrypt(&bound, &bindings()).unwrap(); // labels that are not presented are not compared
    cipher.decrypt(&unbound, &Context::new()).unwrap();
}

fn check_everywhere(
    cipher: &EnvelopeCipher,
    (record, file, (header, payload)): (&[u8], &[u8], (&[u8], &[u8])),
    context: &Context,
    expected: ContextMismatch,
    what: &str,
) {
    let expected = Error::ContextMismatch(expected);
    assert_same(
        &cipher.decrypt(record, context).unwrap_err(),
        &expected,
        what,
    );
    let streams = [
        drain_opened(cipher.decrypt_reader(file, context)),
        drain_opened(cipher.decrypt_reader_detached(header, payload, context)),
    ];
    for (out, end) in streams {
        assert!(out.is_empty());
        assert_same(&end.unwrap_err(), &expected, what);
    }
}
