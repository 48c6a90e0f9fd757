//! Trees in a scan for evidence: read until they stand still.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::class::FindingClass;
use super::evidence::PlaceKind;
use super::evidence_scan::EvidenceScan;
use super::examine::Seen;
use super::ledger::PlaceBook;
use super::tree::Tree;
use super::walk::{Again, Stamp};
use super::workers::Crew;
use crate::disk::Disk;
use crate::error::{Error, Result};

/// Files that a thread takes at once.
const BATCH: usize = 16;
/// Rounds in which folders that changed are read again.
const ROUNDS: usize = 8;

impl EvidenceScan {
    // FORMAT §9.4: at its end a scan compares each folder's identity, mtime and ctime with what they were before it was read, and reads
    // again what changed, until none did in one whole round, else a finding `moved`.
    /// Opens the headers of all files of a tree, on all cores, and searches what is no envelope. `place` is how the evidence names it.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a shard of a tree: evidence speaks of all of it. [`Error::Io`] if no thread can be started. What
    /// cannot be read or opened is a finding and no error.
    pub fn tree(&mut self, place: impl AsRef<Path>, tree: Tree) -> Result<()> {
        self.tree_while(place.as_ref(), tree, &mut || Ok(()))
    }

    /// [`tree`](Self::tree), as long as nobody says after one of its files that it is to end.
    pub(super) fn tree_while(
        &mut self,
        place: &Path,
        tree: Tree,
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        if tree.is_sharded() {
            return Err(Error::Misuse("evidence speaks of all of a tree"));
        }
        let excluded = tree.exclusions();
        let mut book = PlaceBook::new(place, PlaceKind::Tree);
        self.read(&mut book, tree, None, go_on)?;
        for round in 0..=ROUNDS {
            let changed = changed(&book);
            if changed.is_empty() {
                break;
            }
            if round == ROUNDS {
                for path in changed {
                    let rule = "it changed while it was read, each time";
                    let part = book.part(&path);
                    part.find(FindingClass::Moved, &path, rule, &mut self.budget);
                }
                break;
            }
            let named = changed.iter().filter(|path| {
                let part = book.parts.get(*path);
                part.is_some_and(|part| part.is_named)
            });
            let named: HashSet<_> = named.cloned().collect();
            for path in &changed {
                book.strike(path, &mut self.budget);
            }
            let known = book.parts.keys().cloned().chain(changed.iter().cloned());
            let again = Again {
                known: known.collect(),
                named,
            };
            let tree = Tree::new(changed).excluding(excluded.clone());
            self.read(&mut book, tree, Some(again), go_on)?;
        }
        self.places.push(book);
        Ok(())
    }

    fn read(
        &mut self,
        book: &mut PlaceBook,
        tree: Tree,
        again: Option<Again>,
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let examiner = Arc::clone(&self.examiner);
        let disk = Disk::default();
        let prepare = |walk: super::walk::Walk| match again {
            Some(again) => walk.with_folders().again(again),
            None => walk.with_folders(),
        };
        let crew = Crew::start_on(tree, prepare, BATCH, move |met| examiner.met(&disk, met))?;
        for seen in crew {
            let root = match &seen {
                Seen::Folder {
                    path,
                    is_named: true,
                    ..
                }
                | Seen::File {
                    path,
                    stamp: Some(_),
                    ..
                } => Some(path.clone()),
                _ => None,
            };
            if let Some(root) = root.and_then(|root| Disk::default().resolve(&root).ok()) {
                self.roots.push(root);
            }
            if let Some(path) = book.note(seen, &mut self.budget) {
                self.name_in_use(&path);
            }
            go_on()?;
        }
        Ok(())
    }
}

/// The folders and named files that are not what they were before they were read.
fn changed(book: &PlaceBook) -> Vec<PathBuf> {
    let parts = book.parts.iter().filter(|(path, part)| {
        part.stamp
            .is_some_and(|stamp| Stamp::of(path, part.is_named).ok() != Some(stamp))
    });
    let mut changed: Vec<_> = parts.map(|(path, _)| path.clone()).collect();
    changed.sort();
    changed
}
