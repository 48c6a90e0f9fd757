//! Each single bit flipped, and each length.

use std::ops::Range;

use super::*;

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
        Field::Version => matches!(
            error,
            Error::Malformed(Malformed::Version) | Error::NewerVersion { .. }
        ),
        Field::Kind => matches!(
            error,
            Error::Malformed(
                Malformed::Kind
                    | Malformed::OtherKind { .. }
                    | Malformed::BlockLength
                    | Malformed::Flags
                    | Malformed::LabelsOfOwnFile
            )
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
                    Error::AuthenticationFailed(AuthenticatedPart::WrappedKey)
                )
        }
        Field::DataKeyId | Field::SlotWrapped => matches!(
            error,
            Error::AuthenticationFailed(AuthenticatedPart::WrappedKey)
        ),
        Field::SlotScheme | Field::SlotKeyId => {
            malformed || matches!(error, Error::NoMatchingKey { .. })
        }
        Field::Generation | Field::BindingsTag | Field::Tag | Field::MessageId => matches!(
            error,
            Error::AuthenticationFailed(AuthenticatedPart::Header | AuthenticatedPart::WrappedKey)
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

/// The head of a payload names its header, and is no more than a claim: without it, another's, or one that is cut, nothing opens.
#[test]
fn every_flipped_bit_of_a_payloads_head_and_every_cut_of_it_is_refused() {
    let cipher = cipher(keyring());
    let (header, payload) = seal_detached(&cipher, &sample(STREAM));
    let whole = [&payload_head(&header)[..], &payload].concat();
    let refusal = |bytes: &[u8]| {
        let opened = cipher.decrypt_reader_detached(&header, bytes, &context());
        opened.map(drop).unwrap_err()
    };
    each_flip(&whole, 0..24, |bit, whole| {
        let error = refusal(whole);
        let fits = match bit / 8 {
            0..4 => matches!(error, Error::Malformed(Malformed::NotAPayload)),
            4 => matches!(
                error,
                Error::NewerVersion { .. } | Error::Malformed(Malformed::PayloadHead)
            ),
            5..8 => matches!(error, Error::Malformed(Malformed::PayloadHead)),
            _ => matches!(
                error,
                Error::AuthenticationFailed(AuthenticatedPart::PayloadOfAnotherHeader)
            ),
        };
        assert!(fits, "bit {bit}: {error:?}");
    });
    for len in 0..24 {
        let error = refusal(&whole[..len]);
        assert_same(&error, &Error::Truncated, "cut");
    }
}

/// A flip at this byte of a FLOE message: nothing comes out from its segment on.
fn check_payload_flip((out, end): (Vec<u8>, Result<()>), byte: usize) {
    let error = end.unwrap_err();
    let segments = segment_at(byte);
    let fits = match segments {
        None => matches!(
            error,
            Error::AuthenticationFailed(AuthenticatedPart::StreamHeader)
                | Error::Malformed(Malformed::StreamParameters | Malformed::SegmentLength)
        ),
        // The length word is looked at first.
        Some(at) if (byte - FLOE_HEADER) % SEGMENT < 4 => {
            matches!(
                error,
                Error::Truncated
                    | Error::Malformed(Malformed::TrailingBytes | Malformed::SegmentLengthWord)
            ) || matches!(error, Error::AuthenticationFailed(AuthenticatedPart::Segment(p)) if p == at as u64)
        }
        Some(at) => {
            matches!(error, Error::AuthenticationFailed(AuthenticatedPart::Segment(p)) if p == at as u64)
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
        let at_boundary = len > FLOE_HEADER && (len - FLOE_HEADER).is_multiple_of(SEGMENT);
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
                    // A leading block for other readers, other contexts or later versions stops this one.
                    Err(error) => {
                        let stops = match field {
                            Field::SlotScheme | Field::SlotKeyId => {
                                at == 0 && matches!(error, Error::NoMatchingKey { .. })
                            }
                            Field::Flags => at == 0 && matches!(error, Error::ContextMismatch(_)),
                            Field::Version => matches!(error, Error::NewerVersion { .. }),
                            _ => false,
                        };
                        assert!(stops, "bit {bit}, {field:?}: {error:?}");
                    }
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
