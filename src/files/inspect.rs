//! What a file says about itself, without a key.

use std::path::Path;

use super::inspection::{FileInspection, Head};
use crate::disk::{Disk, in_file};
use crate::error::Result;

/// What a sealed file says about itself: an inline stream, a detached header, or a record as bytes or as text. Reads its head alone
/// and needs no key.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io), and those of a malformed or truncated envelope.
pub fn inspect(path: impl AsRef<Path>) -> Result<FileInspection> {
    let (disk, path) = (Disk::default(), path.as_ref());
    let head = Head::read(&disk, &disk.open_file(path)?);
    head.and_then(|head| head.inspect()).map_err(in_file(path))
}
