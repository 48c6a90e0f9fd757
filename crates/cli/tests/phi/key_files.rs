//! Keys: made, named, and found where a variable says.

use std::fs;

use serde_json::Value;

use crate::support::{Ran, Shell};

#[test]
fn a_new_master_key_is_one() {
    let shell = Shell::new();
    let made = shell.json("keygen -o key --json");
    assert_eq!(made["output"], "key");
    let text = String::from_utf8(shell.read("key")).unwrap();
    assert_eq!((text.len(), text.ends_with("=\n")), (45, true));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(shell.path("key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    shell.done("keyring new k --label one --master-key-file key");
    let listed = shell.json("keyring list k --master-key-file key --json");
    assert!(
        listed["slots"][0]
            .as_str()
            .unwrap()
            .contains(made["key_id"].as_str().unwrap())
    );
    // Never over a file, and never shown beside what is told.
    assert_eq!(shell.run("keygen -o key").code, 1);
    assert_eq!(shell.read("key"), text.as_bytes());
    assert_eq!(shell.run("keygen -o nowhere/key").code, 1);
    let told = shell.done("keygen -o other").text();
    let other = String::from_utf8(shell.read("other")).unwrap();
    assert!(!told.contains(other.trim_end()) && other != text);
    let piped = shell.done("keygen");
    assert_eq!(piped.stdout.len(), 45);
    assert_ne!(piped.stdout, text.as_bytes());
    assert!(!piped.stderr_text().contains(piped.stdout_text().trim_end()));
}

#[test]
fn a_keyring_is_named_by_itself_by_an_option_or_by_a_variable() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 5_000);
    let with =
        |variable: &str, call: &str| shell.ran(shell.command(call).env("PHI_KEYRING", variable));
    let done = |ran: Ran| assert_eq!(ran.code, 0, "{}", ran.text());
    done(shell.run("keyring list --keyring k"));
    done(with("k", "keyring list"));
    done(with("nowhere", "keyring list k"));
    done(with("nowhere", "keyring list --keyring k"));
    assert_eq!(shell.run("keyring list").code, 2);
    assert_eq!(with("", "keyring list").code, 2);
    assert_eq!(shell.run("keyring list k --keyring k").code, 2);
    assert_eq!(with("nowhere", "keyring list").code, 1);
    done(shell.run("keyring new --keyring n --label n"));
    done(with("m", "keyring new --label m"));
    assert!(shell.exists("n") && shell.exists("m"));
    done(with("n", "keyring rotate --label n2"));
    done(with("n", "keyring set-lease 60s"));
    done(shell.run("keyring set-lease n 61s"));
    done(shell.run("keyring set-lease --keyring n 62s"));

    done(with("k", "encrypt plain"));
    done(shell.run("verify --keyring k plain.phi"));
    done(with("nowhere", "verify --keyring k plain.phi"));
    done(with(
        "k",
        "verify plain.phi --allow-compromised --min-revision 1",
    ));
    assert_eq!(with("nowhere", "verify plain.phi").code, 1);
    let empty = with("", "verify plain.phi");
    assert_eq!(empty.code, 2);
    assert!(
        empty.stderr_text().contains("PHI_KEYRING"),
        "{}",
        empty.text()
    );
    let help = shell.done("encrypt --help").stdout_text();
    assert!(help.contains("PHI_KEYRING"), "{help}");
}

/// The keys of the keyring `k`.
fn keys(shell: &Shell) -> Vec<Value> {
    let listed = shell.json("keyring list k --json");
    listed["keys"].as_array().unwrap().clone()
}

fn state<'a>(keys: &'a [Value], label: &str) -> &'a str {
    let found = keys.iter().find(|key| key["label"] == label).unwrap();
    found["state"].as_str().unwrap()
}

#[test]
fn a_key_is_named_by_its_label() {
    let shell = Shell::with_keyring();
    fs::create_dir(shell.path("plain")).unwrap();
    shell.plaintext("plain/a", 5_000);
    shell.done("encrypt -r plain -o arch --keyring k");
    let exposed =
        shell.done("exposure arch --key one --keyring k --master-key-file .master --json");
    assert_eq!(exposed.last()["command"], "exposure");
    assert_eq!(shell.run("exposure arch --key one").code, 2);
    shell.done("keyring rotate k --label two");
    shell.done("keyring set-state k one suspended");
    assert_eq!(state(&keys(&shell), "one"), "suspended");
    shell.done("keyring set-state --keyring k one resumed");
    shell.ran(
        shell
            .command("keyring set-state one suspended")
            .env("PHI_KEYRING", "k"),
    );
    assert_eq!(state(&keys(&shell), "one"), "suspended");
    shell.done("keyring set-state k one resumed");
    shell.done("retire one arch --keyring k --evidence evidence --keep");
    shell.done("keyring destroy k one --without-evidence --yes-destroy");
    assert_eq!(state(&keys(&shell), "one"), "destroyed");
    for call in [
        "keyring set-state k three suspended",
        "keyring set-state k two sleeping",
        "keyring set-state two",
        "keyring set-state a b c d",
        "keyring destroy k three --without-evidence --yes-destroy",
        "retire three arch --keyring k --evidence other",
    ] {
        let ran = shell.run(call);
        assert_eq!(ran.code, 2, "{call}: {}", ran.text());
    }

    // A label that two keys have names neither.
    shell.done("keyring rotate k --label two");
    let ran = shell.run("keyring set-state k two suspended");
    assert_eq!(ran.code, 2);
    let keys = keys(&shell);
    let same: Vec<_> = keys.iter().filter(|key| key["label"] == "two").collect();
    assert_eq!(same.len(), 2);
    for key in same {
        assert!(
            ran.stderr_text().contains(key["id"].as_str().unwrap()),
            "{}",
            ran.text()
        );
    }
}

#[test]
fn a_keyring_under_another_master_key_is_a_recipient() {
    let shell = Shell::with_keyring();
    shell
        .with_other_secret()
        .done("keyring new partner --label partner");
    shell.plaintext("plain", 5_000);
    let to = "--to-keyring partner --to-keyring-master-key-file .other-master";
    assert_eq!(
        shell
            .run("encrypt --keyring k --to-keyring partner plain")
            .code,
        4
    );
    shell.done(&format!("encrypt --keyring k {to} plain"));
    let partner = shell.with_other_secret();
    partner.done("verify --keyring partner plain.phi");
    let from = "--from-keyring partner --from-keyring-master-key-file .other-master";
    shell.done(&format!("recipient remove --keyring k {from} plain.phi"));
    assert_eq!(partner.run("verify --keyring partner plain.phi").code, 4);
    shell.done(&format!("recipient add --keyring k {to} plain.phi"));
    partner.done("verify --keyring partner plain.phi");
    let twice =
        format!("{to} --to-keyring-master-key-file .master --to-keyring-master-key-file .master");
    assert_eq!(
        shell
            .run(&format!("encrypt --keyring k {twice} plain -o x"))
            .code,
        2
    );
    let two = format!("{to} --to-keyring k --to-keyring-master-key-file .master");
    shell
        .without_master_key()
        .done(&format!("encrypt {two} plain -o both"));
    shell.done("verify --keyring k both");
    partner.done("verify --keyring partner both");
}
