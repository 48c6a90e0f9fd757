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
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use phi_envelope::{
    Context, DecryptReader, Envelope, EnvelopeCipher, Error, Keyring, KeyringFile, MasterKey,
    Passphrase, inspect,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

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
    pub(crate) text: Option<String>,
    #[serde(default)]
    pub(crate) master_keys: Vec<Master>,
    #[serde(default)]
    pub(crate) passphrases: Vec<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) bindings: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) opens: Option<Opens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) header_damage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fails: Option<String>,
}

#[derive(Deserialize, Serialize)]
pub(crate) struct Bytes(Vec<Piece>);

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
}

#[derive(Deserialize, Serialize, PartialEq, Debug)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Opens {
    Plaintext { plaintext: String },
    Digest { sha256: String, length: usize },
    Keys { keys: Vec<HeldKey> },
}

#[derive(Deserialize, Serialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeldKey {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) state: String,
    pub(crate) created: u64,
    pub(crate) changed: u64,
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
            ("stream-inline", None) => self.as_stream(|cipher, context| {
                cipher.decrypt_reader(Cursor::new(&envelope), context)
            }),
            ("stream-detached", None) => self.as_stream(|cipher, context| {
                cipher.decrypt_reader_detached(&header, Cursor::new(&envelope), context)
            }),
            ("keyring-file", None) => vec![self.as_keyring_file(&envelope)],
            (call, _) => panic!("no such call: {call}"),
        }
    }

    fn as_record(&self, envelope: &[u8]) -> Vec<Outcome> {
        let (cipher, context) = (self.cipher(), self.context());
        let mut outcomes = vec![
            cipher.decrypt(envelope, &context).map(|it| digested(&it)),
            cipher
                .decrypt_in_place(envelope.to_vec(), &context)
                .map(|it| digested(&it)),
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
        let plaintext = self.cipher().decrypt(&envelope, &self.context())?;
        Ok(digested(&plaintext))
    }

    fn as_stream<R: Read>(
        &self,
        open: impl Fn(&EnvelopeCipher, &Context) -> Result<DecryptReader<R>, Error>,
    ) -> Vec<Outcome> {
        let (cipher, context) = (self.cipher(), self.context());
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
            open(&cipher, &context).and_then(|reader| drain(reader, 1 << 20)),
            open(&cipher, &context).and_then(|reader| drain(reader, 7)),
            open(&cipher, &context).and_then(|reader| drain(reader.single_threaded(), 1000)),
        ]
    }

    fn as_keyring_file(&self, file: &[u8]) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vector.keyring");
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path).unwrap().write_all(file).unwrap();
        let keyring = KeyringFile::open(&path, self.cipher())?.keyring();
        Ok((Opens::listed(&keyring), None))
    }

    fn cipher(&self) -> EnvelopeCipher {
        let mut builder = EnvelopeCipher::builder();
        for Master { id, key } in &self.master_keys {
            let key = MasterKey::from_base64(key)
                .unwrap()
                .with_id(id.parse().unwrap());
            builder = builder.read_with(Keyring::from_master_key(key, "vector"));
        }
        for passphrase in &self.passphrases {
            builder = builder.read_with(Passphrase::new(passphrase).unwrap());
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

impl Opens {
    /// The keys that a keyring lists.
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
        Self::Keys {
            keys: keys.collect(),
        }
    }
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
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
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
        Error::Malformed(rule) => within("malformed", rule),
        Error::ContextMismatch(mismatch) => within("context-mismatch", mismatch),
        Error::AuthenticationFailed(part) => within("authentication-failed", part),
        Error::LimitExceeded(limit) => within("limit-exceeded", limit),
        other => format!("not an outcome of a vector: {other}"),
    }
}

/// `Keyring(ActiveKeys)` as `keyring/active-keys`, and `Segment(3)` as `segment`.
fn kebab(name: &str) -> String {
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
