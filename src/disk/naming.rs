//! Errors that name the file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// What befell a file.
#[derive(Debug)]
struct OfFile {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for OfFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// EBUSY: a name that cannot be given to another file.
        const BUSY: i32 = 16;

        write!(f, "{}: {}", self.path.display(), self.error)?;
        if cfg!(unix) && self.error.raw_os_error() == Some(BUSY) {
            f.write_str(
                ": the file is mounted by itself, and cannot be replaced there; mount the folder that holds it",
            )?;
        }
        Ok(())
    }
}

// The cause is in the words, and is not said a second time as a source.
impl std::error::Error for OfFile {}

/// An error of this crate's own that names the file.
pub(crate) fn named(path: &Path, kind: io::ErrorKind, what: &str) -> io::Error {
    of_file(path, io::Error::new(kind, what))
}

/// The error with the name of the file that it befell, unless it has one already.
pub(crate) fn of_file(path: &Path, error: io::Error) -> io::Error {
    let is_whole = |inside: &(dyn std::error::Error + Send + Sync + 'static)| {
        inside.is::<OfFile>() || inside.is::<Error>()
    };
    if error.get_ref().is_some_and(is_whole) {
        return error;
    }
    let path = path.to_owned();
    io::Error::new(error.kind(), OfFile { path, error })
}

/// The system's error of a file that works for another, with that one's name: nobody asked for the first.
pub(crate) fn of_other(path: &Path, error: io::Error) -> io::Error {
    match os_number(&error) {
        Some(number) => of_file(path, io::Error::from_raw_os_error(number)),
        None => of_file(path, error),
    }
}

/// The same for an error of this crate, of work on one file.
pub(crate) fn in_file(path: &Path) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Io(error) => Error::Io(of_file(path, error)),
        Error::TookEffect { step, source } => {
            let source = of_file(path, source);
            Error::TookEffect { step, source }
        }
        error => error,
    }
}

/// The number that the system gave, also where the error names the file.
pub(crate) fn os_number(error: &io::Error) -> Option<i32> {
    let inside = || error.get_ref()?.downcast_ref::<OfFile>();
    let of_file = || inside()?.error.raw_os_error();
    error.raw_os_error().or_else(of_file)
}
