//! More than one who can open a file.

use std::fs;

use crate::support::{NEW_PASSPHRASE, PASSPHRASE, Shell};

#[test]
fn sealed_for_several() {
    let shell = Shell::with_keyring();
    let other = shell.with_other_secret();
    other.done("keyring new b --label backup");
    shell.done("keyring new c --label third");
    let plain = shell.plaintext("plain", 5_000);
    shell.write("pass", NEW_PASSPHRASE.as_bytes());
    shell.done("encrypt --keyring k --to-keyring c --to-passphrase-file pass plain");
    shell.done("verify --keyring c plain.phi");
    let by_passphrase = shell.without_master_key();
    by_passphrase.done("decrypt --passphrase-file pass plain.phi -o out");
    assert_eq!(shell.read("out"), plain);
    let slots = shell.json("inspect plain.phi --json")["files"][0]["slots"].clone();
    let schemes: Vec<_> = slots
        .as_array()
        .unwrap()
        .iter()
        .map(|slot| &slot["scheme"])
        .collect();
    assert_eq!(schemes, ["keyring", "keyring", "passphrase"]);
    // Without --keyring, for those who are named and nobody else: no secret is asked for.
    by_passphrase.done("encrypt --to-passphrase-file pass plain -o handed-on");
    assert_eq!(shell.run("verify --keyring k handed-on").code, 4);
    // A keyring under another secret.
    assert_eq!(
        shell
            .run("encrypt --keyring k --to-keyring b plain -o x")
            .code,
        4
    );
    let two = "encrypt --keyring k --to-passphrase-file pass --to-passphrase-file pass plain -o x";
    assert_eq!(shell.run(two).code, 2);
    assert_eq!(
        shell
            .run("encrypt --keyring k --to-keyring k plain -o x")
            .code,
        2
    );
    assert!(!shell.exists("x"));
}

#[test]
fn to_keyrings_with_passphrases_of_their_own() {
    let shell = Shell::new();
    shell.plaintext("plain", 5_000);
    for name in ["a", "b"] {
        shell.write(&format!("{name}.pass"), format!("of {name}\n").as_bytes());
        shell.done(&format!(
            "keyring new {name} --label {name} --passphrase-file {name}.pass"
        ));
    }
    shell.done("encrypt --keyring a --passphrase-file a.pass --to-keyring b --to-keyring-passphrase-file b.pass plain");
    shell.done("verify --keyring b --passphrase-file b.pass plain.phi");
    let three = "encrypt --keyring a --passphrase-file a.pass --to-keyring b --to-keyring-passphrase-file b.pass --to-keyring-passphrase-file b.pass plain -o x";
    assert_eq!(shell.run(three).code, 2);
}

#[test]
fn added_removed_replaced() {
    let shell = Shell::with_keyring();
    shell.done("keyring new c --label third");
    shell.done("keyring new d --label fourth");
    shell.plaintext("plain", 5_000);
    shell.write("pass", NEW_PASSPHRASE.as_bytes());
    shell.done("encrypt --keyring k --label tenant=a --bind x=y plain");
    let opens = |keyring: &str| {
        shell
            .run(&format!("verify --keyring {keyring} --bind x=y plain.phi"))
            .code
    };
    assert_eq!(opens("c"), 4);
    let add = "recipient add --keyring k --to-keyring c plain.phi";
    assert_eq!(shell.run(add).code, 3); // the labels are not the file's
    let add = "recipient add --keyring k --label tenant=a --to-keyring c plain.phi";
    shell.done(add);
    assert_eq!(opens("c"), 0);
    assert_eq!(shell.run(add).code, 1); // it has a slot already
    shell.done(
        "recipient replace --keyring k --label tenant=a --from-keyring c --to-keyring d plain.phi",
    );
    assert_eq!((opens("c"), opens("d")), (4, 0));
    shell.done("recipient add --keyring d --label tenant=a --to-passphrase-file pass plain.phi");
    let by_passphrase = shell.without_master_key();
    by_passphrase.done("verify --passphrase-file pass --bind x=y plain.phi");
    shell.done("recipient remove --keyring d --label tenant=a --from-passphrase plain.phi");
    shell.done("recipient remove --keyring d --label tenant=a --from-keyring k plain.phi");
    assert_eq!((opens("k"), opens("d")), (4, 0));
    let last = "recipient remove --keyring d --label tenant=a --from-keyring d plain.phi";
    assert_eq!(shell.run(last).code, 1);
    let nobody = "recipient add --keyring d --label tenant=a plain.phi";
    assert_eq!(shell.run(nobody).code, 2);
    let nobody = "recipient remove --keyring d --label tenant=a plain.phi";
    assert_eq!(shell.run(nobody).code, 2);
    let two = "recipient add --keyring d --label tenant=a --to-keyring c --to-keyring k plain.phi";
    assert_eq!(shell.run(two).code, 2);
}

#[test]
fn sealed_anew_and_repacked() {
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 50_000);
    shell.done("keyring new c --label third");
    shell.write("bindings", b"x=y\n\nnote=a=b\r\n");
    shell.done("encrypt --keyring k --to-keyring c --label tenant=a --bind-file bindings --segment-length 8192 plain");
    shell.done("verify --keyring k --bind x=y --bind note=a=b plain.phi");
    let inspected = || shell.json("inspect plain.phi --json")["files"][0].clone();
    let before = inspected();
    assert_eq!(
        shell
            .run("reencrypt --keyring k --bind-file bindings plain.phi")
            .code,
        3
    );
    // c was not named, and would lose its slot.
    let anew = "reencrypt --keyring k --label tenant=a --bind-file bindings plain.phi";
    let refused = shell.run(anew);
    assert_eq!(refused.code, 1);
    let told = refused.stderr_text();
    assert!(told.contains("--drop-recipients"), "{told}");
    assert_eq!(inspected(), before);
    shell.done(&format!("{anew} --drop-recipients"));
    let after = inspected();
    assert_ne!(before["data_key_id"], after["data_key_id"]);
    assert_eq!(after["segment_length"], 8192);
    assert_eq!(after["slots"].as_array().unwrap().len(), 1);
    shell.done("repack --keyring k --block-length 8192 plain.phi");
    assert_eq!(inspected()["block_length"], 8192);
    assert_eq!(
        shell
            .run("repack --keyring k --block-length 5000 plain.phi")
            .code,
        2
    );
    shell.done("reencrypt --keyring k --label tenant=a --bind-file bindings --segment-length 4096 plain.phi");
    let last = inspected();
    assert_eq!(
        (&last["segment_length"], &last["block_length"]),
        (&4096.into(), &8192.into())
    );
    shell.done("decrypt --keyring k --bind-file bindings plain.phi -o out --threads 2");
    assert_eq!(shell.read("out"), plain);
    shell.write("bindings", b"private-value\n");
    let ran = shell.run("verify --keyring k --bind-file bindings plain.phi");
    assert_eq!(ran.code, 2);
    let again = shell.run("verify --keyring k --bind private-value plain.phi");
    assert!(!(ran.text() + &again.text()).contains("private-value"));
}

#[test]
fn recipients_of_a_whole_folder() {
    let shell = Shell::with_keyring();
    fs::create_dir_all(shell.path("plain/deep")).unwrap();
    for name in ["plain/a", "plain/deep/b"] {
        shell.plaintext(name, 5_000);
    }
    for name in ["partner", "clinic"] {
        shell.done(&format!("keyring new {name} --label {name}"));
    }
    shell.done("encrypt -r plain -o sealed --keyring k --label tenant=clinic-7 --bind-path");
    let counts = |call: &str| {
        let answer = shell.done(&format!(
            "recipient {call} -r sealed --label tenant=clinic-7 --json"
        ));
        let summary = answer.last()["summary"].clone();
        (
            summary["changed"].as_u64().unwrap(),
            summary["up-to-date"].as_u64().unwrap(),
        )
    };
    let opens = |keyring: &str| {
        shell
            .run(&format!("verify -r sealed --keyring {keyring} --bind-path"))
            .code
    };
    let add = "add --keyring k --to-keyring partner";
    assert_eq!(opens("partner"), 4);
    assert_eq!(counts(add), (2, 0));
    assert_eq!((opens("partner"), counts(add)), (0, (0, 2)));
    let replace = "replace --keyring k --from-keyring partner --to-keyring clinic";
    assert_eq!((counts(replace), counts(replace)), ((2, 0), (0, 2)));
    assert_eq!((opens("partner"), opens("clinic")), (4, 0));
    let remove = "remove --keyring k --from-keyring clinic";
    assert_eq!((counts(remove), counts(remove)), ((2, 0), (0, 2)));
    assert_eq!(opens("clinic"), 4);

    // A passphrase's slot does not tell whose it is: a file that has another one is not as it is to be.
    shell.write("pass", PASSPHRASE.as_bytes());
    shell.write("new", NEW_PASSPHRASE.as_bytes());
    let add = "add --keyring k --to-passphrase-file pass";
    assert_eq!((counts(add), counts(add)), ((2, 0), (0, 2)));
    let other =
        "recipient add --keyring k --to-passphrase-file new -r sealed --label tenant=clinic-7";
    let refused = shell.run(other);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr_text().contains("another passphrase"),
        "{}",
        refused.text()
    );

    let replace = "replace --keyring k --from-passphrase --to-passphrase-file new";
    assert_eq!((counts(replace), counts(replace)), ((2, 0), (2, 0)));
    let away = "replace --keyring k --from-passphrase --to-keyring clinic";
    assert_eq!((counts(away), counts(away)), ((2, 0), (0, 2)));
    let itself = "recipient replace --keyring k --from-keyring clinic --to-keyring k -r sealed";
    assert_eq!(
        shell.run(&format!("{itself} --label tenant=clinic-7")).code,
        1
    );
    assert_eq!((opens("clinic"), opens("k")), (0, 0));

    // Other labels, and what is no envelope, are failures of these files.
    assert_eq!(
        shell
            .run("recipient add --keyring k --to-keyring partner -r sealed")
            .code,
        3
    );
    shell.write("sealed/plain", b"nothing sealed");
    let ran = shell.run(&format!(
        "recipient {} -r sealed --label tenant=clinic-7 --report report",
        "add --keyring k --to-keyring partner"
    ));
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.stdout_text().split(':').next(),
        Some("2 changed, 0 up-to-date, 1 failed")
    );
    let report = String::from_utf8(shell.read("report")).unwrap();
    assert_eq!(report.lines().count(), 4);
    assert!(report.contains("not-an-envelope"), "{report}");
}
