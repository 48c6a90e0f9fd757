//! What must be durable before what, and who may take a name.

use std::fs;

use super::{Folder, Keys, context, disk, opened, options, plaintext, sealed};
use crate::disk::Call;
use crate::disk::faults::{Fault, Faults};
use crate::envelope::Change;
use crate::files::encrypt::encrypt_on;
use crate::files::reencrypt::reencrypt_on;
use crate::files::rewrap::change_file;

/// The calls that make something last, and the writes before them as one.
fn lasting(faults: &Faults) -> Vec<Call> {
    let mut calls = faults.calls();
    calls.retain(|call| {
        matches!(
            call,
            Call::Write
                | Call::Sync
                | Call::SyncFolder
                | Call::Link
                | Call::Rename
                | Call::Exchange
                | Call::Remove
                | Call::Permissions
        )
    });
    calls.dedup();
    calls
}

#[test]
fn a_file_is_durable_before_it_has_its_name_and_then_its_name_is() {
    use Call::{Link, Permissions, Rename, Sync, SyncFolder, Write};
    let keys = Keys::new();
    for (names_all, overwrite, naming) in [
        (false, false, &[Link][..]),
        (false, true, &[Link, Rename]),
        (true, false, &[Rename]),
        (true, true, &[Rename]),
    ] {
        let folder = Folder::of(&[("plain", plaintext())]);
        if overwrite {
            fs::write(folder.path("out"), "old").unwrap();
        }
        let faults = Faults::none();
        let mut options = options(1);
        options.overwrite = overwrite;
        let (from, to) = (folder.path("plain"), folder.path("out"));
        let disk = disk(&faults, names_all);
        encrypt_on(&disk, &keys.new, &from, &to, &context(), options).unwrap();
        let expected = [&[Write, Permissions, Sync], naming, &[SyncFolder]].concat();
        assert_eq!(lasting(&faults), expected);
    }
}

#[test]
fn a_block_is_durable_before_the_other_is_touched() {
    use Call::{Sync, Write};
    let keys = Keys::new();
    let folder = Folder::of(&[("phi", sealed(&keys.old, b"note"))]);
    let path = folder.path("phi");
    let faults = Faults::at(1, Fault::Torn(0));
    assert!(change_file(&disk(&faults, false), &keys.new, &path, Change::Rewrap).is_err());
    assert_eq!(lasting(&faults), [Write, Sync, Write]);
    let faults = Faults::none();
    change_file(&disk(&faults, false), &keys.new, &path, Change::Rewrap).unwrap();
    assert_eq!(lasting(&faults), [Write, Sync]);
    let faults = Faults::none();
    change_file(&disk(&faults, false), &keys.new, &path, Change::Rewrap).unwrap();
    assert_eq!(lasting(&faults), []);
}

#[test]
fn only_a_dead_writers_file_is_removed() {
    for names_all in [false, true] {
        let folder = Folder::of(&[]);
        let target = folder.path("out");
        let disk = disk(&Faults::none(), names_all);
        let living = disk.new_file(&target).unwrap();
        disk.write_all_at(living.file().unwrap(), b"whole", 0)
            .unwrap();
        let second = disk.new_file(&target);
        // Where it has a name, a second writer sees that the first one lives.
        assert_eq!(second.is_err(), names_all);
        drop(second);
        living.publish(None, true).unwrap();
        assert_eq!(folder.read("out").unwrap(), b"whole");
        assert_eq!(folder.files().len(), 1);
    }
}

#[test]
fn many_writers_of_one_file_leave_one_whole() {
    for names_all in [false, true] {
        let folder = Folder::of(&[]);
        let target = folder.path("out");
        let write = |letter: u8| {
            let disk = disk(&Faults::none(), names_all);
            let mut published = 0;
            for _ in 0..200 {
                let attempt = disk.new_file(&target).and_then(|new| {
                    for at in 0..8 {
                        disk.write_all_at(new.file()?, &[letter; 100], at * 100)?;
                    }
                    new.publish(None, true)
                });
                published += u32::from(attempt.is_ok());
                if let Some(bytes) = folder.read("out") {
                    assert_eq!(bytes.len(), 800);
                    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
                }
            }
            published
        };
        let published: u32 = std::thread::scope(|scope| {
            let writers: Vec<_> = (b'a'..b'e')
                .map(|l| scope.spawn(move || write(l)))
                .collect();
            writers.into_iter().map(|w| w.join().unwrap()).sum()
        });
        assert!(published > 0);
        assert_eq!(folder.files().len(), 1);
    }
}

#[test]
fn a_write_that_did_not_happen_is_noticed_while_the_old_file_is_there() {
    let keys = Keys::new();
    let before = sealed(&keys.old, &plaintext());
    let mut noticed = 0;
    for call in 0.. {
        let folder = Folder::of(&[("phi", before.clone())]);
        let path = folder.path("phi");
        let faults = Faults::at(call, Fault::Lying);
        let disk = disk(&faults, false);
        let outcome = reencrypt_on(&disk, &keys.new, &path, &context(), options(1));
        if !faults.was_met() {
            break;
        }
        let bytes = fs::read(&path).unwrap();
        if outcome.is_ok() {
            assert!(opened(&keys.new, &bytes).unwrap() == plaintext(), "{call}");
        } else {
            assert!(bytes == before, "{call}");
            noticed += 1;
        }
    }
    // The header blocks, the head of the payload, and its one run of segments.
    assert_eq!(noticed, 3);
}
