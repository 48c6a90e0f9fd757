//! What went wrong, in words and as an exit code.

use std::fmt;
use std::path::Path;

use phi_envelope::Error;
use serde_json::{Value, json};

use crate::output::escaped_path;

/// The exit codes. Of several, the highest counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    Failed = 1,
    Usage = 2,
    NotAuthentic = 3,
    NoKey = 4,
}

/// A failure as the caller meets it.
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    kind: &'static str,
    message: String,
}

/// The caller asked for something that cannot be.
#[derive(Debug)]
struct Usage(String);

/// An error for a wrong use of the command line.
pub(crate) fn usage(message: impl fmt::Display) -> anyhow::Error {
    Usage(message.to_string()).into()
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
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            kind: "usage",
            message: message.into(),
        }
    }

    /// What befell one of many files. Its name may be anybody's, and is escaped.
    pub(crate) fn at(path: &Path, error: &Error) -> Self {
        Self {
            exit: exit(error),
            kind: error.word(),
            message: format!("{}: {error}", escaped_path(path)),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "kind": self.kind, "message": self.message, "exit_code": self.exit as u8 })
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let (kind, exit) = match error.downcast_ref::<Error>() {
            Some(error) => (error.word(), exit(error)),
            None if error.is::<Usage>() => ("usage", Exit::Usage),
            None => ("io", Exit::Failed),
        };
        Self {
            exit,
            kind,
            message: message(&error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

fn exit(error: &Error) -> Exit {
    match error {
        Error::Misuse(_) => Exit::Usage,
        Error::ContextMismatch(_) | Error::AuthenticationFailed(_) => Exit::NotAuthentic,
        Error::NoMatchingKey { .. } | Error::KeyNotUsable { .. } | Error::WrongPassphrase => {
            Exit::NoKey
        }
        _ => Exit::Failed,
    }
}

/// Where it happened, then why, each thing said once.
fn message(error: &anyhow::Error) -> String {
    let mut said = Vec::<String>::new();
    let mut cause = Some(error.as_ref() as &dyn std::error::Error);
    while let Some(error) = cause {
        let text = match error.downcast_ref::<Error>() {
            Some(Error::Misuse(what)) => (*what).to_owned(),
            _ => error.to_string(),
        };
        if !said.last().is_some_and(|last| last.ends_with(&text)) {
            said.push(text);
        }
        cause = error.source();
    }
    said.join(": ")
}
