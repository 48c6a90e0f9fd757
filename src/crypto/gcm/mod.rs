//! AES-256-GCM (NIST SP 800-38D; 96-bit IV, 128-bit tag) in two backends behind one face.

#[cfg(feature = "aws-lc")]
pub(super) mod aws_lc;
#[cfg(any(test, not(feature = "aws-lc")))]
pub(super) mod pure;

#[cfg(feature = "aws-lc")]
use aws_lc as backend;
#[cfg(not(feature = "aws-lc"))]
use pure as backend;

use crate::crypto::random::{FreshIv, IV_LEN};

/// Bytes of an AES-GCM tag.
pub(crate) const TAG_LEN: usize = 16;

/// Bytes that AES-GCM seals in one call (SP 800-38D §5.2.1.1).
pub(crate) const MAX_PLAINTEXT: u64 = (1 << 36) - 32;

/// The tag did not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadTag;

/// What sealing leaves besides the ciphertext, to be stored beside it.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) iv: [u8; IV_LEN],
    pub(crate) tag: [u8; TAG_LEN],
}

/// An expanded AES-256-GCM key, erased when dropped.
pub(crate) struct GcmKey(backend::Key);

impl GcmKey {
    #[inline]
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(backend::Key::new(key))
    }

    /// Seals `buffer` in place.
    pub(crate) fn seal_in_place(&self, iv: FreshIv, aad: &[u8], buffer: &mut [u8]) -> Sealed {
        let iv = iv.into_bytes();
        let tag = self.0.seal_in_place(&iv, aad, buffer);
        Sealed { iv, tag }
    }

    /// Seals `plaintext` into `ciphertext`, which has the same length.
    pub(crate) fn seal_into(
        &self,
        iv: FreshIv,
        aad: &[u8],
        plaintext: &[u8],
        ciphertext: &mut [u8],
    ) -> Sealed {
        let iv = iv.into_bytes();
        let tag = self.0.seal_into(&iv, aad, plaintext, ciphertext);
        Sealed { iv, tag }
    }

    /// Opens `buffer` in place. On a bad tag the buffer is unchanged or zero.
    pub(crate) fn open_in_place(
        &self,
        iv: &[u8; IV_LEN],
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), BadTag> {
        self.0.open_in_place(iv, aad, buffer, tag)
    }

    /// Opens `ciphertext` into `plaintext`, which has the same length. On a bad tag `plaintext` is unchanged or zero.
    pub(crate) fn open_into(
        &self,
        iv: &[u8; IV_LEN],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        plaintext: &mut [u8],
    ) -> Result<(), BadTag> {
        self.0.open_into(iv, aad, ciphertext, tag, plaintext)
    }
}

impl std::fmt::Debug for GcmKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GcmKey(redacted)")
    }
}
