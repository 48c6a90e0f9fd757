//! What is open, read from where it stands.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::{Call, Disk, of_file};

impl Disk {
    /// A file or a pipe as a `Read` from where it stands.
    pub(crate) fn reader<'a>(&'a self, file: &'a File) -> Reader<'a> {
        Reader {
            disk: self,
            file,
            path: None,
        }
    }
}

/// A file or a pipe, read through the seam from where it stands.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    disk: &'a Disk,
    file: &'a File,
    path: Option<&'a Path>,
}

impl<'a> Reader<'a> {
    /// With the name that its errors are to say.
    pub(crate) fn named(mut self, path: Option<&'a Path>) -> Self {
        self.path = path;
        self
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut file = self.file;
        let read = self.disk.transfer(Call::Read, buffer.len(), |len| {
            file.read(buffer.get_mut(..len).unwrap_or_default())
        });
        read.map_err(|error| match self.path {
            Some(path) => of_file(path, error),
            None => error,
        })
    }
}
