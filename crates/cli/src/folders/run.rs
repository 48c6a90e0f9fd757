//! A run over the files of folders: worked on, counted, told of.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use phi_envelope::{Error, HeaderDamage, files::NotKept};
use serde_json::{Value, json};

use super::args::FolderArgs;
use super::paths;
use super::pool::{self, Crew};
use super::share::Share;
use super::walk::{EnvelopeKind, Met, Walk};
use crate::failure::{Exit, Failure, failed};
use crate::new_file::NewFile;
use crate::output::{Answer, Console, damage_json, put_path, warn_not_kept};
use crate::signals;

/// What is to be done with which files.
pub(super) struct Job<'a> {
    /// The command, as an answer names it.
    pub(super) command: String,
    /// What can become of a file that does not fail, in words.
    pub(super) outcomes: &'static [&'static str],
    pub(super) inputs: Vec<PathBuf>,
    pub(super) folder: &'a FolderArgs,
    pub(super) threads: NonZeroUsize,
}

/// What became of a file.
pub(super) struct Did {
    /// One of the job's outcomes.
    pub(super) outcome: &'static str,
    /// Bytes of plaintext, or of the sealed file where that is not known.
    pub(super) bytes: u64,
    pub(super) damage: Option<HeaderDamage>,
    /// The new file, and what it did not take over.
    pub(super) not_kept: Option<(PathBuf, NotKept)>,
}

impl Did {
    pub(super) fn new(outcome: &'static str, bytes: u64) -> Self {
        Self {
            outcome,
            bytes,
            damage: None,
            not_kept: None,
        }
    }
}

/// Does the job: `work` on each of its files.
pub(super) fn run(
    console: &Console,
    job: Job<'_>,
    work: impl Fn(&Met, &Share<'_>) -> Result<Did> + Sync,
) -> Result<Answer> {
    let report = job.folder.report.as_deref();
    if let Some(report) = report {
        let inputs: Vec<_> = job.inputs.iter().map(PathBuf::as_path).collect();
        paths::refuse_inside("--report", report, &inputs)?;
    }
    signals::leave_word();
    let excluded = &job.folder.excluded.exclude;
    let walk = || Walk::new(job.inputs.clone(), excluded);
    let mut run = Run::new(console, &job, report.map(NewFile::create).transpose()?);
    run.expect(walk());
    let (crew, bar) = (Crew::new(job.threads), run.bar.clone());
    let one = |met: Met| {
        let outcome = match &met.kind {
            EnvelopeKind::Excluded => None,
            EnvelopeKind::File(len) => {
                let share = Share::new(&bar, crew.turn(*len), *len);
                Some(work(&met, &share))
            }
            EnvelopeKind::Link => Some(Err(failed(
                "it is a symbolic link, which is not followed; leave it out with --exclude",
            ))),
            EnvelopeKind::Special => Some(Err(failed(
                "it is a pipe, a socket or a device; leave it out with --exclude",
            ))),
            // The error itself is kept by the walk, and told here by its kind and words.
            EnvelopeKind::Unreadable(error) => Some(Err(again(error).into())),
        };
        (met.path, outcome)
    };
    pool::each(walk(), job.threads, one, |(path, outcome)| {
        run.tell(&path, outcome)
    });
    Ok(run.end())
}

fn again(error: &std::io::Error) -> std::io::Error {
    match error.raw_os_error() {
        Some(code) => std::io::Error::from_raw_os_error(code),
        None => std::io::Error::new(error.kind(), error.to_string()),
    }
}

/// What a run came to so far.
struct Run<'a> {
    console: &'a Console,
    command: &'a str,
    max_failures: u64,
    expects_some: bool,
    bar: ProgressBar,
    started: Instant,
    report: Option<NewFile>,
    outcomes: &'static [&'static str],
    counts: BTreeMap<&'static str, u64>,
    failed: u64,
    excluded: u64,
    bytes: u64,
    is_stopped: bool,
    worst: Option<Failure>,
}

impl<'a> Run<'a> {
    fn new(console: &'a Console, job: &'a Job<'_>, report: Option<NewFile>) -> Self {
        Self {
            console,
            command: &job.command,
            max_failures: job.folder.max_failures(),
            expects_some: job.folder.expect_some,
            bar: console.files_bar(false),
            started: Instant::now(),
            report,
            outcomes: job.outcomes,
            counts: BTreeMap::new(),
            failed: 0,
            excluded: 0,
            bytes: 0,
            is_stopped: false,
            worst: None,
        }
    }

    /// Measures first, where somebody sees what that is for.
    fn expect(&self, walk: Walk<'_>) {
        if self.bar.is_hidden() {
            return;
        }
        // Drawn once: a bar that moves by itself takes a thread, and ends the process where there is none to be had.
        self.bar.set_message("counting");
        self.bar.tick();
        let mut total = 0_u64;
        for met in walk {
            if let EnvelopeKind::File(bytes) = met.kind {
                total = total.saturating_add(bytes);
            }
            if signals::caught().is_some() {
                return;
            }
        }
        self.bar.set_message("");
        self.bar.set_length(total);
        let template = "{wide_bar} {msg} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.reset();
    }

    /// Counts a file, and tells of it. Enough, if too many have failed.
    fn tell(&mut self, path: &Path, outcome: Option<Result<Did>>) -> ControlFlow<()> {
        let mut line = match outcome {
            None => {
                self.excluded += 1;
                return ControlFlow::Continue(());
            }
            Some(Ok(did)) => self.done(path, did),
            // It is left as it was, and is none that failed.
            Some(Err(error)) if is_cancelled(&error) => return ControlFlow::Continue(()),
            Some(Err(error)) => self.failed(path, error),
        };
        put_path(&mut line, "path", path);
        self.write(&line);
        self.bar.set_message(format!("{} files", self.seen()));
        if self.failed <= self.max_failures {
            return ControlFlow::Continue(());
        }
        if !self.is_stopped {
            self.is_stopped = true;
            let message = format!(
                "stopped, because more than {} files have failed; --max-failures allows more",
                self.max_failures
            );
            self.keep(Failure::new(Exit::Failed, message));
        }
        ControlFlow::Break(())
    }

    fn done(&mut self, path: &Path, did: Did) -> Value {
        *self.counts.entry(did.outcome).or_default() += 1;
        self.bytes = self.bytes.saturating_add(did.bytes);
        self.bar.suspend(|| {
            if let Some(damage) = did.damage {
                self.console.warn(path, damage);
            }
            if let Some((output, lost)) = did.not_kept {
                warn_not_kept(self.console, &output, lost);
            }
        });
        let mut line = json!({ "outcome": did.outcome, "bytes": did.bytes });
        if let (Some(_), Some(fields)) = (did.damage, line.as_object_mut()) {
            fields.insert("header_damage".into(), damage_json(did.damage));
        }
        line
    }

    fn failed(&mut self, path: &Path, error: anyhow::Error) -> Value {
        self.failed += 1;
        let failure = Failure::from(error);
        let told = failure.json();
        self.keep(failure.of_file(path));
        json!({
            "outcome": "failed",
            "bytes": 0,
            "kind": told.get("kind"),
            "message": told.get("message"),
        })
    }

    /// A line of the report, and of an answer in JSON.
    fn write(&mut self, line: &Value) {
        // What went wrong is kept by the console, and said at the end.
        let _ = self.console.line(line);
        if let Some(report) = self.report.take() {
            match report.line(&line.to_string()) {
                Ok(()) => self.report = Some(report),
                Err(error) => self.keep(no_report(&error)),
            }
        }
    }

    fn keep(&mut self, failure: Failure) {
        self.bar.suspend(|| self.console.complain(&failure));
        if self
            .worst
            .as_ref()
            .is_none_or(|worst| worst.exit < failure.exit)
        {
            self.worst = Some(failure);
        }
    }

    fn seen(&self) -> u64 {
        self.counts.values().sum::<u64>() + self.failed
    }

    /// The answer, and the report's last line.
    fn end(mut self) -> Answer {
        self.bar.finish_and_clear();
        if let Some(exit) = signals::caught() {
            let message =
                "interrupted; what was done stays, and to run it again is to go on with the rest";
            self.keep(Failure::new(exit, message));
        } else if self.seen() == 0 {
            let nothing = Failure::new(Exit::NothingFound, "nothing was found");
            if self.expects_some {
                self.keep(nothing);
            } else {
                self.console.complain(&nothing);
            }
        }
        let count = |outcome| self.counts.get(outcome).copied().unwrap_or(0);
        let took = self.started.elapsed().as_secs_f64();
        let mut summary = json!({
            "failed": self.failed,
            "excluded": self.excluded,
            "bytes": self.bytes,
            "seconds": (took * 1000.0).round() / 1000.0,
            "stopped": self.is_stopped,
        });
        let mut told = Vec::new();
        for &outcome in self.outcomes {
            told.push(format!("{} {outcome}", count(outcome)));
            if let Some(fields) = summary.as_object_mut() {
                fields.insert(outcome.into(), count(outcome).into());
            }
        }
        for (what, count) in [("failed", self.failed), ("excluded", self.excluded)] {
            if count > 0 {
                told.push(format!("{count} {what}"));
            }
        }
        let rate = self.bytes as f64 / took.max(1e-9) / 1e6;
        let _ = self.console.say(format_args!(
            "{}: {} bytes in {took:.1} s, {rate:.0} MB/s",
            told.join(", "),
            self.bytes
        ));
        let json = json!({ "command": self.command, "summary": summary });
        let answer = Answer::of_several(json, self.worst.as_ref());
        let Some(report) = self.report.take() else {
            return answer;
        };
        match report.finish(format!("{}\n", answer.json).as_bytes()) {
            Ok(()) => answer,
            Err(error) => {
                self.keep(no_report(&error));
                Answer::of_several(answer.json, self.worst.as_ref())
            }
        }
    }
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<Error>(), Some(Error::Cancelled)) && signals::caught().is_some()
}

/// An error of the report is none of the work.
fn no_report(error: &anyhow::Error) -> Failure {
    let message = format!("the files are worked on without a report: {error:#}");
    Failure::new(Exit::NotTold, message)
}
