//! Who can open an envelope, and how that changes: rewrap, recipients added, removed and replaced, keys that change their
//! state. The payload keeps its bytes, and nobody gets a slot that he was not meant to have.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test stops where something is not as it says

use std::sync::Arc;

use crate::common::{
    EXTERNAL, KEYRING, OpenBook, PASSPHRASE, RawHeader, RawSlot, context, data_key, flipped,
    keyring, keyring_of, labels, master_key, sample,
};
use phi_envelope::{
    Context, EnvelopeCipher, Error, KeyId, KeyProvider, Keyring, Passphrase, Result,
    error::{AuthenticatedPart, ContextMismatch, Limit, Malformed, RecipientError},
    header::SlotId,
    inspect,
    keys::{
        Argon2Costs, DataKey, KeyState, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey,
    },
};

const NOTE: &[u8] = b"BP 120/80";

fn cipher_for(providers: impl IntoIterator<Item = Arc<dyn KeyProvider>>) -> EnvelopeCipher {
    let builder = providers
        .into_iter()
        .fold(EnvelopeCipher::builder(), |b, p| b.encrypt_for(p));
    builder.build().unwrap()
}

fn shared(provider: impl KeyProvider + 'static) -> Arc<dyn KeyProvider> {
    Arc::new(provider)
}

fn passphrase(text: &str) -> Passphrase {
    let cheap = Argon2Costs {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
    Passphrase::new(text).unwrap().with_costs(cheap).unwrap()
}

fn seal(cipher: &EnvelopeCipher) -> Vec<u8> {
    cipher.encrypt(NOTE, &context()).unwrap()
}

#[track_caller]
fn assert_opens(cipher: &EnvelopeCipher, envelope: &[u8]) {
    assert_eq!(&cipher.decrypt(envelope, &context()).unwrap()[..], NOTE);
}

/// What refuses it.
#[track_caller]
fn refusal(cipher: &EnvelopeCipher, envelope: &[u8]) -> Error {
    cipher.decrypt(envelope, &context()).unwrap_err()
}

#[track_caller]
fn assert_no_key(cipher: &EnvelopeCipher, envelope: &[u8]) {
    let error = refusal(cipher, envelope);
    assert!(matches!(error, Error::NoMatchingKey { .. }), "{error:?}");
}

fn parts(envelope: &[u8]) -> (RawHeader, Vec<u8>) {
    RawHeader::parse(envelope)
}

fn schemes(envelope: &[u8]) -> Vec<u8> {
    parts(envelope)
        .0
        .slots
        .iter()
        .map(|slot| slot.scheme)
        .collect()
}

/// Everything but slots, generation and tag is the same, payload included, and the generation is one more.
#[track_caller]
fn assert_only_slots_changed(before: &[u8], after: &[u8]) {
    let (before, before_payload) = parts(before);
    let (after, after_payload) = parts(after);
    assert_eq!(before_payload, after_payload);
    let expected = RawHeader {
        generation: before.generation + 1,
        slots: after.slots.clone(),
        tag: after.tag,
        ..before
    };
    assert_eq!(after, expected);
}

#[test]
fn after_a_rewrap_the_new_key_opens_and_the_old_key_does_not() {
    let ring = keyring_of(1);
    let cipher = EnvelopeCipher::new(ring.clone());
    let old_alone = EnvelopeCipher::new(keyring_of(1));
    let new_alone = EnvelopeCipher::new(keyring_of(2));
    let envelope = seal(&cipher);
    assert_eq!(cipher.rewrap(&envelope).unwrap(), envelope); // nothing to do
    ring.rotate_to(master_key(2), "next").unwrap();
    assert_no_key(&new_alone, &envelope);

    let moved = cipher.rewrap(&envelope).unwrap();
    assert_only_slots_changed(&envelope, &moved);
    assert_opens(&cipher, &moved);
    assert_opens(&new_alone, &moved);
    assert_no_key(&old_alone, &moved);
    assert_opens(&old_alone, &envelope);
    assert_eq!(cipher.rewrap(&moved).unwrap(), moved);
    assert_eq!(new_alone.rewrap(&moved).unwrap(), moved);

    ring.rotate_to(master_key(3), "the one after").unwrap();
    let again = cipher.rewrap(&moved).unwrap();
    assert_only_slots_changed(&moved, &again);
    assert_eq!(inspect(&again).unwrap().generation, 2);
    assert_no_key(&new_alone, &again);
}

#[test]
fn a_detached_header_is_rewrapped_and_an_inline_stream_is_not() {
    use std::io::{Read as _, Write as _};

    let ring = keyring();
    let cipher = EnvelopeCipher::new(ring.clone());
    let (header, mut out) = cipher
        .encrypt_writer_detached(Vec::new(), &context())
        .unwrap();
    out.write_all(&sample(100_000)).unwrap();
    let payload = out.finish().unwrap();
    let file = cipher
        .encrypt_writer(Vec::new(), &context())
        .unwrap()
        .finish()
        .unwrap();
    ring.rotate("next").unwrap();

    let moved = cipher.rewrap(&header).unwrap();
    assert_only_slots_changed(&header, &moved);
    let mut opened = Vec::new();
    let mut reader = cipher
        .decrypt_reader_detached(&moved, &payload[..], &context())
        .unwrap();
    reader.read_to_end(&mut opened).unwrap();
    assert!(opened == sample(100_000));
    let other_kind = cipher.rewrap(&file);
    assert!(matches!(
        other_kind,
        Err(Error::Malformed(Malformed::OtherKind { .. }))
    ));
    let trailing = cipher.rewrap([&header[..], b"x"].concat());
    assert!(matches!(
        trailing,
        Err(Error::Malformed(Malformed::TrailingBytes))
    ));
}

#[test]
fn a_session_record_is_rewrapped_alone() {
    let ring = keyring_of(1);
    let cipher = EnvelopeCipher::new(ring.clone());
    let session = cipher.session(&labels()).unwrap();
    let [one, other] = [1, 2].map(|_| session.encrypt(NOTE, &context()).unwrap());
    ring.rotate_to(master_key(2), "next").unwrap();
    let moved = cipher.rewrap(&one).unwrap();
    assert_only_slots_changed(&one, &moved);
    assert_opens(&EnvelopeCipher::new(keyring_of(2)), &moved);
    assert_opens(&EnvelopeCipher::new(keyring_of(1)), &other);
}

#[test]
fn a_rewrap_needs_no_bindings_and_carries_none_away() {
    let ring = keyring();
    let cipher = EnvelopeCipher::new(ring.clone());
    let envelope = seal(&cipher);
    ring.rotate("next").unwrap();
    let moved = cipher.rewrap(&envelope).unwrap();
    let missing = cipher.decrypt(&moved, &labels()).unwrap_err();
    assert!(matches!(
        missing,
        Error::ContextMismatch(ContextMismatch::BindingsMissing)
    ));
}

#[test]
fn slots_stand_in_the_order_in_which_recipients_were_named() {
    let providers = || {
        [
            shared(passphrase("p")),
            shared(keyring_of(1)),
            shared(OpenBook::new("b")),
        ]
    };
    let envelope = seal(&cipher_for(providers()));
    assert_eq!(schemes(&envelope), [PASSPHRASE, KEYRING, EXTERNAL]);
    let envelope = seal(&cipher_for(providers().into_iter().rev()));
    assert_eq!(schemes(&envelope), [EXTERNAL, KEYRING, PASSPHRASE]);
    for provider in providers() {
        assert_opens(&cipher_for([provider]), &envelope);
    }
}

#[test]
fn a_rewrap_keeps_the_slots_of_others_byte_for_byte() {
    let ring = keyring();
    let all = cipher_for([
        shared(OpenBook::new("elsewhere")),
        shared(ring.clone()),
        shared(passphrase("in the safe")),
        shared(keyring_of(9)),
    ]);
    let envelope = seal(&all);
    // A slot of a scheme that nobody knows yet, put in by someone who holds the data key.
    let (mut header, payload) = parts(&envelope);
    header
        .slots
        .insert(1, RawSlot::new(0x07, b"some id", &[5; 4096]));
    let key = data_key(&header);
    let envelope = header.sealed(&key).with(&payload);
    ring.rotate("next").unwrap();

    let moved = EnvelopeCipher::new(ring).rewrap(&envelope).unwrap();
    assert_only_slots_changed(&envelope, &moved);
    let (before, after) = (parts(&envelope).0.slots, parts(&moved).0.slots);
    assert_eq!(before.len(), after.len());
    for (index, (before, after)) in before.iter().zip(&after).enumerate() {
        assert_eq!(before == after, index != 2, "slot {index}");
    }
    assert_opens(&EnvelopeCipher::new(keyring_of(9)), &moved);
    assert_opens(&EnvelopeCipher::new(passphrase("in the safe")), &moved);
}

#[test]
fn a_rewrap_gives_nobody_a_slot_that_he_did_not_have() {
    let (a, b) = (keyring(), keyring());
    let of_a = seal(&EnvelopeCipher::new(a.clone()));
    let both = cipher_for([shared(b.clone()), shared(a.clone())]);
    // Tenant A's envelope lies in tenant B's folder when the officer, who writes for both, rewraps everything there.
    assert_eq!(both.rewrap(&of_a).unwrap(), of_a);
    b.rotate("next").unwrap();
    assert_eq!(both.rewrap(&of_a).unwrap(), of_a);
    a.rotate("next").unwrap();
    let moved = both.rewrap(&of_a).unwrap();
    assert_eq!(parts(&moved).0.slots.len(), 1);
    assert_opens(&EnvelopeCipher::new(a), &moved);
    assert_no_key(&EnvelopeCipher::new(b), &moved);
}

#[test]
fn a_provider_that_only_reads_gets_its_slot_left_alone() {
    let ring = keyring();
    let envelope = seal(&EnvelopeCipher::new(ring.clone()));
    ring.rotate("next").unwrap();
    let reader = EnvelopeCipher::builder()
        .encrypt_for(keyring())
        .decrypt_with(ring)
        .build()
        .unwrap();
    assert_opens(&reader, &envelope);
    assert_eq!(reader.rewrap(&envelope).unwrap(), envelope);
}

#[test]
fn several_slots_of_one_provider_become_one_in_the_place_of_the_first() {
    let older = cipher_for([
        shared(keyring_of(1)),
        shared(OpenBook::new("b")),
        shared(keyring_of(2)),
        shared(keyring_of(3)),
    ]);
    let ring = keyring_of(1);
    ring.rotate_to(master_key(3), "3").unwrap();
    ring.rotate_to(master_key(2), "2").unwrap(); // its active key has a slot already
    let envelope = seal(&older);
    let cipher = EnvelopeCipher::new(ring.clone());
    let moved = cipher.rewrap(&envelope).unwrap();
    assert_only_slots_changed(&envelope, &moved);
    assert_eq!(schemes(&moved), [KEYRING, EXTERNAL]);
    assert_eq!(
        parts(&moved).0.slots[0].key_id,
        ring.active().unwrap().as_bytes()
    );
    assert_eq!(parts(&moved).0.slots[1], parts(&envelope).0.slots[1]);
    assert_opens(&EnvelopeCipher::new(keyring_of(2)), &moved);
    assert_no_key(&EnvelopeCipher::new(keyring_of(1)), &moved);
    assert_eq!(cipher.rewrap(&moved).unwrap(), moved);

    let book = OpenBook::with_older(vec![b"new".to_vec(), b"old".to_vec()]);
    let envelope = seal(&cipher_for([
        shared(OpenBook::new("old")),
        shared(OpenBook::new("new")),
    ]));
    let moved = EnvelopeCipher::new(book).rewrap(&envelope).unwrap();
    assert_eq!(parts(&moved).0.slots.len(), 1);
    assert_opens(&EnvelopeCipher::new(OpenBook::new("new")), &moved);
}

#[test]
fn a_recipient_added_goes_last_and_opens_and_the_payload_stays() {
    let ring = keyring();
    let cipher = EnvelopeCipher::new(ring.clone());
    let envelope = seal(&cipher);
    let recipients = [
        shared(keyring_of(5)),
        shared(passphrase("p")),
        shared(OpenBook::new("b")),
    ];
    for recipient in recipients {
        let added = cipher
            .add_recipient(&envelope, &*recipient, &labels())
            .unwrap();
        assert_only_slots_changed(&envelope, &added);
        assert_eq!(parts(&added).0.slots[0], parts(&envelope).0.slots[0]);
        assert_eq!(parts(&added).0.slots.len(), 2);
        assert_opens(&cipher, &added);
        assert_opens(&cipher_for([recipient.clone()]), &added);

        let twice = cipher
            .add_recipient(&added, &*recipient, &labels())
            .unwrap_err();
        assert!(
            matches!(twice, Error::Recipients(RecipientError::Present)),
            "{twice:?}"
        );
        let removed = cipher
            .remove_recipient(&added, &*recipient, &labels())
            .unwrap();
        assert_only_slots_changed(&added, &removed);
        assert_eq!(parts(&removed).0.slots, parts(&envelope).0.slots);
        assert_no_key(&cipher_for([recipient]), &removed);
    }
    let twice = cipher
        .add_recipient(&envelope, &ring, &labels())
        .unwrap_err();
    assert!(matches!(twice, Error::Recipients(RecipientError::Present)));
    ring.rotate("next").unwrap(); // under an older key, but it has one
    let twice = cipher
        .add_recipient(&envelope, &ring, &labels())
        .unwrap_err();
    assert!(matches!(twice, Error::Recipients(RecipientError::Present)));
}

#[test]
fn the_last_recipient_and_one_who_is_none_cannot_be_removed() {
    let ring = keyring();
    let cipher = EnvelopeCipher::new(ring.clone());
    let envelope = seal(&cipher);
    let last = cipher.remove_recipient(&envelope, &ring, &labels());
    assert!(matches!(last, Err(Error::Recipients(RecipientError::Last))));
    let none = cipher.remove_recipient(&envelope, &keyring(), &labels());
    assert!(matches!(
        none,
        Err(Error::Recipients(RecipientError::Absent))
    ));

    let both = cipher_for([shared(keyring_of(1)), shared(keyring_of(2))]);
    let envelope = seal(&both);
    let owner = keyring_of(1);
    owner.rotate_to(master_key(2), "2").unwrap(); // both slots are its own
    let last = both.remove_recipient(&envelope, &owner, &labels());
    assert!(matches!(last, Err(Error::Recipients(RecipientError::Last))));
}

#[test]
fn recipients_change_only_for_exactly_the_envelopes_labels() {
    let ring = keyring();
    let cipher = cipher_for([shared(ring.clone()), shared(keyring_of(1))]);
    let envelope = seal(&cipher);
    let other = keyring_of(2);
    let wrong = [
        Context::new(),
        Context::new().label("tenant", "clinic-7").unwrap(),
        labels().label("zone", "eu").unwrap(),
        Context::new()
            .label("system", "ehr")
            .unwrap()
            .label("tenant", "clinic-8")
            .unwrap(),
    ];
    for labels in &wrong {
        let changes = [
            cipher.add_recipient(&envelope, &other, labels),
            cipher.remove_recipient(&envelope, &keyring_of(1), labels),
            cipher.replace_recipient(&envelope, &keyring_of(1), &other, labels),
            cipher.reencrypt(
                &envelope,
                &labels
                    .clone()
                    .bind("patient", "MRN-0042")
                    .unwrap()
                    .bind("record", "77")
                    .unwrap(),
            ),
        ];
        for change in changes {
            let error = change.unwrap_err();
            let differs = matches!(error, Error::ContextMismatch(ContextMismatch::LabelsDiffer));
            assert!(differs, "{labels:?}: {error:?}");
        }
    }
    // Bindings would have no effect.
    let with_bindings = labels().bind("patient", "of someone else").unwrap();
    let refused = cipher.add_recipient(&envelope, &other, &with_bindings);
    assert!(matches!(refused, Err(Error::Misuse(_))));
}

#[test]
fn recipients_change_only_after_the_header_has_verified() {
    let book = OpenBook::new("new");
    let cipher = cipher_for([shared(keyring_of(1)), shared(keyring_of(2))]);
    let envelope = seal(&cipher);
    let (mut header, payload) = parts(&envelope);
    header.generation = 7;
    let forged = header.with(&payload);
    let changes = [
        cipher.add_recipient(&forged, &book, &labels()),
        cipher.remove_recipient(&forged, &keyring_of(1), &labels()),
        cipher.replace_recipient(&forged, &keyring_of(1), &book, &labels()),
        cipher.rewrap(&forged),
    ];
    for change in changes {
        assert!(matches!(
            change,
            Err(Error::AuthenticationFailed(AuthenticatedPart::Header))
        ));
    }
    let stranger = EnvelopeCipher::new(keyring());
    let change = stranger.add_recipient(&envelope, &book, &labels());
    assert!(matches!(change, Err(Error::NoMatchingKey { .. })));
}

#[test]
fn a_rewrap_moves_from_one_passphrase_to_another_of_the_same_costs() {
    let (old, new) = (
        EnvelopeCipher::new(passphrase("old")),
        EnvelopeCipher::new(passphrase("new")),
    );
    let envelope = old.encrypt("note", &context()).unwrap();
    let mover = EnvelopeCipher::builder()
        .encrypt_for(passphrase("new"))
        .decrypt_with(passphrase("old"))
        .build()
        .unwrap();
    let moved = mover.rewrap(&envelope).unwrap();
    assert_eq!(&new.decrypt(&moved, &context()).unwrap()[..], b"note");
    let refused = old.decrypt(&moved, &context());
    assert!(
        matches!(refused, Err(Error::WrongPassphrase)),
        "{refused:?}"
    );
    assert_eq!(mover.rewrap(&moved).unwrap(), moved);
    // Whoever has neither of them changes nothing.
    let stranger = EnvelopeCipher::new(passphrase("other")).rewrap(&moved);
    assert!(
        matches!(stranger, Err(Error::WrongPassphrase)),
        "{stranger:?}"
    );
}

#[test]
fn a_passphrase_is_changed_in_its_place() {
    let cipher = cipher_for([shared(passphrase("old")), shared(keyring_of(1))]);
    let envelope = seal(&cipher);
    let by_old = EnvelopeCipher::new(passphrase("old"));
    let by_new = EnvelopeCipher::new(passphrase("new"));
    assert!(matches!(
        refusal(&by_new, &envelope),
        Error::WrongPassphrase
    ));

    let changed = by_old
        .replace_recipient(&envelope, &passphrase("old"), &passphrase("new"), &labels())
        .unwrap();
    assert_only_slots_changed(&envelope, &changed);
    assert_eq!(schemes(&changed), [PASSPHRASE, KEYRING]);
    assert_eq!(parts(&changed).0.slots[1], parts(&envelope).0.slots[1]);
    assert_opens(&by_new, &changed);
    assert!(matches!(refusal(&by_old, &changed), Error::WrongPassphrase));
    assert_ne!(
        parts(&changed).0.slots[0].key_id,
        parts(&envelope).0.slots[0].key_id
    ); // a new salt
}

#[test]
fn a_passphrase_derives_anew_for_other_costs_or_another_salt() {
    let cipher = EnvelopeCipher::new(passphrase("the same"));
    let envelope = seal(&cipher);
    let (header, payload) = parts(&envelope);
    let mut costlier = header.clone();
    costlier.slots[0].wrapped[..4].copy_from_slice(&16_u32.to_be_bytes());
    let mut salted = header;
    salted.slots[0].key_id[0] ^= 1;
    for changed in [costlier, salted] {
        assert_opens(&cipher, &envelope); // its key is the one that is kept
        let error = refusal(&cipher, &changed.with(&payload));
        assert!(matches!(error, Error::WrongPassphrase), "{error:?}");
    }
}

#[test]
fn a_keyring_is_exchanged_for_another_in_its_place() {
    let (old, new) = (keyring_of(1), keyring_of(2));
    let envelope = seal(&cipher_for([
        shared(OpenBook::new("b")),
        shared(old.clone()),
        shared(keyring_of(3)),
    ]));
    let cipher = EnvelopeCipher::new(old.clone());
    let changed = cipher
        .replace_recipient(&envelope, &old, &new, &labels())
        .unwrap();
    assert_only_slots_changed(&envelope, &changed);
    assert_eq!(
        parts(&changed).0.slots[1].key_id,
        new.active().unwrap().as_bytes()
    );
    assert_eq!(parts(&changed).0.slots[0], parts(&envelope).0.slots[0]);
    assert_eq!(parts(&changed).0.slots[2], parts(&envelope).0.slots[2]);
    assert_opens(&EnvelopeCipher::new(new.clone()), &changed);
    assert_no_key(&cipher, &changed);

    let absent =
        EnvelopeCipher::new(new.clone()).replace_recipient(&changed, &old, &keyring(), &labels());
    assert!(matches!(
        absent,
        Err(Error::Recipients(RecipientError::Absent))
    ));
}

#[test]
fn a_replacement_that_has_a_slot_already_is_refused() {
    let old = keyring_of(1);
    let cipher = cipher_for([shared(old.clone()), shared(keyring_of(2))]);
    let envelope = seal(&cipher);
    let same_key = cipher.replace_recipient(&envelope, &old, &keyring_of(2), &labels());
    assert!(matches!(
        same_key,
        Err(Error::Recipients(RecipientError::Present))
    ));
    let rotated = keyring_of(2);
    rotated.rotate_to(master_key(3), "next").unwrap();
    let older_key = cipher.replace_recipient(&envelope, &old, &rotated, &labels());
    assert!(matches!(
        older_key,
        Err(Error::Recipients(RecipientError::Present))
    ));
    let swapped_order = cipher.replace_recipient(&envelope, &keyring_of(2), &old, &labels());
    assert!(matches!(
        swapped_order,
        Err(Error::Recipients(RecipientError::Present))
    ));
}

#[test]
fn a_second_passphrase_is_refused() {
    let two = cipher_for([shared(passphrase("one")), shared(passphrase("two"))]);
    assert!(matches!(
        two.encrypt(NOTE, &context()),
        Err(Error::Misuse(_))
    ));
    let cipher = EnvelopeCipher::new(passphrase("one"));
    let second = cipher.add_recipient(seal(&cipher), &passphrase("two"), &labels());
    assert!(matches!(
        second,
        Err(Error::Recipients(RecipientError::Present))
    ));
    let twice = cipher_for([shared(keyring_of(1)), shared(keyring_of(1))]);
    assert!(matches!(
        twice.encrypt(NOTE, &context()),
        Err(Error::Misuse(_))
    ));
}

#[test]
fn a_33rd_slot_is_refused() {
    let books: Vec<_> = (0..32).map(|id| shared(OpenBook::new(vec![id]))).collect();
    let cipher = cipher_for(books);
    let envelope = seal(&cipher);
    assert_eq!(parts(&envelope).0.slots.len(), 32);
    assert_opens(&EnvelopeCipher::new(OpenBook::new([31])), &envelope);
    let one_more = cipher.add_recipient(&envelope, &keyring(), &labels());
    assert!(matches!(one_more, Err(Error::LimitExceeded(Limit::Slots))));
    let builder = (0..33).fold(EnvelopeCipher::builder(), |b, id| {
        b.encrypt_for(OpenBook::new([id]))
    });
    assert!(matches!(
        builder.build(),
        Err(Error::LimitExceeded(Limit::Slots))
    ));
}

#[test]
fn a_header_that_cannot_grow_is_refused() {
    let book = OpenBook::new([1; 400]);
    let cipher = EnvelopeCipher::new(book);
    let (mut header, payload) = parts(&seal(&cipher));
    header
        .slots
        .extend((0..3).map(|id| RawSlot::new(0x70, &[id], &[0; 4096])));
    header.slots.push(RawSlot::new(0x70, b"rest", &[0; 3480]));
    let key = data_key(&header);
    let sealed = header.sealed(&key);
    let len = sealed.write().len();
    assert!((16_300..=16_384).contains(&len), "{len}");
    let full = sealed.with(&payload);
    assert_opens(&cipher, &full);
    let grown = cipher.add_recipient(&full, &keyring(), &labels());
    assert!(matches!(grown, Err(Error::LimitExceeded(Limit::Header))));
}

#[test]
fn the_last_generation_is_kept_as_it_is() {
    let book = OpenBook::with_older(vec![b"new".to_vec(), b"old".to_vec()]);
    let (mut header, payload) = parts(&seal(&EnvelopeCipher::new(OpenBook::new("old"))));
    let key = data_key(&header);
    let cipher = EnvelopeCipher::new(book.clone());
    header.generation = u32::MAX;
    let last = header.clone().sealed(&key).with(&payload);
    assert_opens(&cipher, &last);
    let changes = [
        cipher.rewrap(&last),
        cipher.add_recipient(&last, &keyring(), &labels()),
        cipher.replace_recipient(&last, &book, &keyring(), &labels()),
    ];
    for change in changes {
        assert!(matches!(
            change,
            Err(Error::LimitExceeded(Limit::Generation))
        ));
    }
    header.generation = u32::MAX - 1;
    let moved = cipher.rewrap(header.sealed(&key).with(&payload)).unwrap();
    assert_eq!(inspect(&moved).unwrap().generation, u32::MAX);
    assert_eq!(cipher.rewrap(&moved).unwrap(), moved);
}

#[test]
fn a_reencrypted_record_has_a_new_data_key_and_a_new_payload() {
    let ring = keyring();
    let cipher = EnvelopeCipher::new(ring.clone());
    let envelope = cipher_for([shared(ring.clone()), shared(OpenBook::new("b"))])
        .encrypt(NOTE, &context())
        .unwrap();
    assert!(matches!(
        cipher.reencrypt(&envelope, &context()),
        Err(Error::Recipients(RecipientError::Dropped))
    ));
    let reencrypt = |context: &Context| cipher.reencrypt_dropping_recipients(&envelope, context);
    let anew = reencrypt(&context()).unwrap();
    let ((before, before_payload), (after, after_payload)) = (parts(&envelope), parts(&anew));
    assert_ne!(before.data_key_id, after.data_key_id);
    assert_ne!(before_payload, after_payload);
    assert_eq!((after.labels, after.generation), (before.labels, 0));
    assert_eq!(schemes(&anew), [KEYRING]); // for those that this cipher writes for, and no others
    assert_opens(&cipher, &anew);

    let other = labels().bind("patient", "MRN-0043").unwrap();
    let refused = reencrypt(&other).unwrap_err();
    assert!(matches!(
        refused,
        Error::ContextMismatch(ContextMismatch::BindingsDiffer)
    ));
    let refused = reencrypt(&labels()).unwrap_err();
    assert!(matches!(
        refused,
        Error::ContextMismatch(ContextMismatch::BindingsMissing)
    ));
}

#[test]
fn sealing_anew_takes_an_envelope_from_no_other_passphrase() {
    let ring = keyring();
    let sealed_for = |text: &str| {
        let builder = EnvelopeCipher::builder().encrypt_for(ring.clone());
        builder.encrypt_for(passphrase(text)).build().unwrap()
    };
    let mine = sealed_for("mine");
    let theirs = sealed_for("theirs").encrypt(NOTE, &context()).unwrap();
    assert!(matches!(
        mine.reencrypt(&theirs, &context()),
        Err(Error::Recipients(RecipientError::Dropped))
    ));
    let dropped = mine.reencrypt_dropping_recipients(&theirs, &context());
    assert_opens(&mine, &dropped.unwrap());
    let own = sealed_for("mine").encrypt(NOTE, &context()).unwrap();
    let anew = mine.reencrypt(&own, &context()).unwrap();
    assert_opens(&EnvelopeCipher::new(passphrase("mine")), &anew);
}

fn not_usable(id: KeyId, expected: KeyState) -> impl Fn(&Error) -> bool {
    move |error| matches!(error, Error::KeyNotUsable { key_id, state } if *key_id == id && *state == expected)
}

#[test]
fn a_compromised_key_opens_and_moves_only_where_that_is_allowed() {
    let ring = keyring();
    let cipher = EnvelopeCipher::new(ring.clone());
    let envelope = seal(&cipher);
    let leaked = ring.active().unwrap();
    ring.mark_compromised(leaked).unwrap(); // rotates first
    assert_ne!(ring.active().unwrap(), leaked);
    let refused = not_usable(leaked, KeyState::Compromised);
    assert!(refused(&refusal(&cipher, &envelope)));
    assert!(refused(&cipher.rewrap(&envelope).unwrap_err()));
    assert!(refused(
        &cipher.reencrypt(&envelope, &context()).unwrap_err()
    ));
    assert!(refused(
        &cipher
            .add_recipient(&envelope, &keyring(), &labels())
            .unwrap_err()
    ));

    let allowing = EnvelopeCipher::builder()
        .encrypt_for(ring)
        .allow_compromised()
        .build()
        .unwrap();
    assert_opens(&allowing, &envelope);
    let moved = allowing.rewrap(&envelope).unwrap();
    assert_only_slots_changed(&envelope, &moved);
    assert_opens(&cipher, &moved);
    assert_eq!(cipher.rewrap(&moved).unwrap(), moved);
}

#[test]
fn a_suspended_key_opens_again_once_resumed_and_a_destroyed_one_never() {
    let ring = keyring();
    let builder = EnvelopeCipher::builder()
        .encrypt_for(ring.clone())
        .allow_compromised();
    let ciphers = [EnvelopeCipher::new(ring.clone()), builder.build().unwrap()];
    let id = ring.active().unwrap();
    let envelope = seal(&ciphers[0]);
    ring.rotate("next").unwrap();
    let check = |state| {
        for cipher in &ciphers {
            assert!(not_usable(id, state)(&refusal(cipher, &envelope)));
            assert!(not_usable(id, state)(
                &cipher.rewrap(&envelope).unwrap_err()
            ));
        }
    };
    ring.suspend(id).unwrap();
    check(KeyState::Suspended);
    ring.resume(id).unwrap();
    assert_opens(&ciphers[0], &envelope);
    ring.destroy_without_evidence(id).unwrap();
    check(KeyState::Destroyed);
    assert!(ring.keys().iter().any(|key| key.id == id));
}

#[test]
fn a_slot_under_a_destroyed_key_is_moved_by_replacing_its_recipient_and_not_by_a_rewrap() {
    let ring = keyring();
    let both = cipher_for([shared(ring.clone()), shared(keyring_of(1))]);
    let envelope = seal(&both);
    let old = ring.active().unwrap();
    ring.rotate("next").unwrap();
    ring.destroy_without_evidence(old).unwrap();
    assert!(not_usable(old, KeyState::Destroyed)(
        &both.rewrap(&envelope).unwrap_err()
    ));
    let moved = both
        .replace_recipient(&envelope, &ring, &ring, &labels())
        .unwrap();
    assert_opens(&EnvelopeCipher::new(ring), &moved);
}

#[test]
fn a_cache_forgets_when_a_key_changes_its_state() {
    let ring = keyring();
    let hour = std::time::Duration::from_secs(3600);
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(ring.clone())
        .cache(16, hour)
        .build()
        .unwrap();
    let id = ring.active().unwrap();
    let envelope = seal(&cipher);
    assert_opens(&cipher, &envelope);
    ring.rotate("next").unwrap();
    assert_opens(&cipher, &envelope);
    ring.suspend(id).unwrap();
    assert!(not_usable(id, KeyState::Suspended)(&refusal(
        &cipher, &envelope
    )));
    let (mut header, payload) = parts(&envelope);
    ring.resume(id).unwrap();
    assert_opens(&cipher, &envelope);
    header.generation = 1;
    let forged = refusal(&cipher, &header.with(&payload)); // the cached key verifies the tag as well
    assert!(matches!(
        forged,
        Error::AuthenticationFailed(AuthenticatedPart::Header)
    ));
}

#[test]
fn no_matching_key_names_every_slot_in_order() {
    let ring = keyring();
    let envelope = seal(&cipher_for([
        shared(ring.clone()),
        shared(OpenBook::new("b")),
    ]));
    let stranger = EnvelopeCipher::new(keyring());
    let expected: Vec<SlotId> = parts(&envelope)
        .0
        .slots
        .iter()
        .map(|slot| SlotId {
            scheme: slot.scheme,
            key_id: slot.key_id.clone(),
        })
        .collect();
    for refused in [
        refusal(&stranger, &envelope),
        stranger.rewrap(&envelope).unwrap_err(),
    ] {
        assert!(
            refused
                .to_string()
                .contains(&ring.active().unwrap().to_string())
        );
        let Error::NoMatchingKey { slots } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(slots, expected);
    }
}

/// Knows an [`OpenBook`]'s slots and cannot reach its service.
#[derive(Clone)]
struct Unreachable(OpenBook);

impl KeyProvider for Unreachable {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.0.recognize(slot)
    }

    fn wrap_key(&self, _: &DataKey, _: &WrapRequest<'_>) -> Result<WrappedKey> {
        Err(Error::provider(true, "unreachable"))
    }

    fn unwrap_key(&self, _: &Slot<'_>, _: &UnwrapRequest<'_>) -> Result<DataKey> {
        Err(Error::provider(true, "unreachable"))
    }
}

#[test]
fn the_first_failure_of_a_known_slot_is_the_one_reported() {
    let (ring, book) = (keyring(), OpenBook::new("b"));
    let id = ring.active().unwrap();
    let unreachable = Unreachable(book.clone());
    let reader = |ring: &Keyring| {
        let builder = EnvelopeCipher::builder().decrypt_with(unreachable.clone());
        builder.decrypt_with(ring.clone()).build().unwrap()
    };
    let key_first = seal(&cipher_for([
        shared(keyring()),
        shared(ring.clone()),
        shared(book.clone()),
    ]));
    let book_first = seal(&cipher_for([
        shared(keyring()),
        shared(book),
        shared(ring.clone()),
    ]));
    // A slot that cannot be tried now is passed over.
    assert_opens(&reader(&ring), &book_first);
    ring.rotate("next").unwrap();
    ring.suspend(id).unwrap();
    let refused = refusal(&reader(&ring), &key_first);
    assert!(not_usable(id, KeyState::Suspended)(&refused), "{refused:?}");
    let refused = refusal(&reader(&ring), &book_first);
    assert!(
        matches!(
            refused,
            Error::Provider {
                retryable: true,
                ..
            }
        ),
        "{refused:?}"
    );

    let writer = EnvelopeCipher::new(unreachable);
    assert!(matches!(
        writer.encrypt(NOTE, &context()),
        Err(Error::Provider {
            retryable: true,
            ..
        })
    ));
}

#[test]
fn a_damaged_slot_is_not_made_good_by_another_since_the_tag_covers_both() {
    let (first, second) = (keyring(), keyring());
    let both = cipher_for([shared(first.clone()), shared(second.clone())]);
    let envelope = seal(&both);
    let (mut header, payload) = parts(&envelope);
    header.slots[0].wrapped = flipped(&header.slots[0].wrapped, 300);
    let damaged = header.with(&payload);
    for (cipher, expected) in [
        (both, AuthenticatedPart::WrappedKey),
        (EnvelopeCipher::new(first), AuthenticatedPart::WrappedKey),
        (EnvelopeCipher::new(second), AuthenticatedPart::Header),
    ] {
        let refused = refusal(&cipher, &damaged);
        assert!(
            matches!(refused, Error::AuthenticationFailed(part) if part == expected),
            "{refused:?}"
        );
        assert!(cipher.rewrap(&damaged).is_err());
    }
}

#[test]
fn a_cipher_without_a_writer_reads_and_does_not_write() {
    let ring = keyring();
    let envelope = seal(&EnvelopeCipher::new(ring.clone()));
    let reader = EnvelopeCipher::builder()
        .decrypt_with(ring)
        .build()
        .unwrap();
    assert_opens(&reader, &envelope);
    assert!(matches!(
        reader.encrypt(NOTE, &context()),
        Err(Error::Misuse(_))
    ));
    assert!(matches!(reader.session(&labels()), Err(Error::Misuse(_))));
    assert!(matches!(
        reader.encrypt_writer(Vec::new(), &context()),
        Err(Error::Misuse(_))
    ));
    assert!(matches!(
        EnvelopeCipher::builder().build(),
        Err(Error::Misuse(_))
    ));
}
