//! Keyrings in memory: every state, every way from one to the next, and who sees it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use phi_envelope::keys::KeyState::{Active, Compromised, Deactivated, Destroyed, Suspended};
use phi_envelope::{
    Context, EnvelopeCipher, Error, KeyId, Keyring, MasterKey, error::Malformed, inspect,
    keys::KeyState,
};

/// A way to change one key of a keyring.
type Change = fn(&Keyring, KeyId) -> Result<(), Error>;

const DEACTIVATE: (&str, Change) = ("deactivate", Keyring::deactivate);
const SUSPEND: (&str, Change) = ("suspend", Keyring::suspend);
const RESUME: (&str, Change) = ("resume", Keyring::resume);
const MARK: (&str, Change) = ("mark_compromised", Keyring::mark_compromised);
const DESTROY: (&str, Change) = ("destroy", Keyring::destroy_without_evidence);
const CHANGES: [(&str, Change); 5] = [DEACTIVATE, SUSPEND, RESUME, MARK, DESTROY];
const STATES: [KeyState; 5] = [Active, Deactivated, Suspended, Compromised, Destroyed];

/// What a change makes of a state; none where it is refused. Written as a table of its own, on purpose.
fn expected(from: KeyState, change: &str) -> Option<KeyState> {
    match (from, change) {
        (Active, "mark_compromised") => Some(Compromised),
        (Deactivated, "deactivate") => Some(Deactivated),
        (Deactivated, "suspend") => Some(Suspended),
        (Deactivated, "mark_compromised") => Some(Compromised),
        (Deactivated, "destroy") => Some(Destroyed),
        (Suspended, "deactivate" | "resume") => Some(Deactivated),
        (Suspended, "suspend") => Some(Suspended),
        (Suspended, "mark_compromised") => Some(Compromised),
        (Suspended, "destroy") => Some(Destroyed),
        (Compromised, "mark_compromised") => Some(Compromised),
        (Compromised, "destroy") => Some(Destroyed),
        (Destroyed, "destroy") => Some(Destroyed),
        _ => None,
    }
}

/// A keyring whose first key is in `state`, and what that key sealed while it was active.
fn keyring_with(state: KeyState) -> (Keyring, KeyId, Vec<u8>) {
    let keyring = Keyring::generate("first").unwrap();
    let id = keyring.active().unwrap();
    let sealed = EnvelopeCipher::new(keyring.clone())
        .encrypt("note", &Context::new())
        .unwrap();
    bring(&keyring, id, state);
    (keyring, id, sealed)
}

fn bring(keyring: &Keyring, id: KeyId, state: KeyState) {
    if state != Active {
        keyring.rotate("second").unwrap();
    }
    match state {
        Suspended => keyring.suspend(id).unwrap(),
        Compromised => keyring.mark_compromised(id).unwrap(),
        Destroyed => keyring.destroy_without_evidence(id).unwrap(),
        _ => {}
    }
    assert_eq!(state_of(keyring, id), state);
}

fn state_of(keyring: &Keyring, id: KeyId) -> KeyState {
    let keys = keyring.keys();
    keys.iter().find(|key| key.id == id).unwrap().state
}

fn active_keys(keyring: &Keyring) -> usize {
    let keys = keyring.keys();
    keys.iter().filter(|key| key.state == Active).count()
}

#[test]
fn every_transition_is_allowed_or_refused_as_the_table_says() {
    for from in STATES {
        for (name, change) in CHANGES {
            let (keyring, id, _) = keyring_with(from);
            let before = keyring.keys();
            let result = change(&keyring, id);
            match expected(from, name) {
                Some(to) => {
                    result.unwrap_or_else(|error| panic!("{name} from {from}: {error}"));
                    assert_eq!(state_of(&keyring, id), to, "{name} from {from}");
                    if to == from {
                        assert_eq!(keyring.keys(), before, "{name} from {from} does nothing");
                    }
                }
                None => {
                    match result {
                        Err(Error::KeyNotUsable { key_id, state }) => {
                            assert_eq!((key_id, state), (id, from), "{name} from {from}");
                        }
                        other => panic!("{name} from {from}: {other:?}"),
                    }
                    assert_eq!(
                        keyring.keys(),
                        before,
                        "{name} from {from} changed something"
                    );
                }
            }
            assert_eq!(active_keys(&keyring), 1, "{name} from {from}");
        }
    }
}

#[test]
fn no_change_finds_a_key_that_the_keyring_does_not_have() {
    let keyring = Keyring::generate("only").unwrap();
    let before = keyring.keys();
    let stranger = KeyId::from_bytes([9; 16]);
    for (name, change) in CHANGES {
        match change(&keyring, stranger) {
            Err(Error::NoMatchingKey { slots }) => {
                assert_eq!((slots[0].scheme, &slots[0].key_id[..]), (1, &[9; 16][..]));
                assert_eq!(slots.len(), 1);
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(keyring.keys(), before, "{name}");
    }
}

#[test]
fn only_rotate_leaves_active() {
    let keyring = Keyring::generate("2025").unwrap();
    let old = keyring.active().unwrap();
    let new = keyring.rotate("2026").unwrap();
    assert_ne!(old, new);
    assert_eq!(keyring.active().unwrap(), new);
    let keys = keyring.keys();
    let seen: Vec<_> = keys
        .iter()
        .map(|key| (key.id, key.label.as_str(), key.state))
        .collect();
    assert_eq!(seen, [(old, "2025", Deactivated), (new, "2026", Active)]);
    assert!(keys.iter().all(|key| key.changed >= key.created));
}

#[test]
fn marking_the_active_key_compromised_rotates_first() {
    let keyring = Keyring::generate("ehr-2026").unwrap();
    let cipher = EnvelopeCipher::new(keyring.clone());
    let leaked = keyring.active().unwrap();
    keyring.mark_compromised(leaked).unwrap();

    let keys = keyring.keys();
    assert_eq!((keys.len(), keys[0].state), (2, Compromised));
    assert_eq!(
        (keys[1].label.as_str(), keys[1].state),
        ("ehr-2026", Active)
    );
    let sealed = cipher.encrypt("note", &Context::new()).unwrap();
    let slots = inspect(&sealed).unwrap().slots;
    assert_eq!(slots[0].key_id, keyring.active().unwrap().as_bytes());
    assert_ne!(slots[0].key_id, leaked.as_bytes());
}

#[test]
fn what_a_key_may_open_follows_its_state() {
    for state in STATES {
        let (keyring, id, sealed) = keyring_with(state);
        let context = Context::new();
        let strict = EnvelopeCipher::new(keyring.clone());
        let lenient = EnvelopeCipher::builder()
            .encrypt_for(keyring.clone())
            .allow_compromised()
            .build()
            .unwrap();
        for (cipher, opens) in [
            (&strict, matches!(state, Active | Deactivated)),
            (
                &lenient,
                matches!(state, Active | Deactivated | Compromised),
            ),
        ] {
            let refused = |error| match error {
                Error::KeyNotUsable {
                    key_id,
                    state: said,
                } => (key_id, said) == (id, state),
                _ => false,
            };
            match cipher.decrypt(&sealed, &context) {
                Ok(plaintext) => assert!(opens && plaintext[..] == *b"note", "{state}"),
                Err(error) => assert!(!opens && refused(error), "{state}"),
            }
            match cipher.rewrap(&sealed) {
                Ok(moved) => {
                    assert!(opens, "{state}");
                    let slot = &inspect(&moved).unwrap().slots[0];
                    assert_eq!(slot.key_id, keyring.active().unwrap().as_bytes());
                    assert_eq!(&strict.decrypt(&moved, &context).unwrap()[..], b"note");
                }
                Err(error) => assert!(!opens && refused(error), "{state}"),
            }
        }
        // Whatever the first key's state, the active one wraps.
        let fresh = strict.encrypt("new", &context).unwrap();
        assert_eq!(&strict.decrypt(&fresh, &context).unwrap()[..], b"new");
    }
}

#[test]
fn destroying_a_key_keeps_its_id_and_label_and_nothing_brings_it_back() {
    let mut bytes = [7; 32];
    let text = STANDARD.encode(bytes);
    let keyring = Keyring::from_master_key(MasterKey::from_bytes_zeroizing(&mut bytes), "imported");
    let id = keyring.active().unwrap();
    keyring.rotate("next").unwrap();
    keyring.destroy_without_evidence(id).unwrap();

    let keys = keyring.keys();
    assert_eq!(
        (keys[0].id, keys[0].label.as_str(), keys[0].state),
        (id, "imported", Destroyed)
    );
    for (_, change) in [DEACTIVATE, SUSPEND, RESUME, MARK] {
        assert!(matches!(
            change(&keyring, id),
            Err(Error::KeyNotUsable { .. })
        ));
    }
    let again = MasterKey::from_base64(&text).unwrap();
    assert!(matches!(
        keyring.rotate_to(again, "again"),
        Err(Error::Misuse(_))
    ));
    assert_eq!(keyring.keys(), keys);
}

#[test]
fn ids_never_repeat() {
    let imported = || MasterKey::from_bytes_zeroizing(&mut [7; 32]);
    let keyring = Keyring::generate("first").unwrap();
    let id = keyring.rotate_to(imported(), "imported").unwrap();
    assert_eq!(id, imported().id());
    let before = keyring.keys();
    // Of the active key, of a deactivated one, and of one that is only named alike.
    assert!(matches!(
        keyring.rotate_to(imported(), "twice"),
        Err(Error::Misuse(_))
    ));
    assert_eq!(keyring.keys(), before);
    keyring.rotate("third").unwrap();
    let before = keyring.keys();
    assert!(matches!(
        keyring.rotate_to(imported(), "twice"),
        Err(Error::Misuse(_))
    ));
    let alike = MasterKey::generate().unwrap().with_id(id);
    assert!(matches!(
        keyring.rotate_to(alike, "alike"),
        Err(Error::Misuse(_))
    ));
    assert_eq!(keyring.keys(), before);

    let mut ids: Vec<_> = (0..200).map(|_| keyring.rotate("many").unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200);
}

#[test]
fn clones_and_ciphers_see_changes() {
    let keyring = Keyring::generate("first").unwrap();
    let clone = keyring.clone();
    let cipher = EnvelopeCipher::new(keyring.clone());
    let other = cipher.clone();
    let context = Context::new();
    let sealed = cipher.encrypt("note", &context).unwrap();
    let old = keyring.active().unwrap();

    let new = clone.rotate("second").unwrap();
    assert_eq!(keyring.keys(), clone.keys());
    let fresh = other.encrypt("note", &context).unwrap();
    assert_eq!(inspect(&fresh).unwrap().slots[0].key_id, new.as_bytes());
    other.decrypt(&sealed, &context).unwrap();
    keyring.suspend(old).unwrap();
    for cipher in [&cipher, &other] {
        assert!(matches!(
            cipher.decrypt(&sealed, &context),
            Err(Error::KeyNotUsable { .. })
        ));
    }
    clone.resume(old).unwrap();
    cipher.decrypt(&sealed, &context).unwrap();
}

#[test]
fn every_envelope_opens_while_other_threads_rotate() {
    let keyring = Keyring::generate("first").unwrap();
    let cipher = EnvelopeCipher::new(keyring.clone());
    let rotating = AtomicBool::new(true);
    let envelopes: Vec<_> = thread::scope(|scope| {
        let sealers: Vec<_> = (0..4)
            .map(|thread| {
                let (cipher, rotating) = (&cipher, &rotating);
                scope.spawn(move || {
                    let mut sealed = Vec::new();
                    while rotating.load(Ordering::Relaxed) || sealed.len() < 50 {
                        let note = format!("note {} of {thread}", sealed.len());
                        let context = Context::new().bind("note", &note).unwrap();
                        let envelope = cipher.encrypt(&note, &context).unwrap();
                        assert_eq!(
                            &cipher.decrypt(&envelope, &context).unwrap()[..],
                            note.as_bytes()
                        );
                        sealed.push((envelope, note, context));
                    }
                    sealed
                })
            })
            .collect();
        let rotators: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..100 {
                        keyring.rotate("more").unwrap();
                    }
                })
            })
            .collect();
        rotators
            .into_iter()
            .for_each(|rotator| rotator.join().unwrap());
        rotating.store(false, Ordering::Relaxed);
        sealers
            .into_iter()
            .flat_map(|sealer| sealer.join().unwrap())
            .collect()
    });
    assert_eq!((keyring.keys().len(), active_keys(&keyring)), (201, 1));
    assert!(envelopes.len() >= 200);
    for (envelope, note, context) in envelopes {
        assert_eq!(
            &cipher.decrypt(&envelope, &context).unwrap()[..],
            note.as_bytes()
        );
    }
}

#[test]
fn a_master_key_is_read_from_the_base64_of_32_bytes() {
    let text = STANDARD.encode([0xa5; 32]);
    let key = MasterKey::from_base64(&text).unwrap();
    assert_eq!(
        key.id(),
        MasterKey::from_bytes_zeroizing(&mut [0xa5; 32]).id()
    );
    let around = format!(" \t{text}\r\n");
    assert_eq!(MasterKey::from_base64(&around).unwrap().id(), key.id());
}

#[test]
fn a_master_key_is_not_read_from_anything_else() {
    let good = STANDARD.encode([0xff; 32]);
    let refused = [
        String::new(),
        STANDARD.encode([0xff; 31]),
        STANDARD.encode([0xff; 33]),
        STANDARD.encode([0xff; 36]),
        STANDARD.encode([0xff; 64]),
        good.trim_end_matches('=').to_owned(),
        format!("{good}="),
        good.replace('/', "_"),
        format!("{} {}", &good[..20], &good[20..]),
        format!("{}\n{}", &good[..20], &good[20..]),
        // The last character of 32 bytes carries two bits that must be zero.
        good.replace("8=", "9="),
        "ff".repeat(32),
        "a password".to_owned(),
    ];
    for text in refused {
        assert!(
            matches!(
                MasterKey::from_base64(&text),
                Err(Error::Malformed(Malformed::MasterKeyText))
            ),
            "{text:?}"
        );
    }
}

#[test]
fn all_who_import_a_key_agree_on_its_id_and_open_each_others_envelopes() {
    let text = STANDARD.encode([3; 32]);
    let import = || Keyring::from_master_key(MasterKey::from_base64(&text).unwrap(), "shared");
    let (left, right) = (import(), import());
    assert_eq!(left.active().unwrap(), right.active().unwrap());
    assert_ne!(
        left.active().unwrap(),
        MasterKey::from_bytes_zeroizing(&mut [4; 32]).id()
    );
    // The id shows nothing of the key.
    assert_ne!(left.active().unwrap().as_bytes()[..], [3; 16]);

    let context = Context::new().bind("patient", "MRN-0042").unwrap();
    let sealed = EnvelopeCipher::new(left).encrypt("note", &context).unwrap();
    let opened = EnvelopeCipher::new(right)
        .decrypt(&sealed, &context)
        .unwrap();
    assert_eq!(&opened[..], b"note");
}

#[test]
fn a_key_may_carry_an_id_that_was_stored_beside_it() {
    let id = KeyId::from_bytes(*b"stored beside it");
    let import = |id| MasterKey::from_bytes_zeroizing(&mut [3; 32]).with_id(id);
    let keyring = Keyring::from_master_key(import(id), "named");
    assert_eq!(keyring.active().unwrap(), id);
    let context = Context::new();
    let sealed = EnvelopeCipher::new(keyring)
        .encrypt("note", &context)
        .unwrap();
    assert_eq!(inspect(&sealed).unwrap().slots[0].key_id, id.as_bytes());

    let same = EnvelopeCipher::new(Keyring::from_master_key(import(id), "same"));
    same.decrypt(&sealed, &context).unwrap();
    // The id enters the derivation of the wrap key: the same bytes under another id are another key.
    let other = KeyId::from_bytes(*b"some other id...");
    let renamed = EnvelopeCipher::new(Keyring::from_master_key(import(other), "renamed"));
    assert!(matches!(
        renamed.decrypt(&sealed, &context),
        Err(Error::NoMatchingKey { .. })
    ));
}

#[test]
fn the_callers_bytes_of_an_imported_key_are_erased() {
    let mut bytes = [7; 32];
    drop(MasterKey::from_bytes_zeroizing(&mut bytes));
    assert_eq!(bytes, [0; 32]);
}

#[test]
fn debug_shows_ids_labels_and_states_and_no_key() {
    const BYTES: [u8; 32] = *b"a canary that is thirty-two long";
    let keyring = Keyring::from_master_key(
        MasterKey::from_bytes_zeroizing(&mut BYTES.clone()),
        "ehr-2026",
    );
    let cipher = EnvelopeCipher::new(keyring.clone());
    let id = keyring.active().unwrap();
    let shown = [
        format!("{keyring:?}"),
        format!("{keyring:#?}"),
        format!("{:?}", keyring.keys()),
        format!("{:?}", MasterKey::from_bytes_zeroizing(&mut BYTES.clone())),
        format!("{cipher:?}"),
    ];
    let hex: String = BYTES.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{BYTES:?}");
    let forms = [
        String::from_utf8(BYTES.to_vec()).unwrap(),
        STANDARD.encode(BYTES).trim_end_matches('=').to_owned(),
        hex,
        list[1..list.len() - 1].to_owned(),
    ];
    for text in &shown {
        assert!(forms.iter().all(|form| !text.contains(form)), "{text}");
    }
    assert!(shown[0].contains(&id.to_string()) && shown[0].contains("ehr-2026"));
    assert!(shown[3].contains("redacted"), "{}", shown[3]);
}
