//! Files of this crate's own: a keyring, evidence, and those of later crates (FORMAT §2, kinds 0x04 to 0x0A).

use super::asking::shows_maker;
use super::record::{self, append_payload, open_payload};
use super::unlock::Opened;
use super::wrap::{Identity, seal_header};
use super::{Context, EnvelopeCipher};
use crate::crypto::random;
use crate::error::{EnvelopeKind, Limit, Malformed, RecipientError, Result};
use crate::format::header::Draft;
use crate::format::limits::{MAX_COMPARTMENT_ENTRY, MAX_OWN_FILE};
use crate::format::slot::SlotList;
use crate::secret::{Plaintext, on_cleared_stack};

/// What a file of this crate's own is sealed with, beside its content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewOwnFile<'a> {
    pub(crate) kind: EnvelopeKind,
    pub(crate) generation: u32,
    /// The first 8 bytes of the data key id, where the kind has a revision (FORMAT §9.2); random otherwise.
    pub(crate) revision: Option<u64>,
    /// Bindings alone.
    pub(crate) context: &'a Context,
}

/// A file of this crate's own, opened.
#[derive(Debug)]
pub(crate) struct OwnFile<'a> {
    pub(crate) opened: Opened<'a>,
    pub(crate) content: Plaintext,
}

impl EnvelopeCipher {
    /// Seals `content` under a new data key, for every provider that this cipher writes for.
    pub(crate) fn seal_own(&self, new: &NewOwnFile<'_>, content: &[u8]) -> Result<Vec<u8>> {
        let mut draw = random::record()?;
        if let Some(revision) = new.revision {
            let stated = revision.to_be_bytes();
            let (head, _) = draw.data_key_id.split_at_mut(stated.len());
            head.copy_from_slice(&stated);
        }
        let mut out = Vec::new();
        on_cleared_stack(|| {
            let labels = new.context.encoded_labels();
            let (data, data_key_id, slots, iv) = self.begin(new.kind, draw, labels)?;
            self.check_makers(&slots, new.kind)?;
            let identity = Identity {
                kind: new.kind,
                generation: new.generation,
                block_length: 0,
                data_key_id: &data_key_id,
                message_id: None,
                labels,
                bindings: new.context.encoded_bindings(),
            };
            let immutable = seal_header(&data, &identity, &slots, &mut out)?;
            append_payload(&data, &immutable, iv.for_another_key(), content, &mut out);
            Ok::<_, crate::error::Error>(())
        })?;
        check_length(&out, new.kind)?;
        Ok(out)
    }

    /// Opens a file of this kind with this cipher's providers, which the caller has named for it. `context` has bindings alone.
    pub(crate) fn open_own<'a>(
        &self,
        kind: EnvelopeKind,
        bytes: &'a [u8],
        context: &Context,
    ) -> Result<OwnFile<'a>> {
        check_length(bytes, kind)?;
        let (header, payload) = record::parse_own(bytes, kind)?;
        let opened = self.open_header(header, context)?;
        let content = on_cleared_stack(|| open_payload(&opened, &payload))?;
        Ok(OwnFile { opened, content })
    }

    // FORMAT §4: a writer of kinds 0x04 to 0x09 refuses slots that are never believed, but 0x03 in a keyring's.
    fn check_makers(&self, slots: &SlotList, kind: EnvelopeKind) -> Result<()> {
        let for_recovery = |scheme| kind == EnvelopeKind::Keyring && scheme == 0x03;
        for (slot, writer) in slots.iter().zip(&self.0.writers) {
            if !shows_maker(&slot, writer.as_ref()) && !for_recovery(slot.scheme()) {
                return Err(RecipientError::NeverBelieved.into());
            }
        }
        Ok(())
    }
}

impl OwnFile<'_> {
    /// Seals other content under the same data key and slots, a generation later.
    pub(crate) fn reseal(&self, content: &[u8]) -> Result<Vec<u8>> {
        let header = self.opened.header();
        let data = self.opened.data();
        let slots = SlotList::keeping(header.slots())?;
        let draft = Draft::next_generation_of(header)?;
        let iv = random::message()?.iv;
        let mut out = Vec::new();
        on_cleared_stack(|| {
            let immutable = super::wrap::seal_draft(data, &draft, &slots, &mut out)?;
            append_payload(data, &immutable, iv, content, &mut out);
            Ok::<_, crate::error::Error>(())
        })?;
        check_length(&out, header.kind())?;
        Ok(out)
    }
}

// FORMAT §1: 16 MiB for kinds 0x04 to 0x07 and 0x09, 64 KiB for 0x08; the whole envelope counts.
pub(crate) fn check_length(bytes: &[u8], kind: EnvelopeKind) -> Result<()> {
    let most = match kind {
        EnvelopeKind::CompartmentEntry => MAX_COMPARTMENT_ENTRY,
        kind if kind.is_own() => MAX_OWN_FILE,
        found => {
            let wanted = EnvelopeKind::Keyring;
            return Err(Malformed::OtherKind { found, wanted }.into());
        }
    };
    if bytes.len() > most {
        return Err(Limit::OwnFile.into());
    }
    Ok(())
}
