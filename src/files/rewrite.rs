//! A file written again with another header and the same payload bytes (FORMAT §7).

use std::fs::{File, Metadata};
use std::path::Path;

use crate::disk::{Disk, NewFile, NotKept};
use crate::error::{Error, Malformed, Result};

/// Bytes of a record's payload that are copied at once.
const COPY: usize = 1 << 18;

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
    let from = (file, behind_blocks(from)?);
    copy(disk, from, (&new, behind_blocks(to)?), tell)?;
    let replaced = new.replace_after(old, || Ok(may()?))?;
    Ok(replaced.not_kept)
}

/// Where the payload begins behind two blocks of this length.
pub(super) fn behind_blocks(length: usize) -> Result<u64> {
    Ok(u64::try_from(2 * length).map_err(|_| Malformed::BlockLength)?)
}

/// Copies what one file has from an offset on to another, up to where a read says that it ends, and tells how many bytes are done.
pub(super) fn copy(
    disk: &Disk,
    (from, from_at): (&File, u64),
    (to, to_at): (&NewFile, u64),
    tell: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; COPY];
    let mut done = 0;
    loop {
        let read = disk.read_up_to_at(from, &mut buffer, from_at + done)?;
        let piece = buffer.get(..read).unwrap_or_default();
        to.write(piece, to_at + done)?;
        done += u64::try_from(read).map_err(|_| Error::Truncated)?;
        if read > 0 {
            tell(done)?;
        }
        if read < COPY {
            return Ok(());
        }
    }
}
