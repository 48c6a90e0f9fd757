//! Memory stays below 1 MiB and two batches, whatever is read: the allocator refuses more (threat model, S14 and
//! S16). One test, in one process: the bound is for all threads.

use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek as _, SeekFrom, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;

use phi_envelope::{
    Context, EnvelopeCipher, Error, Keyring, KeyringFile, Passphrase,
    archive::{self, FileTree},
    files::{self, FileOptions},
    inspect,
    keys::Argon2Costs,
};
use phi_envelope_memory::Bounded;

#[global_allocator]
static MEMORY: Bounded = Bounded::new();

const MIB: usize = 1 << 20;

/// The promise: 1 MiB and two batches. A batch is 1 MiB of segments, or one segment for each core where that is more.
fn bound(segment: usize, alone: bool) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let one = alone || cfg!(not(feature = "parallel"));
    MIB + 2 * MIB.max(segment * if one { 1 } else { cores })
}

/// Does `work` within the bound and says what it used.
fn within<T>(what: &str, segment: usize, work: impl FnOnce() -> T) -> T {
    within_bound(what, bound(segment, false), work)
}

fn within_bound<T>(what: &str, bound: usize, work: impl FnOnce() -> T) -> T {
    let (out, peak) = MEMORY.within(bound, work);
    println!("{what}: {} KiB of {} KiB", peak >> 10, bound >> 10);
    out
}

/// A stream of as many bytes as one likes: a head, then a piece over and over, which nobody has to keep.
struct Endless<'a> {
    head: Cursor<&'a [u8]>,
    left: u64,
}

impl Read for Endless<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.head.read(out)? {
            0 => {
                let len = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(out.len());
                out[..len].fill(0xff);
                self.left -= len as u64;
                Ok(len)
            }
            read => Ok(read),
        }
    }
}

fn drain(mut reader: impl Read) -> io::Result<u64> {
    let mut piece = [0; 16 << 10];
    let mut total = 0;
    loop {
        match reader.read(&mut piece)? {
            0 => return Ok(total),
            read => total += read as u64,
        }
    }
}

#[test]
fn nothing_read_takes_more_than_promised() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Keyring::generate("memory").unwrap();
    let context = Context::new()
        .label("tenant", "clinic-7")
        .unwrap()
        .bind("patient", "MRN-0042")
        .unwrap();
    // The pool of threads starts once and stays.
    let cipher = EnvelopeCipher::new(keyring.clone());
    drain(
        cipher
            .decrypt_reader(&stream(&cipher, &context, 3 * MIB)[..], &context)
            .unwrap(),
    )
    .unwrap();

    for segment in [4096, 65_536, 1 << 20, 16 << 20] {
        let cipher = EnvelopeCipher::builder()
            .encrypt_for(keyring.clone())
            .segment_length(u32::try_from(segment).unwrap())
            .unwrap()
            .build()
            .unwrap();
        streams(&cipher, &context, segment);
        files(&cipher, &context, segment, folder.path());
    }
    headers(&cipher, &context);
    trees(&cipher, folder.path());
    costs(&context, folder.path());
}

fn stream(cipher: &EnvelopeCipher, context: &Context, len: usize) -> Vec<u8> {
    let mut writer = cipher.encrypt_writer(Vec::new(), context).unwrap();
    writer.write_all(&vec![7; len]).unwrap();
    writer.finish().unwrap()
}

fn streams(cipher: &EnvelopeCipher, context: &Context, segment: usize) {
    let len = (5 * segment).max(40 * MIB);
    let sealed = stream(cipher, context, len);
    for alone in [false, true] {
        let open = |inner: &mut dyn Read| -> Result<u64, Error> {
            let mut reader = cipher.decrypt_reader(inner, context)?;
            if alone {
                reader = reader.single_threaded();
            }
            Ok(drain(reader)?)
        };
        let bound = bound(segment, alone);
        let what = |what: &str| format!("{what}, segments of {segment} bytes, alone: {alone}");
        let read = within_bound(&what("a whole stream"), bound, || open(&mut &sealed[..]));
        assert_eq!(read.unwrap(), len as u64);
        let cut = &sealed[..sealed.len() - 5];
        within_bound(&what("cut off"), bound, || open(&mut &cut[..])).unwrap_err();
        // A header that verifies, and then whatever comes: 10 GiB of a segment that is none.
        let head = &sealed[..8192 + 74 + segment.min(sealed.len() / 2)];
        let mut endless = Endless {
            head: Cursor::new(head),
            left: 10 << 30,
        };
        within_bound(&what("an endless one"), bound, || open(&mut endless)).unwrap_err();
        // Its head alone, and nothing: what the header states is believed in no allocation.
        let mut head = &sealed[..8192 + 74];
        let (outcome, peak) = MEMORY.within(MIB, || open(&mut head));
        assert!(outcome.is_err() && peak <= MIB);
        within_bound(&what("with seeks"), bound, || {
            let mut reader = cipher
                .decrypt_reader(Cursor::new(&sealed[..]), context)
                .unwrap();
            for at in [1, len as u64 - 1, 0, 3 * segment as u64] {
                reader.seek(SeekFrom::Start(at)).unwrap();
                reader.read_exact(&mut [0]).unwrap();
            }
        });
    }
}

fn files(cipher: &EnvelopeCipher, context: &Context, segment: usize, folder: &Path) {
    let (plain, sealed) = (
        folder.join("plain"),
        folder.join(format!("sealed {segment}")),
    );
    let len = (5 * segment as u64).max(40 << 20);
    File::create(&plain).unwrap().set_len(len).unwrap();
    let options = || {
        FileOptions::new()
            .segment_length(u32::try_from(segment).unwrap())
            .unwrap()
    };
    files::encrypt(cipher, &plain, &sealed, context, options()).unwrap();
    let what = |what: &str| format!("{what}, segments of {segment} bytes");
    within(&what("a file, inspected"), 4096, || files::inspect(&sealed)).unwrap();
    within(&what("a file, verified"), segment, || {
        files::verify(cipher, &sealed, context, FileOptions::new())
    })
    .unwrap();
    within(&what("a range"), segment, || {
        let range = files::open(cipher, &sealed, context, FileOptions::new()).unwrap();
        for at in [0, 5, len / 2, len - 10] {
            range.read_at(&mut [0; 100], at).unwrap();
        }
    });
    // A size that claims 2^62 bytes, in a file of which nothing but the head is there.
    let claim = File::options().write(true).open(&sealed).unwrap();
    claim.set_len(8 << 40).unwrap();
    within(&what("a file that claims 8 TiB, inspected"), 4096, || {
        files::inspect(&sealed)
    })
    .unwrap();
    within(
        &what("a file that claims 8 TiB, a range of it"),
        segment,
        || {
            files::open(cipher, &sealed, context, FileOptions::new())
                .and_then(|range| range.read_at(&mut [0; 100], 7 << 40))
        },
    )
    .unwrap_err();
    fs::remove_file(&sealed).unwrap();
}

/// Heads that claim everything there is to claim.
fn headers(cipher: &EnvelopeCipher, context: &Context) {
    let record = cipher.encrypt("a record", context).unwrap();
    let sealed = stream(cipher, context, 100_000);
    for good in [&record, &sealed] {
        // Every length field lies within the first 300 bytes.
        for at in 4..good.len().min(300) {
            for claim in [
                &[0xff][..],
                &[0xff; 2],
                &[0xff; 4],
                &[0x7f, 0xff, 0xff, 0xff],
            ] {
                let mut bytes = good.clone();
                let end = bytes.len().min(at + claim.len());
                bytes[at..end].copy_from_slice(&claim[..end - at]);
                // Both blocks, so that the first is not replaced by the second.
                if good.len() > 8192 {
                    bytes.copy_within(..4096, 4096);
                }
                let (_, peak) = MEMORY.within(MIB, || {
                    let _ = inspect(&bytes);
                    let _ = cipher.decrypt(&bytes, context);
                    let _ = cipher.rewrap(&bytes);
                    let reader = cipher.decrypt_reader(&bytes[..], context);
                    let _ = reader.map(|reader| drain(reader.single_threaded()));
                    let _ = cipher.decrypt_reader_detached(&bytes, io::empty(), context);
                });
                assert!(peak <= MIB);
            }
        }
    }
    // What is no envelope, without end: it is turned away after a head.
    let mut endless = Endless {
        head: Cursor::new(b"PHIE"),
        left: 10 << 30,
    };
    MEMORY
        .within(MIB, || {
            cipher.decrypt_reader(&mut endless, context).map(drop)
        })
        .0
        .unwrap_err();
}

fn trees(cipher: &EnvelopeCipher, folder: &Path) {
    let tree = folder.join("tree");
    fs::create_dir(&tree).unwrap();
    for number in 0..2000 {
        let record = cipher.encrypt("a record", &Context::new()).unwrap();
        fs::write(tree.join(format!("{number}")), record).unwrap();
    }
    let huge = File::create(tree.join("huge")).unwrap();
    huge.set_len(8 << 40).unwrap();
    within("an inventory", 4096, || {
        archive::inventory(FileTree::new([tree.clone()]))
            .unwrap()
            .finish()
    });
}

/// Argon2's memory has a ceiling of its own, which is not taken before the costs were checked.
fn costs(context: &Context, folder: &Path) {
    let dear = Argon2Costs {
        memory_kib: 300_000,
        passes: 1,
        lanes: 1,
    };
    let dear = Passphrase::new("dear")
        .unwrap()
        .with_max_memory_kib(dear.memory_kib)
        .with_costs(dear)
        .unwrap();
    let envelope = EnvelopeCipher::new(dear)
        .encrypt("a record", context)
        .unwrap();
    let cipher = EnvelopeCipher::new(Passphrase::new("dear").unwrap());
    let (outcome, _) = MEMORY.within(MIB, || cipher.decrypt(&envelope, context).map(drop));
    assert!(matches!(outcome, Err(Error::LimitExceeded(_))));
    let fair = Argon2Costs {
        memory_kib: 65_536,
        passes: 1,
        lanes: 1,
    };
    let fair = Passphrase::new("dear").unwrap().with_costs(fair).unwrap();
    let envelope = EnvelopeCipher::new(fair)
        .encrypt("a record", context)
        .unwrap();
    let (outcome, peak) = MEMORY.within(65 * MIB, || cipher.decrypt(&envelope, context).map(drop));
    outcome.unwrap();
    println!("a passphrase slot of 64 MiB: {} KiB", peak >> 10);
    let path = folder.join("no.keyring");
    File::create(&path).unwrap().set_len(8 << 40).unwrap();
    let (outcome, _) = MEMORY.within(64 * MIB, || {
        KeyringFile::options()
            .allow_access_by_others()
            .open(&path, Passphrase::new("dear").unwrap())
            .map(drop)
    });
    assert!(matches!(outcome, Err(Error::LimitExceeded(_))));
}
