//! A scan that opens every header without one key.

use std::fs;

use phi_envelope::{
    EnvelopeCipher, Error, Evidence, EvidenceFault, EvidenceScan, Keyring, rewrap_file,
};

use crate::common::BLOCK;
use crate::place::{Place, record, stream, text};

fn scan(place: &Place, key: phi_envelope::KeyId) -> Evidence {
    let mut scan = EvidenceScan::new(&place.cipher, key);
    scan.tree("here", place.tree()).unwrap();
    scan.finish()
}

#[test]
fn a_header_that_only_says_that_it_is_under_another_key_does_not_count() {
    let place = Place::new();
    let path = place.stream("stream");
    let sealed = place.record("record");
    let old = place.rotate();
    let mut names: Vec<_> = place.keyring.keys().iter().map(|key| key.id).collect();
    let new = names.pop().unwrap();
    // Somebody writes the new key's id where the old one's was: the tag says otherwise.
    for path in [&path, &sealed] {
        let mut bytes = fs::read(path).unwrap();
        let mut at = 0;
        while let Some(found) = bytes[at..]
            .windows(16)
            .position(|window| window == old.as_bytes())
        {
            at += found;
            bytes[at..at + 16].copy_from_slice(new.as_bytes());
        }
        if path.ends_with("stream") {
            for block in [0, BLOCK] {
                let block = &mut bytes[block..block + BLOCK];
                let digest = sha2::Digest::finalize(sha2::Digest::chain_update(
                    <sha2::Sha256 as sha2::Digest>::new(),
                    &block[..BLOCK - 8],
                ));
                block[BLOCK - 8..].copy_from_slice(&digest[..8]);
            }
        }
        fs::write(path, bytes).unwrap();
    }
    let (_, summary) = place.inventory();
    assert_eq!(
        summary.keys.listed.len(),
        1,
        "the claim is believed without a key"
    );
    let evidence = scan(&place, old);
    assert_eq!(
        (evidence.in_use, evidence.not_opened, evidence.opened.files),
        (0, 2, 0)
    );
    assert!(evidence.check().is_err());
}

#[test]
fn an_old_block_beside_a_new_one_is_in_use() {
    let place = Place::new();
    let path = place.stream("stream");
    let before = fs::read(&path).unwrap();
    let old = place.rotate();
    rewrap_file(&place.cipher, &path).unwrap();
    let after = fs::read(&path).unwrap();
    let blocks = [&before, &after];
    for (first, second) in [(0, 1), (1, 0)] {
        let mixed = [&blocks[first][..BLOCK], &blocks[second][BLOCK..]].concat();
        place.put("stream", mixed);
        let evidence = scan(&place, old);
        assert_eq!((evidence.in_use, evidence.opened.files), (1, 0));
    }
    // A block that cannot be read may hold anything.
    let mut torn = after;
    torn[BLOCK + 30] ^= 1;
    place.put("stream", torn);
    let evidence = scan(&place, old);
    assert_eq!((evidence.in_use, evidence.not_opened), (0, 1));
    place.rewrap();
    scan(&place, old).check().unwrap();
}

#[test]
fn a_record_that_nobody_can_open_speaks_against_it() {
    let place = Place::new();
    place.record("good");
    let foreign = EnvelopeCipher::new(Keyring::generate("elsewhere").unwrap());
    place.put("foreign", record(&foreign));
    let mut changed = record(&place.cipher);
    changed[150] ^= 1;
    place.put("changed", changed);
    place.put("cut", &record(&place.cipher)[..60]);
    place.put("text", text(&place.cipher));
    place.put("plain", "MRN");
    let old = Place::new().keyring.active().unwrap();
    let evidence = scan(&place, old);
    assert_eq!((evidence.opened.files, evidence.not_opened), (2, 3));
    assert_eq!(evidence.not_envelopes.files, 1);
    let mut named: Vec<_> = evidence
        .findings
        .iter()
        .map(|finding| finding.what.rsplit('/').next().unwrap().to_owned())
        .collect();
    named.sort();
    assert_eq!(named, ["changed", "cut", "foreign"]);
    assert!(matches!(
        evidence.check(),
        Err(Error::Evidence(EvidenceFault::NotAllOpened))
    ));
}

#[test]
fn a_second_recipient_does_not_hide_that_the_key_is_in_use() {
    let place = Place::new();
    let archive = Keyring::generate("archive").unwrap();
    let both = EnvelopeCipher::builder()
        .write_for(archive)
        .write_for(place.keyring.clone())
        .build()
        .unwrap();
    place.put("both", record(&both));
    place.put("stream", stream(&both));
    let key = place.keyring.active().unwrap();
    let mut scan = EvidenceScan::new(&both, key);
    scan.tree("here", place.tree()).unwrap();
    let evidence = scan.finish();
    assert_eq!((evidence.in_use, evidence.opened.files), (2, 0));
}

#[test]
fn rows_are_opened_as_files_are() {
    let place = Place::new();
    let under_old = record(&place.cipher);
    let old = place.rotate();
    let good = record(&place.cipher);
    let (header, _) = crate::place::detached(&place.cipher);
    let mut changed = good.clone();
    changed[150] ^= 1;
    let mut scan = EvidenceScan::new(&place.cipher, old);
    let rows = [
        ("good", good.clone()),
        ("header", header),
        ("old", under_old),
        ("changed", changed),
        ("stream", stream(&place.cipher)),
        ("cut", good[..good.len() - 40].to_vec()),
        ("text", text(&place.cipher).into_bytes()),
        ("plain", b"MRN".to_vec()),
        ("empty", Vec::new()),
    ];
    scan.rows("notes", rows.map(Ok::<_, Error>)).unwrap();
    let evidence = scan.finish();
    // The text is one too.
    assert_eq!(evidence.opened.files, 4, "{evidence:?}");
    assert_eq!(evidence.detached_headers, 1);
    assert_eq!((evidence.in_use, evidence.not_opened), (1, 4));
    assert_eq!(evidence.places[0].name, "notes");
    assert_eq!(evidence.places[0].opened, evidence.opened);
    assert!(
        evidence
            .findings
            .iter()
            .any(|finding| finding.what == "notes: old")
    );

    let mut scan = EvidenceScan::new(&place.cipher, old);
    scan.rows("notes", [Ok::<_, Error>((1, &good))]).unwrap();
    scan.finish().check().unwrap();
}

#[test]
fn rows_whose_reading_failed_are_not_all_opened() {
    let place = Place::new();
    let old = place.rotate();
    let good = record(&place.cipher);
    let mut scan = EvidenceScan::new(&place.cipher, old);
    let rows = [Ok((1, &good)), Err("connection lost"), Ok((3, &good))];
    assert_eq!(scan.rows("notes", rows), Err("connection lost"));
    let evidence = scan.finish();
    assert_eq!(evidence.opened.files, 1);
    assert!(evidence.findings[0].why.contains("connection lost"));
    assert!(evidence.check().is_err());
}

#[test]
fn a_share_of_a_tree_is_no_evidence() {
    let place = Place::new();
    place.record("record");
    let mut scan = EvidenceScan::new(&place.cipher, place.rotate());
    let shard = phi_envelope::Shard::new(0, 1).unwrap();
    let outcome = scan.tree("/archive", place.tree().shard(shard));
    assert!(matches!(outcome, Err(phi_envelope::Error::Misuse(_))));
    assert!(scan.finish().check().is_err());
}

#[test]
fn a_payload_whose_header_was_not_opened_speaks_against_it() {
    let place = Place::new();
    let old = place.rotate();
    place.record("record");
    let (header, payload) = crate::place::detached(&place.cipher);
    place.put("payload", payload);
    let without = scan(&place, old);
    assert!(without.check().is_err());
    assert_eq!((without.not_opened, without.detached_headers), (0, 0));

    let mut with = EvidenceScan::new(&place.cipher, old);
    with.tree("here", place.tree()).unwrap();
    with.rows("headers", [Ok::<_, Error>((1, header))]).unwrap();
    with.finish().check().unwrap();
}

#[test]
fn each_place_must_hold_something() {
    let (place, empty) = (Place::new(), Place::new());
    let old = place.rotate();
    place.record("record");
    let mut scan = EvidenceScan::new(&place.cipher, old);
    scan.tree("here", place.tree()).unwrap();
    scan.tree("not mounted", empty.tree()).unwrap();
    let evidence = scan.finish();
    assert_eq!(evidence.opened.files, 1);
    assert!(evidence.check().is_err());
}

#[test]
fn more_findings_than_are_listed_are_counted() {
    let place = Place::new();
    for number in 0..1100 {
        place.put(format!("{}/{number}", number % 10), b"PHIE\x01");
    }
    let evidence = scan(&place, place.keyring.active().unwrap());
    assert_eq!(evidence.not_opened, 1100);
    assert_eq!(
        (evidence.findings.len(), evidence.further_findings),
        (1000, 100)
    );
    let sealed = evidence.seal(&place.cipher).unwrap();
    assert_eq!(Evidence::open(&place.cipher, sealed).unwrap(), evidence);
}
