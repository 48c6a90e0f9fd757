//! FORMAT §9: the content of a keyring's file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::{KeyId, KeyringRule, Malformed, Result};
use crate::keys::{Entry, KeyInfo, KeyringEdit, MasterKey};
use crate::secret::on_cleared_stack;

/// More than one key takes, unknown fields aside.
const ENTRY_ROOM: usize = 1024;

/// The keyring that JSON describes. Fields that this version does not know are kept.
pub(super) fn parse(json: &[u8]) -> Result<KeyringEdit> {
    on_cleared_stack(|| parse_keyring(json))
}

/// The JSON of a keyring.
pub(super) fn write(keyring: &KeyringEdit) -> Result<Zeroizing<Vec<u8>>> {
    on_cleared_stack(|| write_keyring(keyring))
}

fn parse_keyring(json: &[u8]) -> Result<KeyringEdit> {
    let mut fields = Erased(serde_json::from_slice(json).map_err(|_| rule(KeyringRule::Json))?);
    let fields = &mut fields.0;
    match fields
        .remove("version")
        .and_then(|version| version.as_u64())
    {
        Some(1) => {}
        Some(_) => return Err(rule(KeyringRule::Version).into()),
        None => return Err(rule(KeyringRule::Json).into()),
    }
    let Some(Value::Array(keys)) = fields.get_mut("keys") else {
        return Err(rule(KeyringRule::Json).into());
    };
    let entries = keys.iter_mut().map(parse_entry).collect::<Result<_>>()?;
    fields.remove("keys");
    KeyringEdit::from_entries(entries, std::mem::take(fields))
}

fn write_keyring(keyring: &KeyringEdit) -> Result<Zeroizing<Vec<u8>>> {
    let mut fields = Erased(keyring.unknown.clone());
    let keys = keyring.entries().iter().map(write_entry).collect();
    fields.0.insert("version".to_owned(), json!(1));
    fields.0.insert("keys".to_owned(), Value::Array(keys));
    // Room enough that the bytes are never moved, which would leave a copy behind.
    let room = serde_json::to_vec(&keyring.unknown).map_or(0, |unknown| unknown.len())
        + keyring.entries().iter().map(room_of).sum::<usize>()
        + ENTRY_ROOM;
    let mut json = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *json, &fields.0).map_err(|_| rule(KeyringRule::Json))?;
    Ok(json)
}

fn parse_entry(value: &mut Value) -> Result<Entry> {
    let Value::Object(fields) = value else {
        return Err(rule(KeyringRule::Json).into());
    };
    let key_text = match fields.remove("key") {
        Some(Value::String(text)) => Some(Zeroizing::new(text)),
        Some(Value::Null) => None,
        _ => return Err(rule(KeyringRule::Json).into()),
    };
    let mut text = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(rule(KeyringRule::Json)),
    };
    let (id, label, state) = (text("id")?, text("label")?, text("state")?);
    let mut time = |name: &str| {
        fields
            .remove(name)
            .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds.as_u64()?)))
            .ok_or(rule(KeyringRule::Json))
    };
    let (created, changed) = (time("created")?, time("changed")?);
    let id = STANDARD
        .decode(id)
        .ok()
        .and_then(|id| id.try_into().ok())
        .map(KeyId::from_bytes)
        .ok_or(rule(KeyringRule::Json))?;
    let state =
        serde_json::from_value(Value::String(state)).map_err(|_| rule(KeyringRule::Json))?;
    let key = key_text
        .map(|text| MasterKey::from_base64(&text).map(|key| key.with_id(id).into()))
        .transpose()?;
    // What is no digest is kept like a field of a later version: no reason to be without the keys.
    let evidence = fields.get("evidence").and_then(digest);
    if evidence.is_some() {
        fields.remove("evidence");
    }
    let info = KeyInfo {
        id,
        label,
        state,
        created,
        changed,
        evidence,
    };
    Ok(Entry {
        info,
        key,
        unknown: std::mem::take(fields),
    })
}

/// The SHA-256 of a key's evidence.
fn digest(value: &Value) -> Option<[u8; 32]> {
    STANDARD.decode(value.as_str()?).ok()?.try_into().ok()
}

fn write_entry(entry: &Entry) -> Value {
    let info = &entry.info;
    let key = entry
        .key
        .as_ref()
        .map(|key| STANDARD.encode(key.secret().as_bytes()));
    let mut fields = entry.unknown.clone();
    fields.extend([
        ("id".to_owned(), json!(STANDARD.encode(info.id.as_bytes()))),
        ("label".to_owned(), json!(info.label)),
        ("state".to_owned(), json!(info.state)),
        ("created".to_owned(), json!(seconds(info.created))),
        ("changed".to_owned(), json!(seconds(info.changed))),
        ("key".to_owned(), key.map_or(Value::Null, Value::String)),
    ]);
    if let Some(digest) = info.evidence {
        fields.insert("evidence".to_owned(), json!(STANDARD.encode(digest)));
    }
    Value::Object(fields)
}

fn room_of(entry: &Entry) -> usize {
    // A character of a label takes up to 6 bytes in JSON.
    let unknown = serde_json::to_vec(&entry.unknown).map_or(0, |unknown| unknown.len());
    ENTRY_ROOM + 6 * entry.info.label.len() + unknown
}

/// The fields of a keyring's content, whose keys are erased when it is dropped.
struct Erased(Map<String, Value>);

impl Drop for Erased {
    fn drop(&mut self) {
        let Some(Value::Array(keys)) = self.0.get_mut("keys") else {
            return;
        };
        for key in keys {
            if let Some(Value::String(text)) = key.get_mut("key") {
                text.zeroize();
            }
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn rule(rule: KeyringRule) -> Malformed {
    Malformed::Keyring(rule)
}
