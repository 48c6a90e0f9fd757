//! What headers that name unknown keys may cost a process whose keyring's file cannot be read.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::keyring_leases::{SECOND, Scene};
use super::{Context, EnvelopeCipher};
use crate::error::Result;
use crate::format::slot::{Slot, WrappedKey};
use crate::keys::{
    DataKey, KeyProvider, Keyring, MasterKey, Recognition, UnwrapContext, WrapContext,
};

/// Opens what the outer key protects, and counts how often.
struct Counting(Keyring, Arc<AtomicUsize>);

impl KeyProvider for Counting {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.0.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapContext<'_>) -> Result<WrappedKey> {
        self.0.wrap_key(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapContext<'_>) -> Result<DataKey> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.unwrap_key(slot, context)
    }
}

#[test]
fn strangers_cost_one_try_a_second_at_a_file_that_cannot_be_taken_over() {
    let scene = Scene::new();
    let old = fs::read(scene.path()).unwrap();
    let tries = Arc::new(AtomicUsize::new(0));
    let key = MasterKey::taken_from(&mut [9; 32]);
    let counting = Counting(Keyring::from_master_key(key, "outer"), tries.clone());
    let file = scene.options().open(scene.path(), counting).unwrap();
    file.update(|keys| keys.rotate("second")).unwrap();
    fs::write(scene.path(), old).unwrap();
    let strangers = (0..8).fold(EnvelopeCipher::builder(), |builder, _| {
        builder.write_for(Keyring::generate("stranger").unwrap())
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
