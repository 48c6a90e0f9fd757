//! What stolen keys open, and what they do not.

use std::fs;

use phi_envelope::{
    EnvelopeCipher, Keyring, Passphrase,
    archive::{self, ExposureEntry, ExposureSummary, Readability},
    files,
    header::SlotId,
    keys::Argon2Costs,
};

use crate::common::BLOCK;
use crate::place::{Place, json, record, stream, text};

fn sorted(place: &Place, keys: &[SlotId]) -> (Vec<(String, ExposureEntry)>, ExposureSummary) {
    let mut exposure = archive::exposure(place.tree(), keys.to_vec()).unwrap();
    let mut entries: Vec<_> = exposure
        .by_ref()
        .map(|entry| {
            let name = entry.path.strip_prefix(place.root()).unwrap();
            (name.to_str().unwrap().to_owned(), entry)
        })
        .collect();
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    (entries, exposure.finish())
}

fn word(entry: &ExposureEntry) -> String {
    json(entry)["exposed"].as_str().unwrap().to_owned()
}

#[test]
fn every_category() {
    let place = Place::new();
    place.record("readable");
    place.put("readable_text", text(&place.cipher));
    place.stream("readable_stream");
    place.detached("readable_header");
    place.stream("changed");
    let old = place.rotate();
    files::rewrap(&place.cipher, place.path("changed")).unwrap();
    place.record("new");
    place.put("plain", "MRN");
    place.put("damaged", b"PHIE\x01\x09\0\0");
    place.put("newer", b"PHIE\x02\x09\0\0");
    std::os::unix::fs::symlink("readable", place.path("link")).unwrap();

    let (entries, summary) = sorted(&place, &[old.into()]);
    let told: Vec<_> = entries
        .iter()
        .map(|(name, entry)| (&**name, word(entry)))
        .collect();
    let expected = [
        ("changed", "not-readable"),
        ("damaged", "damaged"),
        ("link", "passed-over"),
        ("new", "not-readable"),
        ("newer", "damaged"),
        ("plain", "not-an-envelope"),
        ("readable", "readable"),
        ("readable_header", "readable"),
        ("readable_header.payload", "detached-payload"),
        ("readable_stream", "readable"),
        ("readable_text", "readable"),
    ];
    assert_eq!(told, expected.map(|(name, word)| (name, word.to_owned())));
    assert_eq!((summary.readable.files, summary.not_readable.files), (4, 2));
    assert_eq!(summary.not_readable_but_changed.files, 1);
    assert_eq!((summary.damaged.files, summary.not_envelopes.files), (2, 1));
    assert_eq!(
        (summary.detached_payloads.files, summary.passed_over),
        (1, 1)
    );
    let bytes = |names: &[&str]| -> u64 {
        names
            .iter()
            .map(|name| fs::metadata(place.path(name)).unwrap().len())
            .sum()
    };
    let readable = [
        "readable",
        "readable_header",
        "readable_stream",
        "readable_text",
    ];
    assert_eq!(summary.readable.bytes, bytes(&readable));
    assert_eq!(summary.not_readable.bytes, bytes(&["changed", "new"]));
    assert_eq!(summary.not_readable_but_changed.bytes, bytes(&["changed"]));
    assert_eq!(summary.readable_by.listed[0].key_id, old.to_string());
    assert_eq!(summary.readable_by.listed[0].tally, summary.readable);
    let under = &summary.not_readable_under.listed;
    assert_eq!(under[0].key_id, place.keyring.active().unwrap().to_string());
    assert!(under[0].oldest.is_some() && under[0].oldest <= under[0].newest);
    let line = |name: &str| json(&entries.iter().find(|entry| entry.0 == name).unwrap().1);
    assert_eq!(
        (&line("changed")["generation"], &line("new")["generation"]),
        (&1.into(), &0.into())
    );
    assert_eq!(line("readable")["keys"][0]["key_id"], old.to_string());
    let table = summary.to_string();
    assert!(
        table.contains("READABLE with these keys") && table.contains("NOT ENVELOPES"),
        "{table}"
    );
    json(&summary);
}

#[test]
fn each_key_is_counted_for_itself() {
    let place = Place::new();
    let archive = Keyring::generate("archive").unwrap();
    let both = EnvelopeCipher::builder()
        .encrypt_for(place.keyring.clone())
        .encrypt_for(archive.clone())
        .build()
        .unwrap();
    place.put("both", record(&both));
    place.put("archive", record(&EnvelopeCipher::new(archive.clone())));
    place.record("mine");
    let (mine, theirs) = (place.keyring.active().unwrap(), archive.active().unwrap());
    let (entries, summary) = sorted(&place, &[mine.into(), theirs.into()]);
    assert_eq!((summary.readable.files, summary.not_readable.files), (3, 0));
    let files: Vec<_> = summary
        .readable_by
        .listed
        .iter()
        .map(|key| key.tally.files)
        .collect();
    assert_eq!(files, [2, 2]);
    let Readability::Readable(slots) = &entries[1].1.exposed else {
        panic!("{entries:?}");
    };
    assert_eq!(slots, &[mine.into(), theirs.into()]);

    let (entries, summary) = sorted(&place, &[theirs.into()]);
    assert_eq!((summary.readable.files, summary.not_readable.files), (2, 1));
    let Readability::Readable(slots) = &entries[1].1.exposed else {
        panic!("{entries:?}");
    };
    assert_eq!(slots, &[theirs.into()]);
    // No key, no file; and an id of another scheme is another key.
    assert_eq!(sorted(&place, &[]).1.readable.files, 0);
    let other = SlotId {
        scheme: 3,
        key_id: mine.as_bytes().to_vec(),
    };
    assert_eq!(sorted(&place, &[other]).1.readable.files, 0);
    let empty = SlotId {
        scheme: 1,
        key_id: Vec::new(),
    };
    assert_eq!(sorted(&place, &[empty]).1.readable.files, 0);
}

#[test]
fn a_passphrase_is_named_by_its_scheme() {
    let place = Place::new();
    for number in 0..3 {
        let costs = Argon2Costs {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        };
        let passphrase = Passphrase::new("in the safe")
            .unwrap()
            .with_costs(costs)
            .unwrap();
        let cipher = EnvelopeCipher::builder()
            .encrypt_for(place.keyring.clone())
            .encrypt_for(passphrase)
            .build()
            .unwrap();
        place.put(number.to_string(), record(&cipher));
    }
    place.record("without");
    let any = SlotId {
        scheme: 2,
        key_id: Vec::new(),
    };
    let (entries, summary) = sorted(&place, &[any]);
    assert_eq!((summary.readable.files, summary.not_readable.files), (3, 1));
    assert_eq!(summary.readable_by.listed.len(), 1);
    let Readability::Readable(slots) = &entries[0].1.exposed else {
        panic!("{entries:?}");
    };
    // One of its slots alone can be named as well.
    let (_, summary) = sorted(&place, slots);
    assert_eq!(summary.readable.files, 1);
}

#[test]
fn a_slot_in_the_other_header_block_is_readable() {
    let place = Place::new();
    let path = place.stream("stream");
    let before = fs::read(&path).unwrap();
    let old = place.rotate();
    files::rewrap(&place.cipher, &path).unwrap();
    let after = fs::read(&path).unwrap();
    let blocks = [&before, &after];
    for (first, second) in [(0, 1), (1, 0)] {
        place.put(
            "stream",
            [&blocks[first][..BLOCK], &blocks[second][BLOCK..]].concat(),
        );
        let (entries, summary) = sorted(&place, &[old.into()]);
        assert_eq!(word(&entries[0].1), "readable");
        assert_eq!(summary.readable.files, 1);
    }
    place.put("stream", stream(&place.cipher));
    assert_eq!(sorted(&place, &[old.into()]).1.readable.files, 0);
}

#[test]
fn a_readable_keyring_is_named_and_opens_more_in_turn() {
    let (place, outer) = (
        Place::new(),
        phi_envelope::Keyring::generate("outer").unwrap(),
    );
    let path = place.path("ehr.keyring");
    let file = phi_envelope::KeyringFile::create(&path, "ehr", outer.clone()).unwrap();
    let sealed = phi_envelope::EnvelopeCipher::new(file.keyring());
    place.put("record", crate::place::record(&sealed));
    let stolen = phi_envelope::header::SlotId::from(outer.active().unwrap());
    let summary = phi_envelope::archive::exposure(place.tree(), [stolen.clone()])
        .unwrap()
        .finish();
    assert_eq!((summary.readable.files, summary.not_readable.files), (1, 1));
    assert_eq!(summary.readable_keyrings, [path.to_str().unwrap()]);
    assert!(summary.to_string().contains("READABLE KEYRING"));
    let all = phi_envelope::archive::exposure_through([stolen], [&file]);
    let summary = phi_envelope::archive::exposure(place.tree(), all)
        .unwrap()
        .finish();
    assert_eq!(summary.readable.files, 2);
    let other = phi_envelope::KeyId::from_bytes([3; 16]).into();
    assert_eq!(
        phi_envelope::archive::exposure_through([other], [&file]).len(),
        1
    );
}
