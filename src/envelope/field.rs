//! A record envelope as a value of its own: text where a format is for humans, bytes elsewhere (FORMAT §8).

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::record;
use crate::error::{Error, Result};
use crate::format::text;

/// A record envelope as a field of your own types: base64url text in human-readable formats, bytes in binary ones.
///
/// It holds well-formed bytes; nothing about them is verified before they are decrypted.
///
/// ```
/// use phi_envelope::{Context, Envelope, EnvelopeCipher, Keyring};
///
/// let cipher = EnvelopeCipher::new(Keyring::generate("ehr-2026")?);
/// let envelope = Envelope::from_bytes(cipher.encrypt("078-05-1120", &Context::new())?)?;
///
/// let text = envelope.to_string();
/// assert!(text.starts_with("UEhJRQEB"));
/// assert_eq!(text.parse::<Envelope>()?, envelope);
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Envelope(Vec<u8>);

impl Envelope {
    /// The envelope of these bytes, which must be a whole record.
    ///
    /// # Errors
    /// Those of a malformed or truncated envelope.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        record::parse(&bytes)?;
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl AsRef<[u8]> for Envelope {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Envelope {
    /// The text form: base64url without padding (RFC 4648 §5). It always begins with `UEhJRQEB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::encode(&self.0))
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({} bytes)", self.0.len())
    }
}

impl FromStr for Envelope {
    type Err = Error;

    /// Reads the text form, of which there is one: padding, white space and non-zero trailing bits are refused.
    fn from_str(text: &str) -> Result<Self> {
        Self::from_bytes(text::decode(text)?)
    }
}

impl TryFrom<Vec<u8>> for Envelope {
    type Error = Error;

    fn try_from(bytes: Vec<u8>) -> Result<Self> {
        Self::from_bytes(bytes)
    }
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Form::Text)
        } else {
            deserializer.deserialize_byte_buf(Form::Bytes)
        }
    }
}

/// What a format is to hold. Both forms are read from both kinds of formats: inside a flattened, untagged or internally tagged type,
/// serde says of a binary format that humans read it.
///
/// What it holds instead may be a plaintext that was never sealed: no error of this visitor repeats
/// it. (A deserializer that refuses by itself, as `serde_json` does a number, says what it likes.)
enum Form {
    Text,
    Bytes,
}

impl Visitor<'_> for Form {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a record envelope as base64url text",
            Self::Bytes => "the bytes of a record envelope",
        })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Envelope, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Envelope, E> {
        self.visit_byte_buf(bytes.to_vec())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Envelope, E> {
        Envelope::from_bytes(bytes).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Envelope, E> {
        Err(self.instead("a number"))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Envelope, E> {
        Err(self.instead("a number"))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Envelope, E> {
        Err(self.instead("a number"))
    }
}

impl Form {
    fn instead<E: de::Error>(&self, found: &str) -> E {
        E::invalid_type(Unexpected::Other(found), self)
    }
}
