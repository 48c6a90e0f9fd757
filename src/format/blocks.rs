//! FORMAT §7: the two header blocks of an inline stream, `header ‖ zero padding ‖ digest[8]`.

use sha2::{Digest as _, Sha256};

use super::header::{EnvelopeKind, Header, MAGIC, is_block_length};
use super::limits::{BLOCK_STEP, MAX_BLOCK};
use crate::error::{Limit, Result};

/// Bytes of the digest at a block's end.
const DIGEST_LEN: usize = 8;

/// The block of `length` bytes that holds `header`.
pub(crate) fn write(header: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut block = Vec::with_capacity(length);
    block.extend_from_slice(header);
    let padded = length.checked_sub(DIGEST_LEN).ok_or(Limit::HeaderBlock)?;
    if block.len() > padded {
        return Err(Limit::HeaderBlock.into());
    }
    block.resize(padded, 0);
    let digest = digest(&block);
    block.extend_from_slice(&digest);
    Ok(block)
}

/// The two candidates of an inline stream, as found at the head of its file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidates<'a> {
    pub(crate) first: Option<Header<'a>>,
    pub(crate) second: Option<Header<'a>>,
    /// Of one block.
    pub(crate) block_length: usize,
    /// Both blocks are there and byte-identical.
    pub(crate) identical: bool,
}

impl<'a> Candidates<'a> {
    /// The candidate of the higher generation, the first of equal ones; and the other, where there is one.
    pub(crate) fn leader(&self) -> Option<(&Header<'a>, Option<&Header<'a>>)> {
        match (&self.first, &self.second) {
            (Some(first), Some(second)) if second.generation() > first.generation() => {
                Some((second, Some(first)))
            }
            (Some(first), second) => Some((first, second.as_ref())),
            (None, Some(second)) => Some((second, None)),
            (None, None) => None,
        }
    }
}

/// The block length that the head of a file states, where it states one. Nothing is checked but that it can be one.
pub(crate) fn stated_length(head: &[u8]) -> Option<usize> {
    let (fixed, _) = head.split_first_chunk::<16>()?;
    let [m0, m1, m2, m3, _, kind, _, _, _, _, _, _, length @ ..] = *fixed;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    ([m0, m1, m2, m3] == MAGIC && kind == 2 && is_block_length(length)).then_some(length)
}

/// Finds the candidates in the head of a file, which is to hold two blocks of [`stated_length`] or, where that finds
/// nothing, two of the longest blocks, or the whole file where it is shorter.
pub(crate) fn find(head: &[u8]) -> Option<Candidates<'_>> {
    let block = |offset: usize, length: usize| head.get(offset..offset.checked_add(length)?);
    let candidate_at = |offset, length| block(offset, length).and_then(candidate);
    if let Some(length) = stated_length(head)
        && let Some(first) = candidate_at(0, length)
    {
        let identical = block(0, length) == block(length, length);
        let second = if identical {
            Some(first)
        } else {
            candidate_at(length, length)
        };
        return Some(Candidates {
            first: Some(first),
            second,
            block_length: length,
            identical,
        });
    }
    // Where A is no candidate, B is sought at each multiple of 4,096 up to 65,536.
    (BLOCK_STEP..=MAX_BLOCK)
        .step_by(BLOCK_STEP)
        .find_map(|length| {
            Some(Candidates {
                first: None,
                second: Some(candidate_at(length, length)?),
                block_length: length,
                identical: false,
            })
        })
}

// FORMAT §7: also a block that begins with `PHIE` and a version above 1 and whose digest is right at a length from 4,096 to 65,536, at
// offset 0, at the length of A where A is a candidate, else at each offset equal to its own length.
/// The version of a block of a later one, which stops a reader of this one. `found` is what [`find`] found in the same head.
pub(crate) fn later_version(head: &[u8], found: Option<&Candidates<'_>>) -> Option<u8> {
    let at = |offset: usize, length: usize| {
        let block = head.get(offset..offset.checked_add(length)?)?;
        let version = stated_later_version(block)?;
        let (content, stated) = block.split_last_chunk::<DIGEST_LEN>()?;
        (digest(content) == *stated).then_some(version)
    };
    let mut lengths = (BLOCK_STEP..=MAX_BLOCK).step_by(BLOCK_STEP);
    lengths.find_map(|length| {
        let second = match found {
            Some(found) if found.first.is_some() => found.block_length,
            _ => length,
        };
        at(0, length).or_else(|| at(second, length))
    })
}

/// Whether what stands at `offset` states a later version.
pub(crate) fn claims_later_version(head: &[u8], offset: usize) -> bool {
    let rest = head.get(offset..).unwrap_or_default();
    stated_later_version(rest).is_some()
}

fn stated_later_version(bytes: &[u8]) -> Option<u8> {
    let (start, _) = bytes.split_first_chunk::<5>()?;
    let [m0, m1, m2, m3, version] = *start;
    ([m0, m1, m2, m3] == MAGIC && version > 1).then_some(version)
}

/// The header in `block` where the block is a candidate: right digest, zero padding, kind 0x02, its own length.
fn candidate(block: &[u8]) -> Option<Header<'_>> {
    let (content, stated) = block.split_last_chunk::<DIGEST_LEN>()?;
    let (header, padding) = Header::parse(content).ok()?;
    let whole = header.kind() == EnvelopeKind::StreamInline
        && usize::try_from(header.block_length()) == Ok(block.len())
        && padding.iter().all(|byte| *byte == 0)
        && digest(content) == *stated;
    whole.then_some(header)
}

fn digest(content: &[u8]) -> [u8; DIGEST_LEN] {
    let full = Sha256::digest(content);
    let mut digest = [0; DIGEST_LEN];
    digest
        .iter_mut()
        .zip(full)
        .for_each(|(to, from)| *to = from);
    digest
}
