//! FORMAT §9.1: the JSON of a keyring, of evidence and of the other files of this crate's own.

use std::cell::Cell;
use std::fmt;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use zeroize::{Zeroize as _, Zeroizing};

/// The largest integer: 2^53 − 1.
pub(crate) const MAX_INTEGER: u64 = (1 << 53) - 1;
/// How deep values may stand in each other; the outermost object is 1.
const MAX_NESTING: usize = 32;
/// The name by which `serde_json` hands over a number if another crate has turned its feature `arbitrary_precision` on.
const NUMBER: &str = "$serde_json::private::Number";

/// Why bytes are not the JSON that is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonFault {
    /// They break a rule of JSON, or one of FORMAT §9.1.
    Malformed,
    /// A later version wrote them, or they have a critical field that this version does not know.
    Newer,
}

type Result<T> = std::result::Result<T, JsonFault>;

/// A JSON object. Every text in it is erased when it is dropped, since some are keys; `Debug` shows none.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Object(Map<String, Value>);

// FORMAT §9.1: `version` is read before all other rules but JSON's own; one other than 1 is "newer". Of `critical`, a text that
// the reader does not know as a field is "newer", whether or not the field is there.
/// Reads a file's object. `known` names all fields of the top and of its elements that this version knows.
pub(crate) fn read(json: &[u8], known: &[&str]) -> Result<Object> {
    let rules = Rules::default();
    let mut top = rules.value(json)?;
    let Value::Object(fields) = &mut top.0 else {
        return Err(JsonFault::Malformed);
    };
    let version = fields.get("version").cloned();
    match version.and_then(|version| version.as_u64()) {
        Some(1) => {}
        // A version so great that it breaks a rule is none the less another.
        Some(_) => return Err(JsonFault::Newer),
        None => return Err(JsonFault::Malformed),
    }
    if rules.broken.get() {
        return Err(JsonFault::Malformed);
    }
    fields.remove("version");
    let object = Object(std::mem::take(fields));
    match object.0.get("critical") {
        None => Ok(object),
        Some(Value::Array(names)) => {
            let names = names.iter().map(Value::as_str);
            let names = names
                .collect::<Option<Vec<_>>>()
                .ok_or(JsonFault::Malformed)?;
            let known =
                |name: &&str| *name == "critical" || *name == "version" || known.contains(name);
            if names.iter().all(known) {
                Ok(object)
            } else {
                Err(JsonFault::Newer)
            }
        }
        Some(_) => Err(JsonFault::Malformed),
    }
}

impl Object {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a field, or replaces it.
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) {
        let old = self.0.insert(name.to_owned(), value.into());
        drop(old.map(Erased));
    }

    /// Takes a text out.
    pub(crate) fn text(&mut self, name: &str) -> Result<Zeroizing<String>> {
        match self.0.remove(name) {
            Some(Value::String(text)) => Ok(Zeroizing::new(text)),
            other => Err(malformed(other)),
        }
    }

    /// Takes an integer out.
    pub(crate) fn integer(&mut self, name: &str) -> Result<u64> {
        let value = self.0.remove(name);
        let integer = value.as_ref().and_then(Value::as_u64);
        integer.ok_or_else(|| malformed(value))
    }

    // FORMAT §9.1: base64 with the standard alphabet, padded, zero trailing bits.
    /// Takes `N` bytes out, which stand there as base64.
    pub(crate) fn bytes<const N: usize>(&mut self, name: &str) -> Result<Zeroizing<[u8; N]>> {
        let text = self.text(name)?;
        decode(&text)
    }

    /// Takes an array out.
    pub(crate) fn array(&mut self, name: &str) -> Result<Vec<Value>> {
        match self.0.remove(name) {
            Some(Value::Array(values)) => Ok(values),
            other => Err(malformed(other)),
        }
    }

    /// Takes an array of objects out.
    pub(crate) fn objects(&mut self, name: &str) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        let mut fine = true;
        for value in self.array(name)? {
            match value {
                Value::Object(fields) => all.push(Self(fields)),
                other => {
                    drop(Erased(other));
                    fine = false;
                }
            }
        }
        if fine {
            Ok(all)
        } else {
            Err(JsonFault::Malformed)
        }
    }

    /// Takes an object out.
    pub(crate) fn object(&mut self, name: &str) -> Result<Self> {
        match self.0.remove(name) {
            Some(Value::Object(fields)) => Ok(Self(fields)),
            other => Err(malformed(other)),
        }
    }

    /// What `take` takes out of the field, or nothing if there is no such field. Null is no absence.
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        take: impl FnOnce(&mut Self, &str) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.0.contains_key(name) {
            take(self, name).map(Some)
        } else {
            Ok(None)
        }
    }

    /// What `take` takes out of the field, or nothing if it is null. It must be there.
    pub(crate) fn or_null<T>(
        &mut self,
        name: &str,
        take: impl FnOnce(&mut Self, &str) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.0.get(name) == Some(&Value::Null) {
            self.0.remove(name);
            Ok(None)
        } else {
            take(self, name).map(Some)
        }
    }

    /// The JSON, in one piece of memory that is erased: the bytes are never moved, which would leave a copy behind.
    pub(crate) fn to_json(&self) -> Result<Zeroizing<Vec<u8>>> {
        let mut length = Length(0);
        serde_json::to_writer(&mut length, &self.0).map_err(|_| JsonFault::Malformed)?;
        let mut json = Zeroizing::new(Vec::with_capacity(length.0));
        serde_json::to_writer(&mut *json, &self.0).map_err(|_| JsonFault::Malformed)?;
        Ok(json)
    }

    /// The object as a value of another. It is erased with it.
    pub(crate) fn into_value(mut self) -> Value {
        Value::Object(std::mem::take(&mut self.0))
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.0.values_mut().for_each(erase);
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({} fields)", self.0.len())
    }
}

/// The bytes of strict base64.
pub(crate) fn decode<const N: usize>(text: &str) -> Result<Zeroizing<[u8; N]>> {
    // Room for what is too long by a little as well: the decoder estimates from above.
    let mut room = Zeroizing::new(vec![0; N + 3]);
    match STANDARD.decode_slice(text, &mut room) {
        Ok(len) if len == N => {
            let mut bytes = Zeroizing::new([0; N]);
            bytes
                .iter_mut()
                .zip(room.iter())
                .for_each(|(to, from)| *to = *from);
            Ok(bytes)
        }
        _ => Err(JsonFault::Malformed),
    }
}

/// Strict base64 of bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn malformed(value: Option<Value>) -> JsonFault {
    drop(value.map(Erased));
    JsonFault::Malformed
}

/// A value whose texts are erased when it is dropped.
struct Erased(Value);

impl Drop for Erased {
    fn drop(&mut self) {
        erase(&mut self.0);
    }
}

impl Erased {
    fn take(mut self) -> Value {
        self.0.take()
    }
}

fn erase(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(erase),
        Value::Object(fields) => fields.values_mut().for_each(erase),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

// FORMAT §9.1: integers without sign, fraction or exponent, at most 2^53 − 1; nesting at most 32; a name twice, compared after
// unescaping, is malformed. `serde_json` itself refuses a byte order mark and lone surrogates.
/// Notes whether a rule beyond JSON's own is broken, and reads on: the version is looked at first.
#[derive(Default)]
struct Rules {
    broken: Cell<bool>,
}

impl Rules {
    fn value(&self, json: &[u8]) -> Result<Erased> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let inside = Inside {
            rules: self,
            depth: 0,
        };
        let value = inside
            .deserialize(&mut reader)
            .map_err(|_| JsonFault::Malformed)?;
        reader.end().map_err(|_| JsonFault::Malformed)?;
        Ok(value)
    }

    fn broken(&self) -> Erased {
        self.broken.set(true);
        Erased(Value::Null)
    }

    fn integer(&self, integer: u64) -> Erased {
        if integer > MAX_INTEGER {
            self.broken.set(true);
        }
        Erased(integer.into())
    }
}

/// A place in the JSON, inside `depth` arrays and objects.
#[derive(Clone, Copy)]
struct Inside<'a> {
    rules: &'a Rules,
    depth: usize,
}

impl Inside<'_> {
    fn deeper(self) -> Self {
        let depth = self.depth + 1;
        if depth > MAX_NESTING {
            self.rules.broken.set(true);
        }
        Self { depth, ..self }
    }
}

impl<'de> DeserializeSeed<'de> for Inside<'_> {
    type Value = Erased;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> std::result::Result<Erased, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inside<'_> {
    type Value = Erased;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Erased, E> {
        Ok(Erased(value.into()))
    }

    fn visit_unit<E>(self) -> std::result::Result<Erased, E> {
        Ok(Erased(Value::Null))
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Erased, E> {
        Ok(self.rules.integer(value))
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<Erased, E> {
        Ok(self.rules.broken())
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<Erased, E> {
        Ok(self.rules.broken())
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Erased, E> {
        Ok(Erased(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut elements: A,
    ) -> std::result::Result<Erased, A::Error> {
        let (inside, mut array) = (self.deeper(), Erased(Value::Array(Vec::new())));
        while let Some(element) = elements.next_element_seed(inside)? {
            if let Value::Array(array) = &mut array.0 {
                array.push(element.take());
            }
        }
        Ok(array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> std::result::Result<Erased, A::Error> {
        let (inside, mut object) = (self.deeper(), Object::default());
        while let Some(name) = members.next_key::<String>()? {
            if name == NUMBER && object.is_empty() {
                let digits = members.next_value::<String>()?;
                return match digits.parse() {
                    Ok(integer) if !digits.starts_with(['+', '-']) => {
                        Ok(self.rules.integer(integer))
                    }
                    _ => Ok(self.rules.broken()),
                };
            }
            let value = members.next_value_seed(inside)?;
            if object.0.contains_key(&name) {
                // A name that stands twice has no value: not even a version.
                if name == "version" && self.depth == 0 {
                    return Err(A::Error::custom("the version twice"));
                }
                self.rules.broken.set(true);
            }
            object.put(&name, value.take());
        }
        Ok(Erased(object.into_value()))
    }
}

/// Counts what is written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
