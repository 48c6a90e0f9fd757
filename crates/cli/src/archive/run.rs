//! A run over many files, as who started it sees it.

use std::path::Path;

use anyhow::Result;
use indicatif::ProgressBar;
use phi_envelope::{Error, files::NotKept};
use serde::Serialize;
use serde_json::Value;

use crate::failure::{Exit, Failure};
use crate::output::{Answer, Console, show_total, warn_not_kept};
use crate::signals;

/// Shows how far a run is, tells of files, and keeps the worst of the failures.
pub(super) struct Run<'a> {
    console: &'a Console,
    bar: ProgressBar,
    worst: Option<Failure>,
}

impl<'a> Run<'a> {
    /// A run whose bar is `hidden` where its lines go to the terminal.
    pub(super) fn new(console: &'a Console, hidden: bool) -> Self {
        Self {
            console,
            bar: console.files_bar(hidden),
            worst: None,
        }
    }

    /// Counts first, where somebody sees what the counting is for.
    pub(super) fn expect(&self, count: impl FnOnce() -> Option<u64>) -> Option<u64> {
        if self.bar.is_hidden() {
            return None;
        }
        self.stage("counting");
        let total = count();
        if let Some(total) = total {
            show_total(&self.bar, total);
        }
        self.bar.set_message("");
        self.bar.reset();
        total
    }

    /// What is being done now.
    pub(super) fn stage(&self, what: &'static str) {
        // Drawn once: a bar that moves by itself takes a thread, and ends the process where there is none to be had.
        self.bar.set_message(what);
        self.bar.tick();
    }

    pub(super) fn tell(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// A file's line in JSON.
    pub(super) fn line(&self, entry: &impl Serialize) -> Result<()> {
        self.console.line(entry)
    }

    /// What befell one of the files.
    pub(super) fn failed(&mut self, path: &Path, error: &Error) {
        self.keep(Failure::at(path, error));
    }

    /// What one of the files lost.
    pub(super) fn not_kept(&self, path: &Path, lost: NotKept) {
        self.bar.suspend(|| warn_not_kept(self.console, path, lost));
    }

    /// Whether a signal asks the run to end; if so, that is kept as what befell it.
    pub(super) fn is_interrupted(&mut self) -> bool {
        let Some(exit) = signals::caught() else {
            return false;
        };
        self.keep(Failure::new(
            exit,
            "interrupted; run it again to go on with the rest",
        ));
        true
    }

    /// Ends the show.
    pub(super) fn stop(&self) {
        self.bar.finish_and_clear();
    }

    /// A failure that is none of a file.
    pub(super) fn keep(&mut self, failure: Failure) {
        self.bar.suspend(|| self.console.complain(&failure));
        if self
            .worst
            .as_ref()
            .is_none_or(|worst| worst.exit < failure.exit)
        {
            self.worst = Some(failure);
        }
    }

    /// Says that nothing was found, which is a failure where something was expected.
    pub(super) fn nothing(&mut self, what: &str, expect_some: bool) {
        let failure = Failure::new(Exit::NothingFound, what);
        if expect_some {
            self.keep(failure);
        } else {
            self.bar.suspend(|| self.console.complain(&failure));
        }
    }

    /// Keeps what a person must decide, which was told already. What befell files on the way is part of it.
    pub(super) fn decide(&mut self, failure: Failure) {
        self.worst = Some(failure);
    }

    /// The answer of a retirement: what befell files counts only by way of the evidence.
    pub(super) fn decided(&mut self, json: Value, is_done: bool) -> Answer {
        if is_done
            && self
                .worst
                .as_ref()
                .is_some_and(|worst| worst.exit != Exit::NothingFound)
        {
            self.worst = None;
        }
        self.answer(json)
    }

    pub(super) fn answer(&self, json: Value) -> Answer {
        Answer::of_several(json, self.worst.as_ref())
    }
}
