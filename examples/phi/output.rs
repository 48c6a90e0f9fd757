//! What a command says: to people or as JSON, and how far it is.

use std::cell::Cell;
use std::fmt::{self, Display};
use std::io::{self, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use phi_envelope::{FileOptions, HeaderDamage};
use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::{Exit, Failure};

/// What a command did: its answer as JSON, and the worst that befell one of several files.
pub(crate) struct Answer {
    pub(crate) json: Value,
    pub(crate) worst: Option<Exit>,
}

impl From<Value> for Answer {
    fn from(json: Value) -> Self {
        Self { json, worst: None }
    }
}

impl Answer {
    /// An answer about several files, beside which stands the worst of what befell them.
    pub(crate) fn of_several(mut json: Value, worst: Option<&Failure>) -> Self {
        if let (Some(failure), Some(fields)) = (worst, json.as_object_mut()) {
            fields.insert("error".into(), failure.json());
        }
        Self {
            json,
            worst: worst.map(|failure| failure.exit),
        }
    }
}

/// Where answers go.
pub(crate) struct Console {
    json: bool,
    data_on_stdout: Cell<bool>,
}

impl Console {
    pub(crate) fn new(json: bool) -> Self {
        let data_on_stdout = Cell::new(false);
        Self {
            json,
            data_on_stdout,
        }
    }

    /// From now on stdout carries data, and all else goes to stderr.
    pub(crate) fn give_stdout_to_data(&self) {
        self.data_on_stdout.set(true);
    }

    /// A line for people.
    pub(crate) fn say(&self, line: impl Display) -> Result<()> {
        if !self.json {
            self.write(line)?;
        }
        Ok(())
    }

    /// A JSON line, before the answer.
    pub(crate) fn line(&self, entry: &impl Serialize) -> Result<()> {
        if self.json {
            self.write(serde_json::to_string(entry)?)?;
        }
        Ok(())
    }

    /// A warning, on stderr; in JSON that goes there, the answer alone holds it.
    pub(crate) fn warn(&self, path: &Path, what: impl Display) {
        if !(self.json && self.data_on_stdout.get()) {
            let _ = writeln!(io::stderr(), "phi: warning: {}: {what}", path.display());
        }
    }

    /// The end of a command that went as it should.
    pub(crate) fn answer(&self, json: &Value) -> Result<()> {
        if self.json {
            self.write(json)?;
        }
        Ok(())
    }

    /// A failure, for people.
    pub(crate) fn complain(&self, failure: &Failure) {
        if !self.json {
            let _ = writeln!(io::stderr(), "phi: {failure}");
        }
    }

    /// The end of a command that failed.
    pub(crate) fn fail(&self, failure: &Failure) -> Exit {
        self.complain(failure);
        // Who does not listen still gets the exit code.
        let _ = self.answer(&json!({ "error": failure.json() }));
        failure.exit
    }

    /// Starts the clock.
    pub(crate) fn meter(&self) -> Meter {
        let quiet = self.json || self.data_on_stdout.get() && io::stdout().is_terminal();
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            // Draws on a terminal only.
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style("{decimal_bytes} {decimal_bytes_per_sec}"));
        Meter {
            bar,
            started: Instant::now(),
        }
    }

    /// A bar that shows files; on a terminal only, and `hidden` where lines go there.
    pub(crate) fn files_bar(&self, hidden: bool) -> ProgressBar {
        let target = if self.json || hidden {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style("{spinner} {msg} {human_pos} files, {per_sec}"));
        bar
    }

    fn write(&self, line: impl Display) -> io::Result<()> {
        if self.data_on_stdout.get() {
            writeln!(io::stderr(), "{line}")
        } else {
            writeln!(io::stdout(), "{line}")
        }
    }
}

/// Shows how far a command is, and knows how long it took.
pub(crate) struct Meter {
    bar: ProgressBar,
    started: Instant,
}

impl Meter {
    /// `options` that tell this meter.
    pub(crate) fn watch<'a>(&'a self, options: FileOptions<'a>) -> FileOptions<'a> {
        options.progress(|done, total| {
            self.tell(done, total);
            ControlFlow::Continue(())
        })
    }

    /// Bytes that are done and that there are; 0 where that is not known.
    pub(crate) fn tell(&self, done: u64, total: u64) {
        if total > 0 && self.bar.length() != Some(total) {
            self.bar.set_length(total);
            self.bar.set_style(style(
                "{wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}",
            ));
        }
        self.bar.set_position(done);
    }

    /// Ends the show: what these bytes took.
    pub(crate) fn stop(&self, bytes: u64) -> Pace {
        self.bar.finish_and_clear();
        Pace {
            bytes,
            took: self.started.elapsed(),
        }
    }
}

/// Lets a bar show how much of `total` files is done, and the time that the rest takes.
pub(crate) fn show_total(bar: &ProgressBar, total: u64) {
    bar.set_length(total);
    bar.set_style(style(
        "{wide_bar} {human_pos}/{human_len} files, {per_sec}, {eta} left {msg}",
    ));
}

/// The style of a template of this file's, which parses.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Bytes in a time.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) bytes: u64,
    took: Duration,
}

impl Pace {
    /// Seconds, to the millisecond.
    pub(crate) fn seconds(self) -> f64 {
        (self.took.as_secs_f64() * 1000.0).round() / 1000.0
    }
}

impl Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.bytes as f64 / self.took.as_secs_f64().max(1e-9) / 1e6;
        write!(
            f,
            "{} bytes in {:.1} s, {rate:.0} MB/s",
            self.bytes,
            self.took.as_secs_f64()
        )
    }
}

/// The stable word for a damage, or null.
pub(crate) fn damage_json(damage: Option<HeaderDamage>) -> Value {
    match damage {
        None => Value::Null,
        Some(HeaderDamage::FirstBlock) => json!("first-block"),
        Some(HeaderDamage::SecondBlock) => json!("second-block"),
        Some(HeaderDamage::Differ) => json!("differ"),
        Some(_) => json!("other"),
    }
}

/// A path as JSON holds it.
pub(crate) fn path_json(path: &Path) -> Value {
    json!(path.display().to_string())
}

/// A path for people: whoever can write files names them, and a terminal obeys what it is shown.
pub(crate) fn escaped_path(path: &Path) -> String {
    let mut shown = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        shown += &escaped(chunk.valid());
        for byte in chunk.invalid() {
            shown += &format!("\\x{byte:02x}");
        }
    }
    shown
}

/// Somebody's text for people: on one line, and without what commands a terminal.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\'' | '"' | '\\' => shown.push(letter),
            _ => shown.extend(letter.escape_debug()),
        }
    }
    shown
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
