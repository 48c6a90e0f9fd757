//! Readers of a file while its header is rewrapped over and over.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use phi_envelope::{
    Context, EnvelopeCipher, Keyring,
    archive::{self, EntryKind, FileTree},
    files::{self, FileOptions},
};

use super::{LONG, SHORT, Shift, THREADS};

/// Some hundred segments.
const LEN: usize = 600_000;

#[test]
fn readers_see_a_whole_file_while_it_is_rewrapped() {
    read_and_rewrap(SHORT);
}

#[test]
#[ignore = "takes a minute"]
fn readers_see_a_whole_file_while_it_is_rewrapped_for_a_minute() {
    read_and_rewrap(LONG);
}

struct Shop<'a> {
    cipher: EnvelopeCipher,
    folder: &'a Path,
    plain: Vec<u8>,
}

fn read_and_rewrap(time: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Keyring::generate("first").unwrap();
    let shop = Shop {
        cipher: EnvelopeCipher::builder()
            .encrypt_for(keyring.clone())
            .segment_length(4096)
            .unwrap()
            .build()
            .unwrap(),
        folder: folder.path(),
        plain: (0..251).cycle().take(LEN).collect(),
    };
    let archive = folder.path().join("archive");
    fs::create_dir(&archive).unwrap();
    fs::write(folder.path().join("plain"), &shop.plain).unwrap();
    let (plain, phi) = (folder.path().join("plain"), archive.join("phi"));
    files::encrypt(&shop.cipher, &plain, &phi, &context(), FileOptions::new()).unwrap();
    let record = shop.cipher.encrypt(&shop.plain, &context()).unwrap();
    fs::write(archive.join("record"), record).unwrap();

    let (reading, writing) = (Shift::of(time), Shift::of(time));
    thread::scope(|scope| {
        for reader in 0..THREADS - 2 {
            let (shop, reading) = (&shop, &reading);
            scope.spawn(move || reading.repeat(|number| shop.read(reader, number)));
        }
        for _ in 0..2 {
            let (shop, keyring, writing) = (&shop, &keyring, &writing);
            scope.spawn(move || {
                writing.repeat(|number| {
                    if number.is_multiple_of(2) {
                        keyring.rotate("next").unwrap();
                    }
                    for name in ["phi", "record"] {
                        files::rewrap(&shop.cipher, shop.folder.join("archive").join(name))
                            .unwrap();
                    }
                    // Keys without end make every change of the keyring slower.
                    if keyring.keys().len() > 2_000 {
                        thread::sleep(Duration::from_millis(5));
                    }
                });
            });
        }
    });
    println!("{} reads, {} rewraps", reading.done(), 2 * writing.done());
    assert!(reading.done() > 50 && writing.done() > 20);
    let found = files::inspect(phi).unwrap();
    assert!(found.blocks_alike && found.header.generation > 10);
}

fn context() -> Context {
    Context::new().bind("export", "42").unwrap()
}

impl Shop<'_> {
    fn read(&self, reader: usize, number: u64) {
        let archive = self.folder.join("archive");
        let phi = archive.join("phi");
        match (usize::try_from(number).unwrap() + reader) % 7 {
            0 => {
                let file = File::open(phi).unwrap();
                let mut opened = self.cipher.decrypt_reader(file, &context()).unwrap();
                let mut plain = Vec::new();
                opened.read_to_end(&mut plain).unwrap();
                assert!(plain == self.plain, "decrypt_reader");
            }
            1 => {
                let out = self.folder.join(format!("out-{reader}"));
                let options = FileOptions::new().overwrite();
                files::decrypt(&self.cipher, phi, &out, &context(), options).unwrap();
                assert!(fs::read(out).unwrap() == self.plain, "decrypt_file");
            }
            2 => {
                let options = FileOptions::new();
                files::verify(&self.cipher, phi, &context(), options).unwrap();
            }
            3 => {
                let file = fs::read(archive.join("record")).unwrap();
                let plain = self.cipher.decrypt(file, &context()).unwrap();
                assert!(plain[..] == self.plain, "decrypt");
            }
            4 => {
                let mut seen = 0;
                for entry in archive::inventory(FileTree::new([archive])).unwrap() {
                    match entry.content {
                        // A record is written beside and renamed: the walk may meet the name it has for a moment, or miss it.
                        EntryKind::Envelope(_) | EntryKind::Unreadable(_) if entry.is_temporary => {
                        }
                        EntryKind::Envelope(found) => {
                            assert_eq!(found.header.slots.len(), 1);
                            seen += 1;
                        }
                        other => panic!("{}: {other:?}", entry.path.display()),
                    }
                }
                assert_eq!(seen, 2, "inventory");
            }
            _ => {
                let file = files::open(&self.cipher, phi, &context(), FileOptions::new()).unwrap();
                let at = usize::try_from(number * 7_919).unwrap() % LEN;
                let mut out = vec![0; 10_000.min(LEN - at)];
                assert_eq!(file.read_at(&mut out, at as u64).unwrap(), out.len());
                assert!(out == self.plain[at..at + out.len()], "open_range");
            }
        }
    }
}
