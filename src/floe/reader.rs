//! Decrypting from any `Read`.

use std::fmt;
use std::io::{self, BufRead, Read};

use super::batch::Threads;
use super::key::Key;
use super::layout::Layout;
use super::length::SegmentLength;
use super::message::HEADER_LEN;
use super::open::{Opener, Stopped};
use super::segment::{CONTENT_AT, states_more};
use super::source::{Run, Source};
use crate::error::{Error, Result};

/// Decrypts a message out of another [`Read`], in bounded memory: about one batch, of 1 MiB or one segment for each core
/// where that is more.
///
/// It is a [`Read`] and a [`BufRead`], and a [`Seek`](io::Seek) where the other one is. No byte comes out that was not
/// authenticated, but bytes come out before the end was: the message is whole once the reader has reported its end. A
/// message that lacks its end is an error there, and so are bytes after it.
///
/// An error of the message is reported again by every read until a seek; one of the other reader may be retried.
pub struct Reader<R> {
    pub(super) source: Source<R>,
    pub(super) opener: Opener,
    threads: Threads,
    /// Segments to fetch next: few after a seek, more while reading goes on from there.
    batch: usize,
    /// The position of the next segment to open.
    next: u64,
    /// Where in the plaintext of the message that in the source's buffer begins.
    start: u64,
    /// Bytes of plaintext in the source's buffer, and how many of them were handed out.
    opened: usize,
    taken: usize,
    /// Bytes to pass over in what is opened next.
    skip: usize,
    state: State,
    /// What the size of the stream implies, once it was asked.
    pub(super) layout: Option<Layout>,
    /// Bytes of plaintext in the message, once its last segment was opened.
    pub(super) len: Option<u64>,
}

enum State {
    /// More may come.
    Open,
    /// What was opened last ends the message.
    Ended,
    /// After what was opened last comes this.
    Failed(Error),
}

impl<R: Read> Reader<R> {
    /// Reads and verifies the header of a message, 74 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::AuthenticationFailed`] for another key or AAD, [`Error::Malformed`] where it is no FLOE header of this
    /// kind, [`Error::Truncated`] where it is not whole, [`Error::Io`] where reading fails.
    pub fn new(mut inner: R, key: &Key, aad: &[u8]) -> Result<Self> {
        let mut header = [0; HEADER_LEN];
        inner.read_exact(&mut header)?;
        let opener = Opener::new(key, aad, &header)?;
        let threads = Threads::All;
        Ok(Self {
            source: Source::new(inner),
            threads,
            batch: threads.batch(opener.length()),
            opener,
            next: 0,
            start: 0,
            opened: 0,
            taken: 0,
            skip: 0,
            state: State::Open,
            layout: None,
            len: None,
        })
    }

    /// The length of the message's segments, as its authenticated header states it.
    #[must_use]
    pub fn segment_length(&self) -> SegmentLength {
        self.opener.length()
    }

    /// Opens on the caller's thread alone, where the default is all cores (with the feature `parallel`).
    #[must_use]
    pub fn single_threaded(mut self) -> Self {
        self.threads = Threads::One;
        self.batch = self.batch.min(self.threads.batch(self.opener.length()));
        self
    }

    /// The other reader. It stands wherever fetching ahead has brought it.
    #[must_use]
    pub fn into_inner(self) -> R {
        self.source.into_inner()
    }

    /// Opens the next batch where it was fetched.
    fn refill(&mut self) -> Result<()> {
        let run = self.fetch()?;
        let sealed = self.source.bytes_mut().get_mut(..run.len);
        let outcome = self.opener.open_in_place(
            self.next,
            sealed.unwrap_or_default(),
            run.ends,
            self.threads,
        );
        self.opened = self.settle(run, outcome);
        self.taken = self.skip.min(self.opened);
        self.skip = 0;
        Ok(())
    }

    /// Opens the next batch straight into `out`, which has room for it.
    fn open_into(&mut self, out: &mut [u8]) -> Result<usize> {
        let run = self.fetch()?;
        let sealed = self.source.bytes().get(..run.len).unwrap_or_default();
        let outcome = self
            .opener
            .open(self.next, sealed, run.ends, out, self.threads);
        let opened = self.settle(run, outcome);
        self.start = self.start.saturating_add(in_file(opened));
        Ok(opened)
    }

    /// Fetches the next batch; what was opened before is gone.
    fn fetch(&mut self) -> Result<Run> {
        self.start = self.start.saturating_add(in_file(self.opened));
        self.opened = 0;
        self.taken = 0;
        let want = self.batch.saturating_mul(self.opener.length().sealed_len());
        let mut run = self.source.fetch(want)?;
        // A full segment at the end of the stream that is not the message's last is as good as those before it. The
        // next fetch then finds that its successor is missing.
        if run.ends && self.ends_in_a_segment_that_states_more(run.len) {
            run.ends = false;
        }
        Ok(run)
    }

    fn ends_in_a_segment_that_states_more(&self, run: usize) -> bool {
        let full = self.opener.length().sealed_len();
        let fetched = self.source.bytes().get(..run).unwrap_or_default();
        run.is_multiple_of(full) && fetched.rchunks(full).next().is_some_and(states_more)
    }

    /// Takes note of how opening a run went, and says how much plaintext came of it.
    fn settle(&mut self, run: Run, outcome: Result<(), Stopped>) -> usize {
        let length = self.opener.length();
        let full = length.plain_len();
        let (segments, plaintext) = match outcome {
            Ok(()) => {
                let segments = run.len.div_ceil(length.sealed_len());
                let overhead = segments.saturating_mul(length.sealed_len() - full);
                let plaintext = run.len.saturating_sub(overhead);
                if run.ends {
                    self.state = State::Ended;
                    self.len = Some(self.start.saturating_add(in_file(plaintext)));
                }
                (segments, plaintext)
            }
            Err(Stopped { opened, error }) => {
                self.state = State::Failed(error);
                (opened, opened.saturating_mul(full))
            }
        };
        self.next = self.next.saturating_add(in_file(segments));
        let doubled = self.batch.saturating_mul(2);
        self.batch = doubled.min(self.threads.batch(length));
        plaintext
    }

    /// The plaintext that is ready, at most to the end of a segment.
    fn ready(&self) -> &[u8] {
        let length = self.opener.length();
        let segment = self.taken / length.plain_len();
        let within = self.taken % length.plain_len();
        let ready = (length.plain_len() - within).min(self.opened - self.taken);
        let at = segment * length.sealed_len() + CONTENT_AT + within;
        self.source.bytes().get(at..at + ready).unwrap_or_default()
    }
}

/// What [`Seek`](io::Seek) does to a reader, once it knows where to go.
impl<R> Reader<R> {
    /// The place in the plaintext of the message.
    pub(super) fn position(&self) -> u64 {
        self.start
            .saturating_add(in_file(self.taken))
            .saturating_add(in_file(self.skip))
    }

    /// Goes to a place whose plaintext is in the buffer, or says that it is not.
    pub(super) fn go_within(&mut self, target: u64) -> bool {
        let within = target.checked_sub(self.start).map(usize::try_from);
        match within {
            Some(Ok(within)) if self.opened > 0 && within <= self.opened => {
                self.taken = within;
                true
            }
            _ => false,
        }
    }

    /// The source now stands at segment `next`, of whose plaintext `skip` bytes are to be passed over.
    pub(super) fn moved(&mut self, next: u64, skip: usize) {
        let full = u64::from(self.opener.length().plaintext());
        self.next = next;
        self.skip = skip;
        self.batch = 1;
        self.forget(next.saturating_mul(full), State::Open);
    }

    /// Goes to the end or beyond it.
    pub(super) fn moved_past_end(&mut self, target: u64) {
        self.skip = 0;
        self.forget(target, State::Ended);
    }

    /// Where the source stands is not known.
    pub(super) fn lost(&mut self, error: &Error) {
        let position = self.position();
        self.skip = 0;
        self.forget(position, State::Failed(error.again()));
    }

    fn forget(&mut self, start: u64, state: State) {
        self.start = start;
        self.opened = 0;
        self.taken = 0;
        self.state = state;
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let full = self.batch.saturating_mul(self.opener.length().plain_len());
        let nothing_ready = self.taken == self.opened && self.skip == 0;
        if let (true, State::Open, Some(out)) = (nothing_ready, &self.state, out.get_mut(..full)) {
            let opened = self.open_into(out)?;
            if opened > 0 {
                return Ok(opened);
            }
        }
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: Read> BufRead for Reader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.taken == self.opened {
            match &self.state {
                State::Open => self.refill()?,
                State::Ended => return Ok(&[]),
                State::Failed(error) => return Err(error.again().into()),
            }
        }
        Ok(self.ready())
    }

    fn consume(&mut self, amount: usize) {
        self.taken = self.taken.saturating_add(amount).min(self.opened);
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("segment_length", &self.opener.length())
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

fn in_file(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
