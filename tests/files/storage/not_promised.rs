//! What a store can do all the same (`src/manual/threat_model.md`, "not promised"), so that nobody takes it for excluded.

use std::fs;

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use phi_envelope::{
    KeyringFile,
    files::{self, FileOptions},
    inspect,
};

use super::*;
use crate::common::{OpenBook, data_key};

#[test]
fn an_older_header_put_back_opens_with_the_key_that_it_is_under() {
    let keyring = keyring();
    let cipher = cipher(&keyring);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sealed");
    let before = seal_inline(&cipher, &sample(STREAM), &of("77"));
    fs::write(&path, &before).unwrap();
    let row_before = cipher.encrypt("note", &of("77")).unwrap();
    let old = keyring.active().unwrap();
    keyring.rotate("next").unwrap();
    files::rewrap(&cipher, &path).unwrap();
    let row = cipher.rewrap(&row_before).unwrap();

    let after = fs::read(&path).unwrap();
    let back = [&before[..PAYLOAD], &after[PAYLOAD..]].concat();
    let outcomes = ways::stream(&keyring, None, &back, &of("77"), &sample(STREAM));
    assert_opened(outcomes, "file");
    // Only the second block: of two, the newer one is current, and the other shows.
    let half = [&after[..BLOCK], &before[BLOCK..PAYLOAD], &after[PAYLOAD..]].concat();
    let reader = cipher.decrypt_reader(&half[..], &of("77")).unwrap();
    assert!(reader.header_damage().is_some());
    let header = RawHeader::parse(&row_before).0;
    let back_row = header.with(&RawHeader::parse(&row).1);
    assert_opened(ways::record(&keyring, &back_row, &of("77"), b"note"), "row");

    // What helps is that the old key is gone.
    keyring.destroy_without_evidence(old).unwrap();
    assert!(cipher.decrypt_reader(&back[..], &of("77")).is_err());
    assert!(cipher.decrypt(&back_row, &of("77")).is_err());
    assert!(cipher.decrypt(&row, &of("77")).is_ok());
}

#[test]
fn an_older_value_put_back_opens() {
    let keyring = keyring();
    let cipher = cipher(&keyring);
    let yesterday = cipher.encrypt("BP 120/80", &of("77")).unwrap();
    let _today = cipher.encrypt("BP 190/110", &of("77")).unwrap();
    assert_opened(
        ways::record(&keyring, &yesterday, &of("77"), b"BP 120/80"),
        "yesterday's",
    );
}

#[test]
fn whole_envelopes_of_equal_context_can_be_exchanged() {
    let keyring = keyring();
    let cipher = cipher(&keyring);
    let patient = labels("clinic-7").bind("patient", "MRN-0042").unwrap();
    let rows = ["first", "second"].map(|row| cipher.encrypt(row, &patient).unwrap());
    assert_opened(
        ways::record(&keyring, &rows[1], &patient, b"second"),
        "the second in the first's place",
    );
    let files = [1, 2].map(|len| seal_inline(&cipher, &sample(len), &patient));
    assert_opened(
        ways::stream(&keyring, None, &files[1], &patient, &sample(2)),
        "the second in the first's place",
    );
}

#[test]
fn what_was_deleted_is_gone() {
    let keyring = keyring();
    let cipher = cipher(&keyring);
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("sealed"), folder.path().join("out"));
    fs::write(&path, seal_inline(&cipher, &sample(9), &of("77"))).unwrap();
    fs::remove_file(&path).unwrap();
    let opened = files::decrypt(&cipher, &path, &out, &of("77"), FileOptions::new());
    assert!(
        matches!(opened, Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound)
    );
    // A table that lost a row reads as one that never had it.
    let rows = [1, 2, 3].map(|row| cipher.encrypt([row], &labels("clinic-7")).unwrap());
    let left = [&rows[0], &rows[2]].map(|row| (row, labels("clinic-7")));
    assert!(cipher.decrypt_batch(&left).iter().all(Result::is_ok));
}

#[test]
fn a_header_that_was_read_without_a_key_is_a_claim() {
    let keyring = keyring();
    let cipher = cipher(&keyring);
    let sealed = cipher.encrypt("note", &of("77")).unwrap();
    let (mut header, payload) = RawHeader::parse(&sealed);
    // Whoever looks for envelopes of the old key does not find this one.
    header.slots[0].key_id = vec![9; 16];
    header.labels = crate::common::pair(b"tenant", b"clinic-8");
    header.generation = 7;
    let forged = header.with(&payload);
    let shown = inspect(&forged).unwrap();
    assert_eq!(shown.slots[0].key_id, [9; 16]);
    assert_eq!(shown.labels, [("tenant".into(), "clinic-8".into())]);
    assert_eq!(shown.generation, 7);
    assert!(cipher.decrypt(&forged, &of("77")).is_err());
}

#[test]
fn lengths_labels_key_ids_and_a_shared_data_key_are_seen_by_everyone() {
    let keyring = keyring();
    let session = cipher(&keyring).session(&labels("clinic-7")).unwrap();
    let rows = ["negative", "positive for it"].map(|it| session.encrypt(it, &of("77")).unwrap());
    let [first, second] = rows.each_ref().map(|row| inspect(row).unwrap());
    assert_eq!(first.data_key_id, second.data_key_id);
    assert_eq!(rows[1].len() - rows[0].len(), 7);
    assert_eq!(first.labels, [("tenant".into(), "clinic-7".into())]);
    let active = keyring.active().unwrap();
    assert_eq!(first.slots[0].key_id, active.as_bytes());
}

/// Whoever can open one envelope of a data key writes another under it, which says nothing of who wrote it.
#[test]
fn who_can_open_an_envelope_can_forge_one_under_its_data_key() {
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(OpenBook::new("book"))
        .build()
        .unwrap();
    let sealed = cipher.encrypt("BP 120/80", &of("77")).unwrap();
    let (header, _) = RawHeader::parse(&sealed);
    let key = header.payload_key(&data_key(&header));
    let gcm = Aes256Gcm::new(&key.into());
    let (iv, mut payload) = ([3; 12], *b"BP 90/50");
    let tag = gcm.encrypt_inout_detached(&Nonce::from(iv), b"", payload[..].as_mut().into());
    let forged = header.with(&[&iv[..], &payload, &tag.unwrap()].concat());
    let opened = cipher.decrypt(&forged, &of("77")).unwrap();
    assert_eq!(&opened[..], b"BP 90/50");
}

/// A process that has just started knows no newer file.
#[test]
fn an_older_keyrings_file_put_back_is_believed_by_a_new_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyring");
    let protection = keyring();
    let file = KeyringFile::create(&path, "ehr-2026", protection.clone()).unwrap();
    let old = file.keyring().active().unwrap();
    let before = fs::read(&path).unwrap();
    file.update(|edit| edit.mark_compromised(old)).unwrap();
    fs::write(&path, before).unwrap();
    assert!(file.reload().is_err());
    let new = KeyringFile::open(&path, protection).unwrap();
    assert_eq!(new.keyring().active().unwrap(), old);
}
