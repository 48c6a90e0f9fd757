//! What an inventory says of each kind of file, and what it adds up to.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use phi_envelope::{
    EnvelopeCipher, Error, Keyring, Passphrase,
    archive::{self, EntryKind, FileTree, InventorySummary},
    error::Malformed,
    files,
    keys::{Argon2Costs, KeyState},
};

use crate::common::{BLOCK, RawHeader, RawSlot};
use crate::place::{Place, damage, json, record, stream, take_inventory, text, word};

#[test]
fn each_kind_is_told_and_the_summary_adds_up() {
    let place = Place::new();
    place.record("a/record");
    place.put("a/text", text(&place.cipher));
    place.stream("a/b/stream");
    place.detached("a/b/header");
    place.put("plain", "MRN-0042");
    place.put("empty", "");
    place.put("newer", [&b"PHIE\x02"[..], &[7; 100]].concat());
    place.put("zero", b"PHIE\x00");
    let whole = record(&place.cipher);
    place.put("magic", b"PHI");
    place.put("short", &whole[..whole.len() - 40]);
    place.put("no_payload", &whole[..whole.len() - 20]);
    place.put("text_short", &text(&place.cipher).as_bytes()[..100]);
    place.put("text_line", format!("{}\n", text(&place.cipher)));
    place.put(".phi-tmp-0123456789abcdef0123456789abcdef", &whole);
    symlink(place.path("a"), place.path("link")).unwrap();
    fs::create_dir(place.path("no_file_in_it")).unwrap();

    let (entries, summary) = place.inventory();
    let told: Vec<_> = entries
        .iter()
        .map(|(path, entry)| {
            let name = path.strip_prefix(place.root()).unwrap();
            (name.to_str().unwrap(), word(entry))
        })
        .collect();
    let expected = [
        (".phi-tmp-0123456789abcdef0123456789abcdef", "record"),
        ("a/b/header", "detached-header"),
        ("a/b/header.payload", "detached-payload"),
        ("a/b/stream", "stream"),
        ("a/record", "record"),
        ("a/text", "text-record"),
        ("empty", "not-an-envelope"),
        ("link", "symlink"),
        ("magic", "damaged"),
        ("newer", "damaged"),
        ("no_payload", "damaged"),
        ("plain", "not-an-envelope"),
        ("short", "damaged"),
        ("text_line", "text-record"),
        ("text_short", "damaged"),
        ("zero", "damaged"),
    ];
    assert_eq!(told, expected.map(|(name, word)| (name, word.to_owned())));
    for entry in entries.values() {
        let is_link = matches!(entry.content, EntryKind::Symlink);
        let len = fs::metadata(&entry.path).unwrap().len();
        assert_eq!(entry.bytes, if is_link { 0 } else { len });
    }

    assert_eq!(summary.records.files, 4);
    assert_eq!(summary.streams.files, 1);
    assert_eq!(summary.detached_headers.files, 1);
    assert_eq!(summary.detached_payloads.files, 1);
    assert_eq!(summary.not_envelopes.files, 2);
    assert_eq!(summary.envelopes().files, 6);
    assert_eq!(
        (summary.symlinks, summary.special, summary.unreadable),
        (1, 0, 0)
    );
    assert_eq!((summary.temporary, summary.blocks_differ), (1, 0));
    let kinds = [
        summary.records,
        summary.streams,
        summary.detached_headers,
        summary.detached_payloads,
        summary.not_envelopes,
    ];
    let kinds = kinds.iter().chain(summary.damaged.values());
    let (files, bytes) = kinds.fold((0, 0), |(files, bytes), tally| {
        (files + tally.files, bytes + tally.bytes)
    });
    assert_eq!((files, bytes), (summary.files.files, summary.files.bytes));
    assert_eq!(files, 15);
    let all: u64 = entries.values().map(|entry| entry.bytes).sum();
    assert_eq!(bytes, all);
    let [key] = &summary.keys.listed[..] else {
        panic!("one key");
    };
    assert_eq!(key.tally, summary.envelopes());
    assert_eq!(key.key_id, place.keyring.active().unwrap().to_string());
    assert!(key.oldest <= key.newest && key.oldest.is_some());
}

#[test]
fn damaged_headers_are_counted_by_the_rule_that_they_break() {
    let place = Place::new();
    let (whole, payload) = RawHeader::parse(&record(&place.cipher));
    let broken = |change: &dyn Fn(&mut RawHeader)| {
        let mut header = whole.clone();
        change(&mut header);
        header.with(&payload)
    };
    place.put("kind", broken(&|header| header.kind = 0x0C));
    place.put("kind_too", broken(&|header| header.kind = 0));
    place.put("flags", broken(&|header| header.flags |= 0x80));
    place.put("slots", broken(&|header| header.slots.clear()));
    place.put("many", broken(&|header| header.slot_count = Some(33)));
    place.put("block", broken(&|header| header.block_length = 4096));
    place.put("newer", broken(&|header| header.version = 77));
    let (header, _) = crate::place::detached(&place.cipher);
    place.put("follows", [&header[..], b"x"].concat());
    let mut blocks = stream(&place.cipher);
    blocks[100] ^= 1;
    blocks[BLOCK + 100] ^= 1;
    place.put("blocks", blocks);
    place.put("cut", &stream(&place.cipher)[..BLOCK - 1]);

    let (entries, summary) = place.inventory();
    let rule = |name: &str| match damage(&entries[&place.path(name)]) {
        Error::Malformed(rule) => *rule,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(rule("kind"), Malformed::Kind);
    assert_eq!(rule("flags"), Malformed::Flags);
    assert_eq!(rule("slots"), Malformed::NoSlot);
    assert_eq!(rule("many"), Malformed::TooManySlots);
    assert_eq!(rule("block"), Malformed::BlockLength);
    assert_eq!(rule("follows"), Malformed::TrailingBytes);
    assert!(matches!(
        damage(&entries[&place.path("newer")]),
        Error::NewerVersion { version: 77 }
    ));
    assert!(matches!(
        damage(&entries[&place.path("cut")]),
        Error::Truncated
    ));
    assert!(matches!(
        rule("blocks"),
        Malformed::NoHeaderBlock | Malformed::DuplicateSlot
    ));
    let kind = Error::from(Malformed::Kind).to_string();
    assert_eq!(summary.damaged[&kind].files, 2);
    let line = json(&entries[&place.path("kind")]);
    assert_eq!(line["error"], "malformed");
    assert_eq!(line["message"], kind);
    let counted: u64 = summary.damaged.values().map(|tally| tally.files).sum();
    assert_eq!((counted, summary.files.files), (10, 10));
    assert!(summary.to_string().contains(&format!("damaged: {kind}")));
}

#[test]
fn the_slots_of_both_header_blocks_are_listed_where_they_differ() {
    let place = Place::new();
    let path = place.stream("half");
    let before = fs::read(&path).unwrap();
    let old = place.rotate();
    files::rewrap(&place.cipher, &path).unwrap();
    let after = fs::read(&path).unwrap();
    let new = place.keyring.active().unwrap();
    let (a, b) = (..BLOCK, BLOCK..2 * BLOCK);
    // As a process leaves it that dies between the two blocks, and the other way round.
    place.put(
        "half",
        [&before[a], &after[b.clone()], &after[2 * BLOCK..]].concat(),
    );
    place.put(
        "swapped",
        [&after[a], &before[b], &after[2 * BLOCK..]].concat(),
    );
    let mut torn = after.clone();
    torn[50] ^= 1;
    place.put("torn", torn);
    place.put("whole", after);

    let (entries, summary) = place.inventory();
    for name in ["half", "swapped"] {
        let found = entries[&place.path(name)].inspection().unwrap();
        assert!(!found.blocks_alike, "{name}");
        assert_eq!(found.header.generation, 1, "{name}");
        assert_eq!(found.header.slots, [new.into()], "{name}");
        assert_eq!(found.other_slots, [old.into()], "{name}");
        let line = json(&entries[&place.path(name)]);
        assert_eq!(line["other_slots"][0]["key_id"], old.to_string());
        assert_eq!(line["blocks_alike"], false);
    }
    let torn = entries[&place.path("torn")].inspection().unwrap();
    assert!(!torn.blocks_alike && torn.other_slots.is_empty());
    assert_eq!(torn.header.slots, [new.into()]);
    assert_eq!(summary.blocks_differ, 3);
    let count = |id: phi_envelope::KeyId| {
        let mut keys = summary.keys.listed.iter();
        let key = keys.find(|key| key.key_id == id.to_string());
        key.unwrap().tally.files
    };
    assert_eq!((count(new), count(old)), (4, 2));
}

#[test]
fn all_passphrases_are_counted_as_one_key() {
    let place = Place::new();
    for number in 0..5 {
        let costs = Argon2Costs {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        };
        let passphrase = Passphrase::new(number.to_string()).unwrap();
        let cipher = EnvelopeCipher::builder()
            .encrypt_for(passphrase.with_costs(costs).unwrap())
            .encrypt_for(place.keyring.clone())
            .build()
            .unwrap();
        place.put(number.to_string(), record(&cipher));
    }
    let (_, summary) = place.inventory();
    let [keyring, passphrases] = &summary.keys.listed[..] else {
        panic!("{:?}", summary.keys);
    };
    assert_eq!((keyring.scheme, passphrases.scheme), (1, 2));
    assert_eq!((keyring.tally.files, passphrases.tally.files), (5, 5));
    assert_eq!(passphrases.key_id, "");
}

#[test]
fn whoever_names_a_key_in_each_file_does_not_fill_the_memory() {
    let place = Place::new();
    let (mut header, payload) = RawHeader::parse(&record(&place.cipher));
    for file in 0..320_u32 {
        let slots = (0..32_u32).map(|slot| {
            let id = u128::from(file * 32 + slot).to_be_bytes();
            RawSlot::new(1, &id, &[0; 60])
        });
        header.slots = slots.collect();
        place.put(file.to_string(), header.with(&payload));
    }
    let (_, summary) = place.inventory();
    assert_eq!(summary.keys.listed.len(), 10_000);
    assert_eq!(summary.keys.further, 320 * 32 - 10_000);
    assert!(summary.to_string().contains("240 slots of further keys"));
}

#[test]
fn pipes_sockets_and_links_are_told_and_not_opened() {
    let place = Place::new();
    place.record("record");
    let pipe = place.path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let _socket = UnixListener::bind(place.path("socket")).unwrap();
    symlink("/dev/zero", place.path("device")).unwrap();
    symlink(&pipe, place.path("to_pipe")).unwrap();
    symlink("record", place.path("to_record")).unwrap();
    symlink("..", place.path("to_parent")).unwrap();
    symlink("loop", place.path("loop")).unwrap();
    symlink("nowhere", place.path("dangling")).unwrap();
    // Named themselves too.
    let roots = vec![place.root().to_owned(), pipe.clone(), place.path("socket")];

    let (sender, taken) = mpsc::channel();
    std::thread::spawn(move || {
        let all: Vec<_> = archive::inventory(FileTree::new(roots)).unwrap().collect();
        sender.send(all).unwrap();
    });
    let all = taken.recv_timeout(Duration::from_secs(60)).unwrap();
    let count = |is: &str| all.iter().filter(|entry| word(entry) == is).count();
    assert_eq!((count("special"), count("symlink")), (4, 6));
    assert_eq!((count("record"), all.len()), (1, 11));
}

#[test]
fn a_snapshot_comes_back_and_is_compared_with_a_later_one() {
    let place = Place::new();
    place.record("record");
    place.put("plain", "MRN");
    place.put("damaged", b"PHIE\x01\x09");
    let (_, first) = place.inventory();
    let stored = serde_json::to_string(&first).unwrap();
    let earlier: InventorySummary = serde_json::from_str(&stored).unwrap();
    assert_eq!(earlier, first);
    assert!(first.since(&earlier).changes.is_empty());
    assert!(
        first
            .since(&earlier)
            .to_string()
            .contains("nothing changed")
    );

    let old = place.rotate();
    place.rewrap();
    place.stream("stream");
    fs::remove_file(place.path("plain")).unwrap();
    let (_, later) = place.inventory();
    let changes = later.since(&earlier);
    assert_eq!((changes.from, changes.to), (first.taken, later.taken));
    let line = |name: &str| {
        let mut lines = changes.changes.iter();
        let line = lines.find(|line| line.name.contains(name));
        let line = line.unwrap_or_else(|| panic!("{name} in {changes:?}"));
        (line.before.files, line.after.files)
    };
    assert_eq!(line("streams"), (0, 1));
    assert_eq!(line("NOT ENVELOPES"), (1, 0));
    assert_eq!(line(&old.to_string()), (1, 0));
    assert_eq!(line(&place.keyring.active().unwrap().to_string()), (0, 2));
    // Neither what stayed, nor what is not there.
    assert_eq!(changes.changes.len(), 4);
    let table = changes.to_string();
    assert!(table.contains("NOT ENVELOPES"), "{table}");
    json(&changes);
}

#[test]
fn a_keyring_says_the_state_of_its_keys_and_which_open_nothing() {
    let place = Place::new();
    place.record("record");
    let old = place.rotate();
    let foreign = Keyring::generate("elsewhere").unwrap();
    place.put("foreign", record(&EnvelopeCipher::new(foreign.clone())));
    let (_, summary) = place.inventory();
    let summary = summary.with_keys(&place.keyring.keys());
    let key = |id: phi_envelope::KeyId| {
        let mut keys = summary.keys.listed.iter();
        keys.find(|key| key.key_id == id.to_string()).unwrap()
    };
    let (old, new) = (key(old), key(place.keyring.active().unwrap()));
    assert_eq!(
        (old.state, old.tally.files),
        (Some(KeyState::Deactivated), 1)
    );
    assert_eq!((new.state, new.tally.files), (Some(KeyState::Active), 0));
    assert_eq!(new.label.as_deref(), Some("next"));
    assert_eq!(key(foreign.active().unwrap()).state, None);
    let table = summary.to_string();
    assert!(
        table.contains("deactivated") && table.contains("(next)"),
        "{table}"
    );
    let stored = serde_json::to_vec(&summary).unwrap();
    let again: InventorySummary = serde_json::from_slice(&stored).unwrap();
    assert_eq!(again, summary);
}

#[test]
fn threads_do_not_change_what_is_found() {
    let place = Place::new();
    for file in 0..300 {
        let name = format!("{}/{}", file % 7, file);
        match file % 3 {
            0 => place.record(name),
            1 => place.stream(name),
            _ => place.put(name, "plain"),
        };
    }
    let (one, eight) = (1.try_into().unwrap(), 8.try_into().unwrap());
    let [(first, one), (second, eight)] =
        [one, eight].map(|threads| take_inventory(place.tree().threads(threads)));
    assert!(first.keys().eq(second.keys()));
    assert_eq!(one.files, eight.files);
    assert_eq!(one.keys, eight.keys);
    assert_eq!(place.tree().count(), 300);
}

#[test]
fn progress_tells_what_is_done_and_what_is_left() {
    let place = Place::new();
    for file in 0..100 {
        place.record(file.to_string());
    }
    let mut taken = archive::inventory(place.tree()).unwrap();
    assert_eq!(taken.progress(Some(100)).left, None);
    taken.by_ref().take(60).for_each(drop);
    let half = taken.progress(Some(100));
    assert_eq!((half.done, half.total), (60, Some(100)));
    assert!(half.left.unwrap() < half.elapsed);
    taken.by_ref().for_each(drop);
    assert_eq!(taken.progress(Some(100)).left, Some(Duration::ZERO));
    // More came while it ran than were counted.
    assert_eq!(taken.progress(Some(10)).left, Some(Duration::ZERO));
    assert_eq!(taken.progress(None).left, None);
}
