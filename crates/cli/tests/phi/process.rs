//! The process and the system: the terminal, signals, descriptors and limits.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

use crate::support::{PASSPHRASE, Shell};

/// How long something may take that takes no time, on a machine that does a hundred other things.
const PATIENCE: Duration = Duration::from_secs(120);

/// A terminal on which a program runs.
struct Terminal {
    user: File,
    /// The program's side, held so that its modes can be seen.
    side: OwnedFd,
    shown: String,
}

impl Terminal {
    fn new() -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&user).unwrap();
        unlockpt(&user).unwrap();
        let name = ptsname(&user, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let side = rustix::fs::open(&*name, flags, rustix::fs::Mode::empty()).unwrap();
        Self {
            user: user.into(),
            side,
            shown: String::new(),
        }
    }

    /// Runs a call that has this terminal and no other way to a passphrase.
    fn run(&self, shell: &Shell, call: &str) -> Child {
        let phi = shell.interruptible(call);
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .arg(phi.get_program())
            .args(phi.get_args());
        command.current_dir(shell.path(""));
        command
            .env_remove("PHI_PASSPHRASE")
            .env_remove("PHI_NEW_PASSPHRASE");
        let side = || self.side.try_clone().unwrap();
        command.stdin(side()).stdout(side()).stderr(side());
        command.spawn().unwrap()
    }

    /// Waits until the program has shown this so many times.
    fn wait_for(&mut self, text: &str, times: usize) {
        let mut buffer = [0; 1024];
        while self.shown.matches(text).count() < times {
            let read = self.user.read(&mut buffer).unwrap();
            self.shown += &String::from_utf8_lossy(&buffer[..read]);
        }
    }

    fn types(&mut self, keys: &str) {
        self.user.write_all(keys.as_bytes()).unwrap();
    }

    fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.side).unwrap();
        modes.local_modes.contains(LocalModes::ECHO)
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn has_tools() -> bool {
    let has = Command::new("setsid").arg("--version").output().is_ok();
    if !has {
        eprintln!("skipped: there is no setsid");
    }
    has
}

fn under_a_passphrase() -> Shell {
    let shell = Shell::new().passphrase(PASSPHRASE);
    shell.done("keyring new k --label one");
    shell
}

#[test]
fn a_passphrase_is_asked_for_and_not_shown() {
    if !has_tools() {
        return;
    }
    let shell = under_a_passphrase();
    let mut terminal = Terminal::new();
    assert!(terminal.echoes());
    let mut child = terminal.run(&shell, "keyring list k");
    terminal.wait_for("Passphrase of k: ", 1);
    until("no echo", || !terminal.echoes());
    terminal.types("correct-horsf\u{7f}e\n");
    terminal.wait_for("active", 1);
    assert!(child.wait().unwrap().success());
    assert!(terminal.echoes());
    assert!(!terminal.shown.contains("horse"), "{:?}", terminal.shown);

    // Twice for a new one, and both times the same.
    for (second, code) in [("battery-staple", 0), ("battery-stable", 2)] {
        let mut terminal = Terminal::new();
        let mut child = terminal.run(&shell, &format!("keyring new n{code} --label n"));
        terminal.wait_for("Passphrase of n", 1);
        terminal.types("battery-staple\n");
        terminal.wait_for("once more: ", 1);
        terminal.types(&format!("{second}\n"));
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!(shell.exists(&format!("n{code}")), code == 0);
    }
    // The end of the input is no passphrase.
    let mut terminal = Terminal::new();
    let mut child = terminal.run(&shell, "keyring list k");
    terminal.wait_for("Passphrase of k: ", 1);
    terminal.types("\u{4}");
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert!(terminal.echoes());
}

#[test]
fn a_signal_at_the_prompt_leaves_the_terminal_as_it_was() {
    if !has_tools() {
        return;
    }
    let shell = under_a_passphrase();
    type Interrupt = fn(&mut Terminal, &Child);
    let interrupts: [(Interrupt, i32); 4] = [
        (|terminal, _| terminal.types("half\u{3}"), 130),
        (|_, child| send(child, Signal::INT), 130),
        (|_, child| send(child, Signal::TERM), 143),
        (|_, child| send(child, Signal::HUP), 129),
    ];
    for (interrupt, code) in interrupts {
        let mut terminal = Terminal::new();
        let mut child = terminal.run(&shell, "keyring list k");
        terminal.wait_for("Passphrase of k: ", 1);
        interrupt(&mut terminal, &child);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(terminal.echoes());
        terminal.wait_for("interrupted", 1);
        assert!(!terminal.shown.contains("half"));
    }
}

#[test]
fn a_prompt_that_is_stopped_asks_anew() {
    if !has_tools() {
        return;
    }
    let shell = under_a_passphrase();
    let mut terminal = Terminal::new();
    let mut child = terminal.run(&shell, "keyring list k");
    terminal.wait_for("Passphrase of k: ", 1);
    for time in 1..3 {
        terminal.types("\u{1a}");
        until("stopped", || state(&child) == 'T');
        assert!(terminal.echoes());
        send(&child, Signal::CONT);
        terminal.wait_for("Passphrase of k: ", time + 1);
        until("no echo", || !terminal.echoes());
    }
    terminal.types("correct-horse\n");
    assert!(child.wait().unwrap().success());
}

/// The letter by which the system says what a process does.
fn state(child: &Child) -> char {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    after_name.chars().next().unwrap()
}

/// A call that reads a pipe into which somebody writes slowly.
fn at_work(shell: &Shell, call: &str, first: &[u8]) -> (Child, io::PipeWriter) {
    let (from, mut into) = io::pipe().unwrap();
    let mut command = shell.interruptible(call);
    command
        .stdin(from)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    drop(command);
    // More than a pipe holds, so that the program has read from it when this is written.
    assert!(first.len() > 1 << 20);
    into.write_all(first).unwrap();
    (child, into)
}

fn ended(child: Child) -> (ExitStatus, String) {
    let output = child.wait_with_output().unwrap();
    (output.status, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn an_interruption_at_work_leaves_nothing() {
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 4 << 20);
    shell.done("encrypt --keyring k plain -o sealed");
    let sealed = shell.read("sealed");
    let calls = [
        ("encrypt --keyring k - -o out", &plain),
        ("encrypt --keyring k - -o - --detached out", &plain),
        ("decrypt --keyring k - -o out", &sealed),
        ("verify --keyring k -", &sealed),
    ];
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        for (call, bytes) in calls {
            let (child, mut into) = at_work(&shell, call, &bytes[..2 << 20]);
            send(&child, signal);
            // Who writes is interrupted by the same key: the end of the pipe is not the end of the data.
            let rest = thread::spawn({
                let rest = bytes[2 << 20..3 << 20].to_vec();
                move || into.write_all(&rest)
            });
            let (status, told) = ended(child);
            let _ = rest.join().unwrap();
            assert_eq!(status.code(), Some(code), "{call}: {told}");
            assert!(!shell.exists("out"), "{call}");
        }
    }
    assert!(
        !shell
            .names()
            .iter()
            .any(|name| name.starts_with(".phi-tmp"))
    );
}

#[test]
fn an_interruption_leaves_no_header_without_its_payload() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 4 << 20);
    let (mut from, into) = io::pipe().unwrap();
    let mut command = shell.interruptible("encrypt --keyring k plain -o - --detached head");
    let child = command.stdout(into).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    // It cannot end before all of it is taken.
    from.read_exact(&mut [0; 100]).unwrap();
    assert!(shell.exists("head"));
    send(&child, Signal::INT);
    let rest = thread::spawn(move || io::copy(&mut from, &mut io::sink()));
    let (status, told) = ended(child);
    rest.join().unwrap().unwrap();
    assert_eq!(status.code(), Some(130), "{told}");
    assert!(!shell.exists("head"));
}

#[test]
fn the_end_of_a_pipe_whose_writer_was_interrupted_is_no_end() {
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 2 << 20);
    for call in ["encrypt --keyring k - -o out", "encrypt --keyring k -"] {
        let (child, into) = at_work(&shell, call, &plain);
        send(&child, Signal::INT);
        drop(into);
        let (status, told) = ended(child);
        assert_eq!(status.code(), Some(130), "{call}: {told}");
        assert!(!shell.exists("out"));
    }
}

#[test]
fn who_asks_twice_does_not_wait() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k plain");
    let before = shell.read("plain.phi");
    let held = File::open(shell.path("plain.phi")).unwrap();
    held.lock().unwrap();
    let mut command = shell.interruptible("reencrypt --keyring k plain.phi --lock-wait forever");
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    // It says that it waits, and so it does.
    let mut told = [0; 64];
    assert!(child.stderr.as_mut().unwrap().read(&mut told).unwrap() > 0);
    send(&child, Signal::INT);
    send(&child, Signal::INT);
    // Two that come together are one.
    until("ended", || {
        send(&child, Signal::INT);
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(shell.read("plain.phi"), before);
}

#[test]
fn a_signal_that_was_to_be_ignored_is_ignored() {
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 2 << 20);
    let phi = shell.command("encrypt --keyring k - -o out");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP INT; exec \"$@\"", "sh"]);
    command.arg(phi.get_program()).args(phi.get_args());
    let (from, mut into) = io::pipe().unwrap();
    command.current_dir(shell.path("")).stdin(from);
    let mut child = command.spawn().unwrap();
    drop(command);
    into.write_all(&plain).unwrap();
    send(&child, Signal::HUP);
    send(&child, Signal::INT);
    drop(into);
    assert!(child.wait().unwrap().success());
    shell.done("decrypt --keyring k out -o back");
    assert_eq!(shell.read("back"), plain);
}

/// A call under limits that `sh` sets first.
fn limited(shell: &Shell, limits: &str, call: &str) -> Command {
    let phi = shell.command(call);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limits}; exec \"$@\""), "sh"]);
    command.arg(phi.get_program()).args(phi.get_args());
    command.current_dir(shell.path("")).stdin(Stdio::null());
    command
}

#[test]
fn a_file_that_may_not_grow_is_an_error() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 2 << 20);
    let before = shell.names();
    let ran = shell.ran(&mut limited(
        &shell,
        "ulimit -f 64",
        "encrypt --keyring k plain -o out",
    ));
    assert_eq!(ran.code, 1, "{}", ran.text());
    assert!(
        ran.stderr_text().contains("File too large"),
        "{}",
        ran.text()
    );
    assert_eq!(shell.names(), before);
}

#[test]
fn memory_stays_out_of_core_dumps() {
    let shell = Shell::with_keyring();
    let dumps = |mut child: Child| {
        send(&child, Signal::ABORT);
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(6));
        status.core_dumped()
    };
    let mut other = Command::new("sh");
    other
        .args(["-c", "ulimit -c unlimited; exec sleep 1000"])
        .current_dir(shell.path(""));
    let other = other.spawn().unwrap();
    until("asleep", || {
        fs::read_to_string(format!("/proc/{}/comm", other.id())).unwrap() == "sleep\n"
    });
    if !dumps(other) {
        eprintln!("skipped: this system dumps no core");
        return;
    }
    let plain = shell.plaintext("plain", 2 << 20);
    let mut command = limited(
        &shell,
        "ulimit -c unlimited",
        "encrypt --keyring k - -o out",
    );
    let (from, mut into) = io::pipe().unwrap();
    let child = command.stdin(from).spawn().unwrap();
    drop(command);
    into.write_all(&plain).unwrap();
    assert!(!dumps(child));
}

#[test]
fn closed_descriptors_are_not_empty_ones() {
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k plain");
    let with = |redirection: &str, call: &str| {
        let phi = shell.command(call);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$@\" {redirection}"), "sh"]);
        command.arg(phi.get_program()).args(phi.get_args());
        shell.ran(command.current_dir(shell.path("")))
    };
    for call in [
        "encrypt --keyring k - -o out",
        "encrypt --keyring k -",
        "verify --keyring k -",
        "decrypt --keyring k - -o out",
        "verify --keyring k --bind-file - plain.phi",
    ] {
        let ran = with("<&-", call);
        assert_eq!(ran.code, 2, "{call}: {}", ran.text());
        assert!(
            ran.stderr_text().contains("stdin is closed"),
            "{call}: {}",
            ran.text()
        );
    }
    for call in [
        "cat --keyring k plain.phi",
        "decrypt --keyring k plain.phi -o -",
        "encrypt --keyring k plain -o -",
    ] {
        let ran = with(">&-", call);
        assert_eq!(ran.code, 2, "{call}: {}", ran.text());
        assert!(
            ran.stderr_text().contains("stdout is closed"),
            "{call}: {}",
            ran.text()
        );
        assert_eq!(with(">/dev/null", call).code, 0);
    }
    assert!(!shell.exists("out"));
    // What needs neither goes on, and opens no file in their place.
    assert_eq!(
        with("<&- >&- 2>&-", "decrypt --keyring k plain.phi -o out").code,
        0
    );
    assert_eq!(shell.read("out"), plain);
    // An empty input is one.
    assert_eq!(with("</dev/null", "encrypt --keyring k - -o empty").code, 0);
    assert_eq!(
        with("</dev/null", "decrypt --keyring k empty -o -").stdout,
        b""
    );
}

#[test]
fn descriptors_that_do_not_block_are_waited_for() {
    use rustix::pipe::{PipeFlags, pipe_with};

    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 3 << 20);
    let sealed = shell.done("encrypt --keyring k plain -o -").stdout;
    let (in_read, in_write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
    let (out_read, out_write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
    let mut command = shell.command("decrypt --keyring k -");
    command
        .stdin(in_read)
        .stdout(out_write)
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    drop(command);
    let blocking = |fd: &OwnedFd| {
        use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
        let flags = fcntl_getfl(fd).unwrap();
        fcntl_setfl(fd, flags - OFlags::NONBLOCK).unwrap();
    };
    // The other ends are descriptions of their own.
    blocking(&in_write);
    blocking(&out_read);
    let feeder = thread::spawn(move || {
        let mut into = File::from(in_write);
        for piece in sealed.chunks(300_000) {
            into.write_all(piece).unwrap();
            thread::sleep(Duration::from_millis(10));
        }
    });
    let mut opened = Vec::new();
    let mut from = File::from(out_read);
    thread::sleep(Duration::from_millis(50));
    from.read_to_end(&mut opened).unwrap();
    feeder.join().unwrap();
    let (status, told) = ended(child);
    assert!(status.success(), "{told}");
    assert!(opened == plain);
}

#[test]
fn an_output_that_is_a_link_stays_one() {
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k plain");
    shell.write("real", b"old");
    shell.sh("ln -s real link && ln -s nowhere dangling");
    let ran = shell.done("decrypt --keyring k plain.phi -o link --overwrite");
    assert!(
        ran.stdout_text().contains("/real: "),
        "{}",
        ran.stdout_text()
    );
    assert!(shell.path("link").is_symlink());
    assert_eq!(shell.read("real"), plain);
    assert_eq!(shell.run("decrypt --keyring k plain.phi -o link").code, 1);
    for call in [
        "decrypt --keyring k plain.phi -o dangling",
        "encrypt --keyring k plain -o dangling --overwrite",
    ] {
        let ran = shell.run(call);
        assert_eq!(ran.code, 1);
        assert!(
            ran.stderr_text().contains("leads to no file"),
            "{}",
            ran.stderr_text()
        );
    }
    assert!(!shell.exists("nowhere"));
}

#[test]
fn a_header_that_cannot_be_written_is_said_before_the_work() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 5_000);
    for call in [
        "encrypt --keyring k --detached nowhere/head plain -o -",
        "encrypt --keyring k --detached nowhere/head plain -o out",
    ] {
        let ran = shell.run(call);
        assert_eq!(ran.code, 1);
        assert!(ran.stdout.is_empty());
        assert!(
            ran.stderr_text().contains("nowhere/head") || call.ends_with("out"),
            "{}",
            ran.stderr_text()
        );
    }
    assert!(!shell.exists("out"));
    // Where the payload does not get through, its header goes.
    if let Ok(full) = OpenOptions::new().write(true).open("/dev/full") {
        let ran = shell.run_to("encrypt --keyring k --detached head plain -o -", full);
        assert_eq!(ran.code, 1);
        assert!(!shell.exists("head"));
    }
}

#[test]
fn an_interrupted_pass_says_how_far_it_came() {
    let shell = Shell::with_keyring();
    shell.sh("mkdir arch");
    let names: Vec<_> = (0..20).map(|number| format!("arch/{number}")).collect();
    for name in &names {
        shell.plaintext("plain", 5_000);
        shell.done(&format!("encrypt --keyring k plain -o {name}"));
    }
    let before: Vec<_> = names.iter().map(|name| shell.read(name)).collect();
    let moved = || {
        names
            .iter()
            .zip(&before)
            .filter(|(name, old)| shell.read(name) != **old)
            .count()
    };
    shell.done("keyring rotate k --label two");
    let mut command = shell.interruptible("rewrap -r arch --keyring k --rate 1 --json");
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("at work", || moved() > 0);
    send(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143));
    let last = String::from_utf8(output.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!(last["error"]["kind"], "interrupted");
    assert!(moved() < names.len());
    // To run it again is to go on.
    let rest = shell.run("rewrap -r arch --keyring k --json").last();
    assert_eq!(moved(), names.len());
    assert!(rest["summary"]["current"].as_u64().unwrap() > 0);
}

#[test]
fn a_wait_for_a_lock_ends_at_the_first_signal() {
    use std::io::BufRead as _;

    let shell = Shell::with_keyring();
    shell.plaintext("plain", 5_000);
    shell.done("encrypt --keyring k plain");
    shell.done("keyring rotate k --label two");
    let before = (shell.read("k"), shell.read("plain.phi"));
    for (locked, call) in [
        ("plain.phi", "rewrap --keyring k plain.phi"),
        ("plain.phi", "rewrap -r plain.phi --keyring k"),
        ("plain.phi", "reencrypt --keyring k plain.phi"),
        (
            "plain.phi",
            "repack --keyring k plain.phi --block-length 8192",
        ),
        (
            "plain.phi",
            "encrypt --keyring k plain -o plain.phi --overwrite",
        ),
        ("k", "keyring rotate k --label three"),
        ("k", "verify --keyring k plain.phi"),
    ] {
        let held = File::open(shell.path(locked)).unwrap();
        held.lock().unwrap();
        let mut command = shell.interruptible(&format!("{call} --lock-wait forever"));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut told = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        told.read_line(&mut line).unwrap();
        assert!(line.contains("waits for it"), "{call}: {line}");
        let asked = Instant::now();
        send(&child, Signal::TERM);
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(143), "{call}");
        assert!(asked.elapsed() < PATIENCE, "{call}");
        drop(held);
        assert!(
            before == (shell.read("k"), shell.read("plain.phi")),
            "{call}"
        );
    }
}
