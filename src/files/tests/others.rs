//! What other programs do to a file, which ask for no lock, at each moment of a change: their version stays.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Folder, Keys, context, disk, opened, options, sealed};
use crate::disk::faults::Faults;
use crate::disk::{Call, Disk};
use crate::envelope::{Change, EnvelopeCipher};
use crate::error::{Error, Result};
use crate::files::inspect;
use crate::files::reencrypt::reencrypt_on;
use crate::files::repack::repack_on;
use crate::files::rewrap::change_file;

type Run<'a> = Box<dyn Fn(&Disk, &Path) -> Result<()> + 'a>;

/// What is done to a file, and the file before.
struct Work<'a> {
    name: &'static str,
    before: Vec<u8>,
    run: Run<'a>,
    in_place: bool,
}

/// All that replaces a file, and what changes one in place.
fn all(keys: &Keys) -> Vec<Work<'_>> {
    let stream = sealed(&keys.old, b"the old one");
    let record = keys.old.encrypt("the old one", &context()).unwrap();
    let (header, _) = keys
        .old
        .encrypt_writer_detached(Vec::new(), &context())
        .unwrap();
    let rewrap =
        |disk: &Disk, path: &Path| change_file(disk, &keys.new, path, Change::Rewrap).map(drop);
    fn of<'a>(
        name: &'static str,
        before: &[u8],
        run: impl Fn(&Disk, &Path) -> Result<()> + 'a,
        in_place: bool,
    ) -> Work<'a> {
        Work {
            name,
            before: before.to_vec(),
            run: Box::new(run),
            in_place,
        }
    }
    vec![
        of("a record rewrapped", &record, rewrap, false),
        of("a header rewrapped", &header, rewrap, false),
        of("a stream rewrapped", &stream, rewrap, true),
        of(
            "a read-only stream rewrapped",
            &stream,
            move |disk: &Disk, path: &Path| rewrap(&disk.clone().writing_none(), path),
            false,
        ),
        of(
            "a stream sealed anew",
            &stream,
            |disk, path| reencrypt_on(disk, &keys.new, path, &context(), options(1)).map(drop),
            false,
        ),
        of(
            "a record sealed anew",
            &record,
            |disk, path| reencrypt_on(disk, &keys.new, path, &context(), options(1)).map(drop),
            false,
        ),
        of(
            "a stream repacked",
            &stream,
            |disk, path| repack_on(disk, &keys.new, path, options(1)).map(drop),
            false,
        ),
    ]
}

/// Puts a version of another program in the place of a file, as such programs do.
fn put(path: PathBuf, version: &'static [u8]) -> impl FnOnce() + Send + 'static {
    move || {
        let beside = path.with_extension("theirs");
        fs::write(&beside, version).unwrap();
        fs::rename(beside, path).unwrap();
    }
}

fn is_busy(outcome: &Result<()>) -> bool {
    let busy = std::io::ErrorKind::ResourceBusy;
    matches!(outcome, Err(Error::Io(error)) if error.kind() == busy)
}

#[test]
fn a_version_that_another_program_puts_there_stays_whenever_it_comes() {
    let keys = Keys::new();
    for work in all(&keys) {
        for names_all in [false, true] {
            for call in 0.. {
                let what = format!("{}, call {call}, names_all {names_all}", work.name);
                let folder = Folder::of(&[("phi", work.before.clone())]);
                let path = folder.path("phi");
                let faults = Faults::none().meanwhile(call, put(path.clone(), b"theirs"));
                let outcome = (work.run)(&disk(&faults, names_all), &path);
                if !faults.others_have_acted() {
                    outcome.unwrap();
                    break;
                }
                assert_eq!(fs::read(&path).unwrap(), b"theirs", "{what}: {outcome:?}");
                assert_eq!(folder.files().len(), 1, "{what}");
            }
        }
    }
}

#[test]
fn of_two_versions_that_others_put_there_the_last_stays() {
    let keys = Keys::new();
    let record = keys.old.encrypt("the old one", &context()).unwrap();
    let mut given_back = 0;
    for first in 0.. {
        let mut first_acted = false;
        for second in first.. {
            let what = format!("calls {first} and {second}");
            let folder = Folder::of(&[("phi", record.clone())]);
            let path = folder.path("phi");
            let faults = Faults::none()
                .meanwhile(first, put(path.clone(), b"theirs"))
                .meanwhile(second, put(path.clone(), b"the last"));
            let outcome = change_file(&disk(&faults, false), &keys.new, &path, Change::Rewrap);
            if !faults.others_have_acted() {
                break;
            }
            first_acted = true;
            let exchanges = |call: &&Call| **call == Call::Exchange;
            given_back += usize::from(faults.calls().iter().filter(exchanges).count() > 2);
            assert_eq!(fs::read(&path).unwrap(), b"the last", "{what}: {outcome:?}");
            assert_eq!(folder.files().len(), 1, "{what}");
        }
        if !first_acted {
            break;
        }
    }
    assert!(
        given_back > 0,
        "no second version came before the first was given back"
    );
}

#[test]
fn a_file_that_another_program_removes_stays_removed() {
    let keys = Keys::new();
    for work in all(&keys) {
        for call in 0.. {
            let what = format!("{}, call {call}", work.name);
            let folder = Folder::of(&[("phi", work.before.clone())]);
            let path = folder.path("phi");
            let remove = path.clone();
            let faults = Faults::none().meanwhile(call, move || fs::remove_file(remove).unwrap());
            let outcome = (work.run)(&disk(&faults, false), &path);
            if !faults.others_have_acted() {
                break;
            }
            assert!(!path.exists(), "{what}: {outcome:?}");
            assert_eq!(folder.files().len(), 0, "{what}: {outcome:?}");
        }
    }
}

#[test]
fn what_another_program_writes_into_a_file_stays() {
    let keys = Keys::new();
    for work in all(&keys) {
        let mut noticed = 0;
        for call in 0.. {
            let what = format!("{}, call {call}", work.name);
            let folder = Folder::of(&[("phi", work.before.clone())]);
            let path = folder.path("phi");
            let theirs = vec![b'T'; 40_000];
            let (written, into) = (theirs.clone(), path.clone());
            let faults = Faults::none().meanwhile(call, move || fs::write(into, written).unwrap());
            let outcome = (work.run)(&disk(&faults, false), &path);
            if !faults.others_have_acted() {
                break;
            }
            // A write that follows the last look is beyond what a program without locks can see.
            if work.in_place && faults.calls().get(call) == Some(&Call::Write) {
                continue;
            }
            noticed += usize::from(is_busy(&outcome));
            let bytes = fs::read(&path).unwrap();
            assert!(bytes == theirs, "{what}: {outcome:?}");
            assert_eq!(folder.files().len(), 1, "{what}");
        }
        assert!(noticed > 0, "{}", work.name);
    }
}

#[test]
fn where_names_cannot_be_exchanged_the_last_look_is_right_before_the_rename() {
    let keys = Keys::new();
    let record = keys.old.encrypt("the old one", &context()).unwrap();
    for call in 0.. {
        let folder = Folder::of(&[("phi", record.clone())]);
        let path = folder.path("phi");
        let faults = Faults::none().meanwhile(call, put(path.clone(), b"theirs"));
        let disk = disk(&faults, false).exchanging_none();
        let outcome = change_file(&disk, &keys.new, &path, Change::Rewrap);
        if !faults.others_have_acted() {
            break;
        }
        if faults.calls().get(call) != Some(&Call::Rename) {
            let there = fs::read(&path).unwrap();
            assert_eq!(there, b"theirs", "call {call}: {outcome:?}");
        }
    }
}

#[test]
fn access_that_is_taken_away_meanwhile_is_not_given_back() {
    use std::os::unix::fs::PermissionsExt as _;
    let keys = Keys::new();
    let record = keys.old.encrypt("the old one", &context()).unwrap();
    for call in 0.. {
        let folder = Folder::of(&[("phi", record.clone())]);
        let path = folder.path("phi");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let of = path.clone();
        let faults = Faults::none().meanwhile(call, move || {
            fs::set_permissions(of, fs::Permissions::from_mode(0o600)).unwrap();
        });
        let outcome = change_file(&disk(&faults, false), &keys.new, &path, Change::Rewrap);
        if !faults.others_have_acted() {
            break;
        }
        assert_eq!(
            folder.mode("phi") & 0o777,
            0o600,
            "call {call}: {outcome:?}"
        );
    }
}

#[test]
fn a_stream_that_may_not_be_written_to_is_rewrapped_by_a_copy() {
    let keys = Keys::new();
    let before = sealed(&keys.old, b"note");
    let folder = Folder::of(&[("phi", before.clone())]);
    let path = folder.path("phi");
    let rewrap = |cipher: &EnvelopeCipher| {
        let disk = disk(&Faults::none(), false).writing_none();
        change_file(&disk, cipher, &path, Change::Rewrap).unwrap()
    };
    let identity = crate::disk::Disk::default().metadata(&path).unwrap();
    assert_eq!(rewrap(&keys.new), crate::files::RewrapStatus::Rewrapped);
    let after = fs::read(&path).unwrap();
    assert!(after[8192..] == before[8192..] && after[..4096] == after[4096..8192]);
    assert_eq!(opened(&keys.new, &after).unwrap(), b"note");
    assert!(opened(&keys.old, &after).is_err());
    assert_eq!(inspect(&path).unwrap().header.generation, 1);
    let now = crate::disk::Disk::default().metadata(&path).unwrap();
    assert!(!crate::disk::same_file(&identity, &now));
    assert_eq!(rewrap(&keys.new), crate::files::RewrapStatus::UpToDate);
}

#[test]
fn who_comes_for_what_the_dead_left_does_not_remove_what_is_being_given_back() {
    let keys = Keys::new();
    let record = keys.old.encrypt("the old one", &context()).unwrap();
    let mut refused = 0;
    for call in 0..60 {
        let folder = Folder::of(&[("phi", record.clone())]);
        let path = folder.path("phi");
        let theirs = put(path.clone(), b"theirs");
        // Another writer of the same output, while the version of the other program has the name meanwhile.
        let target = path.clone();
        let (told, heard) = std::sync::mpsc::channel();
        let writer = move || {
            told.send(Disk::default().new_file(&target).is_err())
                .unwrap()
        };
        let faults = Faults::none();
        let faults = faults.meanwhile(call, theirs).meanwhile(call + 2, writer);
        let outcome = change_file(&disk(&faults, false), &keys.new, &path, Change::Rewrap);
        // What came early enough was noticed before.
        if !faults.others_have_acted() {
            continue;
        }
        refused += usize::from(heard.recv().unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"theirs", "{call}: {outcome:?}");
    }
    assert!(refused > 0);
}
