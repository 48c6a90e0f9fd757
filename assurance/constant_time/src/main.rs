//! Does one thing with keys that valgrind takes for undefined, so that it reports each branch and each address that depends on one.
//!
//! `phi-envelope-constant-time SCENARIO`, under valgrind. What comes out of a scenario is not looked at: it is undefined.

use std::error::Error;
use std::ffi::c_void;
use std::hint::black_box;
use std::io::Read as _;
use std::io::Write as _;

use phi_envelope::{
    Context, EnvelopeCipher, KeyId, Keyring, MasterKey, Passphrase, keys::Argon2Costs,
};

const MASTER_KEY: [u8; 32] = *b"a master key of just 32 bytes...";
const PASSPHRASE: &[u8] = b"correct horse battery staple";

fn main() -> Result<(), Box<dyn Error>> {
    let scenario = std::env::args().nth(1).ok_or("no scenario")?;
    match scenario.as_str() {
        "leaky" => leaky(),
        "encrypt" => encrypt()?,
        "record" => record()?,
        "refused" => refused()?,
        "stream" => stream()?,
        "passphrase" => passphrase()?,
        other => return Err(format!("no scenario is called {other}").into()),
    }
    println!("done");
    Ok(())
}

unsafe extern "C" {
    fn make_undefined(bytes: *mut c_void, len: usize) -> i32;
}

/// From here on, valgrind reports what depends on these bytes.
fn undefined(bytes: &mut [u8]) {
    // SAFETY: the request changes no byte, only what valgrind thinks of it.
    let followed = unsafe { make_undefined(bytes.as_mut_ptr().cast(), bytes.len()) };
    assert!(followed == 1, "this runs under valgrind's memcheck alone");
}

/// The control: a comparison that ends at the first difference.
fn leaky() {
    let mut secret = MASTER_KEY;
    undefined(&mut secret);
    let mut equal = true;
    for (left, right) in black_box(&secret).iter().zip(black_box(&MASTER_KEY)) {
        if left != right {
            equal = false;
            break;
        }
    }
    black_box(equal);
}

fn keyring(defined: bool) -> Keyring {
    let mut bytes = MASTER_KEY;
    if !defined {
        undefined(&mut bytes);
    }
    // The id is derived from the key, and public: a defined one takes its place.
    let key = MasterKey::from_bytes_zeroizing(&mut bytes).with_id(KeyId::from_bytes([7; 16]));
    Keyring::from_master_key(key, "test")
}

fn context() -> Result<Context, phi_envelope::Error> {
    Context::new()
        .label("tenant", "clinic-7")?
        .bind("patient", "MRN-0042")
}

fn encrypt() -> Result<(), Box<dyn Error>> {
    let cipher = EnvelopeCipher::new(keyring(false));
    let mut plaintext = *b"a plaintext of several blocks, which nothing depends on either";
    undefined(&mut plaintext);
    black_box(cipher.encrypt(plaintext, &context()?)?);
    let session = cipher.session(&Context::new())?;
    let row = Context::new().bind("patient", "MRN-0042")?;
    black_box(session.encrypt(plaintext, &row)?);
    let mut writer = cipher
        .encrypt_writer(Vec::new(), &context()?)?
        .single_threaded();
    for _ in 0..2_000 {
        writer.write_all(&plaintext)?;
    }
    black_box(writer.finish()?);
    Ok(())
}

fn record() -> Result<(), Box<dyn Error>> {
    let context = context()?;
    let envelope = EnvelopeCipher::new(keyring(true)).encrypt([1; 1000], &context)?;
    let cipher = EnvelopeCipher::new(keyring(false));
    let plaintext = cipher.decrypt(&envelope, &context)?;
    assert!(plaintext.len() == 1000);
    assert!(cipher.decrypt_in_place(envelope, &context)?.len() == 1000);
    Ok(())
}

/// Each verdict, the other way.
fn refused() -> Result<(), Box<dyn Error>> {
    let context = context()?;
    let envelope = EnvelopeCipher::new(keyring(true)).encrypt([1; 1000], &context)?;
    let cipher = EnvelopeCipher::new(keyring(false));
    // The wrapped key, the header tag, the payload's tag.
    for at in [160, 200, envelope.len() - 1] {
        let mut changed = envelope.clone();
        changed[at] ^= 1;
        assert!(cipher.decrypt(changed, &context).is_err());
    }
    let other = Context::new().bind("patient", "MRN-0043")?;
    assert!(cipher.decrypt(&envelope, &other).is_err());
    Ok(())
}

fn stream() -> Result<(), Box<dyn Error>> {
    let context = context()?;
    let sealer = EnvelopeCipher::new(keyring(true));
    let mut writer = sealer.encrypt_writer(Vec::new(), &context)?;
    writer.write_all(&[1; 150_000])?;
    let sealed = writer.finish()?;
    let cipher = EnvelopeCipher::new(keyring(false));
    let mut reader = cipher
        .decrypt_reader(&sealed[..], &context)?
        .single_threaded();
    let mut plaintext = Vec::new();
    reader.read_to_end(&mut plaintext)?;
    assert!(plaintext.len() == 150_000);
    Ok(())
}

fn passphrase() -> Result<(), Box<dyn Error>> {
    let costs = Argon2Costs {
        memory_kib: 32,
        passes: 1,
        lanes: 1,
    };
    let context = context()?;
    let sealer = EnvelopeCipher::new(Passphrase::new(PASSPHRASE)?.with_costs(costs)?);
    let envelope = sealer.encrypt([1; 1000], &context)?;
    let mut secret = PASSPHRASE.to_vec();
    undefined(&mut secret);
    let cipher = EnvelopeCipher::new(Passphrase::new(secret)?);
    assert!(cipher.decrypt(envelope, &context)?.len() == 1000);
    Ok(())
}
