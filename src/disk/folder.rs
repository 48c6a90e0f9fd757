//! Folders, made durable after names in them have changed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use super::os_number;
use super::{Call, Disk};

/// A folder, opened to be made durable later: what can fail is tried before a file in it gets its name.
#[derive(Debug)]
pub(crate) struct Folder(Option<File>);

impl Disk {
    /// Opens a folder. One that this process may not read, or whose file system has no such thing, is as good: it is not made durable
    /// by itself.
    pub(super) fn open_folder(&self, folder: &Path) -> io::Result<Folder> {
        if !cfg!(unix) {
            return Ok(Folder(None));
        }
        match self.call(Call::Open, || File::open(folder)) {
            Ok(folder) => Ok(Folder(Some(folder))),
            Err(error) if cannot_sync(&error) => Ok(Folder(None)),
            Err(error) => Err(error),
        }
    }

    /// Makes what happened to names in a folder durable. A folder that cannot be made durable by this process, or on its file
    /// system, is none that failed.
    pub(super) fn sync_opened(&self, folder: &Folder) -> io::Result<()> {
        let Some(folder) = &folder.0 else {
            return Ok(());
        };
        match self.call(Call::SyncFolder, || folder.sync_all()) {
            Err(error) if !cannot_sync(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes what happened to names in a folder durable, as far as that can be done there.
    pub(crate) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.sync_opened(&self.open_folder(folder)?)
    }
}

/// The folder that holds `path`.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Whether a folder cannot be made durable at all, by this process or on its file system: it may be written and not read (0333), or
/// the file system has no such call (CIFS, some FUSE).
pub(crate) fn cannot_sync(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::Unsupported
    ) || is_unsupported(error)
}

/// Whether the system says that a file system has no such call.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::io::Errno;
        let missing = [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOTTY];
        if let Some(number) = os_number(error) {
            return missing.iter().any(|errno| errno.raw_os_error() == number);
        }
    }
    error.kind() == io::ErrorKind::Unsupported
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_synced_at_all_is_told_from_a_disk_that_fails() {
        use io::ErrorKind::{InvalidInput, Other, PermissionDenied, ReadOnlyFilesystem};
        for kind in [PermissionDenied, ReadOnlyFilesystem, InvalidInput] {
            assert!(cannot_sync(&kind.into()), "{kind}");
        }
        assert!(!cannot_sync(&Other.into()));
        assert!(!cannot_sync(&io::ErrorKind::StorageFull.into()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_systems_own_numbers_are_known() {
        // EACCES, EINVAL, EROFS, ENOSYS, EOPNOTSUPP; EIO, ENOSPC, EMFILE
        for number in [13, 22, 30, 38, 95] {
            assert!(
                cannot_sync(&io::Error::from_raw_os_error(number)),
                "{number}"
            );
        }
        for number in [5, 28, 24] {
            assert!(
                !cannot_sync(&io::Error::from_raw_os_error(number)),
                "{number}"
            );
        }
    }
}
