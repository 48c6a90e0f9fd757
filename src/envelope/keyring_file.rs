//! A keyring in a file that is itself a record envelope (FORMAT §9).

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use super::open::Opened;
use super::record::seal_message;
use super::{Context, EnvelopeCipher, keyring_json, record};
use crate::crypto::random;
use crate::disk::{Disk, Lock, folder_of};
use crate::error::{ContextMismatch, Error, KeyringRule, Limit, Malformed, Result};
use crate::format::slot::{KEYRING, SlotList};
use crate::keys::{Keyring, KeyringEdit, MasterKey};
use crate::secret::on_cleared_stack;

/// Bytes of the longest keyring's file that is read, and so of the longest that is written.
const MAX_FILE: u64 = 16 << 20;

/// A keyring in a file, sealed under a passphrase, under a master key from elsewhere, or under either.
///
/// Everything that changes it goes through [`update`](Self::update), which works across threads and processes: none loses
/// another's new key, and nothing is ever sealed under a key that the file does not hold durably. Long-running readers call
/// [`reload`](Self::reload) to see what others changed.
///
/// The file has mode 0600. A file that group or others may touch is refused, see [`KeyringFileOptions`].
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
    path: PathBuf,
    keyring: Keyring,
    protection: RwLock<EnvelopeCipher>,
    options: KeyringFileOptions,
    disk: Disk,
}

/// How a keyring's file is opened.
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct KeyringFileOptions {
    allow_others: bool,
}

impl KeyringFileOptions {
    /// Opens a file although group or others may read it or write it, as with a secret that is mounted into a container.
    pub fn allow_access_by_others(mut self) -> Self {
        self.allow_others = true;
        self
    }

    /// [`KeyringFile::open`] with these options.
    ///
    /// # Errors
    /// As there.
    pub fn open(
        self,
        path: impl AsRef<Path>,
        protection: impl Into<EnvelopeCipher>,
    ) -> Result<KeyringFile> {
        self.open_on(Disk::default(), path.as_ref(), protection.into())
    }

    pub(super) fn open_on(
        self,
        disk: Disk,
        path: &Path,
        protection: EnvelopeCipher,
    ) -> Result<KeyringFile> {
        let (_locked, bytes) = self.read(&disk, &disk.resolve(path)?, Lock::Shared)?;
        let keys = Content::open(&protection, &bytes)?.keys;
        Ok(KeyringFile {
            path: path.to_owned(),
            keyring: Keyring::in_file(keys),
            protection: RwLock::new(protection),
            options: self,
            disk,
        })
    }

    fn read(self, disk: &Disk, path: &Path, lock: Lock) -> Result<(File, Vec<u8>)> {
        let file = disk.open_locked(path, lock)?;
        if !self.allow_others {
            refuse_access_by_others(&disk.metadata_of(&file)?)?;
        }
        // A writer that was killed between its rename and its sync left a file that is not durable yet.
        match disk.sync_folder(&folder_of(path)) {
            Err(error) if !cannot_sync(&error) => return Err(error.into()),
            _ => {}
        }
        let mut bytes = Vec::new();
        disk.reader(&file)
            .take(MAX_FILE + 1)
            .read_to_end(&mut bytes)?;
        check_length(&bytes)?;
        Ok((file, bytes))
    }
}

impl KeyringFile {
    /// Makes a file that holds a keyring of one new random key. Refuses to replace a file.
    ///
    /// `protection` is who may open it: a [`Passphrase`](crate::Passphrase), a [`Keyring`] of another master key, or a cipher
    /// that writes for several.
    ///
    /// # Errors
    /// [`Error::Io`], also where the path exists, [`Limit::KeyringFile`], and what the protection's providers report.
    pub fn create(
        path: impl AsRef<Path>,
        label: &str,
        protection: impl Into<EnvelopeCipher>,
    ) -> Result<Self> {
        Self::create_with(path, MasterKey::generate()?, label, protection)
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
        let keys = Keyring::from_master_key(key, label).snapshot();
        Self::create_on(Disk::default(), path.as_ref(), keys, protection.into())
    }

    pub(super) fn create_on(
        disk: Disk,
        path: &Path,
        keys: KeyringEdit,
        protection: EnvelopeCipher,
    ) -> Result<Self> {
        let sealed = protection.encrypt(&*keyring_json::write(&keys)?, &labels()?)?;
        check_length(&sealed)?;
        disk.put_new(path, &sealed)?;
        Ok(Self {
            path: path.to_owned(),
            keyring: Keyring::in_file(keys),
            protection: RwLock::new(protection),
            options: KeyringFileOptions::default(),
            disk,
        })
    }

    /// Opens a keyring's file.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`], [`Error::NoMatchingKey`] and the others of opening an envelope; [`Error::Io`], also where
    /// group or others may touch the file; [`Malformed::Keyring`] where it holds no keyring.
    pub fn open(path: impl AsRef<Path>, protection: impl Into<EnvelopeCipher>) -> Result<Self> {
        KeyringFileOptions::default().open(path, protection)
    }

    /// The choices there are in opening.
    pub fn options() -> KeyringFileOptions {
        KeyringFileOptions::default()
    }

    /// The keyring, as a shared handle that sees every [`update`](Self::update) and [`reload`](Self::reload).
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        self.keyring.clone()
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Changes the keyring: locks the file, reloads it, lets `change` work, makes the result durable, and only then lets ciphers
    /// see it. Where `change` fails, nothing changes. The file's recipients stay as they are: where the key that protects it was
    /// rotated or compromised, [`protect_with`](Self::protect_with) moves the file off it. `change` must not use this file again.
    ///
    /// # Errors
    /// What `change` returns, those of [`open`](Self::open), and [`Limit::KeyringFile`] where the file would grow too long.
    pub fn update<T>(&self, change: impl FnOnce(&mut KeyringEdit) -> Result<T>) -> Result<T> {
        let path = self.disk.resolve(&self.path)?;
        let (locked, bytes) = self.options.read(&self.disk, &path, Lock::Exclusive)?;
        let protection = self.protection();
        let mut content = self.open_content(&protection, &bytes)?;
        let out = change(&mut content.keys)?;
        let sealed = content.reseal()?;
        check_length(&sealed)?;
        let old = self.disk.metadata_of(&locked)?;
        let _new = self.disk.put_in_place(&path, &sealed, &old)?;
        self.keyring.publish(content.keys);
        Ok(out)
    }

    /// Reads the file again, to see what other processes changed.
    ///
    /// # Errors
    /// As [`open`](Self::open); the keyring then stays as it is.
    pub fn reload(&self) -> Result<()> {
        let path = self.disk.resolve(&self.path)?;
        let (_locked, bytes) = self.options.read(&self.disk, &path, Lock::Shared)?;
        let keys = self.open_content(&self.protection(), &bytes)?.keys;
        self.keyring.publish(keys);
        Ok(())
    }

    /// Seals the file anew, under a new data key, for those whom `protection` writes for and nobody else: a new passphrase, another
    /// master key. The keyring's master keys stay as they are.
    ///
    /// Copies of the old file still open as before; rotate the keyring where an old passphrase may be known.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn protect_with(&self, protection: impl Into<EnvelopeCipher>) -> Result<()> {
        let protection = protection.into();
        let path = self.disk.resolve(&self.path)?;
        let (locked, bytes) = self.options.read(&self.disk, &path, Lock::Exclusive)?;
        let keys = self.open_content(&self.protection(), &bytes)?.keys;
        let sealed = protection.encrypt(&*keyring_json::write(&keys)?, &labels()?)?;
        // Whoever could not open it again would lose the keyring.
        check_length(&sealed)?;
        if Content::open(&protection, &sealed)?.is_under_its_own_keys() {
            return Err(Error::Misuse(
                "a keyring's file cannot be sealed under its own keys alone",
            ));
        }
        let old = self.disk.metadata_of(&locked)?;
        let _new = self.disk.put_in_place(&path, &sealed, &old)?;
        *self
            .protection
            .write()
            .unwrap_or_else(PoisonError::into_inner) = protection;
        self.keyring.publish(keys);
        Ok(())
    }

    /// The file's content, which must not be older than what this process knows: whoever writes the storage could put a key back
    /// that was marked compromised.
    fn open_content<'a>(
        &self,
        protection: &EnvelopeCipher,
        bytes: &'a [u8],
    ) -> Result<Content<'a>> {
        let content = Content::open(protection, bytes)?;
        if content.keys.follows(&self.keyring.snapshot()) {
            Ok(content)
        } else {
            Err(Malformed::Keyring(KeyringRule::Older).into())
        }
    }

    pub(crate) fn protection(&self) -> EnvelopeCipher {
        self.protection
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A keyring's file, opened.
struct Content<'a> {
    keys: KeyringEdit,
    opened: Opened<'a>,
}

impl<'a> Content<'a> {
    fn open(protection: &EnvelopeCipher, bytes: &'a [u8]) -> Result<Self> {
        let labels = labels()?;
        let (header, payload) = record::parse(bytes)?;
        let no_keyring = |error| match error {
            Error::ContextMismatch(
                ContextMismatch::LabelsDiffer | ContextMismatch::BindingsMissing,
            ) => Malformed::Keyring(KeyringRule::Label).into(),
            error => error,
        };
        let opened = protection
            .open_header(header, &labels)
            .map_err(no_keyring)?;
        labels
            .check_exact_labels(opened.header())
            .map_err(no_keyring)?;
        let content = on_cleared_stack(|| record::open_payload(&opened, &payload))?;
        let keys = keyring_json::parse(&content)?;
        Ok(Self { keys, opened })
    }

    /// Whether all its slots are of keys that only the file itself holds.
    fn is_under_its_own_keys(&self) -> bool {
        let own = |id: &[u8]| self.keys.keys().any(|key| key.id.as_bytes() == id);
        let mut slots = self.opened.header().slots();
        slots.all(|slot| slot.scheme() == KEYRING && own(slot.key_id()))
    }

    /// The file's bytes for the keys as they are now: the same data key and slots, so that whoever could open it still can, and
    /// a message id of its own.
    fn reseal(&self) -> Result<Vec<u8>> {
        let header = self.opened.header();
        let slots = SlotList::keeping(header.slots())?;
        let draw = random::message()?;
        seal_message(
            self.opened.data(),
            (header.data_key_id(), &draw.message_id),
            (header.labels(), &Context::new()),
            &slots,
            (&keyring_json::write(&self.keys)?, draw.iv),
        )
    }
}

/// Whether a folder cannot be synced by this process or on its file system, where no writer of this system is at work either.
fn cannot_sync(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::Unsupported
    )
}

fn check_length(bytes: &[u8]) -> Result<()> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(Limit::KeyringFile.into());
    }
    Ok(())
}

fn labels() -> Result<Context> {
    Context::new().label("phi-envelope", "keyring/1")
}

#[cfg(unix)]
fn refuse_access_by_others(metadata: &Metadata) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(Error::Io(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!(
            "the keyring's file has mode {:04o}, which lets others at it: `chmod 600` it, or allow access by others explicitly",
            mode & 0o7777
        ),
    )))
}

#[cfg(not(unix))]
fn refuse_access_by_others(_: &Metadata) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyrings_file_has_16_mib_at_most() {
        let mut bytes = vec![0; 16 << 20];
        assert!(check_length(&bytes).is_ok());
        bytes.push(0);
        assert!(matches!(
            check_length(&bytes),
            Err(Error::LimitExceeded(Limit::KeyringFile))
        ));
    }

    #[test]
    fn a_folder_that_cannot_be_synced_at_all_is_told_from_a_disk_that_fails() {
        use io::ErrorKind::{InvalidInput, Other, PermissionDenied, ReadOnlyFilesystem};
        for kind in [PermissionDenied, ReadOnlyFilesystem, InvalidInput] {
            assert!(cannot_sync(&kind.into()), "{kind}");
        }
        assert!(!cannot_sync(&Other.into()));
        assert!(!cannot_sync(&io::ErrorKind::StorageFull.into()));
    }
}
