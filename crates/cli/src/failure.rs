//! What went wrong, in words and as an exit code.

use std::cmp::Ordering;
use std::fmt;
use std::io;
use std::path::Path;

use phi_envelope::{Error, error::KeyringError};
use serde_json::{Value, json};

use crate::output::{escaped, escaped_path};
use crate::signals;

/// The exit codes but 0. They are ordered by what a caller must know first: the greatest of several counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[cfg_attr(not(unix), allow(dead_code, reason = "there are no signals"))]
pub(crate) enum Exit {
    /// It failed, and nothing was changed but what the message says.
    Failed = 1,
    /// The command line asks for what cannot be.
    Usage = 2,
    /// Something is not authentic, or the context is another.
    NotAuthentic = 3,
    /// There is no usable key.
    NoKey = 4,
    /// The work is done, and its answer could not be written.
    NotTold = 5,
    /// There was nothing to work on, and the caller expected something.
    NothingFound = 6,
    /// A person must decide; nothing was destroyed.
    Undecided = 7,
    /// SIGHUP ended the work.
    HungUp = 129,
    /// SIGINT ended the work.
    Interrupted = 130,
    /// SIGTERM ended the work.
    Terminated = 143,
}

impl Exit {
    fn rank(self) -> u8 {
        match self {
            Self::NotTold => 0,
            Self::NothingFound => 1,
            Self::Undecided => 2,
            Self::Failed => 3,
            Self::NotAuthentic => 4,
            Self::NoKey => 5,
            Self::Usage => 6,
            Self::HungUp => 7,
            Self::Terminated => 8,
            Self::Interrupted => 9,
        }
    }
}

impl Ord for Exit {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Exit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is said of work that a signal ended.
const INTERRUPTED: &str = "interrupted; nothing was changed";

/// A failure as the caller meets it.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    kind: &'static str,
    message: String,
}

/// An error of the program's own, which is none of the library's.
#[derive(Debug)]
struct Own {
    exit: Exit,
    message: String,
}

/// An error for a wrong use of the command line: exit code 2.
pub(crate) fn usage(message: impl fmt::Display) -> anyhow::Error {
    own(Exit::Usage, message)
}

/// An error of the program's own for a file that cannot be worked on: exit code 1.
pub(crate) fn failed(message: impl fmt::Display) -> anyhow::Error {
    own(Exit::Failed, message)
}

/// An error of a command that only tells and whose answer nobody takes: exit code 5.
pub(crate) fn not_told(stream: &str, error: &io::Error) -> anyhow::Error {
    own(Exit::NotTold, format_args!("{stream}: {error}"))
}

/// Whether the whole command ends with this error, and not the work on one of several files alone.
pub(crate) fn ends_all(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Own>()
        .is_some_and(|own| own.exit == Exit::NotTold)
        || signals::caught().is_some()
}

/// An error for work that a signal ended.
pub(crate) fn interrupted(exit: Exit) -> anyhow::Error {
    own(exit, INTERRUPTED)
}

/// An error for work that a signal ended after some of it was done, of which `what` tells.
pub(crate) fn interrupted_but(exit: Exit, what: &str) -> anyhow::Error {
    let message = format!("{what}: interrupted, and the key was kept; run it again to go on");
    own(exit, message)
}

fn own(exit: Exit, message: impl fmt::Display) -> anyhow::Error {
    let message = message.to_string();
    Own { exit, message }.into()
}

/// A choice on the command line that the library refuses.
pub(crate) fn usage_of(error: Error) -> anyhow::Error {
    match error {
        Error::Misuse(what) => usage(what),
        error => usage(error),
    }
}

impl Failure {
    /// A command line that was not understood.
    pub(crate) fn usage(message: impl AsRef<str>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A failure of the program's own. The message may name what anybody named, and is escaped.
    pub(crate) fn new(exit: Exit, message: impl AsRef<str>) -> Self {
        Self {
            exit,
            kind: kind(exit),
            message: escaped(message.as_ref()),
        }
    }

    /// What befell one of many files. Its name may be anybody's, and is escaped.
    pub(crate) fn at(path: &Path, error: &Error) -> Self {
        let (path, said) = (escaped_path(path), escaped(&with_options(&said(error))));
        Self {
            exit: exit(error),
            kind: error.word(),
            message: format!("{path}: {}", unnamed(&said, &path)),
        }
    }

    /// The same failure, of this file among others.
    pub(crate) fn of_file(mut self, path: &Path) -> Self {
        self.message = format!("{}: {}", escaped_path(path), self.message);
        self
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "kind": self.kind, "message": self.message, "exit_code": self.exit as u8 })
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let inside = error.downcast_ref::<io::Error>().and_then(Error::from_io);
        let library = error.downcast_ref::<Error>().or(inside);
        let (kind, exit) = match (library, error.downcast_ref::<Own>()) {
            (Some(Error::Cancelled), _) => ("interrupted", exit(&Error::Cancelled)),
            (Some(error), _) => (error.word(), exit(error)),
            (None, Some(own)) => (kind(own.exit), own.exit),
            (None, None) => ("io", Exit::Failed),
        };
        Self {
            // What a signal broke off may have ended by another error.
            exit: signals::caught().map_or(exit, |asked| asked.max(exit)),
            kind,
            message: escaped(&message(&error)),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Own {}

/// The stable word for a failure of the program's own.
fn kind(exit: Exit) -> &'static str {
    match exit {
        Exit::Failed => "failed",
        Exit::Usage => "usage",
        Exit::NotAuthentic => "authentication-failed",
        Exit::NoKey => "no-matching-key",
        Exit::NotTold => "not-told",
        Exit::NothingFound => "nothing-found",
        Exit::Undecided => "undecided",
        Exit::HungUp | Exit::Interrupted | Exit::Terminated => "interrupted",
    }
}

fn exit(error: &Error) -> Exit {
    match error {
        Error::Cancelled => signals::caught().unwrap_or(Exit::Failed),
        Error::Misuse(_) => Exit::Usage,
        Error::ContextMismatch(_) | Error::AuthenticationFailed(_) => Exit::NotAuthentic,
        Error::NoMatchingKey { .. }
        | Error::KeyNotUsable { .. }
        | Error::WrongPassphrase
        | Error::MakerUnknown { .. } => Exit::NoKey,
        Error::KeyringFile { fault, .. } if is_unusable(fault) => Exit::NoKey,
        _ => Exit::Failed,
    }
}

/// Whether a keyring may not be used, and not only its file not be changed.
fn is_unusable(fault: &KeyringError) -> bool {
    matches!(
        fault,
        KeyringError::NotConfirmed { .. }
            | KeyringError::Links { .. }
            | KeyringError::RolledBack(_)
            | KeyringError::UnexpectedSlot { .. }
    )
}

/// Where it happened, then why, each thing said once.
fn message(error: &anyhow::Error) -> String {
    let (mut told, mut before) = (Vec::<String>::new(), String::new());
    let mut cause = Some(error.as_ref() as &dyn std::error::Error);
    while let Some(error) = cause {
        let text = match (
            error.downcast_ref::<Error>(),
            error.downcast_ref::<io::Error>(),
        ) {
            (Some(error), _) => said(error),
            (None, Some(error)) => with_remedy(error),
            (None, None) => error.to_string(),
        };
        match told.last() {
            Some(last) if before == text || last.ends_with(&text) => {}
            // The library names the file itself.
            Some(last) => told.push(unnamed(&text, last).to_owned()),
            None => told.push(text.clone()),
        }
        before = text;
        cause = error.source();
    }
    with_options(&told.join(": "))
}

/// What befell a file, without its name where what was told before ends with that.
fn unnamed<'a>(text: &'a str, told: &str) -> &'a str {
    let is_told = |(name, _): &(&str, &str)| {
        let before = told.strip_suffix(&escaped(name));
        before.is_some_and(|before| before.is_empty() || before.ends_with(' '))
    };
    let split = text.split_once(": ").filter(is_told);
    split.map_or(text, |(_, said)| said)
}

/// The library's words for choices, and the options by which this program gives them.
const CHOICES: [(&str, &str); 6] = [
    (
        "the output exists and is not to be overwritten",
        "the output exists; --overwrite replaces it",
    ),
    (
        "allow access by others explicitly",
        "give --allow-access-by-others",
    ),
    (
        "allow the change without a lock",
        "give --allow-without-lock",
    ),
    ("drop recipients explicitly", "give --drop-recipients"),
    ("wait longer for locks", "give a longer --lock-wait"),
    (
        "the settling time is shorter than the keyring's lease and the allowance together",
        "--settling-time is shorter than the keyring's lease, which `phi keyring list` tells, and --allowance together",
    ),
];

fn with_options(text: &str) -> String {
    CHOICES
        .iter()
        .fold(text.to_owned(), |text, (choice, option)| {
            text.replace(choice, option)
        })
}

fn said(error: &Error) -> String {
    match error {
        Error::Misuse(what) => (*what).to_owned(),
        Error::Io(error) => with_remedy(error),
        Error::Cancelled => INTERRUPTED.to_owned(),
        error => error.to_string(),
    }
}

/// What the system said, and what to do where its words do not tell.
fn with_remedy(error: &io::Error) -> String {
    /// EBUSY, wherever this program runs: a name that cannot be given to another file.
    const BUSY: i32 = 16;
    match error.raw_os_error() {
        Some(BUSY) if cfg!(unix) => format!(
            "{error}: the file is mounted by itself, and cannot be replaced there; mount the folder that holds it"
        ),
        _ => error.to_string(),
    }
}
