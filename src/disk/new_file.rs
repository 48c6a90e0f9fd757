//! Files that get their name only when they are whole.
//!
//! Where the system can make a file without a name (Linux, `O_TMPFILE`), a process that dies leaves nothing. Elsewhere, and for
//! the moment in which such a file replaces another, it has a name of its own in the same folder, mode 0600, which follows from
//! the target's name, so that the next writer of the same target finds what a dead one left and removes it.

use std::fs::{self, File, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Disk, folder_of};

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
        self.step()?;
        let folder = folder_of(target);
        let meanwhile = meanwhile_name(&folder, target)?;
        remove_stale(&meanwhile)?;
        let (file, name) = match nameless(&folder) {
            Some(file) => (file?, None),
            None => (create_private(&meanwhile)?, Some(meanwhile)),
        };
        let new = NewFile {
            disk: self.clone(),
            file: Some(file),
            target: target.to_owned(),
            name,
        };
        new.file()?.lock()?;
        Ok(new)
    }

    /// Replaces `target`, or makes it where `overwrite` is false, by `bytes` with `permissions` or 0600. The file that comes back
    /// is locked: whoever waits for it sees the new content only once it is durable and the caller has let go.
    pub(crate) fn put(
        &self,
        target: &Path,
        bytes: &[u8],
        permissions: Option<Permissions>,
        overwrite: bool,
    ) -> io::Result<File> {
        let new = self.new_file(target)?;
        self.write_all_at(new.file()?, bytes, 0)?;
        new.publish(permissions, overwrite)
    }
}

impl NewFile {
    pub(crate) fn file(&self) -> io::Result<&File> {
        self.file
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Makes the file durable, gives it its name, and makes that durable. It comes back locked.
    pub(crate) fn publish(
        mut self,
        permissions: Option<Permissions>,
        overwrite: bool,
    ) -> io::Result<File> {
        if let Some(permissions) = permissions {
            self.disk.set_permissions(self.file()?, permissions)?;
        }
        self.disk.sync(self.file()?)?;
        let folder = folder_of(&self.target);
        match (&self.name, overwrite) {
            (None, false) => {
                self.disk.step()?;
                link_nameless(self.file()?, &self.target)?;
            }
            (None, true) => {
                let meanwhile = meanwhile_name(&folder, &self.target)?;
                self.disk.step()?;
                link_nameless(self.file()?, &meanwhile)?;
                self.name = Some(meanwhile.clone());
                self.disk.step()?;
                fs::rename(&meanwhile, &self.target)?;
                self.name = None;
            }
            (Some(name), true) => {
                self.disk.step()?;
                fs::rename(name, &self.target)?;
                self.name = None;
            }
            (Some(name), false) => {
                self.disk.step()?;
                rename_to_nothing(name, &self.target)?;
                self.name = None;
            }
        }
        self.disk.sync_folder(&folder)?;
        self.file
            .take()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // A test that plays a killed process removes nothing.
        if let Some(name) = &self.name
            && self.disk.step().is_ok()
        {
            let _ = fs::remove_file(name);
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
    Ok(folder.join(format!(".phi-tmp-{hex}")))
}

/// Removes what a dead writer of the same target left. A living one has it locked.
fn remove_stale(meanwhile: &Path) -> io::Result<()> {
    let left = match File::open(meanwhile) {
        Ok(left) => left,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if left.try_lock().is_err() {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another process is writing this file",
        ));
    }
    match fs::remove_file(meanwhile) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A file without a name in `folder`; none where the system or the file system cannot make one.
#[cfg(target_os = "linux")]
fn nameless(folder: &Path) -> Option<io::Result<File>> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use rustix::io::Errno;

    // Without /proc there would be no way to name it later.
    if !Path::new("/proc/self/fd").exists() {
        return None;
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match openat(CWD, folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Some(Ok(File::from(file))),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => None,
        Err(error) => Some(Err(error.into())),
    }
}

#[cfg(target_os = "linux")]
fn link_nameless(file: &File, target: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{AtFlags, CWD, linkat};

    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, open, CWD, target, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_: &Path) -> Option<io::Result<File>> {
    None
}

#[cfg(not(target_os = "linux"))]
fn link_nameless(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Renames where nothing has the new name yet.
fn rename_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // A file system without hard links: nothing closes the moment between the look and the rename there.
        Err(_) if fs::symlink_metadata(to).is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}
