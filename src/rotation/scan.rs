//! A scan that opens every header without one key.

use std::fmt::{self, Display};
use std::path::Path;
use std::time::SystemTime;

use super::crew::{Crew, is_gone};
use super::evidence::{Evidence, Finding};
use super::json::seconds;
use super::look::{Content, InventoryEntry, look};
use super::tree::Tree;
use crate::disk::Disk;
use crate::envelope::{EnvelopeCipher, Inspection};
use crate::error::{Error, KeyId, Malformed, Result, SlotId};
use crate::format::header::{Header, Kind};

/// Files that a thread takes at once.
const BATCH: usize = 16;
/// Findings that are listed.
const MOST_FINDINGS: usize = 1000;

/// Opens every header in the places that it is given, without one key: what a key's destruction is to rest on.
///
/// A header that was read without a key is a claim. Here each is opened under another key, and its tag verified, and so are the slots
/// that it states. In an inline stream both header blocks must be alike. No payload is read.
///
/// ```no_run
/// use phi_envelope::{EnvelopeCipher, EvidenceScan, Keyring, Tree};
///
/// # let (keyring, old, rows) = (Keyring::generate("doc")?, Keyring::generate("doc")?.active()?, Vec::<(u64, Vec<u8>)>::new());
/// let cipher = EnvelopeCipher::new(keyring);
/// let mut scan = EvidenceScan::new(&cipher, old);
/// scan.tree("/archive", Tree::new(["/archive"]))?;
/// scan.rows("ehr.db, notes", rows);
/// let evidence = scan.finish();
/// println!("{evidence}");
/// let sealed = evidence.seal(&cipher)?;
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub struct EvidenceScan {
    cipher: EnvelopeCipher,
    slot: SlotId,
    evidence: Evidence,
}

impl EvidenceScan {
    /// A scan for what still needs `key`. Everything is opened with the cipher's other keys.
    #[must_use]
    pub fn new(cipher: &EnvelopeCipher, key: KeyId) -> Self {
        let slot = SlotId::from(key);
        Self {
            cipher: cipher.without(&slot),
            slot,
            evidence: Evidence::new(key),
        }
    }

    /// Opens the headers of all files of a tree, on all cores. `place` is how the evidence names it; a shard of a tree is named as one,
    /// since **the evidence does not speak of the others**.
    ///
    /// # Errors
    /// [`Error::Io`] where no thread can be started. What cannot be read or opened is a finding and no error.
    pub fn tree(&mut self, place: impl Into<String>, tree: Tree) -> Result<()> {
        let mut place = place.into();
        if let Some(shard) = tree.share() {
            place += &format!(", shard {shard}");
        }
        self.evidence.places.push(place);
        let cipher = self.cipher.clone();
        let crew = Crew::start(tree, BATCH, move |met| {
            look(&Disk::default(), met, |head| head.verify(&cipher))
        })?;
        for (entry, opened) in crew {
            self.file(&entry, opened);
        }
        Ok(())
    }

    /// Opens the headers of rows, each with the id by which the evidence names it where something is the matter with it.
    pub fn rows<I: Display, B: AsRef<[u8]>>(
        &mut self,
        place: impl Into<String>,
        rows: impl IntoIterator<Item = (I, B)>,
    ) {
        let place = place.into();
        for (id, row) in rows {
            let row = row.as_ref();
            let bytes = row.len() as u64;
            let name = || format!("{place}: {id}");
            match self.open_row(row) {
                Err(error) => self.not_opened(name(), error.to_string()),
                Ok(slots) if slots.contains(&self.slot) => self.in_use(name()),
                Ok(slots) => {
                    self.evidence.rows_opened.add(bytes);
                    for slot in &slots {
                        self.evidence.keys.count(slot, bytes, None);
                    }
                }
            }
        }
        self.evidence.places.push(place);
    }

    /// The evidence.
    #[must_use]
    pub fn finish(mut self) -> Evidence {
        self.evidence.finished = seconds(SystemTime::now());
        self.evidence
    }

    fn open_row(&self, row: &[u8]) -> Result<Vec<SlotId>> {
        let (header, _) = Header::parse(row)?;
        if header.kind() == Kind::StreamInline {
            return Err(Malformed::OtherKind.into());
        }
        let slots = Inspection::of(&header).slots;
        // One that is under the key alone is in use, and does not open here.
        if !slots.contains(&self.slot) {
            self.cipher.verify_header(header)?;
        }
        Ok(slots)
    }

    fn file(&mut self, entry: &InventoryEntry, opened: Option<Result<()>>) {
        let name = || entry.path.to_string_lossy().into_owned();
        match (&entry.content, &opened) {
            // It has its right name by now, or what it was to replace is as it was.
            (Content::Unreadable(error), _) if entry.is_temporary && is_gone(error) => {}
            (Content::Envelope(found), _) if found.all_slots().any(|slot| *slot == self.slot) => {
                self.in_use(name());
            }
            (Content::Envelope(found), _) if !found.blocks_alike => {
                let why = "its header blocks differ, or one is damaged: a rewrap repairs it";
                self.not_opened(name(), why.to_owned());
            }
            (Content::Envelope(found), Some(Ok(()))) => {
                self.evidence.opened.add(entry.bytes);
                let modified = entry.modified.map(seconds);
                for slot in found.all_slots() {
                    self.evidence.keys.count(slot, entry.bytes, modified);
                }
            }
            (Content::Envelope(_), Some(Err(error)))
            | (Content::Damaged(error) | Content::Unreadable(error), _) => {
                let why = error.to_string();
                self.not_opened(name(), why);
            }
            (Content::Envelope(_), None) => {
                let why = Error::Truncated.to_string();
                self.not_opened(name(), why);
            }
            (Content::NotAnEnvelope, _) => self.evidence.not_envelopes.add(entry.bytes),
            (Content::DetachedPayload, _) => self.evidence.detached_payloads.add(entry.bytes),
            (Content::Symlink | Content::Special, _) => self.evidence.passed_over += 1,
        }
    }

    fn in_use(&mut self, what: String) {
        self.evidence.in_use += 1;
        self.finding(what, "has a slot of the key".to_owned());
    }

    fn not_opened(&mut self, what: String, why: String) {
        self.evidence.not_opened += 1;
        self.finding(what, why);
    }

    fn finding(&mut self, what: String, why: String) {
        if self.evidence.findings.len() < MOST_FINDINGS {
            self.evidence.findings.push(Finding { what, why });
        } else {
            self.evidence.further_findings += 1;
        }
    }
}

impl fmt::Debug for EvidenceScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvidenceScan")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

/// The name of a place that a path leads to.
pub(super) fn place_of(path: &Path) -> String {
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    whole.to_string_lossy().into_owned()
}
