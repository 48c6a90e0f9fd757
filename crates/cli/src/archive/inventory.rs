//! Which keys protect what.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use phi_envelope::{
    archive::{self, EntryKind, InventoryEntry, InventorySummary},
    keys::KeyInfo,
};
use serde_json::json;

use super::args::Inventory;
use super::places::Places;
use super::run::Run;
use crate::failure::Failure;
use crate::keys::open_keyring;
use crate::new_file::NewFile;
use crate::output::{Answer, Console, escaped_path};
use crate::secrets::{Asked, Secret};

pub(crate) fn run(console: &Console, args: &Inventory) -> Result<Answer> {
    // What can be refused is, before a walk that may take long.
    let earlier = args.since.as_deref().map(snapshot).transpose()?;
    let save = args.save.as_deref().map(NewFile::create).transpose()?;
    let keys = known_keys(args)?;
    let places = Places::new(&args.paths, &args.walk);
    let mut run = Run::new(console, args.files);
    let mut pass = archive::inventory(places.tree()?)?;
    while let Some(entry) = pass.next() {
        let unreadable = match &entry.content {
            EntryKind::Unreadable(error) => Some(error),
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
    let summary = pass.summary().clone().with_keys(&keys);
    if let Some(save) = save {
        save.finish(&serde_json::to_vec(&summary)?)?;
    }
    let changes = earlier.map(|earlier| summary.since(&earlier));
    console.say(summary.to_string().trim_end())?;
    if let Some(changes) = &changes {
        console.say(format_args!("\n{}", changes.to_string().trim_end()))?;
    }
    Ok(run.answer(json!({
        "command": "inventory",
        "verified": false,
        "summary": summary,
        "changes": changes,
    })))
}

/// A file in a line.
fn told(entry: &InventoryEntry) -> String {
    let what = match &entry.content {
        EntryKind::Envelope(found) => {
            let own = &found.header.slots;
            let others = found.other_slots.iter();
            let slots = own.iter().chain(others.filter(|slot| !own.contains(slot)));
            let names: Vec<_> = slots.map(ToString::to_string).collect();
            format!("under {}", names.join(", "))
        }
        EntryKind::DetachedPayload => "a detached payload".into(),
        EntryKind::NotAnEnvelope => "NOT AN ENVELOPE".into(),
        EntryKind::Damaged(error) | EntryKind::Unreadable(error) => error.to_string(),
        EntryKind::CompactRecord(key) => format!("a compact record, under {key}"),
        EntryKind::Excluded(rule) => format!("excluded by {rule}, not looked at"),
        EntryKind::Symlink => "a symbolic link".into(),
        EntryKind::Special => "a pipe, a socket or a device".into(),
        _ => "of another kind".into(),
    };
    format!("{}: {what}", escaped_path(&entry.path))
}

fn known_keys(args: &Inventory) -> Result<Vec<KeyInfo>> {
    let mut keys = Vec::new();
    for path in &args.keyrings {
        let name = escaped_path(path);
        // Said before a passphrase is asked for.
        path.metadata().with_context(|| name.clone())?;
        let secret = Secret::read(&args.secret, &name, Asked::Once)?;
        keys.extend(open_keyring(path, &secret)?.keyring().keys());
    }
    Ok(keys)
}

fn snapshot(path: &Path) -> Result<InventorySummary> {
    let read = || anyhow::Ok(serde_json::from_slice(&fs::read(path)?)?);
    read().with_context(|| escaped_path(path))
}
