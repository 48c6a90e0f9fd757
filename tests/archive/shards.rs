//! Shares of a tree: all of it, no file twice, the same on every machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use phi_envelope::archive::{self, FileTree, RewrapOptions, Shard};
use sha2::{Digest as _, Sha256};

use crate::place::Place;

/// The documented hash, by other means.
fn share(below: &str, of: u64) -> u64 {
    let digest = Sha256::digest(below.as_bytes());
    let number = digest[..8]
        .iter()
        .fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    u64::try_from(number % u128::from(of)).unwrap()
}

fn paths(tree: FileTree) -> Vec<PathBuf> {
    archive::inventory(tree)
        .unwrap()
        .map(|entry| entry.path)
        .collect()
}

#[test]
fn shares_are_all_of_a_tree_and_follow_the_hash() {
    let place = Place::new();
    let names: Vec<_> = (0..500)
        .map(|n| format!("{}/{}/{n}.phi", n % 3, n % 11))
        .collect();
    for name in &names {
        place.put(name, "plain");
    }
    std::os::unix::fs::symlink("0", place.path("link")).unwrap();
    for of in [1, 2, 3, 7, 100] {
        let mut all = BTreeSet::new();
        for index in 0..of {
            let shard = Shard::new(index, of).unwrap();
            for path in paths(place.tree().shard(shard)) {
                let below = path.strip_prefix(place.root()).unwrap();
                let below = below.to_str().unwrap();
                assert_eq!(share(below, of), index, "{below}");
                assert!(shard.holds(below));
                assert!(all.insert(path), "twice");
            }
        }
        assert_eq!(all.len(), names.len() + 1);
    }
    let sizes = (0..4).map(|index| place.tree().shard(Shard::new(index, 4).unwrap()).count());
    for size in sizes {
        assert!((70..=180).contains(&size), "{size}");
    }
}

#[test]
fn a_share_is_the_same_wherever_the_tree_is_and_however_it_is_named() {
    let (place, other) = (Place::new(), Place::new());
    std::os::unix::fs::symlink(place.root(), other.path("link")).unwrap();
    for number in 0..60 {
        place.put(format!("a/b/{number}"), "plain");
    }
    let shard = Shard::new(1, 3).unwrap();
    let below = |root: PathBuf| {
        let tree = FileTree::new([root.clone()]).shard(shard);
        let paths = paths(tree).into_iter();
        paths
            .map(|path| {
                path.strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect::<BTreeSet<_>>()
    };
    let expected = below(place.root().to_owned());
    let roots = ["", ".", "a/..", "./a/../", "a/b/../..//"].map(|name| place.path(name));
    for root in roots
        .into_iter()
        .chain([other.path("link"), other.path("link/.")])
    {
        assert_eq!(below(root.clone()), expected, "{root:?}");
    }
    assert!(!expected.is_empty() && expected.len() < 60);
}

#[test]
fn of_a_file_that_is_named_its_name_counts() {
    let place = Place::new();
    let files: Vec<_> = (0..40)
        .map(|n| place.put(format!("deep/{n}.phi"), "plain"))
        .collect();
    for index in 0..5 {
        let tree = FileTree::new(files.clone()).shard(Shard::new(index, 5).unwrap());
        for path in paths(tree) {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(share(name, 5), index, "{name}");
        }
    }
}

#[test]
fn processes_that_take_a_share_each_rewrap_all() {
    let place = Place::new();
    for number in 0..120 {
        place.record(format!("{}/{number}", number % 4));
        place.stream(format!("{}/{number}.stream", number % 4));
    }
    place.rotate();
    let done = (0..4).map(|index| {
        let tree = place.tree().shard(Shard::new(index, 4).unwrap());
        let summary = archive::rewrap(&place.cipher, tree, RewrapOptions::new())
            .unwrap()
            .finish();
        assert_eq!((summary.failed, summary.current), (0, 0));
        summary.done
    });
    assert_eq!(done.sum::<u64>(), 240);
    assert_eq!(place.rewrap().1.current, 240);
}

#[test]
fn what_is_no_shard_is_refused() {
    for text in [
        "",
        "/",
        "1",
        "1/",
        "/1",
        "1/1",
        "2/1",
        "0/0",
        "-1/2",
        "0x0/2",
        "1/2/3",
        "0.5/2",
        "99999999999999999999/2",
    ] {
        assert!(text.parse::<Shard>().is_err(), "{text}");
    }
    assert!(Shard::new(u64::MAX, u64::MAX).is_err());
    let last = Shard::new(u64::MAX - 1, u64::MAX).unwrap();
    assert_eq!(last.to_string().parse::<Shard>().unwrap(), last);
    assert!(!last.holds(Path::new("a")));
}
