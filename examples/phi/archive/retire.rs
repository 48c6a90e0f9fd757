//! A key taken out of use.

use anyhow::{Context as _, Result};
use phi_envelope::{Error, Evidence, RetireOptions, Retired, RewrapOptions, Tree, retire};
use serde_json::json;

use super::args::Retire;
use super::rewrap::{anew, tell_failure};
use super::run::Run;
use crate::failure::Failure;
use crate::keys::Keys;
use crate::output::{Answer, Console, escaped, escaped_path, put_path};

pub(crate) fn run(console: &Console, args: &Retire) -> Result<Answer> {
    let mut keys = Keys::new(&args.key);
    let cipher = keys.rewriter(&args.anew.to)?;
    let file = keys.file()?;
    let mut rewrap = RewrapOptions::new();
    if args.anew.reencrypt {
        rewrap = anew(rewrap, &args.anew, [args.key_id])?;
    }
    let mut run = Run::new(console, false);
    let total = run.expect(|| Some(Tree::new(args.paths.clone()).count()));
    let (mut done, mut told) = (0, Ok(()));
    let options = RetireOptions::new().rewrap(rewrap).watch(|entry| {
        done += 1;
        run.tell(done);
        if total == Some(done) {
            run.stage("now opening every header");
        }
        if told.is_ok() {
            told = tell_failure(&mut run, entry);
        }
    });
    let options = if args.keep {
        options.keep()
    } else {
        options.destroy(args.terms.options())
    };
    let (key, evidence) = (args.key_id, &args.evidence);
    let retired = retire(file, &cipher, key, &args.paths, evidence, options)
        .with_context(|| format!("key {key}"))?;
    told?;
    run.stop();
    say(console, args, &retired)?;
    // What failed above speaks by way of the evidence.
    let fault = match retired.refused {
        Some(fault) => Some(Error::from(fault)),
        None if args.keep => retired.evidence.check().err(),
        None => None,
    };
    let fault = fault.map(|fault| {
        let kept = format!("key {key} was not destroyed");
        let failure = Failure::from(anyhow::Error::from(fault).context(kept));
        console.complain(&failure);
        failure
    });
    let mut json = json!({
        "command": "retire",
        "key": key.to_string(),
        "summary": {
            "rewrapped": retired.rewrapped,
            "evidence": retired.evidence,
            "destroyed": retired.destroyed,
        },
    });
    put_path(&mut json, "evidence", evidence);
    Ok(Answer::of_several(json, fault.as_ref()))
}

fn say(console: &Console, args: &Retire, retired: &Retired) -> Result<()> {
    let evidence = &retired.evidence;
    console.say(&retired.rewrapped)?;
    console.say(format_args!("\n{evidence}{}", findings(evidence)))?;
    console.say(format_args!(
        "the evidence: {}; keep it as it is",
        escaped_path(&args.evidence)
    ))?;
    if retired.destroyed {
        console.say(format_args!("key {} was destroyed", args.key_id))?;
    } else if args.keep && evidence.check().is_ok() {
        console.say(format_args!(
            "key {} is out of use, and was kept",
            args.key_id
        ))?;
    }
    Ok(())
}

/// What speaks against destroying the key.
fn findings(evidence: &Evidence) -> String {
    let mut text = String::new();
    for finding in &evidence.findings {
        text += &format!("{}: {}\n", escaped(&finding.what), escaped(&finding.why));
    }
    if evidence.further_findings > 0 {
        text += &format!("and {} more\n", evidence.further_findings);
    }
    text
}
