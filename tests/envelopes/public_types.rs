//! What every public type shows of itself, by `Debug`, `Display` and serde, over operations that all met secrets; and that no
//! public type was forgotten.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::fs;
use std::io::{Cursor, Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phi_envelope::{
    Context, Envelope, EnvelopeCipher, Error, KeyProvider, Keyring, KeyringFile, MasterKey,
    Passphrase, SessionLimits,
    archive::{
        self, DestroyOptions, Evidence, EvidenceScan, FileTree, RetireOptions, RewrapOptions,
        RowUpdate, RowsPass, Shard,
    },
    error::{MalformedKeyring, Rollback},
    files::{self, ChangeOptions, FileOptions, SlotChange},
    floe,
    header::EnvelopeKind,
    inspect,
    keys::{Argon2Costs, DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};
use serde::Serialize;

use crate::hunt::{BINDING, FLOE_KEY, Hunt, MASTER_KEY, PASSPHRASE, PLAINTEXT};

/// What was shown, and of which types.
#[derive(Default)]
struct Gallery {
    types: BTreeSet<String>,
    texts: Vec<String>,
}

impl Gallery {
    fn see<T: Debug>(&mut self, value: &T) {
        // The innermost name: `&[phi_envelope::…::KeyInfo]` is one of `KeyInfo`.
        let name = std::any::type_name::<T>();
        let path = name.split('<').next().unwrap();
        self.types
            .insert(path.rsplit("::").next().unwrap().to_owned());
        let shown = [format!("{value:?}"), format!("{value:#?}")];
        assert!(shown.iter().all(|text| !text.is_empty()), "{name}");
        self.texts.extend(shown);
    }

    fn see_text<T: Debug + Display>(&mut self, value: &T) {
        self.see(value);
        self.texts.push(value.to_string());
    }

    fn see_json<T: Debug + Serialize>(&mut self, value: &T) {
        self.see(value);
        self.texts.push(serde_json::to_string(value).unwrap());
        self.texts
            .push(serde_json::to_string_pretty(value).unwrap());
    }

    /// With all that stands behind it.
    fn see_error(&mut self, error: &Error) {
        self.see_text(error);
        match error {
            Error::Malformed(what) => self.see_text(what),
            Error::ContextMismatch(what) => self.see_text(what),
            Error::AuthenticationFailed(what) => self.see_text(what),
            Error::LimitExceeded(what) => self.see_text(what),
            Error::Recipients(what) => self.see_text(what),
            Error::Evidence(what) => self.see_text(what),
            Error::NoMatchingKey { slots } => slots.iter().for_each(|slot| self.see_text(slot)),
            Error::KeyNotUsable { key_id, state } => {
                self.see_text(key_id);
                self.see_text(state);
            }
            _ => {}
        }
        if let Error::Malformed(phi_envelope::error::Malformed::Keyring(rule)) = error {
            self.see_text(rule);
        }
        let mut cause = std::error::Error::source(error);
        while let Some(one) = cause {
            self.texts.extend([one.to_string(), format!("{one:?}")]);
            cause = one.source();
        }
    }
}

fn cheap() -> Passphrase {
    let costs = Argon2Costs {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
    Passphrase::new(PASSPHRASE)
        .unwrap()
        .with_costs(costs)
        .unwrap()
}

fn master_key() -> MasterKey {
    MasterKey::from_bytes_zeroizing(&mut MASTER_KEY.clone())
}

fn bound() -> Context {
    let context = Context::new().label("tenant", "clinic-7").unwrap();
    context.bind("patient", BINDING).unwrap()
}

/// A keyring that shows what it is handed.
struct Shown(Keyring, &'static Mutex<Gallery>);

impl KeyProvider for Shown {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        let recognition = self.0.recognize(slot);
        self.1.lock().unwrap().see(&recognition);
        recognition
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey, Error> {
        let wrapped = self.0.wrap_key(key, context)?;
        let mut gallery = self.1.lock().unwrap();
        gallery.see(key);
        gallery.see(context);
        gallery.see(&wrapped);
        Ok(wrapped)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey, Error> {
        let mut gallery = self.1.lock().unwrap();
        gallery.see(slot);
        gallery.see(&slot.name());
        gallery.see(context);
        self.0.unwrap_key(slot, context)
    }
}

#[test]
fn no_public_type_tells_a_secret_and_none_was_forgotten() {
    let gallery: &'static Mutex<Gallery> = Box::leak(Box::default());
    records(gallery);
    let mut seen = gallery.lock().unwrap();
    streams(&mut seen);
    keys(&mut seen);
    errors(&mut seen);
    files_and_trees(&mut seen);
    retirement(&mut seen);

    let mut hunt = Hunt::new();
    hunt.texts = std::mem::take(&mut seen.texts);
    let forgotten: Vec<_> = public_types().difference(&seen.types).cloned().collect();
    assert!(forgotten.is_empty(), "not looked at: {forgotten:?}");
    assert!(hunt.texts.len() > 300, "{} texts", hunt.texts.len());
    hunt.finish();
}

/// The types that the crate's root and its module `floe` export.
fn public_types() -> BTreeSet<String> {
    let exported = |path: &str| {
        let text = fs::read_to_string(path).unwrap();
        let uses = text.split("pub use ").skip(1).map(|rest| {
            let (exported, _) = rest.split_once(';').unwrap();
            format!("{exported} ")
        });
        uses.collect::<String>()
    };
    let text = exported("src/lib.rs") + &exported("src/floe/mod.rs");
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    let types: BTreeSet<_> = words
        .filter(|word| word.starts_with(char::is_uppercase))
        // A trait, and a short name of the standard library's type.
        .filter(|word| !["KeyProvider", "Result"].contains(word))
        .map(str::to_owned)
        .collect();
    assert!(types.contains("EnvelopeCipher") && types.contains("SegmentLength"));
    types
}

fn records(gallery: &'static Mutex<Gallery>) {
    let keyring = Keyring::from_master_key(master_key(), "ehr-2026");
    let builder = EnvelopeCipher::builder()
        .encrypt_for(Shown(keyring.clone(), gallery))
        .encrypt_for(cheap());
    gallery.lock().unwrap().see(&builder);
    let cipher = builder.build().unwrap();
    let context = bound();
    let envelope = cipher.encrypt(PLAINTEXT, &context).unwrap();
    let plaintext = cipher.decrypt(&envelope, &context).unwrap();
    let session = cipher.session(&Context::new()).unwrap();
    let row = Context::new().bind("patient", BINDING).unwrap();
    session.encrypt(PLAINTEXT, &row).unwrap();
    keyring.rotate("ehr-2027").unwrap();
    let mut pass = RowsPass::new(&cipher);
    let rows = || {
        [
            Ok::<_, Error>((1, envelope.clone())),
            Ok((2, PLAINTEXT.into())),
        ]
    };
    pass.rewrap(rows(), |_, _, _| Ok(RowUpdate::Conflict))
        .unwrap();
    let report = archive::rewrap_rows(&cipher, rows(), |_, _, _| {
        Ok::<_, Error>(RowUpdate::Written)
    })
    .unwrap();
    assert_eq!((report.done, report.failed.len()), (1, 1));

    let mut seen = gallery.lock().unwrap();
    seen.see(&cipher);
    seen.see(&context);
    seen.see(&plaintext);
    seen.see(&session);
    seen.see(&SessionLimits::default());
    seen.see(&inspect(&envelope).unwrap());
    seen.see(&EnvelopeKind::Record);
    seen.see_json(&Envelope::from_bytes(envelope).unwrap());
    seen.see(&RowUpdate::Written);
    seen.see(&pass);
    seen.see(&report);
    report
        .failed
        .iter()
        .for_each(|(_, error)| seen.see_error(error));
}

fn streams(seen: &mut Gallery) {
    let cipher = EnvelopeCipher::new(Keyring::from_master_key(master_key(), "ehr-2026"));
    let mut writer = cipher.encrypt_writer(Vec::new(), &bound()).unwrap();
    writer
        .write_all(PLAINTEXT.repeat(10_000).as_bytes())
        .unwrap();
    seen.see(&writer);
    let mut sealed = writer.finish().unwrap();
    sealed[20] ^= 1;
    let mut reader = cipher
        .decrypt_reader(Cursor::new(sealed), &bound())
        .unwrap();
    reader.read_exact(&mut [0; 30]).unwrap();
    seen.see(&reader);
    seen.see_text(&reader.header_damage().unwrap());

    let key = floe::Key::from_bytes(FLOE_KEY);
    let length = floe::SegmentLength::DEFAULT;
    let mut writer = floe::Writer::new(Vec::new(), &key, b"", length).unwrap();
    writer.write_all(PLAINTEXT.as_bytes()).unwrap();
    seen.see(&writer);
    let message = writer.finish().unwrap();
    let mut reader = floe::Reader::new(&message[..], &key, b"").unwrap();
    reader.read_exact(&mut [0; 3]).unwrap();
    seen.see(&reader);
    seen.see(&key);
    seen.see(&length);
}

fn keys(seen: &mut Gallery) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ehr.keyring");
    let file = KeyringFile::create_with(&path, master_key(), "ehr-2026", cheap()).unwrap();
    seen.see(&file);
    seen.see(&KeyringFile::options());
    seen.see(&file.pin());
    seen.see(&file.keyring());
    seen.see(&file.keyring().keys()[0]);
    seen.see_text(&file.keyring().active().unwrap());
    seen.see_json(&file.keyring().keys()[0].state);
    file.update(|keys| {
        keys.rotate("ehr-2027")?;
        seen.see(keys);
        Ok(())
    })
    .unwrap();
    seen.see(
        &file
            .update_and_tell(|keys| keys.rotate("ehr-2028"))
            .unwrap(),
    );
    let slots = Arc::new(Mutex::new(SlotChange::default()));
    let told = Arc::clone(&slots);
    let watched = KeyringFile::options()
        .on_slot_change(move |change| *told.lock().unwrap() = change.clone())
        .open(&path, cheap())
        .unwrap();
    file.update(|keys| keys.rotate("ehr-2029")).unwrap();
    watched.reload().unwrap();
    seen.see(&*slots.lock().unwrap());
    let later = KeyringFile::options().min_revision(99).open(&path, cheap());
    match later.unwrap_err() {
        Error::KeyringFile { fault, .. } => {
            seen.see(&fault);
            seen.see(&Rollback::Revision);
        }
        other => panic!("{other}"),
    }
    seen.see(&MalformedKeyring::Json);
    seen.see(&master_key());
    seen.see(&cheap());
    seen.see(&Argon2Costs::default());
    // A keyring's file whose content is none: the plaintext is a canary.
    let sealed = EnvelopeCipher::new(cheap())
        .encrypt(PLAINTEXT, &Context::new())
        .unwrap();
    fs::write(&path, sealed).unwrap();
    seen.see_error(&KeyringFile::open(&path, cheap()).unwrap_err());
}

fn errors(seen: &mut Gallery) {
    let keyring = Keyring::from_master_key(master_key(), "ehr-2026");
    let cipher = EnvelopeCipher::new(keyring.clone());
    let envelope = cipher.encrypt(PLAINTEXT, &bound()).unwrap();
    for at in 0..envelope.len() {
        let mut changed = envelope.clone();
        changed[at] ^= 0x80;
        seen.see_error(&cipher.decrypt(changed, &bound()).unwrap_err());
    }
    seen.see_error(&cipher.decrypt(&envelope, &Context::new()).unwrap_err());
    seen.see_error(
        &Context::new()
            .bind("patient", BINDING.repeat(1000))
            .unwrap_err(),
    );
    let stranger = EnvelopeCipher::new(cheap());
    seen.see_error(&stranger.decrypt(&envelope, &bound()).unwrap_err());
    let labels = Context::new().label("tenant", "clinic-7").unwrap();
    seen.see_error(
        &cipher
            .remove_recipient(&envelope, &keyring, &labels)
            .unwrap_err(),
    );
    keyring.mark_compromised(keyring.active().unwrap()).unwrap();
    seen.see_error(&cipher.decrypt(&envelope, &bound()).unwrap_err());
}

fn files_and_trees(seen: &mut Gallery) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let keyring = Keyring::from_master_key(master_key(), "ehr-2026");
    let cipher = EnvelopeCipher::new(keyring.clone());
    fs::create_dir(at("tree")).unwrap();
    fs::write(at("plain"), PLAINTEXT.repeat(100)).unwrap();
    // One that is no envelope stands among them.
    fs::write(at("tree/forgotten"), PLAINTEXT).unwrap();
    let sealed = at("tree/sealed");
    let report =
        files::encrypt(&cipher, at("plain"), &sealed, &bound(), FileOptions::new()).unwrap();
    seen.see(&report);
    seen.see(&FileOptions::new().detached_header("header"));
    seen.see(&ChangeOptions::new());
    seen.see(&report.not_kept);
    let mut damaged = fs::read(&sealed).unwrap();
    damaged[40] ^= 1;
    damaged[4096 + 40] ^= 1;
    fs::write(at("tree/damaged"), damaged).unwrap();
    let refused = files::decrypt(
        &cipher,
        at("tree/damaged"),
        at("out"),
        &bound(),
        FileOptions::new(),
    );
    seen.see_error(&refused.unwrap_err());
    let range = files::open(&cipher, &sealed, &bound(), FileOptions::new()).unwrap();
    range.read_at(&mut [0; 40], 3).unwrap();
    seen.see(&range);
    seen.see(&files::inspect(&sealed).unwrap());
    let labels = Context::new().label("tenant", "clinic-7").unwrap();
    files::add_recipient(&cipher, &sealed, &cheap(), &labels).unwrap();

    let tree = || FileTree::new([folder.path().join("tree")]);
    seen.see(&tree().shard(Shard::new(0, 1).unwrap()));
    seen.see(&Shard::new(0, 1).unwrap());
    let mut taken = archive::inventory(tree()).unwrap();
    seen.see(&taken);
    for entry in taken.by_ref() {
        seen.see_json(&entry);
        seen.see(&entry.content);
    }
    let progress = taken.progress(Some(3));
    seen.see(&progress);
    let before = taken.finish();
    seen.see_json(&before);
    seen.see_text(&before);
    seen.see_json(&before.files);
    seen.see_json(&before.keys);
    seen.see_json(&before.keys.listed[0]);
    let mut read = archive::exposure(
        tree(),
        [phi_envelope::header::SlotId::from(
            keyring.active().unwrap(),
        )],
    )
    .unwrap();
    seen.see(&read);
    for entry in read.by_ref() {
        seen.see_json(&entry);
        seen.see(&entry.exposed);
    }
    let summary = read.finish();
    seen.see_json(&summary);
    seen.see_text(&summary);
    keyring.rotate("ehr-2027").unwrap();
    seen.see(&RewrapOptions::new().reencrypt([keyring.active().unwrap()], |_, _| Ok(bound())));
    let mut pass = archive::rewrap(&cipher, tree(), RewrapOptions::new()).unwrap();
    seen.see(&pass);
    for entry in pass.by_ref() {
        seen.see_json(&entry);
        seen.see(&entry.outcome);
    }
    let summary = pass.finish();
    seen.see_json(&summary);
    seen.see_text(&summary);
    seen.see(&files::rewrap(&cipher, &sealed).unwrap());
    seen.see(&phi_envelope::archive::SkipReason::NotAnEnvelope);
    let changes = archive::inventory(tree()).unwrap().finish().since(&before);
    seen.see_json(&changes);
    seen.see_text(&changes);
    changes
        .changes
        .iter()
        .for_each(|change| seen.see_json(change));
}

fn retirement(seen: &mut Gallery) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let file = KeyringFile::create_with(at("ehr.keyring"), master_key(), "old", cheap()).unwrap();
    let cipher = EnvelopeCipher::new(file.keyring());
    fs::create_dir(at("tree")).unwrap();
    fs::write(
        at("tree/record"),
        cipher.encrypt(PLAINTEXT, &bound()).unwrap(),
    )
    .unwrap();
    fs::write(at("tree/no envelope"), PLAINTEXT).unwrap();
    let old = file.keyring().active().unwrap();
    file.update(|keys| keys.rotate("new")).unwrap();
    let mut scan = EvidenceScan::new(&file, &cipher, old).unwrap();
    scan.tree("the tree", FileTree::new([at("tree")])).unwrap();
    seen.see(&scan);
    let evidence: Evidence = scan.finish();
    seen.see_json(&evidence);
    seen.see_text(&evidence);
    evidence
        .places
        .iter()
        .for_each(|place| seen.see_json(place));
    evidence
        .findings
        .iter()
        .for_each(|finding| seen.see_json(finding));
    for class in evidence.found() {
        seen.see(&class);
        seen.see(&class.class);
    }
    seen.see(&evidence.keyring.unwrap());
    seen.see(&evidence.places[0].kind);
    seen.see(&phi_envelope::archive::NamesBefore::of([FileTree::new([
        at("tree"),
    ])]));
    let mut bucket = EvidenceScan::of_slot(&cipher, old.into());
    let place = bucket.place("bucket", phi_envelope::archive::PlaceKind::Objects);
    let object = cipher.encrypt(PLAINTEXT, &bound()).unwrap();
    let length = object.len() as u64;
    let looked = bucket.look(place, "object", length, &object);
    seen.see(&place);
    seen.see(&looked);
    seen.see(&bucket.opener());
    if let phi_envelope::archive::Looked::Open(id) = looked {
        seen.see(&id);
        seen.see(&bucket.opener().open(length, &object).unwrap());
    }
    let mut inventory = phi_envelope::archive::InventoryScan::new();
    let _ = inventory.look("bucket", "object", length, &object);
    seen.see(&inventory);
    let sealed = evidence.seal(&EnvelopeCipher::new(cheap())).unwrap();
    let previous =
        phi_envelope::archive::Previous::evidence(&EnvelopeCipher::new(cheap()), &sealed);
    seen.see(&previous.unwrap());
    let refused = archive::destroy_key(&file, old, &sealed, DestroyOptions::new());
    seen.see_error(&refused.unwrap_err());
    seen.see(&DestroyOptions::new().max_evidence_age(Duration::from_secs(5)));
    seen.see(&RetireOptions::new().keep());
    let places = [at("tree")];
    let retired = archive::retire(
        &file,
        &cipher,
        old,
        &places,
        at("evidence"),
        RetireOptions::new(),
    )
    .unwrap();
    assert!(retired.not_before.is_some());
    seen.see(&retired);
}
