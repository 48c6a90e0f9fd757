//! A file's header is rewrapped in place; its payload is not touched.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;

use phi_envelope::{
    Context, EnvelopeCipher, Error, HeaderDamage, Keyring, Rewrapped, inspect, rewrap_file,
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
    assert_eq!(rewrap_file(&cipher, &path).unwrap(), Rewrapped::Current);
    assert_eq!(fs::read(&path).unwrap(), before);

    let old = keyring.active().unwrap();
    keyring.rotate("2027").unwrap();
    assert_eq!(rewrap_file(&cipher, &path).unwrap(), Rewrapped::Done);
    let after = fs::read(&path).unwrap();
    assert_eq!(after[8192..], before[8192..]);
    assert_eq!(after[..4096], after[4096..8192]);
    assert_eq!(inspect(&after).unwrap().generation, 1);
    keyring.destroy(old).unwrap();
    assert!(cipher.decrypt_reader(&after[..], &context()).is_ok());
    assert!(matches!(
        cipher.decrypt_reader(&before[..], &context()),
        Err(Error::KeyNotUsable { .. })
    ));
    assert_eq!(rewrap_file(&cipher, &path).unwrap(), Rewrapped::Current);
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
        assert_eq!(rewrap_file(&cipher, &path).unwrap(), Rewrapped::Done);
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
        assert_eq!(rewrap_file(&cipher, path).unwrap(), Rewrapped::Done);
        assert_eq!(rewrap_file(&cipher, path).unwrap(), Rewrapped::Current);
        let slots = inspect(&fs::read(path).unwrap()).unwrap().slots;
        assert_eq!(slots[0].key_id, keyring.active().unwrap().as_bytes());
    }
    let plaintext = cipher.decrypt(fs::read(&record).unwrap(), &context());
    assert_eq!(&plaintext.unwrap()[..], b"BP 120/80");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
