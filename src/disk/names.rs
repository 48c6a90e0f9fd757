//! Names, given to files and taken from them, through the seam.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::{Call, Disk, of_file};

impl Disk {
    /// A new empty file of this mode. There must be none of that name.
    pub(super) fn create_named(&self, path: &Path, mode: u32) -> io::Result<File> {
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        #[cfg(not(unix))]
        let _ = mode;
        self.call_at(Call::Create, path, || options.open(path))
    }

    /// A file without a name in `folder`, of this mode; none where the system or the file system cannot make one.
    #[cfg(target_os = "linux")]
    pub(super) fn create_nameless(&self, folder: &Path, mode: u32) -> io::Result<Option<File>> {
        use rustix::fs::{CWD, Mode, OFlags, openat};
        use rustix::io::Errno;

        #[cfg(test)]
        if self.names_all {
            return Ok(None);
        }
        // Without /proc there would be no way to name it later.
        if !Path::new("/proc/self/fd").exists() {
            return Ok(None);
        }
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        self.call(Call::Create, || {
            match openat(CWD, folder, flags, Mode::from_raw_mode(mode)) {
                Ok(file) => Ok(Some(File::from(file))),
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unnecessary_wraps, clippy::unused_self)] // as on Linux
    pub(super) fn create_nameless(&self, _: &Path, _: u32) -> io::Result<Option<File>> {
        Ok(None)
    }

    /// Gives a nameless file a name that nothing bears yet.
    #[cfg(target_os = "linux")]
    pub(super) fn link_nameless(&self, file: &File, name: &Path) -> io::Result<()> {
        use std::os::fd::AsRawFd as _;

        use rustix::fs::{AtFlags, CWD, linkat};

        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
        self.call_at(Call::Link, name, || {
            Ok(linkat(CWD, &open, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
        })
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unused_self)] // as on Linux
    pub(super) fn link_nameless(&self, _: &File, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Renames over what has the new name.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call_at(Call::Rename, to, || fs::rename(from, to))
    }

    /// Exchanges what two names stand for, at one stroke; false where the system or the file system cannot.
    #[cfg(target_os = "linux")]
    pub(super) fn exchange(&self, one: &Path, other: &Path) -> io::Result<bool> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;

        #[cfg(test)]
        if self.no_exchange {
            return Ok(false);
        }
        self.call_at(Call::Exchange, other, || {
            match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
                Ok(()) => Ok(true),
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unnecessary_wraps, clippy::unused_self)] // as on Linux
    pub(super) fn exchange(&self, _: &Path, _: &Path) -> io::Result<bool> {
        Ok(false)
    }

    /// Renames where nothing has the new name yet: at one stroke where the system can, so that a process which dies leaves one
    /// name and not two.
    pub(super) fn rename_to_nothing(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            use rustix::io::Errno;

            let at_once = || match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
                Ok(()) => Ok(true),
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
                Err(error) => Err(error.into()),
            };
            if self.call_at(Call::Rename, to, at_once)? {
                return Ok(());
            }
        }
        match self.call_at(Call::Link, to, || fs::hard_link(from, to)) {
            // With both names it would be there and yet be reported as failed.
            Ok(()) => self.remove(from).inspect_err(|_| drop(self.remove(to))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // A file system without hard links: nothing closes the moment between the look and the rename there.
            Err(_) if fs::symlink_metadata(to).is_ok() => {
                Err(of_file(to, io::ErrorKind::AlreadyExists.into()))
            }
            Err(_) => self.rename(from, to),
        }
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.call_at(Call::Remove, path, || fs::remove_file(path))
    }
}
