//! What the system, other users and other programs grant and refuse.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{MASTER_KEY, PASSPHRASE, Ran, Shell, phi};

/// A user who has nothing.
const NOBODY: &str = "65534";

/// Runs a script in which `phi` is the program, as `sh` runs it after these words.
pub(crate) fn script(shell: &Shell, before: &[&str], script: &str, stdin: Stdio) -> Ran {
    let program = format!("phi() {{ {} \"$@\"; }}; {script}", phi().display());
    let words = before.iter().copied().chain(["sh", "-c", program.as_str()]);
    let words: Vec<_> = words.collect();
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .current_dir(shell.path(""))
        .stdin(stdin);
    shell.ran(&mut command)
}

pub(crate) fn can(before: &[&str]) -> bool {
    let mut command = Command::new(before[0]);
    let can = command
        .args(&before[1..])
        .arg("true")
        .output()
        .is_ok_and(|ran| ran.status.success());
    if !can {
        eprintln!("skipped: `{}` is refused here", before.join(" "));
    }
    can
}

fn as_nobody() -> Option<[&'static str; 6]> {
    let words = [
        "setpriv",
        "--reuid",
        NOBODY,
        "--regid",
        NOBODY,
        "--clear-groups",
    ];
    // He must be able to reach the program that is tested.
    let reaches = [&words[..], &["test", "-x"]].concat();
    let program = phi();
    let reached = Command::new(reaches[0])
        .args(&reaches[1..])
        .arg(&program)
        .status();
    (can(&words) && reached.is_ok_and(|status| status.success())).then_some(words)
}

/// A folder in which another user may do as he likes, with a key of his own.
fn given_away(shell: &Shell) {
    fs::set_permissions(shell.path(""), Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(shell.path(".master"), Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn stdin_of_another_user_is_read() {
    let Some(nobody) = as_nobody() else { return };
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 300_000);
    given_away(&shell);
    fs::set_permissions(shell.path("plain"), Permissions::from_mode(0o600)).unwrap();
    let key = "--master-key-file .master --allow-access-by-others";
    let stdin = || File::open(shell.path("plain")).unwrap().into();
    let denied = script(
        &shell,
        &nobody,
        &format!("phi encrypt {key} plain -o no"),
        Stdio::null(),
    );
    assert_eq!(denied.code, 1);
    let sealed = script(
        &shell,
        &nobody,
        &format!("phi encrypt {key} - -o sealed"),
        stdin(),
    );
    assert_eq!(sealed.code, 0, "{}", sealed.text());
    let sealed = script(&shell, &nobody, &format!("phi encrypt {key} - -o piped"), {
        let mut cat = Command::new("cat");
        cat.arg("plain")
            .current_dir(shell.path(""))
            .stdout(Stdio::piped());
        cat.spawn().unwrap().stdout.take().unwrap().into()
    });
    assert_eq!(sealed.code, 0, "{}", sealed.text());
    for name in ["sealed", "piped"] {
        fs::set_permissions(shell.path(name), Permissions::from_mode(0o600)).unwrap();
        let stdin = File::open(shell.path(name)).unwrap().into();
        let opened = script(
            &shell,
            &nobody,
            &format!("phi decrypt {key} - -o {name}.out"),
            stdin,
        );
        assert_eq!(opened.code, 0, "{}", opened.text());
        assert!(shell.read(&format!("{name}.out")) == plain);
    }
}

#[test]
fn without_threads_the_work_goes_on() {
    let Some(nobody) = as_nobody() else { return };
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 3_000_000);
    given_away(&shell);
    fs::set_permissions(shell.path("plain"), Permissions::from_mode(0o644)).unwrap();
    let limited = [&["sh", "-c", "ulimit -u 1; exec \"$@\"", "sh"], &nobody[..]].concat();
    let key = "--master-key-file .master --allow-access-by-others";
    // `exec`, since a shell may not even fork.
    let run = |call: &str| {
        let program = format!("exec {} {call} {key}", phi().display());
        let words = [&limited[..], &["sh", "-c", &program]].concat();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .current_dir(shell.path(""))
            .stdin(Stdio::null());
        shell.ran(&mut command)
    };
    let done = |call: &str| {
        let ran = run(call);
        assert_eq!(ran.code, 0, "{call}: {}", ran.text());
        ran
    };
    done("encrypt plain -o sealed");
    assert!(done("cat sealed").stdout == plain);
    assert!(done("cat sealed --range 5..2000000").stdout == plain[5..2_000_000]);
    done("decrypt sealed -o out");
    assert!(shell.read("out") == plain);
    done("verify sealed --threads 4");
    done("rewrap sealed");
    done("reencrypt sealed");
    done("repack sealed --block-length 8192");
    assert!(done("encrypt plain -o -").stdout.starts_with(b"PHIE"));
    done("inventory sealed");
}

#[test]
fn without_memory_a_passphrase_is_an_error() {
    let shell = Shell::new().passphrase(PASSPHRASE);
    shell.done("keyring new k --label one");
    shell.write("pass", PASSPHRASE.as_bytes());
    let limited = ["sh", "-c", "ulimit -v 60000; exec \"$@\"", "sh"];
    for call in [
        "keyring list k",
        "keyring new n --label n",
        "verify --keyring k sealed",
    ] {
        let ran = script(
            &shell,
            &limited,
            &format!("phi {call} --passphrase-file pass"),
            Stdio::null(),
        );
        assert_eq!(ran.code, 1, "{call}: {}", ran.text());
        assert!(
            ran.stderr_text().starts_with("phi: "),
            "{call}: {}",
            ran.text()
        );
    }
    assert!(!shell.exists("n"));
    shell.done("keyring list k");
}

#[test]
fn a_keyring_that_others_may_read_is_opened_when_it_is_said() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k plain");
    fs::set_permissions(shell.path("k"), Permissions::from_mode(0o640)).unwrap();
    for call in [
        "keyring list k",
        "verify --keyring k plain.phi",
        "encrypt --to-keyring k plain -o -",
        "keyring rotate k --label two",
    ] {
        let refused = shell.run(call);
        assert_eq!(refused.code, 1, "{call}: {}", refused.text());
        let told = refused.stderr_text();
        assert!(
            told.contains("k: the keyring's file") && told.contains("--allow-access-by-others"),
            "{told}"
        );
        shell.done(&format!("{call} --allow-access-by-others"));
    }
    // It is for files of keys, and has no effect elsewhere.
    let shell = shell.without_master_key().passphrase(PASSPHRASE);
    for call in [
        "encrypt plain -o x",
        "inspect plain.phi",
        "keyring new n --label n",
    ] {
        assert_eq!(
            shell.run(&format!("{call} --allow-access-by-others")).code,
            2,
            "{call}"
        );
    }
    assert!(!shell.exists("n") && !shell.exists("x"));
}

#[test]
fn a_number_that_cannot_be_names_its_option_and_what_can() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k plain");
    shell.done("keyring rotate k --label two");
    let keys = shell.json("keyring list k --json")["keys"].clone();
    let key = keys[0]["id"].as_str().unwrap().to_owned();
    let segments = ("--segment-length", "4096..=16777216");
    let blocks = ("--block-length", "a multiple of 4096 bytes, up to 65536");
    let all = ["0", "5", "4095", "16777217", "5000000000", "-1", "x"];
    for ((option, range), wrong) in [segments, blocks]
        .into_iter()
        .flat_map(|option| all.map(|wrong| (option, wrong)))
    {
        let calls = [
            "encrypt plain -o x",
            "reencrypt plain.phi",
            "repack plain.phi",
        ];
        for call in calls {
            if call.starts_with("repack") && option == segments.0 {
                continue;
            }
            let ran = shell.run(&format!("{call} --keyring k {option}={wrong}"));
            assert_eq!(ran.code, 2, "{call} {option} {wrong}");
            let told = ran.stderr_text();
            let is_number = wrong.parse::<u32>().is_ok() || option == blocks.0;
            assert!(
                told.contains(option) && (told.contains(range) || !is_number),
                "{told}"
            );
        }
    }
    for (call, expected) in [
        (
            "encrypt plain -o x --keyring k --label =x",
            "--label: limit",
        ),
        (
            "encrypt plain -o x --keyring k --bind =x",
            "--bind and --bind-file: limit",
        ),
    ] {
        let ran = shell.run(call);
        assert_eq!(ran.code, 2, "{call}");
        assert!(
            ran.stderr_text().contains(expected),
            "{}",
            ran.stderr_text()
        );
    }
    let short = "--keyring k --evidence e --settling-time 1s";
    shell.sh("mkdir place");
    let ran = shell.run(&format!("retire {key} place {short}"));
    assert_eq!(ran.code, 2, "{}", ran.text());
    let told = ran.stderr_text();
    assert!(
        told.contains("--settling-time is shorter") && told.contains("--allowance"),
        "{told}"
    );
}

#[test]
fn what_a_pass_could_not_keep_is_told() {
    let Some(nobody) = as_nobody() else { return };
    let shell = Shell::new();
    shell.write(".master", MASTER_KEY.as_bytes());
    given_away(&shell);
    let key = "--master-key-file .master --allow-access-by-others";
    let as_nobody = |call: &str| script(&shell, &nobody, call, Stdio::null());
    shell.sh("mkdir -m 777 arch");
    shell.plaintext("plain", 5_000);
    // A detached header is replaced by a new file, whose owner is who makes it.
    let made = as_nobody(&format!(
        "phi keyring new k --label one {key} && phi encrypt --keyring k {key} plain -o arch/payload --detached arch/header && phi keyring rotate k --label two {key}"
    ));
    assert_eq!(made.code, 0, "{}", made.text());
    shell.sh("chown 0:0 arch/header && chmod 644 arch/header");
    let pass = format!("phi rewrap -r arch --keyring k {key} --json --report told");
    let ran = as_nobody(&pass);
    assert_eq!(ran.code, 0, "{}", ran.text());
    let lines = ran.lines();
    assert_eq!(lines[0]["path"], "arch/header");
    assert_eq!(lines[0]["outcome"], "done");
    assert_eq!(lines[0]["not_kept"]["owner"], true);
    assert_eq!(lines[0]["not_kept"]["access_list"], false);
    assert_eq!(ran.last()["summary"]["not_kept"], 1);
    let told = ran.stderr_text();
    assert!(
        told.contains("header: the file system did not keep its owner"),
        "{told}"
    );
    assert!(
        fs::read_to_string(shell.path("told"))
            .unwrap()
            .contains("not_kept")
    );
    // Nothing is said of what lost nothing.
    let again = as_nobody(&pass.replace("told", "again"));
    assert_eq!(again.last()["summary"]["not_kept"], 0);
    assert!(
        !fs::read_to_string(shell.path("again"))
            .unwrap()
            .contains("not_kept")
    );
}

#[test]
fn a_secret_that_others_may_read_is_taken_when_it_is_said() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k plain");
    shell.write("pass", PASSPHRASE.as_bytes());
    let shell = shell.without_master_key();
    shell.done("keyring new p --label one --passphrase-file pass");
    for name in ["pass", ".master"] {
        fs::set_permissions(shell.path(name), Permissions::from_mode(0o644)).unwrap();
    }
    for (call, name) in [
        ("keyring list k --master-key-file .master", ".master"),
        ("keyring list p --passphrase-file pass", "pass"),
        (
            "verify --keyring k --master-key-file .master plain.phi",
            ".master",
        ),
        ("encrypt --to-passphrase-file pass plain -o -", "pass"),
        (
            "encrypt --to-keyring k --to-keyring-master-key-file .master plain -o -",
            ".master",
        ),
    ] {
        let refused = shell.run(call);
        assert_eq!(refused.code, 1, "{call}: {}", refused.text());
        let told = refused.stderr_text();
        let is_named = told.starts_with(&format!("phi: {name}: "));
        assert!(
            is_named && told.contains("--allow-access-by-others"),
            "{told}"
        );
        shell.done(&format!("{call} --allow-access-by-others"));
    }
    // A keyring and its master key as a container has them.
    fs::set_permissions(shell.path("k"), Permissions::from_mode(0o644)).unwrap();
    shell.done("verify --keyring k --master-key-file .master plain.phi --allow-access-by-others");
    // Of a pipe, nobody else reads.
    let key = File::open(shell.path(".master")).unwrap();
    let ran = shell.run_with(
        "keyring list k --master-key-file - --allow-access-by-others",
        key,
    );
    assert_eq!(ran.code, 0, "{}", ran.text());
}

#[test]
fn a_lock_is_waited_for_with_an_end_and_a_word() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k plain");
    shell.done("keyring rotate k --label two");
    let held = File::open(shell.path("plain.phi")).unwrap();
    held.lock().unwrap();
    let call = "rewrap --keyring k plain.phi";
    let refused = shell.run(&format!("{call} --lock-wait 0s"));
    assert_eq!(refused.code, 1);
    let told = refused.stderr_text();
    assert!(
        told.contains("plain.phi") && told.contains("--lock-wait"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
    let refused = shell.run(&format!("{call} --lock-wait 1500ms"));
    assert_eq!(refused.code, 1);
    let told = refused.stderr_text();
    let wait = told.lines().next().unwrap();
    assert!(
        wait.contains("plain.phi") && wait.contains("waits for it"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 2, "{told}");
    for wrong in ["5", "x", "-1s", "99999999999999999999s"] {
        assert_eq!(
            shell.run(&format!("{call} --lock-wait={wrong}")).code,
            2,
            "{wrong}"
        );
    }
    held.unlock().unwrap();
    for wait in ["0s", "5m", "forever"] {
        shell.done(&format!("{call} --lock-wait {wait}"));
    }
}

#[test]
fn a_file_that_is_mounted_by_itself_is_explained() {
    let mount = ["unshare", "--mount"];
    if !can(&mount) {
        return;
    }
    let shell = Shell::with_keyring();
    let before = shell.read("k");
    let ran = script(
        &shell,
        &mount,
        "mount --bind k k && phi keyring rotate k --label two --master-key-file .master",
        Stdio::null(),
    );
    if ran.stderr_text().contains("mount: ") {
        eprintln!("skipped: no file can be mounted here");
        return;
    }
    assert_eq!(ran.code, 1, "{}", ran.text());
    assert!(ran.stderr_text().contains("mount"), "{}", ran.text());
    assert!(
        ran.stderr_text().contains("k: the file is "),
        "{}",
        ran.text()
    );
    assert_eq!(shell.read("k"), before);
}

#[test]
fn an_option_without_effect_is_refused() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 5_000);
    shell.write("pass", PASSPHRASE.as_bytes());
    shell.done("encrypt --keyring k plain");
    for call in [
        // The shell gives --master-key-file, for which nothing would be sealed.
        "encrypt --to-passphrase-file pass plain -o x",
        "encrypt --keyring k plain -o - --overwrite",
        "decrypt --keyring k plain.phi -o - --overwrite",
        "encrypt --keyring k plain -o x --detached y --block-length 8192",
        "decrypt plain.phi -o x --allow-compromised",
        "rewrap -r . --keyring k --allow-without-lock",
        "rewrap -r . --keyring k --allow-loss-of-attributes",
        "reencrypt --keyring k record --segment-length 8192",
        "reencrypt --keyring k record --block-length 8192",
    ] {
        if call.contains("record") && !shell.exists("record") {
            record(&shell);
        }
        let ran = shell.run(call);
        assert_eq!(ran.code, 2, "{call}: {}", ran.text());
        assert!(ran.stdout.is_empty());
    }
    assert!(!shell.exists("x") && !shell.exists("y"));
}

/// Puts a record there, as an application would.
fn record(shell: &Shell) {
    use phi_envelope::{Context, EnvelopeCipher, Keyring, KeyringFile, MasterKey};

    let master = fs::read_to_string(shell.path(".master")).unwrap();
    let master = MasterKey::from_base64(&master).unwrap();
    let master = Keyring::from_master_key(master, "master key");
    let path: &Path = &shell.path("k");
    let keyring = KeyringFile::open(path, master).unwrap();
    let cipher = EnvelopeCipher::new(keyring.keyring());
    shell.write(
        "record",
        &cipher.encrypt("BP 120/80", &Context::new()).unwrap(),
    );
    shell.done("reencrypt --keyring k record");
}
