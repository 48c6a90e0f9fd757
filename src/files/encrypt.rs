//! A plain file sealed into another.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};

use super::message::{NewMessage, begin, bring_up_to_date};
use super::options::FileOptions;
use super::output::{publish_pair, refuse_output};
use crate::disk::{Disk, NewFile, NotKept, is_unchanged, of_file};
use crate::envelope::{Context, EnvelopeCipher, HeaderDamage};
use crate::error::{Error, Result};

/// The length of a file that is read to its end, whatever its file system states.
const BELIEVED: u64 = 4096;

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileReport {
    /// Bytes of plaintext.
    pub plaintext_bytes: u64,
    /// What is wrong with the header blocks of the file that was read, where it opened all the same.
    pub header_damage: Option<HeaderDamage>,
    /// What the file system did not let the output take over: the mode of the input, or of the file that was replaced. It then has
    /// mode 0600.
    pub not_kept: NotKept,
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
/// use phi_envelope::{Context, EnvelopeCipher, KeyringFile, Passphrase, files::{self, FileOptions}};
///
/// let file = KeyringFile::open("ehr.keyring", Passphrase::new("correct horse")?)?;
/// let cipher = EnvelopeCipher::new(file.keyring());
/// let context = Context::new().bind("export", "42")?;
/// files::encrypt(&cipher, "Patient.ndjson", "Patient.ndjson.phi", &context, FileOptions::new())?;
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn encrypt(
    cipher: &EnvelopeCipher,
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    let (input, output) = (input.as_ref(), output.as_ref());
    encrypt_on(&options.disk(), cipher, input, output, context, options)
}

/// Seals what is read from an open file into another, from where it stands to its end: [`files::encrypt`](crate::files::encrypt) for a file, a pipe or a socket
/// that this process holds already, and may be unable to open by a name.
///
/// The position of `input` is not what it was afterwards.
///
/// # Errors
/// As [`files::encrypt`](crate::files::encrypt).
pub fn encrypt_from(
    cipher: &EnvelopeCipher,
    input: &File,
    output: impl AsRef<Path>,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    let disk = options.disk();
    let input = Input::Open(input, None);
    seal_into(&disk, cipher, input, output.as_ref(), context, options)
}

/// Seals what a reader gives into a file: [`files::encrypt`](crate::files::encrypt) for bytes that come from anywhere.
///
/// # Errors
/// As [`files::encrypt`](crate::files::encrypt), and what the reader reports.
pub fn encrypt_read(
    cipher: &EnvelopeCipher,
    mut input: impl Read,
    output: impl AsRef<Path>,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    let disk = options.disk();
    let input = Input::Flow(&mut input);
    seal_into(&disk, cipher, input, output.as_ref(), context, options)
}

pub(super) fn encrypt_on(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    input: &Path,
    output: &Path,
    context: &Context,
    options: FileOptions<'_>,
) -> Result<FileReport> {
    let file = disk.open(input)?;
    let input = Input::Open(&file, Some(input));
    seal_into(disk, cipher, input, output, context, options)
}

/// Where bytes come from.
pub(super) enum Input<'a> {
    /// A file, a pipe or the like, and its name where it is known.
    Open(&'a File, Option<&'a Path>),
    /// Something that only gives bytes.
    Flow(&'a mut dyn Read),
}

impl<'a> Input<'a> {
    /// What the system says of it, where it has something to say.
    pub(super) fn metadata(&self, disk: &Disk) -> Result<Option<Metadata>> {
        let Self::Open(file, _) = self else {
            return Ok(None);
        };
        let metadata = disk.metadata_of(file).map_err(|error| self.at(error))?;
        if metadata.is_dir() {
            return Err(self.at(io::ErrorKind::IsADirectory.into()).into());
        }
        Ok(Some(metadata))
    }

    /// The error of reading it, with its name where that is known.
    pub(super) fn at(&self, error: io::Error) -> io::Error {
        match self {
            Self::Open(_, Some(path)) => of_file(path, error),
            _ => error,
        }
    }

    /// The file, if it is a regular one that stands at its start.
    pub(super) fn whole_file(&self, metadata: Option<&Metadata>) -> Result<Option<&'a File>> {
        let Self::Open(mut file, _) = *self else {
            return Ok(None);
        };
        let is_file = metadata.is_some_and(Metadata::is_file);
        let is_whole = is_file && file.stream_position()? == 0;
        Ok(is_whole.then_some(file))
    }
}

fn seal_into(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    input: Input<'_>,
    output: &Path,
    context: &Context,
    mut options: FileOptions<'_>,
) -> Result<FileReport> {
    let before = input.metadata(disk)?;
    if options.detached_header.is_some() && options.overwrite {
        return Err(Error::Misuse(
            "a detached header and its payload cannot be replaced at one stroke",
        ));
    }
    let (output, mut new) = open_output(disk, before.as_ref(), output, options.overwrite)?;
    // Before the work as well: what cannot be written later would cost all of it.
    let header_file = match &options.detached_header {
        Some(path) => Some(open_output(disk, before.as_ref(), path, false)?),
        None => None,
    };
    if header_file
        .as_ref()
        .is_some_and(|(path, _)| *path == output)
    {
        return Err(Error::Misuse("a header and its payload in one file"));
    }
    let header_file = header_file.map(|(_, file)| file);
    let (header, message) = begin(cipher, &new, context, &options)?;
    let plaintext_bytes = seal_all(disk, &message, input, before.as_ref(), &mut options)?;
    let blocks = match &header_file {
        Some(_) => None,
        None => Some(&new),
    };
    let header = bring_up_to_date(cipher, header, blocks)?;
    let permissions = before.filter(Metadata::is_file).map(|of| of.permissions());
    let not_kept = if let Some(header_file) = header_file {
        header_file.write(&header, 0)?;
        publish_pair((header_file, new), permissions, || {
            cipher.confirm_new(&header)
        })?
    } else {
        new.make_ready(permissions.clone())?;
        // To make a long file durable may take longer than a lease: what was rotated away from meanwhile may be gone soon.
        let now = bring_up_to_date(cipher, header.clone(), Some(&new))?;
        if now != header {
            new.make_ready(permissions)?;
            cipher.confirm_new(&now)?;
        }
        new.put(options.overwrite)?.not_kept
    };
    Ok(FileReport {
        plaintext_bytes,
        header_damage: None,
        not_kept,
    })
}

/// A new file that is to be `output`, and where that is.
fn open_output(
    disk: &Disk,
    input: Option<&Metadata>,
    output: &Path,
    overwrite: bool,
) -> Result<(PathBuf, NewFile)> {
    let name = output;
    let output = disk.resolve_output(name)?;
    let new = disk.new_file(&output)?;
    // Once what a dead writer left is gone.
    let inputs: Vec<_> = input.cloned().into_iter().collect();
    refuse_output(disk, &inputs, (&output, name), overwrite)?;
    Ok((output, new))
}

/// Seals all of the input, and makes sure that it is one version of it from its start to its end.
fn seal_all(
    disk: &Disk,
    message: &NewMessage<'_>,
    input: Input<'_>,
    before: Option<&Metadata>,
    options: &mut FileOptions<'_>,
) -> Result<u64> {
    let stated = before.map_or(0, Metadata::len);
    let whole = input.whole_file(before)?;
    let (file, path) = match input {
        Input::Open(file, path) => (file, path),
        Input::Flow(input) => return message.seal_piped(input, 0, options),
    };
    let at = |error| match path {
        Some(path) => of_file(path, error),
        None => error,
    };
    let changed = || Error::Io(at(changed_while_read()));
    let sealed = match whole {
        Some(file) if stated > BELIEVED => {
            message.seal(stated, options, |buffer, offset, _| {
                match disk.read_up_to_at(file, buffer, offset).map_err(at)? {
                    read if read == buffer.len() => Ok(()),
                    _ => Err(changed()),
                }
            })?;
            // The end is where a read says so, and not where the file system states it.
            if disk.read_up_to_at(file, &mut [0], stated).map_err(at)? != 0 {
                return Err(changed());
            }
            stated
        }
        // What states no length, or a short one, may be longer: /proc, and files that a service makes as they are read.
        _ => {
            let reader = disk.reader(file).named(path);
            message.seal_piped(reader, whole.map_or(0, |_| stated), options)?
        }
    };
    if let Some(before) = before.filter(|of| of.is_file())
        && !is_unchanged(before, &disk.metadata_of(file).map_err(at)?)
    {
        return Err(changed());
    }
    Ok(sealed)
}

fn changed_while_read() -> io::Error {
    io::Error::other(
        "the input changed its length or its content while it was read, or its file system states a wrong length: seal a copy, or pass it through a pipe",
    )
}
