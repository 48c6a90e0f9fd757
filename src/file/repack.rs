//! A file copied with longer header blocks and the same payload bytes (FORMAT §7).

use std::path::Path;

use super::change::{At, copy};
use super::options::FileOptions;
use crate::disk::{Disk, Lock};
use crate::envelope::{EnvelopeCipher, inline};
use crate::error::{Error, Malformed, Result};
use crate::format::blocks;

/// Copies an inline stream in its place, with header blocks of the length that the options or the cipher state, and the same
/// payload bytes: for recipients that no longer fit. Needs no bindings.
///
/// The old file stays until the new one is whole and durable. It costs a copy of the file.
///
/// # Errors
/// Those of opening a header; [`Error::Io`]; [`Limit::HeaderBlock`](crate::Limit::HeaderBlock) where the header does not fit;
/// [`Error::Cancelled`].
pub fn repack_file(
    cipher: &EnvelopeCipher,
    path: impl AsRef<Path>,
    options: FileOptions<'_>,
) -> Result<()> {
    repack(&Disk::default(), cipher, path.as_ref(), options)
}

pub(super) fn repack(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    mut options: FileOptions<'_>,
) -> Result<()> {
    let path = disk.resolve(path)?;
    let file = disk.open_locked(&path, Lock::Exclusive)?;
    let head = inline::read_head(&mut At::new(disk, &file, 0))?;
    let candidates = inline::candidates(&head)?;
    let current = cipher.verify_inline(&candidates)?;
    let length = options.block_length.unwrap_or(cipher.block_length());
    let header = current.verified.with_block_length(length)?;
    let block = blocks::write(&header, length)?;
    let in_file = |length: usize| u64::try_from(2 * length).map_err(|_| Malformed::BlockLength);
    let (from, to) = (in_file(candidates.block_length)?, in_file(length)?);
    let metadata = disk.metadata_of(&file)?;
    let payload = metadata.len().checked_sub(from).ok_or(Error::Truncated)?;
    let new = disk.new_file(&path)?;
    disk.write_checked_at(new.file()?, &[block.as_slice(), &block].concat(), 0)?;
    copy(
        disk,
        (&file, from),
        (new.file()?, to),
        payload,
        &mut |done| options.report(done, payload),
    )?;
    new.replace(&metadata)?;
    Ok(())
}
