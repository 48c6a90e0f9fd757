//! Keyrings' files that hold anything, as whoever has the protection can write them.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::json as keyring_json;
use crate::envelope::own_file::NewOwnFile;
use crate::envelope::{Context, EnvelopeCipher, KeyringFile};
use crate::error::{EnvelopeKind, Error, Malformed, MalformedKeyring, Result};
use crate::format::json;
use crate::keys::{Keyring, MasterKey};

pub(super) struct Scene {
    _folder: tempfile::TempDir,
    pub(super) path: PathBuf,
}

impl Scene {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            path: folder.path().join("ehr.keyring"),
            _folder: folder,
        }
    }

    fn write(&self, content: impl AsRef<[u8]>, number: u64) {
        let nothing = Context::new();
        let new = NewOwnFile {
            kind: EnvelopeKind::Keyring,
            generation: 4,
            revision: Some(number),
            context: &nothing,
        };
        let sealed = outer().seal_own(&new, content.as_ref()).unwrap();
        let mut options = std::fs::File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path).unwrap();
        std::io::Write::write_all(&mut file, &sealed).unwrap();
    }

    fn open(&self) -> Result<KeyringFile> {
        KeyringFile::open(&self.path, outer())
    }

    fn read(&self) -> Value {
        let bytes = std::fs::read(&self.path).unwrap();
        let own = outer().open_own(EnvelopeKind::Keyring, &bytes, &Context::new());
        serde_json::from_slice(&own.unwrap().content).unwrap()
    }

    fn rule(&self, content: impl AsRef<[u8]>) -> MalformedKeyring {
        self.write(content, 1);
        match self.open() {
            Err(Error::Malformed(Malformed::Keyring(rule))) => rule,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn outer() -> EnvelopeCipher {
    let key = MasterKey::from_bytes_zeroizing(&mut [9; 32]);
    EnvelopeCipher::new(Keyring::from_master_key(key, "outer"))
}

fn entry(id: u8, state: &str, key: Option<u8>) -> Value {
    json!({
        "id": json::encode(&[id; 16]),
        "label": format!("key {id}"),
        "state": state,
        "created": 1_700_000_000,
        "changed": 1_700_000_001,
        "key": key.map(|byte| json::encode(&[byte; 32])),
    })
}

fn keyring(keys: &[Value]) -> Value {
    json!({"version": 1, "id": json::encode(&[7; 16]), "revision": 1, "before": [], "keys": keys})
}

fn with(name: &str, value: Value) -> String {
    let mut content = keyring(&[entry(1, "active", Some(1))]);
    content[name] = value;
    content.to_string()
}

#[test]
fn a_crafted_file_of_every_state_opens() {
    let scene = Scene::new();
    let mut destroyed = entry(1, "destroyed", None);
    destroyed["evidence"] = json!(json::encode(&[5; 32]));
    let keys = [
        destroyed,
        entry(2, "compromised", Some(2)),
        entry(3, "suspended", Some(3)),
        entry(4, "deactivated", Some(4)),
        entry(5, "active", Some(5)),
    ];
    scene.write(keyring(&keys).to_string(), 1);
    let file = scene.open().unwrap();
    let keys = file.keyring().keys();
    let states: Vec<_> = keys.iter().map(|key| key.state.to_string()).collect();
    let wanted = [
        "destroyed",
        "compromised",
        "suspended",
        "deactivated",
        "active",
    ];
    assert_eq!(states, wanted);
    assert_eq!(
        (keys[1].label.as_str(), keys[0].evidence),
        ("key 2", Some([5; 32]))
    );
    // FORMAT §9.2: 900 seconds if absent.
    assert_eq!((file.id(), file.revision()), ([7; 16], 1));
    assert_eq!(
        (file.lease(), file.lease_changed()),
        (Duration::from_secs(900), None)
    );
}

#[test]
fn fields_that_this_version_does_not_know_are_kept_but_those_of_destroyed_keys() {
    let scene = Scene::new();
    let mut old = entry(1, "deactivated", Some(11));
    old["copy"] = json!("of the key");
    let mut active = entry(2, "active", Some(12));
    active["future"] = json!({"nested": [1, null, "text"]});
    let mut content = keyring(&[old, active]);
    content["policy"] = json!({"rotate": "yearly"});
    content["a"] = Value::Null;
    content["critical"] = json!(["lease"]);
    let more = json!([{"id": 1, "key": json::encode(&[77; 32])}]);
    content["session_keys"] = more.clone();
    scene.write(content.to_string(), 1);

    let file = scene.open().unwrap();
    // What is unknown may be secret.
    assert!(!format!("{file:?}").contains(&json::encode(&[77; 32])));
    file.update(|keys| keys.rotate("third")).unwrap();
    let id = crate::error::KeyId::from_bytes([1; 16]);
    file.update(|keys| keys.destroy_without_evidence(id))
        .unwrap();
    let kept = scene.read();
    for (name, value) in [
        ("policy", content["policy"].clone()),
        ("a", Value::Null),
        ("critical", json!(["lease"])),
        ("session_keys", more),
    ] {
        assert_eq!(kept.get(name), Some(&value), "{name}");
    }
    assert_eq!(kept["keys"][1]["future"], content["keys"][1]["future"]);
    // FORMAT §9.2: when a key is destroyed, its entry's unknown fields are erased.
    let fields: Vec<_> = kept["keys"][0].as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        ["changed", "created", "id", "key", "label", "state"]
    );
    assert_eq!(kept["keys"][0]["key"], Value::Null);
    assert_eq!(
        (&kept["revision"], kept["before"].as_array().unwrap().len()),
        (&json!(3), 2)
    );
}

#[test]
fn the_chain_holds_64_revisions_and_each_fits() {
    let scene = Scene::new();
    KeyringFile::create(&scene.path, "first", outer()).unwrap();
    let file = scene.open().unwrap();
    for lease in 1..70 {
        let lease = Duration::from_secs(lease);
        file.update(|keys| keys.set_lease(lease)).unwrap();
    }
    let content = scene.read();
    assert_eq!(
        (&content["revision"], &content["lease"]),
        (&json!(70), &json!(69))
    );
    assert_eq!(content["before"].as_array().unwrap().len(), 64);
    assert!(content["lease_changed"].is_u64());
    assert_eq!(file.pin(), scene.open().unwrap().pin());
}

#[test]
fn a_content_that_is_no_keyring_is_refused_with_its_rule() {
    let scene = Scene::new();
    let active = || entry(1, "active", Some(1));
    let old = |id| entry(id, "deactivated", Some(id));
    let of = |keys: &[Value]| keyring(keys).to_string();
    for (rule, content) in [
        (
            MalformedKeyring::ActiveKeys,
            of(&[active(), entry(2, "active", Some(2))]),
        ),
        (MalformedKeyring::ActiveKeys, of(&[old(1)])),
        (MalformedKeyring::ActiveKeys, of(&[])),
        (
            MalformedKeyring::DuplicateId,
            of(&[old(2), active(), old(2)]),
        ),
        (
            MalformedKeyring::Material,
            of(&[active(), entry(2, "destroyed", Some(2))]),
        ),
        (MalformedKeyring::Material, of(&[entry(1, "active", None)])),
        (
            MalformedKeyring::Material,
            of(&[active(), entry(2, "suspended", None)]),
        ),
        (MalformedKeyring::Version, with("version", json!(2))),
        (
            MalformedKeyring::Version,
            with("critical", json!(["quorum"])),
        ),
        (MalformedKeyring::Json, with("keys", json!({}))),
        (MalformedKeyring::Json, with("keys", json!([1]))),
        (
            MalformedKeyring::Json,
            with("id", json!(json::encode(&[1; 15]))),
        ),
        (MalformedKeyring::Json, with("revision", json!(-1))),
        (MalformedKeyring::Json, with("revision", json!("1"))),
        (MalformedKeyring::Json, with("x", json!(0.5))),
        (MalformedKeyring::Json, with("lease", Value::Null)),
        (MalformedKeyring::Json, with("lease_changed", json!("now"))),
        (MalformedKeyring::Json, with("before", Value::Null)),
        (MalformedKeyring::Lease, with("lease", json!(0))),
        (MalformedKeyring::Lease, with("lease", json!(86_401))),
        (MalformedKeyring::Before, with("revision", json!(0))),
        (MalformedKeyring::Before, with("revision", json!(2))),
        (
            MalformedKeyring::Before,
            with("before", json!([json::encode(&[1; 32])])),
        ),
        (
            MalformedKeyring::Recipients,
            with("recipients", json!(["age1xyz"])),
        ),
        (
            MalformedKeyring::Version,
            with("recipients", json!(["phi-recipient:other:AAAA"])),
        ),
        (MalformedKeyring::Json, with("recipients", json!([1]))),
        (
            MalformedKeyring::IndexKeys,
            with("index_keys", json!([index_key(0, "active", true)])),
        ),
        (
            MalformedKeyring::IndexKeys,
            with("index_keys", json!([index_key(256, "active", true)])),
        ),
        (
            MalformedKeyring::IndexKeys,
            with("index_keys", json!([index_key(1, "deactivated", true)])),
        ),
        (
            MalformedKeyring::IndexKeys,
            with("index_keys", json!([index_key(1, "previous", false)])),
        ),
        (
            MalformedKeyring::IndexKeys,
            with(
                "index_keys",
                json!([index_key(1, "active", true), index_key(2, "active", true)]),
            ),
        ),
        (MalformedKeyring::Json, "a keyring, honestly".to_owned()),
        (
            MalformedKeyring::Json,
            format!("\u{feff}{}", of(&[active()])),
        ),
    ] {
        assert_eq!(scene.rule(&content), rule, "{content}");
    }
    // No error shows what stood there.
    let canary = "a canary that is thirty-two long";
    for name in ["id", "label", "state", "created", "changed", "key"] {
        for value in [json!(canary), json!([canary]), json!({ canary: 1 })] {
            let mut key = active();
            key[name] = value;
            scene.write(of(&[key]), 1);
            if let Err(error) = scene.open() {
                assert!(!format!("{error} {error:?}").contains("canary"), "{name}");
            }
        }
    }
    for name in ["id", "label", "state", "created", "changed", "key"] {
        let mut key = active();
        key.as_object_mut().unwrap().remove(name);
        assert_eq!(
            scene.rule(of(&[key])),
            MalformedKeyring::Json,
            "without {name}"
        );
    }
    let mut evidence = active();
    evidence["evidence"] = json!(json::encode(&[1; 32]));
    assert_eq!(scene.rule(of(&[evidence])), MalformedKeyring::Material);
    scene.write(
        with(
            "index_keys",
            json!([
                index_key(1, "destroyed", false),
                index_key(2, "active", true)
            ]),
        ),
        1,
    );
    scene
        .open()
        .unwrap()
        .update(|keys| keys.rotate("second"))
        .unwrap();
    assert_eq!(scene.read()["index_keys"].as_array().unwrap().len(), 2);
}

fn index_key(number: u32, state: &str, is_there: bool) -> Value {
    let id = u8::try_from(number % 256).unwrap();
    json!({"id": json::encode(&[id; 16]), "number": number, "label": "index", "state": state, "created": 1, "changed": 1,
        "key": is_there.then(|| json::encode(&[id; 32]))})
}

#[test]
fn the_number_in_the_data_key_id_is_1_to_the_revision() {
    let scene = Scene::new();
    for number in [0, 2, u64::MAX] {
        scene.write(keyring(&[entry(1, "active", Some(1))]).to_string(), number);
        let refused = scene.open();
        let Err(Error::Malformed(Malformed::Keyring(MalformedKeyring::DataKeyRevision))) = refused
        else {
            panic!("{number}: {refused:?}");
        };
    }
}

#[test]
fn recipients_are_those_that_have_a_slot() {
    let scene = Scene::new();
    // A text without a slot; a slot without a text needs a provider of scheme 0x03, which comes with a later version.
    let text = {
        use base64::Engine as _;
        let key = [7; 1_216];
        let id = crate::crypto::derive::recipient_id(0x647A, &key);
        let bytes = [&key[..], &id[2..6]].concat();
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        format!("phi-recipient:mlkem768-x25519:{text}")
    };
    assert_eq!(
        scene.rule(with("recipients", json!([text]))),
        MalformedKeyring::RecipientsDiffer
    );
    assert_eq!(
        scene.rule(with("recipients", json!([text, text]))),
        MalformedKeyring::Recipients
    );
}

#[test]
fn the_json_is_written_as_the_format_says() {
    let scene = Scene::new();
    KeyringFile::create(&scene.path, "first", outer()).unwrap();
    let content = scene.read();
    let fields: Vec<_> = content.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        ["before", "id", "keys", "lease", "revision", "version"]
    );
    assert_eq!(
        (&content["revision"], &content["lease"]),
        (&json!(1), &json!(900))
    );
    let keys = keyring_json::parse(content.to_string().as_bytes()).unwrap();
    assert_eq!(
        &keyring_json::write(&keys).unwrap()[..],
        content.to_string().as_bytes()
    );
}
