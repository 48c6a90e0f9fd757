//! The lease of a keyring's file, at its default terms, by clocks that the tests set.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::envelope::{Context, EnvelopeCipher, KeyringFile, KeyringFileOptions};
use crate::error::{Error, KeyringError, Result};
use crate::keys::{Clock, Keyring, MasterKey};

const MINUTES: Duration = Duration::from_secs(60);
pub(super) const LEASE: Duration = Duration::from_secs(900);
pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) struct Scene {
    folder: tempfile::TempDir,
    time: Arc<Mutex<(Duration, SystemTime)>>,
}

impl Scene {
    pub(super) fn new() -> Self {
        let scene = Self {
            folder: tempfile::tempdir().unwrap(),
            time: Arc::new(Mutex::new((LEASE, SystemTime::now()))),
        };
        KeyringFile::create(scene.path(), "first", outer()).unwrap();
        scene
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("ehr.keyring")
    }

    pub(super) fn other(&self) -> PathBuf {
        self.folder.path().join("other")
    }

    /// A process of its own, whose clocks this scene sets.
    pub(super) fn process(&self) -> KeyringFile {
        self.options().open(self.path(), outer()).unwrap()
    }

    pub(super) fn options(&self) -> KeyringFileOptions {
        let set = Some(self.time.clone());
        KeyringFileOptions {
            clock: Clock { set },
            ..KeyringFileOptions::default()
        }
    }

    /// Another process, whose clocks are the machine's.
    pub(super) fn elsewhere(&self) -> KeyringFile {
        KeyringFile::open(self.path(), outer()).unwrap()
    }

    pub(super) fn pass(&self, time: Duration) {
        let mut now = self.time.lock().unwrap();
        *now = (now.0 + time, now.1 + time);
    }
}

pub(super) fn outer() -> EnvelopeCipher {
    let key = MasterKey::from_bytes_zeroizing(&mut [9; 32]);
    EnvelopeCipher::new(Keyring::from_master_key(key, "outer"))
}

pub(super) fn none() -> Context {
    Context::new()
}

pub(super) fn refused<T: std::fmt::Debug>(outcome: Result<T>, path: &Path) -> String {
    match outcome {
        Err(
            error @ Error::KeyringFile {
                fault: KeyringError::NotConfirmed { .. },
                ..
            },
        ) => {
            let text = error.to_string();
            assert!(text.contains(path.to_str().unwrap()), "{text}");
            text
        }
        other => panic!("{other:?}"),
    }
}

fn slot(envelope: &[u8]) -> Vec<u8> {
    crate::envelope::inspect(envelope).unwrap().slots[0]
        .key_id
        .clone()
}

#[test]
fn a_rotation_elsewhere_is_obeyed_within_the_lease() {
    let scene = Scene::new();
    let file = scene.process();
    let cipher = EnvelopeCipher::new(file.keyring());
    let session = cipher.session(&none()).unwrap();
    let first = file.keyring().active().unwrap();
    let second = scene
        .elsewhere()
        .update(|keys| keys.rotate("second"))
        .unwrap();
    scene.pass(LEASE - SECOND);
    assert_eq!(
        slot(&cipher.encrypt("note", &none()).unwrap()),
        first.as_bytes()
    );
    assert_eq!(
        slot(&session.encrypt("note", &none()).unwrap()),
        first.as_bytes()
    );
    scene.pass(SECOND);
    let batch = session.encrypt_batch(&[("note", none())]).unwrap();
    assert_eq!(slot(&batch[0]), second.as_bytes());
    assert_eq!(
        slot(&session.encrypt("note", &none()).unwrap()),
        second.as_bytes()
    );
    assert_eq!(
        slot(&cipher.encrypt("note", &none()).unwrap()),
        second.as_bytes()
    );
}

#[test]
fn without_its_file_a_keyring_wraps_nothing_beyond_the_lease_and_reads_on() {
    let scene = Scene::new();
    let file = scene.process();
    let cipher = EnvelopeCipher::new(file.keyring());
    let session = cipher.session(&none()).unwrap();
    let note = cipher.encrypt("note", &none()).unwrap();
    let row = session.encrypt("row", &none()).unwrap();
    fs::rename(scene.path(), scene.other()).unwrap();
    scene.pass(LEASE - SECOND);
    cipher.encrypt("note", &none()).unwrap();
    session.encrypt("row", &none()).unwrap();
    scene.pass(SECOND);
    let text = refused(cipher.encrypt("note", &none()), &scene.path());
    assert!(
        text.contains("last confirmed at") && text.contains("900 s"),
        "{text}"
    );
    refused(session.encrypt("row", &none()), &scene.path());
    refused(session.encrypt_batch(&[("row", none())]), &scene.path());
    refused(cipher.session(&none()), &scene.path());
    refused(cipher.confirm_writers(), &scene.path());
    cipher.decrypt(&note, &none()).unwrap();
    cipher.decrypt(&row, &none()).unwrap();
    // It confirms by itself as soon as the file is there again.
    fs::rename(scene.other(), scene.path()).unwrap();
    cipher.encrypt("note", &none()).unwrap();
    session.encrypt("row", &none()).unwrap();
}

#[test]
fn the_lease_counts_the_machines_sleep_and_ends_where_the_wall_clock_goes_back() {
    let changes: [fn(&mut (Duration, SystemTime)); 3] = [
        |now| now.0 += LEASE,
        |now| now.1 += LEASE,
        |now| now.1 -= SECOND,
    ];
    for change in changes {
        let scene = Scene::new();
        let file = scene.process();
        let cipher = EnvelopeCipher::new(file.keyring());
        cipher.encrypt("note", &none()).unwrap();
        fs::rename(scene.path(), scene.other()).unwrap();
        change(&mut scene.time.lock().unwrap());
        // The clocks are read for every 64th record at least.
        let outcomes: Vec<_> = (0..64).map(|_| cipher.encrypt("note", &none())).collect();
        refused(outcomes.into_iter().last().unwrap(), &scene.path());
    }
}

#[test]
fn a_key_suspended_elsewhere_stops_opening_within_the_lease_out_of_a_cache_too() {
    let scene = Scene::new();
    let file = scene.process();
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(file.keyring())
        .cache(8, 60 * MINUTES)
        .build()
        .unwrap();
    let note = cipher.encrypt("note", &none()).unwrap();
    cipher.decrypt(&note, &none()).unwrap();
    let first = file.keyring().active().unwrap();
    let other = scene.elsewhere();
    other.update(|keys| keys.rotate("second")).unwrap();
    other.update(|keys| keys.suspend(first)).unwrap();
    cipher.decrypt(&note, &none()).unwrap();
    scene.pass(LEASE);
    let refused = cipher.decrypt(&note, &none());
    assert!(
        matches!(refused, Err(Error::KeyNotUsable { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_file_of_two_names_or_none_opens_and_reads_and_is_neither_confirmed_nor_changed() {
    let scene = Scene::new();
    let note = EnvelopeCipher::new(scene.process().keyring())
        .encrypt("note", &none())
        .unwrap();
    fs::hard_link(scene.path(), scene.other()).unwrap();
    let file = scene.process();
    let cipher = EnvelopeCipher::new(file.keyring());
    assert_eq!(file.last_confirmed(), None);
    cipher.decrypt(&note, &none()).unwrap();
    let text = refused(cipher.encrypt("note", &none()), &scene.path());
    assert!(
        text.contains("2 names") && text.contains("hard link"),
        "{text}"
    );
    let before = fs::read(scene.path()).unwrap();
    let links = file.update(|keys| keys.rotate("second"));
    let Err(Error::KeyringFile {
        fault: KeyringError::Links { count: 2 },
        ..
    }) = links
    else {
        panic!("{links:?}");
    };
    assert_eq!(fs::read(scene.path()).unwrap(), before);
    assert!(fs::read(scene.other()).unwrap() == before);
    // As soon as there is one name again, all is well.
    fs::remove_file(scene.other()).unwrap();
    cipher.encrypt("note", &none()).unwrap();
    file.update(|keys| keys.rotate("second")).unwrap();
}

#[test]
fn a_file_that_was_linked_after_it_was_opened_is_not_confirmed() {
    let scene = Scene::new();
    let file = scene.process();
    let cipher = EnvelopeCipher::new(file.keyring());
    fs::hard_link(scene.path(), scene.other()).unwrap();
    cipher.encrypt("note", &none()).unwrap();
    scene.pass(LEASE);
    refused(cipher.encrypt("note", &none()), &scene.path());
}

#[test]
fn an_older_file_put_back_is_not_confirmed() {
    let scene = Scene::new();
    let old = fs::read(scene.path()).unwrap();
    let file = scene.process();
    file.update(|keys| keys.rotate("second")).unwrap();
    fs::write(scene.path(), old).unwrap();
    let cipher = EnvelopeCipher::new(file.keyring());
    scene.pass(LEASE);
    let text = refused(cipher.encrypt("note", &none()), &scene.path());
    assert!(text.contains("rolled back"), "{text}");
}

#[test]
fn an_unknown_key_of_a_header_has_the_file_read_again_and_a_stranger_costs_a_look_a_second() {
    let scene = Scene::new();
    let file = scene.process();
    let cipher = EnvelopeCipher::new(file.keyring());
    let other = scene.elsewhere();
    other.update(|keys| keys.rotate("second")).unwrap();
    let note = EnvelopeCipher::new(other.keyring())
        .encrypt("note", &none())
        .unwrap();
    assert_eq!(file.revision(), 1);
    cipher.decrypt(&note, &none()).unwrap();
    assert_eq!(file.revision(), 2);

    let stranger = EnvelopeCipher::new(Keyring::generate("stranger").unwrap());
    let foreign = stranger.encrypt("note", &none()).unwrap();
    assert!(cipher.decrypt(&foreign, &none()).is_err());
    other.update(|keys| keys.rotate("third")).unwrap();
    assert!(cipher.decrypt(&foreign, &none()).is_err());
    assert_eq!(file.revision(), 2);
    scene.pass(SECOND);
    assert!(cipher.decrypt(&foreign, &none()).is_err());
    assert_eq!(file.revision(), 3);
}

#[test]
fn a_slot_that_is_not_expected_keeps_a_file_from_being_used_for_wrapping_and_from_being_written() {
    let scene = Scene::new();
    let slots = scene.process().slots();
    let expecting = || scene.options().expect_slots(slots.clone());
    let file = expecting().open(scene.path(), outer()).unwrap();
    let cipher = EnvelopeCipher::new(file.keyring());
    let note = cipher.encrypt("note", &none()).unwrap();
    let spy = Keyring::generate("spy").unwrap();
    let both = EnvelopeCipher::builder()
        .encrypt_for(outer().0.writers[0].clone())
        .encrypt_for(spy)
        .build();
    scene.elsewhere().reprotect(both.unwrap()).unwrap();

    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let again = scene
        .options()
        .on_slot_change(move |change| tell.lock().unwrap().push(change.clone()));
    let watcher = again.open(scene.path(), outer()).unwrap();
    for file in [file, expecting().open(scene.path(), outer()).unwrap()] {
        scene.pass(LEASE);
        let cipher = EnvelopeCipher::new(file.keyring());
        let text = refused(cipher.encrypt("note", &none()), &scene.path());
        assert!(text.contains("not expected"), "{text}");
        cipher.decrypt(&note, &none()).unwrap();
        let unexpected = file.update(|keys| keys.rotate("second"));
        let Err(Error::KeyringFile {
            fault: KeyringError::UnexpectedSlot { .. },
            ..
        }) = unexpected
        else {
            panic!("{unexpected:?}");
        };
    }
    scene
        .elsewhere()
        .reprotect_dropping_recipients(outer())
        .unwrap();
    watcher.reload().unwrap();
    let told = told.lock().unwrap();
    assert_eq!(
        (told.len(), told[0].added.len(), told[0].removed.len()),
        (1, 0, 1)
    );
}

#[test]
fn a_lease_of_one_second_is_looked_at_to_the_second() {
    let scene = Scene::new();
    scene
        .elsewhere()
        .update(|keys| keys.set_lease(SECOND))
        .unwrap();
    let file = scene.process();
    assert_eq!(file.lease(), SECOND);
    let cipher = EnvelopeCipher::new(file.keyring());
    cipher.encrypt("note", &none()).unwrap();
    fs::remove_file(scene.path()).unwrap();
    scene.pass(Duration::from_millis(999));
    cipher.encrypt("note", &none()).unwrap();
    scene.pass(Duration::from_millis(1));
    refused(cipher.encrypt("note", &none()), &scene.path());
}

#[test]
fn a_keyring_that_protects_its_own_file_beside_another_updates_and_confirms() {
    let scene = Scene::new();
    let file = scene.process();
    let both = EnvelopeCipher::builder()
        .encrypt_for(file.keyring())
        .encrypt_for(outer().0.writers[0].clone())
        .build()
        .unwrap();
    file.reprotect(both).unwrap();
    file.update(|keys| keys.rotate("second")).unwrap();
    scene.pass(LEASE);
    file.update(|keys| keys.rotate("third")).unwrap();
    scene.pass(LEASE);
    file.reload().unwrap();
    EnvelopeCipher::new(file.keyring())
        .encrypt("note", &none())
        .unwrap();
}
