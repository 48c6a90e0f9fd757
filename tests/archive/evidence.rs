//! A scan that opens every header without one key, and finds what it cannot examine.

use std::fs;
use std::os::unix::fs::symlink;

use phi_envelope::{
    EnvelopeCipher, Error, Keyring,
    archive::{ClassCount, Evidence, EvidenceScan, FindingClass, Looked, PlaceKind},
    files,
};

use crate::common::BLOCK;
use crate::office::scan_for;
use crate::place::{Place, record, stream, text};

fn scan(place: &Place, key: phi_envelope::KeyId) -> Evidence {
    scan_for(&place.cipher, key, place.tree())
}

/// How many findings there are of a class.
fn count(evidence: &Evidence, class: FindingClass) -> u64 {
    let found = evidence.found();
    let of_class = found.iter().find(|found| found.class == class);
    of_class.map_or(0, |found| found.count)
}

#[track_caller]
fn is_clean(evidence: &Evidence) {
    assert!(evidence.is_clean(), "{evidence:?}");
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
    assert_eq!((evidence.in_use, evidence.opened), (0, 0));
    assert_eq!(count(&evidence, FindingClass::Failed), 2);
    assert!(!evidence.is_clean());
}

#[test]
fn an_old_block_beside_a_new_one_is_in_use() {
    let place = Place::new();
    let path = place.stream("stream");
    let before = fs::read(&path).unwrap();
    let old = place.rotate();
    files::rewrap(&place.cipher, &path).unwrap();
    let after = fs::read(&path).unwrap();
    let blocks = [&before, &after];
    for (first, second) in [(0, 1), (1, 0)] {
        let mixed = [&blocks[first][..BLOCK], &blocks[second][BLOCK..]].concat();
        place.put("stream", mixed);
        let evidence = scan(&place, old);
        assert_eq!((evidence.in_use, evidence.opened), (1, 0));
    }
    // A block that cannot be read may hold anything.
    let mut torn = after;
    torn[BLOCK + 30] ^= 1;
    place.put("stream", torn);
    let evidence = scan(&place, old);
    assert_eq!(evidence.in_use, 0);
    assert_eq!(count(&evidence, FindingClass::Failed), 1);
    place.rewrap();
    is_clean(&scan(&place, old));
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
    place.put("compact", [b"PHIE\x01\x0B", &[7; 90][..]].concat());
    let old = Place::new().keyring.active().unwrap();
    let evidence = scan(&place, old);
    assert_eq!(evidence.opened, 2);
    assert_eq!(
        evidence.found(),
        [
            ClassCount::new(FindingClass::NotAnEnvelope, 1),
            ClassCount::new(FindingClass::Failed, 4)
        ]
    );
    let failed = evidence.findings.iter();
    let failed = failed.filter(|finding| finding.class == FindingClass::Failed);
    let named: Vec<_> = failed
        .map(|finding| finding.path.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(named, ["changed", "compact", "cut", "foreign"]);
    assert_eq!(evidence.places[0].envelopes, 6);
}

// A header tells nothing of what stands behind its payload.
#[test]
fn an_envelope_that_another_one_is_appended_to_speaks_against_it() {
    let place = Place::new();
    let old = [record(&place.cipher), stream(&place.cipher)];
    let old_text = text(&place.cipher).into_bytes();
    let key = place.rotate();
    let long = place
        .cipher
        .encrypt(vec![b'x'; 20_000], &crate::common::context())
        .unwrap();
    let long_text = phi_envelope::Envelope::from_bytes(long)
        .unwrap()
        .to_string();
    let (new, new_stream) = (record(&place.cipher), stream(&place.cipher));
    for (at, old) in old.iter().enumerate() {
        place.put(format!("joined/record-{at}"), [&new[..], old].concat());
        place.put(
            format!("joined/stream-{at}"),
            [&new_stream[..], old].concat(),
        );
    }
    let lines = [long_text.as_bytes(), b"\n", &old_text].concat();
    place.put("joined/text", &lines);
    place.put("joined/cut-stream", &new_stream[..new_stream.len() - 1]);
    place.put("joined/head-of-a-stream", &new_stream[..BLOCK + 10]);
    place.put("single/record", &new);
    place.put("single/stream", &new_stream);
    place.put("single/text", format!("{long_text}\n"));
    let evidence = scan(&place, key);
    assert_eq!(evidence.found(), [ClassCount::new(FindingClass::Failed, 7)]);
    assert_eq!((evidence.in_use, evidence.opened), (0, 3));

    // The same as rows of a table.
    let mut scan = EvidenceScan::of_slot(&place.cipher, key.into());
    let rows = [&[&new[..], &old[0]].concat(), &new, &lines]
        .map(|row| Ok::<_, Error>((1_u8, row.clone())));
    scan.rows("notes", rows).unwrap();
    let evidence = scan.finish();
    assert_eq!(evidence.found(), [ClassCount::new(FindingClass::Failed, 2)]);
    assert_eq!(evidence.opened, 1);

    // And so an entry of a bucket that is handed whole, of which its first bytes would tell nothing.
    let mut scan = EvidenceScan::of_slot(&place.cipher, key.into());
    let objects = [[&new_stream[..], &old[1]].concat(), new_stream];
    let named = objects.map(|object| Ok::<_, Error>(("object", object)));
    scan.rows("bucket", named).unwrap();
    let evidence = scan.finish();
    assert_eq!(evidence.found(), [ClassCount::new(FindingClass::Failed, 1)]);
    assert_eq!(evidence.opened, 1);
}

#[test]
fn a_second_recipient_does_not_hide_that_the_key_is_in_use() {
    let place = Place::new();
    let archive = Keyring::generate("archive").unwrap();
    let both = EnvelopeCipher::builder()
        .encrypt_for(archive)
        .encrypt_for(place.keyring.clone())
        .build()
        .unwrap();
    place.put("both", record(&both));
    place.put("stream", stream(&both));
    let key = place.keyring.active().unwrap();
    let evidence = scan_for(&both, key, place.tree());
    assert_eq!((evidence.in_use, evidence.opened), (2, 0));
}

#[test]
fn rows_are_opened_as_files_are() {
    let place = Place::new();
    let under_old = record(&place.cipher);
    let old = place.rotate();
    let good = record(&place.cipher);
    let (header, payload) = crate::place::detached(&place.cipher);
    let mut changed = good.clone();
    changed[150] ^= 1;
    let inside = format!("{{\"note\":\"{}\"}}", text(&place.cipher));
    let mut scan = EvidenceScan::of_slot(&place.cipher, old.into());
    let rows = [
        ("good", good.clone()),
        ("header", header.clone()),
        ("old", under_old),
        ("changed", changed),
        ("stream", stream(&place.cipher)),
        ("cut", good[..good.len() - 40].to_vec()),
        ("text", text(&place.cipher).into_bytes()),
        ("json", inside.into_bytes()),
        ("plain", b"MRN".to_vec()),
        ("empty", Vec::new()),
    ];
    scan.rows("notes", rows.map(Ok::<_, Error>)).unwrap();
    assert_eq!(scan.in_use(), ["notes: old"]);
    let evidence = scan.finish();
    // The text is one too.
    assert_eq!((evidence.opened, evidence.in_use), (4, 1), "{evidence:?}");
    for (class, found) in [
        (FindingClass::Failed, 2),
        (FindingClass::EnvelopeInside, 1),
        (FindingClass::NotAnEnvelope, 2),
        (FindingClass::HeaderAlone, 1),
    ] {
        assert_eq!(count(&evidence, class), found, "{class}");
    }
    assert_eq!(evidence.places[0].name, "notes");
    assert_eq!(evidence.places[0].kind, PlaceKind::Rows);

    // A header in a row and its payload in a file are a pair.
    place.put("payload", payload);
    let mut scan = EvidenceScan::of_slot(&place.cipher, old.into());
    let rows = [(1, &good), (2, &header)];
    scan.rows("notes", rows.map(Ok::<_, Error>)).unwrap();
    scan.tree("here", place.tree()).unwrap();
    is_clean(&scan.finish());
}

#[test]
fn rows_whose_reading_failed_and_none_at_all_are_found() {
    let place = Place::new();
    let old = place.rotate();
    let good = record(&place.cipher);
    let mut scan = EvidenceScan::of_slot(&place.cipher, old.into());
    let rows = [Ok((1, &good)), Err("connection lost"), Ok((3, &good))];
    assert_eq!(scan.rows("notes", rows), Err("connection lost"));
    let none: [Result<(u8, Vec<u8>), Error>; 0] = [];
    scan.rows("other", none).unwrap();
    let evidence = scan.finish();
    assert_eq!(evidence.opened, 1);
    assert_eq!(count(&evidence, FindingClass::Unreadable), 1);
    assert_eq!(count(&evidence, FindingClass::EmptyFolder), 1);
    assert!(
        evidence
            .findings
            .iter()
            .any(|finding| finding.rule.contains("connection lost"))
    );
}

#[test]
fn objects_are_handed_over_one_by_one() {
    let place = Place::new();
    let under_old = record(&place.cipher);
    let old = place.rotate();
    let (good, inline) = (record(&place.cipher), stream(&place.cipher));
    let mut scan = EvidenceScan::of_slot(&place.cipher, old.into());
    let opener = scan.opener();
    let bucket = scan.place("bucket", PlaceKind::Objects);
    let mut look = |name: &str, bytes: &[u8], known: usize| {
        let head = &bytes[..known.min(bytes.len())];
        (
            scan.look(bucket, name, bytes.len() as u64, head),
            head.to_vec(),
        )
    };
    assert_eq!(look("old", &under_old, 9000).0, Looked::Done);
    assert!(matches!(look("long", &inline, 100).0, Looked::More(more) if more > 100));
    let (plain, _) = look("plain", b"MRN", 9000);
    let mut opened = Vec::new();
    for (name, bytes) in [("good", &good), ("inline", &inline)] {
        let (Looked::Open(id), head) = look(name, bytes, 9000) else {
            panic!("{name}");
        };
        opened.push((id, opener.open(bytes.len() as u64, &head)));
    }
    let (forgotten, _) = look("forgotten", &good, 9000);
    assert!(matches!(forgotten, Looked::Open(_)));
    for (id, outcome) in opened {
        scan.opened(id, outcome);
    }
    let Looked::Search(plain) = plain else {
        panic!("{plain:?}");
    };
    scan.searched(plain, Ok(None));
    let evidence = scan.finish();
    assert_eq!((evidence.opened, evidence.in_use), (2, 1));
    assert_eq!(
        evidence.found(),
        [
            ClassCount::new(FindingClass::NotAnEnvelope, 1),
            ClassCount::new(FindingClass::Failed, 1)
        ]
    );
    assert_eq!(evidence.places[0].kind, PlaceKind::Objects);
    assert_eq!(evidence.places[0].envelopes, 4);
}

#[test]
fn a_share_of_a_tree_is_no_evidence() {
    let place = Place::new();
    place.record("record");
    let mut scan = EvidenceScan::of_slot(&place.cipher, place.rotate().into());
    let shard = phi_envelope::archive::Shard::new(0, 1).unwrap();
    let outcome = scan.tree("/archive", place.tree().shard(shard));
    assert!(matches!(outcome, Err(phi_envelope::Error::Misuse(_))));
    assert!(!scan.finish().is_clean());
}

#[test]
fn a_payload_counts_only_with_a_header_whose_key_verifies_it() {
    let place = Place::new();
    let old = place.rotate();
    place.record("record");
    let (header, payload) = crate::place::detached(&place.cipher);
    place.put("header", &header);
    is_found(&scan(&place, old), FindingClass::HeaderAlone);
    place.put("payload", &payload);
    is_clean(&scan(&place, old));
    // The id is right, and FLOE's header tag is another payload's.
    let (_, other) = crate::place::detached(&place.cipher);
    place.put("payload", [&payload[..24], &other[24..]].concat());
    let evidence = scan(&place, old);
    assert_eq!(count(&evidence, FindingClass::PayloadAlone), 1);
    assert_eq!(count(&evidence, FindingClass::HeaderAlone), 1);
    // A head that is cut, newer or not as the format says is an envelope that failed.
    for change in [&payload[..60], b"PHIP\x02\x03\0\0", b"PHIP\x01\x03\0\x01"] {
        place.put(
            "payload",
            [change, &[0; 90][..]].concat().get(..90).unwrap(),
        );
        let evidence = scan(&place, old);
        assert!(!evidence.is_clean(), "{evidence:?}");
    }
    fs::remove_file(place.path("header")).unwrap();
    place.put("payload", payload);
    is_found(&scan(&place, old), FindingClass::PayloadAlone);
}

/// That, once, and nothing else.
#[track_caller]
fn is_found(evidence: &Evidence, class: FindingClass) {
    assert_eq!(evidence.found(), [ClassCount::new(class, 1)]);
}

#[test]
fn each_folder_must_hold_something() {
    let (place, empty) = (Place::new(), Place::new());
    let old = place.rotate();
    place.record("record");
    let mut scan = EvidenceScan::of_slot(&place.cipher, old.into());
    scan.tree("here", place.tree()).unwrap();
    scan.tree("not mounted", empty.tree()).unwrap();
    let evidence = scan.finish();
    assert_eq!(evidence.opened, 1);
    is_found(&evidence, FindingClass::EmptyFolder);
}

#[test]
fn links_are_found_if_they_lead_out_of_all_places() {
    let (place, other) = (Place::new(), Place::new());
    let old = place.rotate();
    place.record("record");
    let there = other.put("there", record(&place.cipher));
    symlink(&there, place.path("out")).unwrap();
    is_found(&scan(&place, old), FindingClass::LinkOut);
    let mut scan = EvidenceScan::of_slot(&place.cipher, old.into());
    scan.tree("here", place.tree()).unwrap();
    // The place that it leads into may come later.
    scan.tree("there", phi_envelope::archive::FileTree::new([there]))
        .unwrap();
    is_clean(&scan.finish());
}

#[test]
fn a_file_with_more_names_than_were_seen_is_found() {
    let (place, other) = (Place::new(), Place::new());
    let old = place.rotate();
    let one = place.record("a/one");
    fs::create_dir(place.path("b")).unwrap();
    fs::hard_link(&one, place.path("b/two")).unwrap();
    is_clean(&scan(&place, old));
    fs::hard_link(&one, other.path("three")).unwrap();
    is_found(&scan(&place, old), FindingClass::MoreLinks);
    let mut scan = EvidenceScan::of_slot(&place.cipher, old.into());
    scan.tree("here", place.tree()).unwrap();
    // The same names, seen twice, are no further ones.
    scan.tree("again", place.tree()).unwrap();
    is_found(&scan.finish(), FindingClass::MoreLinks);
    let mut scan = EvidenceScan::of_slot(&place.cipher, old.into());
    scan.tree("here", place.tree()).unwrap();
    scan.tree("there", other.tree()).unwrap();
    is_clean(&scan.finish());
}

#[test]
fn a_folder_that_changes_while_it_is_read_is_read_again() {
    let place = Place::new();
    let old = place.rotate();
    for number in 0..40 {
        place.record(format!("{}/{number}", number % 4));
    }
    // What comes while the exclusion of the last file is asked for comes after its folder was listed, or before.
    let (root, sealed) = (place.root().to_owned(), record(&place.cipher));
    let done = std::sync::atomic::AtomicU32::new(0);
    let tree = place.tree().exclude("never", move |path| {
        use std::sync::atomic::Ordering;
        if path.is_file() && done.fetch_add(1, Ordering::Relaxed) < 30 {
            let number = done.load(Ordering::Relaxed);
            fs::write(root.join(format!("{}/late-{number}", number % 4)), &sealed).unwrap();
        }
        false
    });
    let evidence = scan_for(&place.cipher, old, tree);
    let all = u64::try_from(fs::read_dir(place.root()).unwrap().count()).unwrap();
    assert_eq!(all, 4);
    assert_eq!(evidence.opened, 70, "{evidence:?}");
    is_clean(&evidence);
}

#[test]
fn a_folder_that_never_stands_still_is_found() {
    let place = Place::new();
    let old = place.rotate();
    place.record("a/record");
    let root = place.root().join("a");
    let count = std::sync::atomic::AtomicU32::new(0);
    let sealed = record(&place.cipher);
    let tree = place.tree().exclude("never", move |path| {
        if path.ends_with("record") {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            fs::write(root.join(format!("more-{number}")), &sealed).unwrap();
            // Times of a file system are coarse.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        false
    });
    is_found(&scan_for(&place.cipher, old, tree), FindingClass::Moved);
}

#[test]
fn more_findings_than_are_listed_are_counted() {
    let place = Place::new();
    for number in 0..10_100 {
        place.put(format!("{}/{number}", number % 10), b"PHIE\x01");
    }
    let evidence = scan(&place, place.keyring.active().unwrap());
    assert_eq!(count(&evidence, FindingClass::Failed), 10_100);
    assert_eq!(evidence.findings.len(), 10_000);
    assert_eq!(evidence.more, [ClassCount::new(FindingClass::Failed, 100)]);
    let sealed = evidence.seal(&place.cipher).unwrap();
    assert_eq!(Evidence::open(&place.cipher, sealed).unwrap(), evidence);
}

#[test]
fn evidence_is_json_as_the_format_lays_it_out() {
    let place = Place::new();
    let old = place.rotate();
    place.record("record");
    let odd = std::os::unix::ffi::OsStringExt::from_vec(b"\x1b\xff".to_vec());
    let odd: std::ffi::OsString = odd;
    place.put(&odd, "plain");
    let evidence = scan(&place, old);
    let json = serde_json::to_value(&evidence).unwrap();
    let mut names: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "accepted",
            "began",
            "ended",
            "findings",
            "in_use",
            "key",
            "keyring",
            "more",
            "opened",
            "places",
            "previous",
            "settled_since",
            "version"
        ]
    );
    assert_eq!(json["keyring"], serde_json::Value::Null);
    assert_eq!(json["key"]["scheme"], 1);
    let finding = &json["findings"][0];
    assert_eq!(finding["class"], "not-an-envelope");
    assert!(
        finding["path"]
            .as_str()
            .unwrap()
            .ends_with("\\u{1b}\u{fffd}")
    );
    assert!(finding["path_base64"].as_str().unwrap().len() > 4);
    let sealed = evidence.seal(&place.cipher).unwrap();
    assert_eq!(Evidence::open(&place.cipher, sealed).unwrap(), evidence);
}
