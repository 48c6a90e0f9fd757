//! A sealed file sealed anew, in its place.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::Path;

use super::decrypt::report;
use super::encrypt::FileReport;
use super::inspection::Head;
use super::message::{begin, bring_up_to_date};
use super::options::FileOptions;
use super::reader::Sealed;
use super::rewrap::LEAST_PAYLOAD;
use crate::disk::{Disk, Lock, in_file};
use crate::envelope::{Context, EnvelopeCipher};
use crate::error::{Error, Limit, Result};
use crate::format::header::Header;

/// Seals a file anew, in its place, an inline stream or a record: a new data key and a new payload, for the providers that the cipher writes for. What a leaked
/// data key or a compromised master key needs, where a rewrap is not enough.
///
/// `context` presents the bindings and exactly the file's labels. The plaintext passes through memory alone; the old file stays
/// until the new one is whole and durable. A record is read into memory whole, and has 64 MiB at most unless
/// [`FileOptions::largest_record`] allows more.
///
/// # Errors
/// As [`files::decrypt`](crate::files::decrypt) and [`files::encrypt`](crate::files::encrypt). [`Error::ContextMismatch`] where the labels are
/// not exactly the file's. [`RecipientError::Dropped`](crate::error::RecipientError::Dropped) where a recipient of the file is none that the cipher
/// writes for, unless [`FileOptions::dropping_recipients`] says so. [`Limit::RecordFile`] for a longer record.
/// [`Error::TookEffect`] where it was done and may not be durable.
pub fn reencrypt(
    cipher: &EnvelopeCipher,
    path: impl AsRef<Path>,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    reencrypt_on(&options.disk(), cipher, path.as_ref(), context, options)
}

pub(super) fn reencrypt_on(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    if options.detached_header.is_some() {
        return Err(Error::Misuse(
            "a detached header and its payload cannot be replaced at one stroke",
        ));
    }
    let path = disk.resolve(path)?;
    reencrypt_resolved(disk, cipher, &path, context, options).map_err(in_file(&path))
}

fn reencrypt_resolved(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    context: &Context,
    mut options: FileOptions<'_>,
) -> Result<FileReport> {
    // As it was before anything was read of it: what is written to it from here on is noticed.
    let (file, old) = disk.open_locked_as(path, Lock::Exclusive)?;
    let head = Head::read(disk, &file)?;
    let keeps = |header: &Header<'_>| {
        if options.drops_recipients {
            return Ok(());
        }
        cipher.check_keeps_recipients(header)
    };
    if head.is_record() {
        head.check_reencrypt_and(cipher, context, keeps)?;
        return reencrypt_record(disk, cipher, (path, &file, &old), context, &options);
    }
    let sealed = Sealed::with_exact_labels(disk, cipher, file, context, keeps)?;
    options
        .segment_length
        .get_or_insert(sealed.segment_length());
    options.block_length.get_or_insert(sealed.block_length());
    let new = disk.new_in_place(path, &old)?;
    let (header, message) = begin(cipher, &new, context, &options)?;
    let message = message.read_back();
    message.seal(sealed.len(), &mut options, |plain, offset, buffers| {
        sealed.read_at(plain, offset, buffers).map(drop)
    })?;
    let header = bring_up_to_date(cipher, header, Some(&new))?;
    let replaced = new.replace_after(&old, || Ok(cipher.confirm_new(&header)?))?;
    Ok(FileReport {
        not_kept: replaced.not_kept,
        ..report(&sealed)
    })
}

/// A record is sealed in one piece, and so it is read in one; its header has verified.
fn reencrypt_record(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    (path, file, old): (&Path, &File, &Metadata),
    context: &Context,
    options: &FileOptions<'_>,
) -> Result<FileReport> {
    let most = options.largest_record;
    if old.len() > most {
        return Err(Limit::RecordFile.into());
    }
    let mut record = Vec::new();
    disk.reader(file)
        .take(most.saturating_add(1))
        .read_to_end(&mut record)?;
    if record.len() as u64 > most {
        return Err(Limit::RecordFile.into());
    }
    let sealed = if options.drops_recipients {
        cipher.reencrypt_dropping_recipients(&record, context)?
    } else {
        cipher.reencrypt(&record, context)?
    };
    let new = disk.new_in_place(path, old)?;
    new.write(&sealed, 0)?;
    let replaced = new.replace_after(old, || Ok(cipher.confirm_new(&sealed)?))?;
    let (_, payload) = Header::parse(&sealed)?;
    Ok(FileReport {
        plaintext_bytes: payload.len().saturating_sub(LEAST_PAYLOAD) as u64,
        header_damage: None,
        not_kept: replaced.not_kept,
    })
}
