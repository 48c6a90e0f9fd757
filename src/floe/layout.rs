//! Where everything stands in a message.

use super::length::{OVERHEAD, SegmentLength};
use super::message::HEADER_LEN;
use super::segment::check_word;
use crate::error::{Error, Limit, Result};

/// Segments of a message, at most.
pub(crate) const MAX_SEGMENTS: u64 = 1 << 40;

/// Bytes of a message, at most: what a signed 64-bit file offset can say.
pub(crate) const MAX_BYTES: u64 = i64::MAX.cast_unsigned();

const HEADER: u64 = HEADER_LEN as u64;

/// The arithmetic of a whole message. A layout that was read off a size is a claim until the last segment has been opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    length: SegmentLength,
    segments: u64,
    plaintext: u64,
}

impl Layout {
    // FORMAT §6: n = ⌈B / L⌉, plaintext = B − 32 n bytes, the last segment B − (n − 1) L
    /// The layout of a message whose segments take `body` bytes.
    pub(crate) fn of_body(length: SegmentLength, body: u64) -> Result<Self> {
        let segments = body.div_ceil(length.get().into());
        within_limits(segments, Some(body))?;
        // No segments, or a last one that cannot hold its own overhead: the end is missing.
        let last = body % u64::from(length.get());
        if body == 0 || (last != 0 && last < OVERHEAD.into()) {
            return Err(Error::Truncated);
        }
        let overhead = segments.saturating_mul(OVERHEAD.into());
        Ok(Self {
            length,
            segments,
            plaintext: body.saturating_sub(overhead),
        })
    }

    /// The layout of the message that a writer makes of `plaintext` bytes.
    pub(crate) fn of_plaintext(length: SegmentLength, plaintext: u64) -> Result<Self> {
        let segments = plaintext.div_ceil(length.plaintext().into()).max(1);
        let overhead = segments.checked_mul(OVERHEAD.into());
        within_limits(segments, overhead.and_then(|o| o.checked_add(plaintext)))?;
        Ok(Self {
            length,
            segments,
            plaintext,
        })
    }

    /// Segments, 1 to 2^40.
    pub(crate) fn segments(&self) -> u64 {
        self.segments
    }

    /// The position of the last segment.
    pub(crate) fn last(&self) -> u64 {
        self.segments.saturating_sub(1)
    }

    /// Bytes of plaintext.
    pub(crate) fn plaintext(&self) -> u64 {
        self.plaintext
    }

    /// Bytes of the whole message, header included.
    pub(crate) fn message(&self) -> u64 {
        let overhead = self.segments.saturating_mul(OVERHEAD.into());
        HEADER
            .saturating_add(self.plaintext)
            .saturating_add(overhead)
    }

    /// Bytes from the start of the message to the segment at `position`, which is one of this message.
    pub(crate) fn offset(&self, position: u64) -> u64 {
        HEADER.saturating_add(position.saturating_mul(self.length.get().into()))
    }

    // FORMAT §6: for the last segment, the length word is its own whole length
    /// Checks what the last segment states of its length, by its first four bytes. It is a claim until the segment has been opened.
    pub(crate) fn check_last_word(&self, word: [u8; 4]) -> Result<()> {
        let len = usize::try_from(self.last_len()).map_err(|_| Limit::StreamLength)?;
        check_word(word, len, true, self.length)
    }

    /// Encrypted bytes of the last segment.
    pub(crate) fn last_len(&self) -> u64 {
        self.message().saturating_sub(self.offset(self.last()))
    }
}

/// Checks that `segments` segments of `bytes` bytes from `position` can stand in a message: that it stays within its
/// limits and, where they do not end it, leaves room for the segment that does.
pub(crate) fn check_run(
    length: SegmentLength,
    position: u64,
    segments: usize,
    bytes: usize,
    ends: bool,
) -> Result<()> {
    let after = || {
        let segments = u64::try_from(segments).ok()?;
        position
            .checked_add(segments)?
            .checked_add(u64::from(!ends))
    };
    let body = || {
        let before = position.checked_mul(length.get().into())?;
        let ending = if ends { 0 } else { OVERHEAD };
        before
            .checked_add(u64::try_from(bytes).ok()?)?
            .checked_add(ending.into())
    };
    within_limits(after().unwrap_or(u64::MAX), body())
}

// FORMAT §1: a stream has at most 2^40 segments and 2^63 − 1 bytes
fn within_limits(segments: u64, body: Option<u64>) -> Result<()> {
    let bytes = body.and_then(|body| body.checked_add(HEADER));
    if segments > MAX_SEGMENTS || bytes.is_none_or(|bytes| bytes > MAX_BYTES) {
        return Err(Limit::StreamLength.into());
    }
    Ok(())
}
