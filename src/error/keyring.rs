//! Why a keyring's file is not used for what was asked.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::SlotId;

/// Why a keyring's file is not used for what was asked, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// It was not confirmed within its lease that the keyring is what the file holds, so that nothing is wrapped with it.
    #[error(
        "the keyring was {} and could not be confirmed within its lease of {} s, so that nothing is encrypted with it; make the file available to this process again, or restart it on the right file: {why}",
        last_confirmed(*last),
        lease.as_secs()
    )]
    NotConfirmed {
        /// When it was last confirmed, if it ever was.
        last: Option<SystemTime>,
        /// The lease.
        lease: Duration,
        /// What kept it from being confirmed.
        why: String,
    },
    /// The file has no name any more or more than one: it is bind-mounted by itself, hard-linked, or deleted. It is read, and it is
    /// neither confirmed nor changed.
    #[error(
        "the file has {count} names where it is to have one: it was replaced or deleted under a mount of its own, or has a hard link; mount its folder, or remove the other name, and restart this process on the file"
    )]
    Links {
        /// How many names it has.
        count: u64,
    },
    /// The file has a mount of its own, and so cannot be replaced.
    #[error(
        "the file is bind-mounted by itself, so that it cannot be replaced here: change it where it lives, and mount its folder instead"
    )]
    Mounted,
    /// The file is not a later version of the keyring that was read before, or that was pinned.
    #[error("the file was rolled back or exchanged: {0}; restore the current file")]
    RolledBack(Rollback),
    /// The file has a slot that the configuration does not expect. It is neither used for wrapping nor written.
    #[error(
        "the file has a slot that is not expected: {slot}; whoever holds it can open the keyring"
    )]
    UnexpectedSlot {
        /// The slot.
        slot: SlotId,
    },
    /// The new protection would leave somebody out who can open the file now.
    #[error("{slot} could no longer open the file: name it among the new, or drop it explicitly")]
    DropsRecipient {
        /// The slot that would be dropped.
        slot: SlotId,
    },
    /// A slot is to stay that nobody here can wrap for, so that its holders could not open the file under its new data key.
    #[error("nobody here can wrap for {slot}, so that the file's slots cannot be changed")]
    CannotWrapFor {
        /// The slot.
        slot: SlotId,
    },
    /// What was sealed did not open again with the very protection it was sealed under.
    #[error("the protection does not open what it has sealed, so that nothing was written: {why}")]
    DoesNotOpen {
        /// What it said.
        why: String,
    },
}

/// In which way a keyring's file is not a later version of what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Rollback {
    /// It is another keyring.
    #[error("it is another keyring")]
    OtherKeyring,
    /// Its revision is lower.
    #[error("its revision is lower than one that is known")]
    Revision,
    /// Its data key was made at a lower revision.
    #[error("its data key is older than one that is known")]
    DataKey,
    /// It has the same revision and another content.
    #[error("it has another content at the same revision")]
    SameRevision,
    /// It is more than 64 revisions later, so that nothing shows that it follows: its owner pins it anew.
    #[error(
        "it is more than 64 revisions later, so that nothing shows that it follows; pin it anew, or restart the process"
    )]
    TooFar,
    /// Its history does not hold what is known.
    #[error("its history is another than what is known")]
    Chain,
    /// A key is missing, or its state went back.
    #[error("a key is missing, or its state went back")]
    Keys,
}

impl KeyringError {
    /// The stable word for it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::NotConfirmed { .. } => "keyring-not-confirmed",
            Self::Links { .. } | Self::Mounted => "keyring-names",
            Self::RolledBack(_) => "keyring-rolled-back",
            Self::UnexpectedSlot { .. } => "keyring-unexpected-slot",
            Self::DropsRecipient { .. } | Self::CannotWrapFor { .. } => "keyring-recipients",
            Self::DoesNotOpen { .. } => "keyring-does-not-open",
        }
    }
}

fn last_confirmed(last: Option<SystemTime>) -> String {
    let seconds = last.and_then(|last| last.duration_since(UNIX_EPOCH).ok());
    match seconds {
        Some(since) => format!("last confirmed at {} s of Unix time", since.as_secs()),
        None => "never confirmed".to_owned(),
    }
}
