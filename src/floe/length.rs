//! The one choice that a message offers.

use crate::error::{Malformed, Result};

/// Bytes of a segment that are not plaintext: length word, IV and tag.
pub(crate) const OVERHEAD: u32 = 4 + 12 + 16;

/// The encrypted length of a segment: 33 to 4,294,967,294 bytes, 32 of them not plaintext.
///
/// Longer segments cost memory and make random access dearer; shorter ones cost space and speed. The default suits both
/// files and streams.
///
/// ```
/// use phi_envelope::floe::SegmentLength;
/// assert_eq!(SegmentLength::DEFAULT.get(), 65_536);
/// assert_eq!(SegmentLength::DEFAULT.plaintext(), 65_504);
/// assert!(SegmentLength::new(32).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentLength(u32);

impl SegmentLength {
    /// 65,536 bytes.
    pub const DEFAULT: Self = Self(65_536);

    /// A segment length in bytes, encrypted.
    ///
    /// # Errors
    ///
    /// [`Malformed::SegmentLength`] below 33 and for `u32::MAX`, which marks a segment that is not the last.
    pub fn new(encrypted: u32) -> Result<Self> {
        if encrypted > OVERHEAD && encrypted < u32::MAX {
            Ok(Self(encrypted))
        } else {
            Err(Malformed::SegmentLength.into())
        }
    }

    /// Bytes of an encrypted segment.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Bytes of plaintext in a full segment.
    #[must_use]
    pub const fn plaintext(self) -> u32 {
        self.0.saturating_sub(OVERHEAD)
    }

    /// [`get`](Self::get), as a length in memory.
    pub(crate) fn sealed_len(self) -> usize {
        in_memory(self.0)
    }

    /// [`plaintext`](Self::plaintext), as a length in memory.
    pub(crate) fn plain_len(self) -> usize {
        in_memory(self.plaintext())
    }
}

impl Default for SegmentLength {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A u32 as a length in memory. Where an address has fewer bits nothing of that length can be allocated anyway.
fn in_memory(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
