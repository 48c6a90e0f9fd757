//! One file, looked at without a key.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::json::{self, Slots};
use super::tree::Met;
use crate::disk::{Disk, is_meanwhile_name};
use crate::error::{Error, Result};
use crate::file::{FileInspection, Head};
use crate::format::header::Kind;

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
    pub content: Content,
    /// Whether its name says that a process which died left it behind, or that one which lives is writing it.
    pub is_temporary: bool,
}

/// What a file is by its own account.
#[derive(Debug)]
#[non_exhaustive]
pub enum Content {
    /// An envelope: a record, an inline stream or a detached header.
    Envelope(Box<FileInspection>),
    /// What looks like the payload of a detached header, which says who can open it.
    DetachedPayload,
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
}

impl InventoryEntry {
    /// What its header says, where it is an envelope.
    #[must_use]
    pub fn inspection(&self) -> Option<&FileInspection> {
        match &self.content {
            Content::Envelope(found) => Some(found),
            _ => None,
        }
    }

    fn bare(path: PathBuf, content: Content) -> Self {
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
            Content::Envelope(found) => {
                let header = &found.header;
                map.serialize_entry("generation", &header.generation)?;
                map.serialize_entry("labels", &json::Labels(&header.labels))?;
                map.serialize_entry("slots", &Slots(&header.slots))?;
                map.serialize_entry("blocks_alike", &found.blocks_alike)?;
                if !found.other_slots.is_empty() {
                    map.serialize_entry("other_slots", &Slots(&found.other_slots))?;
                }
            }
            Content::Damaged(error) | Content::Unreadable(error) => json::error(&mut map, error)?,
            _ => {}
        }
        map.end()
    }
}

impl Content {
    /// What it is, in a word.
    fn word(&self) -> &'static str {
        match self {
            Self::Envelope(found) if found.is_text => "text-record",
            Self::Envelope(found) => match found.header.kind {
                Kind::Record => "record",
                Kind::StreamInline => "stream",
                Kind::StreamDetached => "detached-header",
                Kind::Keyring => "keyring",
                Kind::Evidence => "evidence",
                Kind::Identity => "identity",
                Kind::CompartmentRoot => "compartment-root",
                Kind::CompartmentEntry => "compartment-entry",
                Kind::ShredReceipt => "shred-receipt",
                Kind::AuditSegmentHead => "audit-segment-head",
                Kind::CompactRecord => "compact-record",
            },
            Self::DetachedPayload => "detached-payload",
            Self::NotAnEnvelope => "not-an-envelope",
            Self::Damaged(_) => "damaged",
            Self::Unreadable(_) => "unreadable",
            Self::Symlink => "symlink",
            Self::Special => "special",
        }
    }
}

/// Looks at what a walk met; `then` may look further at the head of an envelope.
pub(super) fn look<T>(
    disk: &Disk,
    met: Met,
    then: impl FnOnce(&Head) -> T,
) -> (InventoryEntry, Option<T>) {
    let (path, is_named) = match met {
        Met::File { path, is_named } => (path, is_named),
        Met::Symlink(path) => return (InventoryEntry::bare(path, Content::Symlink), None),
        Met::Special(path) => return (InventoryEntry::bare(path, Content::Special), None),
        Met::Unreadable { path, error, .. } => {
            return (InventoryEntry::bare(path, Content::Unreadable(error)), None);
        }
    };
    let opened = open(disk, &path, is_named);
    match opened.and_then(|file| Ok((Head::read(disk, &file)?, file))) {
        Err(error @ Error::Io(_)) => {
            let content = Content::Unreadable(error);
            (InventoryEntry::bare(path, content), None)
        }
        Err(error) => (InventoryEntry::bare(path, Content::Damaged(error)), None),
        Ok((head, _file)) => {
            let (content, more) = match head.inspect() {
                Ok(found) => (Content::Envelope(Box::new(found)), Some(then(&head))),
                Err(Error::NotAnEnvelope) if head.looks_like_payload() => {
                    (Content::DetachedPayload, None)
                }
                Err(Error::NotAnEnvelope) => (Content::NotAnEnvelope, None),
                Err(error) => (Content::Damaged(error), None),
            };
            let entry = InventoryEntry {
                bytes: head.file_bytes,
                modified: head.modified,
                ..InventoryEntry::bare(path, content)
            };
            (entry, more)
        }
    }
}

/// Opens a file that is met in a folder as what itself bears the name; one that was named by the caller, as what the name leads to.
fn open(disk: &Disk, path: &Path, is_named: bool) -> Result<File> {
    Ok(if is_named {
        disk.open_at_once(path)?
    } else {
        disk.open_here(path)?
    })
}
