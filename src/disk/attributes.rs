//! Who may do what with a file: its owner, its mode, its access control lists and its other attributes.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::path::Path;

use super::folder::is_unsupported;
use super::{Call, Disk};

/// The mode of a file that only its owner may touch.
pub(super) const PRIVATE: u32 = 0o600;

/// What a file system did not let a new file take over from the file that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[non_exhaustive]
pub struct NotKept {
    /// The mode: the new file lets others do less than the other did, 0600 where it takes no file's place.
    pub permissions: bool,
    /// The owner: the new file has that of this process.
    pub owner: bool,
    /// The group: the new file has that of this process, and gives it no access.
    pub group: bool,
    /// An access control list.
    pub access_list: bool,
    /// Another extended attribute, `user.*` or `security.*`.
    pub attributes: bool,
}

impl NotKept {
    /// Whether all was taken over.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl Disk {
    /// Gives a new file the owner, the access control lists, the other attributes and the mode of the file at `path`, which had this
    /// metadata, as far as that can be done, and tells what it could not.
    pub(super) fn take_over(&self, new: &File, path: &Path, old: &Metadata) -> io::Result<NotKept> {
        let mut not_kept = self.set_owner_like(new, old)?;
        self.copy_attributes(path, new, &mut not_kept)?;
        let mut permissions = old.permissions();
        if not_kept.group {
            // They were meant for another group.
            permissions = without_group(permissions);
        }
        not_kept.permissions = !self.set_permissions(new, permissions)?;
        Ok(not_kept)
    }

    /// Gives a file these permissions, without setuid, setgid and sticky bits, and tells whether the file system took them. Asks for
    /// nothing where they are right.
    pub(super) fn set_permissions(&self, file: &File, wanted: Permissions) -> io::Result<bool> {
        let wanted = without_special_bits(wanted);
        if same_permissions(&self.metadata_of(file)?.permissions(), &wanted) {
            return Ok(true);
        }
        let set = self.call(Call::Permissions, || file.set_permissions(wanted.clone()));
        match set {
            Ok(()) => Ok(true),
            // CIFS and mounts of object stores have one mode for all files.
            Err(error) if is_refused(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether nobody but its owner may touch a file.
    pub(super) fn is_private(&self, file: &File) -> io::Result<bool> {
        let permissions = self.metadata_of(file)?.permissions();
        Ok(same_permissions(
            &without_others(permissions.clone()),
            &permissions,
        ))
    }

    /// Gives a file the owner and the group that another has, as far as this process may, and tells which it could not.
    #[cfg(unix)]
    fn set_owner_like(&self, file: &File, like: &Metadata) -> io::Result<NotKept> {
        use std::os::unix::fs::{MetadataExt as _, fchown};

        let now = self.metadata_of(file)?;
        let (uid, gid) = (like.uid(), like.gid());
        let mut not_kept = NotKept::default();
        if (now.uid(), now.gid()) == (uid, gid) {
            return Ok(not_kept);
        }
        // Who may not give a file away may still give it to a group of his own.
        for owner in [Some(uid), None] {
            match self.call(Call::Owner, || fchown(file, owner, Some(gid))) {
                Err(error) if is_refused(&error) => not_kept.owner = now.uid() != uid,
                outcome => return outcome.map(|()| not_kept),
            }
        }
        not_kept.group = now.gid() != gid;
        Ok(not_kept)
    }

    #[cfg(not(unix))]
    #[allow(clippy::unnecessary_wraps, clippy::unused_self)] // as above
    fn set_owner_like(&self, _: &File, _: &Metadata) -> io::Result<NotKept> {
        Ok(NotKept::default())
    }

    /// Copies the access control lists and the other extended attributes, and takes away the list that a new file has of its folder.
    #[cfg(target_os = "linux")]
    fn copy_attributes(&self, path: &Path, new: &File, not_kept: &mut NotKept) -> io::Result<()> {
        use rustix::fs::{XattrFlags, fremovexattr, fsetxattr};

        let old = self.call(Call::Attributes, || xattr::of_path(path))?;
        let now = self.call(Call::Attributes, || xattr::of_file(new))?;
        let inherited = now.iter().filter(|(name, _)| xattr::is_access_list(name));
        for (name, _) in inherited.filter(|(name, _)| old.iter().all(|(kept, _)| kept != name)) {
            let removed = self.call(Call::Attributes, || Ok(fremovexattr(new, name.as_c_str())?));
            not_kept.access_list |= removed.is_err();
        }
        for (name, value) in old.iter().filter(|attribute| !now.contains(attribute)) {
            let set = self.call(Call::Attributes, || {
                let flags = XattrFlags::empty();
                Ok(fsetxattr(new, name.as_c_str(), value, flags)?)
            });
            if set.is_err() && xattr::is_access_list(name) {
                not_kept.access_list = true;
            } else if set.is_err() && xattr::is_to_be_kept(name) {
                not_kept.attributes = true;
            }
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unnecessary_wraps, clippy::unused_self)] // as on Linux
    fn copy_attributes(&self, _: &Path, _: &File, _: &mut NotKept) -> io::Result<()> {
        Ok(())
    }
}

/// The mode that a file has, without setuid, setgid and sticky bits, and never less than its owner needs to write it.
#[cfg(unix)]
pub(super) fn mode_of(old: &Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    old.permissions().mode() & 0o777 | PRIVATE
}

#[cfg(not(unix))]
pub(super) fn mode_of(_: &Metadata) -> u32 {
    PRIVATE
}

/// Whether the system does not let this process do it, or the file system has no such thing.
fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied || is_unsupported(error)
}

/// Extended attributes, POSIX access control lists among them.
#[cfg(target_os = "linux")]
mod xattr {
    use std::ffi::{CStr, CString};
    use std::fs::File;
    use std::io;
    use std::path::Path;

    use rustix::fs::{fgetxattr, flistxattr, lgetxattr, llistxattr};
    use rustix::io::{Errno, Result};

    /// Bytes of the longest list of names, and of the longest value.
    const MOST: usize = 1 << 16;
    /// Bytes that hold the names that most files have.
    const USUAL: usize = 512;
    /// What speaks of the very content of a file, and is wrong for any other.
    const OF_CONTENT: [&[u8]; 2] = [b"security.ima", b"security.evm"];

    type Attributes = Vec<(CString, Vec<u8>)>;

    pub(super) fn of_path(path: &Path) -> io::Result<Attributes> {
        attributes(
            |buffer| llistxattr(path, buffer),
            |name, buffer| lgetxattr(path, name, buffer),
        )
    }

    pub(super) fn of_file(file: &File) -> io::Result<Attributes> {
        attributes(
            |buffer| flistxattr(file, buffer),
            |name, buffer| fgetxattr(file, name, buffer),
        )
    }

    pub(super) fn is_access_list(name: &CStr) -> bool {
        name.to_bytes().starts_with(b"system.")
    }

    /// Those of `trusted.*` belong to the system's own programs.
    pub(super) fn is_to_be_kept(name: &CStr) -> bool {
        let name = name.to_bytes();
        name.starts_with(b"user.") || name.starts_with(b"security.")
    }

    fn attributes(
        list: impl Fn(&mut [u8]) -> Result<usize>,
        get: impl Fn(&CStr, &mut [u8]) -> Result<usize>,
    ) -> io::Result<Attributes> {
        let mut usual = [0; USUAL];
        let names = match list(&mut usual) {
            Ok(len) => usual.get(..len).unwrap_or_default().to_vec(),
            Err(Errno::RANGE) => filled(&list)?,
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut found = Vec::new();
        for name in names.split_inclusive(|byte| *byte == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else {
                continue;
            };
            if OF_CONTENT.contains(&name.to_bytes()) {
                continue;
            }
            match filled(|buffer| get(name, buffer)) {
                Ok(value) => found.push((name.to_owned(), value)),
                // It went away meanwhile, or is not for this process to see.
                Err(Errno::NODATA | Errno::ACCESS | Errno::PERM | Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    fn filled(fill: impl Fn(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
        let mut bytes = vec![0; MOST];
        let len = fill(&mut bytes)?;
        bytes.truncate(len);
        Ok(bytes)
    }
}

#[cfg(unix)]
mod modes {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    pub(super) fn without_special_bits(of: Permissions) -> Permissions {
        Permissions::from_mode(of.mode() & 0o777)
    }

    pub(super) fn without_group(of: Permissions) -> Permissions {
        Permissions::from_mode(of.mode() & !0o070)
    }

    pub(super) fn without_others(of: Permissions) -> Permissions {
        Permissions::from_mode(of.mode() & !0o077)
    }

    pub(super) fn same_permissions(left: &Permissions, right: &Permissions) -> bool {
        left.mode() & 0o7777 == right.mode() & 0o7777
    }
}

#[cfg(not(unix))]
mod modes {
    use std::fs::Permissions;

    pub(super) fn without_special_bits(of: Permissions) -> Permissions {
        of
    }

    pub(super) fn without_group(of: Permissions) -> Permissions {
        of
    }

    pub(super) fn without_others(of: Permissions) -> Permissions {
        of
    }

    pub(super) fn same_permissions(left: &Permissions, right: &Permissions) -> bool {
        left == right
    }
}

use modes::{same_permissions, without_group, without_others, without_special_bits};
