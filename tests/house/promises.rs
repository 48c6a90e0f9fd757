//! The threat model's promises: each names the tests that would fail without it, those tests exist, and what holds by the shape of the code
//! is read off the code.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "src/manual/threat_model.md";
const TESTED: &str = "*Tested by* ";
const SHOWN: &str = "*Shown by* ";

/// Where the modules of a test's name are files: `envelopes::tamper::bits::a_test` stands in `tests/envelopes/tamper/bits.rs`, `crate::floe::tests::a_test` in
/// `src/floe/tests.rs`, `phi::kills::a_test` in
/// `crates/cli/tests/phi/kills.rs`, `assurance::memory::tests::bound::a_test` in `assurance/memory/tests/bound.rs`.
const ROOTS: [(&str, &str); 4] = [
    ("crate::", "src"),
    ("assurance::", "assurance"),
    ("phi::", "crates/cli/tests/phi"),
    ("", "tests"),
];

/// One point of a list of the page.
struct Point {
    /// Its heading, a boundary's for a promise.
    section: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn points() -> Vec<Point> {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let (mut section, mut points) = (String::new(), Vec::<Point>::new());
    let mut in_a_point = false;
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.to_owned();
        }
        if line.starts_with("* ") {
            points.push(Point {
                section: section.clone(),
                text: String::new(),
            });
            in_a_point = true;
        } else if !line.starts_with("  ") {
            in_a_point = false;
        }
        if in_a_point {
            let text = &mut points.last_mut().unwrap().text;
            text.push_str(line.trim());
            text.push(' ');
        }
    }
    points
}

impl Point {
    /// `S1` of `* **S1.** …`.
    fn number(&self) -> Option<&str> {
        let (number, _) = self.text.strip_prefix("* **")?.split_once(".**")?;
        let count = number.strip_prefix(|c: char| c.is_ascii_uppercase())?;
        count.parse::<u8>().is_ok().then_some(number)
    }

    /// The names of tests after these words, each between backticks.
    fn tests(&self, words: &str) -> Vec<&str> {
        let named = self.text.split_once(words).map_or("", |(_, after)| after);
        named.split('`').skip(1).step_by(2).collect()
    }
}

/// The file of a test and whether it has a test of that name.
fn find(test: &str) -> Result<(), String> {
    let (prefix, folder) = ROOTS
        .iter()
        .find(|(prefix, _)| test.starts_with(prefix))
        .unwrap();
    let path: Vec<_> = test[prefix.len()..].split("::").collect();
    let (name, modules) = path.split_last().unwrap();
    // A module within a file, `mod tests { … }`, is no file.
    let within = (1..=modules.len())
        .rev()
        .map(|len| modules[..len].join("/"));
    let files = within.flat_map(|path| {
        let base = root().join(folder).join(path);
        [
            base.with_extension("rs"),
            base.join("main.rs"),
            base.join("mod.rs"),
        ]
    });
    let file = files.into_iter().find(|file: &PathBuf| file.exists());
    let file = file.ok_or_else(|| format!("{test}: there is no such file"))?;
    let text = fs::read_to_string(&file).unwrap();
    let function = format!("fn {name}(");
    let at = text.find(&function);
    let before = at.map_or("", |at| &text[..at]);
    // Its attributes stand between it and what is before.
    let own = before.rsplit(['}', ';', '{']).next().unwrap_or_default();
    if own.contains("#[test]") || by_macro(&text, name) {
        Ok(())
    } else {
        Err(format!("{test}: {} has no such test", file.display()))
    }
}

/// `macro!(name, …)`, or `name: …` in a macro, where the macro writes a test.
fn by_macro(text: &str, name: &str) -> bool {
    text.contains("macro_rules!")
        && text.contains("#[test]")
        && [format!("{name}:"), format!("{name},"), format!("{name} =>")]
            .iter()
            .any(|form| text.contains(form))
}

#[test]
fn every_promise_names_its_tests_and_each_of_them_exists() {
    let mut by_boundary = BTreeMap::<char, Vec<usize>>::new();
    let mut wrong = Vec::new();
    for point in points() {
        let Some(number) = point.number() else {
            continue;
        };
        let (boundary, count) = number.split_at(1);
        let boundary = boundary.chars().next().unwrap();
        by_boundary
            .entry(boundary)
            .or_default()
            .push(count.parse().unwrap());
        let tests = point.tests(TESTED);
        if tests.is_empty() {
            wrong.push(format!("{number} names no test"));
        }
        let missing = tests.into_iter().filter_map(|test| find(test).err());
        wrong.extend(missing.map(|why| format!("{number}: {why}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (boundary, counts) in &by_boundary {
        let all: Vec<_> = (1..=counts.len()).collect();
        assert_eq!(*counts, all, "{boundary} is not numbered from 1 on");
    }
    assert_eq!(by_boundary.keys().collect::<String>(), "AKMS");
}

#[test]
fn what_a_store_can_do_all_the_same_is_shown() {
    let mut shown = 0;
    for point in points() {
        if point.number().is_some() {
            continue;
        }
        for test in point.tests(SHOWN) {
            find(test).unwrap_or_else(|why| panic!("{why}"));
            shown += 1;
        }
        if point.section.starts_with("Boundary 1") {
            assert!(!point.tests(SHOWN).is_empty(), "{}", point.text);
        }
    }
    assert!(shown >= 6);
}

#[test]
fn the_reader_of_the_page_finds_what_is_there_and_nothing_else() {
    assert!(
        find("house::promises::the_reader_of_the_page_finds_what_is_there_and_nothing_else")
            .is_ok()
    );
    assert!(find("house::promises::find").is_err());
    assert!(find("house::promises::nothing").is_err());
    assert!(find("nowhere::every_promise_names_its_tests").is_err());
    assert!(points().iter().any(|point| point.number() == Some("S1")));
}

// ---- Promises that hold by the shape of the code.

/// The crate's own code by path, without its tests.
fn code() -> BTreeMap<String, String> {
    let mut code = BTreeMap::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root().join("src")).unwrap();
            let name = name.to_str().unwrap().replace('\\', "/");
            let is_test = ["tests", "vectors", "wycheproof", "faults"].map(|it| name.contains(it));
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && !is_test.contains(&true) {
                let text = fs::read_to_string(&path).unwrap();
                let (own, _tests) = text
                    .split_once("#[cfg(test)]\nmod tests")
                    .unwrap_or((&text, ""));
                let lines = own
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"));
                code.insert(name, lines.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    assert!(code.len() > 40);
    code
}

/// Everything between `pub ` and what ends its head: functions with their arguments, fields with their types.
fn public_heads() -> Vec<String> {
    let mut heads = Vec::new();
    for text in code().values() {
        for (_, after) in text
            .match_indices("pub ")
            .map(|(at, it)| text.split_at(at + it.len()))
        {
            let end = after.find([';', '{', '=']).unwrap_or(after.len());
            heads.push(after[..end].to_lowercase());
        }
    }
    assert!(heads.len() > 200);
    heads
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .collect()
}

/// A1 and A2.
#[test]
fn nobody_chooses_an_iv_a_cipher_or_the_length_of_a_key_or_tag() {
    for head in public_heads() {
        for word in [
            "iv",
            "nonce",
            "freshiv",
            "sharediv",
            "gcm",
            "aes",
            "algorithm",
            "suite",
            "gcmkey",
        ] {
            // Modules of the crate alone.
            let inner = head.starts_with("mod ");
            assert!(inner || !words(&head).contains(word), "{head}");
        }
        for name in ["tag_len", "key_len", "iv_len", "key_size", "tag_size"] {
            assert!(!head.contains(name), "{head}");
        }
    }
}

/// A3: there are two places that derive a payload key, one that seals and one whose type is a verified header's.
#[test]
fn a_payload_key_comes_out_of_a_verified_header() {
    let code = code();
    let users = |what: &str| {
        let with = code.iter().filter(|(_, text)| text.contains(what));
        with.map(|(name, _)| name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(
        users("derive::payload_key("),
        ["envelope/unlock.rs", "envelope/wrap.rs"]
    );
    // Each of the two types before it is made in one place, the one that checked.
    let made = |what: &str| {
        code.values()
            .map(|text| text.matches(what).count())
            .sum::<usize>()
    };
    assert_eq!(
        (users("Opened("), made("Opened(")),
        (vec!["envelope/unlock.rs"], 1)
    );
    assert_eq!(
        (users("Ok(Verified {"), made("Ok(Verified {")),
        (vec!["envelope/unlock.rs"], 1)
    );
}

/// M3. Where a type could be cloned, `is_clone` would be ambiguous, and this would not compile.
#[test]
fn a_data_key_cannot_be_cloned() {
    trait Ambiguous<A> {
        fn is_clone() -> bool {
            false
        }
    }
    struct IsClone;
    impl<T> Ambiguous<()> for T {}
    impl<T: Clone> Ambiguous<IsClone> for T {}
    assert!(!<phi_envelope::keys::DataKey as Ambiguous<_>>::is_clone());
    assert!(!<phi_envelope::MasterKey as Ambiguous<_>>::is_clone());
    assert!(!<phi_envelope::Passphrase as Ambiguous<_>>::is_clone());
    assert!(!<phi_envelope::Plaintext as Ambiguous<_>>::is_clone());
}

/// M5.
#[test]
fn randomness_comes_from_the_system_in_one_place() {
    for (name, text) in code() {
        let words = words(&text);
        assert!(
            words.contains("SysRng") == (name == "crypto/random.rs"),
            "{name}"
        );
        for generator in [
            "ThreadRng",
            "StdRng",
            "SmallRng",
            "OsRng",
            "rng",
            "getrandom",
        ] {
            assert!(!words.contains(generator), "{name}: {generator}");
        }
    }
}

/// M6. The compiler refuses it too.
#[test]
fn no_line_is_unsafe() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for (name, text) in code() {
        assert!(!words(&text).contains("unsafe"), "{name}");
    }
}

/// The requirement of each dependency of a package, by its name: the version and nothing else.
fn requirements(manifest: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join(manifest)).unwrap();
    let mut found = BTreeMap::new();
    let mut within = false;
    for line in text.lines() {
        if line.starts_with('[') {
            within = line.ends_with("dependencies]") && !line.contains("dev-");
            continue;
        }
        let Some((name, required)) = line.split_once(" = ").filter(|_| within) else {
            continue;
        };
        let version = required
            .split_once("version = ")
            .map_or(required, |(_, rest)| rest)
            .split('"')
            .nth(1);
        found.insert(name.to_owned(), version.unwrap().to_owned());
    }
    found
}

/// The library is built once more for the schedules, with a list of its own.
#[test]
fn the_schedules_build_with_the_versions_that_the_crate_asks_for() {
    let (own, again) = (
        requirements("Cargo.toml"),
        requirements("assurance/schedules/Cargo.toml"),
    );
    let differ: Vec<_> = again
        .iter()
        .filter(|(name, version)| *name != "std" && own.get(*name) != Some(version))
        .collect();
    assert!(differ.is_empty(), "{differ:?}");
    assert!(again.len() > 10, "{again:?}");
}
