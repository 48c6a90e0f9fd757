//! A shell in a folder of its own, in which `phi` runs and no secret ever shows.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;

pub(crate) const PASSPHRASE: &str = "correct-horse";
pub(crate) const NEW_PASSPHRASE: &str = "battery-staple";
pub(crate) const MASTER_KEY: &str = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=";
pub(crate) const OTHER_MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SECRETS: [&str; 5] = [
    PASSPHRASE,
    NEW_PASSPHRASE,
    "wrong-horse",
    MASTER_KEY,
    OTHER_MASTER_KEY,
];

#[derive(Clone)]
pub(crate) struct Shell {
    folder: Arc<tempfile::TempDir>,
    passphrase: Option<String>,
    new_passphrase: Option<String>,
    /// Put after each call that takes a secret: a master key costs no Argon2id.
    master_key: Option<&'static str>,
}

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Shell {
    pub(crate) fn new() -> Self {
        Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            passphrase: None,
            new_passphrase: None,
            master_key: None,
        }
    }

    /// With a keyring `k` that a master key protects.
    pub(crate) fn with_keyring() -> Self {
        Self::with_keyring_of("")
    }

    /// With a keyring that is made with these options.
    pub(crate) fn with_keyring_of(options: &str) -> Self {
        let mut shell = Self::new();
        shell.write(".master", MASTER_KEY.as_bytes());
        shell.write(".other-master", OTHER_MASTER_KEY.as_bytes());
        shell.master_key = Some(".master");
        shell.done(&format!("keyring new k --label one {options}"));
        shell
    }

    pub(crate) fn with_other_secret(&self) -> Self {
        let mut shell = self.clone();
        shell.master_key = Some(".other-master");
        shell
    }

    pub(crate) fn without_master_key(&self) -> Self {
        let mut shell = self.clone();
        shell.master_key = None;
        shell
    }

    pub(crate) fn passphrase(mut self, passphrase: &str) -> Self {
        self.passphrase = Some(passphrase.into());
        self
    }

    pub(crate) fn new_passphrase(mut self, passphrase: &str) -> Self {
        self.new_passphrase = Some(passphrase.into());
        self
    }

    pub(crate) fn no_passphrase(mut self) -> Self {
        self.passphrase = None;
        self
    }

    /// Runs a call that must end with 0.
    pub(crate) fn done(&self, call: &str) -> Ran {
        self.done_with(call, Stdio::null())
    }

    pub(crate) fn done_with(&self, call: &str, stdin: impl Into<Stdio>) -> Ran {
        let ran = self.run_with(call, stdin);
        assert_eq!(ran.code, 0, "{call}: {}", ran.text());
        ran
    }

    /// The answer of a call that must end with 0.
    pub(crate) fn json(&self, call: &str) -> Value {
        self.done(call).json()
    }

    pub(crate) fn run(&self, call: &str) -> Ran {
        self.run_with(call, Stdio::null())
    }

    pub(crate) fn run_with(&self, call: &str, stdin: impl Into<Stdio>) -> Ran {
        let mut command = self.command(call);
        self.ran(command.stdin(stdin))
    }

    /// A call whose answer goes elsewhere.
    pub(crate) fn run_to(&self, call: &str, stdout: impl Into<Stdio>) -> Ran {
        let mut command = self.command(call);
        command.stdout(stdout).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        ran(call, output)
    }

    /// The program with these arguments, the secrets that this shell has, and no stdin.
    pub(crate) fn command(&self, call: &str) -> Command {
        let mut command = Command::new(phi());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.args(call.split_whitespace());
        if let Some(path) = self.master_key.filter(|_| takes_a_secret(call)) {
            command.args(["--master-key-file", path]);
        }
        command.env_remove("PHI_KEYRING");
        let variables = [
            ("PHI_PASSPHRASE", &self.passphrase),
            ("PHI_NEW_PASSPHRASE", &self.new_passphrase),
        ];
        for (name, value) in variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// [`command`](Self::command), for a program that signals end although whoever runs the tests ignores them: `nohup`, or a shell
    /// that runs them in the background.
    pub(crate) fn interruptible(&self, call: &str) -> Command {
        let plain = self.command(call);
        if !cfg!(target_os = "linux") {
            return plain;
        }
        let mut command = Command::new("env");
        command.arg("--default-signal=HUP,INT,TERM,TSTP");
        command.arg(plain.get_program()).args(plain.get_args());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// Runs a command that [`command`](Self::command) made.
    pub(crate) fn ran(&self, command: &mut Command) -> Ran {
        let output = command.output().unwrap();
        ran(&format!("{command:?}"), output)
    }

    pub(crate) fn sh(&self, script: &str) {
        assert!(self.spawn_sh(script).wait().unwrap().success(), "{script}");
    }

    pub(crate) fn spawn_sh(&self, script: &str) -> Child {
        let mut sh = Command::new("sh");
        sh.current_dir(self.folder.path()).args(["-c", script]);
        sh.spawn().unwrap()
    }

    /// Writes a file of so many bytes that follow no short period.
    pub(crate) fn plaintext(&self, name: &str, len: usize) -> Vec<u8> {
        let bytes: Vec<u8> = (0..len)
            .map(|at| u8::try_from(at * at / 7 % 251).unwrap())
            .collect();
        fs::write(self.path(name), &bytes).unwrap();
        bytes
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
        #[cfg(unix)]
        {
            // As a file of a secret must be.
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn ran(call: &str, output: Output) -> Ran {
    let ran = Ran {
        code: output.status.code().expect("phi was killed"),
        stdout: output.stdout,
        stderr: output.stderr,
    };
    for secret in SECRETS {
        assert!(!ran.text().contains(secret), "{call} shows a secret");
    }
    ran
}

impl Ran {
    /// The one JSON object on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    /// The JSON lines on stdout.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = self.stdout_text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    /// The last JSON line on stdout.
    pub(crate) fn last(&self) -> Value {
        self.lines().pop().unwrap()
    }

    /// The one JSON object on stderr.
    pub(crate) fn stderr_json(&self) -> Value {
        serde_json::from_slice(&self.stderr).unwrap_or_else(|_| panic!("{}", self.stderr_text()))
    }

    pub(crate) fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    pub(crate) fn text(&self) -> String {
        self.stdout_text() + &self.stderr_text()
    }
}

fn takes_a_secret(call: &str) -> bool {
    let command = call.split_whitespace().next().unwrap_or_default();
    !["inspect", "exposure", "keygen"].contains(&command)
}

/// The program, which cargo builds before the tests.
pub(crate) fn phi() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_phi"))
}
