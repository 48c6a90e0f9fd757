//! `strace`, which makes one system call of a program fail, lie, or be its last.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::phi;

/// What goes wrong at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It fails.
    Eio,
    /// It fails.
    Enospc,
    /// It is interrupted, once.
    Eintr,
    /// The program is killed before it.
    Kill,
    /// Nothing is written, and all of it is said to be.
    LieWhole,
    /// Nothing is written, and half of it is said to be.
    LieHalf,
}

/// A system call of a program that met no fault.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) line: String,
    returned: i64,
}

/// How a program ended, with a fault or without.
pub(crate) struct Ended {
    /// None where it was killed.
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
    /// Whether the fault was met.
    pub(crate) met: bool,
}

/// Why no system call can be tampered with here.
pub(crate) fn what_is_missing() -> Option<String> {
    let ran = Command::new("strace")
        .args(["-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"])
        .args(["-e", "inject=fsync:error=EIO:when=1", "true"])
        .stderr(Stdio::piped())
        .output();
    match ran {
        Err(error) => Some(format!("no strace: {error}")),
        Ok(out) if out.status.success() => None,
        Ok(out) => Some(format!(
            "strace may not: {}",
            String::from_utf8_lossy(&out.stderr).trim()
        )),
    }
}

/// The calls among `names` that `phi` makes, in their order.
pub(crate) fn calls(names: &[&str], args: &[String], folder: &Path) -> Vec<Call> {
    let log = folder.with_extension("calls");
    let output = strace(&log, &[format!("trace={}", names.join(","))], args, folder);
    assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
    let text = fs::read_to_string(&log).unwrap();
    text.lines()
        .filter_map(|line| {
            let (_pid, call) = line.split_once(' ')?;
            let call = call.trim_start();
            let name = call.split('(').next()?;
            let returned = call.rsplit_once("= ")?.1.split(' ').next()?;
            Some(Call {
                name: name.to_owned(),
                line: call.to_owned(),
                returned: returned.parse().ok()?,
            })
        })
        .collect()
}

/// Runs `phi` with a fault at the n-th of the calls of that name, counted from 1. `usual` is that call where there is no fault.
pub(crate) fn run(
    (name, number): (&str, usize),
    fault: Fault,
    usual: Option<&Call>,
    args: &[String],
    folder: &Path,
) -> Ended {
    let returned = usual.map_or(0, |call| call.returned);
    let what = match fault {
        Fault::Eio => "error=EIO".to_owned(),
        Fault::Enospc => "error=ENOSPC".to_owned(),
        Fault::Eintr => "error=EINTR".to_owned(),
        Fault::Kill => "signal=KILL".to_owned(),
        Fault::LieWhole => format!("retval={returned}"),
        Fault::LieHalf => format!("retval={}", returned / 2),
    };
    let log = folder.with_extension("fault");
    let rules = [
        format!("trace={name}"),
        format!("inject={name}:{what}:when={number}"),
    ];
    let mut ended = strace(&log, &rules, args, folder);
    let text = fs::read_to_string(&log).unwrap();
    ended.met = text.contains("(INJECTED)") || ended.code.is_none();
    ended
}

fn strace(log: &Path, rules: &[String], args: &[String], folder: &Path) -> Ended {
    let mut command = Command::new("strace");
    command.args(["-f", "-qqq", "-o"]).arg(log);
    // Faster, but a signal is then not sent.
    if !rules.iter().any(|rule| rule.contains("signal=")) {
        command.arg("--seccomp-bpf");
    }
    for rule in rules {
        command.args(["-e", rule]);
    }
    command.arg(phi()).args(args);
    command.current_dir(folder).stdin(Stdio::null());
    let output = command.output().unwrap();
    Ended {
        code: output.status.code(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        met: false,
    }
}
