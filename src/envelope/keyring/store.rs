//! The file in which a keyring lives: read, confirmed, and replaced (FORMAT §9.2).

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use super::access::refuse_access_by_others;
use super::content::Content;
use super::options::{KeyringFileOptions, SlotChange};
use super::pins::{Met, Pins, check_follows};
use crate::disk::{
    Disk, Lock, Old, folder_of, is_unchanged, links, named, of_file, os_number, unlock,
};
use crate::envelope::EnvelopeCipher;
use crate::error::{Error, KeyringError, Result, Rollback};
use crate::format::limits::MAX_OWN_FILE;
use crate::keys::{Clock, Home, Keyring, KeyringTransaction, Moment};

/// A keyring's file, and how it is opened.
#[derive(Debug)]
pub(super) struct FileStore {
    /// Absolute, so that it stays right if the process goes to another folder.
    pub(super) path: PathBuf,
    pub(super) options: KeyringFileOptions,
    protection: RwLock<EnvelopeCipher>,
    /// The file that was read last. While it is open, no other file has its number.
    kept: Mutex<Option<Arc<Kept>>>,
    /// What the caller has pinned, and may raise.
    pub(super) pins: Pins,
}

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) file: File,
    stamp: Metadata,
    /// Why it may not be confirmed.
    fault: Option<KeyringError>,
}

/// What was read of the file, which is locked.
pub(super) struct FileRead {
    pub(super) file: File,
    pub(super) stamp: Metadata,
    pub(super) bytes: Vec<u8>,
}

impl FileStore {
    pub(super) fn new(
        path: &Path,
        options: KeyringFileOptions,
        protection: EnvelopeCipher,
    ) -> Result<Self> {
        Ok(Self {
            path: std::path::absolute(path)?,
            pins: Pins::new(options.pin, &options.least, options.pinned_by.clone()),
            options,
            protection: RwLock::new(protection),
            kept: Mutex::new(None),
        })
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.options.disk
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.options.clock
    }

    pub(super) fn protection(&self) -> EnvelopeCipher {
        let protection = self.protection.read();
        protection.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn reprotect(&self, protection: EnvelopeCipher) {
        let mut held = self
            .protection
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *held = protection;
    }

    /// The error of a file that is not used for what was asked.
    pub(super) fn fault(&self, fault: KeyringError) -> Error {
        let path = self.path.clone();
        Error::KeyringFile { path, fault }
    }

    /// The error with the file's name, the cause, and what can be done.
    pub(super) fn located(&self, error: Error) -> Error {
        const BUSY: i32 = 16; // EBUSY: only a mount point is too busy to be renamed
        match error {
            Error::Io(error) if os_number(&error) == Some(BUSY) => {
                self.fault(KeyringError::Mounted)
            }
            Error::Io(error) => {
                let (error, own) = (of_file(&self.path, error), self.path.display());
                let said = error.to_string();
                let missing = (error.kind() == io::ErrorKind::NotFound)
                    .then(|| said.strip_prefix(&format!("{own}: ")))
                    .flatten();
                Error::Io(match missing {
                    Some(said) => {
                        let remedy = "there is no keyring; make one, or mount its folder";
                        named(&self.path, error.kind(), &format!("{said}: {remedy}"))
                    }
                    None => error,
                })
            }
            Error::KeyringFile { fault, path } if path.as_os_str().is_empty() => self.fault(fault),
            error => error,
        }
    }

    /// Reads the file, which stays locked until it is dropped or let go.
    pub(super) fn read(&self, lock: Lock) -> Result<FileRead> {
        self.read_unnamed(lock).map_err(|error| self.located(error))
    }

    fn read_unnamed(&self, lock: Lock) -> Result<FileRead> {
        let disk = self.disk();
        let path = disk.resolve(&self.path)?;
        let file = disk.open_locked(&path, lock)?;
        disk.refuse_other_than_file(&file, &self.path)?;
        let before = disk.metadata_of(&file)?;
        if !self.options.allow_others {
            refuse_access_by_others(&before, &self.path)?;
        }
        // A writer that was killed between its rename and its sync left a file that is not durable yet.
        disk.sync_folder(&folder_of(&path))?;
        let mut bytes = Vec::new();
        let most = MAX_OWN_FILE as u64 + 1;
        disk.reader(&file).take(most).read_to_end(&mut bytes)?;
        let stamp = disk.metadata_of(&file)?;
        if !is_unchanged(&before, &stamp) {
            return Err(Error::Io(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "the file was changed while it was read: try again",
            )));
        }
        Ok(FileRead { file, stamp, bytes })
    }

    /// The file's content, which must follow what this process knows: whoever writes the storage could put a key back that was marked
    /// compromised.
    pub(super) fn open_content<'a>(
        &self,
        protection: &EnvelopeCipher,
        bytes: &'a [u8],
        held: Option<&Keyring>,
    ) -> Result<Content<'a>> {
        let content = Content::open(protection, bytes)?;
        let met = match held {
            Some(held) => {
                let follows = held.read(|held| check_follows(&content.keys, held));
                follows.map_err(|how| self.rolled_back(how))?;
                Met::Again
            }
            None => Met::First,
        };
        self.check_pins(&content.keys, met)?;
        Ok(content)
    }

    // FORMAT §9.2, Rolled back: a running process looks at the pinned numbers at each confirmation.
    /// Refuses a keyring that is less than what is pinned now.
    pub(super) fn check_pins(&self, keys: &KeyringTransaction, met: Met) -> Result<()> {
        // Asked before anything is locked: it is the caller's code.
        let now = self.pins.ask()?;
        let checked = self.pins.check(&now, &keys.journal, met);
        checked.map_err(|how| self.rolled_back(how))
    }

    fn rolled_back(&self, how: Rollback) -> Error {
        self.fault(KeyringError::RolledBack(how))
    }

    /// Why the file may neither be confirmed nor changed.
    pub(super) fn fault_of(&self, content: &Content<'_>, stamp: &Metadata) -> Option<KeyringError> {
        // FORMAT §9.2, Lease: a file whose link count is not 1 is an unreachable store.
        if links(stamp) != 1 {
            return Some(KeyringError::Links {
                count: links(stamp),
            });
        }
        let slot = self.options.unexpected(content.slots())?.clone();
        Some(KeyringError::UnexpectedSlot { slot })
    }

    // FORMAT §9.2: a file with another slot is neither used for wrapping nor written.
    /// Refuses to write a file that would have a slot that is not expected.
    pub(super) fn refuse_unexpected(&self, keys: &KeyringTransaction) -> Result<()> {
        match self.options.unexpected(&keys.journal.slots) {
            Some(slot) => {
                let slot = slot.clone();
                Err(self.fault(KeyringError::UnexpectedSlot { slot }))
            }
            None => Ok(()),
        }
    }

    /// Takes over what was read, and keeps the file to look at it later. The lease begins at `before`, if the file may be confirmed.
    pub(super) fn take_in(
        &self,
        keyring: &Keyring,
        content: &Content<'_>,
        (file, stamp): (File, Metadata),
        before: Moment,
    ) -> Arc<Kept> {
        let fault = self.fault_of(content, &stamp);
        let mut keys = content.keys.copied();
        keys.journal.modified = stamp.modified().ok();
        self.tell(keyring, &keys);
        self.pins
            .publish(keyring, keys, fault.is_none().then_some(before));
        let kept = Arc::new(Kept { file, stamp, fault });
        self.keep(Some(kept.clone()));
        kept
    }

    fn keep(&self, kept: Option<Arc<Kept>>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// Reads the file again.
    pub(super) fn load(&self, keyring: &Keyring) -> Result<()> {
        let before = self.clock().now();
        let FileRead { file, stamp, bytes } = self.read(Lock::Shared)?;
        let content = self.open_content(&self.protection(), &bytes, Some(keyring))?;
        let kept = self.take_in(keyring, &content, (file, stamp), before);
        // Its own lock, whatever another thread has put in its place.
        unlock(&kept.file);
        Ok(())
    }

    /// What the clock of the file's file system says: a writer whose own clock is behind must not date a change of the lease before it.
    pub(super) fn file_systems_clock(&self) -> Result<SystemTime> {
        let read = || {
            let path = self.disk().resolve(&self.path)?;
            self.disk().clock_of(&folder_of(&path))
        };
        read().map_err(|error| {
            let text = format!(
                "the clock of its file system cannot be read, and the lease stays as it is: {error}"
            );
            Error::Io(io::Error::new(error.kind(), text))
        })
    }

    // FORMAT §9.2 and what a look costs: `fstat` of the kept descriptor and of the path.
    /// The file that was read last, if it still is what the path names and has not been touched.
    fn unchanged(&self) -> io::Result<Option<Arc<Kept>>> {
        let kept = self.kept.lock();
        let Some(kept) = kept.unwrap_or_else(PoisonError::into_inner).clone() else {
            return Ok(None);
        };
        let open = self.disk().metadata_of(&kept.file)?;
        let there = self.disk().metadata(&self.path)?;
        let same =
            |now: &Metadata| is_unchanged(&kept.stamp, now) && links(now) == links(&kept.stamp);
        Ok((same(&open) && same(&there)).then_some(kept))
    }

    /// Puts the next revision in the place of the file that was read. What is known to be there afterwards is taken over, also if a step
    /// after it failed.
    pub(super) fn put(
        &self,
        keyring: &Keyring,
        (keys, bytes): (KeyringTransaction, &[u8]),
        old: &Metadata,
        before: Moment,
    ) -> Result<()> {
        let path = self.disk().resolve(&self.path)?;
        // FORMAT §9.2: a file that has another name is never changed; it is looked at once more after the exchange.
        let put = self
            .disk()
            .put_in_place(&path, bytes, Old::from(old).with_one_name());
        let mut keys = keys;
        match put.map_err(Error::from) {
            Ok(file) => {
                let stamp = self.disk().metadata_of(&file).ok();
                keys.journal.modified = stamp.as_ref().and_then(|stamp| stamp.modified().ok());
                let is_known = stamp.is_some();
                self.pins.publish(keyring, keys, is_known.then_some(before));
                unlock(&file);
                let fault = None;
                self.keep(stamp.map(|stamp| Arc::new(Kept { file, stamp, fault })));
                Ok(())
            }
            Err(error) => {
                if matches!(error, Error::TookEffect { .. }) {
                    // The memory follows the file. It is confirmed only once it is durable.
                    self.pins.publish(keyring, keys, None);
                    self.keep(None);
                }
                Err(error)
            }
        }
    }

    // FORMAT §9.2: each change of either is reported by the process that meets it at a reload.
    fn tell(&self, keyring: &Keyring, keys: &KeyringTransaction) {
        let Some(tell) = &self.options.tell else {
            return;
        };
        let (old, new) = (
            keyring.read(|held| held.journal.slots.clone()),
            &keys.journal.slots,
        );
        let change = SlotChange {
            added: new
                .iter()
                .filter(|slot| !old.contains(slot))
                .cloned()
                .collect(),
            removed: old
                .iter()
                .filter(|slot| !new.contains(slot))
                .cloned()
                .collect(),
        };
        if change != SlotChange::default() {
            tell(&change);
        }
    }
}

impl Home<Keyring> for FileStore {
    fn confirm(&self, keyring: &Keyring) -> Result<()> {
        let before = self.clock().now();
        let look = || match self.unchanged() {
            Ok(Some(kept)) => Ok(Some(kept)),
            Ok(None) => self.load(keyring).map(|()| None),
            Err(error) => Err(self.located(error.into())),
        };
        let kept = match look()? {
            Some(kept) => kept,
            None => {
                let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                return match kept.as_ref().and_then(|kept| kept.fault.clone()) {
                    Some(fault) => Err(self.fault(fault)),
                    None => Ok(()),
                };
            }
        };
        match &kept.fault {
            Some(fault) => Err(self.fault(fault.clone())),
            None => {
                let now = self.pins.ask()?;
                let confirmed = self.pins.confirm(keyring, &now, before);
                confirmed.map_err(|how| self.rolled_back(how))
            }
        }
    }

    fn look_for_change(&self, keyring: &Keyring) -> Result<()> {
        match self.unchanged() {
            Ok(Some(_)) => Ok(()),
            _ => self.load(keyring),
        }
    }

    fn not_confirmed(&self, last: Option<SystemTime>, lease: Duration, why: &str) -> Error {
        let why = why.to_owned();
        self.fault(KeyringError::NotConfirmed { last, lease, why })
    }
}
