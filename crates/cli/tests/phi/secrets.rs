//! The same secret by each road is the same secret, and one that nobody could give again is not chosen.

use std::fs::File;

use crate::support::{MASTER_KEY, NEW_PASSPHRASE, PASSPHRASE, Shell};

/// What an editor, a shell or Windows makes of a secret.
fn ways_to_write(secret: &str) -> [String; 6] {
    [
        secret.to_owned(),
        format!("{secret}\n"),
        format!("{secret}\r\n"),
        format!("\u{feff}{secret}"),
        format!("\u{feff}{secret}\n"),
        format!("\u{feff}{secret}\r\n"),
    ]
}

#[test]
fn a_passphrase_is_the_same_by_every_road() {
    let shell = Shell::new();
    shell.write("pass", PASSPHRASE.as_bytes());
    shell.done("keyring new k --label one --passphrase-file pass");
    for written in ways_to_write(PASSPHRASE) {
        shell.write("pass", written.as_bytes());
        let opened = shell.run("keyring list k --passphrase-file pass");
        assert_eq!(opened.code, 0, "{written:?}: {}", opened.text());
        let opened = shell.clone().passphrase(&written).run("keyring list k");
        assert_eq!(opened.code, 0, "{written:?}: {}", opened.text());
        let pass = File::open(shell.path("pass")).unwrap();
        let opened = shell.run_with("keyring list k --passphrase-file -", pass);
        assert_eq!(opened.code, 0, "{written:?}: {}", opened.text());
    }
    // One line end and one mark, and no more.
    for written in [
        format!("{PASSPHRASE}\n\n"),
        format!("\u{feff}\u{feff}{PASSPHRASE}"),
    ] {
        shell.write("pass", written.as_bytes());
        let refused = shell.run("keyring list k --passphrase-file pass");
        assert_eq!(refused.code, 4, "{written:?}");
        assert_eq!(
            shell
                .clone()
                .passphrase(&written)
                .run("keyring list k")
                .code,
            4
        );
    }
}

#[test]
fn a_master_key_is_the_same_by_every_road() {
    let shell = Shell::new();
    shell.write("key", MASTER_KEY.as_bytes());
    shell.done("keyring new k --label one --master-key-file key");
    for written in ways_to_write(MASTER_KEY) {
        shell.write("key", written.as_bytes());
        shell.done("keyring list k --master-key-file key");
        let key = File::open(shell.path("key")).unwrap();
        shell.done_with("keyring list k --master-key-file -", key);
    }
    // A file that is no text and one that is another text: one exit code, and the file's name.
    for wrong in [&b"c2hvcnQ="[..], b"\xff\xfe\x00", b""] {
        shell.write("wrong", wrong);
        let refused = shell.run("keyring list k --master-key-file wrong --json");
        assert_eq!(refused.code, 1, "{wrong:?}");
        let error = &refused.json()["error"];
        assert_eq!(error["kind"], "malformed");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("wrong: malformed: "), "{message}");
    }
}

#[test]
fn bindings_are_the_same_by_every_road() {
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k --bind a=b --bind c=d plain");
    for written in ways_to_write("a=b\nc=d")
        .iter()
        .chain(&ways_to_write("a=b\r\nc=d"))
    {
        shell.write("pairs", written.as_bytes());
        shell.done("decrypt --keyring k --bind-file pairs plain.phi -o out --overwrite");
        assert_eq!(shell.read("out"), plain);
    }
    let pairs = File::open(shell.path("pairs")).unwrap();
    shell.done_with("verify --keyring k --bind-file - plain.phi", pairs);
}

#[test]
fn a_file_without_bindings_seals_nothing() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 5_000);
    for empty in ["", "\n", "\r\n\r\n", "\u{feff}", "\u{feff}\n"] {
        shell.write("pairs", empty.as_bytes());
        for call in [
            "encrypt --keyring k --bind-file pairs plain",
            "encrypt --keyring k --bind-file pairs --bind a=b plain",
            "encrypt --keyring k --bind-file pairs plain -o -",
        ] {
            let refused = shell.run(call);
            assert_eq!(refused.code, 2, "{empty:?}: {}", refused.text());
            assert!(refused.stdout.is_empty());
            assert!(refused.stderr_text().contains("--bind-file pairs: "));
        }
    }
    assert!(!shell.exists("plain.phi"));
}

#[test]
fn a_passphrase_that_is_chosen_can_be_given_again() {
    let shell = Shell::new().passphrase(PASSPHRASE);
    shell.done("keyring new k --label one");
    shell.plaintext("plain", 5_000);
    let ends = format!("{NEW_PASSPHRASE}\n\n");
    let returns = format!("{NEW_PASSPHRASE}\r");
    let marked = format!("\u{feff}\u{feff}{NEW_PASSPHRASE}");
    for wrong in [ends, returns, marked] {
        shell.write("wrong", wrong.as_bytes());
        let by_variable = shell.clone().passphrase(&wrong);
        let new_variable = shell.clone().new_passphrase(&wrong);
        for ran in [
            shell.run("keyring new n --label n --passphrase-file wrong"),
            by_variable.run("keyring new n --label n"),
            by_variable.run("encrypt plain -o n"),
            shell.run("encrypt --passphrase-file wrong plain -o n"),
            shell.run("encrypt --to-passphrase-file wrong plain -o n"),
            shell.run("keyring passwd k --new-passphrase-file wrong"),
            new_variable.run("keyring passwd k"),
        ] {
            assert_eq!(ran.code, 2, "{wrong:?}: {}", ran.text());
            assert!(ran.stderr_text().contains("passphrase "), "{}", ran.text());
        }
    }
    shell.write("utf-16", b"\xff\xfes\0e\0");
    assert_eq!(
        shell
            .run("keyring passwd k --new-passphrase-file utf-16")
            .code,
        2
    );
    assert!(!shell.exists("n"));
    shell.done("keyring list k");
}

#[test]
fn stdin_is_for_one_thing() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 5_000);
    shell.write("pairs", b"a=b\n");
    let pairs = File::open(shell.path("pairs")).unwrap();
    let both = shell.run_with("encrypt --keyring k --bind-file - - -o -", pairs);
    assert_eq!(both.code, 2);
    assert!(both.stdout.is_empty());
    assert!(
        both.stderr_text().contains("one thing"),
        "{}",
        both.stderr_text()
    );
}
