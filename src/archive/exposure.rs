//! After a theft: which files a stolen key could read.

use std::fmt;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::entry::{EntryKind, InventoryEntry, look};
use super::json::{self, Slots};
use super::key_usage::{KeyUses, Totals};
use super::table::{Table, day, shown};
use super::tree::FileTree;
use super::workers::{Crew, Progress};
use crate::disk::Disk;
use crate::envelope::KeyringFile;
use crate::error::{EnvelopeKind, Error, KeyState, Malformed, Result, SlotId};
use crate::format::slot::PASSPHRASE;

/// Files that a thread takes at once.
const BATCH: usize = 64;
/// Readable keyrings that are named.
const MOST_KEYRINGS: usize = 1000;

/// Sorts files by whether these keys open them: the facts for an assessment after a theft, and no judgement of it.
///
/// Reads heads alone and needs no key, and so **nothing of it is verified**. It says what the keys open *today*. What was rewrapped or
/// re-encrypted since they were stolen, they opened before: a file that changed its header has a
/// [`generation`](crate::Inspection::generation) above 0, or was re-encrypted and has one of 0, and old copies of it open as they did. A
/// slot of a key is named by [`KeyId`](crate::KeyId) `.into()`; one of a passphrase by scheme 2 and an empty id, which stands for all.
///
/// # Errors
/// [`Error::Io`] where no thread can be started.
///
/// ```no_run
/// use phi_envelope::{KeyId, archive::{self, FileTree}};
///
/// let stolen: KeyId = "00112233445566778899aabbccddeeff".parse()?;
/// let mut exposure = archive::exposure(FileTree::new(["/laptop-image"]), [stolen.into()])?;
/// for file in &mut exposure {
///     println!("{}", serde_json::to_string(&file).unwrap_or_default());
/// }
/// println!("{}", exposure.summary()); // a table
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn exposure(tree: FileTree, keys: impl IntoIterator<Item = SlotId>) -> Result<ExposurePass> {
    let keys: Vec<_> = keys.into_iter().collect();
    Ok(ExposurePass {
        summary: ExposureSummary::new(),
        began: Instant::now(),
        crew: Crew::start(tree, BATCH, move |met| {
            let (entry, _) = look(&Disk::default(), met);
            sort(entry, &keys)
        })?,
    })
}

/// The keys that whoever has `stolen` has in turn: those in each of these keyrings' files that a key of his opens, and so on. A keyring's
/// file that was stolen is opened for that by its owner.
///
/// ```no_run
/// use phi_envelope::{KeyringFile, Passphrase, archive};
///
/// let file = KeyringFile::open("ehr.keyring", Passphrase::new("correct horse")?)?;
/// let stolen = archive::exposure_through([file.slots()[0].clone()], [&file]);
/// assert!(stolen.len() > 1); // its master keys too
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn exposure_through<'a>(
    stolen: impl IntoIterator<Item = SlotId>,
    keyrings: impl IntoIterator<Item = &'a KeyringFile>,
) -> Vec<SlotId> {
    let mut stolen: Vec<_> = stolen.into_iter().collect();
    let mut closed: Vec<_> = keyrings.into_iter().collect();
    loop {
        let opens = |file: &&KeyringFile| file.slots().iter().any(|slot| is_among(slot, &stolen));
        let (opened, rest): (Vec<_>, Vec<_>) = closed.into_iter().partition(opens);
        if opened.is_empty() {
            return stolen;
        }
        for key in opened.iter().flat_map(|file| file.keyring().keys()) {
            let slot = SlotId::from(key.id);
            if key.state != KeyState::Destroyed && !stolen.contains(&slot) {
                stolen.push(slot);
            }
        }
        closed = rest;
    }
}

/// Whether one of these keys is that of a slot. One of scheme 2 without an id stands for all passphrases.
fn is_among(slot: &SlotId, keys: &[SlotId]) -> bool {
    keys.iter().any(|key| {
        let any = key.scheme == PASSPHRASE && key.key_id.is_empty();
        key.scheme == slot.scheme && (any || key.key_id == slot.key_id)
    })
}

/// A tree that is being sorted: an iterator over files, and what they add up to.
pub struct ExposurePass {
    crew: Crew<ExposureEntry>,
    summary: ExposureSummary,
    began: Instant,
}

impl ExposurePass {
    /// What was seen so far; once the iterator has ended, all.
    #[must_use]
    pub fn summary(&self) -> &ExposureSummary {
        &self.summary
    }

    /// Takes it to its end and returns what it adds up to.
    #[must_use]
    pub fn finish(mut self) -> ExposureSummary {
        (&mut self).for_each(drop);
        self.summary
    }

    /// How far it is; `total` files, where [`FileTree::count`] counted them.
    #[must_use]
    pub fn progress(&self, total: Option<u64>) -> Progress {
        Progress::new(self.summary.seen(), total, self.began)
    }
}

impl Iterator for ExposurePass {
    type Item = ExposureEntry;

    fn next(&mut self) -> Option<ExposureEntry> {
        let entry = self.crew.next()?;
        self.summary.add(&entry);
        Some(entry)
    }
}

impl fmt::Debug for ExposurePass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exposure")
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

/// A file, and whether the keys open it. Serialized, it is one object: a line of a JSON-lines file.
#[derive(Debug)]
#[non_exhaustive]
pub struct ExposureEntry {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of it.
    pub bytes: u64,
    /// When it was last written to, where the system says it. It is under its keys since then, or for longer.
    pub modified: Option<SystemTime>,
    /// How often its header was changed: 0 where it is under the keys that it was sealed for.
    pub generation: Option<u32>,
    /// Whether the keys open it.
    pub exposed: Readability,
    /// Whether it is a keyring: the keys that are in it open more in turn.
    pub is_keyring: bool,
}

/// Whether keys open a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum Readability {
    /// These of them do: they have a slot in one of its header blocks.
    Readable(Vec<SlotId>),
    /// None of them does. These keys do.
    NotReadable(Vec<SlotId>),
    /// It looks like the payload of a detached header. Who has the header's data key reads it.
    DetachedPayload,
    /// It is not encrypted by this format: whoever has the file reads what is in it.
    NotAnEnvelope,
    /// Its header is damaged, or one of its two header blocks, or it is of a newer version: not known.
    Damaged(Error),
    /// It could not be read: not known.
    Unreadable(Error),
    /// A symbolic link, a pipe, a socket or a device.
    Skipped,
}

fn sort(entry: InventoryEntry, keys: &[SlotId]) -> ExposureEntry {
    let is_stolen = |slot: &SlotId| is_among(slot, keys);
    let (mut generation, mut is_keyring) = (None, false);
    let exposed = match entry.content {
        EntryKind::Envelope(found) => {
            generation = Some(found.header.generation);
            is_keyring = found.header.kind == EnvelopeKind::Keyring;
            let slots = found.all_slots().cloned();
            let (stolen, others): (Vec<_>, Vec<_>) = slots.partition(is_stolen);
            if stolen.is_empty() && !found.blocks_alike {
                // What is left of the other block may hold a slot of theirs.
                Readability::Damaged(Malformed::BlocksDiffer.into())
            } else if stolen.is_empty() {
                Readability::NotReadable(others)
            } else {
                Readability::Readable(stolen)
            }
        }
        EntryKind::DetachedPayload => Readability::DetachedPayload,
        EntryKind::NotAnEnvelope => Readability::NotAnEnvelope,
        EntryKind::Damaged(error) => Readability::Damaged(error),
        EntryKind::Unreadable(error) => Readability::Unreadable(error),
        EntryKind::CompactRecord(key) if is_stolen(&key) => Readability::Readable(vec![key]),
        EntryKind::CompactRecord(key) => Readability::NotReadable(vec![key]),
        EntryKind::Symlink | EntryKind::Special | EntryKind::Excluded(_) => Readability::Skipped,
    };
    ExposureEntry {
        path: entry.path,
        bytes: entry.bytes,
        modified: entry.modified,
        generation,
        exposed,
        is_keyring,
    }
}

impl Serialize for ExposureEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        json::path(&mut map, &self.path)?;
        map.serialize_entry("bytes", &self.bytes)?;
        map.serialize_entry("modified", &self.modified.map(json::seconds))?;
        let word = match &self.exposed {
            Readability::Readable(_) => "readable",
            Readability::NotReadable(_) => "not-readable",
            Readability::DetachedPayload => "detached-payload",
            Readability::NotAnEnvelope => "not-an-envelope",
            Readability::Damaged(_) => "damaged",
            Readability::Unreadable(_) => "unreadable",
            Readability::Skipped => "passed-over",
        };
        map.serialize_entry("exposed", word)?;
        if self.is_keyring {
            map.serialize_entry("keyring", &true)?;
        }
        match &self.exposed {
            Readability::Readable(slots) | Readability::NotReadable(slots) => {
                map.serialize_entry("generation", &self.generation)?;
                map.serialize_entry("keys", &Slots(slots))?;
            }
            Readability::Damaged(error) | Readability::Unreadable(error) => {
                json::error(&mut map, error)?
            }
            _ => {}
        }
        map.end()
    }
}

/// What the sorting adds up to. `Display` makes a table of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExposureSummary {
    /// When it was begun, in seconds since 1970.
    pub taken: u64,
    /// Files that the keys open.
    pub readable: Totals,
    /// Files that they do not open.
    pub not_readable: Totals,
    /// Of these, files whose header was changed since they were sealed: an earlier one may have been under the keys.
    pub not_readable_but_changed: Totals,
    /// Files that look like the payload of a detached header.
    pub detached_payloads: Totals,
    /// Files that are not encrypted by this format.
    pub not_envelopes: Totals,
    /// Files with a damaged header, or of a newer version: not known.
    pub damaged: Totals,
    /// Files and folders that could not be read: not known.
    pub unreadable: u64,
    /// Symbolic links, pipes, sockets and devices.
    pub passed_over: u64,
    /// Keyrings among the files that the keys open: whoever has the keys has those that are in them too. The first thousand.
    pub readable_keyrings: Vec<String>,
    /// Which of the keys open what.
    pub readable_by: KeyUses,
    /// Which keys open what is not readable, and since when at least.
    pub not_readable_under: KeyUses,
}

impl ExposureSummary {
    fn new() -> Self {
        Self {
            taken: json::seconds(SystemTime::now()),
            ..Self::default()
        }
    }

    fn seen(&self) -> u64 {
        let files = [
            self.readable,
            self.not_readable,
            self.detached_payloads,
            self.not_envelopes,
            self.damaged,
        ];
        files.iter().map(|tally| tally.files).sum::<u64>() + self.unreadable + self.passed_over
    }

    fn add(&mut self, entry: &ExposureEntry) {
        let modified = entry.modified.map(json::seconds);
        let tally = match &entry.exposed {
            Readability::Readable(slots) => {
                if entry.is_keyring && self.readable_keyrings.len() < MOST_KEYRINGS {
                    let path = entry.path.to_string_lossy().into_owned();
                    self.readable_keyrings.push(path);
                }
                for slot in slots {
                    self.readable_by.count(slot, entry.bytes, modified);
                }
                &mut self.readable
            }
            Readability::NotReadable(slots) => {
                for slot in slots {
                    self.not_readable_under.count(slot, entry.bytes, modified);
                }
                if entry.generation.is_some_and(|generation| generation > 0) {
                    self.not_readable_but_changed.add(entry.bytes);
                }
                &mut self.not_readable
            }
            Readability::DetachedPayload => &mut self.detached_payloads,
            Readability::NotAnEnvelope => &mut self.not_envelopes,
            Readability::Damaged(_) => &mut self.damaged,
            Readability::Unreadable(_) => return self.unreadable += 1,
            Readability::Skipped => return self.passed_over += 1,
        };
        tally.add(entry.bytes);
    }
}

impl fmt::Display for ExposureSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[&*format!("on {}", day(self.taken)), "files", "bytes"]);
        let changed = "  of these, with a header changed since";
        for (name, tally) in [
            ("READABLE with these keys", self.readable),
            ("not readable with them", self.not_readable),
            (changed, self.not_readable_but_changed),
            ("NOT ENVELOPES", self.not_envelopes),
            ("detached payloads", self.detached_payloads),
            ("damaged: not known", self.damaged),
        ] {
            table.row(name, tally.cells());
        }
        table.fmt(f)?;
        if self.unreadable > 0 {
            writeln!(f, "{} could not be read: not known", self.unreadable)?;
        }
        for keyring in &self.readable_keyrings {
            writeln!(
                f,
                "READABLE KEYRING {}: the keys in it are stolen too, and open what is under them",
                shown(keyring)
            )?;
        }
        for (what, keys) in [
            ("readable by", &self.readable_by),
            ("not readable, under", &self.not_readable_under),
        ] {
            if !keys.listed.is_empty() {
                write!(f, "\n{what}\n{keys}")?;
            }
        }
        Ok(())
    }
}
