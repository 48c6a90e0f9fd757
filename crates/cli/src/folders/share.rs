//! One file's share of a run: its threads, and how much of it is done.

use std::cell::Cell;

use indicatif::ProgressBar;
use phi_envelope::files::FileOptions;

use super::pool::Turn;
use crate::signals;

/// One file's share of a run.
pub(super) struct Share<'a> {
    bar: &'a ProgressBar,
    turn: Turn<'a>,
    len: u64,
    told: Cell<u64>,
}

impl<'a> Share<'a> {
    pub(super) fn new(bar: &'a ProgressBar, turn: Turn<'a>, len: u64) -> Self {
        Self {
            bar,
            turn,
            len,
            told: Cell::new(0),
        }
    }

    /// Options with the threads of this file, which tell how much of it is done, and end if a signal asks for it.
    pub(super) fn options(&self) -> FileOptions<'_> {
        FileOptions::new()
            .threads(self.turn.threads)
            .progress(|done, _| {
                self.tell(done);
                signals::flow()
            })
    }

    fn tell(&self, done: u64) {
        let done = done.min(self.len).max(self.told.get());
        self.bar.inc(done - self.told.replace(done));
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.tell(self.len);
    }
}
