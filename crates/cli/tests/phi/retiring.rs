//! Keys retired, destroyed on clean evidence alone; and what a compromised one wrapped.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::archives::{GOOD, archive_with, key_of};
use crate::limits::{can, script};
use crate::support::{PASSPHRASE, Shell};

/// An allowance of a second, beside a lease of one.
const SOON: &str = "--allowance 1s";

/// The archive of the other tests, under a keyring with a lease of a second. Neither a plaintext nor a link is in it.
fn leased() -> (Shell, String) {
    let shell = archive_with("--lease 1s");
    let old = key_of(&shell);
    shell.done("keyring rotate k --label two");
    (shell, old)
}

/// Waits until the lease and the allowance are over, by the keyring's own count.
fn settle(shell: &Shell) {
    let keys = shell.json("keyring list k --json")["keys"].clone();
    let keys = keys.as_array().unwrap().iter();
    let last = keys.map(|key| key["changed"].as_u64().unwrap()).max();
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.unwrap().as_secs()
    };
    let written = shell.path("k").metadata().unwrap().modified().unwrap();
    let written = written.duration_since(std::time::UNIX_EPOCH).unwrap();
    let last = last.unwrap().max(written.as_secs());
    while now() <= last + 2 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Accepts all that a refused retirement told.
fn accepted(shell: &Shell, call: &str) -> String {
    let ran = shell.run(&format!("{call} --json"));
    assert_eq!(ran.code, 7, "{}", ran.text());
    let found = ran.last()["summary"]["found"].clone();
    let found = found.as_array().unwrap().iter();
    found
        .map(|found| {
            format!(
                " --accept {}={}",
                found["class"].as_str().unwrap(),
                found["count"]
            )
        })
        .collect()
}

#[test]
fn a_name_that_is_mounted_there_stands_for_none_that_is_missing() {
    let mount = ["unshare", "--mount"];
    if !can(&mount) {
        return;
    }
    let shell = Shell::with_keyring_of("--lease 1s");
    shell.sh("mkdir -p arch elsewhere");
    shell.plaintext("plain", 5_000);
    for name in ["a", "b"] {
        shell.done(&format!("encrypt --keyring k plain -o arch/{name}"));
    }
    let old = key_of(&shell);
    shell.done("keyring rotate k --label two");
    let found = |evidence: &str, before: &str| {
        let retire = format!(
            "{before} phi retire {old} arch --keyring k --master-key-file .master --evidence {evidence} --json"
        );
        let ran = script(&shell, &mount, &retire, Stdio::null());
        assert_eq!(ran.code, 7, "{}", ran.text());
        let found = ran.last()["summary"]["found"].clone();
        let of = |found: &Value| found["class"] == "more-links";
        found
            .as_array()
            .unwrap()
            .iter()
            .filter(|found| of(found))
            .count()
    };
    assert_eq!(found("e1", ""), 0);
    // Two names, one of them elsewhere; what is seen twice among the places is one.
    shell.sh("ln arch/a elsewhere/a");
    let mounted = "touch arch/mounted.phi && mount --bind arch/a arch/mounted.phi &&";
    assert_eq!(found("e2", mounted), 1);
    // A folder that is reached twice: each of its names is one.
    let twice = "mkdir -p arch/twice && mount --bind arch arch/twice &&";
    assert_eq!(found("e3", twice), 1);
    shell.sh("rm elsewhere/a arch/mounted.phi && ln arch/a arch/twice.phi");
    assert_eq!(found("e4", twice), 0);
}

#[test]
fn a_key_is_destroyed_on_evidence_that_is_clean_or_accepted() {
    let (shell, old) = leased();
    let call =
        |evidence: &str| format!("retire {old} arch --keyring k {SOON} --evidence {evidence}");
    let within = shell.run(&call("arch/e"));
    assert_eq!(within.code, 2, "{}", within.text());
    let short = shell.run(&format!("{} --settling-time 1s", call("e0")));
    assert_eq!(short.code, 2, "{}", short.text());
    assert!(!shell.exists("e0"));

    // Too soon, and something was found: a person decides, and the keyring is as it was.
    let before = fs::read(shell.path("k")).unwrap();
    let ran = shell.run(&format!("{} --allowance 1h", call("e1").replace(SOON, "")));
    assert_eq!(ran.code, 7, "{}", ran.text());
    let told = ran.stderr_text();
    assert!(
        told.contains("was not destroyed") && told.contains("repeat it from"),
        "{told}"
    );
    assert!(before == fs::read(shell.path("k")).unwrap());
    settle(&shell);
    let ran = shell.run(&call("e2"));
    assert_eq!(ran.code, 7, "{}", ran.text());
    let text = ran.stdout_text();
    assert!(
        text.contains("failed: ") && text.contains("arch/damaged: truncated"),
        "{text}"
    );
    assert!(
        ran.stderr_text().contains("--accept failed=1"),
        "{}",
        ran.stderr_text()
    );
    // Evidence that is there is named.
    let again = shell.run(&call("e2"));
    assert_eq!(again.code, 1);
    assert!(
        again.stderr_text().contains("e2: "),
        "{}",
        again.stderr_text()
    );

    let accept = accepted(&shell, &call("e3"));
    let wrong = accept.replace("failed=1", "failed=2");
    assert_eq!(shell.run(&format!("{}{wrong}", call("e4"))).code, 7);
    assert!(before == fs::read(shell.path("k")).unwrap());
    let ran = shell.done(&format!("{}{accept} --previous e3", call("e5")));
    assert!(
        ran.stdout_text()
            .contains(&format!("key {old} was destroyed"))
    );
    assert_eq!(state(&shell, &old), "destroyed");
    shell.done("verify --keyring k arch/a arch/deep/er/e");
    assert!(key(&shell, &old)["evidence"].is_string());

    let shown = shell.json("evidence show e5 --json");
    assert_eq!(shown["evidence"]["in_use"], 0);
    assert_eq!(shown["evidence"]["opened"], GOOD);
    let compared = shell.json("evidence compare e3 e5 --json");
    assert_eq!(compared["same_key"], true);
    assert_eq!(compared["changes"].as_array().unwrap().len(), 0);
    let text = shell.done("evidence show e5").stdout_text();
    assert!(
        text.contains("settled since") && text.contains("accepted: failed"),
        "{text}"
    );
}

#[test]
fn evidence_first_and_the_destruction_later() {
    let (shell, old) = leased();
    fs::remove_file(shell.path("arch/damaged")).unwrap();
    settle(&shell);
    let accept = accepted(
        &shell,
        &format!("retire {old} arch --keyring k {SOON} --keep --evidence e0").replace(SOON, ""),
    );
    shell.done(&format!(
        "retire {old} arch --keyring k --evidence e --keep{accept}"
    ));
    assert_eq!(state(&shell, &old), "deactivated");
    let refused = |key: &str, evidence: &str, why: &str| {
        let call = format!("keyring destroy k {key} --yes-destroy --evidence {evidence}");
        let ran = shell.run(&call);
        assert_ne!(ran.code, 0, "{}", ran.text());
        assert!(ran.stderr_text().contains(why), "{}", ran.stderr_text());
    };
    let active = shell.json("keyring list k --json")["keys"][1]["id"].clone();
    refused(active.as_str().unwrap(), "e", "is active");
    refused(&old, "e", "settling time");
    refused(&old, "nowhere", "No such file");
    refused(&old, "arch/a", "evidence");
    refused(&old, "plain", "not an envelope");
    assert_eq!(state(&shell, &old), "deactivated");
    let call = format!("keyring destroy k {old} --yes-destroy --evidence e {SOON} --json");
    let answer = shell.json(&call);
    assert_eq!(answer["key"]["state"], "destroyed");
    assert!(answer["key"]["evidence"].is_string());
}

#[test]
fn nothing_found_is_said_and_is_a_failure_where_something_was_expected() {
    let (shell, old) = leased();
    fs::create_dir(shell.path("empty")).unwrap();
    for call in [
        "inventory empty".to_owned(),
        "rewrap -r empty --keyring k".to_owned(),
        format!("exposure empty --key {old}"),
    ] {
        let ran = shell.done(&call);
        assert!(
            ran.stderr_text().contains("nothing was found"),
            "{}",
            ran.text()
        );
        assert_eq!(
            shell.run(&format!("{call} --expect-some")).code,
            6,
            "{call}"
        );
    }
}

#[test]
fn what_is_excluded_is_not_looked_at() {
    let (shell, _) = leased();
    fs::create_dir(shell.path("arch/lost+found")).unwrap();
    fs::write(shell.path("arch/lost+found/x"), "PHIE\u{1}").unwrap();
    let told = shell.json("inventory arch --exclude lost+found --json");
    assert_eq!(told["summary"]["excluded"], 1);
    // The output is opened before the walk, and is gone if that fails.
    assert_eq!(shell.run("inventory arch --save no/such/folder").code, 1);
    assert_eq!(shell.run("inventory nowhere --save kept").code, 1);
}

#[test]
fn what_a_compromised_key_wrapped_is_sealed_anew() {
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 5_000);
    fs::create_dir(shell.path("arch")).unwrap();
    let bound = "--label tenant=clinic-7 --bind export=42";
    shell.done(&format!("encrypt --keyring k plain -o arch/a {bound}"));
    shell.done("encrypt --keyring k plain -o arch/other --bind export=43");
    let found = key_of(&shell);
    shell.done("keyring rotate k --label two");
    shell.done(&format!("encrypt --keyring k plain -o arch/new {bound}"));
    let anew = format!("rewrap -r arch --keyring k --reencrypt {bound}");
    let none = shell.run(&format!("{anew} --allow-compromised"));
    assert_eq!(none.code, 2, "{}", none.text()); // no key is compromised
    shell.done(&format!("keyring set-state k {found} compromised"));
    assert_eq!(shell.run(&anew).code, 2); // without leave
    let data_key = |name: &str| {
        let answer = shell.json(&format!("inspect arch/{name} --json"));
        answer["files"][0]["data_key_id"].clone()
    };
    let (old, new) = (data_key("a"), data_key("new"));
    let ran = shell.run(&format!("{anew} --allow-compromised --json"));
    assert_eq!(
        (ran.code, &ran.last()["error"]["kind"]),
        (3, &"context-mismatch".into())
    );
    assert_eq!(ran.lines()[0]["path"], "arch/other");
    let summary = &ran.last()["summary"];
    assert_eq!(
        (&summary["reencrypted"], &summary["current"]),
        (&1.into(), &1.into())
    );
    assert_ne!(data_key("a"), old);
    assert_eq!(data_key("new"), new);
    assert_ne!(key_of(&shell), found);
    let opened = shell.done(&format!("decrypt --keyring k arch/a {bound} -o -"));
    assert!(opened.stdout == plain);
    // The others with what they are bound to.
    let rest = "rewrap -r arch --keyring k --reencrypt --allow-compromised --bind export=43 --json";
    let summary = shell.done(rest).last()["summary"].clone();
    assert_eq!(
        (&summary["reencrypted"], &summary["current"]),
        (&1.into(), &2.into())
    );
}

fn key(shell: &Shell, id: &str) -> Value {
    let keys = shell.json("keyring list k --json")["keys"].clone();
    let mut keys = keys.as_array().unwrap().iter();
    keys.find(|key| key["id"] == id).unwrap().clone()
}

fn state(shell: &Shell, id: &str) -> String {
    key(shell, id)["state"].as_str().unwrap().to_owned()
}

#[test]
fn how_long_a_lease_keeps_a_key_is_said_when_it_is_set() {
    let shell = Shell::with_keyring();
    let made = shell.done("keyring new short --label one --lease 1m");
    assert!(
        made.stdout_text().contains("360 s after"),
        "{}",
        made.text()
    );
    for help in ["keyring set-lease --help", "keyring new --help"] {
        let told = shell.done(help).stdout_text();
        assert!(
            told.contains("phi retire") && told.contains("allowance"),
            "{told}"
        );
    }
    let old = shell.json("keyring list k --json")["keys"][0]["id"].clone();
    shell.done("keyring rotate k --label two");
    let told = shell.done("keyring set-lease k 2h").stdout_text();
    assert!(
        told.contains("7500 s after")
            && told.contains("for a day after the lease was changed, 86700 s"),
        "{told}"
    );
    // And so it is, on the day of the change.
    let changed = shell.path("k").metadata().unwrap().modified().unwrap();
    let changed = changed
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    shell.sh("mkdir arch");
    shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k plain -o arch/a");
    let call = format!(
        "retire {} arch --keyring k --evidence e",
        old.as_str().unwrap()
    );
    let refused = shell.run(&call);
    assert_eq!(refused.code, 7, "{}", refused.text());
    let told = refused.stderr_text();
    let from = told.split("repeat it from ").nth(1).unwrap();
    let from = from.split(" UTC").next().unwrap();
    let date = Command::new("date")
        .args(["-u", "-d", from, "+%s"])
        .output()
        .unwrap();
    let from: u64 = String::from_utf8(date.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!((0..=3).contains(&(from - changed - 86_700)), "{told}");
}

#[test]
fn evidence_opens_with_the_secret_of_its_time() {
    let shell = Shell::with_keyring_of("--lease 1s");
    shell.sh("mkdir arch");
    shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k plain -o arch/a");
    let old = key_of(&shell);
    shell.done("keyring rotate k --label two");
    let retire =
        |evidence: &str| format!("retire {old} arch --keyring k --keep --evidence {evidence}");
    shell.done(&retire("before"));
    shell.done("evidence show before");

    // Who has nothing to open it with is told what does.
    let bare = shell.without_master_key();
    for call in ["evidence show before", "evidence compare before before"] {
        let refused = bare.run(call);
        assert_eq!(refused.code, 2, "{}", refused.text());
        let told = refused.stderr_text();
        assert!(told.contains("the secret of its keyring's file"), "{told}");
        let refused = shell.run(&format!("{call} --keyring k"));
        assert_eq!(refused.code, 2, "{}", refused.text());
        let told = refused.stderr_text();
        assert!(told.contains("--keyring: evidence opens with"), "{told}");
    }

    shell.write("new", PASSPHRASE.as_bytes());
    let passwd = shell.done("keyring passwd k --new-passphrase-file new");
    let told = passwd.stdout_text();
    assert!(told.contains("evidence that was written before"), "{told}");
    let now = "--passphrase-file new";
    bare.done(&format!("{} {now}", retire("after")));
    bare.done(&format!("evidence show after {now}"));
    let refused = bare.run(&format!("evidence show before {now}"));
    assert_eq!(refused.code, 4, "{}", refused.text());
    let told = refused.stderr_text();
    assert!(
        told.contains("before a `phi keyring passwd` perhaps"),
        "{told}"
    );
    shell.done("evidence show before");
    // Nor is a key destroyed on it any more.
    let refused = bare.run(&format!(
        "keyring destroy k {old} --yes-destroy --evidence before {now}"
    ));
    assert_eq!(refused.code, 4, "{}", refused.text());
}
