//! The command line of whole archives.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use globset::{Glob, GlobMatcher};
use phi_envelope::{
    Error,
    archive::{ClassCount, DestroyOptions, FileTree, Shard},
};

use crate::key_names::KeyName;
use crate::options::{ChangeArgs, ContextArgs, KeyArgs, SecretArgs, ToArgs};

/// Which files, and who else works on them.
#[derive(Args)]
pub(crate) struct WalkArgs {
    /// Folders and files from a list, one a line; - is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) from_list: Option<PathBuf>,
    /// The list's paths end with NUL, as `find -print0` writes them
    #[arg(short = '0', long, requires = "from_list")]
    pub(crate) null: bool,
    /// One of several equal shares, as 0/4, 1/4, 2/4 and 3/4; by a file's path below the folder, the same on every machine
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(crate) shard: Option<Shard>,
    /// Threads [default: all cores]
    #[arg(long)]
    pub(crate) threads: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) excluded: ExcludeArgs,
    /// Exit with 6 if nothing was found to work on
    #[arg(long)]
    pub(crate) expect_some: bool,
}

/// What is left out.
#[derive(Args)]
pub(crate) struct ExcludeArgs {
    /// Leave out what this matches, and all below it (repeatable): a name without a slash anywhere, as in lost+found, else a whole path
    #[arg(long, value_name = "GLOB", value_parser = exclusion)]
    pub(crate) exclude: Vec<GlobMatcher>,
}

impl ExcludeArgs {
    /// The tree without what is left out.
    pub(crate) fn of(&self, tree: FileTree) -> FileTree {
        self.exclude.iter().fold(tree, |tree, glob| {
            let (rule, glob) = (glob.glob().glob().to_owned(), glob.clone());
            tree.exclude(rule, move |path| matches(&glob, path))
        })
    }
}

/// Whether a glob matches a path, or, where it has no slash, a path's last name.
pub(crate) fn matches(glob: &GlobMatcher, path: &Path) -> bool {
    if glob.glob().glob().contains('/') {
        glob.is_match(path)
    } else {
        path.file_name().is_some_and(|name| glob.is_match(name))
    }
}

fn exclusion(text: &str) -> Result<GlobMatcher, String> {
    let glob = Glob::new(text).map_err(|error| error.to_string())?;
    Ok(glob.compile_matcher())
}

/// What is sealed anew, and for whom.
#[derive(Args)]
pub(crate) struct AnewArgs {
    /// Seal what is under a compromised key anew: new data key, new payload; retire does so with what is under its key
    #[arg(long)]
    pub(crate) reencrypt: bool,
    #[command(flatten)]
    pub(crate) to: ToArgs,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
}

#[derive(Args)]
#[command(group = whole_folders(), group = compromised(), group = sealed_anew(&["to_keyrings", "to_passphrase_file"]))]
pub(crate) struct Rewrap {
    /// The sealed files, or detached headers; with --recursive, folders too
    #[arg(required_unless_present_any = ["detached", "from_list"])]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// Work on this header; its payload need not be there
    #[arg(long, value_name = "HEADER", conflicts_with = "recursive")]
    pub(crate) detached: Option<PathBuf>,
    /// Everything below the folders; what is not an envelope is passed over and counted
    #[arg(short, long)]
    pub(crate) recursive: bool,
    #[command(flatten)]
    pub(crate) walk: WalkArgs,
    /// Change nothing, and say what would be changed and what would fail
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Open no more files a second than this
    #[arg(long, value_name = "FILES_PER_SECOND")]
    pub(crate) rate: Option<NonZeroU32>,
    /// Stop when more files than this have failed [default: 1000]
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_failures: Option<u64>,
    /// Write what became of each file into a new file, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    #[command(flatten)]
    pub(crate) anew: AnewArgs,
}

#[derive(Args)]
pub(crate) struct Inventory {
    /// Folders with all that is below them, and files
    #[arg(required_unless_present = "from_list")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) walk: WalkArgs,
    /// Say the labels and states of this keyring's keys, and which of them open nothing (repeatable); its secret is needed
    #[arg(long = "keyring", value_name = "FILE")]
    pub(crate) keyrings: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
    /// Tell of each file
    #[arg(long)]
    pub(crate) files: bool,
    /// Keep the summary in a new file, for a later --since
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) save: Option<PathBuf>,
    /// Say what changed since a summary was kept
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) since: Option<PathBuf>,
}

#[derive(Args)]
#[command(group = sealed_anew(&[]))]
pub(crate) struct Retire {
    /// The key, by its id or its label, as `phi keyring list` shows them
    pub(crate) key: KeyName,
    /// All folders and files that there are
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) keys: KeyArgs,
    /// Put the sealed evidence into this new file, which lies in none of the places
    #[arg(long, value_name = "FILE")]
    pub(crate) evidence: PathBuf,
    #[command(flatten)]
    pub(crate) terms: DestroyTerms,
    /// Keep the key in any case: `phi keyring destroy` can destroy it on the same evidence
    #[arg(long, conflicts_with_all = ["max_age", "settling_time"])]
    pub(crate) keep: bool,
    /// Accept what is found, by its class and exact count, as in link-out=2 (repeatable); what it hides is lost with the key
    #[arg(long, value_name = "CLASS=COUNT", value_parser = class_count)]
    pub(crate) accept: Vec<ClassCount>,
    /// Compare with earlier evidence, or with what `phi inventory --save` kept: a place that holds less now is found
    #[arg(long, value_name = "FILE")]
    pub(crate) previous: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) excluded: ExcludeArgs,
    /// Exit with 6 if nothing was found to work on
    #[arg(long)]
    pub(crate) expect_some: bool,
    #[command(flatten)]
    pub(crate) anew: AnewArgs,
}

/// Tell of evidence.
#[derive(Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Say what a scan has found
    Show {
        /// The evidence, as `phi retire` makes it
        file: PathBuf,
        #[command(flatten)]
        opened: OpenedArgs,
    },
    /// Say what differs between two
    Compare {
        /// The earlier evidence
        earlier: PathBuf,
        /// The later evidence
        file: PathBuf,
        #[command(flatten)]
        opened: OpenedArgs,
    },
}

/// What opens evidence.
#[derive(Args)]
pub(crate) struct OpenedArgs {
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
    /// Refused with a word: it is what many try
    #[arg(long, hide = true)]
    pub(crate) keyring: Option<PathBuf>,
}

#[derive(Args)]
#[command(group = ArgGroup::new("stolen").args(["keys", "passphrase_slots"]).multiple(true).required(true))]
pub(crate) struct Exposure {
    /// Folders with all that is below them, and files
    #[arg(required_unless_present = "from_list")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) walk: WalkArgs,
    /// A master key that was stolen (repeatable), by its id, or by its label in a --keyring
    #[arg(long = "key", value_name = "KEY")]
    pub(crate) keys: Vec<KeyName>,
    /// A keyring's file that was stolen with them (repeatable): if they open it, so are its keys. Its secret is needed
    #[arg(long = "keyring", value_name = "FILE")]
    pub(crate) keyrings: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
    /// A passphrase was stolen: every passphrase's slot counts, since none tells which it is of
    #[arg(long)]
    pub(crate) passphrase_slots: bool,
    /// Tell of each file
    #[arg(long)]
    pub(crate) files: bool,
}

/// On what ground a key is destroyed: one of them must be given.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct DestroyGround {
    /// Evidence that the key is out of use, as `phi retire` makes it
    #[arg(long, value_name = "FILE")]
    pub(crate) evidence: Option<PathBuf>,
    /// Destroy it without: whatever it alone can open is lost
    #[arg(long, conflicts_with_all = ["max_age", "settling_time", "allowance"])]
    pub(crate) without_evidence: bool,
}

/// On what terms evidence is enough.
#[derive(Args)]
pub(crate) struct DestroyTerms {
    /// How long ago the evidence's scan may have begun, as 90m, 24h or 7d [default: 24h]
    #[arg(long, value_name = "AGE")]
    pub(crate) max_age: Option<Age>,
    /// How long after the last change of the key, or of the keyring's file, the scan began, at least; no less than the keyring's lease and
    /// the allowance [default: these two]
    #[arg(long, value_name = "TIME")]
    pub(crate) settling_time: Option<Age>,
    /// How far clocks may differ, how long a machine may stand still, and how long a file takes to its place, together [default: 300s]
    #[arg(long, value_name = "TIME")]
    pub(crate) allowance: Option<Age>,
}

impl DestroyTerms {
    pub(crate) fn options(&self) -> DestroyOptions {
        let mut options = DestroyOptions::new();
        if let Some(Age(age)) = self.max_age {
            options = options.max_evidence_age(age);
        }
        if let Some(Age(time)) = self.settling_time {
            options = options.settling_time(time);
        }
        if let Some(Age(time)) = self.allowance {
            options = options.allowance(time);
        }
        options
    }
}

/// A length of time.
#[derive(Clone, Copy)]
pub(crate) struct Age(Duration);

impl FromStr for Age {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "an age is a number and s, m, h or d, as in 24h";
        const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
        let parsed = UNITS.iter().find_map(|(unit, seconds)| {
            let number: u64 = text.strip_suffix(*unit)?.parse().ok()?;
            number.checked_mul(*seconds)
        });
        Ok(Self(Duration::from_secs(parsed.ok_or(WRONG)?)))
    }
}

fn class_count(text: &str) -> Result<ClassCount, String> {
    text.parse().map_err(|error| match error {
        Error::Misuse(what) => what.to_owned(),
        error => error.to_string(),
    })
}

fn shard(text: &str) -> Result<Shard, String> {
    text.parse().map_err(|error| match error {
        Error::Misuse(what) => what.to_owned(),
        error => error.to_string(),
    })
}

/// What only --recursive takes.
fn whole_folders() -> ArgGroup {
    let options = [
        "from_list",
        "shard",
        "threads",
        "dry_run",
        "rate",
        "max_failures",
        "report",
        "reencrypt",
    ];
    ArgGroup::new("whole_folders")
        .args(options)
        .multiple(true)
        .requires("recursive")
}

/// What opens only with leave.
fn compromised() -> ArgGroup {
    ArgGroup::new("compromised")
        .arg("reencrypt")
        .requires_all(["keyring", "allow_compromised"])
}

/// What only --reencrypt takes.
fn sealed_anew(further: &[&'static str]) -> ArgGroup {
    let options = ["labels", "bindings", "bind_file"];
    ArgGroup::new("sealed_anew")
        .args(options)
        .args(further.iter().copied())
        .multiple(true)
        .requires("reencrypt")
}
