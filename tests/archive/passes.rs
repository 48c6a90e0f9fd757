//! A pass over a tree: what it moves, what it fails at, and when it ends.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use phi_envelope::{
    EnvelopeCipher, Error, KeyProvider, Keyring, Result,
    archive::{self, FileTree, RewrapOptions, RewrapOutcome, SkipReason},
    error::{Malformed, RecipientError},
    files,
    keys::{DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};

use crate::common::BLOCK;
use crate::place::{
    Place, failure, json, opens, outcome, record, rewrap_all, slots, state, states, stream, text,
};

#[test]
fn every_kind_is_moved_or_told() {
    let place = Place::new();
    let sealed = [
        place.record("a/record"),
        place.stream("a/stream"),
        place.detached("a/header"),
    ];
    let text = place.put("text", text(&place.cipher));
    let plain = place.put("plain", "MRN-0042");
    let damaged = place.put("damaged", &record(&place.cipher)[..50]);
    let left = place.record(".phi-tmp-0123456789abcdef0123456789abcdef");
    let untouched = [&text, &plain, &damaged, &left].map(|path| state(path));
    let (entries, summary) = place.rewrap();
    assert_eq!((summary.done, summary.current, summary.failed), (0, 3, 2));

    let old = place.rotate();
    let payload = fs::read(place.path("a/header.payload")).unwrap();
    let (entries_after, summary) = place.rewrap();
    assert!(entries.keys().eq(entries_after.keys()));
    let entries = entries_after;
    for path in &sealed {
        assert_eq!(outcome(&entries[path]), "done");
        assert_eq!(slots(path), [place.keyring.active().unwrap().into()]);
    }
    assert_eq!(outcome(&entries[&plain]), "not-an-envelope");
    assert_eq!(outcome(&entries[&left]), "temporary");
    assert_eq!(
        outcome(&entries[&place.path("a/header.payload")]),
        "detached-payload"
    );
    assert!(matches!(
        failure(&entries[&text]),
        Error::Malformed(Malformed::TextForm)
    ));
    assert!(matches!(failure(&entries[&damaged]), Error::Truncated));
    let line = json(&entries[&damaged]);
    assert_eq!(
        (&line["outcome"], &line["error"]),
        (&"failed".into(), &"truncated".into())
    );
    assert_eq!((summary.done, summary.failed), (3, 2));
    assert_eq!((summary.not_envelopes, summary.passed_over), (1, 2));
    assert!(!summary.stopped);
    assert_eq!(
        untouched,
        [&text, &plain, &damaged, &left].map(|path| state(path))
    );
    assert!(summary.to_string().contains("NOT ENVELOPES"));
    json(&summary);

    let before = states(place.root());
    let (_, again) = place.rewrap();
    assert_eq!((again.done, again.current, again.failed), (0, 3, 2));
    assert_eq!(states(place.root()), before);
    place.keyring.destroy_without_evidence(old).unwrap();
    assert!(opens(&place.cipher, &sealed[0]) && opens(&place.cipher, &sealed[1]));
    let header = fs::read(&sealed[2]).unwrap();
    let context = crate::common::context();
    assert!(
        place
            .cipher
            .decrypt_reader_detached(&header, &payload[..], &context)
            .is_ok()
    );
}

#[test]
fn one_thread_and_eight_do_the_same() {
    for threads in [1, 8] {
        let place = Place::new();
        for number in 0..100 {
            place.record(format!("{}/{number}", number % 5));
            place.stream(format!("{}/{number}.stream", number % 5));
        }
        let old = place.rotate();
        let tree = place.tree().threads(threads.try_into().unwrap());
        let (entries, summary) = rewrap_all(&place.cipher, tree, RewrapOptions::new());
        assert_eq!((summary.done, entries.len()), (200, 200));
        let bytes: u64 = entries.values().map(|entry| entry.bytes).sum();
        assert_eq!(summary.bytes, bytes);
        place.keyring.destroy_without_evidence(old).unwrap();
        assert!(entries.keys().all(|path| opens(&place.cipher, path)));
    }
}

#[test]
fn a_bound_on_the_rate_holds_over_all_threads() {
    let place = Place::new();
    for number in 0..40 {
        place.record(number.to_string());
    }
    let tree = place.tree().files_per_second(100.try_into().unwrap());
    let tree = tree.threads(8.try_into().unwrap());
    let begin = Instant::now();
    assert_eq!(archive::inventory(tree).unwrap().count(), 40);
    // The first goes at once.
    assert!(
        begin.elapsed() >= Duration::from_millis(390),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn what_is_done_slowly_is_told_one_by_one_and_ends_when_nobody_listens() {
    let place = Place::new();
    for number in 0..50 {
        place.record(number.to_string());
    }
    let tree = place.tree().files_per_second(2.try_into().unwrap());
    let tree = tree.threads(8.try_into().unwrap());
    let begin = Instant::now();
    let mut taken = archive::inventory(tree).unwrap();
    assert!(taken.next().is_some());
    drop(taken);
    // The eight threads would have waited for their turn until then.
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn too_many_failures_end_a_pass() {
    let place = Place::new();
    for number in 0..500 {
        place.put(number.to_string(), &record(&place.cipher)[..50]);
    }
    for most in [0, 1, 20] {
        let options = RewrapOptions::new().max_failures(most);
        let tree = place.tree().threads(1.try_into().unwrap());
        let mut pass = archive::rewrap(&place.cipher, tree, options).unwrap();
        let failed = pass
            .by_ref()
            .filter(phi_envelope::archive::RewrapEntry::is_failure)
            .count();
        let summary = pass.finish();
        assert!(summary.stopped, "{most}");
        assert_eq!(summary.failed, failed as u64);
        // What was begun when the limit was passed is told too, and no more than that.
        assert!(
            (most + 1..most + 10).contains(&summary.failed),
            "{most}: {}",
            summary.failed
        );
        assert!(summary.to_string().contains("stopped"));
    }
    let options = RewrapOptions::new().max_failures(500);
    let (_, summary) = rewrap_all(&place.cipher, place.tree(), options);
    assert_eq!((summary.failed, summary.stopped), (500, false));
}

#[test]
fn a_dry_run_changes_nothing_and_tells_what_would_be() {
    let place = Place::new();
    let current = place.record("current");
    let half = place.stream("half");
    let whole = fs::read(&half).unwrap();
    let stays = place.cipher.clone();
    let foreign = EnvelopeCipher::new(Keyring::generate("elsewhere").unwrap());
    place.rotate();
    let sealed = [
        place.path("record"),
        place.path("stream"),
        place.path("header"),
    ];
    // Sealed before the rotation.
    let before = EnvelopeCipher::builder()
        .encrypt_for(place.keyring.clone())
        .build()
        .unwrap();
    fs::write(&half, whole).unwrap();
    place.record("new");
    fs::copy(&current, &sealed[0]).unwrap();
    fs::copy(&half, &sealed[1]).unwrap();
    let mut torn = stream(&before);
    torn[60] ^= 1;
    place.put("torn", torn);
    place.put("foreign", record(&foreign));
    place.put("text", text(&stays));
    place.put("plain", "MRN");
    place.put("damaged", b"PHIE\x01");
    fs::remove_file(&current).unwrap();

    let before = states(place.root());
    let (entries, summary) =
        rewrap_all(&place.cipher, place.tree(), RewrapOptions::new().dry_run());
    assert_eq!(states(place.root()), before);
    let told = |name: &str| outcome(&entries[&place.path(name)]);
    for name in ["record", "stream", "half", "torn"] {
        assert_eq!(told(name), "would-change", "{name}");
    }
    assert_eq!(told("new"), "current");
    for name in ["foreign", "text", "damaged"] {
        assert_eq!(told(name), "failed", "{name}");
    }
    assert_eq!(told("plain"), "not-an-envelope");
    assert_eq!(
        (summary.would_change, summary.current, summary.failed),
        (4, 1, 3)
    );

    // What it told comes to be.
    let (entries, summary) = place.rewrap();
    assert_eq!((summary.done, summary.current, summary.failed), (4, 1, 3));
    assert_eq!(outcome(&entries[&place.path("torn")]), "done");
}

/// A provider that does harm to whoever asks it.
struct Panics(Keyring, Arc<AtomicUsize>);

impl KeyProvider for Panics {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.0.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        self.0.wrap_key(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        if self.1.fetch_add(1, Ordering::Relaxed) == 20 {
            panic!("the provider fell over");
        }
        self.0.unwrap_key(slot, context)
    }
}

#[test]
fn a_provider_that_panics_is_not_swallowed() {
    let place = Place::new();
    for number in 0..100 {
        place.record(number.to_string());
    }
    for threads in [1, 4] {
        let asked = Arc::new(AtomicUsize::new(0));
        let cipher = EnvelopeCipher::new(Panics(place.keyring.clone(), Arc::clone(&asked)));
        let tree = place.tree().threads(threads.try_into().unwrap());
        let pass = archive::rewrap(&cipher, tree, RewrapOptions::new()).unwrap();
        let ended = catch_unwind(AssertUnwindSafe(|| pass.finish()));
        let panic = ended.unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"the provider fell over"));
    }
    let (_, summary) = place.rewrap();
    assert_eq!((summary.current, summary.failed), (100, 0));
}

#[test]
fn a_pass_that_is_dropped_stops_and_leaves_whole_files() {
    let place = Place::new();
    for number in 0..400 {
        place.record(number.to_string());
        place.stream(format!("{number}.stream"));
    }
    place.rotate();
    let tree = place.tree().threads(4.try_into().unwrap());
    let mut pass = archive::rewrap(&place.cipher, tree, RewrapOptions::new()).unwrap();
    assert_eq!(pass.by_ref().take(30).count(), 30);
    drop(pass);
    let before = states(place.root());
    let (entries, summary) = place.inventory();
    assert_eq!(
        (entries.len(), summary.blocks_differ, summary.temporary),
        (800, 0, 0)
    );
    assert!(entries.keys().all(|path| opens(&place.cipher, path)));
    let [first, second] = &summary.keys.listed[..] else {
        panic!("two keys");
    };
    assert!(first.tally.files > 0 && second.tally.files > 0);
    // Nobody works on behind the caller's back.
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(states(place.root()), before);
    let (_, rest) = place.rewrap();
    assert_eq!(rest.done + rest.current, 800);
    assert!(rest.done > 0 && rest.current >= 30);
}

#[test]
fn a_slot_that_is_left_under_an_old_key_is_a_failure() {
    let place = Place::new();
    let archive = Keyring::generate("archive").unwrap();
    let both = EnvelopeCipher::builder()
        .encrypt_for(place.keyring.clone())
        .encrypt_for(archive.clone())
        .build()
        .unwrap();
    let files = [
        place.put("record", record(&both)),
        place.put("stream", stream(&both)),
    ];
    let alone = place.put("alone", record(&EnvelopeCipher::new(archive.clone())));
    let old = archive.active().unwrap();
    archive.rotate("next").unwrap();
    place.rotate();
    // The archive's slots are known here, and not moved.
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(place.keyring.clone())
        .decrypt_with(archive)
        .build()
        .unwrap();
    for options in [
        RewrapOptions::new().dry_run(),
        RewrapOptions::new(),
        RewrapOptions::new(),
        RewrapOptions::new().dry_run(),
    ] {
        let (entries, summary) = rewrap_all(&cipher, place.tree(), options);
        for path in &files {
            if matches!(entries[path].outcome, RewrapOutcome::WouldChange) {
                continue;
            }
            let error = failure(&entries[path]);
            assert!(
                matches!(error, Error::OutdatedSlot { slot } if *slot == old.into()),
                "{error:?}"
            );
            assert_eq!(json(&entries[path])["error"], "outdated-slot");
        }
        assert_eq!(summary.done, 0);
        assert!(entries[&alone].is_failure());
    }
    // What it writes for was moved all the same.
    assert!(slots(&files[0]).contains(&place.keyring.active().unwrap().into()));
}

#[test]
fn an_envelope_without_a_recipients_slot_is_a_failure() {
    let place = Place::new();
    let theirs = Keyring::generate("theirs").unwrap();
    let path = place.put("record", record(&EnvelopeCipher::new(theirs.clone())));
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(place.keyring.clone())
        .decrypt_with(theirs)
        .build()
        .unwrap();
    for options in [RewrapOptions::new().dry_run(), RewrapOptions::new()] {
        let (entries, _) = rewrap_all(&cipher, place.tree(), options);
        assert!(matches!(
            failure(&entries[&path]),
            Error::Recipients(RecipientError::Absent)
        ));
    }
    let (entries, _) = place.rewrap();
    assert!(matches!(
        failure(&entries[&path]),
        Error::NoMatchingKey { .. }
    ));
}

#[test]
fn a_cipher_that_writes_for_nobody_is_refused() {
    let place = Place::new();
    let cipher = EnvelopeCipher::builder()
        .decrypt_with(place.keyring.clone())
        .build()
        .unwrap();
    let pass = archive::rewrap(&cipher, place.tree(), RewrapOptions::new());
    assert!(matches!(pass, Err(Error::Misuse(_))));
}

#[test]
fn header_blocks_that_were_left_half_rewrapped_are_repaired() {
    let place = Place::new();
    let path = place.stream("first");
    let before = fs::read(&path).unwrap();
    let old = place.rotate();
    files::rewrap(&place.cipher, &path).unwrap();
    let after = fs::read(&path).unwrap();
    let (a, b, rest) = (..BLOCK, BLOCK..2 * BLOCK, 2 * BLOCK..);
    place.put(
        "second",
        [&before[a], &after[b.clone()], &after[rest.clone()]].concat(),
    );
    place.put("third", [&after[a], &before[b], &after[rest]].concat());
    let mut torn = after.clone();
    torn[BLOCK + 2000] ^= 1;
    place.put("torn", torn);

    let (entries, summary) = place.rewrap();
    assert_eq!((summary.done, summary.current), (3, 1), "{entries:?}");
    for name in ["second", "third", "torn"] {
        let now = fs::read(place.path(name)).unwrap();
        assert!(now[..BLOCK] == now[BLOCK..2 * BLOCK], "{name}");
        assert!(!slots(&place.path(name)).contains(&old.into()), "{name}");
        assert!(now[2 * BLOCK..] == after[2 * BLOCK..], "{name}");
    }
    place.keyring.destroy_without_evidence(old).unwrap();
    assert!(entries.keys().all(|path| opens(&place.cipher, path)));
}

#[test]
fn a_link_in_a_tree_does_not_lead_out_of_it() {
    let place = Place::new();
    let outside = Place::of(place.keyring.clone());
    let file = outside.record("record");
    std::os::unix::fs::symlink(&file, place.path("link")).unwrap();
    std::os::unix::fs::symlink(outside.root(), place.path("folder")).unwrap();
    place.rotate();
    let before = state(&file);
    let (entries, summary) = place.rewrap();
    assert_eq!((summary.passed_over, summary.done), (2, 0));
    let told = entries
        .values()
        .all(|entry| matches!(entry.outcome, RewrapOutcome::Skipped(SkipReason::Symlink)));
    assert!(told);
    assert_eq!(state(&file), before);
}

#[test]
fn a_million_threads_are_not_started() {
    let place = Place::new();
    place.record("record");
    let tree = || FileTree::new([place.path("record")]);
    let threads = std::num::NonZeroUsize::MAX;
    assert_eq!(
        archive::inventory(tree().threads(threads)).unwrap().count(),
        1
    );
}

#[test]
fn a_dry_run_opens_as_the_rewrap_does() {
    use std::os::unix::fs::PermissionsExt as _;

    let place = Place::new();
    let stream = place.stream("stream");
    place.record("shut/record");
    place.rotate();
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&stream, 0o444);
    mode(&place.path("shut"), 0o555);
    if fs::File::options().write(true).open(&stream).is_ok() {
        mode(&place.path("shut"), 0o755);
        return; // nothing is shut to root
    }
    let before = states(place.root());
    let dry = rewrap_all(&place.cipher, place.tree(), RewrapOptions::new().dry_run()).1;
    assert_eq!((dry.would_change, dry.failed), (0, 2));
    assert_eq!(states(place.root()), before);
    mode(&place.path("shut"), 0o755);
}

#[test]
fn a_lock_that_is_held_is_a_failure_of_that_file() {
    let place = Place::new();
    let held = place.stream("held");
    place.stream("free");
    place.rotate();
    let lock = fs::File::open(&held).unwrap();
    lock.lock().unwrap();
    let at_once = phi_envelope::files::ChangeOptions::new().lock_wait(Some(Duration::ZERO));
    let options = RewrapOptions::new().change(at_once);
    let (entries, summary) = rewrap_all(&place.cipher, place.tree(), options);
    assert_eq!((summary.done, summary.failed), (1, 1));
    assert!(failure(&entries[&held]).to_string().contains("locked"));
}
