//! FLOE messages, from outside: against a foreign implementation, against an attacker, and through every trait.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests, which may fail loudly

use std::cell::Cell;
use std::io::{self, BufRead as _, Cursor, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use phi_envelope::floe::{self, Key, Reader, SegmentLength, Writer};
use phi_envelope::{
    Error,
    error::{AuthenticatedPart, Malformed},
};
use proptest::prelude::*;

const AAD: &[u8] = b"a header";
const KEY: [u8; 32] = [0x42; 32];

fn key() -> Key {
    Key::from_bytes(KEY)
}

fn length(encrypted: u32) -> SegmentLength {
    SegmentLength::new(encrypted).unwrap()
}

fn foreign_key() -> fast_floe::Key {
    fast_floe::Key::from_bytes(KEY)
}

fn foreign_length(encrypted: u32) -> fast_floe::Parameters {
    fast_floe::Parameters::with_segment_length(encrypted).unwrap()
}

/// Bytes that repeat with no segment's length.
fn sample(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

/// What each way of reading a whole message makes of it.
fn open_every_way(message: &[u8]) -> [Result<Vec<u8>, Error>; 5] {
    let reader = || Reader::new(message, &key(), AAD);
    let to_end = || {
        let mut out = Vec::new();
        reader()?.read_to_end(&mut out)?;
        Ok(out)
    };
    let copied = || {
        let mut out = Vec::new();
        io::copy(&mut reader()?.single_threaded(), &mut out)?;
        Ok(out)
    };
    let in_large_reads = || {
        let mut reader = reader()?;
        let mut out = vec![0; message.len() + (2 << 20)];
        let mut len = 0;
        loop {
            match reader.read(&mut out[len..])? {
                0 => break,
                read => len += read,
            }
        }
        out.truncate(len);
        Ok(out)
    };
    let buffered = || {
        let mut reader = reader()?;
        let mut out = Vec::new();
        loop {
            let ready = reader.fill_buf()?;
            if ready.is_empty() {
                return Ok(out);
            }
            out.extend_from_slice(ready);
            let len = ready.len();
            reader.consume(len);
        }
    };
    let whole = || floe::decrypt(&key(), AAD, message).map(|plaintext| plaintext.to_vec());
    [to_end(), copied(), in_large_reads(), buffered(), whole()]
}

fn assert_opens(message: &[u8], plaintext: &[u8]) {
    for opened in open_every_way(message) {
        assert!(opened.unwrap() == plaintext);
    }
}

fn assert_refused(message: &[u8], what: &str) -> Vec<Error> {
    let refused = open_every_way(message).map(|opened| match opened {
        Ok(_) => panic!("opened: {what}"),
        Err(error) => error,
    });
    refused.into()
}

/// Writes in pieces of lengths that `next` gives.
fn write_split(
    length: SegmentLength,
    plaintext: &[u8],
    mut next: impl FnMut() -> usize,
) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &key(), AAD, length).unwrap();
    let mut rest = plaintext;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(next().clamp(1, rest.len()));
        writer.write_all(piece).unwrap();
        rest = after;
    }
    writer.finish().unwrap()
}

#[test]
fn a_foreign_implementation_reads_ours_and_we_read_its() {
    for encrypted in [64_u32, 65, 4096, 65_536] {
        let full = usize::try_from(encrypted).unwrap() - 32;
        let mut sizes = vec![
            0,
            1,
            full - 1,
            full,
            full + 1,
            2 * full,
            2 * full + 1,
            37 * full,
            37 * full + 5,
        ];
        sizes.extend(full.saturating_sub(1)..=full + 65);
        for size in sizes {
            let plaintext = sample(size);
            let ours = floe::encrypt(&key(), AAD, length(encrypted), &plaintext).unwrap();
            let read = fast_floe::decrypt(&foreign_key(), AAD, &ours).unwrap();
            assert!(read == plaintext, "{encrypted} {size}");
            let written = write_split(length(encrypted), &plaintext, || 1000);
            assert_eq!(written.len(), ours.len());
            let read = fast_floe::decrypt(&foreign_key(), AAD, &written).unwrap();
            assert!(read == plaintext, "{encrypted} {size}");
            let theirs =
                fast_floe::encrypt(&foreign_key(), AAD, foreign_length(encrypted), &plaintext)
                    .unwrap();
            assert_eq!(theirs.len(), ours.len());
            assert_opens(&theirs, &plaintext);
        }
    }
}

#[test]
fn the_segment_key_rotates_and_both_sides_follow() {
    let segments = (1 << 20) + 5;
    let plaintext = sample(32 * segments - 3);
    let ours = floe::encrypt(&key(), AAD, length(64), &plaintext).unwrap();
    assert!(fast_floe::decrypt(&foreign_key(), AAD, &ours).unwrap() == plaintext);
    let theirs = fast_floe::encrypt(&foreign_key(), AAD, foreign_length(64), &plaintext).unwrap();
    assert_opens(&theirs, &plaintext);
    let written = write_split(length(64), &plaintext, || 1_000_003);
    assert!(fast_floe::decrypt(&foreign_key(), AAD, &written).unwrap() == plaintext);
}

#[test]
fn the_shortest_segments_hold_one_byte() {
    for size in [0, 1, 2, 100] {
        let message = floe::encrypt(&key(), AAD, length(33), &sample(size)).unwrap();
        assert_eq!(message.len(), 74 + size.max(1) * 32 + size);
        assert_opens(&message, &sample(size));
    }
}

#[test]
fn an_empty_last_segment_is_read_after_any_number_of_full_ones() {
    for full in [0, 1, 2, 255, 256, 257] {
        let mut foreign =
            fast_floe::online::Encryptor::new(&foreign_key(), AAD, foreign_length(4096)).unwrap();
        let mut message = foreign.header().as_ref().to_vec();
        for _ in 0..full {
            message.extend(foreign.encrypt_non_final_segment(&[3; 4064]).unwrap());
        }
        message.extend(foreign.encrypt_final_segment(&[]).unwrap());
        assert_opens(&message, &vec![3; full * 4064]);
        let mut reader = Reader::new(Cursor::new(&message), &key(), AAD).unwrap();
        assert_eq!(reader.seek(SeekFrom::End(0)).unwrap(), full as u64 * 4064);
        assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
    }
}

#[test]
fn segment_lengths_have_bounds() {
    for refused in [0, 32, u32::MAX] {
        let refused = SegmentLength::new(refused);
        assert!(matches!(
            refused,
            Err(Error::Malformed(Malformed::SegmentLength))
        ));
    }
    assert_eq!(length(33).plaintext(), 1);
    assert_eq!(length(u32::MAX - 1).get(), u32::MAX - 1);
    assert_eq!(SegmentLength::default(), SegmentLength::DEFAULT);
    // The longest segments cost no memory that their content does not need.
    let message = write_split(length(u32::MAX - 1), b"short", || 2);
    assert_opens(&message, b"short");
}

/// Three segments of 64 bytes, the last of them shorter.
fn three_segments() -> (Vec<u8>, Vec<u8>) {
    let plaintext = sample(32 + 32 + 11);
    let message = floe::encrypt(&key(), AAD, length(64), &plaintext).unwrap();
    (message, plaintext)
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (message, plaintext) = three_segments();
    assert_opens(&message, &plaintext);
    for at in 0..message.len() {
        for bit in 0..8 {
            let mut changed = message.clone();
            changed[at] ^= 1 << bit;
            assert_refused(&changed, &format!("bit {bit} of byte {at} flipped"));

            let Ok(mut reader) = Reader::new(&changed[..], &key(), AAD) else {
                assert!(at < 74);
                continue;
            };
            let mut out = Vec::new();
            reader.read_to_end(&mut out).unwrap_err();
            assert_eq!(
                out,
                plaintext[..(at - 74) / 64 * 32],
                "what came before is whole"
            );
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    let (message, _) = three_segments();
    for len in 0..message.len() {
        for error in assert_refused(&message[..len], &format!("{len} bytes")) {
            assert!(matches!(error, Error::Truncated), "{len} bytes: {error}");
        }
    }
}

#[test]
fn bytes_after_the_end_are_noticed() {
    for size in [0, 11, 32, 64, 75] {
        let message = floe::encrypt(&key(), AAD, length(64), &sample(size)).unwrap();
        for more in [1, 31, 32, 64, 65, 200] {
            let longer = [&message[..], &vec![0; more]].concat();
            assert_refused(&longer, &format!("{more} bytes after {size}"));
        }
        let twice = [&message[..], &message[74..]].concat();
        // Where all of it is in memory, a last segment that cannot be one is seen first.
        for error in assert_refused(&twice, "the body twice").into_iter().take(4) {
            assert!(
                matches!(error, Error::Malformed(Malformed::TrailingBytes)),
                "{error}"
            );
        }
    }
}

#[test]
fn segments_stay_in_their_place_and_message() {
    let make = || floe::encrypt(&key(), AAD, length(64), &sample(32 * 4)).unwrap();
    let (message, other) = (make(), make());
    let header = &message[..74];
    let segment = |number: usize| &message[74 + 64 * number..74 + 64 * (number + 1)];
    let foreign = |number: usize| &other[74 + 64 * number..74 + 64 * (number + 1)];
    let [a, b, c, d] = [0, 1, 2, 3].map(segment);
    assert_opens(&[header, a, b, c, d].concat(), &sample(32 * 4));
    for (what, parts) in [
        ("swapped", [header, b, a, c, d].concat()),
        ("repeated", [header, a, a, b, c, d].concat()),
        ("repeated in place", [header, a, a, c, d].concat()),
        ("dropped", [header, a, c, d].concat()),
        ("first dropped", [header, b, c, d].concat()),
        ("last dropped", [header, a, b, c].concat()),
        ("last moved", [header, a, b, d].concat()),
        ("last repeated", [header, a, b, c, d, d].concat()),
        ("appended", [header, a, b, c, d, a].concat()),
        ("all dropped", header.to_vec()),
        ("foreign", [header, a, foreign(1), c, d].concat()),
        ("foreign last", [header, a, b, c, foreign(3)].concat()),
        ("foreign header", [&other[..74], a, b, c, d].concat()),
    ] {
        assert_refused(&parts, what);
    }
}

#[test]
fn another_key_or_aad_does_not_open() {
    let (message, _) = three_segments();
    for (key, aad) in [
        (Key::generate().unwrap(), AAD),
        (key(), b"a headeR"),
        (key(), b""),
    ] {
        let whole = floe::decrypt(&key, aad, &message).map(drop);
        let read = Reader::new(&message[..], &key, aad).map(drop);
        for refused in [whole, read] {
            assert!(matches!(
                refused,
                Err(Error::AuthenticationFailed(AuthenticatedPart::StreamHeader))
            ));
        }
    }
}

#[test]
fn other_parameters_are_named() {
    let (message, _) = three_segments();
    for at in [0, 1, 6, 7, 8, 9] {
        let mut changed = message.clone();
        changed[at] ^= 1;
        for error in assert_refused(&changed, "parameters") {
            assert!(matches!(
                error,
                Error::Malformed(Malformed::StreamParameters)
            ));
        }
    }
    let mut changed = message;
    changed[2..6].copy_from_slice(&32_u32.to_be_bytes());
    for error in assert_refused(&changed, "segment length") {
        assert!(matches!(error, Error::Malformed(Malformed::SegmentLength)));
    }
}

#[test]
fn what_is_authentic_comes_out_before_the_error_and_the_error_stays() {
    let plaintext = sample(4064 * 600);
    let mut message = floe::encrypt(&key(), AAD, length(4096), &plaintext).unwrap();
    message[74 + 4096 * 300 + 100] ^= 1;
    for size in [1000, 4064, 100_000, 4 << 20] {
        let mut reader = Reader::new(&message[..], &key(), AAD).unwrap();
        let mut out = Vec::new();
        let mut buffer = vec![0; size];
        let error = loop {
            match reader.read(&mut buffer) {
                Ok(0) => panic!("an end"),
                Ok(read) => out.extend_from_slice(&buffer[..read]),
                Err(error) => break error,
            }
        };
        assert!(out == plaintext[..4064 * 300], "{size}");
        let mut errors = vec![error, reader.read(&mut buffer).unwrap_err()];
        errors.push(reader.fill_buf().unwrap_err());
        errors.push(reader.read_to_end(&mut out).unwrap_err());
        errors.push(io::copy(&mut reader, &mut io::sink()).unwrap_err());
        for error in errors {
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(matches!(
                Error::from_io(&error),
                Some(Error::AuthenticationFailed(AuthenticatedPart::Segment(300)))
            ));
        }
    }
}

/// Gives and takes a few bytes at a time and is interrupted in between.
struct Choppy<T> {
    inner: T,
    step: usize,
    fail_at: Option<usize>,
    done: usize,
}

impl<T> Choppy<T> {
    fn new(inner: T) -> Self {
        Self {
            inner,
            step: 0,
            fail_at: None,
            done: 0,
        }
    }

    fn turn(&mut self, len: usize) -> io::Result<usize> {
        self.step += 1;
        if self.step.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let most = [1, 7, 100, 3000][self.step % 4].min(len);
        match self.fail_at {
            Some(at) if self.done + most > at => Err(io::Error::other("the disk is full")),
            _ => Ok(most),
        }
    }
}

impl<T: Read> Read for Choppy<T> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = self.turn(out.len())?;
        let read = self.inner.read(&mut out[..most])?;
        self.done += read;
        Ok(read)
    }
}

impl<T: Write> Write for Choppy<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.turn(bytes.len())?;
        let written = self.inner.write(&bytes[..most])?;
        self.done += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[test]
fn short_and_interrupted_reads_and_writes_are_borne() {
    for encrypted in [64, 4096, 65_536] {
        let plaintext = sample(300_000);
        let inner = Choppy::new(Vec::new());
        let mut writer = Writer::new(inner, &key(), AAD, length(encrypted)).unwrap();
        writer.write_all(&plaintext).unwrap();
        let message = writer.finish().unwrap().inner;
        assert_opens(&message, &plaintext);
        let mut reader = Reader::new(Choppy::new(&message[..]), &key(), AAD).unwrap();
        let mut out = Vec::new();
        reader.read_to_end(&mut out).unwrap();
        assert!(out == plaintext);
    }
}

#[test]
fn an_error_of_the_inner_reader_can_be_retried() {
    let plaintext = sample(200_000);
    let message = floe::encrypt(&key(), AAD, length(4096), &plaintext).unwrap();
    let mut inner = Choppy::new(&message[..]);
    inner.fail_at = Some(100_000);
    let mut reader = Reader::new(&mut inner, &key(), AAD).unwrap();
    let mut out = Vec::new();
    let error = reader.read_to_end(&mut out).unwrap_err();
    assert!(Error::from_io(&error).is_none() && error.to_string().contains("disk"));
    // The same reader, once its inner one works again.
    struct Flaky<'a>(&'a [u8], bool);
    impl Read for Flaky<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let most = out.len().min(900);
            self.0.read(&mut out[..most])
        }
    }
    let mut reader = Reader::new(
        Flaky(&message[74..], true).after_header(&message),
        &key(),
        AAD,
    )
    .unwrap();
    let mut out = Vec::new();
    let mut buffer = vec![0; 10_000];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => out.extend_from_slice(&buffer[..read]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    assert!(out == plaintext);

    trait AfterHeader<'a>: Sized {
        fn after_header(self, message: &'a [u8]) -> io::Chain<&'a [u8], Self>;
    }
    impl<'a> AfterHeader<'a> for Flaky<'a> {
        fn after_header(self, message: &'a [u8]) -> io::Chain<&'a [u8], Self> {
            message[..74].chain(self)
        }
    }
}

#[test]
fn a_writer_that_failed_takes_no_more_and_leaves_nothing_that_opens() {
    let plaintext = sample(1000);
    let whole = 74 + 1000 + 32 * 1000_usize.div_ceil(32);
    for at in [0, 73, 74, 100, 500, whole - 1] {
        let mut kept = Vec::new();
        let mut inner = Choppy::new(&mut kept);
        inner.fail_at = Some(at);
        let Ok(mut writer) = Writer::new(inner, &key(), AAD, length(64)) else {
            assert!(at < 74);
            continue;
        };
        let mut failed = writer.write_all(&plaintext).is_err();
        failed |= writer.flush().is_err();
        if failed {
            let again = writer.write_all(b"x").unwrap_err();
            assert_eq!(again.to_string(), writer.flush().unwrap_err().to_string());
        }
        assert!(writer.finish().is_err());
        assert!(kept.len() <= at);
        assert_refused(&kept, "what a failed writer left");
    }
}

#[test]
fn a_writer_dropped_before_its_end_leaves_nothing_that_opens() {
    for size in [0, 1, 32, 64, 65, 3 << 20] {
        for flushed in [false, true] {
            let mut kept = Vec::new();
            let mut writer = Writer::new(&mut kept, &key(), AAD, length(64)).unwrap();
            writer.write_all(&sample(size)).unwrap();
            if flushed {
                writer.flush().unwrap();
            }
            drop(writer);
            for error in assert_refused(&kept, "an unfinished message") {
                assert!(matches!(error, Error::Truncated));
            }
        }
    }
}

#[test]
fn a_flush_hands_on_all_segments_but_the_last() {
    let mut kept = Vec::new();
    let mut writer = Writer::new(&mut kept, &key(), AAD, length(64)).unwrap();
    writer.write_all(&sample(32 * 3)).unwrap();
    writer.flush().unwrap();
    writer.flush().unwrap();
    writer.write_all(&sample(32 * 3 + 5)[32 * 3..]).unwrap();
    writer.flush().unwrap();
    writer.finish().unwrap();
    assert_eq!(kept.len(), 74 + 64 * 3 + 37);
    assert_opens(&kept, &sample(32 * 3 + 5));
}

#[test]
fn a_flush_hands_on_what_is_certain_and_flushes_the_other_writer() {
    /// Shows what it was given when it was flushed last.
    struct Flushed<'a>(Vec<u8>, &'a Cell<usize>);
    impl Write for Flushed<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.1.set(self.0.len());
            Ok(())
        }
    }
    let flushed = Cell::new(0);
    let inner = Flushed(Vec::new(), &flushed);
    let mut writer = Writer::new(inner, &key(), AAD, length(64)).unwrap();
    writer.flush().unwrap();
    assert_eq!(flushed.get(), 74);
    for (len, segments) in [(31, 0), (1, 0), (1, 1), (31, 1), (33, 3)] {
        writer.write_all(&sample(len)).unwrap();
        writer.flush().unwrap();
        assert_eq!(flushed.get(), 74 + 64 * segments);
    }
    writer.finish().unwrap();
    assert_eq!(flushed.get(), 74 + 64 * 3 + 33);
}

#[test]
fn a_flush_hands_on_what_was_sealed_at_the_same_time_as_other_batches_were_written() {
    let plaintext = sample(5 << 20);
    let mut kept = Vec::new();
    let mut writer = Writer::new(&mut kept, &key(), AAD, length(65_536)).unwrap();
    writer.write_all(&plaintext).unwrap();
    writer.flush().unwrap();
    drop(writer);
    // All but the last, which may be the message's last.
    let certain = (plaintext.len() - 1) / (65_536 - 32);
    assert_eq!(kept.len(), 74 + 65_536 * certain);
}

#[test]
fn an_error_of_writing_ends_a_message_although_the_next_batch_is_sealed_by_then() {
    let plaintext = sample(5 << 20);
    for at in [74, 600_000, 1 << 20, 4 << 20] {
        let mut kept = Vec::new();
        let mut inner = Choppy::new(&mut kept);
        inner.fail_at = Some(at);
        let mut writer = Writer::new(inner, &key(), AAD, length(65_536)).unwrap();
        assert!(writer.write_all(&plaintext).is_err());
        assert!(writer.flush().is_err());
        assert!(writer.finish().is_err());
        assert!(kept.len() <= at);
        assert_refused(&kept, "what a failed writer left");
    }
}

/// Takes bytes up to a number, and panics.
struct Panicking<'a>(&'a mut Vec<u8>, usize);

impl Write for Panicking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(self.0.len() + bytes.len() <= self.1, "as planned");
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn any_number_of_threads_writes_every_size_around_its_batches() {
    for threads in [1, 2, 3, 17] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        for segment in [4096, 65_536, 300_000] {
            let plain = segment as usize - 32;
            let batch = ((1 << 20) / segment as usize).max(threads);
            for segments in [0, 1, batch * 2 / 3, batch, batch * 4 / 3] {
                for size in [-1, 0, 1].map(|more| (segments * plain).saturating_add_signed(more)) {
                    let plaintext = sample(size);
                    let message = pool.install(|| {
                        let mut writer =
                            Writer::new(Vec::new(), &key(), AAD, length(segment)).unwrap();
                        let (most, rest) = plaintext.split_at(size / 3 * 2);
                        writer.write_all(most).unwrap();
                        writer.write_all(rest).unwrap();
                        writer.finish().unwrap()
                    });
                    let whole = 74 + size + 32 * size.div_ceil(plain).max(1);
                    assert_eq!(message.len(), whole, "{threads} {segment} {size}");
                    let opened = floe::decrypt(&key(), AAD, &message).unwrap();
                    assert!(opened[..] == plaintext, "{threads} {segment} {size}");
                }
            }
            let mut kept = Vec::new();
            let at = batch * segment as usize;
            pool.install(|| {
                let inner = Panicking(&mut kept, at);
                let mut writer = Writer::new(inner, &key(), AAD, length(segment)).unwrap();
                let plaintext = sample(at * 2 + plain);
                let written = AssertUnwindSafe(|| writer.write_all(&plaintext));
                assert!(catch_unwind(written).is_err());
                assert!(writer.write_all(b"x").is_err());
                assert!(writer.flush().is_err());
                assert!(writer.finish().is_err());
            });
            assert!(kept.len() <= at);
            assert_refused(&kept, "what a writer left that panicked");
        }
    }
}

#[test]
fn threads_may_change_at_any_time() {
    let plaintext = sample(5 << 20);
    let (a, b) = plaintext.split_at(2_000_000);
    let mut writer = Writer::new(Vec::new(), &key(), AAD, length(65_536)).unwrap();
    writer.write_all(a).unwrap();
    let mut writer = writer.single_threaded();
    writer.write_all(b).unwrap();
    let message = writer.finish().unwrap();
    let mut reader = Reader::new(&message[..], &key(), AAD).unwrap();
    let mut out = vec![0; 1_000_000];
    reader.read_exact(&mut out).unwrap();
    let mut reader = reader.single_threaded();
    reader.read_to_end(&mut out).unwrap();
    assert!(out == plaintext);
}

#[test]
fn a_segment_that_was_begun_is_filled_by_a_large_write() {
    for begun in [1, 31, 32, 33, 50] {
        let plaintext = sample((3 << 20) + begun);
        let mut writer = Writer::new(Vec::new(), &key(), AAD, length(4096)).unwrap();
        writer.write_all(&plaintext[..begun]).unwrap();
        writer.write_all(&plaintext[begun..]).unwrap();
        assert_opens(&writer.finish().unwrap(), &plaintext);
    }
}

/// An inner stream that does not seek when told not to.
struct Stuck(Cursor<Vec<u8>>, std::rc::Rc<std::cell::Cell<bool>>);

impl Read for Stuck {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Seek for Stuck {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if self.1.get() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.0.seek(to)
    }
}

#[test]
fn after_a_seek_that_failed_nothing_is_read_until_one_succeeds() {
    let plaintext = sample(1000);
    let message = floe::encrypt(&key(), AAD, length(64), &plaintext).unwrap();
    let stuck = std::rc::Rc::default();
    let inner = Stuck(Cursor::new(message), std::rc::Rc::clone(&stuck));
    let mut reader = Reader::new(inner, &key(), AAD).unwrap();
    let mut out = [0; 10];
    reader.seek(SeekFrom::Start(900)).unwrap();
    reader.read_exact(&mut out).unwrap();
    assert_eq!(out[..], plaintext[900..910]);

    stuck.set(true);
    let timed_out = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    timed_out(reader.seek(SeekFrom::Start(40)).unwrap_err());
    assert_eq!(reader.stream_position().unwrap(), 910);
    stuck.set(false);
    timed_out(reader.read(&mut out).unwrap_err());

    reader.seek(SeekFrom::Start(40)).unwrap();
    reader.read_exact(&mut out).unwrap();
    assert_eq!(out[..], plaintext[40..50]);
}

#[test]
fn lines_and_empty_reads() {
    let text = "one\ntwo\n\nthree and a long one that runs over a segment's end\nlast";
    let message = floe::encrypt(&key(), AAD, length(40), text.as_bytes()).unwrap();
    let mut reader = Reader::new(&message[..], &key(), AAD).unwrap();
    assert_eq!(reader.read(&mut []).unwrap(), 0);
    let lines: Vec<_> = reader.by_ref().lines().map(Result::unwrap).collect();
    assert_eq!(lines, text.lines().collect::<Vec<_>>());
    assert_eq!(reader.read(&mut []).unwrap(), 0);
    assert_eq!(reader.into_inner(), b"");
    let mut writer = Writer::new(Vec::new(), &key(), AAD, length(40)).unwrap();
    assert_eq!(writer.write(&[]).unwrap(), 0);
    assert_opens(&writer.finish().unwrap(), b"");
}

#[test]
fn an_end_is_reported_only_when_it_is_authentic() {
    let plaintext = sample(32 * 5 + 3);
    let message = floe::encrypt(&key(), AAD, length(64), &plaintext).unwrap();
    let reader = |message| Reader::new(Cursor::new(message), &key(), AAD).unwrap();
    let mut ends = [0; 9];
    // Cut at a segment's end: its size alone looks like a message.
    let cut = &message[..74 + 64 * 4];
    for to in [
        SeekFrom::End(0),
        SeekFrom::End(-5),
        SeekFrom::Start(32 * 4),
        SeekFrom::Start(9999),
    ] {
        let mut reader = reader(cut);
        let error = reader.seek(to).unwrap_err();
        assert!(
            matches!(Error::from_io(&error), Some(Error::Truncated)),
            "{to:?}"
        );
        assert!(reader.plaintext_len().is_err());
        // It stays where it was, and what is there can be read.
        assert_eq!(reader.stream_position().unwrap(), 0);
        let mut out = Vec::new();
        assert!(reader.read_to_end(&mut out).is_err());
        assert_eq!(out, plaintext[..32 * 4]);
        reader.seek(SeekFrom::Start(33)).unwrap();
        reader.read_exact(&mut ends).unwrap();
        assert_eq!(ends, plaintext[33..42]);
    }
    let mut forged = message.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut reader = reader(&forged);
    let error = reader.seek(SeekFrom::End(0)).unwrap_err();
    assert!(matches!(
        Error::from_io(&error),
        Some(Error::AuthenticationFailed(AuthenticatedPart::Segment(5)))
    ));
}

#[test]
fn a_message_is_found_anywhere_in_a_stream() {
    let plaintext = sample(10_000);
    let message = floe::encrypt(&key(), AAD, length(100), &plaintext).unwrap();
    let mut inner = Cursor::new([&[1; 500][..], &message].concat());
    inner.set_position(500);
    let mut reader = Reader::new(inner, &key(), AAD).unwrap();
    let mut out = [0; 10];
    reader.read_exact(&mut out).unwrap();
    assert_eq!(reader.plaintext_len().unwrap(), 10_000);
    assert_eq!(reader.stream_position().unwrap(), 10);
    reader.read_exact(&mut out).unwrap();
    assert_eq!(out, plaintext[10..20]);
    reader.seek(SeekFrom::End(-10)).unwrap();
    reader.read_exact(&mut out).unwrap();
    assert_eq!(out, plaintext[9990..]);
    let before = reader.seek(SeekFrom::Current(-10_001)).unwrap_err();
    assert_eq!(before.kind(), io::ErrorKind::InvalidInput);
    reader.rewind().unwrap();
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert!(all == plaintext);
}

/// Counts its reads and seeks, and fails the seek of one number.
struct Watched {
    inner: Cursor<Vec<u8>>,
    reads: Rc<Cell<usize>>,
    seeks: Rc<Cell<usize>>,
    fails: Option<usize>,
}

impl Watched {
    fn new(message: &[u8]) -> Self {
        Self {
            inner: Cursor::new(message.to_vec()),
            reads: Rc::default(),
            seeks: Rc::default(),
            fails: None,
        }
    }
}

impl Read for Watched {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reads.set(self.reads.get() + 1);
        self.inner.read(out)
    }
}

impl Seek for Watched {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let number = self.seeks.replace(self.seeks.get() + 1);
        if self.fails == Some(number) {
            return Err(io::Error::other("unplugged"));
        }
        self.inner.seek(to)
    }
}

#[test]
fn a_seek_to_what_is_ready_leaves_the_other_reader_alone() {
    let plaintext = sample(32 * 5);
    let message = floe::encrypt(&key(), AAD, length(64), &plaintext).unwrap();
    let inner = Watched::new(&message);
    let (reads, seeks) = (Rc::clone(&inner.reads), Rc::clone(&inner.seeks));
    let mut reader = Reader::new(inner, &key(), AAD).unwrap();
    reader.read_exact(&mut [0; 50]).unwrap();
    let before = (reads.get(), seeks.get());
    for (to, at) in [
        (SeekFrom::Start(0), 0),
        (SeekFrom::Current(69), 70),
        (SeekFrom::Current(-40), 31),
        (SeekFrom::End(-1), 159),
        (SeekFrom::Start(32), 32),
        (SeekFrom::Start(160), 160),
    ] {
        assert_eq!(reader.seek(to).unwrap(), at as u64);
        let mut byte = [0];
        let read = reader.read(&mut byte).unwrap();
        assert_eq!(byte[..read], plaintext[at..160.min(at + 1)]);
    }
    assert_eq!((reads.get(), seeks.get()), before);
}

#[test]
fn the_last_of_several_seeks_counts() {
    let plaintext = sample(32 * 5);
    let message = floe::encrypt(&key(), AAD, length(64), &plaintext).unwrap();
    for first in [1, 37, 64, 159, 160, 999] {
        for second in [0, 32, 36, 37, 38, 64, 128, 159_u32] {
            let mut reader = Reader::new(Cursor::new(&message), &key(), AAD).unwrap();
            reader.seek(SeekFrom::Start(first)).unwrap();
            reader.seek(SeekFrom::Start(second.into())).unwrap();
            assert_eq!(reader.stream_position().unwrap(), u64::from(second));
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, plaintext[second as usize..], "{first} {second}");
        }
    }
}

#[test]
fn a_reader_that_lost_its_place_says_so_until_a_seek() {
    let plaintext = sample(300_000); // more than a batch
    let message = floe::encrypt(&key(), AAD, length(4096), &plaintext).unwrap();
    let to = SeekFrom::Start(290_000);
    // Asking where the message begins and ends, going back from there, and going to the target.
    for (fails, lost) in [(0, false), (1, false), (2, true), (3, true)] {
        let mut inner = Watched::new(&message);
        inner.fails = Some(fails);
        let reader = Reader::new(inner, &key(), AAD).unwrap();
        let mut reader = reader.single_threaded();
        reader.read_exact(&mut [0; 10]).unwrap();
        let error = reader.seek(to).unwrap_err();
        assert_eq!(error.to_string(), "unplugged", "{fails}");
        assert_eq!(reader.stream_position().unwrap(), 10);
        if lost {
            for _ in 0..2 {
                let error = reader.read(&mut [0; 10]).unwrap_err();
                assert_eq!(error.to_string(), "unplugged", "{fails}");
            }
        } else {
            let mut next = vec![0; 200_000];
            reader.read_exact(&mut next).unwrap();
            assert!(next == plaintext[10..200_010], "{fails}");
        }
        reader.seek(to).unwrap();
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert!(rest == plaintext[290_000..], "{fails}");
    }
}

#[test]
fn a_read_with_room_for_a_batch_gives_more_than_a_segment() {
    let plaintext = sample(10_000);
    let message = floe::encrypt(&key(), AAD, length(64), &plaintext).unwrap();
    let mut reader = Reader::new(&message[..], &key(), AAD).unwrap();
    let mut out = vec![0; 2 << 20];
    assert_eq!(reader.read(&mut out).unwrap(), plaintext.len());
    assert!(out.starts_with(&plaintext));
}

#[derive(Debug, Clone)]
enum Step {
    Read(usize),
    Line,
    Start(u64),
    Current(i64),
    End(i64),
    Len,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..9000_usize).prop_map(Step::Read),
        1 => Just(Step::Line),
        2 => (0..12_000_u64).prop_map(Step::Start),
        2 => (-12_000..12_000_i64).prop_map(Step::Current),
        1 => (-12_000..500_i64).prop_map(Step::End),
        1 => Just(Step::Len),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_reader_seeks_like_a_file(
        encrypted in prop_oneof![33..200_u32, Just(4096), Just(65_536)],
        size in prop_oneof![0..100_usize, 0..10_000_usize],
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let plaintext = sample(size);
        let message = floe::encrypt(&key(), AAD, length(encrypted), &plaintext).unwrap();
        let mut reader = Reader::new(Cursor::new(message), &key(), AAD).unwrap();
        let mut model = Cursor::new(&plaintext);
        for step in steps {
            match step {
                Step::Read(len) => {
                    let (mut ours, mut theirs) = (vec![], vec![]);
                    reader.by_ref().take(len as u64).read_to_end(&mut ours).unwrap();
                    model.by_ref().take(len as u64).read_to_end(&mut theirs).unwrap();
                    prop_assert_eq!(ours, theirs);
                }
                Step::Line => {
                    let (mut ours, mut theirs) = (vec![], vec![]);
                    reader.read_until(100, &mut ours).unwrap();
                    model.read_until(100, &mut theirs).unwrap();
                    prop_assert_eq!(ours, theirs);
                }
                Step::Start(to) => {
                    prop_assert_eq!(reader.seek(SeekFrom::Start(to)).unwrap(), to);
                    model.set_position(to);
                }
                Step::Current(by) => {
                    let ours = reader.seek(SeekFrom::Current(by)).ok();
                    prop_assert_eq!(ours, model.seek(SeekFrom::Current(by)).ok());
                }
                Step::End(by) => {
                    let ours = reader.seek(SeekFrom::End(by)).ok();
                    prop_assert_eq!(ours, model.seek(SeekFrom::End(by)).ok());
                }
                Step::Len => prop_assert_eq!(reader.plaintext_len().unwrap(), size as u64),
            }
            prop_assert_eq!(reader.stream_position().unwrap(), model.position());
        }
    }

    #[test]
    fn any_split_of_writes_and_reads_gives_the_plaintext(
        encrypted in prop_oneof![33..200_u32, Just(4096), Just(65_536)],
        size in prop_oneof![0..1000_usize, 0..100_000_usize, 1_000_000..3_000_000_usize],
        splits in prop::collection::vec(prop_oneof![1..100_usize, 1..2_000_000_usize], 1..9),
    ) {
        let size = if encrypted < 4096 { size % 300_000 } else { size };
        let plaintext = sample(size);
        let mut next = splits.iter().cycle();
        let message = write_split(length(encrypted), &plaintext, || {
            (*next.next().unwrap()).max(size / 1000)
        });
        prop_assert_eq!(message.len(), 74 + size + 32 * size.div_ceil(encrypted as usize - 32).max(1));
        let mut reader = Reader::new(&message[..], &key(), AAD).unwrap();
        let mut out = Vec::new();
        loop {
            let at = out.len();
            out.resize(at + (*next.next().unwrap()).max(size / 1000), 0);
            let read = reader.read(&mut out[at..]).unwrap();
            out.truncate(at + read);
            if read == 0 {
                break;
            }
        }
        prop_assert!(out == plaintext);
    }
}
