//! Whether a plaintext is what a sealed file holds.

use std::fs::File;
use std::io::{self, Read, Write};

use phi_envelope::{
    Context, EnvelopeCipher, Error,
    files::{self, FileReport},
};
use zeroize::Zeroizing;

use super::share::Share;

/// Opens all of a sealed file, and compares it with a plaintext; none if they differ.
///
/// # Errors
/// Those of opening the sealed file. Where the two differ, the rest of it is not looked at.
pub(super) fn report_if_same(
    cipher: &EnvelopeCipher,
    (sealed, context): (File, &Context),
    plain: File,
    share: &Share<'_>,
) -> Result<Option<FileReport>, Error> {
    let mut compared = Compared {
        plain,
        buffer: Zeroizing::new(Vec::new()),
        differs: false,
    };
    let opened = files::decrypt_to(cipher, sealed, &mut compared, context, share.options());
    if compared.differs {
        return Ok(None);
    }
    let report = opened?;
    let is_same = compared.is_at_end()?;
    Ok(is_same.then_some(report))
}

/// A writer that takes what a file holds, and nothing else.
struct Compared {
    plain: File,
    buffer: Zeroizing<Vec<u8>>,
    differs: bool,
}

impl Compared {
    fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(read_up_to(&mut self.plain, &mut [0])? == 0)
    }
}

impl Write for Compared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() < bytes.len() {
            // Growing it would leave a copy behind.
            self.buffer = Zeroizing::new(vec![0; bytes.len()]);
        }
        let buffer = self.buffer.get_mut(..bytes.len());
        let buffer = buffer.ok_or(io::ErrorKind::InvalidInput)?;
        let read = read_up_to(&mut self.plain, buffer)?;
        if read < bytes.len() || buffer != bytes {
            self.differs = true;
            return Err(io::Error::other("the two differ"));
        }
        Ok(read)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fills a buffer, or as much of it as the source holds.
fn read_up_to(from: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
