//! Makes the corpora's first inputs of the frozen vectors: `cargo run --example seed`.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The content of a keyring's file.
const KEYRING: &str = concat!(
    r#"{"before":[],"id":"HR0dHR0dHR0dHR0dHR0dHQ==","keys":[{"changed":2,"created":1,"id":"xcXFxcXFxcXFxcXFxcXFxQ==","#,
    r#""key":"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcU=","label":"ehr","state":"active"}],"lease":900,"revision":1,"version":1}"#,
);

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let seed = |target: &str, name: &str, bytes: &[u8]| {
        let folder = here.join("corpus").join(target);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(name), bytes).expect("a seed");
    };
    seed("keyring_file", "one_key", KEYRING.as_bytes());
    for entry in fs::read_dir(here.join("../tests/vectors")).expect("the vectors") {
        let path = entry.expect("a vector").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_stem().expect("a name").to_string_lossy();
        let json = fs::read(&path).expect("a vector");
        let vector: Value = serde_json::from_slice(&json).expect("JSON");
        let envelope = bytes(&vector["envelope"]);
        match vector["call"].as_str() {
            Some("record") => {
                seed("header", &name, &envelope);
                seed("record", &name, &envelope);
            }
            Some("stream-inline") => seed("header", &name, &envelope),
            Some("stream-detached") => seed("header", &name, &bytes(&vector["header"])),
            Some("text") => seed(
                "text",
                &name,
                vector["text"].as_str().expect("text").as_bytes(),
            ),
            Some("inspect" | "keyring-file" | "evidence-file") => seed("header", &name, &envelope),
            call => panic!("no such call: {call:?}"),
        }
    }
}

/// The bytes that strings of base64 and numbers of zeros say.
fn bytes(pieces: &Value) -> Vec<u8> {
    let piece = |piece: &Value| match piece {
        Value::String(text) => STANDARD.decode(text).expect("base64"),
        zeros => vec![
            0;
            zeros
                .as_u64()
                .and_then(|count| count.try_into().ok())
                .expect("a count")
        ],
    };
    pieces
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(piece)
        .collect()
}
