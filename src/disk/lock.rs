//! Locks that hold for what a path names, not for what it once named.

use std::fs::{File, Metadata, TryLockError};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

// Not the `std` of schedules under test: this is a setting of the process and outlives each of them.
use core::sync::atomic::{AtomicU64, Ordering};

use super::folder::is_unsupported;
use super::{Call, Disk, named, not_a_file, of_file, os_number, same_file};
use crate::error::Error;

/// How often a path that is replaced all the time is tried again.
const ATTEMPTS: usize = 1000;
/// How many milliseconds a file that another has locked is waited for, unless the process says otherwise.
const WAIT: u64 = 60_000;
/// How long it is waited before it is told.
const QUIET: Duration = Duration::from_secs(1);
/// How long the first and the longest pause between two tries are.
const PAUSES: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(50));
/// In place of a number of milliseconds: without an end.
const FOR_EVER: u64 = u64::MAX;

static LIMIT: AtomicU64 = AtomicU64::new(WAIT);
static TELL: OnceLock<fn(&Path)> = OnceLock::new();
static GO_ON: OnceLock<fn() -> ControlFlow<()>> = OnceLock::new();

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

/// What a caller says about locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Locking {
    /// How long another's lock is waited for, where it is said: at most so long, or (none) without an end.
    pub(crate) wait: Option<Option<Duration>>,
    /// A file is changed although its file system has no locks.
    pub(crate) without: bool,
}

/// Sets how long this process waits for a file that another program has locked, wherever a call says nothing else: 60 seconds unless
/// set, and without an end where it is `None`.
///
/// What waited for so long is [`Error::Io`](crate::Error::Io) of the kind [`ResourceBusy`](io::ErrorKind::ResourceBusy), which names
/// the file; nothing has changed then.
pub fn set_lock_wait(limit: Option<Duration>) {
    let millis = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(FOR_EVER);
    LIMIT.store(limit.map_or(FOR_EVER, millis), Ordering::Relaxed);
}

/// Has `tell` called, once for each wait, with a file that another program has had locked for a second. The first call holds for the
/// life of the process; later ones change nothing.
pub fn on_lock_wait(tell: fn(&Path)) {
    let _ = TELL.set(tell);
}

/// Has `go_on` asked again and again, about 20 times a second, while a file that another program has locked is waited for: where it
/// breaks, the wait ends as [`Error::Cancelled`](crate::Error::Cancelled), and nothing has changed. The first call holds for the life of the process; later ones
/// change nothing.
pub fn ask_while_locked(go_on: fn() -> ControlFlow<()>) {
    let _ = GO_ON.set(go_on);
}

impl Disk {
    /// Opens and locks what `path` names, and makes sure that it still is what the path names.
    pub(crate) fn open_locked(&self, path: &Path, lock: Lock) -> io::Result<File> {
        self.open_locked_as(path, lock).map(|(file, _)| file)
    }

    // FORMAT §7: whoever replaces a file by rename locks it, and then compares device and inode of the path with those of
    // the locked file and starts over where they differ.
    /// [`open_locked`](Self::open_locked), and what was said of the file once it was locked.
    pub(crate) fn open_locked_as(&self, path: &Path, lock: Lock) -> io::Result<(File, Metadata)> {
        for _ in 0..ATTEMPTS {
            let file = match lock {
                Lock::Shared => self.open_at_once(path)?,
                // A network file system may lock alone only what is open for writing.
                Lock::Exclusive => match self.open_to_change(path) {
                    Err(error) if may_not_be_written(&error) => self.open_at_once(path)?,
                    file => file?,
                },
                Lock::ToChange => self.open_to_change(path)?,
            };
            // Who reads needs no lock where there is none: it reads once more where it finds nothing whole.
            let needed = lock != Lock::Shared;
            self.lock(&file, path, lock, needed)?;
            let there = self.metadata_of(&file)?;
            if !there.is_file() {
                return Err(not_a_file(path, &there));
            }
            if self.names(path, &there)? {
                return Ok((file, there));
            }
        }
        Err(named(
            path,
            io::ErrorKind::ResourceBusy,
            "the file is replaced faster than it can be locked",
        ))
    }

    /// Waits for a lock, as long as it is to. Where it is not `needed`, a file system without locks is no failure.
    pub(super) fn lock(
        &self,
        file: &File,
        path: &Path,
        lock: Lock,
        needed: bool,
    ) -> io::Result<()> {
        let shared = lock == Lock::Shared;
        let limit = self.locking.wait.unwrap_or_else(wait_of_process);
        let (mut began, mut pause, mut is_told) = (None, PAUSES.0, false);
        loop {
            match self.try_once(file, shared) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if has_no_locks(&error) && (!needed || self.locking.without) => {
                    return Ok(());
                }
                Err(error) if has_no_locks(&error) => {
                    return Err(named(
                        path,
                        io::ErrorKind::Unsupported,
                        "its file system has no locks, so that another program may change it at the same time: make sure that none does, and allow the change without a lock",
                    ));
                }
                Err(error) => return Err(of_file(path, error)),
            }
            let waited = began.get_or_insert_with(Instant::now).elapsed();
            if let Some(limit) = limit.filter(|limit| waited >= *limit) {
                return Err(named(
                    path,
                    io::ErrorKind::ResourceBusy,
                    &format!(
                        "another program has had it locked for {} s: try again later, or wait longer for locks",
                        limit.as_secs()
                    ),
                ));
            }
            if waited >= QUIET
                && !std::mem::replace(&mut is_told, true)
                && let Some(tell) = TELL.get()
            {
                tell(path);
            }
            if GO_ON.get().is_some_and(|go_on| go_on().is_break()) {
                return Err(Error::Cancelled.into());
            }
            let left = limit.map_or(pause, |limit| limit.saturating_sub(waited));
            thread::sleep(pause.min(left));
            pause = pause.saturating_mul(2).min(PAUSES.1);
        }
    }

    /// Locks a file where nobody else has, and tells whether it did.
    pub(super) fn try_lock(&self, file: &File) -> io::Result<bool> {
        self.try_once(file, false)
    }

    fn try_once(&self, file: &File, shared: bool) -> io::Result<bool> {
        self.call(Call::Lock, || {
            let outcome = if shared {
                file.try_lock_shared()
            } else {
                file.try_lock()
            };
            match outcome {
                Ok(()) => Ok(true),
                Err(TryLockError::WouldBlock) => Ok(false),
                Err(TryLockError::Error(error)) => Err(error),
            }
        })
    }

    /// Whether a path names an open file; not where it names nothing.
    pub(crate) fn is_named(&self, file: &File, path: &Path) -> io::Result<bool> {
        self.names(path, &self.metadata_of(file)?)
    }

    /// Whether a path names the file of which this was said.
    pub(crate) fn names(&self, path: &Path, wanted: &Metadata) -> io::Result<bool> {
        match self.metadata(path) {
            Ok(there) => Ok(same_file(wanted, &there)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Unlocks a file, also if a signal interrupts that: a descriptor that is kept would hold the lock for ever.
pub(crate) fn unlock(file: &File) {
    while let Err(error) = file.unlock() {
        if error.kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

fn wait_of_process() -> Option<Duration> {
    match LIMIT.load(Ordering::Relaxed) {
        FOR_EVER => None,
        millis => Some(Duration::from_millis(millis)),
    }
}

/// Whether a file is there and may not be opened for writing: by its mode, or since its file system is only read.
pub(crate) fn may_not_be_written(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Whether the system says that files cannot be locked there.
fn has_no_locks(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    if os_number(error) == Some(rustix::io::Errno::NOLCK.raw_os_error()) {
        return true;
    }
    is_unsupported(error)
}
