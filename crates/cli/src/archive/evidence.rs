//! Evidence, told and compared.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use phi_envelope::{EnvelopeCipher, Error, archive::Evidence};
use serde_json::json;

use super::args::{EvidenceCommand, OpenedArgs};
use super::retire::first_findings;
use crate::failure::usage;
use crate::output::{Answer, Console, escaped_path, put_path};
use crate::secrets::{Asked, Secret};

pub(crate) fn run(console: &Console, command: &EvidenceCommand) -> Result<Answer> {
    match command {
        EvidenceCommand::Show { file, opened } => {
            let evidence = open(&cipher(file, opened)?, file)?;
            console.say(format_args!("{evidence}{}", first_findings(&evidence)))?;
            for (what, at) in times(&evidence) {
                console.say(format_args!("{what} {}", time(at)))?;
            }
            let found = evidence.found();
            let mut json =
                json!({"command": "evidence show", "evidence": evidence, "found": found});
            put_path(&mut json, "path", file);
            Ok(json.into())
        }
        EvidenceCommand::Compare {
            earlier,
            file,
            opened,
        } => {
            let cipher = cipher(file, opened)?;
            let (before, after) = (open(&cipher, earlier)?, open(&cipher, file)?);
            let mut lines = Vec::new();
            let mut line = |what: String, before: u64, after: u64| {
                if before != after {
                    lines.push(json!({"what": what, "before": before, "after": after}));
                }
            };
            line("opened".into(), before.opened, after.opened);
            line("in use".into(), before.in_use, after.in_use);
            for place in before.places.iter().chain(&after.places) {
                let of = |evidence: &Evidence| {
                    let mut places = evidence.places.iter();
                    let found = places.find(|it| (&it.name, it.kind) == (&place.name, place.kind));
                    found.map_or(0, |it| it.envelopes)
                };
                line(
                    format!("envelopes in {}", place.name),
                    of(&before),
                    of(&after),
                );
            }
            for class in phi_envelope::archive::FindingClass::ALL {
                let of = |evidence: &Evidence| {
                    let found = evidence.found();
                    let found = found.iter().find(|found| found.class == class);
                    found.map_or(0, |found| found.count)
                };
                line(class.to_string(), of(&before), of(&after));
            }
            lines.dedup();
            if before.key != after.key {
                console.say("they are about different keys")?;
            }
            if lines.is_empty() {
                console.say("nothing changed")?;
            }
            for line in &lines {
                console.say(format_args!(
                    "{}: {} before, {} now",
                    line["what"].as_str().unwrap_or_default(),
                    line["before"],
                    line["after"]
                ))?;
            }
            let mut json = json!({
                "command": "evidence compare",
                "same_key": before.key == after.key,
                "changes": lines,
            });
            put_path(&mut json, "earlier", earlier);
            put_path(&mut json, "path", file);
            Ok(json.into())
        }
    }
}

/// The times of a scan.
fn times(evidence: &Evidence) -> [(&'static str, u64); 3] {
    [
        ("settled since", evidence.settled_since),
        ("began", evidence.began),
        ("ended", evidence.ended),
    ]
}

/// What opens the keyring's file opens its evidence.
fn cipher(file: &Path, opened: &OpenedArgs) -> Result<EnvelopeCipher> {
    if opened.keyring.is_some() {
        return Err(usage(
            "--keyring: evidence opens with what opens its keyring's file, and not by that file: give the passphrase or master key (--passphrase-file, --master-key-file or PHI_PASSPHRASE)",
        ));
    }
    let secret = Secret::read(&opened.secret, &escaped_path(file), Asked::Once)
        .context("evidence opens with the secret of its keyring's file, without --keyring")?;
    Ok(EnvelopeCipher::builder()
        .encrypt_for(secret.provider()?)
        .build()?)
}

fn open(cipher: &EnvelopeCipher, file: &Path) -> Result<Evidence> {
    let bytes = fs::read(file).with_context(|| escaped_path(file))?;
    Evidence::open(cipher, bytes).map_err(|error| {
        let is_of_key = matches!(error, Error::NoMatchingKey { .. } | Error::WrongPassphrase);
        let error = anyhow::Error::from(error);
        let error = if is_of_key {
            error.context(
                "evidence opens with what opened its keyring's file when it was written, the secret before a `phi keyring passwd` perhaps",
            )
        } else {
            error
        };
        error.context(escaped_path(file))
    })
}

/// Seconds since 1970 as a day and a time in UTC.
pub(super) fn time(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let of_day = seconds % 86_400;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}
