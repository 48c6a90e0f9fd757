//! The key half of writing: asks the providers, makes a header and hands over its payload key.

use super::EnvelopeCipher;
use crate::crypto::derive;
use crate::crypto::mac::Mac256;
use crate::crypto::random::{RecordDraw, SharedIv};
use crate::error::{Error, Result};
use crate::format::header::{Draft, EnvelopeKind, Header, Immutable};
use crate::format::slot::SlotList;
use crate::keys::{DataKey, KeyProvider, WrapRequest};

/// What identifies a new envelope, beside its slots.
pub(super) struct Identity<'a> {
    pub(super) kind: EnvelopeKind,
    pub(super) generation: u32,
    pub(super) block_length: u32,
    pub(super) data_key_id: &'a [u8; 16],
    pub(super) message_id: Option<&'a [u8; 16]>,
    /// With their length in front.
    pub(super) labels: &'a [u8],
    pub(super) bindings: &'a [u8],
}

impl EnvelopeCipher {
    /// The data key of a draw, wrapped for each provider to write for, in their order.
    pub(super) fn wrap_for_all(
        &self,
        kind: EnvelopeKind,
        data_key_id: &[u8; 16],
        labels: &[u8],
        key: &DataKey,
        iv: &SharedIv,
    ) -> Result<SlotList> {
        if self.0.writers.is_empty() {
            return Err(Error::Misuse("this cipher has no provider to write for"));
        }
        let aad = derive::wrap_aad(kind, data_key_id, labels);
        let context = WrapRequest::new(kind, data_key_id, labels, &aad, iv);
        let mut slots = SlotList::default();
        for (number, provider) in self.0.writers.iter().enumerate() {
            let wrapped = provider.wrap_key(key, &context)?;
            let of = (kind, data_key_id, labels);
            self.prove_first((number, provider.as_ref()), &wrapped, key, of)?;
            slots.push(wrapped)?;
        }
        self.check_network_slots(&slots)?;
        Ok(slots)
    }

    /// Wraps a draw's data key and readies its HMAC.
    pub(super) fn begin(
        &self,
        kind: EnvelopeKind,
        draw: RecordDraw,
        labels: &[u8],
    ) -> Result<(Mac256, [u8; 16], SlotList, SharedIv)> {
        let RecordDraw {
            data_key,
            data_key_id,
            iv,
        } = draw;
        let key = DataKey::from(data_key);
        let slots = self.wrap_for_all(kind, &data_key_id, labels, &key, &iv)?;
        Ok((Mac256::new(key.as_bytes()), data_key_id, slots, iv))
    }
}

// FORMAT §5: bindings tag, header, header tag.
/// Appends a new header to `out`, and says where *immutable* stands there: what [`payload_key`] wants.
pub(super) fn seal_header(
    data: &Mac256,
    identity: &Identity<'_>,
    slots: &SlotList,
    out: &mut Vec<u8>,
) -> Result<Immutable> {
    let message_id = identity.message_id.unwrap_or(identity.data_key_id);
    let bindings_tag = (!identity.bindings.is_empty())
        .then(|| derive::bindings_tag(data, message_id, identity.bindings));
    let draft = Draft {
        kind: identity.kind,
        generation: identity.generation,
        block_length: identity.block_length,
        data_key_id: identity.data_key_id,
        message_id: identity.message_id,
        labels: identity.labels,
        bindings_tag: bindings_tag.as_ref(),
    };
    seal_draft(data, &draft, slots, out)
}

// FORMAT §5
/// What `make` makes of the payload key of a header that [`seal_header`] wrote to `out`.
pub(super) fn payload_key<T>(
    data: &Mac256,
    immutable: &Immutable,
    out: &[u8],
    make: impl FnOnce(&[u8; 32]) -> T,
) -> T {
    let tail = out.get(immutable.tail.clone()).unwrap_or_default();
    derive::payload_key(data, [&immutable.head, tail], make)
}

/// The bytes of the verified `header` with other slots, a generation later.
pub(super) fn reseal_header(
    data: &Mac256,
    header: &Header<'_>,
    slots: &SlotList,
) -> Result<Vec<u8>> {
    let draft = Draft::next_generation_of(header)?;
    let mut out = Vec::with_capacity(draft.len(slots));
    seal_draft(data, &draft, slots, &mut out)?;
    Ok(out)
}

/// The bytes of the verified `header` for blocks of another length, a generation later.
pub(super) fn relength_header(
    data: &Mac256,
    header: &Header<'_>,
    block_length: u32,
) -> Result<Vec<u8>> {
    let slots = SlotList::keeping(header.slots())?;
    let draft = Draft {
        block_length,
        ..Draft::next_generation_of(header)?
    };
    let mut out = Vec::with_capacity(draft.len(&slots));
    seal_draft(data, &draft, &slots, &mut out)?;
    Ok(out)
}

pub(super) fn seal_draft(
    data: &Mac256,
    draft: &Draft<'_>,
    slots: &SlotList,
    out: &mut Vec<u8>,
) -> Result<Immutable> {
    let start = out.len();
    let immutable = draft.write(slots, out)?;
    let tag = derive::header_tag(data, out.get(start..).unwrap_or_default());
    out.extend_from_slice(&tag);
    Ok(immutable)
}
