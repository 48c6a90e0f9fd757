//! The facade: records in every way, the cache of data keys, passphrases' limits, and a key provider from outside the crate.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aes_gcm::aead::AeadInOut as _;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use phi_envelope::{
    Context, EnvelopeCipher, EnvelopeCipherBuilder, Error, KeyProvider, Keyring, MasterKey,
    Passphrase, SessionLimits,
    error::{AuthenticatedPart, ContextMismatch, Limit, Malformed, RecipientError},
    inspect,
    keys::{
        Argon2Costs, DataKey, KeyState, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey,
    },
};

const HOUR: Duration = Duration::from_secs(3600);

fn keyring() -> Keyring {
    Keyring::generate("ehr-2026").unwrap()
}

fn context() -> Context {
    Context::new()
        .label("tenant", "clinic-7")
        .unwrap()
        .bind("patient", "MRN-0042")
        .unwrap()
}

fn costs(memory_kib: u32, passes: u32, lanes: u32) -> Argon2Costs {
    Argon2Costs {
        memory_kib,
        passes,
        lanes,
    }
}

/// A passphrase that costs next to nothing.
fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text)
        .unwrap()
        .with_costs(costs(8, 1, 1))
        .unwrap()
}

fn sample(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

// ---- Records.

#[test]
fn a_cipher_crosses_threads_and_is_cloned() {
    fn can<T: Send + Sync + Clone + 'static>() {}
    can::<EnvelopeCipher>();
    can::<Keyring>();
    can::<Context>();
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<EnvelopeCipherBuilder>();
    crosses::<Passphrase>();
    crosses::<MasterKey>();
    crosses::<DataKey>();
    crosses::<Error>();
}

#[test]
fn records_of_every_size_open_in_every_way() {
    let cipher = EnvelopeCipher::new(keyring());
    let context = context();
    for len in [0, 1, 15, 16, 17, 4096, 65_537, 1 << 20] {
        let plaintext = sample(len);
        let with_room = |room: usize| {
            let mut buffer = Vec::with_capacity(len + room);
            buffer.extend_from_slice(&plaintext);
            buffer
        };
        let envelopes = [
            cipher.encrypt(&plaintext, &context).unwrap(),
            cipher.encrypt_in_place(with_room(0), &context).unwrap(),
            cipher.encrypt_in_place(with_room(400), &context).unwrap(),
            cipher
                .encrypt_batch(&[(&plaintext, &context)])
                .unwrap()
                .remove(0),
        ];
        let header_len = inspect(&envelopes[0]).unwrap().header_len;
        for envelope in envelopes {
            assert_eq!(envelope.len(), header_len + 28 + len);
            assert!(cipher.decrypt(&envelope, &context).unwrap()[..] == plaintext);
            let batch = cipher.decrypt_batch(&[(&envelope, &context)]).remove(0);
            assert!(batch.unwrap()[..] == plaintext);
            assert!(cipher.decrypt_in_place(envelope, &context).unwrap()[..] == plaintext);
        }
    }
}

#[test]
fn a_record_takes_whatever_is_bytes() {
    let cipher = EnvelopeCipher::new(keyring());
    let context = Context::new();
    let envelopes = [
        cipher.encrypt("note", &context).unwrap(),
        cipher.encrypt(String::from("note"), &context).unwrap(),
        cipher.encrypt(b"note", &context).unwrap(),
        cipher
            .encrypt(vec![b'n', b'o', b't', b'e'], &context)
            .unwrap(),
        cipher.encrypt(&b"note"[..], &context).unwrap(),
    ];
    for envelope in envelopes {
        assert_eq!(&cipher.decrypt(envelope, &context).unwrap()[..], b"note");
    }
}

#[test]
fn in_place_reuses_the_callers_buffer_where_it_has_room() {
    let cipher = EnvelopeCipher::new(keyring());
    let context = context();
    let mut buffer = Vec::with_capacity(1000);
    buffer.extend_from_slice(b"BP 120/80");
    let at = buffer.as_ptr();
    let envelope = cipher.encrypt_in_place(buffer, &context).unwrap();
    assert_eq!(envelope.as_ptr(), at);
    assert_eq!(
        &cipher.decrypt(&envelope, &context).unwrap()[..],
        b"BP 120/80"
    );
    let plaintext = cipher
        .decrypt_in_place(envelope, &context)
        .unwrap()
        .into_vec();
    assert_eq!(
        (plaintext.as_ptr(), &plaintext[..]),
        (at, &b"BP 120/80"[..])
    );
}

#[test]
fn an_envelope_is_as_much_longer_as_the_documentation_says() {
    let cipher = EnvelopeCipher::new(keyring());
    let labels = Context::new().label("tenant", "clinic-7").unwrap();
    for (longer, context) in [
        (175, Context::new()),
        (207, Context::new().bind("patient", "MRN-0042").unwrap()),
        (175 + 3 + 14, labels),
        (207 + 3 + 14, context()),
    ] {
        assert_eq!(
            cipher.encrypt("BP 120/80", &context).unwrap().len(),
            9 + longer
        );
        // Just as much room saves an allocation.
        let mut buffer = Vec::with_capacity(9 + longer);
        buffer.extend_from_slice(b"BP 120/80");
        let at = buffer.as_ptr();
        let envelope = cipher.encrypt_in_place(buffer, &context).unwrap();
        assert_eq!(envelope.as_ptr(), at);
    }
}

#[test]
fn in_place_refuses_what_the_others_refuse() {
    let cipher = EnvelopeCipher::new(keyring());
    let good = cipher.encrypt("note", &context()).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(matches!(
        cipher.decrypt_in_place(flipped, &context()),
        Err(Error::AuthenticationFailed(AuthenticatedPart::Record))
    ));
    assert!(matches!(
        cipher.decrypt_in_place(good.clone(), &Context::new()),
        Err(Error::ContextMismatch(ContextMismatch::BindingsMissing))
    ));
    assert!(matches!(
        cipher.decrypt_in_place(good[..good.len() - 40].to_vec(), &context()),
        Err(Error::Truncated | Error::AuthenticationFailed(_))
    ));
    assert!(matches!(
        cipher.decrypt_in_place(Vec::new(), &context()),
        Err(Error::NotAnEnvelope)
    ));
}

#[test]
fn no_two_envelopes_share_a_data_key_or_a_byte_of_payload() {
    let cipher = EnvelopeCipher::new(keyring());
    let records = vec![("note", Context::new()); 100];
    let mut envelopes = cipher.encrypt_batch(&records).unwrap();
    envelopes.extend((0..100).map(|_| cipher.encrypt("note", &Context::new()).unwrap()));
    let inspections: Vec<_> = envelopes
        .iter()
        .map(|envelope| inspect(envelope).unwrap())
        .collect();
    let keys: HashSet<_> = inspections.iter().map(|one| one.data_key_id).collect();
    let payloads: HashSet<_> = envelopes
        .iter()
        .map(|one| one[inspections[0].header_len..].to_vec())
        .collect();
    assert_eq!((keys.len(), payloads.len()), (200, 200));
    assert!(inspections.iter().all(|one| one.message_id.is_none()));
}

#[test]
fn a_batch_comes_in_order_and_each_record_has_its_own_result() {
    let cipher = EnvelopeCipher::new(keyring());
    let patient = |number: usize| {
        Context::new()
            .bind("patient", format!("MRN-{number}"))
            .unwrap()
    };
    let records: Vec<_> = (0..500)
        .map(|number| (format!("note {number}"), patient(number)))
        .collect();
    let mut envelopes = cipher.encrypt_batch(&records).unwrap();
    envelopes[3].truncate(20);
    *envelopes[250].last_mut().unwrap() ^= 1;
    envelopes.swap(400, 401);
    envelopes[499] = b"not an envelope at all".to_vec();
    let work: Vec<_> = envelopes
        .iter()
        .zip(&records)
        .map(|(one, (_, context))| (one, context))
        .collect();
    let results = cipher.decrypt_batch(&work);
    assert_eq!(results.len(), 500);
    for (number, (result, (note, _))) in results.into_iter().zip(&records).enumerate() {
        match (number, result) {
            (3, Err(Error::Truncated))
            | (250, Err(Error::AuthenticationFailed(AuthenticatedPart::Record)))
            | (400 | 401, Err(Error::ContextMismatch(ContextMismatch::BindingsDiffer)))
            | (499, Err(Error::NotAnEnvelope)) => {}
            (_, result) => assert_eq!(&result.unwrap()[..], note.as_bytes(), "{number}"),
        }
    }
    assert!(cipher.decrypt_batch(&[] as &[(&[u8], Context)]).is_empty());
    assert!(
        cipher
            .encrypt_batch(&[] as &[(&[u8], Context)])
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_stream_is_no_record() {
    let cipher = EnvelopeCipher::new(keyring());
    let stream = cipher
        .encrypt_writer(Vec::new(), &Context::new())
        .unwrap()
        .finish()
        .unwrap();
    for result in [
        cipher.decrypt(&stream, &Context::new()),
        cipher.decrypt_in_place(stream.clone(), &Context::new()),
        cipher.decrypt_batch(&[(&stream, Context::new())]).remove(0),
    ] {
        assert!(matches!(
            result,
            Err(Error::Malformed(Malformed::OtherKind { .. }))
        ));
    }
}

// ---- Who writes and who reads.

#[test]
fn a_builder_refuses_what_cannot_work() {
    let builder = EnvelopeCipher::builder;
    assert!(matches!(builder().build(), Err(Error::Misuse(_))));
    let wrong_segment = |bytes| {
        matches!(
            builder().segment_length(bytes),
            Err(Error::Malformed(Malformed::SegmentLength))
        )
    };
    assert!(
        [0, 4095, 16_777_217, u32::MAX]
            .into_iter()
            .all(wrong_segment)
    );
    assert!(
        ![4096, 65_536, 100_001, 16_777_216]
            .into_iter()
            .any(wrong_segment)
    );
    let wrong_block = |bytes| {
        matches!(
            builder().block_length(bytes),
            Err(Error::Malformed(Malformed::BlockLength))
        )
    };
    assert!(
        [0, 1, 4095, 4097, 6000, 69_632, usize::MAX]
            .into_iter()
            .all(wrong_block)
    );
    assert!(![4096, 8192, 65_536].into_iter().any(wrong_block));
}

#[test]
fn thirty_two_recipients_are_the_most() {
    let keyrings: Vec<_> = (0..33).map(|_| keyring()).collect();
    let of = |count: usize| {
        let builder = EnvelopeCipher::builder();
        keyrings[..count]
            .iter()
            .cloned()
            .fold(builder, |builder, one| builder.encrypt_for(one))
            .build()
    };
    assert!(matches!(of(33), Err(Error::LimitExceeded(Limit::Slots))));
    let envelope = of(32).unwrap().encrypt("note", &context()).unwrap();
    assert_eq!(inspect(&envelope).unwrap().slots.len(), 32);
    for keyring in &keyrings[..32] {
        let alone = EnvelopeCipher::new(keyring.clone());
        assert_eq!(&alone.decrypt(&envelope, &context()).unwrap()[..], b"note");
    }
    match EnvelopeCipher::new(keyrings[32].clone()).decrypt(&envelope, &context()) {
        Err(Error::NoMatchingKey { slots }) => {
            assert_eq!(slots, inspect(&envelope).unwrap().slots);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cipher_that_only_reads_does_not_write() {
    let keyring = keyring();
    let writer = EnvelopeCipher::new(keyring.clone());
    let reader = EnvelopeCipher::builder()
        .decrypt_with(keyring)
        .build()
        .unwrap();
    let envelope = writer.encrypt("note", &context()).unwrap();
    assert_eq!(&reader.decrypt(&envelope, &context()).unwrap()[..], b"note");
    let refused = [
        reader.encrypt("note", &context()).map(drop),
        reader
            .encrypt_in_place(b"note".to_vec(), &context())
            .map(drop),
        reader.encrypt_batch(&[("note", context())]).map(drop),
        reader.session(&Context::new()).map(drop),
        reader.encrypt_writer(Vec::new(), &context()).map(drop),
        reader
            .encrypt_writer_detached(Vec::new(), &context())
            .map(drop),
        reader.reencrypt(&envelope, &context()).map(drop),
    ];
    for refusal in refused {
        assert!(matches!(refusal, Err(Error::Misuse(_))));
    }
}

#[test]
fn one_key_or_two_passphrases_cannot_be_two_recipients() {
    let keyring = keyring();
    let twice = EnvelopeCipher::builder()
        .encrypt_for(keyring.clone())
        .encrypt_for(keyring)
        .build()
        .unwrap();
    assert!(matches!(
        twice.encrypt("note", &context()),
        Err(Error::Misuse(_))
    ));
    let two = EnvelopeCipher::builder()
        .encrypt_for(passphrase("one"))
        .encrypt_for(passphrase("two"))
        .build()
        .unwrap();
    assert!(matches!(
        two.encrypt("note", &context()),
        Err(Error::Misuse(_))
    ));
}

#[test]
fn several_providers_write_slots_in_their_order_and_each_reads_alone() {
    let (first, second) = (keyring(), keyring());
    let kms = ToyKms::default();
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(second.clone())
        .encrypt_for(passphrase("in the safe"))
        .encrypt_for(kms.clone())
        .encrypt_for(first.clone())
        .build()
        .unwrap();
    let envelope = cipher.encrypt("note", &context()).unwrap();
    let slots = inspect(&envelope).unwrap().slots;
    let schemes: Vec<_> = slots.iter().map(|slot| slot.scheme).collect();
    assert_eq!(schemes, [0x01, 0x02, 0xF0, 0x01]);
    assert_eq!(slots[0].key_id, second.active().unwrap().as_bytes());
    assert_eq!(slots[3].key_id, first.active().unwrap().as_bytes());
    let readers: [EnvelopeCipher; 4] = [
        first.into(),
        second.into(),
        passphrase("in the safe").into(),
        kms.into(),
    ];
    for reader in readers {
        assert_eq!(&reader.decrypt(&envelope, &context()).unwrap()[..], b"note");
    }
}

#[test]
fn read_with_opens_what_it_does_not_write() {
    let (old, new) = (keyring(), keyring());
    let envelope = EnvelopeCipher::new(old.clone())
        .encrypt("note", &context())
        .unwrap();
    let moving = EnvelopeCipher::builder()
        .encrypt_for(new.clone())
        .decrypt_with(old.clone())
        .build()
        .unwrap();
    assert_eq!(&moving.decrypt(&envelope, &context()).unwrap()[..], b"note");
    let fresh = moving.encrypt("new note", &context()).unwrap();
    assert!(matches!(
        EnvelopeCipher::new(old).decrypt(&fresh, &context()),
        Err(Error::NoMatchingKey { .. })
    ));
    // Moving to another keyring is a new envelope, or a recipient replaced; a rewrap adds none.
    assert_eq!(moving.rewrap(&envelope).unwrap(), envelope);
    assert!(matches!(
        moving.reencrypt(&envelope, &context()),
        Err(Error::Recipients(RecipientError::Dropped))
    ));
    let moved = moving
        .reencrypt_dropping_recipients(&envelope, &context())
        .unwrap();
    EnvelopeCipher::new(new)
        .decrypt(&moved, &context())
        .unwrap();
}

#[test]
fn a_slot_that_fails_is_passed_over_and_the_first_failure_is_reported() {
    let (first, second) = (keyring(), keyring());
    let both = EnvelopeCipher::builder()
        .encrypt_for(first.clone())
        .encrypt_for(second.clone())
        .build()
        .unwrap();
    let envelope = both.encrypt("note", &context()).unwrap();
    let ids = [first.active().unwrap(), second.active().unwrap()];
    first.rotate("next").unwrap();
    second.rotate("next").unwrap();
    first.suspend(ids[0]).unwrap();
    both.decrypt(&envelope, &context()).unwrap();
    second.mark_compromised(ids[1]).unwrap();
    assert!(matches!(
        both.decrypt(&envelope, &context()),
        Err(Error::KeyNotUsable { key_id, state: KeyState::Suspended }) if key_id == ids[0]
    ));
    assert!(matches!(
        EnvelopeCipher::new(second).decrypt(&envelope, &context()),
        Err(Error::KeyNotUsable { key_id, state: KeyState::Compromised }) if key_id == ids[1]
    ));
}

// ---- The cache.

/// A keyring that counts how often it is asked to unwrap.
#[derive(Clone)]
struct Counted {
    keyring: Keyring,
    asked: Arc<AtomicUsize>,
}

impl Counted {
    fn new() -> Self {
        Self {
            keyring: keyring(),
            asked: Arc::default(),
        }
    }

    fn cached(&self, entries: usize, age: Duration) -> EnvelopeCipher {
        EnvelopeCipher::builder()
            .encrypt_for(self.clone())
            .cache(entries, age)
            .build()
            .unwrap()
    }

    /// How often it was asked since the last call.
    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

impl KeyProvider for Counted {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.keyring.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey, Error> {
        self.keyring.wrap_key(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.keyring.unwrap_key(slot, context)
    }
}

#[test]
fn without_a_cache_every_envelope_asks_the_provider() {
    let counted = Counted::new();
    let cipher = EnvelopeCipher::new(counted.clone());
    let envelope = cipher.encrypt("note", &context()).unwrap();
    (0..5).for_each(|_| drop(cipher.decrypt(&envelope, &context()).unwrap()));
    assert_eq!(counted.asked(), 5);
}

#[test]
fn a_cached_data_key_asks_the_provider_once() {
    let counted = Counted::new();
    let cipher = counted.cached(10, HOUR);
    let envelope = cipher.encrypt("note", &context()).unwrap();
    for _ in 0..5 {
        assert_eq!(&cipher.decrypt(&envelope, &context()).unwrap()[..], b"note");
    }
    assert_eq!(counted.asked(), 1);
    // Clones share it; another cipher does not.
    cipher.clone().decrypt(&envelope, &context()).unwrap();
    assert_eq!(counted.asked(), 0);
    counted
        .cached(10, HOUR)
        .decrypt(&envelope, &context())
        .unwrap();
    assert_eq!(counted.asked(), 1);
    // A session's records share their data key, and a rotation does not forget it.
    let session = cipher.session(&Context::new()).unwrap();
    let rows: Vec<_> = (0..50)
        .map(|row| session.encrypt([row], &Context::new()).unwrap())
        .collect();
    counted.keyring.rotate("next").unwrap();
    rows.iter()
        .for_each(|row| drop(cipher.decrypt(row, &Context::new()).unwrap()));
    assert_eq!(counted.asked(), 1);
}

#[test]
fn a_hit_still_checks_labels_bindings_and_tags() {
    let counted = Counted::new();
    let cipher = counted.cached(10, HOUR);
    let envelope = cipher.encrypt("note", &context()).unwrap();
    cipher.decrypt(&envelope, &context()).unwrap();
    let other = Context::new().bind("patient", "MRN-0043").unwrap();
    assert!(matches!(
        cipher.decrypt(&envelope, &other),
        Err(Error::ContextMismatch(ContextMismatch::BindingsDiffer))
    ));
    let labels = Context::new()
        .label("tenant", "clinic-8")
        .unwrap()
        .bind("patient", "MRN-0042")
        .unwrap();
    assert!(matches!(
        cipher.decrypt(&envelope, &labels),
        Err(Error::ContextMismatch(ContextMismatch::LabelsDiffer))
    ));
    for at in 0..envelope.len() {
        let mut flipped = envelope.clone();
        flipped[at] ^= 1;
        assert!(cipher.decrypt(&flipped, &context()).is_err(), "byte {at}");
    }
}

#[test]
fn a_cache_keeps_no_more_entries_than_it_was_given() {
    let counted = Counted::new();
    let cipher = counted.cached(2, HOUR);
    let envelopes: Vec<_> = (0..3)
        .map(|_| cipher.encrypt("note", &context()).unwrap())
        .collect();
    let open = |number: usize| drop(cipher.decrypt(&envelopes[number], &context()).unwrap());
    (0..3).for_each(open);
    assert_eq!(counted.asked(), 3);
    open(1);
    open(2);
    assert_eq!(counted.asked(), 0);
    open(0);
    assert_eq!(counted.asked(), 1);
    open(2);
    assert_eq!(counted.asked(), 0);
    open(1);
    assert_eq!(counted.asked(), 1);
    let none = counted.cached(0, HOUR);
    (0..3).for_each(|_| drop(none.decrypt(&envelopes[0], &context()).unwrap()));
    assert_eq!(counted.asked(), 3);
}

#[test]
fn a_cache_keeps_no_key_for_longer_than_it_was_told() {
    let counted = Counted::new();
    let cipher = counted.cached(10, Duration::from_millis(30));
    let envelope = cipher.encrypt("note", &context()).unwrap();
    for _ in 0..3 {
        cipher.decrypt(&envelope, &context()).unwrap();
        assert_eq!(counted.asked(), 1);
        thread::sleep(Duration::from_millis(40));
    }
    let never = counted.cached(10, Duration::ZERO);
    (0..3).for_each(|_| drop(never.decrypt(&envelope, &context()).unwrap()));
    assert_eq!(counted.asked(), 3);
}

#[test]
fn a_key_that_may_no_longer_be_used_opens_nothing_although_it_was_cached() {
    let counted = Counted::new();
    let cipher = counted.cached(10, HOUR);
    let keyring = &counted.keyring;
    let key = keyring.active().unwrap();
    let envelope = cipher.encrypt("note", &context()).unwrap();
    keyring.rotate("next").unwrap();
    let other = cipher.encrypt("other", &context()).unwrap();
    let open = |envelope: &[u8]| cipher.decrypt(envelope, &context()).map(drop);
    let shut = |state| match open(&envelope) {
        Err(Error::KeyNotUsable {
            key_id,
            state: said,
        }) => (key_id, said) == (key, state),
        _ => false,
    };
    open(&envelope).unwrap();
    open(&other).unwrap();
    counted.asked();

    keyring.suspend(key).unwrap();
    open(&other).unwrap();
    assert_eq!(counted.asked(), 0);
    assert!(shut(KeyState::Suspended));
    counted.asked();
    // What other keys wrapped is still there.
    open(&other).unwrap();
    assert_eq!(counted.asked(), 0);

    keyring.resume(key).unwrap();
    open(&envelope).unwrap();
    open(&envelope).unwrap();
    assert_eq!(counted.asked(), 1);
    keyring.mark_compromised(key).unwrap();
    assert!(shut(KeyState::Compromised));
    keyring.destroy_without_evidence(key).unwrap();
    assert!(shut(KeyState::Destroyed));
}

#[test]
fn a_key_that_is_destroyed_right_after_it_was_cached_opens_nothing() {
    let counted = Counted::new();
    let cipher = counted.cached(10, HOUR);
    let envelope = cipher.encrypt("note", &context()).unwrap();
    cipher.decrypt(&envelope, &context()).unwrap();
    let key = counted.keyring.active().unwrap();
    counted.keyring.rotate("next").unwrap();
    counted.keyring.destroy_without_evidence(key).unwrap();
    assert!(matches!(
        cipher.decrypt(&envelope, &context()),
        Err(Error::KeyNotUsable {
            state: KeyState::Destroyed,
            ..
        })
    ));
}

#[test]
fn a_compromised_key_that_is_allowed_is_asked_every_time() {
    let counted = Counted::new();
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(counted.clone())
        .cache(10, HOUR)
        .allow_compromised()
        .build()
        .unwrap();
    let envelope = cipher.encrypt("note", &context()).unwrap();
    counted
        .keyring
        .mark_compromised(counted.keyring.active().unwrap())
        .unwrap();
    (0..3).for_each(|_| drop(cipher.decrypt(&envelope, &context()).unwrap()));
    assert_eq!(counted.asked(), 3);
}

#[test]
fn a_header_whose_tag_does_not_verify_never_fills_the_cache() {
    let counted = Counted::new();
    let cipher = counted.cached(10, HOUR);
    let envelope = cipher.encrypt("note", &context()).unwrap();
    let mut forged = envelope.clone();
    forged[inspect(&envelope).unwrap().header_len - 1] ^= 1;
    let refused = || {
        matches!(
            cipher.decrypt(&forged, &context()),
            Err(Error::AuthenticationFailed(AuthenticatedPart::Header))
        )
    };
    assert!(refused() && refused());
    assert_eq!(counted.asked(), 2);
    cipher.decrypt(&envelope, &context()).unwrap();
    assert_eq!(counted.asked(), 1);
    // Nor does it empty the cache.
    assert!(refused());
    cipher.decrypt(&envelope, &context()).unwrap();
    assert_eq!(counted.asked(), 0);
}

#[test]
fn a_cache_serves_many_threads() {
    let counted = Counted::new();
    let cipher = counted.cached(8, HOUR);
    let session = SessionLimits {
        records: 20,
        ..SessionLimits::default()
    };
    let session = cipher.session_within(&Context::new(), session).unwrap();
    let rows: Vec<_> = (0..400_u32)
        .map(|row| session.encrypt(row.to_be_bytes(), &Context::new()).unwrap())
        .collect();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for (number, row) in (0..400_u32).zip(&rows) {
                    let opened = cipher.decrypt(row, &Context::new()).unwrap();
                    assert_eq!(opened[..], number.to_be_bytes());
                }
            });
        }
    });
    assert!((20..=3200).contains(&counted.asked()));
}

// ---- Passphrases.

#[test]
fn a_passphrase_seals_and_opens_and_a_wrong_one_is_wrong() {
    let cipher = EnvelopeCipher::new(passphrase("correct horse"));
    let envelope = cipher.encrypt("note", &context()).unwrap();
    for _ in 0..2 {
        let reader = EnvelopeCipher::new(passphrase("correct horse"));
        assert_eq!(&reader.decrypt(&envelope, &context()).unwrap()[..], b"note");
    }
    for wrong in ["correct horsf", "correct horse ", "c", "Correct horse"] {
        let reader = EnvelopeCipher::new(passphrase(wrong));
        assert!(matches!(
            reader.decrypt(&envelope, &context()),
            Err(Error::WrongPassphrase)
        ));
    }
    // After a wrong slot, the right one opens still.
    let other = EnvelopeCipher::new(passphrase("other"))
        .encrypt("note", &context())
        .unwrap();
    assert!(matches!(
        cipher.decrypt(&other, &context()),
        Err(Error::WrongPassphrase)
    ));
    cipher.decrypt(&envelope, &context()).unwrap();
}

#[test]
fn an_empty_passphrase_is_refused_and_any_bytes_are_one() {
    assert!(matches!(
        Passphrase::new(""),
        Err(Error::Malformed(Malformed::EmptyPassphrase))
    ));
    let bytes = [0x00, 0xff, 0x80];
    let of = || {
        Passphrase::new(bytes)
            .unwrap()
            .with_costs(costs(8, 1, 1))
            .unwrap()
    };
    let envelope = EnvelopeCipher::new(of())
        .encrypt("note", &context())
        .unwrap();
    EnvelopeCipher::new(of())
        .decrypt(&envelope, &context())
        .unwrap();
}

#[test]
fn the_default_costs_are_rfc_9106s_second_recommendation() {
    assert_eq!(Argon2Costs::default(), costs(65_536, 3, 4));
    let cipher = EnvelopeCipher::new(Passphrase::new("correct horse").unwrap());
    let envelope = cipher.encrypt("note", &Context::new()).unwrap();
    let stated: Vec<_> = envelope[COSTS_AT..COSTS_AT + 12].to_vec();
    assert_eq!(stated, [65_536_u32, 3, 4].map(u32::to_be_bytes).concat());
    cipher.decrypt(&envelope, &Context::new()).unwrap();
}

/// Where the costs of a lone passphrase slot stand: after 34 bytes of a header without labels and bindings, and after the
/// slot's scheme, two lengths and a salt.
const COSTS_AT: usize = 34 + 1 + 2 + 16 + 2;

#[test]
fn costs_out_of_bounds_are_refused_in_writing_and_in_reading() {
    let envelope = EnvelopeCipher::new(passphrase("p"))
        .encrypt("note", &Context::new())
        .unwrap();
    let out_of_bounds =
        |result| matches!(result, Err(Error::Malformed(Malformed::PassphraseCosts)));
    let stating = |costs: Argon2Costs| {
        let mut forged = envelope.clone();
        let fields = [costs.memory_kib, costs.passes, costs.lanes]
            .map(u32::to_be_bytes)
            .concat();
        forged[COSTS_AT..COSTS_AT + 12].copy_from_slice(&fields);
        forged
    };
    for wrong in [
        costs(7, 1, 1),
        costs(15, 1, 2),
        costs(127, 1, 16),
        costs(136, 1, 17),
        costs(8, 1, 0),
        costs(8, 0, 1),
        costs(8, 17, 1),
        costs(1_048_577, 1, 1),
        costs(1_048_576, 5, 1),
        costs(262_145, 16, 1),
        costs(0, 0, 0),
        costs(u32::MAX, u32::MAX, u32::MAX),
    ] {
        let writer = Passphrase::new("p").unwrap().with_costs(wrong).map(drop);
        assert!(out_of_bounds(writer), "{wrong:?}");
        // Whoever reads refuses at parsing, whether it is his slot or not.
        assert!(
            out_of_bounds(inspect(&stating(wrong)).map(drop)),
            "{wrong:?}"
        );
        let reader = EnvelopeCipher::new(keyring()).decrypt(stating(wrong), &Context::new());
        assert!(out_of_bounds(reader.map(drop)), "{wrong:?}");
    }
    for right in [
        costs(8, 1, 1),
        costs(8, 16, 1),
        costs(128, 1, 16),
        costs(1_048_576, 1, 1),
        costs(65_536, 16, 1),
    ] {
        let granted = Passphrase::new("p").unwrap().with_max_memory_kib(1_048_576);
        granted.with_costs(right).unwrap();
        inspect(&stating(right)).unwrap();
    }
}

#[test]
fn a_passphrases_keys_are_kept_for_its_salt_and_costs_alone() {
    let cipher = EnvelopeCipher::new(passphrase("p"));
    let envelope = cipher.encrypt("note", &Context::new()).unwrap();
    let stated = [0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1];
    let at = envelope.windows(12).position(|at| at == stated).unwrap();
    let open = |envelope: &[u8]| cipher.decrypt(envelope, &Context::new());
    // Of the costs, and of the salt, which stands before the two bytes of a length.
    for (byte, change) in [(at + 7, 3), (at - 3, 1)] {
        assert_eq!(&open(&envelope).unwrap()[..], b"note");
        let mut changed = envelope.clone();
        changed[byte] ^= change;
        assert!(matches!(open(&changed), Err(Error::WrongPassphrase)));
    }
}

#[test]
fn labels_and_bindings_fill_their_limits_to_the_last_byte() {
    // Pairs of one key, by their values' lengths; each takes four bytes beside its value.
    let of = |lens: &[usize], bind: bool| {
        (b'a'..)
            .zip(lens)
            .try_fold(Context::new(), |context, (key, len)| {
                let (key, value) = (char::from(key).to_string(), "v".repeat(*len));
                if bind {
                    context.bind(key, value)
                } else {
                    context.label(key, value)
                }
            })
    };
    let with_last = |lens: &[usize], last| [lens, &[last]].concat();
    let labels = [256; 15]; // 15 · 260 = 3,900
    of(&with_last(&labels, 192), false).unwrap();
    assert!(matches!(
        of(&with_last(&labels, 193), false),
        Err(Error::LimitExceeded(Limit::Labels))
    ));
    let bindings = [4096, 4096, 4096]; // 3 · 4,100 = 12,300
    of(&with_last(&bindings, 4080), true).unwrap();
    assert!(matches!(
        of(&with_last(&bindings, 4081), true),
        Err(Error::LimitExceeded(Limit::Bindings))
    ));
}

#[test]
fn a_reader_grants_argon2_no_more_memory_than_he_said() {
    let writer = Passphrase::new("p")
        .unwrap()
        .with_costs(costs(64, 1, 1))
        .unwrap();
    let envelope = EnvelopeCipher::new(writer)
        .encrypt("note", &Context::new())
        .unwrap();
    let granting = |kib| EnvelopeCipher::new(passphrase("p").with_max_memory_kib(kib));
    let refused = |result| matches!(result, Err(Error::LimitExceeded(Limit::PassphraseMemory)));
    for kib in [0, 8, 63] {
        assert!(refused(
            granting(kib).decrypt(&envelope, &Context::new()).map(drop)
        ));
    }
    granting(64).decrypt(&envelope, &Context::new()).unwrap();
    // 256 MiB unless said: one KiB more is refused before any work.
    let mut forged = envelope;
    forged[COSTS_AT..COSTS_AT + 4].copy_from_slice(&262_145_u32.to_be_bytes());
    let default = EnvelopeCipher::new(passphrase("p"));
    assert!(refused(default.decrypt(&forged, &Context::new()).map(drop)));
}

// ---- A provider from outside.

const NAME: &str = "org.example.toy-kms";

/// A KMS as a stranger to this crate would write one: its keys never leave it, and it can be away.
#[derive(Clone)]
struct ToyKms(Arc<ToyKmsState>);

struct ToyKmsState {
    keys: Mutex<Vec<[u8; 32]>>,
    away: AtomicBool,
    forbidden: AtomicBool,
}

/// What such a KMS says.
#[derive(Debug, PartialEq)]
struct KmsError(&'static str);

impl fmt::Display for KmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for KmsError {}

impl Default for ToyKms {
    fn default() -> Self {
        let first = Mutex::new(vec![random_key()]);
        Self(Arc::new(ToyKmsState {
            keys: first,
            away: AtomicBool::new(false),
            forbidden: AtomicBool::new(false),
        }))
    }
}

fn random_key() -> [u8; 32] {
    use rand::TryRng as _;
    let mut key = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut key).unwrap();
    key
}

impl ToyKms {
    fn rotate(&self) {
        self.0.keys.lock().unwrap().push(random_key());
    }

    fn cipher(&self, version: usize) -> Option<Aes256Gcm> {
        let keys = self.0.keys.lock().unwrap();
        keys.get(version).map(|key| Aes256Gcm::new(key.into()))
    }

    fn latest(&self) -> usize {
        self.0.keys.lock().unwrap().len() - 1
    }

    fn answer(&self) -> Result<(), Error> {
        if self.0.away.load(Ordering::Relaxed) {
            return Err(Error::provider(true, KmsError("timed out")));
        }
        if self.0.forbidden.load(Ordering::Relaxed) {
            return Err(Error::provider(false, KmsError("access denied")));
        }
        Ok(())
    }
}

/// The version of a toy KMS's key that a slot names.
fn version(slot: &Slot<'_>) -> Option<usize> {
    match slot.external()? {
        (NAME, [version]) => Some(usize::from(*version)),
        _ => None,
    }
}

impl KeyProvider for ToyKms {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        match version(slot) {
            Some(version) if version == self.latest() => Recognition::Current,
            Some(version) if version < self.latest() => Recognition::Outdated,
            _ => Recognition::NotMine,
        }
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey, Error> {
        self.answer()?;
        let (iv, version) = (context.random::<12>()?, self.latest());
        let cipher = self.cipher(version).unwrap();
        let mut sealed = *key.as_bytes();
        let tag = cipher
            .encrypt_inout_detached((&iv).into(), context.aad(), sealed.as_mut_slice().into())
            .unwrap();
        let wrapped = [&iv[..], &sealed, &tag].concat();
        WrappedKey::external(NAME, &[u8::try_from(version).unwrap()], &wrapped)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey, Error> {
        self.answer()?;
        let failed = || Error::AuthenticationFailed(AuthenticatedPart::WrappedKey);
        let cipher = version(slot)
            .and_then(|version| self.cipher(version))
            .ok_or_else(failed)?;
        let (iv, rest) = slot
            .wrapped()
            .split_first_chunk::<12>()
            .ok_or_else(failed)?;
        let (sealed, tag) = rest.split_last_chunk::<16>().ok_or_else(failed)?;
        let mut key: [u8; 32] = sealed.try_into().map_err(|_| failed())?;
        cipher
            .decrypt_inout_detached(
                iv.into(),
                context.aad(),
                key.as_mut_slice().into(),
                tag.into(),
            )
            .map_err(|_| failed())?;
        Ok(DataKey::from_bytes_zeroizing(&mut key))
    }
}

#[test]
fn a_provider_from_outside_seals_opens_and_rewraps() {
    let kms = ToyKms::default();
    let cipher = EnvelopeCipher::new(kms.clone());
    let envelope = cipher.encrypt("note", &context()).unwrap();
    let slots = inspect(&envelope).unwrap().slots;
    assert_eq!((slots.len(), slots[0].scheme), (1, 0xF0));
    assert_eq!(slots[0].key_id, [&[19], NAME.as_bytes(), &[0]].concat());
    assert_eq!(&cipher.decrypt(&envelope, &context()).unwrap()[..], b"note");
    assert_eq!(cipher.rewrap(&envelope).unwrap(), envelope);

    kms.rotate();
    let moved = cipher.rewrap(&envelope).unwrap();
    assert_eq!(inspect(&moved).unwrap().slots[0].key_id.last(), Some(&1));
    let payload = inspect(&envelope).unwrap().header_len;
    assert_eq!(moved[payload..], envelope[payload..]);
    for envelope in [&envelope, &moved] {
        assert_eq!(&cipher.decrypt(envelope, &context()).unwrap()[..], b"note");
    }
    // Another KMS of the same kind holds other keys.
    let other = EnvelopeCipher::new(ToyKms::default());
    assert!(matches!(
        other.decrypt(&envelope, &context()),
        Err(Error::AuthenticationFailed(AuthenticatedPart::WrappedKey))
    ));
    let keyring = EnvelopeCipher::new(keyring());
    assert!(matches!(
        keyring.decrypt(&envelope, &context()),
        Err(Error::NoMatchingKey { .. })
    ));
}

#[test]
fn a_provider_from_outside_serves_streams_and_sessions() {
    use std::io::{Read as _, Write as _};
    let cipher = EnvelopeCipher::new(ToyKms::default());
    let mut writer = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
    writer.write_all(&sample(200_000)).unwrap();
    let stream = writer.finish().unwrap();
    let mut opened = Vec::new();
    cipher
        .decrypt_reader(&stream[..], &context())
        .unwrap()
        .read_to_end(&mut opened)
        .unwrap();
    assert!(opened == sample(200_000));
    let session = cipher.session(&Context::new()).unwrap();
    let row = session.encrypt("row", &Context::new()).unwrap();
    assert_eq!(&cipher.decrypt(&row, &Context::new()).unwrap()[..], b"row");
}

#[test]
fn a_slot_moved_to_an_envelope_of_other_labels_does_not_unwrap() {
    let cipher = EnvelopeCipher::new(ToyKms::default());
    let envelope = cipher.encrypt("note", &context()).unwrap();
    let mut relabelled = envelope.clone();
    let at = envelope
        .windows(8)
        .position(|window| window == b"clinic-7")
        .unwrap();
    relabelled[at + 7] = b'8';
    let context = Context::new().bind("patient", "MRN-0042").unwrap();
    assert!(matches!(
        cipher.decrypt(&relabelled, &context),
        Err(Error::AuthenticationFailed(AuthenticatedPart::WrappedKey))
    ));
}

#[test]
fn a_provider_that_fails_says_whether_to_try_again() {
    let kms = ToyKms::default();
    let cipher = EnvelopeCipher::new(kms.clone());
    let envelope = cipher.encrypt("note", &context()).unwrap();
    let said = |error| match error {
        Error::Provider { retryable, source } => {
            let said = source.downcast_ref::<KmsError>().unwrap().0;
            (retryable, said)
        }
        other => panic!("{other:?}"),
    };
    for (switch, expected) in [
        (&kms.0.away, (true, "timed out")),
        (&kms.0.forbidden, (false, "access denied")),
    ] {
        switch.store(true, Ordering::Relaxed);
        let errors = [
            cipher.encrypt("note", &context()).map(drop),
            cipher.encrypt_batch(&[("note", context())]).map(drop),
            cipher.encrypt_writer(Vec::new(), &context()).map(drop),
            cipher.session(&Context::new()).map(drop),
            cipher.decrypt(&envelope, &context()).map(drop),
            cipher
                .decrypt_in_place(envelope.clone(), &context())
                .map(drop),
            cipher
                .decrypt_batch(&[(&envelope, context())])
                .remove(0)
                .map(drop),
            cipher.rewrap(&envelope).map(drop),
        ];
        for error in errors {
            let error = error.unwrap_err();
            assert!(error.to_string().contains(expected.1));
            assert_eq!(said(error), expected);
        }
        switch.store(false, Ordering::Relaxed);
        cipher.decrypt(&envelope, &context()).unwrap();
    }
}

#[test]
fn while_a_provider_is_away_another_recipient_opens() {
    let (kms, keyring) = (ToyKms::default(), keyring());
    let both = EnvelopeCipher::builder()
        .encrypt_for(kms.clone())
        .encrypt_for(keyring)
        .build()
        .unwrap();
    let envelope = both.encrypt("note", &context()).unwrap();
    kms.0.away.store(true, Ordering::Relaxed);
    assert_eq!(&both.decrypt(&envelope, &context()).unwrap()[..], b"note");
    // What is written is for all of them, or not written.
    assert!(matches!(
        both.encrypt("note", &context()),
        Err(Error::Provider { .. })
    ));
    assert!(matches!(
        EnvelopeCipher::new(kms).decrypt(&envelope, &context()),
        Err(Error::Provider {
            retryable: true,
            ..
        })
    ));
}

/// Notes what it is told of an envelope, and gives back whatever key it likes.
struct Noting(Arc<Mutex<Vec<String>>>, Option<[u8; 32]>);

impl Noting {
    fn note<'a>(
        &self,
        id: &[u8; 16],
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        aad: &[u8],
    ) {
        let labels: Vec<_> = labels
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let note = format!("{id:?} {} {aad:?}", labels.join(","));
        self.0.lock().unwrap().push(note);
    }
}

impl KeyProvider for Noting {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        match slot.external() {
            Some(("org.example.noting", _)) => Recognition::Current,
            _ => Recognition::NotMine,
        }
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey, Error> {
        self.note(context.data_key_id(), context.labels(), context.aad());
        WrappedKey::external("org.example.noting", b"id", key.as_bytes())
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey, Error> {
        self.note(context.data_key_id(), context.labels(), context.aad());
        let kept = slot.wrapped().try_into().unwrap();
        Ok(DataKey::from_bytes_zeroizing(&mut self.1.unwrap_or(kept)))
    }
}

#[test]
fn a_provider_is_told_the_same_of_an_envelope_when_it_wraps_and_when_it_unwraps() {
    let notes = Arc::default();
    let cipher = EnvelopeCipher::new(Noting(Arc::clone(&notes), None));
    let labels = context().label("a", "first").unwrap();
    let envelope = cipher.encrypt("note", &labels).unwrap();
    cipher.decrypt(&envelope, &labels).unwrap();
    let notes = notes.lock().unwrap();
    assert_eq!((notes.len(), &notes[0]), (2, &notes[1]));
    assert!(notes[0].contains("a=first,tenant=clinic-7"), "{}", notes[0]);
    assert!(notes[0].starts_with(&format!("{:?}", inspect(&envelope).unwrap().data_key_id)));
    assert!(
        !notes[0].contains("MRN"),
        "bindings are nobody's but the reader's"
    );
}

#[test]
fn a_provider_that_gives_a_wrong_key_is_found_out() {
    let honest = EnvelopeCipher::new(Noting(Arc::default(), None));
    let envelope = honest.encrypt("note", &context()).unwrap();
    let wrong = EnvelopeCipher::new(Noting(Arc::default(), Some([0; 32])));
    assert!(matches!(
        wrong.decrypt(&envelope, &context()),
        Err(Error::AuthenticationFailed(AuthenticatedPart::Header))
    ));
    let both = EnvelopeCipher::builder()
        .decrypt_with(Noting(Arc::default(), Some([0; 32])))
        .decrypt_with(Noting(Arc::default(), None))
        .build()
        .unwrap();
    assert_eq!(&both.decrypt(&envelope, &context()).unwrap()[..], b"note");
}

#[test]
fn an_external_slot_has_a_name_an_id_and_a_length() {
    let of = |name: &str, id: &[u8], wrapped: &[u8]| WrappedKey::external(name, id, wrapped);
    let too_long = |result| matches!(result, Err(Error::LimitExceeded(Limit::Slot)));
    assert!(too_long(of("", b"id", b"wrapped")));
    assert!(too_long(of(NAME, b"", b"wrapped")));
    assert!(too_long(of(NAME, b"id", b"")));
    assert!(too_long(of(NAME, b"id", &[0; 4097])));
    assert!(too_long(of(&"n".repeat(256), b"id", b"wrapped")));
    assert!(too_long(of(&"n".repeat(255), &[0; 257], b"wrapped")));
    assert!(matches!(
        of("org.exämple", b"id", b"wrapped"),
        Err(Error::Misuse(_))
    ));
    let longest = of(&"n".repeat(255), &[7; 256], &[9; 4096]).unwrap();
    let slot = longest.as_slot().unwrap();
    assert_eq!(
        slot.external(),
        Some(("n".repeat(255).as_str(), &[7; 256][..]))
    );
    assert_eq!((slot.scheme(), slot.wrapped()), (0xF0, &[9; 4096][..]));
    assert_eq!(slot.key_id().len(), 512);
}

#[test]
fn a_provider_behind_an_arc_is_a_provider() {
    let shared: Arc<dyn KeyProvider> = Arc::new(ToyKms::default());
    let cipher = EnvelopeCipher::new(Arc::clone(&shared));
    let envelope = cipher.encrypt("note", &context()).unwrap();
    EnvelopeCipher::new(shared)
        .decrypt(&envelope, &context())
        .unwrap();
}
