//! The house: which part of the crate may know which, read off its own source.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The parts of the crate and their layers. A part imports parts of lower layers alone; two parts of one layer never import
/// each other.
const LAYERS: [(&str, u8); 13] = [
    ("header", 6),
    ("archive", 5),
    ("files", 4),
    ("envelope", 3),
    ("keys", 2),
    ("floe", 2),
    ("format", 1),
    ("crypto", 1),
    ("disk", 1),
    ("memory", 1),
    ("secret", 0),
    ("parallel", 0),
    ("error", 0),
];

/// Holds no code, only prose that is compiled with it.
const PROSE: &str = "manual";

/// What the root is for: a table of contents, which stands above all layers.
const ROOT: &str = "lib.rs";

/// Tests of the crate's own, which meet labels to check them. Each is declared under `#[cfg(test)]`.
const TESTS: [&str; 2] = ["crypto/wycheproof.rs", "floe/tests.rs"];

/// The one file that derives keys.
const DERIVATIONS: &str = "crypto/derive.rs";

const MOST_LINES: usize = 400;

struct Source {
    /// From `src`, with forward slashes.
    path: String,
    text: String,
    /// The text without comments and literals.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(source(&root, &path));
            }
        }
    }
    assert!(found.len() > 20, "the source was found");
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

fn source(root: &Path, path: &PathBuf) -> Source {
    let text = fs::read_to_string(path).unwrap();
    let names = path
        .strip_prefix(root)
        .unwrap()
        .iter()
        .map(|name| name.to_str().unwrap());
    Source {
        path: names.collect::<Vec<_>>().join("/"),
        code: without_comments_and_literals(&text),
        text,
    }
}

/// Enough of Rust's lexical rules for this crate: line comments, strings, raw strings and characters.
fn without_comments_and_literals(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(hashes) = raw_string(rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = hashes + 2;
            start + rest[start..].find(&end).unwrap() + end.len()
        } else if first == '"' {
            string(rest)
        } else if let Some(character) = character(rest) {
            character
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[skipped..];
    }
    code
}

/// The hashes of a raw string that begins here.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// Bytes of the string that begins here.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    panic!("a string without an end");
}

/// Bytes of the character that begins here, which no lifetime does.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if let Some(escape) = inside.strip_prefix('\\') {
        return Some(2 + escape.get(1..)?.find('\'')? + 2);
    }
    let first = inside.chars().next()?;
    inside[first.len_utf8()..]
        .starts_with('\'')
        .then_some(2 + first.len_utf8())
}

impl Source {
    /// The part of the crate that the file belongs to.
    fn part(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many times `super` leads from the file's own module to the crate's root.
    fn depth(&self) -> usize {
        let names = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") {
            names - 1
        } else {
            names
        }
    }

    /// The names that paths from the crate's root begin with, whether written with `crate` or with `super`.
    fn names_from_the_root(&self) -> BTreeSet<String> {
        self.names_after("crate::", self.depth())
    }

    /// The names that paths from a folder above the file begin with.
    fn names_from(&self, folder: &str) -> BTreeSet<String> {
        let absolute = format!("crate::{}::", folder.replace('/', "::"));
        self.names_after(&absolute, self.depth() - folder.split('/').count())
    }

    /// The names after this path, or after `super` so many times.
    fn names_after(&self, absolute: &str, supers: usize) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for start in [absolute, &"super::".repeat(supers)] {
            for (at, _) in self.code.match_indices(start) {
                // `$crate`, a name that ends alike, or one `super` more.
                if self.code[..at]
                    .ends_with(|before: char| is_name(before) || "$:".contains(before))
                {
                    continue;
                }
                names.extend(heads(&self.code[at + start.len()..]));
            }
        }
        names
    }
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The first name of a path, or those of a group of paths.
fn heads(path: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| is_name(*c)).collect::<String>();
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let (mut depth, mut found, mut begin) = (1, Vec::new(), 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' => {}
            _ => continue,
        }
        if (character == ',' && depth == 1) || depth == 0 {
            found.push(name(group[begin..at].trim()));
            begin = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn layer(part: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == part)
        .map(|(_, layer)| *layer)
}

#[test]
fn every_file_belongs_to_a_layer() {
    for source in sources() {
        if source.path != ROOT && source.part() != PROSE {
            assert!(
                layer(source.part()).is_some(),
                "{} belongs to no layer",
                source.path
            );
        }
    }
}

#[test]
fn a_layer_imports_lower_layers_alone_and_siblings_never_import_each_other() {
    let mut edges = BTreeSet::new();
    let mut broken = Vec::new();
    for source in sources() {
        let Some(own) = layer(source.part()) else {
            continue;
        };
        for name in source.names_from_the_root() {
            match layer(&name) {
                Some(_) if name == source.part() => {}
                Some(other) if other < own => {
                    edges.insert(format!("{} → {name}", source.part()));
                }
                Some(_) => broken.push(format!("{} imports {name}", source.path)),
                None => {}
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    // What must be there, so that this test is known to see anything.
    for edge in [
        "envelope → keys",
        "envelope → floe",
        "keys → format",
        "keys → crypto",
        "format → error",
    ] {
        assert!(edges.contains(edge), "{edge} was not seen in {edges:?}");
    }
}

/// One folder of the source: what stands directly in it, and which of that imports which.
struct Folder<'a> {
    path: &'a str,
    /// The names that its `mod.rs` exports again, and the modules that they come from.
    exports: Vec<(String, String)>,
    imports: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Folder<'a> {
    /// Of `path`, from `src`. Its parts are files, and folders as a whole; a folder's own `mod.rs` is its table of contents.
    fn read(path: &'a str, sources: &[Source]) -> Self {
        let within = format!("{path}/");
        let below: Vec<_> = sources
            .iter()
            .filter_map(|source| Some((source, source.path.strip_prefix(&within)?)))
            .collect();
        let part = |rest: &str| {
            let first = rest.split('/').next().unwrap();
            first.strip_suffix(".rs").unwrap_or(first).to_owned()
        };
        let mut folder = Self {
            path,
            exports: Vec::new(),
            imports: BTreeMap::new(),
        };
        for (source, rest) in &below {
            if *rest == "mod.rs" {
                folder.exports = reexports(&source.code);
            } else {
                folder.imports.entry(part(rest)).or_default();
            }
        }
        for (source, rest) in below.iter().filter(|(_, rest)| *rest != "mod.rs") {
            let own = part(rest);
            for name in source.names_from(path) {
                let met = folder
                    .exports
                    .iter()
                    .find(|(exported, _)| *exported == name);
                let module = met.map_or(name.clone(), |(_, module)| module.clone());
                if module != own && folder.imports.contains_key(&module) {
                    folder.imports.get_mut(&own).unwrap().insert(module);
                }
            }
        }
        folder
    }

    /// The parts that import each other, be it through others.
    fn circle(&self) -> Vec<String> {
        let mut left = self.imports.clone();
        // What imports nothing that is left is in no circle.
        while let Some(bottom) = left
            .iter()
            .find(|(_, imports)| imports.iter().all(|import| !left.contains_key(import)))
            .map(|(part, _)| part.clone())
        {
            left.remove(&bottom);
        }
        // Nor is what nothing imports that is left.
        while let Some(top) = left
            .keys()
            .find(|part| !left.values().any(|imports| imports.contains(*part)))
            .cloned()
        {
            left.remove(&top);
        }
        let shown = left.iter().map(|(part, imports)| {
            let within: Vec<_> = imports.iter().filter(|i| left.contains_key(*i)).collect();
            format!("{}/{part} → {within:?}", self.path)
        });
        shown.collect()
    }
}

/// The names of `use module::{…};` in a table of contents, each with its module.
fn reexports(code: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let Some((path, _)) = code[at + 4..].split_once(';') else {
            continue;
        };
        if let Some((module, names)) = path.trim().split_once("::") {
            let named = heads(names).into_iter();
            found.extend(named.map(|name| (name, module.to_owned())));
        }
    }
    found
}

#[test]
fn inside_a_folder_there_is_no_circle() {
    let sources = sources();
    let folders: BTreeSet<_> = sources
        .iter()
        .filter_map(|source| source.path.strip_suffix("/mod.rs"))
        .collect();
    let circles: Vec<_> = folders
        .iter()
        .flat_map(|path| Folder::read(path, &sources).circle())
        .collect();
    assert!(circles.is_empty(), "{circles:#?}");
    // What must be there, so that this test is known to see anything.
    let seen = |folder: &str, part: &str, import: &str| {
        Folder::read(folder, &sources).imports[part].contains(import)
    };
    assert!(seen("envelope", "stream", "inline"));
    assert!(
        seen("envelope", "session", "cipher"),
        "by its exported name"
    );
    assert!(seen("floe", "writer", "seal"));
}

#[test]
fn a_circle_is_seen() {
    let file = |path: &str, text: &str| Source {
        path: path.to_owned(),
        text: text.to_owned(),
        code: without_comments_and_literals(text),
    };
    let mut sources = vec![
        file(
            "keys/mod.rs",
            "mod a; mod b; mod c; mod d; pub use c::{Third, Other};",
        ),
        file("keys/a.rs", "use super::b::X;"),
        file("keys/b.rs", "use crate::keys::{d, Third};"),
        file("keys/c.rs", "use super::a;"),
        file("keys/d.rs", ""),
    ];
    let circle = Folder::read("keys", &sources).circle();
    assert_eq!(circle.len(), 3, "{circle:?}");
    sources[1].code.clear();
    assert_eq!(
        Folder::read("keys", &sources).circle(),
        Vec::<String>::new()
    );
}

#[test]
fn no_layer_reaches_around_the_others_through_the_root() {
    // The root exports names of every layer again: a path through it would hide which.
    for source in sources() {
        if layer(source.part()).is_none() {
            continue;
        }
        for name in source.names_from_the_root() {
            assert!(
                layer(&name).is_some(),
                "{} names `crate::{name}`",
                source.path
            );
        }
    }
}

#[test]
fn the_root_is_a_table_of_contents() {
    let sources = sources();
    let root = sources.iter().find(|source| source.path == ROOT).unwrap();
    for word in ["fn ", "struct ", "enum ", "trait ", "impl ", "macro_rules!"] {
        assert!(!root.code.contains(word), "{ROOT} has a `{word}`");
    }
}

#[test]
fn one_file_derives_every_key() {
    let label = concat!("\"phi-envelope", "/1");
    for source in sources() {
        let code: String = source
            .text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        let derives = code.contains(label);
        match source.path.as_str() {
            DERIVATIONS => assert!(derives),
            path if TESTS.contains(&path) => {}
            path => assert!(!derives, "{path} has a label of a derivation"),
        }
    }
}

#[test]
fn what_is_excused_as_a_test_is_compiled_for_tests_alone() {
    let sources = sources();
    for test in TESTS {
        let (folder, name) = test.strip_suffix(".rs").unwrap().rsplit_once('/').unwrap();
        let parent = format!("{folder}/mod.rs");
        let parent = sources.iter().find(|source| source.path == parent).unwrap();
        let declared = format!("#[cfg(test)]\nmod {name};");
        assert!(parent.text.contains(&declared), "{test}");
    }
}

#[test]
fn no_file_is_longer_than_400_lines() {
    for source in sources() {
        let lines = source.text.lines().count();
        assert!(
            lines <= MOST_LINES,
            "{} has {lines} lines: it is two files",
            source.path
        );
    }
}

#[test]
fn a_folder_is_a_part_and_its_module_is_mod_rs() {
    let sources = sources();
    let has = |path: &str| sources.iter().any(|source| source.path == path);
    for source in &sources {
        let mut folder = source.path.as_str();
        while let Some((parent, _)) = folder.rsplit_once('/') {
            folder = parent;
            assert!(has(&format!("{folder}/mod.rs")), "{folder} has no mod.rs");
            assert!(
                !has(&format!("{folder}.rs")),
                "{folder}.rs stands beside {folder}/"
            );
        }
    }
}

#[test]
fn every_file_says_in_its_first_line_what_it_is() {
    for source in sources() {
        assert!(source.text.starts_with("//! "), "{}", source.path);
    }
}

#[test]
fn the_reader_of_these_lines_sees_what_it_should() {
    let text = r##"
        //! use crate::comment;
        use crate::{
            envelope::{Context, inner::Deep},
            keys, format::slot::{Slot, *},
        };
        use super::sibling;
        use super::super::crypto::mac; // crate::trailing
        fn f<'a>() -> &'a str { $crate::not_ours; my_crate::not_ours; "crate::string" }
        fn g() { crate::floe::seal('"', '\'', '\u{1F600}', r#"crate::raw"#, "\"crate::escaped"); }
    "##;
    let source = Source {
        path: "keys/transaction.rs".to_owned(),
        text: text.to_owned(),
        code: without_comments_and_literals(text),
    };
    let names: Vec<_> = source.names_from_the_root().into_iter().collect();
    assert_eq!(names, ["crypto", "envelope", "floe", "format", "keys"]);
    assert_eq!((source.part(), source.depth()), ("keys", 2));
}
