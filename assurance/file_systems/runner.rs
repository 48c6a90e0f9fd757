//! The program, run as one user or another.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::mounts::Mounts;

/// Seconds after which a command hangs.
const PATIENCE: &str = "60";

/// Who runs the program.
#[derive(Clone, Copy)]
pub(crate) struct User(pub(crate) u32);

impl User {
    pub(crate) const ROOT: Self = Self(0);
    pub(crate) const OTHER: Self = Self(65534);

    pub(crate) fn own(self, path: &Path) {
        chown(path, Some(self.0), Some(self.0)).unwrap();
    }
}

/// A program that may stand where only root looks.
pub(crate) fn found(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/sbin:/usr/sbin"));
    command.stdin(Stdio::null());
    command
}

/// What a call ended with.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    /// Whether people are told of something.
    pub(crate) fn told(&self, what: &str) -> bool {
        self.stderr.contains(what) || String::from_utf8_lossy(&self.stdout).contains(what)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|_| panic!("{}", self.stderr))
    }
}

/// Runs `phi` in a folder, with a master key's file named FIRST or OTHER beside the mounts.
pub(crate) fn run(mounts: &Mounts, user: User, folder: &Path, call: &str) -> Ran {
    let secret = |name: &str| mounts.path(name).display().to_string();
    let mut command = found("timeout");
    command
        .arg(PATIENCE)
        .arg(&mounts.phi)
        .uid(user.0)
        .gid(user.0);
    for word in call.split_whitespace() {
        match word {
            "FIRST" | "OTHER" => command.arg(secret(word)),
            word => command.arg(word),
        };
    }
    let output = command.current_dir(folder).output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Puts a secret where the user alone reads it.
pub(crate) fn put_secret(mounts: &Mounts, user: User, name: &str, text: &str) {
    let path = mounts.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    user.own(&path);
}
