//! What a scan for evidence finds out about one file, row or object, away from its books.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::entry::{EntryKind, InventoryEntry, content, look};
use super::search::Marks;
use super::sight::{Lookout, Sighting, Stamp};
use super::walk::Met;
use crate::disk::{Disk, folder_of, is_mount, links, os_number};
use crate::envelope::EnvelopeCipher;
use crate::error::{EnvelopeKind, Error, Malformed, Result, SlotId};
use crate::files::{FileInspection, Head, PayloadHead, StreamProof};

/// Opens headers without the key that a scan is about.
pub(super) struct Examiner {
    cipher: EnvelopeCipher,
    slot: SlotId,
    marks: Marks,
}

/// What something is.
pub(super) enum Found {
    /// It has a slot of the key.
    InUse,
    /// It opened under another key. Of a detached header, what tells its payload.
    WithKey(Option<StreamProof>),
    /// A detached payload.
    Payload(PayloadHead),
    /// It is no envelope; where one stands inside it.
    Other(Option<u64>),
    /// It is an envelope that did not open, or is damaged.
    Failed(String),
    /// It could not be read.
    Unreadable(String),
}

/// A file with more names than one.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// The device and the inode of the file.
    pub(super) file: (u64, u64),
    pub(super) links: u64,
    /// The device and the inode of the folder: a name is told from others by it, however the folder is reached.
    pub(super) folder: (u64, u64),
    /// Whether it was met under a name of its own, and not under that of something else on which it is mounted.
    pub(super) is_name: bool,
    pub(super) path: PathBuf,
}

/// What a walk met.
pub(super) enum Seen {
    Folder {
        path: PathBuf,
        is_named: bool,
        seen: io::Result<Sighting>,
    },
    File {
        path: PathBuf,
        /// Of a file that the caller has named, what it was before it was read.
        seen: Option<Sighting>,
        bytes: u64,
        found: Found,
        named: Option<Named>,
    },
    /// A link, and what it leads to, if it leads anywhere.
    Link {
        path: PathBuf,
        target: Option<io::Result<PathBuf>>,
    },
    Special(PathBuf),
    Excluded {
        path: PathBuf,
        rule: String,
    },
    Unreadable {
        path: PathBuf,
        is_named: bool,
        error: Error,
    },
}

impl Examiner {
    pub(super) fn new(cipher: &EnvelopeCipher, slot: SlotId) -> Self {
        Self {
            cipher: cipher.without(&slot, true),
            slot,
            marks: Marks::new(),
        }
    }

    pub(super) fn slot(&self) -> &SlotId {
        &self.slot
    }

    /// What a walk has met.
    pub(super) fn met(&self, disk: &Disk, lookout: &Lookout, met: Met) -> Seen {
        let is_named = match met {
            Met::Folder {
                path,
                is_named,
                seen,
            } => {
                return Seen::Folder {
                    path,
                    is_named,
                    seen,
                };
            }
            Met::Symlink(path) => {
                let target = match disk.resolve(&path) {
                    // A dangling link leads nowhere, and so does a circle.
                    Err(error) if leads_nowhere(&error) => None,
                    target => Some(target),
                };
                return Seen::Link { path, target };
            }
            Met::Special(path) => return Seen::Special(path),
            Met::Excluded { path, rule } => {
                let rule = rule.to_string();
                return Seen::Excluded { path, rule };
            }
            Met::Unreadable {
                path,
                error,
                is_named,
            } => {
                return Seen::Unreadable {
                    path,
                    is_named,
                    error,
                };
            }
            Met::File { is_named, .. } => is_named,
        };
        let seen = match &met {
            Met::File { path, is_named } if *is_named => lookout.look(path, true).ok(),
            _ => None,
        };
        let (entry, read) = look(disk, met);
        let named = read
            .as_ref()
            .and_then(|(_, file)| names_of(disk, file, &entry.path));
        Seen::File {
            seen: seen.filter(|_| is_named),
            bytes: entry.bytes,
            found: self.file(disk, &entry, read),
            named,
            path: entry.path,
        }
    }

    fn file(&self, disk: &Disk, entry: &InventoryEntry, read: Option<(Head, File)>) -> Found {
        if let EntryKind::Unreadable(error) = &entry.content {
            return Found::Unreadable(error.to_string());
        }
        if entry.is_temporary {
            let why = "a process left it behind, or is writing it: scan again, or remove it";
            return Found::Failed(why.to_owned());
        }
        match (&entry.content, read) {
            (EntryKind::NotAnEnvelope, Some((_, file))) => match self.marks.find_in(disk, &file, 0)
            {
                Ok(inside) => Found::Other(inside),
                Err(error) => Found::Unreadable(error.to_string()),
            },
            (content, Some((head, file))) => self.and_no_more(
                self.head(content, &head),
                || self.marks.find_in(disk, &file, 1),
                || {
                    head.check_end(|at| {
                        let mut word = [0; 4];
                        match disk.read_up_to_at(&file, &mut word, at)? {
                            4 => Ok(word),
                            _ => Err(Error::Truncated),
                        }
                    })
                },
                content,
            ),
            (_, None) => Found::Unreadable("it was not read".to_owned()),
        }
    }

    /// Something of which all is in memory.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Found {
        let head = Head::of_bytes(bytes);
        match content(&head) {
            EntryKind::NotAnEnvelope => {
                let at = self.marks.find(bytes);
                Found::Other(at.and_then(|at| u64::try_from(at).ok()))
            }
            content => self.and_no_more(
                self.head(&content, &head),
                || {
                    let next = self.marks.find_next(bytes);
                    Ok(next.and_then(|at| u64::try_from(at).ok()))
                },
                || {
                    head.check_end(|at| {
                        let at = usize::try_from(at).ok();
                        let word = at.and_then(|at| bytes.get(at..)?.first_chunk());
                        word.copied().ok_or(Error::Truncated)
                    })
                },
                &content,
            ),
        }
    }

    /// What was found of an envelope or a payload, unless there is more in its file than that. A header tells nothing of what stands
    /// behind its payload: of envelopes that were written one behind the other, the first would speak for all. A record's end is
    /// stated nowhere, so that the next envelope is sought; a stream's last segment states it.
    fn and_no_more(
        &self,
        found: Found,
        next: impl FnOnce() -> io::Result<Option<u64>>,
        check_end: impl FnOnce() -> Result<()>,
        content: &EntryKind,
    ) -> Found {
        if !matches!(found, Found::WithKey(_) | Found::Payload(_)) {
            return found;
        }
        let is_stream = match content {
            EntryKind::Envelope(found) => found.header.kind == EnvelopeKind::StreamInline,
            _ => true,
        };
        if is_stream {
            return match check_end() {
                Ok(()) => found,
                Err(Error::Io(error)) => Found::Unreadable(error.to_string()),
                Err(error) => Found::Failed(error.to_string()),
            };
        }
        match next() {
            Ok(None) => found,
            Ok(Some(at)) => Found::Failed(format!(
                "an envelope, and another seems to stand in the same file at byte {at}"
            )),
            Err(error) => Found::Unreadable(error.to_string()),
        }
    }

    /// What its head tells of something that is an envelope or a payload.
    pub(super) fn head(&self, content: &EntryKind, head: &Head) -> Found {
        match content {
            EntryKind::Envelope(found) => self.envelope(found, head),
            EntryKind::DetachedPayload => match head.payload() {
                Some(Ok(payload)) => Found::Payload(payload),
                _ => Found::Failed(Error::Truncated.to_string()),
            },
            EntryKind::CompactRecord(key) => Found::Failed(format!(
                "a compact record of {key}: its compartment's entry opens it, and it was not opened"
            )),
            EntryKind::Damaged(error) | EntryKind::Unreadable(error) => {
                Found::Failed(error.to_string())
            }
            EntryKind::NotAnEnvelope => Found::Other(None),
            EntryKind::Symlink | EntryKind::Special | EntryKind::Excluded(_) => {
                Found::Unreadable("it was not read".to_owned())
            }
        }
    }

    fn envelope(&self, found: &FileInspection, head: &Head) -> Found {
        // FORMAT §9.4: each envelope that has a slot of the key, in either block, whatever else opens it.
        if found.all_slots().any(|slot| *slot == self.slot) {
            return Found::InUse;
        }
        if !found.blocks_alike {
            return Found::Failed(format!("{}: a rewrap repairs it", Malformed::BlocksDiffer));
        }
        match self.open(head) {
            Ok(proof) => Found::WithKey(proof),
            Err(error) => {
                let what = match found.header.kind {
                    kind @ (EnvelopeKind::Keyring | EnvelopeKind::Identity) => {
                        format!("{kind}: {error}")
                    }
                    _ => error.to_string(),
                };
                Found::Failed(what)
            }
        }
    }

    pub(super) fn open(&self, head: &Head) -> Result<Option<StreamProof>> {
        head.verify_for_scan(&self.cipher)
    }
}

/// The names of a file, if it has more than one.
pub(super) fn names_of(disk: &Disk, file: &File, path: &Path) -> Option<Named> {
    named(&disk.metadata_of(file).ok()?, path)
}

/// The name of a file that has more than one.
pub(super) fn named(metadata: &Metadata, path: &Path) -> Option<Named> {
    let links = links(metadata);
    (links > 1).then(|| Named {
        file: Stamp::from(metadata).identity,
        links,
        folder: Stamp::of(&folder_of(path), true).map_or((0, 0), |stamp| stamp.identity),
        is_name: !is_mount(path),
        path: path.to_owned(),
    })
}

fn leads_nowhere(error: &io::Error) -> bool {
    let is_circle = os_number(error) == Some(ELOOP);
    error.kind() == io::ErrorKind::NotFound || is_circle
}

#[cfg(target_os = "linux")]
const ELOOP: i32 = 40;
#[cfg(not(target_os = "linux"))]
const ELOOP: i32 = 62;
