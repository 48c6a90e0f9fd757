//! A keyring in a file that is itself an envelope (FORMAT §9.2).

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::content::{Content, Sealed, note_sealed, seal_first};
use super::options::KeyringFileOptions;
use super::pins::{KeyringPin, Met};
use super::recipients;
use super::store::{FileRead, FileStore};
use crate::crypto::random;
use crate::disk::{Lock, unlock};
use crate::envelope::EnvelopeCipher;
use crate::error::{Error, KeyringError, Result, SlotId};
use crate::keys::{Keyring, KeyringTransaction, MasterKey};

/// A keyring in a file, sealed under a passphrase, under a master key from elsewhere, or under either.
///
/// Everything that changes it goes through [`update`](Self::update), which works across threads and processes: none loses
/// another's new key, and nothing is ever sealed under a key that the file does not hold durably.
///
/// The keyring has a lease, 15 minutes unless set: a process that has not confirmed within it that the file is still the one
/// that it has read confirms by itself before it wraps, or wraps nothing. It reads on where the file cannot be reached. A key that
/// another process has made since is found when a header names it; [`reload`](Self::reload) shows all changes at once.
///
/// Each update makes a new data key, and a passphrase has a new salt each time: an update costs two derivations by Argon2id, and every
/// process that reads it one. The file has mode 0600. One that group or others may touch is refused, see [`KeyringFileOptions`].
///
/// ```no_run
/// use phi_envelope::{EnvelopeCipher, KeyringFile, Passphrase};
///
/// let file = KeyringFile::create("ehr.keyring", "ehr-2026", Passphrase::new("correct horse")?)?;
/// let cipher = EnvelopeCipher::new(file.keyring());
/// file.update(|keyring| keyring.rotate("ehr-2027"))?; // the cipher sees it, once the file holds it
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[derive(Debug)]
pub struct KeyringFile {
    store: Arc<FileStore>,
    keyring: Keyring,
}

/// What an update came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Updated<T> {
    /// What the change returned.
    pub out: T,
    /// Whether the file was written. A change that changes nothing writes nothing.
    pub is_written: bool,
    /// The slots for which this process cannot wrap. If there are any, the file keeps its data key: an older copy, and what opened
    /// that, still open it.
    pub not_wrapped_for: Vec<SlotId>,
}

impl KeyringFile {
    /// Makes a file that holds a keyring of one new random key. Refuses to replace a file.
    ///
    /// `protection` is who may open it: a [`Passphrase`](crate::Passphrase), a [`Keyring`] of another master key, or a cipher
    /// that writes for several. Each of them opens what it has sealed once before anything is written.
    ///
    /// # Errors
    /// [`Error::Io`], also if the path exists, [`Limit::KeyringFile`](crate::error::Limit::KeyringFile),
    /// [`KeyringError::DoesNotOpen`], and what the protection's providers report.
    pub fn create(
        path: impl AsRef<Path>,
        label: &str,
        protection: impl Into<EnvelopeCipher>,
    ) -> Result<Self> {
        Self::options().create(path, label, protection)
    }

    /// Makes a file that holds a keyring of one key from elsewhere. Refuses to replace a file.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with(
        path: impl AsRef<Path>,
        key: MasterKey,
        label: &str,
        protection: impl Into<EnvelopeCipher>,
    ) -> Result<Self> {
        Self::options().create_with(path, key, label, protection)
    }

    pub(super) fn create_of(
        options: KeyringFileOptions,
        path: &Path,
        mut keys: KeyringTransaction,
        protection: EnvelopeCipher,
    ) -> Result<Self> {
        let before = options.clock.now();
        // FORMAT §9.2: the revision, and the number in the data key id, are 1 when first written.
        keys.journal.id = random::bytes()?;
        keys.journal.revision = 1;
        if let Some(lease) = options.lease {
            keys.set_lease(lease)?;
            keys.journal.lease_changed = None;
        }
        let store = Arc::new(FileStore::new(path, options, protection)?);
        keys.journal.data_key_revision = 1;
        // Where a later revision is pinned, there is a keyring, and a new one would be refused at the first look.
        store.check_pins(&keys, Met::First)?;
        let mut put = || {
            let sealed = seal_first(&keys, &store.protection())?;
            note_sealed(&mut keys, &sealed)?;
            store.refuse_unexpected(&keys)?;
            Ok(store.disk().put_new(&store.path, &sealed.bytes)?)
        };
        put().map_err(|error| store.located(error))?;
        let there = store.disk().metadata(&store.path).ok();
        keys.journal.modified = there.and_then(|there| there.modified().ok());
        let keyring = Keyring::in_file(keys, store.clone(), store.clock().clone());
        keyring.confirmed(Some(before));
        Ok(Self { store, keyring })
    }

    /// Opens a keyring's file.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`], [`Error::NoMatchingKey`] and the others of opening an envelope;
    /// [`Malformed::OtherKind`](crate::error::Malformed::OtherKind) for an envelope that is no keyring's file; [`Error::Io`], also if
    /// group or others may touch the file or it belongs to another user;
    /// [`Malformed::Keyring`](crate::error::Malformed::Keyring) if it holds no keyring.
    pub fn open(path: impl AsRef<Path>, protection: impl Into<EnvelopeCipher>) -> Result<Self> {
        Self::options().open(path, protection)
    }

    /// The choices there are in opening, and in making.
    pub fn options() -> KeyringFileOptions {
        KeyringFileOptions::default()
    }

    pub(super) fn open_with(
        options: KeyringFileOptions,
        path: &Path,
        protection: EnvelopeCipher,
    ) -> Result<Self> {
        let before = options.clock.now();
        let store = Arc::new(FileStore::new(path, options, protection)?);
        let FileRead { file, stamp, bytes } = store.read(Lock::Shared)?;
        let content = store.open_content(&store.protection(), &bytes, None)?;
        let home = store.clone();
        let keyring = Keyring::in_file(content.keys.copied(), home, store.clock().clone());
        let kept = store.take_in(&keyring, &content, (file, stamp), before);
        unlock(&kept.file);
        Ok(Self { store, keyring })
    }

    /// The keyring, as a shared handle that sees every [`update`](Self::update) and [`reload`](Self::reload).
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        self.keyring.clone()
    }

    /// Changes the keyring: locks the file, reloads it, lets `change` work, makes the result durable, and only then lets ciphers
    /// see it. If `change` fails, or changes nothing, nothing is written. The file's recipients stay as they are: if the key that
    /// protects it was rotated or compromised, [`reprotect`](Self::reprotect) moves the file off it. `change` must not use this
    /// file again.
    ///
    /// # Errors
    /// What `change` returns, those of [`open`](Self::open), [`Error::KeyringFile`] if the file was rolled back or may not be
    /// changed, [`Limit::KeyringFile`](crate::error::Limit::KeyringFile) if it would grow too long, and [`Error::TookEffect`] if the change
    /// took effect and a step after it failed.
    pub fn update<T>(
        &self,
        change: impl FnOnce(&mut KeyringTransaction) -> Result<T>,
    ) -> Result<T> {
        self.update_and_tell(change).map(|updated| updated.out)
    }

    /// [`update`](Self::update), and says whether the file has a new data key.
    ///
    /// # Errors
    /// Those of [`update`](Self::update).
    pub fn update_and_tell<T>(
        &self,
        change: impl FnOnce(&mut KeyringTransaction) -> Result<T>,
    ) -> Result<Updated<T>> {
        self.change(|content| {
            let mut keys = content.keys.copied();
            let out = change(&mut keys)?;
            // An edit of a copy of the file, exchanged for this one, is of another revision or of another content.
            let of = |keys: &KeyringTransaction| KeyringPin::of(&keys.journal);
            if of(&keys) != of(&content.keys) || !keys.follows(&content.keys) {
                return Err(Error::Misuse(
                    "what is to be stored does not follow the keyring that was loaded",
                ));
            }
            if keys.is_same(&content.keys) {
                return Ok((out, None));
            }
            if keys.journal.has_other_lease(&content.keys.journal) {
                keys.journal
                    .lease_changed_at(self.store.file_systems_clock()?);
            }
            keys.journal = keys.journal.next();
            let sealed = content.seal_next(&keys, &self.store.protection())?;
            Ok((out, Some((keys, sealed))))
        })
    }

    /// Who opens the file, and whom it is sealed for.
    pub(crate) fn protection(&self) -> EnvelopeCipher {
        self.store.protection()
    }

    /// Reads the file again, to see what other processes changed.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`KeyringError::RolledBack`]; the keyring then stays as it is.
    pub fn reload(&self) -> Result<()> {
        self.store.load(&self.keyring)
    }

    /// Seals the file anew, under a new data key, for those whom `protection` writes for and nobody else: a new passphrase, another
    /// master key. The keyring's master keys stay as they are.
    ///
    /// Copies of the old file still open as before; rotate the keyring if an old passphrase may be known.
    ///
    /// # Errors
    /// As [`update`](Self::update), and [`KeyringError::DropsRecipient`] if somebody who can open the file belongs to none of the
    /// new protection.
    pub fn reprotect(&self, protection: impl Into<EnvelopeCipher>) -> Result<()> {
        self.reprotect_as(protection.into(), false)
    }

    /// [`reprotect`](Self::reprotect), also if somebody could no longer open the file.
    ///
    /// # Errors
    /// Those of [`reprotect`](Self::reprotect), without [`KeyringError::DropsRecipient`].
    pub fn reprotect_dropping_recipients(
        &self,
        protection: impl Into<EnvelopeCipher>,
    ) -> Result<()> {
        self.reprotect_as(protection.into(), true)
    }

    fn reprotect_as(&self, protection: EnvelopeCipher, dropping: bool) -> Result<()> {
        if !protection.writes() {
            return Err(Error::Misuse("this cipher has no provider to write for"));
        }
        let changed = self.change(|content| {
            if let (Some(slot), false) = (content.left_out(&protection), dropping) {
                return Err(self.store.fault(KeyringError::DropsRecipient { slot }));
            }
            let mut keys = content.keys.copied();
            keys.journal = keys.journal.next();
            // Public keys are wrapped for by their texts alone, and none of the new protection is one.
            keys.journal.recipients.retain(|text| {
                let id = recipients::id(text).unwrap_or_default();
                !content
                    .slots()
                    .iter()
                    .any(|slot| slot.scheme == 0x03 && slot.key_id == id)
            });
            let sealed = content.seal_for(&keys, protection.0.writers.clone())?;
            let new = Content::open(&protection, &sealed.bytes)?;
            if new.is_under_its_own_keys() {
                return Err(Error::Misuse(
                    "a keyring's file cannot be sealed under its own keys alone",
                ));
            }
            drop(new);
            Ok(((), Some((keys, sealed))))
        });
        if matches!(changed, Ok(_) | Err(Error::TookEffect { .. })) {
            self.store.reprotect(protection);
        }
        changed.map(drop)
    }

    /// Locks and reads the file, lets `seal` make the next revision of it, and puts that in its place.
    fn change<T>(
        &self,
        seal: impl FnOnce(&Content<'_>) -> Result<(T, Option<(KeyringTransaction, Sealed)>)>,
    ) -> Result<Updated<T>> {
        let (store, keyring) = (&self.store, &self.keyring);
        let _busy = keyring.begin_change();
        let before = store.clock().now();
        let read = store.read(Lock::Exclusive)?;
        let content = store.open_content(&store.protection(), &read.bytes, Some(keyring))?;
        if let Some(fault) = store.fault_of(&content, &read.stamp) {
            return Err(store.fault(fault));
        }
        // Taken in already, so that a keyring that protects its own file too wraps without waiting for the lock that is held here.
        let kept = (read.file.try_clone()?, read.stamp.clone());
        // The file that is kept to be looked at has the same lock, which ends here in any case.
        let _locked = LockedUntilDropped(&read.file);
        store.take_in(keyring, &content, kept, before);
        let (out, next) = seal(&content).map_err(|error| store.located(error))?;
        let mut updated = Updated {
            out,
            is_written: false,
            not_wrapped_for: Vec::new(),
        };
        if let Some((mut keys, sealed)) = next {
            note_sealed(&mut keys, &sealed)?;
            store.refuse_unexpected(&keys)?;
            store
                .put(keyring, (keys, &sealed.bytes), &read.stamp, before)
                .map_err(|error| store.located(error))?;
            updated.is_written = true;
            updated.not_wrapped_for = sealed.not_wrapped_for;
        }
        Ok(updated)
    }

    /// The file, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.store.path
    }

    /// The id of the keyring: 16 random bytes.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.keyring.read(|keys| keys.journal.id)
    }

    /// Which version of the keyring this is: 1 when it was made, one more at each change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.keyring.read(|keys| keys.journal.revision)
    }

    /// How long it wraps without confirming that it is what the file holds.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.keyring.read(|keys| keys.journal.lease)
    }

    /// When the lease was last changed, if it was.
    #[must_use]
    pub fn lease_changed(&self) -> Option<SystemTime> {
        self.keyring.lease_changed()
    }

    /// When the last look began that found the keyring to be what the file holds. None if it never was: the file has no name, or several,
    /// or a slot that is not expected.
    #[must_use]
    pub fn last_confirmed(&self) -> Option<SystemTime> {
        self.keyring.last_confirmed()
    }

    /// When the file that was read last was written, as its file system says.
    #[must_use]
    pub fn modified(&self) -> Option<SystemTime> {
        self.keyring.read(|keys| keys.journal.modified)
    }

    /// Refuses a lower revision from now on, as [`KeyringFileOptions::min_revision`] does from the start. If what is held is older, its
    /// lease ends here: the next call that encrypts reads the file again, and fails if that is older too. Decrypting goes on.
    ///
    /// Tell this to each running process after each destruction of a key, within a lease; or let it ask by itself:
    /// [`KeyringFileOptions::pinned_by`].
    pub fn require_revision(&self, revision: u64) {
        self.store.pins.raise(&self.keyring, |least| {
            least.revision = least.revision.max(revision);
        });
    }

    /// Refuses a file whose data key was made at a lower revision from now on, as [`KeyringFileOptions::min_data_key_revision`] does from
    /// the start. For the rest it is as [`require_revision`](Self::require_revision).
    pub fn require_data_key_revision(&self, revision: u64) {
        self.store.pins.raise(&self.keyring, |least| {
            least.data_key_revision = least.data_key_revision.max(revision);
        });
    }

    /// The slots of the file: who can open it.
    #[must_use]
    pub fn slots(&self) -> Vec<SlotId> {
        self.keyring.read(|keys| keys.journal.slots.clone())
    }

    /// What a later process can be told, so that it refuses an older file: [`KeyringFileOptions::pin`].
    #[must_use]
    pub fn pin(&self) -> KeyringPin {
        self.keyring.read(|keys| KeyringPin::of(&keys.journal))
    }
}

/// Ends a file's lock when it is dropped, although the file stays open elsewhere.
struct LockedUntilDropped<'a>(&'a File);

impl Drop for LockedUntilDropped<'_> {
    fn drop(&mut self) {
        unlock(self.0);
    }
}
