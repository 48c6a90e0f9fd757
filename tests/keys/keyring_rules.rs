//! Keyrings' files against those who write the storage, and against mistakes: what is old, stolen, shared or borrowed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says
#![cfg(unix)] // modes and links

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phi_envelope::{
    Context, EnvelopeCipher, Error, KeyProvider, Keyring, KeyringFile, MasterKey, Passphrase,
    Result,
    error::{KeyringError, Malformed, Rollback},
    files::{self, FileOptions, KeyringPin},
    header::{EnvelopeKind, SlotId},
    inspect,
    keys::{
        Argon2Costs, DataKey, KeyState, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey,
    },
};
use tempfile::TempDir;

fn pass(text: &str) -> Passphrase {
    let costs = Argon2Costs {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
    Passphrase::new(text).unwrap().with_costs(costs).unwrap()
}

fn outer(byte: u8) -> Keyring {
    Keyring::from_master_key(MasterKey::from_bytes_zeroizing(&mut [byte; 32]), "outer")
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ehr.keyring");
    (folder, path)
}

fn rollback<T: std::fmt::Debug>(outcome: Result<T>) -> Rollback {
    match outcome {
        Err(Error::KeyringFile {
            fault: KeyringError::RolledBack(how),
            ..
        }) => how,
        other => panic!("{other:?}"),
    }
}

/// A provider that keeps what it unwraps: the attacker's tool.
struct Tap<P>(P, Arc<Mutex<Vec<[u8; 32]>>>);

impl<P: KeyProvider> KeyProvider for Tap<P> {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.0.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        self.0.wrap_key(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        let key = self.0.unwrap_key(slot, context)?;
        self.1.lock().unwrap().push(*key.as_bytes());
        Ok(key)
    }
}

/// Opens, and wraps for, whatever is under a data key that is known.
struct Known([u8; 32], Keyring);

impl KeyProvider for Known {
    fn recognize(&self, _: &Slot<'_>) -> Recognition {
        Recognition::Current
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        self.1.wrap_key(key, context)
    }

    fn unwrap_key(&self, _: &Slot<'_>, _: &UnwrapRequest<'_>) -> Result<DataKey> {
        Ok(DataKey::from_bytes_zeroizing(&mut self.0.clone()))
    }
}

fn data_key_of(copy: &Path, protection: impl KeyProvider + 'static) -> [u8; 32] {
    let seen = Arc::new(Mutex::new(Vec::new()));
    KeyringFile::open(copy, Tap(protection, Arc::clone(&seen))).unwrap();
    let seen = seen.lock().unwrap();
    seen[0]
}

#[test]
fn an_old_copy_and_its_old_passphrase_neither_open_nor_write_a_later_file() {
    let (folder, path) = folder();
    let copy = folder.path().join("backup");
    let file = KeyringFile::create(&path, "2026", pass("leaked")).unwrap();
    fs::copy(&path, &copy).unwrap();
    file.reprotect(pass("new and strong")).unwrap();
    file.update(|keys| keys.rotate("after the leak")).unwrap();
    // The thief has the old copy, the old passphrase, and a look at the new file.
    let data_key = data_key_of(&copy, pass("leaked"));
    let thief = KeyringFile::open(&path, Known(data_key, outer(66)));
    assert!(
        matches!(thief, Err(Error::AuthenticationFailed(_))),
        "{thief:?}"
    );
    assert!(matches!(
        KeyringFile::open(&path, pass("leaked")),
        Err(Error::WrongPassphrase)
    ));

    // What he writes under the old data key, and its slots, is older for who knows the new one.
    let stolen = KeyringFile::open(&copy, pass("leaked")).unwrap();
    for _ in 0..5 {
        let own = MasterKey::generate().unwrap();
        stolen
            .update(|keys| keys.rotate_to(own, "the thief's"))
            .unwrap();
    }
    let active = file.keyring().active().unwrap();
    let pin = file.pin();
    let good = fs::read(&path).unwrap();
    fs::write(&path, fs::read(&copy).unwrap()).unwrap();
    // It is under a passphrase that is gone, and for who would still open it by another slot, its history is another.
    assert!(file.reload().is_err());
    assert!(file.update(|keys| keys.rotate("more")).is_err());
    let told = KeyringFile::options().pin(pin).open(&path, pass("leaked"));
    assert_eq!(rollback(told), Rollback::Chain);
    assert_eq!(file.keyring().active().unwrap(), active);
    fs::write(&path, good).unwrap();
    file.reload().unwrap();
}

#[test]
fn each_update_has_a_new_data_key_a_revision_and_a_generation() {
    let (_folder, path) = folder();
    let both = EnvelopeCipher::builder()
        .encrypt_for(pass("one"))
        .encrypt_for(outer(1))
        .build()
        .unwrap();
    let file = KeyringFile::create(&path, "2026", both).unwrap();
    let mut seen = Vec::new();
    for revision in 1..6_u64 {
        let header = inspect(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(header.kind, EnvelopeKind::Keyring);
        assert_eq!(u64::from(header.generation) + 1, revision);
        assert_eq!(header.data_key_id[..8], revision.to_be_bytes());
        assert_eq!(
            (file.revision(), file.pin().data_key_revision),
            (revision, revision)
        );
        let schemes: Vec<_> = header.slots.iter().map(|slot| slot.scheme).collect();
        assert_eq!(schemes, [2, 1]);
        assert_eq!(header.slots, file.slots());
        // A new salt each time.
        assert!(!seen.contains(&header.slots[0]));
        seen.push(header.slots[0].clone());
        let updated = file.update_and_tell(|keys| keys.rotate("more")).unwrap();
        assert!(updated.is_written && updated.not_wrapped_for.is_empty());
    }
}

#[test]
fn a_data_key_stays_where_the_writer_cannot_wrap_for_all_and_that_is_said() {
    let (_folder, path) = folder();
    let both = EnvelopeCipher::builder()
        .encrypt_for(pass("one"))
        .encrypt_for(outer(1))
        .build()
        .unwrap();
    KeyringFile::create(&path, "2026", both).unwrap();
    let slots = || inspect(&fs::read(&path).unwrap()).unwrap();
    let before = slots();
    // Another passphrase takes the slot for its own until it is tried: it must not replace it.
    let beside = EnvelopeCipher::builder()
        .encrypt_for(pass("another"))
        .encrypt_for(outer(1))
        .build()
        .unwrap();
    for (revision, writer) in [(2, EnvelopeCipher::new(outer(1))), (3, beside)] {
        let file = KeyringFile::open(&path, writer).unwrap();
        let updated = file.update_and_tell(|keys| keys.rotate("more")).unwrap();
        assert_eq!(updated.not_wrapped_for, [before.slots[0].clone()]);
        let after = slots();
        assert_eq!(
            (after.data_key_id, &after.slots),
            (before.data_key_id, &before.slots)
        );
        assert_eq!(
            (file.revision(), file.pin().data_key_revision),
            (revision, 1)
        );
    }
    KeyringFile::open(&path, pass("one")).unwrap();
}

#[test]
fn a_change_that_changes_nothing_writes_nothing() {
    let (_folder, path) = folder();
    let file = KeyringFile::create(&path, "2026", outer(1)).unwrap();
    let first = file.keyring().active().unwrap();
    file.update(|keys| keys.rotate("2027")).unwrap();
    let before = (fs::read(&path).unwrap(), file.modified());
    let deactivated = file.update_and_tell(|keys| keys.deactivate(first)).unwrap();
    assert!(!deactivated.is_written);
    let lease = file.update_and_tell(|keys| keys.set_lease(Duration::from_secs(900)));
    assert!(!lease.unwrap().is_written);
    assert_eq!((fs::read(&path).unwrap(), file.modified()), before);
    assert_eq!((file.revision(), file.lease_changed()), (2, None));
    for wrong in [0, 86_401] {
        let wrong = file.update(|keys| keys.set_lease(Duration::from_secs(wrong)));
        assert!(matches!(wrong, Err(Error::Misuse(_))));
    }
    file.update(|keys| keys.set_lease(Duration::from_secs(60)))
        .unwrap();
    assert!(file.lease_changed().is_some());
    let again = KeyringFile::open(&path, outer(1)).unwrap();
    assert_eq!(
        (again.lease(), again.revision()),
        (Duration::from_secs(60), 3)
    );
    assert_eq!(again.keyring().lease_changed(), file.lease_changed());
}

#[test]
fn what_was_pinned_is_asked_for_when_a_file_is_opened() {
    let (folder, path) = folder();
    let file = KeyringFile::create(&path, "2026", outer(1)).unwrap();
    let old = fs::read(&path).unwrap();
    file.update(|keys| keys.rotate("2027")).unwrap();
    let pin = file.pin();
    file.update(|keys| keys.rotate("2028")).unwrap();
    let open = || KeyringFile::options();
    open().min_revision(3).open(&path, outer(1)).unwrap();
    open().pin(pin).open(&path, outer(1)).unwrap();
    let later = open().min_revision(4).open(&path, outer(1));
    assert_eq!(rollback(later), Rollback::Revision);
    let later = open().min_data_key_revision(4).open(&path, outer(1));
    assert_eq!(rollback(later), Rollback::DataKey);
    // The least numbers hold beside a pin, in either order, and are no part of it.
    for least in [3, 4] {
        for options in [
            open().pin(pin).min_revision(least),
            open().min_revision(least).pin(pin),
            open().pin(pin).min_data_key_revision(least),
            open().min_data_key_revision(least).pin(pin),
        ] {
            let opened = options.open(&path, outer(1));
            assert_eq!(opened.is_ok(), least == 3, "{opened:?}");
        }
    }
    let other = folder.path().join("other");
    KeyringFile::create(&other, "2026", outer(1)).unwrap();
    assert_eq!(
        rollback(open().pin(pin).open(&other, outer(1))),
        Rollback::OtherKeyring
    );
    fs::write(&path, old).unwrap();
    assert_eq!(
        rollback(open().min_revision(2).open(&path, outer(1))),
        Rollback::Revision
    );
    assert_eq!(
        rollback(open().pin(pin).open(&path, outer(1))),
        Rollback::Revision
    );
    assert_eq!(rollback(file.reload()), Rollback::Revision);
    let error = file.reload().unwrap_err().to_string();
    assert!(
        error.contains(path.to_str().unwrap()) && error.contains("restore"),
        "{error}"
    );
    assert_eq!(KeyringPin::least_revision(7).revision, 7);
}

#[test]
fn a_fork_of_the_same_revision_is_refused() {
    let (folder, path) = folder();
    let fork = folder.path().join("fork");
    let file = KeyringFile::create(&path, "2026", outer(1)).unwrap();
    fs::copy(&path, &fork).unwrap();
    file.update(|keys| keys.rotate("ours")).unwrap();
    let other = KeyringFile::open(&fork, outer(1)).unwrap();
    other.update(|keys| keys.rotate("theirs")).unwrap();
    fs::copy(&fork, &path).unwrap();
    assert_eq!(rollback(file.reload()), Rollback::SameRevision);
    other.update(|keys| keys.rotate("theirs again")).unwrap();
    fs::copy(&fork, &path).unwrap();
    assert_eq!(rollback(file.reload()), Rollback::Chain);
}

#[test]
fn a_protection_that_cannot_give_the_keyring_back_makes_no_file() {
    struct Broken(bool);
    impl KeyProvider for Broken {
        fn recognize(&self, _: &Slot<'_>) -> Recognition {
            Recognition::Current
        }

        fn wrap_key(&self, _: &DataKey, _: &WrapRequest<'_>) -> Result<WrappedKey> {
            WrappedKey::external("org.example", b"1", b"truncated blob")
        }

        fn unwrap_key(&self, _: &Slot<'_>, _: &UnwrapRequest<'_>) -> Result<DataKey> {
            Err(Error::provider(false, "blob is cut"))
        }

        fn opens(&self) -> bool {
            self.0
        }

        fn authenticates(&self) -> bool {
            true
        }
    }
    let (_folder, path) = folder();
    for opens in [true, false] {
        assert!(KeyringFile::create(&path, "2026", Broken(opens)).is_err());
        assert!(!path.exists());
    }
    let file = KeyringFile::create(&path, "2026", outer(1)).unwrap();
    let before = fs::read(&path).unwrap();
    let beside = EnvelopeCipher::builder()
        .encrypt_for(outer(1))
        .encrypt_for(Broken(true))
        .build();
    assert!(file.reprotect(beside.unwrap()).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_key_does_not_become_active_again_under_another_id() {
    let imported = || MasterKey::from_bytes_zeroizing(&mut [7; 32]);
    let keyring = Keyring::from_master_key(imported(), "first");
    let first = keyring.active().unwrap();
    keyring.mark_compromised(first).unwrap();
    let again = imported().with_id(phi_envelope::KeyId::from_bytes([1; 16]));
    let refused = keyring.rotate_to(again, "again");
    assert!(matches!(refused, Err(Error::Misuse(_))), "{refused:?}");
    let states: Vec<_> = keyring.keys().iter().map(|key| key.state).collect();
    assert_eq!(states, [KeyState::Compromised, KeyState::Active]);
}

#[test]
fn only_a_keyrings_file_is_opened_as_one_and_nothing_else_opens_it() {
    let (_folder, path) = folder();
    KeyringFile::create(&path, "2026", outer(1)).unwrap();
    let bytes = fs::read(&path).unwrap();
    // Before any key work.
    let unwrapped = Arc::default();
    let cipher = EnvelopeCipher::new(Tap(outer(1), Arc::clone(&unwrapped)));
    let other_kind = |outcome: Result<()>| {
        let is = matches!(outcome, Err(Error::Malformed(Malformed::OtherKind { .. })));
        assert!(is, "{outcome:?}");
        assert_eq!(unwrapped.lock().unwrap().len(), 0);
    };
    other_kind(cipher.decrypt(&bytes, &Context::new()).map(drop));
    other_kind(cipher.rewrap(&bytes).map(drop));
    other_kind(cipher.reencrypt(&bytes, &Context::new()).map(drop));
    other_kind(files::rewrap(&cipher, &path).map(drop));
    let options = FileOptions::new();
    other_kind(files::verify(&cipher, &path, &Context::new(), options).map(drop));
    let options = FileOptions::new();
    other_kind(files::reencrypt(&cipher, &path, &Context::new(), options).map(drop));
    other_kind(
        cipher
            .add_recipient(&bytes, &outer(2), &Context::new())
            .map(drop),
    );
    other_kind(
        cipher
            .replace_recipient(&bytes, &outer(1), &outer(2), &Context::new())
            .map(drop),
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
    fs::write(&path, cipher.encrypt("a note", &Context::new()).unwrap()).unwrap();
    other_kind(KeyringFile::open(&path, outer(1)).map(drop));
}

#[test]
fn a_files_path_is_absolute_and_its_errors_name_it() {
    let (folder, path) = folder();
    let missing = KeyringFile::open(&path, outer(1)).unwrap_err().to_string();
    assert!(missing.contains(path.to_str().unwrap()), "{missing}");
    let file = KeyringFile::create(&path, "2026", outer(1)).unwrap();
    assert_eq!(file.path(), path);
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let mode = KeyringFile::open(&path, outer(1)).unwrap_err().to_string();
    assert!(
        mode.contains(path.to_str().unwrap()) && mode.contains("0640"),
        "{mode}"
    );
    let there = KeyringFile::create(&path, "2026", outer(1))
        .unwrap_err()
        .to_string();
    assert!(there.contains(path.to_str().unwrap()), "{there}");
    let directory = KeyringFile::open(folder.path(), outer(1))
        .unwrap_err()
        .to_string();
    assert!(
        directory.contains(folder.path().to_str().unwrap()),
        "{directory}"
    );
}

#[test]
fn a_file_of_another_user_is_refused_unless_it_is_roots() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let (_folder, path) = folder();
    KeyringFile::create(&path, "2026", outer(1)).unwrap();
    let own = fs::metadata(&path).unwrap().uid();
    if chown(&path, Some(own + 12_345), None).is_err() {
        println!("SKIPPED: a file can be given away by root alone");
        return;
    }
    let refused = KeyringFile::open(&path, outer(1)).unwrap_err().to_string();
    assert!(
        refused.contains("belongs to user") && refused.contains("chown"),
        "{refused}"
    );
    let options = KeyringFile::options().allow_access_by_others();
    options.open(&path, outer(1)).unwrap();
}

#[test]
fn a_session_whose_recipient_only_wraps_keeps_its_data_key() {
    struct OnlyWraps(Keyring);
    impl KeyProvider for OnlyWraps {
        fn recognize(&self, _: &Slot<'_>) -> Recognition {
            Recognition::NotMine
        }

        fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
            self.0.wrap_key(key, context)
        }

        fn unwrap_key(&self, _: &Slot<'_>, _: &UnwrapRequest<'_>) -> Result<DataKey> {
            Err(Error::Misuse("a public key opens nothing"))
        }

        fn opens(&self) -> bool {
            false
        }
    }
    let ring = Keyring::generate("partner").unwrap();
    let session = EnvelopeCipher::new(OnlyWraps(ring))
        .session(&Context::new())
        .unwrap();
    let id = || {
        let row = session.encrypt("row", &Context::new()).unwrap();
        inspect(&row).unwrap().data_key_id
    };
    assert_eq!((id(), id()), (id(), id()));
}

#[test]
fn no_file_is_written_with_a_slot_that_is_not_expected() {
    fn unexpected<T: std::fmt::Debug>(outcome: Result<T>) {
        let is_that = matches!(
            outcome,
            Err(Error::KeyringFile {
                fault: KeyringError::UnexpectedSlot { .. },
                ..
            })
        );
        assert!(is_that, "{outcome:?}");
    }
    let (_folder, path) = folder();
    let protection = Keyring::generate("outer").unwrap();
    let expecting = |slots| KeyringFile::options().expect_slots(slots);
    let other = SlotId {
        scheme: 0x01,
        key_id: vec![7; 16],
    };
    unexpected(expecting(vec![other]).create(&path, "2026", protection.clone()));
    assert!(!path.exists());
    let file = KeyringFile::create(&path, "2026", protection.clone()).unwrap();
    let options = expecting(file.slots());
    let file = options.open(&path, protection.clone()).unwrap();
    file.update(|keys| keys.rotate("2027")).unwrap();
    let before = fs::read(&path).unwrap();
    // What protects the file has another current key now, which nobody has said to expect.
    protection.rotate("later").unwrap();
    unexpected(file.update(|keys| keys.rotate("2028")));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(file.revision(), 2);
    let cipher = EnvelopeCipher::new(file.keyring());
    cipher.encrypt("note", &Context::new()).unwrap();
}
