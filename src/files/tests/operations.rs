//! Every operation, with files made nameless and with a name, on one thread and on two.

use super::{Folder, Keys, Operation, context, disk, labels, opened, options, plaintext, sealed};
use crate::disk::Disk;
use crate::disk::faults::{Fault, Faults};
use crate::envelope::{Change, EnvelopeCipher, inspect};
use crate::error::{Error, Result};
use crate::files::decrypt::decrypt_on;
use crate::files::encrypt::encrypt_on;
use crate::files::reencrypt::reencrypt_on;
use crate::files::repack::repack_on;
use crate::files::rewrap::{RewrapStatus, change_file};
use crate::files::{self, decrypt};
use crate::keys::Keyring;

/// What an output holds that is to be overwritten.
const OLD_OUTPUT: &[u8] = b"what was here before";

fn no_refusal(_: &Error) -> bool {
    false
}

fn exists(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == std::io::ErrorKind::AlreadyExists)
}

fn refused(error: &Error) -> bool {
    matches!(error, Error::Recipients(_))
}

fn both(operation: &Operation<'_>) {
    operation.enumerate(false);
    operation.enumerate(true);
}

/// The same, where the system exchanges no names.
fn without_exchange<'a>(operation: Operation<'a>) -> Operation<'a> {
    let run = operation.run;
    Operation {
        run: Box::new(move |disk, folder| run(&disk.clone().exchanging_none(), folder)),
        ..operation
    }
}

fn encryption(cipher: &EnvelopeCipher, overwrite: bool, threads: usize) -> Operation<'_> {
    let mut before = vec![("plain", plaintext())];
    if overwrite {
        before.push(("out", OLD_OUTPUT.to_vec()));
    }
    Operation {
        before,
        run: Box::new(move |disk, folder| {
            let mut options = options(threads);
            options.overwrite = overwrite;
            let (from, to) = (folder.path("plain"), folder.path("out"));
            encrypt_on(disk, cipher, &from, &to, &context(), options).map(drop)
        }),
        is_done: Box::new(move |folder| match folder.read("out") {
            None => {
                assert!(!overwrite);
                false
            }
            Some(bytes) if overwrite && bytes == OLD_OUTPUT => false,
            Some(bytes) => {
                assert!(opened(cipher, &bytes).unwrap() == plaintext());
                true
            }
        }),
        plain: &["plain"],
        names: &["plain", "out"],
        refusal: if overwrite { no_refusal } else { exists },
        is_atomic: true,
    }
}

fn decryption(keys: &Keys, overwrite: bool, threads: usize) -> Operation<'_> {
    let mut before = vec![("phi", sealed(&keys.old, &plaintext()))];
    if overwrite {
        before.push(("out", OLD_OUTPUT.to_vec()));
    }
    Operation {
        before,
        run: Box::new(move |disk, folder| {
            let mut options = options(threads);
            options.overwrite = overwrite;
            let (from, to) = (folder.path("phi"), folder.path("out"));
            decrypt_on(disk, &keys.new, &from, &to, &context(), options).map(drop)
        }),
        is_done: Box::new(move |folder| match folder.read("out") {
            None => {
                assert!(!overwrite);
                false
            }
            Some(bytes) if overwrite && bytes == OLD_OUTPUT => false,
            Some(bytes) => {
                assert!(bytes == plaintext());
                assert_eq!(folder.mode("out") & 0o777, 0o600);
                true
            }
        }),
        plain: &["out"],
        names: &["phi", "out"],
        refusal: if overwrite { no_refusal } else { exists },
        is_atomic: true,
    }
}

/// An operation that puts another file in the place of `phi`: `is_new` says so of its bytes, or panics.
fn replacement<'a>(
    before: Vec<u8>,
    run: impl Fn(&Disk, &Folder) -> Result<()> + 'a,
    is_new: impl Fn(&[u8]) + 'a,
) -> Operation<'a> {
    Operation {
        before: vec![("phi", before.clone())],
        run: Box::new(run),
        is_done: Box::new(move |folder| {
            let bytes = folder.read("phi").unwrap();
            if bytes == before {
                return false;
            }
            is_new(&bytes);
            true
        }),
        plain: &[],
        names: &["phi"],
        refusal: no_refusal,
        is_atomic: true,
    }
}

/// An operation that changes the header of an inline stream in place: a header of the next generation leads, or the old one does.
fn in_place<'a>(
    keys: &'a Keys,
    change: impl Fn(&Disk, &Folder) -> Result<()> + 'a,
    refusal: fn(&Error) -> bool,
) -> Operation<'a> {
    let before = sealed(&keys.old, &plaintext());
    Operation {
        before: vec![("phi", before.clone())],
        run: Box::new(move |disk, folder| {
            change(disk, folder)?;
            let bytes = folder.read("phi").unwrap();
            assert!(bytes[..4096] == bytes[4096..8192]);
            Ok(())
        }),
        is_done: Box::new(move |folder| {
            let bytes = folder.read("phi").unwrap();
            assert!(bytes[8192..] == before[8192..]);
            assert!(opened(&keys.new, &bytes).unwrap() == plaintext());
            inspect(&bytes).unwrap().generation == 1
        }),
        plain: &[],
        names: &["phi"],
        refusal,
        is_atomic: true,
    }
}

#[test]
fn encrypt_to_a_new_file() {
    let keys = Keys::new();
    both(&encryption(&keys.new, false, 1));
    encryption(&keys.new, false, 2).enumerate(false);
}

#[test]
fn encrypt_over_a_file() {
    let keys = Keys::new();
    both(&encryption(&keys.new, true, 1));
    encryption(&keys.new, true, 2).enumerate(true);
}

#[test]
fn encrypt_with_a_detached_header() {
    let keys = Keys::new();
    both(&Operation {
        before: vec![("plain", plaintext())],
        run: Box::new(|disk, folder| {
            let options = options(1).detached_header(folder.path("header"));
            let (from, to) = (folder.path("plain"), folder.path("out"));
            encrypt_on(disk, &keys.new, &from, &to, &context(), options).map(drop)
        }),
        is_done: Box::new(|folder| {
            if folder.read("out").is_none() {
                return false;
            }
            // Where there is a payload, there is its header.
            let opening = tempfile::tempdir().unwrap();
            let out = opening.path().join("opened");
            let with = options(1).detached_header(folder.path("header"));
            decrypt(&keys.new, folder.path("out"), &out, &context(), with).unwrap();
            assert!(std::fs::read(out).unwrap() == plaintext());
            true
        }),
        plain: &["plain"],
        names: &["plain", "out", "header"],
        // A header that is there is never overwritten.
        refusal: exists,
        is_atomic: true,
    });
}

#[test]
fn an_error_leaves_no_header_without_a_payload() {
    let keys = Keys::new();
    for at in 0.. {
        let folder = Folder::of(&[("plain", plaintext())]);
        let faults = Faults::at(at, Fault::Errno(super::ENOSPC));
        let options = options(1).detached_header(folder.path("header"));
        let (from, to) = (folder.path("plain"), folder.path("out"));
        let disk = disk(&faults, false);
        let _ = encrypt_on(&disk, &keys.new, &from, &to, &context(), options);
        if !faults.was_met() {
            break;
        }
        let is_there = ["header", "out"].map(|name| folder.read(name).is_some());
        assert_eq!(is_there[0], is_there[1], "call {at}");
    }
}

#[test]
fn decrypt_to_a_new_file() {
    let keys = Keys::new();
    both(&decryption(&keys, false, 1));
    decryption(&keys, false, 2).enumerate(true);
}

#[test]
fn decrypt_over_a_file() {
    let keys = Keys::new();
    both(&decryption(&keys, true, 1));
    decryption(&keys, true, 2).enumerate(false);
}

#[test]
fn rewrap_in_place() {
    let keys = Keys::new();
    in_place(
        &keys,
        |disk, folder| change_file(disk, &keys.new, &folder.path("phi"), Change::Rewrap).map(drop),
        no_refusal,
    )
    .enumerate(false);
}

#[test]
fn rewrap_a_record() {
    let keys = Keys::new();
    let before = keys.old.encrypt(plaintext(), &context()).unwrap();
    let rewrap = || {
        replacement(
            before.clone(),
            |disk, folder| {
                change_file(disk, &keys.new, &folder.path("phi"), Change::Rewrap).map(drop)
            },
            |bytes| {
                assert!(*keys.new.decrypt(bytes, &context()).unwrap() == plaintext()[..]);
                assert!(keys.old.decrypt(bytes, &context()).is_err());
            },
        )
    };
    both(&rewrap());
    both(&without_exchange(rewrap()));
}

#[test]
fn rewrap_a_detached_header() {
    let keys = Keys::new();
    let (before, payload) = keys
        .old
        .encrypt_writer_detached(Vec::new(), &context())
        .unwrap();
    let payload = payload.finish().unwrap();
    let opens = |cipher: &EnvelopeCipher, header: &[u8]| {
        let reader = cipher.decrypt_reader_detached(header, &payload[..], &context());
        reader.is_ok()
    };
    both(&replacement(
        before,
        |disk, folder| change_file(disk, &keys.new, &folder.path("phi"), Change::Rewrap).map(drop),
        |bytes| assert!(opens(&keys.new, bytes) && !opens(&keys.old, bytes)),
    ));
}

#[test]
fn reencrypt_in_its_place() {
    let keys = Keys::new();
    let before = sealed(&keys.old, &plaintext());
    for threads in [1, 2] {
        both(&replacement(
            before.clone(),
            |disk, folder| {
                let path = folder.path("phi");
                reencrypt_on(disk, &keys.new, &path, &context(), options(threads)).map(drop)
            },
            |bytes| assert!(opened(&keys.new, bytes).unwrap() == plaintext()),
        ));
    }
}

#[test]
fn repack_in_its_place() {
    let keys = Keys::new();
    let before = sealed(&keys.old, &plaintext());
    both(&replacement(
        before.clone(),
        |disk, folder| {
            let options = options(1).block_length(8192).unwrap();
            repack_on(disk, &keys.new, &folder.path("phi"), options).map(drop)
        },
        |bytes| {
            assert!(bytes[16_384..] == before[8192..]);
            assert!(opened(&keys.new, bytes).unwrap() == plaintext());
        },
    ));
}

#[test]
fn add_a_recipient_in_place() {
    let (keys, other) = (Keys::new(), Keyring::generate("backup").unwrap());
    let labels = labels();
    let change = |disk: &Disk, folder: &Folder| {
        let change = Change::Add(&other, &labels);
        change_file(disk, &keys.new, &folder.path("phi"), change).map(drop)
    };
    in_place(&keys, change, refused).enumerate(false);
}

#[test]
fn replace_a_recipient_in_place() {
    let (keys, other) = (Keys::new(), Keyring::generate("2028").unwrap());
    let labels = labels();
    // Opens before and after.
    let reads = Keys {
        old: keys.old.clone(),
        new: EnvelopeCipher::builder()
            .encrypt_for(keys.keyring.clone())
            .decrypt_with(other.clone())
            .build()
            .unwrap(),
        keyring: keys.keyring.clone(),
    };
    let change = |disk: &Disk, folder: &Folder| {
        let change = Change::Replace(&keys.keyring, &other, &labels);
        change_file(disk, &reads.new, &folder.path("phi"), change).map(drop)
    };
    in_place(&reads, change, refused).enumerate(false);
}

#[test]
fn add_a_recipient_to_a_record() {
    let (keys, other) = (Keys::new(), Keyring::generate("backup").unwrap());
    let labels = labels();
    let before = keys.old.encrypt("BP 120/80", &context()).unwrap();
    let reader = EnvelopeCipher::new(other.clone());
    let mut operation = replacement(
        before,
        |disk, folder| {
            let change = Change::Add(&other, &labels);
            change_file(disk, &keys.new, &folder.path("phi"), change).map(drop)
        },
        |bytes| {
            assert_eq!(
                &reader.decrypt(bytes, &context()).unwrap()[..],
                b"BP 120/80"
            )
        },
    );
    operation.refusal = refused;
    both(&operation);
}

#[test]
fn what_the_next_run_repairs_is_reported_as_done() {
    let keys = Keys::new();
    let folder = Folder::of(&[("phi", sealed(&keys.old, b"note"))]);
    let path = folder.path("phi");
    // Dies before the second block's write: after it, the header of the new generation stands in one block alone.
    let faults = Faults::at(1, Fault::Torn(0));
    assert!(change_file(&disk(&faults, false), &keys.new, &path, Change::Rewrap).is_err());
    assert!(!files::inspect(&path).unwrap().blocks_alike);
    let disk = disk(&Faults::none(), false);
    let run = || change_file(&disk, &keys.new, &path, Change::Rewrap).unwrap();
    assert_eq!(run(), RewrapStatus::Rewrapped);
    assert_eq!(run(), RewrapStatus::UpToDate);
    assert!(files::inspect(&path).unwrap().blocks_alike);
}
