//! The files of folders sealed, opened and verified.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use phi_envelope::{
    Context, EnvelopeCipher, Error,
    files::{self, FileReport},
};

use super::args::{check_work, output_folder, threads};
use super::contexts::Contexts;
use super::paths::{self, Access, Secrets, make_folder, refuse_inside};
use super::run::{Did, Job, run};
use super::same::report_if_same;
use super::share::Share;
use super::walk::Met;
use crate::args::{Decrypt, Encrypt, Verify};
use crate::failure::failed;
use crate::keys::Keys;
use crate::options::KeyArgs;
use crate::output::{Answer, Console};

/// The outcome of a file whose output existed already.
const PRESENT: &str = "present";

pub(crate) fn encrypt(console: &Console, args: &Encrypt) -> Result<Answer> {
    let input = args.input.as_path();
    let output = output_folder(&[input], args.output.as_deref(), &args.work)?;
    refuse_inside("-o", output, &[input])?;
    let contexts = Contexts::new(&args.context, &args.each)?;
    let to = &args.to;
    let others = to
        .keyring_files()
        .chain(&to.to_passphrase_file)
        .chain(&args.context.bind_file)
        .chain(&args.each.bind_from);
    let secrets = Secrets::new(key_files(&args.key).chain(others));
    let cipher = Keys::new(&args.key).writer(to, &args.layout)?;
    let outputs = Outputs::new((input, output), secrets, args.overwrite, Access::As(input))?;
    let job = Job {
        command: "encrypt".into(),
        outcomes: &["sealed", PRESENT],
        inputs: vec![input.to_owned()],
        folder: &args.folder,
        threads: threads(args.work.threads),
    };
    run(console, job, |met, share| {
        let output = outputs.of(&met.path, &paths::sealed(&met.below))?;
        seal((&cipher, &contexts), met, &output, share)
    })
}

pub(crate) fn decrypt(console: &Console, args: &Decrypt) -> Result<Answer> {
    let input = args.input.as_path();
    let output = output_folder(&[input], args.output.as_deref(), &args.work)?;
    refuse_inside("-o", output, &[input])?;
    let contexts = Contexts::new(&args.context, &args.each)?;
    let bindings = args.context.bind_file.iter().chain(&args.each.bind_from);
    let secrets = Secrets::new(key_files(&args.key).chain(bindings));
    let cipher = Keys::new(&args.key).reader()?;
    let outputs = Outputs::new((input, output), secrets, args.overwrite, Access::Owner)?;
    let job = Job {
        command: "decrypt".into(),
        outcomes: &["opened", PRESENT],
        inputs: vec![input.to_owned()],
        folder: &args.folder,
        threads: threads(args.work.threads),
    };
    run(console, job, |met, share| {
        let Some(below) = paths::plain(&met.below) else {
            return Err(no_name(&met.path));
        };
        let context = contexts.of(&below)?;
        let output = outputs.of(&met.path, &below)?;
        open((&cipher, &context), met, &output, share)
    })
}

pub(crate) fn verify(console: &Console, args: &Verify) -> Result<Answer> {
    let inputs: Vec<_> = args.files.iter().map(PathBuf::as_path).collect();
    check_work(&inputs, &args.work)?;
    let contexts = Contexts::new(&args.context, &args.each)?;
    let cipher = Keys::new(&args.key).reader()?;
    let job = Job {
        command: "verify".into(),
        outcomes: &["verified"],
        inputs: args.files.clone(),
        folder: &args.folder,
        threads: threads(args.work.threads),
    };
    run(console, job, |met, share| {
        let below = paths::plain(&met.below);
        let context = contexts.of(below.as_ref().unwrap_or(&met.below))?;
        let report = files::verify(&cipher, &met.path, &context, share.options())?;
        Ok(did("verified", &report))
    })
}

fn key_files(key: &KeyArgs) -> impl Iterator<Item = &PathBuf> {
    let secret = &key.secret;
    key.keyring
        .iter()
        .chain(&secret.passphrase_file)
        .chain(&secret.master_key_file)
}

fn did(outcome: &'static str, report: &FileReport) -> Did {
    let mut did = Did::new(outcome, report.plaintext_bytes);
    did.damage = report.header_damage;
    did
}

/// Where outputs go.
struct Outputs<'a> {
    folder: &'a Path,
    /// The inputs' folder and the outputs', as the system knows them.
    known: (PathBuf, PathBuf),
    secrets: Secrets,
    overwrites: bool,
    access: Access<'a>,
}

/// Where one output goes.
struct Output {
    path: PathBuf,
    is_there: bool,
    overwrites: bool,
}

impl<'a> Outputs<'a> {
    fn new(
        (input, folder): (&Path, &'a Path),
        secrets: Secrets,
        overwrites: bool,
        access: Access<'a>,
    ) -> Result<Self> {
        if fs::metadata(folder).is_ok_and(|there| !there.is_dir()) {
            return Err(io::Error::from(io::ErrorKind::NotADirectory))
                .with_context(|| crate::output::escaped_path(folder));
        }
        Ok(Self {
            folder,
            known: (paths::absolute(input)?, paths::absolute(folder)?),
            secrets,
            overwrites,
            access,
        })
    }

    /// The output that has this path below the folder of outputs, which has a folder from here on.
    fn of(&self, input: &Path, below: &Path) -> Result<Output> {
        if self.secrets.hold(input) {
            return Err(failed(
                "this command takes its keys or its bindings from it; keep it elsewhere, or leave it out with --exclude",
            ));
        }
        let (inputs, outputs) = &self.known;
        let must_be_outside = |output: &Path| {
            if output.starts_with(inputs) {
                return Err(failed(
                    "its output would lie in the folder that is worked on; name another folder with -o",
                ));
            }
            Ok(())
        };
        must_be_outside(&outputs.join(below))?;
        let parent = below.parent().unwrap_or(Path::new(""));
        make_folder(self.folder, parent, self.access)?;
        // A folder of outputs may be a link that leads there.
        let known = self.folder.join(parent).canonicalize();
        must_be_outside(&known.context("the folder of its output")?)?;
        let path = self.folder.join(below);
        let is_there = match fs::symlink_metadata(&path) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error).context("its output"),
        };
        if is_there && self.secrets.hold(&path) {
            return Err(failed("its output is a file of keys or bindings"));
        }
        Ok(Output {
            path,
            is_there,
            overwrites: self.overwrites,
        })
    }
}

impl Output {
    /// The file that is there, if one is.
    fn there(&self) -> Result<Option<File>> {
        if !self.is_there {
            return Ok(None);
        }
        match open_file(&self.path, true) {
            // What cannot be replaced is refused where it would be.
            Err(_) if self.overwrites => Ok(None),
            there => there.map(Some).context("its output"),
        }
    }

    /// What a comparison with the file that is there came to: what there is, or nothing if it is to be replaced.
    fn compared(&self, same: Result<Option<FileReport>, Error>, what: &str) -> Result<Option<Did>> {
        match same {
            Ok(Some(report)) => Ok(Some(did(PRESENT, &report))),
            Err(Error::Cancelled) => Err(Error::Cancelled.into()),
            _ if self.overwrites => Ok(None),
            Ok(None) => Err(failed(format_args!(
                "its output exists and {what}; --overwrite replaces it"
            ))),
            Err(error) => {
                Err(error).context("its output exists and does not open; --overwrite replaces it")
            }
        }
    }
}

/// Seals a file, if what it is to become is not there.
fn seal(
    (cipher, contexts): (&EnvelopeCipher, &Contexts),
    met: &Met,
    output: &Output,
    share: &Share<'_>,
) -> Result<Did> {
    let context = contexts.of(&met.below)?;
    let source = open_file(&met.path, met.is_named)?;
    if let Some(there) = output.there()? {
        let plain = open_file(&met.path, met.is_named)?;
        let same = report_if_same(cipher, (there, &context), plain, share).and_then(|same| {
            // A file that opens has at least these labels, and is to have no other.
            let has_labels = same.is_some() && has_labels(&output.path, &context)?;
            Ok(same.filter(|_| has_labels))
        });
        let what = "holds something else, or has other labels";
        if let Some(present) = output.compared(same, what)? {
            return Ok(present);
        }
    }
    let options = share.options();
    let options = if output.overwrites {
        options.overwrite()
    } else {
        options
    };
    let report = files::encrypt_from(cipher, &source, &output.path, &context, options)?;
    let mut sealed = did("sealed", &report);
    sealed.not_kept = Some((output.path.clone(), report.not_kept));
    Ok(sealed)
}

/// Whether a sealed file has these labels and no other.
fn has_labels(sealed: &Path, context: &Context) -> Result<bool, Error> {
    let found = files::inspect(sealed)?.header.labels;
    let found = found.iter().map(|(key, value)| (&**key, &**value));
    Ok(found.eq(context.labels()))
}

/// Opens a sealed file, if what it is to become is not there.
fn open(
    (cipher, context): (&EnvelopeCipher, &Context),
    met: &Met,
    output: &Output,
    share: &Share<'_>,
) -> Result<Did> {
    if let Some(there) = output.there()? {
        let sealed = open_file(&met.path, met.is_named)?;
        // If the input does not open, that is what is told, and nothing is replaced.
        let same = report_if_same(cipher, (sealed, context), there, share)?;
        let what = "is not what the sealed file holds";
        if let Some(present) = output.compared(Ok(same), what)? {
            return Ok(present);
        }
    }
    let sealed = open_file(&met.path, met.is_named)?;
    let options = share.options();
    let options = if output.overwrites {
        options.overwrite()
    } else {
        options
    };
    let report = files::decrypt_from(cipher, &sealed, &output.path, context, options)?;
    let mut opened = did("opened", &report);
    opened.not_kept = Some((output.path.clone(), report.not_kept));
    Ok(opened)
}

/// Why a sealed file has no plaintext's name.
fn no_name(path: &Path) -> anyhow::Error {
    match files::inspect(path) {
        Ok(_) => failed(
            "its name does not end in .phi, so that its plaintext has none; decrypt it by itself, with -o",
        ),
        Err(error) => error.into(),
    }
}

/// Opens a regular file. What has taken its place since it was met, a pipe for one, is refused and not waited for.
fn open_file(path: &Path, follows_links: bool) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;

        use rustix::fs::OFlags;

        let mut flags = OFlags::NONBLOCK;
        if !follows_links {
            flags |= OFlags::NOFOLLOW;
        }
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
    }
    #[cfg(not(unix))]
    let _ = follows_links;
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        ));
    }
    Ok(file)
}
