//! Threads that seal and open while the keys change under them.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use phi_envelope::{
    Context, EnvelopeCipher, Error, KeyId, Keyring, Session, SessionLimits, inspect, keys::KeyState,
};

use super::{LONG, SHORT, Shift, THREADS};

/// Records and bytes under one data key of the session.
const LIMITS: SessionLimits = SessionLimits {
    records: 100,
    bytes: 4_000,
    age: Duration::from_millis(200),
};
/// Keys that change their states; those before them are destroyed.
const KEPT: usize = 8;

#[test]
fn sixteen_threads_obey_the_states_of_keys_at_once() {
    all_at_once(SHORT);
}

#[test]
#[ignore = "takes a minute"]
fn sixteen_threads_obey_the_states_of_keys_for_a_minute() {
    all_at_once(LONG);
}

/// An envelope under a key, and that key's state.
#[derive(Clone)]
struct Sealed {
    key: KeyId,
    state: KeyState,
    number: u64,
    envelope: Vec<u8>,
}

/// What the keyring should be like. The version is odd while it is being changed: what was seen under one and the same even version
/// before and after an operation was so all the time.
struct Expected {
    version: AtomicU64,
    sealed: Mutex<Vec<Sealed>>,
}

struct Shop {
    keyring: Keyring,
    /// With a cache, which must not outlive a key's leave.
    cipher: EnvelopeCipher,
    brave: EnvelopeCipher,
    session: Session,
    expected: Expected,
    shift: Shift,
    decided: AtomicU64,
    changes: AtomicU64,
}

/// What the threads made in the session: data key id, message id, bytes of plaintext.
type Made = Vec<([u8; 16], [u8; 16], u64)>;

fn all_at_once(time: Duration) {
    let keyring = Keyring::generate("first").unwrap();
    let cached = || EnvelopeCipher::builder().cache(64, Duration::from_secs(3600));
    let cipher = cached().encrypt_for(keyring.clone()).build().unwrap();
    let brave = cached().encrypt_for(keyring.clone()).allow_compromised();
    let first = seal(&cipher, keyring.active().unwrap(), 0);
    let shop = Shop {
        session: cipher.session_within(&Context::new(), LIMITS).unwrap(),
        brave: brave.build().unwrap(),
        cipher,
        keyring,
        expected: Expected {
            version: AtomicU64::new(0),
            sealed: Mutex::new(vec![first]),
        },
        shift: Shift::of(time),
        decided: AtomicU64::new(0),
        changes: AtomicU64::new(0),
    };
    let made: Vec<Made> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS - 1)
            .map(|worker| {
                let shop = &shop;
                scope.spawn(move || shop.work(worker as u64))
            })
            .collect();
        shop.change_keys();
        let join = |worker: thread::ScopedJoinHandle<'_, Made>| worker.join().unwrap();
        workers.into_iter().map(join).collect()
    });
    check_session(&made.concat());
    let [decided, changes] = [&shop.decided, &shop.changes].map(|n| n.load(Ordering::Relaxed));
    println!(
        "{} operations, {changes} changes of keys, {decided} answers between two changes",
        shop.shift.done()
    );
    assert!(changes > 50 && decided > 1_000, "{changes}, {decided}");
}

fn bindings(number: u64) -> Context {
    Context::new().bind("record", number.to_string()).unwrap()
}

fn text(number: u64) -> Vec<u8> {
    let len = usize::try_from(number % 97).unwrap();
    format!("note {number} ")
        .into_bytes()
        .into_iter()
        .cycle()
        .take(len)
        .collect()
}

fn seal(cipher: &EnvelopeCipher, key: KeyId, number: u64) -> Sealed {
    Sealed {
        key,
        state: KeyState::Active,
        number,
        envelope: cipher.encrypt(text(number), &bindings(number)).unwrap(),
    }
}

impl Shop {
    fn work(&self, worker: u64) -> Made {
        let mut made = Made::new();
        self.shift.repeat(|number| match number % 4 {
            0 => self.open(number / 4 + worker),
            1 | 2 => made.push(self.seal_in_session(number * 64 + worker)),
            _ => self.seal_alone(number * 64 + worker),
        });
        made
    }

    /// Opens what is under one of the keys: as its state says, and by no other.
    fn open(&self, number: u64) {
        let (version, sealed) = {
            let sealed = self.expected.sealed.lock().unwrap();
            let at = usize::try_from(number).unwrap() % sealed.len();
            (self.version(), sealed[at].clone())
        };
        let context = bindings(sealed.number);
        let opened = self.cipher.decrypt(&sealed.envelope, &context);
        let dared = self.brave.decrypt(&sealed.envelope, &context);
        for plain in [&opened, &dared].into_iter().flatten() {
            assert_eq!(plain[..], text(sealed.number));
        }
        for error in [&opened, &dared]
            .into_iter()
            .filter_map(|opened| opened.as_ref().err())
        {
            let expected =
                matches!(error, Error::KeyNotUsable { key_id, .. } if *key_id == sealed.key);
            assert!(expected, "{error}");
        }
        if !self.is_still(version) {
            return;
        }
        let may = matches!(sealed.state, KeyState::Active | KeyState::Deactivated);
        let may_dare = may || sealed.state == KeyState::Compromised;
        assert_eq!(
            (opened.is_ok(), dared.is_ok()),
            (may, may_dare),
            "{:?}",
            sealed.state
        );
        self.decided.fetch_add(1, Ordering::Relaxed);
    }

    fn seal_in_session(&self, number: u64) -> ([u8; 16], [u8; 16], u64) {
        let plain = text(number);
        let envelope =
            self.sealed_under_the_active(|| self.session.encrypt(&plain, &bindings(number)));
        let header = inspect(&envelope).unwrap();
        self.open_own(&envelope, number);
        (
            header.data_key_id,
            header.message_id.unwrap(),
            plain.len() as u64,
        )
    }

    fn seal_alone(&self, number: u64) {
        let plain = text(number);
        let envelope =
            self.sealed_under_the_active(|| self.cipher.encrypt(&plain, &bindings(number)));
        self.open_own(&envelope, number);
    }

    fn sealed_under_the_active(&self, seal: impl FnOnce() -> Result<Vec<u8>, Error>) -> Vec<u8> {
        let version = self.version();
        let active = self.keyring.active().unwrap();
        let envelope = seal().unwrap();
        let key = inspect(&envelope).unwrap().slots[0].key_id.clone();
        if self.is_still(version) {
            assert_eq!(key, active.as_bytes());
            self.decided.fetch_add(1, Ordering::Relaxed);
        }
        envelope
    }

    /// Its key may have been shut since.
    fn open_own(&self, envelope: &[u8], number: u64) {
        match self.cipher.decrypt(envelope, &bindings(number)) {
            Ok(plain) => assert_eq!(plain[..], text(number)),
            Err(Error::KeyNotUsable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn version(&self) -> u64 {
        self.expected.version.load(Ordering::SeqCst)
    }

    fn is_still(&self, version: u64) -> bool {
        version.is_multiple_of(2) && self.version() == version
    }

    /// Rotates, suspends, resumes, marks as compromised and destroys.
    fn change_keys(&self) {
        self.shift.repeat(|number| {
            self.expected.version.fetch_add(1, Ordering::SeqCst);
            self.change(number);
            self.expected.version.fetch_add(1, Ordering::SeqCst);
            self.changes.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(3));
        });
    }

    fn change(&self, number: u64) {
        let mut sealed = self.expected.sealed.lock().unwrap();
        if number.is_multiple_of(8) {
            let key = self.keyring.rotate("next").unwrap();
            sealed.last_mut().unwrap().state = KeyState::Deactivated;
            sealed.push(seal(&self.cipher, key, number));
            if sealed.len() > KEPT {
                let old = sealed.remove(0);
                self.keyring.destroy_without_evidence(old.key).unwrap();
            }
            return;
        }
        let others = sealed.len() - 1;
        if others == 0 {
            return;
        }
        let one = &mut sealed[usize::try_from(number * 7).unwrap() % others];
        one.state = match one.state {
            KeyState::Deactivated if number.is_multiple_of(5) => {
                self.keyring.mark_compromised(one.key).unwrap();
                KeyState::Compromised
            }
            KeyState::Deactivated => {
                self.keyring.suspend(one.key).unwrap();
                KeyState::Suspended
            }
            KeyState::Suspended => {
                self.keyring.resume(one.key).unwrap();
                KeyState::Deactivated
            }
            state => state,
        };
    }
}

/// No data key served more than the limits say, all threads together, and no message id came twice.
fn check_session(made: &[([u8; 16], [u8; 16], u64)]) {
    let mut data_keys = HashMap::<_, (u64, u64)>::new();
    let mut messages = HashSet::new();
    for (data_key, message, bytes) in made {
        let used = data_keys.entry(data_key).or_default();
        *used = (used.0 + 1, used.1 + bytes);
        assert!(messages.insert(message), "a message id came twice");
    }
    for (records, bytes) in data_keys.values() {
        assert!(
            *records <= LIMITS.records,
            "{records} records under one data key"
        );
        assert!(*bytes <= LIMITS.bytes, "{bytes} bytes under one data key");
    }
    println!(
        "{} records in a session, {} data keys",
        made.len(),
        data_keys.len()
    );
    assert!(made.len() > 1_000 && data_keys.len() > 10);
}
