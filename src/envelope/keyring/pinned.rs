//! What is pinned of a keyring's file while a process runs.

use std::fs;
use std::sync::{Arc, Mutex};

use super::leases::{LEASE, Scene, none, outer, refused};
use crate::envelope::{EnvelopeCipher, KeyringFile, KeyringPin};
use crate::error::{Error, KeyringError, Result};

#[test]
fn a_running_process_looks_at_what_is_pinned_at_each_confirmation() {
    let scene = Scene::new();
    let pinned = Arc::new(Mutex::new(Ok(1)));
    let told = pinned.clone();
    let options = || {
        let told = told.clone();
        scene
            .options()
            .pinned_by(move || match &*told.lock().unwrap() {
                Ok(revision) => Ok(KeyringPin::least_revision(*revision)),
                Err(()) => Err(Error::Io(std::io::Error::other("no pins are to be had"))),
            })
    };
    let file = options().open(scene.path(), outer()).unwrap();
    let cipher = EnvelopeCipher::new(file.keyring());
    let note = cipher.encrypt("note", &none()).unwrap();
    // The key is rotated and destroyed elsewhere, that is pinned, and somebody puts the old file back.
    let old = fs::read(scene.path()).unwrap();
    let first = file.keyring().active().unwrap();
    let other = scene.elsewhere();
    other.update(|keys| keys.rotate("second")).unwrap();
    other
        .update(|keys| keys.destroy_without_evidence(first))
        .unwrap();
    let new = fs::read(scene.path()).unwrap();
    fs::write(scene.path(), old).unwrap();
    *pinned.lock().unwrap() = Ok(other.revision());
    scene.pass(LEASE);
    let text = refused(cipher.encrypt("note", &none()), &scene.path());
    assert!(text.contains("rolled back"), "{text}");
    assert!(rolled_back(file.reload()));
    assert!(rolled_back(file.update(|keys| keys.rotate("fork"))));
    assert!(rolled_back(options().open(scene.path(), outer())));
    // It reads on, as without its file.
    cipher.decrypt(&note, &none()).unwrap();
    fs::write(scene.path(), new).unwrap();
    cipher.encrypt("note", &none()).unwrap();
    assert_eq!(file.revision(), 3);
    // Who cannot be told confirms nothing; the lease goes on to its end.
    *pinned.lock().unwrap() = Err(());
    cipher.encrypt("note", &none()).unwrap();
    scene.pass(LEASE);
    let text = refused(cipher.encrypt("note", &none()), &scene.path());
    assert!(text.contains("no pins are to be had"), "{text}");
    assert!(options().open(scene.path(), outer()).is_err());
    *pinned.lock().unwrap() = Ok(3);
    cipher.encrypt("note", &none()).unwrap();
}

#[test]
fn a_revision_that_is_required_while_a_process_runs_ends_the_lease_of_an_older_one() {
    let scene = Scene::new();
    let file = scene.process();
    let cipher = EnvelopeCipher::new(file.keyring());
    let note = cipher.encrypt("note", &none()).unwrap();
    file.require_revision(1);
    file.require_data_key_revision(1);
    let confirmed = file.last_confirmed();
    assert!(confirmed.is_some());
    for require in [
        KeyringFile::require_revision as fn(&KeyringFile, u64),
        KeyringFile::require_data_key_revision,
    ] {
        let file = scene.process();
        let cipher = EnvelopeCipher::new(file.keyring());
        let next = file.revision() + 1;
        require(&file, next);
        // What is required does not become less.
        require(&file, 1);
        assert_eq!(file.last_confirmed(), None);
        let text = refused(cipher.encrypt("note", &none()), &scene.path());
        assert!(text.contains("rolled back"), "{text}");
        assert!(rolled_back(file.reload()));
        assert!(rolled_back(file.update(|keys| keys.rotate("fork"))));
        cipher.decrypt(&note, &none()).unwrap();
        scene
            .elsewhere()
            .update(|keys| keys.rotate("next"))
            .unwrap();
        cipher.encrypt("note", &none()).unwrap();
        assert_eq!(file.revision(), next);
    }
}

#[test]
fn no_keyring_is_made_where_a_later_revision_is_pinned() {
    let scene = Scene::new();
    let refused = scene
        .options()
        .min_revision(2)
        .create(scene.other(), "first", outer());
    assert!(rolled_back(refused));
    assert!(!scene.other().exists());
    let first = scene.options().min_revision(1);
    first.create(scene.other(), "first", outer()).unwrap();
}

fn rolled_back<T>(outcome: Result<T>) -> bool {
    let fault = |error| match error {
        Error::KeyringFile { fault, .. } => Some(fault),
        _ => None,
    };
    matches!(
        outcome.err().and_then(fault),
        Some(KeyringError::RolledBack(_))
    )
}
