//! The facade: who may open what is written, and what this process can open.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::cache::Cache;
use super::context::Demands;
use super::proven::Proven;
use crate::error::{Error, Limit, Malformed, Result};
use crate::floe::SegmentLength;
use crate::format::header::is_block_length;
use crate::format::limits::{BLOCK_STEP, MAX_SLOTS, SEGMENT_LENGTHS};
use crate::keys::KeyProvider;

/// Seals and opens envelopes. Cheap to clone, `Send + Sync`, usable from many threads at once.
///
/// ```
/// use phi_envelope::{Context, EnvelopeCipher, Keyring};
///
/// let cipher = EnvelopeCipher::new(Keyring::generate("ehr-2026")?);
/// let context = Context::new().label("tenant", "clinic-7")?.bind("patient", "MRN-0042")?;
///
/// let envelope = cipher.encrypt("BP 120/80", &context)?;
/// let plaintext = cipher.decrypt(&envelope, &context)?;
/// assert_eq!(&plaintext[..], b"BP 120/80");
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[derive(Clone)]
pub struct EnvelopeCipher(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) writers: Vec<Arc<dyn KeyProvider>>,
    /// The writers, then those that only read.
    pub(super) readers: Vec<Arc<dyn KeyProvider>>,
    pub(super) allow_compromised: bool,
    pub(super) demands: Demands,
    /// Keys of a network whose first wrap was unwrapped and compared.
    pub(super) proven: Proven,
    pub(super) cache: Option<Cache>,
    pub(super) segment_length: SegmentLength,
    pub(super) block_length: usize,
}

impl EnvelopeCipher {
    /// A cipher that writes for one provider and reads with it.
    #[must_use]
    pub fn new(provider: impl KeyProvider + 'static) -> Self {
        Builder::default().encrypt_for(provider).finish()
    }

    /// A cipher where there is something to choose.
    ///
    /// ```
    /// use phi_envelope::{EnvelopeCipher, Keyring, Passphrase};
    ///
    /// let cipher = EnvelopeCipher::builder()
    ///     .encrypt_for(Keyring::generate("ehr-2026")?)
    ///     .encrypt_for(Passphrase::new("in the safe of the practice")?) // a second recipient
    ///     .decrypt_with(Keyring::generate("ehr-2019")?)
    ///     .build()?;
    /// # Ok::<(), phi_envelope::Error>(())
    /// ```
    pub fn builder() -> EnvelopeCipherBuilder {
        Builder::default()
    }

    /// Whether there is a provider to write for.
    pub(crate) fn writes(&self) -> bool {
        !self.0.writers.is_empty()
    }

    /// Makes sure, right before a header is written, that every provider to write for would still wrap: a keyring confirms its
    /// lease here.
    pub(crate) fn confirm_writers(&self) -> Result<()> {
        self.0
            .writers
            .iter()
            .try_for_each(|writer| writer.confirm())
    }

    pub(crate) fn segment_length(&self) -> SegmentLength {
        self.0.segment_length
    }

    pub(crate) fn block_length(&self) -> usize {
        self.0.block_length
    }
}

impl<P: KeyProvider + 'static> From<P> for EnvelopeCipher {
    /// [`EnvelopeCipher::new`].
    fn from(provider: P) -> Self {
        Self::new(provider)
    }
}

impl fmt::Debug for EnvelopeCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvelopeCipher")
            .field("encrypt_for", &self.0.writers.len())
            .field("decrypt_with", &self.0.readers.len())
            .field("allow_compromised", &self.0.allow_compromised)
            .finish_non_exhaustive()
    }
}

type Builder = EnvelopeCipherBuilder;

/// Chooses the providers and limits of an [`EnvelopeCipher`].
#[must_use]
pub struct EnvelopeCipherBuilder {
    writers: Vec<Arc<dyn KeyProvider>>,
    readers: Vec<Arc<dyn KeyProvider>>,
    allow_compromised: bool,
    demands: Demands,
    cache: Option<(usize, Duration)>,
    segment_length: SegmentLength,
    block_length: usize,
}

impl EnvelopeCipherBuilder {
    /// Adds a recipient: everything that is written gets a slot of it, and it is read with.
    pub fn encrypt_for(mut self, provider: impl KeyProvider + 'static) -> Self {
        self.writers.push(Arc::new(provider));
        self
    }

    /// Adds a provider that only reads.
    pub fn decrypt_with(mut self, provider: impl KeyProvider + 'static) -> Self {
        self.readers.push(Arc::new(provider));
        self
    }

    /// Opens, and rewraps, what a compromised key wrapped. Whoever held that key may have forged it.
    pub fn allow_compromised(mut self) -> Self {
        self.allow_compromised = true;
        self
    }

    /// Demands these labels of every context, for sealing and for opening: a call whose context has not all of them fails with
    /// [`Error::ContextIncomplete`]. So no envelope is sealed without its tenant, and none is opened unasked.
    ///
    /// ```
    /// # use phi_envelope::{Context, EnvelopeCipher, Error, Keyring};
    /// let cipher = EnvelopeCipher::builder()
    ///     .encrypt_for(Keyring::generate("ehr-2026")?)
    ///     .require_labels(["tenant"])
    ///     .require_bindings(["patient"])
    ///     .build()?;
    /// let refused = cipher.encrypt("BP 120/80", &Context::new());
    /// assert!(matches!(refused, Err(Error::ContextIncomplete { .. })));
    /// # Ok::<(), phi_envelope::Error>(())
    /// ```
    pub fn require_labels<S: Into<String>>(mut self, keys: impl IntoIterator<Item = S>) -> Self {
        self.demands.labels.extend(keys.into_iter().map(Into::into));
        self
    }

    /// Demands these bindings of every context, as [`require_labels`](Self::require_labels) does labels.
    pub fn require_bindings<S: Into<String>>(mut self, keys: impl IntoIterator<Item = S>) -> Self {
        self.demands
            .bindings
            .extend(keys.into_iter().map(Into::into));
        self
    }

    /// Keeps up to `entries` unwrapped data keys, each for `age`, so that opening the same data key again costs no unwrap.
    /// Off unless asked for.
    ///
    /// What is older is erased at the next use of the cache. When a master key's state forbids its use, nothing that it wrapped
    /// opens out of the cache any more, and its data keys are erased at the next envelope that names it.
    pub fn cache(mut self, entries: usize, age: Duration) -> Self {
        self.cache = Some((entries, age));
        self
    }

    /// The encrypted length of a stream's segments in bytes: 4,096 to 16,777,216, 65,536 unless said.
    ///
    /// # Errors
    /// [`Malformed::SegmentLength`] where it is out of bounds.
    pub fn segment_length(mut self, bytes: u32) -> Result<Self> {
        self.segment_length = checked_segment_length(bytes)?;
        Ok(self)
    }

    /// The length of each of an inline stream's two header blocks in bytes: a multiple of 4,096 up to 65,536, and 4,096
    /// unless said. Many recipients need longer ones.
    ///
    /// # Errors
    /// [`Malformed::BlockLength`] where it is not such a multiple.
    pub fn block_length(mut self, bytes: usize) -> Result<Self> {
        if !is_block_length(bytes) {
            return Err(Malformed::BlockLength.into());
        }
        self.block_length = bytes;
        Ok(self)
    }

    /// The cipher.
    ///
    /// # Errors
    /// [`Error::Misuse`] without any provider, or if a label or binding is demanded twice; [`Limit::Slots`] with more than 32 to write
    /// for; [`Limit::Labels`] or [`Limit::Bindings`] if no context can have what is demanded.
    pub fn build(self) -> Result<EnvelopeCipher> {
        if self.writers.is_empty() && self.readers.is_empty() {
            return Err(Error::Misuse("a cipher without a key provider"));
        }
        if self.writers.len() > MAX_SLOTS {
            return Err(Limit::Slots.into());
        }
        self.demands.check()?;
        Ok(self.finish())
    }

    pub(super) fn finish(self) -> EnvelopeCipher {
        let readers = self.writers.iter().cloned().chain(self.readers).collect();
        EnvelopeCipher(Arc::new(Inner {
            writers: self.writers,
            readers,
            allow_compromised: self.allow_compromised,
            demands: self.demands,
            proven: Proven::default(),
            cache: self.cache.map(|(entries, age)| Cache::new(entries, age)),
            segment_length: self.segment_length,
            block_length: self.block_length,
        }))
    }
}

impl Default for EnvelopeCipherBuilder {
    fn default() -> Self {
        Self {
            writers: Vec::new(),
            readers: Vec::new(),
            allow_compromised: false,
            demands: Demands::default(),
            cache: None,
            segment_length: SegmentLength::DEFAULT,
            block_length: BLOCK_STEP,
        }
    }
}

impl fmt::Debug for EnvelopeCipherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvelopeCipherBuilder")
            .field("encrypt_for", &self.writers.len())
            .field("decrypt_with", &self.readers.len())
            .finish_non_exhaustive()
    }
}

// FORMAT §1: narrower than what FLOE alone allows.
pub(crate) fn checked_segment_length(bytes: u32) -> Result<SegmentLength> {
    if SEGMENT_LENGTHS.contains(&bytes) {
        SegmentLength::new(bytes)
    } else {
        Err(Malformed::SegmentLength.into())
    }
}
