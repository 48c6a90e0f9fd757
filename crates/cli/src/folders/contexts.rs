//! What each file of a folder is bound to.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, Result};
use phi_envelope::Context;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::args::BindEachArgs;
use super::paths;
use crate::failure::{failed, usage, usage_of};
use crate::keys;
use crate::options::ContextArgs;
use crate::output::escaped_path;
use crate::stdio;
use crate::streams::is_dash;

/// The binding that holds a file's path.
const PATH: &str = "path";
/// Bytes of a line of bindings at most: more than the longest path and the longest bindings need.
const LONGEST_LINE: u64 = 1 << 17;

/// The contexts of the files of a folder.
pub(super) struct Contexts {
    /// What all files have.
    common: Context,
    binds_path: bool,
    of_each: Option<HashMap<String, Bindings>>,
}

/// Names and values.
type Bindings = Vec<(String, Zeroizing<String>)>;

impl Contexts {
    pub(super) fn new(common: &ContextArgs, each: &BindEachArgs) -> Result<Self> {
        let contexts = Self {
            common: keys::context(common)?,
            binds_path: each.bind_path,
            of_each: None,
        };
        // Refused once, and not for each file.
        contexts.bound("path", None).map_err(|error| {
            error.context("--bind-path adds the binding `path`, which must not be given otherwise")
        })?;
        let of_each = match &each.bind_from {
            Some(path) => Some(contexts.lines(path)?),
            None => None,
        };
        Ok(Self {
            of_each,
            ..contexts
        })
    }

    /// The context of the file whose plaintext has this path below its folder.
    pub(super) fn of(&self, below: &Path) -> Result<Context> {
        if !self.binds_path && self.of_each.is_none() {
            return Ok(self.common.clone());
        }
        let path = paths::text(below).ok_or_else(|| {
            failed("its path is not UTF-8, and so cannot be looked up or bound to: rename it, or leave it out with --exclude")
        })?;
        let bindings = match &self.of_each {
            Some(all) => Some(all.get(&path).ok_or_else(|| {
                failed(format_args!(
                    "--bind-from has no line for its path, which is {path}"
                ))
            })?),
            None => None,
        };
        self.bound(&path, bindings)
    }

    fn bound(&self, path: &str, bindings: Option<&Bindings>) -> Result<Context> {
        let mut context = self.common.clone();
        if self.binds_path {
            context = context.bind(PATH, path).map_err(usage_of)?;
        }
        for (name, value) in bindings.into_iter().flatten() {
            context = context.bind(name, &**value).map_err(usage_of)?;
        }
        Ok(context)
    }

    /// All lines of a file of bindings.
    fn lines(&self, from: &Path) -> Result<HashMap<String, Bindings>> {
        let source: Box<dyn Read> = if is_dash(from) {
            Box::new(stdio::stdin()?)
        } else {
            Box::new(File::open(from).with_context(|| escaped_path(from))?)
        };
        let mut source = BufReader::new(source);
        let mut all = HashMap::new();
        for number in 1_u64.. {
            let refused = |why: &str| {
                usage(format_args!(
                    "--bind-from {}: line {number}: {why}",
                    escaped_path(from)
                ))
            };
            // Room for all of it at once: a buffer that grows leaves copies behind.
            let mut line = Zeroizing::new(Vec::new());
            let read = read_line(&mut source, &mut line).with_context(|| escaped_path(from))?;
            if read == 0 {
                break;
            }
            if line.len() as u64 > LONGEST_LINE {
                return Err(refused("it is longer than any bindings"));
            }
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            // What the parser says may hold a binding.
            let parsed: Line = serde_json::from_slice(line).map_err(|error| {
                refused(&format!(
                    r#"column {}: it is not of the form {{"path": "a/b", "bind": {{"name": "value"}}}}, where nothing may be added"#,
                    error.column()
                ))
            })?;
            if parsed.bind.is_empty() {
                // Sealed without them, the file would open without them.
                return Err(refused("it holds no bindings"));
            }
            let bindings = parsed.bind.into_iter();
            let bindings = bindings.map(|(name, value)| (name, Zeroizing::new(value)));
            let bindings: Bindings = bindings.collect();
            self.bound(&parsed.path, Some(&bindings))
                .map_err(|error| refused(&error.to_string()))?;
            if all.insert(parsed.path, bindings).is_some() {
                return Err(refused("its path has a line already"));
            }
        }
        if all.is_empty() {
            return Err(usage(format_args!(
                "--bind-from {}: it holds no bindings",
                escaped_path(from)
            )));
        }
        Ok(all)
    }
}

fn read_line(source: &mut BufReader<Box<dyn Read>>, line: &mut Vec<u8>) -> io::Result<usize> {
    source.take(LONGEST_LINE + 1).read_until(b'\n', line)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: String,
    #[serde(deserialize_with = "pairs")]
    bind: Bind,
}

/// Pairs of which none has the name of another.
type Bind = Vec<(String, String)>;

/// A name that stands twice is refused: a map would keep one of the two values without a word.
fn pairs<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Bind, D::Error> {
    struct Pairs;

    impl<'de> serde::de::Visitor<'de> for Pairs {
        type Value = Bind;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("names and values")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Bind, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }

    from.deserialize_map(Pairs)
}
