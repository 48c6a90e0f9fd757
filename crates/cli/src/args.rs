//! The command line. No secret stands on it: other users of a machine see it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::archive::args::{EvidenceCommand, Exposure, Inventory, Retire, Rewrap};
use crate::folders::args::{BindEachArgs, FolderArgs};
use crate::keygen::Keygen;
use crate::keyring_args::KeyringCommand;
use crate::options::{
    ChangeArgs, ContextArgs, FromArgs, KeyArgs, LayoutArgs, LockWait, ToArgs, WorkArgs,
    block_length,
};
use crate::streams::ByteRange;

/// Seals files before they leave the house, opens them, and keeps the keys.
///
/// A file is sealed for a keyring (--keyring) or, without one, for the passphrase or the master key itself. The passphrase comes
/// from --passphrase-file, from the variable PHI_PASSPHRASE, or from a prompt; a master key from --master-key-file.
#[derive(Parser)]
#[command(name = "phi", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Answer with one JSON object on stdout, or JSON lines for folders and whole archives; on stderr where the data itself goes to stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How long a file that another program has locked is waited for, as 500ms, 30s or 5m, or forever [default: 60s]
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) lock_wait: Option<LockWait>,
    /// Open the file of a keyring, a passphrase or a master key although others may read or write it, as with a secret that is
    /// mounted into a container
    #[arg(long, global = true)]
    pub(crate) allow_access_by_others: bool,
    /// Refuse the command's keyring file if its revision is lower: an older one that somebody has put back
    #[arg(long, global = true, value_name = "N")]
    pub(crate) min_revision: Option<u64>,
    /// The same, of the number that a file holds; it is read again whenever the command confirms the keyring
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) min_revision_file: Option<PathBuf>,
    /// Whether a file of a passphrase or a master key is named.
    #[arg(skip)]
    pub(crate) names_secret: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options that name files of passphrases and master keys.
const SECRETS: [&str; 9] = [
    "passphrase_file",
    "master_key_file",
    "new_passphrase_file",
    "new_master_key_file",
    "to_passphrase_file",
    "to_keyring_passphrase_files",
    "to_keyring_master_key_files",
    "from_keyring_passphrase_file",
    "from_keyring_master_key_file",
];

impl Cli {
    /// The command line of this process.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches()?;
        let read = Self::from_arg_matches(&matches);
        let mut cli = read.map_err(|error| error.format(&mut Self::command()))?;
        let mut innermost = &matches;
        while let Some((_, inner)) = innermost.subcommand() {
            innermost = inner;
        }
        let is_named = |option| matches!(innermost.try_contains_id(option), Ok(true));
        cli.names_secret = SECRETS.into_iter().any(is_named);
        Ok(cli)
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: malformed, truncated, input or output; a key that was not destroyed
  2  wrong usage
  3  authentication failed, or the context is another
  4  no usable key, or a wrong passphrase
  5  done, but the answer could not be written
  6  nothing was found, where --expect-some says that something should be
  7  a person must decide; nothing was destroyed
  129, 130, 143  ended by SIGHUP, SIGINT or SIGTERM
Of several, the first of 2, 4, 3, 1, 7, 6, 5.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make and change a keyring's file
    #[command(subcommand)]
    Keyring(KeyringCommand),
    /// Make a new random master key, as --master-key-file reads it
    Keygen(Keygen),
    /// Seal a file, or with --recursive all files below a folder
    ///
    /// A keyring's file is not sealed for the very keyring that it holds: once that is lost, nothing could open the copy.
    ///
    /// With --recursive, each file is sealed as FOLDER/PATH.phi, where PATH is its path below the input, and the originals stay. Files that are sealed
    /// already, and open to what the original holds, are skipped: to run it again is to go on.
    Encrypt(Encrypt),
    /// Open a sealed file, or with --recursive all files below a folder
    ///
    /// With --recursive, each file is opened as FOLDER/PATH, where PATH is its path below the input without .phi, and the sealed files stay. A file
    /// appears under its name only when all of it was authenticated. To stdout, segments go as soon as each is
    /// authenticated: a consumer must wait for exit code 0 before it believes that it has all of them.
    Decrypt(Decrypt),
    /// Authenticate all of one or more files, or with --recursive of whole folders, and write nothing
    Verify(Verify),
    /// Open a sealed file, or a range of it, to stdout
    ///
    /// Of a file, a range reads and authenticates only the segments that it touches and the last one. Segments go out as soon as
    /// each is authenticated: a consumer must wait for exit code 0.
    Cat(Cat),
    /// Say what a file claims about itself; needs no key, and nothing of it is verified
    Inspect {
        /// Sealed files, detached headers, keyrings
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Move files to the keyring's current key; the payload is not touched
    ///
    /// With --recursive, all files of whole folders. It keeps no journal: a file that was moved stays as it is, so to run again is to
    /// go on. With --json, each file that failed is a line, and the last line has the summary.
    Rewrap(Rewrap),
    /// Say which keys protect what, and what is not encrypted; needs no key, and nothing of it is verified
    ///
    /// With --json, each file is a line (with --files; without it, each that could not be read), and the last line has the summary.
    Inventory(Inventory),
    /// Take a key out of use: rewrap everything, open everything without it, and destroy it if nothing speaks against that
    ///
    /// The places must be all there is: what lies elsewhere under this key is lost with it. To run it again, with another file for
    /// the evidence, is to go on. What was seen and could not be examined is told, and keeps the key until it is accepted (exit code 7).
    Retire(Retire),
    /// Tell what a scan for evidence has found; it opens as the keyring's file does
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// After a theft: sort files by whether these keys open them today; needs no key, and nothing of it is verified
    ///
    /// With --json, each file is a line (with --files; without it, each that could not be read), and the last line has the summary.
    Exposure(Exposure),
    /// Seal a file anew, in its place: new data key, new payload, for the recipients named here and nobody else
    ///
    /// Demands exactly the file's labels, and its bindings.
    Reencrypt(Reencrypt),
    /// Copy a file, in its place, with header blocks of another length
    Repack {
        /// The sealed file
        file: PathBuf,
        #[command(flatten)]
        key: KeyArgs,
        /// Bytes of a header block: a multiple of 4096 up to 65536
        #[arg(long, value_name = "BYTES", value_parser = block_length)]
        block_length: usize,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Add, remove or replace who can open a file, or with --recursive all files below a folder; all demand exactly the file's labels
    #[command(subcommand)]
    Recipient(RecipientCommand),
}

impl Command {
    /// Whether a command does nothing but tell, so that there is no use in going on if nobody takes it.
    pub(crate) fn only_tells(&self) -> bool {
        match self {
            Self::Keyring(KeyringCommand::List { .. }) | Self::Inspect { .. } => true,
            Self::Inventory(args) => args.save.is_none(),
            Self::Exposure(_) | Self::Evidence(_) => true,
            _ => false,
        }
    }

    /// Which files of a folder a command works on, if it can work on one.
    pub(crate) fn folder(&self) -> Option<&FolderArgs> {
        match self {
            Self::Encrypt(args) => Some(&args.folder),
            Self::Decrypt(args) => Some(&args.folder),
            Self::Verify(args) => Some(&args.folder),
            Self::Recipient(command) => Some(&command.on().folder),
            _ => None,
        }
    }

    /// Whether a command opens the file of a keyring.
    pub(crate) fn opens_keyring(&self) -> bool {
        let is_named = |key: &KeyArgs| key.keyring.is_some();
        let is_for = |to: &ToArgs| !to.to_keyrings.is_empty();
        match self {
            Self::Keyring(command) => !matches!(command, KeyringCommand::New { .. }),
            Self::Encrypt(args) => is_named(&args.key) || is_for(&args.to),
            Self::Reencrypt(args) => is_named(&args.key) || is_for(&args.to),
            Self::Decrypt(args) => is_named(&args.key),
            Self::Verify(args) => is_named(&args.key),
            Self::Cat(args) => is_named(&args.key),
            Self::Rewrap(args) => is_named(&args.key) || is_for(&args.anew.to),
            Self::Repack { key, .. } => is_named(key),
            Self::Recipient(command) => command.opens_keyring(),
            Self::Inventory(args) => !args.keyrings.is_empty(),
            Self::Retire(args) => is_named(&args.keys),
            Self::Exposure(args) => !args.keyrings.is_empty(),
            Self::Inspect { .. } | Self::Evidence(_) | Self::Keygen(_) => false,
        }
    }
}

impl RecipientCommand {
    /// What it works on.
    pub(crate) fn on(&self) -> &RecipientFile {
        match self {
            Self::Add { on, .. } | Self::Remove { on, .. } | Self::Replace { on, .. } => on,
        }
    }

    fn opens_keyring(&self) -> bool {
        let (on, to, from) = match self {
            Self::Add { on, to } => (on, Some(to), None),
            Self::Remove { on, from } => (on, None, Some(from)),
            Self::Replace { on, from, to } => (on, Some(to), Some(from)),
        };
        on.key.keyring.is_some()
            || to.is_some_and(|to| !to.to_keyrings.is_empty())
            || from.is_some_and(|from| from.from_keyring.is_some())
    }
}

#[derive(Args)]
pub(crate) struct Encrypt {
    /// The file, or with --recursive the folder; - is stdin
    pub(crate) input: PathBuf,
    /// Where to [default: INPUT.phi, and stdout for stdin]; - is stdout. With --recursive, a folder outside of the input
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) to: ToArgs,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    #[command(flatten)]
    pub(crate) layout: LayoutArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
    /// Replace the output where it exists
    #[arg(long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    #[command(flatten)]
    pub(crate) each: BindEachArgs,
}

#[derive(Args)]
pub(crate) struct Decrypt {
    /// The sealed file, or with --recursive the folder; - is stdin
    pub(crate) input: PathBuf,
    /// Where to [default: INPUT without .phi, and stdout for stdin]; - is stdout. With --recursive, a folder outside of the input
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
    /// Replace the output where it exists
    #[arg(long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    #[command(flatten)]
    pub(crate) each: BindEachArgs,
}

#[derive(Args)]
pub(crate) struct Verify {
    /// The sealed files, or with --recursive folders too; - is stdin
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    #[command(flatten)]
    pub(crate) each: BindEachArgs,
}

#[derive(Args)]
pub(crate) struct Cat {
    /// The sealed file; - is stdin
    pub(crate) input: PathBuf,
    /// START..END in bytes of plaintext, END exclusive, either may be missing
    #[arg(long)]
    pub(crate) range: Option<ByteRange>,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Args)]
pub(crate) struct Reencrypt {
    /// The sealed file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) to: ToArgs,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    #[command(flatten)]
    pub(crate) layout: LayoutArgs,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Let recipients go that are not named here; without it, a file that has such a one is refused
    #[arg(long)]
    pub(crate) drop_recipients: bool,
    /// Bytes of a record at most, which is read into memory whole [default: 67108864]
    #[arg(long, value_name = "BYTES")]
    pub(crate) largest_record: Option<u64>,
    /// Threads [default: all cores]
    #[arg(long)]
    pub(crate) threads: Option<NonZeroUsize>,
}

#[derive(Subcommand)]
pub(crate) enum RecipientCommand {
    /// Let one more open the file
    Add {
        #[command(flatten)]
        on: RecipientFile,
        #[command(flatten)]
        to: ToArgs,
    },
    /// Let one no longer open the file; whoever kept its data key still can, until it is re-encrypted
    Remove {
        #[command(flatten)]
        on: RecipientFile,
        #[command(flatten)]
        from: FromArgs,
    },
    /// Put one in the place of another, at once
    Replace {
        #[command(flatten)]
        on: RecipientFile,
        #[command(flatten)]
        from: FromArgs,
        #[command(flatten)]
        to: ToArgs,
    },
}

#[derive(Args)]
pub(crate) struct RecipientFile {
    /// The sealed file, or a detached header; with --recursive, a folder of them
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// A label of the file (repeatable); all of them must be given
    #[arg(long = "label", value_name = "K=V")]
    pub(crate) labels: Vec<String>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
}
