//! Names that somebody chose to do harm, and many names for one file.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use phi_envelope::{
    EnvelopeCipher,
    archive::{self, EvidenceScan, FileTree, RewrapOptions, RewrapOutcome},
};

use crate::place::{Place, json, opens, record, slots, word};

fn hostile() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        &b"two\nlines"[..],
        b"\"quoted\",\"path\":\"other\"",
        b"back\\slash",
        b"nul-like\\u0000",
        b"\x1b[2J\x1b[31mred",
        b"\x7f\x01\x1f\r\t",
        b"not utf-8 \xff\xfe",
        b"cut off \xe2\x82",
        b"surrogate \xed\xa0\x80",
        "right \u{202e}to left".as_bytes(),
        "line \u{2028} separator".as_bytes(),
        "nul\u{e9} composed".as_bytes(),
        b"-rf",
        b"--help",
        b" ",
        b" leading and trailing ",
        b"...",
        b"*?[x]",
        b"$(touch owned)",
        b"%s%n{}",
        b".hidden",
        b".phi-tmp-short",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    names.push(vec![b'x'; 255]);
    names.push(vec![0xfe; 255]);
    names
}

fn hostile_path(name: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(name))
}

/// The path that a line gives, as whoever reads it would take it.
fn path_in(line: &serde_json::Value) -> PathBuf {
    match line.get("path_base64") {
        Some(base64) => {
            let bytes = STANDARD.decode(base64.as_str().unwrap()).unwrap();
            hostile_path(&bytes)
        }
        None => PathBuf::from(line["path"].as_str().unwrap()),
    }
}

#[test]
fn hostile_names_come_through_json_lines_and_a_rewrap() {
    let place = Place::new();
    let mut paths = Vec::new();
    for name in hostile() {
        let name = hostile_path(&name);
        paths.push(place.record(&name));
        paths.push(place.stream(Path::new("in").join(&name).join("stream")));
        paths.push(place.stream(Path::new("too").join(&name)));
        paths.push(place.put(Path::new("plain").join(&name), "MRN"));
    }
    paths.sort();
    let sorted = |lines: Vec<serde_json::Value>| {
        let mut paths: Vec<_> = lines.iter().map(path_in).collect();
        paths.sort();
        paths
    };
    let lines = archive::inventory(place.tree())
        .unwrap()
        .map(|entry| json(&entry));
    assert_eq!(sorted(lines.collect()), paths);
    let lines = archive::exposure(place.tree(), [])
        .unwrap()
        .map(|entry| json(&entry));
    assert_eq!(sorted(lines.collect()), paths);

    let old = place.rotate();
    let mut pass = archive::rewrap(&place.cipher, place.tree(), RewrapOptions::new()).unwrap();
    let lines = pass.by_ref().map(|entry| json(&entry)).collect();
    assert_eq!(sorted(lines), paths);
    let summary = pass.finish();
    let names = hostile().len() as u64;
    assert_eq!((summary.done, summary.failed), (3 * names, 0));
    assert_eq!(summary.not_envelopes, names);

    // What is found fault with is named in the evidence, which people read.
    let mut scan = EvidenceScan::of_slot(&place.cipher, place.keyring.active().unwrap().into());
    scan.tree("here\u{1b}[2J\nand there", place.tree()).unwrap();
    let evidence = scan.finish();
    assert_eq!(evidence.in_use, 3 * names);
    let shown = evidence.to_string();
    assert!(
        !shown.contains('\u{1b}') && !shown.contains("\nand"),
        "{shown}"
    );
    let stored = evidence.seal(&place.cipher).unwrap();
    assert_eq!(
        phi_envelope::archive::Evidence::open(&place.cipher, stored).unwrap(),
        evidence
    );
    place.keyring.destroy_without_evidence(old).unwrap();
    for path in paths
        .iter()
        .filter(|path| !path.starts_with(place.path("plain")))
    {
        assert!(opens(&place.cipher, path), "{path:?}");
    }
}

#[test]
fn labels_that_somebody_chose_do_not_break_a_line() {
    let place = Place::new();
    let labels = crate::place::context_of("a\n\"b\": {\u{1b}\\")
        .label("path", "/etc/passwd")
        .unwrap();
    let sealed = place.cipher.encrypt("note", &labels).unwrap();
    let path = place.put("record", sealed);
    let entry = archive::inventory(place.tree()).unwrap().next().unwrap();
    let line = json(&entry);
    assert_eq!(line["path"].as_str(), path.to_str());
    assert_eq!(line["labels"]["tenant"], "a\n\"b\": {\u{1b}\\");
    assert_eq!(line["labels"]["path"], "/etc/passwd");
}

#[test]
fn folders_in_folders_until_the_path_is_too_long() {
    let place = Place::new();
    let deep: PathBuf = (0..150).map(|level| format!("{level}")).collect();
    place.record(deep.join("record"));
    place.stream("near");
    // Below what a path can name, as another process can make it step by step.
    let script = "i=0; while [ $i -lt 40 ]; do n=$(printf '%0200d' $i); mkdir $n && cd -P $n || exit 1; i=$((i+1)); done; echo MRN >plain";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(place.root())
        .status();
    assert!(made.unwrap().success());

    let told: Vec<_> = archive::inventory(place.tree()).unwrap().collect();
    let count = |is: &str| told.iter().filter(|entry| word(entry) == is).count();
    assert_eq!(
        (count("record"), count("stream"), count("unreadable")),
        (1, 1, 1)
    );
    place.rotate();
    let summary = archive::rewrap(&place.cipher, place.tree(), RewrapOptions::new()).unwrap();
    let summary = summary.finish();
    assert_eq!((summary.done, summary.failed), (2, 1));
    let made = Command::new("sh")
        .args(["-c", "rm -rf 0*"])
        .current_dir(place.root())
        .status();
    assert!(made.unwrap().success());
}

/// `names` names of one file, in some folders.
fn link(place: &Place, file: &Path, names: usize) {
    for name in 0..names {
        let folder = place.path(format!("links/{}", name % 10));
        fs::create_dir_all(&folder).unwrap();
        fs::hard_link(
            file,
            folder.join(format!(
                "{name}-{}",
                file.file_name().unwrap().to_str().unwrap()
            )),
        )
        .unwrap();
    }
}

#[test]
fn thousands_of_names_for_one_file() {
    const NAMES: usize = 1500;
    let place = Place::new();
    let files = [
        place.stream("stream"),
        place.record("record"),
        place.detached("header"),
    ];
    for file in &files {
        link(&place, file, NAMES);
    }
    let old = place.rotate();
    let tree = || place.tree().threads(8.try_into().unwrap());
    let pass = archive::rewrap(&place.cipher, tree(), RewrapOptions::new()).unwrap();
    let (mut streams, mut others) = (0, 0);
    let mut pass = pass;
    for entry in &mut pass {
        let is_stream = entry.path.to_str().unwrap().ends_with("stream");
        match entry.outcome {
            RewrapOutcome::Rewrapped if is_stream => streams += 1,
            RewrapOutcome::Rewrapped => others += 1,
            RewrapOutcome::UpToDate if is_stream => {}
            RewrapOutcome::Skipped(_) if entry.path.ends_with("header.payload") => {}
            ref other => panic!("{:?}: {other:?}", entry.path),
        }
    }
    // One inode, changed in place once. What is replaced by rename is another file then, and each name gets its own.
    assert_eq!((streams, others), (1, 2 * (NAMES + 1)));
    assert_eq!(pass.summary().failed, 0);
    let again = archive::rewrap(&place.cipher, tree(), RewrapOptions::new())
        .unwrap()
        .finish();
    assert_eq!((again.done, again.failed), (0, 0));
    assert_eq!(again.current, 3 * (NAMES as u64 + 1));

    place.keyring.destroy_without_evidence(old).unwrap();
    let new = place.keyring.active().unwrap();
    for entry in archive::inventory(tree()).unwrap() {
        if entry.inspection().is_none() {
            continue;
        }
        assert_eq!(slots(&entry.path), [new.into()]);
        let header = entry.path.to_str().unwrap().ends_with("header");
        assert!(
            header || opens(&place.cipher, &entry.path),
            "{:?}",
            entry.path
        );
    }
}

#[test]
fn one_file_of_many_names_between_many_passes() {
    let place = Place::new();
    let file = place.stream("stream");
    link(&place, &file, 300);
    place.rotate();
    // Of several processes, each with its own handle.
    let passes: Vec<_> = (0..6)
        .map(|_| {
            let (cipher, tree) = (EnvelopeCipher::new(place.keyring.clone()), place.tree());
            std::thread::spawn(move || {
                archive::rewrap(&cipher, tree, RewrapOptions::new())
                    .unwrap()
                    .finish()
            })
        })
        .collect();
    let done: u64 = passes
        .into_iter()
        .map(|pass| {
            let summary = pass.join().unwrap();
            assert_eq!(summary.failed, 0);
            summary.done
        })
        .sum();
    assert_eq!(done, 1);
    assert!(opens(&place.cipher, &file));
    assert_eq!(slots(&file), [place.keyring.active().unwrap().into()]);
}

#[test]
fn two_names_of_one_record_in_one_folder() {
    let place = Place::new();
    let bytes = record(&place.cipher);
    for pair in 0..100 {
        let first = place.put(format!("{pair}-a"), &bytes);
        fs::hard_link(first, place.path(format!("{pair}-b"))).unwrap();
    }
    place.rotate();
    let tree = FileTree::new([place.root().to_owned()]).threads(8.try_into().unwrap());
    let summary = archive::rewrap(&place.cipher, tree, RewrapOptions::new())
        .unwrap()
        .finish();
    assert_eq!((summary.done, summary.failed), (200, 0));
    assert_eq!(fs::read_dir(place.root()).unwrap().count(), 200);
}
