//! The frozen vectors in `tests/vectors`: what makes them, and the proof that it still makes the same bytes.

mod asked;
mod changed;
mod craft;
mod evidences;
mod fallback;
mod header_blocks;
mod histories;
mod key_ids;
mod keyring_contents;
mod keyrings;
mod kinds;
mod layouts;
mod malformed;
mod payload_heads;
mod permits;
mod records;
mod refused;
mod segments;
mod shape;
mod streams;
mod strict_json;

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use shape::{Case, FAR, Least, NEAR, Opens, Pairs, Service, case, hex, pieces};

use crate::envelope::{Context, EnvelopeCipher};
use crate::error::KeyId;
use crate::keys::{Argon2Costs, Keyring, MasterKey, Passphrase};

const NOTE: &[u8] = b"BP 120/80 mmHg, pulse 64/min";
const PASSPHRASE: &str = "correct horse battery staple";
const SEGMENT: u32 = 4096;

fn master_bytes(number: u8) -> [u8; 32] {
    Sha256::digest([b"master key", [number].as_slice()].concat()).into()
}

fn master_id(number: u8) -> KeyId {
    KeyId::from_bytes([0xA0 + number; 16])
}

fn master(number: u8) -> MasterKey {
    MasterKey::from_bytes_zeroizing(&mut master_bytes(number)).with_id(master_id(number))
}

fn keyring(number: u8) -> Keyring {
    Keyring::from_master_key(master(number), "vector")
}

/// A cipher of master key `number` that writes short segments.
fn cipher(number: u8) -> EnvelopeCipher {
    let builder = EnvelopeCipher::builder().encrypt_for(keyring(number));
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

/// Bytes that repeat with no segment's length.
fn sample(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

fn all() -> Vec<Case> {
    [
        records::cases(),
        layouts::cases(),
        key_ids::cases(),
        kinds::cases(),
        asked::cases(),
        fallback::cases(),
        streams::cases(),
        payload_heads::cases(),
        keyrings::cases(),
        keyring_contents::cases(),
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
