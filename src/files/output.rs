//! Where output goes: what may stand there, and two files that get their names together.

use std::fs::{Metadata, Permissions};
use std::io;
use std::path::Path;

use crate::disk::{Disk, NewFile, NotKept, named, same_file};
use crate::error::{Error, Result};

/// Gives a header and then its payload their names: where there is a payload, there is its header. Both are durable before either
/// has a name, and neither is left where one cannot have it.
pub(super) fn publish_pair(
    (mut header, mut payload): (NewFile, NewFile),
    permissions: Option<Permissions>,
    may: impl FnOnce() -> Result<()>,
) -> Result<NotKept> {
    header.make_ready(permissions.clone())?;
    payload.make_ready(permissions)?;
    may()?;
    header.give_name()?;
    let named = payload.give_name().map_err(Error::from);
    if let Err(error) = named {
        header
            .take_name_back()
            .map_err(|source| took_effect("removing the header again", source))?;
        return Err(error);
    }
    let settled = header
        .sync_name()
        .and_then(|()| payload.sync_name())
        .map_err(Error::from);
    if let Err(error) = settled {
        // The payload first: without it, the header is none that anything needs.
        let taken = payload
            .take_name_back()
            .and_then(|()| header.take_name_back());
        return match taken {
            Ok(()) => Err(error),
            Err(source) => Err(took_effect("making that durable", source)),
        };
    }
    Ok(payload.not_kept())
}

fn took_effect(step: &'static str, source: io::Error) -> Error {
    Error::TookEffect { step, source }
}

/// Refuses an output, by the name that the caller gave it, that is one of the inputs, that is no file, or that is there and is not to be replaced.
pub(super) fn refuse_output(
    disk: &Disk,
    inputs: &[Metadata],
    (output, name): (&Path, &Path),
    overwrite: bool,
) -> Result<()> {
    let refused = |kind, why: &str| Err(Error::Io(named(name, kind, why)));
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
