//! Errors of steps that cannot be undone.

use std::io;

use crate::error::Error;

/// The error of a step after the point of no return.
pub(super) fn took_effect(step: &'static str, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), Error::TookEffect { step, source })
}
