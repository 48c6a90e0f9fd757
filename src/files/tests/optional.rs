//! What a file system may lack or refuse: locks, modes, folders that can be made durable, attributes.

use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};

use super::{Folder, Keys, context, disk, opened, options, plaintext, sealed};
use crate::disk::faults::Faults;
use crate::disk::{Call, Disk, Old};
use crate::envelope::Change;
use crate::error::{Error, Result};
use crate::files::RewrapStatus;
use crate::files::decrypt::{decrypt_on, verify_on};
use crate::files::encrypt::encrypt_on;
use crate::files::reencrypt::reencrypt_on;
use crate::files::rewrap::change_file;

const EPERM: i32 = 1;
const EIO: i32 = 5;
const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const EROFS: i32 = 30;
const ENOLCK: i32 = 37;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;

fn refusing(call: Call, number: i32) -> Disk {
    disk(&Faults::none().refusing(call, number), false)
}

#[test]
fn without_locks_what_is_new_and_what_is_read_needs_none() {
    let keys = Keys::new();
    for number in [ENOSYS, ENOLCK, EOPNOTSUPP] {
        for names_all in [false, true] {
            let folder = Folder::of(&[("plain", plaintext())]);
            let faults = Faults::none().refusing(Call::Lock, number);
            let disk = disk(&faults, names_all);
            let path = |name| folder.path(name);
            for overwrite in [false, true] {
                let mut with = options(1);
                with.overwrite = overwrite;
                encrypt_on(
                    &disk,
                    &keys.new,
                    &path("plain"),
                    &path("phi"),
                    &context(),
                    with,
                )
                .unwrap();
                let mut with = options(1);
                with.overwrite = overwrite;
                decrypt_on(
                    &disk,
                    &keys.new,
                    &path("phi"),
                    &path("out"),
                    &context(),
                    with,
                )
                .unwrap();
            }
            verify_on(&disk, &keys.new, &path("phi"), &context(), options(1)).unwrap();
            assert!(folder.read("out").unwrap() == plaintext());
        }
    }
}

#[test]
fn without_locks_a_change_is_refused_unless_it_is_allowed() {
    let keys = Keys::new();
    for number in [ENOSYS, ENOLCK, EOPNOTSUPP] {
        let record = keys.old.encrypt("note", &context()).unwrap();
        let folder = Folder::of(&[("stream", sealed(&keys.old, b"note")), ("record", record)]);
        for name in ["stream", "record"] {
            let path = folder.path(name);
            let mut disk = refusing(Call::Lock, number);
            match change_file(&disk, &keys.new, &path, Change::Rewrap) {
                Err(Error::Io(error)) => {
                    assert_eq!(error.kind(), ErrorKind::Unsupported);
                    let text = error.to_string();
                    assert!(text.contains(name) && text.contains("no locks"), "{text}");
                }
                other => panic!("{other:?}"),
            }
            disk.locking.without = true;
            let done = change_file(&disk, &keys.new, &path, Change::Rewrap);
            assert_eq!(done.unwrap(), RewrapStatus::Rewrapped);
        }
    }
}

#[test]
fn a_mode_that_is_right_is_not_asked_for_and_one_that_is_refused_is_told() {
    let keys = Keys::new();
    for number in [EPERM, EOPNOTSUPP] {
        let folder = Folder::of(&[("plain", plaintext())]);
        let run = |mode: u32| {
            fs::set_permissions(folder.path("plain"), Permissions::from_mode(mode)).unwrap();
            let faults = Faults::none().refusing(Call::Permissions, number);
            let mut with = options(1);
            with.overwrite = true;
            let (from, to) = (folder.path("plain"), folder.path("phi"));
            let disk = disk(&faults, false);
            let report = encrypt_on(&disk, &keys.new, &from, &to, &context(), with).unwrap();
            assert_eq!(folder.mode("phi") & 0o7777, 0o600);
            (
                report.not_kept.permissions,
                faults.calls().contains(&Call::Permissions),
            )
        };
        assert_eq!(run(0o600), (false, false));
        assert_eq!(run(0o640), (true, true));
    }
}

#[test]
fn a_folder_that_cannot_be_made_durable_is_no_failure() {
    let keys = Keys::new();
    for number in [EACCES, EINVAL, EROFS, ENOSYS, EOPNOTSUPP] {
        for names_all in [false, true] {
            let record = keys.old.encrypt("note", &context()).unwrap();
            let folder = Folder::of(&[("plain", plaintext()), ("record", record)]);
            let faults = Faults::none().refusing(Call::SyncFolder, number);
            let disk = disk(&faults, names_all);
            let (from, to) = (folder.path("plain"), folder.path("phi"));
            encrypt_on(&disk, &keys.new, &from, &to, &context(), options(1)).unwrap();
            let header = options(1).detached_header(folder.path("header"));
            encrypt_on(
                &disk,
                &keys.new,
                &from,
                &folder.path("apart"),
                &context(),
                header,
            )
            .unwrap();
            let record = folder.path("record");
            change_file(&disk, &keys.new, &record, Change::Rewrap).unwrap();
            assert!(opened(&keys.new, &folder.read("phi").unwrap()).unwrap() == plaintext());
        }
    }
}

#[test]
fn what_is_new_is_gone_and_what_was_replaced_is_said_where_the_folder_fails() {
    let keys = Keys::new();
    let record = keys.old.encrypt("note", &context()).unwrap();
    let folder = Folder::of(&[("plain", plaintext()), ("record", record)]);
    let disk = refusing(Call::SyncFolder, EIO);
    let (from, to) = (folder.path("plain"), folder.path("phi"));
    let sealing = encrypt_on(&disk, &keys.new, &from, &to, &context(), options(1));
    assert!(matches!(sealing, Err(Error::Io(_))));
    let header = options(1).detached_header(folder.path("header"));
    let sealing = encrypt_on(&disk, &keys.new, &from, &to, &context(), header);
    assert!(matches!(sealing, Err(Error::Io(_))));
    assert_eq!(folder.files().len(), 2);
    let record = folder.path("record");
    let moved = change_file(&disk, &keys.new, &record, Change::Rewrap);
    let Err(error @ Error::TookEffect { .. }) = moved else {
        panic!("{moved:?}");
    };
    assert!(error.to_string().contains("took effect"), "{error}");
    let note = folder.read("record").unwrap();
    assert_eq!(&keys.new.decrypt(note, &context()).unwrap()[..], b"note");
    assert_eq!(folder.files().len(), 2);
}

#[test]
fn an_old_file_that_cannot_be_removed_is_said_and_goes_with_the_next_change() {
    let keys = Keys::new();
    let record = keys.old.encrypt("note", &context()).unwrap();
    let folder = Folder::of(&[("record", record)]);
    let path = folder.path("record");
    let moved = change_file(
        &refusing(Call::Remove, EPERM),
        &keys.new,
        &path,
        Change::Rewrap,
    );
    assert!(matches!(moved, Err(Error::TookEffect { .. })), "{moved:?}");
    assert_eq!(folder.files().len(), 2);
    let again = change_file(&Disk::default(), &keys.new, &path, Change::Rewrap);
    assert_eq!(again.unwrap(), RewrapStatus::UpToDate);
    assert_eq!(folder.files().len(), 1);
}

/// An access control list that lets user 1000 read.
fn access_list() -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    let nobody = u32::MAX;
    for (tag, may, id) in [
        (0x01_u16, 6_u16, nobody),
        (0x02, 4, 1000),
        (0x04, 0, nobody),
        (0x10, 4, nobody),
        (0x20, 0, nobody),
    ] {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(may.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn attribute(file: &File, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 256];
    let len = fgetxattr(file, name, &mut value).ok()?;
    Some(value[..len].to_vec())
}

/// Gives a file attributes; none where the file system has none.
fn give(file: &File) -> Vec<(&'static str, Vec<u8>)> {
    let wanted = [
        ("user.patient-class", b"a".to_vec()),
        ("system.posix_acl_access", access_list()),
    ];
    let flags = XattrFlags::empty();
    let gave = |(name, value): &(&str, Vec<u8>)| fsetxattr(file, *name, value, flags).is_ok();
    wanted.into_iter().filter(gave).collect()
}

#[test]
fn what_replaces_a_file_has_its_access_control_list_and_attributes() {
    let keys = Keys::new();
    let stream = sealed(&keys.old, b"note");
    let record = keys.old.encrypt("note", &context()).unwrap();
    type Work<'a> = &'a dyn Fn(&Disk, &std::path::Path) -> Result<()>;
    let rewrap: Work<'_> =
        &|disk, path| change_file(disk, &keys.new, path, Change::Rewrap).map(drop);
    let anew: Work<'_> =
        &|disk, path| reencrypt_on(disk, &keys.new, path, &context(), options(1)).map(drop);
    for (before, work) in [(&record, rewrap), (&record, anew), (&stream, anew)] {
        let folder = Folder::of(&[("phi", before.clone())]);
        let path = folder.path("phi");
        let given = give(&File::open(&path).unwrap());
        if given.is_empty() {
            eprintln!("skipped: no attributes on this file system");
            return;
        }
        let mode = folder.mode("phi");
        work(&disk(&Faults::none(), false), &path).unwrap();
        let file = File::open(&path).unwrap();
        for (name, value) in &given {
            assert_eq!(attribute(&file, name).as_ref(), Some(value), "{name}");
        }
        assert_eq!(folder.mode("phi"), mode);
        assert!(folder.read("phi").unwrap() != *before);
    }
}

#[test]
fn a_list_that_a_folder_gives_to_new_files_is_not_given_to_what_replaces_an_old_one() {
    let keys = Keys::new();
    let record = keys.old.encrypt("note", &context()).unwrap();
    let folder = Folder::of(&[("phi", record)]);
    let default = "system.posix_acl_default";
    let at = File::open(folder.path(".")).unwrap();
    if fsetxattr(&at, default, &access_list(), XattrFlags::empty()).is_err() {
        eprintln!("skipped: no access control lists on this file system");
        return;
    }
    let path = folder.path("phi");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    change_file(
        &disk(&Faults::none(), false),
        &keys.new,
        &path,
        Change::Rewrap,
    )
    .unwrap();
    let mut names = [0; 256];
    let len = flistxattr(File::open(&path).unwrap(), &mut names).unwrap();
    let names = String::from_utf8_lossy(&names[..len]).into_owned();
    assert!(!names.contains("posix_acl"), "{names}");
    assert_eq!(folder.mode("phi") & 0o777, 0o640);
}

#[test]
fn a_rewrap_tells_what_the_new_file_did_not_take_over() {
    let keys = Keys::new();
    let record = keys.old.encrypt("note", &context()).unwrap();
    let mut is_met = false;
    for at in 0.. {
        let folder = Folder::of(&[("phi", record.clone())]);
        let path = folder.path("phi");
        // Not one that a file can be made with and written to.
        fs::set_permissions(&path, Permissions::from_mode(0o440)).unwrap();
        let faults = Faults::at(at, crate::disk::faults::Fault::Errno(EPERM));
        let outcome = change_file(&disk(&faults, false), &keys.new, &path, Change::Rewrap);
        if !faults.was_met() {
            break;
        }
        if faults.calls().get(at) == Some(&Call::Permissions) {
            assert!(outcome.unwrap().not_kept().permissions);
            let mode = folder.mode("phi") & 0o777;
            assert_eq!(mode & !0o640, 0, "{mode:o}");
            is_met = true;
        }
    }
    assert!(is_met, "no mode was set");
}

#[test]
fn attributes_that_would_get_lost_stop_the_change_unless_that_is_allowed() {
    let keys = Keys::new();
    let stream = sealed(&keys.old, b"note");
    let folder = Folder::of(&[("phi", stream.clone())]);
    let path = folder.path("phi");
    if give(&File::open(&path).unwrap()).is_empty() {
        eprintln!("skipped: no attributes on this file system");
        return;
    }
    // Every call that sets one fails; those that list them come first.
    for at in 0.. {
        let faults = Faults::at(at, crate::disk::faults::Fault::Errno(EPERM));
        let mut disk = disk(&faults, false);
        let anew = |disk: &Disk| reencrypt_on(disk, &keys.new, &path, &context(), options(1));
        let outcome = anew(&disk);
        assert!(faults.was_met(), "no attribute was missed");
        if faults.calls().get(at) != Some(&Call::Attributes) || outcome.is_ok() {
            continue;
        }
        let text = outcome.unwrap_err().to_string();
        if text.contains("access control list") {
            assert!(text.contains("phi"), "{text}");
            let faults = Faults::at(at, crate::disk::faults::Fault::Errno(EPERM));
            disk = super::disk(&faults, false);
            disk.loses_attributes = true;
            let lost = anew(&disk).unwrap().not_kept;
            assert!(lost.access_list || lost.attributes);
            return;
        }
    }
}

#[test]
fn a_file_that_is_to_have_one_name_is_not_replaced_once_it_has_two() {
    let mut replaced = 0;
    for call in 0.. {
        let folder = Folder::of(&[("keys", b"old".to_vec())]);
        let (path, link) = (folder.path("keys"), folder.path("link"));
        let old = Disk::default().metadata(&path).unwrap();
        let (from, to) = (path.clone(), link.clone());
        let faults = Faults::none().meanwhile(call, move || fs::hard_link(from, to).unwrap());
        let outcome = disk(&faults, false).put_in_place(
            &path,
            b"the new one",
            Old::from(&old).with_one_name(),
        );
        if !faults.others_have_acted() {
            break;
        }
        // Both names are of one file: of the old one, or of the new one where the link came after it.
        let there = fs::read(&path).unwrap();
        assert_eq!(there, fs::read(&link).unwrap(), "call {call}: {outcome:?}");
        assert_eq!(outcome.is_ok(), there != b"old", "call {call}: {outcome:?}");
        assert_eq!(fs::metadata(&path).unwrap().nlink(), 2);
        assert_eq!(folder.files().len(), 2);
        replaced += usize::from(outcome.is_ok());
    }
    assert!(replaced > 0);
}

#[test]
fn a_relative_output_stays_where_it_was_when_the_process_goes_elsewhere() {
    let new = Disk::default()
        .resolve_output("some/where".as_ref())
        .unwrap();
    assert!(new.is_absolute() && new.ends_with("some/where"));
}
