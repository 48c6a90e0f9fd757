//! Writes of header blocks that are torn at any sector.

use super::{Folder, Keys, disk, labels, opened, sealed};
use crate::disk::Disk;
use crate::disk::faults::{Fault, Faults};
use crate::envelope::{Change, EnvelopeCipher, inspect};
use crate::error::{Error, Result};
use crate::files::rewrap::{RewrapStatus, change_file};
use crate::keys::Keyring;

const BLOCK: usize = 4096;
const SECTOR: usize = 512;
const NOTE: &[u8] = b"a note of a few segments";

fn rewrap(disk: &Disk, cipher: &EnvelopeCipher, folder: &Folder) -> Result<RewrapStatus> {
    change_file(disk, cipher, &folder.path("phi"), Change::Rewrap)
}

/// A file's two blocks before and after a rewrap, and its payload.
struct Blocks {
    old: Vec<u8>,
    new: Vec<u8>,
    payload: Vec<u8>,
}

impl Blocks {
    fn of(keys: &Keys) -> Self {
        let before = sealed(&keys.old, NOTE);
        let folder = Folder::of(&[("phi", before.clone())]);
        rewrap(&disk(&Faults::none(), false), &keys.new, &folder).unwrap();
        let after = folder.read("phi").unwrap();
        Self {
            old: before[..BLOCK].to_vec(),
            new: after[..BLOCK].to_vec(),
            payload: before[2 * BLOCK..].to_vec(),
        }
    }

    fn file(&self, first: &[u8], second: &[u8]) -> Vec<u8> {
        [first, second, &self.payload].concat()
    }
}

/// Some block opens, and the next rewrap makes both the new header's.
fn opens_and_is_repaired(keys: &Keys, blocks: &Blocks, folder: &Folder, what: &str) {
    let left = folder.read("phi").unwrap();
    assert!(left[2 * BLOCK..] == blocks.payload, "{what}");
    assert_eq!(opened(&keys.new, &left).unwrap(), NOTE, "{what}");
    rewrap(&disk(&Faults::none(), false), &keys.new, folder).unwrap();
    let repaired = folder.read("phi").unwrap();
    assert!(repaired[..BLOCK] == repaired[BLOCK..2 * BLOCK], "{what}");
    assert!(repaired[2 * BLOCK..] == blocks.payload, "{what}");
    assert_eq!(inspect(&repaired).unwrap().generation, 1, "{what}");
    assert_eq!(opened(&keys.new, &repaired).unwrap(), NOTE, "{what}");
    assert!(opened(&keys.old, &repaired).is_err(), "{what}");
    let again = rewrap(&disk(&Faults::none(), false), &keys.new, folder).unwrap();
    assert_eq!(again, RewrapStatus::UpToDate, "{what}");
}

#[test]
fn a_write_torn_at_any_sector_leaves_a_block_that_opens() {
    let keys = Keys::new();
    let blocks = Blocks::of(&keys);
    let (old, new) = (&blocks.old, &blocks.new);
    let (empty, half) = (vec![0; BLOCK], [&old[..SECTOR], &new[SECTOR..]].concat());
    let starts = [
        ("the same", blocks.file(old, old)),
        ("the second new", blocks.file(old, new)),
        ("the first new", blocks.file(new, old)),
        ("the first lost", blocks.file(&empty, old)),
        ("the second lost", blocks.file(old, &empty)),
        ("the first torn", blocks.file(&half, new)),
        ("the second torn", blocks.file(old, &half)),
    ];
    for (state, start) in &starts {
        for write in 0.. {
            let mut was_met = false;
            for bytes in (0..=BLOCK).step_by(SECTOR) {
                let what = format!("{state}, write {write} torn at {bytes}");
                let folder = Folder::of(&[("phi", start.clone())]);
                let faults = Faults::at(write, Fault::Torn(bytes));
                let outcome = rewrap(&disk(&faults, false), &keys.new, &folder);
                assert_eq!(outcome.is_err(), faults.was_met(), "{what}");
                was_met = faults.was_met();
                opens_and_is_repaired(&keys, &blocks, &folder, &what);
            }
            if !was_met {
                break;
            }
        }
    }
}

#[test]
fn sectors_may_arrive_in_any_order() {
    let keys = Keys::new();
    let blocks = Blocks::of(&keys);
    let (old, new) = (&blocks.old, &blocks.new);
    for arrived in 0_u32..256 {
        let mixed: Vec<u8> = (0..BLOCK)
            .map(|at| {
                let from = if arrived >> (at / SECTOR) & 1 == 1 {
                    new
                } else {
                    old
                };
                from[at]
            })
            .collect();
        for start in [blocks.file(old, &mixed), blocks.file(&mixed, new)] {
            let folder = Folder::of(&[("phi", start)]);
            let what = format!("sectors {arrived:08b}");
            opens_and_is_repaired(&keys, &blocks, &folder, &what);
        }
    }
}

#[test]
fn a_change_that_was_half_done_is_finished_although_it_is_refused_now() {
    let (keys, backup) = (Keys::new(), Keyring::generate("backup").unwrap());
    let labels = labels();
    let changes = [
        Change::Add(&backup, &labels),
        Change::Remove(&backup, &labels),
    ];
    let folder = Folder::of(&[("phi", sealed(&keys.new, NOTE))]);
    let path = folder.path("phi");
    for change in changes {
        let dying = disk(&Faults::at(1, Fault::Torn(0)), false);
        assert!(change_file(&dying, &keys.new, &path, change).is_err());
        let left = folder.read("phi").unwrap();
        assert!(left[..BLOCK] != left[BLOCK..2 * BLOCK]);
        let again = change_file(&disk(&Faults::none(), false), &keys.new, &path, change);
        assert!(matches!(again, Err(Error::Recipients(_))));
        // The removed recipient's slot stands in neither block.
        let repaired = folder.read("phi").unwrap();
        assert!(repaired[..BLOCK] == left[BLOCK..2 * BLOCK]);
        assert!(repaired[..BLOCK] == repaired[BLOCK..2 * BLOCK]);
    }
    assert!(opened(&EnvelopeCipher::new(backup), &folder.read("phi").unwrap()).is_err());
}
