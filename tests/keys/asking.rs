//! Who is asked for a data key, and how often (FORMAT §4), through the public API. `tests/vectors` has more cases.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use phi_envelope::{
    Context, EnvelopeCipher, Error, KeyProvider, Keyring, Passphrase,
    error::Limit,
    files::{self, FileOptions},
    inspect,
    keys::{Argon2Costs, DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};
use sha2::{Digest as _, Sha256};

use service::{Played, Service};

#[path = "../common/service.rs"]
mod service;

fn far(name: &str, asks_network: bool) -> Arc<Played> {
    Played::new(Service {
        name: name.to_owned(),
        asks_network,
        authenticates: false,
        fails: false,
    })
}

fn costs(memory_kib: u32, passes: u32) -> Argon2Costs {
    Argon2Costs {
        memory_kib,
        passes,
        lanes: 1,
    }
}

/// A cipher that writes for `slots` keys of one service.
fn for_keys_of(service: &Arc<Played>, slots: u8) -> EnvelopeCipher {
    let builder = EnvelopeCipher::builder();
    let builder = (0..slots).fold(builder, |builder, number| {
        builder.encrypt_for(service.with_id(&[number + 1]))
    });
    builder.build().unwrap()
}

#[test]
fn a_fifth_slot_of_one_service_that_asks_a_network_is_not_written() {
    let (service, context) = (far("org.example.kms", true), Context::new());
    for_keys_of(&service, 4).encrypt("note", &context).unwrap();
    let refused = for_keys_of(&service, 5).encrypt("note", &context);
    assert!(matches!(
        refused,
        Err(Error::LimitExceeded(Limit::NetworkSlots))
    ));
    // A device of its own may have as many as there is room for.
    let near = far("org.example.kms", false);
    for_keys_of(&near, 32).encrypt("note", &context).unwrap();
}

#[test]
fn one_hostile_header_of_32_slots_costs_four_calls() {
    let context = Context::new();
    let near = far("org.example.kms", false);
    let mut record = for_keys_of(&near, 32).encrypt("note", &context).unwrap();
    record[11] ^= 1; // the generation, which the header tag covers
    let reader = far("org.example.kms", true);
    let cipher = EnvelopeCipher::builder()
        .decrypt_with(reader.clone())
        .build()
        .unwrap();
    let refused = cipher.decrypt(&record, &context);
    assert!(matches!(
        refused,
        Err(Error::LimitExceeded(Limit::ProviderCalls))
    ));
    assert_eq!(reader.asked.load(Ordering::Relaxed), 4);
}

/// A file is read once more if it does not verify, for a rewrap may be under way. The same bytes are no reason to ask again.
#[test]
fn one_hostile_file_costs_a_call_for_each_of_four_slots() {
    let context = Context::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export.phi");
    for slots in 1..=4 {
        let near = far("org.example.kms", false);
        let out = for_keys_of(&near, slots).encrypt_writer(Vec::new(), &context);
        let mut stream = out.unwrap().finish().unwrap();
        for block in stream[..8192].chunks_mut(4096) {
            block[11] ^= 1; // the generation, which the header tag covers
            let digest = Sha256::digest(&block[..4088]);
            block[4088..].copy_from_slice(&digest[..8]);
        }
        std::fs::write(&path, stream).unwrap();
        let reader = far("org.example.kms", true);
        let cipher = EnvelopeCipher::builder().decrypt_with(reader.clone());
        let cipher = cipher.build().unwrap();
        let refused = files::verify(&cipher, &path, &context, FileOptions::new());
        assert!(matches!(refused, Err(Error::AuthenticationFailed(_))));
        assert_eq!(reader.asked.load(Ordering::Relaxed), u32::from(slots));
    }
}

#[test]
fn one_header_of_32_slots_costs_its_rewrap_no_more_calls() {
    let context = Context::new();
    let near = far("org.example.kms", false);
    // As whoever holds the data key can make it.
    let record = for_keys_of(&near, 32).encrypt("note", &context).unwrap();
    let writer = far("org.example.kms", true);
    let refused = EnvelopeCipher::new(writer.clone()).rewrap(&record);
    assert!(matches!(
        refused,
        Err(Error::LimitExceeded(Limit::ProviderCalls))
    ));
    assert_eq!(writer.asked.load(Ordering::Relaxed), 1);
    let record = for_keys_of(&near, 4).encrypt("note", &context).unwrap();
    let cipher = EnvelopeCipher::new(writer.clone());
    let moved = cipher.rewrap(&record).unwrap();
    assert_eq!(inspect(&moved).unwrap().slots.len(), 1);
}

#[test]
fn a_key_that_is_remembered_is_no_call() {
    let (service, context) = (far("org.example.kms", true), Context::new());
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(service.clone())
        .cache(8, std::time::Duration::from_secs(3600))
        .build()
        .unwrap();
    let record = cipher.encrypt("note", &context).unwrap();
    let asked = |times: u32| assert_eq!(service.asked.load(Ordering::Relaxed), times);
    let proof = service.asked.load(Ordering::Relaxed);
    for _ in 0..6 {
        assert_eq!(&cipher.decrypt(&record, &context).unwrap()[..], b"note");
        asked(proof + 1);
    }
}

#[test]
fn a_keyring_opens_without_the_derivation_of_a_passphrase() {
    let (ring, context) = (Keyring::generate("ehr").unwrap(), Context::new());
    let words = || Passphrase::new("words").unwrap();
    let cheap = words().with_costs(costs(64, 1)).unwrap();
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(cheap)
        .encrypt_for(ring.clone());
    let record = cipher.build().unwrap().encrypt("note", &context).unwrap();
    // A passphrase that grants no memory would be a limit that is exceeded, if it was asked.
    let reader = EnvelopeCipher::builder()
        .decrypt_with(words().with_max_memory_kib(8))
        .decrypt_with(ring);
    let opened = reader.build().unwrap().decrypt(&record, &context);
    assert_eq!(&opened.unwrap()[..], b"note");
}

#[test]
fn a_passphrase_seals_nothing_that_it_refuses_to_open() {
    let words = || Passphrase::new("words").unwrap();
    let too_much = words().with_costs(costs(262_145, 1));
    assert!(matches!(
        too_much,
        Err(Error::LimitExceeded(Limit::PassphraseMemory))
    ));
    let granted = words().with_max_memory_kib(262_145);
    granted.with_costs(costs(262_145, 1)).unwrap();
    let taken_away = words()
        .with_costs(costs(64, 1))
        .unwrap()
        .with_max_memory_kib(8);
    let refused = EnvelopeCipher::new(taken_away).encrypt("note", &Context::new());
    assert!(matches!(
        refused,
        Err(Error::LimitExceeded(Limit::PassphraseMemory))
    ));
}

/// A service that is down, and slow to say so: the first time that it is asked, somebody else opens an envelope meanwhile.
struct Down {
    service: Arc<Played>,
    meanwhile: OnceLock<(EnvelopeCipher, Vec<u8>)>,
}

impl KeyProvider for Down {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.service.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey, Error> {
        self.service.wrap_key(key, context)
    }

    fn unwrap_key(&self, _: &Slot<'_>, _: &UnwrapRequest<'_>) -> Result<DataKey, Error> {
        if self.service.asked.fetch_add(1, Ordering::Relaxed) == 0 {
            let (cipher, record) = self.meanwhile.get().unwrap();
            cipher.decrypt(record, &Context::new()).unwrap();
        }
        Err(Error::provider(true, "this service is down"))
    }

    fn asks_network(&self) -> bool {
        true
    }
}

#[test]
fn a_key_that_another_thread_unwraps_meanwhile_opens() {
    let context = Context::new();
    let (first, second) = (far("org.example.one", true), far("org.example.two", true));
    let writer = EnvelopeCipher::builder()
        .encrypt_for(first.clone())
        .encrypt_for(second.clone())
        .build()
        .unwrap();
    let record = writer.encrypt("note", &context).unwrap();
    let down = Arc::new(Down {
        service: far("org.example.one", true),
        meanwhile: OnceLock::new(),
    });
    let reader = EnvelopeCipher::builder()
        .decrypt_with(down.clone())
        .decrypt_with(second)
        .cache(8, std::time::Duration::from_secs(3600))
        .build()
        .unwrap();
    let meanwhile = (reader.clone(), record.clone());
    assert!(down.meanwhile.set(meanwhile).is_ok());
    assert_eq!(&reader.decrypt(&record, &context).unwrap()[..], b"note");
}
