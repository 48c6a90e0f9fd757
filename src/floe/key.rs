//! The key of FLOE messages.

use std::fmt;

use zeroize::Zeroize as _;

use crate::crypto::mac::Mac384;
use crate::crypto::random;
use crate::error::Result;
use crate::secret::on_cleared_stack;

/// A 256-bit key of FLOE messages: erased when dropped, never printed, not `Clone`.
///
/// ```
/// use phi_envelope::floe::Key;
/// let key = Key::generate()?;
/// assert_eq!(format!("{key:?}"), "Key(redacted)");
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub struct Key(Mac384); // every use of the key is an HMAC, so the keyed state is all that is kept

impl Key {
    /// A new random key.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) where the operating system gives no randomness.
    pub fn generate() -> Result<Self> {
        let secret = random::secret()?;
        Ok(on_cleared_stack(|| Self::derived(secret.as_bytes())))
    }

    /// The key of these 32 bytes, which must be uniformly random. Erasing the caller's copies is the caller's part.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
        let key = on_cleared_stack(|| Self(Mac384::new(&bytes)));
        bytes.zeroize();
        key
    }

    /// The key that another layer derived and erases, and that clears the stack.
    pub(crate) fn derived(key: &[u8; 32]) -> Self {
        Self(Mac384::new(key))
    }

    pub(super) fn mac(&self) -> &Mac384 {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}
