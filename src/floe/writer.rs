//! Encrypting into any `Write`.

use std::fmt;
use std::io::{self, Write};

use super::batch::Threads;
use super::buffer::Buffer;
use super::key::Key;
use super::length::SegmentLength;
use super::seal::Sealer;
use crate::error::{Error, Result};

/// Encrypts what is written to it into another [`Write`], in bounded memory: about two batches, of 1 MiB or one segment
/// for each core where that is more.
///
/// [`finish`](Self::finish) ends the message. A writer that is dropped before leaves nothing that opens, and so does one
/// that failed: after an error it takes no more.
#[must_use = "without `finish` nothing that was written opens"]
pub struct Writer<W: Write> {
    inner: W,
    sealer: Sealer,
    threads: Threads,
    /// The position of the next segment.
    position: u64,
    /// Plaintext of that segment and of those after it. Until more comes, its end may be the message's.
    pending: Buffer,
    /// Where a batch is sealed before it is written.
    sealed: Vec<u8>,
    /// Why it failed before.
    failure: Option<Error>,
}

impl<W: Write> Writer<W> {
    /// Begins a message in `inner` by writing its 74 bytes of header.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the operating system gives no randomness or the header cannot be written.
    pub fn new(mut inner: W, key: &Key, aad: &[u8], length: SegmentLength) -> Result<Self> {
        let sealer = Sealer::new(key, aad, length)?;
        inner.write_all(sealer.header())?;
        Ok(Self {
            inner,
            sealer,
            threads: Threads::All,
            position: 0,
            pending: Buffer::new(),
            sealed: Vec::new(),
            failure: None,
        })
    }

    /// Seals on the caller's thread alone, where the default is all cores (with the feature `parallel`).
    pub fn single_threaded(mut self) -> Self {
        self.threads = Threads::One;
        self
    }

    /// Writes the last segment, flushes `inner` and returns it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where writing fails, now or before, and
    /// [`Limit::StreamLength`](crate::Limit::StreamLength) where the message grew too long. It does not open then.
    pub fn finish(mut self) -> Result<W> {
        self.guarded(|writer| {
            let segments = writer.pending_segments().max(1);
            writer.seal(segments, &[], true)?;
            writer.inner.flush()?;
            Ok(())
        })?;
        Ok(self.inner)
    }

    #[cfg(test)]
    pub(super) fn at_position(mut self, position: u64) -> Self {
        self.position = position;
        self
    }

    /// Takes bytes of the caller's plaintext and says how many.
    fn take(&mut self, plaintext: &[u8]) -> Result<usize> {
        let length = self.sealer.length();
        let batch = self.threads.batch(length);
        loop {
            let full = batch.saturating_mul(length.plain_len());
            let room = full.saturating_sub(self.pending.len());
            // A batch is sealed only when there is more: its last segment is then not the message's.
            let Some((now, _more @ [_, ..])) = plaintext.split_at_checked(room) else {
                self.pending.extend(plaintext);
                return Ok(plaintext.len());
            };
            let begun = self.pending.len() % length.plain_len();
            let missing = if begun == 0 {
                0
            } else {
                length.plain_len() - begun
            };
            let (fill, direct) = now.split_at(missing.min(now.len()));
            self.pending.extend(fill);
            self.seal(batch, direct, false)?;
            if room > 0 {
                return Ok(room);
            }
        }
    }

    /// Seals all pending segments that are certainly not the message's last.
    fn drain(&mut self) -> Result<()> {
        match self.pending_segments().saturating_sub(1) {
            0 => Ok(()),
            certain => self.seal(certain, &[], false),
        }
    }

    /// Seals and writes `segments` segments, first of what is pending and then of `direct`.
    fn seal(&mut self, segments: usize, direct: &[u8], ends: bool) -> Result<()> {
        let length = self.sealer.length();
        let full = segments.saturating_mul(length.plain_len());
        let plaintext = full.min(self.pending.len().saturating_add(direct.len()));
        let overhead = segments.saturating_mul(length.sealed_len() - length.plain_len());
        self.sealed.resize(plaintext.saturating_add(overhead), 0);
        let pieces = self
            .pending
            .bytes()
            .chunks(length.plain_len())
            .chain(direct.chunks(length.plain_len()));
        self.sealer
            .seal(self.position, pieces, ends, &mut self.sealed, self.threads)?;
        self.position = self
            .position
            .saturating_add(u64::try_from(segments).unwrap_or(u64::MAX));
        self.pending.remove(full);
        self.inner.write_all(&self.sealed)?;
        Ok(())
    }

    fn pending_segments(&self) -> usize {
        let segment = self.sealer.length().plain_len();
        self.pending.len().div_ceil(segment)
    }

    /// Runs a step that, once it has failed, is never run again: no position is sealed twice.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if let Some(error) = &self.failure {
            return Err(error.again());
        }
        // Stands where the step panics.
        self.failure = Some(Error::Misuse("this writer has failed before"));
        let outcome = step(self);
        self.failure = outcome.as_ref().err().map(Error::again);
        outcome
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        Ok(self.guarded(|writer| writer.take(plaintext))?)
    }

    /// Writes all segments that are full and certainly not the last, and flushes `inner`. The rest waits for more
    /// plaintext or for [`finish`](Writer::finish).
    fn flush(&mut self) -> io::Result<()> {
        Ok(self.guarded(|writer| {
            writer.drain()?;
            writer.inner.flush()?;
            Ok(())
        })?)
    }
}

impl<W: Write> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("segment_length", &self.sealer.length())
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
