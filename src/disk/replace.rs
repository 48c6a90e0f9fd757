//! A whole new file in the place of an old one, which nobody else may have replaced meanwhile.
//!
//! Other programs ask for no lock. Where the system exchanges two names at one stroke, what comes out is compared with what was to
//! be replaced, and given back where it is another: nobody loses what he put there. Elsewhere the last look stands right before the rename.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use super::failure::took_effect;
use super::version::{links, same_version};
use super::{Disk, NewFile, Published, named, same_file};

/// How often another's version is given back where yet another comes in between.
const ATTEMPTS: usize = 1000;

/// The file that is to be replaced, as it was before its content was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Old<'a> {
    metadata: &'a Metadata,
    has_one_name: bool,
}

impl<'a> From<&'a Metadata> for Old<'a> {
    fn from(metadata: &'a Metadata) -> Self {
        Self {
            metadata,
            has_one_name: false,
        }
    }
}

impl Old<'_> {
    /// It is replaced only if it has no other name: a hard link would go on to name what is replaced.
    #[cfg_attr(not(test), allow(dead_code))] // until a keyring's file is replaced with it
    pub(crate) fn with_one_name(mut self) -> Self {
        self.has_one_name = true;
        self
    }

    fn is(&self, there: &Metadata) -> bool {
        same_version(self.metadata, there) && (!self.has_one_name || links(there) == 1)
    }
}

impl Disk {
    /// Puts `bytes` in the place of the file that had this metadata, as [`NewFile::replace`] does.
    pub(crate) fn put_in_place<'a>(
        &self,
        target: &Path,
        bytes: &[u8],
        old: impl Into<Old<'a>>,
    ) -> io::Result<File> {
        let old = old.into();
        let new = self.new_in_place(target, old.metadata)?;
        new.write(bytes, 0)?;
        new.replace(old).map(|published| published.file)
    }
}

impl NewFile {
    /// Publishes it in the place of the old file, whose lock the caller holds: with the same permissions, attributes and, where this
    /// process may, the same owner.
    ///
    /// Where another program has replaced the old file or written to it meanwhile, its version stays, and this is an error. An error
    /// that is no [`Error::TookEffect`] leaves all as it was.
    pub(crate) fn replace<'a>(self, old: impl Into<Old<'a>>) -> io::Result<Published> {
        self.replace_after(old, || Ok(()))
    }

    /// [`replace`](Self::replace), and asks once more right before it: after all that takes time.
    pub(crate) fn replace_after<'a>(
        mut self,
        old: impl Into<Old<'a>>,
        may: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Published> {
        let old = old.into();
        self.not_kept = self
            .disk
            .take_over(self.file()?, &self.target, old.metadata)
            .map_err(|error| self.at(error))?;
        // A mode that cannot be set leaves less access than there was, and is told.
        let lost = self.not_kept;
        if (lost.access_list || lost.attributes) && !self.disk.loses_attributes {
            return Err(named(
                &self.target,
                io::ErrorKind::PermissionDenied,
                "the file that replaces it cannot have its access control list or its extended attributes; nothing was changed: do it as a user who may set them, or allow their loss",
            ));
        }
        self.sync()?;
        may()?;
        // Before anybody sees the new one: where it is known already, nothing needs to be given back.
        self.check_still(&old)?;
        self.give_meanwhile_name()?;
        self.put_over(&old)?;
        self.settle(false)
    }

    /// Fails where the target is not the old file any more.
    fn check_still(&self, old: &Old<'_>) -> io::Result<()> {
        let there = self.disk.metadata_here(&self.target)?;
        if same_version(old.metadata, &there) && (!old.has_one_name || links(&there) == 1) {
            Ok(())
        } else {
            Err(self.replaced_meanwhile())
        }
    }

    /// Puts the file, which bears its meanwhile name, in the place of the old one, and removes that.
    fn put_over(&mut self, old: &Old<'_>) -> io::Result<()> {
        let (disk, target) = (self.disk.clone(), self.target.clone());
        let Some(name) = self.name.clone() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if !disk.exchange(&name, &target)? {
            self.check_still(old)?;
            disk.rename(&name, &target)?;
            self.name = None;
            return Ok(());
        }
        match disk.metadata_here(&name) {
            Ok(out) if old.is(&out) => {
                self.name = None;
                // Once more, where it is only for a moment that it cannot be: what would be left is the old one.
                disk.remove(&name)
                    .or_else(|_| disk.remove(&name))
                    .map_err(|error| took_effect("removing the old file", error))
            }
            Ok(out) => {
                self.give_back(&name, out)?;
                Err(self.replaced_meanwhile())
            }
            Err(error) => {
                // What came out cannot be looked at: all as it was.
                disk.exchange(&name, &target)
                    .map_err(|error| took_effect("giving the old file back", error))?;
                Err(error)
            }
        }
    }

    /// Puts back what came out of the exchange: another program's version. Where yet another came in between, that one is put back in
    /// its turn, so that the last one to come stays.
    fn give_back(&self, name: &Path, mut taken: Metadata) -> io::Result<()> {
        let step = "giving another program's version back, which is beside it under a name that begins with .phi-tmp-,";
        let failed = |error| took_effect(step, error);
        let mut put = self.disk.metadata_of(self.file()?).map_err(failed)?;
        for _ in 0..ATTEMPTS {
            match self.disk.exchange(name, &self.target) {
                Ok(true) => {}
                // The other program has removed its file: it gets its version back all the same.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return self.disk.rename_to_nothing(name, &self.target);
                }
                Ok(false) => return Err(failed(io::ErrorKind::Unsupported.into())),
                Err(error) => return Err(failed(error)),
            }
            let out = self.disk.metadata_here(name).map_err(failed)?;
            if same_file(&out, &put) {
                // The new file, or a version that its own program has replaced since.
                return self.disk.remove(name);
            }
            (put, taken) = (taken, out);
        }
        Err(failed(io::ErrorKind::ResourceBusy.into()))
    }

    fn replaced_meanwhile(&self) -> io::Error {
        named(
            &self.target,
            io::ErrorKind::ResourceBusy,
            "another program has replaced or changed the file meanwhile; its version stays: try again",
        )
    }
}
