//! FORMAT §9.4: what a scan for evidence may come across, by class.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};

/// What a scan saw and could not, or did not, examine. Each class speaks against the destruction of a key until its owner accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingClass {
    /// A symbolic link that leads out of the places.
    LinkOut,
    /// A file that is no envelope, and in which none was found.
    NotAnEnvelope,
    /// An envelope, binary or text, inside a file that is none.
    EnvelopeInside,
    /// A file with more names than were seen in the places.
    MoreLinks,
    /// A folder, a table or a bucket in which there is nothing: a volume that is not mounted looks like this.
    EmptyFolder,
    /// A detached payload without its header.
    PayloadAlone,
    /// A detached header without its payload.
    HeaderAlone,
    /// What the caller excluded. It was not looked at.
    Excluded,
    /// A file or a folder that could not be read.
    Unreadable,
    /// An envelope that did not open under another key, or that is damaged.
    Failed,
    /// A place that held more when it was scanned before.
    Shrunk,
    /// A folder that went on changing while it was read.
    Moved,
}

impl FindingClass {
    /// All classes, in the order of FORMAT §9.4.
    pub const ALL: [Self; 12] = [
        Self::LinkOut,
        Self::NotAnEnvelope,
        Self::EnvelopeInside,
        Self::MoreLinks,
        Self::EmptyFolder,
        Self::PayloadAlone,
        Self::HeaderAlone,
        Self::Excluded,
        Self::Unreadable,
        Self::Failed,
        Self::Shrunk,
        Self::Moved,
    ];

    /// The word for it in evidence, and on the command line of `phi`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::LinkOut => "link-out",
            Self::NotAnEnvelope => "not-an-envelope",
            Self::EnvelopeInside => "envelope-inside",
            Self::MoreLinks => "more-links",
            Self::EmptyFolder => "empty-folder",
            Self::PayloadAlone => "payload-alone",
            Self::HeaderAlone => "header-alone",
            Self::Excluded => "excluded",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
            Self::Shrunk => "shrunk",
            Self::Moved => "moved",
        }
    }
}

impl fmt::Display for FindingClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for FindingClass {
    type Err = Error;

    /// Reads the [word](Self::word) of a class.
    fn from_str(text: &str) -> Result<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|class| class.word() == text)
            .ok_or(Error::Misuse("no such class of findings"))
    }
}

impl Serialize for FindingClass {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// A class, and how many findings it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClassCount {
    /// The class.
    pub class: FindingClass,
    /// How many.
    pub count: u64,
}

impl ClassCount {
    /// So many of a class.
    #[must_use]
    pub const fn new(class: FindingClass, count: u64) -> Self {
        Self { class, count }
    }
}

impl FromStr for ClassCount {
    type Err = Error;

    /// Reads `CLASS=COUNT`, as in `link-out=2`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Misuse("findings are accepted as CLASS=COUNT, as in link-out=2");
        let (class, count) = text.split_once('=').ok_or_else(wrong)?;
        let is_number = !count.is_empty() && count.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number {
            return Err(wrong());
        }
        Ok(Self::new(
            class.parse()?,
            count.parse().map_err(|_| wrong())?,
        ))
    }
}

impl fmt::Display for ClassCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.class, self.count)
    }
}

/// A number for each class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts([u64; FindingClass::ALL.len()]);

impl Counts {
    pub(super) fn add(&mut self, class: FindingClass, count: u64) {
        if let Some(slot) = self.0.get_mut(class as usize) {
            *slot = slot.saturating_add(count);
        }
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        for (class, count) in FindingClass::ALL.into_iter().zip(other.0) {
            self.add(class, count);
        }
    }

    /// The classes that have any.
    pub(super) fn list(&self) -> Vec<ClassCount> {
        let all = FindingClass::ALL.into_iter().zip(self.0);
        all.filter(|(_, count)| *count > 0)
            .map(|(class, count)| ClassCount::new(class, count))
            .collect()
    }
}
