//! The outcome of a vector, and the names of errors.

use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use phi_envelope::{Error, Keyring, error::KeyringError, inspect};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

#[derive(Deserialize, Serialize, PartialEq, Debug, Clone)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Opens {
    Plaintext {
        plaintext: String,
    },
    Digest {
        sha256: String,
        length: usize,
    },
    Keyring {
        id: String,
        revision: u64,
        lease: u64,
        keys: Vec<HeldKey>,
    },
    Evidence {
        #[serde(skip_serializing_if = "Option::is_none")]
        keyring: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        revision: Option<u64>,
        scheme: u8,
        key_id: String,
        began: u64,
        places: usize,
        findings: usize,
        in_use: u64,
    },
    Inspected {
        kind: String,
        slots: Vec<Named>,
    },
}

#[derive(Deserialize, Serialize, PartialEq, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    pub(crate) scheme: u8,
    pub(crate) key_id: String,
}

#[derive(Deserialize, Serialize, PartialEq, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeldKey {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) state: String,
    pub(crate) created: u64,
    pub(crate) changed: u64,
}

/// What a header says of itself.
pub(crate) fn inspected(envelope: &[u8]) -> Outcome {
    let inspection = inspect(envelope)?;
    let slots = inspection.slots.iter().map(|slot| Named {
        scheme: slot.scheme,
        key_id: hex(&slot.key_id),
    });
    let kind = serde_json::to_value(inspection.kind).unwrap();
    let opened = Opens::Inspected {
        kind: kind.as_str().unwrap().to_owned(),
        slots: slots.collect(),
    };
    Ok((opened, None))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Opens {
    /// What a keyring of a file says of itself.
    pub(crate) fn listed(keyring: &Keyring) -> Self {
        let seconds =
            |time: std::time::SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let keys = keyring.keys().into_iter().map(|key| HeldKey {
            id: key.id.to_string(),
            label: key.label,
            state: key.state.to_string(),
            created: seconds(key.created),
            changed: seconds(key.changed),
        });
        Self::Keyring {
            id: hex(&keyring.id().unwrap()),
            revision: keyring.revision().unwrap(),
            lease: keyring.lease().unwrap().as_secs(),
            keys: keys.collect(),
        }
    }
}

/// What was opened and what was damaged.
pub(crate) type Outcome = Result<(Opens, Option<String>), Error>;

/// A plaintext as a vector states it.
pub(crate) fn digested(plaintext: &[u8]) -> (Opens, Option<String>) {
    let opens = if plaintext.len() <= 1024 {
        Opens::Plaintext {
            plaintext: STANDARD.encode(plaintext),
        }
    } else {
        let digest = Sha256::digest(plaintext);
        Opens::Digest {
            sha256: hex(&digest),
            length: plaintext.len(),
        }
    };
    (opens, None)
}

/// The stable name of an error: its group, and what exactly after a slash.
pub(crate) fn name_of(error: &Error) -> String {
    let within = |group: &str, rule: &dyn std::fmt::Debug| {
        let rule = format!("{rule:?}");
        // The name alone, without what it holds.
        format!(
            "{group}/{}",
            kebab(rule.split(" {").next().unwrap_or_default())
        )
    };
    match error {
        Error::NotAnEnvelope => "not-an-envelope".to_owned(),
        Error::NewerVersion { .. } => "newer-version".to_owned(),
        Error::Truncated => "truncated".to_owned(),
        Error::NoMatchingKey { .. } => "no-matching-key".to_owned(),
        Error::WrongPassphrase => "wrong-passphrase".to_owned(),
        Error::KeyNotUsable { .. } => "key-not-usable".to_owned(),
        Error::MakerUnknown { .. } => "maker-unknown".to_owned(),
        Error::Provider { .. } => "provider".to_owned(),
        Error::Malformed(rule) => within("malformed", rule),
        Error::KeyringFile {
            fault: KeyringError::RolledBack(how),
            ..
        } => within("rolled-back", how),
        Error::ContextMismatch(mismatch) => within("context-mismatch", mismatch),
        Error::AuthenticationFailed(part) => within("authentication-failed", part),
        Error::Evidence(fault) => within("evidence", fault),
        Error::LimitExceeded(limit) => within("limit-exceeded", limit),
        other => format!("not an outcome of a vector: {other}"),
    }
}

/// `Keyring(ActiveKeys)` as `keyring/active-keys`, and `Segment(3)` as `segment`.
pub(crate) fn kebab(name: &str) -> String {
    let name = match name.split_once('(') {
        Some((variant, inside)) if inside.starts_with(|first: char| first.is_ascii_digit()) => {
            variant
        }
        _ => name.trim_end_matches(')'),
    };
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() && !out.ends_with('/') {
            out.push('-');
        }
        match letter {
            '(' => out.push('/'),
            letter => out.extend(letter.to_lowercase()),
        }
    }
    out
}
