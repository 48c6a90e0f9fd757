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

/// The kind of an envelope, and of the files that this crate keeps for itself (FORMAT §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Header and payload in one piece of memory.
    Record,
    /// A stream behind two header blocks.
    StreamInline,
    /// The header of a stream that lies elsewhere.
    StreamDetached,
    /// A keyring.
    Keyring,
    /// Evidence that a key is out of use.
    Evidence,
    /// The private keys of public-key recipients.
    Identity,
    /// The root of a compartment store.
    CompartmentRoot,
    /// An entry of a compartment store.
    CompartmentEntry,
    /// The receipt of a shred.
    ShredReceipt,
    /// The head of an audit segment.
    AuditSegmentHead,
    /// A record of a compartment, without a header.
    CompactRecord,
}

impl Kind {
    /// The kind of this byte of a header, or none if no kind has it.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => Self::Record,
            0x02 => Self::StreamInline,
            0x03 => Self::StreamDetached,
            0x04 => Self::Keyring,
            0x05 => Self::Evidence,
            0x06 => Self::Identity,
            0x07 => Self::CompartmentRoot,
            0x08 => Self::CompartmentEntry,
            0x09 => Self::ShredReceipt,
            0x0A => Self::AuditSegmentHead,
            0x0B => Self::CompactRecord,
            _ => return None,
        })
    }

    /// The byte of a header that states the kind.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Record => 0x01,
            Self::StreamInline => 0x02,
            Self::StreamDetached => 0x03,
            Self::Keyring => 0x04,
            Self::Evidence => 0x05,
            Self::Identity => 0x06,
            Self::CompartmentRoot => 0x07,
            Self::CompartmentEntry => 0x08,
            Self::ShredReceipt => 0x09,
            Self::AuditSegmentHead => 0x0A,
            Self::CompactRecord => 0x0B,
        }
    }

    /// Whether the kind is laid out as a record: the header, then an IV, a ciphertext and a tag.
    pub(crate) fn is_record_like(self) -> bool {
        self == Self::Record || self.is_own()
    }

    /// Whether files of the kind are this crate's own (FORMAT §2, kinds 0x04 to 0x0A): never a record of an application.
    #[must_use]
    pub fn is_own(self) -> bool {
        (0x04..=0x0A).contains(&self.byte())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Record => "a record",
            Self::StreamInline => "an inline stream",
            Self::StreamDetached => "a detached header",
            Self::Keyring => "a keyring",
            Self::Evidence => "evidence",
            Self::Identity => "an identity",
            Self::CompartmentRoot => "the root of a compartment store",
            Self::CompartmentEntry => "the entry of a compartment",
            Self::ShredReceipt => "a shred receipt",
            Self::AuditSegmentHead => "the head of an audit segment",
            Self::CompactRecord => "a compact record",
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
