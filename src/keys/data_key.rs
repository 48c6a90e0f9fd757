//! 32 random bytes that protect one envelope or one session.

use crate::secret::Secret;

/// 32 random bytes that protect one envelope or one session. Erased when dropped; never cloned, never printed.
///
/// Only a [`KeyProvider`](crate::KeyProvider) meets one: to wrap it, or to hand it back unwrapped.
#[derive(Debug)]
pub struct DataKey(Secret<32>);

impl DataKey {
    /// The key of these bytes, which a provider has unwrapped. The caller's bytes are erased.
    ///
    /// ```
    /// let mut unwrapped = [7; 32];
    /// let key = phi_envelope::keys::DataKey::from_bytes_zeroizing(&mut unwrapped);
    /// assert_eq!((unwrapped, key.as_bytes()), ([0; 32], &[7; 32]));
    /// ```
    pub fn from_bytes_zeroizing(bytes: &mut [u8; 32]) -> Self {
        Self(Secret::from_bytes_zeroizing(bytes))
    }

    /// The bytes, for a provider to wrap. They must not be kept, logged or sent in clear.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl From<Secret<32>> for DataKey {
    fn from(secret: Secret<32>) -> Self {
        Self(secret)
    }
}
