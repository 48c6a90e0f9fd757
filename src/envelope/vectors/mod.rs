//! The frozen vectors in `tests/vectors`: what makes them, and the proof that it still makes the same bytes.

mod asked;
mod changed;
mod craft;
mod evidences;
mod header_blocks;
mod histories;
mod keyrings;
mod kinds;
mod layouts;
mod malformed;
mod payload_heads;
mod permits;
mod records;
mod refused;
mod segments;
mod streams;
mod strict_json;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::crypto::random::with_fixed_randomness;
use crate::envelope::{Context, EnvelopeCipher};
use crate::error::KeyId;
use crate::keys::{Argon2Costs, Keyring, MasterKey, Passphrase};

/// A plaintext up to this length stands in a vector as it is, a longer one as its digest.
const SHORT: usize = 1024;
/// That many zero bytes in a row, and more, stand in a vector as a number.
const LONG_RUN: usize = 64;
const NOTE: &[u8] = b"BP 120/80 mmHg, pulse 64/min";
const PASSPHRASE: &str = "correct horse battery staple";
const SEGMENT: u32 = 4096;

/// One vector, field for field as its file holds it (see the `README.md` beside the files).
#[derive(Serialize)]
struct Case {
    #[serde(skip)]
    name: &'static str,
    about: &'static str,
    call: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Vec<Piece>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<Vec<Piece>>,
    /// A keyring's file that the reader has seen in the place of `envelope`.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<Vec<Piece>>,
    /// The least numbers of a keyring's file that the reader was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    least: Option<Least>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    master_keys: Vec<Master>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    services: Vec<Service>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passphrases: Vec<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    bindings: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opens: Option<Opens>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    asked: BTreeMap<&'static str, u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header_damage: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fails: Option<&'static str>,
}

/// Bytes, so that the padding of a block takes no room.
#[derive(Serialize)]
#[serde(untagged)]
enum Piece {
    Base64(String),
    Zeros(usize),
}

#[derive(Serialize)]
struct Master {
    id: String,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
}

#[derive(Serialize)]
struct Least {
    revision: u64,
    data_key_revision: u64,
}

/// A key service that the reader plays.
#[derive(Serialize, Clone, Copy)]
struct Service {
    name: &'static str,
    asks_network: bool,
    authenticates: bool,
    fails: bool,
}

/// One that asks a network and authenticates nothing.
const FAR: Service = Service {
    name: "org.example.far",
    asks_network: true,
    authenticates: false,
    fails: false,
};
/// One that answers from the device itself.
const NEAR: Service = Service {
    name: "org.example.near",
    asks_network: false,
    authenticates: false,
    fails: false,
};

#[derive(Serialize)]
#[serde(untagged)]
enum Opens {
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
struct Named {
    scheme: u8,
    key_id: String,
}

/// Pairs of text, as a reader or a writer presents them.
type Pairs = &'static [(&'static str, &'static str)];

impl Case {
    fn of(call: &'static str) -> Self {
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

    fn record(envelope: impl AsRef<[u8]>) -> Self {
        Self {
            envelope: Some(pieces(envelope.as_ref())),
            ..Self::of("record")
        }
    }

    fn text(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::of("text")
        }
    }

    fn inline(envelope: impl AsRef<[u8]>) -> Self {
        Self {
            envelope: Some(pieces(envelope.as_ref())),
            ..Self::of("stream-inline")
        }
    }

    fn detached(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        Self {
            header: Some(pieces(header.as_ref())),
            envelope: Some(pieces(payload.as_ref())),
            ..Self::of("stream-detached")
        }
    }

    /// The bytes are inspected, without a key.
    fn inspected(envelope: impl AsRef<[u8]>) -> Self {
        Self {
            envelope: Some(pieces(envelope.as_ref())),
            ..Self::of("inspect")
        }
    }

    fn evidence_file(file: impl AsRef<[u8]>) -> Self {
        Self {
            envelope: Some(pieces(file.as_ref())),
            ..Self::of("evidence-file")
        }
    }

    fn keyring_file(file: impl AsRef<[u8]>) -> Self {
        Self {
            envelope: Some(pieces(file.as_ref())),
            ..Self::of("keyring-file")
        }
    }

    /// The reader holds master key `number`.
    fn key(self, number: u8) -> Self {
        self.key_in(number, None)
    }

    /// The reader holds master key `number`, and may not use it.
    fn suspended_key(self, number: u8) -> Self {
        self.key_in(number, Some("suspended"))
    }

    fn key_in(mut self, number: u8, state: Option<&'static str>) -> Self {
        self.master_keys.push(Master {
            id: master_id(number).to_string(),
            key: STANDARD.encode(master_bytes(number)),
            state,
        });
        self
    }

    /// The reader has a service, and asks it so often.
    fn service(mut self, service: Service, asked: u32) -> Self {
        self.services.push(service);
        self.asked.insert(service.name, asked);
        self
    }

    /// The reader knows a passphrase.
    fn passphrase(mut self, passphrase: &'static str) -> Self {
        self.passphrases.push(passphrase);
        self
    }

    fn labels(mut self, labels: Pairs) -> Self {
        self.labels = owned(labels);
        self
    }

    fn bindings(mut self, bindings: Pairs) -> Self {
        self.bindings = owned(bindings);
        self
    }

    fn opens(mut self, plaintext: impl AsRef<[u8]>) -> Self {
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
    fn names(mut self, kind: &'static str, draft: &craft::Draft) -> Self {
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

    fn damage(mut self, damage: &'static str) -> Self {
        self.header_damage = Some(damage);
        self
    }

    fn fails(mut self, error: &'static str) -> Self {
        self.fails = Some(error);
        self
    }

    fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap() + "\n"
    }
}

/// A case whose randomness its name decides.
fn case(name: &'static str, about: &'static str, make: impl FnOnce() -> Case) -> Case {
    Case {
        name,
        about,
        ..with_fixed_randomness(name, make)
    }
}

fn master_bytes(number: u8) -> [u8; 32] {
    Sha256::digest([b"master key", [number].as_slice()].concat()).into()
}

fn master_id(number: u8) -> KeyId {
    KeyId::from_bytes([0xA0 + number; 16])
}

fn master(number: u8) -> MasterKey {
    MasterKey::taken_from(&mut master_bytes(number)).with_id(master_id(number))
}

fn keyring(number: u8) -> Keyring {
    Keyring::from_master_key(master(number), "vector")
}

/// A cipher of master key `number` that writes short segments.
fn cipher(number: u8) -> EnvelopeCipher {
    let builder = EnvelopeCipher::builder().write_for(keyring(number));
    builder.segment_length(SEGMENT).unwrap().build().unwrap()
}

/// A cipher that moves what master key `from` wrapped to master key `to`.
fn rotated(from: u8, to: u8) -> EnvelopeCipher {
    let keyring = keyring(from);
    keyring.rotate_to(master(to), "vector").unwrap();
    EnvelopeCipher::new(keyring)
}

/// A passphrase as cheap as the format allows.
fn passphrase(text: &str) -> Passphrase {
    let costs = Argon2Costs {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
    Passphrase::new(text).unwrap().with_costs(costs).unwrap()
}

fn context(labels: Pairs, bindings: Pairs) -> Context {
    let mut context = Context::new();
    for (key, value) in labels {
        context = context.label(key, value).unwrap();
    }
    for (key, value) in bindings {
        context = context.bind(key, value).unwrap();
    }
    context
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn owned(pairs: Pairs) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
    pairs.iter().map(owned).collect()
}

/// Long runs of zeros apart from all else.
fn pieces(bytes: &[u8]) -> Vec<Piece> {
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

/// Bytes that repeat with no segment's length.
fn sample(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

fn all() -> Vec<Case> {
    [
        records::cases(),
        layouts::cases(),
        kinds::cases(),
        asked::cases(),
        streams::cases(),
        payload_heads::cases(),
        keyrings::cases(),
        strict_json::cases(),
        histories::cases(),
        evidences::cases(),
        malformed::cases(),
        changed::cases(),
        refused::cases(),
        segments::cases(),
        header_blocks::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Every file of vectors and what stands in it.
fn files() -> Vec<(PathBuf, String)> {
    let path = |name: &str| folder().join(name).with_extension("json");
    let vectors = all();
    for case in &vectors {
        let outcomes = [case.opens.is_some(), case.fails.is_some()];
        assert_ne!(outcomes[0], outcomes[1], "{}", case.name);
    }
    let vectors = vectors.iter().map(|case| (path(case.name), case.json()));
    let permits = permits::cases();
    let permits = permits.iter();
    let permits = permits.map(|case| (path(&format!("evidence/{}", case.name)), case.json()));
    vectors.chain(permits).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

#[test]
#[ignore = "writes the vectors anew; what was published must not change"]
fn write_the_vectors() {
    fs::create_dir_all(folder().join("evidence")).unwrap();
    for (path, json) in files() {
        fs::write(path, json).unwrap();
    }
}

#[test]
fn the_committed_vectors_are_what_this_crate_makes() {
    // The published package carries no vectors; in the repository `tests/vectors.rs` counts them.
    if !folder().exists() {
        return;
    }
    let listed = [folder(), folder().join("evidence")].map(|folder| fs::read_dir(folder).unwrap());
    let paths = listed.into_iter().flatten();
    let mut stale: Vec<_> = paths
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    let files = files();
    assert_eq!(files.len(), stale.len());
    for (path, json) in files {
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == json, "{} is another", path.display());
        stale.retain(|other| *other != path);
    }
    assert!(stale.is_empty(), "made by nothing: {stale:?}");
}
