//! Encrypting into any `Write`.

use std::fmt;
use std::io::{self, Write};

use super::batch::Threads;
use super::buffer::Buffer;
use super::key::Key;
use super::length::SegmentLength;
use super::seal::Sealer;
use crate::error::{Error, Result};
use crate::memory::zeros;

/// Encrypts what is written to it into another [`Write`], in bounded memory: about two batches, of 1 MiB or one segment
/// for each core where that is more.
///
/// [`finish`](Self::finish) ends the message. A writer that is dropped before leaves nothing that opens, and so does one
/// that failed: after an error it takes no more. With several threads a batch is written while the next one is sealed, so
/// that an error of the other writer may be reported by a later call.
#[must_use = "without `finish` nothing that was written opens"]
pub struct Writer<W: Write> {
    inner: W,
    sealer: Sealer,
    threads: Threads,
    /// The position of the next segment.
    position: u64,
    /// Plaintext of that segment and of those after it. Until more comes, its end may be the message's.
    pending: Buffer,
    /// Where a batch is sealed.
    sealed: Vec<u8>,
    /// What was sealed before and, with `holds`, is written while the next is sealed.
    held: Vec<u8>,
    holds: bool,
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
            held: Vec::new(),
            holds: false,
            failure: None,
        })
    }

    /// Seals on the caller's thread alone, where the default is all cores (with the feature `parallel`).
    pub fn single_threaded(mut self) -> Self {
        self.threads = Threads::One;
        self
    }

    /// The inner writer, between two segments.
    pub(crate) fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// Writes the last segment, flushes `inner` and returns it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where writing fails, now or before, and
    /// [`Limit::StreamLength`](crate::error::Limit::StreamLength) where the message grew too long. It does not open then.
    pub fn finish(mut self) -> Result<W> {
        self.guarded(|writer| {
            let segments = writer.pending_segments().max(1);
            writer.seal(segments, &[], true)?;
            writer.write_held()?;
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
        let overlapping = self.threads.overlapping(length);
        let batch = overlapping.unwrap_or_else(|| self.threads.batch(length));
        loop {
            let full = batch.saturating_mul(length.plain_len());
            let room = full.saturating_sub(self.pending.len());
            // A batch is sealed only when there is more: its last segment is then not the message's.
            let Some((now, _more @ [_, ..])) = plaintext.split_at_checked(room) else {
                self.pending.extend(plaintext, full)?;
                return Ok(plaintext.len());
            };
            let begun = self.pending.len() % length.plain_len();
            let missing = if begun == 0 {
                0
            } else {
                length.plain_len() - begun
            };
            let (fill, direct) = now.split_at(missing.min(now.len()));
            self.pending.extend(fill, full)?;
            self.seal(batch, direct, false)?;
            if room > 0 {
                return Ok(room);
            }
        }
    }

    /// Seals and writes all pending segments that are certainly not the message's last.
    fn drain(&mut self) -> Result<()> {
        let certain = self.pending_segments().saturating_sub(1);
        if certain > 0 {
            self.seal(certain, &[], false)?;
        }
        self.write_held()
    }

    /// Seals `segments` segments, first of what is pending and then of `direct`, and writes those before them.
    fn seal(&mut self, segments: usize, direct: &[u8], ends: bool) -> Result<()> {
        let length = self.sealer.length();
        let full = segments.saturating_mul(length.plain_len());
        let plaintext = full.min(self.pending.len().saturating_add(direct.len()));
        let overhead = segments.saturating_mul(length.sealed_len() - length.plain_len());
        let sealed = plaintext.saturating_add(overhead);
        if sealed > self.sealed.capacity() {
            self.sealed = zeros(sealed)?; // without a copy of what stands there, and no longer than it must be
        }
        self.sealed.resize(sealed, 0);
        let pieces = self
            .pending
            .bytes()
            .chunks(length.plain_len())
            .chain(direct.chunks(length.plain_len()));
        let mut written = Ok(());
        let (inner, held, holds) = (&mut self.inner, &self.held, self.holds);
        let write_held = || {
            if holds {
                written = inner.write_all(held);
            }
        };
        let out = (self.sealed.as_mut_slice(), self.threads);
        self.sealer
            .seal_while(self.position, pieces, ends, out, write_held)?;
        written?;
        self.holds = false;
        self.position = self
            .position
            .saturating_add(u64::try_from(segments).unwrap_or(u64::MAX));
        self.pending.remove(full);
        if self.threads.overlapping(length).is_some() {
            std::mem::swap(&mut self.sealed, &mut self.held);
            self.holds = true;
        } else {
            self.inner.write_all(&self.sealed)?;
        }
        Ok(())
    }

    fn write_held(&mut self) -> Result<()> {
        if std::mem::take(&mut self.holds) {
            self.inner.write_all(&self.held)?;
        }
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
