//! Passes over whole trees on a tmpfs: small files beside long ones, in interleaved runs: `A B A B …`, medians.
//!
//! `cargo bench --bench rotation [-- FOLDER]`; `/dev/shm` unless said. `PHI_BENCH_FILES` makes the trees of another number of files
//! than 20,000, `PHI_BENCH_RUNS` the runs another number than 5.
//!
//! The long files are sparse: sealed small, and then extended. No pass over streams reads a payload, and so it makes no difference
//! to one of 64 MiB; a record's rewrap copies it, and records are small here, in a row of their own.

#![allow(missing_docs)] // of what criterion's macro makes
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss
)] // a benchmark may fail loudly

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use phi_envelope::{
    Context, EnvelopeCipher, KeyId, Keyring,
    archive::{self, EvidenceScan, FileTree, RewrapOptions},
};

const SMALL: usize = 1024;
const LONG: u64 = 64 << 20;
const FOLDERS: usize = 100;

fn main() {
    // Cargo adds `--bench`, and runs benches as tests too.
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let folder = arguments.iter().find(|text| !text.starts_with('-'));
    let folder = folder.map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    if !arguments.iter().any(|text| text == "--bench") || !folder.is_dir() {
        return;
    }
    let (files, runs) = (
        number("PHI_BENCH_FILES", 20_000),
        number("PHI_BENCH_RUNS", 5).max(1),
    );
    let [short, long, records] = [Kind::Short, Kind::Long, Kind::Record].map(|kind| {
        let archive = Archive::of(kind, &folder, files);
        archive.inventory(); // once, so that what is measured has been seen
        archive
    });
    println!("{files} files, medians of {runs} interleaved runs\n");
    println!(
        "{:<24} {:>12} {:>12} {:>12} {:>12}",
        "files a second", "1 KiB", "64 MiB", "time, ratio", "records"
    );
    for (what, pass) in [
        ("inventory", Archive::inventory as fn(&Archive)),
        ("exposure", Archive::exposure),
        ("evidence scan", Archive::evidence),
        ("rewrap", Archive::rewrap),
        ("rewrap, nothing to do", Archive::rewrap_again),
    ] {
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..runs {
            for (archive, times) in [&short, &long, &records].into_iter().zip(&mut times) {
                if what == "rewrap" {
                    archive.keyring.rotate("next").unwrap();
                }
                let begin = Instant::now();
                pass(archive);
                times.push(begin.elapsed());
            }
        }
        print(what, files, times);
    }
    search(&folder, runs);
}

/// Searches a file that is no envelope, as a scan for evidence does: the rate is to be that of the disk.
fn search(folder: &Path, runs: usize) {
    let place = tempfile::tempdir_in(folder).unwrap();
    let plain: Vec<u8> = (0..251).cycle().take(256 << 20).collect();
    fs::write(place.path().join("plain"), &plain).unwrap();
    let cipher = EnvelopeCipher::new(Keyring::generate("bench").unwrap());
    let mut times: Vec<_> = (0..runs)
        .map(|_| {
            let begin = Instant::now();
            let key = KeyId::from_bytes([7; 16]);
            let mut scan = EvidenceScan::of_slot(&cipher, key.into());
            let tree = FileTree::new([place.path().to_owned()]);
            scan.tree("here", tree).unwrap();
            assert_eq!(scan.finish().found().len(), 1);
            begin.elapsed()
        })
        .collect();
    times.sort();
    let rate = plain.len() as f64 / times[times.len() / 2].as_secs_f64() / 1e6;
    println!("\nsearched for envelopes inside: {rate:.0} MB/s, one thread");
}

fn number(name: &str, default: usize) -> usize {
    let stated = std::env::var(name);
    stated.map_or(default, |text| text.parse().unwrap())
}

fn print(what: &str, files: usize, mut times: [Vec<Duration>; 3]) {
    // Each run beside the one that followed it, so that a machine that slows down slows both.
    let mut ratios: Vec<_> = (times[1].iter().zip(&times[0]))
        .map(|(long, short)| long.as_secs_f64() / short.as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    let [short, long, records] = times.each_mut().map(|times| {
        times.sort();
        format!("{:.0}", files as f64 / times[times.len() / 2].as_secs_f64())
    });
    let ratio = ratios[ratios.len() / 2];
    println!("{what:<24} {short:>12} {long:>12} {ratio:>11.2}x {records:>12}");
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A stream of 1 KiB.
    Short,
    /// A stream that is 64 MiB long.
    Long,
    /// A record of 1 KiB.
    Record,
}

/// Sealed files in folders, removed at the end.
struct Archive {
    folder: tempfile::TempDir,
    keyring: Keyring,
    cipher: EnvelopeCipher,
    files: usize,
}

impl Archive {
    fn of(kind: Kind, folder: &Path, files: usize) -> Self {
        let keyring = Keyring::generate("bench").unwrap();
        let archive = Self {
            folder: tempfile::tempdir_in(folder).unwrap(),
            cipher: EnvelopeCipher::new(keyring.clone()),
            keyring,
            files,
        };
        let context = Context::new().label("tenant", "clinic-7").unwrap();
        let plain: Vec<u8> = (0..251).cycle().take(SMALL).collect();
        for number in 0..files {
            let folder = archive.folder.path().join((number % FOLDERS).to_string());
            if number < FOLDERS {
                fs::create_dir(&folder).unwrap();
            }
            let path = folder.join(format!("{number}.phi"));
            if kind == Kind::Record {
                fs::write(path, archive.cipher.encrypt(&plain, &context).unwrap()).unwrap();
                continue;
            }
            let mut sealed = archive.cipher.encrypt_writer(Vec::new(), &context).unwrap();
            sealed.write_all(&plain).unwrap();
            let mut file = File::create(path).unwrap();
            file.write_all(&sealed.finish().unwrap()).unwrap();
            if kind == Kind::Long {
                file.set_len(LONG).unwrap();
            }
        }
        archive
    }

    fn tree(&self) -> FileTree {
        FileTree::new([self.folder.path().to_owned()])
    }

    fn inventory(&self) {
        let summary = archive::inventory(self.tree()).unwrap().finish();
        assert_eq!(summary.envelopes().files, self.files as u64);
    }

    fn exposure(&self) {
        let stolen = self.keyring.active().unwrap();
        let summary = archive::exposure(self.tree(), [stolen.into()])
            .unwrap()
            .finish();
        assert_eq!(summary.readable.files, self.files as u64);
    }

    fn evidence(&self) {
        let mut scan = EvidenceScan::of_slot(&self.cipher, KeyId::from_bytes([7; 16]).into());
        scan.tree("here", self.tree()).unwrap();
        let evidence = scan.finish();
        // A long file is sparse: its end is none of a stream, and that is found.
        let seen = evidence.opened
            + evidence
                .found()
                .iter()
                .map(|class| class.count)
                .sum::<u64>();
        assert_eq!(seen, self.files as u64);
    }

    fn rewrap(&self) {
        let pass = archive::rewrap(&self.cipher, self.tree(), RewrapOptions::new());
        assert_eq!(pass.unwrap().finish().done, self.files as u64);
    }

    fn rewrap_again(&self) {
        let pass = archive::rewrap(&self.cipher, self.tree(), RewrapOptions::new());
        assert_eq!(pass.unwrap().finish().current, self.files as u64);
    }
}
