//! Header blocks written over the old ones, in a file that nobody else may have changed.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use crate::disk::{Disk, Lock, may_not_be_written, named};
use crate::error::{Error, Malformed, Result};
use crate::floe::HEADER_LEN;

/// What is left to do when the new header is in one block alone.
const OTHER_BLOCK: &str =
    "writing the other of its two header blocks, which its old keys open until that is done again,";

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

    /// Writes a block that is current already over the other one, on which nothing depends.
    pub(super) fn repair(&mut self, block: &[u8], offset: usize) -> Result<()> {
        self.check()?;
        self.put(block, offset)
    }

    /// Writes a new block over both, the one at `second` first. `may` is asked right before each.
    ///
    /// An error that is no [`Error::TookEffect`] leaves the old header in force.
    pub(super) fn write_both(
        &mut self,
        block: &[u8],
        (first, second): (usize, usize),
        may: impl Fn() -> Result<()>,
    ) -> Result<()> {
        may()?;
        self.check()?;
        let was = self.at(second, block.len());
        if let Err(error) = self.put(block, second) {
            self.give_back(&was, block, second)?;
            return Err(error);
        }
        match may().and_then(|()| self.check()) {
            Ok(()) => {}
            // The other program's version is not touched.
            Err(error) if is_busy(&error) => return Err(error),
            Err(error) => {
                self.give_back(&was, block, second)?;
                return Err(error);
            }
        }
        // From here on there is no way back: the old header may be damaged, and the new one must stay.
        self.put(block, first)
            .map_err(|error| took_effect(OTHER_BLOCK, error))
    }

    /// Puts back what was there before a block that could not be written, as far as that can be done: the other block is whole.
    fn give_back(&mut self, was: &[u8], block: &[u8], offset: usize) -> Result<()> {
        // What neither was there nor is new is another program's version, which stays.
        let there = self.there(offset, block.len());
        let there = there.unwrap_or_else(|_| was.to_vec());
        let mut bytes = there.iter().zip(was.iter().zip(block));
        if !bytes.all(|(there, (was, new))| [was, new].contains(&there)) {
            return Ok(());
        }
        let Err(error) = self.put(was, offset) else {
            return Ok(());
        };
        if self
            .there(offset, block.len())
            .is_ok_and(|there| there == block)
        {
            return Err(took_effect("making that durable", error));
        }
        let error = io::Error::from(error);
        let what = format!(
            "the new header could not be written, and its place could not be restored for certain; the old header holds: to do it again repairs the file ({error})"
        );
        Err(Error::Io(named(self.path, error.kind(), &what)))
    }

    fn there(&self, offset: usize, len: usize) -> Result<Vec<u8>> {
        let at = u64::try_from(offset).map_err(|_| Malformed::BlockLength)?;
        let mut there = vec![0; len];
        self.disk.read_exact_at(self.file, &mut there, at)?;
        Ok(there)
    }

    /// What is known to be at an offset.
    fn at(&self, offset: usize, len: usize) -> Vec<u8> {
        let known = self.expected.get(offset..).unwrap_or_default();
        known.iter().take(len).copied().collect()
    }

    /// Writes a block that was checked, makes it durable and reads it back: the same bytes.
    fn put(&mut self, block: &[u8], offset: usize) -> Result<()> {
        let at = u64::try_from(offset).map_err(|_| Malformed::BlockLength)?;
        self.disk.write_all_at(self.file, block, at)?;
        self.disk.sync(self.file)?;
        if self.there(offset, block.len())? != block {
            return Err(Error::Io(named(
                self.path,
                io::ErrorKind::Other,
                "a header block reads back other than it was written",
            )));
        }
        let end = (offset + block.len()).max(self.expected.len());
        self.expected.resize(end, 0);
        if let Some(place) = self.expected.get_mut(offset..offset + block.len()) {
            place.copy_from_slice(block);
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let mut there = vec![0; self.expected.len()];
        let is_named = self.disk.names(self.path, self.metadata)?;
        let len = self.disk.read_up_to_at(self.file, &mut there, 0)?;
        if is_named && len == there.len() && there == self.expected {
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

fn is_busy(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::ResourceBusy)
}

fn took_effect(step: &'static str, error: Error) -> Error {
    let source = error.into();
    Error::TookEffect { step, source }
}
