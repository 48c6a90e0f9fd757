//! Faults that tests make: the n-th call fails, moves less than asked, or is the last of a process that was killed.

use std::io;
use std::sync::Mutex;

use super::Disk;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails with this error number.
    Errno(i32),
    /// A read or write moves half of what it should, any other call works.
    Short,
    /// The call and all after it fail, and nothing is cleaned up.
    Killed,
    /// A write moves this many bytes, and the process dies.
    Torn(usize),
}

/// Makes one fault, at the n-th call.
#[derive(Debug)]
pub(crate) struct Faults(Mutex<State>);

#[derive(Debug)]
struct State {
    calls: u64,
    at: u64,
    fault: Fault,
    dead: bool,
    dies_after_write: bool,
}

impl Faults {
    pub(crate) fn at(call: u64, fault: Fault) -> Self {
        Self(Mutex::new(State {
            calls: 0,
            at: call,
            fault,
            dead: false,
            dies_after_write: false,
        }))
    }

    /// Whether the fault was met.
    pub(crate) fn was_met(&self) -> bool {
        let state = self.0.lock().unwrap();
        state.calls > state.at
    }

    fn next(&self) -> io::Result<Option<Fault>> {
        let mut state = self.0.lock().unwrap();
        if state.dead {
            return Err(io::Error::other("killed"));
        }
        let now = state.calls == state.at;
        state.calls += 1;
        if !now {
            return Ok(None);
        }
        match state.fault {
            Fault::Errno(number) => Err(io::Error::from_raw_os_error(number)),
            Fault::Killed => {
                state.dead = true;
                Err(io::Error::other("killed"))
            }
            Fault::Torn(_) => {
                state.dies_after_write = true;
                Ok(Some(state.fault))
            }
            Fault::Short => Ok(Some(Fault::Short)),
        }
    }
}

impl Disk {
    pub(crate) fn with_faults(faults: std::sync::Arc<Faults>) -> Self {
        Self {
            faults: Some(faults),
        }
    }

    pub(super) fn step(&self) -> io::Result<()> {
        self.faults.as_ref().map_or(Ok(()), |faults| {
            if let Some(Fault::Torn(_)) = faults.next()? {
                faults.0.lock().unwrap().dead = true;
                return Err(io::Error::other("killed"));
            }
            Ok(())
        })
    }

    pub(super) fn limited(&self, len: usize) -> io::Result<usize> {
        let Some(faults) = &self.faults else {
            return Ok(len);
        };
        Ok(match faults.next()? {
            Some(Fault::Short) => len.div_ceil(2),
            Some(Fault::Torn(bytes)) => bytes.min(len),
            _ => len,
        })
    }

    /// The end of a process that died in a write.
    pub(super) fn after_write(&self) -> io::Result<()> {
        if let Some(faults) = &self.faults {
            let mut state = faults.0.lock().unwrap();
            if state.dies_after_write {
                state.dead = true;
                return Err(io::Error::other("killed"));
            }
        }
        Ok(())
    }
}
