//! A keyring's file, opened, and sealed anew for its next revision (FORMAT §9.2).

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{json, recipients};
use crate::crypto::derive;
use crate::crypto::mac::Mac256;
use crate::envelope::own_file::{NewOwnFile, OwnFile};
use crate::envelope::{Context, EnvelopeCipher};
use crate::error::{
    EnvelopeKind, Error, KeyringError, Limit, Malformed, MalformedKeyring, Result, SlotId,
};
use crate::format::header::Header;
use crate::format::slot::{KEYRING, Slot};
use crate::keys::{KeyProvider, KeyringTransaction};
use crate::secret::on_cleared_stack;

/// A keyring's file, opened.
pub(super) struct Content<'a> {
    pub(super) keys: KeyringTransaction,
    own: OwnFile<'a>,
}

/// A keyring's file as it is to be written.
pub(super) struct Sealed {
    pub(super) bytes: Vec<u8>,
    /// Slots for which nobody here could wrap, so that the data key was kept.
    pub(super) not_wrapped_for: Vec<SlotId>,
}

type Writer = Arc<dyn KeyProvider>;

impl<'a> Content<'a> {
    pub(super) fn open(protection: &EnvelopeCipher, bytes: &'a [u8]) -> Result<Self> {
        let own = protection
            .open_own(EnvelopeKind::Keyring, bytes, &Context::new())
            .map_err(too_long)?;
        let mut keys = json::parse(&own.content)?;
        let header = own.opened.header();
        recipients::check_slots(&keys.journal.recipients, header)?;
        // FORMAT §9.2, Data key id: the number is at most the JSON's revision; 0, or a greater number, is malformed.
        let number = number_of(header);
        if !(1..=keys.journal.revision).contains(&number) {
            return Err(Malformed::Keyring(MalformedKeyring::DataKeyRevision).into());
        }
        keys.journal.data_key_revision = number;
        keys.journal.digest = Sha256::digest(&*own.content).into();
        keys.journal.slots = header.slots().map(|slot| slot.id()).collect();
        Ok(Self { keys, own })
    }

    pub(super) fn slots(&self) -> &[SlotId] {
        &self.keys.journal.slots
    }

    /// Whether all its slots are of keys that only the file itself holds.
    pub(super) fn is_under_its_own_keys(&self) -> bool {
        let own = |id: &[u8]| self.keys.keys().any(|key| key.id.as_bytes() == id);
        let mut slots = self.slots().iter();
        slots.all(|slot| slot.scheme == KEYRING && own(&slot.key_id))
    }

    /// The first slot that belongs to none of these writers.
    pub(super) fn left_out(&self, protection: &EnvelopeCipher) -> Option<SlotId> {
        let mut slots = self.own.opened.header().slots();
        let belongs = |slot: &Slot<'_>| {
            let mut writers = protection.0.writers.iter();
            writers.any(|writer| writer.recognize(slot).is_mine())
        };
        slots.find(|slot| !belongs(slot)).map(|slot| slot.id())
    }

    // FORMAT §9.2, Update: each makes a new data key and wraps it for every slot; where the writer cannot wrap for one of the slots
    // it keeps the data key and says so. The header's generation goes on.
    /// The file of the next revision, for the same recipients.
    pub(super) fn seal_next(
        &self,
        keys: &KeyringTransaction,
        protection: &EnvelopeCipher,
    ) -> Result<Sealed> {
        let (writers, not_wrapped_for) = self.writers_of_slots(protection);
        if not_wrapped_for.is_empty() {
            return self.seal_for(keys, writers);
        }
        let json = json::write(keys)?;
        let bytes = self.own.reseal(&json).map_err(too_long)?;
        let again = protection.open_own(EnvelopeKind::Keyring, &bytes, &Context::new())?;
        if *again.content != **json {
            return Err(does_not_open());
        }
        drop(again);
        Ok(Sealed {
            bytes,
            not_wrapped_for,
        })
    }

    /// The file of the next revision, under a new data key for these and nobody else.
    pub(super) fn seal_for(
        &self,
        keys: &KeyringTransaction,
        writers: Vec<Writer>,
    ) -> Result<Sealed> {
        let generation = self.own.opened.header().generation();
        let generation = generation.checked_add(1).ok_or(Limit::Generation)?;
        seal(keys, generation, writers)
    }

    /// Who wraps for each slot, in the order of the slots, and the slots for which nobody here can.
    fn writers_of_slots(&self, protection: &EnvelopeCipher) -> (Vec<Writer>, Vec<SlotId>) {
        let header = self.own.opened.header();
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for slot in header.slots() {
            let mut writers = protection.0.writers.iter().enumerate();
            match writers.find(|(_, writer)| gives_data_key(protection, header, &slot, writer)) {
                // One slot for each recipient, in the place of its first.
                Some((number, _)) if found.contains(&number) => {}
                Some((number, _)) => found.push(number),
                None => missing.push(slot.id()),
            }
        }
        let writer = |number| protection.0.writers.get(number).cloned();
        (found.into_iter().filter_map(writer).collect(), missing)
    }
}

/// The file of a keyring's first revision.
pub(super) fn seal_first(keys: &KeyringTransaction, protection: &EnvelopeCipher) -> Result<Sealed> {
    seal(keys, 0, protection.0.writers.clone())
}

/// What the journal says of a sealed file that it could not know before.
pub(super) fn note_sealed(keys: &mut KeyringTransaction, sealed: &Sealed) -> Result<()> {
    let (header, _) = Header::parse(&sealed.bytes)?;
    keys.journal.data_key_revision = number_of(&header);
    keys.journal.slots = header.slots().map(|slot| slot.id()).collect();
    keys.journal.digest = Sha256::digest(&*json::write(keys)?).into();
    Ok(())
}

fn seal(keys: &KeyringTransaction, generation: u32, writers: Vec<Writer>) -> Result<Sealed> {
    let json = json::write(keys)?;
    let cipher = only(writers.clone());
    let (nothing, new) = (Context::new(), |context| NewOwnFile {
        kind: EnvelopeKind::Keyring,
        generation,
        revision: Some(keys.journal.revision),
        context,
    });
    let bytes = cipher.seal_own(&new(&nothing), &json).map_err(too_long)?;
    // Whoever could not open it again would lose the keyring.
    let mut opens = false;
    for writer in writers.iter().filter(|writer| writer.opens()) {
        let again = Content::open(&only(vec![Arc::clone(writer)]), &bytes)?;
        if *again.own.content != **json {
            return Err(does_not_open());
        }
        opens = true;
    }
    if !opens {
        return Err(does_not_open());
    }
    Ok(Sealed {
        bytes,
        not_wrapped_for: Vec::new(),
    })
}

// FORMAT §7: a slot is replaced only after it was itself unwrapped, where its provider opens at all, and gave the data key.
/// Whether a slot is a writer's own: a passphrase, for one, takes every passphrase's for its own until it is tried.
fn gives_data_key(
    protection: &EnvelopeCipher,
    header: &Header<'_>,
    slot: &Slot<'_>,
    writer: &Writer,
) -> bool {
    if !writer.recognize(slot).is_mine() || !writer.opens() {
        return writer.recognize(slot).is_mine();
    }
    on_cleared_stack(|| {
        let key = writer.unwrap_key(slot, &protection.unwrap_context(header));
        key.is_ok_and(|key| {
            let tag = derive::header_tag(&Mac256::new(key.as_bytes()), header.tagged());
            crate::crypto::equal(&tag, header.tag())
        })
    })
}

/// A cipher of these writers and nobody else.
fn only(writers: Vec<Writer>) -> EnvelopeCipher {
    let builder = EnvelopeCipher::builder();
    let add = |builder: crate::envelope::EnvelopeCipherBuilder, writer| builder.encrypt_for(writer);
    writers.into_iter().fold(builder, add).finish()
}

fn number_of(header: &Header<'_>) -> u64 {
    let (number, _) = header
        .data_key_id()
        .split_first_chunk()
        .unwrap_or((&[0; 8], &[]));
    u64::from_be_bytes(*number)
}

fn does_not_open() -> Error {
    Error::KeyringFile {
        path: std::path::PathBuf::new(),
        fault: KeyringError::DoesNotOpen {
            why: "it gives another content, or nobody of it opens at all".to_owned(),
        },
    }
}

/// A keyring's file has a name of its own for its limit.
fn too_long(error: Error) -> Error {
    match error {
        Error::LimitExceeded(Limit::OwnFile) => Limit::KeyringFile.into(),
        error => error,
    }
}
