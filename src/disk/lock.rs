//! Locks that hold for what a path names, not for what it once named.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::{Call, Disk, same_file};

/// How often a path that is replaced all the time is tried again.
const ATTEMPTS: usize = 1000;

/// How a file is locked, and so how it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// For reading, beside other readers.
    Shared,
    /// For replacing it by rename, alone.
    Exclusive,
    /// For changing it in place, alone.
    ToChange,
}

impl Disk {
    // FORMAT §7: whoever replaces a file by rename locks it, and then compares device and inode of the path with those of
    // the locked file and starts over where they differ.
    /// Opens and locks what `path` names, and makes sure that it still is what the path names.
    pub(crate) fn open_locked(&self, path: &Path, lock: Lock) -> io::Result<File> {
        for _ in 0..ATTEMPTS {
            let file = match lock {
                Lock::Shared => self.open_at_once(path)?,
                // A network file system may lock alone only what is open for writing.
                Lock::Exclusive => match self.open_to_change(path) {
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        self.open_at_once(path)?
                    }
                    file => file?,
                },
                Lock::ToChange => self.open_to_change(path)?,
            };
            self.lock(&file, lock)?;
            if self.is_named(&file, path)? {
                return Ok(file);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "the file is replaced faster than it can be locked",
        ))
    }

    /// Waits for a lock.
    pub(super) fn lock(&self, file: &File, lock: Lock) -> io::Result<()> {
        self.call(Call::Lock, || match lock {
            Lock::Shared => file.lock_shared(),
            Lock::Exclusive | Lock::ToChange => file.lock(),
        })
    }

    /// Locks a file where nobody else has, and tells whether it did.
    pub(super) fn try_lock(&self, file: &File) -> io::Result<bool> {
        self.call(Call::Lock, || match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        })
    }

    /// Whether a path names an open file; not where it names nothing.
    pub(super) fn is_named(&self, file: &File, path: &Path) -> io::Result<bool> {
        match self.metadata(path) {
            Ok(there) => Ok(same_file(&self.metadata_of(file)?, &there)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
