//! The options that several commands share.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

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

/// Whose keys open the file.
#[derive(Args)]
pub(crate) struct KeyArgs {
    /// The keyring's file; without one, the passphrase or the master key itself opens and seals
    #[arg(long, value_name = "FILE")]
    pub(crate) keyring: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
    /// Open what a compromised key wrapped; whoever held that key may have forged it
    #[arg(long)]
    pub(crate) allow_compromised: bool,
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
    /// A recipient's passphrase (an envelope holds one passphrase at most)
    #[arg(long, value_name = "FILE")]
    pub(crate) to_passphrase_file: Option<PathBuf>,
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
    #[arg(long, value_name = "BYTES")]
    pub(crate) segment_length: Option<u32>,
    /// Bytes of a header block, a multiple of 4096 up to 65536 [default: 4096, or what the file has]
    #[arg(long, value_name = "BYTES")]
    pub(crate) block_length: Option<usize>,
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
