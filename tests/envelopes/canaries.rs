//! What must never be told: plaintexts, bindings, passphrases and keys, sought in every error and every `Debug` of the crate.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use phi_envelope::{
    Context, Envelope, EnvelopeCipher, Error, KeyId, KeyProvider, Keyring, KeyringFile, MasterKey,
    Passphrase, SessionLimits, floe, inspect,
    keys::{Argon2Costs, DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};
use serde::de::{Deserialize as _, Deserializer, Visitor};
use serde_json::json;

use crate::hunt::{
    BINDING, BINDING_KEY, FLOE_KEY, Hunt, MASTER_KEY, NUMBER, PASSPHRASE, PLAINTEXT,
    WRONG_PASSPHRASE, forms,
};

fn cheap(text: &str) -> Passphrase {
    let costs = Argon2Costs {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
    Passphrase::new(text).unwrap().with_costs(costs).unwrap()
}

fn keyring() -> Keyring {
    Keyring::from_master_key(
        MasterKey::from_bytes_zeroizing(&mut MASTER_KEY.clone()),
        "ehr-2026",
    )
}

fn bound() -> Context {
    let context = Context::new().label("tenant", "clinic-7").unwrap();
    context
        .bind("patient", BINDING)
        .unwrap()
        .bind(BINDING_KEY, "value")
        .unwrap()
}

/// A keyring that looks over its own shoulder.
struct Spy(Keyring, Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    data_keys: Vec<Vec<u8>>,
    shown: Vec<String>,
}

impl Spy {
    fn note(&self, key: &DataKey, shown: String) {
        let mut seen = self.1.lock().unwrap();
        seen.data_keys.push(key.as_bytes().to_vec());
        seen.shown.push(shown);
    }
}

impl KeyProvider for Spy {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.0.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey, Error> {
        let wrapped = self.0.wrap_key(key, context)?;
        self.note(key, format!("{key:?} {key:#?} {context:?} {wrapped:?}"));
        Ok(wrapped)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey, Error> {
        let key = self.0.unwrap_key(slot, context)?;
        self.note(&key, format!("{key:?} {context:?} {slot:?}"));
        Ok(key)
    }
}

#[test]
fn the_hunt_finds_a_canary_in_each_of_its_forms() {
    for form in forms(&MASTER_KEY) {
        let mut hunt = Hunt::new();
        hunt.texts.push(format!("before {form} after"));
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hunt.finish()));
        assert!(found.is_err(), "{form}");
    }
    let nested = vec![vec![MASTER_KEY.to_vec()]];
    let mut hunt = Hunt::new();
    hunt.look_at(&nested);
    for text in hunt.texts {
        let mut hunt = Hunt::new();
        hunt.texts.push(text);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hunt.finish())).is_err());
    }
}

#[test]
fn no_debug_tells_a_secret() {
    let mut hunt = Hunt::new();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let keyring = keyring();
    let builder = EnvelopeCipher::builder()
        .encrypt_for(Spy(keyring.clone(), Arc::clone(&seen)))
        .encrypt_for(cheap(PASSPHRASE))
        .cache(10, std::time::Duration::from_secs(60));
    hunt.look_at(&builder);
    let cipher = builder.build().unwrap();
    let context = bound();
    let envelope = cipher.encrypt(PLAINTEXT, &context).unwrap();
    let plaintext = cipher.decrypt(&envelope, &context).unwrap();
    hunt.look_at(&cipher);
    hunt.look_at(&context);
    hunt.look_at(&plaintext);
    hunt.look_at(&inspect(&envelope).unwrap());
    hunt.look_at(&Envelope::from_bytes(envelope).unwrap());
    hunt.look_at(&cipher.decrypt_batch(&[(Vec::<u8>::new(), &context)]));

    let session = cipher.session(&Context::new()).unwrap();
    session.encrypt(PLAINTEXT, &context.clone()).unwrap_err();
    session
        .encrypt(PLAINTEXT, &Context::new().bind("patient", BINDING).unwrap())
        .unwrap();
    hunt.look_at(&session);
    hunt.look_at(&SessionLimits::default());

    let mut writer = cipher.encrypt_writer(Vec::new(), &context).unwrap();
    for _ in 0..10_000 {
        writer.write_all(PLAINTEXT.as_bytes()).unwrap();
    }
    hunt.look_at(&writer);
    let stream = writer.finish().unwrap();
    let mut reader = cipher
        .decrypt_reader(io::Cursor::new(&stream), &context)
        .unwrap();
    reader.read_exact(&mut [0; 100]).unwrap();
    hunt.look_at(&reader);
    reader.seek(SeekFrom::End(-5)).unwrap();
    hunt.look_at(&reader);

    let key = floe::Key::from_bytes(FLOE_KEY);
    let mut writer =
        floe::Writer::new(Vec::new(), &key, b"aad", floe::SegmentLength::DEFAULT).unwrap();
    writer.write_all(PLAINTEXT.as_bytes()).unwrap();
    hunt.look_at(&key);
    hunt.look_at(&writer);
    let message = writer.finish().unwrap();
    let mut reader = floe::Reader::new(&message[..], &key, b"aad").unwrap();
    reader.read_exact(&mut [0; 5]).unwrap();
    hunt.look_at(&reader);
    hunt.look_at(&floe::decrypt(&key, b"aad", &message).unwrap());

    hunt.look_at(&keyring);
    hunt.look_at(&keyring.keys());
    hunt.look_at(&MasterKey::from_bytes_zeroizing(&mut MASTER_KEY.clone()));
    hunt.look_at(&DataKey::from_bytes_zeroizing(&mut MASTER_KEY.clone()));
    hunt.look_at(&cheap(PASSPHRASE));

    let seen = seen.lock().unwrap();
    assert!(seen.data_keys.len() >= 3, "data keys were seen");
    hunt.canaries.extend(seen.data_keys.iter().cloned());
    hunt.texts.extend(seen.shown.iter().cloned());
    hunt.finish();
}

#[test]
fn no_debug_of_a_keyrings_file_tells_a_secret() {
    let mut hunt = Hunt::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ehr.keyring");
    let key = MasterKey::from_bytes_zeroizing(&mut MASTER_KEY.clone());
    let file = KeyringFile::create_with(&path, key, "ehr-2026", cheap(PASSPHRASE)).unwrap();
    hunt.look_at(&file);
    hunt.look_at(&KeyringFile::options());
    hunt.look_at(&file.keyring());
    file.update(|keys| {
        keys.rotate("ehr-2027")?;
        hunt.look_at(keys);
        Ok(())
    })
    .unwrap();

    hunt.finish();
}

/// A format that hands over whatever it finds, as many binary ones do.
struct SelfDescribing(serde_json::Value, bool);

impl<'de> Deserializer<'de> for SelfDescribing {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.0.deserialize_any(visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.1
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The name of an error's variant.
fn variant(error: &Error) -> &'static str {
    match error {
        Error::NotAnEnvelope => "not an envelope",
        Error::NewerVersion { .. } => "newer version",
        Error::Malformed(_) => "malformed",
        Error::Truncated => "truncated",
        Error::NoMatchingKey { .. } => "no matching key",
        Error::KeyNotUsable { .. } => "key not usable",
        Error::ContextMismatch(_) => "context mismatch",
        Error::AuthenticationFailed(_) => "authentication failed",
        Error::WrongPassphrase => "wrong passphrase",
        Error::LimitExceeded(_) => "limit exceeded",
        Error::Misuse(_) => "misuse",
        Error::Provider { .. } => "provider",
        Error::Io(_) => "io",
        _ => "a variant that this test does not know",
    }
}

#[test]
fn no_error_tells_a_secret() {
    let mut hunt = Hunt::new();
    provoke_in_records(&mut hunt);
    provoke_in_contexts(&mut hunt);
    provoke_in_streams(&mut hunt);
    provoke_in_keys(&mut hunt);
    provoke_in_keyring_files(&mut hunt);
    let provoked: BTreeSet<_> = hunt.errors.iter().map(variant).collect();
    assert_eq!(provoked.len(), 13, "{provoked:?}");
    hunt.finish();
}

fn provoke_in_records(hunt: &mut Hunt) {
    let (keyring, context) = (keyring(), bound());
    let cipher = EnvelopeCipher::new(keyring.clone());
    let envelope = cipher.encrypt(PLAINTEXT, &context).unwrap();
    for at in 0..envelope.len() {
        let mut flipped = envelope.clone();
        flipped[at] ^= 1 << (at % 8);
        hunt.provoke("a flip", cipher.decrypt(&flipped, &context));
        hunt.provoke(
            "a flip, in place",
            cipher.decrypt_in_place(flipped, &context),
        );
        hunt.provoke("a cut", cipher.decrypt(&envelope[..at], &context));
        // A reader may take anything for an envelope, a plaintext too.
    }
    hunt.provoke("a plaintext", cipher.decrypt(PLAINTEXT, &context));
    hunt.provoke("a plaintext as text", PLAINTEXT.parse::<Envelope>());
    hunt.provoke(
        "a plaintext as bytes",
        Envelope::from_bytes(PLAINTEXT.into()),
    );
    hunt.provoke("a plaintext, inspected", inspect(PLAINTEXT.as_bytes()));
    hunt.provoke("a plaintext, rewrapped", cipher.rewrap(PLAINTEXT));
    let mut newer = envelope.clone();
    newer[4] = 2;
    hunt.provoke("a newer version", cipher.decrypt(&newer, &context));

    let other = Context::new().bind("patient", "MRN-0043").unwrap();
    hunt.provoke("other bindings", cipher.decrypt(&envelope, &other));
    hunt.provoke("no bindings", cipher.decrypt(&envelope, &Context::new()));
    let unbound = cipher.encrypt(PLAINTEXT, &Context::new()).unwrap();
    hunt.provoke("bindings unasked", cipher.decrypt(&unbound, &context));
    let label = Context::new()
        .label("tenant", "clinic-8")
        .unwrap()
        .bind("patient", BINDING)
        .unwrap();
    hunt.provoke("another label", cipher.decrypt(&envelope, &label));
    hunt.provoke("labels not exact", cipher.reencrypt(&envelope, &label));
    hunt.provoke("a session with bindings", cipher.session(&context));

    let stranger = EnvelopeCipher::new(Keyring::generate("stranger").unwrap());
    hunt.provoke("no matching key", stranger.decrypt(&envelope, &context));
    keyring.mark_compromised(keyring.active().unwrap()).unwrap();
    hunt.provoke("a compromised key", cipher.decrypt(&envelope, &context));
    let key = keyring.keys()[0].id;
    keyring.destroy_without_evidence(key).unwrap();
    hunt.provoke("a destroyed key", cipher.decrypt(&envelope, &context));
    hunt.provoke("a destroyed key, rewrapped", cipher.rewrap(&envelope));

    // Neither does serde repeat what stands where an envelope should.
    let text = serde_json::to_string(PLAINTEXT).unwrap();
    let object = json!({ "note": PLAINTEXT }).to_string();
    for json in [text, object, json!([PLAINTEXT]).to_string()] {
        let error = serde_json::from_str::<Envelope>(&json).unwrap_err();
        hunt.texts.extend([error.to_string(), format!("{error:?}")]);
    }
    let bytes = postcard::to_allocvec(PLAINTEXT.as_bytes()).unwrap();
    let error = postcard::from_bytes::<Envelope>(&bytes).unwrap_err();
    hunt.texts.extend([error.to_string(), format!("{error:?}")]);
    for human_readable in [true, false] {
        for value in [
            json!(PLAINTEXT),
            json!(NUMBER),
            json!(-78_051_120),
            json!(78_051_120.5),
            json!([PLAINTEXT]),
            json!({ "note": PLAINTEXT }),
        ] {
            let format = SelfDescribing(value, human_readable);
            let error = Envelope::deserialize(format).unwrap_err();
            hunt.texts.extend([error.to_string(), format!("{error:?}")]);
        }
    }
}

fn provoke_in_contexts(hunt: &mut Hunt) {
    let long = |text: &str| text.repeat(1000);
    hunt.provoke("a binding twice", bound().bind("patient", BINDING));
    hunt.provoke("a binding's key twice", bound().bind(BINDING_KEY, BINDING));
    hunt.provoke(
        "a long binding",
        Context::new().bind("patient", long(BINDING)),
    );
    hunt.provoke(
        "a long key",
        Context::new().bind(long(BINDING_KEY), BINDING),
    );
    hunt.provoke("an empty key", Context::new().bind("", BINDING));
    let mut full = Context::new();
    for number in 0..32 {
        full = full.bind(format!("{number}"), BINDING).unwrap();
    }
    hunt.provoke("a 33rd binding", full.bind("more", BINDING));
}

fn provoke_in_streams(hunt: &mut Hunt) {
    let (cipher, context) = (EnvelopeCipher::new(keyring()), bound());
    let mut writer = cipher.encrypt_writer(Vec::new(), &context).unwrap();
    for _ in 0..10_000 {
        writer.write_all(PLAINTEXT.as_bytes()).unwrap();
    }
    let stream = writer.finish().unwrap();
    let open = |stream: &[u8]| -> Result<(), Error> {
        io::copy(
            &mut cipher.decrypt_reader(stream, &context)?,
            &mut io::sink(),
        )?;
        Ok(())
    };
    open(&stream).unwrap();
    for at in [8192, 8202, 8250, 8270, 8300, 80_000, stream.len() - 1] {
        let mut flipped = stream.clone();
        flipped[at] ^= 1;
        hunt.provoke("a flip in a stream", open(&flipped));
    }
    for cut in [
        0,
        3,
        100,
        5000,
        8192,
        8200,
        8266,
        8267,
        100_000,
        stream.len() - 1,
    ] {
        hunt.provoke("a stream cut off", open(&stream[..cut]));
    }
    hunt.provoke(
        "more after the end",
        open(&[&stream, PLAINTEXT.as_bytes()].concat()),
    );
    hunt.provoke(
        "a plaintext as a stream",
        open(PLAINTEXT.repeat(20_000).as_bytes()),
    );
    hunt.provoke("a stream as a record", cipher.decrypt(&stream, &context));
    let detached = cipher.decrypt_reader_detached(&stream, &stream[..], &context);
    hunt.provoke("a stream as a detached one", detached);

    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    hunt.provoke("a full disk", cipher.encrypt_writer(Full, &context));
    let key = floe::Key::from_bytes(FLOE_KEY);
    let other = floe::Key::from_bytes(MASTER_KEY);
    let message = floe::encrypt(
        &key,
        b"aad",
        floe::SegmentLength::DEFAULT,
        PLAINTEXT.as_bytes(),
    )
    .unwrap();
    hunt.provoke("another FLOE key", floe::decrypt(&other, b"aad", &message));
    hunt.provoke(
        "another AAD",
        floe::decrypt(&key, PLAINTEXT.as_bytes(), &message),
    );
    hunt.provoke(
        "a FLOE message cut off",
        floe::decrypt(&key, b"aad", &message[..90]),
    );
}

fn provoke_in_keys(hunt: &mut Hunt) {
    let envelope = EnvelopeCipher::new(cheap(PASSPHRASE))
        .encrypt(PLAINTEXT, &bound())
        .unwrap();
    let wrong = EnvelopeCipher::new(cheap(WRONG_PASSPHRASE));
    hunt.provoke("a wrong passphrase", wrong.decrypt(&envelope, &bound()));
    let poor = EnvelopeCipher::new(cheap(PASSPHRASE).with_max_memory_kib(1));
    let dear = Argon2Costs {
        memory_kib: 64,
        passes: 1,
        lanes: 1,
    };
    let dear = EnvelopeCipher::new(cheap(PASSPHRASE).with_costs(dear).unwrap());
    let dear = dear.encrypt(PLAINTEXT, &bound()).unwrap();
    hunt.provoke("too little memory", poor.decrypt(&dear, &bound()));
    let costs = Argon2Costs {
        memory_kib: 1,
        ..Argon2Costs::default()
    };
    hunt.provoke("wrong costs", cheap(PASSPHRASE).with_costs(costs));
    hunt.provoke("an empty passphrase", Passphrase::new(""));

    let text = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    for key in [
        text(&MASTER_KEY[..31]),
        text(&[&MASTER_KEY[..], b"!"].concat()),
        STANDARD_NO_PAD.encode(MASTER_KEY),
        String::from_utf8(MASTER_KEY.to_vec()).unwrap(),
        MASTER_KEY
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    ] {
        hunt.provoke("no master key", MasterKey::from_base64(&key));
        hunt.provoke("no key id", key.parse::<KeyId>());
    }
    let keyring = keyring();
    let again = MasterKey::from_bytes_zeroizing(&mut MASTER_KEY.clone());
    hunt.provoke("a key twice", keyring.rotate_to(again, "again"));
    let active = keyring.active().unwrap();
    hunt.provoke("an active key", keyring.destroy_without_evidence(active));
    hunt.provoke(
        "an unknown key",
        keyring.destroy_without_evidence(KeyId::from_bytes([1; 16])),
    );

    /// A provider that is away.
    struct Away;
    impl KeyProvider for Away {
        fn recognize(&self, _: &Slot<'_>) -> Recognition {
            Recognition::Current
        }
        fn wrap_key(&self, _: &DataKey, _: &WrapRequest<'_>) -> Result<WrappedKey, Error> {
            Err(Error::provider(true, "away"))
        }
        fn unwrap_key(&self, _: &Slot<'_>, _: &UnwrapRequest<'_>) -> Result<DataKey, Error> {
            Err(Error::provider(true, "away"))
        }
    }
    let away = EnvelopeCipher::new(Away);
    hunt.provoke("away", away.encrypt(PLAINTEXT, &bound()));
    hunt.provoke("away", away.decrypt(&envelope, &bound()));
    hunt.provoke(
        "no id",
        WrappedKey::external("org.example", b"", &MASTER_KEY),
    );
    hunt.provoke(
        "no ASCII",
        WrappedKey::external("é", &MASTER_KEY, &MASTER_KEY),
    );
}

fn provoke_in_keyring_files(hunt: &mut Hunt) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ehr.keyring");
    hunt.provoke("no file", KeyringFile::open(&path, cheap(PASSPHRASE)));
    let key = MasterKey::from_bytes_zeroizing(&mut MASTER_KEY.clone());
    let file = KeyringFile::create_with(&path, key, "ehr-2026", cheap(PASSPHRASE)).unwrap();
    hunt.provoke(
        "a file already",
        KeyringFile::create(&path, "again", cheap(PASSPHRASE)),
    );
    hunt.provoke("wrong", KeyringFile::open(&path, cheap(WRONG_PASSPHRASE)));
    hunt.provoke("a file's keyring", file.keyring().rotate("again"));

    // What a file holds that is none is crafted beside the code, in `src/envelope/keyring_crafted.rs`.
    let raw = String::from_utf8(MASTER_KEY.to_vec()).unwrap();
    let cipher = EnvelopeCipher::new(cheap(PASSPHRASE));
    fs::write(&path, cipher.encrypt(&raw, &bound()).unwrap()).unwrap();
    hunt.provoke("no keyring", KeyringFile::open(&path, cheap(PASSPHRASE)));
    fs::write(&path, &raw).unwrap();
    hunt.provoke("in clear", KeyringFile::open(&path, cheap(PASSPHRASE)));
    hunt.provoke("not confirmed", file.reload());
}

#[test]
fn an_error_goes_through_io_and_comes_back_the_same() {
    let mut hunt = Hunt::new();
    provoke_in_records(&mut hunt);
    provoke_in_contexts(&mut hunt);
    provoke_in_streams(&mut hunt);
    provoke_in_keys(&mut hunt);
    provoke_in_keyring_files(&mut hunt);
    for error in hunt.errors {
        let (name, said) = (variant(&error), error.to_string());
        let as_io = io::Error::from(error);
        assert_eq!(as_io.to_string(), said);
        match Error::from_io(&as_io) {
            Some(inside) => assert_eq!((variant(inside), inside.to_string()), (name, said.clone())),
            None => assert_eq!(name, "io"),
        }
        let kind = match name {
            "truncated" => Some(io::ErrorKind::UnexpectedEof),
            "no matching key" | "key not usable" | "wrong passphrase" => {
                Some(io::ErrorKind::PermissionDenied)
            }
            "misuse" => Some(io::ErrorKind::InvalidInput),
            "limit exceeded" | "provider" => Some(io::ErrorKind::Other),
            "io" => None,
            _ => Some(io::ErrorKind::InvalidData),
        };
        assert!(
            kind.is_none_or(|kind| kind == as_io.kind()),
            "{said}: {:?}",
            as_io.kind()
        );
        let back = Error::from(as_io);
        assert_eq!((variant(&back), back.to_string()), (name, said));
    }
}

#[test]
fn an_error_of_the_system_stays_what_it_is() {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    assert!(Error::from_io(&full).is_none());
    match Error::from(full) {
        Error::Io(error) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
        other => panic!("{other:?}"),
    }
    // An end that came too early is one, whoever says so.
    let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
    assert!(matches!(Error::from(cut), Error::Truncated));
    let foreign = io::Error::other("something else");
    assert!(Error::from_io(&foreign).is_none());
    assert!(matches!(Error::from(foreign), Error::Io(_)));
}
