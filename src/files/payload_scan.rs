//! What a scan of many files asks of a head beyond its header: detached payloads and their pairs, and compact records.

use super::inspection::{Found, Head};
use crate::envelope::EnvelopeCipher;
use crate::error::{EnvelopeKind, Error, Malformed, Result, SlotId};
use crate::floe::{self, HEADER_LEN, Layout, Opener, stated_segment_length};
use crate::format::payload_head;

/// What a compact record begins with (FORMAT §10), and how long it is without its plaintext.
const COMPACT: &[u8] = b"PHIE\x01\x0B";
const COMPACT_LEN: u64 = 66;
/// The scheme of compartments' slots.
const COMPARTMENT: u8 = 0x0A;

impl Head {
    // FORMAT §5: a scan for evidence derives the payload key of a detached header after the header tag alone.
    /// [`verify`](Self::verify), and of a detached header what tells its payload.
    pub(crate) fn verify_for_scan(&self, cipher: &EnvelopeCipher) -> Result<Option<StreamProof>> {
        match self.parse()? {
            Found::Whole(header) if header.kind() == EnvelopeKind::StreamDetached => {
                let message_id = *header.message_id();
                let (key, aad) = cipher.verify_header(header)?.stream_key_of_scan();
                Ok(Some(StreamProof {
                    message_id,
                    key,
                    aad,
                }))
            }
            _ => self.verify(cipher).map(|()| None),
        }
    }

    // FORMAT §2: a detached payload begins with a magic of its own; other magic is no payload.
    /// What the head of a detached payload says, if it begins as one. A claim, as everything that was read without a key.
    pub(crate) fn payload(&self) -> Option<Result<PayloadHead>> {
        if !self.bytes.starts_with(&payload_head::MAGIC) {
            return None;
        }
        let read = || {
            let message_id = *payload_head::parse(&self.bytes)?;
            let message = self.bytes.get(payload_head::LEN..).unwrap_or_default();
            let header = *message.first_chunk().ok_or(Error::Truncated)?;
            stated_segment_length(&header)?;
            Ok(PayloadHead { message_id, header })
        };
        Some(read())
    }

    // FORMAT §6: n = ⌈B / L⌉; for the last segment, the length word is its own whole length
    /// Checks that the payload of a stream ends where its last segment says so: behind it may stand what nothing here speaks of. `word_at`
    /// reads four bytes. The words of the segments before are not read: that would be a read for each 64 KiB of an archive.
    pub(crate) fn check_end(&self, word_at: impl Fn(u64) -> Result<[u8; 4]>) -> Result<()> {
        let payload_at = if self.payload().is_some() {
            payload_head::LEN as u64
        } else {
            match self.parse()? {
                Found::Whole(_) => return Ok(()),
                Found::Blocks(candidates) => 2 * candidates.block_length as u64,
            }
        };
        let at = usize::try_from(payload_at).map_err(|_| Error::Truncated)?;
        let message = self.bytes.get(at..).unwrap_or_default();
        let length = stated_segment_length(message.first_chunk().ok_or(Error::Truncated)?)?;
        let body = self.file_bytes.checked_sub(payload_at + HEADER_LEN as u64);
        let layout = Layout::of_body(length, body.ok_or(Error::Truncated)?)?;
        layout.check_last_word(word_at(payload_at + layout.offset(layout.last()))?)
    }

    // FORMAT §10: 50 48 49 45 01 0B ‖ compartment id[16] ‖ u32 key number ‖ …; its key counts as one of scheme 0x0A.
    /// The key of a compact record, if it begins as one.
    pub(crate) fn compact(&self) -> Option<Result<SlotId>> {
        let rest = self.bytes.strip_prefix(COMPACT)?;
        let (key_id, _) = match rest.split_first_chunk::<20>() {
            Some(found) if self.file_bytes >= COMPACT_LEN => found,
            _ => return Some(Err(Error::Truncated)),
        };
        let is_numbered = key_id.iter().skip(16).any(|byte| *byte != 0);
        Some(if is_numbered {
            Ok(SlotId {
                scheme: COMPARTMENT,
                key_id: key_id.to_vec(),
            })
        } else {
            Err(Malformed::Kind.into())
        })
    }
}

/// What tells the payload of a detached header whose tag has verified.
#[derive(Debug)]
pub(crate) struct StreamProof {
    pub(crate) message_id: [u8; 16],
    key: floe::Key,
    aad: Vec<u8>,
}

impl StreamProof {
    // FORMAT §2: a pair counts only where FLOE's header tag verifies under that header's payload key.
    /// Whether a payload is this header's.
    pub(crate) fn is_of(&self, payload: &PayloadHead) -> bool {
        payload.message_id == self.message_id
            && Opener::new(&self.key, &self.aad, &payload.header).is_ok()
    }
}

/// The head of a detached payload.
#[derive(Debug, Clone)]
pub(crate) struct PayloadHead {
    pub(crate) message_id: [u8; 16],
    header: [u8; HEADER_LEN],
}
