//! Which keys protect what: every file of a tree, by its own account.

use std::fmt;
use std::path::Path;
use std::time::Instant;

use super::entry::{InventoryEntry, look};
use super::summary::InventorySummary;
use super::tree::FileTree;
use super::workers::{Crew, Progress};
use crate::disk::Disk;
use crate::error::Result;
use crate::files::Head;

/// Files that a thread takes at once.
const BATCH: usize = 64;

/// Looks at all files of a tree, on all cores and in no order, and reads heads alone: it costs the same whatever the size of the
/// files, and needs no key. **Nothing of it is verified.** That a key is in no header is a claim by whoever can write the files:
/// before a key is destroyed, an [`EvidenceScan`](crate::archive::EvidenceScan) opens them.
///
/// What cannot be read is an entry too, and so is what is no envelope.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where no thread can be started.
///
/// ```no_run
/// use phi_envelope::archive::{self, FileTree};
///
/// let mut inventory = archive::inventory(FileTree::new(["/archive"]))?;
/// for entry in &mut inventory {
///     println!("{}", serde_json::to_string(&entry).unwrap_or_default());
/// }
/// println!("{}", inventory.summary()); // a table
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn inventory(tree: FileTree) -> Result<InventoryPass> {
    Ok(InventoryPass {
        summary: InventorySummary::new(),
        began: Instant::now(),
        crew: Crew::start(tree, BATCH, |met| look(&Disk::default(), met).0)?,
    })
}

/// An inventory that is being taken: an iterator over files, and what they add up to.
pub struct InventoryPass {
    crew: Crew<InventoryEntry>,
    summary: InventorySummary,
    began: Instant,
}

impl InventoryPass {
    /// What was seen so far; once the iterator has ended, all.
    #[must_use]
    pub fn summary(&self) -> &InventorySummary {
        &self.summary
    }

    /// Takes the inventory to its end and returns what it adds up to.
    #[must_use]
    pub fn finish(mut self) -> InventorySummary {
        (&mut self).for_each(drop);
        self.summary
    }

    /// How far it is; `total` files, where they were counted.
    #[must_use]
    pub fn progress(&self, total: Option<u64>) -> Progress {
        Progress::new(self.summary.seen(), total, self.began)
    }
}

/// An inventory of what is handed to it entry by entry: the objects of a store, the rows of a table.
///
/// ```
/// use phi_envelope::{Context, EnvelopeCipher, Keyring, archive::InventoryScan};
///
/// let object = EnvelopeCipher::new(Keyring::generate("ehr-2026")?).encrypt("BP 120/80", &Context::new())?;
/// let mut scan = InventoryScan::new();
/// let entry = scan.look("bucket", "notes/7", object.len() as u64, &object);
/// assert!(entry.is_some_and(|entry| entry.inspection().is_some()));
/// assert_eq!(scan.finish().records.files, 1);
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[derive(Debug)]
pub struct InventoryScan(InventorySummary);

impl InventoryScan {
    /// Begins an inventory.
    #[must_use]
    pub fn new() -> Self {
        Self(InventorySummary::new())
    }

    /// Looks at an entry of a place: its path, its length and its first bytes. None if more of them are needed, up to as many as
    /// [`EvidenceScan::look`](crate::archive::EvidenceScan::look) says.
    pub fn look(
        &mut self,
        place: impl AsRef<Path>,
        path: impl AsRef<Path>,
        length: u64,
        head: &[u8],
    ) -> Option<InventoryEntry> {
        if Head::wanted(head, length).is_some() {
            return None;
        }
        let path = place.as_ref().join(path);
        let entry = InventoryEntry::of(path, &Head::of_first(head, length));
        self.0.add(&entry);
        Some(entry)
    }

    /// What it adds up to.
    #[must_use]
    pub fn finish(self) -> InventorySummary {
        self.0
    }
}

impl Default for InventoryScan {
    fn default() -> Self {
        Self::new()
    }
}

impl Iterator for InventoryPass {
    type Item = InventoryEntry;

    fn next(&mut self) -> Option<InventoryEntry> {
        let entry = self.crew.next()?;
        self.summary.add(&entry);
        Some(entry)
    }
}

impl fmt::Debug for InventoryPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inventory")
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}
