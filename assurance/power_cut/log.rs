//! What a disk was told, write by write, and what it may hold when the power is cut.
//!
//! The log is that of the Linux target `dm-log-writes`, which QEMU's block driver `blklogwrites` writes too.

use std::fs;
use std::path::Path;

const SECTOR: usize = 512;
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;

/// A write, or a flush: what was written before it is on the disk for good.
pub(crate) struct Entry {
    pub(crate) offset: usize,
    /// Nothing for a flush.
    pub(crate) bytes: Vec<u8>,
    /// Where in the log it ends.
    pub(crate) end: u64,
}

impl Entry {
    pub(crate) fn is_flush(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// All entries of a log, in the order in which the disk was told them.
pub(crate) fn read(path: &Path) -> Vec<Entry> {
    let log = fs::read(path).unwrap();
    let number = |at: usize| u64::from_le_bytes(log[at..at + 8].try_into().unwrap());
    assert_eq!((number(0), number(8)), (MAGIC, 1), "no log of writes");
    let (mut entries, mut at) = (Vec::new(), SECTOR);
    while at + SECTOR <= log.len() {
        let [sector, sectors, flags] = [0, 8, 16].map(|field| number(at + field));
        at += SECTOR;
        let len = usize::try_from(sectors).unwrap() * SECTOR;
        match flags {
            0 => assert!(len > 0),
            FLUSH => assert_eq!(len, 0),
            other => panic!("an entry with flags {other:#x}"),
        }
        if at + len > log.len() {
            break; // still being written
        }
        entries.push(Entry {
            offset: usize::try_from(sector).unwrap() * SECTOR,
            bytes: log[at..at + len].to_vec(),
            end: (at + len) as u64,
        });
        at += len;
    }
    entries
}

/// A disk that is told the entries of a log one after the other.
pub(crate) struct Cut<'a> {
    entries: &'a [Entry],
    /// What no power cut takes away.
    durable: Vec<u8>,
    /// How many of the entries `durable` has taken in: all up to a flush.
    flushed: usize,
}

/// Which of the writes since the last flush reached the disk: a disk stores them in any order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kept {
    All,
    None,
    /// Each or not, as a seed says.
    Some(u64),
    /// The same, and one of them in part: some of its sectors.
    Torn(u64),
}

impl<'a> Cut<'a> {
    pub(crate) fn new(blank: Vec<u8>, entries: &'a [Entry]) -> Self {
        Self {
            entries,
            durable: blank,
            flushed: 0,
        }
    }

    /// What the disk holds where the power is cut after so many entries, never fewer than the time before; and a word that says which
    /// writes since the last flush that are.
    pub(crate) fn after(&mut self, count: usize, kept: Kept) -> (Vec<u8>, Vec<usize>) {
        let told = &self.entries[..count];
        let flush = told.iter().rposition(Entry::is_flush);
        let flushed = flush.map_or(0, |at| at + 1).max(self.flushed);
        for entry in &self.entries[self.flushed..flushed] {
            put(&mut self.durable, entry.offset, &entry.bytes);
        }
        self.flushed = flushed;

        let mut image = self.durable.clone();
        let mut reached = vec![flushed];
        let mut dice = Dice::of(kept);
        let pending: Vec<_> = (flushed..count)
            .filter(|_| match kept {
                Kept::All => true,
                Kept::None => false,
                Kept::Some(_) | Kept::Torn(_) => dice.roll(2) == 0,
            })
            .collect();
        let torn = match kept {
            Kept::Torn(_) if !pending.is_empty() => Some(pending[dice.roll(pending.len())]),
            _ => None,
        };
        for at in pending {
            let entry = &self.entries[at];
            // ext4 writes its superblock, 1 KiB at 1024, in place and counts on it being written whole.
            if torn != Some(at) || entry.offset < 4096 {
                put(&mut image, entry.offset, &entry.bytes);
                reached.push(at);
                continue;
            }
            for (number, sector) in entry.bytes.chunks(SECTOR).enumerate() {
                if dice.roll(2) == 0 {
                    put(&mut image, entry.offset + number * SECTOR, sector);
                    reached.push(at << 16 | number);
                }
            }
        }
        (image, reached)
    }
}

fn put(image: &mut [u8], offset: usize, bytes: &[u8]) {
    image[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Numbers that follow from a seed (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn of(kept: Kept) -> Self {
        match kept {
            Kept::Some(seed) | Kept::Torn(seed) => Self(seed),
            Kept::All | Kept::None => Self(0),
        }
    }

    /// 0 to `sides` − 1.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        usize::try_from(word % sides as u64).unwrap()
    }
}
