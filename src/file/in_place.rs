//! Header blocks written over the old ones, in a file that nobody else may have changed.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use crate::disk::{Disk, Lock, may_not_be_written, named};
use crate::error::{Error, Malformed, Result};
use crate::floe::HEADER_LEN;

/// Opens and locks a stream, and tells whether it may be written to: if not, it is copied.
pub(super) fn open_to_change(disk: &Disk, path: &Path) -> Result<(File, Metadata, bool)> {
    let (opened, may_write) = match disk.open_locked_as(path, Lock::ToChange) {
        Err(error) if may_not_be_written(&error) => {
            (disk.open_locked_as(path, Lock::Exclusive), false)
        }
        opened => (opened, true),
    };
    let (file, metadata) = opened?;
    Ok((file, metadata, may_write))
}

/// A file whose header blocks are written in place.
///
/// A program that asks for no lock may write to the file or put another in its place. Right before each block is written, the whole
/// head is compared with what it should be: both blocks, and the first bytes of the payload, which no two payloads share.
pub(super) struct InPlace<'a> {
    disk: &'a Disk,
    path: &'a Path,
    file: &'a File,
    metadata: &'a Metadata,
    expected: Vec<u8>,
}

impl<'a> InPlace<'a> {
    /// The file of which the first bytes and the header blocks were read, with blocks of this length.
    pub(super) fn new(
        disk: &'a Disk,
        (path, file, metadata): (&'a Path, &'a File, &'a Metadata),
        (first, head): (Vec<u8>, &[u8]),
        length: usize,
    ) -> Result<Self> {
        let mut expected = first;
        if expected.len() != 2 * length + HEADER_LEN {
            expected.resize(2 * length + HEADER_LEN, 0);
            let read = disk.read_up_to_at(file, &mut expected, 0)?;
            expected.truncate(read);
        }
        let in_place = Self {
            disk,
            path,
            file,
            metadata,
            expected,
        };
        let known = head.len().min(2 * length);
        if in_place.expected.get(..known) != head.get(..known) {
            return Err(in_place.changed());
        }
        Ok(in_place)
    }

    /// Writes a block that was checked, makes it durable and reads it back: the same bytes. Where that fails, what was there is put back.
    pub(super) fn write(&mut self, block: &[u8], offset: usize) -> Result<()> {
        self.check()?;
        if let Err(error) = self.put(block, offset) {
            return Err(self.undo(block, offset, error));
        }
        let end = (offset + block.len()).max(self.expected.len());
        self.expected.resize(end, 0);
        if let Some(place) = self.expected.get_mut(offset..offset + block.len()) {
            place.copy_from_slice(block);
        }
        Ok(())
    }

    fn put(&self, block: &[u8], offset: usize) -> Result<()> {
        let at = u64::try_from(offset).map_err(|_| Malformed::BlockLength)?;
        self.disk.write_all_at(self.file, block, at)?;
        self.disk.sync(self.file)?;
        let mut read = vec![0; block.len()];
        self.disk.read_exact_at(self.file, &mut read, at)?;
        if read == block {
            return Ok(());
        }
        Err(Error::Io(named(
            self.path,
            io::ErrorKind::Other,
            "a header block reads back other than it was written",
        )))
    }

    /// Puts the old block back where the new one, or its beginning, stands; not over what another program has written there.
    fn undo(&self, block: &[u8], offset: usize, error: Error) -> Error {
        let end = (offset + block.len()).min(self.expected.len());
        let old = self.expected.get(offset..end).unwrap_or_default();
        let took_effect = |source| {
            let step = "putting an old header block back";
            Error::TookEffect { step, source }
        };
        let there = match self.read() {
            Ok(there) if there == self.expected => return error,
            Ok(there) => there,
            Err(Error::Io(source)) => return took_effect(source),
            Err(_) => return error,
        };
        let there = there.get(offset..end).unwrap_or_default();
        let written = there.iter().zip(block).take_while(|(l, r)| l == r).count();
        if there.get(written..) != old.get(written..) {
            return self.changed();
        }
        match self.put(old, offset) {
            // It reads as it did; that this is durable is no more than it was.
            Err(Error::Io(source)) if !self.read().is_ok_and(|now| now == self.expected) => {
                took_effect(source)
            }
            _ => error,
        }
    }

    fn read(&self) -> Result<Vec<u8>> {
        let mut there = vec![0; self.expected.len()];
        let len = self.disk.read_up_to_at(self.file, &mut there, 0)?;
        there.truncate(len);
        Ok(there)
    }

    fn check(&self) -> Result<()> {
        let is_named = self.disk.names(self.path, self.metadata)?;
        if is_named && self.read()? == self.expected {
            return Ok(());
        }
        Err(self.changed())
    }

    fn changed(&self) -> Error {
        Error::Io(named(
            self.path,
            io::ErrorKind::ResourceBusy,
            "another program has replaced or changed the file meanwhile; its version stays: try again",
        ))
    }
}
