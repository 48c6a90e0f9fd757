//! The one way to the file system: a small seam, whose every call a test can make fail.

mod attributes;
mod clock;
mod failure;
#[cfg(test)]
pub(crate) mod faults;
mod folder;
mod lock;
mod names;
mod naming;
mod new_file;
mod reader;
mod replace;
mod version;

pub use attributes::NotKept;
pub(crate) use folder::folder_of;
pub(crate) use lock::{Lock, Locking, may_not_be_written, unlock};
pub use lock::{ask_while_locked, on_lock_wait, set_lock_wait};
pub(crate) use naming::{in_file, named, of_file, of_other, os_number};
pub(crate) use new_file::{NewFile, Published, is_meanwhile_name};
#[allow(unused_imports)] // outside of tests, until a keyring's file is replaced with it
pub(crate) use replace::Old;
pub(crate) use version::{is_mount, is_unchanged, links, same_file};

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// Bytes after which what was written is handed to the disk.
#[cfg(target_os = "linux")]
const BEHIND: u64 = 16 << 20;

/// Bytes that are read back at once after they were written.
const READ_BACK: usize = 1 << 19;

/// The file system. Cheap to clone; in tests it carries the faults that it is to make.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    /// What the caller says about locks.
    pub(crate) locking: Locking,
    /// Replaces a file although an access control list or another attribute of it gets lost.
    pub(crate) loses_attributes: bool,
    #[cfg(test)]
    pub(crate) faults: Option<std::sync::Arc<faults::Faults>>,
    /// Makes no file without a name, as if the system could not.
    #[cfg(test)]
    pub(crate) names_all: bool,
    /// Exchanges no names, as if the system could not.
    #[cfg(test)]
    pub(crate) no_exchange: bool,
    /// Opens no file for writing that is there, as if its mode said so.
    #[cfg(test)]
    pub(crate) writes_none: bool,
    /// What the file system's clock says.
    #[cfg(test)]
    pub(crate) clock_set: Option<std::time::SystemTime>,
}

/// What passes the seam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))] // some are made on Linux alone
pub(crate) enum Call {
    Open,
    Create,
    Lock,
    Metadata,
    Resolve,
    Read,
    Write,
    Owner,
    Attributes,
    Permissions,
    Sync,
    SyncFolder,
    Link,
    Rename,
    Exchange,
    Remove,
}

impl Disk {
    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        self.call_at(Call::Open, path, || File::open(path))
    }

    /// Opens for reading what itself bears the name, and waits for nobody: not what a link leads to, not the other end of a pipe.
    pub(crate) fn open_here(&self, path: &Path) -> io::Result<File> {
        let mut options = File::options();
        options.read(true);
        wait_for_nobody(&mut options, true);
        self.call_at(Call::Open, path, || options.open(path))
    }

    /// Opens for reading, and waits for nobody: a pipe that was put there is no reason to.
    pub(crate) fn open_at_once(&self, path: &Path) -> io::Result<File> {
        let mut options = File::options();
        options.read(true);
        wait_for_nobody(&mut options, false);
        self.call_at(Call::Open, path, || options.open(path))
    }

    /// Opens for reading and writing what is there.
    pub(crate) fn open_to_change(&self, path: &Path) -> io::Result<File> {
        let mut options = File::options();
        options.read(true).write(true);
        wait_for_nobody(&mut options, false);
        #[cfg(test)]
        if self.writes_none {
            return Err(of_file(path, io::ErrorKind::PermissionDenied.into()));
        }
        self.call_at(Call::Open, path, || options.open(path))
    }

    /// Opens a regular file for reading. What else was put there, a pipe for one, is refused and not waited for.
    pub(crate) fn open_file(&self, path: &Path) -> io::Result<File> {
        let file = self.open_at_once(path)?;
        self.refuse_other_than_file(&file, path)?;
        Ok(file)
    }

    /// Refuses what is open and is no regular file.
    pub(crate) fn refuse_other_than_file(&self, file: &File, path: &Path) -> io::Result<()> {
        let there = self.metadata_of(file)?;
        if there.is_file() {
            return Ok(());
        }
        Err(not_a_file(path, &there))
    }

    /// What a path leads to.
    pub(crate) fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.call_at(Call::Metadata, path, || fs::metadata(path))
    }

    /// Refuses a path that names something already.
    pub(crate) fn refuse_taken(&self, path: &Path) -> io::Result<()> {
        match self.metadata_here(path) {
            Ok(_) => Err(of_file(path, io::ErrorKind::AlreadyExists.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn metadata_of(&self, file: &File) -> io::Result<Metadata> {
        self.call(Call::Metadata, || file.metadata())
    }

    /// What itself bears a name, be it a symbolic link.
    pub(crate) fn metadata_here(&self, path: &Path) -> io::Result<Metadata> {
        self.call_at(Call::Metadata, path, || fs::symlink_metadata(path))
    }

    /// Where an output is to stand: what a symbolic link leads to, so that the link stays one, and a path that stays right when the
    /// process goes to another folder.
    pub(crate) fn resolve_output(&self, path: &Path) -> io::Result<PathBuf> {
        match self.metadata_here(path) {
            Ok(there) if there.is_symlink() => match self.resolve(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(named(
                    path,
                    io::ErrorKind::InvalidInput,
                    "the output is a symbolic link that leads to nothing: name the file itself",
                )),
                resolved => resolved,
            },
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => absolute(path),
        }
    }

    /// The path without symbolic links, so that a rename replaces what they lead to.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.call_at(Call::Resolve, path, || fs::canonicalize(path))
    }

    /// Makes a file's bytes and length durable.
    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        self.call(Call::Sync, || file.sync_all())
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
            let at = offset_plus(offset, done)?;
            match self.transfer(Call::Read, rest.len(), |len| {
                read_at(file, rest.get_mut(..len).unwrap_or_default(), at)
            })? {
                0 => break,
                read => done += read,
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
            let at = offset_plus(offset, done)?;
            match self.transfer(Call::Write, rest.len(), |len| {
                write_at(file, rest.get(..len).unwrap_or_default(), at)
            })? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => done += written,
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` at `offset` and reads them back: where nothing else would tell, before the only copy is given away, that a
    /// file system took them and lost them.
    pub(crate) fn write_checked_at(
        &self,
        file: &File,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<()> {
        self.write_all_at(file, bytes, offset)?;
        let other = || io::Error::other("what was written reads back other than it was");
        let mut read = vec![0; bytes.len().min(READ_BACK)];
        for (piece, at) in bytes.chunks(READ_BACK).zip((0..).step_by(READ_BACK)) {
            let read = read.get_mut(..piece.len()).unwrap_or_default();
            match self.read_exact_at(file, read, offset_plus(offset, at)?) {
                Ok(()) if read == piece => {}
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
                _ => return Err(other()),
            }
        }
        Ok(())
    }

    /// Lets the system begin to store what was written up to here, so that the disk works while the cores do and little is left for
    /// [`sync`](Self::sync). A hint: what it answers does not matter.
    pub(crate) fn write_behind(&self, file: &File, offset: u64, len: usize) {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{Advice, fadvise};

            let end = offset.saturating_add(len as u64);
            let (before, now) = (offset / BEHIND, end / BEHIND);
            if let Some(bytes) = std::num::NonZeroU64::new((now - before) * BEHIND) {
                // Linux starts to write what is dirty in a range that is said not to be needed any more.
                let _ = fadvise(file, before * BEHIND, Some(bytes), Advice::DontNeed);
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (file, offset, len);
    }

    /// Makes a call on what a path names, which its error names too.
    fn call_at<T>(
        &self,
        call: Call,
        path: &Path,
        work: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        let named = |error| of_file(path, error);
        self.call(call, work).map_err(named)
    }

    /// Makes a call, again where a signal interrupted it.
    fn call<T>(&self, call: Call, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
        loop {
            match self.step(call).and_then(|()| work()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    /// Reads or writes up to `len` bytes, again where a signal interrupted it.
    fn transfer(
        &self,
        call: Call,
        len: usize,
        mut work: impl FnMut(usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match self.moving(call, len, &mut work) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    #[cfg(not(test))]
    #[inline]
    #[allow(clippy::unnecessary_wraps, clippy::unused_self)] // what tests make of it fails
    fn step(&self, _: Call) -> io::Result<()> {
        Ok(())
    }

    #[cfg(not(test))]
    #[inline]
    #[allow(clippy::unused_self)] // as above
    fn moving(
        &self,
        _: Call,
        len: usize,
        work: &mut impl FnMut(usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        work(len)
    }
}

/// Has a file opened without waiting for the other end of a pipe, and, if `here`, not by a link.
#[cfg(target_os = "linux")]
fn wait_for_nobody(options: &mut fs::OpenOptions, here: bool) {
    use rustix::fs::OFlags;

    let mut flags = OFlags::NONBLOCK;
    flags.set(OFlags::NOFOLLOW, here);
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits().cast_signed());
}

#[cfg(not(target_os = "linux"))]
fn wait_for_nobody(_: &mut fs::OpenOptions, _: bool) {}

/// The path from the root, also after the process has gone to another folder.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path).map_err(|error| of_file(path, error))
}

/// The error of a pipe, a folder or the like in the place of a file.
fn not_a_file(path: &Path, there: &Metadata) -> io::Error {
    let kind = if there.is_dir() {
        io::ErrorKind::IsADirectory
    } else {
        io::ErrorKind::InvalidInput
    };
    named(path, kind, "this is no regular file")
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
