//! The options that several commands share.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use phi_envelope::files::{ChangeOptions, FileOptions};

/// Where the passphrase or the master key comes from.
#[derive(Args)]
pub(crate) struct SecretArgs {
    /// The passphrase: all of this file but a byte order mark and one line end; - is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// A master key in place of a passphrase: the base64 text of 32 random bytes; - is stdin
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub(crate) master_key_file: Option<PathBuf>,
}

/// The variable that names the keyring where no option does.
pub(crate) const KEYRING: &str = "PHI_KEYRING";

/// A name that stands for no file is refused, and not taken for one that was not given.
fn keyring_file() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|name| {
        if name.is_empty() {
            return Err(
                "the name is empty; to go without a keyring, leave it out, and unset PHI_KEYRING",
            );
        }
        Ok(PathBuf::from(name))
    })
}

/// Whose keys open the file.
#[derive(Args)]
pub(crate) struct KeyArgs {
    /// The keyring's file; without one, the passphrase or the master key itself opens and seals
    #[arg(long, value_name = "FILE", env = KEYRING, hide_env_values = true, value_parser = keyring_file())]
    pub(crate) keyring: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
    /// Open what a compromised key wrapped; whoever held that key may have forged it
    #[arg(long, requires = "keyring")]
    pub(crate) allow_compromised: bool,
}

/// What a file loses, or risks, when it is changed.
#[derive(Args, Clone, Copy)]
pub(crate) struct ChangeArgs {
    /// Change a file although its file system has no locks; no other program may change it at the same time
    #[arg(long)]
    pub(crate) allow_without_lock: bool,
    /// Replace a file although its access control list or its extended attributes get lost
    #[arg(long)]
    pub(crate) allow_loss_of_attributes: bool,
}

impl ChangeArgs {
    /// The same for the library.
    pub(crate) fn options(self) -> ChangeOptions {
        let mut options = ChangeOptions::new();
        if self.allow_without_lock {
            options = options.allow_without_lock();
        }
        if self.allow_loss_of_attributes {
            options = options.allow_loss_of_attributes();
        }
        options
    }

    /// The same among other choices.
    pub(crate) fn among(self, mut options: FileOptions<'_>) -> FileOptions<'_> {
        if self.allow_without_lock {
            options = options.allow_without_lock();
        }
        if self.allow_loss_of_attributes {
            options = options.allow_loss_of_attributes();
        }
        options
    }
}

/// How long a lock of another program is waited for.
#[derive(Clone, Copy)]
pub(crate) struct LockWait(pub(crate) Option<Duration>);

impl FromStr for LockWait {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a time is a number and ms, s, m or h, as in 30s, or the word forever";
        const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
        if text == "forever" {
            return Ok(Self(None));
        }
        let parsed = UNITS.iter().find_map(|(unit, millis)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(*millis)
        });
        Ok(Self(Some(Duration::from_millis(parsed.ok_or(WRONG)?))))
    }
}

/// The lease of a keyring.
#[derive(Clone, Copy)]
pub(crate) struct Lease(pub(crate) Duration);

impl FromStr for Lease {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let LockWait(time) = text.parse()?;
        let is_lease =
            |time: &Duration| time.subsec_nanos() == 0 && (1..=86_400).contains(&time.as_secs());
        let lease = time.filter(is_lease);
        Ok(Self(
            lease.ok_or("a lease is whole seconds from 1s to 24h")?,
        ))
    }
}

/// Recipients to seal for.
#[derive(Args)]
pub(crate) struct ToArgs {
    /// A recipient's keyring (repeatable)
    #[arg(long = "to-keyring", value_name = "FILE")]
    pub(crate) to_keyrings: Vec<PathBuf>,
    /// The passphrase of --to-keyring, where it is another than the first: one for all, or one for each in their order
    #[arg(
        long = "to-keyring-passphrase-file",
        value_name = "FILE",
        requires = "to_keyrings"
    )]
    pub(crate) to_keyring_passphrase_files: Vec<PathBuf>,
    /// The master key that opens --to-keyring, where that is another than what opens --keyring: one for all, or one for each in their order
    #[arg(
        long = "to-keyring-master-key-file",
        value_name = "FILE",
        requires = "to_keyrings",
        conflicts_with = "to_keyring_passphrase_files"
    )]
    pub(crate) to_keyring_master_key_files: Vec<PathBuf>,
    /// A recipient's passphrase (an envelope holds one passphrase at most)
    #[arg(long, value_name = "FILE")]
    pub(crate) to_passphrase_file: Option<PathBuf>,
}

impl ToArgs {
    /// The files of the recipients' keyrings, and of what opens them.
    pub(crate) fn keyring_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.to_keyrings
            .iter()
            .chain(&self.to_keyring_passphrase_files)
            .chain(&self.to_keyring_master_key_files)
    }
}

/// A recipient that has a slot.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct FromArgs {
    /// The recipient's keyring
    #[arg(long, value_name = "FILE", conflicts_with = "from_passphrase")]
    pub(crate) from_keyring: Option<PathBuf>,
    /// The passphrase of --from-keyring, where it is another than the first
    #[arg(long, value_name = "FILE", requires = "from_keyring")]
    pub(crate) from_keyring_passphrase_file: Option<PathBuf>,
    /// The master key that opens --from-keyring, where that is another than what opens --keyring
    #[arg(
        long,
        value_name = "FILE",
        requires = "from_keyring",
        conflicts_with = "from_keyring_passphrase_file"
    )]
    pub(crate) from_keyring_master_key_file: Option<PathBuf>,
    /// The recipient is the file's passphrase; it need not be known
    #[arg(long)]
    pub(crate) from_passphrase: bool,
}

/// What the file belongs to.
#[derive(Args)]
pub(crate) struct ContextArgs {
    /// A public label, stored in clear (repeatable): never PHI
    #[arg(long = "label", value_name = "K=V")]
    pub(crate) labels: Vec<String>,
    /// A private binding, stored nowhere (repeatable); others on this machine can see it here
    #[arg(long = "bind", value_name = "K=V")]
    pub(crate) bindings: Vec<String>,
    /// Bindings from a file, one K=V a line; - is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) bind_file: Option<PathBuf>,
}

/// How what is sealed is laid out.
#[derive(Args)]
pub(crate) struct LayoutArgs {
    /// Bytes of an encrypted segment, 4096 to 16777216 [default: 65536, or what the file has]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(4096..=16_777_216))]
    pub(crate) segment_length: Option<u32>,
    /// Bytes of a header block, a multiple of 4096 up to 65536 [default: 4096, or what the file has]
    #[arg(long, value_name = "BYTES", value_parser = block_length)]
    pub(crate) block_length: Option<usize>,
}

pub(crate) fn block_length(text: &str) -> Result<usize, &'static str> {
    const STEP: usize = 4096;
    let length = text.parse().ok();
    length
        .filter(|bytes: &usize| (STEP..=16 * STEP).contains(bytes) && bytes.is_multiple_of(STEP))
        .ok_or("a header block has a multiple of 4096 bytes, up to 65536")
}

/// How the work is done.
#[derive(Args)]
pub(crate) struct WorkArgs {
    /// The header stands in this file, and the payload alone in the other
    #[arg(long, value_name = "HEADER")]
    pub(crate) detached: Option<PathBuf>,
    /// Threads [default: all cores]; between stdin and stdout, 1 or all
    #[arg(long)]
    pub(crate) threads: Option<NonZeroUsize>,
}
