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
    Ok(decode_digits(text.as_bytes())?)
}

fn decode_digits(digits: &[u8]) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode(digits).map_err(|error| match error {
        DecodeError::InvalidByte(_, b'=')
        | DecodeError::InvalidPadding
        | DecodeError::InvalidLength(_) => Malformed::TextLength,
        DecodeError::InvalidLastSymbol { .. } => Malformed::TextTrailingBits,
        DecodeError::InvalidByte(..) => Malformed::TextAlphabet,
    })
}

/// The bytes that the head of a text stands for; of the `whole` text, with no more than the end of a line behind it.
pub(crate) fn decode_head(text: &[u8], whole: bool) -> Result<Vec<u8>, Malformed> {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let digits = text.iter().take_while(|byte| is_digit(byte)).count();
    let (digits, rest) = text.split_at_checked(digits).unwrap_or_default();
    let digits = match rest {
        b"" if !whole => digits.as_chunks::<4>().0.as_flattened(),
        b"" | b"\n" | b"\r\n" => digits,
        _ => return Err(Malformed::TextAlphabet),
    };
    decode_digits(digits)
}
