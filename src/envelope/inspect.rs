//! What an envelope says about itself, without a key.

use super::inline;
use crate::error::{Malformed, Result, SlotId};
use crate::format::context_encoding;
use crate::format::header::{EnvelopeKind, Header};

/// What a header says. **Nothing of it is verified**: without a key it is a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The kind of envelope.
    pub kind: EnvelopeKind,
    /// Bytes of the header, without the padding of blocks.
    pub header_len: usize,
    /// How often the header was changed.
    pub generation: u32,
    /// Bytes of each of the two header blocks; 0 where there are none.
    pub block_length: u32,
    /// The id of the data key; equal in envelopes that share one.
    pub data_key_id: [u8; 16],
    /// The id of this envelope alone, where it may share its data key.
    pub message_id: Option<[u8; 16]>,
    /// The labels, in the order of their keys.
    pub labels: Vec<(String, String)>,
    /// Whether bindings must be presented.
    pub has_bindings: bool,
    /// Scheme and key id of each slot, in their order.
    pub slots: Vec<SlotId>,
}

/// What an envelope says about itself: a record, a detached header, or an inline stream, of which its first 131,072 bytes
/// are enough. Needs no key.
///
/// # Errors
/// Those of a malformed or truncated envelope.
///
/// ```
/// # use phi_envelope::{Context, EnvelopeCipher, Keyring, inspect};
/// # let cipher = EnvelopeCipher::new(Keyring::generate("doc")?);
/// let context = Context::new().label("tenant", "clinic-7")?;
/// let inspection = inspect(&cipher.encrypt("BP 120/80", &context)?)?;
/// assert_eq!(inspection.labels, [("tenant".to_owned(), "clinic-7".to_owned())]);
/// assert_eq!(inspection.slots[0].scheme, 0x01);
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn inspect(envelope: &[u8]) -> Result<Inspection> {
    match Header::parse(envelope) {
        Ok((header, payload)) if header.kind() == EnvelopeKind::StreamDetached => {
            if payload.is_empty() {
                Ok(Inspection::of(&header))
            } else {
                Err(Malformed::TrailingBytes.into())
            }
        }
        Ok((header, payload)) if header.kind().is_record_like() => {
            super::record::check_payload(payload)?;
            Ok(Inspection::of(&header))
        }
        _ => {
            let candidates = inline::candidates(envelope)?;
            let (leader, _) = candidates.leader().ok_or(Malformed::NoHeaderBlock)?;
            Ok(Inspection::of(leader))
        }
    }
}

impl Inspection {
    pub(crate) fn of(header: &Header<'_>) -> Self {
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Self {
            kind: header.kind(),
            header_len: header.bytes().len(),
            generation: header.generation(),
            block_length: header.block_length(),
            data_key_id: *header.data_key_id(),
            message_id: header.stated_message_id().copied(),
            labels: context_encoding::iterate(header.label_pairs())
                .map(owned)
                .collect(),
            has_bindings: header.bindings_tag().is_some(),
            slots: header.slots().map(|slot| slot.id()).collect(),
        }
    }
}
