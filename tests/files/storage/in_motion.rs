//! A source that answers as it likes: little, late, or something else the second time.

use std::io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom};

use super::*;

/// A stream in two versions, the second of which answers once so many bytes were handed out.
struct Liar<'a> {
    versions: [&'a [u8]; 2],
    second_from: usize,
    handed_out: usize,
    position: u64,
    calls: usize,
    most: usize,
    interrupts: bool,
    /// Added to what a seek from the end says and does.
    end_off_by: i64,
    /// Where it says that the stream ends, once.
    early_end: Option<u64>,
}

impl<'a> Liar<'a> {
    fn honest(bytes: &'a [u8]) -> Self {
        Self {
            versions: [bytes, bytes],
            second_from: usize::MAX,
            handed_out: 0,
            position: 0,
            calls: 0,
            most: usize::MAX,
            interrupts: false,
            end_off_by: 0,
            early_end: None,
        }
    }

    fn changing(first: &'a [u8], second: &'a [u8], after: usize) -> Self {
        Self {
            versions: [first, second],
            second_from: after,
            ..Self::honest(first)
        }
    }

    fn current(&mut self) -> &'a [u8] {
        self.calls += 1;
        self.versions[usize::from(self.handed_out >= self.second_from)]
    }
}

impl Read for Liar<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.current();
        if self.interrupts && self.calls.is_multiple_of(3) {
            return Err(ErrorKind::Interrupted.into());
        }
        let mut most = out.len().min(self.most);
        if let Some(end) = self.early_end {
            let left = end.saturating_sub(self.position);
            if left == 0 {
                self.early_end = None;
                return Ok(0);
            }
            most = most.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        let mut source = Cursor::new(bytes);
        source.set_position(self.position);
        let read = source.read(&mut out[..most])?;
        self.position += read as u64;
        self.handed_out += read;
        Ok(read)
    }
}

impl Seek for Liar<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::End(by) => SeekFrom::End(by + self.end_off_by),
            to => to,
        };
        let mut source = Cursor::new(self.current());
        source.set_position(self.position);
        self.position = source.seek(to)?;
        Ok(self.position)
    }
}

/// Streams of one key and one context, inline and detached: what is read, and what might come in its place.
struct Streams {
    keyring: Keyring,
    truth: Vec<u8>,
    inline: Vec<u8>,
    detached: (Vec<u8>, Vec<u8>),
    others: Vec<Vec<u8>>,
}

fn streams() -> Streams {
    let keyring = keyring();
    let cipher = cipher(&keyring);
    let truth = sample(STREAM);
    let other = seal_inline(&cipher, &other_sample(STREAM), &of("77"));
    let detached = seal_detached(&cipher, &truth, &of("77"));
    let longer = seal_inline(&cipher, &sample(2 * STREAM), &of("77"));
    let (_, other_payload) = seal_detached(&cipher, &other_sample(STREAM), &of("77"));
    Streams {
        inline: seal_inline(&cipher, &truth, &of("77")),
        others: vec![other, longer, other_payload, Vec::new(), vec![0; 40_000]],
        truth,
        detached,
        keyring,
    }
}

/// All readers over one of the two forms.
fn read<'a>(
    streams: &Streams,
    header: Option<&[u8]>,
    source: impl Fn() -> Liar<'a>,
) -> ways::Outcomes {
    let context = of("77");
    ways::readers(&streams.keyring, header, &context, &streams.truth, source)
}

#[test]
fn short_and_interrupted_answers_give_the_same_plaintext() {
    let streams = streams();
    let (header, payload) = &streams.detached;
    for most in [1, 2, 31, 32, 74, 4095, 4096, 4097, 5000] {
        for (header, bytes) in [(None, &streams.inline), (Some(&header[..]), payload)] {
            let outcomes = read(&streams, header, || Liar {
                most,
                interrupts: true,
                ..Liar::honest(bytes)
            });
            assert_opened(outcomes, &format!("at most {most} bytes"));
        }
    }
}

/// Whoever reads on after the end that was no end gets no more than the truth.
#[test]
fn an_end_that_comes_early_and_is_taken_back_is_an_error_or_the_truth() {
    let streams = streams();
    let (header, payload) = &streams.detached;
    let forms = [(None, &streams.inline), (Some(&header[..]), payload)];
    let mut refused = 0;
    for (header, bytes) in forms {
        for at in (0..bytes.len()).step_by(511).chain([PAYLOAD, FLOE_HEADER]) {
            let outcomes = read(&streams, header, || Liar {
                early_end: Some(at as u64),
                most: 1000,
                ..Liar::honest(bytes)
            });
            // Those that read from the start on met it.
            let first = outcomes.into_iter().take(5);
            refused += first.filter(|(_, outcome)| outcome.is_err()).count();
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn another_valid_stream_in_the_midst_of_reading_never_shows() {
    let streams = streams();
    let (header, payload) = &streams.detached;
    // Once the first header block was read: a whole stream of equal context instead of another is what nobody promises.
    let forms = [
        (None, &streams.inline, BLOCK),
        (Some(&header[..]), payload, 0),
    ];
    let (mut opened, mut refused) = (0, 0);
    for (header, bytes, from) in forms {
        for other in &streams.others {
            for after in (from..3 * STREAM).step_by(499) {
                let outcomes = read(&streams, header, || Liar {
                    most: 499,
                    ..Liar::changing(bytes, other, after)
                });
                for (_, outcome) in outcomes {
                    *if outcome.is_ok() {
                        &mut opened
                    } else {
                        &mut refused
                    } += 1;
                }
            }
        }
    }
    // Where the change comes after the last look at it, the truth came out before.
    assert!(opened > 100 && refused > 1000, "{opened}, {refused}");
}

#[test]
fn a_size_that_is_not_so_is_found_by_the_last_segment() {
    let streams = streams();
    let (header, payload) = &streams.detached;
    for (header, bytes) in [(None, &streams.inline), (Some(&header[..]), payload)] {
        for off in [-5000, -4096, -1000, -932, -1, 1, 32, 4096] {
            let outcomes = read(&streams, header, || Liar {
                end_off_by: off,
                ..Liar::honest(bytes)
            });
            for (way, outcome) in outcomes {
                match way {
                    "plaintext_len" => assert!(outcome.is_err(), "{off}"),
                    // It asks only where it does not know the end from having read it.
                    "Seek" => {}
                    _ => outcome.unwrap(),
                }
            }
        }
    }
}
