//! A file's header changed: in place where it has two blocks, by atomic replacement where not (FORMAT §7).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::disk::{Disk, Lock};
use crate::envelope::inline::{self, Current};
use crate::envelope::{Change, Context, EnvelopeCipher, check_change};
use crate::error::{Error, Malformed, Result};
use crate::format::blocks;
use crate::format::header::{Header, Kind};
use crate::format::limits::MAX_HEADER;
use crate::keys::KeyProvider;

/// Bytes that a record's payload has at least: IV and tag.
pub(super) const LEAST_PAYLOAD: usize = 28;
/// Bytes of a record's payload that are copied at once.
const COPY: usize = 1 << 18;

/// What a rewrap did to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rewrapped {
    /// The header was written anew.
    Done,
    /// There was nothing to do: not a byte was written.
    Current,
}

/// Moves a file's header to the current keys of its recipients, as [`EnvelopeCipher::rewrap`] does for bytes in memory. The
/// payload is never touched.
///
/// An inline stream's two header blocks are written in place, one after the other, under an exclusive lock, each read back: a
/// crash at any byte leaves one that opens, and the next rewrap repairs the other. A record and a detached header are replaced
/// atomically. Whatever the size of the file, it costs the same.
///
/// # Errors
/// Those of opening a header; [`Error::Io`]; [`Limit::HeaderBlock`](crate::Limit::HeaderBlock) where the new slots no longer fit the
/// blocks, and nothing changed.
///
/// ```no_run
/// # use phi_envelope::{EnvelopeCipher, KeyringFile, Passphrase, rewrap_file};
/// let file = KeyringFile::open("ehr.keyring", Passphrase::new("correct horse")?)?;
/// file.update(|keyring| keyring.rotate("ehr-2027"))?;
/// rewrap_file(&EnvelopeCipher::new(file.keyring()), "Patient.ndjson.phi")?;
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn rewrap_file(cipher: &EnvelopeCipher, path: impl AsRef<Path>) -> Result<Rewrapped> {
    change_file(&Disk::default(), cipher, path.as_ref(), Change::Rewrap)
}

/// Gives a recipient a slot in a file's header, as [`EnvelopeCipher::add_recipient`] does for bytes in memory.
///
/// # Errors
/// As there and as [`rewrap_file`].
pub fn add_recipient_file(
    cipher: &EnvelopeCipher,
    path: impl AsRef<Path>,
    recipient: &dyn KeyProvider,
    labels: &Context,
) -> Result<()> {
    let change = Change::Add(recipient, labels);
    change_file(&Disk::default(), cipher, path.as_ref(), change).map(drop)
}

/// Takes a recipient's slots out of a file's header, as [`EnvelopeCipher::remove_recipient`] does for bytes in memory.
///
/// # Errors
/// As there and as [`rewrap_file`].
pub fn remove_recipient_file(
    cipher: &EnvelopeCipher,
    path: impl AsRef<Path>,
    recipient: &dyn KeyProvider,
    labels: &Context,
) -> Result<()> {
    let change = Change::Remove(recipient, labels);
    change_file(&Disk::default(), cipher, path.as_ref(), change).map(drop)
}

/// Puts a slot of `new` in the place of `old`'s in a file's header, as [`EnvelopeCipher::replace_recipient`] does for bytes in
/// memory.
///
/// # Errors
/// As there and as [`rewrap_file`].
pub fn replace_recipient_file(
    cipher: &EnvelopeCipher,
    path: impl AsRef<Path>,
    old: &dyn KeyProvider,
    new: &dyn KeyProvider,
    labels: &Context,
) -> Result<()> {
    let change = Change::Replace(old, new, labels);
    change_file(&Disk::default(), cipher, path.as_ref(), change).map(drop)
}

pub(super) fn change_file(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    change: Change<'_>,
) -> Result<Rewrapped> {
    // A rename would replace a symbolic link and leave what it leads to as it was.
    let path = disk.resolve(path)?;
    let mut head = vec![0; MAX_HEADER];
    // Who can write the storage could put a pipe here, and have this wait for its other end.
    let file = disk.open_here(&path)?;
    let len = disk.read_up_to_at(&file, &mut head, 0)?;
    head.truncate(len);
    match Header::parse(&head) {
        Ok((header, _)) if header.kind() != Kind::StreamInline => {
            replace(disk, cipher, &path, change)
        }
        _ => change_in_place(disk, cipher, &path, change),
    }
}

// FORMAT §7, rewrap in place, steps 0 to 2.
fn change_in_place(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    change: Change<'_>,
) -> Result<Rewrapped> {
    let file = disk.open_locked(path, Lock::ToChange)?;
    let head = inline::read_head(&mut At::new(disk, &file, 0))?;
    let candidates = inline::candidates(&head)?;
    let Current {
        verified,
        is_second,
        ..
    } = cipher.verify_inline(&candidates)?;
    let length = candidates.block_length;
    let changed = cipher.changed_header(&verified, change).and_then(|header| {
        let Some(header) = header else {
            return Ok(None);
        };
        // Before a byte is written: a slot that does not give the data key back would be in the leading block.
        cipher.check_changed(&verified, &Header::parse(&header)?.0, change)?;
        blocks::write(&header, length).map(Some)
    });
    let (first, second) = (0, length);
    // Also where the change is refused, as one is that was half done when its process died: a slot that it took away may
    // stand in the other block.
    if !candidates.identical {
        let (good, other) = if is_second {
            (second, first)
        } else {
            (first, second)
        };
        let block = head.get(good..good + length).unwrap_or_default();
        write_block(disk, &file, block, other)?;
    }
    let Some(block) = changed? else {
        return Ok(if candidates.identical {
            Rewrapped::Current
        } else {
            Rewrapped::Done
        });
    };
    cipher.confirm_writers()?;
    write_block(disk, &file, &block, second)?;
    write_block(disk, &file, &block, first)?;
    Ok(Rewrapped::Done)
}

/// Writes a block that was checked, makes it durable and reads it back: the same bytes.
fn write_block(disk: &Disk, file: &File, block: &[u8], offset: usize) -> Result<()> {
    let offset = u64::try_from(offset).map_err(|_| Malformed::BlockLength)?;
    disk.write_all_at(file, block, offset)?;
    disk.sync(file)?;
    let mut read = vec![0; block.len()];
    disk.read_exact_at(file, &mut read, offset)?;
    if read == block {
        Ok(())
    } else {
        Err(Error::Io(io::Error::other(
            "a header block reads back other than it was written",
        )))
    }
}

/// Replaces a record or a detached header by one with another header and the same payload bytes.
fn replace(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    change: Change<'_>,
) -> Result<Rewrapped> {
    let file = disk.open_locked(path, Lock::Exclusive)?;
    let metadata = disk.metadata_of(&file)?;
    let mut head = vec![0; MAX_HEADER];
    let len = disk.read_up_to_at(&file, &mut head, 0)?;
    head.truncate(len);
    let (header, _) = Header::parse(&head)?;
    let header_len = u64::try_from(header.bytes().len()).map_err(|_| Malformed::HeaderLength)?;
    let payload = metadata.len().saturating_sub(header_len);
    match header.kind() {
        kind if kind.is_record_like() && payload < LEAST_PAYLOAD as u64 => {
            return Err(Error::Truncated);
        }
        Kind::StreamDetached if payload > 0 => return Err(Malformed::TrailingBytes.into()),
        // It was replaced by one since its kind was looked at.
        Kind::StreamInline => return Err(header.other_kind(Kind::Record)),
        _ => {}
    }
    check_change(&header, change)?;
    let verified = cipher.verify_header(header)?;
    let Some(changed) = cipher.changed_header(&verified, change)? else {
        return Ok(Rewrapped::Current);
    };
    let (written, _) = Header::parse(&changed)?;
    cipher.check_changed(&verified, &written, change)?;
    let new = disk.new_file(path)?;
    disk.write_checked_at(new.file()?, &changed, 0)?;
    let to = u64::try_from(changed.len()).map_err(|_| Malformed::HeaderLength)?;
    let to = (new.file()?, to);
    copy(disk, (&file, header_len), to, payload, &mut |_| Ok(()))?;
    new.replace(&metadata)?;
    Ok(Rewrapped::Done)
}

/// Copies `len` bytes from one file and offset to another, and tells how many are done.
pub(super) fn copy(
    disk: &Disk,
    (from, from_at): (&File, u64),
    (to, to_at): (&File, u64),
    len: u64,
    tell: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; COPY];
    let mut done = 0;
    while done < len {
        let now = usize::try_from(len - done).map_or(COPY, |left| left.min(COPY));
        let buffer = buffer.get_mut(..now).unwrap_or_default();
        disk.read_exact_at(from, buffer, from_at + done)?;
        disk.write_checked_at(to, buffer, to_at + done)?;
        done += u64::try_from(now).map_err(|_| Error::Truncated)?;
        tell(done)?;
    }
    Ok(())
}

/// A file as a `Read` from an offset, through the seam.
pub(super) struct At<'a> {
    disk: &'a Disk,
    file: &'a File,
    offset: u64,
}

impl<'a> At<'a> {
    pub(super) fn new(disk: &'a Disk, file: &'a File, offset: u64) -> Self {
        Self { disk, file, offset }
    }
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.disk.read_up_to_at(self.file, buffer, self.offset)?;
        self.offset += u64::try_from(read).map_err(io::Error::other)?;
        Ok(read)
    }
}
