//! The workers: built by cargo, one for each backend, and asked line by line.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail, ensure};

/// A worker program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// This crate and `fast-floe` over `aes-gcm`; the other peers.
    Default,
    /// This crate and `fast-floe` over AWS-LC; the other peers, which are not asked there.
    AwsLc,
    /// With the AWS Encryption SDK.
    Esdk,
}

impl Kind {
    fn program(self) -> PathBuf {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        if self == Self::Default && DEBUG.load(Ordering::Relaxed) {
            return target.join("debug/worker");
        }
        target.join(match self {
            Self::Default => "release/worker",
            Self::AwsLc => "aws-lc/release/worker",
            Self::Esdk => "esdk/worker",
        })
    }

    pub(crate) fn is_built(self) -> bool {
        let measured = !DEBUG.load(Ordering::Relaxed) || self == Self::Default;
        measured && self.program().exists()
    }
}

/// Whether the default worker alone is asked, as `cargo build` leaves it.
static DEBUG: AtomicBool = AtomicBool::new(false);

/// Asks the default worker alone, as `cargo build` leaves it: that tests this program and measures nothing.
pub(crate) fn debug() {
    DEBUG.store(true, Ordering::Relaxed);
}

/// Builds the workers. Each has features of its own, and so a call of its own.
pub(crate) fn build(esdk: bool) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = |arguments: &[&str]| -> Result<()> {
        let status = Command::new(&cargo)
            .args(["build", "--locked", "--bin", "worker"])
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()?;
        ensure!(status.success(), "cargo build {arguments:?} failed");
        Ok(())
    };
    build(&["--release", "--target-dir", "target"])?;
    build(&[
        "--release",
        "--features",
        "aws-lc",
        "--target-dir",
        "target/aws-lc",
    ])?;
    if esdk {
        build(&[
            "--profile",
            "esdk",
            "--features",
            "esdk",
            "--target-dir",
            "target",
        ])?;
    }
    Ok(())
}

/// A worker that runs, and waits while others are asked.
pub(crate) struct Worker {
    child: Child,
    /// Closed to end it, so that it removes its files.
    lines_in: Option<ChildStdin>,
    lines_out: BufReader<ChildStdout>,
}

impl Worker {
    /// With `one_core`, batches stay on one.
    pub(crate) fn start(kind: Kind, one_core: bool) -> Result<Self> {
        let program = kind.program();
        let mut child = Command::new(&program)
            .env("RAYON_NUM_THREADS", if one_core { "1" } else { "0" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{}; was it built?", program.display()))?;
        Ok(Self {
            lines_in: child.stdin.take(),
            lines_out: BufReader::new(child.stdout.take().context("a pipe")?),
            child,
        })
    }

    /// One measurement.
    pub(crate) fn ask(&mut self, line: &str) -> Result<f64> {
        writeln!(self.lines_in.as_mut().context("a pipe")?, "{line}")?;
        let mut answer = String::new();
        self.lines_out.read_line(&mut answer)?;
        match answer.trim().parse() {
            Ok(value) => Ok(value),
            Err(_) => bail!("{}", answer.trim()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.lines_in = None;
        let _ = self.child.wait();
    }
}
