//! FORMAT §7: which of an inline stream's two header blocks is current.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use super::asking::Answers;
use super::unlock::{Opened, Verified};
use super::{Context, EnvelopeCipher};
use crate::error::{Error, Malformed, Result};
use crate::format::blocks::{self, Candidates};
use crate::format::header::{EnvelopeKind, Header};
use crate::format::limits::MAX_BLOCK;
use crate::format::payload_head;
use crate::secret::on_cleared_stack;

/// What a compact record begins with (FORMAT §10).
const COMPACT_RECORD: &[u8] = b"PHIE\x01\x0B";
/// Bytes that tell how long the header blocks are.
const FIXED_HEAD: usize = 16;

impl EnvelopeCipher {
    /// Opens the current candidate for a reader who presents `context`.
    pub(crate) fn open_inline<'a>(
        &self,
        candidates: &Candidates<'a>,
        context: &Context,
    ) -> Result<(Opened<'a>, Option<HeaderDamage>)> {
        context.check_demands(&self.0.demands)?;
        let verify = |header: Header<'a>, answers: &mut Answers| {
            context.check_presence(&header)?;
            self.verify_header_with(header, answers)
        };
        let current = current(candidates, verify)?;
        let opened = on_cleared_stack(|| current.verified.admit(context))?;
        Ok((opened, current.damage))
    }

    /// Verifies the current candidate for someone who rewraps.
    pub(crate) fn verify_inline<'a>(&self, candidates: &Candidates<'a>) -> Result<Current<'a>> {
        current(candidates, |header, answers| {
            self.verify_header_with(header, answers)
        })
    }
}

/// The candidate that counts.
pub(crate) struct Current<'a> {
    pub(crate) verified: Verified<'a>,
    /// Whether it is the second block.
    pub(crate) is_second: bool,
    pub(crate) damage: Option<HeaderDamage>,
}

// FORMAT §7: current is the candidate of the higher generation whose header tag verifies; of equal ones, A. A candidate is
// unverified only where it has slots that the reader knows, each of them was tried, and each failed authentication: the other is
// tried. Everything else stops the reader, who does not fall back.
fn current<'a>(
    candidates: &Candidates<'a>,
    verify: impl Fn(Header<'a>, &mut Answers) -> Result<Verified<'a>>,
) -> Result<Current<'a>> {
    let mut answers = Answers::default();
    let mut found = |header, is_second, damage| {
        Ok(Current {
            verified: verify(header, &mut answers)?,
            is_second,
            damage,
        })
    };
    let (first, second) = match (candidates.first, candidates.second) {
        (Some(first), _) if candidates.identical => return found(first, false, None),
        (Some(first), Some(second)) => (first, second),
        (Some(first), None) => return found(first, false, Some(HeaderDamage::SecondBlock)),
        (None, Some(second)) => return found(second, true, Some(HeaderDamage::FirstBlock)),
        (None, None) => return Err(Malformed::NoHeaderBlock.into()),
    };
    let second_leads = second.generation() > first.generation();
    let (leader, other, leader_damaged) = if second_leads {
        (second, first, HeaderDamage::SecondBlock)
    } else {
        (first, second, HeaderDamage::FirstBlock)
    };
    match found(leader, second_leads, Some(HeaderDamage::Differ)) {
        // The first of all failures is no failed authentication where there is one of that kind.
        Err(unverified @ Error::AuthenticationFailed(_)) => {
            match found(other, !second_leads, Some(leader_damaged)) {
                // Where neither opens, what the leader said is the answer.
                Err(Error::AuthenticationFailed(_)) => Err(unverified),
                outcome => outcome,
            }
        }
        outcome => outcome,
    }
}

/// The candidates in the head of an inline stream.
pub(crate) fn candidates(head: &[u8]) -> Result<Candidates<'_>> {
    let stated = Header::parse(head);
    match &stated {
        // FORMAT §7: only where the head of the file does not begin with "PHIP" or with "PHIE" ‖ 0x01 ‖ 0x0B, and does not parse as a
        // header of a kind other than 0x02, are blocks sought.
        Ok((header, _)) if header.kind() != EnvelopeKind::StreamInline => {
            return Err(header.other_kind(EnvelopeKind::StreamInline));
        }
        Err(_) if head.starts_with(&payload_head::MAGIC) => return Err(Error::NotAnEnvelope),
        Err(_) if head.starts_with(COMPACT_RECORD) => return Err(Malformed::Kind.into()),
        _ => {}
    }
    let found = blocks::find(head);
    if let Some(version) = blocks::later_version(head, found.as_ref()) {
        return Err(Error::NewerVersion { version });
    }
    let block_length = blocks::stated_length(head);
    found.ok_or_else(|| match stated {
        // The header is there and the end of its block is not.
        Ok(_) if block_length.is_some_and(|length| head.len() < length) => Error::Truncated,
        Ok(_) => Malformed::NoHeaderBlock.into(),
        Err(error) => error,
    })
}

/// Reads as much of a stream as its header blocks may take: no more than them where the first block is whole.
pub(crate) fn read_head(inner: &mut impl Read) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(FIXED_HEAD);
    read_up_to(inner, FIXED_HEAD, &mut head)?;
    if let Some(length) = blocks::stated_length(&head) {
        read_up_to(inner, 2 * length, &mut head)?;
        let is_whole = blocks::find(&head).is_some_and(|found| found.first.is_some());
        if is_whole && !blocks::claims_later_version(&head, length) {
            return Ok(head);
        }
    }
    read_up_to(inner, 2 * MAX_BLOCK, &mut head)?;
    Ok(head)
}

/// Reads the head of a detached payload, as far as there is one.
pub(super) fn read_payload_head(inner: &mut impl Read) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(payload_head::LEN);
    read_up_to(inner, payload_head::LEN, &mut head)?;
    Ok(head)
}

fn read_up_to(inner: &mut impl Read, len: usize, head: &mut Vec<u8>) -> Result<()> {
    let missing = u64::try_from(len.saturating_sub(head.len())).map_err(|_| Error::Truncated)?;
    inner.by_ref().take(missing).read_to_end(head)?;
    Ok(())
}

/// What was read too far, then the inner reader.
#[derive(Debug)]
pub(super) struct Source<R> {
    left: io::Cursor<Vec<u8>>,
    inner: R,
}

impl<R> Source<R> {
    pub(super) fn new(left: Vec<u8>, inner: R) -> Self {
        Self {
            left: io::Cursor::new(left),
            inner,
        }
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.left.read(out)? {
            0 => self.inner.read(out),
            read => Ok(read),
        }
    }
}

impl<R: Read + Seek> Seek for Source<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let ahead = self.left.get_ref().len() as u64 - self.left.position();
        let to = match to {
            SeekFrom::Current(by) => {
                let ahead = i64::try_from(ahead).map_err(io::Error::other)?;
                SeekFrom::Current(by.checked_sub(ahead).ok_or(io::ErrorKind::InvalidInput)?)
            }
            to => to,
        };
        let at = self.inner.seek(to)?;
        self.left = io::Cursor::default();
        Ok(at)
    }
}

/// Damage to an inline stream's header blocks that did not keep it from opening. A rewrap repairs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeaderDamage {
    /// The first block is no whole header, or did not verify; the second opened.
    FirstBlock,
    /// The second block is no whole header, or did not verify; the first opened.
    SecondBlock,
    /// Both blocks are whole and differ, as an interrupted rewrap leaves them; the current one opened.
    Differ,
}

impl fmt::Display for HeaderDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstBlock => "the first header block is damaged",
            Self::SecondBlock => "the second header block is damaged",
            Self::Differ => "the header blocks differ, as an interrupted rewrap leaves them",
        })
    }
}
