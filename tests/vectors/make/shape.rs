//! A vector as its file holds it, and how one is put together.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{craft, keyrings, master_bytes, master_id};
use crate::crypto::random::with_fixed_randomness;

/// A plaintext up to this length stands in a vector as it is, a longer one as its digest.
const SHORT: usize = 1024;
/// That many zero bytes in a row, and more, stand in a vector as a number.
const LONG_RUN: usize = 64;

/// One vector, field for field as its file holds it (see the `README.md` beside the files).
#[derive(Serialize)]
pub(super) struct Case {
    #[serde(skip)]
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) call: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) header: Option<Vec<Piece>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) envelope: Option<Vec<Piece>>,
    /// A keyring's file that the reader has seen in the place of `envelope`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seen: Option<Vec<Piece>>,
    /// The least numbers of a keyring's file that the reader was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) least: Option<Least>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) master_keys: Vec<Master>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) services: Vec<Service>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) passphrases: Vec<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) bindings: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) opens: Option<Opens>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) asked: BTreeMap<&'static str, u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) header_damage: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fails: Option<&'static str>,
}

/// Bytes, so that the padding of a block takes no room.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Piece {
    Base64(String),
    Zeros(usize),
}

#[derive(Serialize)]
pub(super) struct Master {
    pub(super) id: String,
    pub(super) key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Least {
    pub(super) revision: u64,
    pub(super) data_key_revision: u64,
}

/// A key service that the reader plays.
#[derive(Serialize, Clone, Copy)]
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) asks_network: bool,
    pub(super) authenticates: bool,
    pub(super) fails: bool,
}

/// One that asks a network and authenticates nothing.
pub(super) const FAR: Service = Service {
    name: "org.example.far",
    asks_network: true,
    authenticates: false,
    fails: false,
};
/// One that answers from the device itself.
pub(super) const NEAR: Service = Service {
    name: "org.example.near",
    asks_network: false,
    authenticates: false,
    fails: false,
};

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Opens {
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
        keys: &'static [keyrings::HeldKey],
    },
    Evidence {
        #[serde(skip_serializing_if = "Option::is_none")]
        keyring: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        revision: Option<u64>,
        scheme: u64,
        key_id: String,
        began: u64,
        places: usize,
        findings: usize,
        in_use: u64,
    },
    Inspected {
        kind: &'static str,
        slots: Vec<Named>,
    },
}

/// A slot, as an inspection names it.
#[derive(Serialize)]
pub(super) struct Named {
    pub(super) scheme: u8,
    pub(super) key_id: String,
}

/// Pairs of text, as a reader or a writer presents them.
pub(super) type Pairs = &'static [(&'static str, &'static str)];

impl Case {
    pub(super) fn of(call: &'static str) -> Self {
        Self {
            name: "",
            about: "",
            call,
            header: None,
            envelope: None,
            seen: None,
            least: None,
            text: None,
            master_keys: Vec::new(),
            services: Vec::new(),
            passphrases: Vec::new(),
            labels: BTreeMap::new(),
            bindings: BTreeMap::new(),
            opens: None,
            asked: BTreeMap::new(),
            header_damage: None,
            fails: None,
        }
    }

    pub(super) fn record(envelope: impl AsRef<[u8]>) -> Self {
        Self {
            envelope: Some(pieces(envelope.as_ref())),
            ..Self::of("record")
        }
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::of("text")
        }
    }

    pub(super) fn inline(envelope: impl AsRef<[u8]>) -> Self {
        Self {
            envelope: Some(pieces(envelope.as_ref())),
            ..Self::of("stream-inline")
        }
    }

    pub(super) fn detached(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        Self {
            header: Some(pieces(header.as_ref())),
            envelope: Some(pieces(payload.as_ref())),
            ..Self::of("stream-detached")
        }
    }

    /// The bytes are inspected, without a key.
    pub(super) fn inspected(envelope: impl AsRef<[u8]>) -> Self {
        Self {
            envelope: Some(pieces(envelope.as_ref())),
            ..Self::of("inspect")
        }
    }

    pub(super) fn evidence_file(file: impl AsRef<[u8]>) -> Self {
        Self {
            envelope: Some(pieces(file.as_ref())),
            ..Self::of("evidence-file")
        }
    }

    pub(super) fn keyring_file(file: impl AsRef<[u8]>) -> Self {
        Self {
            envelope: Some(pieces(file.as_ref())),
            ..Self::of("keyring-file")
        }
    }

    /// The reader holds master key `number`.
    pub(super) fn key(self, number: u8) -> Self {
        self.key_in(number, None)
    }

    /// The reader holds master key `number`, and may not use it.
    pub(super) fn suspended_key(self, number: u8) -> Self {
        self.key_in(number, Some("suspended"))
    }

    pub(super) fn key_in(mut self, number: u8, state: Option<&'static str>) -> Self {
        self.master_keys.push(Master {
            id: master_id(number).to_string(),
            key: STANDARD.encode(master_bytes(number)),
            state,
        });
        self
    }

    /// The reader has a service, and asks it so often.
    pub(super) fn service(mut self, service: Service, asked: u32) -> Self {
        self.services.push(service);
        self.asked.insert(service.name, asked);
        self
    }

    /// The reader knows a passphrase.
    pub(super) fn passphrase(mut self, passphrase: &'static str) -> Self {
        self.passphrases.push(passphrase);
        self
    }

    pub(super) fn labels(mut self, labels: Pairs) -> Self {
        self.labels = owned(labels);
        self
    }

    pub(super) fn bindings(mut self, bindings: Pairs) -> Self {
        self.bindings = owned(bindings);
        self
    }

    pub(super) fn opens(mut self, plaintext: impl AsRef<[u8]>) -> Self {
        let plaintext = plaintext.as_ref();
        self.opens = Some(if plaintext.len() <= SHORT {
            Opens::Plaintext {
                plaintext: STANDARD.encode(plaintext),
            }
        } else {
            let digest = Sha256::digest(plaintext);
            Opens::Digest {
                sha256: hex(&digest),
                length: plaintext.len(),
            }
        });
        self
    }

    /// The kind and the slots of a header.
    pub(super) fn names(mut self, kind: &'static str, draft: &craft::Draft) -> Self {
        let slot = |slot: &Vec<u8>| {
            let len = usize::from(u16::from_be_bytes([slot[1], slot[2]]));
            Named {
                scheme: slot[0],
                key_id: hex(&slot[3..3 + len]),
            }
        };
        self.opens = Some(Opens::Inspected {
            kind,
            slots: draft.slots.iter().map(slot).collect(),
        });
        self
    }

    pub(super) fn damage(mut self, damage: &'static str) -> Self {
        self.header_damage = Some(damage);
        self
    }

    pub(super) fn fails(mut self, error: &'static str) -> Self {
        self.fails = Some(error);
        self
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap() + "\n"
    }
}

/// A case whose randomness its name decides.
pub(super) fn case(name: &'static str, about: &'static str, make: impl FnOnce() -> Case) -> Case {
    Case {
        name,
        about,
        ..with_fixed_randomness(name, make)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn owned(pairs: Pairs) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
    pairs.iter().map(owned).collect()
}

/// Long runs of zeros apart from all else.
pub(super) fn pieces(bytes: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut other: Vec<u8> = Vec::new();
    for run in bytes.chunk_by(|left, right| (*left == 0) == (*right == 0)) {
        if run.len() >= LONG_RUN && run[0] == 0 {
            if !other.is_empty() {
                pieces.push(Piece::Base64(STANDARD.encode(std::mem::take(&mut other))));
            }
            pieces.push(Piece::Zeros(run.len()));
        } else {
            other.extend_from_slice(run);
        }
    }
    if !other.is_empty() {
        pieces.push(Piece::Base64(STANDARD.encode(other)));
    }
    pieces
}
