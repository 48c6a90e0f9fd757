//! One case of `tests/vectors`, read as anyone outside would read it. `tests/vectors/README.md` says what its fields mean.

// Each test file uses a part of its own, and a test stops where something is not as it says.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Cursor, Read, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use phi_envelope::{
    Context, DecryptReader, Envelope, EnvelopeCipher, Error, Keyring, KeyringFile, MasterKey,
    Passphrase, archive::Evidence, inspect,
};
use serde::{Deserialize, Serialize};

pub(crate) use outcome::{Opens, Outcome, digested, name_of};
use outcome::{hex, inspected, kebab};
use service::{Played, Service};

#[path = "outcome.rs"]
mod outcome;
#[path = "service.rs"]
mod service;

#[derive(Deserialize, Serialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vector {
    pub(crate) about: String,
    pub(crate) call: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) header: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) envelope: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seen: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) least: Option<Least>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(default)]
    pub(crate) master_keys: Vec<Master>,
    #[serde(default)]
    pub(crate) services: Vec<Service>,
    #[serde(default)]
    pub(crate) passphrases: Vec<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) bindings: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) opens: Option<Opens>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) asked: BTreeMap<String, u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) header_damage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fails: Option<String>,
}

#[derive(Deserialize, Serialize)]
pub(crate) struct Bytes(Vec<Piece>);

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Least {
    pub(crate) revision: u64,
    pub(crate) data_key_revision: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum Piece {
    Base64(String),
    Zeros(usize),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Master {
    pub(crate) id: String,
    pub(crate) key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
}

/// Checks every case of a folder and counts them.
pub(crate) fn check_all(folder: &Path) -> usize {
    check_each(folder, Vector::check)
}

/// Checks every case of a folder with `check` and counts them.
pub(crate) fn check_each(folder: &Path, check: fn(&Vector) -> Result<(), String>) -> usize {
    let mut read = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let json = fs::read(&path).unwrap();
        let vector: Vector = serde_json::from_slice(&json)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if let Err(difference) = check(&vector) {
            let name = path.file_stem().unwrap().to_string_lossy();
            wrong.push(format!("{name} ({}): {difference}", vector.about));
        }
        read += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    read
}

impl Vector {
    /// Opens the vector in every way there is, each of which must come to the outcome that it states.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.compare(|stated, error| stated == name_of(error))
    }

    /// As [`check`](Self::check), but where it must fail it may fail by any error.
    pub(crate) fn check_verdict(&self) -> Result<(), String> {
        self.compare(|_, _| true)
    }

    fn compare(&self, same: impl Fn(&str, &Error) -> bool) -> Result<(), String> {
        for outcome in self.outcomes() {
            let expected = (&self.opens, &self.header_damage, &self.fails);
            match (outcome, expected) {
                (Ok((opened, damage)), (Some(opens), expected_damage, None))
                    if opened == *opens && damage == *expected_damage => {}
                (Err(error), (None, None, Some(fails))) if same(fails, &error) => {}
                (Ok(opened), _) => return Err(format!("opened as {opened:?}")),
                (Err(error), _) => return Err(format!("{} ({error:?})", name_of(&error))),
            }
        }
        Ok(())
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let envelope = self
            .envelope
            .as_ref()
            .map(Bytes::decode)
            .unwrap_or_default();
        let header = self.header.as_ref().map(Bytes::decode).unwrap_or_default();
        match (self.call.as_str(), &self.text) {
            ("text", Some(text)) => vec![self.as_text(text)],
            ("record", None) => self.as_record(&envelope),
            ("inspect", None) => vec![inspected(&envelope)],
            ("stream-inline", None) => self.as_stream(|cipher, context| {
                cipher.decrypt_reader(Cursor::new(&envelope), context)
            }),
            ("stream-detached", None) => self.as_stream(|cipher, context| {
                cipher.decrypt_reader_detached(&header, Cursor::new(&envelope), context)
            }),
            ("evidence-file", None) => vec![self.as_evidence_file(&envelope)],
            ("keyring-file", None) => self.as_keyring_file(&envelope),
            (call, _) => panic!("no such call: {call}"),
        }
    }

    fn as_record(&self, envelope: &[u8]) -> Vec<Outcome> {
        let context = self.context();
        let mut outcomes = vec![
            self.with_cipher(|cipher| Ok(digested(&cipher.decrypt(envelope, &context)?))),
            self.with_cipher(|cipher| {
                let opened = cipher.decrypt_in_place(envelope.to_vec(), &context)?;
                Ok(digested(&opened))
            }),
        ];
        // What is wrong with the bytes alone shows without a key.
        if let (Err(inspected), [Err(_), _]) = (inspect(envelope), &outcomes[..]) {
            outcomes.push(Err(inspected));
        } else if self.opens.is_some() {
            inspect(envelope).unwrap();
        }
        outcomes
    }

    fn as_text(&self, text: &str) -> Outcome {
        let envelope: Envelope = text.parse()?;
        assert_eq!(envelope.to_string(), text);
        self.with_cipher(|cipher| Ok(digested(&cipher.decrypt(&envelope, &self.context())?)))
    }

    fn as_stream<R: Read>(
        &self,
        open: impl Fn(&EnvelopeCipher, &Context) -> Result<DecryptReader<R>, Error>,
    ) -> Vec<Outcome> {
        let context = self.context();
        let drain = |mut reader: DecryptReader<R>, step: usize| {
            let damage = reader
                .header_damage()
                .map(|damage| kebab(&format!("{damage:?}")));
            let (mut plaintext, mut piece) = (Vec::new(), vec![0; step]);
            loop {
                match reader.read(&mut piece)? {
                    0 => break Ok((digested(&plaintext).0, damage)),
                    len => plaintext.extend_from_slice(&piece[..len]),
                }
            }
        };
        vec![
            self.with_cipher(|cipher| drain(open(cipher, &context)?, 1 << 20)),
            self.with_cipher(|cipher| drain(open(cipher, &context)?, 7)),
            self.with_cipher(|cipher| drain(open(cipher, &context)?.single_threaded(), 1000)),
        ]
    }

    fn as_keyring_file(&self, file: &[u8]) -> Vec<Outcome> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vector.keyring");
        let listed = |file: KeyringFile| Ok((Opens::listed(&file.keyring()), None));
        let Some(seen) = &self.seen else {
            put(&path, file);
            return vec![self.with_cipher(|cipher| {
                let mut options = KeyringFile::options();
                if let Some(least) = &self.least {
                    options = options
                        .min_revision(least.revision)
                        .min_data_key_revision(least.data_key_revision);
                }
                listed(options.open(&path, cipher.clone())?)
            })];
        };
        // By the process that has seen the file, and by another that its owner has told of it.
        let (seen, open) = (seen.decode(), |cipher: &EnvelopeCipher| {
            KeyringFile::open(&path, cipher.clone()).unwrap()
        });
        let reloaded = self.with_cipher(|cipher| {
            put(&path, &seen);
            let known = open(cipher);
            put(&path, file);
            known.reload()?;
            listed(known)
        });
        let pinned = self.with_cipher(|cipher| {
            put(&path, &seen);
            let pin = open(cipher).pin();
            put(&path, file);
            let options = KeyringFile::options().pin(pin);
            listed(options.open(&path, cipher.clone())?)
        });
        vec![reloaded, pinned]
    }

    fn as_evidence_file(&self, file: &[u8]) -> Outcome {
        self.with_cipher(|cipher| {
            let evidence = Evidence::open(cipher, file)?;
            let opened = Opens::Evidence {
                keyring: evidence.keyring.map(|keyring| hex(&keyring.id)),
                revision: evidence.keyring.map(|keyring| keyring.revision),
                scheme: evidence.key.scheme,
                key_id: hex(&evidence.key.key_id),
                began: evidence.began,
                places: evidence.places.len(),
                findings: evidence.findings.len(),
                in_use: evidence.in_use,
            };
            Ok((opened, None))
        })
    }

    /// Opens with a cipher that remembers nothing yet, and looks how often the services were asked.
    fn with_cipher(&self, open: impl FnOnce(&EnvelopeCipher) -> Outcome) -> Outcome {
        let services: Vec<_> = self.services.iter().cloned().map(Played::new).collect();
        let outcome = open(&self.cipher(&services));
        for service in services {
            if let Some(expected) = self.asked.get(&service.says.name) {
                let asked = service.asked.load(Ordering::Relaxed);
                if asked != *expected {
                    // An error that is the outcome of no vector.
                    let difference = format!("{} was asked {asked} times", service.says.name);
                    return Err(std::io::Error::other(difference).into());
                }
            }
        }
        outcome
    }

    fn cipher(&self, services: &[Arc<Played>]) -> EnvelopeCipher {
        let mut builder = EnvelopeCipher::builder();
        for master in &self.master_keys {
            builder = builder.decrypt_with(master.keyring());
        }
        for service in services {
            builder = builder.decrypt_with(service.clone());
        }
        for passphrase in &self.passphrases {
            builder = builder.decrypt_with(Passphrase::new(passphrase).unwrap());
        }
        builder.build().unwrap()
    }

    fn context(&self) -> Context {
        let mut context = Context::new();
        for (key, value) in &self.labels {
            context = context.label(key, value).unwrap();
        }
        for (key, value) in &self.bindings {
            context = context.bind(key, value).unwrap();
        }
        context
    }
}

impl Master {
    pub(crate) fn keyring(&self) -> Keyring {
        let id = self.id.parse().unwrap();
        let key = MasterKey::from_base64(&self.key).unwrap().with_id(id);
        let keyring = Keyring::from_master_key(key, "vector");
        match self.state.as_deref() {
            None => {}
            Some("suspended") => {
                keyring.rotate("another").unwrap();
                keyring.suspend(id).unwrap();
            }
            Some(state) => panic!("no such state of a vector's key: {state}"),
        }
        keyring
    }
}

/// Puts a file in its place, as whoever replaces it does.
fn put(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&new).unwrap().write_all(bytes).unwrap();
    fs::rename(new, path).unwrap();
}

impl Bytes {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(vec![Piece::Base64(STANDARD.encode(bytes))])
    }

    pub(crate) fn decode(&self) -> Vec<u8> {
        let decoded = |piece: &Piece| match piece {
            Piece::Base64(text) => STANDARD.decode(text).unwrap(),
            Piece::Zeros(count) => vec![0; *count],
        };
        self.0.iter().flat_map(decoded).collect()
    }
}
