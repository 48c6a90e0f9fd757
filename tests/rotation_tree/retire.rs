//! A key retired: on evidence that it is out of use, and not without.

use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use phi_envelope::{
    Context, DestroyOptions, EnvelopeCipher, Error, Evidence, EvidenceFault, EvidenceScan,
    FileInspection, FileOptions, KeyId, KeyState, KeyringFile, Result, RetireOptions, Retired,
    RewrapOptions, destroy_key, encrypt_file, retire,
};
use sha2::{Digest as _, Sha256};

use crate::common::{context, keyring, keyring_of};
use crate::place::{Place, opens, record, state, states};

/// A keyring's file, and beside it a place that is sealed under its keys.
struct Office {
    desk: tempfile::TempDir,
    file: KeyringFile,
    place: Place,
}

impl Office {
    fn new() -> Self {
        let desk = tempfile::tempdir().unwrap();
        let file = KeyringFile::create(desk.path().join("keyring"), "2026", keyring_of(9)).unwrap();
        let place = Place::of(file.keyring());
        Self { desk, file, place }
    }

    /// With a record, a stream and a header, and the next key active.
    fn rotated() -> (Self, KeyId) {
        let office = Self::new();
        office.place.record("a/record");
        office.place.stream("a/stream");
        office.place.detached("header");
        let old = office.rotate();
        (office, old)
    }

    fn rotate(&self) -> KeyId {
        let old = self.file.keyring().active().unwrap();
        self.file.update(|keys| keys.rotate("next")).unwrap();
        // A scan in the same second would not be seen to be later.
        std::thread::sleep(Duration::from_millis(1100));
        old
    }

    fn desk(&self, name: &str) -> PathBuf {
        self.desk.path().join(name)
    }

    fn retire(&self, key: KeyId, options: RetireOptions<'_>) -> Result<Retired> {
        self.retire_into(key, &self.desk("evidence"), options)
    }

    fn retire_into(
        &self,
        key: KeyId,
        evidence: &Path,
        options: RetireOptions<'_>,
    ) -> Result<Retired> {
        let places = [self.place.root()];
        retire(
            &self.file,
            &self.place.cipher,
            key,
            &places,
            evidence,
            options,
        )
    }

    fn state(&self, key: KeyId) -> KeyState {
        self.info(key).state
    }

    /// As the file says it, to whoever opens it.
    fn info(&self, key: KeyId) -> phi_envelope::KeyInfo {
        let file = KeyringFile::open(self.desk("keyring"), keyring_of(9)).unwrap();
        let mut keys = file.keyring().keys().into_iter();
        keys.find(|info| info.id == key).unwrap()
    }

    fn scan(&self, key: KeyId) -> Evidence {
        let mut scan = EvidenceScan::new(&self.place.cipher, key);
        scan.tree("the place", self.place.tree()).unwrap();
        scan.finish()
    }

    fn destroy(&self, key: KeyId, evidence: &[u8], options: DestroyOptions) -> Result<()> {
        destroy_key(&self.file, &self.place.cipher, key, evidence, options)
    }
}

/// Nothing was under way when the key was rotated.
fn terms() -> DestroyOptions {
    DestroyOptions::new().settling_time(Duration::ZERO)
}

fn at_once<'a>() -> RetireOptions<'a> {
    RetireOptions::new().destroy(terms())
}

#[track_caller]
fn fault(outcome: Result<()>) -> EvidenceFault {
    match outcome {
        Err(Error::Evidence(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_is_retired_and_its_evidence_recorded() {
    let (office, old) = Office::rotated();
    let mut watched = 0;
    let options = at_once().watch(|_| watched += 1);
    let retired = office.retire(old, options).unwrap();
    assert!(retired.destroyed && retired.refused.is_none());
    assert_eq!((retired.rewrapped.done, retired.rewrapped.failed), (3, 0));
    assert_eq!(watched, 4);
    let evidence = &retired.evidence;
    assert_eq!(
        (evidence.opened.files, evidence.in_use, evidence.not_opened),
        (3, 0, 0)
    );
    assert_eq!(evidence.detached_payloads.files, 1);
    assert_eq!(evidence.key, old.to_string());
    let root = fs::canonicalize(office.place.root()).unwrap();
    assert_eq!(evidence.places[0].name, root.to_str().unwrap());
    assert!(evidence.started <= evidence.finished);
    evidence.check().unwrap();

    let sealed = fs::read(office.desk("evidence")).unwrap();
    let info = office.info(old);
    assert_eq!(info.state, KeyState::Destroyed);
    assert_eq!(info.evidence, Some(Sha256::digest(&sealed).into()));
    assert_eq!(
        Evidence::open(&office.place.cipher, &sealed).unwrap(),
        *evidence
    );
    for name in ["a/record", "a/stream"] {
        assert!(opens(&office.place.cipher, &office.place.path(name)));
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(office.desk("evidence")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert!(evidence.to_string().contains(&old.to_string()));
}

#[test]
fn a_key_is_destroyed_once() {
    let (office, old) = Office::rotated();
    office.retire(old, at_once()).unwrap();
    let recorded = office.info(old).evidence;
    let again = office.retire_into(old, &office.desk("second"), at_once());
    assert!(matches!(
        again,
        Err(Error::KeyNotUsable {
            state: KeyState::Destroyed,
            ..
        })
    ));
    assert!(!office.desk("second").exists());
    let sealed = fs::read(office.desk("evidence")).unwrap();
    let again = office.destroy(old, &sealed, terms());
    assert!(matches!(again, Err(Error::KeyNotUsable { .. })));
    assert_eq!(office.info(old).evidence, recorded);
}

#[test]
fn an_active_key_is_refused_before_anything_happens() {
    let office = Office::new();
    let path = office.place.record("record");
    let active = office.file.keyring().active().unwrap();
    let before = state(&path);
    let outcome = office.retire(active, at_once());
    assert!(matches!(
        outcome,
        Err(Error::KeyNotUsable {
            state: KeyState::Active,
            ..
        })
    ));
    assert_eq!(state(&path), before);
    assert!(!office.desk("evidence").exists());
    // Also on evidence: a scan may be about any key.
    let other = office.rotate();
    office.place.rewrap();
    let active = office.file.keyring().active().unwrap();
    let foreign = Office::new();
    foreign.place.record("record");
    let mut scan = EvidenceScan::new(&foreign.place.cipher, active);
    scan.tree("elsewhere", foreign.place.tree()).unwrap();
    let sealed = scan.finish().seal(&office.place.cipher).unwrap();
    let outcome = office.destroy(active, &sealed, terms().although_in_use());
    assert!(
        matches!(outcome, Err(Error::KeyNotUsable { .. })),
        "{outcome:?}"
    );
    assert_eq!(office.state(other), KeyState::Deactivated);
}

#[test]
fn a_key_that_the_keyring_does_not_have_is_refused() {
    let (office, _) = Office::rotated();
    let stranger = KeyId::from_bytes([7; 16]);
    let outcome = office.retire(stranger, at_once());
    assert!(matches!(outcome, Err(Error::NoMatchingKey { .. })));
    assert!(!office.desk("evidence").exists());
}

#[test]
fn a_key_in_use_is_kept_unless_it_is_said_that_it_is_in_use() {
    let (office, old) = Office::rotated();
    // A text is moved by nobody.
    let text = text_under(&office, old);
    office.place.put("text", text);
    let retired = office.retire(old, at_once()).unwrap();
    assert!(!retired.destroyed);
    assert_eq!(retired.refused, Some(EvidenceFault::InUse));
    assert_eq!((retired.rewrapped.failed, retired.evidence.in_use), (1, 1));
    assert_eq!(retired.evidence.findings.len(), 1);
    assert!(retired.evidence.findings[0].what.ends_with("/text"));
    assert_eq!(office.state(old), KeyState::Deactivated);
    let sealed = fs::read(office.desk("evidence")).unwrap();
    assert_eq!(
        fault(office.destroy(old, &sealed, terms())),
        EvidenceFault::InUse
    );

    let although = terms().although_in_use();
    // Age is another matter.
    let young = although.evidence_not_older_than(Duration::ZERO);
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(
        fault(office.destroy(old, &sealed, young)),
        EvidenceFault::TooOld
    );
    office.destroy(old, &sealed, although).unwrap();
    assert_eq!(
        office.info(old).evidence,
        Some(Sha256::digest(&sealed).into())
    );
}

/// A text that is sealed under a key that is no longer active: read out of the record that is still under it.
fn text_under(office: &Office, old: KeyId) -> String {
    let path = office.place.path("a/record");
    assert_eq!(crate::place::slots(&path), [old.into()]);
    phi_envelope::Envelope::from_bytes(fs::read(path).unwrap())
        .unwrap()
        .to_string()
}

#[test]
fn a_key_is_kept_where_not_everything_opened_or_nothing_did() {
    let (office, old) = Office::rotated();
    let foreign = office
        .place
        .put("foreign", record(&EnvelopeCipher::new(keyring())));
    let retired = office.retire(old, at_once()).unwrap();
    assert_eq!(retired.refused, Some(EvidenceFault::NotAllOpened));
    fs::remove_file(foreign).unwrap();
    let empty = office.desk("empty");
    fs::create_dir(&empty).unwrap();
    let outcome = retire(
        &office.file,
        &office.place.cipher,
        old,
        &[&empty],
        office.desk("second"),
        at_once(),
    );
    assert_eq!(outcome.unwrap().refused, Some(EvidenceFault::NothingOpened));
    let none: [&Path; 0] = [];
    let outcome = retire(
        &office.file,
        &office.place.cipher,
        old,
        &none,
        office.desk("third"),
        at_once(),
    );
    assert_eq!(outcome.unwrap().refused, Some(EvidenceFault::NothingOpened));
    assert_eq!(office.state(old), KeyState::Deactivated);

    // To run it again is to go on.
    let retired = office
        .retire_into(old, &office.desk("fourth"), at_once())
        .unwrap();
    assert!(retired.destroyed);
    assert_eq!((retired.rewrapped.done, retired.rewrapped.current), (0, 3));
}

#[test]
fn old_evidence_and_evidence_of_another_key_is_refused() {
    let (office, old) = Office::rotated();
    office.place.rewrap();
    let sealed = office.scan(old).seal(&office.place.cipher).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    let young = terms().evidence_not_older_than(Duration::from_secs(1));
    assert_eq!(
        fault(office.destroy(old, &sealed, young)),
        EvidenceFault::TooOld
    );
    let next = office.rotate();
    let about_old = office.scan(old).seal(&office.place.cipher).unwrap();
    assert_eq!(
        fault(office.destroy(next, &about_old, terms())),
        EvidenceFault::OtherKey
    );
    // It is from before the last rotation, whichever key that left.
    assert_eq!(
        fault(office.destroy(old, &sealed, terms())),
        EvidenceFault::TooSoon
    );
    let sealed = office.scan(old).seal(&office.place.cipher).unwrap();
    office.destroy(old, &sealed, terms()).unwrap();
    assert_eq!(office.state(next), KeyState::Deactivated);
}

#[test]
fn a_scan_from_before_the_key_was_deactivated_is_refused() {
    let (office, _) = Office::rotated();
    let active = office.file.keyring().active().unwrap();
    // Everything is still under the old key: the active one is not in use yet.
    let evidence = office.scan(active);
    evidence.check().unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    office.place.record("sealed_meanwhile");
    office.rotate();
    let sealed = evidence.seal(&office.place.cipher).unwrap();
    let outcome = office.destroy(active, &sealed, terms());
    assert_eq!(fault(outcome), EvidenceFault::TooSoon);
    // Not even then: what it does not speak of cannot be known to be lost.
    let outcome = office.destroy(active, &sealed, terms().although_in_use());
    assert_eq!(fault(outcome), EvidenceFault::TooSoon);
    assert_eq!(office.state(active), KeyState::Deactivated);
}

#[test]
fn evidence_that_was_changed_or_is_of_others_is_refused() {
    let (office, old) = Office::rotated();
    office.place.rewrap();
    let evidence = office.scan(old);
    let sealed = evidence.seal(&office.place.cipher).unwrap();
    for at in (0..sealed.len()).step_by(17).chain([sealed.len() - 1]) {
        let mut changed = sealed.clone();
        changed[at] ^= 0x40;
        let outcome = office.destroy(old, &changed, terms().although_in_use());
        assert!(outcome.is_err(), "{at}");
    }
    for len in [0, 4, 100, sealed.len() - 1] {
        assert!(office.destroy(old, &sealed[..len], terms()).is_err());
    }
    // Of a keyring that this cipher does not know.
    let theirs = evidence.seal(&EnvelopeCipher::new(keyring())).unwrap();
    let outcome = office.destroy(old, &theirs, terms());
    assert!(matches!(outcome, Err(Error::NoMatchingKey { .. })));
    // The same words, sealed as something else.
    let json = serde_json::to_vec(&evidence).unwrap();
    let label = |value| Context::new().label("phi-envelope", value).unwrap();
    for context in [
        Context::new(),
        label("evidence/2"),
        label("keyring/1"),
        label("evidence/1").label("tenant", "clinic-7").unwrap(),
        label("evidence/1").bind("patient", "MRN").unwrap(),
    ] {
        let other = office.place.cipher.encrypt(&json, &context).unwrap();
        let outcome = office.destroy(old, &other, terms());
        assert_eq!(fault(outcome), EvidenceFault::Content, "{context:?}");
    }
    // Sealed as evidence, and none.
    let mut other: serde_json::Value = serde_json::from_slice(&json).unwrap();
    other["version"] = 2.into();
    for content in [other.to_string(), "{}".to_owned(), String::new()] {
        let other = office
            .place
            .cipher
            .encrypt(content, &label("evidence/1"))
            .unwrap();
        assert_eq!(
            fault(office.destroy(old, &other, terms())),
            EvidenceFault::Content
        );
    }
    assert_eq!(office.state(old), KeyState::Deactivated);
    office.destroy(old, &sealed, terms()).unwrap();
}

#[test]
fn evidence_from_the_future_is_refused() {
    let (office, old) = Office::rotated();
    office.place.rewrap();
    let mut later = office.scan(old);
    for started in [later.started + 3600, u64::MAX] {
        later.started = started;
        let sealed = later.seal(&office.place.cipher).unwrap();
        let outcome = office.destroy(old, &sealed, terms());
        let fault = fault(outcome);
        assert!(
            matches!(fault, EvidenceFault::TooOld | EvidenceFault::Content),
            "{fault:?}"
        );
    }
}

#[test]
fn evidence_where_it_would_be_scanned_or_is_taken_is_refused_before_anything_happens() {
    let (office, old) = Office::rotated();
    office.file.update(|keys| keys.suspend(old)).unwrap();
    let place = office.place.root();
    std::os::unix::fs::symlink(place.join("a"), office.desk("link")).unwrap();
    fs::write(office.desk("taken"), "taken").unwrap();
    std::os::unix::fs::symlink("nowhere", office.desk("dangling")).unwrap();
    let before = (states(place), state(&office.desk("keyring")));
    let inside = [
        place.join("evidence"),
        place.join("a/evidence"),
        place.join("a/../evidence"),
        office.desk("link/evidence"),
        office.desk("link/../evidence"),
    ];
    for path in inside {
        let outcome = office.retire_into(old, &path, at_once());
        assert!(
            matches!(outcome, Err(Error::Misuse(_))),
            "{path:?}: {outcome:?}"
        );
        assert!(!path.exists());
    }
    for name in [
        "taken",
        "dangling",
        "no_such_folder/evidence",
        "taken/evidence",
    ] {
        let outcome = office.retire_into(old, &office.desk(name), at_once());
        assert!(matches!(outcome, Err(Error::Io(_))), "{name}: {outcome:?}");
    }
    let outcome = retire(
        &office.file,
        &office.place.cipher,
        old,
        &[place.to_owned(), office.desk("missing")],
        office.desk("evidence"),
        at_once(),
    );
    assert!(matches!(outcome, Err(Error::Io(_))), "{outcome:?}");
    assert_eq!((states(place), state(&office.desk("keyring"))), before);
    assert_eq!(fs::read(office.desk("taken")).unwrap(), b"taken");
    assert_eq!(office.state(old), KeyState::Suspended);
}

#[test]
fn a_dry_run_retires_nothing() {
    let (office, old) = Office::rotated();
    // Even where nothing is left to do.
    office.place.rewrap();
    let before = state(&office.desk("keyring"));
    let options = at_once().rewrap(RewrapOptions::new().dry_run());
    let outcome = office.retire(old, options);
    assert!(matches!(outcome, Err(Error::Misuse(_))), "{outcome:?}");
    assert_eq!(state(&office.desk("keyring")), before);
    assert!(!office.desk("evidence").exists());
}

#[test]
fn a_key_can_be_kept_for_later() {
    let (office, old) = Office::rotated();
    let retired = office.retire(old, at_once().keep()).unwrap();
    assert!(!retired.destroyed && retired.refused.is_none());
    assert_eq!(office.state(old), KeyState::Deactivated);
    let sealed = fs::read(office.desk("evidence")).unwrap();
    office.destroy(old, &sealed, terms()).unwrap();
    assert_eq!(
        office.info(old).evidence,
        Some(Sha256::digest(&sealed).into())
    );
}

#[test]
fn a_suspended_key_is_retired() {
    let (office, old) = Office::rotated();
    office.file.update(|keys| keys.suspend(old)).unwrap();
    let (_, before) = office.place.rewrap();
    assert_eq!((before.done, before.failed), (0, 3));
    let retired = office.retire(old, at_once()).unwrap();
    assert!(retired.destroyed);
    assert_eq!(retired.rewrapped.done, 3);
}

#[test]
fn a_compromised_key_is_retired_by_sealing_anew() {
    let (office, old) = Office::rotated();
    for name in ["header", "header.payload"] {
        fs::remove_file(office.place.path(name)).unwrap();
    }
    office
        .file
        .update(|keys| keys.mark_compromised(old))
        .unwrap();
    let retired = office.retire(old, at_once()).unwrap();
    assert_eq!(retired.refused, Some(EvidenceFault::InUse));
    assert_eq!(office.state(old), KeyState::Compromised);
    fs::remove_file(office.desk("evidence")).unwrap();

    let cipher = EnvelopeCipher::builder()
        .write_for(office.file.keyring())
        .allow_compromised()
        .build()
        .unwrap();
    let contexts = |_: &Path, _: &FileInspection| Ok(context());
    let rewrap = RewrapOptions::new().reencrypt([old], contexts);
    let retired = retire(
        &office.file,
        &cipher,
        old,
        &[office.place.root()],
        office.desk("evidence"),
        at_once().rewrap(rewrap),
    )
    .unwrap();
    assert!(retired.destroyed);
    assert_eq!(
        (retired.rewrapped.reencrypted, retired.rewrapped.failed),
        (2, 0)
    );
    for name in ["a/record", "a/stream"] {
        assert!(opens(&office.place.cipher, &office.place.path(name)));
    }
}

#[test]
fn places_that_overlap_or_are_files_are_scanned() {
    let (office, old) = Office::rotated();
    let place = office.place.root();
    let places = [place.join("a/record"), place.to_owned(), place.join("a")];
    let retired = retire(
        &office.file,
        &office.place.cipher,
        old,
        &places,
        office.desk("evidence"),
        at_once(),
    )
    .unwrap();
    assert!(retired.destroyed);
    assert_eq!(retired.evidence.places.len(), 3);
    assert_eq!(retired.evidence.opened.files, 1 + 3 + 2);
    // A link that is a place is its target.
    let next = office.rotate();
    std::os::unix::fs::symlink(place, office.desk("link")).unwrap();
    let retired = retire(
        &office.file,
        &office.place.cipher,
        next,
        &[office.desk("link")],
        office.desk("second"),
        at_once(),
    )
    .unwrap();
    assert!(retired.destroyed, "{retired:?}");
    assert_eq!(
        (retired.evidence.opened.files, retired.evidence.passed_over),
        (3, 0)
    );
}

#[test]
fn a_pass_that_was_stopped_leaves_the_key() {
    let (office, old) = Office::rotated();
    for number in 0..30 {
        office.place.put(format!("damaged/{number}"), b"PHIE\x01");
    }
    let options = at_once().rewrap(RewrapOptions::new().most_failures(3));
    let retired = office.retire(old, options).unwrap();
    assert!(retired.rewrapped.stopped && !retired.destroyed);
    assert!(retired.evidence.not_opened >= 30);
}

#[test]
fn a_key_settles_before_it_is_destroyed() {
    let (office, old) = Office::rotated();
    let retired = office.retire(old, RetireOptions::new()).unwrap();
    assert_eq!(retired.refused, Some(EvidenceFault::TooSoon));
    assert!(!retired.destroyed);
    let sealed = fs::read(office.desk("evidence")).unwrap();
    for (seconds, enough) in [(3600, false), (60, false), (1, true)] {
        let terms = DestroyOptions::new().settling_time(Duration::from_secs(seconds));
        let outcome = office.destroy(old, &sealed, terms);
        assert_eq!(outcome.is_ok(), enough, "{seconds}: {outcome:?}");
    }
}

#[test]
fn a_scan_in_the_second_of_the_rotation_is_too_soon() {
    let office = Office::new();
    let old = office.file.keyring().active().unwrap();
    office.file.update(|keys| keys.rotate("next")).unwrap();
    office.place.record("record");
    let mut evidence = office.scan(old);
    let rotated = office.file.keyring().keys()[1].created;
    evidence.started = rotated
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let sealed = evidence.seal(&office.place.cipher).unwrap();
    assert_eq!(
        fault(office.destroy(old, &sealed, terms())),
        EvidenceFault::TooSoon
    );
    // To retire it waits for the next.
    assert!(office.retire(old, at_once()).unwrap().destroyed);
}

#[test]
fn evidence_under_the_key_that_it_is_about_is_refused() {
    let office = Office::new();
    let old = office.file.keyring().active().unwrap();
    let (copy, path) = (office.desk("copy"), office.desk("keyring"));
    fs::copy(path, &copy).unwrap();
    office.rotate();
    office.place.record("record");
    let evidence = office.scan(old);
    evidence.check().unwrap();
    // Whoever held the key can write what he likes under it.
    let held = KeyringFile::open(copy, keyring_of(9)).unwrap();
    let forged = evidence.seal(&EnvelopeCipher::new(held.keyring())).unwrap();
    Evidence::open(&office.place.cipher, &forged).unwrap();
    let outcome = office.destroy(old, &forged, terms());
    assert!(matches!(outcome, Err(Error::NoMatchingKey { .. })));
    // Nor under one that is compromised, to a cipher that allows such keys for the sake of the files.
    let third = office.file.keyring().active().unwrap();
    let stolen = evidence.seal(&office.place.cipher).unwrap();
    office.rotate();
    office
        .file
        .update(|keys| keys.mark_compromised(third))
        .unwrap();
    let rescue = EnvelopeCipher::builder()
        .write_for(office.file.keyring())
        .allow_compromised()
        .build()
        .unwrap();
    Evidence::open(&rescue, &stolen).unwrap();
    let outcome = destroy_key(&office.file, &rescue, old, &stolen, terms());
    assert!(matches!(outcome, Err(Error::KeyNotUsable { .. })));
    office.place.record("record");
    let sealed = office.scan(old).seal(&office.place.cipher).unwrap();
    office.destroy(old, &sealed, terms()).unwrap();
}

#[test]
fn what_is_sealed_while_the_key_is_rotated_ends_under_the_new_one() {
    let office = Office::new();
    let plain = office.desk("plain");
    fs::write(&plain, vec![7; 3_000_000]).unwrap();
    let old = office.file.keyring().active().unwrap();
    for (name, header) in [("inline", None), ("payload", Some("header"))] {
        let mut rotated = false;
        let mut options = FileOptions::new().threads(NonZeroUsize::MIN);
        if let Some(header) = header {
            options = options.detached_header(office.place.path(header));
        }
        let options = options.progress(|_, _| {
            if !std::mem::replace(&mut rotated, true) {
                office.file.update(|keys| keys.rotate("next")).unwrap();
            }
            ControlFlow::Continue(())
        });
        let path = office.place.path(name);
        let cipher = &office.place.cipher;
        encrypt_file(cipher, &plain, &path, &Context::new(), options).unwrap();
        let active = office.file.keyring().active().unwrap();
        let sealed = crate::place::slots(&office.place.path(header.unwrap_or(name)));
        assert_eq!(sealed, [active.into()], "{name}");
        let mut options = FileOptions::new();
        if let Some(header) = header {
            options = options.detached_header(office.place.path(header));
        }
        phi_envelope::verify_file(cipher, &path, &Context::new(), options).unwrap();
    }
    // Where the key was destroyed meanwhile, nothing appears that does not open.
    let mut rotated = false;
    let options = FileOptions::new().progress(|_, _| {
        if !std::mem::replace(&mut rotated, true) {
            let keys = &office.file;
            let active = keys.keyring().active().unwrap();
            keys.update(|keys| keys.rotate("last")).unwrap();
            keys.update(|keys| keys.destroy_without_evidence(active))
                .unwrap();
        }
        ControlFlow::Continue(())
    });
    let path = office.place.path("late");
    let outcome = encrypt_file(
        &office.place.cipher,
        &plain,
        &path,
        &Context::new(),
        options,
    );
    assert!(matches!(outcome, Err(Error::KeyNotUsable { .. })));
    assert!(!path.exists());
    assert_eq!(office.state(old), KeyState::Deactivated);
}
