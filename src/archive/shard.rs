//! Which part of a tree is worked on: one of several shares, and what is left out of all.

use std::fmt;
use std::num::NonZeroU64;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// One of several equal shares of a tree: `0/4`, `1/4`, `2/4` and `3/4` are all of it, and no file is in two of them.
///
/// A file's share follows from its path below the folder that was named, the separators included: the first 8 bytes of the path's
/// SHA-256, as a big-endian number, modulo the number of shares. So it is the same on every machine, wherever the tree is mounted. Of
/// a file that was itself named, its name counts.
///
/// ```
/// use phi_envelope::archive::Shard;
/// let shard: Shard = "3/100".parse()?;
/// assert_eq!(shard, Shard::new(3, 100)?);
/// assert_eq!(Shard::new(0, 1)?.holds("2026/Patient.ndjson.phi"), true);
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    index: u64,
    of: NonZeroU64,
}

impl Shard {
    /// The share `index`, counted from 0, of `of` shares.
    ///
    /// # Errors
    /// [`Error::Misuse`] where `index` is not below `of`.
    pub fn new(index: u64, of: u64) -> Result<Self> {
        match NonZeroU64::new(of) {
            Some(shares) if index < of => Ok(Self { index, of: shares }),
            _ => Err(Error::Misuse("a shard counts from 0/n to (n-1)/n")),
        }
    }

    /// Whether a file is in this share, by its path below the folder that was named.
    #[must_use]
    pub fn holds(&self, below: impl AsRef<Path>) -> bool {
        let digest = Sha256::digest(below.as_ref().as_os_str().as_encoded_bytes());
        let number = digest
            .first_chunk()
            .map_or(0, |first| u64::from_be_bytes(*first));
        number % self.of == self.index
    }
}

impl FromStr for Shard {
    type Err = Error;

    /// Reads `index/of`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Misuse("a shard is written as in 0/4");
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let number = |text: &str| text.parse().map_err(|_| wrong());
        Self::new(number(index)?, number(of)?)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// What of a tree is left out.
#[derive(Clone)]
pub(super) struct Exclusion {
    pub(super) rule: Arc<str>,
    pub(super) matches: Arc<dyn Fn(&Path) -> bool + Send + Sync>,
}

impl Exclusion {
    pub(super) fn new(
        rule: String,
        matches: impl Fn(&Path) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            rule: rule.into(),
            matches: Arc::new(matches),
        }
    }
}
