//! What was found before: a place that holds less now is a finding.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::class::FindingClass;
use super::evidence::{Evidence, ScannedPlace};
use super::ledger::PlaceBook;
use super::summary::InventorySummary;
use crate::envelope::EnvelopeCipher;
use crate::error::{EvidenceError, Result};

/// What an earlier scan or inventory of the same places has found.
#[derive(Debug, Clone)]
pub struct Previous {
    pub(super) digest: [u8; 32],
    places: Vec<ScannedPlace>,
    /// Envelopes in all places, where an inventory was taken.
    in_all: Option<u64>,
}

impl Previous {
    /// Earlier evidence, opened with the providers that the caller names for it.
    ///
    /// # Errors
    /// As [`Evidence::open`].
    pub fn evidence(cipher: &EnvelopeCipher, envelope: impl AsRef<[u8]>) -> Result<Self> {
        let content = Evidence::open_content(cipher, envelope.as_ref())?;
        Ok(Self {
            digest: content.digest,
            places: content.evidence.places,
            in_all: None,
        })
    }

    /// An earlier inventory, as `phi inventory --save` keeps it: JSON of an [`InventorySummary`].
    ///
    /// # Errors
    /// [`Error::Evidence`](crate::Error::Evidence) if it is none.
    pub fn inventory(json: impl AsRef<[u8]>) -> Result<Self> {
        let json = json.as_ref();
        let summary: InventorySummary =
            serde_json::from_slice(json).map_err(|_| EvidenceError::Content)?;
        Ok(Self {
            digest: Sha256::digest(json).into(),
            places: Vec::new(),
            in_all: Some(summary.envelopes().files),
        })
    }

    pub(super) fn compare(
        &self,
        places: &[PlaceBook],
        found: &mut Vec<(FindingClass, PathBuf, String)>,
    ) {
        let now: Vec<_> = places.iter().map(PlaceBook::place).collect();
        for before in &self.places {
            let mut same = now.iter().filter(|place| {
                (&place.name, &place.path_base64, place.kind)
                    == (&before.name, &before.path_base64, before.kind)
            });
            let (envelopes, bytes) = match same.next() {
                Some(place) => (place.envelopes, place.bytes),
                None => (0, 0),
            };
            if envelopes < before.envelopes || bytes < before.bytes {
                let rule = format!(
                    "{} envelopes of {} bytes before, and {envelopes} of {bytes} now",
                    before.envelopes, before.bytes
                );
                found.push((FindingClass::Shrunk, before.name.clone().into(), rule));
            }
        }
        let in_all = now.iter().map(|place| place.envelopes);
        let in_all = in_all.fold(0, u64::saturating_add);
        if let Some(before) = self.in_all.filter(|before| in_all < *before) {
            let rule = format!("{before} envelopes before, and {in_all} now");
            found.push((FindingClass::Shrunk, "all places".into(), rule));
        }
    }
}
