//! A file's header is rewrapped in place; its payload is not touched.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use phi_envelope::{
    Context, EnvelopeCipher, Error, HeaderDamage, KeyProvider, Keyring, Result,
    files::{self, FileOptions, RewrapStatus},
    header::SlotId,
    inspect,
    keys::{DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};

fn context() -> Context {
    Context::new().bind("export", "42").unwrap()
}

fn inline(cipher: &EnvelopeCipher) -> Vec<u8> {
    let mut out = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
    out.write_all(&[7; 200_000]).unwrap();
    out.finish().unwrap()
}

#[test]
fn an_inline_stream_moves_to_the_new_key_and_keeps_its_payload() {
    let keyring = Keyring::generate("2026").unwrap();
    let cipher = EnvelopeCipher::new(keyring.clone());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export.phi");
    let before = inline(&cipher);
    fs::write(&path, &before).unwrap();
    assert_eq!(
        files::rewrap(&cipher, &path).unwrap(),
        RewrapStatus::UpToDate
    );
    assert_eq!(fs::read(&path).unwrap(), before);

    let old = keyring.active().unwrap();
    keyring.rotate("2027").unwrap();
    assert_eq!(
        files::rewrap(&cipher, &path).unwrap(),
        RewrapStatus::Rewrapped
    );
    let after = fs::read(&path).unwrap();
    assert_eq!(after[8192..], before[8192..]);
    assert_eq!(after[..4096], after[4096..8192]);
    assert_eq!(inspect(&after).unwrap().generation, 1);
    keyring.destroy_without_evidence(old).unwrap();
    assert!(cipher.decrypt_reader(&after[..], &context()).is_ok());
    assert!(matches!(
        cipher.decrypt_reader(&before[..], &context()),
        Err(Error::KeyNotUsable { .. })
    ));
    assert_eq!(
        files::rewrap(&cipher, &path).unwrap(),
        RewrapStatus::UpToDate
    );
}

#[test]
fn blocks_that_differ_are_repaired_although_the_key_is_current() {
    let cipher = EnvelopeCipher::new(Keyring::generate("2026").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export.phi");
    let whole = inline(&cipher);
    for at in [100, 4096 + 100] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let reader = cipher.decrypt_reader(&damaged[..], &context()).unwrap();
        assert_eq!(
            reader.header_damage(),
            Some(if at == 100 {
                HeaderDamage::FirstBlock
            } else {
                HeaderDamage::SecondBlock
            })
        );
        assert_eq!(
            files::rewrap(&cipher, &path).unwrap(),
            RewrapStatus::Rewrapped
        );
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn a_record_and_a_detached_header_are_replaced() {
    let keyring = Keyring::generate("2026").unwrap();
    let cipher = EnvelopeCipher::new(keyring.clone());
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record.phi");
    let header = folder.path().join("header.phi");
    fs::write(&record, cipher.encrypt("BP 120/80", &context()).unwrap()).unwrap();
    let (detached, _) = cipher
        .encrypt_writer_detached(Vec::new(), &context())
        .unwrap();
    fs::write(&header, detached).unwrap();
    keyring.rotate("2027").unwrap();
    for path in [&record, &header] {
        assert_eq!(
            files::rewrap(&cipher, path).unwrap(),
            RewrapStatus::Rewrapped
        );
        assert_eq!(
            files::rewrap(&cipher, path).unwrap(),
            RewrapStatus::UpToDate
        );
        let slots = inspect(&fs::read(path).unwrap()).unwrap().slots;
        assert_eq!(slots[0].key_id, keyring.active().unwrap().as_bytes());
    }
    let plaintext = cipher.decrypt(fs::read(&record).unwrap(), &context());
    assert_eq!(&plaintext.unwrap()[..], b"BP 120/80");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn who_overwrites_a_file_that_is_sealed_anew_comes_after_it() {
    let cipher = EnvelopeCipher::new(Keyring::generate("2026").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (path, new) = (folder.path().join("phi"), folder.path().join("new"));
    fs::write(&path, inline(&cipher)).unwrap();
    fs::write(&new, "what came last").unwrap();
    std::thread::scope(|scope| {
        let mut writer = None;
        let options = FileOptions::new().progress(|_, _| {
            writer.get_or_insert_with(|| {
                let write = || {
                    let options = FileOptions::new().overwrite();
                    files::encrypt(&cipher, &new, &path, &context(), options).unwrap();
                };
                scope.spawn(write)
            });
            std::thread::sleep(std::time::Duration::from_millis(50));
            ControlFlow::Continue(())
        });
        files::reencrypt(&cipher, &path, &context(), options).unwrap();
    });
    let out = folder.path().join("out");
    files::decrypt(&cipher, &path, &out, &context(), FileOptions::new()).unwrap();
    assert_eq!(fs::read(out).unwrap(), b"what came last");
}

/// Wraps with a keyring, and once, when told to, something else than the key.
struct Faulty(Keyring, AtomicBool);

impl KeyProvider for Faulty {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.0.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        if self.1.swap(false, Ordering::Relaxed) {
            return self
                .0
                .wrap_key(&DataKey::from_bytes_zeroizing(&mut [0; 32]), context);
        }
        self.0.wrap_key(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        self.0.unwrap_key(slot, context)
    }
}

#[test]
fn a_slot_that_does_not_give_the_data_key_back_is_never_written() {
    let keyring = Keyring::generate("2026").unwrap();
    let provider = Arc::new(Faulty(keyring.clone(), AtomicBool::new(false)));
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(Arc::clone(&provider))
        .encrypt_for(Keyring::generate("backup").unwrap())
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("phi");
    let before = inline(&cipher);
    fs::write(&path, &before).unwrap();
    keyring.rotate("2027").unwrap();
    provider.1.store(true, Ordering::Relaxed);
    assert!(files::rewrap(&cipher, &path).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(
        files::rewrap(&cipher, &path).unwrap(),
        RewrapStatus::Rewrapped
    );
    let alone = EnvelopeCipher::new(keyring);
    files::verify(&alone, &path, &context(), FileOptions::new()).unwrap();
}

#[test]
fn what_an_operation_needs_and_what_is_no_file_is_not_overwritten() {
    let cipher = EnvelopeCipher::new(Keyring::generate("2026").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("plain"), "note").unwrap();
    let detached = || FileOptions::new().detached_header(at("header"));
    files::encrypt(&cipher, at("plain"), at("payload"), &context(), detached()).unwrap();
    let header = fs::read(at("header")).unwrap();
    let over = detached().overwrite();
    let refused = files::decrypt(&cipher, at("payload"), at("header"), &context(), over);
    assert!(matches!(refused, Err(Error::Io(_))));
    assert_eq!(fs::read(at("header")).unwrap(), header);

    fs::create_dir(at("folder")).unwrap();
    let over = detached().overwrite();
    let refused = files::decrypt(&cipher, at("payload"), at("folder"), &context(), over);
    assert!(matches!(refused, Err(Error::Io(_))));
    let over = FileOptions::new().overwrite();
    let refused = files::encrypt(&cipher, at("plain"), "/dev/null", &context(), over);
    assert!(matches!(refused, Err(Error::Io(_))));
}

#[test]
fn a_name_out_of_an_unverified_header_commands_no_terminal() {
    let stranger = |scheme, key_id: &[u8]| {
        let key_id = key_id.to_vec();
        SlotId { scheme, key_id }.to_string()
    };
    assert_eq!(stranger(0xF0, b"\x04\x1b[2Jk"), "scheme 0xf0 041b5b324a6b");
    for scheme in 0..=0xFF {
        let name = stranger(scheme, b"\x04\x1b[2J\x07k\n\xff");
        assert!(name.chars().all(|letter| !letter.is_control()), "{name:?}");
    }
}
