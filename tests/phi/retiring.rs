//! Keys retired, destroyed on clean evidence alone; and what a compromised one wrapped.

use std::fs;

use serde_json::Value;

use crate::archives::{GOOD, archive, key_of};
use crate::support::Shell;

/// Nothing was under way when the key was rotated.
const AT_ONCE: &str = "--settling-time 0s";

#[test]
fn a_key_is_destroyed_on_clean_evidence_alone() {
    let shell = archive();
    let old = key_of(&shell);
    let call =
        |evidence: &str| format!("retire {old} arch --keyring k {AT_ONCE} --evidence {evidence}");
    // Active: nothing is sealed anew under a key that is to go.
    let active = shell.run(&format!("{} --json", call("e0")));
    assert_eq!(
        (active.code, &active.json()["error"]["kind"]),
        (4, &"key-not-usable".into())
    );
    assert!(!shell.exists("e0"));
    shell.done("keyring rotate k --label two");
    let within = shell.run(&call("arch/e"));
    assert_eq!(within.code, 2, "{}", within.text());

    // A damaged file may be under it.
    let ran = shell.run(&call("e1"));
    assert_eq!(ran.code, 1);
    let text = ran.stdout_text();
    assert!(
        text.contains("NOT OPENED") && text.contains("arch/damaged: truncated"),
        "{text}"
    );
    assert!(
        ran.stderr_text().contains("was not destroyed: "),
        "{}",
        ran.stderr_text()
    );
    assert_eq!(state(&shell, &old), "deactivated");
    assert_eq!(shell.run(&call("e1")).code, 1); // it is there
    let keep = format!("retire {old} arch --keyring k --evidence e2 --keep --json");
    let ran = shell.run(&keep);
    assert_eq!(ran.code, 1);
    let last = ran.last();
    assert_eq!(last["error"]["kind"], "evidence");
    assert_eq!(last["summary"]["destroyed"], false);
    assert_eq!(last["summary"]["evidence"]["not_opened"], 1);
    assert_eq!(last["summary"]["rewrapped"]["current"], GOOD);
    assert_eq!(ran.lines()[0]["path"], "arch/damaged");

    fs::remove_file(shell.path("arch/damaged")).unwrap();
    let ran = shell.done(&call("e3"));
    assert!(
        ran.stdout_text()
            .contains(&format!("key {old} was destroyed"))
    );
    assert_eq!(state(&shell, &old), "destroyed");
    shell.done("verify --keyring k arch/a arch/deep/er/e");
    let sealed = shell.json("inspect e3 --json");
    assert_eq!(sealed["files"][0]["labels"]["phi-envelope"], "evidence/1");

    // The keyring's file names the evidence by its digest.
    let digest = key(&shell, &old)["evidence"].clone();
    let digest = digest.as_str().unwrap();
    assert_eq!(digest.len(), 64);
    let list = shell.done("keyring list k").stdout_text();
    assert!(list.contains(&format!("\n  evidence {digest}\n")), "{list}");
    if cfg!(target_os = "linux") {
        shell.sh(&format!("echo '{digest}  e3' | sha256sum --check --quiet"));
    }
}

#[test]
fn evidence_first_and_the_destruction_later() {
    let shell = archive();
    fs::remove_file(shell.path("arch/damaged")).unwrap();
    let old = key_of(&shell);
    shell.done("keyring rotate k --label two");
    let kept = shell.done(&format!(
        "retire {old} arch --keyring k --evidence e --keep"
    ));
    assert!(kept.stdout_text().contains("out of use, and was kept"));
    assert_eq!(state(&shell, &old), "deactivated");
    let refused = |key: &str, evidence: &str, why: &str| {
        let call = format!("keyring destroy k {key} --yes-destroy --evidence {evidence}");
        let ran = shell.run(&call);
        assert_ne!(ran.code, 0, "{}", ran.text());
        assert!(ran.stderr_text().contains(why), "{}", ran.stderr_text());
    };
    let active = shell.json("keyring list k --json")["keys"][1]["id"].clone();
    refused(active.as_str().unwrap(), "e", "is active");
    refused(&old, "e --max-age 0s", "too old");
    refused(&old, "e", "too soon after");
    refused(&old, "nowhere", "No such file");
    refused(&old, "arch/a", "another kind");
    refused(&old, "plain", "not an envelope");
    assert_eq!(state(&shell, &old), "deactivated");
    let call =
        format!("keyring destroy k {old} --yes-destroy --evidence e --max-age 7d {AT_ONCE} --json");
    let answer = shell.json(&call);
    assert_eq!(answer["key"]["state"], "destroyed");
    assert!(answer["key"]["evidence"].is_string());
}

#[test]
fn a_key_in_use_is_kept_unless_it_is_said() {
    let shell = archive();
    fs::remove_file(shell.path("arch/damaged")).unwrap();
    let old = key_of(&shell);
    shell.done("keyring rotate k --label two");
    shell.done(&format!("keyring set-state k {old} compromised"));
    let call =
        |more: &str| format!("retire {old} arch --keyring k --json {AT_ONCE} --evidence {more}");
    // Without leave, nothing is moved off it.
    let ran = shell.run(&call("e1"));
    assert_eq!(ran.code, 1, "{}", ran.text());
    let last = ran.last();
    assert_eq!(last["summary"]["evidence"]["in_use"], GOOD);
    assert!(
        last["error"]["message"]
            .as_str()
            .unwrap()
            .contains("still in use")
    );
    assert_eq!(state(&shell, &old), "compromised");
    let on =
        |evidence: &str| format!("keyring destroy k {old} --yes-destroy --evidence {evidence}");
    assert_eq!(shell.run(&on("e1")).code, 1);

    let anew = "--allow-compromised --reencrypt";
    let ran = shell.done(&call(&format!("e2 {anew}")));
    assert_eq!(ran.last()["summary"]["rewrapped"]["reencrypted"], GOOD);
    assert_eq!(ran.last()["summary"]["destroyed"], true);
    shell.done("verify --keyring k arch/a");

    let newest = key_of(&shell);
    shell.done("keyring rotate k --label three");
    shell.done(&format!("keyring set-state k {newest} compromised"));
    let lost = format!("retire {newest} arch --keyring k --evidence e3 --destroy-although-in-use");
    let too_soon = shell.run(&lost.replace("--evidence e3", "--evidence e4"));
    assert!(too_soon.stderr_text().contains("too soon after"));
    assert_eq!(state(&shell, &newest), "compromised");
    let ran = shell.done(&format!("{lost} {AT_ONCE}"));
    assert!(ran.stdout_text().contains("STILL UNDER THE KEY"));
    assert_eq!(state(&shell, &newest), "destroyed");
    assert_eq!(shell.run("verify --keyring k arch/a").code, 4);
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
