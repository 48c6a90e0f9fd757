//! A scan that opens every header without one key.

use std::fmt::{self, Display};
use std::time::SystemTime;

use super::crew::Crew;
use super::evidence::{Evidence, Finding, Place};
use super::json::seconds;
use super::look::{Content, InventoryEntry, look};
use super::tree::Tree;
use super::uses::Tally;
use crate::disk::Disk;
use crate::envelope::EnvelopeCipher;
use crate::error::{Error, KeyId, Malformed, Result, SlotId};
use crate::file::{FileInspection, Head};
use crate::format::header::Kind;

/// Files that a thread takes at once.
const BATCH: usize = 16;
/// Findings that are listed.
const MOST_FINDINGS: usize = 1000;
/// Files that are named although they are no envelopes.
const MOST_OTHERS: usize = 100;

/// Opens every header in the places that it is given, without one key: what a key's destruction is to rest on.
///
/// A header that was read without a key is a claim. Here each is opened under another key, and its tag verified, and so are the slots
/// that it states. In an inline stream both header blocks must be alike. No payload is read.
///
/// It is to begin when what was begun before the last rotation has ended: an upload, a transaction, a process that has not reloaded the
/// keyring. In each place something must open; leave out what is empty. Where a passphrase's slot stands before the keyring's and the
/// cipher has the passphrase, each file costs an Argon2id.
///
/// ```no_run
/// use phi_envelope::{EnvelopeCipher, EvidenceScan, Keyring, Tree};
///
/// # let (keyring, old, rows) = (Keyring::generate("doc")?, Keyring::generate("doc")?.active()?, Vec::<phi_envelope::Result<(u64, Vec<u8>)>>::new());
/// let cipher = EnvelopeCipher::new(keyring);
/// let mut scan = EvidenceScan::new(&cipher, old);
/// scan.tree("/archive", Tree::new(["/archive"]))?;
/// scan.rows("ehr.db, notes", rows)?;
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
            cipher: cipher.without(&slot, true),
            slot,
            evidence: Evidence::new(key),
        }
    }

    /// Opens the headers of all files of a tree, on all cores. `place` is how the evidence names it.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a shard of a tree: evidence speaks of all of it. [`Error::Io`] where no thread can be started. What
    /// cannot be read or opened is a finding and no error.
    pub fn tree(&mut self, place: impl Into<String>, tree: Tree) -> Result<()> {
        let name = place.into();
        if tree.is_sharded() {
            return Err(Error::Misuse("evidence speaks of all of a tree"));
        }
        self.begin(name);
        let cipher = self.cipher.clone();
        let crew = Crew::start(tree, BATCH, move |met| {
            look(&Disk::default(), met, |head| head.verify(&cipher))
        })?;
        for (entry, opened) in crew {
            self.file(&entry, opened);
        }
        Ok(())
    }

    /// Opens the headers of rows, as bytes or in text form, each with the id by which the evidence names it where something is the matter
    /// with it.
    ///
    /// # Errors
    /// The error with which the reading of the rows ended. The evidence then says that they were not all opened.
    pub fn rows<I: Display, B: AsRef<[u8]>, E: Display>(
        &mut self,
        place: impl Into<String>,
        rows: impl IntoIterator<Item = Result<(I, B), E>>,
    ) -> Result<(), E> {
        let place = place.into();
        self.begin(place.clone());
        for row in rows {
            let (id, row) = match row {
                Ok(row) => row,
                Err(error) => {
                    self.not_opened(place, error.to_string());
                    return Err(error);
                }
            };
            let head = Head::of_bytes(row.as_ref());
            let found = head.inspect();
            let opened = found.map(|found| (found, head.verify(&self.cipher)));
            let name = || format!("{place}: {id}");
            match opened {
                Ok((found, opened)) => self.envelope(&found, &opened, None, &name),
                Err(error) => self.not_opened(name(), error.to_string()),
            }
        }
        Ok(())
    }

    /// The evidence.
    #[must_use]
    pub fn finish(mut self) -> Evidence {
        self.evidence.finished = seconds(SystemTime::now());
        self.evidence
    }

    fn begin(&mut self, name: String) {
        self.evidence.places.push(Place {
            name,
            opened: Tally::default(),
        });
    }

    fn file(&mut self, entry: &InventoryEntry, opened: Option<Result<()>>) {
        let name = || entry.path.to_string_lossy().into_owned();
        match (&entry.content, opened) {
            (Content::Envelope(found), opened) => {
                let opened = opened.unwrap_or(Err(Error::Truncated));
                let modified = entry.modified.map(seconds);
                if entry.is_temporary {
                    let why =
                        "a process left it behind, or is writing it: scan again, or remove it";
                    self.not_opened(name(), why.to_owned());
                } else {
                    self.envelope(found, &opened, modified, &name);
                }
            }
            (Content::Damaged(error) | Content::Unreadable(error), _) => {
                self.not_opened(name(), error.to_string());
            }
            (Content::NotAnEnvelope, _) => {
                self.evidence.not_envelopes.add(entry.bytes);
                self.other(&name);
            }
            (Content::DetachedPayload, _) => self.evidence.detached_payloads.add(entry.bytes),
            (Content::Symlink | Content::Special, _) => {
                self.evidence.passed_over += 1;
                self.other(&name);
            }
        }
    }

    fn envelope(
        &mut self,
        found: &FileInspection,
        opened: &Result<()>,
        modified: Option<u64>,
        name: &dyn Fn() -> String,
    ) {
        match opened {
            // Also where nothing else opens it, as where only the key does.
            _ if found.all_slots().any(|slot| *slot == self.slot) => self.in_use(name()),
            _ if !found.blocks_alike => {
                let why = format!("{}: a rewrap repairs it", Malformed::BlocksDiffer);
                self.not_opened(name(), why);
            }
            Err(error) => self.not_opened(name(), error.to_string()),
            Ok(()) => {
                let bytes = found.file_bytes;
                self.evidence.opened.add(bytes);
                if let Some(place) = self.evidence.places.last_mut() {
                    place.opened.add(bytes);
                }
                if found.header.kind == Kind::StreamDetached {
                    self.evidence.detached_headers += 1;
                }
                for slot in found.all_slots() {
                    self.evidence.keys.count(slot, bytes, modified);
                }
            }
        }
    }

    fn other(&mut self, name: &dyn Fn() -> String) {
        if self.evidence.others.len() < MOST_OTHERS {
            self.evidence.others.push(name());
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
