//! A key that a keyring moves off, or loses, between a wrap and the moment in which its header is written: right before that, each
//! provider confirms, and what it learns then counts.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{context, labels};
use crate::envelope::EnvelopeCipher;
use crate::error::{Error, Result};
use crate::files::{
    FileOptions, RewrapStatus, add_recipient, encrypt, inspect, reencrypt, rewrap, verify,
};
use crate::format::slot::{Slot, WrappedKey};
use crate::keys::{DataKey, KeyProvider, Keyring, Recognition, UnwrapRequest, WrapRequest};

/// A keyring that learns, at one of its confirmations, that its active key was rotated away from elsewhere, and destroyed.
struct Learning {
    keyring: Keyring,
    confirmed: AtomicUsize,
    at: usize,
    loses: bool,
}

impl Learning {
    fn new(keyring: &Keyring, at: usize) -> Arc<Self> {
        Self::of(keyring, at, true)
    }

    /// The key is rotated away from, and kept.
    fn keeping(keyring: &Keyring, at: usize) -> Arc<Self> {
        Self::of(keyring, at, false)
    }

    fn of(keyring: &Keyring, at: usize, loses: bool) -> Arc<Self> {
        Arc::new(Self {
            keyring: keyring.clone(),
            confirmed: AtomicUsize::new(0),
            at,
            loses,
        })
    }

    fn confirmations(&self) -> usize {
        self.confirmed.load(Ordering::Relaxed)
    }
}

impl KeyProvider for Learning {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.keyring.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        self.keyring.wrap_key(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        self.keyring.unwrap_key(slot, context)
    }

    fn confirm(&self) -> Result<()> {
        if self.confirmed.fetch_add(1, Ordering::Relaxed) == self.at {
            let lost = self.keyring.active()?;
            self.keyring.rotate("later")?;
            if self.loses {
                self.keyring.destroy_without_evidence(lost)?;
            }
        }
        Ok(())
    }
}

struct Scene {
    folder: tempfile::TempDir,
    keyring: Keyring,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("plain"), b"BP 120/80").unwrap();
        let keyring = Keyring::generate("first").unwrap();
        Self { folder, keyring }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A record, a detached header and a stream under the first key, which is then rotated.
    fn files(&self) -> [PathBuf; 3] {
        let cipher = EnvelopeCipher::new(self.keyring.clone());
        let [record, header, stream] = ["record", "header", "stream"].map(|name| self.path(name));
        fs::write(&record, cipher.encrypt("BP 120/80", &context()).unwrap()).unwrap();
        let (bytes, _) = cipher
            .encrypt_writer_detached(Vec::new(), &context())
            .unwrap();
        fs::write(&header, bytes).unwrap();
        let plain = self.path("plain");
        encrypt(&cipher, plain, &stream, &context(), FileOptions::new()).unwrap();
        self.keyring.rotate("second").unwrap();
        [record, header, stream]
    }

    /// Does it with a key that is lost at each confirmation: the file is then as it was.
    #[track_caller]
    fn refused(change: impl Fn(&EnvelopeCipher, &PathBuf) -> Result<()>, files: &[usize]) {
        for number in files {
            for at in 0.. {
                let scene = Self::new();
                let path = &scene.files()[*number];
                let before = fs::read(path).unwrap();
                let provider = Learning::new(&scene.keyring, at);
                let outcome = change(&EnvelopeCipher::new(provider.clone()), path);
                if provider.confirmations() <= at {
                    outcome.unwrap();
                    assert!(at > 0, "nothing was confirmed");
                    break;
                }
                let what = format!("file {number}, confirmation {at}: {outcome:?}");
                assert!(
                    matches!(
                        outcome,
                        Err(Error::OutdatedSlot { .. } | Error::KeyNotUsable { .. })
                    ),
                    "{what}"
                );
                assert!(fs::read(path).unwrap() == before, "{what}");
            }
        }
    }
}

#[test]
fn a_rewrap_writes_its_slot_under_a_key_that_is_there_by_then() {
    for (number, at) in [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)] {
        let scene = Scene::new();
        let path = &scene.files()[number];
        let provider = Learning::new(&scene.keyring, at);
        rewrap(&EnvelopeCipher::new(provider.clone()), path).unwrap();
        // The write of a stream is confirmed twice.
        assert_eq!(scene.keyring.keys().len(), 2 + usize::from(at < 2));
        let found = inspect(path).unwrap();
        assert!(found.blocks_alike);
        let active = scene.keyring.active().unwrap();
        assert_eq!(found.header.slots[0].key_id, active.as_bytes());
        let cipher = EnvelopeCipher::new(scene.keyring);
        assert_eq!(rewrap(&cipher, path).unwrap(), RewrapStatus::UpToDate);
    }
}

#[test]
fn a_file_is_not_sealed_anew_under_a_key_that_is_lost_by_then() {
    let reencrypt = |cipher: &EnvelopeCipher, path: &PathBuf| {
        reencrypt(cipher, path, &context(), FileOptions::new()).map(drop)
    };
    Scene::refused(reencrypt, &[0, 2]);
}

#[test]
fn a_recipient_gets_a_slot_under_a_key_that_is_there_by_then() {
    for number in 0..3 {
        let scene = Scene::new();
        let path = &scene.files()[number];
        let theirs = Keyring::generate("theirs").unwrap();
        let recipient = Learning::new(&theirs, 0);
        let cipher = EnvelopeCipher::new(scene.keyring.clone());
        add_recipient(&cipher, path, &*recipient, &labels()).unwrap();
        // The slot that was there, and that its provider has moved off, is none of this call's.
        let slots = inspect(path).unwrap().header.slots;
        assert_eq!(slots[0].key_id, scene.keyring.keys()[0].id.as_bytes());
        assert_eq!(slots[1].key_id, theirs.active().unwrap().as_bytes());
    }
}

#[test]
fn a_new_file_gets_no_name_under_a_key_that_is_lost_by_then() {
    for (at, detached) in [(0, false), (1, false), (0, true), (1, true)] {
        let scene = Scene::new();
        let (sealed, header) = (scene.path("sealed"), scene.path("header"));
        let provider = Learning::new(&scene.keyring, at);
        let mut options = FileOptions::new();
        if detached {
            options = options.detached_header(&header);
        }
        let (cipher, plain) = (EnvelopeCipher::new(provider.clone()), scene.path("plain"));
        let outcome = encrypt(&cipher, plain, &sealed, &context(), options);
        let what = format!("{at}, {detached}: {outcome:?}");
        assert!(
            matches!(
                outcome,
                Err(Error::OutdatedSlot { .. } | Error::KeyNotUsable { .. })
            ),
            "{what}"
        );
        assert!(!sealed.exists() && !header.exists(), "{what}");
        assert_eq!(provider.confirmations(), at + 1, "{what}");
    }
}

#[test]
fn a_new_file_gets_its_name_under_the_key_that_is_active_by_then() {
    for at in 0..3 {
        let scene = Scene::new();
        let provider = Learning::keeping(&scene.keyring, at);
        let (cipher, sealed) = (EnvelopeCipher::new(provider.clone()), scene.path("sealed"));
        let plain = scene.path("plain");
        encrypt(&cipher, plain, &sealed, &context(), FileOptions::new()).unwrap();
        let slots = inspect(&sealed).unwrap().header.slots;
        let active = scene.keyring.active().unwrap();
        assert_eq!(slots[0].key_id, active.as_bytes(), "{at}");
        verify(&cipher, &sealed, &context(), FileOptions::new()).unwrap();
        assert_eq!(scene.keyring.keys().len(), 1 + usize::from(at < 2), "{at}");
    }
}
