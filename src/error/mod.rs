//! The one error of the crate, grouped by what a caller can do about it, and the words that it names things by.

mod keyring;
mod kind;
mod names;
mod rules;
mod slot_id;

use std::io;

pub use keyring::{KeyringError, Rollback};
pub use kind::EnvelopeKind;
pub use names::{KeyId, KeyState};
pub use rules::{
    AuthenticatedPart, ContextMismatch, EvidenceError, Limit, Malformed, MalformedKeyring,
    RecipientError,
};
use slot_id::Listed;
pub(crate) use slot_id::{KEM_P384, KEM_X_WING};
pub use slot_id::{SlotId, SlotName};

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed, grouped by what the caller can do. No message holds a key, a plaintext, a binding or a passphrase.
///
/// It turns into an [`io::Error`] where a `Read` or a `Write` demands one; [`Error::from_io`] gets it back out.
///
/// ```
/// # fn main() -> Result<(), phi_envelope::Error> {
/// use phi_envelope::{Context, EnvelopeCipher, Error, Keyring};
///
/// let cipher = EnvelopeCipher::new(Keyring::generate("ehr-2026")?);
/// match cipher.decrypt(b"PHIE", &Context::new()) {
///     Err(Error::Truncated) => {} // cut off: fetch it again
///     Err(error) => return Err(error),
///     Ok(_) => unreachable!(),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not begin as an envelope does.
    #[error("not an envelope")]
    NotAnEnvelope,
    /// A later version of the format; a later version of this crate may read it.
    #[error("envelope of format version {version}, newer than this reader")]
    NewerVersion {
        /// The version that the bytes state.
        version: u8,
    },
    /// The bytes break a rule of the format.
    #[error("malformed: {0}")]
    Malformed(Malformed),
    /// The bytes end before the envelope does.
    #[error("truncated: the bytes end before the envelope does")]
    Truncated,
    /// No provider of this reader knows a key that the header names, or a keyring has no key of that id.
    #[error("no matching key for {}", Listed(slots))]
    NoMatchingKey {
        /// What was looked for; the header's slots in their order.
        slots: Vec<SlotId>,
    },
    /// The key is known, but its state forbids its use.
    #[error("master key {key_id} is {state} and cannot be used here")]
    KeyNotUsable {
        /// The master key.
        key_id: KeyId,
        /// The state it is in.
        state: KeyState,
    },
    /// The context that was presented is not the one that the envelope was sealed with.
    #[error("context mismatch: {0}")]
    ContextMismatch(ContextMismatch),
    /// This cipher demands a label or a binding that the presented context does not have.
    #[error("this cipher demands the {part} `{name}`, and the context has none")]
    ContextIncomplete {
        /// "label" or "binding".
        part: &'static str,
        /// Its key.
        name: String,
    },
    /// A tag did not verify: the bytes were changed, or belong elsewhere.
    #[error("authentication failed: {0}")]
    AuthenticationFailed(AuthenticatedPart),
    /// The passphrase does not open this slot.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// A file of this crate's own has no slot that shows who made it: whoever can encrypt for its slots could have made it.
    #[error("{kind}: its maker is unknown, since no slot that shows it can be opened here")]
    MakerUnknown {
        /// The kind of the file.
        kind: EnvelopeKind,
    },
    /// A keyring's file is not used for what was asked; nothing was changed.
    #[error("{}: {fault}", path.to_string_lossy().escape_debug())]
    KeyringFile {
        /// The file.
        path: std::path::PathBuf,
        /// Why it is not, and what to do.
        fault: KeyringError,
    },
    /// A limit was reached.
    #[error("limit exceeded: {0}")]
    LimitExceeded(Limit),
    /// The envelope's recipients are not as the change presumes; nothing was changed.
    #[error("recipients: {0}")]
    Recipients(RecipientError),
    /// After a rewrap, a slot is left under a key that its provider has moved off.
    #[error("a slot is left under a key that is no longer current: {slot}")]
    OutdatedSlot {
        /// The slot, the first of them where there are several.
        slot: SlotId,
    },
    /// The evidence does not show that a key is out of use; the key was not destroyed.
    #[error("evidence: {0}")]
    Evidence(EvidenceError),
    /// A bug in the calling code; never caused by input.
    #[error("misuse: {0}")]
    Misuse(&'static str),
    /// The caller's progress callback ended the operation. Nothing was left behind.
    #[error("cancelled")]
    Cancelled,
    /// A key provider from outside failed.
    #[error("key provider: {source}")]
    Provider {
        /// Whether the same call may succeed later.
        retryable: bool,
        /// What the provider said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The change took effect, and a step after it failed: it may not survive a power cut, or something is left over. To do it again
    /// finds it done.
    #[error("the change took effect, but {step} failed: {source}")]
    TookEffect {
        /// What failed.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[source] io::Error),
}

impl Error {
    /// This crate's error inside an [`io::Error`], where there is one.
    ///
    /// ```
    /// use phi_envelope::Error;
    /// let inside = std::io::Error::from(Error::Truncated);
    /// assert!(matches!(Error::from_io(&inside), Some(Error::Truncated)));
    /// ```
    #[must_use]
    pub fn from_io(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// The stable word for what kind of error it is, for logs and other programs.
    ///
    /// ```
    /// assert_eq!(phi_envelope::Error::Truncated.word(), "truncated");
    /// ```
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotAnEnvelope => "not-an-envelope",
            Self::NewerVersion { .. } => "newer-version",
            Self::Malformed(_) => "malformed",
            Self::Truncated => "truncated",
            Self::NoMatchingKey { .. } => "no-matching-key",
            Self::KeyNotUsable { .. } => "key-not-usable",
            Self::ContextMismatch(_) => "context-mismatch",
            Self::ContextIncomplete { .. } => "context-incomplete",
            Self::AuthenticationFailed(_) => "authentication-failed",
            Self::WrongPassphrase => "wrong-passphrase",
            Self::MakerUnknown { .. } => "maker-unknown",
            Self::KeyringFile { fault, .. } => fault.word(),
            Self::LimitExceeded(_) => "limit-exceeded",
            Self::Recipients(_) => "recipients",
            Self::OutdatedSlot { .. } => "outdated-slot",
            Self::Evidence(_) => "evidence",
            Self::Misuse(_) => "usage",
            Self::Cancelled => "cancelled",
            Self::Provider { .. } => "provider",
            Self::TookEffect { .. } => "took-effect",
            Self::Io(_) => "io",
        }
    }

    /// A provider's error, for implementations of [`KeyProvider`](crate::KeyProvider).
    pub fn provider(
        retryable: bool,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Provider {
            retryable,
            source: source.into(),
        }
    }
}

impl Error {
    /// The same error once more, for a reader or writer that has failed for good.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Malformed(rule) => Self::Malformed(*rule),
            Self::Truncated => Self::Truncated,
            Self::AuthenticationFailed(part) => Self::AuthenticationFailed(*part),
            Self::LimitExceeded(limit) => Self::LimitExceeded(*limit),
            Self::Misuse(what) => Self::Misuse(what),
            Self::Io(error) => Self::Io(io::Error::new(error.kind(), error.to_string())),
            error => Self::Io(io::Error::other(error.to_string())),
        }
    }
}

impl From<io::Error> for Error {
    /// Unpacks an error of this crate that travelled through a `Read` or a `Write`.
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inside) => inside,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Truncated,
            Err(error) => Self::Io(error),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Io(error) => return error,
            Error::Truncated => io::ErrorKind::UnexpectedEof,
            Error::KeyNotUsable { .. }
            | Error::NoMatchingKey { .. }
            | Error::MakerUnknown { .. }
            | Error::WrongPassphrase => io::ErrorKind::PermissionDenied,
            Error::Misuse(_) | Error::ContextIncomplete { .. } => io::ErrorKind::InvalidInput,
            Error::LimitExceeded(_)
            | Error::Cancelled
            | Error::Provider { .. }
            | Error::TookEffect { .. } => io::ErrorKind::Other,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

impl From<Malformed> for Error {
    fn from(rule: Malformed) -> Self {
        Self::Malformed(rule)
    }
}

impl From<Limit> for Error {
    fn from(limit: Limit) -> Self {
        Self::LimitExceeded(limit)
    }
}

impl From<ContextMismatch> for Error {
    fn from(mismatch: ContextMismatch) -> Self {
        Self::ContextMismatch(mismatch)
    }
}

impl From<RecipientError> for Error {
    fn from(recipients: RecipientError) -> Self {
        Self::Recipients(recipients)
    }
}

impl From<EvidenceError> for Error {
    fn from(fault: EvidenceError) -> Self {
        Self::Evidence(fault)
    }
}

impl From<AuthenticatedPart> for Error {
    fn from(part: AuthenticatedPart) -> Self {
        Self::AuthenticationFailed(part)
    }
}
