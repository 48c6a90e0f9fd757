//! A message on its way into a new file: its header blocks, and its segments in parallel or as they come.

use std::io::{self, Read, Write};

use super::options::FileOptions;
use super::parallel;
use crate::disk::NewFile;
use crate::envelope::{Context, EnvelopeCipher};
use crate::error::{Malformed, Result};
use crate::floe::{self, Layout, Sealer, SegmentLength, Threads};
use crate::format::header::{EnvelopeKind, Header};
use crate::format::{blocks, payload_head};
use crate::memory;

/// Bytes of a pipe that are read at once.
const PIPED: usize = 1 << 18;

/// A message on its way into a new file.
pub(super) struct NewMessage<'a> {
    new: &'a NewFile,
    key: floe::Key,
    aad: Vec<u8>,
    at: u64,
    length: SegmentLength,
    is_read_back: bool,
}

/// Writes the header blocks of a new file where the header is not to stand apart, and returns the header.
pub(super) fn begin<'a>(
    cipher: &EnvelopeCipher,
    new: &'a NewFile,
    context: &Context,
    options: &FileOptions<'_>,
) -> Result<(Vec<u8>, NewMessage<'a>)> {
    let length = options.segment_length.unwrap_or(cipher.segment_length());
    let detached = options.detached_header.is_some();
    let block_length = options.block_length.unwrap_or(cipher.block_length());
    let (kind, stated) = if detached {
        (EnvelopeKind::StreamDetached, 0)
    } else {
        (EnvelopeKind::StreamInline, block_length)
    };
    let stated = u32::try_from(stated).map_err(|_| Malformed::BlockLength)?;
    let (header, key, aad) = cipher.begin_stream(kind, stated, context)?;
    let at = if detached {
        write_payload_head(new, &header)?
    } else {
        write_blocks(new, &header)?
    };
    let message = NewMessage {
        new,
        key,
        aad,
        at,
        length,
        is_read_back: false,
    };
    Ok((header, message))
}

// FORMAT §2: "PHIP" ‖ 0x01 ‖ 0x03 ‖ 0x00 ‖ 0x00 ‖ message id[16], and then the FLOE message.
/// Writes the head of a detached payload, which names its header, and returns where the FLOE message begins.
fn write_payload_head(new: &NewFile, header: &[u8]) -> Result<u64> {
    let (header, _) = Header::parse(header)?;
    let head = payload_head::write(header.message_id());
    new.write(&head, 0)?;
    Ok(head.len() as u64)
}

/// Writes a header into both header blocks of a new file, and returns where its payload begins.
fn write_blocks(new: &NewFile, header: &[u8]) -> Result<u64> {
    let length = blocks::stated_length(header).ok_or(Malformed::BlockLength)?;
    let block = blocks::write(header, length)?;
    new.write(&[block.as_slice(), &block].concat(), 0)?;
    Ok(u64::try_from(2 * length).map_err(|_| Malformed::BlockLength)?)
}

/// The header of a new file whose payload is sealed; written again, into the file where it has blocks, if a key was rotated away from
/// meanwhile. A file that has no name yet is met by no scan for what is under the old key.
pub(super) fn bring_up_to_date(
    cipher: &EnvelopeCipher,
    header: Vec<u8>,
    blocks: Option<&NewFile>,
) -> Result<Vec<u8>> {
    // A keyring that cannot be confirmed may have lost the key that this header is under.
    cipher.confirm_writers()?;
    let Some(header_now) = cipher.brought_up_to_date(&header)? else {
        return Ok(header);
    };
    if let Some(new) = blocks {
        write_blocks(new, &header_now)?;
    }
    Ok(header_now)
}

impl NewMessage<'_> {
    /// Reads back what it writes: where the old file goes when the new one is there, a write that did not happen loses both.
    pub(super) fn read_back(mut self) -> Self {
        self.is_read_back = true;
        self
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        if self.is_read_back {
            self.new.write(bytes, at)?;
        } else {
            self.new.write_unchecked(bytes, at)?;
        }
        Ok(())
    }

    /// Seals `len` bytes of plaintext, which `read` brings by their offset, on several threads.
    pub(super) fn seal(
        &self,
        len: u64,
        options: &mut FileOptions<'_>,
        read: impl Fn(&mut [u8], u64, &mut parallel::Buffers) -> Result<()> + Sync,
    ) -> Result<()> {
        let layout = Layout::of_plaintext(self.length, len)?;
        let sealer = Sealer::new(&self.key, &self.aad, self.length)?;
        self.write(sealer.header(), self.at)?;
        parallel::for_each(&layout, self.length, options, |run, buffers| {
            buffers.resize_plain(run.len)?;
            let mut plain = std::mem::take(&mut buffers.plain);
            read(&mut plain, run.offset, buffers)?;
            let segments = run.len.div_ceil(self.length.plain_len()).max(1);
            let mut sealed = std::mem::take(&mut buffers.sealed);
            memory::resize(&mut sealed, run.len + 32 * segments)?;
            let pieces = plain.chunks(self.length.plain_len());
            sealer.seal(run.position, pieces, run.ends, &mut sealed, Threads::One)?;
            let at = self.at.saturating_add(layout.offset(run.position));
            self.write(&sealed, at)?;
            self.new.write_behind(at, sealed.len());
            (buffers.plain, buffers.sealed) = (plain, sealed);
            Ok(())
        })
    }

    /// Seals what comes out of something without a length, and returns how much it was. `total` is what is believed to come, 0 where
    /// nobody knows.
    pub(super) fn seal_piped(
        &self,
        mut input: impl Read,
        total: u64,
        options: &mut FileOptions<'_>,
    ) -> Result<u64> {
        let out = Appender {
            new: self.new,
            at: self.at,
        };
        let mut writer = floe::Writer::new(out, &self.key, &self.aad, self.length)?;
        let mut buffer = zeroize::Zeroizing::new(vec![0; PIPED]);
        let mut done = 0_u64;
        loop {
            let read = match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            writer.write_all(buffer.get(..read).unwrap_or_default())?;
            done = done.saturating_add(read as u64);
            options.report(done, total)?;
        }
        writer.finish()?;
        Ok(done)
    }
}

/// A new file as a `Write`, through the seam.
struct Appender<'a> {
    new: &'a NewFile,
    at: u64,
}

impl Write for Appender<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.new.write_unchecked(bytes, self.at)?;
        self.at = self.at.saturating_add(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
