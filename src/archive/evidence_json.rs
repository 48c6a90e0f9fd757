//! FORMAT §9.4: the JSON of evidence.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::class::ClassCount;
use super::evidence::{Content, Evidence, Finding, KeyringRevision, PlaceKind, ScannedPlace};
use crate::envelope::{Context, EnvelopeCipher};
use crate::error::{EnvelopeKind, Error, EvidenceError, Result, SlotId};
use crate::format::json::{self, JsonFault, MAX_INTEGER, Object};

/// Every field of the top and of its elements.
const KNOWN: [&str; 25] = [
    "version",
    "keyring",
    "id",
    "revision",
    "key",
    "scheme",
    "began",
    "ended",
    "settled_since",
    "places",
    "name",
    "path_base64",
    "kind",
    "envelopes",
    "bytes",
    "opened",
    "in_use",
    "findings",
    "class",
    "path",
    "rule",
    "more",
    "count",
    "accepted",
    "previous",
];

/// Evidence as JSON lays it out.
#[derive(Serialize)]
pub(super) struct Wire<'a> {
    version: u8,
    keyring: Option<WireKeyring>,
    key: WireKey,
    began: u64,
    ended: u64,
    settled_since: u64,
    places: &'a [ScannedPlace],
    opened: u64,
    in_use: u64,
    findings: &'a [Finding],
    more: &'a [ClassCount],
    accepted: &'a [ClassCount],
    previous: Option<String>,
}

#[derive(Serialize)]
struct WireKeyring {
    id: String,
    revision: u64,
}

#[derive(Serialize)]
struct WireKey {
    scheme: u8,
    id: String,
}

impl<'a> Wire<'a> {
    pub(super) fn of(evidence: &'a Evidence) -> Self {
        Self {
            version: 1,
            keyring: evidence.keyring.map(|keyring| WireKeyring {
                id: json::encode(&keyring.id),
                revision: keyring.revision,
            }),
            key: WireKey {
                scheme: evidence.key.scheme,
                id: json::encode(&evidence.key.key_id),
            },
            began: evidence.began,
            ended: evidence.ended,
            settled_since: evidence.settled_since,
            places: &evidence.places,
            opened: evidence.opened,
            in_use: evidence.in_use,
            findings: &evidence.findings,
            more: &evidence.more,
            accepted: &evidence.accepted,
            previous: evidence.previous.map(|digest| json::encode(&digest)),
        }
    }
}

pub(super) fn write(evidence: &Evidence) -> Result<Zeroizing<Vec<u8>>> {
    let wire = Wire::of(evidence);
    let mut integers = vec![wire.began, wire.ended, wire.settled_since];
    integers.extend([wire.opened, wire.in_use]);
    integers.extend(evidence.keyring.map(|keyring| keyring.revision));
    for place in wire.places {
        integers.extend([place.envelopes, place.bytes]);
    }
    integers.extend(wire.more.iter().chain(wire.accepted).map(|of| of.count));
    // FORMAT §9.1: integers are at most 2^53 − 1.
    if integers.iter().any(|integer| *integer > MAX_INTEGER) {
        return Err(EvidenceError::Content.into());
    }
    let json = serde_json::to_vec(&wire).map_err(|_| EvidenceError::Content)?;
    Ok(Zeroizing::new(json))
}

pub(super) fn parse(content: &[u8]) -> Result<Evidence> {
    let read = || {
        let mut top = json::read(content, &KNOWN)?;
        Ok(Evidence {
            keyring: top.or_null("keyring", |top, name| object(top, name, keyring))?,
            key: object(&mut top, "key", key)?,
            began: top.integer("began")?,
            ended: top.integer("ended")?,
            settled_since: top.integer("settled_since")?,
            places: all(&mut top, "places", place)?,
            opened: top.integer("opened")?,
            in_use: top.integer("in_use")?,
            findings: all(&mut top, "findings", finding)?,
            // FORMAT §9.1: `more` may be absent.
            more: top
                .optional("more", |top, name| all(top, name, count))?
                .unwrap_or_default(),
            accepted: all(&mut top, "accepted", count)?,
            previous: top
                .or_null("previous", |top, name| top.bytes(name))?
                .map(|digest| *digest),
        })
    };
    read().map_err(|fault: JsonFault| fault_of(fault))
}

fn fault_of(fault: JsonFault) -> Error {
    match fault {
        JsonFault::Malformed => EvidenceError::Content.into(),
        JsonFault::Newer => EvidenceError::Newer.into(),
    }
}

type Read<T> = std::result::Result<T, JsonFault>;

fn object<T>(top: &mut Object, name: &str, take: impl Fn(&mut Object) -> Read<T>) -> Read<T> {
    take(&mut top.object(name)?)
}

fn all<T>(top: &mut Object, name: &str, take: impl Fn(&mut Object) -> Read<T>) -> Read<Vec<T>> {
    top.objects(name)?.iter_mut().map(take).collect()
}

fn keyring(from: &mut Object) -> Read<KeyringRevision> {
    let id = from.bytes("id")?;
    Ok(KeyringRevision::new(*id, from.integer("revision")?))
}

fn key(from: &mut Object) -> Read<SlotId> {
    let scheme = u8::try_from(from.integer("scheme")?).map_err(|_| JsonFault::Malformed)?;
    let key_id = any_bytes(&from.text("id")?)?;
    Ok(SlotId { scheme, key_id })
}

fn place(from: &mut Object) -> Read<ScannedPlace> {
    Ok(ScannedPlace {
        name: owned(from, "name")?,
        path_base64: raw_path(from)?,
        kind: match from.text("kind")?.as_str() {
            "tree" => PlaceKind::Tree,
            "rows" => PlaceKind::Rows,
            "objects" => PlaceKind::Objects,
            _ => return Err(JsonFault::Malformed),
        },
        envelopes: from.integer("envelopes")?,
        bytes: from.integer("bytes")?,
    })
}

fn finding(from: &mut Object) -> Read<Finding> {
    Ok(Finding {
        class: class(from)?,
        path: owned(from, "path")?,
        path_base64: raw_path(from)?,
        rule: owned(from, "rule")?,
    })
}

fn count(from: &mut Object) -> Read<ClassCount> {
    Ok(ClassCount::new(class(from)?, from.integer("count")?))
}

fn class(from: &mut Object) -> Read<super::class::FindingClass> {
    let word = from.text("class")?;
    word.parse().map_err(|_| JsonFault::Malformed)
}

fn owned(from: &mut Object, name: &str) -> Read<String> {
    Ok(from.text(name)?.as_str().to_owned())
}

/// The base64 of a path that is no text.
fn raw_path(from: &mut Object) -> Read<Option<String>> {
    let text = from.optional("path_base64", owned)?;
    if let Some(text) = &text {
        any_bytes(text)?;
    }
    Ok(text)
}

/// Strict base64 of any length.
fn any_bytes(text: &str) -> Read<Vec<u8>> {
    STANDARD.decode(text).map_err(|_| JsonFault::Malformed)
}

impl Evidence {
    pub(super) fn open_content(cipher: &EnvelopeCipher, envelope: &[u8]) -> Result<Content> {
        let opened = cipher.open_own(EnvelopeKind::Evidence, envelope, &Context::new())?;
        Ok(Content {
            evidence: parse(&opened.content)?,
            digest: Sha256::digest(&*opened.content).into(),
        })
    }

    /// The JSON of FORMAT §9.4.
    pub(super) fn to_json(&self) -> Result<Zeroizing<Vec<u8>>> {
        write(self)
    }
}

impl Serialize for Evidence {
    /// As the format lays it out.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire::of(self).serialize(serializer)
    }
}
