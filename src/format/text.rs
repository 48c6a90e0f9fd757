//! FORMAT §8: a record envelope as text, base64url without padding (RFC 4648 §5).

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{DecodeError, Engine as _};

use crate::error::{Malformed, Result};

/// The text of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of `text`, which has one encoding and no other.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).map_err(|error| {
        match error {
            DecodeError::InvalidByte(_, b'=')
            | DecodeError::InvalidPadding
            | DecodeError::InvalidLength(_) => Malformed::TextLength,
            DecodeError::InvalidLastSymbol { .. } => Malformed::TextTrailingBits,
            DecodeError::InvalidByte(..) => Malformed::TextAlphabet,
        }
        .into()
    })
}
