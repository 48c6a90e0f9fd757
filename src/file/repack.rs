//! A file copied with longer header blocks and the same payload bytes (FORMAT §7).

use std::fs::{File, Metadata};
use std::path::Path;

use super::at::StreamHead;
use super::change::copy;
use super::options::FileOptions;
use crate::disk::{Disk, Lock, NotKept, in_file};
use crate::envelope::{EnvelopeCipher, inline};
use crate::error::{Malformed, Result};
use crate::format::blocks;

/// Copies an inline stream in its place, with header blocks of the length that the options or the cipher state, and the same
/// payload bytes: for recipients that no longer fit. Needs no bindings.
///
/// The old file stays until the new one is whole and durable. It costs a copy of the file. Returns what the new file did not take over.
///
/// # Errors
/// Those of opening a header; [`Error::Io`](crate::Error::Io); [`Limit::HeaderBlock`](crate::Limit::HeaderBlock) where the header does not fit;
/// [`Error::Cancelled`](crate::Error::Cancelled).
pub fn repack_file(
    cipher: &EnvelopeCipher,
    path: impl AsRef<Path>,
    options: FileOptions<'_>,
) -> Result<NotKept> {
    repack(&options.disk(), cipher, path.as_ref(), options)
}

pub(super) fn repack(
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
        .saturating_sub(length_of(candidates.block_length)?);
    let mut tell = |done| options.report(done, payload);
    let lengths = (candidates.block_length, length);
    let old = (path, &file, &old);
    with_header(disk, old, lengths, &block, &mut tell, || {
        cipher.confirm_writers()
    })
}

/// Puts a copy of an inline stream in its place, with this block twice and the same payload bytes. `may` is asked right before.
pub(super) fn with_header(
    disk: &Disk,
    (path, file, old): (&Path, &File, &Metadata),
    (from, to): (usize, usize),
    block: &[u8],
    tell: &mut dyn FnMut(u64) -> Result<()>,
    may: impl FnOnce() -> Result<()>,
) -> Result<NotKept> {
    let new = disk.new_in_place(path, old)?;
    new.write(&[block, block].concat(), 0)?;
    let from = (file, length_of(from)?);
    copy(disk, from, (&new, length_of(to)?), tell)?;
    let replaced = new.replace_after(old, || Ok(may()?))?;
    Ok(replaced.not_kept)
}

/// Where the payload begins behind two blocks of this length.
fn length_of(length: usize) -> Result<u64> {
    Ok(u64::try_from(2 * length).map_err(|_| Malformed::BlockLength)?)
}
