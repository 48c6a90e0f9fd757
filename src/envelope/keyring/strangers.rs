//! Headers that name keys which a process does not know: what they may cost it, and who finds them.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::leases::{SECOND, Scene};
use crate::envelope::{Context, EnvelopeCipher};
use crate::error::Result;
use crate::format::slot::{Slot, WrappedKey};
use crate::keys::{
    DataKey, KeyProvider, Keyring, MasterKey, Recognition, UnwrapRequest, WrapRequest,
};

/// Opens what the outer key protects, and counts how often.
struct Counting(Keyring, Arc<AtomicUsize>);

impl KeyProvider for Counting {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.0.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        self.0.wrap_key(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.unwrap_key(slot, context)
    }
}

#[test]
fn strangers_cost_one_try_a_second_at_a_file_that_cannot_be_taken_over() {
    let scene = Scene::new();
    let old = fs::read(scene.path()).unwrap();
    let tries = Arc::new(AtomicUsize::new(0));
    let key = MasterKey::from_bytes_zeroizing(&mut [9; 32]);
    let counting = Counting(Keyring::from_master_key(key, "outer"), tries.clone());
    let file = scene.options().open(scene.path(), counting).unwrap();
    file.update(|keys| keys.rotate("second")).unwrap();
    fs::write(scene.path(), old).unwrap();
    let strangers = (0..8).fold(EnvelopeCipher::builder(), |builder, _| {
        builder.encrypt_for(Keyring::generate("stranger").unwrap())
    });
    let strangers = strangers.build().unwrap();
    let foreign = strangers.encrypt("note", &Context::new()).unwrap();
    let cipher = EnvelopeCipher::new(file.keyring());
    for _ in 0..2 {
        tries.store(0, Ordering::Relaxed);
        for _ in 0..2 {
            assert!(cipher.decrypt(&foreign, &Context::new()).is_err());
            assert_eq!(tries.load(Ordering::Relaxed), 1);
        }
        scene.pass(SECOND);
    }
}

/// Opens what the outer key protects; once it is told to, it says that it is at it, and takes its time.
struct Slow(Keyring, Mutex<Option<Sender<()>>>);

impl KeyProvider for Slow {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.0.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        self.0.wrap_key(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        if let Some(tell) = self.1.lock().unwrap().take() {
            tell.send(()).unwrap();
            thread::sleep(SECOND / 5);
        }
        self.0.unwrap_key(slot, context)
    }
}

#[test]
fn all_readers_find_a_key_that_one_of_them_reads_the_file_for() {
    let scene = Scene::new();
    let key = MasterKey::from_bytes_zeroizing(&mut [9; 32]);
    let slow = Arc::new(Slow(
        Keyring::from_master_key(key, "outer"),
        Mutex::default(),
    ));
    let file = scene.options().open(scene.path(), slow.clone()).unwrap();
    let other = scene.elsewhere();
    other.update(|keys| keys.rotate("second")).unwrap();
    let (writer, reader) = (
        EnvelopeCipher::new(other.keyring()),
        EnvelopeCipher::new(file.keyring()),
    );
    let note = writer.encrypt("note", &Context::new()).unwrap();
    let (tell, told) = channel();
    *slow.1.lock().unwrap() = Some(tell);
    thread::scope(|scope| {
        let first = scope.spawn(|| reader.decrypt(&note, &Context::new()).map(drop));
        told.recv().unwrap();
        reader.decrypt(&note, &Context::new()).unwrap();
        first.join().unwrap().unwrap();
    });
}
