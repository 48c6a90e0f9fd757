//! What several of this part's types write as JSON.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{SerializeMap, SerializeSeq as _};
use serde::{Serialize, Serializer};

use crate::error::{Error, SlotId};

/// `path`, and its bytes too where they are no text.
pub(super) fn path<M: SerializeMap>(map: &mut M, path: &Path) -> Result<(), M::Error> {
    let (text, base64) = path_text(path);
    map.serialize_entry("path", &text)?;
    match base64 {
        Some(base64) => map.serialize_entry("path_base64", &base64),
        None => Ok(()),
    }
}

/// A path as text, and its bytes in base64 where they are no text.
pub(super) fn path_text(path: &Path) -> (String, Option<String>) {
    let bytes = || STANDARD.encode(path.as_os_str().as_encoded_bytes());
    let base64 = path.to_str().is_none().then(bytes);
    (path.to_string_lossy().into_owned(), base64)
}

/// `error`, its stable word, and `message`.
pub(super) fn error<M: SerializeMap>(map: &mut M, error: &Error) -> Result<(), M::Error> {
    map.serialize_entry("error", error.word())?;
    map.serialize_entry("message", &error.to_string())
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Slots as a list of objects.
pub(super) struct Slots<'a>(pub(super) &'a [SlotId]);

impl Serialize for Slots<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Slot {
            scheme: u8,
            key_id: String,
        }
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for slot in self.0 {
            list.serialize_element(&Slot {
                scheme: slot.scheme,
                key_id: hex(&slot.key_id),
            })?;
        }
        list.end()
    }
}

/// Labels as an object.
pub(super) struct Labels<'a>(pub(super) &'a [(String, String)]);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}
