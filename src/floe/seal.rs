//! Sealing runs of segments at given positions.

use std::iter;
use std::sync::Arc;

use super::batch::Threads;
use super::key::Key;
use super::layout::check_run;
use super::length::SegmentLength;
use super::message::{HEADER_LEN, Message};
use super::segment::{aad, parts_mut, word};
use crate::crypto::gcm::GcmKey;
use crate::crypto::random::{self, FreshIv};
use crate::error::{Error, Result};

/// Seals the segments of one message, at any position and from many threads.
///
/// A message is authentic only where each position was sealed once: who calls sees to that, and seals exactly one
/// segment as the last.
#[derive(Debug)]
pub(crate) struct Sealer(Message);

impl Sealer {
    /// Begins a message.
    pub(crate) fn new(key: &Key, aad: &[u8], length: SegmentLength) -> Result<Self> {
        Message::begin(key, aad, length).map(Self)
    }

    /// What stands before the first segment.
    pub(crate) fn header(&self) -> &[u8; HEADER_LEN] {
        self.0.header()
    }

    /// The segment length of this message.
    pub(crate) fn length(&self) -> SegmentLength {
        self.0.length
    }

    /// Seals pieces of plaintext, one a segment and in order, into the run of segments `out` that begins at `position`.
    /// With `ends`, the run's last segment is the message's.
    ///
    /// `out` is made of full segments; the message's last may have 32 bytes or more. A piece has the 32 bytes less than
    /// its segment. For an empty message there may be no piece at all.
    pub(crate) fn seal<'a>(
        &self,
        position: u64,
        pieces: impl Iterator<Item = &'a [u8]>,
        ends: bool,
        out: &mut [u8],
        threads: Threads,
    ) -> Result<()> {
        self.seal_while(position, pieces, ends, (out, threads), || {})
    }

    /// [`seal`](Self::seal), and once `meanwhile` on the caller's thread, where nothing is refused at once.
    pub(super) fn seal_while<'a>(
        &self,
        position: u64,
        pieces: impl Iterator<Item = &'a [u8]>,
        ends: bool,
        (out, threads): (&mut [u8], Threads),
        meanwhile: impl FnOnce(),
    ) -> Result<()> {
        let pieces = pieces.chain(iter::repeat(&[][..]));
        let sealed_len = self.length().sealed_len();
        if !ends && !out.len().is_multiple_of(sealed_len) {
            return Err(WRONG_LENGTH);
        }
        let count = out.len().div_ceil(sealed_len);
        check_run(self.length(), position, count, out.len(), ends)?;
        let last = if ends { count.checked_sub(1) } else { None };
        let jobs = out
            .chunks_mut(sealed_len)
            .zip(pieces)
            .zip(random::ivs(count)?)
            .zip(position..)
            .enumerate()
            .map(|(index, (((segment, piece), iv), position))| Job {
                position,
                last: last == Some(index),
                key: self.0.segment_key(position),
                iv,
                piece,
                segment,
            })
            .collect();
        match threads.first_failure_while(jobs, sealed_len, Job::seal, meanwhile) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

const WRONG_LENGTH: Error = Error::Misuse("a segment's plaintext has not its segment's length");

struct Job<'a, 'b> {
    position: u64,
    last: bool,
    key: Arc<GcmKey>,
    iv: FreshIv,
    piece: &'a [u8],
    segment: &'b mut [u8],
}

impl Job<'_, '_> {
    fn seal(self) -> Result<()> {
        let stated = word(self.segment.len(), self.last);
        let aad = aad(self.position, self.last);
        let (word, iv, content, tag) = parts_mut(self.segment).ok_or(WRONG_LENGTH)?;
        if self.piece.len() != content.len() {
            return Err(WRONG_LENGTH);
        }
        let sealed = self.key.seal_into(self.iv, &aad, self.piece, content);
        *word = stated;
        *iv = sealed.iv;
        *tag = sealed.tag;
        Ok(())
    }
}
