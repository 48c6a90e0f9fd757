//! What is named: folders, files, links, what is not there, what may not be read.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use phi_envelope::archive::{
    self, EvidenceScan, FileTree, InventoryEntry, RewrapOptions, RewrapOutcome, SkipReason,
};

use crate::children::{command, said};
use crate::common::keyring_of;
use crate::place::{Place, outcome, rewrap_all, take_inventory, word};

fn words(tree: FileTree) -> Vec<String> {
    let mut words: Vec<_> = archive::inventory(tree)
        .unwrap()
        .map(|e| word(&e))
        .collect();
    words.sort();
    words
}

#[test]
fn a_file_that_is_named_is_looked_at() {
    let place = Place::new();
    let (record, stream) = (place.record("a/record"), place.stream("a/stream"));
    let roots = [record.clone(), stream, place.put("plain", "MRN")];
    assert_eq!(
        words(FileTree::new(roots)),
        ["not-an-envelope", "record", "stream"]
    );

    place.rotate();
    let (entries, summary) = rewrap_all(
        &place.cipher,
        FileTree::new([record.clone()]),
        RewrapOptions::new(),
    );
    assert_eq!((summary.done, entries.len()), (1, 1));
    assert_eq!(outcome(&entries[&record]), "done");
}

#[test]
fn a_link_that_is_named_is_followed_and_one_that_is_met_is_not() {
    let place = Place::new();
    let outside = Place::of(place.keyring.clone());
    outside.record("record");
    let file = outside.stream("deep/stream");
    symlink(outside.root(), place.path("to_folder")).unwrap();
    symlink(&file, place.path("to_file")).unwrap();
    let pipe = place.path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    symlink(&pipe, place.path("to_pipe")).unwrap();
    symlink("nowhere", place.path("dangling")).unwrap();

    assert_eq!(
        words(place.tree()),
        ["special", "symlink", "symlink", "symlink", "symlink"]
    );
    let named = |name: &str| words(FileTree::new([place.path(name)]));
    assert_eq!(named("to_folder"), ["record", "stream"]);
    assert_eq!(named("to_file"), ["stream"]);
    assert_eq!(named("to_pipe"), ["special"]);
    assert_eq!(named("dangling"), ["unreadable"]);
    assert_eq!(FileTree::new([place.path("to_folder")]).count(), 2);
    assert_eq!(FileTree::new([place.path("to_file")]).count(), 1);

    // The link stays one, and what it leads to is moved.
    place.rotate();
    for name in ["to_folder", "to_file"] {
        let tree = FileTree::new([place.path(name)]);
        let (_, summary) = rewrap_all(&place.cipher, tree, RewrapOptions::new());
        assert_eq!((summary.failed, summary.passed_over), (0, 0), "{name}");
        assert!(fs::symlink_metadata(place.path(name)).unwrap().is_symlink());
    }
    let new = place.keyring.active().unwrap().into();
    assert_eq!(crate::place::slots(&file), [new]);
}

#[test]
fn what_is_named_and_not_there_is_a_failure() {
    let place = Place::new();
    place.record("record");
    symlink("nowhere", place.path("dangling")).unwrap();
    for name in ["archvie", "dangling", "record/below", "nowhere/deep"] {
        let tree = || FileTree::new([place.path(name)]);
        assert_eq!(words(tree()), ["unreadable"], "{name}");
        let (entries, summary) = rewrap_all(&place.cipher, tree(), RewrapOptions::new());
        let outcome = &entries[&place.path(name)].outcome;
        assert!(
            matches!(outcome, RewrapOutcome::Failed(_)),
            "{name}: {outcome:?}"
        );
        assert_eq!((summary.failed, summary.passed_over), (1, 0), "{name}");

        let mut scan = EvidenceScan::of_slot(&place.cipher, place.keyring.active().unwrap().into());
        scan.tree(name, tree()).unwrap();
        assert_eq!(scan.finish().findings.len(), 1, "{name}");
        let found = archive::exposure(tree(), []).unwrap().finish();
        assert_eq!(found.unreadable, 1, "{name}");
    }
    assert_eq!(words(FileTree::new([PathBuf::new()])), ["unreadable"]);
    assert_eq!(words(FileTree::new(Vec::<PathBuf>::new())), [""; 0]);
}

#[test]
fn dots_and_slashes_in_what_is_named() {
    let place = Place::new();
    place.record("a/b/record");
    place.stream("stream");
    for dots in ["a/..", "a/b/../..", "./a/../", "a//b//..//.."] {
        assert_eq!(
            words(FileTree::new([place.path(dots)])),
            ["record", "stream"]
        );
    }
    place.rotate();
    let tree = FileTree::new([place.path("a/../a/b/..")]);
    let (entries, summary) = rewrap_all(&place.cipher, tree, RewrapOptions::new());
    assert_eq!((summary.done, entries.len()), (1, 1));
    assert!(entries.keys().all(|path| path.ends_with("b/record")));
}

#[test]
fn a_file_that_two_roots_lead_to_is_rewrapped_once() {
    let place = Place::new();
    for file in 0..40 {
        place.record(format!("a/b/{file}"));
        place.stream(format!("a/{file}"));
    }
    place.rotate();
    let roots = ["", "a", "a/b", "a/b/../b", "a/b/7", "a/7"].map(|name| place.path(name));
    let tree = FileTree::new(roots).threads(8.try_into().unwrap());
    let pass = phi_envelope::archive::rewrap(&place.cipher, tree, RewrapOptions::new());
    let summary = pass.unwrap().finish();
    assert_eq!((summary.done, summary.failed), (80, 0));
    assert_eq!(summary.current, 80 + 40 + 40 + 2);
    let (_, summary) = place.inventory();
    let [key] = &summary.keys.listed[..] else {
        panic!("one key");
    };
    assert_eq!(key.key_id, place.keyring.active().unwrap().to_string());
}

#[test]
fn what_goes_while_a_pass_runs_is_no_failure() {
    let place = Place::new();
    for file in 0..200 {
        place.record(file.to_string());
    }
    place.rotate();
    let tree = place.tree().threads(1.try_into().unwrap());
    let mut pass =
        phi_envelope::archive::rewrap(&place.cipher, tree, RewrapOptions::new()).unwrap();
    assert!(pass.next().is_some());
    for file in 0..200 {
        fs::remove_file(place.path(file.to_string())).unwrap();
    }
    let gone = |entry: &phi_envelope::archive::RewrapEntry| {
        matches!(entry.outcome, RewrapOutcome::Skipped(SkipReason::Gone))
    };
    let gone = pass.by_ref().filter(gone).count();
    assert_eq!(pass.summary().failed, 0);
    assert!(
        gone > 0 || pass.summary().done > 100,
        "{:?}",
        pass.summary()
    );
}

// Root may read everything: the test becomes nobody, in a place that nobody can get to.

fn lay_out(place: &Place) {
    place.record("open/record");
    place.record("shut/record");
    place.record("secret");
    let mode = |name: &str, mode| {
        fs::set_permissions(place.path(name), Permissions::from_mode(mode)).unwrap();
    };
    mode("shut", 0o000);
    mode("secret", 0o000);
}

fn check(root: &Path) {
    let at = |name: &str| root.join(name);
    let (entries, summary) = take_inventory(FileTree::new([root.to_owned()]));
    let told: Vec<_> = entries.values().map(word).collect();
    assert_eq!(told, ["record", "unreadable", "unreadable"], "{entries:?}");
    assert_eq!((summary.unreadable, summary.files.files), (2, 1));
    let is_unreadable = |name: &str| {
        let entry: &InventoryEntry = &entries[&at(name)];
        matches!(
            entry.content,
            phi_envelope::archive::EntryKind::Unreadable(_)
        )
    };
    assert!(is_unreadable("shut") && is_unreadable("secret"));

    let cipher = phi_envelope::EnvelopeCipher::new(keyring_of(1));
    let tree = || FileTree::new([root.to_owned()]);
    let (entries, summary) = rewrap_all(&cipher, tree(), RewrapOptions::new());
    assert_eq!((summary.failed, summary.current), (2, 1), "{entries:?}");
    let mut scan = EvidenceScan::of_slot(&cipher, phi_envelope::KeyId::from_bytes([7; 16]).into());
    scan.tree("here", tree()).unwrap();
    let evidence = scan.finish();
    assert_eq!(evidence.opened, 1);
    let unreadable = phi_envelope::archive::FindingClass::Unreadable;
    assert!(
        evidence
            .found()
            .contains(&phi_envelope::archive::ClassCount::new(unreadable, 2))
    );
    assert_eq!(
        archive::exposure(tree(), []).unwrap().finish().unreadable,
        2
    );
}

pub(crate) fn as_nobody(root: &Path) {
    check(root);
    println!("{} 1", crate::children::SAYS);
}

#[test]
fn what_may_not_be_read_is_told() {
    let place = Place::of(keyring_of(1));
    lay_out(&place);
    if fs::read(place.path("secret")).is_err() {
        check(place.root());
    } else {
        const NOBODY: u32 = 65_534;
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let open = |path: &Path| {
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        };
        let (binary, there) = (folder.path().join("binary"), folder.path().join("place"));
        fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
        assert!(
            Command::new("cp")
                .arg("-a")
                .arg(place.root())
                .arg(&there)
                .status()
                .unwrap()
                .success()
        );
        [folder.path(), &binary, &there].into_iter().for_each(open);
        let mut child = command(&binary, "unreadable", &there);
        let child = child.current_dir("/").uid(NOBODY).gid(NOBODY).spawn();
        assert_eq!(said(child.unwrap()), [1]);
    }
    fs::set_permissions(place.path("shut"), Permissions::from_mode(0o700)).unwrap();
}
