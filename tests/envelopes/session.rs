//! Sessions: how long a data key lives, who may share it, and what stays of each record alone.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use phi_envelope::{
    Context, EnvelopeCipher, Error, KeyProvider, Keyring, Session, SessionLimits,
    error::{ContextMismatch, Limit},
    inspect,
    keys::{DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};

fn keyring() -> Keyring {
    Keyring::generate("ehr-2026").unwrap()
}

fn cipher() -> EnvelopeCipher {
    EnvelopeCipher::new(keyring())
}

fn no_context() -> Context {
    Context::new()
}

fn patient(number: usize) -> Context {
    Context::new()
        .bind("patient", format!("MRN-{number}"))
        .unwrap()
}

fn limits() -> SessionLimits {
    SessionLimits::default()
}

fn data_key_id(envelope: &[u8]) -> [u8; 16] {
    inspect(envelope).unwrap().data_key_id
}

/// The data key of each of the records, which are as long as `lengths` says, numbered as they first appear.
fn data_keys(session: &Session, lengths: &[usize]) -> Vec<usize> {
    let mut met = HashMap::new();
    let mut number = |len: &usize| {
        let envelope = session.encrypt(vec![7; *len], &no_context()).unwrap();
        let next = met.len();
        *met.entry(data_key_id(&envelope)).or_insert(next)
    };
    lengths.iter().map(&mut number).collect()
}

#[test]
fn a_session_and_its_records_can_cross_threads() {
    fn can_cross<T: Send + Sync + 'static>() {}
    can_cross::<Session>();
    can_cross::<SessionLimits>();
}

#[test]
fn records_of_a_session_share_a_data_key_and_differ_in_their_message_ids() {
    let cipher = cipher();
    let session = cipher.session(&no_context()).unwrap();
    let envelopes: Vec<_> = (0..100)
        .map(|number| {
            session
                .encrypt(format!("note {number}"), &patient(number))
                .unwrap()
        })
        .collect();
    let inspections: Vec<_> = envelopes
        .iter()
        .map(|envelope| inspect(envelope).unwrap())
        .collect();
    let keys: HashSet<_> = inspections.iter().map(|one| one.data_key_id).collect();
    let messages: HashSet<_> = inspections
        .iter()
        .map(|one| one.message_id.unwrap())
        .collect();
    assert_eq!((keys.len(), messages.len()), (1, 100));
    for (number, envelope) in envelopes.iter().enumerate() {
        let opened = cipher.decrypt(envelope, &patient(number)).unwrap();
        assert_eq!(&opened[..], format!("note {number}").as_bytes());
    }
}

#[test]
fn a_data_key_serves_as_many_messages_as_the_limit_says() {
    let within = |messages| SessionLimits {
        records: messages,
        ..limits()
    };
    let session = cipher().session_within(&no_context(), within(3)).unwrap();
    assert_eq!(data_keys(&session, &[1; 8]), [0, 0, 0, 1, 1, 1, 2, 2]);
    let session = cipher().session_within(&no_context(), within(1)).unwrap();
    assert_eq!(data_keys(&session, &[0; 3]), [0, 1, 2]);
}

#[test]
fn a_limit_of_no_message_or_of_more_than_2_pow_32_is_refused() {
    let within = |messages| {
        cipher().session_within(
            &no_context(),
            SessionLimits {
                records: messages,
                ..limits()
            },
        )
    };
    for messages in [0, (1 << 32) + 1, u64::MAX] {
        assert!(matches!(
            within(messages),
            Err(Error::LimitExceeded(Limit::Messages))
        ));
    }
    within(1).unwrap();
    within(1 << 32).unwrap();
}

#[test]
fn a_data_key_serves_as_many_bytes_as_the_limit_says() {
    let session =
        |bytes| cipher().session_within(&no_context(), SessionLimits { bytes, ..limits() });
    let ten = || session(10).unwrap();
    assert_eq!(data_keys(&ten(), &[4, 4, 2, 1, 9, 1]), [0, 0, 0, 1, 1, 2]);
    assert_eq!(data_keys(&ten(), &[10, 10, 10]), [0, 1, 2]);
    assert_eq!(data_keys(&ten(), &[6, 6]), [0, 1]);
    // Empty records take no room.
    assert_eq!(data_keys(&ten(), &[10, 0, 0, 1]), [0, 0, 0, 1]);
    // With no room at all, every record that is not empty has a data key of its own.
    assert_eq!(data_keys(&session(0).unwrap(), &[1, 1, 1]), [0, 1, 2]);
}

#[test]
fn a_record_longer_than_the_limit_has_a_data_key_of_its_own() {
    let limits = SessionLimits {
        bytes: 10,
        ..limits()
    };
    let cipher = cipher();
    let session = cipher.session_within(&no_context(), limits).unwrap();
    assert_eq!(
        data_keys(&session, &[1, 11, 1, 1, 500, 500, 1]),
        [0, 1, 2, 2, 3, 4, 5]
    );
    let long = session.encrypt([9; 100], &no_context()).unwrap();
    assert_eq!(cipher.decrypt(&long, &no_context()).unwrap()[..], [9; 100]);
}

#[test]
fn a_data_key_serves_until_its_age() {
    let within = |age| {
        cipher()
            .session_within(&no_context(), SessionLimits { age, ..limits() })
            .unwrap()
    };
    let session = within(Duration::from_millis(30));
    let first = data_keys_after(&session, Duration::ZERO);
    let second = data_keys_after(&session, Duration::from_millis(40));
    let third = data_keys_after(&session, Duration::from_millis(40));
    assert!(first != second && second != third);
    assert_eq!(
        data_keys(&within(Duration::from_secs(3600)), &[1; 4]),
        [0; 4]
    );
    assert_eq!(data_keys(&within(Duration::ZERO), &[1; 4]), [0, 1, 2, 3]);
    assert_eq!(data_keys(&within(Duration::MAX), &[1; 4]), [0; 4]);
}

fn data_keys_after(session: &Session, pause: Duration) -> [u8; 16] {
    thread::sleep(pause);
    data_key_id(&session.encrypt("note", &no_context()).unwrap())
}

#[test]
fn a_rotated_keyring_ends_the_data_key() {
    let keyring = keyring();
    let cipher = EnvelopeCipher::new(keyring.clone());
    let session = cipher.session(&no_context()).unwrap();
    let seal = || session.encrypt("note", &no_context()).unwrap();
    let old = seal();
    assert_eq!(data_key_id(&seal()), data_key_id(&old));
    let active = keyring.rotate("ehr-2027").unwrap();
    let new = seal();
    assert_ne!(data_key_id(&new), data_key_id(&old));
    assert_eq!(inspect(&new).unwrap().slots[0].key_id, active.as_bytes());
    assert_eq!(data_key_id(&seal()), data_key_id(&new));
    for envelope in [&old, &new] {
        assert_eq!(
            &cipher.decrypt(envelope, &no_context()).unwrap()[..],
            b"note"
        );
    }
}

#[test]
fn a_rotation_of_any_recipient_ends_the_data_key() {
    let (first, second) = (keyring(), keyring());
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(first.clone())
        .encrypt_for(second.clone())
        .build()
        .unwrap();
    let session = cipher.session(&no_context()).unwrap();
    let seal = || session.encrypt("note", &no_context()).unwrap();
    let before = seal();
    second.rotate("next").unwrap();
    let after = seal();
    assert_ne!(data_key_id(&before), data_key_id(&after));
    for keyring in [first, second] {
        let alone = EnvelopeCipher::new(keyring);
        for envelope in [&before, &after] {
            alone.decrypt(envelope, &no_context()).unwrap();
        }
    }
}

#[test]
fn a_compromised_key_ends_the_data_key_and_its_records_stay_shut() {
    let keyring = keyring();
    let cipher = EnvelopeCipher::new(keyring.clone());
    let session = cipher.session(&no_context()).unwrap();
    let seal = || session.encrypt("note", &no_context()).unwrap();
    let leaked = keyring.active().unwrap();
    let old = seal();
    keyring.mark_compromised(leaked).unwrap();
    let new = seal();
    assert_ne!(data_key_id(&old), data_key_id(&new));
    assert_ne!(inspect(&new).unwrap().slots[0].key_id, leaked.as_bytes());
    assert!(matches!(
        cipher.decrypt(&old, &no_context()),
        Err(Error::KeyNotUsable { key_id, .. }) if key_id == leaked
    ));
    cipher.decrypt(&new, &no_context()).unwrap();
}

#[test]
fn a_suspended_key_shuts_the_records_of_its_time_and_leaves_the_session_alone() {
    let keyring = keyring();
    let cipher = EnvelopeCipher::new(keyring.clone());
    let session = cipher.session(&no_context()).unwrap();
    let seal = || session.encrypt("note", &no_context()).unwrap();
    let (key, old) = (keyring.active().unwrap(), seal());
    keyring.rotate("next").unwrap();
    let new = seal();
    keyring.suspend(key).unwrap();
    assert!(matches!(
        cipher.decrypt(&old, &no_context()),
        Err(Error::KeyNotUsable { .. })
    ));
    assert_eq!(data_key_id(&seal()), data_key_id(&new));
    cipher.decrypt(&new, &no_context()).unwrap();
    keyring.resume(key).unwrap();
    cipher.decrypt(&old, &no_context()).unwrap();
}

/// A keyring that wraps nothing for as long as it is away.
struct Away(Keyring, Arc<AtomicBool>);

impl KeyProvider for Away {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.0.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey, Error> {
        if self.1.load(Ordering::Relaxed) {
            return Err(Error::provider(true, "away"));
        }
        self.0.wrap_key(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey, Error> {
        self.0.unwrap_key(slot, context)
    }
}

#[test]
fn a_provider_that_is_away_is_needed_only_when_a_new_data_key_is_due() {
    let (keyring, away) = (keyring(), Arc::new(AtomicBool::new(false)));
    let cipher = EnvelopeCipher::new(Away(keyring.clone(), Arc::clone(&away)));
    let session = cipher.session(&no_context()).unwrap();
    away.store(true, Ordering::Relaxed);
    let retryable = |error| {
        matches!(
            error,
            Error::Provider {
                retryable: true,
                ..
            }
        )
    };
    assert!(retryable(cipher.session(&no_context()).unwrap_err()));
    let first = session.encrypt("note", &no_context()).unwrap();
    keyring.rotate("next").unwrap();
    // Nothing goes on under the old data key.
    for _ in 0..3 {
        assert!(retryable(
            session.encrypt("note", &no_context()).unwrap_err()
        ));
    }
    away.store(false, Ordering::Relaxed);
    let second = session.encrypt("note", &no_context()).unwrap();
    assert_ne!(data_key_id(&first), data_key_id(&second));
}

#[test]
fn the_labels_are_those_of_the_session() {
    let cipher = cipher();
    let labels = Context::new()
        .label("table", "notes")
        .unwrap()
        .label("tenant", "clinic-7")
        .unwrap();
    let session = cipher.session(&labels).unwrap();
    // None, or all of them, in whatever order.
    let same = Context::new()
        .label("tenant", "clinic-7")
        .unwrap()
        .label("table", "notes")
        .unwrap();
    for context in [no_context(), labels.clone(), same.clone()] {
        let envelope = session.encrypt("note", &context).unwrap();
        let stated = inspect(&envelope).unwrap().labels;
        let stated: Vec<_> = stated
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(stated, [("table", "notes"), ("tenant", "clinic-7")]);
        cipher.decrypt(&envelope, &same).unwrap();
        let wrong = Context::new().label("table", "labs").unwrap();
        assert!(matches!(
            cipher.decrypt(&envelope, &wrong),
            Err(Error::ContextMismatch(ContextMismatch::LabelsDiffer))
        ));
    }
    for other in [
        Context::new().label("table", "notes").unwrap(),
        Context::new()
            .label("table", "labs")
            .unwrap()
            .label("tenant", "clinic-7")
            .unwrap(),
        labels.clone().label("more", "than that").unwrap(),
    ] {
        assert!(matches!(
            session.encrypt("note", &other),
            Err(Error::ContextMismatch(ContextMismatch::LabelsDiffer))
        ));
    }
    let unlabelled = cipher.session(&no_context()).unwrap();
    assert!(matches!(
        unlabelled.encrypt("note", &labels),
        Err(Error::ContextMismatch(ContextMismatch::LabelsDiffer))
    ));
}

#[test]
fn a_session_has_no_bindings_of_its_own() {
    assert!(matches!(
        cipher().session(&patient(1)),
        Err(Error::Misuse(_))
    ));
}

#[test]
fn bindings_are_a_records_own_and_must_be_presented_again() {
    let cipher = cipher();
    let session = cipher.session(&no_context()).unwrap();
    let (mine, theirs) = (patient(1), patient(2));
    let sealed = session.encrypt("note", &mine).unwrap();
    let open = cipher
        .session(&no_context())
        .unwrap()
        .encrypt("note", &no_context())
        .unwrap();
    let mismatch = |envelope: &[u8], context: &Context| match cipher.decrypt(envelope, context) {
        Err(Error::ContextMismatch(mismatch)) => Some(mismatch),
        Ok(_) => None,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(mismatch(&sealed, &mine), None);
    assert_eq!(
        mismatch(&sealed, &theirs),
        Some(ContextMismatch::BindingsDiffer)
    );
    assert_eq!(
        mismatch(&sealed, &no_context()),
        Some(ContextMismatch::BindingsMissing)
    );
    assert_eq!(mismatch(&open, &no_context()), None);
    assert_eq!(
        mismatch(&open, &mine),
        Some(ContextMismatch::BindingsUnexpected)
    );
}

#[test]
fn records_of_one_session_cannot_be_mixed() {
    let cipher = cipher();
    let session = cipher.session(&no_context()).unwrap();
    let [left, right] = ["left", "rite"].map(|text| session.encrypt(text, &patient(1)).unwrap());
    let header = inspect(&left).unwrap().header_len;
    let mixed = [&left[..header], &right[header..]].concat();
    assert!(matches!(
        cipher.decrypt(&mixed, &patient(1)),
        Err(Error::AuthenticationFailed(_))
    ));
    // A message id from the other record is noticed too.
    let mut renamed = left.clone();
    renamed[32..48].copy_from_slice(&right[32..48]);
    assert!(matches!(
        cipher.decrypt(&renamed, &patient(1)),
        Err(Error::AuthenticationFailed(_))
    ));
}

#[test]
fn a_batch_comes_in_the_order_of_its_records_and_keeps_the_limits() {
    let cipher = cipher();
    let limits = SessionLimits {
        records: 64,
        ..limits()
    };
    let session = cipher.session_within(&no_context(), limits).unwrap();
    let records: Vec<_> = (0..1000)
        .map(|number| (format!("note {number}"), patient(number)))
        .collect();
    let envelopes = session.encrypt_batch(&records).unwrap();
    assert_eq!(envelopes.len(), records.len());
    let mut served = HashMap::new();
    for (envelope, (note, context)) in envelopes.iter().zip(&records) {
        assert_eq!(
            &cipher.decrypt(envelope, context).unwrap()[..],
            note.as_bytes()
        );
        *served.entry(data_key_id(envelope)).or_insert(0) += 1;
    }
    assert!(served.values().all(|count| *count <= 64));
    assert!(
        session
            .encrypt_batch(&[] as &[(&str, Context)])
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_batch_looks_at_the_providers_when_it_begins() {
    struct Asked(Keyring, Arc<AtomicUsize>);
    impl KeyProvider for Asked {
        fn recognize(&self, slot: &Slot<'_>) -> Recognition {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.recognize(slot)
        }
        fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey, Error> {
            self.0.wrap_key(key, context)
        }
        fn unwrap_key(
            &self,
            slot: &Slot<'_>,
            context: &UnwrapRequest<'_>,
        ) -> Result<DataKey, Error> {
            self.0.unwrap_key(slot, context)
        }
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let cipher = EnvelopeCipher::new(Asked(keyring(), Arc::clone(&asked)));
    let session = cipher.session(&no_context()).unwrap();
    let before = asked.load(Ordering::Relaxed);
    session
        .encrypt_batch(&vec![("note", no_context()); 100])
        .unwrap();
    assert_eq!(asked.load(Ordering::Relaxed) - before, 1);
    session.encrypt("note", &no_context()).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed) - before, 2);
}

#[test]
fn a_batch_with_a_record_of_other_labels_fails() {
    let session = cipher().session(&no_context()).unwrap();
    let other = Context::new().label("table", "labs").unwrap();
    let records = [
        ("one", &no_context()),
        ("two", &other),
        ("three", &no_context()),
    ];
    assert!(matches!(
        session.encrypt_batch(&records),
        Err(Error::ContextMismatch(ContextMismatch::LabelsDiffer))
    ));
}

#[test]
fn sixteen_threads_keep_every_limit_while_the_keyring_rotates() {
    const THREADS: usize = 16;
    const RECORDS: usize = 300;
    let keyring = keyring();
    let cipher = EnvelopeCipher::new(keyring.clone());
    let limits = SessionLimits {
        records: 7,
        bytes: 50,
        ..limits()
    };
    let session = cipher.session_within(&no_context(), limits).unwrap();
    let together = Barrier::new(THREADS + 1);
    let sealed: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (session, together) = (&session, &together);
                scope.spawn(move || {
                    together.wait();
                    let seal = |number: usize| {
                        let number = thread * RECORDS + number;
                        let note = format!("note {number:04}");
                        (
                            session.encrypt(&note, &patient(number)).unwrap(),
                            note,
                            patient(number),
                        )
                    };
                    (0..RECORDS).map(seal).collect::<Vec<_>>()
                })
            })
            .collect();
        together.wait();
        for _ in 0..20 {
            keyring.rotate("more").unwrap();
            thread::sleep(Duration::from_micros(300));
        }
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let (mut served, mut messages) = (HashMap::new(), HashSet::new());
    for (envelope, note, context) in &sealed {
        assert_eq!(
            &cipher.decrypt(envelope, context).unwrap()[..],
            note.as_bytes()
        );
        let inspection = inspect(envelope).unwrap();
        assert!(messages.insert(inspection.message_id.unwrap()));
        let (count, bytes) = served.entry(inspection.data_key_id).or_insert((0, 0));
        *count += 1;
        *bytes += note.len();
    }
    assert_eq!(sealed.len(), THREADS * RECORDS);
    // Nine bytes a record: five fill the fifty, seven would be too many.
    for (count, bytes) in served.values() {
        assert!(
            *count <= 7 && *bytes <= 50,
            "{count} records, {bytes} bytes"
        );
    }
}

#[test]
fn debug_shows_labels_and_limits_alone() {
    let labels = Context::new().label("table", "notes").unwrap();
    let session = cipher().session(&labels).unwrap();
    let shown = format!("{session:?}");
    assert!(
        shown.starts_with("Session { labels: ") && shown.contains("notes"),
        "{shown}"
    );
    assert!(shown.ends_with(".. }") && shown.len() < 250, "{shown}");
}

/// Wraps with a keyring and never calls a slot current, as a provider may that only wraps or that learns late.
struct Cautious(Keyring);

impl phi_envelope::KeyProvider for Cautious {
    fn recognize(&self, slot: &phi_envelope::keys::Slot<'_>) -> phi_envelope::keys::Recognition {
        match self.0.recognize(slot) {
            phi_envelope::keys::Recognition::Current => phi_envelope::keys::Recognition::Outdated,
            other => other,
        }
    }

    fn wrap_key(
        &self,
        key: &phi_envelope::keys::DataKey,
        context: &phi_envelope::keys::WrapRequest<'_>,
    ) -> phi_envelope::Result<phi_envelope::keys::WrappedKey> {
        self.0.wrap_key(key, context)
    }

    fn unwrap_key(
        &self,
        slot: &phi_envelope::keys::Slot<'_>,
        context: &phi_envelope::keys::UnwrapRequest<'_>,
    ) -> phi_envelope::Result<phi_envelope::keys::DataKey> {
        self.0.unwrap_key(slot, context)
    }
}

#[test]
fn a_provider_that_never_calls_its_slot_current_gets_a_data_key_for_each_record() {
    let cipher = EnvelopeCipher::new(Cautious(Keyring::generate("test").unwrap()));
    let session = cipher.session(&Context::new()).unwrap();
    let ids: std::collections::BTreeSet<_> = (0..10)
        .map(|_| session.encrypt("note", &Context::new()).unwrap())
        .map(|envelope| phi_envelope::inspect(&envelope).unwrap().data_key_id)
        .collect();
    assert_eq!(ids.len(), 10);
}
