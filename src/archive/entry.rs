//! One file, looked at without a key.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::json::{self, Slots};
use super::walk::Met;
use crate::disk::{Disk, is_meanwhile_name, named};
use crate::error::{Error, Result, SlotId};
use crate::files::{FileInspection, Head};
use crate::format::header::EnvelopeKind;

/// A file of a tree, and what it is by its own account. **Nothing of it is verified**: without a key it is a claim.
///
/// Serialized, it is one object: a line of a JSON-lines file.
#[derive(Debug)]
#[non_exhaustive]
pub struct InventoryEntry {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of it.
    pub bytes: u64,
    /// When it was last written to, where the system says it.
    pub modified: Option<SystemTime>,
    /// What it is.
    pub content: EntryKind,
    /// Whether its name says that a process which died left it behind, or that one which lives is writing it.
    pub is_temporary: bool,
}

/// What a file is by its own account.
#[derive(Debug)]
#[non_exhaustive]
pub enum EntryKind {
    /// An envelope: a record, an inline stream or a detached header.
    Envelope(Box<FileInspection>),
    /// What begins as the payload of a detached header, which says who can open it.
    DetachedPayload,
    /// A compact record of this compartment and key number (FORMAT §10). It has no header.
    CompactRecord(SlotId),
    /// Neither: a plaintext, or a file of another kind.
    NotAnEnvelope,
    /// It begins as an envelope and breaks a rule of the format, is cut short, or of a newer version.
    Damaged(Error),
    /// It could not be read, or the folder that it is in.
    Unreadable(Error),
    /// A symbolic link. It was not followed.
    Symlink,
    /// A pipe, a socket or a device.
    Special,
    /// Excluded by the caller, with the rule that says so. It was not looked at.
    Excluded(String),
}

impl InventoryEntry {
    /// What its header says, where it is an envelope.
    #[must_use]
    pub fn inspection(&self) -> Option<&FileInspection> {
        match &self.content {
            EntryKind::Envelope(found) => Some(found),
            _ => None,
        }
    }

    /// Something of which a head was read.
    pub(super) fn of(path: PathBuf, head: &Head) -> Self {
        Self {
            bytes: head.file_bytes,
            modified: head.modified,
            ..Self::bare(path, content(head))
        }
    }

    fn bare(path: PathBuf, content: EntryKind) -> Self {
        Self {
            is_temporary: is_meanwhile_name(&path),
            path,
            bytes: 0,
            modified: None,
            content,
        }
    }
}

impl Serialize for InventoryEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        json::path(&mut map, &self.path)?;
        map.serialize_entry("bytes", &self.bytes)?;
        map.serialize_entry("modified", &self.modified.map(json::seconds))?;
        map.serialize_entry("is", self.content.word())?;
        if self.is_temporary {
            map.serialize_entry("temporary", &true)?;
        }
        match &self.content {
            EntryKind::Envelope(found) => {
                let header = &found.header;
                map.serialize_entry("generation", &header.generation)?;
                map.serialize_entry("labels", &json::Labels(&header.labels))?;
                map.serialize_entry("slots", &Slots(&header.slots))?;
                map.serialize_entry("blocks_alike", &found.blocks_alike)?;
                if !found.other_slots.is_empty() {
                    map.serialize_entry("other_slots", &Slots(&found.other_slots))?;
                }
            }
            EntryKind::CompactRecord(key) => {
                map.serialize_entry("slots", &Slots(std::slice::from_ref(key)))?;
            }
            EntryKind::Excluded(rule) => map.serialize_entry("rule", rule)?,
            EntryKind::Damaged(error) | EntryKind::Unreadable(error) => {
                json::error(&mut map, error)?
            }
            _ => {}
        }
        map.end()
    }
}

impl EntryKind {
    /// What it is, in a word.
    fn word(&self) -> &'static str {
        match self {
            Self::Envelope(found) if found.is_text => "text-record",
            Self::Envelope(found) => match found.header.kind {
                EnvelopeKind::Record => "record",
                EnvelopeKind::StreamInline => "stream",
                EnvelopeKind::StreamDetached => "detached-header",
                EnvelopeKind::Keyring => "keyring",
                EnvelopeKind::Evidence => "evidence",
                EnvelopeKind::Identity => "identity",
                EnvelopeKind::CompartmentRoot => "compartment-root",
                EnvelopeKind::CompartmentEntry => "compartment-entry",
                EnvelopeKind::ShredReceipt => "shred-receipt",
                EnvelopeKind::AuditSegmentHead => "audit-segment-head",
                EnvelopeKind::CompactRecord => "compact-record",
            },
            Self::DetachedPayload => "detached-payload",
            Self::NotAnEnvelope => "not-an-envelope",
            Self::Damaged(_) => "damaged",
            Self::Unreadable(_) => "unreadable",
            Self::Symlink => "symlink",
            Self::Special => "special",
            Self::CompactRecord(_) => "compact-record",
            Self::Excluded(_) => "excluded",
        }
    }
}

/// Looks at what a walk met. Of a file that could be read there is its head, to be looked at further, and the open file.
pub(super) fn look(disk: &Disk, met: Met) -> (InventoryEntry, Option<(Head, File)>) {
    let bare = |path, content| (InventoryEntry::bare(path, content), None);
    let (path, is_named) = match met {
        Met::File { path, is_named } => (path, is_named),
        Met::Symlink(path) => return bare(path, EntryKind::Symlink),
        Met::Special(path) | Met::Folder { path, .. } => return bare(path, EntryKind::Special),
        Met::Excluded { path, rule } => return bare(path, EntryKind::Excluded(rule.to_string())),
        Met::Unreadable { path, error, .. } => return bare(path, EntryKind::Unreadable(error)),
    };
    let opened = open(disk, &path, is_named);
    match opened.and_then(|file| Ok((Head::read(disk, &file)?, file))) {
        Err(error @ Error::Io(_)) => bare(path, EntryKind::Unreadable(error)),
        Err(error) => bare(path, EntryKind::Damaged(error)),
        Ok((head, file)) => (InventoryEntry::of(path, &head), Some((head, file))),
    }
}

/// What a head says that it is the head of.
pub(super) fn content(head: &Head) -> EntryKind {
    if let Some(payload) = head.payload() {
        return match payload {
            Ok(_) => EntryKind::DetachedPayload,
            Err(error) => EntryKind::Damaged(error),
        };
    }
    if let Some(compact) = head.compact() {
        return match compact {
            Ok(key) => EntryKind::CompactRecord(key),
            Err(error) => EntryKind::Damaged(error),
        };
    }
    match head.inspect() {
        Ok(found) => EntryKind::Envelope(Box::new(found)),
        Err(Error::NotAnEnvelope) => EntryKind::NotAnEnvelope,
        Err(error) => EntryKind::Damaged(error),
    }
}

/// Opens a file that is met in a folder as what itself bears the name; one that was named by the caller, as what the name leads to.
/// What is no regular file any more is refused: a pipe would be waited for.
fn open(disk: &Disk, path: &Path, is_named: bool) -> Result<File> {
    if cfg!(not(target_os = "linux")) {
        // Nothing there opens without following a link or waiting for a pipe: it is looked at first.
        let there = if is_named {
            disk.metadata(path)?
        } else {
            disk.metadata_here(path)?
        };
        if !there.is_file() {
            let what = "this is no regular file any more";
            return Err(named(path, std::io::ErrorKind::InvalidInput, what).into());
        }
    }
    let file = if is_named {
        disk.open_at_once(path)?
    } else {
        disk.open_here(path)?
    };
    disk.refuse_other_than_file(&file, path)?;
    Ok(file)
}
