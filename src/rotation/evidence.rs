//! Evidence that a key is out of use (FORMAT §9): what was opened without it, and what was not.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::json::{hex, seconds};
use super::table::{Table, day, shown};
use super::uses::{KeyUses, Tally};
use crate::envelope::{Context, EnvelopeCipher};
use crate::error::{ContextMismatch, Error, EvidenceFault, KeyId, Result};
use crate::format::header::Header;

const VERSION: u64 = 1;

/// What an [`EvidenceScan`](crate::EvidenceScan) found: whether anything is left that needs a key. `Display` makes a table of it.
///
/// It speaks of the places that were scanned and of the time at which they were. What was elsewhere, a backup or a copy, it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evidence {
    /// Version of this content: 1.
    pub version: u64,
    /// The id of the key, in hexadecimal.
    pub key: String,
    /// When the scan began, in seconds since 1970.
    pub started: u64,
    /// When it ended, likewise.
    pub finished: u64,
    /// What was scanned.
    pub places: Vec<Place>,
    /// Envelopes whose header opened under another key: files, and rows.
    pub opened: Tally,
    /// Those of them that are the header of a stream that lies elsewhere.
    pub detached_headers: u64,
    /// Envelopes that have a slot of the key.
    pub in_use: u64,
    /// Envelopes that did not open under another key, and files and folders that could not be read.
    pub not_opened: u64,
    /// Files that are not encrypted by this format.
    pub not_envelopes: Tally,
    /// Files that look like the payload of a detached header. They are counted against the headers, not matched with them.
    pub detached_payloads: Tally,
    /// Symbolic links, pipes, sockets and devices, which were passed over.
    pub passed_over: u64,
    /// The first hundred of what is no envelope or was passed over: none of these should hold sealed data in a form of its own.
    pub others: Vec<String>,
    /// The keys that the opened headers name. These headers were authenticated.
    pub keys: KeyUses,
    /// What is in use or did not open: the first thousand.
    pub findings: Vec<Finding>,
    /// Findings that are not listed.
    pub further_findings: u64,
}

/// A place that was scanned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Place {
    /// Its name, in the caller's words.
    pub name: String,
    /// Envelopes there whose header opened under another key.
    pub opened: Tally,
}

/// Something that speaks against destroying a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// The file, or the place and the id of the row.
    pub what: String,
    /// What is the matter with it.
    pub why: String,
}

impl Evidence {
    pub(super) fn new(key: KeyId) -> Self {
        Self {
            version: VERSION,
            key: key.to_string(),
            started: seconds(SystemTime::now()),
            finished: 0,
            places: Vec::new(),
            opened: Tally::default(),
            detached_headers: 0,
            in_use: 0,
            not_opened: 0,
            not_envelopes: Tally::default(),
            detached_payloads: Tally::default(),
            passed_over: 0,
            others: Vec::new(),
            keys: KeyUses::default(),
            findings: Vec::new(),
            further_findings: 0,
        }
    }

    /// Whether everything that was scanned opened under another key, something did in each place, and no detached payload is without
    /// its header.
    ///
    /// # Errors
    /// [`Error::Evidence`] with what speaks against it.
    pub fn check(&self) -> Result<()> {
        let fault = if self.in_use > 0 {
            EvidenceFault::InUse
        } else if self.not_opened > 0 {
            EvidenceFault::NotAllOpened
        } else if self.detached_payloads.files > self.detached_headers {
            EvidenceFault::HeadersElsewhere
        } else if self.places.is_empty() || self.places.iter().any(|it| it.opened.files == 0) {
            EvidenceFault::NothingOpened
        } else {
            return Ok(());
        };
        Err(fault.into())
    }

    /// Whether it is about this key, and its scan began within `age` before `now`.
    pub(super) fn check_subject(&self, key: KeyId, age: Duration, now: SystemTime) -> Result<()> {
        if self.key != hex(key.as_bytes()) {
            return Err(EvidenceFault::OtherKey.into());
        }
        match now.duration_since(self.begun()?) {
            Ok(since) if since <= age => Ok(()),
            _ => Err(EvidenceFault::TooOld.into()),
        }
    }

    /// When the scan began.
    pub(super) fn begun(&self) -> Result<SystemTime> {
        let begun = UNIX_EPOCH.checked_add(Duration::from_secs(self.started));
        Ok(begun.ok_or(EvidenceFault::Content)?)
    }

    // FORMAT §9: a record envelope with the one label `phi-envelope` = `evidence/1`, JSON inside.
    /// Seals it, for those whom the cipher writes for.
    ///
    /// Keep it as it is: the keyring's file records its SHA-256, and a rewrap would change it. So it opens as long as the keys it is sealed
    /// under last; let it have a recipient that outlives them.
    ///
    /// # Errors
    /// As [`EnvelopeCipher::encrypt`].
    pub fn seal(&self, cipher: &EnvelopeCipher) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self).map_err(|_| EvidenceFault::Content)?;
        cipher.encrypt(json, &labels()?)
    }

    /// Opens what [`seal`](Self::seal) sealed.
    ///
    /// # Errors
    /// Those of opening a record, and [`Error::Evidence`] where it holds no evidence.
    pub fn open(cipher: &EnvelopeCipher, envelope: impl AsRef<[u8]>) -> Result<Self> {
        let (envelope, labels) = (envelope.as_ref(), labels()?);
        let no_evidence = |error| match error {
            Error::ContextMismatch(
                ContextMismatch::LabelsDiffer | ContextMismatch::BindingsMissing,
            ) => EvidenceFault::Content.into(),
            error => error,
        };
        let json = cipher.decrypt(envelope, &labels).map_err(no_evidence)?;
        labels
            .check_exact_labels(&Header::parse(envelope)?.0)
            .map_err(no_evidence)?;
        match serde_json::from_slice::<Self>(&json) {
            Ok(evidence) if evidence.version == VERSION => Ok(evidence),
            _ => Err(EvidenceFault::Content.into()),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "key {}, on {}", shown(&self.key), day(self.started))?;
        let count = |files| Tally { files, bytes: 0 }.cells();
        let mut table = Table::new(&["", "count", "bytes"]);
        for place in &self.places {
            let name = format!("opened under another key in {}", place.name);
            table.row(&name, place.opened.cells());
        }
        table.row("STILL UNDER THE KEY", count(self.in_use));
        table.row("NOT OPENED", count(self.not_opened));
        table.row("not envelopes", self.not_envelopes.cells());
        table.row("detached payloads", self.detached_payloads.cells());
        table.row("links and special files", count(self.passed_over));
        write!(f, "{table}")
    }
}

fn labels() -> Result<Context> {
    Context::new().label("phi-envelope", "evidence/1")
}
