//! Every way in which the crate reads. Each compares what came out with the truth, wherever it came from, and panics at a byte of
//! anything else; what it returns is whether it came to the end.

use std::fs;
use std::io::{self, BufRead as _, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use phi_envelope::{
    DecryptReader, Envelope,
    files::{self, FileOptions, SealedFile},
};

use super::*;

pub(crate) type Outcomes = Vec<(&'static str, Result<()>)>;

/// A record, by every call that takes one.
pub(crate) fn record(
    keyring: &Keyring,
    envelope: &[u8],
    context: &Context,
    truth: &[u8],
) -> Outcomes {
    let cipher = cipher(keyring);
    let opened = |sealed: &[u8]| same(&cipher.decrypt(sealed, context)?, truth);
    let as_text = || {
        let envelope = Envelope::from_bytes(envelope.to_vec())?;
        let text = envelope.to_string();
        same(&cipher.decrypt(text.parse::<Envelope>()?, context)?, truth)
    };
    let in_a_batch = || {
        let own = cipher.encrypt("neighbour", &of("0"))?;
        let batch = [
            (&own[..], of("0")),
            (envelope, context.clone()),
            (&own, of("0")),
        ];
        let mut opened = cipher.decrypt_batch(&batch);
        same(&opened.remove(2).unwrap(), b"neighbour")?;
        same(&opened.remove(0).unwrap(), b"neighbour")?;
        same(&opened.remove(0)?, truth)
    };
    let with_a_cache = || {
        let builder = EnvelopeCipher::builder().encrypt_for(keyring.clone());
        let cached = builder.cache(4, Duration::from_secs(60)).build()?;
        // The first time fills the cache and the second is answered from it.
        let first = cached.decrypt(envelope, context).map(drop);
        let second = cached.decrypt(envelope, context);
        assert_eq!(first.is_ok(), second.is_ok());
        same(&second?, truth)
    };
    let by_a_new_recipient = || {
        let friend = Keyring::generate("friend")?;
        let tenant = only_labels(context);
        let shared = cipher.add_recipient(envelope, &friend, &tenant)?;
        same(
            &EnvelopeCipher::new(friend).decrypt(&shared, context)?,
            truth,
        )
    };
    let by_a_replacement = || {
        let friend = Keyring::generate("friend")?;
        let tenant = only_labels(context);
        let shared = cipher.replace_recipient(envelope, keyring, &friend, &tenant)?;
        same(
            &EnvelopeCipher::new(friend).decrypt(&shared, context)?,
            truth,
        )
    };
    let rewrapped_as_a_file = || {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("record");
        fs::write(&path, envelope)?;
        files::rewrap(&cipher, &path)?;
        opened(&fs::read(&path)?)
    };
    without_misuse(vec![
        ("decrypt", opened(envelope)),
        (
            "decrypt_in_place",
            cipher
                .decrypt_in_place(envelope.to_vec(), context)
                .and_then(|it| same(&it, truth)),
        ),
        ("Envelope", as_text()),
        ("decrypt_batch", in_a_batch()),
        ("a cache", with_a_cache()),
        ("rewrap", cipher.rewrap(envelope).and_then(|it| opened(&it))),
        (
            "reencrypt",
            cipher
                .reencrypt(envelope, context)
                .and_then(|it| opened(&it)),
        ),
        ("add_recipient", by_a_new_recipient()),
        ("replace_recipient", by_a_replacement()),
        ("rewrap_file", rewrapped_as_a_file()),
    ])
}

/// A stream, with its header before it or beside it, in memory and as a file.
pub(crate) fn stream(
    keyring: &Keyring,
    header: Option<&[u8]>,
    bytes: &[u8],
    context: &Context,
    truth: &[u8],
) -> Outcomes {
    let mut outcomes = readers(keyring, header, context, truth, || Cursor::new(bytes));
    outcomes.extend(files(keyring, header, bytes, context, truth));
    without_misuse(outcomes)
}

/// A stream, by every trait of its reader, over sources that `source` makes.
pub(crate) fn readers<R: Read + Seek>(
    keyring: &Keyring,
    header: Option<&[u8]>,
    context: &Context,
    truth: &[u8],
    source: impl Fn() -> R,
) -> Outcomes {
    let cipher = cipher(keyring);
    let open = || match header {
        Some(header) => cipher.decrypt_reader_detached(header, source(), context),
        None => cipher.decrypt_reader(source(), context),
    };
    without_misuse(vec![
        ("read", open().and_then(|it| read(it, 1000, truth))),
        (
            "read, alone",
            open().and_then(|it| read(it.single_threaded(), 7, truth)),
        ),
        ("read_to_end", open().and_then(|it| read_to_end(it, truth))),
        ("copy", open().and_then(|it| copy(it, truth))),
        ("BufRead", open().and_then(|it| buffered(it, truth))),
        ("Seek", open().and_then(|it| sought(it, truth))),
        ("plaintext_len", open().and_then(|it| length(it, truth))),
    ])
}

fn files(
    keyring: &Keyring,
    header: Option<&[u8]>,
    bytes: &[u8],
    context: &Context,
    truth: &[u8],
) -> Outcomes {
    let cipher = cipher(keyring);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let put = || {
        fs::write(path("sealed"), bytes).unwrap();
        if let Some(header) = header {
            fs::write(path("header"), header).unwrap();
        }
    };
    let options = || match header {
        Some(_) => FileOptions::new().detached_header(path("header")),
        None => FileOptions::new(),
    };
    put();
    let mut outcomes = vec![
        (
            "decrypt_file",
            opened_file(&cipher, &path("sealed"), context, options(), truth),
        ),
        (
            "verify_file",
            files::verify(&cipher, path("sealed"), context, options())
                .map(|report| assert_eq!(report.plaintext_bytes, truth.len() as u64)),
        ),
        (
            "read_at",
            files::open(&cipher, path("sealed"), context, options())
                .and_then(|it| ranges(&it, truth)),
        ),
        (
            "SealedFile",
            files::open(&cipher, path("sealed"), context, options())
                .and_then(|it| read(it, 1000, truth)),
        ),
        ("rewrap_file", {
            let name = if header.is_some() { "header" } else { "sealed" };
            files::rewrap(&cipher, path(name))
                .and_then(|_| opened_file(&cipher, &path("sealed"), context, options(), truth))
        }),
    ];
    if header.is_some() {
        return outcomes;
    }
    let friend = Keyring::generate("friend").unwrap();
    let tenant = only_labels(context);
    let mut after = |way, change: &dyn Fn() -> Result<()>, reader: &EnvelopeCipher| {
        put();
        let changed =
            change().and_then(|()| opened_file(reader, &path("sealed"), context, options(), truth));
        outcomes.push((way, changed));
    };
    let sealed = path("sealed");
    after(
        "repack_file",
        &|| files::repack(&cipher, &sealed, FileOptions::new().block_length(8192)?).map(drop),
        &cipher,
    );
    after(
        "reencrypt_file",
        &|| files::reencrypt(&cipher, &sealed, context, FileOptions::new()).map(drop),
        &cipher,
    );
    let friends = EnvelopeCipher::new(friend.clone());
    after(
        "add_recipient_file",
        &|| files::add_recipient(&cipher, &sealed, &friend, &tenant).map(drop),
        &friends,
    );
    after(
        "replace_recipient_file",
        &|| files::replace_recipient(&cipher, &sealed, keyring, &friend, &tenant).map(drop),
        &friends,
    );
    outcomes
}

/// Whatever the store did, it was no bug of the caller's.
fn without_misuse(outcomes: Outcomes) -> Outcomes {
    for (way, outcome) in &outcomes {
        assert!(
            !matches!(outcome, Err(Error::Misuse(_))),
            "{way}: {outcome:?}"
        );
    }
    outcomes
}

/// Opens a file into another and looks at that one; where it fails there is none.
pub(crate) fn opened_file(
    cipher: &EnvelopeCipher,
    path: &Path,
    context: &Context,
    options: FileOptions<'_>,
    truth: &[u8],
) -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    match files::decrypt(cipher, path, &out, context, options) {
        Ok(_) => same(&fs::read(&out).unwrap(), truth),
        Err(error) => {
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
            Err(error)
        }
    }
}

/// Panics where something else came out than the truth, or less.
fn same(out: &[u8], truth: &[u8]) -> Result<()> {
    assert!(out == truth, "another plaintext came out");
    Ok(())
}

fn is_part(out: &[u8], truth: &[u8], at: usize) {
    let end = at + out.len();
    assert!(truth.get(at..end) == Some(out), "other bytes came out");
}

/// Reads in pieces to the end.
fn read(mut reader: impl Read, len: usize, truth: &[u8]) -> Result<()> {
    let (mut at, mut piece) = (0, vec![0; len]);
    loop {
        match reader.read(&mut piece)? {
            0 => break same(&truth[..at], truth),
            read => {
                is_part(&piece[..read], truth, at);
                at += read;
            }
        }
    }
}

fn read_to_end<R: Read>(mut reader: DecryptReader<R>, truth: &[u8]) -> Result<()> {
    let mut out = Vec::new();
    let end = reader.read_to_end(&mut out);
    is_part(&out, truth, 0);
    end?;
    same(&out, truth)
}

fn copy<R: Read>(mut reader: DecryptReader<R>, truth: &[u8]) -> Result<()> {
    let mut out = Vec::new();
    let end = io::copy(&mut reader, &mut out);
    is_part(&out, truth, 0);
    end?;
    same(&out, truth)
}

fn buffered<R: Read>(mut reader: DecryptReader<R>, truth: &[u8]) -> Result<()> {
    let mut at = 0;
    loop {
        let piece = reader.fill_buf()?;
        is_part(piece, truth, at);
        let taken = piece.len().min(100);
        if taken == 0 {
            break same(&truth[..at], truth);
        }
        reader.consume(taken);
        at += taken;
    }
}

/// From behind, then from the start once more.
fn sought<R: Read + Seek>(mut reader: DecryptReader<R>, truth: &[u8]) -> Result<()> {
    for at in (0..=truth.len()).rev().step_by(700) {
        reader.seek(SeekFrom::Start(at as u64))?;
        let mut piece = vec![0; 700.min(truth.len() - at)];
        reader.read_exact(&mut piece)?;
        is_part(&piece, truth, at);
    }
    assert_eq!(reader.seek(SeekFrom::End(0))?, truth.len() as u64);
    reader.seek(SeekFrom::Start(0))?;
    read(reader, 500, truth)
}

fn length<R: Read + Seek>(mut reader: DecryptReader<R>, truth: &[u8]) -> Result<()> {
    assert_eq!(reader.plaintext_len()?, truth.len() as u64);
    read(reader, 4096, truth)
}

/// Every range once, from behind.
fn ranges(reader: &SealedFile, truth: &[u8]) -> Result<()> {
    assert_eq!(reader.len(), truth.len() as u64);
    for at in (0..truth.len()).rev().step_by(900) {
        let mut piece = vec![0; 900];
        let read = reader.read_at(&mut piece, at as u64)?;
        is_part(&piece[..read], truth, at);
        assert_eq!(read, 900.min(truth.len() - at));
    }
    Ok(())
}

fn only_labels(context: &Context) -> Context {
    context.labels().fold(Context::new(), |only, (key, value)| {
        only.label(key, value).unwrap()
    })
}
