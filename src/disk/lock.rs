//! Locks that hold for what a path names, not for what it once named.

use std::fs::File;
use std::io;
use std::path::Path;

use super::{Disk, same_file};

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
                Lock::Shared | Lock::Exclusive => self.open(path)?,
                Lock::ToChange => self.open_to_change(path)?,
            };
            self.step()?;
            match lock {
                Lock::Shared => file.lock_shared()?,
                Lock::Exclusive | Lock::ToChange => file.lock()?,
            }
            if same_file(&file.metadata()?, &self.metadata(path)?) {
                return Ok(file);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "the file is replaced faster than it can be locked",
        ))
    }
}
