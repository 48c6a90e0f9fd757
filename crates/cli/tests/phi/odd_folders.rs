//! Folders as they are found: names that are odd, links, what stands in the way, signals.

use std::fs;

use crate::folders::{BOUND, FILES, exports, told};
use crate::support::Shell;

#[cfg(unix)]
#[test]
fn odd_names_links_and_pipes() {
    let shell = exports();
    for name in [
        r"sp ace",
        r"new\nline",
        r"\033[2J",
        r"-r",
        r"d\303\251j\303\240",
    ] {
        shell.sh(&format!(
            "cp exports/a.ndjson \"exports/deep/$(printf -- '{name}')\""
        ));
    }
    shell.done(&format!("encrypt -r exports -o sealed {BOUND}"));
    shell.done(&format!("decrypt -r sealed -o restored {BOUND}"));
    shell.sh("rmdir exports/nothing && diff -r exports restored");

    shell.sh("cp exports/e \"exports/$(printf 'no\\377text')\"");
    shell.sh("ln -s a.ndjson exports/link && mkfifo exports/pipe && ln -s . exports/circle");
    let ran = shell.run(&format!("encrypt -r exports -o sealed {BOUND} --json"));
    assert_eq!(ran.code, 1);
    let (lines, last) = told(&ran);
    assert_eq!(last["summary"]["failed"], 4);
    let odd = lines.values().find(|line| line["path_base64"].is_string());
    assert!(odd.unwrap()["message"].as_str().unwrap().contains("UTF-8"));
    let why = |name: &str| lines[name]["message"].as_str().unwrap().to_owned();
    assert!(why("exports/link").contains("symbolic link"));
    assert!(why("exports/pipe").contains("pipe"));
    let text = shell.run(&format!("encrypt -r exports -o sealed {BOUND}"));
    assert!(text.stderr_text().contains(r"no\xfftext: "));

    // Without a binding to the path, any name will do.
    let exclude = "--exclude link --exclude pipe --exclude circle";
    shell.done(&format!("encrypt -r exports -o any --keyring k {exclude}"));
    let (_, last) = told(&shell.done("decrypt -r any -o again --keyring k --json"));
    assert_eq!(last["summary"]["opened"], FILES.len() + 6);
    shell.sh("cmp exports/e \"again/$(printf 'no\\377text')\"");
    // A folder that is named may be a link.
    shell.sh("ln -s sealed to-sealed");
    shell.done(&format!("verify -r to-sealed {BOUND}"));
}

#[cfg(unix)]
#[test]
fn what_stands_in_the_way_of_outputs() {
    let shell = exports();
    fs::create_dir_all(shell.path("sealed/deep/b.ndjson.phi")).unwrap();
    shell.write("sealed/deep/er", b"a file");
    shell.sh("ln -s nowhere sealed/e.phi");
    let call = format!("encrypt -r exports -o sealed {BOUND}");
    for overwrite in ["", " --overwrite"] {
        let ran = shell.run(&format!("{call}{overwrite} --json"));
        assert_eq!(ran.code, 1);
        let (lines, _) = told(&ran);
        for name in ["deep/b.ndjson", "deep/er/c", "deep/er/d.phi", "e"] {
            let line = &lines[&format!("exports/{name}")];
            assert_eq!(line["outcome"], "failed", "{line}");
        }
        assert_ne!(lines["exports/a.ndjson"]["outcome"], "failed");
        assert_eq!(shell.read("sealed/deep/er"), b"a file");
    }
    shell.write("file", b"");
    let file = shell.run("encrypt -r exports -o file --keyring k");
    assert_eq!(file.code, 1);
    assert!(
        file.stderr_text().starts_with("phi: file: "),
        "{}",
        file.text()
    );

    shell.sh("mkdir -p closed && chmod 500 closed && chmod 000 exports/a.ndjson");
    if fs::read(shell.path("exports/a.ndjson")).is_ok() {
        eprintln!("skipped: root reads and writes anything");
    } else {
        assert_eq!(
            shell.run("encrypt -r exports -o closed/x --keyring k").code,
            1
        );
        let ran = shell.run("encrypt -r exports -o fresh --keyring k --json");
        assert_eq!(
            (ran.code, &ran.last()["summary"]["sealed"]),
            (1, &(FILES.len() - 1).into())
        );
    }
    shell.sh("chmod 700 closed exports/a.ndjson");
}

#[test]
fn folders_that_lie_in_each_other() {
    let shell = exports();
    fs::create_dir(shell.path("exports/exports")).unwrap();
    shell.plaintext("exports/exports/e", 3);
    for call in [
        "encrypt -r exports -o exports",
        "encrypt -r exports -o exports/sealed",
        "encrypt -r exports -o new/../exports/deep/new/er",
        "encrypt -r exports -o exports/../exports/x",
        "encrypt -r . -o sealed",
        "encrypt -r exports -o sealed --report exports/report",
        "encrypt -r exports -o sealed --detached header",
        "encrypt -r exports -o -",
        "encrypt -r exports",
        "encrypt -r - -o sealed",
        "encrypt exports/e -o sealed --bind-path",
        "encrypt exports/e -o sealed --exclude x",
        "encrypt exports/e -o sealed --max-failures 3",
        "encrypt -r exports -o sealed --bind-path --bind path=x",
        "decrypt -r exports -o exports/x",
    ] {
        let ran = shell.run(&format!("{call} --keyring k"));
        assert_eq!(ran.code, 2, "{call}: {}", ran.text());
        assert!(!shell.exists("sealed") && !shell.exists("new"), "{call}");
    }
    // An output beside the input is none in it, but for one whose name leads there.
    let ran = shell.run("encrypt -r exports -o . --keyring k --json");
    assert_eq!(ran.code, 1);
    let (lines, last) = told(&ran);
    assert_eq!(lines["exports/exports/e"]["outcome"], "failed");
    assert_eq!(last["summary"]["sealed"], FILES.len());
    assert!(shell.exists("e.phi") && !shell.exists("exports/e.phi"));
    if cfg!(unix) {
        shell.sh("mkdir linked && ln -s ../exports/deep linked/deep");
        let ran = shell.run("encrypt -r exports -o linked --keyring k --json");
        assert_eq!(ran.code, 1);
        assert_eq!(told(&ran).1["summary"]["failed"], 3);
        assert!(!shell.exists("exports/deep/b.ndjson.phi"));
    }
}

#[test]
fn keys_in_the_folder_are_not_sealed_under_themselves() {
    let shell = exports();
    fs::rename(shell.path("k"), shell.path("exports/k")).unwrap();
    let ran = shell.run("encrypt -r exports -o sealed --keyring exports/k --json");
    assert_eq!(ran.code, 1);
    let (lines, last) = told(&ran);
    assert_eq!(lines["exports/k"]["outcome"], "failed");
    assert_eq!(last["summary"]["sealed"], FILES.len());
    shell.done("encrypt -r exports -o sealed --keyring exports/k --exclude k");
    // Nor is a file of keys overwritten.
    fs::rename(shell.path("exports/k"), shell.path("sealed/e.phi")).unwrap();
    let ran = shell.run("encrypt -r exports -o sealed --keyring sealed/e.phi --overwrite");
    assert_eq!(ran.code, 1, "{}", ran.text());
    shell.done("keyring list sealed/e.phi");
}

#[test]
fn what_is_told_of_nothing() {
    let shell = exports();
    let ran = shell.done("encrypt -r exports/nothing -o sealed --keyring k --exclude *");
    assert!(
        ran.stderr_text().contains("nothing was found"),
        "{}",
        ran.text()
    );
    let expected = shell.run("encrypt -r exports -o sealed --keyring k --exclude * --expect-some");
    assert_eq!(expected.code, 6);
    let help = shell.done("encrypt --help").stdout_text();
    assert!(help.contains("originals stay"), "{help}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_it_with_what_was_done() {
    use std::process::{Command, Stdio};
    use std::thread;
    use std::time::Duration;

    let shell = Shell::with_keyring();
    fs::create_dir(shell.path("exports")).unwrap();
    shell.plaintext("exports/small", 5_000);
    let large = fs::File::create(shell.path("exports/large")).unwrap();
    large.set_len(1 << 36).unwrap();
    let call = "encrypt -r exports -o sealed --keyring k --report report --threads 2";
    let mut command = shell.interruptible(call);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    while !shell.exists("sealed/small.phi") {
        thread::sleep(Duration::from_millis(10));
    }
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let (complaint, said) = (
        String::from_utf8(output.stderr).unwrap(),
        String::from_utf8(output.stdout).unwrap(),
    );
    assert!(complaint.contains("interrupted"), "{complaint}");
    assert!(
        said.starts_with("1 sealed, 0 present: 5000 bytes"),
        "{said}"
    );
    let report = String::from_utf8(shell.read("report")).unwrap();
    assert_eq!(report.lines().count(), 2, "{report}");
    assert!(!shell.exists("sealed/large.phi"));
    let (_, last) =
        told(&shell.done("encrypt -r exports -o sealed --keyring k --exclude large --json"));
    assert_eq!(last["summary"]["present"], 1);
}
