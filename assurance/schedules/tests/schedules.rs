//! What has locks or atomics of its own, under thousands of schedules: each a random order in which the threads take, hold and leave
//! them.
//!
//! Modelled: every `Mutex`, `RwLock`, atomic and channel of the library, and every thread that it starts; they are its own source.
//! Not modelled: rayon's pool, which this build has not; the memory order of atomics, of which `shuttle` knows the strongest alone;
//! time, and the locks of files.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use phi_envelope::{
    Context, EnvelopeCipher, Error, KeyProvider, Keyring, KeyringFile, Session, SessionLimits,
    archive::{self, FileTree, RewrapOptions},
    files::{self, FileOptions},
    inspect,
    keys::{DataKey, KeyState, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::{Config, Runner, thread};

/// Schedules of each: half at random, half of those that tend to find rare orders.
fn explore(schedules: usize, work: impl Fn() + Send + Sync + 'static) {
    let work = Arc::new(work);
    let again = Arc::clone(&work);
    // Threads of the library have a stack of the usual size.
    let config = || {
        let mut config = Config::new();
        config.stack_size = 1 << 20;
        config
    };
    let random = RandomScheduler::new(schedules / 2);
    Runner::new(random, config()).run(move || work());
    let rare = PctScheduler::new(3, schedules / 2);
    Runner::new(rare, config()).run(move || again());
}

/// Schedules at random alone, for work that asks again and again until a file's lock is free: rare orders let it ask for ever.
fn explore_fairly(schedules: usize, work: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    Runner::new(RandomScheduler::new(schedules), config).run(work);
}

fn none() -> Context {
    Context::new()
}

fn data_key_id(envelope: &[u8]) -> [u8; 16] {
    inspect(envelope).unwrap().data_key_id
}

fn sealed_under(envelope: &[u8]) -> Vec<u8> {
    inspect(envelope).unwrap().slots[0].key_id.clone()
}

/// The explorer finds a race that is there.
#[test]
#[should_panic(expected = "two took it")]
fn a_race_is_found() {
    explore(200, || {
        let taken = Arc::new(AtomicBool::new(false));
        let take = move || {
            let free = !taken.load(Ordering::Relaxed);
            taken.store(true, Ordering::Relaxed);
            free
        };
        let threads = [take.clone(), take].map(thread::spawn);
        let took = threads.map(|thread| thread.join().unwrap());
        assert!(took != [true, true], "two took it");
    });
}

#[test]
fn a_session_counts_records_and_bytes_of_all_threads_together() {
    let limits = SessionLimits {
        records: 3,
        bytes: 20,
        ..SessionLimits::default()
    };
    explore(4_000, move || {
        let cipher = EnvelopeCipher::new(Keyring::generate("one").unwrap());
        let session = Arc::new(cipher.session_within(&none(), limits).unwrap());
        let lengths = [[4, 9, 1], [21, 1, 0], [7, 7, 7]];
        let made = seal_in_threads(&session, lengths);
        let mut used = HashMap::<_, (u64, u64)>::new();
        let mut messages = HashSet::new();
        for (envelope, len) in &made {
            let header = inspect(envelope).unwrap();
            assert!(messages.insert(header.message_id.unwrap()));
            let used = used.entry(header.data_key_id).or_default();
            *used = (used.0 + 1, used.1 + len);
            assert!(cipher.decrypt(envelope, &none()).is_ok());
        }
        for (records, bytes) in used.values() {
            assert!(*records <= 3, "{records} records");
            assert!(
                *bytes <= 20 || *records == 1,
                "{bytes} bytes in {records} records"
            );
        }
    });
}

fn seal_in_threads(session: &Arc<Session>, lengths: [[u64; 3]; 3]) -> Vec<(Vec<u8>, u64)> {
    let threads = lengths.map(|lengths| {
        let session = Arc::clone(session);
        thread::spawn(move || {
            lengths.map(|len| {
                let plain = vec![7; usize::try_from(len).unwrap()];
                (session.encrypt(plain, &none()).unwrap(), len)
            })
        })
    });
    threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect()
}

/// Once `rotate` has returned, nothing is sealed under the old key, in a session or out of it.
#[test]
fn a_rotation_that_has_returned_is_obeyed() {
    explore(4_000, || {
        let keyring = Keyring::generate("one").unwrap();
        let cipher = EnvelopeCipher::new(keyring.clone());
        let session = Arc::new(cipher.session(&none()).unwrap());
        let rotated = Arc::new(Mutex::new(None));
        let worker = |session: Arc<Session>,
                      cipher: EnvelopeCipher,
                      rotated: Arc<Mutex<Option<Vec<u8>>>>| {
            move || {
                for _ in 0..3 {
                    let new = rotated.lock().unwrap().clone();
                    let envelopes = [
                        session.encrypt("note", &none()).unwrap(),
                        cipher.encrypt("note", &none()).unwrap(),
                    ];
                    if let Some(new) = new {
                        assert!(
                            envelopes
                                .iter()
                                .all(|envelope| sealed_under(envelope) == new)
                        );
                    }
                }
            }
        };
        let threads: Vec<_> = (0..2)
            .map(|_| thread::spawn(worker(session.clone(), cipher.clone(), rotated.clone())))
            .collect();
        let new = keyring.rotate("two").unwrap();
        *rotated.lock().unwrap() = Some(new.as_bytes().to_vec());
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

/// Once a key is suspended or compromised, what a cache holds of it opens nothing: not what was in it, and not what is put there by a
/// thread that had unwrapped it before.
#[test]
fn a_cache_gives_nothing_of_a_key_that_has_left() {
    explore(6_000, || {
        let keyring = Keyring::generate("one").unwrap();
        let old = keyring.active().unwrap();
        let cipher = EnvelopeCipher::builder()
            .encrypt_for(keyring.clone())
            .cache(2, Duration::from_secs(3600))
            .build()
            .unwrap();
        let envelope = Arc::new(cipher.encrypt("note", &none()).unwrap());
        keyring.rotate("two").unwrap();
        let left = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (cipher, envelope, left) = (cipher.clone(), envelope.clone(), left.clone());
                thread::spawn(move || {
                    for _ in 0..2 {
                        let had_left = left.load(Ordering::SeqCst);
                        match cipher.decrypt(&*envelope, &none()) {
                            Ok(plain) => assert!(!had_left && plain[..] == *b"note"),
                            Err(Error::KeyNotUsable { key_id, .. }) => assert_eq!(key_id, old),
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        keyring.suspend(old).unwrap();
        left.store(true, Ordering::SeqCst);
        assert!(cipher.decrypt(&*envelope, &none()).is_err());
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert!(cipher.decrypt(&*envelope, &none()).is_err());
        // Nothing that a late thread put back outlives the key's return and its next leave.
        keyring.resume(old).unwrap();
        assert!(cipher.decrypt(&*envelope, &none()).is_ok());
        keyring.mark_compromised(old).unwrap();
        assert!(cipher.decrypt(&*envelope, &none()).is_err());
    });
}

/// Changes of a keyring by several threads are all there, and exactly one key is active.
#[test]
fn no_change_of_a_keyring_is_lost() {
    explore(4_000, || {
        let keyring = Keyring::generate("one").unwrap();
        let threads: Vec<_> = (0..3)
            .map(|number: u64| {
                let keyring = keyring.clone();
                thread::spawn(move || {
                    let key = keyring.rotate(&number.to_string()).unwrap();
                    // Refused where it is the active one still.
                    let suspended = keyring.suspend(key).is_ok();
                    (key, suspended)
                })
            })
            .collect();
        let made: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        let keys = keyring.keys();
        assert_eq!(keys.len(), 4);
        let active = keys.iter().filter(|key| key.state == KeyState::Active);
        assert_eq!(active.count(), 1);
        for (id, suspended) in made {
            let state = keys.iter().find(|key| key.id == id).unwrap().state;
            assert_eq!(suspended, state == KeyState::Suspended, "{state:?}");
        }
    });
}

/// A keyring's file that one thread changes and others confirm, read again, and read with: the memory never goes back, nothing is sealed
/// under a key that was left, and nobody waits for himself.
#[test]
fn a_keyrings_file_and_its_memory_agree() {
    explore_fairly(200, || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let outer = Keyring::generate("outer").unwrap();
        let file = Arc::new(KeyringFile::create(&path, "one", outer.clone()).unwrap());
        let other = KeyringFile::open(&path, outer).unwrap();
        let cipher = EnvelopeCipher::new(file.keyring());
        let foreign = Arc::new(
            EnvelopeCipher::new(Keyring::generate("s").unwrap())
                .encrypt("x", &none())
                .unwrap(),
        );
        let second = other.update(|keys| keys.rotate("two")).unwrap();
        let threads: Vec<_> = (0..2)
            .map(|number| {
                let (file, cipher, foreign) = (file.clone(), cipher.clone(), foreign.clone());
                thread::spawn(move || {
                    let mut seen = file.revision();
                    for _ in 0..2 {
                        // A key that nobody knows has the file read again.
                        assert!(cipher.decrypt(&*foreign, &none()).is_err());
                        if number == 0 {
                            file.reload().unwrap();
                            cipher.encrypt("note", &none()).unwrap();
                        }
                        let now = file.revision();
                        assert!(now >= seen, "{now} after {seen}");
                        seen = now;
                    }
                })
            })
            .collect();
        let third = file.update(|keys| keys.rotate("three")).unwrap();
        let sealed = sealed_under(&cipher.encrypt("note", &none()).unwrap());
        assert_eq!(sealed, third.as_bytes());
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(file.revision(), 3);
        let keys = file.keyring().keys();
        assert!(keys.iter().any(|key| key.id == second));
    });
}

/// A provider that wraps in three threads at once, with one context: the IV that was drawn ahead serves one of them.
struct Impatient(Keyring, Arc<Mutex<Vec<Vec<u8>>>>);

impl KeyProvider for Impatient {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.0.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey, Error> {
        thread::scope(|scope| {
            let wrap = || {
                let wrapped = self.0.wrap_key(key, context)?;
                self.1
                    .lock()
                    .unwrap()
                    .push(wrapped.as_slot()?.wrapped().to_vec());
                Ok(wrapped)
            };
            let others = [scope.spawn(wrap), scope.spawn(wrap)];
            let own = wrap();
            for other in others {
                other.join().unwrap()?;
            }
            own
        })
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey, Error> {
        self.0.unwrap_key(slot, context)
    }
}

#[test]
fn no_iv_serves_two_wraps() {
    explore(4_000, || {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let provider = Impatient(Keyring::generate("one").unwrap(), seen.clone());
        let cipher = EnvelopeCipher::new(provider);
        cipher.encrypt("note", &none()).unwrap();
        let seen = seen.lock().unwrap();
        let ivs: HashSet<_> = seen.iter().map(|wrapped| &wrapped[..12]).collect();
        assert_eq!((seen.len(), ivs.len()), (3, 3));
    });
}

/// A tree of a few envelopes.
fn tree(files: usize) -> (tempfile::TempDir, Keyring, EnvelopeCipher) {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Keyring::generate("one").unwrap();
    let cipher = EnvelopeCipher::new(keyring.clone());
    for number in 0..files {
        let record = cipher.encrypt("note", &none()).unwrap();
        std::fs::write(folder.path().join(number.to_string()), record).unwrap();
    }
    (folder, keyring, cipher)
}

fn walk(folder: &tempfile::TempDir) -> FileTree {
    FileTree::new([folder.path().to_owned()]).threads(NonZeroUsize::new(3).unwrap())
}

/// The crew of a walk hands over everything once and ends, and ends as well where nobody takes what it has.
#[test]
fn a_crew_hands_over_everything_once_and_ends() {
    explore(300, || {
        let (folder, _, _) = tree(9);
        let seen: HashSet<_> = archive::inventory(walk(&folder))
            .unwrap()
            .map(|entry| entry.path)
            .collect();
        assert_eq!(seen.len(), 9);
        assert_eq!(
            archive::inventory(walk(&folder))
                .unwrap()
                .finish()
                .records
                .files,
            9
        );
        // Dropped after some.
        assert_eq!(
            archive::inventory(walk(&folder)).unwrap().take(2).count(),
            2
        );
    });
}

#[test]
fn a_crew_rewraps_every_file_once() {
    explore(300, || {
        let (folder, keyring, cipher) = tree(6);
        let new = keyring.rotate("two").unwrap();
        let summary = archive::rewrap(&cipher, walk(&folder), RewrapOptions::new())
            .unwrap()
            .finish();
        assert_eq!((summary.done, summary.failed), (6, 0));
        for number in 0..6 {
            let record = std::fs::read(folder.path().join(number.to_string())).unwrap();
            assert_eq!(sealed_under(&record), new.as_bytes());
        }
    });
}

/// A pass that stops at its limit of failures ends, whatever its threads are at.
#[test]
fn a_crew_that_is_stopped_ends() {
    explore(300, || {
        let (folder, _, _) = tree(6);
        let stranger = EnvelopeCipher::new(Keyring::generate("stranger").unwrap());
        let options = RewrapOptions::new().max_failures(1);
        let summary = archive::rewrap(&stranger, walk(&folder), options)
            .unwrap()
            .finish();
        assert!(summary.stopped && summary.failed >= 2);
    });
}

/// Several threads seal and open one file, run by run; several read ranges of it.
#[test]
fn runs_of_a_file_are_shared_out() {
    explore(100, || {
        let folder = tempfile::tempdir().unwrap();
        let [plain, phi, out] = ["plain", "phi", "out"].map(|name| folder.path().join(name));
        let bytes: Vec<u8> = (0..251).cycle().take(1_300_000).collect();
        std::fs::write(&plain, &bytes).unwrap();
        let cipher = EnvelopeCipher::new(Keyring::generate("one").unwrap());
        let options = || FileOptions::new().threads(NonZeroUsize::new(3).unwrap());
        files::encrypt(&cipher, &plain, &phi, &none(), options()).unwrap();
        files::decrypt(&cipher, &phi, &out, &none(), options()).unwrap();
        assert!(std::fs::read(out).unwrap() == bytes);
        let range = files::open(&cipher, &phi, &none(), options()).unwrap();
        thread::scope(|scope| {
            for at in [0, 100_000, 1_290_000] {
                let (range, bytes) = (&range, &bytes);
                scope.spawn(move || {
                    let mut part = [0; 70_000];
                    let read = range.read_at(&mut part, at as u64).unwrap();
                    assert!(part[..read] == bytes[at..at + read]);
                });
            }
        });
    });
}

/// Records of one data key, whichever thread opened it first.
#[test]
fn what_is_sealed_opens_in_every_thread() {
    explore(2_000, || {
        let keyring = Keyring::generate("one").unwrap();
        let cipher = EnvelopeCipher::builder()
            .encrypt_for(keyring)
            .cache(1, Duration::from_secs(3600))
            .build()
            .unwrap();
        let session = cipher.session(&none()).unwrap();
        let records: Vec<_> = (0..3)
            .map(|_| session.encrypt("note", &none()).unwrap())
            .collect();
        assert_eq!(
            records
                .iter()
                .map(|one| data_key_id(one))
                .collect::<HashSet<_>>()
                .len(),
            1
        );
        let other = cipher.encrypt("other", &none()).unwrap();
        let open = |record: Vec<u8>| {
            let (cipher, other) = (cipher.clone(), other.clone());
            thread::spawn(move || {
                assert_eq!(cipher.decrypt(&record, &none()).unwrap()[..], *b"note");
                assert_eq!(cipher.decrypt(&other, &none()).unwrap()[..], *b"other");
            })
        };
        let threads: Vec<_> = records.into_iter().map(open).collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}
