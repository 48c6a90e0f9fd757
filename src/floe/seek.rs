//! Random access.

use std::io::{self, Read, Seek, SeekFrom};

use super::batch::Threads;
use super::layout::Layout;
use super::reader::Reader;
use crate::error::{Error, Limit, Result};

impl<R: Read + Seek> Reader<R> {
    /// Bytes of plaintext in the whole message. Where the reader stands does not change.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::Malformed`] or [`Error::AuthenticationFailed`] where the stream does not end with
    /// the last segment of this message, [`Error::Io`] where reading or seeking fails.
    pub fn plaintext_len(&mut self) -> Result<u64> {
        if let Some(len) = self.len {
            return Ok(len);
        }
        let layout = self.layout()?;
        self.away(|reader| reader.open_last(&layout))?;
        let len = layout.plaintext();
        self.len = Some(len);
        Ok(len)
    }

    // FORMAT §6: a length read off the size of a file is believed, the end is reported and a seek from the end is
    // answered only after the last segment was authenticated
    fn go_to(&mut self, target: u64) -> Result<()> {
        if self.go_within(target) {
            return Ok(());
        }
        let layout = self.layout()?;
        if target >= layout.plaintext() {
            self.plaintext_len()?;
            self.moved_past_end(target);
            return Ok(());
        }
        let full = u64::from(self.opener.length().plaintext());
        let next = target / full;
        let skip = usize::try_from(target % full).map_err(|_| Limit::StreamLength)?;
        match self.source.jump(layout.offset(next)) {
            Ok(()) => {
                self.moved(next, skip);
                Ok(())
            }
            Err(error) => {
                self.lost(&error);
                Err(error)
            }
        }
    }

    /// The layout that the size of the stream implies: a claim.
    fn layout(&mut self) -> Result<Layout> {
        if let Some(layout) = self.layout {
            return Ok(layout);
        }
        let length = self.opener.length();
        let layout = self.away(|reader| reader.source.layout(length))?;
        self.layout = Some(layout);
        Ok(layout)
    }

    fn open_last(&mut self, layout: &Layout) -> Result<()> {
        let len = usize::try_from(layout.last_len()).map_err(|_| Limit::StreamLength)?;
        let mut segment = self.source.read_at(layout.offset(layout.last()), len)?;
        let outcome =
            self.opener
                .open_in_place(layout.last(), segment.bytes_mut(), true, Threads::One);
        Ok(outcome?)
    }

    /// Does something that moves the inner stream, and moves that back.
    fn away<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let outcome = step(self);
        match self.source.resume() {
            Ok(()) => outcome,
            Err(error) => {
                self.lost(&error);
                Err(outcome.err().unwrap_or(error))
            }
        }
    }
}

/// Seeks in the plaintext. A seek beyond the end is allowed, and reads there give nothing, as in a file; that there is an
/// end is said only after the last segment was authenticated. A seek that fails leaves the reader where it was.
impl<R: Read + Seek> Seek for Reader<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(target) => Some(target),
            SeekFrom::Current(by) => self.position().checked_add_signed(by),
            SeekFrom::End(by) => self.plaintext_len()?.checked_add_signed(by),
        };
        let target = target.ok_or(Error::Misuse("a seek to before the start"))?;
        self.go_to(target)?;
        Ok(target)
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        Ok(self.position())
    }
}
