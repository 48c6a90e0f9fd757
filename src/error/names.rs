//! The words by which an error names a key.

use std::fmt;

use super::{Error, Malformed, Result};

/// The id of a master key: 16 bytes, shown in hexadecimal.
///
/// ```
/// use phi_envelope::KeyId;
/// assert_eq!(KeyId::from_bytes([0xab; 16]).to_string(), "ab".repeat(16));
/// let id: KeyId = "ab".repeat(16).parse()?;
/// assert_eq!(id, KeyId::from_bytes([0xab; 16]));
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// The id of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", Hex(&self.0))
    }
}

impl std::str::FromStr for KeyId {
    type Err = Error;

    /// Reads the 32 hexadecimal digits that `Display` writes.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::from(Malformed::KeyIdText);
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return Err(wrong());
        };
        let mut id = [0; 16];
        if pairs.len() != id.len() {
            return Err(wrong());
        }
        for (byte, pair) in id.iter_mut().zip(pairs) {
            let digit = |d: u8| {
                char::from(d)
                    .to_digit(16)
                    .and_then(|d| u8::try_from(d).ok())
            };
            let [high, low] = pair.map(digit);
            *byte = (high.ok_or_else(wrong)? << 4) | low.ok_or_else(wrong)?;
        }
        Ok(Self(id))
    }
}

/// The state of a master key (NIST SP 800-57 part 1, §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KeyState {
    /// Wraps and unwraps. Exactly one key of a keyring is active.
    Active,
    /// Unwraps only.
    Deactivated,
    /// Does neither until it is resumed.
    Suspended,
    /// Unwraps only for a cipher that allows compromised keys.
    Compromised,
    /// Its material is gone; its id is kept.
    Destroyed,
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Suspended => "suspended",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
        })
    }
}

/// Bytes in hexadecimal.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
