//! A disk after the power came back.

use std::fs;
use std::path::Path;

use phi_envelope::{
    EnvelopeCipher,
    archive::{self, FileTree},
    files::{self, FileOptions},
};

use crate::disk::{self, Mounted};
use crate::keys;
use crate::work::{self, CANARY, Content, Files, Step, context, is_plaintext};

/// The kind of an inline stream, in byte 5 of its header (FORMAT §3).
const INLINE: u8 = 2;

/// What a power cut left of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Left {
    /// As if it had not begun.
    Old,
    /// As if it had ended.
    New,
    /// Some files old and some new.
    Both,
    /// A stream whose two header blocks differ, or of which one is no block.
    Between,
    /// A whole file under the name that it has for a moment.
    Nameless,
}

/// Looks at a disk that the power left so, in the middle of a step or once it had ended.
pub(crate) fn state(folder: &Path, image: &[u8], step: &Step, ended: bool, what: &str) -> Left {
    let (path, there) = (folder.join("cut"), folder.join("mounted"));
    fs::write(&path, image).unwrap();
    let mounted = Mounted::new(&path, &there).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = work::files(&there);
    let left = compare(step, &found, what);
    assert!(
        !ended || left == Left::New,
        "{what}: {left:?}, although it had ended well"
    );
    look_for_plaintext(&found, what);
    open_everything(&there, &found, what);
    go_on(step, left, &there, what);
    drop(mounted);
    if let Some(complaint) = disk::complaint(&path) {
        panic!("{what}: {complaint}");
    }
    left
}

/// Every file is the old one or the new one, byte for byte, but for what is changed in place.
fn compare(step: &Step, found: &Files, what: &str) -> Left {
    let mut names: Vec<_> = step.before.keys().chain(step.after.keys()).collect();
    names.extend(found.keys());
    names.sort();
    names.dedup();
    let (mut is_old, mut is_new, mut left) = (true, true, None);
    for name in names {
        let [old, new, now] = [&step.before, &step.after, found].map(|files| files.get(name));
        is_old &= now == old;
        is_new &= now == new;
        if now == old || now == new {
            continue;
        }
        let now = now.unwrap_or_else(|| panic!("{what}: {name} is gone"));
        if last(name).starts_with(".phi-tmp-") {
            // The new one before it has its name, or the old one after that.
            let mut whole = step.after.values().chain(step.before.values());
            let whole = whole.any(|whole| whole == now);
            assert!(whole, "{what}: {name} is not whole");
            left = Some(Left::Nameless);
            continue;
        }
        let (Some(old), Some(new), true) = (old, new, step.is_in_place()) else {
            panic!("{what}: {name} is neither old nor new");
        };
        between(old, new, now).unwrap_or_else(|fault| panic!("{what}: {name}: {fault}"));
        left = Some(Left::Between);
    }
    match (is_new, is_old) {
        (true, _) => Left::New,
        (_, true) => Left::Old,
        _ => left.unwrap_or(Left::Both),
    }
}

/// Only a stream's two header blocks are changed where they stand, and one after the other.
fn between(old: &Content, new: &Content, now: &Content) -> Result<(), &'static str> {
    if old.bytes[5] != INLINE {
        return Err("neither old nor new, and no inline stream");
    }
    let block = u32::from_be_bytes(old.bytes[12..16].try_into().unwrap()) as usize;
    let (blocks, payload) = now.bytes.split_at_checked(2 * block).ok_or("cut short")?;
    if now.mode != old.mode || payload != &old.bytes[2 * block..] {
        return Err("another payload");
    }
    let mut blocks = blocks.chunks(block).enumerate();
    let whole = blocks.any(|(number, block)| {
        let of = |content: &Content| content.bytes[number * block.len()..].starts_with(block);
        of(old) || of(new)
    });
    if whole {
        Ok(())
    } else {
        Err("no block is the old or the new one")
    }
}

/// Plaintext is where the user put it, or asked for it, and whole; for a moment, under a name of its own, for its owner alone.
fn look_for_plaintext(found: &Files, what: &str) {
    for (name, content) in found {
        let may_be = match &**name {
            "plain" | "other-plain" => true,
            "out" | "again" => content.mode & 0o077 == 0 && is_plaintext(&content.bytes),
            name if name.starts_with(".phi-tmp-") => {
                content.mode & 0o077 == 0 && is_plaintext(&content.bytes)
            }
            _ => false,
        };
        let is_there = content
            .bytes
            .windows(CANARY.len())
            .any(|window| window == CANARY);
        assert!(
            !is_there || may_be,
            "{what}: plaintext in {name}, mode {:o}",
            content.mode
        );
    }
}

/// Every keyring opens, and with the keys that are there every file.
fn open_everything(there: &Path, found: &Files, what: &str) {
    for name in ["k", "p", "q", "n"]
        .into_iter()
        .filter(|name| found.contains_key(*name))
    {
        assert!(
            keys::keyring(&there.join(name)).is_some(),
            "{what}: keyring {name}"
        );
    }
    let cipher = keys::cipher(there).unwrap();
    for (name, content) in found {
        let path = there.join(name);
        let opened = match last(name) {
            "record" => cipher
                .decrypt(&content.bytes, &context())
                .map(|plain| plain.to_vec()),
            // A payload that is there has a header.
            "body" => open(
                &cipher,
                &path,
                FileOptions::new().detached_header(path.with_file_name("head")),
            ),
            "sealed" => open(&cipher, &path, FileOptions::new()),
            _ => continue,
        };
        let opened = opened.unwrap_or_else(|error| panic!("{what}: {name}: {error}"));
        assert!(is_plaintext(&opened), "{what}: {name}: wrong plaintext");
    }
}

fn open(
    cipher: &EnvelopeCipher,
    path: &Path,
    options: FileOptions<'_>,
) -> phi_envelope::Result<Vec<u8>> {
    let range = files::open(cipher, path, &context(), options)?;
    let mut plain = vec![0; usize::try_from(range.len()).unwrap()];
    range.read_at(&mut plain, 0)?;
    Ok(plain)
}

/// The next run goes on from there.
fn go_on(step: &Step, left: Left, there: &Path, what: &str) {
    // A detached header alone is to be removed first.
    if step.call.contains("-o body") && !there.join("body").exists() {
        let _ = fs::remove_file(there.join("head"));
    }
    let ended = step.run(there);
    // What makes something new may find that it is there.
    let must = left == Left::Old || step.moves_the_tree();
    assert!(ended || !must, "{what}: the next run fails");
    let found = work::files(there);
    if ended {
        for name in found.keys() {
            assert!(!name.contains(".phi-tmp-"), "{what}: {name} is left");
        }
    }
    open_everything(there, &found, what);
    if step.moves_the_tree() {
        is_moved(there, what);
    }
    let cipher = keys::cipher(there).unwrap();
    for name in found.keys().filter(|name| last(name) == "sealed") {
        let path = there.join(name);
        files::rewrap(&cipher, &path).unwrap_or_else(|error| panic!("{what}: {name}: {error}"));
        assert!(
            files::inspect(&path).unwrap().blocks_alike,
            "{what}: {name}"
        );
    }
    if there.join("sealed").exists() {
        let out = there.join("last");
        files::decrypt(
            &cipher,
            there.join("sealed"),
            &out,
            &context(),
            FileOptions::new(),
        )
        .unwrap();
        assert!(is_plaintext(&fs::read(out).unwrap()), "{what}");
    }
}

/// The tree is all there, and nothing of it, in either header block, is under another key than the active one.
fn is_moved(there: &Path, what: &str) {
    let active = keys::keyring(&there.join("k")).unwrap().active().unwrap();
    let pass = archive::inventory(FileTree::new([there.join("tree")])).unwrap();
    let found = pass.finish();
    let kinds = [found.records, found.streams, found.detached_headers];
    assert_eq!(kinds.map(|kind| kind.files), [1, 3, 1], "{what}");
    assert_eq!(found.files.files, 6, "{what}");
    assert_eq!(found.blocks_differ, 0, "{what}");
    let keys: Vec<_> = found.keys.listed.iter().map(|key| &key.key_id).collect();
    assert_eq!(keys, [&active.to_string()], "{what}: keys are left");
}

/// A file's name without its folders.
fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
