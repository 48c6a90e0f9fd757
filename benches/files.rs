//! Files beside what the system itself takes to copy them, on a tmpfs and on a disk, in interleaved runs: `A B A B …`, medians.
//!
//! `cargo bench --bench files [-- FOLDER]`, where `FOLDER` is on the disk to be measured; `target` unless said. `PHI_BENCH_MIB`
//! makes the files another size than 1024 MiB, `PHI_BENCH_RUNS` the runs another number than 5.

#![allow(missing_docs)] // of what criterion's macro makes
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss
)] // a benchmark may fail loudly

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use phi_envelope::floe::{self, SegmentLength};
use phi_envelope::{
    Context, EnvelopeCipher, Keyring,
    files::{self, FileOptions, RewrapStatus},
};

const MIB: usize = 1 << 20;
const MEMORY: &str = "/dev/shm";

fn main() {
    // Cargo adds `--bench`, and runs benches as tests too.
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let folder = arguments.iter().find(|text| !text.starts_with('-'));
    let folder = folder.map_or_else(|| PathBuf::from("target"), PathBuf::from);
    if !arguments.iter().any(|text| text == "--bench") {
        return;
    }
    let (mib, runs) = (
        number("PHI_BENCH_MIB", 1024),
        number("PHI_BENCH_RUNS", 5).max(1),
    );
    println!("{mib} MiB, medians of {runs} interleaved runs\n");
    println!(
        "{:<44} {:>12} {:>12} {:>8}",
        "", "ours", "beside it", "ratio"
    );
    if Path::new(MEMORY).is_dir() {
        copies("tmpfs", Path::new(MEMORY), mib, runs, false);
        ranges(Path::new(MEMORY), mib, runs);
        rewraps(Path::new(MEMORY), runs);
    }
    fs::create_dir_all(&folder).unwrap();
    copies("disk", &folder, mib, runs, true);
}

fn number(name: &str, default: usize) -> usize {
    let stated = std::env::var(name);
    stated.map_or(default, |text| text.parse().unwrap())
}

/// Files of one bench, removed at its end.
struct Bench {
    folder: tempfile::TempDir,
    keyring: Keyring,
    cipher: EnvelopeCipher,
    context: Context,
}

impl Bench {
    fn at(folder: &Path) -> Self {
        let keyring = Keyring::generate("bench").unwrap();
        Self {
            folder: tempfile::tempdir_in(folder).unwrap(),
            cipher: EnvelopeCipher::new(keyring.clone()),
            keyring,
            context: Context::new().bind("export", "42").unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn plain(&self, mib: usize) {
        let piece: Vec<u8> = (0..251).cycle().take(MIB).collect();
        let mut file = File::create(self.path("plain")).unwrap();
        for _ in 0..mib {
            file.write_all(&piece).unwrap();
        }
        file.sync_all().unwrap();
    }

    fn encrypt(&self) {
        let (from, to) = (self.path("plain"), self.path("phi"));
        let options = FileOptions::new();
        files::encrypt(&self.cipher, from, to, &self.context, options).unwrap();
    }

    /// A sealed file, most of it a hole: a rewrap does not look at what follows the blocks.
    fn sparse(&self, name: &str, len: u64) {
        let file = File::create(self.path(name)).unwrap();
        let mut out = self.cipher.encrypt_writer(file, &self.context).unwrap();
        out.write_all(b"note").unwrap();
        out.finish().unwrap().set_len(len).unwrap();
    }
}

/// Sealing and opening beside `cp`, with its output made durable where ours is.
fn copies(place: &str, folder: &Path, mib: usize, runs: usize, durable: bool) {
    let bench = Bench::at(folder);
    bench.plain(mib);
    bench.encrypt();
    let copy = |from: &str| {
        let (from, to) = (bench.path(from), bench.path("copy"));
        let status = Command::new("cp").arg(from).arg(&to).status().unwrap();
        assert!(status.success());
        if durable {
            assert!(Command::new("sync").arg(&to).status().unwrap().success());
        }
    };
    let remove = |name: &str| fs::remove_file(bench.path(name)).unwrap();
    let beside = if durable { "cp, sync" } else { "cp" };

    let mut times = Times::default();
    for _ in 0..runs {
        remove("phi");
        times.ours(|| bench.encrypt());
        times.theirs(|| copy("plain"));
        remove("copy");
    }
    times.print(&format!("{place}: encrypt_file beside {beside}"));

    let mut times = Times::default();
    for _ in 0..runs {
        times.ours(|| {
            let (from, to) = (bench.path("phi"), bench.path("out"));
            let options = FileOptions::new();
            files::decrypt(&bench.cipher, from, to, &bench.context, options).unwrap();
        });
        remove("out");
        times.theirs(|| copy("phi"));
        remove("copy");
    }
    times.print(&format!("{place}: decrypt_file beside {beside}"));
}

/// 4 KiB out of the file, beside one segment of 64 KiB opened in memory.
fn ranges(folder: &Path, mib: usize, runs: usize) {
    const READS: usize = 1000;
    /// Plaintext of a segment of 64 KiB.
    const SEGMENT: usize = 65_536 - 32;
    let bench = Bench::at(folder);
    bench.plain(mib);
    bench.encrypt();
    let options = FileOptions::new();
    let file = files::open(&bench.cipher, bench.path("phi"), &bench.context, options).unwrap();
    let key = floe::Key::from_bytes([7; 32]);
    let plain = vec![0; SEGMENT];
    let message = floe::encrypt(&key, b"", SegmentLength::DEFAULT, &plain).unwrap();
    let mut out = vec![0; 4096];
    let mut times = Times::default();
    for _ in 0..runs {
        times.ours(|| {
            for read in 0..READS as u64 {
                // A place of its own in another segment each time.
                let at = read * 611_953 * 4096 % (file.len() - 4096);
                assert_eq!(file.read_at(&mut out, at).unwrap(), 4096);
            }
        });
        times.theirs(|| {
            for _ in 0..READS {
                black_box(floe::decrypt(&key, b"", black_box(&message)).unwrap());
            }
        });
    }
    times.divide(READS);
    times.print("read_at of 4 KiB beside a segment in memory");
}

fn rewraps(folder: &Path, runs: usize) {
    const REWRAPS: usize = 200;
    let bench = Bench::at(folder);
    bench.sparse("long", 4 << 30);
    bench.sparse("short", 4 << 20);
    let rewrap = |name: &str| {
        let outcome = files::rewrap(&bench.cipher, bench.path(name)).unwrap();
        assert_eq!(outcome, RewrapStatus::Rewrapped);
    };
    let mut times = Times::default();
    for run in 0..runs * 20 {
        bench.keyring.rotate(&run.to_string()).unwrap();
        times.ours(|| rewrap("long"));
        times.theirs(|| rewrap("short"));
    }
    times.print("tmpfs: rewrap of 4 GiB beside 4 MiB");

    let mut per_second: Vec<_> = (0..runs)
        .map(|_| {
            let bench = Bench::at(folder);
            let names: Vec<_> = (0..REWRAPS).map(|at| at.to_string()).collect();
            names.iter().for_each(|name| bench.sparse(name, MIB as u64));
            bench.keyring.rotate("2027").unwrap();
            let begin = Instant::now();
            for name in &names {
                files::rewrap(&bench.cipher, bench.path(name)).unwrap();
            }
            REWRAPS as f64 / begin.elapsed().as_secs_f64()
        })
        .collect();
    per_second.sort_by(f64::total_cmp);
    let median = per_second[per_second.len() / 2];
    println!(
        "{:<44} {median:>10.0}/s",
        "tmpfs: rewraps, one thread, a file each"
    );
}

#[derive(Default)]
struct Times {
    ours: Vec<Duration>,
    theirs: Vec<Duration>,
}

impl Times {
    fn ours(&mut self, work: impl FnOnce()) {
        self.ours.push(timed(work));
    }

    fn theirs(&mut self, work: impl FnOnce()) {
        self.theirs.push(timed(work));
    }

    /// Of what was done that often in each run.
    fn divide(&mut self, by: usize) {
        let by = u32::try_from(by).unwrap();
        for time in self.ours.iter_mut().chain(&mut self.theirs) {
            *time /= by;
        }
    }

    fn print(mut self, what: &str) {
        // Each run beside the one that followed it, so that a machine that slows down slows both.
        let mut ratios: Vec<_> = (self.ours.iter().zip(&self.theirs))
            .map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        self.ours.sort();
        self.theirs.sort();
        println!(
            "{what:<44} {:>12} {:>12} {:>7.2}x",
            format!("{:.1?}", self.ours[self.ours.len() / 2]),
            format!("{:.1?}", self.theirs[self.theirs.len() / 2]),
            ratios[ratios.len() / 2],
        );
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}
