//! FORMAT §4: what a slot's key id names, scheme by scheme.

use std::fmt;

use super::names::Hex;
use super::{KeyId, Malformed};

/// KEM 0x647A: MLKEM768-X25519 (X-Wing).
pub(crate) const KEM_X_WING: u16 = 0x647A;
/// KEM 0x0051: MLKEM1024-P384.
pub(crate) const KEM_P384: u16 = 0x0051;

/// What a slot of a header names: the scheme of a provider and the id of its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SlotId {
    /// The scheme's number (FORMAT §4).
    pub scheme: u8,
    /// The key's id in that scheme.
    pub key_id: Vec<u8>,
}

impl SlotId {
    /// Says what the slot names, in the words of its scheme.
    #[must_use]
    pub fn name(&self) -> SlotName<'_> {
        SlotName::parse(self.scheme, &self.key_id).unwrap_or(SlotName::Unknown)
    }
}

impl From<KeyId> for SlotId {
    /// The slot of a keyring's master key.
    fn from(id: KeyId) -> Self {
        Self {
            scheme: 0x01,
            key_id: id.as_bytes().to_vec(),
        }
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            SlotName::Unknown => {
                let (scheme, id) = (self.scheme, Hex(&self.key_id));
                write!(f, "scheme {scheme:#04x} {id}")
            }
            name => write!(f, "{name}"),
        }
    }
}

/// What a slot's key id says, in the words of its scheme (FORMAT §4). Nothing of it is verified before the header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlotName<'a> {
    /// 0x01: a master key of a keyring.
    Keyring(KeyId),
    /// 0x02: a passphrase.
    Passphrase,
    /// 0x03: a public key.
    Recipient {
        /// The number of the KEM.
        kem: u16,
        /// The hash that names the public key.
        fingerprint: &'a [u8; 32],
    },
    /// 0x04: a key of AWS KMS.
    AwsKms {
        /// The key's ARN.
        arn: &'a str,
    },
    /// 0x05: a key of a Transit engine.
    Transit {
        /// The version of the key, 1 or more.
        version: u32,
        /// The owner's word for the cluster. It may be empty.
        realm: &'a str,
        /// The engine's namespace and mount.
        mount: &'a str,
        /// The name of the key.
        name: &'a str,
    },
    /// 0x06: a key of a PKCS#11 token.
    Pkcs11 {
        /// The label of the token.
        token: &'a str,
        /// The key's `CKA_ID`.
        id: &'a [u8],
    },
    /// 0x07: a key of Google Cloud KMS.
    GoogleKms {
        /// The resource name of the key's version.
        name: &'a str,
    },
    /// 0x08: a key of Azure Key Vault.
    AzureKeyVault {
        /// The key identifier's URL with its version.
        url: &'a str,
    },
    /// 0x0A: a key of a compartment.
    Compartment {
        /// The id of the compartment.
        id: &'a [u8; 16],
        /// The number of its key, 1 or more.
        number: u32,
    },
    /// 0xF0: a key of a provider from outside this crate.
    External {
        /// The provider's reverse-DNS name.
        name: &'a str,
        /// The id of its key.
        id: &'a [u8],
    },
    /// A scheme, or a KEM, that this version does not know.
    Unknown,
}

impl<'a> SlotName<'a> {
    // FORMAT §4: of schemes 0x03 to 0x0A a parser checks lengths, inner lengths, numbers, and that text is UTF-8 without control
    // characters. A scheme that this version does not know is no error.
    /// Reads a key id of this scheme.
    pub(crate) fn parse(scheme: u8, key_id: &'a [u8]) -> Result<Self, Malformed> {
        let length = Malformed::KeyIdLength;
        match scheme {
            0x00 => Err(Malformed::SchemeZero),
            0x01 => key_id
                .try_into()
                .map(|id| Self::Keyring(KeyId::from_bytes(id)))
                .map_err(|_| length),
            0x02 if key_id.len() == 16 => Ok(Self::Passphrase),
            0x02 => Err(length),
            0x03 => recipient(key_id),
            0x04 if !(20..=512).contains(&key_id.len()) => Err(length),
            0x04 => text(key_id).map(|arn| Self::AwsKms { arn }),
            0x05 => transit(key_id),
            0x06 => pkcs11(key_id),
            0x07 => text(key_id).map(|name| Self::GoogleKms { name }),
            0x08 => text(key_id).map(|url| Self::AzureKeyVault { url }),
            0x0A => compartment(key_id),
            0xF0 => external(key_id).ok_or(Malformed::ExternalKeyId),
            _ => Ok(Self::Unknown),
        }
    }
}

impl fmt::Display for SlotName<'_> {
    /// Escaped for people: what stands here may come from a header that nothing has verified.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyring(id) => write!(f, "keyring {id}"),
            Self::Passphrase => f.write_str("passphrase"),
            Self::Recipient { kem, fingerprint } => {
                let fingerprint = Hex(*fingerprint);
                write!(f, "recipient {kem:04x}{fingerprint}")
            }
            Self::AwsKms { arn } => write!(f, "aws-kms {}", Escaped(arn)),
            Self::Transit {
                version,
                realm,
                mount,
                name,
            } => {
                f.write_str("transit ")?;
                if !realm.is_empty() {
                    write!(f, "{} ", Escaped(realm))?;
                }
                write!(f, "{}/{} v{version}", Escaped(mount), Escaped(name))
            }
            Self::Pkcs11 { token, id } => write!(f, "pkcs11 {} {}", Escaped(token), Hex(id)),
            Self::GoogleKms { name } => write!(f, "google-kms {}", Escaped(name)),
            Self::AzureKeyVault { url } => write!(f, "azure-key-vault {}", Escaped(url)),
            Self::Compartment { id, number } => {
                let id = Hex(*id);
                write!(f, "compartment {id} key {number}")
            }
            Self::External { name, id } => write!(f, "{} {}", Escaped(name), Hex(id)),
            Self::Unknown => f.write_str("unknown scheme"),
        }
    }
}

// FORMAT §4, scheme 0x03: u16 KEM ‖ SHA-256. Below 3 bytes malformed; a KEM that is not listed is an unknown slot.
fn recipient(key_id: &[u8]) -> Result<SlotName<'_>, Malformed> {
    let (kem, hash) = key_id.split_first_chunk().ok_or(Malformed::KeyIdLength)?;
    let kem = u16::from_be_bytes(*kem);
    if hash.is_empty() {
        return Err(Malformed::KeyIdLength);
    }
    if ![KEM_X_WING, KEM_P384].contains(&kem) {
        return Ok(SlotName::Unknown);
    }
    let fingerprint = hash.try_into().map_err(|_| Malformed::KeyIdLength)?;
    Ok(SlotName::Recipient { kem, fingerprint })
}

// FORMAT §4, scheme 0x05: u32 version (≥ 1) ‖ u8 n ‖ realm[n], 0 to 63 ‖ u8 m ‖ mount[m], 1 to 191 ‖ name, 1 to 200
fn transit(key_id: &[u8]) -> Result<SlotName<'_>, Malformed> {
    let (version, rest) = key_id.split_first_chunk().ok_or(Malformed::KeyIdLength)?;
    let (realm, rest) = counted(rest, 0..=63)?;
    let (mount, name) = counted(rest, 1..=191)?;
    if !(1..=200).contains(&name.len()) {
        return Err(Malformed::KeyIdLength);
    }
    let version = u32::from_be_bytes(*version);
    if version == 0 {
        return Err(Malformed::SlotNumber);
    }
    Ok(SlotName::Transit {
        version,
        realm: text(realm)?,
        mount: text(mount)?,
        name: text(name)?,
    })
}

// FORMAT §4, scheme 0x06: u8 n ‖ token label[n], 1 to 32 ‖ CKA_ID, 1 to 64 bytes
fn pkcs11(key_id: &[u8]) -> Result<SlotName<'_>, Malformed> {
    let (token, id) = counted(key_id, 1..=32)?;
    if !(1..=64).contains(&id.len()) {
        return Err(Malformed::KeyIdLength);
    }
    let token = text(token)?;
    Ok(SlotName::Pkcs11 { token, id })
}

// FORMAT §4, scheme 0x0A: compartment id[16] ‖ u32 key number, of which 0 is malformed
fn compartment(key_id: &[u8]) -> Result<SlotName<'_>, Malformed> {
    let (id, number) = key_id.split_first_chunk().ok_or(Malformed::KeyIdLength)?;
    let number = number.try_into().map_err(|_| Malformed::KeyIdLength)?;
    match u32::from_be_bytes(number) {
        0 => Err(Malformed::SlotNumber),
        number => Ok(SlotName::Compartment { id, number }),
    }
}

// FORMAT §4, scheme 0xF0: u8 len ‖ reverse-DNS name (1 to 255 bytes, 0x21 to 0x7E) ‖ id (1 byte or more)
fn external(key_id: &[u8]) -> Option<SlotName<'_>> {
    let (len, rest) = key_id.split_first()?;
    let (name, id) = rest.split_at_checked(usize::from(*len))?;
    if name.is_empty() || id.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?;
    Some(SlotName::External { name, id })
}

/// What a byte in front of it counts, and what follows it.
fn counted(
    bytes: &[u8],
    lengths: std::ops::RangeInclusive<usize>,
) -> Result<(&[u8], &[u8]), Malformed> {
    let (len, rest) = bytes.split_first().ok_or(Malformed::KeyIdLength)?;
    rest.split_at_checked(usize::from(*len))
        .filter(|(counted, _)| lengths.contains(&counted.len()))
        .ok_or(Malformed::KeyIdLength)
}

// FORMAT §4: control characters are U+0000 to U+001F and U+007F to U+009F.
fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.chars().any(char::is_control))
        .ok_or(Malformed::SlotText)
}

/// Text that may command a terminal, or look like other text.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

/// Several slots in one line.
pub(super) struct Listed<'a>(pub(super) &'a [SlotId]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, slot) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{slot}")?;
        }
        Ok(())
    }
}
