//! Whole archives: taken stock of, moved to a new key, sorted after a theft.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Shell, phi};

/// Sealed files that open, in `arch`.
pub(crate) const GOOD: usize = if cfg!(unix) { 7 } else { 5 };
/// What else lies there and is a file: a plaintext and a damaged one.
const OTHERS: usize = 2;

/// A shell with a keyring `k`, and a folder of sealed files and of what else lies about.
pub(crate) fn archive() -> Shell {
    archive_with("")
}

/// The same, under a keyring that was made with these options.
pub(crate) fn archive_with(options: &str) -> Shell {
    let shell = Shell::with_keyring_of(options);
    shell.plaintext("plain", 5_000);
    fs::create_dir_all(shell.path("arch/deep/er")).unwrap();
    let names = ["a", "b", "deep/c", "deep/d", "deep/er/e"];
    for name in names {
        shell.done(&format!("encrypt --keyring k plain -o arch/{name}"));
    }
    fs::copy(shell.path("plain"), shell.path("arch/deep/plain")).unwrap();
    shell.write("arch/damaged", &shell.read("arch/a")[..100]);
    if cfg!(unix) {
        // Names that no word of a call can be.
        shell.sh("ln -s deep/c arch/link");
        for name in [r"deep/new\nline", r"deep/no\377text\033[2J"] {
            shell.done("encrypt --keyring k plain -o odd");
            shell.sh(&format!("mv odd \"arch/$(printf '{name}')\""));
        }
    }
    shell
}

/// The id of the key that opens `arch/a`.
pub(crate) fn key_of(shell: &Shell) -> String {
    let answer = shell.json("inspect arch/a --json");
    let id = answer["files"][0]["slots"][0]["key_id"].as_str();
    id.unwrap().to_owned()
}

/// All bytes under `arch`, by name.
fn bytes(shell: &Shell) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let (mut folders, mut found) = (vec![shell.path("arch")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.clone(), fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn an_inventory_tells_what_protects_what() {
    let shell = archive();
    let before = bytes(&shell);
    let ran = shell.done("inventory arch --files --json");
    let mut lines = ran.lines();
    let last = lines.pop().unwrap();
    let links = usize::from(cfg!(unix));
    assert_eq!(lines.len(), GOOD + OTHERS + links);
    let summary = &last["summary"];
    assert_eq!(summary["files"]["files"], GOOD + OTHERS);
    assert_eq!(summary["streams"]["files"], GOOD);
    assert_eq!(
        summary["not_envelopes"],
        json!({"files": 1, "bytes": 5_000})
    );
    assert_eq!(summary["symlinks"], links);
    let damaged = summary["damaged"].as_object().unwrap();
    assert_eq!(damaged.len(), 1);
    let old = key_of(&shell);
    assert_eq!(summary["keys"]["listed"][0]["key_id"], old.as_str());
    assert_eq!(summary["keys"]["listed"][0]["tally"]["files"], GOOD);
    let is = |what: &str| lines.iter().filter(|line| line["is"] == what).count();
    assert_eq!((is("stream"), is("not-an-envelope")), (GOOD, 1));
    if cfg!(unix) {
        let odd = lines.iter().find(|line| line["path_base64"].is_string());
        assert_eq!(odd.unwrap()["slots"][0]["scheme"], 1);
        let text = shell.done("inventory arch --files").stdout_text();
        assert!(text.contains(r"new\nline: under keyring "), "{text}");
        assert!(text.contains(r"no\xfftext\u{1b}[2J: under"), "{text}");
        assert!(!text.contains('\u{1b}'));
        // What is named itself is what it leads to.
        let named = shell.done("inventory arch/link --json").last();
        assert_eq!(named["summary"]["streams"]["files"], 1);
    }

    // With the keyring, a key that opens nothing is listed too.
    shell.done("keyring rotate k --label two");
    let known = shell.done("inventory arch --keyring k --json").last();
    let keys = known["summary"]["keys"]["listed"].as_array().unwrap();
    let of = |label: &str| keys.iter().find(|key| key["label"] == label).unwrap();
    assert_eq!(of("one")["state"], "deactivated");
    assert_eq!(of("one")["tally"]["files"], GOOD);
    assert_eq!(of("two")["state"], "active");
    assert_eq!(of("two")["tally"]["files"], 0);
    let table = shell.done("inventory arch --keyring k").stdout_text();
    assert!(table.contains("(two)") && table.contains("NOT ENVELOPES"));
    assert_eq!(bytes(&shell), before);
}

#[test]
fn snapshots_are_compared() {
    let shell = archive();
    let old = key_of(&shell);
    shell.done("inventory arch --save week-46");
    assert_eq!(shell.run("inventory arch --save week-46").code, 1);
    let same = shell.done("inventory arch --since week-46");
    assert!(same.stdout_text().contains("nothing changed"));
    shell.done("keyring rotate k --label two");
    shell.run("rewrap --recursive arch --keyring k");
    fs::remove_file(shell.path("arch/deep/plain")).unwrap();
    let ran = shell.done("inventory arch --since week-46 --json");
    let changes = ran.last()["changes"]["changes"].clone();
    let change = |name: &str| {
        let all = changes.as_array().unwrap();
        let found = all.iter().find(|change| change["name"] == name);
        let found = found.unwrap_or_else(|| panic!("{name} in {changes}"));
        let files = |when: &str| found[when]["files"].clone();
        (files("before"), files("after"))
    };
    let key = |id: &str| change(&format!("keyring {id}"));
    assert_eq!(key(&old), (GOOD.into(), 0.into()));
    assert_eq!(key(&key_of(&shell)), (0.into(), GOOD.into()));
    assert_eq!(change("NOT ENVELOPES"), (1.into(), 0.into()));
    assert_eq!(changes.as_array().unwrap().len(), 3);
    shell.write("no-snapshot", b"{}");
    assert_eq!(shell.run("inventory arch --since no-snapshot").code, 1);
}

#[test]
fn a_share_without_a_file_is_said_and_is_none_that_is_missing() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 5_000);
    shell.sh("mkdir arch");
    shell.done("encrypt --keyring k plain -o arch/a");
    let key = key_of(&shell);
    for call in [
        "rewrap -r arch --keyring k",
        "inventory arch",
        &format!("exposure arch --key {key}"),
    ] {
        let shares = (0..8).map(|share| {
            let ran = shell.run(&format!("{call} --shard {share}/8 --expect-some"));
            assert_eq!(ran.code, 0, "{call} {share}: {}", ran.text());
            let told = ran.stderr_text();
            let empty =
                format!("phi: nothing of shard {share}/8 was found; other shards have 1 file\n");
            assert!(told.is_empty() || told == empty, "{told}");
            usize::from(told.is_empty())
        });
        assert_eq!(shares.sum::<usize>(), 1, "{call}");
        // Where there is nothing at all, each says so.
        let missing = call.replace("arch", "void");
        shell.sh("mkdir -p void");
        let ran = shell.run(&format!("{missing} --shard 3/8 --expect-some"));
        assert_eq!(ran.code, 6, "{}", ran.text());
        let told = ran.stderr_text();
        assert_eq!(
            told,
            "phi: nothing of shard 3/8 was found, nor of any other\n"
        );
        assert_eq!(shell.run(&format!("{missing} --shard 3/8")).code, 0);
    }
    // A list that came from stdin cannot be counted once more.
    for share in 0..8 {
        shell.write("list", b"arch/a\n");
        let list = fs::File::open(shell.path("list")).unwrap();
        let call = format!("inventory --from-list - --shard {share}/8 --expect-some");
        let ran = shell.run_with(&call, list);
        let told = ran.stderr_text();
        let expected = if told.is_empty() { 0 } else { 6 };
        assert_eq!(ran.code, expected, "{told}");
    }
}

#[test]
fn shares_and_lists() {
    let shell = archive();
    let paths = |call: &str| {
        let lines = shell.done(&format!("{call} --files --json")).lines();
        let path = |line: &Value| line["path"].as_str().map(str::to_owned);
        lines.iter().filter_map(path).collect::<BTreeSet<_>>()
    };
    let all = paths("inventory arch");
    let shares = [0, 1, 2].map(|share| paths(&format!("inventory arch --shard {share}/3")));
    let sum: usize = shares.iter().map(BTreeSet::len).sum();
    let union: BTreeSet<_> = shares.iter().flatten().cloned().collect();
    assert_eq!((sum, &union), (all.len(), &all));
    assert!(shares.iter().filter(|share| !share.is_empty()).count() > 1);

    shell.write("list", b"arch/a\n\narch/deep/er\n");
    let listed = paths("inventory --from-list list");
    assert_eq!(
        listed,
        BTreeSet::from(["arch/a".into(), "arch/deep/er/e".into()])
    );
    let gone = shell.run("inventory --from-list nowhere --json");
    assert_eq!(
        (gone.code, &gone.json()["error"]["kind"]),
        (1, &"io".into())
    );
    if cfg!(unix) {
        let mut find = Command::new("find");
        find.args(["arch", "-type", "f", "-print0"]);
        let mut find = find
            .current_dir(shell.path("."))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let list = find.stdout.take().unwrap();
        let call = "inventory --from-list - -0 --threads 2 --json";
        let last = shell.done_with(call, list).last();
        assert!(find.wait().unwrap().success());
        assert_eq!(last["summary"]["files"]["files"], GOOD + OTHERS);
        assert_eq!(last["summary"]["unreadable"], 0);
    }
    // What is not there is told, and the rest is looked at.
    let ran = shell.run("inventory nowhere arch --json");
    assert_eq!(ran.code, 1);
    assert_eq!(ran.lines()[0]["path"], "nowhere");
    assert_eq!(ran.last()["error"]["kind"], "io");
    assert_eq!(ran.last()["summary"]["files"]["files"], GOOD + OTHERS);
    let text = shell.run("inventory nowhere").stderr_text();
    assert!(text.starts_with("phi: nowhere: No such file"), "{text}");
}

#[test]
fn a_rewrap_of_everything() {
    let shell = archive();
    let old = key_of(&shell);
    shell.done("keyring rotate k --label two");
    let before = bytes(&shell);
    let rewrap = "rewrap --recursive arch --keyring k";
    let dry = shell.run(&format!("{rewrap} --dry-run --json"));
    assert_eq!(dry.code, 1); // the damaged one
    assert_eq!(dry.last()["summary"]["would_change"], GOOD);
    assert_eq!(dry.last()["dry_run"], true);
    assert_eq!(bytes(&shell), before);

    // A share first, and then to go on is to run again.
    let share = shell.run(&format!("{rewrap} --shard 1/2 --json"));
    let done = share.last()["summary"]["done"].as_u64().unwrap();
    assert!(0 < done && done < GOOD as u64, "{done}");
    let ran = shell.run(&format!("{rewrap} --report report --json"));
    assert_eq!(ran.code, 1);
    let summary = &ran.last()["summary"];
    assert_eq!(summary["current"], done);
    assert_eq!(summary["done"], GOOD as u64 - done);
    assert_eq!(
        (&summary["failed"], &summary["not_envelopes"]),
        (&1.into(), &1.into())
    );
    assert_eq!(ran.lines().len(), 2);
    assert_eq!(ran.lines()[0]["path"], "arch/damaged");
    assert_eq!(ran.last()["error"]["kind"], "truncated");
    let report = String::from_utf8(shell.read("report")).unwrap();
    let report: Vec<Value> = report
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let became = |what: &str| report.iter().filter(|line| line["outcome"] == what).count() as u64;
    assert_eq!(became("done") + became("current"), GOOD as u64);
    assert_eq!((became("failed"), became("not-an-envelope")), (1, 1));
    assert_eq!(report.len(), bytes(&shell).len());
    assert_eq!(shell.run(&format!("{rewrap} --report report")).code, 1);

    for ((path, old), (_, new)) in before.iter().zip(bytes(&shell)) {
        let keeps = path.ends_with("plain") || path.ends_with("damaged");
        assert_eq!(*old == new, keeps, "{}", path.display());
    }
    let again = shell.run(rewrap);
    assert_eq!(again.stderr_text().lines().count(), 1);
    assert!(again.stdout_text().contains("current already"));
    assert_ne!(key_of(&shell), old);
    shell.done("verify --keyring k arch/a arch/deep/er/e");
    fs::remove_file(shell.path("arch/damaged")).unwrap();
    shell.done(rewrap);
}

#[test]
fn a_run_that_is_killed_goes_on() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 100);
    fs::create_dir(shell.path("arch")).unwrap();
    shell.done("encrypt --keyring k plain -o arch/a");
    for copy in 0..60 {
        fs::copy(shell.path("arch/a"), shell.path(&format!("arch/{copy}"))).unwrap();
    }
    shell.done("keyring rotate k --label two");
    let rewrap = "rewrap -r arch --keyring k --json";
    let mut child = Command::new(phi());
    child.args(rewrap.split_whitespace());
    child.args(["--master-key-file", ".master", "--rate", "20"]);
    child.current_dir(shell.path(".")).stdout(Stdio::null());
    let mut child = child.spawn().unwrap();
    thread::sleep(Duration::from_millis(800));
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    let summary = shell.done(rewrap).last()["summary"].clone();
    let count = |what: &str| summary[what].as_u64().unwrap();
    assert!(count("current") > 0 && count("done") > 10, "{summary}");
    assert_eq!(count("current") + count("done"), 61);
}

#[test]
fn too_many_failures_stop_it() {
    let shell = archive();
    for copy in 0..50 {
        let name = format!("arch/damaged-{copy}");
        fs::copy(shell.path("arch/damaged"), shell.path(&name)).unwrap();
    }
    let rewrap = "rewrap -r arch --keyring k --threads 1 --max-failures 3";
    let ran = shell.run(rewrap);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout_text().contains("stopped: too many failures"));
    let ran = shell.run(&format!("{rewrap} --json"));
    assert_eq!(ran.last()["summary"]["stopped"], true);
    assert!(ran.last()["summary"]["failed"].as_u64().unwrap() < 20);
    // Of the failures, the highest code.
    shell.done("keyring new other --label other");
    let ran = shell.run("rewrap -r arch --keyring other --json");
    assert_eq!(
        (ran.code, &ran.last()["error"]["kind"]),
        (4, &"no-matching-key".into())
    );
    assert_eq!(ran.last()["summary"]["failed"], GOOD + 51);
}

#[test]
fn what_a_stolen_key_reads() {
    let shell = archive();
    let stolen = key_of(&shell);
    let exposure = |more: &str| shell.done(&format!("exposure arch {more} --json")).last();
    let summary = exposure(&format!("--key {stolen}"))["summary"].clone();
    assert_eq!(summary["readable"]["files"], GOOD);
    assert_eq!(summary["damaged"]["files"], 1);
    assert_eq!(summary["not_envelopes"]["files"], 1);
    shell.done("keyring rotate k --label two");
    shell.done("rewrap --keyring k arch/a");
    shell.write(".pass", b"correct-horse");
    let with_passphrase = "encrypt --keyring k --to-passphrase-file .pass plain -o arch/shared";
    shell.done(with_passphrase);
    let summary = exposure(&format!("--key {stolen} --passphrase-slots"))["summary"].clone();
    assert_eq!(summary["readable"]["files"], GOOD);
    assert_eq!(summary["not_readable"]["files"], 1);
    assert_eq!(summary["not_readable_but_changed"]["files"], 1);
    let call = format!("exposure arch --key {stolen} --files");
    let lines = shell.done(&format!("{call} --json")).lines();
    let of = |path: &str| lines.iter().find(|line| line["path"] == path).unwrap();
    assert_eq!(of("arch/a")["exposed"], "not-readable");
    assert_eq!(of("arch/b")["exposed"], "readable");
    assert_eq!(of("arch/b")["keys"][0]["key_id"], stolen.as_str());
    let text = shell.done(&call).stdout_text();
    assert!(text.contains("arch/b: READABLE with keyring "), "{text}");
    shell.write("list", b"arch/b\n");
    let listed = shell.done(&format!("exposure --from-list list --key {stolen} --json"));
    assert_eq!(listed.last()["summary"]["readable"]["files"], 1);
}

#[test]
fn wrong_usage() {
    let shell = archive();
    let old = key_of(&shell);
    for call in [
        "rewrap arch/a --keyring k --shard 0/3",
        "rewrap arch/a --keyring k --dry-run",
        "rewrap arch/a --keyring k --label a=b",
        "rewrap -r --keyring k",
        "rewrap -r arch --keyring k --shard 3/3",
        "rewrap -r arch --keyring k --shard x",
        "rewrap -r arch --keyring k --rate 0",
        "rewrap -r arch --keyring k --label a=b",
        "rewrap -r arch --keyring k --to-keyring k",
        "rewrap -r arch --keyring k --reencrypt",
        "rewrap -r arch --allow-compromised --reencrypt",
        "rewrap -r --detached arch/a --keyring k",
        "inventory",
        "inventory arch -0",
        "inventory arch --threads 0",
        "exposure arch",
        "exposure arch --key 12",
        "retire --keyring k --evidence e arch",
    ] {
        assert_eq!(shell.run(call).code, 2, "{call}");
        let ran = shell.run(&format!("{call} --json"));
        assert_eq!(ran.json()["error"]["kind"], "usage", "{call}");
    }
    for more in [
        "--keyring k",
        "--evidence e",
        "--keyring k --evidence e --keep --max-age 1h",
    ] {
        let call = format!("retire {old} arch {more}");
        assert_eq!(shell.run(&call).code, 2, "{call}");
    }
    assert!(!shell.exists("e"));
}
