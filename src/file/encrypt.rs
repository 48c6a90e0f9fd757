//! A plain file sealed into another.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::path::Path;

use super::options::FileOptions;
use super::runs;
use crate::disk::{Disk, NewFile, same_file};
use crate::envelope::{Context, EnvelopeCipher, HeaderDamage};
use crate::error::{Error, Malformed, Result};
use crate::floe::{self, Layout, Sealer, SegmentLength, Threads};
use crate::format::blocks;
use crate::format::header::Kind;

/// Bytes of a pipe that are read at once.
const PIPED: usize = 1 << 18;

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileReport {
    /// Bytes of plaintext.
    pub plaintext_bytes: u64,
    /// What is wrong with the header blocks of the file that was read, where it opened all the same.
    pub header_damage: Option<HeaderDamage>,
}

/// Seals a file into another, on all cores and in bounded memory.
///
/// `output` appears under its name when it is whole and durable, with the permissions of `input`; it is not replaced unless the
/// options say so. A pipe works as `input` too.
///
/// # Errors
/// [`Error::Io`], also where `output` exists or is `input`; what a provider reports; [`Error::Cancelled`].
/// Nothing is left behind with any of them.
///
/// ```no_run
/// use phi_envelope::{Context, EnvelopeCipher, FileOptions, KeyringFile, Passphrase, encrypt_file};
///
/// let file = KeyringFile::open("ehr.keyring", Passphrase::new("correct horse")?)?;
/// let cipher = EnvelopeCipher::new(file.keyring());
/// let context = Context::new().bind("export", "42")?;
/// encrypt_file(&cipher, "Patient.ndjson", "Patient.ndjson.phi", &context, FileOptions::new())?;
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn encrypt_file(
    cipher: &EnvelopeCipher,
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    let (input, output) = (input.as_ref(), output.as_ref());
    encrypt(&Disk::default(), cipher, input, output, context, options)
}

pub(super) fn encrypt(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    input: &Path,
    output: &Path,
    context: &Context,
    mut options: FileOptions<'_>,
) -> Result<FileReport> {
    let file = disk.open(input)?;
    let metadata = disk.metadata_of(&file)?;
    if metadata.is_dir() {
        return Err(Error::Io(io::ErrorKind::IsADirectory.into()));
    }
    let header_path = options.detached_header.clone();
    if header_path.is_some() && options.overwrite {
        return Err(Error::Misuse(
            "a detached header and its payload cannot be replaced at one stroke",
        ));
    }
    let new = disk.new_file(output)?;
    // Once what a dead writer left is gone.
    refuse_output(disk, &[&metadata], output, options.overwrite)?;
    if let Some(path) = &header_path {
        refuse_output(disk, &[&metadata], path, false)?;
    }
    let (header, message) = begin(disk, cipher, &new, context, &options)?;
    let is_detached = header_path.is_some();
    let plaintext_bytes = if metadata.is_file() {
        let len = metadata.len();
        message.seal(len, &mut options, |buffer, offset, _| {
            match disk.read_up_to_at(&file, buffer, offset)? {
                read if read == buffer.len() => Ok(()),
                _ => Err(changed_while_read()),
            }
        })?;
        if disk.metadata_of(&file)?.len() != len {
            return Err(changed_while_read());
        }
        len
    } else {
        message.seal_piped(disk.reader(&file), &mut options)?
    };
    let header = bring_up_to_date(
        cipher,
        header,
        (!is_detached).then_some((disk, new.file()?)),
    )?;
    let permissions = metadata.is_file().then(|| metadata.permissions());
    if let Some(path) = header_path {
        publish_detached(disk, (&path, &header), (output, new), permissions)?;
    } else if options.overwrite {
        new.overwrite(permissions)?;
    } else {
        new.publish(permissions, false)?;
    }
    Ok(FileReport {
        plaintext_bytes,
        header_damage: None,
    })
}

/// Publishes the header, then the payload: where there is a payload, there is its header.
fn publish_detached(
    disk: &Disk,
    (header_path, header): (&Path, &[u8]),
    (output, payload): (&Path, NewFile),
    permissions: Option<Permissions>,
) -> Result<()> {
    let new = disk.new_file(header_path)?;
    disk.write_checked_at(new.file()?, header, 0)?;
    let header_file = disk.metadata_of(new.file()?)?;
    let payload_file = disk.metadata_of(payload.file()?)?;
    let published = new
        .publish(permissions.clone(), false)
        .and_then(|_locked| payload.publish(permissions, false));
    if published.is_err() {
        // Either has its name all the same where only making that durable failed.
        let no_payload = match disk.metadata(output) {
            Ok(there) => !same_file(&there, &payload_file),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if no_payload
            && disk
                .metadata(header_path)
                .is_ok_and(|there| same_file(&there, &header_file))
        {
            let _ = disk.remove(header_path);
        }
    }
    published?;
    Ok(())
}

/// A message on its way into a new file.
pub(super) struct NewMessage<'a> {
    disk: &'a Disk,
    file: &'a File,
    key: floe::Key,
    aad: Vec<u8>,
    at: u64,
    length: SegmentLength,
    is_read_back: bool,
}

/// Writes the header blocks of a new file where the header is not to stand apart, and returns the header.
pub(super) fn begin<'a>(
    disk: &'a Disk,
    cipher: &EnvelopeCipher,
    new: &'a NewFile,
    context: &Context,
    options: &FileOptions<'_>,
) -> Result<(Vec<u8>, NewMessage<'a>)> {
    let file = new.file()?;
    let length = options.segment_length.unwrap_or(cipher.segment_length());
    let detached = options.detached_header.is_some();
    let block_length = options.block_length.unwrap_or(cipher.block_length());
    let (kind, stated) = if detached {
        (Kind::StreamDetached, 0)
    } else {
        (Kind::StreamInline, block_length)
    };
    let stated = u32::try_from(stated).map_err(|_| Malformed::BlockLength)?;
    let (header, key, aad) = cipher.begin_stream(kind, stated, context)?;
    let at = if detached {
        0
    } else {
        write_blocks(disk, file, &header)?
    };
    let message = NewMessage {
        disk,
        file,
        key,
        aad,
        at,
        length,
        is_read_back: false,
    };
    Ok((header, message))
}

/// Writes a header into both header blocks of a new file, and returns where its payload begins.
fn write_blocks(disk: &Disk, file: &File, header: &[u8]) -> Result<u64> {
    let length = blocks::stated_length(header).ok_or(Malformed::BlockLength)?;
    let block = blocks::write(header, length)?;
    disk.write_checked_at(file, &[block.as_slice(), &block].concat(), 0)?;
    Ok(u64::try_from(2 * length).map_err(|_| Malformed::BlockLength)?)
}

/// The header of a new file whose payload is sealed; written again, into the file where it has blocks, if a key was rotated away from
/// meanwhile. A file that has no name yet is met by no scan for what is under the old key.
pub(super) fn bring_up_to_date(
    cipher: &EnvelopeCipher,
    header: Vec<u8>,
    blocks: Option<(&Disk, &File)>,
) -> Result<Vec<u8>> {
    let Some(header_now) = cipher.brought_up_to_date(&header)? else {
        return Ok(header);
    };
    if let Some((disk, file)) = blocks {
        write_blocks(disk, file, &header_now)?;
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
            self.disk.write_checked_at(self.file, bytes, at)?;
        } else {
            self.disk.write_all_at(self.file, bytes, at)?;
        }
        Ok(())
    }

    /// Seals `len` bytes of plaintext, which `read` brings by their offset, on several threads.
    pub(super) fn seal(
        &self,
        len: u64,
        options: &mut FileOptions<'_>,
        read: impl Fn(&mut [u8], u64, &mut runs::Buffers) -> Result<()> + Sync,
    ) -> Result<()> {
        let layout = Layout::of_plaintext(self.length, len)?;
        let sealer = Sealer::new(&self.key, &self.aad, self.length)?;
        self.write(sealer.header(), self.at)?;
        runs::for_each(&layout, self.length, options, |run, buffers| {
            buffers.resize_plain(run.len);
            let mut plain = std::mem::take(&mut buffers.plain);
            read(&mut plain, run.offset, buffers)?;
            let segments = run.len.div_ceil(self.length.plain_len()).max(1);
            let mut sealed = std::mem::take(&mut buffers.sealed);
            sealed.resize(run.len + 32 * segments, 0);
            let pieces = plain.chunks(self.length.plain_len());
            sealer.seal(run.position, pieces, run.ends, &mut sealed, Threads::One)?;
            let at = self.at.saturating_add(layout.offset(run.position));
            self.write(&sealed, at)?;
            self.disk.write_behind(self.file, at, sealed.len());
            (buffers.plain, buffers.sealed) = (plain, sealed);
            Ok(())
        })
    }

    /// Seals what comes out of something without a length, and returns how much it was.
    fn seal_piped(&self, mut input: impl Read, options: &mut FileOptions<'_>) -> Result<u64> {
        let out = Appender {
            disk: self.disk,
            file: self.file,
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
            options.report(done, 0)?;
        }
        writer.finish()?;
        Ok(done)
    }
}

/// A new file as a `Write`, through the seam.
struct Appender<'a> {
    disk: &'a Disk,
    file: &'a File,
    at: u64,
}

impl Write for Appender<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.write_all_at(self.file, bytes, self.at)?;
        self.at = self.at.saturating_add(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn changed_while_read() -> Error {
    Error::Io(io::Error::other(
        "the input changed its length while it was read",
    ))
}

/// Refuses an output that is one of the inputs, that is no file, or that is there and is not to be replaced.
pub(super) fn refuse_output(
    disk: &Disk,
    inputs: &[&Metadata],
    output: &Path,
    overwrite: bool,
) -> Result<()> {
    let refused = |kind, why: &str| Err(Error::Io(io::Error::new(kind, why)));
    match disk.metadata(output) {
        Ok(there) if inputs.iter().any(|input| same_file(input, &there)) => refused(
            io::ErrorKind::InvalidInput,
            "input and output are the same file",
        ),
        Ok(_) if !overwrite => refused(
            io::ErrorKind::AlreadyExists,
            "the output exists and is not to be overwritten",
        ),
        Ok(there) if !there.is_file() => refused(
            io::ErrorKind::InvalidInput,
            "the output is there and is no file",
        ),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
