//! What a command says: to people or as JSON, and how far it is.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Display};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use phi_envelope::{
    HeaderDamage,
    files::{FileOptions, NotKept},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::{Exit, Failure, not_told};
use crate::{signals, stdio};

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
    only_tells: Cell<bool>,
    /// What went wrong first when something was to be told.
    untold: RefCell<Option<String>>,
}

impl Console {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            data_on_stdout: Cell::new(false),
            only_tells: Cell::new(false),
            untold: RefCell::new(None),
        }
    }

    /// From now on the command ends where nobody takes what it tells: it does nothing else.
    pub(crate) fn only_tell(&self) {
        self.only_tells.set(true);
    }

    /// From now on stdout carries data, and all else goes to stderr.
    pub(crate) fn give_stdout_to_data(&self) {
        self.data_on_stdout.set(true);
        STDERR_IS_JSON.store(self.json, Ordering::SeqCst);
    }

    /// A line for people. Where it cannot be written, the work goes on, and [`end`](Self::end) says so.
    ///
    /// # Errors
    /// Of a command that [only tells](Self::only_tell): that the line cannot be written.
    pub(crate) fn say(&self, line: impl Display) -> Result<()> {
        if self.json {
            return Ok(());
        }
        self.tell(line)
    }

    /// A JSON line, before the answer, told as [`say`](Self::say) tells.
    pub(crate) fn line(&self, entry: &impl Serialize) -> Result<()> {
        if !self.json {
            return Ok(());
        }
        self.tell(serde_json::to_string(entry)?)
    }

    /// A warning, on stderr; in JSON that goes there, the answer alone holds it.
    pub(crate) fn warn(&self, path: &Path, what: impl Display) {
        if !(self.json && self.data_on_stdout.get()) {
            let what = escaped(&what.to_string());
            let _ = stdio::complain(format_args!("phi: warning: {}: {what}", escaped_path(path)));
        }
    }

    /// The answer of a command.
    pub(crate) fn answer(&self, json: &Value) {
        if self.json {
            // What went wrong is kept, and said at the end.
            let _ = self.tell(json);
        }
    }

    /// The end of a command whose work is done: says once that its answer could not be written, if that is so.
    ///
    /// # Errors
    /// The worst exit code of what befell the command.
    pub(crate) fn end(&self, worst: Option<Exit>) -> Result<(), Exit> {
        let untold = self.untold.borrow();
        let Some(why) = untold.as_deref() else {
            return worst.map_or(Ok(()), Err);
        };
        let done = if worst.is_none() { "done, but " } else { "" };
        let _ = stdio::complain(format_args!("phi: {done}{why}"));
        Err(worst.map_or(Exit::NotTold, |worst| worst.max(Exit::NotTold)))
    }

    /// A failure, for people.
    pub(crate) fn complain(&self, failure: &Failure) {
        if !self.json {
            let _ = stdio::complain(format_args!("phi: {failure}"));
        }
    }

    /// The end of a command that failed.
    pub(crate) fn fail(&self, failure: &Failure) -> Exit {
        self.complain(failure);
        self.answer(&json!({ "error": failure.json() }));
        if self.json && self.untold.borrow().is_some() {
            // Nobody else was told.
            let _ = stdio::complain(format_args!("phi: {failure}"));
        }
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

    fn tell(&self, line: impl Display) -> Result<()> {
        let (stream, written) = if self.data_on_stdout.get() {
            ("stderr", stdio::complain(line))
        } else {
            let written = stdio::telling().write_all(format!("{line}\n").as_bytes());
            ("stdout", written)
        };
        let Err(error) = written else {
            return Ok(());
        };
        self.untold
            .borrow_mut()
            .get_or_insert_with(|| format!("{stream}: {error}"));
        if self.only_tells.get() {
            return Err(not_told(stream, &error));
        }
        Ok(())
    }
}

/// Whether stderr holds one JSON object and nothing else.
static STDERR_IS_JSON: AtomicBool = AtomicBool::new(false);

/// Tells that another program has a file locked, and who waits for it.
pub(crate) fn tell_wait(path: &Path) {
    if !STDERR_IS_JSON.load(Ordering::SeqCst) {
        let _ = stdio::complain(format_args!(
            "phi: {}: another program has it locked; process {} waits for it (--lock-wait)",
            escaped_path(path),
            std::process::id()
        ));
    }
}

/// Warns of what a new file did not take over from the file that it stands for.
pub(crate) fn warn_not_kept(console: &Console, path: &Path, lost: NotKept) {
    for what in losses(lost) {
        console.warn(path, format_args!("the file system did not keep {what}"));
    }
}

fn losses(lost: NotKept) -> impl Iterator<Item = &'static str> {
    let losses = [
        (
            lost.permissions,
            "its permissions: others may do less with it",
        ),
        (lost.owner, "its owner"),
        (lost.group, "its group, which has no access"),
        (lost.access_list, "its access control list"),
        (lost.attributes, "an extended attribute"),
    ];
    let lost = losses.into_iter().filter(|(is_lost, _)| *is_lost);
    lost.map(|(_, what)| what)
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
            signals::flow()
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

/// A path as JSON holds it, for people and for most programs: see [`put_path`].
pub(crate) fn path_json(path: &Path) -> Value {
    json!(path.display().to_string())
}

/// Puts a path into an answer, as `name` and, if it is not UTF-8 and `name` would stand for others too, its bytes as
/// `name_base64`.
pub(crate) fn put_path(answer: &mut Value, name: &str, path: &Path) {
    if let Some(fields) = answer.as_object_mut() {
        fields.insert(name.to_owned(), path_json(path));
        if path.to_str().is_none() {
            let bytes = path.as_os_str().as_encoded_bytes();
            fields.insert(format!("{name}_base64"), json!(STANDARD.encode(bytes)));
        }
    }
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
