//! Signals: an ordinary interruption is no crash.
//!
//! SIGINT, SIGTERM and SIGHUP end the process at once while it has nothing to clear away and has changed nothing. From then on they only
//! leave word, and the work ends by itself at its next step; who asks twice does not wait. A signal that the process was told to
//! ignore when it was started, as by `nohup`, stays ignored.

use std::ops::ControlFlow;

use crate::failure::Exit;

#[cfg(unix)]
mod system {
    use std::fs;
    use std::io;
    use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGXFSZ};
    use signal_hook::{flag, low_level};

    use crate::failure::Exit;

    /// Whether a signal ends the process where it stands.
    static AT_ONCE: AtomicBool = AtomicBool::new(true);
    /// Whether a signal has come already.
    static ASKED: AtomicBool = AtomicBool::new(false);
    /// The last signal that came, or 0.
    static CAUGHT: AtomicUsize = AtomicUsize::new(0);
    /// Whether SIGTSTP stops the process where it stands.
    static STOPS_AT_ONCE: AtomicBool = AtomicBool::new(true);
    /// Whether the file size limit was hit: the write that hit it fails, and says so.
    static TOO_LARGE: AtomicBool = AtomicBool::new(false);
    /// Readable for ever, once a signal has come.
    static WORD: OnceLock<OwnedFd> = OnceLock::new();
    /// Readable once SIGTSTP has come.
    static STOP: OnceLock<OwnedFd> = OnceLock::new();

    pub(super) const ENDING: [(i32, Exit); 3] = [
        (SIGINT, Exit::Interrupted),
        (SIGTERM, Exit::Terminated),
        (SIGHUP, Exit::HungUp),
    ];

    pub(super) fn begin() -> io::Result<()> {
        flag::register(SIGXFSZ, &TOO_LARGE)?;
        let (read, write) = pipe()?;
        let ignored = ignored();
        for (signal, exit) in ENDING {
            if ignored & (1 << (signal - 1)) != 0 {
                continue;
            }
            // They run in this order: what ends the process comes before what leaves word.
            flag::register_conditional_shutdown(signal, i32::from(exit as u8), &AT_ONCE)?;
            flag::register_conditional_shutdown(signal, i32::from(exit as u8), &ASKED)?;
            flag::register(signal, &ASKED)?;
            let number = usize::try_from(signal).map_err(io::Error::other)?;
            flag::register_usize(signal, &CAUGHT, number)?;
            low_level::pipe::register(signal, write.try_clone()?)?;
        }
        let _ = WORD.set(read);
        Ok(())
    }

    /// A pipe neither of whose ends ever waits.
    fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
        let (read, write) = io::pipe()?;
        let ends = (OwnedFd::from(read), OwnedFd::from(write));
        for end in [&ends.0, &ends.1] {
            fcntl_setfl(end, fcntl_getfl(end)? | OFlags::NONBLOCK)?;
        }
        Ok(ends)
    }

    /// The mask of the signals that this process was told to ignore when it was started; none where the system does not say.
    fn ignored() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(0)
    }

    pub(super) fn caught() -> Option<Exit> {
        let caught = CAUGHT.load(Ordering::SeqCst);
        let known = |(signal, _): &&(i32, Exit)| usize::try_from(*signal) == Ok(caught);
        ENDING.iter().find(known).map(|(_, exit)| *exit)
    }

    pub(super) fn set_at_once(at_once: bool) -> bool {
        AT_ONCE.swap(at_once, Ordering::SeqCst)
    }

    /// What can be polled for the word that a signal has come.
    pub(crate) fn word() -> Option<BorrowedFd<'static>> {
        WORD.get().map(|read| read.as_fd())
    }

    /// From now on SIGTSTP is announced on a descriptor.
    pub(crate) fn announce_stops() -> io::Result<BorrowedFd<'static>> {
        if STOP.get().is_none() {
            let (read, write) = pipe()?;
            flag::register_conditional_default(SIGTSTP, &STOPS_AT_ONCE)?;
            low_level::pipe::register(SIGTSTP, write)?;
            let _ = STOP.set(read);
        }
        STOPS_AT_ONCE.store(false, Ordering::SeqCst);
        let read = STOP.get().ok_or(io::ErrorKind::NotFound)?;
        Ok(read.as_fd())
    }

    /// From now on SIGTSTP stops the process where it stands.
    pub(crate) fn stop_at_once() {
        STOPS_AT_ONCE.store(true, Ordering::SeqCst);
    }

    /// Stops the process until it is continued.
    pub(crate) fn stop() {
        let _ = low_level::emulate_default_handler(SIGTSTP);
    }
}

#[cfg(unix)]
pub(crate) use system::{announce_stops, stop, stop_at_once, word};

/// Listens to signals from now on, and keeps the process's memory out of core dumps and of other processes.
pub(crate) fn begin() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    #[cfg(unix)]
    system::begin()?;
    Ok(())
}

/// The exit code for the signal that asked the work to end, if one did.
pub(crate) fn caught() -> Option<Exit> {
    #[cfg(unix)]
    return system::caught();
    #[cfg(not(unix))]
    None
}

/// What work is told at each of its steps.
pub(crate) fn flow() -> ControlFlow<()> {
    match caught() {
        Some(_) => ControlFlow::Break(()),
        None => ControlFlow::Continue(()),
    }
}

/// From now on signals only leave word: something is made that must be cleared away, or changed so that the exit code must say so.
pub(crate) fn leave_word() {
    #[cfg(unix)]
    system::set_at_once(false);
}

/// While it lives, signals leave word.
#[must_use]
pub(crate) struct Graceful {
    #[cfg(unix)]
    at_once: bool,
}

/// Has signals leave word for a while, so that what was changed for that while is put back.
pub(crate) fn graceful() -> Graceful {
    Graceful {
        #[cfg(unix)]
        at_once: system::set_at_once(false),
    }
}

#[cfg(unix)]
impl Drop for Graceful {
    fn drop(&mut self) {
        system::set_at_once(self.at_once);
    }
}
