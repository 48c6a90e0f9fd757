//! Through stdin and stdout, in ranges, with the header apart.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::process::{Command, Stdio};

use crate::support::Shell;

#[test]
fn stdin_and_stdout() {
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 500_000);
    let from = |name: &str| File::open(shell.path(name)).unwrap();
    let sealed = shell.done_with("encrypt --keyring k --bind x=y -", from("plain"));
    assert!(sealed.stdout.starts_with(b"PHIE"));
    assert!(sealed.stderr_text().contains("500000 bytes"));
    shell.write("sealed", &sealed.stdout);
    for call in ["decrypt", "cat", "decrypt --threads 1"] {
        let call = format!("{call} --keyring k --bind x=y - --json");
        let opened = shell.done_with(&call, from("sealed"));
        assert!(opened.stdout == plain, "{call}");
        assert!(opened.stderr_json()["seconds"].is_number());
    }
    // From stdin into a file, and from a file to stdout.
    shell.done_with("decrypt --keyring k --bind x=y - -o opened", from("sealed"));
    assert!(shell.read("opened") == plain);
    shell.done_with(
        "encrypt --keyring k - -o piped.phi",
        piped(&shell, "cat plain"),
    );
    let opened = shell.done("decrypt --keyring k piped.phi -o -");
    assert!(opened.stdout == plain);
    let sealed = shell.done("encrypt --keyring k --threads 1 --segment-length 4096 plain -o -");
    shell.write("short", &sealed.stdout);
    assert_eq!(
        shell.json("inspect short --json")["files"][0]["segment_length"],
        4096
    );
    shell.done("verify --keyring k short");

    let cut = shell.run_with(
        "decrypt --keyring k --bind x=y - --json",
        piped(&shell, "head -c 300000 sealed"),
    );
    assert_eq!(cut.code, 1);
    assert_eq!(cut.stderr_json()["error"]["kind"], "truncated");
    assert!(plain.starts_with(&cut.stdout));
    let cut = shell.run_with(
        "decrypt --keyring k --bind x=y - -o cut",
        piped(&shell, "head -c 300000 sealed"),
    );
    assert_eq!(cut.code, 1);
    assert!(!shell.exists("cut"));

    // From where stdin stands, and not from the start of the file that it is.
    let mut late = from("plain");
    late.seek(SeekFrom::Start(5)).unwrap();
    shell.done_with("encrypt --keyring k - -o late", late);
    shell.done("decrypt --keyring k late -o back");
    assert!(shell.read("back") == plain[5..]);
}

#[test]
fn ranges_open_what_they_touch() {
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 100_000);
    shell.done("encrypt --keyring k --segment-length 4096 plain");
    let cat = |range: &str| shell.run(&format!("cat --keyring k --range {range} plain.phi"));
    let is = |range: &str, bytes: &[u8]| {
        let ran = cat(range);
        assert_eq!(ran.code, 0, "{range}: {}", ran.stderr_text());
        assert!(ran.stdout == bytes, "{range}");
    };
    is("1000..1200", &plain[1000..1200]);
    is("..10", &plain[..10]);
    is("99990..", &plain[99_990..]);
    is("..", &plain);
    is("4000..9000", &plain[4000..9000]);
    is("99999..200000", &plain[99_999..]);
    is("500000..600000", &[]);
    is("7..7", &[]);
    for wrong in ["9..3", "x..", "5", "-1..3"] {
        assert_eq!(cat(wrong).code, 2, "{wrong}");
    }
    let mut damaged = shell.read("plain.phi");
    damaged[50_000] ^= 1;
    shell.write("plain.phi", &damaged);
    is("1000..1200", &plain[1000..1200]);
    assert_eq!(cat("30000..60000").code, 3);
    let all = shell.run("cat --keyring k plain.phi");
    assert_eq!(all.code, 3);
    assert!(plain.starts_with(&all.stdout) && all.stdout.len() < plain.len());
}

#[test]
fn the_header_apart() {
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 90_000);
    shell.done("encrypt --keyring k --bind x=y --detached head plain -o body");
    let file = &shell.json("inspect head --json")["files"][0];
    assert_eq!(file["kind"], "stream-detached");
    shell.done("verify --keyring k --bind x=y --detached head body");
    shell.done("decrypt --keyring k --bind x=y --detached head body -o out");
    assert!(shell.read("out") == plain);
    let range = shell.done("cat --keyring k --bind x=y --detached head --range 5..50 body");
    assert_eq!(range.stdout, &plain[5..50]);
    let all = shell.done("decrypt --keyring k --bind x=y --detached head body -o -");
    assert!(all.stdout == plain);

    let (head, body) = (shell.read("head"), shell.read("body"));
    shell.done("keyring rotate k --label two");
    let answer = shell.json("rewrap --keyring k --detached head body --json");
    assert_eq!(
        (&answer["files"][0]["path"], &answer["files"][0]["changed"]),
        (&"head".into(), &true.into())
    );
    assert_ne!(shell.read("head"), head);
    assert_eq!(shell.read("body"), body);
    let again = shell.json("rewrap --keyring k --detached head --json");
    assert_eq!(again["files"][0]["changed"], false);
    shell.done("verify --keyring k --bind x=y --detached head body");

    let sealed = shell.done("encrypt --keyring k --detached streamed plain -o -");
    shell.write("streamed.body", &sealed.stdout);
    shell.done("verify --keyring k --detached streamed streamed.body");
    assert_eq!(
        shell
            .run("encrypt --keyring k --detached streamed plain -o -")
            .code,
        1
    );
    assert_eq!(
        shell
            .run("encrypt --keyring k --detached head plain -o b2")
            .code,
        1
    );
    assert_eq!(
        shell
            .run("encrypt --keyring k --detached h3 plain -o body --overwrite")
            .code,
        2
    );
    assert_eq!(shell.run("verify --keyring k --bind x=y body").code, 1);
}

fn piped(shell: &Shell, script: &str) -> Stdio {
    let mut sh = Command::new("sh");
    sh.current_dir(shell.path("."))
        .args(["-c", script])
        .stdout(Stdio::piped());
    sh.spawn().unwrap().stdout.take().unwrap().into()
}
