//! One segment.

use super::length::{OVERHEAD, SegmentLength};
use crate::error::{Error, Malformed, Result};

/// The length word of every segment but the last.
const NOT_LAST: u32 = u32::MAX;

/// Bytes of a segment before its content.
pub(super) const CONTENT_AT: usize = 4 + 12;

/// A segment taken apart.
pub(super) type Parts<'a> = (&'a [u8; 4], &'a [u8; 12], &'a [u8], &'a [u8; 16]);

// FORMAT §6: segment = u32 length ‖ iv[12] ‖ ciphertext ‖ tag[16]
/// The word, IV, content and tag of a segment, or nothing below 32 bytes.
pub(super) fn parts(segment: &[u8]) -> Option<Parts<'_>> {
    let (word, rest) = segment.split_first_chunk()?;
    let (iv, rest) = rest.split_first_chunk()?;
    let (content, tag) = rest.split_last_chunk()?;
    Some((word, iv, content, tag))
}

/// A segment taken apart to be changed.
pub(super) type PartsMut<'a> = (
    &'a mut [u8; 4],
    &'a mut [u8; 12],
    &'a mut [u8],
    &'a mut [u8; 16],
);

/// [`parts`], to be changed.
pub(super) fn parts_mut(segment: &mut [u8]) -> Option<PartsMut<'_>> {
    let (word, rest) = segment.split_first_chunk_mut()?;
    let (iv, rest) = rest.split_first_chunk_mut()?;
    let (content, tag) = rest.split_last_chunk_mut()?;
    Some((word, iv, content, tag))
}

// FORMAT §6: aad of the AEAD: u64 p ‖ u8 final
pub(super) fn aad(position: u64, last: bool) -> [u8; 9] {
    let [a, b, c, d, e, f, g, h] = position.to_be_bytes();
    [a, b, c, d, e, f, g, h, u8::from(last)]
}

// FORMAT §6: length = 0xFFFFFFFF for every segment but the last; for the last, its own whole length
/// The length word of a segment of `len` bytes.
pub(super) fn word(len: usize, last: bool) -> [u8; 4] {
    match u32::try_from(len) {
        Ok(len) if last => len.to_be_bytes(),
        _ => NOT_LAST.to_be_bytes(),
    }
}

/// Whether a segment states that another one follows it.
pub(super) fn states_more(segment: &[u8]) -> bool {
    segment.starts_with(&NOT_LAST.to_be_bytes())
}

/// Checks a length word against the place of its segment: `len` bytes, at the end of the message or not.
pub(super) fn check_word(
    word: [u8; 4],
    len: usize,
    last: bool,
    length: SegmentLength,
) -> Result<()> {
    let stated = u32::from_be_bytes(word);
    if stated == NOT_LAST {
        return if last { Err(Error::Truncated) } else { Ok(()) };
    }
    if !(OVERHEAD..=length.get()).contains(&stated) {
        return Err(Malformed::SegmentLengthWord.into());
    }
    match usize::try_from(stated) {
        Ok(stated) if last && stated == len => Ok(()),
        Ok(stated) if last && stated > len => Err(Error::Truncated),
        _ => Err(Malformed::TrailingBytes.into()),
    }
}
