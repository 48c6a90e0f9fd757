//! A keyring's file under faults at each call: it is the whole old or the whole new one, and no cipher sees a key that it does
//! not hold.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::disk::faults::{self, Fault, Faults};
use crate::disk::{Call, Disk};
use crate::envelope::{EnvelopeCipher, KeyringFile, KeyringFileOptions};
use crate::error::{Error, Result};
use crate::keys::{KeyInfo, Keyring};

const FAULTS: [Fault; 6] = [
    Fault::Errno(4),  // EINTR
    Fault::Errno(5),  // EIO
    Fault::Errno(28), // ENOSPC
    Fault::Short,
    Fault::Killed,
    Fault::Lying,
];

struct Scene {
    folder: tempfile::TempDir,
    protection: EnvelopeCipher,
    other: EnvelopeCipher,
}

impl Scene {
    fn new() -> Self {
        let protection = || EnvelopeCipher::new(Keyring::generate("kek").unwrap());
        let scene = Self {
            folder: faults::folder(),
            protection: protection(),
            other: protection(),
        };
        KeyringFile::create(scene.path(), "2026", scene.protection.clone()).unwrap();
        scene
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ehr.keyring")
    }

    fn on(&self, faults: &Arc<Faults>, names_all: bool) -> Disk {
        let disk = Disk::with_faults(faults);
        if names_all { disk.naming_all() } else { disk }
    }

    fn open(&self, disk: Disk) -> Result<KeyringFile> {
        open_on(disk, &self.path(), &self.protection)
    }

    fn keys(&self, protection: &EnvelopeCipher) -> Option<Vec<KeyInfo>> {
        let file = KeyringFile::open(self.path(), protection.clone()).ok()?;
        Some(file.keyring().keys())
    }

    /// How many files there are, but for one by which a clock was read: if it cannot be removed, the next clock removes it.
    fn names(&self) -> usize {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        let names = names.map(|name| std::fs::read(name.unwrap().path()).unwrap());
        names.filter(|content| content != b"now").count()
    }
}

fn on(disk: Disk) -> KeyringFileOptions {
    KeyringFileOptions {
        disk,
        ..KeyringFileOptions::default()
    }
}

fn open_on(disk: Disk, path: &Path, protection: &EnvelopeCipher) -> Result<KeyringFile> {
    KeyringFile::open_with(on(disk), path, protection.clone())
}

/// Does `change` with each fault at each of its calls, and looks at what is left.
fn enumerate(
    change: impl Fn(&KeyringFile, &Scene) -> Result<()>,
    look: impl Fn(&KeyringFile, &Scene, &str),
) {
    for (fault, names_all) in FAULTS.iter().flat_map(|f| [(f, false), (f, true)]) {
        let mut at = 0;
        loop {
            let scene = Scene::new();
            let faults = Faults::at(at, *fault);
            let what = format!("{fault:?} at call {at}, names_all {names_all}");
            at += 1;
            let Ok(file) = scene.open(scene.on(&faults, names_all)) else {
                // The fault was met in opening.
                assert!(faults.was_met(), "{what}");
                continue;
            };
            let outcome = change(&file, &scene);
            if matches!(fault, Fault::Errno(4) | Fault::Short) || !faults.was_met() {
                outcome.as_ref().unwrap();
            }
            // What took effect may have left the old file, which the next writer removes.
            let took_effect = matches!(outcome, Err(Error::TookEffect { .. }));
            if *fault != Fault::Killed && !took_effect {
                assert_eq!(scene.names(), 1, "{what}");
            }
            // An answer says what is there: the memory follows the file, and nothing else is an error.
            if outcome.is_ok() || took_effect {
                let held = scene.keys(&scene.protection);
                let held = held.or_else(|| scene.keys(&scene.other)).expect(&what);
                assert_eq!(file.keyring().keys(), held, "{what}: {outcome:?}");
            }
            look(&file, &scene, &what);
            if !faults.was_met() {
                break;
            }
            // The next one does it, and removes what a dead one left.
            let protection = match scene.keys(&scene.protection) {
                Some(_) => &scene.protection,
                None => &scene.other,
            };
            let disk = scene.on(&Faults::none(), names_all);
            let next = open_on(disk, &scene.path(), protection).unwrap();
            change(&next, &scene).unwrap();
            assert_eq!(scene.names(), 1, "{what}");
        }
    }
}

#[test]
fn an_update_is_whole_and_seen_only_once_the_file_holds_it() {
    enumerate(
        |file, _| file.update(|keyring| keyring.rotate("2027")).map(drop),
        |file, scene, what| {
            let held = scene.keys(&scene.protection).expect(what);
            assert!(matches!(held.len(), 1 | 2), "{what}");
            let shown = file.keyring().keys();
            assert!(
                shown
                    .iter()
                    .all(|key| held.iter().any(|held| held.id == key.id)),
                "{what}"
            );
        },
    );
}

#[test]
fn a_keyring_is_protected_by_the_old_or_by_the_new() {
    enumerate(
        |file, scene| file.reprotect_dropping_recipients(scene.other.clone()),
        |file, scene, what| {
            let old = scene.keys(&scene.protection);
            let new = scene.keys(&scene.other);
            assert!(old.is_some() != new.is_some(), "{what}");
            let held = old.or(new).unwrap();
            assert_eq!(file.keyring().keys(), held, "{what}");
        },
    );
}

#[test]
fn a_new_keyring_is_whole_or_not_there() {
    for (fault, names_all) in FAULTS.iter().flat_map(|f| [(f, false), (f, true)]) {
        for at in 0.. {
            let scene = Scene::new();
            std::fs::remove_file(scene.path()).unwrap();
            let faults = Faults::at(at, *fault);
            let what = format!("{fault:?} at call {at}, names_all {names_all}");
            let made = KeyringFile::create_of(
                on(scene.on(&faults, names_all)),
                &scene.path(),
                Keyring::generate("2026").unwrap().snapshot(),
                scene.protection.clone(),
            );
            let there = scene.path().exists();
            assert!(made.is_err() || there, "{what}");
            assert_eq!(scene.keys(&scene.protection).is_some(), there, "{what}");
            if !faults.was_met() {
                made.unwrap();
                break;
            }
        }
    }
}

fn lease_changed_where_the_store_says(store: Option<i64>) -> (u64, u64, Result<Option<u64>>) {
    let scene = Scene::new();
    let mut disk = scene.on(&Faults::none(), false);
    let before = seconds(SystemTime::now());
    disk.clock_set = store.map(|ahead| at(before.saturating_add_signed(ahead)));
    let file = scene.open(disk).unwrap();
    let change = file.update(|keys| {
        keys.set_lease(Duration::from_secs(120))?;
        keys.set_lease(Duration::from_secs(60))
    });
    let shown = file.lease_changed();
    let held = KeyringFile::open(scene.path(), scene.protection.clone()).unwrap();
    assert_eq!(held.lease_changed(), shown);
    let changed = change.map(|()| shown.map(seconds));
    (before, seconds(SystemTime::now()), changed)
}

#[test]
fn a_lease_is_changed_at_the_later_of_the_writers_clock_and_the_stores() {
    let hour = 3600;
    let (before, _, changed) = lease_changed_where_the_store_says(Some(hour));
    assert_eq!(changed.unwrap(), Some(before + 3600));
    for store in [None, Some(0), Some(-hour)] {
        let (before, after, changed) = lease_changed_where_the_store_says(store);
        let changed = changed.unwrap().unwrap();
        assert!((before..=after).contains(&changed), "{store:?}");
    }
}

#[test]
fn a_second_change_of_a_lease_is_no_earlier_than_the_store_says_then() {
    let scene = Scene::new();
    let now = seconds(SystemTime::now());
    // It never goes back.
    for (lease, ahead, changed) in [(60, 100, 100), (30, 200, 200), (90, 150, 200)] {
        let mut disk = scene.on(&Faults::none(), false);
        disk.clock_set = Some(at(now + ahead));
        let file = scene.open(disk).unwrap();
        let lease = Duration::from_secs(lease);
        file.update(|keys| keys.set_lease(lease)).unwrap();
        let shown = file.lease_changed().map(seconds);
        assert_eq!(shown, Some(now + changed));
    }
}

#[test]
fn no_clock_is_read_for_what_is_no_change_of_the_lease() {
    let scene = Scene::new();
    let mut disk = scene.on(&Faults::none(), false);
    disk.clock_set = Some(at(seconds(SystemTime::now()) + 3600));
    let file = scene.open(disk).unwrap();
    file.update(|keys| keys.rotate("2027").map(drop)).unwrap();
    assert_eq!(file.lease_changed(), None);
}

#[test]
fn a_change_of_the_lease_is_whole_with_its_time_or_not_there() {
    enumerate(
        |file, _| {
            file.update(|keys| {
                keys.rotate("2027")?;
                keys.set_lease(Duration::from_secs(60))
            })
        },
        |file, scene, what| {
            let held = KeyringFile::open(scene.path(), scene.protection.clone()).expect(what);
            let is_new = held.lease() == Duration::from_secs(60);
            assert_eq!(held.lease_changed().is_some(), is_new, "{what}");
            assert!(file.revision() <= held.revision(), "{what}");
        },
    );
}

#[test]
fn a_lease_is_not_changed_where_the_stores_clock_cannot_be_read() {
    let scene = Scene::new();
    let before = std::fs::read(scene.path()).unwrap();
    let faults = Faults::none().refusing(Call::Create, 13); // EACCES
    let file = scene.open(scene.on(&faults, false)).unwrap();
    let refused = file.update(|keys| keys.set_lease(Duration::from_secs(60)));
    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains("the lease stays as it is") && text.contains("ehr.keyring"),
        "{text}"
    );
    assert_eq!(std::fs::read(scene.path()).unwrap(), before);
    assert_eq!(file.lease(), Duration::from_secs(900));
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn a_folder_that_this_process_may_not_sync_does_not_keep_a_keyring_shut() {
    let scene = Scene::new();
    let calls = Faults::none();
    scene.open(scene.on(&calls, false)).unwrap();
    let mut calls = calls.calls().into_iter();
    let at = calls.position(|call| call == Call::SyncFolder).unwrap();
    let opened = |errno| scene.open(scene.on(&Faults::at(at, Fault::Errno(errno)), false));
    // EPERM, EACCES, EINVAL, EROFS, EOPNOTSUPP
    for errno in [1, 13, 22, 30, 95] {
        opened(errno).unwrap();
    }
    opened(5).unwrap_err(); // EIO
}
