//! Files that are sealed anew because their key is compromised.

use std::fs;

use phi_envelope::{
    Context, EnvelopeCipher, Error, KeyId, Result,
    archive::RewrapOptions,
    error::{ContextMismatch, RecipientError},
    files::FileInspection,
};

use crate::common::{context, keyring};
use crate::place::{Place, failure, opens, outcome, record, rewrap_all, slots, states, stream};

fn contexts(_: &std::path::Path, _: &FileInspection) -> Result<Context> {
    Ok(context())
}

fn compromised(place: &Place) -> (KeyId, EnvelopeCipher) {
    let old = place.rotate();
    place.keyring.mark_compromised(old).unwrap();
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(place.keyring.clone())
        .allow_compromised()
        .build()
        .unwrap();
    (old, cipher)
}

#[test]
fn what_a_compromised_key_opens_is_sealed_anew_and_the_rest_is_rewrapped() {
    let place = Place::new();
    let (old_record, old_stream) = (place.record("a/record"), place.stream("a/stream"));
    let header = place.detached("header");
    let (old, cipher) = compromised(&place);
    let deactivated = place.record("later");
    place.rotate();
    let current = place.stream("current");
    let ids = |path: &std::path::Path| {
        phi_envelope::files::inspect(path)
            .unwrap()
            .header
            .data_key_id
    };
    let before = [&old_record, &old_stream, &deactivated, &current].map(|path| ids(path));

    let refused = rewrap_all(&place.cipher, place.tree(), RewrapOptions::new());
    assert!(matches!(
        failure(&refused.0[&old_record]),
        Error::KeyNotUsable { .. }
    ));
    let options = || RewrapOptions::new().reencrypt([old], contexts);
    let was = states(place.root());
    let (entries, summary) = rewrap_all(&cipher, place.tree(), options().dry_run());
    assert_eq!(states(place.root()), was);
    assert_eq!(outcome(&entries[&old_record]), "would-change");
    assert_eq!(outcome(&entries[&current]), "current");
    assert_eq!((summary.reencrypted, summary.done), (0, 0));

    let (entries, summary) = rewrap_all(&cipher, place.tree(), options());
    for path in [&old_record, &old_stream] {
        assert_eq!(outcome(&entries[path]), "reencrypted");
    }
    // Moved to the new key by the pass above, or by this one.
    assert!(["current", "done"].contains(&&*outcome(&entries[&deactivated])));
    assert_eq!(outcome(&entries[&current]), "current");
    // A header and its payload cannot be replaced at one stroke.
    assert!(entries[&header].is_failure());
    assert_eq!((summary.reencrypted, summary.failed), (2, 1));
    let after = [&old_record, &old_stream, &deactivated, &current].map(|path| ids(path));
    let same: Vec<_> = before
        .iter()
        .zip(&after)
        .map(|(old, new)| old == new)
        .collect();
    assert_eq!(same, [false, false, true, true]);
    for path in [&old_record, &old_stream, &deactivated, &current] {
        assert!(opens(&place.cipher, path), "{path:?}");
        assert_eq!(slots(path), [place.keyring.active().unwrap().into()]);
    }
    let (_, again) = rewrap_all(&cipher, place.tree(), options());
    assert_eq!((again.reencrypted, again.done, again.failed), (0, 0, 1));
}

#[test]
fn a_dry_run_tells_what_could_not_be_sealed_anew() {
    let place = Place::new();
    let path = place.record("record");
    let header = place.detached("header");
    let mut changed = record(&place.cipher);
    changed[150] ^= 1;
    let changed = place.put("changed", changed);
    let (old, cipher) = compromised(&place);
    let unknown = |_: &std::path::Path, _: &FileInspection| -> Result<Context> {
        Err(ContextMismatch::BindingsMissing.into())
    };
    let dry = || RewrapOptions::new().dry_run();
    // The cipher does not allow compromised keys.
    let (entries, _) = rewrap_all(
        &place.cipher,
        place.tree(),
        dry().reencrypt([old], contexts),
    );
    assert!(matches!(
        failure(&entries[&path]),
        Error::KeyNotUsable { .. }
    ));
    // Nobody knows the context.
    let (entries, _) = rewrap_all(&cipher, place.tree(), dry().reencrypt([old], unknown));
    assert!(matches!(
        failure(&entries[&path]),
        Error::ContextMismatch(_)
    ));
    let (entries, _) = rewrap_all(&cipher, place.tree(), dry().reencrypt([old], contexts));
    assert_eq!(outcome(&entries[&path]), "would-change");
    assert!(entries[&changed].is_failure());
    assert!(entries[&header].is_failure());
}

#[test]
fn a_dry_run_tells_that_a_recipient_would_lose_the_file() {
    let place = Place::new();
    let both = EnvelopeCipher::builder()
        .encrypt_for(place.keyring.clone())
        .encrypt_for(keyring());
    let both = both.build().unwrap();
    let paths = [
        place.put("record", record(&both)),
        place.put("stream", stream(&both)),
    ];
    let (old, cipher) = compromised(&place);
    let was = states(place.root());
    for options in [RewrapOptions::new(), RewrapOptions::new().dry_run()] {
        let options = options.reencrypt([old], contexts);
        let (entries, _) = rewrap_all(&cipher, place.tree(), options);
        for path in &paths {
            let error = failure(&entries[path]);
            let is_dropped = matches!(error, Error::Recipients(RecipientError::Dropped));
            assert!(is_dropped, "{}: {error}", path.display());
        }
        assert_eq!(states(place.root()), was);
    }
}

#[test]
fn a_context_that_is_nowhere_is_no_file_that_is_gone() {
    let place = Place::new();
    let path = place.record("record");
    let (old, cipher) = compromised(&place);
    let nowhere = |_: &std::path::Path, _: &FileInspection| -> Result<Context> {
        Err(Error::Io(std::io::ErrorKind::NotFound.into()))
    };
    for options in [RewrapOptions::new(), RewrapOptions::new().dry_run()] {
        let options = options.reencrypt([old], nowhere);
        let (entries, summary) = rewrap_all(&cipher, place.tree(), options);
        assert!(matches!(failure(&entries[&path]), Error::Io(_)));
        assert_eq!((summary.failed, summary.passed_over), (1, 0));
    }
}

#[test]
fn a_wrong_context_leaves_the_file_as_it_was() {
    let place = Place::new();
    let path = place.stream("stream");
    let (old, cipher) = compromised(&place);
    let before = fs::read(&path).unwrap();
    for wrong in [
        Context::new(),
        crate::common::labels(),
        crate::place::context_of("other"),
    ] {
        let contexts = move |_: &std::path::Path, _: &FileInspection| Ok(wrong.clone());
        let options = RewrapOptions::new().reencrypt([old], contexts);
        let (entries, summary) = rewrap_all(&cipher, place.tree(), options);
        assert!(matches!(
            failure(&entries[&path]),
            Error::ContextMismatch(_)
        ));
        assert_eq!(summary.failed, 1);
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn the_other_header_block_counts() {
    let place = Place::new();
    let old_bytes = stream(&place.cipher);
    let path = place.put("stream", &old_bytes);
    let (old, cipher) = compromised(&place);
    rewrap_all(&cipher, place.tree(), RewrapOptions::new());
    let new_bytes = fs::read(&path).unwrap();
    // It leads with the new key, and the compromised one still has a slot in the other block.
    let block = crate::common::BLOCK;
    place.put(
        "stream",
        [&new_bytes[..block], &old_bytes[block..]].concat(),
    );
    let options = RewrapOptions::new().reencrypt([old], contexts);
    let (entries, _) = rewrap_all(&cipher, place.tree(), options);
    assert_eq!(outcome(&entries[&path]), "reencrypted");
    assert!(opens(&place.cipher, &path));
    assert_eq!(slots(&path), [place.keyring.active().unwrap().into()]);
}
