//! Files and processes: killed at any moment, at work on one file at once, and what they cost in memory and in transfers.
//!
//! The children are this very test binary, told by its environment what to do.
#![cfg(target_os = "linux")]
// A test stops where something is not as it says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{BLOCK, context, keyring_of, sample};
use phi_envelope::{
    EnvelopeCipher, Error, KeyringFile,
    files::{self, FileOptions, RewrapStatus},
};

/// The variables that tell a child its work, and where.
const WORK: &str = "PHI_TEST_WORK";
const FOLDER: &str = "PHI_TEST_FOLDER";
const THREADS: &str = "PHI_TEST_THREADS";
/// What all plaintext is made of, to be sought in what must hold none.
const CANARY: &[u8] = b"CANARY-OF-A-MRN-";
/// The word with which a child's lines begin, between those of the test harness.
const SAYS: &str = "CHILD";

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn child(work: &str, folder: &Path, threads: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::work", "--ignored", "--nocapture"])
        .env(WORK, work)
        .env(FOLDER, folder)
        .env(THREADS, threads.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Runs a child to its end, and returns what it said.
fn run(work: &str, folder: &Path, threads: usize) -> Vec<u64> {
    let out = child(work, folder, threads).wait_with_output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{work}: {text}");
    let line = text.lines().find_map(|line| line.split(SAYS).nth(1));
    let words = line.unwrap().split_whitespace();
    words.map(|word| word.parse().unwrap()).collect()
}

#[test]
#[ignore = "what the children of the other tests do"]
fn work() {
    let Ok(work) = std::env::var(WORK) else {
        return;
    };
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let threads: usize = std::env::var(THREADS).unwrap().parse().unwrap();
    match &*work {
        "everything" => everything(&folder),
        "rotate" => rotate(&folder),
        "rewrap" => {
            let before = transfers();
            let outcome = files::rewrap(&after(), folder.join("phi")).unwrap();
            let now = transfers();
            assert_eq!(outcome, RewrapStatus::Rewrapped);
            println!("{SAYS} {} {}", now.0 - before.0, now.1 - before.1);
        }
        _ => {
            one(&work, &folder, threads);
            println!("{SAYS} {}", peak_memory());
        }
    }
}

/// One operation, whose memory is measured.
fn one(work: &str, folder: &Path, threads: usize) {
    let (plain, phi, out) = (folder.join("plain"), folder.join("phi"), folder.join("out"));
    let options = || {
        let options = FileOptions::new().overwrite();
        options.threads(threads.try_into().unwrap())
    };
    let done = match work {
        "encrypt" => files::encrypt(&before(), plain, phi, &context(), options()),
        "decrypt" => files::decrypt(&before(), phi, out, &context(), options()),
        "verify" => files::verify(&before(), phi, &context(), options()),
        "reencrypt" => files::reencrypt(&before(), phi, &context(), options()),
        other => panic!("no such work: {other}"),
    };
    done.unwrap();
}

/// A cipher before a rotation. Every process has the same keys.
fn before() -> EnvelopeCipher {
    EnvelopeCipher::new(keyring_of(1))
}

/// A cipher after it.
fn after() -> EnvelopeCipher {
    let keyring = keyring_of(1);
    keyring
        .rotate_to(crate::common::master_key(2), "2027")
        .unwrap();
    EnvelopeCipher::new(keyring)
}

/// Bytes that this process has read and written so far, whether from a disk or from memory.
fn transfers() -> (u64, u64) {
    let text = fs::read_to_string("/proc/self/io").unwrap();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].trim().parse().unwrap()
    };
    (field("rchar:"), field("wchar:"))
}

/// KiB of memory that this process had at most.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let words = line.unwrap().split_whitespace();
    words.skip(1).find_map(|word| word.parse().ok()).unwrap()
}

// Killed at any moment.

/// Every operation, again and again, until the process is killed.
fn everything(folder: &Path) {
    let path = |name: &str| folder.join(name);
    let over = || FileOptions::new().overwrite();
    let (old, new) = (before(), after());
    let record = fs::read(path("old_record")).unwrap();
    println!("{SAYS} begins");
    loop {
        files::encrypt(&old, path("plain"), path("phi"), &context(), over()).unwrap();
        files::rewrap(&new, path("phi")).unwrap();
        files::decrypt(&new, path("phi"), path("out"), &context(), over()).unwrap();
        files::reencrypt(&new, path("phi"), &context(), FileOptions::new()).unwrap();
        fs::remove_file(path("out")).unwrap();
        files::decrypt(
            &new,
            path("phi"),
            path("out"),
            &context(),
            FileOptions::new(),
        )
        .unwrap();
        // Not as a user would: what is tested is the rewrap after it.
        fs::write(path("new_record"), &record).unwrap();
        fs::rename(path("new_record"), path("record")).unwrap();
        files::rewrap(&new, path("record")).unwrap();
    }
}

fn kill_often(times: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let plaintext: Vec<u8> = CANARY.iter().copied().cycle().take(700_003).collect();
    let cipher = after();
    fs::write(path("plain"), &plaintext).unwrap();
    let record = before().encrypt(&plaintext, &context()).unwrap();
    fs::write(path("old_record"), &record).unwrap();
    fs::write(path("record"), &record).unwrap();
    files::encrypt(
        &before(),
        path("plain"),
        path("phi"),
        &context(),
        FileOptions::new(),
    )
    .unwrap();

    for time in 0..times {
        let mut child = child("everything", folder.path(), 2);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(SAYS)));
        // Spread over a few rounds of its work.
        std::thread::sleep(Duration::from_micros(time * 7_919 % 150_000));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());

        let what = format!("kill {time}");
        for entry in fs::read_dir(folder.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let bytes = fs::read(path(&name)).unwrap();
            let plain = bytes.windows(16).any(|window| window == CANARY);
            match &*name {
                "plain" | "out" => assert!(bytes == plaintext, "{what}: {name}"),
                "phi" => {
                    let range = files::open(&cipher, path("phi"), &context(), FileOptions::new());
                    let mut opened = Vec::new();
                    range.expect(&what).read_to_end(&mut opened).unwrap();
                    assert!(opened == plaintext, "{what}");
                }
                "record" => {
                    let opened = cipher.decrypt(&bytes, &context()).expect(&what);
                    assert!(opened[..] == plaintext, "{what}");
                }
                "old_record" | "new_record" => assert!(!plain),
                // The moment in which a whole file that has had no name replaces another.
                name if name.starts_with(".phi-tmp-") => {
                    assert!(!plain || bytes == plaintext, "{what}: {name}");
                }
                name => panic!("{what}: {name} is left"),
            }
        }
        // The next run goes on from there, and removes what was left of its target.
        let over = || FileOptions::new().overwrite();
        files::rewrap(&cipher, path("phi")).unwrap();
        assert!(files::inspect(path("phi")).unwrap().blocks_alike);
        files::reencrypt(&cipher, path("phi"), &context(), FileOptions::new()).unwrap();
        files::decrypt(&cipher, path("phi"), path("out"), &context(), over()).unwrap();
        fs::write(path("record"), &record).unwrap();
        files::rewrap(&cipher, path("record")).unwrap();
        let left = fs::read_dir(folder.path()).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with(".phi-tmp-")
        });
        assert_eq!(left.count(), 0, "{what}");
    }
}

#[test]
fn a_killed_process_leaves_whole_files_and_no_plaintext() {
    kill_often(20);
}

#[test]
#[ignore = "takes minutes"]
fn two_hundred_killed_processes_leave_whole_files_and_no_plaintext() {
    kill_often(200);
}

// At work on one file at once.

/// Rotates the keyring and rewraps, many times, as one of several processes.
fn rotate(folder: &Path) {
    let keyring = KeyringFile::open(folder.join("keyring"), keyring_of(9)).unwrap();
    let cipher = EnvelopeCipher::new(keyring.keyring());
    for round in 0..20 {
        keyring
            .update(|keys| keys.rotate(&round.to_string()))
            .unwrap();
        for name in ["phi", "record"] {
            // Another process may have moved it to a key that this one has not seen yet.
            while let Err(error) = files::rewrap(&cipher, folder.join(name)) {
                assert!(matches!(error, Error::NoMatchingKey { .. }), "{error}");
                keyring.reload().unwrap();
            }
        }
    }
    println!("{SAYS}");
}

#[test]
fn processes_rewrap_one_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let keyring = KeyringFile::create(path("keyring"), "2026", keyring_of(9)).unwrap();
    let cipher = EnvelopeCipher::new(keyring.keyring());
    fs::write(path("plain"), sample(100_000)).unwrap();
    let options = FileOptions::new();
    files::encrypt(&cipher, path("plain"), path("phi"), &context(), options).unwrap();
    fs::write(path("record"), cipher.encrypt("note", &context()).unwrap()).unwrap();
    let before = fs::read(path("phi")).unwrap();

    let children: Vec<_> = (0..3).map(|_| child("rotate", folder.path(), 1)).collect();
    for child in children {
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success());
    }
    keyring.reload().unwrap();
    assert_eq!(keyring.keyring().keys().len(), 61);
    for name in ["phi", "record"] {
        files::rewrap(&cipher, path(name)).unwrap();
        assert_eq!(
            files::rewrap(&cipher, path(name)).unwrap(),
            RewrapStatus::UpToDate
        );
    }
    let after = fs::read(path("phi")).unwrap();
    assert!(after[..BLOCK] == after[BLOCK..2 * BLOCK]);
    assert!(after[2 * BLOCK..] == before[2 * BLOCK..]);
    files::verify(&cipher, path("phi"), &context(), FileOptions::new()).unwrap();
    let note = cipher.decrypt(fs::read(path("record")).unwrap(), &context());
    assert_eq!(&note.unwrap()[..], b"note");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
}

// What they cost.

#[test]
fn a_rewrap_of_4_gib_moves_as_many_bytes_as_one_of_4_mib() {
    let costs = [4 * MIB, 4 * GIB].map(|len| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("phi");
        let mut out = before()
            .encrypt_writer(File::create(&path).unwrap(), &context())
            .unwrap();
        out.write_all(b"note").unwrap();
        // A rewrap does not look at what follows the blocks.
        out.finish().unwrap().set_len(len).unwrap();
        run("rewrap", folder.path(), 1)
    });
    assert_eq!(costs[0], costs[1]);
    let [read, written] = costs[0][..] else {
        panic!("two numbers");
    };
    // Two blocks, with what they are read back for, and what it takes to ask.
    assert_eq!(written, 2 * BLOCK as u64);
    assert!(read < 64 * 1024, "{read}");
}

/// Every operation on a file of `len` bytes, most of them a hole, in bounded memory.
fn memory_is_bounded(len: u64, threads: usize) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let plain = File::create(folder.path().join("plain")).unwrap();
    (&plain).write_all(CANARY).unwrap();
    plain.set_len(len).unwrap();
    for work in ["encrypt", "verify", "reencrypt", "decrypt"] {
        let begin = Instant::now();
        let [peak] = run(work, folder.path(), threads)[..] else {
            panic!("one number");
        };
        eprintln!(
            "{work} {} MiB, {threads} threads: {} KiB at most, {:?}",
            len / MIB,
            peak,
            begin.elapsed()
        );
        assert!(peak <= 64 * 1024, "{work}: {peak} KiB");
    }
    let [plain, out] = ["plain", "out"].map(|name| {
        let file = File::open(folder.path().join(name)).unwrap();
        BufReader::with_capacity(1 << 20, file)
    });
    assert!(same(plain, out).unwrap());
}

fn same(mut left: impl io::BufRead, mut right: impl io::BufRead) -> io::Result<bool> {
    loop {
        let (l, r) = (left.fill_buf()?, right.fill_buf()?);
        let len = l.len().min(r.len());
        if len == 0 {
            return Ok(l.is_empty() && r.is_empty());
        }
        if l[..len] != r[..len] {
            return Ok(false);
        }
        left.consume(len);
        right.consume(len);
    }
}

#[test]
fn memory_is_bounded_at_64_mib() {
    memory_is_bounded(64 * MIB + 1, 1);
    memory_is_bounded(64 * MIB, 8);
}

#[test]
#[ignore = "writes 30 GiB"]
fn memory_is_bounded_at_5_gib() {
    memory_is_bounded(5 * GIB + 1, 1);
    memory_is_bounded(5 * GIB, 16);
}
