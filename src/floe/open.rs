//! Opening runs of segments at given positions.

use std::iter;
use std::sync::Arc;

use zeroize::Zeroize as _;

use super::batch::Threads;
use super::key::Key;
use super::layout::check_run;
use super::length::SegmentLength;
use super::message::{HEADER_LEN, Message};
use super::segment::{aad, check_word, parts, parts_mut};
use crate::crypto::gcm::GcmKey;
use crate::error::{AuthenticatedPart, Error, Result};

/// Opens the segments of one message whose header has verified, at any position and from many threads.
#[derive(Debug)]
pub(crate) struct Opener(Message);

/// A run that was opened in part.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// Segments before the one that did not open. Nothing but zeros stands where the others would.
    pub(crate) opened: usize,
    /// Why it did not.
    pub(crate) error: Error,
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        stopped.error
    }
}

impl Opener {
    /// Verifies the header of a message.
    pub(crate) fn new(key: &Key, aad: &[u8], header: &[u8; HEADER_LEN]) -> Result<Self> {
        Message::verify(key, aad, *header).map(Self)
    }

    /// The segment length of this message.
    pub(crate) fn length(&self) -> SegmentLength {
        self.0.length
    }

    /// Opens the run of segments that begins at `position` into the start of `out`, which has room for the plaintext. With
    /// `ends`, nothing follows the run in the message.
    pub(crate) fn open(
        &self,
        position: u64,
        run: &[u8],
        ends: bool,
        out: &mut [u8],
        threads: Threads,
    ) -> Result<(), Stopped> {
        let length = self.length();
        let last = self.check(position, run.len(), ends)?;
        let jobs = run
            .chunks(length.sealed_len())
            .zip(
                out.chunks_mut(length.plain_len())
                    .chain(iter::repeat_with(|| &mut [][..])),
            )
            .zip(position..)
            .enumerate()
            .map(|(index, ((segment, out), position))| {
                let job = self.job(index, position, last);
                (job, segment, out)
            })
            .collect();
        let failed = threads.first_failure(jobs, length.sealed_len(), |(job, segment, out)| {
            job.open(segment, out).map_err(|error| job.stopped(error))
        });
        settle(failed, out, length.plain_len())
    }

    /// Opens a run as [`open`](Self::open) does, and leaves the plaintext in its segments after their first 16 bytes.
    pub(crate) fn open_in_place(
        &self,
        position: u64,
        run: &mut [u8],
        ends: bool,
        threads: Threads,
    ) -> Result<(), Stopped> {
        let length = self.length();
        let last = self.check(position, run.len(), ends)?;
        let jobs = run
            .chunks_mut(length.sealed_len())
            .zip(position..)
            .enumerate()
            .map(|(index, (segment, position))| (self.job(index, position, last), segment))
            .collect();
        let failed = threads.first_failure(jobs, length.sealed_len(), |(job, segment)| {
            job.open_in_place(segment)
                .map_err(|error| job.stopped(error))
        });
        settle(failed, run, length.sealed_len())
    }

    /// The index of the message's last segment in a run, where it is in there.
    fn check(&self, position: u64, run: usize, ends: bool) -> Result<Option<usize>, Stopped> {
        let at_start = |error| Stopped { opened: 0, error };
        let count = run.div_ceil(self.length().sealed_len());
        check_run(self.length(), position, count, run, ends).map_err(at_start)?;
        match count.checked_sub(1) {
            None if ends => Err(at_start(Error::Truncated)),
            last => Ok(last.filter(|_| ends)),
        }
    }

    fn job(&self, index: usize, position: u64, last: Option<usize>) -> Job {
        Job {
            index,
            position,
            last: last == Some(index),
            length: self.length(),
            key: self.0.segment_key(position),
        }
    }
}

/// Erases what stands behind the segments that were opened, `stride` bytes each.
fn settle(failed: Option<Stopped>, out: &mut [u8], stride: usize) -> Result<(), Stopped> {
    let Some(stopped) = failed else {
        return Ok(());
    };
    let opened = stopped.opened.saturating_mul(stride).min(out.len());
    let (_, rest) = out.split_at_mut(opened);
    rest.zeroize();
    Err(stopped)
}

struct Job {
    index: usize,
    position: u64,
    last: bool,
    length: SegmentLength,
    key: Arc<GcmKey>,
}

impl Job {
    fn open(&self, segment: &[u8], out: &mut [u8]) -> Result<()> {
        let (word, iv, content, tag) = parts(segment).ok_or(Error::Truncated)?;
        check_word(*word, segment.len(), self.last, self.length)?;
        let out = out
            .get_mut(..content.len())
            .ok_or(Error::Misuse("no room for a segment's plaintext"))?;
        let aad = aad(self.position, self.last);
        self.key
            .open_into(iv, &aad, content, tag, out)
            .map_err(|_| AuthenticatedPart::Segment(self.position).into())
    }

    // Under a name of its own: a test finds by it the branches that depend on a key.
    #[inline(never)]
    fn open_in_place(&self, segment: &mut [u8]) -> Result<()> {
        let len = segment.len();
        let (word, iv, content, tag) = parts_mut(segment).ok_or(Error::Truncated)?;
        check_word(*word, len, self.last, self.length)?;
        let aad = aad(self.position, self.last);
        self.key
            .open_in_place(iv, &aad, content, tag)
            .map_err(|_| AuthenticatedPart::Segment(self.position).into())
    }

    fn stopped(&self, error: Error) -> Stopped {
        Stopped {
            opened: self.index,
            error,
        }
    }
}
