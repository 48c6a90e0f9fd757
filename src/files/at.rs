//! A file at an offset as a `Read`, and the head of an inline stream.

use std::fs::File;
use std::io::{self, Read};

use crate::disk::Disk;
use crate::envelope::inline;
use crate::error::Result;
use crate::floe::HEADER_LEN;
use crate::format::limits::BLOCK_STEP;

/// The head of an inline stream, as one look saw it.
pub(super) struct StreamHead {
    /// Its header blocks.
    pub(super) blocks: Vec<u8>,
    /// The first bytes of the file: usually the blocks and the header of the payload.
    pub(super) first: Vec<u8>,
}

impl StreamHead {
    /// Reads it: at once where the blocks have the usual length.
    pub(super) fn read(disk: &Disk, file: &File) -> Result<Self> {
        let mut first = vec![0; 2 * BLOCK_STEP + HEADER_LEN];
        let read = disk.read_up_to_at(file, &mut first, 0)?;
        first.truncate(read);
        let rest = At::new(disk, file, read as u64);
        let blocks = inline::read_head(&mut first.as_slice().chain(rest))?;
        Ok(Self { blocks, first })
    }
}

/// A file as a `Read` from an offset, through the seam.
struct At<'a> {
    disk: &'a Disk,
    file: &'a File,
    offset: u64,
}

impl<'a> At<'a> {
    fn new(disk: &'a Disk, file: &'a File, offset: u64) -> Self {
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
