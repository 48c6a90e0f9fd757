//! A line for each step: what was done, to how much, how fast. On a terminal, how far it is while it lasts.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::listing::Item;

/// How many bytes of a step are done.
pub(crate) struct Done {
    bytes: Cell<u64>,
    of: u64,
    percent: Cell<u64>,
    shown: bool,
}

impl Done {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.set(self.bytes() + bytes);
    }

    pub(crate) fn set(&self, bytes: u64) {
        self.bytes.set(bytes);
        let percent = bytes * 100 / self.of.max(1);
        if self.shown && self.percent.replace(percent) != percent {
            let _ = write!(stderr(), "\r{percent:>3} %\r");
        }
    }
}

/// Names the columns.
pub(crate) fn head() {
    println!(
        "  {:<39}{:>6}{:>11}{:>11}{:>9}",
        "", "files", "MB", "seconds", "MB/s"
    );
}

/// Runs a step over these files, which counts its bytes, and prints its line.
pub(crate) fn step<T>(
    what: &str,
    items: &[Item],
    run: impl FnOnce(&Done) -> Result<T>,
) -> Result<T> {
    let done = Done {
        bytes: Cell::new(0),
        of: items.iter().map(|item| item.bytes).sum(),
        percent: Cell::new(0),
        shown: !items.is_empty() && stderr().is_terminal(),
    };
    let started = Instant::now();
    let out = run(&done).with_context(|| format!("failed to {what}"))?;
    let seconds = started.elapsed().as_secs_f64();
    let megabytes = done.bytes() as f64 / 1e6;
    let or_blank = |is: bool, text: String| if is { text } else { String::new() };
    println!(
        "  {what:<39}{:>6}{:>11}{seconds:>11.4}{:>9}",
        or_blank(!items.is_empty(), items.len().to_string()),
        or_blank(megabytes > 0.0, format!("{megabytes:.1}")),
        or_blank(megabytes > 0.0, format!("{:.0}", megabytes / seconds)),
    );
    Ok(out)
}

/// Prints what there is to learn from the step above.
pub(crate) fn note(text: impl std::fmt::Display) {
    println!("      {text}");
}
