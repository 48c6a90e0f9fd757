//! Streams from outside: every size and split, every way of reading, header blocks of every length and in every state, and
//! the payload as another FLOE implementation sees it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test stops where something is not as it says
#![allow(clippy::cast_possible_truncation)] // lengths in tests are chosen to fit

use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom, Write};

use crate::common::{
    BLOCK, FLOE_HEADER, OpenBook, PLAIN, RawHeader, RawSlot, SEGMENT, context, data_key, drain,
    drain_opened, flipped, keyring, labels, sample, with_digest,
};
use phi_envelope::{
    DecryptReader, EnvelopeCipher, EnvelopeCipherBuilder, Error, HeaderDamage, KeyProvider, Result,
    error::{AuthenticatedPart, ContextMismatch, Limit, Malformed},
    floe, inspect,
};
use proptest::prelude::*;

const PAYLOAD: usize = 2 * BLOCK;

fn builder(provider: impl KeyProvider + 'static) -> EnvelopeCipherBuilder {
    EnvelopeCipher::builder()
        .encrypt_for(provider)
        .segment_length(4096)
        .unwrap()
}

fn cipher(provider: impl KeyProvider + 'static) -> EnvelopeCipher {
    builder(provider).build().unwrap()
}

fn seal(cipher: &EnvelopeCipher, plaintext: &[u8]) -> Vec<u8> {
    let mut out = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
    out.write_all(plaintext).unwrap();
    out.finish().unwrap()
}

fn seal_detached(cipher: &EnvelopeCipher, plaintext: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (header, mut out) = cipher
        .encrypt_writer_detached(Vec::new(), &context())
        .unwrap();
    out.write_all(plaintext).unwrap();
    (header, out.finish().unwrap())
}

/// All of it and what was said about its header blocks, or the error that ended it.
fn open(cipher: &EnvelopeCipher, file: &[u8]) -> Result<(Vec<u8>, Option<HeaderDamage>)> {
    let mut reader = cipher.decrypt_reader(file, &context())?;
    let damage = reader.header_damage();
    let mut out = Vec::new();
    reader.read_to_end(&mut out)?;
    Ok((out, damage))
}

/// Sizes at the edges of segments and of the batches that are sealed together.
fn sizes() -> impl Iterator<Item = usize> {
    let edges = [1, 2, 3, 64, 300].map(|n| n * PLAIN);
    let around = edges.into_iter().flat_map(|n| [n - 1, n, n + 1]);
    [0, 1].into_iter().chain(around)
}

/// Bytes at the head of a detached payload that name its header.
const HEAD: usize = 24;

/// At most `most` bytes a time.
struct Trickle<R>(R, usize);

impl<R: Read> Read for Trickle<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(self.1);
        self.0.read(&mut out[..most])
    }
}

#[test]
fn streams_of_every_size_open_inline_and_detached() {
    let cipher = cipher(keyring());
    for size in sizes() {
        let plaintext = sample(size);
        let segments = size.div_ceil(PLAIN).max(1);
        let file = seal(&cipher, &plaintext);
        assert_eq!(file.len(), PAYLOAD + FLOE_HEADER + size + 32 * segments);
        assert!(
            open(&cipher, &file).unwrap() == (plaintext.clone(), None),
            "{size}"
        );

        let (header, payload) = seal_detached(&cipher, &plaintext);
        assert_eq!(payload.len(), HEAD + FLOE_HEADER + size + 32 * segments);
        let reader =
            cipher.decrypt_reader_detached(&header, Trickle(&payload[..], 1000), &context());
        let (out, end) = drain(reader.unwrap());
        end.unwrap();
        assert!(out == plaintext, "{size}");
    }
}

#[test]
fn a_reader_that_gives_a_byte_a_time_is_read() {
    let cipher = cipher(keyring());
    let plaintext = sample(2 * PLAIN + 5);
    let file = seal(&cipher, &plaintext);
    let mut damaged = file.clone();
    damaged[..BLOCK].fill(0xee);
    for (file, damage) in [(&file, None), (&damaged, Some(HeaderDamage::FirstBlock))] {
        let reader = cipher
            .decrypt_reader(Trickle(&file[..], 1), &context())
            .unwrap();
        assert_eq!(reader.header_damage(), damage);
        assert!(drain(reader).0 == plaintext);
    }
}

#[test]
fn one_thread_and_many_read_and_write_the_same() {
    let cipher = cipher(keyring());
    let plaintext = sample(700 * PLAIN + 9);
    let mut out = cipher
        .encrypt_writer(Vec::new(), &context())
        .unwrap()
        .single_threaded();
    out.write_all(&plaintext).unwrap();
    let file = out.finish().unwrap();
    assert!(open(&cipher, &file).unwrap().0 == plaintext);
    assert!(
        drain_opened(cipher.decrypt_reader(&seal(&cipher, &plaintext)[..], &context())).0
            == plaintext
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn splits_of_writing_and_reading_do_not_matter(
        size in 0..6 * PLAIN,
        writes in prop::collection::vec((1..2 * PLAIN, any::<bool>()), 1..8),
        reads in prop::collection::vec(1..3 * PLAIN, 1..8),
        trickle in 1..2 * BLOCK,
    ) {
        let cipher = cipher(keyring());
        let plaintext = sample(size);
        let mut out = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
        let mut rest = &plaintext[..];
        for (len, flush) in writes.into_iter().cycle() {
            let (now, later) = rest.split_at(len.min(rest.len()));
            out.write_all(now).unwrap();
            if flush {
                out.flush().unwrap();
            }
            if later.is_empty() {
                break;
            }
            rest = later;
        }
        let file = out.finish().unwrap();

        let mut reader = cipher.decrypt_reader(Trickle(&file[..], trickle), &context()).unwrap();
        let mut opened: Vec<u8> = Vec::new();
        for len in reads.into_iter().cycle() {
            let mut piece = vec![0; len];
            let read = reader.read(&mut piece).unwrap();
            opened.extend(&piece[..read]);
            if read == 0 {
                break;
            }
        }
        prop_assert!(opened == plaintext);
    }

    #[test]
    fn seeks_go_where_they_say(
        size in prop_oneof![0..4 * PLAIN, 60 * PLAIN..64 * PLAIN],
        damaged: bool,
        steps in prop::collection::vec((0..4_u8, any::<prop::sample::Index>(), 1..2 * PLAIN), 1..12),
    ) {
        let cipher = cipher(keyring());
        let plaintext = sample(size);
        let mut file = seal(&cipher, &plaintext);
        if damaged {
            file[100] ^= 1; // the head is then read further than the blocks go
        }
        let mut reader = cipher.decrypt_reader(Cursor::new(file), &context()).unwrap();
        prop_assert_eq!(reader.header_damage().is_some(), damaged);
        let mut expected = Cursor::new(&plaintext);
        for (how, index, len) in steps {
            let at = index.index(size + 1);
            let to = match how {
                0 => SeekFrom::Start(at as u64),
                1 => SeekFrom::End(-(at as i64)),
                2 => SeekFrom::Current(at as i64 - expected.position() as i64),
                _ => SeekFrom::Current(0),
            };
            prop_assert_eq!(reader.seek(to).unwrap(), expected.seek(to).unwrap());
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            reader.by_ref().take(len as u64).read_to_end(&mut ours).unwrap();
            expected.by_ref().take(len as u64).read_to_end(&mut theirs).unwrap();
            prop_assert!(ours == theirs);
            prop_assert_eq!(reader.stream_position().unwrap(), expected.position());
        }
        prop_assert_eq!(reader.plaintext_len().unwrap(), size as u64);
    }
}

#[test]
fn a_stream_in_the_midst_of_a_file_is_read_from_where_the_file_stands() {
    let cipher = cipher(keyring());
    let plaintext = sample(50 * PLAIN);
    for damaged in [false, true] {
        let mut file = seal(&cipher, &plaintext);
        file[100] ^= u8::from(damaged);
        let mut file = Cursor::new([&sample(777)[..], &file].concat());
        file.set_position(777);
        let mut reader = cipher.decrypt_reader(file, &context()).unwrap();
        reader.seek(SeekFrom::End(-10)).unwrap();
        let mut tail = Vec::new();
        reader.read_to_end(&mut tail).unwrap();
        assert_eq!(tail, plaintext[plaintext.len() - 10..]);
        reader.rewind().unwrap();
        assert!(drain(reader).0 == plaintext);
    }
}

#[test]
fn the_end_is_reported_only_after_the_last_segment_was_authenticated() {
    let cipher = cipher(keyring());
    let file = seal(&cipher, &sample(3 * PLAIN));
    let bad_end = flipped(&file, 8 * file.len() - 1);
    let mut reader = cipher
        .decrypt_reader(Cursor::new(bad_end), &context())
        .unwrap();
    let part = reader.plaintext_len().unwrap_err();
    assert!(matches!(
        part,
        Error::AuthenticationFailed(AuthenticatedPart::Segment(2))
    ));
    assert!(reader.seek(SeekFrom::End(0)).is_err());
    assert!(reader.seek(SeekFrom::Start(4 * PLAIN as u64)).is_err()); // nor is there one beyond it
    let mut first = vec![0; PLAIN];
    reader.read_exact(&mut first).unwrap();
    assert!(first == sample(PLAIN));

    for cut in [1, 31, 32, SEGMENT - 1, SEGMENT, SEGMENT + 40] {
        let file = file[..file.len() - cut].to_vec();
        let mut reader = cipher
            .decrypt_reader(Cursor::new(file), &context())
            .unwrap();
        assert!(
            matches!(reader.plaintext_len(), Err(Error::Truncated)),
            "{cut}"
        );
        assert!(reader.seek(SeekFrom::End(-1)).is_err());
    }
}

#[test]
fn a_writer_dropped_before_finish_leaves_nothing_that_opens() {
    let cipher = cipher(keyring());
    for size in sizes() {
        for flush in [false, true] {
            let (mut file, mut payload) = (Vec::new(), Vec::new());
            let mut out = cipher.encrypt_writer(&mut file, &context()).unwrap();
            out.write_all(&sample(size)).unwrap();
            if flush {
                out.flush().unwrap();
            }
            drop(out);
            let (header, mut out) = cipher
                .encrypt_writer_detached(&mut payload, &context())
                .unwrap();
            out.write_all(&sample(size)).unwrap();
            if flush {
                out.flush().unwrap();
            }
            drop(out);
            let detached = cipher.decrypt_reader_detached(&header, &payload[..], &context());
            for (out, end) in [
                drain_opened(cipher.decrypt_reader(&file[..], &context())),
                drain_opened(detached),
            ] {
                assert!(matches!(end, Err(Error::Truncated)), "{size}: {end:?}");
                assert!(sample(size).starts_with(&out) && (out.len() < size || size == 0));
            }
        }
    }
}

/// What each trait makes of a stream.
fn read_every_way<R: Read>(
    reader: impl Fn() -> DecryptReader<R>,
) -> Vec<(Vec<u8>, io::Result<()>)> {
    let by_read = || {
        let (mut reader, mut out, mut piece) = (reader(), Vec::new(), [0; 1000]);
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return (out, Ok(())),
                Ok(read) => out.extend(&piece[..read]),
                Err(error) => return (out, Err(error)),
            }
        }
    };
    let to_end = || {
        let mut out = Vec::new();
        let end = reader().read_to_end(&mut out).map(drop);
        (out, end)
    };
    let copied = || {
        let mut out = Vec::new();
        let end = io::copy(&mut reader(), &mut out).map(drop);
        (out, end)
    };
    let by_line = || {
        let mut out = Vec::new();
        for line in reader().lines() {
            match line {
                Ok(line) => out.extend([line.as_bytes(), b"\n"].concat()),
                Err(error) => return (out, Err(error)),
            }
        }
        (out, Ok(()))
    };
    let buffered = || {
        let mut out = Vec::new();
        let end = BufReader::new(reader()).read_to_end(&mut out).map(drop);
        (out, end)
    };
    vec![by_read(), to_end(), copied(), by_line(), buffered()]
}

#[test]
fn an_early_end_is_an_error_through_every_trait() {
    let cipher = cipher(keyring());
    let line = b"{\"resourceType\":\"Patient\"}\n";
    let plaintext: Vec<u8> = line.iter().copied().cycle().take(27 * 600).collect();
    let file = seal(&cipher, &plaintext);
    let segments = plaintext.len().div_ceil(PLAIN);
    let boundaries = (0..segments).map(|n| PAYLOAD + FLOE_HEADER + n * SEGMENT);
    for cut in boundaries.flat_map(|at| [at, at + 1, at + 40]) {
        let part = &file[..cut];
        for (out, end) in read_every_way(|| cipher.decrypt_reader(part, &context()).unwrap()) {
            let error = end.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert!(
                matches!(Error::from_io(&error), Some(Error::Truncated)),
                "{error:?}"
            );
            assert!(out.len() < plaintext.len() && plaintext.starts_with(&out));
        }
    }
    for (out, end) in read_every_way(|| cipher.decrypt_reader(&file[..], &context()).unwrap()) {
        end.unwrap();
        assert!(out == plaintext);
    }
}

#[test]
fn an_error_is_reported_again_by_every_read() {
    let cipher = cipher(keyring());
    let file = seal(&cipher, &sample(3 * PLAIN));
    let bad = flipped(&file, 8 * (PAYLOAD + FLOE_HEADER + SEGMENT + 100));
    let mut reader = cipher.decrypt_reader(&bad[..], &context()).unwrap();
    let mut first = Vec::new();
    for _ in 0..4 {
        let error = Error::from(reader.read_to_end(&mut first).unwrap_err());
        assert!(matches!(
            error,
            Error::AuthenticationFailed(AuthenticatedPart::Segment(1))
        ));
    }
    assert!(first == sample(PLAIN));
}

#[test]
fn blocks_of_every_length_open_also_by_the_second_alone() {
    let ring = keyring();
    for length in (4096..=65_536).step_by(4096) {
        let cipher = builder(ring.clone())
            .block_length(length)
            .unwrap()
            .build()
            .unwrap();
        let file = seal(&cipher, &sample(1000));
        assert_eq!(file.len(), 2 * length + FLOE_HEADER + 1032);
        assert_eq!(inspect(&file).unwrap().block_length as usize, length);
        assert_eq!(open(&cipher, &file).unwrap(), (sample(1000), None));
        for fill in [0, 0xff, 0x50] {
            let mut damaged = file.clone();
            damaged[..length].fill(fill);
            assert_eq!(
                open(&cipher, &damaged).unwrap(),
                (sample(1000), Some(HeaderDamage::FirstBlock))
            );
            assert_eq!(inspect(&damaged).unwrap(), inspect(&file).unwrap());
            let mut damaged = file.clone();
            damaged[length..2 * length].fill(fill);
            assert_eq!(
                open(&cipher, &damaged).unwrap(),
                (sample(1000), Some(HeaderDamage::SecondBlock))
            );
            damaged[..length].fill(fill);
            assert!(open(&cipher, &damaged).is_err());
        }
        // The first block states a length of its own that is not that of its twin.
        for lie in [4096_u32, 8192, 65_536] {
            let mut damaged = file.clone();
            damaged[12..16].copy_from_slice(&lie.to_be_bytes());
            if lie as usize != length {
                assert_eq!(
                    open(&cipher, &damaged).unwrap(),
                    (sample(1000), Some(HeaderDamage::FirstBlock))
                );
            }
        }
    }
}

/// An inline stream whose data key is known, taken apart.
struct Known {
    cipher: EnvelopeCipher,
    header: RawHeader,
    key: Vec<u8>,
    payload: Vec<u8>,
}

impl Known {
    fn new(plaintext: &[u8]) -> Self {
        let cipher = cipher(OpenBook::new("b"));
        let file = seal(&cipher, plaintext);
        let (header, _) = RawHeader::parse(&file);
        Self {
            cipher,
            key: data_key(&header),
            header,
            payload: file[PAYLOAD..].to_vec(),
        }
    }

    /// The header with a change, under a right tag.
    fn changed(&self, change: impl FnOnce(&mut RawHeader)) -> RawHeader {
        let mut header = self.header.clone();
        change(&mut header);
        header.sealed(&self.key)
    }

    fn file(&self, first: &RawHeader, second: &RawHeader) -> Vec<u8> {
        [&first.block()[..], &second.block(), &self.payload].concat()
    }

    fn open(&self, first: &RawHeader, second: &RawHeader) -> Result<Option<HeaderDamage>> {
        open(&self.cipher, &self.file(first, second)).map(|(_, damage)| damage)
    }
}

#[test]
fn the_newer_block_that_verifies_is_current_wherever_it_stands() {
    let known = Known::new(b"plaintext");
    let old = known.changed(|_| ());
    let new = known.changed(|header| header.generation = 1);
    let differ = Some(HeaderDamage::Differ);
    assert_eq!(known.open(&old, &new).unwrap(), differ);
    assert_eq!(known.open(&new, &old).unwrap(), differ);
    assert_eq!(known.open(&new, &new).unwrap(), None);
    assert_eq!(inspect(&known.file(&old, &new)).unwrap().generation, 1);
    assert_eq!(inspect(&known.file(&new, &old)).unwrap().generation, 1);
}

#[test]
fn of_two_blocks_of_one_generation_the_first_is_current_and_the_difference_reported() {
    let known = Known::new(b"plaintext");
    let one = known.changed(|_| ());
    let other = known.changed(|header| header.slots.push(RawSlot::new(0x33, b"id", b"key")));
    assert_eq!(
        known.open(&one, &other).unwrap(),
        Some(HeaderDamage::Differ)
    );
    assert_eq!(
        known.open(&other, &one).unwrap(),
        Some(HeaderDamage::Differ)
    );
    assert_eq!(inspect(&known.file(&other, &one)).unwrap().slots.len(), 2);
    let mut bad = one.clone();
    bad.tag[0] ^= 1;
    assert_eq!(
        known.open(&bad, &other).unwrap(),
        Some(HeaderDamage::FirstBlock)
    );
    assert_eq!(known.open(&one, &bad).unwrap(), Some(HeaderDamage::Differ)); // A is current, B not asked
}

#[test]
fn a_forged_block_of_the_highest_generation_does_not_win() {
    let known = Known::new(b"plaintext");
    let good = known.changed(|header| header.generation = 5);
    let forgeries = [
        RawHeader {
            generation: u32::MAX,
            ..good.clone()
        },
        RawHeader {
            generation: u32::MAX,
            data_key_id: [7; 16],
            ..good.clone()
        },
        RawHeader {
            generation: u32::MAX,
            ..good.clone()
        }
        .sealed(&[9; 32]),
    ];
    for forged in &forgeries {
        assert_eq!(
            known.open(forged, &good).unwrap(),
            Some(HeaderDamage::FirstBlock)
        );
        assert_eq!(
            known.open(&good, forged).unwrap(),
            Some(HeaderDamage::SecondBlock)
        );
        assert!(known.open(forged, forged).is_err());
    }
    // One without bindings is a context mismatch, which speaks against no block.
    let unbound = RawHeader {
        generation: u32::MAX,
        flags: 0,
        bindings_tag: Vec::new(),
        ..good.clone()
    };
    for (first, second) in [(&unbound, &good), (&good, &unbound)] {
        assert!(matches!(
            known.open(first, second),
            Err(Error::ContextMismatch(ContextMismatch::BindingsUnexpected))
        ));
    }

    let ring = keyring();
    let by_ring = cipher(ring);
    let file = seal(&by_ring, b"plaintext");
    let (good, _) = RawHeader::parse(&file);
    let mut forged = RawHeader {
        generation: u32::MAX,
        ..good
    };
    forged.slots[0].wrapped[20] ^= 1; // a known slot that fails
    let mixed = [&forged.block()[..], &file[BLOCK..]].concat();
    assert_eq!(
        open(&by_ring, &mixed).unwrap().1,
        Some(HeaderDamage::FirstBlock)
    );
}

#[test]
fn a_newer_block_for_other_readers_stops_this_one() {
    let known = Known::new(b"plaintext");
    let good = known.changed(|_| ());
    let foreign = known.changed(|header| {
        header.generation = 1;
        header.slots = vec![RawSlot::new(0x33, b"id", b"key")];
    });
    for (first, second) in [(&good, &foreign), (&foreign, &good)] {
        let Err(Error::NoMatchingKey { slots }) = known.open(first, second) else {
            panic!("opened, or stopped by something else");
        };
        assert_eq!((slots.len(), slots[0].scheme), (1, 0x33));
    }
    // An older one does not.
    let older = RawHeader {
        generation: 0,
        ..foreign
    }
    .sealed(&known.key);
    let newer = known.changed(|header| header.generation = 1);
    assert_eq!(
        known.open(&older, &newer).unwrap(),
        Some(HeaderDamage::Differ)
    );
}

#[test]
fn the_context_is_compared_whichever_block_is_current() {
    let known = Known::new(b"plaintext");
    let (old, new) = (
        known.changed(|_| ()),
        known.changed(|header| header.generation = 1),
    );
    let mut zero = vec![0; BLOCK];
    zero[0] = 1;
    let half = [&zero[..], &old.block(), &known.payload].concat();
    for file in [known.file(&old, &new), known.file(&new, &old), half] {
        let missing = known
            .cipher
            .decrypt_reader(&file[..], &labels())
            .unwrap_err();
        assert!(matches!(
            missing,
            Error::ContextMismatch(ContextMismatch::BindingsMissing)
        ));
        let other = labels().bind("patient", "MRN-0043").unwrap();
        let differ = known.cipher.decrypt_reader(&file[..], &other).unwrap_err();
        assert!(matches!(
            differ,
            Error::ContextMismatch(ContextMismatch::BindingsDiffer)
        ));
    }
}

#[test]
fn a_block_counts_only_with_its_own_length_kind_and_padding() {
    let known = Known::new(b"plaintext");
    let good = known.header.block();
    let of_length = |block_length| {
        known
            .changed(|header| header.block_length = block_length)
            .write()
    };
    let mut padded = good[..BLOCK - 8].to_vec();
    padded[BLOCK - 9] = 1;
    let mut bad_digest = good.clone();
    bad_digest[BLOCK - 1] ^= 1;
    let detached = known.changed(|header| {
        header.kind = 3;
        header.block_length = 0;
    });
    let no_candidates = [
        crate::common::block(&of_length(8192), BLOCK),
        crate::common::block(&of_length(65_536), BLOCK),
        with_digest(padded),
        bad_digest,
    ];
    for bad in &no_candidates {
        let opened = |first: &[u8], second: &[u8]| {
            open(&known.cipher, &[first, second, &known.payload].concat())
        };
        assert_eq!(
            opened(bad, &good).unwrap().1,
            Some(HeaderDamage::FirstBlock)
        );
        assert_eq!(
            opened(&good, bad).unwrap().1,
            Some(HeaderDamage::SecondBlock)
        );
        let neither = opened(bad, bad).unwrap_err();
        assert!(
            matches!(
                neither,
                Error::Malformed(Malformed::NoHeaderBlock) | Error::Truncated
            ),
            "{neither:?}"
        );
    }
    let second = [
        &good[..],
        &crate::common::block(&detached.write(), BLOCK),
        &known.payload,
    ]
    .concat();
    assert_eq!(
        open(&known.cipher, &second).unwrap().1,
        Some(HeaderDamage::SecondBlock)
    );
}

#[test]
fn a_head_of_another_kind_is_not_looked_behind() {
    let known = Known::new(b"plaintext");
    let good = known.header.block();
    for kind in [1, 3] {
        let head = known.changed(|header| {
            header.kind = kind;
            header.block_length = 0;
        });
        let file = [
            &crate::common::block(&head.write(), BLOCK)[..],
            &good,
            &known.payload,
        ]
        .concat();
        let opened = open(&known.cipher, &file);
        assert!(matches!(
            opened,
            Err(Error::Malformed(Malformed::OtherKind { .. }))
        ));
        // With a length that its kind may not have, the head is damage, and the second block opens.
        let mut file = [&good[..], &good, &known.payload].concat();
        file[5] = kind;
        assert_eq!(
            open(&known.cipher, &file).unwrap().1,
            Some(HeaderDamage::FirstBlock)
        );
    }
}

#[test]
fn each_call_refuses_the_other_kinds() {
    let cipher = cipher(keyring());
    let record = cipher.encrypt(sample(100), &context()).unwrap();
    let inline = seal(&cipher, &sample(100));
    let (detached, payload) = seal_detached(&cipher, &sample(100));
    let other_kind = |error| matches!(error, Error::Malformed(Malformed::OtherKind { .. }));
    for stream in [&inline, &detached] {
        assert!(other_kind(cipher.decrypt(stream, &context()).unwrap_err()));
        assert!(other_kind(
            cipher
                .decrypt_in_place(stream.clone(), &context())
                .unwrap_err()
        ));
    }
    for head in [&record, &detached] {
        assert!(other_kind(
            cipher.decrypt_reader(&head[..], &context()).unwrap_err()
        ));
    }
    for header in [&record, &inline] {
        let opened = cipher.decrypt_reader_detached(header, &payload[..], &context());
        assert!(other_kind(opened.unwrap_err()));
    }
    let trailing = [&detached[..], &payload].concat();
    let opened = cipher.decrypt_reader_detached(&trailing, &payload[..], &context());
    assert!(matches!(
        opened,
        Err(Error::Malformed(Malformed::TrailingBytes))
    ));
}

#[test]
fn a_header_is_attached_and_detached_again_by_a_key_holder() {
    let known = Known::new(b"plaintext");
    let detached = known.changed(|header| {
        header.kind = 3;
        header.block_length = 0;
    });
    let payload = [
        b"PHIP\x01\x03\x00\x00",
        &detached.data_key_id[..],
        &known.payload,
    ]
    .concat();
    let opened = known
        .cipher
        .decrypt_reader_detached(&detached.write(), &payload[..], &context());
    assert_eq!(drain_opened(opened).0, b"plaintext");
    let longer = known.changed(|header| header.block_length = 8192);
    assert_eq!(known.open(&longer, &longer).unwrap(), None);
}

#[test]
fn any_floe_opens_the_payload_with_the_derived_key_and_immutable() {
    let plaintext = sample(3 * PLAIN + 17);
    let known = Known::new(&plaintext);
    let key = known.header.payload_key(&known.key);
    let aad = known.header.immutable();
    let ours = floe::decrypt(&floe::Key::from_bytes(key), &aad, &known.payload).unwrap();
    assert!(ours[..] == plaintext[..]);
    let foreign =
        fast_floe::decrypt(&fast_floe::Key::from_bytes(key), &aad, &known.payload).unwrap();
    assert!(foreign == plaintext);

    // And the other way round: a payload that another implementation wrote, with an empty last segment or none.
    let parameters = fast_floe::Parameters::with_segment_length(5000).unwrap();
    let theirs = fast_floe::encrypt(
        &fast_floe::Key::from_bytes(key),
        &aad,
        parameters,
        &plaintext,
    )
    .unwrap();
    let block = known.header.block();
    let file = [&block[..], &block, &theirs].concat();
    assert!(open(&known.cipher, &file).unwrap().0 == plaintext);
}

#[test]
fn a_payload_of_segments_beyond_the_limits_is_refused_even_from_a_key_holder() {
    let known = Known::new(b"plaintext");
    let key = floe::Key::from_bytes(known.header.payload_key(&known.key));
    for (length, fits) in [
        (33, false),
        (4095, false),
        (4096, true),
        (1 << 24, true),
        ((1 << 24) + 1, false),
    ] {
        let length = floe::SegmentLength::new(length).unwrap();
        let payload = floe::encrypt(&key, &known.header.immutable(), length, b"plaintext").unwrap();
        let block = known.header.block();
        let opened = open(&known.cipher, &[&block[..], &block, &payload].concat());
        match opened {
            Ok((plaintext, _)) => assert!(fits && plaintext == b"plaintext"),
            Err(error) => {
                assert!(!fits && matches!(error, Error::Malformed(Malformed::SegmentLength)))
            }
        }
    }
}

#[test]
fn segment_lengths_from_4096_bytes_to_16_mib_are_written() {
    let ring = keyring();
    for length in [0, 33, 4095, (1 << 24) + 1, u32::MAX] {
        let refused = EnvelopeCipher::builder().segment_length(length);
        assert!(matches!(
            refused,
            Err(Error::Malformed(Malformed::SegmentLength))
        ));
    }
    for length in [4096_u32, 4097, 65_536, 1 << 24] {
        let builder = EnvelopeCipher::builder().encrypt_for(ring.clone());
        let cipher = builder.segment_length(length).unwrap().build().unwrap();
        let plaintext = sample(length as usize - 32 + 1);
        let file = seal(&cipher, &plaintext);
        assert_eq!(file.len(), PAYLOAD + FLOE_HEADER + plaintext.len() + 64);
        assert!(open(&cipher, &file).unwrap().0 == plaintext);
    }
}

#[test]
fn block_lengths_are_multiples_of_4096_up_to_65536() {
    for length in [0, 1, 4095, 4097, 6000, 65_535, 69_632, usize::MAX] {
        let refused = EnvelopeCipher::builder().block_length(length);
        assert!(matches!(
            refused,
            Err(Error::Malformed(Malformed::BlockLength))
        ));
    }
}

#[test]
fn a_header_that_does_not_fit_its_block_is_refused_before_anything_is_written() {
    let books = |id_len: usize| {
        (0..32).fold(EnvelopeCipher::builder(), |builder, number| {
            let mut id = vec![0; id_len];
            id[0] = number;
            builder.encrypt_for(OpenBook::new(id))
        })
    };
    let cipher = books(300).build().unwrap();
    let mut file = Vec::new();
    let refused = cipher.encrypt_writer(&mut file, &context());
    assert!(matches!(
        refused,
        Err(Error::LimitExceeded(Limit::HeaderBlock))
    ));
    assert!(file.is_empty());
    let cipher = books(300).block_length(12_288).unwrap().build().unwrap();
    let file = seal(&cipher, b"plaintext");
    assert_eq!(inspect(&file).unwrap().slots.len(), 32);
    assert_eq!(open(&cipher, &file).unwrap(), (b"plaintext".to_vec(), None));
    seal_detached(&cipher, b"plaintext");

    let cipher = books(490).block_length(65_536).unwrap().build().unwrap();
    let refused = cipher.encrypt_writer(Vec::new(), &context());
    assert!(matches!(refused, Err(Error::LimitExceeded(Limit::Header))));
    assert!(matches!(
        cipher.encrypt("", &context()),
        Err(Error::LimitExceeded(Limit::Header))
    ));
}

/// Fails after so many bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(taken)
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_wherever_it_comes() {
    let cipher = cipher(keyring());
    let whole = PAYLOAD + FLOE_HEADER + 3 * SEGMENT;
    for room in [
        0,
        1,
        BLOCK,
        PAYLOAD,
        PAYLOAD + 10,
        PAYLOAD + FLOE_HEADER,
        whole - 1,
    ] {
        let sealed = cipher
            .encrypt_writer(Full(room), &context())
            .and_then(|mut out| {
                out.write_all(&sample(3 * PLAIN))?;
                out.finish()
            });
        let Err(Error::Io(error)) = sealed else {
            panic!("{room} bytes were enough");
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}

/// Takes all that is written and counts how often it was flushed.
#[derive(Default)]
struct Flushed(Vec<u8>, usize);

impl Write for Flushed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1 += 1;
        Ok(())
    }
}

#[test]
fn a_flush_hands_on_all_that_is_certainly_not_the_end() {
    let cipher = cipher(OpenBook::new("open"));
    let plaintext = sample(3 * PLAIN);
    for (written, handed_on) in [
        (0, 0),
        (PLAIN, 0),
        (PLAIN + 1, 1),
        (2 * PLAIN, 1),
        (2 * PLAIN + 7, 2),
        (3 * PLAIN, 2),
    ] {
        let mut out = Flushed::default();
        let mut writer = cipher.encrypt_writer(&mut out, &context()).unwrap();
        writer.write_all(&plaintext[..written]).unwrap();
        writer.flush().unwrap();
        drop(writer);
        assert_eq!(out.0.len(), PAYLOAD + FLOE_HEADER + handed_on * SEGMENT);
        assert_eq!(out.1, 1, "{written}");

        let mut file = Vec::new();
        let mut writer = cipher.encrypt_writer(&mut file, &context()).unwrap();
        for part in plaintext.chunks(written.max(1)) {
            writer.write_all(part).unwrap();
            writer.flush().unwrap();
        }
        writer.finish().unwrap();
        assert_eq!(open(&cipher, &file).unwrap().0, plaintext);
        if written > 1000 {
            let sizes = seal(&cipher, &plaintext).len();
            assert_eq!(file.len(), sizes, "{written}");
        }
    }
}

#[test]
fn damage_is_told_in_words() {
    let told = |damage: HeaderDamage| damage.to_string();
    assert!(told(HeaderDamage::FirstBlock).contains("first"));
    assert!(told(HeaderDamage::SecondBlock).contains("second"));
    assert!(told(HeaderDamage::Differ).contains("differ"));
}

#[test]
fn a_block_that_is_there_and_no_candidate_is_told_from_one_that_is_cut() {
    let known = Known::new(b"plaintext");
    let mut block = known.header.block();
    block[BLOCK - 1] ^= 1;
    let opened = |file: &[u8]| open(&known.cipher, file).unwrap_err();
    assert!(matches!(
        opened(&block),
        Error::Malformed(Malformed::NoHeaderBlock)
    ));
    assert!(matches!(opened(&block[..BLOCK - 1]), Error::Truncated));
}

/// Counts what is read.
struct Counted<'a, R>(R, &'a mut usize);

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(out)?;
        *self.1 += read;
        Ok(read)
    }
}

#[test]
fn no_more_is_read_than_header_blocks_that_are_whole() {
    let known = Known::new(&sample(200_000));
    let good = known.header.block();
    let file = [&good[..], &good, &known.payload].concat();
    let mut read = 0;
    let reader = known
        .cipher
        .decrypt_reader(Counted(&file[..], &mut read), &context());
    drop(reader.unwrap());
    assert_eq!(read, PAYLOAD + FLOE_HEADER);
}
