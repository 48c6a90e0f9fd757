//! A file copied with longer header blocks and the same payload bytes (FORMAT §7).

use std::fs::{File, Metadata};
use std::path::Path;

use super::at::StreamHead;
use super::options::FileOptions;
use crate::disk::{Disk, Lock, NotKept};
use crate::envelope::{EnvelopeCipher, inline};
use crate::error::{Error, Malformed, Result};
use crate::format::blocks;

/// Bytes of a payload that are copied at once.
const COPY: usize = 1 << 18;

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
    mut options: FileOptions<'_>,
) -> Result<NotKept> {
    let path = disk.resolve(path)?;
    // As it was before anything was read of it: what is written to it from here on is noticed.
    let (file, old) = disk.open_locked_as(&path, Lock::Exclusive)?;
    let head = StreamHead::read(disk, &file)?.blocks;
    let candidates = inline::candidates(&head)?;
    let current = cipher.verify_inline(&candidates)?;
    let length = options.block_length.unwrap_or(cipher.block_length());
    let header = current.verified.with_block_length(length)?;
    let block = blocks::write(&header, length)?;
    let payload = old.len().saturating_sub(in_file(candidates.block_length)?);
    let mut tell = |done| options.report(done, payload);
    let lengths = (candidates.block_length, length);
    let old = (&*path, &file, &old);
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
    disk.write_checked_at(new.file()?, &[block, block].concat(), 0)?;
    let from = (file, in_file(from)?);
    copy(disk, from, (new.file()?, in_file(to)?), tell)?;
    let replaced = new.replace_after(old, || Ok(may()?))?;
    Ok(replaced.not_kept)
}

/// Where the payload begins behind two blocks of this length.
fn in_file(length: usize) -> Result<u64> {
    Ok(u64::try_from(2 * length).map_err(|_| Malformed::BlockLength)?)
}

/// Copies what one file has from an offset on to another, up to where a read says that it ends, and tells how many bytes are done.
pub(super) fn copy(
    disk: &Disk,
    (from, from_at): (&File, u64),
    (to, to_at): (&File, u64),
    tell: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; COPY];
    let mut done = 0;
    loop {
        let read = disk.read_up_to_at(from, &mut buffer, from_at + done)?;
        let piece = buffer.get(..read).unwrap_or_default();
        disk.write_checked_at(to, piece, to_at + done)?;
        done += u64::try_from(read).map_err(|_| Error::Truncated)?;
        if read > 0 {
            tell(done)?;
        }
        if read < COPY {
            return Ok(());
        }
    }
}
