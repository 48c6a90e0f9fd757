//! Seals an export of patient records, file by file, and takes it through a change of its master key.
//!
//! `cargo run --release --example encrypt_export` makes a synthetic FHIR bulk export and works on that;
//! `cargo run --release --example encrypt_export -- PATH` works on a file or a folder of yours, which it only reads.

mod fhir;
mod files;
mod report;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use indicatif::ProgressBar;
use phi_envelope::{
    Context, EnvelopeCipher, Error, FileOptions, FileReport, KeyringFile, Passphrase, Rewrapped,
    encrypt_file, inspect_file, open_range, rewrap_file, verify_file,
};
use rand::TryRng as _;

use files::{Compare, Item};
use report::{note, step};

/// Encrypts, verifies, re-keys and decrypts an export of patient records
#[derive(Parser)]
struct Args {
    /// File or folder to work on in place of a synthetic export; it is only read
    path: Option<PathBuf>,
    /// Size of the synthetic export
    #[arg(long, default_value_t = 64, value_name = "MIB")]
    size: u64,
    /// Where to make the folder for the results, if not among the system's temporary files
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let into = args.into.unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new()
        .prefix("phi-envelope-")
        .tempdir_in(&into) // removed where a step fails, kept at the end
        .with_context(|| format!("cannot make a folder in {}", into.display()))?;
    let work = folder.path();

    report::head();
    let plain = match args.path {
        Some(path) => path,
        None => step("make a synthetic FHIR export", &[], |bar| {
            let plain = work.join("plain");
            for path in fhir::write_export(&plain, args.size << 20, 42)? {
                bar.inc(path.metadata()?.len());
            }
            Ok(plain)
        })?,
    };
    let export = Export {
        id: work
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into(),
        items: files::list(&plain, &work.join("sealed"))?,
    };

    let passphrase = new_passphrase()?;
    let keyring_path = work.join("export.keyring");
    let keyring = step("make a keyring, sealed by a passphrase", &[], |_| {
        let protection = Passphrase::new(&passphrase)?;
        let file = KeyringFile::create(&keyring_path, "export-2026", protection)?;
        Ok(file)
    })?;
    let retired = keyring.keyring().active()?;
    note(format_args!("master key {retired}"));
    let cipher = EnvelopeCipher::new(keyring.keyring());

    export.encrypt(&cipher)?;
    export.verify(&cipher)?;
    export.read_a_range(&cipher)?;

    // What an old backup holds: the keyring as it was, with the retired key alone.
    let before = work.join("before-rotation.keyring");
    fs::copy(&keyring_path, &before)?;
    step("rotate the master key", &[], |_| {
        Ok(keyring.update(|keys| keys.rotate("export-2027"))?)
    })?;
    note(format_args!("master key {}", keyring.keyring().active()?));
    export.rewrap(&cipher)?;

    let old = KeyringFile::open(&before, Passphrase::new(&passphrase)?)?;
    export.refused_to(&EnvelopeCipher::new(old.keyring()))?;

    // The retired key is destroyed on evidence alone: every file opened to its end without it.
    keyring.update(|keys| keys.suspend(retired))?;
    export.compare(&cipher)?;
    keyring.update(|keys| keys.destroy_without_evidence(retired))?;
    fs::remove_file(&before)?;
    note("all of it opened without the retired key, which is therefore destroyed");

    println!("\n  {}", folder.keep().display());
    println!("    sealed/         for the cloud, a disk, a backup");
    println!("    export.keyring  to be kept apart from them; passphrase {passphrase}");
    println!(
        "  Each file is bound to the export {:?} and to its own name.",
        export.id
    );
    Ok(())
}

/// The files of one export.
struct Export {
    id: String,
    items: Vec<Item>,
}

impl Export {
    /// A file is bound to its export and its name: exchanged for another it does not open.
    fn context(&self, item: &Item) -> Result<Context> {
        let public = Context::new().label("kind", "export")?;
        Ok(public.bind("export", &self.id)?.bind("file", &item.name)?)
    }

    fn encrypt(&self, cipher: &EnvelopeCipher) -> Result<()> {
        self.each("encrypt", |item, bar| {
            fs::create_dir_all(item.sealed.parent().unwrap_or(Path::new(".")))?;
            let context = self.context(item)?;
            shown(bar, |options| {
                encrypt_file(cipher, &item.plain, &item.sealed, &context, options)
            })
        })?;
        for item in self.items.iter().take(1) {
            let seen = inspect_file(&item.sealed)?.header;
            let [name, labels] = [&item.name, &format!("{:?}", seen.labels)];
            note(format_args!(
                "{name} shows, without a key, its labels {labels}"
            ));
        }
        Ok(())
    }

    fn verify(&self, cipher: &EnvelopeCipher) -> Result<()> {
        self.each("verify to the end", |item, bar| {
            let context = self.context(item)?;
            shown(bar, |options| {
                verify_file(cipher, &item.sealed, &context, options)
            })
        })
    }

    fn read_a_range(&self, cipher: &EnvelopeCipher) -> Result<()> {
        let Some(item) = self.items.iter().max_by_key(|item| item.bytes) else {
            return Ok(());
        };
        let at = item.bytes / 2;
        let range = step("read 4 KiB from the middle", &[], |_| {
            let sealed = open_range(
                cipher,
                &item.sealed,
                &self.context(item)?,
                FileOptions::new(),
            )?;
            read_at(sealed, at)
        })?;
        ensure!(
            range == read_at(File::open(&item.plain)?, at)?,
            "{} differs at {at}",
            item.name
        );
        note(format_args!(
            "of {}, from byte {at}: as in the original",
            item.name
        ));
        Ok(())
    }

    fn rewrap(&self, cipher: &EnvelopeCipher) -> Result<()> {
        self.each("rewrap the headers in place", |item, _| {
            let rewrapped = rewrap_file(cipher, &item.sealed)?;
            ensure!(rewrapped == Rewrapped::Done, "there was nothing to rewrap");
            Ok(())
        })
    }

    fn refused_to(&self, cipher: &EnvelopeCipher) -> Result<()> {
        let mut said = String::new();
        self.each("try the retired key alone", |item, _| {
            match open_range(
                cipher,
                &item.sealed,
                &self.context(item)?,
                FileOptions::new(),
            ) {
                Err(error @ Error::NoMatchingKey { .. }) => said = error.to_string(),
                Err(error) => return Err(error.into()),
                Ok(_) => bail!("the retired key still opens it"),
            }
            Ok(())
        })?;
        note(format_args!("with the keyring from before: {said}"));
        Ok(())
    }

    fn compare(&self, cipher: &EnvelopeCipher) -> Result<()> {
        self.each("decrypt with the new key and compare", |item, bar| {
            let mut original = Compare::with(&item.plain)?;
            let sealed = File::open(&item.sealed)?;
            let mut opened = cipher.decrypt_reader(sealed, &self.context(item)?)?;
            io::copy(&mut opened, &mut bar.wrap_write(&mut original))?;
            original.finish()
        })
    }

    /// One step over all files.
    fn each(
        &self,
        what: &str,
        mut run: impl FnMut(&Item, &ProgressBar) -> Result<()>,
    ) -> Result<()> {
        step(what, &self.items, |bar| {
            self.items
                .iter()
                .try_for_each(|item| run(item, bar).with_context(|| item.name.clone()))
        })
    }
}

/// Shows an operation's progress on the bar, from where it stands.
fn shown<'a>(
    bar: &'a ProgressBar,
    operation: impl FnOnce(FileOptions<'a>) -> phi_envelope::Result<FileReport>,
) -> Result<()> {
    let before = bar.position();
    let report = operation(FileOptions::new().progress(move |done, _| {
        bar.set_position(before + done);
        ControlFlow::Continue(())
    }))?;
    bar.set_position(before + report.plaintext_bytes);
    Ok(())
}

/// 4 KiB from `at` on.
fn read_at(mut file: impl Read + Seek, at: u64) -> Result<Vec<u8>> {
    let mut range = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(4096).read_to_end(&mut range)?;
    Ok(range)
}

/// 128 random bits, which nobody has to remember: it is printed at the end.
fn new_passphrase() -> Result<String> {
    let mut bytes = [0; 16];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
