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

use super::attributes::{PRIVATE, mode_of};
use super::failure::took_effect;
use super::folder::Folder;
use super::naming::of_other;
use super::{Disk, Lock, NotKept, absolute, folder_of, named, same_file};

/// What the name of a file begins with until it is whole.
const MEANWHILE: &str = ".phi-tmp-";

/// A file on its way to its name. Dropped before that, it is gone.
#[derive(Debug)]
pub(crate) struct NewFile {
    pub(super) disk: Disk,
    file: Option<File>,
    pub(super) target: PathBuf,
    /// Its name meanwhile, where it has one.
    pub(super) name: Option<PathBuf>,
    /// The folder of both.
    folder: Folder,
    pub(super) not_kept: NotKept,
    has_target: bool,
}

/// A file that has got its name.
#[derive(Debug)]
pub(crate) struct Published {
    /// Still locked: whoever waits for it sees the new content only once it is durable and the caller has let go.
    pub(crate) file: File,
    pub(crate) not_kept: NotKept,
}

impl Disk {
    /// A new file, mode 0600 and locked, that is to be `target`.
    pub(crate) fn new_file(&self, target: &Path) -> io::Result<NewFile> {
        let made = self.make_new(target, None);
        made.map_err(|error| of_other(target, error))
    }

    /// A new file that is to take the place of `target`, which has this metadata and whose lock the caller holds. It has that file's mode
    /// from the start: not every file system lets it be set later.
    pub(crate) fn new_in_place(&self, target: &Path, old: &Metadata) -> io::Result<NewFile> {
        let made = self.make_new(target, Some(old));
        made.map_err(|error| of_other(target, error))
    }

    fn make_new(&self, target: &Path, old: Option<&Metadata>) -> io::Result<NewFile> {
        let target = absolute(target)?;
        let path = folder_of(&target);
        let meanwhile = meanwhile_name(&path, &target)?;
        self.remove_stale(&meanwhile, old.is_none().then_some(&target))?;
        let mode = old.map_or(PRIVATE, mode_of);
        let folder = self.open_folder(&path)?;
        let (file, name) = match self.create_nameless(&path, mode)? {
            Some(file) => (file, None),
            None => (self.create_named(&meanwhile, mode)?, Some(meanwhile)),
        };
        let new = NewFile {
            disk: self.clone(),
            file: Some(file),
            target,
            name,
            folder,
            not_kept: NotKept::default(),
            has_target: false,
        };
        // Nobody else knows it yet: where there are no locks, it needs none.
        self.lock(new.file()?, &new.target, Lock::Exclusive, false)?;
        new.check_name()?;
        Ok(new)
    }

    /// Makes `target`, mode 0600, of `bytes`. Refuses to replace a file.
    pub(crate) fn put_new(&self, target: &Path, bytes: &[u8]) -> io::Result<()> {
        let new = self.new_file(target)?;
        new.write(bytes, 0)?;
        new.publish(None, false).map(drop)
    }

    /// Removes what a dead writer of this file left beside it: the old file, where it died after it had put the new one in its place.
    /// The caller has the file locked.
    pub(crate) fn remove_leftover(&self, target: &Path) -> io::Result<()> {
        self.remove_stale(&meanwhile_name(&folder_of(target), target)?, None)
    }

    /// Removes what a dead writer of the same target left. A living one has it locked, or, while it gives another program's version
    /// back, the target.
    fn remove_stale(&self, meanwhile: &Path, target: Option<&PathBuf>) -> io::Result<()> {
        let left = match self.open_here(meanwhile) {
            Ok(left) => left,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        match self.try_lock(&left) {
            Ok(true) => {}
            Ok(false) => return Err(busy(meanwhile)),
            // Nothing tells there whether its writer lives.
            Err(error) => {
                let what = format!(
                    "another program is writing this file, or died while it was; its file system does not tell which ({error}): remove it if no program is at work"
                );
                return Err(named(meanwhile, io::ErrorKind::ResourceBusy, &what));
            }
        }
        let replaced = target.map(|target| self.open_at_once(target));
        if let Some(Ok(replaced)) = replaced
            && matches!(self.try_lock(&replaced), Ok(false))
        {
            return Err(busy(meanwhile));
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
        let gone = || io::ErrorKind::NotFound.into();
        self.file.as_ref().ok_or_else(gone)
    }

    /// Writes all of `bytes` at `offset`, and reads them back.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let written = self.disk.write_checked_at(self.file()?, bytes, offset);
        written.map_err(|error| self.at(error))
    }

    /// Writes all of `bytes` at `offset`.
    pub(crate) fn write_unchecked(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let written = self.disk.write_all_at(self.file()?, bytes, offset);
        written.map_err(|error| self.at(error))
    }

    /// Lets the system begin to store what was written.
    pub(crate) fn write_behind(&self, offset: u64, len: usize) {
        if let Some(file) = &self.file {
            self.disk.write_behind(file, offset, len);
        }
    }

    /// The error with the name that the file is to have.
    pub(super) fn at(&self, error: io::Error) -> io::Error {
        of_other(&self.target, error)
    }

    /// Makes the file durable, gives it its name, and makes that durable. It has mode 0600 unless `permissions` say otherwise.
    ///
    /// An error that is no [`Error::TookEffect`](crate::error::Error::TookEffect) leaves all as it was: a name that could not be made
    /// durable is taken back.
    pub(crate) fn publish(
        mut self,
        permissions: Option<Permissions>,
        overwrite: bool,
    ) -> io::Result<Published> {
        self.make_ready(permissions)?;
        self.put(overwrite)
    }

    /// Gives a file that is ready its name, and makes that durable. To overwrite is to replace whatever bears the name, once nobody
    /// else is replacing that.
    pub(crate) fn put(mut self, overwrite: bool) -> io::Result<Published> {
        if !overwrite {
            self.give_name()?;
            return self.settle(true);
        }
        let mut disk = self.disk.clone();
        // The caller has said that what is there goes.
        disk.locking.without = true;
        let _held = match disk.open_locked(&self.target, Lock::Exclusive) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            held => Some(held?),
        };
        self.give_meanwhile_name()?;
        if let Some(name) = &self.name {
            self.disk.rename(name, &self.target)?;
        }
        self.name = None;
        self.settle(false)
    }

    /// Makes the file itself durable, with its permissions.
    pub(crate) fn make_ready(&mut self, permissions: Option<Permissions>) -> io::Result<()> {
        self.not_kept.permissions = !match permissions {
            Some(permissions) => self.disk.set_permissions(self.file()?, permissions),
            None => self.disk.is_private(self.file()?),
        }
        .map_err(|error| self.at(error))?;
        self.sync()
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        let synced = self.disk.sync(self.file()?);
        synced.map_err(|error| self.at(error))
    }

    /// Gives a file that is ready its name, which nothing bears yet.
    pub(crate) fn give_name(&mut self) -> io::Result<()> {
        match &self.name {
            None => self.disk.link_nameless(self.file()?, &self.target)?,
            Some(name) => self.disk.rename_to_nothing(name, &self.target)?,
        }
        self.name = None;
        self.has_target = true;
        Ok(())
    }

    /// Gives a nameless file the name that it has while it replaces another.
    pub(super) fn give_meanwhile_name(&mut self) -> io::Result<()> {
        if self.name.is_some() {
            return Ok(());
        }
        let meanwhile = meanwhile_name(&folder_of(&self.target), &self.target)?;
        let linked = self.disk.link_nameless(self.file()?, &meanwhile);
        linked.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => busy(&meanwhile),
            _ => self.at(error),
        })?;
        self.name = Some(meanwhile);
        Ok(())
    }

    /// Makes its name durable. Where that fails, a name that stood for nothing before is taken back.
    pub(super) fn settle(mut self, is_new: bool) -> io::Result<Published> {
        if let Err(error) = self.sync_name() {
            if is_new && self.take_name_back().is_ok() {
                return Err(error);
            }
            return Err(took_effect("making that durable", error));
        }
        Ok(Published {
            not_kept: self.not_kept,
            file: self.file.take().ok_or(io::ErrorKind::NotFound)?,
        })
    }

    /// Makes the names of its folder durable.
    pub(crate) fn sync_name(&self) -> io::Result<()> {
        let synced = self.disk.sync_opened(&self.folder);
        synced.map_err(|error| self.at(error))
    }

    pub(crate) fn not_kept(&self) -> NotKept {
        self.not_kept
    }

    /// Takes the name away again, where it has one and nobody else has taken it.
    pub(crate) fn take_name_back(&self) -> io::Result<()> {
        if !self.has_target || !self.disk.is_named(self.file()?, &self.target)? {
            return Ok(());
        }
        self.disk.remove(&self.target)
    }

    /// Makes sure that no other writer took a newborn file for a dead one's, and its name away, before it was locked.
    fn check_name(&self) -> io::Result<()> {
        let (Some(name), file) = (&self.name, self.file()?) else {
            return Ok(());
        };
        if self.disk.is_named(file, name)? {
            return Ok(());
        }
        let look = || self.disk.metadata_of(file);
        if same_file(&look()?, &look()?) {
            return Err(busy(name));
        }
        // Made just now, and nobody can tell it from another: what it was made for would leave it behind.
        self.disk.remove(name)?;
        Err(named(
            &self.target,
            io::ErrorKind::Unsupported,
            "its file system tells no file from another (it gives them other inode numbers at each look): write elsewhere",
        ))
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

fn busy(meanwhile: &Path) -> io::Error {
    named(
        meanwhile,
        io::ErrorKind::ResourceBusy,
        "another program is writing the file that this one is to be: try again when it is done",
    )
}
