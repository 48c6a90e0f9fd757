//! Files that get their name only when they are whole.
//!
//! Where the system can make a file without a name (Linux, `O_TMPFILE`), a process that dies leaves nothing. Elsewhere, and for
//! the moment in which such a file replaces another, it has a name of its own in the same folder, mode 0600, which follows from
//! the target's name, so that the next writer of the same target finds what a dead one left and removes it.
//!
//! Only who holds the lock of the file that such a name stands for gives the name away or removes it.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Disk, Lock, folder_of, same_file};

/// What the name of a file begins with until it is whole.
const MEANWHILE: &str = ".phi-tmp-";

/// A file on its way to its name. Dropped before that, it is gone.
#[derive(Debug)]
pub(crate) struct NewFile {
    disk: Disk,
    file: Option<File>,
    target: PathBuf,
    /// Its name meanwhile, where it has one.
    name: Option<PathBuf>,
}

impl Disk {
    /// A new file, mode 0600 and locked, that is to be `target`.
    pub(crate) fn new_file(&self, target: &Path) -> io::Result<NewFile> {
        let folder = folder_of(target);
        let meanwhile = meanwhile_name(&folder, target)?;
        self.remove_stale(&meanwhile)?;
        let (file, name) = match self.create_nameless(&folder)? {
            Some(file) => (file, None),
            None => (self.create_private(&meanwhile)?, Some(meanwhile)),
        };
        let new = NewFile {
            disk: self.clone(),
            file: Some(file),
            target: target.to_owned(),
            name,
        };
        self.lock(new.file()?, Lock::Exclusive)?;
        new.check_name()?;
        Ok(new)
    }

    /// Makes `target`, mode 0600, of `bytes`. Refuses to replace a file.
    pub(crate) fn put_new(&self, target: &Path, bytes: &[u8]) -> io::Result<()> {
        let new = self.new_file(target)?;
        self.write_checked_at(new.file()?, bytes, 0)?;
        new.publish(None, false).map(drop)
    }

    /// Puts `bytes` in the place of the file that had this metadata, as [`NewFile::replace`] does.
    pub(crate) fn put_in_place(
        &self,
        target: &Path,
        bytes: &[u8],
        old: &Metadata,
    ) -> io::Result<File> {
        let new = self.new_file(target)?;
        self.write_checked_at(new.file()?, bytes, 0)?;
        new.replace(old)
    }

    /// Removes what a dead writer of the same target left. A living one has it locked.
    fn remove_stale(&self, meanwhile: &Path) -> io::Result<()> {
        let left = match self.open_here(meanwhile) {
            Ok(left) => left,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if !self.try_lock(&left)? {
            return Err(busy());
        }
        // It may have got its name, and another writer this one, since it was opened.
        if !self.is_named(&left, meanwhile)? {
            return Ok(());
        }
        self.remove(meanwhile)
    }
}

impl NewFile {
    pub(crate) fn file(&self) -> io::Result<&File> {
        self.file
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Makes the file durable, gives it its name, and makes that durable. It has mode 0600 unless `permissions` say otherwise.
    ///
    /// It comes back locked: whoever waits for it sees the new content only once it is durable and the caller has let go.
    pub(crate) fn publish(
        mut self,
        permissions: Option<Permissions>,
        overwrite: bool,
    ) -> io::Result<File> {
        let (disk, target) = (self.disk.clone(), self.target.clone());
        if let Some(permissions) = permissions {
            disk.set_permissions(self.file()?, permissions)?;
        }
        disk.sync(self.file()?)?;
        let folder = folder_of(&target);
        match (&self.name, overwrite) {
            (None, false) => disk.link_nameless(self.file()?, &target)?,
            (None, true) => {
                let meanwhile = meanwhile_name(&folder, &target)?;
                disk.link_nameless(self.file()?, &meanwhile)
                    .map_err(|error| match error.kind() {
                        io::ErrorKind::AlreadyExists => busy(),
                        _ => error,
                    })?;
                self.name = Some(meanwhile.clone());
                disk.rename(&meanwhile, &target)?;
            }
            (Some(name), true) => disk.rename(name, &target)?,
            (Some(name), false) => disk.rename_to_nothing(name, &target)?,
        }
        self.name = None;
        disk.sync_folder(&folder)?;
        self.file
            .take()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// [Publishes](Self::publish) it in the place of the file that had this metadata, with the same permissions and, where this
    /// process may, the same owner.
    pub(crate) fn replace(self, old: &Metadata) -> io::Result<File> {
        self.disk.set_owner_like(self.file()?, old)?;
        // The caller holds the old file's lock; who replaces a file without asking for it is not to lose what he put there.
        if !same_file(&self.disk.metadata(&self.target)?, old) {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another process has replaced the file meanwhile",
            ));
        }
        self.publish(Some(old.permissions()), true)
    }

    /// [Publishes](Self::publish) it in the place of whatever bears the name, once nobody else is replacing that.
    pub(crate) fn overwrite(self, permissions: Option<Permissions>) -> io::Result<File> {
        let _held = match self.disk.open_locked(&self.target, Lock::Exclusive) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            held => Some(held?),
        };
        self.publish(permissions, true)
    }

    /// Makes sure that no other writer took a newborn file for a dead one's, and its name away, before it was locked.
    fn check_name(&self) -> io::Result<()> {
        match &self.name {
            Some(name) if !self.disk.is_named(self.file()?, name)? => Err(busy()),
            _ => Ok(()),
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let (Some(name), Some(file)) = (&self.name, &self.file)
            && self.disk.is_named(file, name).unwrap_or(false)
        {
            let _ = self.disk.remove(name);
        }
    }
}

/// The name that a file bears until it is whole: short however long the target's is, and found again by the next writer.
fn meanwhile_name(folder: &Path, target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let digest = Sha256::digest(name.as_encoded_bytes());
    let hex: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(folder.join(format!("{MEANWHILE}{hex}")))
}

/// Whether a name is one that a file bears until it is whole.
pub(crate) fn is_meanwhile_name(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.as_encoded_bytes());
    name.and_then(|name| name.strip_prefix(MEANWHILE.as_bytes()))
        .is_some_and(|hex| hex.len() == 32 && hex.iter().all(u8::is_ascii_hexdigit))
}

fn busy() -> io::Error {
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        "another process is writing this file",
    )
}
