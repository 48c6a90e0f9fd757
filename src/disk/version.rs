//! What tells one version of a file from another.

use std::fs::Metadata;
use std::path::Path;

/// Whether both are the same file, by device and inode.
#[cfg(unix)]
pub(crate) fn same_file(left: &Metadata, right: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (left.dev(), left.ino()) == (right.dev(), right.ino())
}

/// Where a file's identity cannot be had, an open file cannot be renamed over either.
#[cfg(not(unix))]
pub(crate) fn same_file(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// Whether a file that was looked at twice holds what it held: its length, the time of its last write, and that of its last change of
/// any kind, which no program can set.
#[cfg(unix)]
pub(crate) fn is_unchanged(before: &Metadata, after: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let changed = |of: &Metadata| (of.ctime(), of.ctime_nsec());
    same_version(before, after) && changed(before) == changed(after)
}

#[cfg(not(unix))]
pub(crate) fn is_unchanged(before: &Metadata, after: &Metadata) -> bool {
    same_version(before, after)
}

/// Whether both are the same file with the same content and access, whatever its names are: a rename changes the time of the last
/// change.
#[cfg(unix)]
pub(crate) fn same_version(before: &Metadata, after: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let version = |of: &Metadata| {
        let written = (of.mtime(), of.mtime_nsec());
        (of.len(), written, of.mode(), of.uid(), of.gid())
    };
    same_file(before, after) && version(before) == version(after)
}

#[cfg(not(unix))]
pub(crate) fn same_version(before: &Metadata, after: &Metadata) -> bool {
    before.len() == after.len() && before.modified().ok() == after.modified().ok()
}

/// Whether something is mounted on a path: what is seen there has its own name elsewhere. Not where the system does not say.
#[cfg(target_os = "linux")]
pub(crate) fn is_mount(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

    statx(CWD, path, AtFlags::empty(), StatxFlags::empty())
        .is_ok_and(|of| of.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_mount(_: &Path) -> bool {
    false
}

/// How many names a file has.
#[cfg(unix)]
pub(crate) fn links(of: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(of)
}

#[cfg(not(unix))]
pub(crate) fn links(_: &Metadata) -> u64 {
    1
}
