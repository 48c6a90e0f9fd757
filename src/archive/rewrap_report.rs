//! What became of the files of a tree that was rewrapped.

use std::fmt;
use std::path::PathBuf;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::json;
use super::table::{Table, bytes};
use crate::disk::NotKept;
use crate::error::{Error, Result};

/// A file of a tree, and what became of it. Serialized, it is one object: a line of a JSON-lines file.
#[derive(Debug)]
#[non_exhaustive]
pub struct RewrapEntry {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of it, as it was met.
    pub bytes: u64,
    /// What became of it.
    pub outcome: RewrapOutcome,
    /// What the new file did not take over, where one replaced it.
    pub not_kept: NotKept,
}

/// What became of a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum RewrapOutcome {
    /// It was moved to the current keys.
    Rewrapped,
    /// It was sealed anew.
    Reencrypted,
    /// It was there already.
    UpToDate,
    /// It would be moved, or sealed anew, in a run that is no dry one.
    WouldChange,
    /// It is no envelope of its own: what else it is.
    Skipped(SkipReason),
    /// It is not where it is to be, and why. It opens as it did.
    Failed(Error),
}

/// Why a file was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// It is not encrypted by this format.
    NotAnEnvelope,
    /// It looks like the payload of a detached header.
    DetachedPayload,
    /// A symbolic link.
    Symlink,
    /// A pipe, a socket or a device.
    Special,
    /// Of a process that died while it wrote, or that is writing: the next one that replaces the same file removes it.
    Temporary,
    /// It was removed, or got another name, while the pass ran.
    Gone,
    /// The caller excluded it.
    Excluded,
    /// A compact record: it moves with the entry of its compartment (FORMAT §10).
    CompactRecord,
}

impl RewrapEntry {
    /// Whether it failed.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self.outcome, RewrapOutcome::Failed(_))
    }
}

impl Serialize for RewrapEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        json::path(&mut map, &self.path)?;
        map.serialize_entry("bytes", &self.bytes)?;
        map.serialize_entry("outcome", self.outcome.word())?;
        if let RewrapOutcome::Failed(error) = &self.outcome {
            json::error(&mut map, error)?;
        }
        if !self.not_kept.is_nothing() {
            map.serialize_entry("not_kept", &self.not_kept)?;
        }
        map.end()
    }
}

impl RewrapOutcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Rewrapped => "done",
            Self::Reencrypted => "reencrypted",
            Self::UpToDate => "current",
            Self::WouldChange => "would-change",
            Self::Failed(_) => "failed",
            Self::Skipped(why) => match why {
                SkipReason::NotAnEnvelope => "not-an-envelope",
                SkipReason::DetachedPayload => "detached-payload",
                SkipReason::Symlink => "symlink",
                SkipReason::Special => "special",
                SkipReason::Temporary => "temporary",
                SkipReason::Gone => "gone",
                SkipReason::Excluded => "excluded",
                SkipReason::CompactRecord => "compact-record",
            },
        }
    }
}

/// What a pass adds up to. `Display` makes a table of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RewrapSummary {
    /// Files that were moved to the current keys.
    pub done: u64,
    /// Files that were sealed anew.
    pub reencrypted: u64,
    /// Files that were there already.
    pub current: u64,
    /// Files that would be changed in a run that is no dry one.
    pub would_change: u64,
    /// **Not encrypted by this format.**
    pub not_envelopes: u64,
    /// Other files that were passed over.
    pub passed_over: u64,
    /// Files that failed, and folders that could not be read.
    pub failed: u64,
    /// Bytes of the files that were changed, or would be.
    pub bytes: u64,
    /// Files among these whose place a new file took that could not have all that was theirs: [`RewrapEntry::not_kept`].
    pub not_kept: u64,
    /// Whether the pass was stopped by too many failures, and not all was seen.
    pub stopped: bool,
}

impl RewrapSummary {
    pub(super) fn seen(&self) -> u64 {
        let changed = self.done + self.reencrypted + self.would_change;
        changed + self.current + self.not_envelopes + self.passed_over + self.failed
    }

    pub(super) fn add(&mut self, entry: &RewrapEntry) {
        let (count, changes) = match &entry.outcome {
            RewrapOutcome::Rewrapped => (&mut self.done, true),
            RewrapOutcome::Reencrypted => (&mut self.reencrypted, true),
            RewrapOutcome::WouldChange => (&mut self.would_change, true),
            RewrapOutcome::UpToDate => (&mut self.current, false),
            RewrapOutcome::Failed(_) => (&mut self.failed, false),
            RewrapOutcome::Skipped(SkipReason::NotAnEnvelope) => (&mut self.not_envelopes, false),
            RewrapOutcome::Skipped(_) => (&mut self.passed_over, false),
        };
        *count += 1;
        self.not_kept += u64::from(!entry.not_kept.is_nothing());
        if changes {
            self.bytes = self.bytes.saturating_add(entry.bytes);
        }
    }
}

impl fmt::Display for RewrapSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["", "files"]);
        for (name, count) in [
            ("rewrapped", self.done),
            ("re-encrypted", self.reencrypted),
            ("would be changed", self.would_change),
            ("current already", self.current),
            ("NOT ENVELOPES", self.not_envelopes),
            ("passed over", self.passed_over),
            ("FAILED", self.failed),
        ] {
            if count > 0 {
                table.row(name, [count.to_string()]);
            }
        }
        table.row("all", [self.seen().to_string()]);
        table.fmt(f)?;
        if self.bytes > 0 {
            writeln!(f, "{} in the files to change", bytes(self.bytes))?;
        }
        if self.not_kept > 0 {
            let files = self.not_kept;
            writeln!(
                f,
                "NOT KEPT of {files} of them: the owner, the group, permissions or attributes"
            )?;
        }
        if self.stopped {
            writeln!(f, "stopped: too many failures")?;
        }
        Ok(())
    }
}
