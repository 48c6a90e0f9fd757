//! The head of a sealed file: what it claims without a key, and whether it opens with one. No payload is read.

use std::fs::File;
use std::time::SystemTime;

use super::rewrap::LEAST_PAYLOAD;
use crate::disk::Disk;
use crate::envelope::inline::{self, Current};
use crate::envelope::{Change, Context, EnvelopeCipher, Inspection};
use crate::error::{Error, Malformed, Result, SlotId};
use crate::floe::{HEADER_LEN, Layout, stated_segment_length};
use crate::format::blocks::{self, Candidates};
use crate::format::header::{EnvelopeKind, Header};
use crate::format::limits::MAX_BLOCK;
use crate::format::text;

/// How much is read before it is known how much is needed: header blocks of the default length, or any usual header; the
/// longest header outside blocks; the longest blocks. The head of the FLOE message follows blocks.
const STEPS: [usize; 3] = [
    2 * 4096 + HEADER_LEN,
    4 * 8192 + HEADER_LEN,
    2 * MAX_BLOCK + HEADER_LEN,
];
/// What a record in text form begins with (FORMAT §8).
const TEXT: &[u8] = b"UEhJRQEB";
/// What a sealed file says about itself. **Nothing of it is verified**: without a key it is a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInspection {
    /// What its header says; the one that leads, where it has two header blocks.
    pub header: Inspection,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// When the file was last written to, where the system says it: its last rewrap, or its sealing.
    pub modified: Option<SystemTime>,
    /// The encrypted length of its segments, where it is an inline stream with a payload.
    pub segment_length: Option<u32>,
    /// Bytes of plaintext, where its size tells.
    pub plaintext_bytes: Option<u64>,
    /// Whether its two header blocks are there and alike; true where it has none.
    pub blocks_alike: bool,
    /// The slots of the header block that does not lead, where the two differ: who could open the file by an older header.
    pub other_slots: Vec<SlotId>,
    /// Whether it is a record in text form (FORMAT §8).
    pub is_text: bool,
}

impl FileInspection {
    /// Every slot that is in the file, in either header block.
    pub(crate) fn all_slots(&self) -> impl Iterator<Item = &SlotId> {
        let own = &self.header.slots;
        let others = self.other_slots.iter();
        own.iter()
            .chain(others.filter(move |slot| !own.contains(slot)))
    }
}

/// What was read of the head of a file.
pub(crate) struct Head {
    pub(super) bytes: Vec<u8>,
    is_text: bool,
    /// What is wrong with a text.
    fault: Option<Malformed>,
    /// Whether that is all of the file.
    is_whole: bool,
    pub(crate) file_bytes: u64,
    pub(crate) modified: Option<SystemTime>,
}

impl Head {
    /// Reads as much of a file's head as its header takes, whatever the size of the file.
    pub(crate) fn read(disk: &Disk, file: &File) -> Result<Self> {
        let head = Self::read_once(disk, file)?;
        match head.parse() {
            // FORMAT §7: a lock-free reader that finds no candidate reads once more before it gives up.
            Err(Error::Malformed(_)) => Self::read_once(disk, file),
            _ => Ok(head),
        }
    }

    fn read_once(disk: &Disk, file: &File) -> Result<Self> {
        let metadata = disk.metadata_of(file)?;
        let mut bytes = Vec::new();
        let mut is_whole = false;
        for step in STEPS {
            let had = bytes.len();
            bytes.resize(step, 0);
            let more = bytes.get_mut(had..).unwrap_or_default();
            let read = disk.read_up_to_at(file, more, had as u64)?;
            bytes.truncate(had + read);
            is_whole = bytes.len() < step;
            if is_whole || holds_header(&bytes) {
                break;
            }
        }
        let modified = metadata.modified().ok();
        // The end of a file is where a read says so, and not where the file system states it.
        let file_bytes = match bytes.len() as u64 {
            read if is_whole => read,
            read => metadata.len().max(read),
        };
        Ok(Self::of(bytes, file_bytes, modified))
    }

    /// The head of something of which only the first bytes are in memory.
    pub(crate) fn of_first(bytes: &[u8], length: u64) -> Self {
        Self::of(bytes.to_vec(), length, None)
    }

    /// How many bytes more than what is there may be needed, if they may.
    pub(crate) fn wanted(bytes: &[u8], length: u64) -> Option<usize> {
        if bytes.len() as u64 >= length || holds_header(bytes) {
            return None;
        }
        STEPS.into_iter().find(|step| *step > bytes.len())
    }

    /// The head of an envelope in memory.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self::of(bytes.to_vec(), bytes.len() as u64, None)
    }

    fn of(bytes: Vec<u8>, file_bytes: u64, modified: Option<SystemTime>) -> Self {
        let is_text = bytes.starts_with(TEXT);
        let is_whole = bytes.len() as u64 >= file_bytes;
        let decoded = if is_text {
            text::decode_head(&bytes, is_whole)
        } else {
            Ok(bytes)
        };
        let fault = decoded.as_ref().err().copied();
        Self {
            bytes: decoded.unwrap_or_default(),
            is_text,
            fault,
            is_whole,
            file_bytes,
            modified,
        }
    }

    /// What it claims.
    pub(crate) fn inspect(&self) -> Result<FileInspection> {
        let found = match self.parse()? {
            Found::Whole(header) => FileInspection {
                plaintext_bytes: self.record_len(&header),
                ..self.claims(&header)
            },
            Found::Blocks(candidates) => {
                let (leader, other) = candidates.leader().ok_or(Malformed::NoHeaderBlock)?;
                let mut found = self.claims(leader);
                found.blocks_alike = candidates.identical;
                if let Some(other) = other.filter(|_| !candidates.identical) {
                    found.other_slots = other.slots().map(|slot| slot.id()).collect();
                }
                self.measure_stream(&mut found)?;
                found
            }
        };
        Ok(found)
    }

    /// Verifies the header's tag under a data key that one of its slots gives. Where the two header blocks differ, the one that
    /// counts.
    pub(crate) fn verify(&self, cipher: &EnvelopeCipher) -> Result<()> {
        match self.parse()? {
            Found::Whole(header) => cipher.verify_header(header).map(drop),
            Found::Blocks(candidates) => cipher.verify_inline(&candidates).map(drop),
        }
    }

    /// Whether a rewrap would change the file. Fails where the rewrap would, as far as can be told without writing.
    pub(crate) fn would_rewrap(&self, cipher: &EnvelopeCipher) -> Result<bool> {
        let (verified, blocks) = match self.parse()? {
            Found::Whole(header) => (cipher.verify_header(header)?, None),
            Found::Blocks(candidates) => {
                let Current { verified, .. } = cipher.verify_inline(&candidates)?;
                (verified, Some(candidates))
            }
        };
        let changed = cipher.changed_header(&verified, Change::Rewrap)?;
        if let (Some(header), Some(candidates)) = (&changed, &blocks) {
            blocks::write(header, candidates.block_length)?;
        }
        match &changed {
            Some(header) => cipher.check_rewrapped(&Header::parse(header)?.0)?,
            None => cipher.check_rewrapped(verified.header())?,
        }
        let repairs = blocks.is_some_and(|candidates| !candidates.identical);
        Ok(changed.is_some() || repairs)
    }

    /// Checks what of a file can be checked without reading its payload before it is sealed anew: its header opens for whoever presents
    /// this context, exactly its labels, and nobody would lose it.
    pub(crate) fn check_reencrypt(&self, cipher: &EnvelopeCipher, context: &Context) -> Result<()> {
        self.check_reencrypt_and(cipher, context, |header| {
            cipher.check_keeps_recipients(header)
        })
    }

    /// [`check_reencrypt`](Self::check_reencrypt), and a further check of the header.
    pub(crate) fn check_reencrypt_and(
        &self,
        cipher: &EnvelopeCipher,
        context: &Context,
        check: impl Fn(&Header<'_>) -> Result<()>,
    ) -> Result<()> {
        let opened = match self.parse()? {
            // FORMAT §2: files of this crate's own are refused before any key work.
            Found::Whole(header) if header.kind() == EnvelopeKind::Record => {
                cipher.open_header(header, context)?
            }
            Found::Whole(header) => return Err(header.other_kind(EnvelopeKind::Record)),
            Found::Blocks(candidates) => cipher.open_inline(&candidates, context)?.0,
        };
        context.check_exact_labels(opened.header())?;
        check(opened.header())
    }

    /// Checks that a rewrap has nothing left to do: neither header block has a slot under a key that its provider has moved off.
    pub(crate) fn check_rewrapped(&self, cipher: &EnvelopeCipher) -> Result<()> {
        match self.parse()? {
            Found::Whole(header) => cipher.check_rewrapped(&header),
            Found::Blocks(candidates) => {
                if !candidates.identical {
                    return Err(Malformed::BlocksDiffer.into());
                }
                let (header, _) = candidates.leader().ok_or(Malformed::NoHeaderBlock)?;
                cipher.check_rewrapped(header)
            }
        }
    }

    /// Whether it is a record as bytes.
    pub(crate) fn is_record(&self) -> bool {
        let whole = Header::parse(&self.bytes);
        !self.is_text && whole.is_ok_and(|(header, _)| header.kind().is_record_like())
    }

    pub(super) fn parse(&self) -> Result<Found<'_>> {
        if let Some(fault) = self.fault {
            return Err(fault.into());
        }
        match Header::parse(&self.bytes) {
            Ok((header, rest)) if header.kind() != EnvelopeKind::StreamInline => {
                match header.kind() {
                    kind if kind.is_record_like() && rest.len() < LEAST_PAYLOAD => {
                        return Err(Error::Truncated);
                    }
                    EnvelopeKind::StreamDetached if !rest.is_empty() => {
                        return Err(Malformed::TrailingBytes.into());
                    }
                    _ => {}
                }
                Ok(Found::Whole(header))
            }
            _ => Ok(Found::Blocks(inline::candidates(&self.bytes)?)),
        }
    }

    fn claims(&self, header: &Header<'_>) -> FileInspection {
        FileInspection {
            header: Inspection::of(header),
            file_bytes: self.file_bytes,
            modified: self.modified,
            segment_length: None,
            plaintext_bytes: None,
            blocks_alike: true,
            other_slots: Vec::new(),
            is_text: self.is_text,
        }
    }

    /// Bytes of a record's plaintext.
    fn record_len(&self, header: &Header<'_>) -> Option<u64> {
        if header.kind() != EnvelopeKind::Record {
            return None;
        }
        let len = match (self.is_text, self.is_whole) {
            (false, _) => self.file_bytes,
            (true, true) => self.bytes.len() as u64,
            // Who reads on may find an end of line.
            (true, false) => return None,
        };
        len.checked_sub((header.bytes().len() + LEAST_PAYLOAD) as u64)
    }

    /// What the head of an inline stream's FLOE message tells with the size of the file.
    fn measure_stream(&self, found: &mut FileInspection) -> Result<()> {
        let payload_at = 2 * u64::from(found.header.block_length);
        let stream = usize::try_from(payload_at)
            .ok()
            .and_then(|at| self.bytes.get(at..))
            .and_then(<[u8]>::first_chunk::<HEADER_LEN>);
        if let Some(stream) = stream {
            let length = stated_segment_length(stream)?;
            let body = self.file_bytes.checked_sub(payload_at + HEADER_LEN as u64);
            let layout = body.and_then(|body| Layout::of_body(length, body).ok());
            found.segment_length = Some(length.get());
            found.plaintext_bytes = layout.map(|layout| layout.plaintext());
        }
        Ok(())
    }
}

/// What a head holds.
pub(super) enum Found<'a> {
    Whole(Header<'a>),
    Blocks(Candidates<'a>),
}

/// Whether the head of a longer file holds all that its header takes.
fn holds_header(head: &[u8]) -> bool {
    if head.starts_with(TEXT) {
        return text::decode_head(head, false).is_ok_and(|head| holds_header(&head));
    }
    match Header::parse(head) {
        Ok((header, rest)) if header.kind() != EnvelopeKind::StreamInline => {
            rest.len() >= LEAST_PAYLOAD
        }
        // The blocks that the file states, or what was found where it states none that are whole.
        _ => match blocks::stated_length(head) {
            Some(length) if head.len() < 2 * length + HEADER_LEN => false,
            // How long a block of a later version is shows only once all of it was read.
            Some(length) if blocks::claims_later_version(head, length) => false,
            _ => inline::candidates(head).is_ok(),
        },
    }
}
