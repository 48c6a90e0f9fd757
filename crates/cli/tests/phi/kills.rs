//! Every writing command, killed at random moments: what it wrote to is whole, and no plaintext is left over.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Shell, phi};

const CANARY: &[u8] = b"CANARY-OF-A-MRN-";
const KEYS: &str = "--keyring k --master-key-file .master";
const WRITING: [&str; 7] = [
    "encrypt plain -o sealed --overwrite --bind x=y",
    "decrypt sealed -o out --overwrite --bind x=y",
    "rewrap sealed",
    "reencrypt sealed --bind x=y",
    "repack sealed --block-length 4096",
    "repack sealed --block-length 8192",
    "keyring rotate k --label next --master-key-file .master",
];

#[test]
fn killed_at_random_moments() {
    kill(28);
}

/// SIGINT in place of SIGKILL: what is there is what the exit code says, and nothing else is.
#[cfg(unix)]
#[test]
fn interrupted_at_random_moments() {
    use rustix::process::{Pid, Signal, kill_process};

    let shell = Shell::with_keyring();
    let plain = CANARY.repeat(400_000);
    shell.write("plain", &plain);
    shell.done("encrypt --keyring k plain -o sealed --bind x=y");
    let names = ["k", "out", "sealed"];
    shell.write("out", b"old");
    for (time, call) in (0..21).zip(WRITING.iter().cycle()) {
        let before = names.map(|name| shell.read(name));
        let mut command = writing(&shell, call);
        let mut child = command.spawn().unwrap();
        thread::sleep(Duration::from_millis(u64::from(time * 61_u32 % 97)));
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let status = child.wait().unwrap();
        let changed = names.map(|name| shell.read(name)) != before;
        match status.code() {
            Some(0) => {}
            Some(130) => assert!(!changed, "{call}"),
            // The signal came before the program listened to it.
            None => assert!(!changed, "{call}"),
            code => panic!("{call}: {code:?}"),
        }
        let left = shell
            .names()
            .into_iter()
            .find(|name| name.starts_with(".phi-tmp-"));
        assert_eq!(left, None, "{call}");
    }
    let opened = shell.done("decrypt --keyring k sealed -o - --bind x=y");
    assert!(opened.stdout == plain);
}

/// A retirement is told to end at random moments: it keeps the key and leaves no evidence, or it is done.
#[cfg(unix)]
#[test]
fn a_retirement_that_is_interrupted_keeps_the_key_or_is_done() {
    use rustix::process::{Pid, Signal, kill_process};

    let shell = Shell::with_keyring();
    let old = shell.json("keyring list k --json")["keys"][0]["id"].clone();
    let old = old.as_str().unwrap();
    shell.write("plain", CANARY);
    shell.done("encrypt --keyring k plain -o sealed");
    std::fs::create_dir(shell.path("arch")).unwrap();
    shell.done("keyring rotate k --label next");
    let keyring = shell.read("k");
    for time in 0..12_u32 {
        for name in 0..100 {
            std::fs::copy(shell.path("sealed"), shell.path(&format!("arch/{name}"))).unwrap();
        }
        let mut command = writing(&shell, &format!("retire {old} arch --evidence e --keep"));
        command.stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        thread::sleep(Duration::from_millis(u64::from(time * 61 % 97)));
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let ended = child.wait_with_output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(shell.read("k"), keyring, "{told}");
        match ended.status.code() {
            Some(0) => std::fs::remove_file(shell.path("e")).unwrap(),
            // Silent only while nothing was begun.
            Some(130) if !told.is_empty() => assert!(told.contains("the key was kept"), "{told}"),
            Some(130) | None => {}
            code => panic!("{code:?}: {told}"),
        }
        assert!(!shell.exists("e"), "{told}");
        let mut names = std::fs::read_dir(shell.path("arch")).unwrap();
        assert_eq!(names.by_ref().count(), 100, "{told}");
    }
}

#[test]
#[ignore = "takes a minute: the same two hundred times"]
fn killed_two_hundred_times() {
    kill(203);
}

fn kill(times: u32) {
    let shell = Shell::with_keyring();
    let plain = CANARY.repeat(100_000);
    shell.write("plain", &plain);
    shell.done("encrypt --keyring k plain -o sealed --bind x=y");
    let mut usual = Duration::ZERO;
    let mut killed = 0;
    for (time, call) in (0..times).zip(WRITING.iter().cycle()) {
        // Anew for each round of commands: a busy machine is faster a moment later.
        if call == &WRITING[0] {
            let began = Instant::now();
            shell.done("verify --keyring k sealed --bind x=y");
            usual = began.elapsed() * 2;
        }
        let mut child = writing(&shell, call).spawn().unwrap();
        // A sequence that visits all of the time a command takes, evenly and in no order.
        let share = f64::from(time * 61 % 97) / 97.0;
        thread::sleep(Duration::from_secs_f64(usual.as_secs_f64() * share));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        check(&shell, &plain, call);
    }
    // How many is a matter of how busy the machine is, and no matter of what is right.
    eprintln!("{killed} of {times} were killed at work");
}

fn writing(shell: &Shell, call: &str) -> Command {
    let mut command = Command::new(phi());
    command.args(call.split_whitespace());
    if !call.starts_with("keyring") {
        command.args(KEYS.split_whitespace());
    }
    command.current_dir(shell.path("")).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn check(shell: &Shell, plain: &[u8], call: &str) {
    let opened = shell.done("decrypt --keyring k sealed -o - --bind x=y");
    assert!(opened.stdout == plain, "{call}");
    for name in shell.names() {
        let bytes = shell.read(&name);
        let is_plain = bytes.windows(CANARY.len()).any(|window| window == CANARY);
        // While one file replaces another it has a name of its own for a moment; it is whole then.
        let may_be = name == "plain" || name == "out" || name.starts_with(".phi-tmp-");
        assert!(!is_plain || (may_be && bytes == plain), "{call}: {name}");
    }
}
