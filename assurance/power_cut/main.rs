//! Power cuts in the middle of every command of `phi` that writes, on a real ext4.
//!
//! The file system is on a disk that writes down what it is told: QEMU's `blklogwrites`, over FUSE, under a loop device. A state is
//! what such a disk may hold where the power is cut: all that was written before the last flush, and of what was written since then,
//! in any order, all, nothing, something, or something with one write torn between two sectors of 512 bytes. Each is mounted, so that the
//! journal is replayed, and looked at as a user would after the cut.
//!
//! A command leaves more states than there is time for. Half of a run's states are of an ext4 with blocks of 1 KiB and half of one with
//! 4 KiB, and in each half every command gets the same number, at moments that a seed chooses, the last of them once it has ended.
//! `CRASH_STATES` asks for more.
//!
//! It shows nothing of disks that lose what they were told to flush, or that tear a sector, and nothing of other file systems.
#![cfg(target_os = "linux")]
// A test stops where something is not as it says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod check;
mod control;
mod disk;
mod keys;
mod log;
#[allow(dead_code)] // a part of it serves here
#[path = "../../crates/cli/tests/phi/support.rs"]
mod support;
mod work;

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use disk::Recorded;
use log::{Cut, Dice, Kept};

/// The variable that asks for more or fewer states.
const STATES: &str = "CRASH_STATES";

#[test]
#[ignore = "takes two minutes: six hundred power cuts"]
fn a_power_cut_leaves_every_file_old_or_new_and_whole() {
    if let Some(missing) = disk::what_is_missing() {
        println!("passed over: {missing}");
        return;
    }
    let states = std::env::var(STATES).map_or(600, |number| number.parse().unwrap());
    // Header blocks of 4096 bytes in four blocks of the file system, and in one.
    for block in [1024, 4096] {
        cut(block, states / 2);
    }
}

fn cut(block: usize, wanted: usize) {
    let began = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let disk = Recorded::start(folder.path(), block);
    // More states need more work to cut, or they come twice.
    let steps = work::record(&disk, (wanted / 200).max(2));
    let (log, blank) = disk.stop();
    let entries = log::read(&log);
    let flushes = entries.iter().filter(|entry| entry.is_flush()).count();
    println!(
        "blocks of {block}: {} commands, {} writes, {flushes} flushes, {:?}",
        steps.len(),
        entries.len() - flushes,
        began.elapsed()
    );
    let index = |mark: u64| entries.iter().take_while(|entry| entry.end <= mark).count();

    // Each command gets the same share, at moments that a seed chooses.
    let seed = u64::try_from(block).unwrap();
    let mut dice = Dice(seed);
    let mut disk = Cut::new(blank, &entries);
    let (mut seen, mut counts) = (HashSet::new(), BTreeMap::<_, u64>::new());
    let (mut asked, mut held) = (0, 0);
    for (number, step) in steps.iter().enumerate() {
        let (from, to) = (index(step.marks.0), index(step.marks.1));
        assert!(from < to, "{}: nothing was written", step.call);
        let share = wanted * (number + 1) / steps.len() - wanted * number / steps.len();
        let mut moments: Vec<_> = (0..share)
            .map(|_| from + dice.roll(to - from + 1))
            .collect();
        // What has ended well is durable.
        if let Some(last) = moments.last_mut() {
            *last = to;
        }
        moments.sort_unstable();
        for moment in moments {
            let seed = dice.0 ^ u64::try_from(moment).unwrap();
            let kept = match dice.roll(6) {
                0 => Kept::All,
                1 => Kept::None,
                2 | 3 => Kept::Some(seed),
                _ => Kept::Torn(seed),
            };
            let (image, word) = disk.after(moment, kept);
            asked += 1;
            if !seen.insert(word) {
                continue;
            }
            let what = format!(
                "{}, cut after {} of {}, {kept:?}",
                step.call,
                moment - from,
                to - from
            );
            let left = check::state(folder.path(), &image, step, moment == to, &what);
            *counts.entry(left).or_default() += 1;
            held += 1;
        }
    }
    println!(
        "{held} states, of {asked} chosen: {counts:?}, {:?}",
        began.elapsed()
    );
    assert!(held * 2 > asked, "hardly any state differs from the others");
}
