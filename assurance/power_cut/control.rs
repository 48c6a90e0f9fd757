//! Programs that take no care, so that it is seen that a cut finds them out.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::disk::{self, Mounted, Recorded};
use crate::log::{self, Cut, Kept};
use crate::work::settle;

const LEN: usize = 64 << 10;
static OLD: [u8; LEN] = [1; LEN];
static NEW: [u8; LEN] = [2; LEN];

/// How often a file was old, new, and neither.
type Seen = [u64; 3];

#[test]
#[ignore = "takes seconds"]
fn a_program_that_takes_no_care_is_found_out() {
    if let Some(missing) = disk::what_is_missing() {
        println!("passed over: {missing}");
        return;
    }
    let in_place = |path: &Path| {
        let file = File::options().write(true).open(path).unwrap();
        file.write_all_at(&NEW, 0).unwrap();
        file.sync_all().unwrap();
    };
    let [old, new, neither] = cut(in_place, false);
    println!("in place: {old} old, {new} new, {neither} neither");
    assert!(neither > 0);

    let unflushed = |path: &Path| {
        let beside = path.with_extension("beside");
        fs::write(&beside, NEW).unwrap();
        fs::rename(beside, path).unwrap();
    };
    let [old, new, neither] = cut(unflushed, true);
    println!("renamed and not flushed: {old} old, {new} new, {neither} neither, after the end");
    assert!(old > 0);
}

/// What the states of a disk hold that is cut while a program works, or once it has ended.
fn cut(work: impl FnOnce(&Path), ended: bool) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let disk = Recorded::start(folder.path(), 4096);
    let path = disk.path().join("file");
    fs::write(&path, OLD).unwrap();
    settle();
    let begin = disk.mark();
    work(&path);
    let end = disk.mark();
    settle();
    let (log, blank) = disk.stop();
    let entries = log::read(&log);
    let index = |mark: u64| entries.iter().take_while(|entry| entry.end <= mark).count();
    let (begin, end) = (index(begin), index(end));
    let moments = if ended { end..=end } else { begin..=end };

    let mut cut = Cut::new(blank, &entries);
    let mut seen = Seen::default();
    let (image, there) = (folder.path().join("cut"), folder.path().join("mounted"));
    for moment in moments {
        let torn = (0..8).map(Kept::Torn);
        for kept in [Kept::All, Kept::None].into_iter().chain(torn) {
            fs::write(&image, cut.after(moment, kept).0).unwrap();
            let mounted = Mounted::new(&image, &there).unwrap();
            let found = fs::read(there.join("file")).unwrap();
            drop(mounted);
            let which = [found == OLD, found == NEW].iter().position(|is| *is);
            seen[which.unwrap_or(2)] += 1;
        }
    }
    seen
}
