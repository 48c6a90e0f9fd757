//! What a file claims about itself.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use phi_envelope::{
    files::{self, FileInspection},
    header::SlotId,
};
use serde_json::{Value, json};

use crate::files::each;
use crate::output::{Answer, Console, escaped_path, hex};

pub(crate) fn run(console: &Console, files: &[PathBuf]) -> Result<Answer> {
    let mut answer = each(console, "inspect", files, |path| {
        let found = files::inspect(path)?;
        if !found.blocks_alike {
            console.warn(
                path,
                "its header blocks differ, or one is damaged; a rewrap repairs it",
            );
        }
        console.say(format_args!("{}\n{}", escaped_path(path), text(&found)))?;
        Ok(object(&found))
    })?;
    if let Some(fields) = answer.json.as_object_mut() {
        fields.insert("verified".into(), json!(false));
    }
    Ok(answer)
}

fn object(found: &FileInspection) -> Value {
    let header = &found.header;
    let labels = header.labels.iter().map(|(k, v)| (k.clone(), json!(v)));
    let slots = header.slots.iter().map(|slot| {
        json!({
            "scheme": scheme(slot),
            "scheme_number": slot.scheme,
            "key_id": hex(&slot.key_id),
            "name": slot.to_string(),
        })
    });
    json!({
        "kind": header.kind,
        "data_key_id": hex(&header.data_key_id),
        "message_id": header.message_id.as_ref().map(|id| hex(id)),
        "generation": header.generation,
        "labels": labels.collect::<serde_json::Map<_, _>>(),
        "has_bindings": header.has_bindings,
        "slots": slots.collect::<Vec<_>>(),
        "header_bytes": header.header_len,
        "block_length": header.block_length,
        "blocks_alike": found.blocks_alike,
        "segment_length": found.segment_length,
        "plaintext_bytes": found.plaintext_bytes,
        "file_bytes": found.file_bytes,
    })
}

/// Nothing in the file is verified, so its text is escaped: a terminal obeys what it is shown.
fn text(found: &FileInspection) -> String {
    let header = &found.header;
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "  {name:<15} {value}");
    };
    let kind = json!(header.kind);
    line(
        "kind",
        &format_args!("{}, unverified", kind.as_str().unwrap_or_default()),
    );
    line("data key", &hex(&header.data_key_id));
    if let Some(id) = &header.message_id {
        line("message", &hex(id));
    }
    line("generation", &header.generation);
    for (key, value) in &header.labels {
        let pair = format_args!("{} = {}", key.escape_debug(), value.escape_debug());
        line("label", &pair);
    }
    let bindings = if header.has_bindings { "yes" } else { "none" };
    line("bindings", &bindings);
    for slot in &header.slots {
        line("slot", &named(slot));
    }
    if let Some(length) = found.segment_length {
        line("segment length", &length);
    }
    if let Some(bytes) = found.plaintext_bytes {
        line("plaintext", &format_args!("{bytes} bytes"));
    }
    line("file", &format_args!("{} bytes", found.file_bytes));
    text.trim_end().to_owned()
}

/// The stable word for a slot's scheme (FORMAT §4), with which its name begins.
fn scheme(slot: &SlotId) -> &'static str {
    match slot.scheme {
        0x01 => "keyring",
        0x02 => "passphrase",
        0x03 => "recipient",
        0x04 => "aws-kms",
        0x05 => "transit",
        0x06 => "pkcs11",
        0x07 => "google-kms",
        0x08 => "azure-key-vault",
        0x0A => "compartment",
        0xF0 => "external",
        _ => "unknown",
    }
}

/// A slot for people: its name, escaped already, and the salt that tells one passphrase's slot from another's.
fn named(slot: &SlotId) -> String {
    match slot.scheme {
        0x02 => format!("{slot} {}", hex(&slot.key_id)),
        _ => slot.to_string(),
    }
}
