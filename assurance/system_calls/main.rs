//! Every system call of every command of `phi` that writes, tampered with by `strace`: it fails, it lies, or it is the program's last.
//!
//! The calls are counted, so that each of them has its turn. A write that did nothing and says that it did is noticed wherever the crate
//! reads back what it wrote: keyrings, headers, and payloads that are copied. A payload that is being sealed is not read back: it does not
//! open then. Plaintext is not either, and nothing would tell.
#![cfg(target_os = "linux")]
// A test stops where something is not as it says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod cases;
mod strace;
#[allow(dead_code)] // a part of it serves here
#[path = "../../crates/cli/tests/phi/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use cases::{CANARY, CASES, Case, Files, Kind, files, is_plaintext};
use strace::{Call, Ended, Fault};

/// Calls that change something, or that something hangs on.
const WRITING: [&str; 12] = [
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "linkat",
    "rename",
    "renameat2",
    "unlink",
    "ftruncate",
    "fchmod",
    "fchown",
    "openat",
];
/// Others, before which a program may die as well, and some of which may fail.
const OTHERS: [&str; 9] = [
    "llistxattr",
    "flistxattr",
    "read",
    "pread64",
    "flock",
    "statx",
    "readlink",
    "close",
    "exit_group",
];

/// How often a fault was met, and how often the program said so.
#[derive(Default)]
struct Count {
    met: u64,
    told: u64,
}

type Counts = BTreeMap<(Fault, String), Count>;

#[test]
#[ignore = "takes two minutes: every system call of every command that writes"]
fn every_system_call_fails_lies_or_is_the_last() {
    if let Some(missing) = strace::what_is_missing() {
        println!("passed over: {missing}");
        return;
    }
    let began = Instant::now();
    let before = cases::files_before();
    let (counts, next) = (Mutex::new(Counts::new()), AtomicUsize::new(0));
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..threads {
            scope.spawn(|| {
                let folder = tempfile::tempdir().unwrap();
                while let Some(case) = CASES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    tamper(case, &before, &folder.path().join("here"), &counts);
                }
            });
        }
    });
    let counts = counts.into_inner().unwrap();
    for ((fault, call), Count { met, told }) in &counts {
        println!("{fault:?} at {call}: {met} met, {told} told");
    }
    let all: u64 = counts.values().map(|count| count.met).sum();
    println!(
        "{all} faults in {} commands, {:?}",
        CASES.len(),
        began.elapsed()
    );
    for call in ["pwrite64", "fsync", "linkat", "rename", "renameat2"] {
        assert!(
            counts.contains_key(&(Fault::Eio, call.to_owned())),
            "{call}"
        );
    }
}

/// Every fault at every call of one command.
fn tamper(case: &Case, before: &Files, folder: &Path, counts: &Mutex<Counts>) {
    cases::put(before, folder);
    let args = case.args(folder);
    let names = [&WRITING[..], &OTHERS].concat();
    let calls = strace::calls(&names, &args, folder);
    assert!((case.is_done)(folder), "{}", case.call);
    // What the loader does before the program begins is the loader's.
    let begin = calls
        .iter()
        .position(|call| call.line.contains("FIRST"))
        .unwrap();
    for name in names {
        let before_it = calls[..begin]
            .iter()
            .filter(|call| call.name == name)
            .count();
        let usual: Vec<_> = calls.iter().filter(|call| call.name == name).collect();
        for fault in faults(name) {
            for number in before_it + 1.. {
                let usual = usual.get(number - 1).copied();
                cases::put(before, folder);
                let ended = strace::run((name, number), fault, usual, &args, folder);
                if !ended.met {
                    assert!(
                        usual.is_none(),
                        "{}: {name} {number} was passed over",
                        case.call
                    );
                    break;
                }
                let what = format!("{}: {fault:?} at {name} {number}", case.call);
                check(case, (fault, usual), &ended, (before, folder), &what);
                let mut counts = counts.lock().unwrap();
                let count = counts.entry((fault, name.to_owned())).or_default();
                count.met += 1;
                count.told += u64::from(ended.code.is_some_and(|code| code != 0));
            }
        }
    }
}

fn faults(name: &str) -> Vec<Fault> {
    use Fault::{Eintr, Eio, Enospc, Kill, LieHalf, LieWhole};
    match name {
        "write" => vec![Eio, Enospc, Kill],
        "pwrite64" => vec![Eio, Enospc, Eintr, Kill, LieWhole, LieHalf],
        "fsync" | "openat" => vec![Eio, Enospc, Eintr, Kill],
        "fdatasync" | "linkat" | "rename" | "renameat2" | "ftruncate" => vec![Eio, Enospc, Kill],
        "read" | "pread64" | "flock" => vec![Eio, Eintr, Kill],
        "close" | "exit_group" => vec![Kill],
        _ => vec![Eio, Kill],
    }
}

fn check(
    case: &Case,
    (fault, usual): (Fault, Option<&Call>),
    ended: &Ended,
    (before, folder): (&Files, &Path),
    what: &str,
) {
    let lies = matches!(fault, Fault::LieWhole | Fault::LieHalf);
    let found = files(folder);
    let is_old = found == *before;
    let is_done = (case.is_done)(folder);
    match ended.code {
        None => assert_eq!(fault, Fault::Kill, "{what}: killed"),
        Some(0) => assert!(
            is_done || (lies && case.kind != Kind::Checked),
            "{what}: not done"
        ),
        Some(code) => {
            // 5 is done, but for the answer.
            assert!((1..=5).contains(&code), "{what}: {code}");
            assert!(code != 5 || is_done, "{what}: not done");
            // Where it cannot say anything, its code speaks.
            let dumb = usual.is_some_and(|call| call.line.starts_with("write(2"));
            assert!(dumb || !ended.stderr.is_empty(), "{what}: no word");
            assert_ne!(fault, Fault::Eintr, "{what}: {}", ended.stderr);
        }
    }
    if lies && ended.code == Some(0) {
        return check_lie(case, folder, what);
    }
    // A file that was replaced may be left where it could not be removed, and that is said.
    let may_be_left = fault == Fault::Kill || ended.stderr.contains("took effect");
    look_for_plaintext(before, &found, may_be_left, what);
    open_everything(folder, what);

    // The next run does it, unless this one did.
    if is_done && !is_old {
        return;
    }
    // A detached header alone is to be removed first.
    if case.call.contains("head2") && !folder.join("body2").exists() {
        let _ = std::fs::remove_file(folder.join("head2"));
    }
    let again = strace::run(
        ("exit_group", 99),
        Fault::Kill,
        None,
        &case.args(folder),
        folder,
    );
    // What was half done is done once the two header blocks are alike, and then refused as done already.
    let refused = case.call.starts_with("recipient") && again.stderr.contains("recipients:");
    assert!(
        again.code == Some(0) || refused,
        "{what}, again: {}",
        again.stderr
    );
    assert!((case.is_done)(folder), "{what}, again: not done");
    assert!(
        cases::are_blocks_alike(folder),
        "{what}, again: two headers"
    );
    look_for_plaintext(before, &files(folder), false, what);
    open_everything(folder, what);
}

/// A write that did nothing and was believed: what was written opens whole or not at all, and never as something else.
fn check_lie(case: &Case, folder: &Path, what: &str) {
    match case.kind {
        Kind::Checked => panic!("{what}: nobody noticed"),
        Kind::Sealed => {
            let opened = [
                cases::plaintext(folder, "sealed"),
                cases::plaintext(folder, "new"),
                cases::detached(folder, "body2", "head2"),
            ];
            let mut plain = opened.into_iter().flatten();
            assert!(
                plain.all(|plain| is_plaintext(&plain)),
                "{what}: wrong plaintext"
            );
        }
        // Nobody can tell: plaintext has no tag. What it was opened from is as it was.
        Kind::Plain => {
            assert!(cases::plaintext(folder, "sealed").is_ok_and(|plain| is_plaintext(&plain)))
        }
    }
}

/// Plaintext is where it was and where it is wanted, and whole; a killed program may leave it under a name of its own, for its owner
/// alone.
fn look_for_plaintext(before: &Files, found: &Files, may_be_left: bool, what: &str) {
    for (name, content) in found {
        let is_there = content
            .bytes
            .windows(CANARY.len())
            .any(|window| window == CANARY);
        let is_private = content.mode & 0o077 == 0;
        match &**name {
            "plain" | "other" => assert!(before[name] == *content, "{what}: {name}"),
            "out" | "opened" => {
                let is_old = before.get(name) == Some(content);
                assert!(
                    is_old || is_private && is_plaintext(&content.bytes),
                    "{what}: {name}"
                );
            }
            name if name.starts_with(".phi-tmp-") => {
                assert!(may_be_left, "{what}: {name} is left");
                assert!(
                    !is_there || is_private && is_plaintext(&content.bytes),
                    "{what}: {name}"
                );
            }
            _ => assert!(!is_there, "{what}: plaintext in {name}"),
        }
    }
}

/// Every keyring and every file that is there opens, and gives what was sealed.
fn open_everything(folder: &Path, what: &str) {
    let is_there = |name: &&str| folder.join(name).exists();
    for name in ["k", "p", "q", "n"].into_iter().filter(is_there) {
        cases::keyring(folder, name).unwrap_or_else(|error| panic!("{what}: {name}: {error}"));
    }
    let good = |name: &str, opened: phi_envelope::Result<Vec<u8>>| {
        let plain = opened.unwrap_or_else(|error| panic!("{what}: {name}: {error}"));
        assert!(is_plaintext(&plain), "{what}: {name}: wrong plaintext");
    };
    for name in ["sealed", "new"].into_iter().filter(is_there) {
        good(name, cases::plaintext(folder, name));
    }
    for (name, header) in [("body", "head"), ("body2", "head2")] {
        if is_there(&name) {
            good(name, cases::detached(folder, name, header));
        }
    }
    good("record", cases::record(folder, "record"));
}
