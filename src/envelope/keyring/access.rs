//! Who else may read or write a keyring's file.

use std::fs::Metadata;
use std::io;
use std::path::Path;

use crate::disk::named;
use crate::error::{Error, Result};

#[cfg(unix)]
pub(super) fn refuse_access_by_others(metadata: &Metadata, path: &Path) -> Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let refused = |what: String| {
        let denied = io::ErrorKind::PermissionDenied;
        Err(Error::Io(named(path, denied, &what)))
    };
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        return refused(format!(
            "the keyring's file has mode {:04o}, which lets others at it: `chmod 600` it, or allow access by others explicitly",
            mode & 0o7777
        ));
    }
    let owner = metadata.uid();
    if owner != 0 && own_user().is_some_and(|own| own != owner) {
        return refused(format!(
            "the keyring's file belongs to user {owner}, who can change it: `chown` it to the user that runs this, or allow access by others explicitly"
        ));
    }
    Ok(())
}

/// The user by whose rights files are opened.
#[cfg(target_os = "linux")]
fn own_user() -> Option<u32> {
    Some(rustix::process::geteuid().as_raw())
}

/// Not known here without `unsafe`: the owner is not looked at.
#[cfg(all(unix, not(target_os = "linux")))]
fn own_user() -> Option<u32> {
    None
}

#[cfg(not(unix))]
pub(super) fn refuse_access_by_others(_: &Metadata, _: &Path) -> Result<()> {
    Ok(())
}
