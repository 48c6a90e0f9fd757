//! Versioned master keys: one wraps, the others open what they wrapped.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::edit::{Entry, KeyInfo, KeyringEdit};
use super::{DataKey, KeyProvider, MasterKey, Recognition, UnwrapContext, WrapContext};
use crate::error::{Error, KeyId, KeyState, Malformed, Result};
use crate::format::slot::{KEYRING, Slot, WrappedKey};

/// Versioned master keys with a state each, of which exactly one is active. It is a [`KeyProvider`].
///
/// It is a shared handle: clones, and the ciphers that were made with it, see its changes at once. A keyring that a
/// [`KeyringFile`](crate::KeyringFile) hands out is changed through that file alone.
///
/// ```
/// use phi_envelope::{Context, EnvelopeCipher, KeyState, Keyring};
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
    keys: RwLock<KeyringEdit>,
    in_file: bool,
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
        Self::new(KeyringEdit::of(key, label), false)
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

    /// [`KeyringEdit::rotate`], at once.
    ///
    /// # Errors
    /// As there, and [`Error::Misuse`] for a file's keyring.
    pub fn rotate(&self, label: &str) -> Result<KeyId> {
        self.edit(|keys| keys.rotate(label))
    }

    /// [`KeyringEdit::rotate_to`], at once.
    ///
    /// # Errors
    /// As there, and [`Error::Misuse`] for a file's keyring.
    pub fn rotate_to(&self, key: MasterKey, label: &str) -> Result<KeyId> {
        self.edit(|keys| keys.rotate_to(key, label))
    }

    /// [`KeyringEdit::deactivate`], at once.
    ///
    /// # Errors
    /// As there, and [`Error::Misuse`] for a file's keyring.
    pub fn deactivate(&self, id: KeyId) -> Result<()> {
        self.edit(|keys| keys.deactivate(id))
    }

    /// [`KeyringEdit::suspend`], at once.
    ///
    /// # Errors
    /// As there, and [`Error::Misuse`] for a file's keyring.
    pub fn suspend(&self, id: KeyId) -> Result<()> {
        self.edit(|keys| keys.suspend(id))
    }

    /// [`KeyringEdit::resume`], at once.
    ///
    /// # Errors
    /// As there, and [`Error::Misuse`] for a file's keyring.
    pub fn resume(&self, id: KeyId) -> Result<()> {
        self.edit(|keys| keys.resume(id))
    }

    /// [`KeyringEdit::mark_compromised`], at once.
    ///
    /// # Errors
    /// As there, and [`Error::Misuse`] for a file's keyring.
    pub fn mark_compromised(&self, id: KeyId) -> Result<()> {
        self.edit(|keys| keys.mark_compromised(id))
    }

    /// [`KeyringEdit::destroy_without_evidence`], at once.
    ///
    /// # Errors
    /// As there, and [`Error::Misuse`] for a file's keyring.
    pub fn destroy_without_evidence(&self, id: KeyId) -> Result<()> {
        self.edit(|keys| keys.destroy_without_evidence(id))
    }

    /// A keyring that a file holds, and that only the file changes.
    pub(crate) fn in_file(keys: KeyringEdit) -> Self {
        Self::new(keys, true)
    }

    /// Replaces the keys by what a file durably holds.
    pub(crate) fn publish(&self, keys: KeyringEdit) {
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// The keys as they are now, to be changed and stored.
    pub(crate) fn snapshot(&self) -> KeyringEdit {
        self.read(Clone::clone)
    }

    fn new(keys: KeyringEdit, in_file: bool) -> Self {
        Self(Arc::new(Shared {
            keys: RwLock::new(keys),
            in_file,
        }))
    }

    // A panic elsewhere cannot leave the keys half changed: `edit` and `publish` replace them whole.
    fn read<T>(&self, look: impl FnOnce(&KeyringEdit) -> T) -> T {
        look(&self.0.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn edit<T>(&self, change: impl FnOnce(&mut KeyringEdit) -> Result<T>) -> Result<T> {
        if self.0.in_file {
            return Err(Error::Misuse(
                "this keyring belongs to a file and is changed by KeyringFile::update",
            ));
        }
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = keys.clone();
        let out = change(&mut changed)?;
        *keys = changed;
        Ok(out)
    }
}

impl KeyProvider for Keyring {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        let Some(id) = slot_key(slot) else {
            return Recognition::NotMine;
        };
        self.read(|keys| match keys.entry(id).map(|entry| entry.info.state) {
            None => Recognition::NotMine,
            Some(KeyState::Active) => Recognition::Current,
            Some(KeyState::Deactivated) => Recognition::Outdated,
            Some(_) => Recognition::Restricted,
        })
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapContext<'_>) -> Result<WrappedKey> {
        let active = self.read(|keys| keys.active().cloned())?;
        active.wrap(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapContext<'_>) -> Result<DataKey> {
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
