//! A key taken out of use.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result};
use phi_envelope::{
    EnvelopeCipher, Error, KeyId,
    archive::{
        self, ClassCount, Evidence, FileTree, FindingClass, Previous, RetireOptions, RetireReport,
        RewrapOptions, RewrapOutcome,
    },
    error::EvidenceError,
};
use serde_json::json;

use super::args::{Retire, matches};
use super::rewrap::{anew, tell_failure};
use super::run::Run;
use crate::failure::{Exit, Failure, interrupted_but};
use crate::keys::Keys;
use crate::output::{Answer, Console, escaped, escaped_path, put_path};
use crate::secrets::{Asked, Secret};
use crate::signals;

/// Findings of a class that are told.
const FIRST: usize = 10;

pub(crate) fn run(console: &Console, args: &Retire) -> Result<Answer> {
    let mut keys = Keys::new(&args.keys);
    let cipher = keys.rewriter(&args.anew.to)?;
    let file = keys.file()?;
    let key = args.key.find(&file.keyring().keys())?;
    let mut rewrap = RewrapOptions::new();
    if args.anew.reencrypt {
        rewrap = anew(rewrap, &args.anew, [key])?;
    }
    let previous = args.previous.as_deref();
    let previous = previous.map(|path| previously(args, path)).transpose()?;
    let mut run = Run::new(console, false);
    let tree = || args.excluded.of(FileTree::new(args.paths.clone()));
    let total = run.expect(|| Some(tree().count()));
    let (mut done, mut moved, mut told) = (0, 0, Ok(()));
    let mut options = RetireOptions::new()
        .rewrap(rewrap)
        .accept(args.accept.iter().copied())
        .watch(|entry| {
            done += 1;
            let outcome = &entry.outcome;
            if matches!(
                outcome,
                RewrapOutcome::Rewrapped | RewrapOutcome::Reencrypted
            ) {
                moved += 1;
            }
            run.tell(done);
            if total == Some(done) {
                run.stage("now opening every header");
            }
            if told.is_ok() {
                told = tell_failure(&mut run, entry);
            }
        });
    for glob in &args.excluded.exclude {
        let (rule, glob) = (glob.glob().glob().to_owned(), glob.clone());
        options = options.exclude(rule, move |path| matches(&glob, path));
    }
    if let Some(previous) = previous {
        options = options.since(previous);
    }
    let options = if args.keep {
        options.keep()
    } else {
        options.destroy(args.terms.options())
    };
    let options = options.go_on(signals::flow);
    let evidence = &args.evidence;
    let was_there = evidence.exists();
    signals::leave_word();
    let retired = match archive::retire(file, &cipher, key, &args.paths, evidence, options) {
        Ok(retired) => retired,
        Err(error) => {
            let written = Some(evidence).filter(|path| !was_there && path.exists());
            let what = format!("key {key}{}", so_far(moved, written));
            return Err(match (error, signals::caught()) {
                (Error::Cancelled, Some(exit)) => interrupted_but(exit, &what),
                (error, _) => anyhow::Error::from(error).context(what),
            });
        }
    };
    told?;
    run.stop();
    if done == 0 {
        run.nothing("nothing was found", args.expect_some);
    }
    say(console, (args, key), &retired)?;
    if let Some(warning) = retired.clock_warning {
        console.warn(evidence, warning);
    }
    // What failed above speaks by way of the evidence: a person decides.
    let fault = match retired.refused {
        Some(fault) => Some(Error::from(fault).to_string()),
        None if args.keep && !retired.evidence.is_clean() => {
            Some("it is in use, or something was found".to_owned())
        }
        None => None,
    };
    if let Some(fault) = &fault {
        let message = format!("key {key} was not destroyed: {fault}{}", remedy(&retired));
        let failure = Failure::new(Exit::Undecided, message);
        console.complain(&failure);
        run.decide(failure);
    }
    let mut json = json!({
        "command": "retire",
        "key": key.to_string(),
        "summary": {
            "rewrapped": retired.rewrapped,
            "evidence": retired.evidence,
            "found": retired.evidence.found(),
            "in_use": retired.in_use,
            "destroyed": retired.destroyed,
            "not_before": retired.not_before.map(seconds),
        },
    });
    put_path(&mut json, "evidence", evidence);
    Ok(run.decided(json, fault.is_none()))
}

/// What stays of a retirement that failed.
fn so_far(moved: u64, evidence: Option<&PathBuf>) -> String {
    let mut stays = Vec::new();
    if moved > 0 {
        stays.push(format!("files rewrapped: {moved}"));
    }
    if let Some(evidence) = evidence {
        let evidence = escaped_path(evidence);
        stays.push(format!("the evidence was written to {evidence}"));
    }
    if stays.is_empty() {
        return String::new();
    }
    format!(" (before it failed, {})", stays.join(", and "))
}

fn seconds(time: std::time::SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// What was found before: evidence, opened as the keyring's file is, or an inventory.
fn previously(args: &Retire, path: &Path) -> Result<Previous> {
    let name = escaped_path(path);
    let bytes = fs::read(path).with_context(|| name.clone())?;
    if bytes.first() == Some(&b'{') {
        return Previous::inventory(&bytes).context(name);
    }
    let secret = Secret::read(&args.keys.secret, &name, Asked::Once)?;
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(secret.provider()?)
        .build()?;
    Previous::evidence(&cipher, &bytes).context(name)
}

/// What a person may do about it.
fn remedy(retired: &RetireReport) -> String {
    match retired.refused {
        Some(EvidenceError::Found) => {
            let found = retired.evidence.found();
            let accept: Vec<_> = found
                .iter()
                .map(|found| format!("--accept {found}"))
                .collect();
            format!(
                "; look at each, and if nothing in them needs the key, say {}",
                accept.join(" ")
            )
        }
        Some(EvidenceError::TooSoon | EvidenceError::ChangedSince) => match retired.not_before {
            Some(from) => format!(
                "; repeat it from {} on",
                super::evidence::time(seconds(from))
            ),
            None => String::new(),
        },
        Some(EvidenceError::InUse) => {
            "; rewrap or remove what is in use (resume a suspended key for that), and repeat it"
                .to_owned()
        }
        _ => String::new(),
    }
}

fn say(console: &Console, (args, key): (&Retire, KeyId), retired: &RetireReport) -> Result<()> {
    let evidence = &retired.evidence;
    console.say(&retired.rewrapped)?;
    console.say(format_args!("\n{evidence}{}", first_findings(evidence)))?;
    for path in retired.in_use.iter().take(FIRST) {
        console.say(format_args!("in use: {}", escaped(path)))?;
    }
    console.say(format_args!(
        "the evidence: {}; keep it",
        escaped_path(&args.evidence)
    ))?;
    if retired.destroyed {
        console.say(format_args!("key {key} was destroyed"))?;
    } else if args.keep && evidence.is_clean() {
        console.say(format_args!("key {key} is out of use, and was kept"))?;
    }
    Ok(())
}

/// The first findings of every class.
pub(super) fn first_findings(evidence: &Evidence) -> String {
    let mut text = String::new();
    for ClassCount { class, count, .. } in evidence.found() {
        let of_class = |class: FindingClass| {
            let findings = evidence.findings.iter();
            findings.filter(move |finding| finding.class == class)
        };
        let mut told = 0;
        for finding in of_class(class).take(FIRST) {
            text += &format!("{class}: {}: {}\n", finding.path, finding.rule);
            told += 1;
        }
        if count > told {
            text += &format!("{class}: and {} more\n", count - told);
        }
    }
    text
}
