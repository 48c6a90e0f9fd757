//! FORMAT §9.4, "It permits one destruction", by the cases in `tests/vectors/evidence`, which the second reader judges as well.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::evidence::KeyringRevision;
use super::evidence_json;
use super::permits::{Destruction, permits};
use crate::error::KeyId;
use crate::format::json;

/// A case, as its file holds it (`tests/vectors/README.md`).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    evidence: Value,
    keyring: KeyringNow,
    key: KeyNow,
    now: u64,
    allowance: u64,
    age: u64,
    permits: bool,
    fault: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyringNow {
    id: String,
    revision: u64,
    lease: u64,
    lease_changed: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyNow {
    id: String,
    state: String,
    changed: u64,
}

impl Case {
    fn asked(&self) -> Destruction {
        let keyring = &self.keyring;
        Destruction {
            key: KeyId::from_bytes(*json::decode::<16>(&self.key.id).unwrap()),
            is_active: self.key.state == "active",
            changed: self.key.changed,
            keyring: KeyringRevision::new(
                *json::decode::<16>(&keyring.id).unwrap(),
                keyring.revision,
            ),
            lease: keyring.lease,
            lease_changed: keyring.lease_changed,
            now: self.now,
            allowance: self.allowance,
            settling: None,
            age: self.age,
        }
    }
}

/// The fault as a case names it.
fn named(fault: impl std::fmt::Debug) -> String {
    let mut name = String::new();
    for letter in format!("{fault:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

#[test]
fn every_case_of_evidence_has_its_verdict() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/evidence");
    // The published package carries no vectors; `the_committed_vectors_are_what_this_crate_makes` counts them.
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let case: Case = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let evidence = evidence_json::parse(case.evidence.to_string().as_bytes()).unwrap();
        let verdict = permits(&evidence, &case.asked());
        let fault = verdict.err().map(named);
        assert_eq!(fault, case.fault, "{}: {}", path.display(), case.about);
        assert_eq!(fault.is_none(), case.permits, "{}", path.display());
    }
}
