//! FORMAT §9.4: evidence that a key is out of use.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::class::{ClassCount, Counts, FindingClass};
use super::json::{hex, path_text};
use super::table::{Table, bytes, day, shown};
use crate::envelope::{Context, EnvelopeCipher, NewOwnFile};
use crate::error::{EnvelopeKind, Result, SlotId};
use crate::format::slot::KEYRING;

/// What an [`EvidenceScan`](crate::archive::EvidenceScan) found: whether anything is left that needs a key. `Display` makes a table of it.
///
/// It speaks of the places that were scanned and of the time at which they were. What was elsewhere, a backup or a copy, it does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// The keyring that the key is of; none if the key is one of a key service.
    pub keyring: Option<KeyringRevision>,
    /// The key, as a slot names it.
    pub key: SlotId,
    /// When the scan began, in seconds since 1970: the earlier of the scanner's clock and the store's.
    pub began: u64,
    /// When it ended, likewise.
    pub ended: u64,
    /// Since when the key does not wrap any more: the later of its last change and the last change of the keyring's file.
    pub settled_since: u64,
    /// What was scanned.
    pub places: Vec<ScannedPlace>,
    /// Envelopes whose header opened under another key.
    pub opened: u64,
    /// Envelopes that have a slot of the key.
    pub in_use: u64,
    /// What was seen and not examined, or is in the way otherwise: ten thousand of them at most.
    pub findings: Vec<Finding>,
    /// The findings that are not listed.
    pub more: Vec<ClassCount>,
    /// The findings that the key's owner accepts.
    pub accepted: Vec<ClassCount>,
    /// The SHA-256 of the content of the evidence, or of the bytes of the inventory, that this scan was compared with.
    pub previous: Option<[u8; 32]>,
}

/// A keyring at one of its revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyringRevision {
    /// The id of the keyring.
    pub id: [u8; 16],
    /// The revision that was read.
    pub revision: u64,
}

impl KeyringRevision {
    /// The keyring of this id, at this revision.
    #[must_use]
    pub const fn new(id: [u8; 16], revision: u64) -> Self {
        Self { id, revision }
    }
}

/// What kind of place was scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PlaceKind {
    /// Files in folders.
    Tree,
    /// Rows of a table.
    Rows,
    /// Objects of a store.
    Objects,
}

/// A place that was scanned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ScannedPlace {
    /// Its name, in the caller's words.
    pub name: String,
    /// The bytes of the name in base64, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_base64: Option<String>,
    /// What kind of place it is.
    pub kind: PlaceKind,
    /// Envelopes that were seen there.
    pub envelopes: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Something that speaks against the destruction of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The class of it.
    pub class: FindingClass,
    /// The file, or the place and the id of the row. What would command a terminal is escaped.
    pub path: String,
    /// The bytes of the path in base64, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_base64: Option<String>,
    /// What is the matter with it.
    pub rule: String,
}

impl Finding {
    pub(super) fn new(class: FindingClass, path: &Path, rule: &str) -> Self {
        let (text, path_base64) = path_text(path);
        Self {
            class,
            path: shown(&text),
            path_base64,
            rule: shown(rule),
        }
    }
}

/// An evidence's content, and what it is known by.
pub(super) struct Content {
    pub(super) evidence: Evidence,
    /// The SHA-256 of the plaintext, which a rewrap does not change.
    pub(super) digest: [u8; 32],
}

impl Evidence {
    /// How many findings each class has.
    #[must_use]
    pub fn found(&self) -> Vec<ClassCount> {
        let mut counts = Counts::default();
        for finding in &self.findings {
            counts.add(finding.class, 1);
        }
        for more in &self.more {
            counts.add(more.class, more.count);
        }
        counts.list()
    }

    /// Whether nothing that was scanned needs the key, and nothing was found that speaks against its destruction but what is accepted.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let mut accepted = self.accepted.clone();
        accepted.sort_by_key(|accepted| accepted.class);
        self.in_use == 0 && !self.places.is_empty() && accepted == self.found()
    }

    /// Envelopes in all places.
    #[must_use]
    pub fn envelopes(&self) -> u64 {
        let all = self.places.iter().map(|place| place.envelopes);
        all.fold(0, u64::saturating_add)
    }

    // FORMAT §2: evidence is a file of kind 0x05.
    /// Seals it, for those whom the cipher writes for. Whoever opens it again names its providers for this file alone: never all that a
    /// cipher for data reads with.
    ///
    /// # Errors
    /// [`Error::Recipients`](crate::Error::Recipients) if a slot would not show who made it; those of
    /// [`EnvelopeCipher::encrypt`]; [`Limit::OwnFile`](crate::error::Limit::OwnFile).
    pub fn seal(&self, cipher: &EnvelopeCipher) -> Result<Vec<u8>> {
        Ok(self.seal_with_digest(cipher)?.0)
    }

    pub(super) fn seal_with_digest(&self, cipher: &EnvelopeCipher) -> Result<(Vec<u8>, [u8; 32])> {
        let json = self.to_json()?;
        let new = NewOwnFile {
            kind: EnvelopeKind::Evidence,
            generation: 0,
            revision: None,
            context: &Context::new(),
        };
        let sealed = cipher.seal_own(&new, &json)?;
        Ok((sealed, Sha256::digest(&json).into()))
    }

    /// Opens what [`seal`](Self::seal) sealed, with the providers that the caller names for it.
    ///
    /// # Errors
    /// Those of opening a record; [`Malformed::OtherKind`](crate::error::Malformed::OtherKind) for another kind of file;
    /// [`Error::MakerUnknown`](crate::Error::MakerUnknown); [`Error::Evidence`](crate::Error::Evidence) if its content is not as
    /// the format says.
    pub fn open(cipher: &EnvelopeCipher, envelope: impl AsRef<[u8]>) -> Result<Self> {
        Ok(Self::open_content(cipher, envelope.as_ref())?.evidence)
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = match self.key.scheme {
            KEYRING => hex(&self.key.key_id),
            _ => self.key.to_string(),
        };
        writeln!(f, "key {}, on {}", shown(&key), day(self.began))?;
        let mut table = Table::new(&["", "count", "bytes"]);
        for place in &self.places {
            let cells = [place.envelopes.to_string(), bytes(place.bytes)];
            table.row(&format!("envelopes in {}", place.name), cells);
        }
        table.row("opened under another key", [self.opened.to_string()]);
        table.row("STILL UNDER THE KEY", [self.in_use.to_string()]);
        for found in self.found() {
            let accepted = self.accepted.contains(&found);
            let name = format!(
                "{}: {}",
                if accepted { "accepted" } else { "FOUND" },
                found.class
            );
            table.row(&name, [found.count.to_string()]);
        }
        write!(f, "{table}")
    }
}
