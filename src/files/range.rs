//! Ranges out of a sealed file.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::options::FileOptions;
use super::parallel::Buffers;
use super::reader::Sealed;
use crate::disk::in_file;
use crate::envelope::{Context, EnvelopeCipher, HeaderDamage};
use crate::error::{Error, Result};

/// Opens a sealed file for reading at any place, without reading the rest.
///
/// Of the options, only the detached header matters.
///
/// # Errors
/// Those of opening a header and of authenticating the last segment, and [`Error::Io`].
///
/// ```no_run
/// # use phi_envelope::{Context, EnvelopeCipher, Keyring, files::{self, FileOptions}};
/// # let cipher = EnvelopeCipher::new(Keyring::generate("doc")?);
/// let context = Context::new().bind("export", "42")?;
/// let file = files::open(&cipher, "Patient.ndjson.phi", &context, FileOptions::new())?;
/// let mut line = [0; 200];
/// let read = file.read_at(&mut line, 1000)?;
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn open(
    cipher: &EnvelopeCipher,
    path: impl AsRef<Path>,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<SealedFile> {
    let header = options.detached_header.as_deref();
    let path = path.as_ref();
    let sealed = Sealed::open(&options.disk(), cipher, path, header, context);
    let sealed = sealed.map_err(in_file(path))?;
    Ok(SealedFile {
        sealed,
        position: 0,
        spare: Mutex::default(),
    })
}

/// A sealed file, read at any place; made by [`files::open`](crate::files::open).
///
/// [`read_at`](Self::read_at) serves many threads at once. It is also a [`Read`] and a [`Seek`] with a position of its own.
#[derive(Debug)]
pub struct SealedFile {
    sealed: Sealed,
    position: u64,
    /// Buffers that no thread uses now.
    spare: Mutex<Vec<Buffers>>,
}

impl SealedFile {
    /// Bytes of the plaintext; its end was authenticated.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // a file's length, as in std::fs::Metadata
    pub fn len(&self) -> u64 {
        self.sealed.len()
    }

    /// Fills `out` with plaintext from `offset` on and returns how much that is: less than `out` only at the end.
    ///
    /// Opens the segments that the range touches, and no others.
    ///
    /// # Errors
    /// [`Error::AuthenticationFailed`] where a segment was changed, [`Error::Io`]. `out` then holds nothing of that segment.
    pub fn read_at(&self, out: &mut [u8], offset: u64) -> Result<usize> {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffers = spare().pop().unwrap_or_default();
        let read = self.sealed.read_at(out, offset, &mut buffers)?;
        spare().push(buffers);
        Ok(read)
    }

    /// What is wrong with the file's header blocks, where it opened all the same.
    #[must_use]
    pub fn header_damage(&self) -> Option<HeaderDamage> {
        self.sealed.damage()
    }
}

impl Read for SealedFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.read_at(out, self.position)?;
        self.position = self.position.saturating_add(read as u64);
        Ok(read)
    }
}

impl Seek for SealedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or(Error::Io(io::ErrorKind::InvalidInput.into()))?;
        Ok(self.position)
    }
}
