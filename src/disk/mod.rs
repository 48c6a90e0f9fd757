//! The one way to the file system: a small seam, whose every call a test can make fail.

#[cfg(test)]
pub(crate) mod faults;
mod lock;
mod new_file;

pub(crate) use lock::Lock;
pub(crate) use new_file::NewFile;

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

/// The file system. Cheap to clone; in tests it carries the faults that it is to make.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(crate) faults: Option<std::sync::Arc<faults::Faults>>,
}

impl Disk {
    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        File::open(path)
    }

    /// Opens for reading and writing what is there.
    pub(crate) fn open_to_change(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        File::options().read(true).write(true).open(path)
    }

    pub(crate) fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.step()?;
        fs::metadata(path)
    }

    /// The path without symbolic links, so that a rename replaces what they lead to.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.step()?;
        fs::canonicalize(path)
    }

    pub(crate) fn set_permissions(&self, file: &File, permissions: Permissions) -> io::Result<()> {
        self.step()?;
        file.set_permissions(permissions)
    }

    /// Makes a file's bytes and length durable.
    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        self.step()?;
        file.sync_all()
    }

    /// Makes what happened to names in a folder durable.
    pub(crate) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.step()?;
        if cfg!(unix) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Reads at `offset` until `buffer` is full or the file ends, and returns how much was read.
    pub(crate) fn read_up_to_at(
        &self,
        file: &File,
        buffer: &mut [u8],
        offset: u64,
    ) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let some = self.limited(rest.len());
            let at = offset_plus(offset, done)?;
            match some.and_then(|len| read_at(file, rest.get_mut(..len).unwrap_or_default(), at)) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Fills `buffer` from `offset`.
    pub(crate) fn read_exact_at(
        &self,
        file: &File,
        buffer: &mut [u8],
        offset: u64,
    ) -> io::Result<()> {
        if self.read_up_to_at(file, buffer, offset)? == buffer.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Writes all of `bytes` at `offset`.
    pub(crate) fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let some = self.limited(rest.len());
            let at = offset_plus(offset, done)?;
            match some.and_then(|len| write_at(file, rest.get(..len).unwrap_or_default(), at)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            #[cfg(test)]
            self.after_write()?;
        }
        Ok(())
    }

    #[cfg(not(test))]
    #[inline]
    #[allow(clippy::unnecessary_wraps, clippy::unused_self)] // what tests make of it fails
    fn step(&self) -> io::Result<()> {
        Ok(())
    }

    /// How much of `len` bytes the next read or write may move.
    #[cfg(not(test))]
    #[inline]
    #[allow(clippy::unnecessary_wraps, clippy::unused_self)]
    fn limited(&self, len: usize) -> io::Result<usize> {
        Ok(len)
    }
}

/// The folder that holds `path`.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Whether both are the same file, by device and inode.
#[cfg(unix)]
pub(crate) fn same_file(left: &Metadata, right: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (left.dev(), left.ino()) == (right.dev(), right.ino())
}

/// Where a file's identity cannot be had, an open file cannot be renamed over either.
#[cfg(not(unix))]
pub(crate) fn same_file(_: &Metadata, _: &Metadata) -> bool {
    true
}

fn offset_plus(offset: u64, done: usize) -> io::Result<u64> {
    u64::try_from(done)
        .ok()
        .and_then(|done| offset.checked_add(done))
        .ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    match std::os::windows::fs::FileExt::seek_read(file, buffer, offset) {
        // ERROR_HANDLE_EOF
        Err(error) if error.raw_os_error() == Some(38) => Ok(0),
        other => other,
    }
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}
