//! Trees in a scan for evidence: read until they stand still.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;

use super::class::FindingClass;
use super::evidence::PlaceKind;
use super::evidence_scan::EvidenceScan;
use super::examine::Seen;
use super::ledger::PlaceBook;
use super::sight::{Lookout, Sight, Sighting};
use super::tree::FileTree;
use super::walk::{Again, Walk};
use super::workers::Crew;
use crate::disk::Disk;
use crate::error::{Error, Result};

/// Files that a thread takes at once.
const BATCH: usize = 16;
/// Rounds in which folders that changed are read again.
const ROUNDS: usize = 8;

impl EvidenceScan {
    // FORMAT §9.4: at its end a scan compares each folder's identity, mtime and ctime with what they were before it was read, and reads
    // again what changed, until none did in one whole round, else a finding `moved`. A folder whose time is not older than its reading
    // counts as changed.
    /// Opens the headers of all files of a tree, on all cores, and searches what is no envelope. `place` is how the evidence names it.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a shard of a tree: evidence speaks of all of it. [`Error::Io`] if no thread can be started. What
    /// cannot be read or opened is a finding and no error.
    pub fn tree(&mut self, place: impl AsRef<Path>, tree: FileTree) -> Result<()> {
        self.tree_while(place.as_ref(), tree, &mut || Ok(()))
    }

    /// [`tree`](Self::tree), as long as nobody says after one of its files that it is to end.
    pub(super) fn tree_while(
        &mut self,
        place: &Path,
        tree: FileTree,
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        self.tree_by(Sight::new(self.allowance), place, tree, go_on)
    }

    fn tree_by(
        &mut self,
        sight: Sight,
        place: &Path,
        tree: FileTree,
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        if tree.is_sharded() {
            return Err(Error::Misuse("evidence speaks of all of a tree"));
        }
        let excluded = tree.exclusions();
        let mut book = PlaceBook::new(place, PlaceKind::Tree);
        let lookout = Lookout::new(sight, HashMap::new());
        self.read(&mut book, tree, lookout, None, go_on)?;
        for round in 0..=ROUNDS {
            let changed = changed(&book, sight);
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
            let parts = changed
                .iter()
                .filter_map(|path| book.parts.get_key_value(path));
            let named = parts.clone().filter(|(_, part)| part.is_named);
            let named: HashSet<_> = named.map(|(path, _)| path.clone()).collect();
            let before = parts.filter_map(|(path, part)| Some((path.clone(), part.seen?)));
            let before: HashMap<_, _> = before.collect();
            // What was only seen too early has then stood for long enough, if it is as it was.
            let early = before.values().filter(|seen| !seen.is_telling);
            sleep(early.map(Sighting::wait).max().unwrap_or_default());
            for path in &changed {
                book.strike(path, &mut self.budget);
            }
            let known = book.parts.keys().cloned().chain(changed.iter().cloned());
            let again = Again {
                known: known.collect(),
                named,
            };
            let tree = FileTree::new(changed).excluding(excluded.clone());
            let lookout = Lookout::new(sight, before);
            self.read(&mut book, tree, lookout, Some(again), go_on)?;
        }
        self.places.push(book);
        Ok(())
    }

    fn read(
        &mut self,
        book: &mut PlaceBook,
        tree: FileTree,
        lookout: Lookout,
        again: Option<Again>,
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let examiner = Arc::clone(&self.examiner);
        let disk = Disk::default();
        let lookout = Arc::new(lookout);
        let prepare = |walk: Walk| {
            let walk = walk.with_folders(Arc::clone(&lookout));
            match again {
                Some(again) => walk.again(again),
                None => walk,
            }
        };
        let by = Arc::clone(&lookout);
        let crew = Crew::start_on(tree, prepare, BATCH, move |met| {
            examiner.met(&disk, &by, met)
        })?;
        for seen in crew {
            let root = match &seen {
                Seen::Folder {
                    path,
                    is_named: true,
                    ..
                }
                | Seen::File {
                    path,
                    seen: Some(_),
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

/// The folders and named files that are not what they were before they were read, or need not be.
fn changed(book: &PlaceBook, sight: Sight) -> Vec<PathBuf> {
    let parts = book.parts.iter().filter(|(path, part)| {
        part.seen
            .is_some_and(|seen| sight.has_changed(path, part.is_named, &seen))
    });
    let mut changed: Vec<_> = parts.map(|(path, _)| path.clone()).collect();
    changed.sort();
    changed
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::archive::Evidence;
    use crate::envelope::{Context, EnvelopeCipher};
    use crate::error::{KeyId, SlotId};
    use crate::keys::Keyring;

    const STEP: Duration = Duration::from_millis(100);

    struct Scene {
        folder: tempfile::TempDir,
        cipher: EnvelopeCipher,
        old: KeyId,
        /// An envelope under the key that is sought, and one under another.
        records: [Vec<u8>; 2],
    }

    impl Scene {
        fn new() -> Self {
            let keyring = Keyring::generate("old").unwrap();
            let (old, cipher) = (keyring.active().unwrap(), EnvelopeCipher::new(keyring));
            let record = || cipher.encrypt("note", &Context::new()).unwrap();
            let of_old = record();
            let keyring = Keyring::generate("new").unwrap();
            let cipher = EnvelopeCipher::new(keyring);
            let records = [of_old, cipher.encrypt("note", &Context::new()).unwrap()];
            Self {
                folder: tempfile::tempdir().unwrap(),
                cipher,
                old,
                records,
            }
        }

        /// Folders in folders, each with a record, made just now.
        fn fill(&self, folders: usize) {
            let mut path = self.folder.path().to_owned();
            for _ in 0..folders {
                path.push("below");
                fs::create_dir(&path).unwrap();
                fs::write(path.join("record"), &self.records[1]).unwrap();
            }
            fs::write(self.folder.path().join("record"), &self.records[1]).unwrap();
        }

        /// What a scan finds, and of how much it was told.
        fn scan(&self, sight: Sight, mut meanwhile: impl FnMut(u64)) -> (Evidence, u64) {
            let mut scan = EvidenceScan::of_slot(&self.cipher, SlotId::from(self.old));
            let (path, mut told) = (self.folder.path().to_owned(), 0);
            let mut go_on = || {
                told += 1;
                meanwhile(told);
                Ok(())
            };
            scan.tree_by(sight, &path.clone(), FileTree::new([path]), &mut go_on)
                .unwrap();
            (scan.finish(), told)
        }
    }

    fn sight() -> Sight {
        Sight::new(Duration::from_secs(300))
    }

    /// Waits for the beginning of a step of a coarse clock.
    fn begin_a_step() {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        while now().as_millis() % STEP.as_millis() > 5 {
            sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_comes_within_the_step_of_the_clock_in_which_a_folder_was_read_is_seen() {
        let sight = sight().in_steps_of(STEP);
        for sight in [sight, sight.without_patience(), sight.of_elsewhere()] {
            let scene = Scene::new();
            begin_a_step();
            scene.fill(0);
            // All of a small tree is read before anything of it is told.
            let (evidence, _) = scene.scan(sight, |told| {
                if told == 1 {
                    fs::write(scene.folder.path().join("late"), &scene.records[0]).unwrap();
                }
            });
            assert_eq!((evidence.in_use, evidence.opened), (1, 1), "{evidence:?}");
        }
    }

    #[test]
    fn an_archive_that_stands_still_since_just_now_gives_no_finding() {
        let sights = [
            sight(),
            sight().without_patience(),
            sight().of_elsewhere(),
            sight().of_elsewhere().without_patience(),
            sight().in_steps_of(STEP),
        ];
        for sight in sights {
            let scene = Scene::new();
            scene.fill(20);
            let (evidence, told) = scene.scan(sight, |_| ());
            assert!(evidence.is_clean(), "{evidence:?}");
            assert_eq!((evidence.opened, evidence.places[0].envelopes), (21, 21));
            // Each folder and each record once, or twice.
            assert!((42..=84).contains(&told), "{told}");
        }
    }

    #[test]
    fn a_folder_of_a_time_to_come_gives_no_finding() {
        let scene = Scene::new();
        scene.fill(1);
        let ahead = SystemTime::now() + Duration::from_secs(1 << 30);
        let below = fs::File::open(scene.folder.path().join("below")).unwrap();
        below.set_modified(ahead).unwrap();
        for sight in [sight(), sight().without_patience()] {
            let (evidence, _) = scene.scan(sight, |_| ());
            assert!(evidence.is_clean(), "{evidence:?}");
        }
    }
}
