//! A sealed file opened into another, or verified.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::encrypt::{FileReport, Input};
use super::options::FileOptions;
use super::output::refuse_output;
use super::parallel;
use super::reader::{Sealed, read_detached_header};
use crate::disk::{Disk, NewFile, NotKept, in_file};
use crate::envelope::{Context, DecryptReader, EnvelopeCipher};
use crate::error::{Error, Result};

/// Bytes of a pipe's plaintext that are written at once.
const PIPED: usize = 1 << 18;

/// Opens a sealed file into another, on all cores and in bounded memory.
///
/// `output` appears under its name, with mode 0600, only when all of it was authenticated; until then its plaintext has no name
/// where the system can do so. It is not replaced unless the options say so. A pipe works as `input` too.
///
/// # Errors
/// Those of opening a header and a stream; [`Error::Io`], also where `output` exists or is `input`; [`Error::Cancelled`]. Nothing
/// is left behind with any of them.
///
/// ```no_run
/// # use phi_envelope::{Context, EnvelopeCipher, Keyring, files::{self, FileOptions}};
/// # let cipher = EnvelopeCipher::new(Keyring::generate("doc")?);
/// let context = Context::new().bind("export", "42")?;
/// files::decrypt(&cipher, "Patient.ndjson.phi", "Patient.ndjson", &context, FileOptions::new())?;
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn decrypt(
    cipher: &EnvelopeCipher,
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    let (input, output) = (input.as_ref(), output.as_ref());
    decrypt_on(&options.disk(), cipher, input, output, context, options)
}

/// Authenticates all of a sealed file and writes nothing.
///
/// # Errors
/// As [`files::decrypt`](crate::files::decrypt), without those of the output.
pub fn verify(
    cipher: &EnvelopeCipher,
    path: impl AsRef<Path>,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    verify_on(&options.disk(), cipher, path.as_ref(), context, options)
}

/// Opens what is read from an open file, from where it stands, into another: [`files::decrypt`](crate::files::decrypt) for a file, a pipe or a socket that this
/// process holds already, and may be unable to open by a name.
///
/// The position of `input` is not what it was afterwards.
///
/// # Errors
/// As [`files::decrypt`](crate::files::decrypt).
pub fn decrypt_from(
    cipher: &EnvelopeCipher,
    input: &File,
    output: impl AsRef<Path>,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    let disk = options.disk();
    let input = Input::Open(input, None);
    open_into(&disk, cipher, input, output.as_ref(), context, options)
}

/// Opens what a reader gives into a file: [`files::decrypt`](crate::files::decrypt) for bytes that come from anywhere.
///
/// # Errors
/// As [`files::decrypt`](crate::files::decrypt), and what the reader reports.
pub fn decrypt_read(
    cipher: &EnvelopeCipher,
    mut input: impl Read,
    output: impl AsRef<Path>,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    let disk = options.disk();
    let input = Input::Flow(&mut input);
    open_into(&disk, cipher, input, output.as_ref(), context, options)
}

/// Opens what a reader gives into a writer, segment by segment. **What was written is authentic and may lack its end**: only where this
/// returns without an error it is whole. [`files::decrypt`](crate::files::decrypt) and its siblings leave nothing otherwise.
///
/// # Errors
/// As [`files::decrypt`](crate::files::decrypt), and what the writer reports.
pub fn decrypt_to(
    cipher: &EnvelopeCipher,
    input: impl Read,
    mut output: impl Write,
    context: &Context,
    mut options: FileOptions<'_>,
) -> Result<FileReport> {
    let header = match options.detached_header.take() {
        Some(path) => Some(read_detached_header(&options.disk(), &path)?),
        None => None,
    };
    let mut write = |bytes: &[u8], _| output.write_all(bytes).map_err(Error::from);
    let report = flow(
        cipher,
        input,
        header.as_deref(),
        context,
        &mut options,
        &mut write,
    )?;
    output.flush()?;
    Ok(report)
}

pub(super) fn decrypt_on(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    input: &Path,
    output: &Path,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    let file = disk.open(input)?;
    let opened = Input::Open(&file, Some(input));
    open_into(disk, cipher, opened, output, context, options).map_err(in_file(input))
}

fn open_into(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    input: Input<'_>,
    output: &Path,
    context: &Context,
    mut options: FileOptions<'_>,
) -> Result<FileReport> {
    let header = options.detached_header.take();
    let there = input.metadata(disk)?;
    let mut inputs: Vec<_> = there.iter().cloned().collect();
    if let Some(header) = &header {
        inputs.push(disk.metadata(header)?);
    }
    let name = output;
    let output = disk.resolve_output(name)?;
    let new = disk.new_file(&output)?;
    // Once what a dead writer left is gone.
    refuse_output(disk, &inputs, (&output, name), options.overwrite)?;
    // A file whose length is stated as nothing may be one that a service makes as it is read.
    let measured = there.as_ref().is_some_and(|of| of.len() > 0);
    let report = match input.whole_file(there.as_ref())?.filter(|_| measured) {
        Some(file) => {
            let sealed = Sealed::of(disk, cipher, file.try_clone()?, header.as_deref(), context)?;
            open_all(&sealed, &mut options, |offset, plain| {
                new.write_unchecked(plain, offset)?;
                new.write_behind(offset, plain.len());
                Ok(())
            })?;
            report(&sealed)
        }
        None => {
            let header = match header {
                Some(path) => Some(read_detached_header(disk, &path)?),
                None => None,
            };
            let mut write = |bytes: &[u8], at| Ok(new.write_unchecked(bytes, at)?);
            let header = header.as_deref();
            match input {
                Input::Open(file, path) => {
                    let reader = disk.reader(file).named(path);
                    flow(cipher, reader, header, context, &mut options, &mut write)?
                }
                Input::Flow(input) => {
                    flow(cipher, input, header, context, &mut options, &mut write)?
                }
            }
        }
    };
    let not_kept = finish(new, &options)?;
    Ok(FileReport { not_kept, ..report })
}

pub(super) fn verify_on(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    context: &Context,
    mut options: FileOptions<'_>,
) -> Result<FileReport> {
    let header = options.detached_header.take();
    let mut verify = || {
        let sealed = Sealed::open(disk, cipher, path, header.as_deref(), context)?;
        open_all(&sealed, &mut options, |_, _| Ok(()))?;
        Ok(report(&sealed))
    };
    verify().map_err(in_file(path))
}

/// Opens a stream from its start to its end, and gives its plaintext to `write` with its offset.
fn flow(
    cipher: &EnvelopeCipher,
    input: impl Read,
    header: Option<&[u8]>,
    context: &Context,
    options: &mut FileOptions<'_>,
    write: &mut dyn FnMut(&[u8], u64) -> Result<()>,
) -> Result<FileReport> {
    let mut reader: DecryptReader<_> = match header {
        None => cipher.decrypt_reader(input, context)?,
        Some(header) => cipher.decrypt_reader_detached(header, input, context)?,
    };
    if options.thread_count() == 1 {
        reader = reader.single_threaded();
    }
    let mut buffer = Zeroizing::new(vec![0; PIPED]);
    let mut done = 0_u64;
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        write(buffer.get(..read).unwrap_or_default(), done)?;
        done = done.saturating_add(read as u64);
        options.report(done, 0)?;
    }
    Ok(FileReport {
        plaintext_bytes: done,
        header_damage: reader.header_damage(),
        not_kept: NotKept::default(),
    })
}

/// Opens all segments on several threads and hands out their plaintext with its offset, in no order.
fn open_all(
    sealed: &Sealed,
    options: &mut FileOptions<'_>,
    take: impl Fn(u64, &[u8]) -> Result<()> + Sync,
) -> Result<()> {
    let length = sealed.segment_length();
    parallel::for_each(sealed.layout(), length, options, |run, buffers| {
        buffers.resize_plain(run.len)?;
        let mut plain = std::mem::take(&mut buffers.plain);
        sealed.read_at(&mut plain, run.offset, buffers)?;
        take(run.offset, &plain)?;
        buffers.plain = plain;
        Ok(())
    })
}

/// Gives the output its name.
fn finish(new: NewFile, options: &FileOptions<'_>) -> Result<NotKept> {
    Ok(new.publish(None, options.overwrite)?.not_kept)
}

pub(super) fn report(sealed: &Sealed) -> FileReport {
    FileReport {
        plaintext_bytes: sealed.len(),
        header_damage: sealed.damage(),
        not_kept: NotKept::default(),
    }
}
