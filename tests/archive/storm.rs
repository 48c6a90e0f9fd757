//! Many small files, many processes, killed on the way: nothing is lost, and in the end all is under the new key alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use phi_envelope::{
    EnvelopeCipher, Error,
    archive::{self, FileTree, RewrapEntry, RewrapOptions, RewrapOutcome, Shard, SkipReason},
    files,
};

use crate::children::{SAYS, child, said};
use crate::common::{BLOCK, context, drain_opened, keyring_of, master_key};
use crate::place::{failure, rewrap_all, state};

/// Processes at once.
const PROCESSES: u64 = 4;
/// Files after which a child says so.
const EACH: u64 = 5;

fn before() -> EnvelopeCipher {
    EnvelopeCipher::new(keyring_of(1))
}

/// Every process has the same keys.
fn after() -> EnvelopeCipher {
    let keyring = keyring_of(1);
    keyring.rotate_to(master_key(2), "2027").unwrap();
    EnvelopeCipher::new(keyring)
}

/// As after the old key was destroyed.
fn without_the_old_key() -> EnvelopeCipher {
    EnvelopeCipher::new(keyring_of(2))
}

/// The work of a child, which has a share where it is told one, and a bound on its rate.
pub(crate) fn rewrap(folder: &Path, told: &str) {
    let mut tree = FileTree::new([folder.to_owned()]);
    let (shard, rate) = told.split_once(' ').unwrap_or_default();
    if let Ok(shard) = shard.parse::<Shard>() {
        tree = tree.shard(shard);
    }
    if let Ok(rate) = rate.parse() {
        tree = tree.files_per_second(rate);
    }
    let options = RewrapOptions::new().max_failures(u64::MAX);
    let mut pass = archive::rewrap(&after(), tree, options).unwrap();
    let mut done = 0;
    for entry in &mut pass {
        done += u64::from(matches!(entry.outcome, RewrapOutcome::Rewrapped));
        if done == EACH {
            println!("{SAYS} {done}");
            done = 0;
        }
    }
    println!("{SAYS} {done}");
    println!(
        "{SAYS} {} {}",
        pass.summary().current,
        pass.summary().failed
    );
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Record,
    Stream,
    /// A header, with its payload in a file beside it.
    Detached,
}

/// What was put where, and how it was left.
struct Archive {
    folder: tempfile::TempDir,
    good: BTreeMap<PathBuf, (Kind, Vec<u8>)>,
    damaged: BTreeMap<PathBuf, Vec<u8>>,
    plain: BTreeMap<PathBuf, Vec<u8>>,
    payloads: BTreeMap<PathBuf, Vec<u8>>,
    read_only: BTreeSet<PathBuf>,
}

impl Archive {
    fn of(files: usize) -> Self {
        let mut archive = Self {
            folder: tempfile::tempdir().unwrap(),
            good: BTreeMap::new(),
            damaged: BTreeMap::new(),
            plain: BTreeMap::new(),
            payloads: BTreeMap::new(),
            read_only: BTreeSet::new(),
        };
        let cipher = before();
        let mut number = 0;
        while archive.files() < files {
            archive.add(&cipher, number);
            number += 1;
        }
        archive
    }

    fn files(&self) -> usize {
        self.good.len() + self.damaged.len() + self.plain.len() + self.payloads.len()
    }

    fn add(&mut self, cipher: &EnvelopeCipher, number: usize) {
        let folder = format!("{}/{}/{}", number % 5, number % 7, number % 11);
        let folder = self.folder.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{number}.phi"));
        let note = format!("note {number} ")
            .repeat(1 + number % 40)
            .into_bytes();
        let kind = [Kind::Record, Kind::Stream, Kind::Detached][number % 3];
        if number % 41 == 7 {
            fs::write(&path, &note).unwrap();
            self.plain.insert(path, note);
            return;
        }
        let mut bytes = match kind {
            Kind::Record => cipher.encrypt(&note, &context()).unwrap(),
            Kind::Stream => {
                let mut out = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
                out.write_all(&note).unwrap();
                out.finish().unwrap()
            }
            Kind::Detached => {
                let (header, mut out) = cipher
                    .encrypt_writer_detached(Vec::new(), &context())
                    .unwrap();
                out.write_all(&note).unwrap();
                let payload = out.finish().unwrap();
                let beside = path.with_extension("payload");
                fs::write(&beside, &payload).unwrap();
                self.payloads.insert(beside, payload);
                header
            }
        };
        if number % 53 == 11 {
            damage(&mut bytes, kind, number);
            fs::write(&path, &bytes).unwrap();
            self.damaged.insert(path, bytes);
            return;
        }
        fs::write(&path, bytes).unwrap();
        if number % 29 == 3 {
            fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
            self.read_only.insert(path.clone());
        }
        self.good.insert(path, (kind, note));
    }

    fn tree(&self) -> FileTree {
        FileTree::new([self.folder.path().to_owned()])
    }

    /// What the old key opens still.
    fn left(&self) -> u64 {
        let old = keyring_of(1).active().unwrap().to_string();
        let summary = archive::inventory(self.tree()).unwrap().finish();
        let key = summary
            .keys
            .listed
            .into_iter()
            .find(|key| key.key_id == old);
        key.map_or(0, |key| key.tally.files)
    }

    /// Lets several processes work, and kills them when they have done so many files together and a moment more.
    fn kill_after(&self, files: u64, moment: Duration, told: impl Fn(u64) -> String) {
        let done = Arc::new(AtomicU64::new(0));
        let mut children: Vec<_> = (0..PROCESSES)
            .map(|number| {
                let work = format!("rewrap {}", told(number));
                child(&work, self.folder.path())
            })
            .collect();
        let listeners: Vec<_> = children
            .iter_mut()
            .map(|child| {
                let (out, done) = (child.stdout.take().unwrap(), Arc::clone(&done));
                thread::spawn(move || {
                    for line in BufReader::new(out).lines() {
                        let says = line.unwrap().contains(&format!("{SAYS} {EACH}"));
                        done.fetch_add(if says { EACH } else { 0 }, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let begin = Instant::now();
        while done.load(Ordering::Relaxed) < files {
            assert!(begin.elapsed() < Duration::from_secs(300), "nobody works");
            thread::sleep(Duration::from_micros(200));
        }
        thread::sleep(moment);
        for child in &mut children {
            child.kill().unwrap();
        }
        for mut child in children {
            child.wait().unwrap();
        }
        listeners
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }

    /// That a file is as it was sealed, or as it was rewrapped.
    fn check_whole(&self, path: &Path, cipher: &EnvelopeCipher) {
        let (kind, note) = &self.good[path];
        let bytes = fs::read(path).unwrap();
        let opened = match kind {
            Kind::Record => cipher.decrypt(&bytes, &context()).unwrap().to_vec(),
            Kind::Stream => {
                let (opened, end) = drain_opened(cipher.decrypt_reader(&bytes[..], &context()));
                end.unwrap();
                opened
            }
            Kind::Detached => {
                let payload = &self.payloads[&path.with_extension("payload")];
                let reader = cipher.decrypt_reader_detached(&bytes, &payload[..], &context());
                let (opened, end) = drain_opened(reader);
                end.unwrap();
                opened
            }
        };
        assert!(opened == *note, "{}", path.display());
    }

    fn check_untouched(&self) {
        for bytes in [&self.damaged, &self.plain, &self.payloads] {
            for (path, bytes) in bytes {
                assert!(fs::read(path).unwrap() == *bytes, "{}", path.display());
            }
        }
    }

    /// All names there are.
    fn names(&self) -> BTreeSet<PathBuf> {
        archive::inventory(self.tree())
            .unwrap()
            .map(|entry| entry.path)
            .collect()
    }
}

/// Damage that a rewrap must notice.
fn damage(bytes: &mut Vec<u8>, kind: Kind, number: usize) {
    match number % 4 {
        // A slot, and with it the header's tag; in a stream, in both blocks.
        0 => {
            bytes[150] ^= 1;
            if kind == Kind::Stream {
                bytes[BLOCK + 150] ^= 1;
            }
        }
        1 => bytes.truncate(40),
        2 => {
            bytes[5] = 77;
            if kind == Kind::Stream {
                bytes[BLOCK + 5] = 77;
            }
        }
        // The header's tag, or what comes in its place.
        _ => {
            let at = bytes.len() - 1;
            match kind {
                Kind::Detached => bytes[at] ^= 1,
                Kind::Record => bytes[20] ^= 1,
                Kind::Stream => {
                    bytes[BLOCK - 1] ^= 1;
                    bytes[2 * BLOCK - 1] ^= 1;
                }
            }
        }
    }
}

/// `rate` keeps each process slow enough to be killed on the way, where there are few files.
fn storm(files: usize, kills: u64, rate: &str) {
    let archive = Archive::of(files);
    let all = archive.names();
    assert_eq!(all.len(), archive.files());
    let mut inflight = 0;
    let quota = archive.good.len() as u64 / (kills + 2);
    for kill in 0..kills {
        let left = archive.left();
        let moment = Duration::from_micros(kill * 733 % 3000);
        archive.kill_after(quota / 2, moment, |number| match kill % 2 {
            0 => format!("all {rate}"),
            _ => format!("{number}/{PROCESSES} {rate}"),
        });
        let after = archive.left();
        assert!(
            after > 0 && after < left,
            "killed on the way: {left}, {after}"
        );
        let both = self::after();
        // Whole at every moment: under the old key or the new one. Each time a part of them, and all in the end.
        let paths = archive.good.keys().skip(usize::try_from(kill).unwrap());
        for path in paths.step_by(7) {
            archive.check_whole(path, &both);
        }
        archive.check_untouched();
        let names = archive.names();
        let strays: Vec<_> = names.difference(&all).collect();
        assert_eq!(all.difference(&names).count(), 0, "lost");
        inflight += strays.len();
    }
    eprintln!("{files} files, {kills} kills: {inflight} temporary names were left on the way");

    // To its end, by all at once.
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| child("rewrap", archive.folder.path()))
        .collect();
    for child in children {
        let [_, failed] = said(child)[..] else {
            panic!("two numbers");
        };
        assert!(failed >= archive.damaged.len() as u64);
    }
    // Whoever may not write to a file says so, and goes on where he may.
    let options = || RewrapOptions::new().max_failures(u64::MAX);
    let (entries, _) = rewrap_all(&after(), archive.tree(), options());
    let fails: BTreeSet<_> = failing(&entries).collect();
    for path in &fails {
        let refused = matches!(failure(&entries[*path]), Error::Io(_));
        assert!(
            archive.damaged.contains_key(*path) || (refused && archive.read_only.contains(*path))
        );
    }
    for path in &archive.read_only {
        fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    }
    rewrap_all(&after(), archive.tree(), options());

    let begin = Instant::now();
    let (entries, summary) = rewrap_all(&after(), archive.tree(), options());
    eprintln!("the last pass: {:?}, {summary:?}", begin.elapsed());
    let failed: BTreeSet<_> = failing(&entries).collect();
    assert_eq!(failed, archive.damaged.keys().collect());
    assert_eq!(summary.current, archive.good.len() as u64);
    assert_eq!(
        summary.not_envelopes,
        archive.plain.len() as u64 + unrecognised(&archive, &entries)
    );
    let names = archive.names();
    let left = names.difference(&all).filter(|path| {
        !matches!(
            entries[*path].outcome,
            RewrapOutcome::Skipped(SkipReason::Temporary)
        )
    });
    assert_eq!(left.count(), 0);
    assert_eq!(all.difference(&names).count(), 0, "lost");
    for path in archive.plain.keys() {
        let told = &entries[path].outcome;
        assert!(matches!(
            told,
            RewrapOutcome::Skipped(SkipReason::NotAnEnvelope)
        ));
    }
    archive.check_untouched();
    let (new, old) = (without_the_old_key(), before());
    let new_key = keyring_of(2).active().unwrap();
    for (path, (kind, _)) in &archive.good {
        archive.check_whole(path, &new);
        let found = files::inspect(path).unwrap();
        assert!(found.blocks_alike && found.header.slots == [new_key.into()]);
        assert_eq!(found.header.generation, 1, "{}", path.display());
        if *kind == Kind::Record {
            let refused = old.decrypt(fs::read(path).unwrap(), &context());
            assert!(matches!(refused, Err(Error::NoMatchingKey { .. })));
        }
    }
    // And to run once more touches nothing.
    let sample: Vec<_> = archive.good.keys().step_by(13).collect();
    let states: Vec<_> = sample.iter().map(|path| state(path)).collect();
    rewrap_all(&after(), archive.tree(), options());
    assert_eq!(
        sample.iter().map(|path| state(path)).collect::<Vec<_>>(),
        states
    );
    assert!(File::open(archive.folder.path()).is_ok());
}

fn failing(entries: &BTreeMap<PathBuf, RewrapEntry>) -> impl Iterator<Item = &PathBuf> {
    entries
        .values()
        .filter(|entry| entry.is_failure())
        .map(|entry| &entry.path)
}

/// None of the damage makes a file look as if it had never been an envelope.
fn unrecognised(archive: &Archive, entries: &BTreeMap<PathBuf, RewrapEntry>) -> u64 {
    let damaged = archive
        .damaged
        .keys()
        .filter(|path| !entries[*path].is_failure());
    damaged.count() as u64
}

#[test]
fn a_storm_over_a_few_hundred_files() {
    storm(600, 4, "500");
}

#[test]
#[ignore = "takes a minute"]
fn a_storm_over_20_000_files() {
    storm(20_000, 10, "unbounded");
}
