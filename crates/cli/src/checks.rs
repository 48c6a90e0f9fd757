//! What is refused before the work.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::failure::usage;
use crate::new_file;
use crate::options::{KeyArgs, ToArgs, WorkArgs};
use crate::output::escaped_path;
use crate::stdio;
use crate::streams::is_dash;

/// Says of a header that stands apart, before the work, that it is missing or, for a new one, that it is there.
pub(crate) fn check_header(work: &WorkArgs, is_new: bool) -> Result<()> {
    let Some(header) = &work.detached else {
        return Ok(());
    };
    let there = header.symlink_metadata();
    let checked = match there {
        Ok(_) if is_new => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_new => Ok(()),
        there => there.map(drop),
    };
    checked.with_context(|| format!("header {}", escaped_path(header)))
}

/// Where to: what the caller says, stdout for stdin, else what follows from the input's name.
pub(crate) fn output_or(
    stated: Option<&Path>,
    input: &Path,
    named_after: impl FnOnce(&Path) -> Result<PathBuf>,
) -> Result<PathBuf> {
    match stated {
        Some(output) if is_dash(output) => Ok(output.to_owned()),
        Some(output) => new_file::behind_links(output),
        None if is_dash(input) => Ok(PathBuf::from("-")),
        None => new_file::behind_links(&named_after(input)?),
    }
}

/// Refuses an option that has no effect on stdout.
pub(crate) fn refuse_overwrite(overwrite: bool) -> Result<()> {
    if overwrite {
        return Err(usage("--overwrite: stdout is not replaced"));
    }
    Ok(())
}

/// Refuses a copy of a keyring's file that needs the very keyring to open.
pub(crate) fn refuse_keyring_for_itself(input: &Path, keys: &KeyArgs, to: &ToArgs) -> Result<()> {
    let mut keyrings = keys.keyring.iter().chain(&to.to_keyrings).peekable();
    let is_for_one = to.to_passphrase_file.is_none() && keyrings.peek().is_some();
    if !is_for_one || !keyrings.all(|keyring| is_same_file(input, keyring)) {
        return Ok(());
    }
    Err(usage(format_args!(
        "{}: this is the keyring under which it would be encrypted, so that nothing could open the copy once the keyring is lost: copy the file as it is, which is encrypted already, or encrypt it for somebody else too (--to-keyring, --to-passphrase-file)",
        escaped_path(input)
    )))
}

/// Whether an input, which may be stdin, is this file.
fn is_same_file(input: &Path, file: &Path) -> bool {
    let input = if is_dash(input) {
        stdio::stdin_metadata()
    } else {
        input.metadata()
    };
    matches!((input, file.metadata()), (Ok(input), Ok(file)) if same_file(&input, &file))
}

#[cfg(unix)]
fn same_file(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn same_file(_: &Metadata, _: &Metadata) -> bool {
    false
}

/// Refuses to overwrite what opens the files.
pub(crate) fn refuse_key_file(output: &Path, keys: &KeyArgs) -> Result<()> {
    let secret = &keys.secret;
    let files = [
        &keys.keyring,
        &secret.passphrase_file,
        &secret.master_key_file,
    ];
    refuse_any(output, files.into_iter().flatten())
}

/// Refuses an output that is one of these files, of keys or of bindings.
pub(crate) fn refuse_any<'a>(
    output: &Path,
    mut files: impl Iterator<Item = &'a PathBuf>,
) -> Result<()> {
    let Ok(output) = output.canonicalize() else {
        return Ok(()); // there is nothing to overwrite
    };
    if files.any(|file| file.canonicalize().is_ok_and(|file| file == output)) {
        return Err(usage(format_args!(
            "{}: the output is a file of secrets",
            escaped_path(&output)
        )));
    }
    Ok(())
}
