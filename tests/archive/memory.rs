//! Memory does not grow with the number of files.

use std::fs;
use std::path::Path;

use phi_envelope::{
    KeyId,
    archive::{self, EvidenceScan, FileTree, RewrapOptions},
};

use crate::children::{SAYS, child, said};
use crate::common::keyring_of;
use crate::place::Place;

/// How much more memory two hundred times the files may take: what the allocator keeps apart.
const SLACK: f64 = 1.25;

/// Looks at all files, and says the most memory that it took in KiB, and how many files it saw.
pub(crate) fn work(folder: &Path, what: &str) {
    let keyring = keyring_of(1);
    let old = keyring.active().unwrap();
    let cipher = phi_envelope::EnvelopeCipher::new(keyring.clone());
    let tree = FileTree::new([folder.to_owned()]);
    let seen = match what {
        "inventory" => archive::inventory(tree).unwrap().count(),
        "exposure" => archive::exposure(tree, [old.into()]).unwrap().count(),
        "evidence" => {
            let mut scan = EvidenceScan::of_slot(&cipher, KeyId::from_bytes([7; 16]).into());
            scan.tree("here", tree).unwrap();
            usize::try_from(scan.finish().opened).unwrap()
        }
        "rewrap" => {
            keyring
                .rotate_to(crate::common::master_key(2), "next")
                .unwrap();
            archive::rewrap(&cipher, tree, RewrapOptions::new())
                .unwrap()
                .count()
        }
        other => panic!("no such work: {other}"),
    };
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let mut words = line.split_whitespace();
    println!("{SAYS} {} {seen}", words.nth(1).unwrap());
}

/// So many headers in one folder and in nested ones; a few files of many names each.
fn lay_out(files: usize) -> Place {
    const NAMES: usize = 500;
    let place = Place::of(keyring_of(1));
    for file in 0..files {
        let folder = match file % 2 {
            0 => "flat".to_owned(),
            _ => format!("{}/{}/{}", file % 10, file % 100, file % 1000),
        };
        let path = place.path(format!("{folder}/{file}"));
        if file % NAMES < 2 {
            place.stream(path);
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let of = file - file % NAMES + file % 2;
            let of = match of % 2 {
                0 => place.path(format!("flat/{of}")),
                _ => place.path(format!("{}/{}/{}/{of}", of % 10, of % 100, of % 1000)),
            };
            fs::hard_link(of, path).unwrap();
        }
    }
    place
}

fn does_not_grow(few: usize, many: usize) {
    let sizes = [few, many].map(|files| (files, lay_out(files)));
    for what in ["inventory", "exposure", "evidence", "rewrap"] {
        let peaks = sizes.each_ref().map(|(files, place)| {
            let [peak, seen] = said(child(&format!("memory {what}"), place.root()))[..] else {
                panic!("two numbers");
            };
            assert_eq!(seen, *files as u64, "{what}");
            peak
        });
        let ratio = peaks[1] as f64 / peaks[0] as f64;
        eprintln!(
            "{what}: {few} files {} KiB, {many} files {} KiB: {ratio:.3}",
            peaks[0], peaks[1]
        );
        if what == "evidence" {
            // A file of several names is remembered until all of them were seen, and here every file has several.
            let grown = peaks[1].saturating_sub(peaks[0]) * 1024;
            let each = grown / (many - few) as u64;
            assert!(each <= 256, "{what}: {each} bytes a name");
        } else {
            assert!(ratio <= SLACK, "{what}: {peaks:?} KiB");
        }
    }
}

#[test]
fn memory_for_ten_thousand_headers_is_that_for_a_thousand() {
    does_not_grow(1000, 10_000);
}

#[test]
#[ignore = "takes half a minute"]
fn memory_for_200_000_headers_is_that_for_a_thousand() {
    does_not_grow(1000, 200_000);
}
