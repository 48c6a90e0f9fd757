//! A key retired: on evidence that it is out of use, and not without.

use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use phi_envelope::{
    Context, EnvelopeCipher, Error, KeyringFile, Result,
    archive::{
        self, ClassCount, Evidence, EvidenceScan, FindingClass, Previous, RetireOptions,
        RewrapOptions,
    },
    error::EvidenceError,
    files::{self, FileInspection, FileOptions},
    keys::KeyState,
};

use crate::common::{context, keyring, keyring_of};
use crate::office::{OLD, Office, now, set_written, soon, terms};
use crate::place::{opens, record, state, states};

#[track_caller]
fn fault(outcome: Result<()>) -> EvidenceError {
    match outcome {
        Err(Error::Evidence(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// What is found, in the way of a retirement with the default terms. The keyring is not touched, and `data` still opens. Accepted by its
/// exact count, the key goes.
#[track_caller]
fn is_kept_for(office: &Office, class: FindingClass, count: u64, data: &[u8]) {
    let before = office.keyring_state();
    let retired = office.retire();
    assert!(!retired.destroyed, "{:?}", retired.evidence);
    assert_eq!(retired.refused, Some(EvidenceError::Found));
    let found = retired.evidence.found();
    assert!(found.contains(&ClassCount::new(class, count)), "{found:?}");
    assert_eq!(office.keyring_state(), before);
    assert!(office.opens(data));
    for count in [count - 1, count + 1] {
        let options = soon().accept([ClassCount::new(class, count)]);
        let retired = office.retire_with(options).unwrap();
        assert_eq!(retired.refused, Some(EvidenceError::Found), "{count}");
    }
    let retired = office.retire_with(soon().accept(found)).unwrap();
    assert!(retired.destroyed, "{:?}", retired.refused);
    assert!(office.is_destroyed() && !office.opens(data));
}

#[test]
fn a_key_is_retired_from_a_clean_archive_and_its_evidence_recorded() {
    let office = Office::with_files();
    let mut watched = 0;
    let options = soon().watch(|_| watched += 1);
    let path = office.desk("evidence");
    let retired = office.retire_into(&path, options).unwrap();
    assert!(retired.destroyed, "{retired:?}");
    assert!(retired.refused.is_none() && retired.clock_warning.is_none());
    assert_eq!((retired.rewrapped.done, retired.rewrapped.failed), (2, 0));
    assert_eq!(watched, 2);
    let evidence = &retired.evidence;
    assert_eq!((evidence.opened, evidence.in_use), (2, 0));
    assert!(evidence.is_clean());
    assert_eq!(evidence.key, OLD.into());
    assert_eq!(evidence.keyring.unwrap().revision, 2);
    let root = fs::canonicalize(office.place.root()).unwrap();
    assert_eq!(evidence.places[0].name, root.to_str().unwrap());
    assert_eq!(evidence.places[0].envelopes, 2);
    assert!(evidence.settled_since < evidence.began && evidence.began <= evidence.ended);

    // It is a file of a kind of its own, which opens with what opens the keyring's file.
    let sealed = fs::read(&path).unwrap();
    assert_eq!(sealed[5], 0x05);
    let desk = EnvelopeCipher::new(keyring_of(9));
    assert_eq!(Evidence::open(&desk, &sealed).unwrap(), *evidence);
    assert!(Evidence::open(&office.place.cipher, &sealed).is_err());
    let json = serde_json::to_vec(evidence).unwrap();
    let info = office.info();
    assert_eq!(info.state, KeyState::Destroyed);
    let digest: [u8; 32] = sha2::Digest::finalize(sha2::Digest::chain_update(
        <sha2::Sha256 as sha2::Digest>::new(),
        &json,
    ))
    .into();
    assert_eq!(info.evidence, Some(digest));
    for name in ["a/record", "a/stream"] {
        assert!(opens(&office.place.cipher, &office.place.path(name)));
    }
    assert_eq!(state(&path).1[4] & 0o777, 0o600);
    assert!(evidence.to_string().contains(&OLD.to_string()));

    // Once.
    let again = office.retire_into(&office.desk("second"), soon());
    let destroyed = |outcome: Result<()>| {
        matches!(
            outcome,
            Err(Error::KeyNotUsable {
                state: KeyState::Destroyed,
                ..
            })
        )
    };
    assert!(destroyed(again.map(drop)));
    assert!(!office.desk("second").exists());
    assert!(destroyed(archive::destroy_key(
        &office.file,
        OLD,
        &sealed,
        terms()
    )));
}

#[test]
fn a_volume_that_is_linked_into_the_archive_keeps_the_key() {
    let office = Office::with_files();
    let volume = tempfile::tempdir().unwrap();
    let only = office.old_record();
    fs::write(volume.path().join("record"), &only).unwrap();
    symlink(volume.path(), office.place.path("2019")).unwrap();
    // Neither of these leads out.
    symlink("nowhere", office.place.path("dangling")).unwrap();
    symlink("round", office.place.path("round")).unwrap();
    symlink(office.place.path("a"), office.place.path("inside")).unwrap();
    is_kept_for(&office, FindingClass::LinkOut, 1, &only);
}

#[test]
fn a_volume_that_is_not_mounted_keeps_the_key() {
    let office = Office::with_files();
    fs::create_dir(office.place.path("2019")).unwrap();
    is_kept_for(&office, FindingClass::EmptyFolder, 1, &office.old_record());
}

#[test]
fn a_record_whose_first_byte_has_rotted_keeps_the_key() {
    let office = Office::with_files();
    let mut rotten = office.old_record();
    rotten[0] ^= 1;
    office.place.put("rotten", &rotten);
    rotten[0] ^= 1;
    is_kept_for(&office, FindingClass::NotAnEnvelope, 1, &rotten);
}

#[test]
fn a_snapshot_of_hard_links_keeps_the_key() {
    let office = Office::with_files();
    fs::hard_link(office.place.path("a/record"), office.desk("snapshot")).unwrap();
    let only = fs::read(office.desk("snapshot")).unwrap();
    // The rewrap gives the record a file of its own; it is asked before.
    let retired = office.retire();
    assert!(!retired.destroyed);
    assert_eq!(
        retired.evidence.found(),
        [ClassCount::new(FindingClass::MoreLinks, 1)]
    );
    assert!(office.opens(&only));
    // All of whose names are seen has no others.
    let office = Office::with_files();
    let (one, two) = (office.place.path("a/record"), office.place.path("b/record"));
    fs::create_dir(office.place.path("b")).unwrap();
    fs::hard_link(one, two).unwrap();
    assert!(office.retire().destroyed);
}

#[test]
fn a_text_envelope_inside_json_keeps_the_key() {
    let office = Office::with_files();
    let only = office.old_record();
    let text = phi_envelope::Envelope::from_bytes(only.clone()).unwrap();
    office
        .place
        .put("notes.json", format!("{{\"note\":\"{text}\"}}"));
    is_kept_for(&office, FindingClass::EnvelopeInside, 1, &only);
}

#[test]
fn detached_parts_that_lie_apart_keep_the_key() {
    let office = Office::with_files();
    let (header, _) = crate::place::detached(&office.old_cipher());
    let (_, payload) = crate::place::detached(&office.old_cipher());
    office.place.put("header", header);
    office.place.put("payload", payload);
    let retired = office.retire();
    assert!(!retired.destroyed);
    assert_eq!(
        retired.evidence.found(),
        [
            ClassCount::new(FindingClass::PayloadAlone, 1),
            ClassCount::new(FindingClass::HeaderAlone, 1)
        ]
    );
    // A pair is none, and one header is enough for several copies.
    let office = Office::with_files();
    let (header, payload) = crate::place::detached(&office.old_cipher());
    office.place.put("header", header);
    office.place.put("payload", &payload);
    office.place.put("copy", payload);
    assert!(office.retire().destroyed);
}

#[test]
fn a_second_process_within_its_lease_keeps_the_key() {
    // The key was rotated a moment ago: another process may not have seen it yet.
    let office = Office::just_rotated();
    office.place.record("record");
    let before = office.keyring_state();
    let retired = office.retire_with(RetireOptions::new()).unwrap();
    assert_eq!(retired.refused, Some(EvidenceError::TooSoon));
    assert_eq!(office.keyring_state(), before);
    // The lease of a second and the allowance of 300 s.
    let from = retired.not_before.unwrap().duration_since(UNIX_EPOCH);
    let from = from.unwrap().as_secs();
    assert_eq!(from, retired.evidence.settled_since + 302);
    // A lease that was longer until a moment ago counts for a day.
    office
        .file
        .update(|keys| keys.set_lease(Duration::from_secs(2)))
        .unwrap();
    office.settle();
    let retired = office.retire();
    assert_eq!(retired.refused, Some(EvidenceError::TooSoon));
    let from = retired.not_before.unwrap().duration_since(UNIX_EPOCH);
    assert!(from.unwrap().as_secs() > now() + 86_000);
}

#[test]
fn evidence_of_another_keyring_keeps_the_key() {
    // Both have imported the same master key.
    let (mine, theirs) = (Office::with_files(), Office::with(|_| Ok(())));
    theirs.place.record("record");
    let sealed = theirs.scan().seal(&EnvelopeCipher::new(keyring_of(9)));
    let outcome = archive::destroy_key(&mine.file, OLD, &sealed.unwrap(), terms());
    assert_eq!(fault(outcome), EvidenceError::OtherKeyring);
    assert!(!mine.is_destroyed());
}

#[test]
fn a_clock_that_was_set_back_keeps_the_key() {
    let office = Office::with_files();
    // By the clock of this machine, the file was written tomorrow.
    let tomorrow = std::time::SystemTime::now() + Duration::from_secs(86_400);
    set_written(&office.desk("keyring"), tomorrow);
    let retired = office.retire();
    assert_eq!(retired.refused, Some(EvidenceError::TooSoon));
    assert!(!office.is_destroyed());
}

#[test]
fn a_change_of_the_keyrings_file_counts_from_its_last_write() {
    let office = Office::with_files();
    let written = std::time::SystemTime::now() - Duration::from_secs(1);
    set_written(&office.desk("keyring"), written);
    let longer = terms().settling_time(Duration::from_secs(600));
    let retired = office
        .retire_with(RetireOptions::new().destroy(longer))
        .unwrap();
    assert_eq!(retired.refused, Some(EvidenceError::TooSoon));
    let from = retired.not_before.unwrap().duration_since(UNIX_EPOCH);
    assert_eq!(
        from.unwrap().as_secs(),
        retired.evidence.settled_since + 601
    );
    let shorter = terms().settling_time(Duration::from_secs(1));
    let outcome = office.retire_with(RetireOptions::new().destroy(shorter));
    assert!(matches!(outcome, Err(Error::Misuse(_))), "{outcome:?}");
    office.settle();
    assert!(office.retire().destroyed);
}

#[test]
fn an_active_key_and_one_that_is_not_there_are_refused_before_anything_happens() {
    let office = Office::with_files();
    let (place, keyring) = (states(office.place.root()), office.keyring_state());
    let active = office.file.keyring().active().unwrap();
    let stranger = phi_envelope::KeyId::from_bytes([7; 16]);
    for key in [active, stranger] {
        let outcome = archive::retire(
            &office.file,
            &office.place.cipher,
            key,
            &[office.place.root()],
            office.desk("evidence"),
            soon(),
        );
        assert!(
            matches!(
                outcome,
                Err(Error::KeyNotUsable { .. } | Error::NoMatchingKey { .. })
            ),
            "{outcome:?}"
        );
    }
    assert!(!office.desk("evidence").exists());
    assert_eq!(states(office.place.root()), place);
    assert_eq!(office.keyring_state(), keyring);
}

#[test]
fn a_refused_retirement_leaves_a_suspended_key_suspended() {
    let office = Office::with(|keys| keys.suspend(OLD));
    office.place.put("record", office.old_record());
    let before = office.keyring_state();
    let retired = office.retire();
    assert_eq!(retired.refused, Some(EvidenceError::InUse));
    assert_eq!(retired.in_use.len(), 1);
    assert_eq!(retired.rewrapped.failed, 1);
    assert_eq!(office.keyring_state(), before);
    assert_eq!(office.info().state, KeyState::Suspended);
    // Out of use, it goes as it is.
    fs::remove_file(office.place.path("record")).unwrap();
    office.place.record("other");
    assert!(office.retire().destroyed);
}

#[test]
fn a_compromised_key_is_retired_by_sealing_anew() {
    let office = Office::with(|keys| keys.mark_compromised(OLD));
    office.place.put("record", office.old_record());
    let retired = office.retire();
    assert_eq!(retired.refused, Some(EvidenceError::InUse));
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(office.file.keyring())
        .allow_compromised()
        .build()
        .unwrap();
    let contexts = |_: &Path, _: &FileInspection| Ok(context());
    let rewrap = RewrapOptions::new().reencrypt([OLD], contexts);
    let retired = archive::retire(
        &office.file,
        &cipher,
        OLD,
        &[office.place.root()],
        office.desk("second"),
        soon().rewrap(rewrap),
    )
    .unwrap();
    assert!(retired.destroyed, "{retired:?}");
    assert_eq!(retired.rewrapped.reencrypted, 1);
    assert!(opens(&office.place.cipher, &office.place.path("record")));
}

#[test]
fn an_envelope_that_cannot_be_moved_is_in_use() {
    let office = Office::with_files();
    let text = phi_envelope::Envelope::from_bytes(office.old_record()).unwrap();
    let path = office.place.put("text", text.to_string());
    let retired = office.retire();
    assert_eq!(retired.refused, Some(EvidenceError::InUse));
    assert_eq!((retired.rewrapped.failed, retired.evidence.in_use), (1, 1));
    assert_eq!(retired.in_use, [path.to_str().unwrap()]);
    // Nothing accepts that.
    let all = FindingClass::ALL.map(|class| ClassCount::new(class, 1));
    let retired = office.retire_with(soon().accept(all)).unwrap();
    assert_eq!(retired.refused, Some(EvidenceError::InUse));
}

#[test]
fn what_did_not_open_is_found() {
    let office = Office::with_files();
    let foreign = record(&EnvelopeCipher::new(keyring()));
    office.place.put("foreign", foreign);
    is_kept_for(&office, FindingClass::Failed, 1, &office.old_record());
}

#[test]
fn no_place_and_an_empty_one_are_no_evidence() {
    let office = Office::new();
    let none: [&Path; 0] = [];
    let outcome = archive::retire(
        &office.file,
        &office.place.cipher,
        OLD,
        &none,
        office.desk("none"),
        soon(),
    );
    assert_eq!(outcome.unwrap().refused, Some(EvidenceError::NoPlaces));
    let retired = office.retire();
    assert_eq!(
        retired.evidence.found(),
        [ClassCount::new(FindingClass::EmptyFolder, 1)]
    );
}

#[test]
fn a_place_that_shrank_is_found() {
    let office = Office::with_files();
    let extra = office.place.put("extra", office.old_record());
    let desk = EnvelopeCipher::new(keyring_of(9));
    let kept = office.retire_into(&office.desk("first"), RetireOptions::new().keep());
    assert!(kept.unwrap().evidence.is_clean());
    let sealed = fs::read(office.desk("first")).unwrap();
    let previous = || Previous::evidence(&desk, &sealed).unwrap();
    fs::remove_file(&extra).unwrap();
    let retired = office.retire_with(soon().since(previous())).unwrap();
    assert_eq!(
        retired.evidence.found(),
        [ClassCount::new(FindingClass::Shrunk, 1)]
    );
    assert!(retired.evidence.previous.is_some());
    // An inventory says it too.
    let mut summary = office.place.inventory().1;
    summary.records.files += 1;
    let json = serde_json::to_vec(&summary).unwrap();
    let options = soon().since(Previous::inventory(json).unwrap());
    let retired = office.retire_with(options).unwrap();
    assert_eq!(retired.refused, Some(EvidenceError::Found));
    office.place.record("extra");
    let options = soon().since(previous());
    assert!(office.retire_with(options).unwrap().destroyed);
}

#[test]
fn what_is_excluded_is_found() {
    let office = Office::with_files();
    office.place.put("lost+found/x", office.old_record());
    let options = || soon().exclude("lost+found", |path: &Path| path.ends_with("lost+found"));
    let retired = office.retire_with(options()).unwrap();
    let excluded = ClassCount::new(FindingClass::Excluded, 1);
    assert_eq!(retired.evidence.found(), [excluded]);
    assert_eq!(retired.evidence.findings[0].rule, "lost+found");
    assert_eq!(retired.evidence.in_use, 0);
    assert!(
        office
            .retire_with(options().accept([excluded]))
            .unwrap()
            .destroyed
    );
}

#[test]
fn evidence_that_was_changed_or_is_of_others_is_refused() {
    let office = Office::with_files();
    office.place.rewrap();
    let desk = EnvelopeCipher::new(keyring_of(9));
    let evidence = office.scan();
    let sealed = evidence.seal(&desk).unwrap();
    let destroy = |bytes: &[u8]| archive::destroy_key(&office.file, OLD, bytes, terms());
    for at in (0..sealed.len()).step_by(17).chain([sealed.len() - 1]) {
        let mut changed = sealed.clone();
        changed[at] ^= 0x40;
        assert!(destroy(&changed).is_err(), "{at}");
    }
    for len in [0, 4, 100, sealed.len() - 1] {
        assert!(destroy(&sealed[..len]).is_err());
    }
    // Of a keyring that this file is not under; and under the keyring of which it speaks.
    for cipher in [EnvelopeCipher::new(keyring()), office.place.cipher.clone()] {
        let theirs = evidence.seal(&cipher).unwrap();
        let outcome = destroy(&theirs);
        assert!(matches!(outcome, Err(Error::NoMatchingKey { .. })));
    }
    // The same words, as a record of an application, are no evidence, whatever its labels say.
    let json = serde_json::to_vec(&evidence).unwrap();
    let record = desk.encrypt(&json, &Context::new()).unwrap();
    assert!(matches!(destroy(&record), Err(Error::Malformed(_))));
    assert!(!office.is_destroyed());
    destroy(&sealed).unwrap();
    assert!(office.is_destroyed());
}

#[test]
fn evidence_under_the_keyring_of_which_it_speaks_is_refused_though_that_opens_its_file() {
    let office = Office::with_files();
    office.place.rewrap();
    let builder = EnvelopeCipher::builder().encrypt_for(keyring_of(9));
    let both = builder.encrypt_for(office.file.keyring()).build().unwrap();
    office.file.reprotect(both.clone()).unwrap();
    office.settle();
    let evidence = office.scan();
    let destroy = |cipher: &EnvelopeCipher| {
        let sealed = evidence.seal(cipher).unwrap();
        archive::destroy_key(&office.file, OLD, &sealed, terms())
    };
    // Whoever has one of its keys could say what he likes of another.
    for cipher in [&office.place.cipher, &both, &office.old_cipher()] {
        let outcome = destroy(cipher);
        assert!(matches!(outcome, Err(Error::Misuse(_))), "{outcome:?}");
        assert!(!office.is_destroyed());
    }
    destroy(&EnvelopeCipher::new(keyring_of(9))).unwrap();
}

#[test]
fn evidence_is_refused_before_anything_happens_if_it_would_be_scanned_or_is_taken() {
    let office = Office::with_files();
    let place = office.place.root();
    symlink(place.join("a"), office.desk("link")).unwrap();
    fs::write(office.desk("taken"), "taken").unwrap();
    symlink("nowhere", office.desk("dangling")).unwrap();
    let before = (states(place), office.keyring_state());
    for path in [
        place.join("evidence"),
        place.join("a/evidence"),
        place.join("a/../evidence"),
        office.desk("link/evidence"),
    ] {
        let outcome = office.retire_into(&path, soon());
        assert!(matches!(outcome, Err(Error::Misuse(_))), "{path:?}");
        assert!(!path.exists());
    }
    for name in [
        "taken",
        "dangling",
        "no_such_folder/evidence",
        "taken/evidence",
    ] {
        let outcome = office.retire_into(&office.desk(name), soon());
        match outcome {
            // The message names the file.
            Err(Error::Io(error)) => {
                let name = name.split('/').next().unwrap();
                assert!(error.to_string().contains(name), "{error}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let options = soon().rewrap(RewrapOptions::new().dry_run());
    let outcome = office.retire_into(&office.desk("evidence"), options);
    assert!(matches!(outcome, Err(Error::Misuse(_))), "{outcome:?}");
    assert!(!office.desk("evidence").exists());
    assert_eq!((states(place), office.keyring_state()), before);
    assert_eq!(fs::read(office.desk("taken")).unwrap(), b"taken");
}

#[test]
fn places_that_overlap_or_are_files_are_scanned() {
    let office = Office::with_files();
    let place = office.place.root();
    symlink(place, office.desk("link")).unwrap();
    let places = [
        place.join("a/record"),
        place.to_owned(),
        place.join("a"),
        office.desk("link"),
    ];
    let retired = archive::retire(
        &office.file,
        &office.place.cipher,
        OLD,
        &places,
        office.desk("evidence"),
        soon(),
    )
    .unwrap();
    assert!(retired.destroyed, "{retired:?}");
    assert_eq!(retired.evidence.places.len(), 4);
    assert_eq!(retired.evidence.opened, 1 + 2 + 2 + 2);
}

#[test]
fn a_pass_that_was_stopped_leaves_the_key() {
    let office = Office::with_files();
    for number in 0..30 {
        office.place.put(format!("damaged/{number}"), b"PHIE\x01");
    }
    let options = soon().rewrap(RewrapOptions::new().max_failures(3));
    let retired = office.retire_with(options).unwrap();
    assert!(retired.rewrapped.stopped && !retired.destroyed);
}

#[test]
fn old_evidence_is_refused() {
    let office = Office::with_files();
    office.place.rewrap();
    let sealed = office
        .scan()
        .seal(&EnvelopeCipher::new(keyring_of(9)))
        .unwrap();
    std::thread::sleep(Duration::from_millis(2100));
    let young = terms().max_evidence_age(Duration::from_secs(1));
    let outcome = archive::destroy_key(&office.file, OLD, &sealed, young);
    assert_eq!(fault(outcome), EvidenceError::TooOld);
    archive::destroy_key(&office.file, OLD, &sealed, terms()).unwrap();
}

#[test]
fn a_key_that_changed_after_the_scan_is_kept() {
    let office = Office::with_files();
    office.place.rewrap();
    let sealed = office
        .scan()
        .seal(&EnvelopeCipher::new(keyring_of(9)))
        .unwrap();
    office.file.update(|keys| keys.suspend(OLD)).unwrap();
    let outcome = archive::destroy_key(&office.file, OLD, &sealed, terms());
    assert_eq!(fault(outcome), EvidenceError::ChangedSince);
    assert_eq!(office.info().state, KeyState::Suspended);
}

#[test]
fn rows_are_evidence_as_files_are() {
    let office = Office::new();
    let cipher = &office.place.cipher;
    let text = crate::place::text(cipher);
    let mut scan = EvidenceScan::new(&office.file, cipher, OLD).unwrap();
    let rows = [(1, record(cipher)), (2, text.into_bytes())];
    scan.rows("ehr.db, notes", rows.map(Ok::<_, Error>))
        .unwrap();
    let evidence = scan.finish();
    assert!(evidence.is_clean(), "{evidence:?}");
    let sealed = evidence.seal(&EnvelopeCipher::new(keyring_of(9))).unwrap();
    archive::destroy_key(&office.file, OLD, &sealed, terms()).unwrap();
}

#[test]
fn what_is_sealed_while_the_key_is_rotated_ends_under_the_new_one() {
    let office = Office::new();
    let plain = office.desk("plain");
    fs::write(&plain, vec![7; 3_000_000]).unwrap();
    let cipher = &office.place.cipher;
    let mut rotated = false;
    let options = FileOptions::new().threads(NonZeroUsize::MIN);
    let options = options.progress(|_, _| {
        if !std::mem::replace(&mut rotated, true) {
            office.file.update(|keys| keys.rotate("next")).unwrap();
        }
        ControlFlow::Continue(())
    });
    let path = office.place.path("inline");
    files::encrypt(cipher, &plain, &path, &Context::new(), options).unwrap();
    let active = office.file.keyring().active().unwrap();
    assert_eq!(crate::place::slots(&path), [active.into()]);
    // The key was destroyed meanwhile: nothing appears that does not open.
    let mut rotated = false;
    let options = FileOptions::new().progress(|_, _| {
        if !std::mem::replace(&mut rotated, true) {
            let keys: &KeyringFile = &office.file;
            let active = keys.keyring().active().unwrap();
            keys.update(|keys| keys.rotate("last")).unwrap();
            keys.update(|keys| keys.destroy_without_evidence(active))
                .unwrap();
        }
        ControlFlow::Continue(())
    });
    let path = office.place.path("late");
    let outcome = files::encrypt(cipher, &plain, &path, &Context::new(), options);
    assert!(matches!(outcome, Err(Error::KeyNotUsable { .. })));
    assert!(!path.exists());
}

#[test]
fn a_retirement_that_is_told_to_end_ends_and_keeps_the_key() {
    let office = Office::new();
    for name in 0..20 {
        office.place.put(format!("a/{name}"), office.old_record());
    }
    let before = office.keyring_state();
    let steps = 20 + 20; // a rewrap and a look at each file, at least
    for step in [0, 1, 25, steps] {
        let mut left = step;
        let evidence = office.desk("evidence");
        let options = soon().go_on(|| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            ControlFlow::Continue(())
        });
        let outcome = office.retire_into(&evidence, options);
        assert!(matches!(outcome, Err(Error::Cancelled)), "{step}");
        assert!(!evidence.exists(), "{step}");
        assert_eq!(office.keyring_state(), before, "{step}");
    }
    assert!(office.retire().destroyed);
}
