//! Encrypts an export of patient records, file by file, and takes it through a change of its master key.
//!
//! ```text
//! cargo run --release --example encrypt_export                   a synthetic FHIR export of 64 MiB
//! cargo run --release --example encrypt_export -- PATH           a file or a folder of yours, which is only read
//!   --size MIB      size of the synthetic export
//!   --into FOLDER   where the folder for the results is made, if not among the system's temporary files
//!   --keep          leaves the results; without it they are removed at the end
//! ```

mod fhir;
mod listing;
mod report;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use phi_envelope::{
    Context, EnvelopeCipher, Error, KeyringFile, Passphrase,
    files::{self, FileOptions, FileReport, RewrapStatus},
};
use rand::TryRng as _;

use listing::{Compare, Item};
use report::{Done, note, step};

#[derive(Default)]
struct Args {
    path: Option<PathBuf>,
    mebibytes: Option<u64>,
    into: Option<PathBuf>,
    keep: bool,
}

impl Args {
    fn parse() -> Result<Self> {
        let mut args = Self::default();
        let mut given = std::env::args_os().skip(1);
        while let Some(argument) = given.next() {
            match argument.to_str() {
                Some("--keep") => args.keep = true,
                Some("--into") => {
                    args.into = Some(given.next().context("--into needs a folder")?.into());
                }
                Some("--size") => {
                    let size = given.next().context("--size needs a number of MiB")?;
                    let size = size.to_str().and_then(|size| size.parse().ok());
                    args.mebibytes = Some(size.context("--size needs a number of MiB")?);
                }
                Some(option) if option.starts_with('-') => bail!("there is no option {option}"),
                _ if args.path.is_none() => args.path = Some(argument.into()),
                _ => bail!("there is one path too many"),
            }
        }
        Ok(args)
    }
}

fn main() -> Result<()> {
    let args = Args::parse()?;
    let into = args.into.unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new()
        .prefix("phi-envelope-")
        .tempdir_in(&into) // removed at the end, unless it is to be kept
        .with_context(|| format!("cannot make a folder in {}", into.display()))?;
    let work = folder.path();

    report::head();
    let plain = match args.path {
        Some(path) => path,
        None => step("make a synthetic FHIR export", &[], |done| {
            let plain = work.join("plain");
            let size = args.mebibytes.unwrap_or(64) << 20;
            for path in fhir::write_export(&plain, size, 42)? {
                done.add(path.metadata()?.len());
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
        items: listing::list(&plain, &work.join("sealed"))?,
    };

    let passphrase = new_passphrase()?;
    let keyring_path = work.join("export.keyring");
    let keyring = step("make a keyring, under a passphrase", &[], |_| {
        let protection = Passphrase::new(&passphrase)?;
        let file = KeyringFile::create(&keyring_path, "export-2026", protection)?;
        Ok(file)
    })?;
    let retired = keyring.keyring().active()?;
    note(format_args!("its master key is {retired}"));
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
    let active = keyring.keyring().active()?;
    note(format_args!("the new one is {active}"));
    export.rewrap(&cipher)?;

    let old = KeyringFile::open(&before, Passphrase::new(&passphrase)?)?;
    export.refused_to(&EnvelopeCipher::new(old.keyring()))?;

    // The retired key is destroyed on evidence alone: every file opened to its end without it.
    keyring.update(|keys| keys.suspend(retired))?;
    export.compare(&cipher)?;
    keyring.update(|keys| keys.destroy_without_evidence(retired))?;
    fs::remove_file(&before)?;
    note("all files opened without the retired key, so it was destroyed");

    if args.keep {
        let secret = work.join("passphrase");
        new_private(&secret)?.write_all(passphrase.as_bytes())?;
        println!("\n  {}", folder.keep().display());
        println!("    sealed/         for a cloud, a disk or a backup");
        println!("    export.keyring  to be kept apart from them");
        println!("    passphrase      opens the keyring; to be kept apart from both");
        println!(
            "  Each file is bound to the export {} and to its own name.",
            export.id
        );
    } else {
        folder.close()?;
        println!("\n  Everything above succeeded, and its files were removed. --keep leaves them.");
    }
    Ok(())
}

/// A new file that its owner alone may read.
fn new_private(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path)?)
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
        self.each("encrypt", |item, done| {
            fs::create_dir_all(item.sealed.parent().unwrap_or(Path::new(".")))?;
            let context = self.context(item)?;
            shown(done, |options| {
                files::encrypt(cipher, &item.plain, &item.sealed, &context, options)
            })
        })?;
        if let Some(item) = self.items.first() {
            let labels = files::inspect(&item.sealed)?.header.labels;
            let labels: Vec<_> = labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            note(format_args!(
                "whoever has no key sees the labels of {}, {}, and no more of its content than its length",
                item.name,
                labels.join(" ")
            ));
        }
        Ok(())
    }

    fn verify(&self, cipher: &EnvelopeCipher) -> Result<()> {
        self.each("verify to the end", |item, done| {
            let context = self.context(item)?;
            shown(done, |options| {
                files::verify(cipher, &item.sealed, &context, options)
            })
        })
    }

    fn read_a_range(&self, cipher: &EnvelopeCipher) -> Result<()> {
        let Some(item) = self.items.iter().max_by_key(|item| item.bytes) else {
            return Ok(());
        };
        let at = item.bytes / 2;
        let range = step("read 4 KiB from the middle", &[], |_| {
            let sealed = files::open(
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
            "{} from byte {at} on is as in the original",
            item.name
        ));
        Ok(())
    }

    fn rewrap(&self, cipher: &EnvelopeCipher) -> Result<()> {
        self.each("rewrap the headers in place", |item, _| {
            let rewrapped = files::rewrap(cipher, &item.sealed)?;
            ensure!(
                rewrapped == RewrapStatus::Rewrapped,
                "there was nothing to rewrap"
            );
            Ok(())
        })
    }

    fn refused_to(&self, cipher: &EnvelopeCipher) -> Result<()> {
        self.each("try the retired key alone", |item, _| {
            match files::open(
                cipher,
                &item.sealed,
                &self.context(item)?,
                FileOptions::new(),
            ) {
                Err(Error::NoMatchingKey { .. }) => Ok(()),
                Err(error) => Err(error.into()),
                Ok(_) => bail!("the retired key still opens it"),
            }
        })?;
        note("as it should be: with the keyring from before the rotation, no file opens");
        Ok(())
    }

    fn compare(&self, cipher: &EnvelopeCipher) -> Result<()> {
        self.each("decrypt with the new key and compare", |item, done| {
            let mut original = Compare::with(&item.plain)?;
            let sealed = File::open(&item.sealed)?;
            let mut opened = cipher.decrypt_reader(sealed, &self.context(item)?)?;
            done.add(io::copy(&mut opened, &mut original)?);
            original.finish()
        })
    }

    /// One step over all files.
    fn each(&self, what: &str, mut run: impl FnMut(&Item, &Done) -> Result<()>) -> Result<()> {
        step(what, &self.items, |done| {
            self.items
                .iter()
                .try_for_each(|item| run(item, done).with_context(|| item.name.clone()))
        })
    }
}

/// Tells how far an operation is.
fn shown<'a>(
    done: &'a Done,
    operation: impl FnOnce(FileOptions<'a>) -> phi_envelope::Result<FileReport>,
) -> Result<()> {
    let before = done.bytes();
    let report = operation(FileOptions::new().progress(move |bytes, _| {
        done.set(before + bytes);
        ControlFlow::Continue(())
    }))?;
    done.set(before + report.plaintext_bytes);
    Ok(())
}

/// 4 KiB from `at` on.
fn read_at(mut file: impl Read + Seek, at: u64) -> Result<Vec<u8>> {
    let mut range = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(4096).read_to_end(&mut range)?;
    Ok(range)
}

/// 128 random bits, which nobody has to remember.
fn new_passphrase() -> Result<String> {
    let mut bytes = [0; 16];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
