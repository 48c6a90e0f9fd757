//! A sealed file opened into another, verified, or sealed anew.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::change::LEAST_PAYLOAD;
use super::encrypt::{FileReport, begin, bring_up_to_date, refuse_output};
use super::head::Head;
use super::options::FileOptions;
use super::runs;
use super::sealed::Sealed;
use crate::disk::{Disk, Lock, NewFile};
use crate::envelope::{Context, EnvelopeCipher};
use crate::error::{Error, Limit, Result};
use crate::format::header::Header;
use crate::format::limits::MAX_HEADER;

/// Bytes of a pipe's plaintext that are written at once.
const PIPED: usize = 1 << 18;
/// Bytes of the longest record with the longest header (FORMAT §1).
const MAX_RECORD: u64 = (1 << 36) + MAX_HEADER as u64;

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
/// # use phi_envelope::{Context, EnvelopeCipher, FileOptions, Keyring, decrypt_file};
/// # let cipher = EnvelopeCipher::new(Keyring::generate("doc")?);
/// let context = Context::new().bind("export", "42")?;
/// decrypt_file(&cipher, "Patient.ndjson.phi", "Patient.ndjson", &context, FileOptions::new())?;
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn decrypt_file(
    cipher: &EnvelopeCipher,
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    let (input, output) = (input.as_ref(), output.as_ref());
    decrypt(&Disk::default(), cipher, input, output, context, options)
}

/// Authenticates all of a sealed file and writes nothing.
///
/// # Errors
/// As [`decrypt_file`], without those of the output.
pub fn verify_file(
    cipher: &EnvelopeCipher,
    path: impl AsRef<Path>,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    verify(&Disk::default(), cipher, path.as_ref(), context, options)
}

/// Seals a file anew, in its place, an inline stream or a record: a new data key and a new payload, for the providers that the cipher writes for. What a leaked
/// data key or a compromised master key needs, where a rewrap is not enough.
///
/// `context` presents the bindings and exactly the file's labels. The plaintext passes through memory alone; the old file stays
/// until the new one is whole and durable. A record is read into memory whole.
///
/// # Errors
/// As [`decrypt_file`] and [`encrypt_file`](crate::encrypt_file), and [`Error::ContextMismatch`] where the labels are not exactly
/// the file's.
pub fn reencrypt_file(
    cipher: &EnvelopeCipher,
    path: impl AsRef<Path>,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    reencrypt(&Disk::default(), cipher, path.as_ref(), context, options)
}

pub(super) fn decrypt(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    input: &Path,
    output: &Path,
    context: &Context,
    mut options: FileOptions<'_>,
) -> Result<FileReport> {
    let file = disk.open(input)?;
    let header = options.detached_header.take();
    let mut inputs = vec![disk.metadata_of(&file)?];
    if let Some(header) = &header {
        inputs.push(disk.metadata(header)?);
    }
    let new = disk.new_file(output)?;
    // Once what a dead writer left is gone.
    let inputs: Vec<_> = inputs.iter().collect();
    refuse_output(disk, &inputs, output, options.overwrite)?;
    if !inputs.iter().all(|input| input.is_file()) {
        return decrypt_piped(cipher, disk, (file, header, new), context, options);
    }
    let sealed = Sealed::of(disk, cipher, file, header.as_deref(), context)?;
    let target = new.file()?;
    open_all(&sealed, &mut options, |offset, plain| {
        disk.write_all_at(target, plain, offset)?;
        disk.write_behind(target, offset, plain.len());
        Ok(())
    })?;
    finish(new, &options)?;
    Ok(report(&sealed))
}

pub(super) fn verify(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    context: &Context,
    mut options: FileOptions<'_>,
) -> Result<FileReport> {
    let header = options.detached_header.take();
    let sealed = Sealed::open(disk, cipher, path, header.as_deref(), context)?;
    open_all(&sealed, &mut options, |_, _| Ok(()))?;
    Ok(report(&sealed))
}

pub(super) fn reencrypt(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    context: &Context,
    mut options: FileOptions<'_>,
) -> Result<FileReport> {
    if options.detached_header.is_some() {
        return Err(Error::Misuse(
            "a detached header and its payload cannot be replaced at one stroke",
        ));
    }
    let path = disk.resolve(path)?;
    let file = disk.open_locked(&path, Lock::Exclusive)?;
    let head = Head::read(disk, &file)?;
    if head.is_record() {
        head.check_reencrypt(cipher, context)?;
        return reencrypt_record(disk, cipher, (&path, &file), context);
    }
    let sealed = Sealed::with_exact_labels(disk, cipher, file, context)?;
    options
        .segment_length
        .get_or_insert(sealed.segment_length());
    options.block_length.get_or_insert(sealed.block_length());
    let new = disk.new_file(&path)?;
    let (header, message) = begin(disk, cipher, &new, context, &options)?;
    let message = message.read_back();
    message.seal(sealed.len(), &mut options, |plain, offset, buffers| {
        sealed.read_at(plain, offset, buffers).map(drop)
    })?;
    bring_up_to_date(cipher, header, Some((disk, new.file()?)))?;
    new.replace(&sealed.metadata()?)?;
    Ok(report(&sealed))
}

/// A record is sealed in one piece, and so it is read in one; its header has verified.
fn reencrypt_record(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    (path, file): (&Path, &File),
    context: &Context,
) -> Result<FileReport> {
    let metadata = disk.metadata_of(file)?;
    if metadata.len() > MAX_RECORD {
        return Err(Limit::RecordLength.into());
    }
    let mut record = Vec::new();
    disk.reader(file)
        .take(metadata.len())
        .read_to_end(&mut record)?;
    let sealed = cipher.reencrypt(&record, context)?;
    disk.put_in_place(path, &sealed, &metadata)?;
    let (_, payload) = Header::parse(&sealed)?;
    Ok(FileReport {
        plaintext_bytes: payload.len().saturating_sub(LEAST_PAYLOAD) as u64,
        header_damage: None,
    })
}

fn decrypt_piped(
    cipher: &EnvelopeCipher,
    disk: &Disk,
    (input, header, new): (File, Option<PathBuf>, NewFile),
    context: &Context,
    mut options: FileOptions<'_>,
) -> Result<FileReport> {
    if header.is_some() {
        return Err(Error::Misuse(
            "a detached header needs a payload with a length",
        ));
    }
    let mut reader = cipher.decrypt_reader(disk.reader(&input), context)?;
    let mut buffer = Zeroizing::new(vec![0; PIPED]);
    let mut done = 0_u64;
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        disk.write_all_at(new.file()?, buffer.get(..read).unwrap_or_default(), done)?;
        done = done.saturating_add(read as u64);
        options.report(done, 0)?;
    }
    finish(new, &options)?;
    Ok(FileReport {
        plaintext_bytes: done,
        header_damage: reader.header_damage(),
    })
}

/// Opens all segments on several threads and hands out their plaintext with its offset, in no order.
fn open_all(
    sealed: &Sealed,
    options: &mut FileOptions<'_>,
    take: impl Fn(u64, &[u8]) -> Result<()> + Sync,
) -> Result<()> {
    let length = sealed.segment_length();
    runs::for_each(sealed.layout(), length, options, |run, buffers| {
        buffers.resize_plain(run.len);
        let mut plain = std::mem::take(&mut buffers.plain);
        sealed.read_at(&mut plain, run.offset, buffers)?;
        take(run.offset, &plain)?;
        buffers.plain = plain;
        Ok(())
    })
}

/// Gives the output its name.
fn finish(new: NewFile, options: &FileOptions<'_>) -> Result<()> {
    if options.overwrite {
        new.overwrite(None)?;
    } else {
        new.publish(None, false)?;
    }
    Ok(())
}

fn report(sealed: &Sealed) -> FileReport {
    FileReport {
        plaintext_bytes: sealed.len(),
        header_damage: sealed.damage(),
    }
}
