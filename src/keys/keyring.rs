//! Versioned master keys: one wraps, the others open what they wrapped.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use super::lease::{Busy, Clock, Home, Lease, Leased, Moment};
use super::transaction::{Entry, KeyInfo, KeyringTransaction};
use super::{DataKey, KeyProvider, MasterKey, Recognition, UnwrapRequest, WrapRequest};
use crate::error::{Error, KeyId, KeyState, Malformed, Result};
use crate::format::slot::{KEYRING, Slot, WrappedKey};

/// Versioned master keys with a state each, of which exactly one is active. It is a [`KeyProvider`].
///
/// It is a shared handle: clones, and the ciphers that were made with it, see its changes at once. A keyring that a
/// [`KeyringFile`](crate::KeyringFile) hands out is changed through that file alone, and it has a *lease*: if it was not confirmed
/// within that time to be what the file holds, it confirms by itself, and if it cannot, it wraps nothing.
///
/// ```
/// use phi_envelope::{Context, EnvelopeCipher, Keyring, keys::KeyState};
///
/// let keyring = Keyring::generate("ehr-2026")?;
/// let cipher = EnvelopeCipher::new(keyring.clone());
/// let context = Context::new();
/// let old = cipher.encrypt(b"BP 120/80", &context)?;
///
/// keyring.rotate("ehr-2027")?; // the cipher sees it
/// assert_eq!(keyring.keys()[0].state, KeyState::Deactivated);
/// assert_eq!(&cipher.decrypt(&old, &context)?[..], b"BP 120/80");
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[derive(Clone)]
pub struct Keyring(Arc<Shared>);

struct Shared {
    keys: RwLock<KeyringTransaction>,
    /// Of a keyring that a file holds.
    lease: Option<Lease<Keyring>>,
}

impl Keyring {
    /// A keyring of one new random key, in memory alone: when it is dropped, so is the key.
    ///
    /// # Errors
    /// [`Error::Io`] where the operating system gives no randomness.
    pub fn generate(label: &str) -> Result<Self> {
        Ok(Self::from_master_key(MasterKey::generate()?, label))
    }

    /// A keyring of one active key from elsewhere, in memory alone.
    #[must_use]
    pub fn from_master_key(key: MasterKey, label: &str) -> Self {
        Self::new(KeyringTransaction::of(key, label), None)
    }

    /// What the keyring knows about its keys, oldest first.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyInfo> {
        self.read(|keys| keys.keys().cloned().collect())
    }

    /// The key that wraps now.
    ///
    /// # Errors
    /// None: a keyring has an active key.
    pub fn active(&self) -> Result<KeyId> {
        self.read(|keys| Ok(keys.active()?.id()))
    }

    /// The id of the keyring: 16 random bytes. None for one in memory alone.
    #[must_use]
    pub fn id(&self) -> Option<[u8; 16]> {
        self.in_home(|keys| keys.journal.id)
    }

    /// Which version of the file's keyring this is: 1 when it was made, one more at each change. None for one in memory alone.
    #[must_use]
    pub fn revision(&self) -> Option<u64> {
        self.in_home(|keys| keys.journal.revision)
    }

    /// How long it wraps without confirming that it is what the file holds. None for one in memory alone.
    #[must_use]
    pub fn lease(&self) -> Option<Duration> {
        self.in_home(|keys| keys.journal.lease)
    }

    /// When the lease was last changed, if it was.
    #[must_use]
    pub fn lease_changed(&self) -> Option<SystemTime> {
        self.read(|keys| keys.journal.lease_changed)
    }

    /// When the last look began that found it to be what the file holds. None before the first, and for one in memory alone.
    #[must_use]
    pub fn last_confirmed(&self) -> Option<SystemTime> {
        self.0.lease.as_ref()?.last_confirmed()
    }

    /// [`KeyringTransaction::rotate`], at once.
    ///
    /// # Errors
    /// Those of [`KeyringTransaction::rotate`]; [`Error::Misuse`] if the keyring is kept in a file.
    pub fn rotate(&self, label: &str) -> Result<KeyId> {
        self.edit(|keys| keys.rotate(label))
    }

    /// [`KeyringTransaction::rotate_to`], at once.
    ///
    /// # Errors
    /// Those of [`KeyringTransaction::rotate_to`]; [`Error::Misuse`] if the keyring is kept in a file.
    pub fn rotate_to(&self, key: MasterKey, label: &str) -> Result<KeyId> {
        self.edit(|keys| keys.rotate_to(key, label))
    }

    /// [`KeyringTransaction::deactivate`], at once.
    ///
    /// # Errors
    /// Those of [`KeyringTransaction::deactivate`]; [`Error::Misuse`] if the keyring is kept in a file.
    pub fn deactivate(&self, id: KeyId) -> Result<()> {
        self.edit(|keys| keys.deactivate(id))
    }

    /// [`KeyringTransaction::suspend`], at once.
    ///
    /// # Errors
    /// Those of [`KeyringTransaction::suspend`]; [`Error::Misuse`] if the keyring is kept in a file.
    pub fn suspend(&self, id: KeyId) -> Result<()> {
        self.edit(|keys| keys.suspend(id))
    }

    /// [`KeyringTransaction::resume`], at once.
    ///
    /// # Errors
    /// Those of [`KeyringTransaction::resume`]; [`Error::Misuse`] if the keyring is kept in a file.
    pub fn resume(&self, id: KeyId) -> Result<()> {
        self.edit(|keys| keys.resume(id))
    }

    /// [`KeyringTransaction::mark_compromised`], at once.
    ///
    /// # Errors
    /// Those of [`KeyringTransaction::mark_compromised`]; [`Error::Misuse`] if the keyring is kept in a file.
    pub fn mark_compromised(&self, id: KeyId) -> Result<()> {
        self.edit(|keys| keys.mark_compromised(id))
    }

    /// [`KeyringTransaction::destroy_without_evidence`], at once.
    ///
    /// # Errors
    /// Those of [`KeyringTransaction::destroy_without_evidence`]; [`Error::Misuse`] if the keyring is kept in a file.
    pub fn destroy_without_evidence(&self, id: KeyId) -> Result<()> {
        self.edit(|keys| keys.destroy_without_evidence(id))
    }

    /// A keyring that a file holds, and that only the file changes.
    pub(crate) fn in_file(
        keys: KeyringTransaction,
        home: Arc<dyn Home<Self>>,
        clock: Clock,
    ) -> Self {
        Self::new(keys, Some(Lease::new(home, clock)))
    }

    /// Replaces the keys by what a file durably holds, unless they are those of a later revision. The lease begins at `before`, a
    /// moment from before the file was looked at, or is over where that is none.
    pub(crate) fn publish(&self, keys: KeyringTransaction, before: Option<Moment>) {
        let mut held = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.journal.revision >= held.journal.revision {
            *held = keys;
            self.confirmed(before);
        }
    }

    /// The file holds what this keyring holds, as a look that began at `before` has shown.
    pub(crate) fn confirmed(&self, before: Option<Moment>) {
        if let Some(lease) = &self.0.lease {
            lease.confirmed(before);
        }
    }

    /// Whoever reads with this keyring goes on without a look at its file until this is dropped.
    pub(crate) fn begin_change(&self) -> Option<Busy<'_>> {
        self.0.lease.as_ref().map(Lease::begin_change)
    }

    /// The keys as they are now, to be changed and stored.
    pub(crate) fn snapshot(&self) -> KeyringTransaction {
        self.read(KeyringTransaction::copied)
    }

    /// Looks at what the keyring is, without the keys.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&KeyringTransaction) -> T) -> T {
        // A panic elsewhere cannot leave the keys half changed: `edit` and `publish` replace them whole.
        look(&self.0.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn new(keys: KeyringTransaction, lease: Option<Lease<Keyring>>) -> Self {
        Self(Arc::new(Shared {
            keys: RwLock::new(keys),
            lease,
        }))
    }

    /// The same keys once more, which then go their own way.
    #[cfg(test)]
    pub(crate) fn copied(&self) -> Self {
        Self::new(self.snapshot(), None)
    }

    fn in_home<T>(&self, look: impl FnOnce(&KeyringTransaction) -> T) -> Option<T> {
        self.0.lease.as_ref().map(|_| self.read(look))
    }

    fn edit<T>(&self, change: impl FnOnce(&mut KeyringTransaction) -> Result<T>) -> Result<T> {
        if self.0.lease.is_some() {
            return Err(Error::Misuse(
                "this keyring belongs to a file and is changed by KeyringFile::update",
            ));
        }
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = keys.copied();
        let out = change(&mut changed)?;
        *keys = changed;
        Ok(out)
    }
}

impl Leased for Keyring {
    fn lease(&self) -> Option<Duration> {
        Self::lease(self)
    }
}

impl KeyProvider for Keyring {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        let Some(id) = slot_key(slot) else {
            return Recognition::NotMine;
        };
        if let Some(lease) = &self.0.lease {
            // A key that was suspended or compromised elsewhere stops opening within a lease, in a cache as well.
            lease.confirm_to_read(self);
        }
        let state = || self.read(|keys| keys.entry(id).map(|entry| entry.info.state));
        let mut found = state();
        if let (None, Some(lease)) = (found, &self.0.lease) {
            lease.look_for(id, self);
            found = state();
        }
        match found {
            None => Recognition::NotMine,
            Some(KeyState::Active) => Recognition::Current,
            Some(KeyState::Deactivated) => Recognition::Outdated,
            Some(_) => Recognition::Restricted,
        }
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        self.confirm()?;
        let active = self.read(|keys| keys.active().cloned())?;
        active.wrap(key, context)
    }

    /// Confirms the lease of a keyring that a file holds.
    fn confirm(&self) -> Result<()> {
        match &self.0.lease {
            Some(lease) => lease.confirm_to_wrap(self),
            None => Ok(()),
        }
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        let id = slot_key(slot).ok_or(Malformed::KeyIdLength)?;
        let key = self.read(|keys| match keys.entry(id) {
            Some(entry) => usable(entry, context.allow_compromised()),
            None => Err(Error::NoMatchingKey {
                slots: vec![id.into()],
            }),
        })?;
        key.unwrap(slot, context)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}

fn slot_key(slot: &Slot<'_>) -> Option<KeyId> {
    (slot.scheme() == KEYRING)
        .then(|| slot.key_id().try_into().ok())
        .flatten()
        .map(KeyId::from_bytes)
}

fn usable(entry: &Entry, allow_compromised: bool) -> Result<Arc<MasterKey>> {
    let allowed = match entry.info.state {
        KeyState::Active | KeyState::Deactivated => true,
        KeyState::Compromised => allow_compromised,
        KeyState::Suspended | KeyState::Destroyed => false,
    };
    entry
        .key
        .as_ref()
        .filter(|_| allowed)
        .cloned()
        .ok_or(Error::KeyNotUsable {
            key_id: entry.info.id,
            state: entry.info.state,
        })
}
