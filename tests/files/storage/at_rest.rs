//! Valid parts exchanged, cut off or added, before anyone reads.

use super::*;

/// Two of everything, sealed under one key for two records of one patient.
struct World {
    keyring: Keyring,
    rows: [Vec<u8>; 2],
    files: [Vec<u8>; 2],
    /// Headers and payloads.
    detached: [(Vec<u8>, Vec<u8>); 2],
}

const RECORDS: [&str; 2] = ["77", "78"];

fn row(number: usize) -> Vec<u8> {
    format!("observation {number}").into_bytes()
}

fn file(number: usize) -> Vec<u8> {
    [sample(STREAM), other_sample(STREAM)][number].clone()
}

impl World {
    fn new() -> Self {
        let keyring = keyring();
        let cipher = cipher(&keyring);
        let contexts = RECORDS.map(of);
        Self {
            rows: [0, 1].map(|it| cipher.encrypt(row(it), &contexts[it]).unwrap()),
            files: [0, 1].map(|it| seal_inline(&cipher, &file(it), &contexts[it])),
            detached: [0, 1].map(|it| seal_detached(&cipher, &file(it), &contexts[it])),
            keyring,
        }
    }

    /// Whoever wants the first row gets these bytes.
    fn row(&self, bytes: &[u8]) -> ways::Outcomes {
        ways::record(&self.keyring, bytes, &of(RECORDS[0]), &row(0))
    }

    fn file(&self, bytes: &[u8]) -> ways::Outcomes {
        ways::stream(&self.keyring, None, bytes, &of(RECORDS[0]), &file(0))
    }

    fn detached(&self, header: &[u8], payload: &[u8]) -> ways::Outcomes {
        let context = of(RECORDS[0]);
        ways::stream(&self.keyring, Some(header), payload, &context, &file(0))
    }
}

#[test]
fn every_way_reads_what_nobody_touched() {
    let world = World::new();
    assert_opened(world.row(&world.rows[0]), "row");
    assert_opened(world.file(&world.files[0]), "file");
    let (header, payload) = &world.detached[0];
    assert_opened(world.detached(header, payload), "detached");
}

#[test]
fn two_valid_rows_exchanged_do_not_open_in_each_others_place() {
    let world = World::new();
    assert_refused(world.row(&world.rows[1]), &[BINDINGS_DIFFER], "row");
}

#[test]
fn two_valid_files_exchanged_do_not_open_in_each_others_place() {
    let world = World::new();
    assert_refused(world.file(&world.files[1]), &[BINDINGS_DIFFER], "file");
    let (header, payload) = &world.detached[1];
    let outcomes = world.detached(header, payload);
    assert_refused(outcomes, &[BINDINGS_DIFFER], "detached");
}

#[test]
fn what_was_moved_from_another_tenant_is_refused() {
    let world = World::new();
    let cipher = cipher(&world.keyring);
    let far = in_tenant("clinic-8", RECORDS[0]);
    let moved = cipher.encrypt(row(0), &far).unwrap();
    assert_refused(world.row(&moved), &[LABELS_DIFFER], "row");
    let moved = seal_inline(&cipher, &file(0), &far);
    assert_refused(world.file(&moved), &[LABELS_DIFFER], "file");
    let (header, payload) = seal_detached(&cipher, &file(0), &far);
    let outcomes = world.detached(&header, &payload);
    assert_refused(outcomes, &[LABELS_DIFFER], "detached");
}

/// Whoever may move files between folders has no recipient added to another tenant's: the call itself refuses and writes nothing.
#[test]
fn a_recipient_is_not_added_to_what_was_moved_from_another_tenant() {
    let world = World::new();
    let cipher = cipher(&world.keyring);
    let far = in_tenant("clinic-8", RECORDS[0]);
    let (expected, friend) = (labels("clinic-7"), keyring());
    let row = cipher.encrypt(row(0), &far).unwrap();
    let (header, _) = seal_detached(&cipher, &file(0), &far);
    let file = seal_inline(&cipher, &file(0), &far);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moved");
    let refused = |outcome: Result<()>| {
        assert_eq!(kind(&outcome.unwrap_err()), kind(&LABELS_DIFFER));
    };
    for bytes in [&row, &header] {
        refused(cipher.add_recipient(bytes, &friend, &expected).map(drop));
        let replaced = cipher.replace_recipient(bytes, &world.keyring, &friend, &expected);
        refused(replaced.map(drop));
    }
    for bytes in [&row, &header, &file] {
        std::fs::write(&path, bytes).unwrap();
        let added = phi_envelope::files::add_recipient(&cipher, &path, &friend, &expected);
        refused(added.map(drop));
        let keyring = &world.keyring;
        let replaced =
            phi_envelope::files::replace_recipient(&cipher, &path, keyring, &friend, &expected);
        refused(replaced.map(drop));
        assert_eq!(&std::fs::read(&path).unwrap(), bytes);
    }
    let fresh = phi_envelope::files::FileOptions::new();
    let context = in_tenant("clinic-7", RECORDS[0]);
    refused(phi_envelope::files::reencrypt(&cipher, &path, &context, fresh).map(drop));
    refused(cipher.reencrypt(&row, &context).map(drop));
}

#[test]
fn a_stream_is_no_row_and_a_row_no_stream() {
    let world = World::new();
    let other_kind = [
        phi_envelope::header::EnvelopeKind::StreamInline,
        phi_envelope::header::EnvelopeKind::StreamDetached,
    ]
    .map(|found| {
        let wanted = phi_envelope::header::EnvelopeKind::Record;
        Error::Malformed(Malformed::OtherKind { found, wanted })
    });
    let (header, payload) = &world.detached[0];
    let whole = [&header[..], payload].concat();
    for stream in [&world.files[0], &whole] {
        let mut outcomes = world.row(stream);
        // Those that change a header alone take a detached one, or a file of any kind, and what comes out is no record either.
        outcomes.retain(|(way, _)| !way.contains("rewrap") && !way.contains("recipient"));
        assert_refused(outcomes, &other_kind, "row");
    }
    let mut outcomes = world.file(&world.rows[0]);
    outcomes.extend(world.detached(&world.rows[0], payload));
    let other_kind = [
        phi_envelope::header::EnvelopeKind::StreamDetached,
        phi_envelope::header::EnvelopeKind::StreamInline,
    ]
    .map(|wanted| {
        let found = phi_envelope::header::EnvelopeKind::Record;
        Error::Malformed(Malformed::OtherKind { found, wanted })
    });
    assert_refused(outcomes, &other_kind, "stream");
}

#[test]
fn headers_of_one_key_exchanged_open_no_payload() {
    let world = World::new();
    let swap = |header: &[u8], payload: &[u8]| {
        let (header, _) = RawHeader::parse(header);
        header.with(&RawHeader::parse(payload).1)
    };
    // The first row's header on the second's payload, and the other way round.
    let [first, second] = &world.rows;
    assert_refused(world.row(&swap(first, second)), &[RECORD], "row");
    assert_refused(world.row(&swap(second, first)), &[BINDINGS_DIFFER], "row");

    let [first, second] = &world.files;
    let mixed = |head: &[u8], body: &[u8]| [&head[..PAYLOAD], &body[PAYLOAD..]].concat();
    let outcomes = world.file(&mixed(first, second));
    assert_refused(outcomes, &[STREAM_HEADER], "file");
    let outcomes = world.file(&mixed(second, first));
    assert_refused(outcomes, &[BINDINGS_DIFFER], "file");
    // One block of each: of equal generations the first is current.
    let blocks = |a: &[u8], b: &[u8], body: &[u8]| {
        [&a[..BLOCK], &b[BLOCK..PAYLOAD], &body[PAYLOAD..]].concat()
    };
    let outcomes = world.file(&blocks(first, second, first));
    assert_opened(outcomes, "file with another's second block");
    let outcomes = world.file(&blocks(second, first, first));
    assert_refused(outcomes, &[BINDINGS_DIFFER], "file");

    let [first, second] = &world.detached;
    let outcomes = world.detached(&first.0, &second.1);
    assert_refused(outcomes, &[OTHER_PAYLOAD], "detached");
    let outcomes = world.detached(&second.0, &first.1);
    assert_refused(outcomes, &[OTHER_PAYLOAD], "detached");
    // The head of a payload is a claim: with the header's own in front, the payload is refused all the same.
    let claimed = |own: &[u8], body: &[u8]| [&own[..PAYLOAD_HEAD], &body[PAYLOAD_HEAD..]].concat();
    let outcomes = world.detached(&first.0, &claimed(&first.1, &second.1));
    assert_refused(outcomes, &[STREAM_HEADER], "detached");
    let outcomes = world.detached(&second.0, &claimed(&second.1, &first.1));
    assert_refused(outcomes, &[BINDINGS_DIFFER], "detached");
}

#[test]
fn rows_of_one_session_do_not_lend_each_other_a_part() {
    let world = World::new();
    let session = cipher(&world.keyring).session(&labels("clinic-7")).unwrap();
    let rows = [0, 1].map(|it| session.encrypt(row(it), &of(RECORDS[it])).unwrap());
    assert_opened(world.row(&rows[0]), "row");
    assert_refused(world.row(&rows[1]), &[BINDINGS_DIFFER], "row");
    let parts = rows.each_ref().map(|row| RawHeader::parse(row));
    let payload = parts[0].0.with(&parts[1].1);
    assert_refused(world.row(&payload), &[RECORD], "the other's payload");
    let name = RawHeader {
        message_id: parts[1].0.message_id.clone(),
        ..parts[0].0.clone()
    };
    let renamed = name.with(&parts[0].1);
    assert_refused(world.row(&renamed), &[HEADER], "the other's message id");
}

#[test]
fn segments_of_one_position_exchanged_between_two_streams_are_refused() {
    let world = World::new();
    let put = |bytes: &[u8], other: &[u8], start: usize, position: usize| {
        let at = start + FLOE_HEADER + position * SEGMENT;
        let end = bytes.len().min(at + SEGMENT);
        [&bytes[..at], &other[at..end], &bytes[end..]].concat()
    };
    for position in 0..4 {
        let file = put(&world.files[0], &world.files[1], PAYLOAD, position);
        assert_refused(world.file(&file), &[ANY_SEGMENT], "file");
        let [(header, payload), (_, other)] = &world.detached;
        let outcomes = world.detached(header, &put(payload, other, PAYLOAD_HEAD, position));
        assert_refused(outcomes, &[ANY_SEGMENT], "detached");
    }
    // The same stream sealed twice has no segment in common either.
    let again = seal_inline(&cipher(&world.keyring), &file(0), &of(RECORDS[0]));
    let mixed = put(&world.files[0], &again, PAYLOAD, 1);
    assert_refused(world.file(&mixed), &[ANY_SEGMENT], "sealed twice");
}

#[test]
fn what_is_cut_at_any_boundary_is_refused() {
    let world = World::new();
    let around = |at: usize, len: usize| {
        let cuts = [at.saturating_sub(1), at, at + 1];
        cuts.into_iter().filter(move |cut| *cut < len)
    };
    let row = &world.rows[0];
    let (header, payload) = RawHeader::parse(row);
    let fields = header.fields().into_iter().map(|(_, range)| range.end);
    let payload_at = row.len() - payload.len();
    for cut in fields
        .chain([payload_at + 12, row.len() - 16, row.len()])
        .flat_map(|at| around(at, row.len()))
    {
        let expected = [Error::Truncated, Error::NotAnEnvelope, RECORD];
        assert_refused(world.row(&row[..cut]), &expected, &format!("row at {cut}"));
    }

    let segments = (0..=4).map(|count| FLOE_HEADER + count * SEGMENT);
    let expected = [
        Error::Truncated,
        Error::NotAnEnvelope,
        Error::Malformed(Malformed::NoHeaderBlock),
        SEGMENT_LENGTH,
        LENGTH_WORD,
        ANY_SEGMENT,
    ];
    let file = &world.files[0];
    for at in segments
        .clone()
        .map(|at| at + PAYLOAD)
        .chain([BLOCK, PAYLOAD, file.len()])
    {
        for cut in around(at, file.len()) {
            let outcomes = world.file(&file[..cut]);
            assert_refused(outcomes, &expected, &format!("file at {cut}"));
        }
    }
    let (header, payload) = &world.detached[0];
    for at in segments.chain([0, payload.len()]) {
        for cut in around(at, payload.len()) {
            let outcomes = world.detached(header, &payload[..cut]);
            assert_refused(outcomes, &expected, &format!("detached at {cut}"));
        }
    }
    for cut in RawHeader::parse(header)
        .0
        .fields()
        .into_iter()
        .map(|(_, range)| range.end)
    {
        if cut < header.len() {
            let outcomes = world.detached(&header[..cut], payload);
            assert_refused(outcomes, &expected, &format!("header at {cut}"));
        }
    }
}

#[test]
fn what_is_appended_is_refused() {
    let world = World::new();
    let (row, file) = (&world.rows[0], &world.files[0]);
    let (header, payload) = &world.detached[0];
    let last = &payload[FLOE_HEADER + 3 * SEGMENT..];
    let expected = [
        TRAILING_BYTES,
        Error::Truncated, // a length word that promises more, where the size of the file says which segment is the last
        SEGMENT_LENGTH,
        LENGTH_WORD,
        ANY_SEGMENT,
    ];
    for more in [&[0][..], &[0; 32], &[0xff; 4096], last, file, row, payload] {
        let longer = |bytes: &[u8]| [bytes, more].concat();
        assert_refused(world.row(&longer(row)), &[RECORD], "row");
        assert_refused(world.file(&longer(file)), &expected, "file");
        let outcomes = world.detached(header, &longer(payload));
        assert_refused(outcomes, &expected, "detached");
        let outcomes = world.detached(&longer(header), payload);
        assert_refused(outcomes, &[TRAILING_BYTES], "header");
    }
}

/// Neither for those who open the envelope nor for whoever put his slot in.
#[test]
fn a_slot_of_another_key_put_in_is_refused() {
    let world = World::new();
    let stranger = keyring();
    let strangers = cipher(&stranger);
    let foreign = strangers.encrypt(row(0), &of(RECORDS[0])).unwrap();
    let foreign = RawHeader::parse(&foreign).0;
    let (mut header, payload) = RawHeader::parse(&world.rows[0]);
    header.slots.extend(foreign.slots);
    let expected = [HEADER, Error::Recipients(RecipientError::Dropped)];
    assert_refused(world.row(&header.with(&payload)), &expected, "row");
    let outcomes = ways::record(&stranger, &header.with(&payload), &of(RECORDS[0]), &row(0));
    let expected = [WRAPPED_KEY, Error::Recipients(RecipientError::Dropped)];
    assert_refused(outcomes, &expected, "row, for the stranger");
}

/// Two readers, each of whom has a slot that unwraps to a data key: the header's tag verifies under one of them alone.
#[test]
fn an_envelope_of_two_data_keys_opens_under_one_alone() {
    let [first, second] = ["first", "second"].map(crate::common::OpenBook::new);
    let sealed = [&first, &second].map(|book| {
        let cipher = EnvelopeCipher::new(book.clone());
        cipher.encrypt(row(0), &of(RECORDS[0])).unwrap()
    });
    let [(header, payload), (other, _)] = sealed.each_ref().map(|it| RawHeader::parse(it));
    let key = crate::common::data_key(&header);
    let mut both = header;
    both.slots.extend(other.slots);
    let forged = both.sealed(&key).with(&payload);
    let open = |book| EnvelopeCipher::new(book).decrypt(&forged, &of(RECORDS[0]));
    assert_eq!(&open(first).unwrap()[..], row(0));
    assert_eq!(kind(&open(second).unwrap_err()), kind(&HEADER));
}

#[test]
fn after_a_bad_segment_the_callers_buffer_holds_nothing_of_it() {
    let world = World::new();
    let cipher = cipher(&world.keyring);
    let mut bytes = world.files[0].clone();
    let at = PAYLOAD + FLOE_HEADER + SEGMENT;
    bytes[at + 2000] ^= 1;
    let truth = file(0);
    let untouched = |piece: &[u8]| piece.iter().all(|byte| *byte == 0xaa || *byte == 0);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sealed");
    std::fs::write(&path, &bytes).unwrap();
    let options = phi_envelope::files::FileOptions::new();
    let range = phi_envelope::files::open(&cipher, &path, &of(RECORDS[0]), options).unwrap();
    for (from, len) in [
        (PLAIN, 100),
        (PLAIN + 5, PLAIN - 10),
        (PLAIN, 2 * PLAIN),
        (0, STREAM),
    ] {
        let mut piece = vec![0xaa; len];
        let error = range.read_at(&mut piece, from as u64).unwrap_err();
        assert_eq!(kind(&error), kind(&ANY_SEGMENT));
        let good = PLAIN.saturating_sub(from).min(len);
        let before = &piece[..good];
        assert!(untouched(before) || before == &truth[from..from + good]);
        let bad = &piece[good..len.min(good + PLAIN)];
        assert!(untouched(bad), "{from}, {len}");
    }
    let mut reader = cipher.decrypt_reader(&bytes[..], &of(RECORDS[0])).unwrap();
    let mut piece = vec![0xaa; PLAIN];
    std::io::Read::read_exact(&mut reader, &mut piece).unwrap();
    assert!(piece == truth[..PLAIN]);
    piece.fill(0xaa);
    std::io::Read::read(&mut reader, &mut piece).unwrap_err();
    assert!(untouched(&piece));
}
