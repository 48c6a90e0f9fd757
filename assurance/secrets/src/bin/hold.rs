//! Holds secrets as a program of a user would, says so, drops them, says so, and waits to be looked at.
//!
//! `hold SCENARIO FOLDER`, the secrets on standard input. It keeps no copy of them but in erased memory, and it never prints
//! one: the test that started it knows them.

use std::any::Any;
use std::error::Error;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use phi_envelope::{
    Context, EnvelopeCipher, KeyProvider, Keyring, KeyringFile, MasterKey, Passphrase,
    archive::{self, FileTree, RewrapOptions},
    files::{self, FileOptions},
    floe,
    keys::{Argon2Costs, DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};
use phi_envelope_secrets::{DROPPED, Given, HOLDING, PLAIN};
use zeroize::Zeroizing;

type Outcome<T = Held> = Result<T, Box<dyn Error>>;
/// What is alive until it is dropped.
type Held = Vec<Box<dyn Any>>;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let scenario = args.next().ok_or("no scenario")?;
    let folder = args.next().ok_or("no folder")?;
    let mut input = File::open("/proc/self/fd/0")?;
    let given = Given::read(&mut input)?;
    let held = run(&scenario, &given, Path::new(&folder))?;
    say(HOLDING, &mut input)?;
    drop(held);
    drop(given);
    say(DROPPED, &mut input)
}

fn say(word: &str, input: &mut File) -> Outcome<()> {
    let mut output = io::stdout();
    writeln!(output, "{word}")?;
    output.flush()?;
    input.read_exact(&mut [0])?;
    Ok(())
}

// Not inlined, so that the frames of a scenario lie where later calls of `main` may write.
#[inline(never)]
fn run(scenario: &str, given: &Given, folder: &Path) -> Outcome {
    match scenario {
        "nothing" => Ok(Vec::new()),
        "leak" => leak(given, folder),
        "keyring" => keyring(given, folder),
        "keyring_file" => keyring_file(given, folder),
        "passphrase" => passphrase(given, folder),
        "provider" => provider(given, folder),
        "cache" => cache(given, folder),
        "session" => session(given, folder),
        "refused" => refused(given, folder),
        "stream" => stream(given, folder),
        "file" => file(given, folder),
        "floe" => floe_alone(given, folder),
        "rotation" => rotation(given, folder),
        other => Err(format!("no scenario is called {other}").into()),
    }
}

/// The control: copies that nobody erases, one kept and one freed for each secret, and one of each data key of a keyring's file.
fn leak(given: &Given, folder: &Path) -> Outcome {
    for (name, _) in phi_envelope_secrets::GIVEN {
        // What a compiler cannot see is not optimised away.
        drop(black_box(Vec::from(given.of(name))));
        black_box(Vec::from(given.of(name)).leak());
    }
    let path = folder.join("leaked.keyring");
    let file = KeyringFile::create(&path, "generated", Leaky(cheap(given, "passphrase")?))?;
    keep_revision(&path, 1)?;
    file.update(|keys| keys.rotate("generated too"))?;
    keep_revision(&path, 2)?;
    file.reprotect(Leaky(cheap(given, "wrong passphrase")?))?;
    keep_revision(&path, 3)?;
    Ok(Vec::new())
}

/// A passphrase that keeps a copy of what it wraps.
struct Leaky(Passphrase);

impl KeyProvider for Leaky {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.0.recognize(slot)
    }

    fn wrap_key(
        &self,
        key: &DataKey,
        context: &WrapRequest<'_>,
    ) -> phi_envelope::Result<WrappedKey> {
        black_box(Vec::from(key.as_bytes()).leak());
        self.0.wrap_key(key, context)
    }

    fn unwrap_key(
        &self,
        slot: &Slot<'_>,
        context: &UnwrapRequest<'_>,
    ) -> phi_envelope::Result<DataKey> {
        self.0.unwrap_key(slot, context)
    }
}

/// Keeps a copy of a keyring's file, which the next update replaces: each revision has a data key and a salt of its own.
fn keep_revision(path: &Path, number: u32) -> Outcome<()> {
    fs::copy(
        path,
        path.with_extension(format!("revision {number}.keyring")),
    )?;
    Ok(())
}

fn master_key(given: &Given) -> MasterKey {
    let mut bytes = Zeroizing::new([0; 32]);
    bytes.copy_from_slice(given.of("master key"));
    MasterKey::from_bytes_zeroizing(&mut bytes)
}

fn bound(given: &Given) -> Outcome<Context> {
    Ok(Context::new()
        .label("tenant", "clinic-7")?
        .bind("patient", given.text("binding"))?)
}

fn cheap(given: &Given, name: &str) -> Outcome<Passphrase> {
    let costs = Argon2Costs {
        memory_kib: 256,
        passes: 1,
        lanes: 2,
    };
    Ok(Passphrase::new(given.of(name))?.with_costs(costs)?)
}

/// Seals and opens a record in each way there is.
fn records(
    cipher: &EnvelopeCipher,
    given: &Given,
    folder: &Path,
) -> Outcome<(Context, phi_envelope::Plaintext)> {
    let context = bound(given)?;
    let record = given.of("record");
    let envelope = cipher.encrypt(record, &context)?;
    fs::write(folder.join("record"), &envelope)?;
    let plaintext = cipher.decrypt(&envelope, &context)?;
    assert!(&plaintext[..] == record);
    drop(cipher.decrypt_in_place(envelope.clone(), &context)?);

    let mut roomy = Vec::with_capacity(record.len() + 400);
    roomy.extend_from_slice(record);
    fs::write(
        folder.join("record in place"),
        cipher.encrypt_in_place(roomy, &context)?,
    )?;
    let tight = record.to_vec();
    fs::write(
        folder.join("record in place, tight"),
        cipher.encrypt_in_place(tight, &context)?,
    )?;

    let rows: Vec<_> = record.chunks(40).map(|row| (row, &context)).collect();
    let sealed = cipher.encrypt_batch(&rows)?;
    let work: Vec<_> = sealed.iter().map(|row| (row, &context)).collect();
    for (number, (plaintext, envelope)) in cipher
        .decrypt_batch(&work)
        .into_iter()
        .zip(&sealed)
        .enumerate()
    {
        assert!(plaintext?.len() == 40);
        fs::write(folder.join(format!("row {number}")), envelope)?;
    }
    fs::write(
        folder.join("record, encrypted again"),
        cipher.reencrypt(&envelope, &context)?,
    )?;
    Ok((context, plaintext))
}

fn keyring(given: &Given, folder: &Path) -> Outcome {
    let keyring = Keyring::from_master_key(master_key(given), "imported");
    let cipher = EnvelopeCipher::new(keyring.clone());
    let (context, plaintext) = records(&cipher, given, folder)?;
    let other = MasterKey::from_base64(given.text("master key in base64"))?;
    let old = fs::read(folder.join("record"))?;
    keyring.rotate_to(other, "from base64")?;
    let rewrapped = cipher.rewrap(&old)?;
    assert!(rewrapped != old);
    fs::write(folder.join("record, rewrapped"), rewrapped)?;
    fs::write(
        folder.join("record, new key"),
        cipher.encrypt(given.of("record"), &context)?,
    )?;
    Ok(vec![
        Box::new(keyring),
        Box::new(cipher),
        Box::new(context),
        Box::new(plaintext),
    ])
}

fn keyring_file(given: &Given, folder: &Path) -> Outcome {
    let path = folder.join("a.keyring");
    let file = KeyringFile::create(&path, "generated", cheap(given, "passphrase")?)?;
    keep_revision(&path, 1)?;
    let cipher = EnvelopeCipher::new(file.keyring());
    let (context, plaintext) = records(&cipher, given, folder)?;
    file.update(|keys| keys.rotate("generated too"))?;
    keep_revision(&path, 2)?;
    file.update(|keys| keys.rotate_to(master_key(given), "imported"))?;
    keep_revision(&path, 3)?;
    fs::write(
        folder.join("record, new key"),
        cipher.encrypt(given.of("record"), &context)?,
    )?;
    let again = KeyringFile::open(&path, cheap(given, "passphrase")?)?;
    again.reload()?;
    assert!(KeyringFile::open(&path, cheap(given, "wrong passphrase")?).is_err());
    again.reprotect(cheap(given, "wrong passphrase")?)?;
    keep_revision(&path, 4)?;
    again.reprotect(cheap(given, "passphrase")?)?;

    let imported = folder.join("b.keyring");
    let other = MasterKey::from_base64(given.text("master key in base64"))?;
    let imported = KeyringFile::create_with(imported, other, "b", cheap(given, "passphrase")?)?;
    Ok(vec![
        Box::new(file),
        Box::new(again),
        Box::new(imported),
        Box::new(cipher),
        Box::new(plaintext),
    ])
}

fn passphrase(given: &Given, folder: &Path) -> Outcome {
    let cipher = EnvelopeCipher::new(cheap(given, "passphrase")?);
    let context = bound(given)?;
    let envelope = cipher.encrypt(given.of("record"), &context)?;
    fs::write(folder.join("record"), &envelope)?;
    let plaintext = cipher.decrypt(&envelope, &context)?;
    let wrong = EnvelopeCipher::new(cheap(given, "wrong passphrase")?);
    assert!(wrong.decrypt(&envelope, &context).is_err());
    // The default costs: 64 MiB, which the allocator hands back to the system.
    let dear = EnvelopeCipher::new(Passphrase::new(given.of("passphrase"))?);
    fs::write(
        folder.join("record, dear"),
        dear.encrypt(given.of("record"), &context)?,
    )?;
    Ok(vec![
        Box::new(cipher),
        Box::new(wrong),
        Box::new(dear),
        Box::new(plaintext),
    ])
}

/// A provider from outside, which hands over a data key that it knows.
struct Outside(Zeroizing<Vec<u8>>);

impl KeyProvider for Outside {
    fn recognize(&self, _: &Slot<'_>) -> Recognition {
        Recognition::Current
    }

    fn wrap_key(&self, _: &DataKey, _: &WrapRequest<'_>) -> phi_envelope::Result<WrappedKey> {
        WrappedKey::external("org.example", b"1", b"wrapped")
    }

    fn unwrap_key(&self, _: &Slot<'_>, _: &UnwrapRequest<'_>) -> phi_envelope::Result<DataKey> {
        Ok(data_key(&self.0))
    }
}

fn data_key(known: &[u8]) -> DataKey {
    let mut bytes = Zeroizing::new([0; 32]);
    bytes.copy_from_slice(known);
    DataKey::from_bytes_zeroizing(&mut bytes)
}

fn provider(given: &Given, folder: &Path) -> Outcome {
    let known = given.of("data key of a provider");
    let key = data_key(known);
    let cipher = EnvelopeCipher::new(Outside(Zeroizing::new(known.to_vec())));
    let context = bound(given)?;
    let envelope = cipher.encrypt(given.of("record"), &context)?;
    fs::write(folder.join("record of a stranger"), &envelope)?;
    // The provider's key is another: the header tag does not verify.
    assert!(cipher.decrypt(&envelope, &context).is_err());
    Ok(vec![Box::new(key), Box::new(cipher)])
}

fn cache(given: &Given, folder: &Path) -> Outcome {
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(Keyring::from_master_key(master_key(given), "imported"))
        .cache(1000, Duration::from_secs(3600))
        .build()?;
    let (context, plaintext) = records(&cipher, given, folder)?;
    let envelope = fs::read(folder.join("record"))?;
    drop(cipher.decrypt(&envelope, &context)?);
    Ok(vec![Box::new(cipher), Box::new(plaintext)])
}

fn session(given: &Given, folder: &Path) -> Outcome {
    let cipher = EnvelopeCipher::new(Keyring::from_master_key(master_key(given), "imported"));
    let context = bound(given)?;
    let session = cipher.session(&Context::new().label("tenant", "clinic-7")?)?;
    let rows: Vec<_> = given
        .of("record")
        .chunks(40)
        .map(|row| (row, &context))
        .collect();
    let mut envelopes = session.encrypt_batch(&rows)?;
    for (row, context) in &rows {
        envelopes.push(session.encrypt(row, context)?);
    }
    for (number, envelope) in envelopes.iter().enumerate() {
        drop(cipher.decrypt(envelope, &context)?);
        fs::write(folder.join(format!("row {number}")), envelope)?;
    }
    Ok(vec![Box::new(session), Box::new(cipher)])
}

/// What fails must leave no more than what succeeds.
fn refused(given: &Given, folder: &Path) -> Outcome {
    let cipher = EnvelopeCipher::new(Keyring::from_master_key(master_key(given), "imported"));
    let context = bound(given)?;
    let envelope = cipher.encrypt(given.of("record"), &context)?;
    fs::write(folder.join("record"), &envelope)?;
    for at in [8, 100, 190, 300, envelope.len() - 1] {
        let mut changed = envelope.clone();
        changed[at] ^= 1;
        assert!(cipher.decrypt(&changed, &context).is_err());
        assert!(cipher.decrypt_in_place(changed, &context).is_err());
    }
    assert!(cipher.decrypt(&envelope, &Context::new()).is_err());
    let mut writer = cipher.encrypt_writer(Vec::new(), &context)?;
    writer.write_all(given.of("stream"))?;
    let sealed = writer.finish()?;
    fs::write(folder.join("stream"), &sealed)?;
    for at in [8_195, 8_300, 80_000, 1_500_000, sealed.len() - 1] {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        for alone in [false, true] {
            assert!(read_all(&cipher, &changed, &context, alone).is_err());
        }
    }
    let path = folder.join("changed");
    let mut changed = sealed;
    changed[1_500_000] ^= 1;
    fs::write(&path, changed)?;
    let out = folder.join("out");
    assert!(files::decrypt(&cipher, &path, out, &context, FileOptions::new()).is_err());
    assert!(files::verify(&cipher, &path, &context, FileOptions::new()).is_err());
    // A writer that is dropped before its end.
    let mut writer = cipher.encrypt_writer(Vec::new(), &context)?;
    writer.write_all(given.of("stream"))?;
    Ok(vec![Box::new(cipher), Box::new(writer)])
}

/// Reads a stream in pieces, into memory that is erased.
fn read_all(
    cipher: &EnvelopeCipher,
    sealed: &[u8],
    context: &Context,
    alone: bool,
) -> Outcome<usize> {
    let mut reader = cipher.decrypt_reader(sealed, context)?;
    if alone {
        reader = reader.single_threaded();
    }
    drain(&mut reader)
}

fn drain(reader: &mut impl Read) -> Outcome<usize> {
    let mut piece = Zeroizing::new(vec![0; 100_000]);
    let mut total = 0;
    loop {
        match reader.read(&mut piece)? {
            0 => return Ok(total),
            read => total += read,
        }
    }
}

fn stream(given: &Given, folder: &Path) -> Outcome {
    let cipher = EnvelopeCipher::new(Keyring::from_master_key(master_key(given), "imported"));
    let context = bound(given)?;
    let plaintext = given.of("stream");
    let mut held: Held = Vec::new();
    for alone in [false, true] {
        let path = folder.join(format!("stream {alone}"));
        let mut writer = cipher.encrypt_writer(File::create(&path)?, &context)?;
        if alone {
            writer = writer.single_threaded();
        }
        for piece in plaintext.chunks(77_777) {
            writer.write_all(piece)?;
        }
        writer.finish()?;
        let mut reader = cipher.decrypt_reader(File::open(&path)?, &context)?;
        if alone {
            reader = reader.single_threaded();
        }
        assert!(drain(&mut reader)? == plaintext.len());
        for at in [3, 1_000_000, 65_504] {
            reader.seek(SeekFrom::Start(at))?;
            reader.read_exact(&mut Zeroizing::new(vec![0; 10_000]))?;
        }
        assert!(reader.plaintext_len()? == plaintext.len() as u64);
        held.push(Box::new(reader));
    }
    let path = folder.join("detached");
    let (header, mut writer) = cipher.encrypt_writer_detached(File::create(&path)?, &context)?;
    writer.write_all(plaintext)?;
    writer.finish()?;
    fs::write(folder.join("detached.header"), &header)?;
    let mut reader = cipher.decrypt_reader_detached(&header, File::open(&path)?, &context)?;
    assert!(drain(&mut reader)? == plaintext.len());
    let mut writer = cipher.encrypt_writer(io::sink(), &context)?;
    writer.write_all(&plaintext[..200_000])?;
    held.push(Box::new(writer));
    held.push(Box::new(cipher));
    Ok(held)
}

fn file(given: &Given, folder: &Path) -> Outcome {
    let keyring = Keyring::from_master_key(master_key(given), "imported");
    let cipher = EnvelopeCipher::new(keyring.clone());
    let context = bound(given)?;
    let plain = folder.join(PLAIN);
    let mut ranges: Held = Vec::new();
    for threads in [1, 4].map(NonZeroUsize::new) {
        let threads = threads.ok_or("no thread")?;
        let options = || FileOptions::new().threads(threads);
        let sealed = folder.join(format!("sealed {threads}"));
        let opened = folder.join(format!("opened {threads}"));
        files::encrypt(&cipher, &plain, &sealed, &context, options())?;
        files::decrypt(&cipher, &sealed, &opened, &context, options())?;
        files::verify(&cipher, &sealed, &context, options())?;
        let range = files::open(&cipher, &sealed, &context, options())?;
        range.read_at(&mut Zeroizing::new(vec![0; 200_000]), 1_000_001)?;
        range.read_at(&mut Zeroizing::new(vec![0; 20]), 5)?;
        ranges.push(Box::new(range));
        fs::copy(&sealed, folder.join(format!("first {threads}")))?;
        files::reencrypt(&cipher, &sealed, &context, options())?;
    }
    let sealed = folder.join("sealed 1");
    let other = MasterKey::from_base64(given.text("master key in base64"))?;
    keyring.rotate_to(other, "from base64")?;
    files::rewrap(&cipher, &sealed)?;
    files::repack(&cipher, &sealed, FileOptions::new().block_length(8192)?)?;
    ranges.push(Box::new(cipher));
    Ok(ranges)
}

fn floe_alone(given: &Given, folder: &Path) -> Outcome {
    let key = {
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.copy_from_slice(given.of("FLOE key"));
        floe::Key::from_bytes(*bytes)
    };
    let plaintext = given.of("stream");
    let length = floe::SegmentLength::DEFAULT;
    let message = floe::encrypt(&key, b"aad", length, plaintext)?;
    fs::write(folder.join("message.floe"), &message)?;
    let opened = floe::decrypt(&key, b"aad", &message)?;
    assert!(&opened[..] == plaintext);
    let mut writer = floe::Writer::new(Vec::new(), &key, b"aad", length)?;
    writer.write_all(plaintext)?;
    let message = writer.finish()?;
    fs::write(folder.join("message 2.floe"), &message)?;
    let mut reader = floe::Reader::new(&message[..], &key, b"aad")?;
    drain(&mut reader)?;
    Ok(vec![Box::new(key), Box::new(opened)])
}

fn rotation(given: &Given, folder: &Path) -> Outcome {
    let keyring = Keyring::from_master_key(master_key(given), "imported");
    let cipher = EnvelopeCipher::new(keyring.clone());
    let context = bound(given)?;
    let archive = folder.join("archive");
    fs::create_dir(&archive)?;
    for number in 0..20 {
        let path = archive.join(format!("{number}"));
        let plain = folder.join(PLAIN);
        if number % 2 == 0 {
            files::encrypt(&cipher, plain, path, &context, FileOptions::new())?;
        } else {
            fs::write(path, cipher.encrypt(given.of("record"), &context)?)?;
        }
        let copy = folder.join(format!("first {number}"));
        fs::copy(archive.join(format!("{number}")), copy)?;
    }
    let old = keyring.active()?;
    let other = MasterKey::from_base64(given.text("master key in base64"))?;
    keyring.rotate_to(other, "from base64")?;
    let rewrapped = archive::rewrap(
        &cipher,
        FileTree::new([archive.clone()]),
        RewrapOptions::new(),
    )?;
    let summary = rewrapped.finish();
    let found = archive::inventory(FileTree::new([archive]))?.finish();
    keyring.destroy_without_evidence(old)?;
    Ok(vec![Box::new(summary), Box::new(found), Box::new(cipher)])
}
