//! A file copied with longer header blocks and the same payload bytes (FORMAT §7).

use std::path::Path;

use super::at::StreamHead;
use super::options::FileOptions;
use super::rewrite::{behind_blocks, with_header};
use crate::disk::{Disk, Lock, NotKept, in_file};
use crate::envelope::{EnvelopeCipher, inline};
use crate::error::Result;
use crate::format::blocks;

/// Copies an inline stream in its place, with header blocks of the length that the options or the cipher state, and the same
/// payload bytes: for recipients that no longer fit. Needs no bindings.
///
/// The old file stays until the new one is whole and durable. It costs a copy of the file. Returns what the new file did not take over.
///
/// # Errors
/// Those of opening a header; [`Error::Io`](crate::Error::Io); [`Limit::HeaderBlock`](crate::error::Limit::HeaderBlock) where the header does not fit;
/// [`Error::Cancelled`](crate::Error::Cancelled).
pub fn repack(
    cipher: &EnvelopeCipher,
    path: impl AsRef<Path>,
    options: FileOptions<'_>,
) -> Result<NotKept> {
    repack_on(&options.disk(), cipher, path.as_ref(), options)
}

pub(super) fn repack_on(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    options: FileOptions<'_>,
) -> Result<NotKept> {
    let path = disk.resolve(path)?;
    repack_resolved(disk, cipher, &path, options).map_err(in_file(&path))
}

fn repack_resolved(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    mut options: FileOptions<'_>,
) -> Result<NotKept> {
    // As it was before anything was read of it: what is written to it from here on is noticed.
    let (file, old) = disk.open_locked_as(path, Lock::Exclusive)?;
    let head = StreamHead::read(disk, &file)?.blocks;
    let candidates = inline::candidates(&head)?;
    let current = cipher.verify_inline(&candidates)?;
    let length = options.block_length.unwrap_or(cipher.block_length());
    let header = current.verified.with_block_length(length)?;
    let block = blocks::write(&header, length)?;
    let payload = old
        .len()
        .saturating_sub(behind_blocks(candidates.block_length)?);
    let mut tell = |done| options.report(done, payload);
    let lengths = (candidates.block_length, length);
    let old = (path, &file, &old);
    with_header(disk, old, lengths, &block, &mut tell, || {
        cipher.confirm_writers()
    })
}
