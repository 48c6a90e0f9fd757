//! The kinds of envelopes, and of this crate's own files.

use std::fmt;

/// The kind of an envelope, and of the files that this crate keeps for itself (FORMAT §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EnvelopeKind {
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

impl EnvelopeKind {
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

impl fmt::Display for EnvelopeKind {
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
