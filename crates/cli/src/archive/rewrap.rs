//! Everything moved to the current keys.

use anyhow::Result;
use phi_envelope::{
    KeyId,
    archive::{self, RewrapEntry, RewrapOptions, RewrapOutcome},
    keys::KeyState,
};
use serde_json::json;

use super::args::{AnewArgs, Rewrap};
use super::places::Places;
use super::run::Run;
use crate::failure::{Exit, Failure, usage};
use crate::keys::{self, Keys};
use crate::new_file::NewFile;
use crate::output::{Answer, Console};
use crate::signals;

pub(crate) fn run(console: &Console, args: &Rewrap) -> Result<Answer> {
    let mut keys = Keys::new(&args.key);
    let cipher = keys.rewriter(&args.anew.to)?;
    let options = options(args, &mut keys)?;
    let mut report = args.report.as_deref().map(NewFile::create).transpose()?;

    let places = Places::new(&args.files, &args.walk);
    let mut run = Run::new(console, false);
    let _ = run.expect(|| places.count());
    let mut tree = places.tree()?;
    if let Some(rate) = args.rate {
        tree = tree.files_per_second(rate);
    }
    signals::leave_word();
    let mut pass = archive::rewrap(&cipher, tree, options)?;
    while let Some(entry) = pass.next() {
        tell_failure(&mut run, &entry)?;
        if let Some(file) = &report
            && let Err(error) = file.line(&serde_json::to_string(&entry)?)
        {
            // The files are moved all the same.
            run.keep(no_report(&error));
            report = None;
        }
        run.tell(pass.progress(None).done);
        if run.is_interrupted() {
            break;
        }
    }
    run.stop();
    if let Some(Err(error)) = report.map(|report| report.finish(b"")) {
        run.keep(no_report(&error));
    }
    if let Err(error) = places.check() {
        run.keep(Failure::from(error));
    }
    if pass.progress(None).done == 0 {
        places.nothing(&mut run);
    }
    let summary = pass.summary();
    console.say(summary)?;
    Ok(run.answer(json!({
        "command": "rewrap",
        "dry_run": args.dry_run,
        "summary": summary,
    })))
}

fn options(args: &Rewrap, keys: &mut Keys<'_>) -> Result<RewrapOptions> {
    let mut options = RewrapOptions::new();
    if let Some(most) = args.max_failures {
        options = options.max_failures(most);
    }
    if args.dry_run {
        options = options.dry_run();
    }
    if !args.anew.reencrypt {
        return Ok(options);
    }
    let known = keys.file()?.keyring().keys();
    let compromised = known
        .iter()
        .filter(|key| key.state == KeyState::Compromised)
        .map(|key| key.id)
        .collect::<Vec<_>>();
    if compromised.is_empty() {
        return Err(usage("--reencrypt: no key of this keyring is compromised"));
    }
    anew(options, &args.anew, compromised)
}

/// An error of the report is none of the work.
fn no_report(error: &anyhow::Error) -> Failure {
    let message = format!("the files are rewrapped without a report: {error:#}");
    Failure::new(Exit::NotTold, message)
}

/// Tells of a file if it failed, or lost something.
pub(super) fn tell_failure(run: &mut Run<'_>, entry: &RewrapEntry) -> Result<()> {
    if let RewrapOutcome::Failed(error) = &entry.outcome {
        run.failed(&entry.path, error);
        run.line(entry)?;
    } else if !entry.not_kept.is_nothing() {
        run.not_kept(&entry.path, entry.not_kept);
        run.line(entry)?;
    }
    Ok(())
}

/// `options` that also seal anew what is under one of these keys.
pub(super) fn anew(
    options: RewrapOptions,
    args: &AnewArgs,
    keys: impl IntoIterator<Item = KeyId>,
) -> Result<RewrapOptions> {
    let context = keys::context(&args.context)?;
    Ok(options.reencrypt(keys, move |_, _| Ok(context.clone())))
}
