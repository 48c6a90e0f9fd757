//! What stolen keys could read.

use anyhow::Result;
use phi_envelope::{
    archive::{self, ExposureEntry, Readability},
    header::SlotId,
};
use serde_json::json;

use super::args::Exposure;
use super::places::Places;
use super::run::Run;
use crate::failure::Failure;
use crate::keys::open_keyring;
use crate::output::{Answer, Console, escaped_path};
use crate::secrets::{Asked, Secret};

/// The scheme of a passphrase's slot, where no id stands for all of them.
const PASSPHRASES: SlotId = SlotId {
    scheme: 0x02,
    key_id: Vec::new(),
};

pub(crate) fn run(console: &Console, args: &Exposure) -> Result<Answer> {
    let passphrases = args.passphrase_slots.then_some(PASSPHRASES);
    let places = Places::new(&args.paths, &args.walk);
    let mut run = Run::new(console, args.files);
    let mut keyrings = Vec::new();
    for path in &args.keyrings {
        let secret = Secret::read(&args.secret, &escaped_path(path), Asked::Once)?;
        keyrings.push(open_keyring(path, &secret)?);
    }
    let known: Vec<_> = keyrings
        .iter()
        .flat_map(|file| file.keyring().keys())
        .collect();
    let keys = args.keys.iter().map(|key| key.find(&known));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let stolen = keys.into_iter().map(SlotId::from);
    let stolen = archive::exposure_through(stolen.chain(passphrases), &keyrings);
    let mut pass = archive::exposure(places.tree()?, stolen)?;
    while let Some(entry) = pass.next() {
        let unreadable = match &entry.exposed {
            Readability::Unreadable(error) => Some(error),
            _ => None,
        };
        if args.files || unreadable.is_some() {
            run.line(&entry)?;
        }
        match unreadable {
            Some(error) => run.failed(&entry.path, error),
            None if args.files => console.say(told(&entry))?,
            None => {}
        }
        run.tell(pass.progress(None).done);
    }
    run.stop();
    if let Err(error) = places.check() {
        run.keep(Failure::from(error));
    }
    if pass.progress(None).done == 0 {
        places.nothing(&mut run);
    }
    let summary = pass.summary();
    console.say(summary.to_string().trim_end())?;
    Ok(run.answer(json!({
        "command": "exposure",
        "verified": false,
        "summary": summary,
    })))
}

/// A file in a line.
fn told(entry: &ExposureEntry) -> String {
    let names = |slots: &[SlotId]| {
        let names: Vec<_> = slots.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    let what = match &entry.exposed {
        Readability::Readable(slots) => format!("READABLE with {}", names(slots)),
        Readability::NotReadable(slots) => format!("not readable, under {}", names(slots)),
        Readability::DetachedPayload => "a detached payload: see its header".into(),
        Readability::NotAnEnvelope => "NOT AN ENVELOPE".into(),
        Readability::Damaged(error) | Readability::Unreadable(error) => {
            format!("not known: {error}")
        }
        Readability::Skipped => "a link or a special file".into(),
        _ => "of another kind".into(),
    };
    format!("{}: {what}", escaped_path(&entry.path))
}
