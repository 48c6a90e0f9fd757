//! The books of a scan for evidence: what each part of each place came to, so that a part can be read again.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use super::class::{Counts, FindingClass};
use super::evidence::{Finding, PlaceKind, ScannedPlace};
use super::examine::{Found, Named, Seen};
use super::json::path_text;
use super::sight::Sighting;
use super::table::shown;
use crate::disk::folder_of;
use crate::files::{PayloadHead, StreamProof};

// FORMAT §9.4: `findings` holds at most 10,000, fewer where the plaintext would pass 15 MiB.
const MOST_FINDINGS: usize = 10_000;
/// Leaves a mebibyte to all the rest.
const MOST_BYTES: usize = 14 << 20;

/// What may still be listed.
#[derive(Debug)]
pub(super) struct Budget {
    findings: usize,
    bytes: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            findings: MOST_FINDINGS,
            bytes: MOST_BYTES,
        }
    }
}

/// A place that is being scanned.
pub(super) struct PlaceBook {
    pub(super) name: PathBuf,
    pub(super) kind: PlaceKind,
    /// The folders of a tree, and the files that were named; of all else there is one part, without a name.
    pub(super) parts: HashMap<PathBuf, Part>,
}

/// A folder without what is in the folders below it, or a file that was named, or all of a table.
#[derive(Default)]
pub(super) struct Part {
    /// The state of the folder or file before the scan read it.
    pub(super) seen: Option<Sighting>,
    pub(super) is_named: bool,
    /// Everything that was met in it, folders too.
    pub(super) entries: u64,
    envelopes: u64,
    bytes: u64,
    opened: u64,
    in_use: u64,
    findings: Vec<(Finding, usize)>,
    more: Counts,
    pub(super) headers: Vec<(PathBuf, StreamProof)>,
    pub(super) payloads: Vec<(PathBuf, PayloadHead)>,
    /// Links that lead somewhere.
    pub(super) links: Vec<(PathBuf, io::Result<PathBuf>)>,
    pub(super) names: Vec<Named>,
}

/// What the parts of a scan add up to.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) opened: u64,
    pub(super) in_use: u64,
    pub(super) findings: Vec<Finding>,
    pub(super) more: Counts,
}

impl PlaceBook {
    pub(super) fn new(name: &Path, kind: PlaceKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            parts: HashMap::new(),
        }
    }

    pub(super) fn part(&mut self, name: &Path) -> &mut Part {
        if !self.parts.contains_key(name) {
            self.parts.insert(name.to_owned(), Part::default());
        }
        self.parts.entry(name.to_owned()).or_default()
    }

    /// Strikes a part, which is read again or is gone.
    pub(super) fn strike(&mut self, name: &Path, budget: &mut Budget) {
        if let Some(part) = self.parts.remove(name) {
            for (_, bytes) in &part.findings {
                budget.findings = budget.findings.saturating_add(1);
                budget.bytes = budget.bytes.saturating_add(*bytes);
            }
        }
    }

    /// Notes what a walk met. Returns the path of what is in use.
    pub(super) fn note(&mut self, seen: Seen, budget: &mut Budget) -> Option<PathBuf> {
        match seen {
            Seen::Folder {
                path,
                is_named,
                seen,
            } => {
                let part = self.part(&path);
                part.is_named = is_named;
                match seen {
                    Ok(seen) => part.seen = Some(seen),
                    Err(error) => {
                        part.find(FindingClass::Unreadable, &path, &error.to_string(), budget);
                    }
                }
                if !is_named {
                    self.part(&folder_of(&path)).entries += 1;
                }
                None
            }
            Seen::File {
                path,
                seen,
                bytes,
                found,
                named,
            } => {
                let part = match seen {
                    // A file that was named is a part of its own.
                    Some(seen) => {
                        let part = self.part(&path);
                        part.is_named = true;
                        part.seen = Some(seen);
                        part
                    }
                    None => self.part(&folder_of(&path)),
                };
                part.names.extend(named);
                part.add(&path, bytes, found, budget).then_some(path)
            }
            Seen::Link { path, target } => {
                let part = self.part(&folder_of(&path));
                part.entries += 1;
                part.links.extend(target.map(|target| (path, target)));
                None
            }
            Seen::Special(path) => {
                let part = self.part(&folder_of(&path));
                part.entries += 1;
                let rule = "a pipe, a socket or a device";
                part.find(FindingClass::NotAnEnvelope, &path, rule, budget);
                None
            }
            Seen::Excluded { path, rule } => {
                let part = self.part(&folder_of(&path));
                part.entries += 1;
                part.find(FindingClass::Excluded, &path, &rule, budget);
                None
            }
            Seen::Unreadable {
                path,
                is_named,
                error,
            } => {
                // What cannot be read is found in the part that it is, so that reading it again strikes it.
                let is_part = is_named || self.parts.contains_key(&path);
                let of = if is_part {
                    path.clone()
                } else {
                    folder_of(&path)
                };
                let part = self.part(&of);
                part.entries += 1;
                part.find(FindingClass::Unreadable, &path, &error.to_string(), budget);
                None
            }
        }
    }

    /// The place as evidence names it.
    pub(super) fn place(&self) -> ScannedPlace {
        let (text, path_base64) = path_text(&self.name);
        let sum = |of: fn(&Part) -> u64| self.parts.values().map(of).fold(0, u64::saturating_add);
        ScannedPlace {
            name: shown(&text),
            path_base64,
            kind: self.kind,
            envelopes: sum(|part| part.envelopes),
            bytes: sum(|part| part.bytes),
        }
    }
}

impl Part {
    /// Counts one thing that was examined. Returns whether it is in use.
    pub(super) fn add(
        &mut self,
        path: &Path,
        bytes: u64,
        found: Found,
        budget: &mut Budget,
    ) -> bool {
        self.entries += 1;
        let is_in_use = matches!(found, Found::InUse);
        let is_envelope = matches!(found, Found::InUse | Found::WithKey(_) | Found::Failed(_));
        if is_envelope {
            self.envelopes += 1;
            self.bytes = self.bytes.saturating_add(bytes);
        }
        match found {
            Found::InUse => self.in_use += 1,
            Found::WithKey(proof) => {
                self.opened += 1;
                let header = proof.map(|proof| (path.to_owned(), proof));
                self.headers.extend(header);
            }
            Found::Payload(payload) => self.payloads.push((path.to_owned(), payload)),
            Found::Other(None) => {
                let rule = "no envelope, and none was found inside";
                self.find(FindingClass::NotAnEnvelope, path, rule, budget);
            }
            Found::Other(Some(at)) => {
                let rule = format!("no envelope, and one seems to stand inside at byte {at}");
                self.find(FindingClass::EnvelopeInside, path, &rule, budget);
            }
            Found::Failed(why) => self.find(FindingClass::Failed, path, &why, budget),
            Found::Unreadable(why) => self.find(FindingClass::Unreadable, path, &why, budget),
        }
        is_in_use
    }

    pub(super) fn find(
        &mut self,
        class: FindingClass,
        path: &Path,
        rule: &str,
        budget: &mut Budget,
    ) {
        let finding = Finding::new(class, path, rule);
        let bytes = serde_json::to_vec(&finding).map_or(usize::MAX, |json| json.len() + 1);
        if budget.findings > 0 && bytes <= budget.bytes {
            budget.findings -= 1;
            budget.bytes -= bytes;
            self.findings.push((finding, bytes));
        } else {
            self.more.add(class, 1);
        }
    }

    pub(super) fn sum_into(self, sum: &mut Sum) {
        sum.opened = sum.opened.saturating_add(self.opened);
        sum.in_use = sum.in_use.saturating_add(self.in_use);
        sum.findings
            .extend(self.findings.into_iter().map(|(finding, _)| finding));
        sum.more.add_all(&self.more);
    }
}
