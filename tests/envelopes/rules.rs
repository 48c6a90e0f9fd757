//! Rules of headers, contexts and streams that hold whatever the providers are.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says

use std::io::{Cursor, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{OpenBook, RawHeader, context, data_key, keyring, labels, master_key};
use phi_envelope::{
    Context, Envelope, EnvelopeCipher, Error, KeyProvider, Keyring, Result,
    error::{AuthenticatedPart, Malformed, RecipientError},
    keys::{DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};
use serde::{Deserialize, Serialize};

const NOTE: &[u8] = b"BP 120/80";

/// A provider that wraps and cannot unwrap, of two keys: the first is current.
struct OnlyWraps;

impl KeyProvider for OnlyWraps {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        match slot.external() {
            Some(("test.only-wraps", b"new")) => Recognition::Current,
            Some(("test.only-wraps", b"old")) => Recognition::Outdated,
            _ => Recognition::NotMine,
        }
    }

    fn wrap_key(&self, key: &DataKey, _: &WrapRequest<'_>) -> Result<WrappedKey> {
        WrappedKey::external("test.only-wraps", b"new", key.as_bytes())
    }

    fn unwrap_key(&self, _: &Slot<'_>, _: &UnwrapRequest<'_>) -> Result<DataKey> {
        panic!("it does not open")
    }

    fn opens(&self) -> bool {
        false
    }
}

/// An open book whose answers may be wrong, over a network or not.
struct Service {
    book: OpenBook,
    is_wrong: bool,
    asks_network: bool,
    unwraps: Arc<AtomicUsize>,
}

impl Service {
    fn new(is_wrong: bool, asks_network: bool) -> (Self, Arc<AtomicUsize>) {
        let unwraps = Arc::<AtomicUsize>::default();
        let service = Self {
            book: OpenBook::new("s"),
            is_wrong,
            asks_network,
            unwraps: Arc::clone(&unwraps),
        };
        (service, unwraps)
    }
}

impl KeyProvider for Service {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.book.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, request: &WrapRequest<'_>) -> Result<WrappedKey> {
        self.book.wrap_key(key, request)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, request: &UnwrapRequest<'_>) -> Result<DataKey> {
        self.unwraps.fetch_add(1, Ordering::Relaxed);
        if self.is_wrong {
            return Ok(DataKey::from_bytes_zeroizing(&mut [0; 32]));
        }
        self.book.unwrap_key(slot, request)
    }

    fn asks_network(&self) -> bool {
        self.asks_network
    }
}

#[track_caller]
fn assert_opens(cipher: &EnvelopeCipher, envelope: &[u8]) {
    assert_eq!(&cipher.decrypt(envelope, &context()).unwrap()[..], NOTE);
}

#[test]
fn a_forged_slot_beside_a_good_one_is_never_made_genuine() {
    let ring = keyring();
    let both = EnvelopeCipher::builder()
        .encrypt_for(OpenBook::new("book"))
        .encrypt_for(ring.clone())
        .encrypt_for(OnlyWraps)
        .build()
        .unwrap();
    let genuine = both.encrypt(NOTE, &context()).unwrap();
    let (header, payload) = RawHeader::parse(&genuine);
    let key = data_key(&header);
    // Whoever holds the data key names a key that the provider has moved off, with nothing behind it.
    let mut forged = header;
    let slot = forged.slots.last_mut().unwrap();
    let at = slot.key_id.len() - 3;
    slot.key_id[at..].copy_from_slice(b"old");
    slot.wrapped = vec![7; 32];
    let forged = forged.sealed(&key).with(&payload);
    assert_opens(&both, &forged);
    assert!(matches!(
        both.rewrap(&forged),
        Err(Error::OutdatedSlot { .. })
    ));
    // So it is for a provider that opens, and for a slot that it would drop.
    let opening = EnvelopeCipher::builder()
        .encrypt_for(OpenBook::new("book"))
        .encrypt_for(ring.clone())
        .build()
        .unwrap();
    let sealed = opening.encrypt(NOTE, &context()).unwrap();
    let (mut header, payload) = RawHeader::parse(&sealed);
    let key = data_key(&header);
    let wrapped = &mut header.slots[1].wrapped;
    wrapped[20] ^= 1;
    let forged = header.sealed(&key).with(&payload);
    ring.rotate("next").unwrap();
    assert!(matches!(
        opening.rewrap(&forged),
        Err(Error::AuthenticationFailed(AuthenticatedPart::WrappedKey))
    ));
}

#[test]
fn a_provider_that_only_wraps_is_added_and_kept_and_never_asked_to_unwrap() {
    let alone = EnvelopeCipher::new(OnlyWraps);
    let sealed = alone.encrypt(NOTE, &context()).unwrap();
    assert!(matches!(
        alone.decrypt(&sealed, &context()),
        Err(Error::NoMatchingKey { .. })
    ));
    let ring = keyring();
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(ring.clone())
        .encrypt_for(OnlyWraps)
        .build()
        .unwrap();
    let envelope = EnvelopeCipher::new(ring.clone())
        .encrypt(NOTE, &context())
        .unwrap();
    let added = cipher
        .add_recipient(&envelope, &OnlyWraps, &labels())
        .unwrap();
    assert_opens(&cipher, &added);
    ring.rotate("next").unwrap();
    let moved = cipher.rewrap(&added).unwrap();
    assert_eq!(RawHeader::parse(&moved).0.slots.len(), 2);
    assert_opens(&EnvelopeCipher::new(ring), &moved);
}

#[test]
fn what_a_provider_cannot_give_back_is_never_handed_out() {
    let ring = keyring();
    let cipher = EnvelopeCipher::new(ring.clone());
    let envelope = cipher.encrypt(NOTE, &context()).unwrap();
    for asks_network in [false, true] {
        let (lying, _) = Service::new(true, asks_network);
        let refused = [
            cipher.add_recipient(&envelope, &lying, &labels()),
            cipher.replace_recipient(&envelope, &ring, &lying, &labels()),
        ];
        for refusal in refused {
            assert!(matches!(
                refusal,
                Err(Error::AuthenticationFailed(AuthenticatedPart::WrappedKey))
            ));
        }
    }
}

#[test]
fn the_first_wrap_under_each_key_of_a_network_is_tried_once() {
    let (service, unwraps) = Service::new(false, true);
    let cipher = EnvelopeCipher::new(service);
    for _ in 0..5 {
        cipher.encrypt(NOTE, &context()).unwrap();
    }
    assert_eq!(unwraps.load(Ordering::Relaxed), 1);

    let (lying, _) = Service::new(true, true);
    let refused = EnvelopeCipher::new(lying).encrypt(NOTE, &context());
    assert!(matches!(
        refused,
        Err(Error::AuthenticationFailed(AuthenticatedPart::WrappedKey))
    ));

    let (local, unwraps) = Service::new(false, false);
    EnvelopeCipher::new(local)
        .encrypt(NOTE, &context())
        .unwrap();
    assert_eq!(unwraps.load(Ordering::Relaxed), 0);
}

#[test]
fn two_keyrings_that_share_a_key_do_not_lose_their_slots_to_each_other() {
    let first = Keyring::from_master_key(master_key(1), "first");
    let second = Keyring::from_master_key(master_key(2), "second");
    let shared = || master_key(3);
    first.rotate_to(shared(), "shared").unwrap();
    first.rotate("of the first alone").unwrap();
    let both = EnvelopeCipher::builder()
        .encrypt_for(first.clone())
        .encrypt_for(second.clone())
        .build()
        .unwrap();
    // Current for the second, out of date for the first.
    second.rotate_to(shared(), "shared").unwrap();
    let envelope = both.encrypt(NOTE, &context()).unwrap();
    let alone = EnvelopeCipher::new(second.clone());
    assert_eq!(both.rewrap(&envelope).unwrap(), envelope);
    first.rotate("later").unwrap();
    let moved = both.rewrap(&envelope).unwrap();
    assert_opens(&alone, &moved);
    // Out of date for both.
    second.rotate("of the second alone").unwrap();
    let moved = both.rewrap(&moved).unwrap();
    let own = EnvelopeCipher::new(Keyring::from_master_key(master_key(2), "second"));
    assert!(own.decrypt(&moved, &context()).is_err());
    assert_opens(&alone, &moved);
    assert_opens(&EnvelopeCipher::new(first), &moved);
    assert_eq!(both.rewrap(&moved).unwrap(), moved);
}

#[test]
fn sealing_again_takes_an_envelope_from_nobody_unless_asked() {
    let (ours, theirs) = (keyring(), keyring());
    let both = EnvelopeCipher::builder()
        .encrypt_for(ours.clone())
        .encrypt_for(theirs.clone())
        .build()
        .unwrap();
    let envelope = both.encrypt(NOTE, &context()).unwrap();
    let cipher = EnvelopeCipher::new(ours);
    assert!(matches!(
        cipher.reencrypt(&envelope, &context()),
        Err(Error::Recipients(RecipientError::Dropped))
    ));
    let dropped = cipher
        .reencrypt_dropping_recipients(&envelope, &context())
        .unwrap();
    assert!(
        EnvelopeCipher::new(theirs.clone())
            .decrypt(&dropped, &context())
            .is_err()
    );
    let kept = both.reencrypt(&envelope, &context()).unwrap();
    assert_opens(&EnvelopeCipher::new(theirs), &kept);
}

#[test]
fn demanded_labels_and_bindings_are_demanded_of_every_call() {
    let ring = keyring();
    let open = EnvelopeCipher::new(ring.clone());
    let strict = EnvelopeCipher::builder()
        .encrypt_for(ring)
        .require_labels(["tenant"])
        .require_bindings(["patient"])
        .build()
        .unwrap();
    let labels = || Context::new().label("tenant", "clinic-7").unwrap();
    let full = || labels().bind("patient", "MRN-1").unwrap();
    let bound = || Context::new().bind("patient", "MRN-1").unwrap();
    let envelope = strict.encrypt(NOTE, &full()).unwrap();
    assert_eq!(&strict.decrypt(&envelope, &full()).unwrap()[..], NOTE);
    let unbound = open.encrypt(NOTE, &labels()).unwrap();
    for context in [Context::new(), labels(), bound()] {
        let refusals = [
            strict.encrypt(NOTE, &context).err(),
            strict.encrypt_in_place(NOTE.to_vec(), &context).err(),
            strict.encrypt_batch(&[(NOTE, &context)]).err(),
            strict.encrypt_writer(Vec::new(), &context).err(),
            strict.encrypt_writer_detached(Vec::new(), &context).err(),
            strict.decrypt(&envelope, &context).err(),
            strict.decrypt_in_place(envelope.clone(), &context).err(),
            strict.decrypt(&unbound, &context).err(),
            strict.reencrypt(&envelope, &context).err(),
        ];
        for (number, refusal) in refusals.into_iter().enumerate() {
            assert!(
                matches!(refusal, Some(Error::ContextIncomplete { .. })),
                "{number} {context:?} {refusal:?}"
            );
        }
    }
    let error = strict.encrypt(NOTE, &labels()).unwrap_err();
    assert!(error.to_string().contains("binding `patient`"), "{error}");
    // A rewrap presents no context, and a session has its labels and its records' bindings.
    assert_eq!(strict.rewrap(&envelope).unwrap(), envelope);
    assert!(strict.session(&Context::new()).is_err());
    let session = strict.session(&labels()).unwrap();
    assert!(session.encrypt(NOTE, &Context::new()).is_err());
    let record = session.encrypt(NOTE, &bound()).unwrap();
    assert_eq!(&strict.decrypt(&record, &full()).unwrap()[..], NOTE);
    for wrong in [
        vec!["".to_owned()],
        vec!["k".repeat(65)],
        vec!["a".into(), "a".into()],
    ] {
        let builder = EnvelopeCipher::builder().encrypt_for(keyring());
        assert!(builder.require_labels(wrong).build().is_err());
    }
}

#[test]
fn a_stream_whose_key_was_rotated_away_from_is_finished_under_the_new_one_or_not_at_all() {
    let ring = keyring();
    let cipher = EnvelopeCipher::new(ring.clone());
    let old = ring.active().unwrap();
    let mut plain = cipher
        .encrypt_writer(Cursor::new(Vec::new()), &context())
        .unwrap();
    let mut renewed = cipher
        .encrypt_writer(Cursor::new(Vec::new()), &context())
        .unwrap();
    let (_, mut failing) = cipher
        .encrypt_writer_detached(Vec::new(), &context())
        .unwrap();
    let (first, mut detached) = cipher
        .encrypt_writer_detached(Vec::new(), &context())
        .unwrap();
    for out in [
        &mut plain as &mut dyn std::io::Write,
        &mut renewed,
        &mut failing,
        &mut detached,
    ] {
        out.write_all(NOTE).unwrap();
    }
    ring.rotate("next").unwrap();
    for outcome in [plain.finish().map(drop), failing.finish().map(drop)] {
        assert!(
            matches!(outcome, Err(Error::OutdatedSlot { slot }) if slot.key_id == old.as_bytes())
        );
    }
    let file = renewed.finish_up_to_date().unwrap().into_inner();
    let (payload, header) = detached.finish_with_header().unwrap();
    assert_ne!(header, first);
    ring.destroy_without_evidence(old).unwrap();
    let mut out = Vec::new();
    let mut reader = cipher.decrypt_reader(&file[..], &context()).unwrap();
    std::io::copy(&mut reader, &mut out).unwrap();
    assert_eq!((&out[..], reader.header_damage()), (NOTE, None));
    let mut out = Vec::new();
    let mut reader = cipher
        .decrypt_reader_detached(&header, &payload[..], &context())
        .unwrap();
    std::io::copy(&mut reader, &mut out).unwrap();
    assert_eq!(out, NOTE);
}

#[test]
fn a_payload_of_another_header_is_refused_before_any_provider_is_asked() {
    let (service, unwraps) = Service::new(false, false);
    let cipher = EnvelopeCipher::new(service);
    let seal = || {
        let (header, mut out) = cipher
            .encrypt_writer_detached(Vec::new(), &context())
            .unwrap();
        out.write_all(NOTE).unwrap();
        (header, out.finish().unwrap())
    };
    let ((one, _), (_, other)) = (seal(), seal());
    let open = |payload: &[u8]| {
        cipher
            .decrypt_reader_detached(&one, payload, &context())
            .map(drop)
    };
    assert!(matches!(
        open(&other),
        Err(Error::AuthenticationFailed(
            AuthenticatedPart::PayloadOfAnotherHeader
        ))
    ));
    for len in 0..24 {
        let refused = open(&other[..len]).unwrap_err();
        let is_cut =
            matches!(refused, Error::Truncated) || (len == 0 && refused.word() == "malformed");
        assert!(is_cut, "{len}: {refused:?}");
    }
    let changed = |at: usize, to: u8| {
        let mut payload = other.clone();
        payload[at] = to;
        open(&payload).unwrap_err()
    };
    assert_eq!(changed(0, b'Q').word(), "malformed");
    assert_eq!(changed(4, 2).word(), "newer-version");
    assert_eq!(changed(4, 0).word(), "malformed");
    for at in 5..8 {
        assert_eq!(changed(at, 9).word(), "malformed");
    }
    assert_eq!(unwraps.load(Ordering::Relaxed), 0);
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Inner {
    ssn: Envelope,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Flat {
    id: u64,
    #[serde(flatten)]
    inner: Inner,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Untagged {
    One(Inner),
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(tag = "is")]
enum Tagged {
    One(Inner),
}

#[test]
fn an_envelope_comes_back_out_of_flattened_untagged_and_tagged_types_of_text_and_binary_formats() {
    fn check<T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug>(value: &T) {
        let mut binary = Vec::new();
        ciborium::into_writer(value, &mut binary).unwrap();
        assert_eq!(&ciborium::from_reader::<T, _>(&binary[..]).unwrap(), value);
        let text = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
    }
    let cipher = EnvelopeCipher::new(keyring());
    let inner = || Inner {
        ssn: Envelope::from_bytes(cipher.encrypt(NOTE, &context()).unwrap()).unwrap(),
    };
    check(&inner());
    check(&Flat {
        id: 7,
        inner: inner(),
    });
    check(&Untagged::One(inner()));
    check(&Tagged::One(inner()));
}

#[test]
fn labels_of_this_crates_name_are_refused_in_writing_and_in_reading() {
    for key in [
        "phi-envelope",
        "Phi-Envelope",
        "PHI-ENVELOPE-kind",
        "phi-envelope:wrap",
    ] {
        let refused = Context::new().label(key, "evidence/1");
        assert!(
            matches!(refused, Err(Error::Malformed(Malformed::LabelReserved))),
            "{key}"
        );
        assert!(Context::new().bind(key, "a binding may").is_ok());
        let cipher = EnvelopeCipher::new(OpenBook::new("book"));
        let sealed = cipher.encrypt(NOTE, &Context::new()).unwrap();
        let (mut header, payload) = RawHeader::parse(&sealed);
        let data_key = data_key(&header);
        header.labels = crate::common::pair(key.as_bytes(), b"evidence/1");
        let forged = header.sealed(&data_key).with(&payload);
        assert!(matches!(
            cipher.decrypt(&forged, &Context::new()),
            Err(Error::Malformed(Malformed::LabelReserved))
        ));
    }
    for key in ["phi-envelop", "xphi-envelope", "tenant"] {
        assert!(Context::new().label(key, "1").is_ok());
    }
}
