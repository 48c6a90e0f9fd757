//! The sealed side of a reader.

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use super::buffer::Buffer;
use super::layout::Layout;
use super::length::SegmentLength;
use super::message::HEADER_LEN;
use crate::error::{Error, Result};

/// What is allocated before the first byte has come, and by which factor it grows while more do.
const FIRST: usize = 8192;
const GROWTH: usize = 8;

/// Segments that were fetched together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Bytes of the segments.
    pub(super) len: usize,
    /// Whether the stream ends with them.
    pub(super) ends: bool,
}

/// Fetches runs of segments into one buffer, in which they are opened.
pub(super) struct Source<R> {
    inner: R,
    /// Bytes of the message that `inner` is past.
    consumed: u64,
    /// Where in `inner` the message begins, once it was asked.
    base: Option<u64>,
    buffer: Buffer,
    /// The bytes in `buffer` that belong to no run yet.
    ahead: std::ops::Range<usize>,
}

impl<R> Source<R> {
    /// The source of a message whose header was read.
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            consumed: HEADER_LEN as u64,
            base: None,
            buffer: Buffer::new(),
            ahead: 0..0,
        }
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.bytes()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.bytes_mut()
    }
}

impl<R: Read> Source<R> {
    /// Fetches the next run to the start of the buffer: `want` bytes, or fewer where the stream ends. That takes a byte
    /// more than `want`, which is kept for the run after it. After an error the call may be repeated.
    pub(super) fn fetch(&mut self, want: usize) -> Result<Run> {
        self.buffer.bytes_mut().copy_within(self.ahead.clone(), 0);
        self.ahead = 0..self.ahead.len();
        while self.ahead.end <= want {
            if self.ahead.end == self.buffer.len() {
                let more = self.buffer.len().saturating_mul(GROWTH).max(FIRST);
                self.buffer.grow(more.min(want.saturating_add(1)))?;
            }
            // Not beyond `want` and a byte: the rest of a longer buffer would only be moved about.
            let room = self.ahead.end..self.buffer.len().min(want.saturating_add(1));
            let room = self.buffer.bytes_mut().get_mut(room).unwrap_or_default();
            match self.inner.read(room) {
                Ok(0) => break,
                Ok(read) => {
                    self.ahead.end = self.ahead.end.saturating_add(read);
                    self.consumed = self.consumed.saturating_add(read.try_into().unwrap_or(0));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let ends = self.ahead.end <= want;
        let len = self.ahead.end.min(want);
        self.ahead.start = len;
        Ok(Run { len, ends })
    }
}

impl<R: Read + Seek> Source<R> {
    /// The layout that the size of the stream implies. Moves `inner`.
    pub(super) fn layout(&mut self, length: SegmentLength) -> Result<Layout> {
        let base = self.base()?;
        let size = self.inner.seek(SeekFrom::End(0))?;
        let body = size
            .checked_sub(base)
            .and_then(|message| message.checked_sub(HEADER_LEN as u64));
        Layout::of_body(length, body.ok_or(Error::Truncated)?)
    }

    /// Bytes of the message from `offset` on. Moves `inner`.
    pub(super) fn read_at(&mut self, offset: u64, len: usize) -> Result<Buffer> {
        let base = self.base()?;
        self.inner
            .seek(SeekFrom::Start(base.saturating_add(offset)))?;
        let mut bytes = Buffer::new();
        bytes.grow(len)?;
        self.inner.read_exact(bytes.bytes_mut())?;
        Ok(bytes)
    }

    /// Moves `inner` back to where the next fetch expects it.
    pub(super) fn resume(&mut self) -> Result<()> {
        let base = self.base()?;
        self.inner
            .seek(SeekFrom::Start(base.saturating_add(self.consumed)))?;
        Ok(())
    }

    /// Lets the next run begin at `offset` of the message.
    pub(super) fn jump(&mut self, offset: u64) -> Result<()> {
        self.base()?; // while it can still be told from `consumed`
        self.consumed = offset;
        self.ahead = 0..0;
        self.resume()
    }

    fn base(&mut self) -> Result<u64> {
        if let Some(base) = self.base {
            return Ok(base);
        }
        let base = self.inner.stream_position()?.checked_sub(self.consumed);
        self.base = base;
        base.ok_or(Error::Misuse(
            "the reader's inner stream was moved by another",
        ))
    }
}
