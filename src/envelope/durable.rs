//! Files that are replaced whole: locked, written beside, synced, renamed, the folder synced.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// How often a path that is replaced all the time is tried again.
const ATTEMPTS: usize = 1000;

/// How a file is locked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Shared,
    Exclusive,
}

// FORMAT §7: whoever replaces a file by rename locks it, and then compares device and inode of the path with those of the
// locked file and starts over where they differ.
/// Opens and locks what `path` names, and makes sure that it still is what the path names.
pub(crate) fn open_locked(path: &Path, lock: Lock) -> io::Result<File> {
    for _ in 0..ATTEMPTS {
        let file = File::open(path)?;
        match lock {
            Lock::Shared => file.lock_shared()?,
            Lock::Exclusive => file.lock()?,
        }
        if same_file(&file.metadata()?, &fs::metadata(path)?) {
            return Ok(file);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        "the file is replaced faster than it can be locked",
    ))
}

/// Replaces what `path` names by `bytes`, with `permissions` or 0600. The file that comes back is locked: whoever waits for it
/// sees the new content only once it is durable and the caller has let go.
pub(crate) fn replace(
    path: &Path,
    bytes: &[u8],
    permissions: Option<fs::Permissions>,
) -> io::Result<File> {
    let (written, folder) = write_beside(path, bytes, permissions)?;
    let file = written.persist(path).map_err(|error| error.error)?;
    sync_folder(&folder)?;
    Ok(file)
}

/// As [`replace`] where nothing is there yet; refuses to replace.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let (written, folder) = write_beside(path, bytes, None)?;
    let file = written
        .persist_noclobber(path)
        .map_err(|error| error.error)?;
    sync_folder(&folder)?;
    Ok(file)
}

/// Makes a rename in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The folder that holds `path`.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn write_beside(
    path: &Path,
    bytes: &[u8],
    permissions: Option<fs::Permissions>,
) -> io::Result<(NamedTempFile, PathBuf)> {
    let folder = folder_of(path);
    let mut written = NamedTempFile::new_in(&folder)?;
    written.as_file().lock()?;
    written.write_all(bytes)?;
    if let Some(permissions) = permissions {
        written.as_file().set_permissions(permissions)?;
    }
    written.as_file().sync_all()?;
    Ok((written, folder))
}

#[cfg(unix)]
fn same_file(left: &fs::Metadata, right: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (left.dev(), left.ino()) == (right.dev(), right.ino())
}

/// Where a file's identity cannot be had, an open file cannot be renamed over either.
#[cfg(not(unix))]
fn same_file(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}
