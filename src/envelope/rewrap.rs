//! FORMAT §7: which slots a rewrap replaces, and which it keeps.

use super::EnvelopeCipher;
use super::proof::gives;
use super::unlock::Verified;
use crate::crypto::derive;
use crate::crypto::random::SharedIv;
use crate::error::{Error, Limit, Result, SlotId};
use crate::format::header::Header;
use crate::format::limits::MAX_NETWORK_SLOTS;
use crate::format::slot::{PASSPHRASE, Slot, SlotList, WrappedKey};
use crate::keys::{KeyProvider, Recognition, WrapRequest};

impl EnvelopeCipher {
    /// The first slot that a provider knows as its own and would move off, be it one that only reads. A slot that another provider
    /// calls current stays, and a passphrase that only reads moves nothing.
    pub(crate) fn leftover(&self, header: &Header<'_>) -> Option<SlotId> {
        let mut slots = header.slots();
        let slot = slots.find(|slot| self.is_outdated(slot))?;
        Some(slot.id())
    }

    pub(super) fn is_outdated(&self, slot: &Slot<'_>) -> bool {
        let mut outdated = false;
        for (number, provider) in self.0.readers.iter().enumerate() {
            match provider.recognize(slot) {
                Recognition::Current => return false,
                Recognition::NotMine => {}
                _ if slot.scheme() == PASSPHRASE && number >= self.0.writers.len() => {}
                _ => outdated = true,
            }
        }
        outdated
    }

    // FORMAT §7: a new slot takes the place of its provider's first slot; further ones of that provider go.
    pub(super) fn rewrapped(&self, verified: &Verified<'_>) -> Result<Option<SlotList>> {
        let header = verified.header();
        let owners = self.owners(header);
        self.check_calls(&owners)?;
        let mut slots = SlotList::default();
        let mut met = vec![false; self.0.writers.len()];
        let mut changed = false;
        for (slot, owner) in header.slots().zip(&owners) {
            let Some((number, recognition)) = *owner else {
                slots.keep(&slot)?;
                continue;
            };
            let is_only = owners.iter().flatten().filter(|of| of.0 == number).count() == 1;
            if is_only
                && recognition == Recognition::Current
                && self.is_its_own(verified, &slot, number)?
            {
                slots.keep(&slot)?;
                continue;
            }
            self.check_replaceable(verified, &slot)?;
            changed = true;
            let first = met.get_mut(number).map(|met| !std::mem::replace(met, true));
            if let (Some(true), Some(writer)) = (first, self.0.writers.get(number)) {
                slots.push(wrap(verified, writer)?)?;
            }
        }
        Ok(changed.then_some(slots))
    }

    // FORMAT §4: each provider that asks a network is asked for at most four slots of each block. No writer makes more.
    /// Refuses a header of more slots that would have to be unwrapped one by one.
    fn check_calls(&self, owners: &[Option<(usize, Recognition)>]) -> Result<()> {
        let of = |number| {
            let owned = owners.iter().flatten();
            owned.filter(|owner| owner.0 == number).count()
        };
        let mut writers = self.0.writers.iter().enumerate();
        if writers.any(|(number, writer)| writer.asks_network() && of(number) > MAX_NETWORK_SLOTS) {
            return Err(Limit::ProviderCalls.into());
        }
        Ok(())
    }

    // FORMAT §7: a passphrase slot is up to date where the provider opens it and m, t, p are its own.
    /// Whether a slot that this writer calls current is one that it opens: nothing but that tells whose passphrase a slot is.
    fn is_its_own(&self, verified: &Verified<'_>, slot: &Slot<'_>, writer: usize) -> Result<bool> {
        let Some(writer) = self.0.writers.get(writer) else {
            return Ok(true);
        };
        if slot.scheme() != PASSPHRASE || !writer.opens() {
            return Ok(true);
        }
        let context = self.unwrap_context(verified.header());
        match gives(writer.as_ref(), slot, &context, &verified.state().key) {
            Err(Error::WrongPassphrase) => Ok(false),
            given => given.map(|()| true),
        }
    }

    // FORMAT §7: a slot is replaced or dropped only after it was itself unwrapped and gave the header's data key.
    /// Checks that a slot gives the data key, so that a forged one is never replaced by a genuine one. A slot that no provider here
    /// opens cannot be shown to be right, and stops the rewrap.
    fn check_replaceable(&self, verified: &Verified<'_>, slot: &Slot<'_>) -> Result<()> {
        if slot == verified.slot() {
            return Ok(());
        }
        let readers = self.0.readers.iter().map(AsRef::as_ref);
        let Some(opener) = opener(readers, slot) else {
            return Err(Error::OutdatedSlot { slot: slot.id() });
        };
        let context = self.unwrap_context(verified.header());
        gives(opener, slot, &context, &verified.state().key)
    }

    /// The provider to write for that each slot belongs to. Of several that claim a slot, the one that calls it current has it, or else one
    /// that has no other: two keyrings may share an imported key, and neither is to lose its slot to the other.
    fn owners(&self, header: &Header<'_>) -> Vec<Option<(usize, Recognition)>> {
        let claims: Vec<Vec<_>> = header.slots().map(|slot| self.claims(&slot)).collect();
        let mut owners: Vec<_> = claims.iter().map(|claims| undisputed(claims)).collect();
        for at in 0..owners.len() {
            let (Some(owner), Some(claims)) = (owners.get(at), claims.get(at)) else {
                break;
            };
            if owner.is_some() {
                continue;
            }
            let has_none = |claim: &&(usize, Recognition)| {
                owners.iter().flatten().all(|owner| owner.0 != claim.0)
            };
            let found = claims.iter().find(has_none).or(claims.first()).copied();
            if let Some(owner) = owners.get_mut(at) {
                *owner = found;
            }
        }
        owners
    }

    /// The providers to write for that call a slot their own.
    fn claims(&self, slot: &Slot<'_>) -> Vec<(usize, Recognition)> {
        let writers = self.0.writers.iter().enumerate();
        writers
            .map(|(number, provider)| (number, provider.recognize(slot)))
            .filter(|(_, recognition)| recognition.is_mine())
            .collect()
    }

    /// Whether a slot belongs to a provider to write for.
    pub(super) fn is_owned(&self, slot: &Slot<'_>) -> bool {
        let mut writers = self.0.writers.iter();
        writers.any(|provider| provider.recognize(slot).is_mine())
    }
}

/// The owner of a slot that one provider alone claims, or calls current.
fn undisputed(claims: &[(usize, Recognition)]) -> Option<(usize, Recognition)> {
    let current = |claim: &&(usize, Recognition)| claim.1 == Recognition::Current;
    match claims {
        [only] => Some(*only),
        _ => claims.iter().find(current).copied(),
    }
}

/// The first provider that knows a slot as its own and can unwrap at all.
pub(super) fn opener<'p>(
    mut providers: impl Iterator<Item = &'p dyn KeyProvider>,
    slot: &Slot<'_>,
) -> Option<&'p dyn KeyProvider> {
    providers.find(|provider| provider.opens() && provider.recognize(slot).is_mine())
}

/// The verified header's data key, wrapped once more, with fresh randomness.
pub(super) fn wrap(
    verified: &Verified<'_>,
    provider: &(impl KeyProvider + ?Sized),
) -> Result<WrappedKey> {
    let header = verified.header();
    let aad = derive::wrap_aad(header.kind(), header.data_key_id(), header.labels());
    let iv = SharedIv::draw()?;
    let context = WrapRequest::new(
        header.kind(),
        header.data_key_id(),
        header.labels(),
        &aad,
        &iv,
    );
    provider.wrap_key(&verified.state().key, &context)
}
