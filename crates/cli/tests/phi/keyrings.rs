//! Keyrings: states, new secrets, and what they protect.

use std::io::Write as _;
use std::process::Stdio;

use crate::support::{MASTER_KEY, NEW_PASSPHRASE, PASSPHRASE, Ran, Shell, ran};

#[test]
fn the_life_of_a_key() {
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k plain");
    let keys = || shell.json("keyring list k --json")["keys"].clone();
    let first = keys()[0]["id"].as_str().unwrap().to_owned();
    let set = |state: &str| shell.run(&format!("keyring set-state k {first} {state} --json"));

    assert_eq!(set("suspended").code, 4); // active: left by rotate alone
    shell.done("keyring rotate k --label two");
    assert_eq!(set("suspended").json()["key"]["state"], "suspended");
    let shut = shell.run("verify --keyring k plain.phi --json");
    assert_eq!(
        (shut.code, &shut.json()["error"]["kind"]),
        (4, &"key-not-usable".into())
    );
    assert_eq!(set("resumed").json()["key"]["state"], "deactivated");
    assert_eq!(set("deactivated").code, 0);
    assert_eq!(set("compromised").json()["key"]["state"], "compromised");
    assert_eq!(shell.run("verify --keyring k plain.phi").code, 4);
    assert_eq!(shell.run("rewrap --keyring k plain.phi").code, 4);
    shell.done("verify --keyring k --allow-compromised plain.phi");
    shell.done("rewrap --keyring k --allow-compromised plain.phi");
    shell.done("verify --keyring k plain.phi");

    for ground in [
        "--without-evidence",
        "--yes-destroy",
        "--yes-destroy --without-evidence --evidence plain",
        "--yes-destroy --without-evidence --max-age 24h",
        "--yes-destroy --evidence plain --max-age 24",
    ] {
        let call = format!("keyring destroy k {first} {ground}");
        assert_eq!(shell.run(&call).code, 2, "{ground}");
    }
    assert_eq!(keys()[0]["state"], "compromised");
    let destroyed = shell.json(&format!(
        "keyring destroy k {first} --yes-destroy --without-evidence --json"
    ));
    assert_eq!(destroyed["key"]["state"], "destroyed");
    shell.done("decrypt --keyring k plain.phi -o out");
    assert_eq!(shell.read("out"), plain);

    // The active key, found out: a new one comes first.
    let active = keys()[1]["id"].as_str().unwrap().to_owned();
    let answer = shell.json(&format!("keyring set-state k {active} compromised --json"));
    assert_eq!(answer["key"]["id"], active.as_str());
    assert_eq!(answer["keys"][2]["state"], "active");
    assert_eq!(answer["keys"][2]["label"], "two");
    let unknown = "00".repeat(16);
    assert_eq!(
        shell
            .run(&format!("keyring set-state k {unknown} suspended"))
            .code,
        4
    );
    let text = shell.done("keyring list k").stdout_text();
    assert_eq!(text.lines().count(), 2 + 3);
    assert!(
        text.contains(" since 20") && text.contains("(0 d)"),
        "{text}"
    );
}

#[test]
fn a_keyring_says_which_it_is_and_how_long_it_may_be_used_unseen() {
    let shell = Shell::with_keyring();
    let first = shell.json("keyring list k --json");
    assert_eq!(
        (&first["revision"], &first["lease"]),
        (&1.into(), &900.into())
    );
    assert_eq!(first["id"].as_str().unwrap().len(), 32);
    assert!(first["last_confirmed"].is_u64() && first["lease_changed"].is_null());
    assert!(first["slots"][0].as_str().unwrap().starts_with("keyring "));
    let shown = shell.done("keyring list k").stdout_text();
    assert!(
        shown.contains("revision 1  lease 900 s  confirmed"),
        "{shown}"
    );

    shell.done("keyring set-lease k 5m");
    let then = shell.json("keyring list k --json");
    assert_eq!(
        (&then["revision"], &then["lease"]),
        (&2.into(), &300.into())
    );
    assert_eq!(then["id"], first["id"]);
    assert!(then["lease_changed"].is_u64());
    for wrong in ["0s", "25h", "1500ms", "15", "forever"] {
        assert_eq!(
            shell.run(&format!("keyring set-lease k {wrong}")).code,
            2,
            "{wrong}"
        );
        assert_eq!(
            shell
                .run(&format!("keyring new n --label n --lease {wrong}"))
                .code,
            2
        );
    }
    shell.done("keyring new short --label one --lease 1m");
    assert_eq!(shell.json("keyring list short --json")["lease"], 60);

    // An older file that is put back is refused by who knows better, and what is there stays.
    let old = shell.read("k");
    shell.done("keyring rotate k --label two");
    shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k --min-revision 3 plain");
    shell.write("k", &old);
    for call in [
        "keyring list k",
        "encrypt --keyring k plain -o other",
        "keyring rotate k --label three",
    ] {
        let refused = shell.run(&format!("{call} --min-revision 3"));
        assert_eq!(refused.code, 4, "{call}");
        let text = refused.stderr_text();
        assert!(
            text.contains("rolled back") && text.matches("/k:").count() <= 1,
            "{text}"
        );
    }
    assert_eq!(shell.read("k"), old);
    shell.done("keyring list k --min-revision 2");
    assert_eq!(shell.run("inspect k --min-revision 2").code, 2);

    // A file may hold the number. What it does not hold is refused as well.
    for (text, code) in [("2\n", 0), ("3", 4), ("", 1), ("three", 1), ("-1", 1)] {
        shell.write("least", text.as_bytes());
        let listed = shell.run("keyring list k --min-revision-file least");
        assert_eq!(listed.code, code, "{text:?}: {}", listed.stderr_text());
        let names_it = listed.stderr_text().contains("--min-revision-file least");
        assert_eq!(names_it, code == 1, "{text:?}");
    }
    assert_eq!(shell.run("keyring list k --min-revision-file no").code, 1);
    assert_eq!(shell.run("inspect k --min-revision-file least").code, 2);
}

#[test]
fn a_keyring_that_may_not_be_used_is_no_usable_key() {
    let shell = Shell::with_keyring_of("--lease 1s");
    shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k plain");
    let unusable = |ran: Ran, kind: &str| {
        let error = &ran.json()["error"];
        let told = (ran.code, &error["kind"], &error["exit_code"]);
        assert_eq!(told, (4, &kind.into(), &4.into()), "{}", ran.text());
    };
    let rolled_back = "verify --keyring k --min-revision 2 plain.phi --json";
    unusable(shell.run(rolled_back), "keyring-rolled-back");

    // A second name: it is read, and it is neither confirmed nor changed.
    shell.sh("ln k other");
    let encrypted = shell.run("encrypt --keyring k plain -o x --json");
    unusable(encrypted, "keyring-not-confirmed");
    let rotated = shell.run("keyring rotate k --label two --json");
    unusable(rotated, "keyring-names");
    shell.done("verify --keyring k plain.phi");
    shell.sh("rm other");

    // Its file is away for longer than its lease, while what comes is encrypted.
    let mut command = shell.command("encrypt --keyring k - -o late.phi --json");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&[7; 1 << 20]).unwrap();
    shell.sh("mv k away && sleep 2");
    drop(stdin);
    unusable(
        ran("late", child.wait_with_output().unwrap()),
        "keyring-not-confirmed",
    );
    assert!(!shell.path("late.phi").exists());
}

#[test]
fn passwd() {
    let shell = Shell::new().passphrase(PASSPHRASE);
    shell.done("keyring new k --label one");
    assert_eq!(shell.run("keyring new k --label again").code, 1);
    shell
        .clone()
        .new_passphrase(NEW_PASSPHRASE)
        .done("keyring passwd k");
    assert_eq!(shell.run("keyring list k").code, 4);
    // A newline at the end of a file is dropped, and no more.
    let bare = shell.clone().no_passphrase();
    bare.write("new", format!("{NEW_PASSPHRASE}\n").as_bytes());
    bare.done("keyring list k --passphrase-file new");
    bare.write("new-crlf", format!("{NEW_PASSPHRASE}\r\n").as_bytes());
    bare.write("two", format!("{NEW_PASSPHRASE}\n\n").as_bytes());
    assert_eq!(bare.run("keyring list k --passphrase-file two").code, 4);
    // One that is being chosen does not end so.
    let passwd = "keyring passwd k --passphrase-file new-crlf --new-passphrase-file two";
    assert_eq!(bare.run(passwd).code, 2);
    bare.write("two", format!("2 {NEW_PASSPHRASE}\n").as_bytes());
    bare.done(passwd);
    bare.done("keyring list k --passphrase-file two");
    // A passphrase for a master key.
    bare.write("master", format!("{MASTER_KEY}\n").as_bytes());
    bare.done("keyring passwd k --passphrase-file two --new-master-key-file master");
    assert_eq!(bare.run("keyring list k --passphrase-file two").code, 4);
    bare.done("keyring list k --master-key-file master");
    bare.write("no-key", b"c2hvcnQ=");
    assert_eq!(bare.run("keyring list k --master-key-file no-key").code, 1);
    let both = "keyring list k --master-key-file master --passphrase-file two";
    assert_eq!(bare.run(both).code, 2);
}

#[test]
fn without_a_keyring_the_secret_itself() {
    let shell = Shell::new().passphrase(PASSPHRASE);
    let plain = shell.plaintext("plain", 5_000);
    shell.done("encrypt plain -o by-passphrase");
    shell.done("decrypt by-passphrase -o one");
    shell.write("master", MASTER_KEY.as_bytes());
    shell.done("encrypt --master-key-file master plain -o by-key");
    shell.done("decrypt --master-key-file master by-key -o two");
    assert_eq!(
        (shell.read("one"), shell.read("two")),
        (plain.clone(), plain)
    );
    let slot = |name: &str| {
        let answer = shell.json(&format!("inspect {name} --json"));
        answer["files"][0]["slots"][0]["scheme"].clone()
    };
    assert_eq!(
        (slot("by-passphrase"), slot("by-key")),
        ("passphrase".into(), "keyring".into())
    );
    assert_eq!(
        shell
            .run("decrypt --master-key-file master by-passphrase -o three")
            .code,
        4
    );
}

#[test]
fn a_damaged_block_is_told_and_repaired() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k plain");
    let mut damaged = shell.read("plain.phi");
    damaged[40] ^= 1;
    shell.write("plain.phi", &damaged);
    let ran = shell.done("decrypt --keyring k plain.phi -o out --json");
    assert_eq!(ran.json()["header_damage"], "first-block");
    assert!(
        ran.stderr_text().contains("first header block"),
        "{}",
        ran.stderr_text()
    );
    let ran = shell.done("cat --keyring k plain.phi --json");
    assert_eq!(ran.stderr_json()["header_damage"], "first-block");
    let ran = shell.done("verify --keyring k plain.phi");
    assert!(ran.stderr_text().starts_with("phi: warning: plain.phi: "));
    assert!(
        shell
            .done("inspect plain.phi")
            .stderr_text()
            .contains("rewrap")
    );
    assert_eq!(
        shell.json("rewrap --keyring k plain.phi --json")["files"][0]["changed"],
        true
    );
    let ran = shell.done("verify --keyring k plain.phi --json");
    assert_eq!(
        (&ran.json()["files"][0]["header_damage"], ran.stderr.len()),
        (&serde_json::Value::Null, 0)
    );
}

#[test]
fn a_keyring_is_not_encrypted_for_itself_alone() {
    let shell = Shell::with_keyring();
    shell.done("keyring new other --label other");
    shell.write("pass", PASSPHRASE.as_bytes());
    shell.sh("ln -s k link");
    for call in [
        "encrypt k --keyring k",
        "encrypt k --keyring link -o copy",
        "encrypt link --keyring k --to-keyring k -o copy",
        "encrypt k --to-keyring k -o copy",
        "encrypt k --keyring k -o -",
        "encrypt k --keyring k -o copy --detached head",
    ] {
        let ran = shell.run(call);
        assert_eq!(ran.code, 2, "{call}: {}", ran.text());
        let told = ran.stderr_text();
        assert!(told.contains("nothing could open the copy"), "{told}");
    }
    let stdin = std::fs::File::open(shell.path("k")).unwrap();
    let ran = shell.run_with("encrypt - --keyring k -o copy", stdin);
    assert_eq!(ran.code, 2, "{}", ran.text());
    for name in ["k.phi", "copy", "head"] {
        assert!(!shell.exists(name), "{name}");
    }
    // Who has something else opens it.
    shell.done("encrypt k --keyring k --to-keyring other -o copy");
    shell.done("decrypt copy --keyring other -o back");
    assert_eq!(shell.read("back"), shell.read("k"));
    shell.done("encrypt k --keyring k --to-passphrase-file pass -o second");
    shell.done("encrypt k --keyring other -o third");
}
