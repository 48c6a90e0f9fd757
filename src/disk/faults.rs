//! Faults that tests make: the n-th call fails, moves less than asked, or is the last of a process that was killed.

use std::io;
use std::sync::{Arc, Mutex};

use super::{Call, Disk};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails with this error number.
    Errno(i32),
    /// A read or write moves half of what it should. Any other call works.
    Short,
    /// The process dies before the call: neither it nor any after it happens, and nothing is cleaned up.
    Killed,
    /// A write moves this many bytes, and the process dies.
    Torn(usize),
    /// A write does nothing and says that it did all. Any other call works.
    Lying,
}

/// Makes one fault and keeps a list of the calls.
pub(crate) struct Faults(Mutex<State>);

/// What another program does, right before the n-th call.
type Meanwhile = (usize, Box<dyn FnOnce() + Send>);

struct State {
    others: Vec<Meanwhile>,
    refused: Vec<(Call, i32)>,
    calls: Vec<Call>,
    at: usize,
    fault: Fault,
    met: bool,
    dead: bool,
}

impl Faults {
    /// The fault at the n-th call, or the n-th write where it is a torn one. Both count from 0.
    pub(crate) fn at(call: usize, fault: Fault) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            others: Vec::new(),
            refused: Vec::new(),
            calls: Vec::new(),
            at: call,
            fault,
            met: false,
            dead: false,
        })))
    }

    /// No fault; only the list of calls.
    pub(crate) fn none() -> Arc<Self> {
        Self::at(usize::MAX, Fault::Short)
    }

    /// No fault, but what another program does right before the n-th call, counted from 0.
    pub(crate) fn meanwhile(
        self: Arc<Self>,
        call: usize,
        act: impl FnOnce() + Send + 'static,
    ) -> Arc<Self> {
        self.0.lock().unwrap().others.push((call, Box::new(act)));
        self
    }

    /// No fault, but that every call of this kind fails with this error number, as where a file system has no such thing.
    pub(crate) fn refusing(self: Arc<Self>, call: Call, number: i32) -> Arc<Self> {
        self.0.lock().unwrap().refused.push((call, number));
        self
    }

    /// Whether all others have acted.
    pub(crate) fn others_have_acted(&self) -> bool {
        self.0.lock().unwrap().others.is_empty()
    }

    /// Whether the fault was met.
    pub(crate) fn was_met(&self) -> bool {
        self.0.lock().unwrap().met
    }

    /// What passed the seam, in order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.0.lock().unwrap().calls.clone()
    }

    /// The fault that this call is to meet.
    fn next(&self, call: Call) -> io::Result<Option<Fault>> {
        let mut state = self.0.lock().unwrap();
        if state.dead {
            return Err(killed());
        }
        let count = state.calls.len();
        while let Some(now) = state.others.iter().position(|(at, _)| *at == count) {
            let (_, act) = state.others.remove(now);
            act();
        }
        if let Some((_, number)) = state.refused.iter().find(|(kind, _)| *kind == call) {
            let error = io::Error::from_raw_os_error(*number);
            state.calls.push(call);
            return Err(error);
        }
        let torn = matches!(state.fault, Fault::Torn(_));
        let counted = |seen: &Call| !torn || *seen == Call::Write;
        let now =
            counted(&call) && state.calls.iter().filter(|seen| counted(seen)).count() == state.at;
        state.calls.push(call);
        if !now {
            return Ok(None);
        }
        state.met = true;
        match state.fault {
            Fault::Errno(number) => Err(io::Error::from_raw_os_error(number)),
            Fault::Killed => {
                state.dead = true;
                Err(killed())
            }
            Fault::Short | Fault::Torn(_) | Fault::Lying => Ok(Some(state.fault)),
        }
    }

    fn die(&self) {
        self.0.lock().unwrap().dead = true;
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Faults").field(&self.calls()).finish()
    }
}

impl Disk {
    pub(crate) fn with_faults(faults: &Arc<Faults>) -> Self {
        Self {
            faults: Some(faults.clone()),
            ..Self::default()
        }
    }

    /// Without nameless files, as on a system that has none.
    pub(crate) fn naming_all(mut self) -> Self {
        self.names_all = true;
        self
    }

    /// Without the exchange of two names, as on a system that has none.
    pub(crate) fn exchanging_none(mut self) -> Self {
        self.no_exchange = true;
        self
    }

    /// Where no file that is there may be written to, as with mode 0444.
    pub(crate) fn writing_none(mut self) -> Self {
        self.writes_none = true;
        self
    }

    pub(super) fn step(&self, call: Call) -> io::Result<()> {
        match &self.faults {
            Some(faults) => faults.next(call).map(drop),
            None => Ok(()),
        }
    }

    pub(super) fn moving(
        &self,
        call: Call,
        len: usize,
        work: &mut impl FnMut(usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let Some(faults) = &self.faults else {
            return work(len);
        };
        match faults.next(call)? {
            Some(Fault::Short) => work(len.div_ceil(2)),
            Some(Fault::Lying) if call == Call::Write => Ok(len),
            Some(Fault::Torn(bytes)) => {
                let moved = work(bytes.min(len));
                faults.die();
                moved.and(Err(killed()))
            }
            _ => work(len),
        }
    }
}

/// A folder for one run, in memory where there is such a place: thousands of files are made durable in them.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

fn killed() -> io::Error {
    io::Error::other("killed")
}
