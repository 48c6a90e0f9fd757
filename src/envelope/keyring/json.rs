//! FORMAT §9.2: the content of a keyring's file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::recipients::check_texts;
use crate::error::{KeyId, KeyState, Malformed, MalformedKeyring, Result};
use crate::format::json::{self, JsonFault, Object};
use crate::keys::{CHAIN, Entry, Journal, KeyInfo, KeyringTransaction, LEASES, MasterKey};
use crate::secret::on_cleared_stack;

/// Every field of the top and of the keys that this version knows.
const KNOWN: [&str; 16] = [
    "id",
    "revision",
    "lease",
    "lease_changed",
    "before",
    "keys",
    "recipients",
    "index_keys",
    "label",
    "state",
    "created",
    "changed",
    "key",
    "evidence",
    "number",
    "critical",
];

/// The keyring that JSON describes. Fields that this version does not know are kept.
pub(super) fn parse(json: &[u8]) -> Result<KeyringTransaction> {
    on_cleared_stack(|| parse_keyring(json))
}

/// The JSON of a keyring.
pub(super) fn write(keyring: &KeyringTransaction) -> Result<Zeroizing<Vec<u8>>> {
    on_cleared_stack(|| write_keyring(keyring))
}

fn parse_keyring(json: &[u8]) -> Result<KeyringTransaction> {
    let mut fields = json::read(json, &KNOWN).map_err(fault)?;
    let keys = fields.objects("keys").map_err(fault)?;
    let entries = keys.into_iter().map(parse_entry).collect::<Result<_>>()?;
    KeyringTransaction::from_entries(entries, parse_journal(fields)?)
}

fn parse_journal(mut fields: Object) -> Result<Journal> {
    let id = *fields.bytes::<16>("id").map_err(fault)?;
    let revision = fields.integer("revision").map_err(fault)?;
    let lease = fields
        .optional("lease", Object::integer)
        .map_err(fault)?
        .unwrap_or(900);
    if !LEASES.contains(&lease) {
        return Err(rule(MalformedKeyring::Lease).into());
    }
    let lease_changed = fields.optional("lease_changed", time).map_err(fault)?;
    // FORMAT §9.2, Chain: exactly min(64, revision − 1) elements, else malformed.
    let before = fields.array("before").map_err(fault)?;
    let wanted = revision
        .checked_sub(1)
        .map(|before| before.min(CHAIN as u64));
    if wanted != Some(before.len() as u64) {
        return Err(rule(MalformedKeyring::Before).into());
    }
    let digest = |value: &Value| {
        let text = value.as_str().ok_or(JsonFault::Malformed)?;
        json::decode::<32>(text).map(|digest| *digest)
    };
    let before = before.iter().map(digest).collect::<Result<_, _>>();
    let recipients = fields.optional("recipients", texts).map_err(fault)?;
    let recipients = recipients.unwrap_or_default();
    check_texts(&recipients)?;
    check_index_keys(&fields)?;
    Ok(Journal {
        id,
        revision,
        lease: Duration::from_secs(lease),
        lease_changed,
        before: before.map_err(fault)?,
        recipients,
        unknown: fields,
        ..Journal::default()
    })
}

fn write_keyring(keyring: &KeyringTransaction) -> Result<Zeroizing<Vec<u8>>> {
    let journal = &keyring.journal;
    let mut fields = journal.unknown.clone();
    let keys = keyring.entries().iter().map(write_entry).collect();
    fields.put("version", 1);
    fields.put("id", json::encode(&journal.id));
    fields.put("revision", journal.revision);
    fields.put("lease", journal.lease.as_secs());
    if let Some(changed) = journal.lease_changed {
        fields.put("lease_changed", seconds(changed));
    }
    let before = journal
        .before
        .iter()
        .map(|digest| json::encode(digest).into());
    fields.put("before", Value::Array(before.collect()));
    if !journal.recipients.is_empty() {
        fields.put("recipients", json!(journal.recipients));
    }
    fields.put("keys", Value::Array(keys));
    Ok(fields.to_json().map_err(fault)?)
}

fn parse_entry(mut fields: Object) -> Result<Entry> {
    let id = KeyId::from_bytes(*fields.bytes("id").map_err(fault)?);
    let key = fields.or_null("key", Object::text).map_err(fault)?;
    let key = key
        .map(|text| MasterKey::from_base64_strict(&text).map(|key| key.with_id(id).into()))
        .transpose()?;
    let evidence = fields.optional("evidence", Object::bytes::<32>);
    let info = KeyInfo {
        id,
        label: fields.text("label").map_err(fault)?.to_string(),
        state: state(&mut fields).map_err(fault)?,
        created: time(&mut fields, "created").map_err(fault)?,
        changed: time(&mut fields, "changed").map_err(fault)?,
        evidence: evidence.map_err(fault)?.map(|digest| *digest),
    };
    // FORMAT §9.2: `evidence` stands only where the key is destroyed.
    if info.evidence.is_some() && info.state != KeyState::Destroyed {
        return Err(rule(MalformedKeyring::Material).into());
    }
    Ok(Entry {
        info,
        key,
        unknown: fields,
    })
}

fn write_entry(entry: &Entry) -> Value {
    let info = &entry.info;
    let mut fields = entry.unknown.clone();
    let key = entry.key.as_ref();
    let key = key.map(|key| json::encode(key.secret().as_bytes()));
    fields.put("id", json::encode(info.id.as_bytes()));
    fields.put("label", info.label.as_str());
    fields.put("state", json!(info.state));
    fields.put("created", seconds(info.created));
    fields.put("changed", seconds(info.changed));
    fields.put("key", key.map_or(Value::Null, Value::String));
    if let Some(digest) = info.evidence {
        fields.put("evidence", json::encode(&digest));
    }
    fields.into_value()
}

// FORMAT §11: index keys. Their contents are a later crate's; what a reader must know of them holds for all of them.
fn check_index_keys(fields: &Object) -> Result<()> {
    let mut fields = fields.clone();
    let keys = fields
        .optional("index_keys", Object::objects)
        .map_err(fault)?;
    let (mut numbers, mut ids, mut active) = (Vec::new(), Vec::new(), 0);
    for mut key in keys.unwrap_or_default() {
        let mut look = || {
            ids.push(*key.bytes::<16>("id")?);
            numbers.push(key.integer("number")?);
            key.text("label")?;
            let state = key.text("state")?;
            time(&mut key, "created")?;
            time(&mut key, "changed")?;
            let is_there = key.or_null("key", Object::bytes::<32>)?.is_some();
            active += usize::from(*state == "active");
            Ok(match state.as_str() {
                "active" | "previous" => is_there,
                "destroyed" => !is_there,
                _ => false,
            })
        };
        if !look().map_err(fault)? {
            return Err(rule(MalformedKeyring::IndexKeys).into());
        }
    }
    let is_number = |number: &u64| (1..=255).contains(number);
    if active > 1 || !numbers.iter().all(is_number) || repeats(&mut numbers) || repeats(&mut ids) {
        return Err(rule(MalformedKeyring::IndexKeys).into());
    }
    Ok(())
}

fn repeats<T: Ord>(all: &mut [T]) -> bool {
    all.sort_unstable();
    all.windows(2).any(|pair| pair.first() == pair.last())
}

fn texts(fields: &mut Object, name: &str) -> Result<Vec<String>, JsonFault> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let texts = fields.array(name)?.iter().map(text).collect();
    Option::ok_or(texts, JsonFault::Malformed)
}

fn state(fields: &mut Object) -> Result<KeyState, JsonFault> {
    let state = fields.text("state")?.to_string();
    serde_json::from_value(Value::String(state)).map_err(|_| JsonFault::Malformed)
}

// FORMAT §9.1: times are unix seconds.
fn time(fields: &mut Object, name: &str) -> Result<SystemTime, JsonFault> {
    let since = Duration::from_secs(fields.integer(name)?);
    UNIX_EPOCH.checked_add(since).ok_or(JsonFault::Malformed)
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

fn fault(fault: JsonFault) -> Malformed {
    rule(match fault {
        JsonFault::Malformed => MalformedKeyring::Json,
        JsonFault::Newer => MalformedKeyring::Version,
    })
}

fn rule(rule: MalformedKeyring) -> Malformed {
    Malformed::Keyring(rule)
}
