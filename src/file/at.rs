//! A file at an offset as a `Read`.

use std::fs::File;
use std::io::{self, Read};

use crate::disk::Disk;

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
