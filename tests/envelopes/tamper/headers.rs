//! Headers changed, and put where others were.

use super::*;

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
            changed(&|h| h.labels.extend(crate::common::pair(b"zone", b"eu"))),
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
        .encrypt_for(keyring.clone())
        .encrypt_for(crate::common::keyring());
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
        .encrypt_for(keyring())
        .encrypt_for(OpenBook::new("book"));
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
        .encrypt_for(book)
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
    let whole = [&payload_head(&relabelled)[..], &payload].concat();
    let opened = cipher.decrypt_reader_detached(&relabelled, &whole[..], &bindings());
    assert_stops(drain_opened(opened), &STREAM_HEADER, 0);

    let envelope = cipher.encrypt(sample(50), &context()).unwrap();
    let (header, payload) = RawHeader::parse(&envelope);
    let key = data_key(&header);
    let stream = RawHeader { kind: 3, ..header }.sealed(&key);
    let long = [&payload[..], &sample(100)].concat();
    let (out, end) = open_detached(&cipher, &stream.write(), &long);
    assert!(out.is_empty() && matches!(end, Err(Error::Malformed(_))));
}
