//! A scan that opens every header without one key.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::class::ClassCount;
use super::entry::{EntryKind, content};
use super::evidence::{Evidence, KeyringRevision, PlaceKind};
use super::examine::{Examiner, Found};
use super::json::seconds;
use super::ledger::{Budget, PlaceBook};
use super::links::NamesBefore;
use super::previous::Previous;
use super::settle::Clocks;
use super::subject::Subject;
use crate::disk::Disk;
use crate::envelope::{EnvelopeCipher, KeyringFile};
use crate::error::{Error, KeyId, Result, SlotId};
use crate::files::{Head, StreamProof};

/// How far clocks may differ, unless the owner says something else (FORMAT §9.2).
pub(super) const ALLOWANCE: Duration = Duration::from_secs(300);
/// Envelopes in use that are named.
const MOST_NAMED: usize = 1000;

/// Opens every header in the places that it is given, without one key: what a key's destruction is to rest on.
///
/// A header that was read without a key is a claim. Here each is opened under another key, and its tag verified, and so are the slots
/// that it states. In an inline stream both header blocks must be alike. No payload is opened, but FLOE's header of detached ones. A
/// stream must end where its last segment says so, and in a record, which is read whole, no further envelope may stand. Of entries that
/// are handed one by one, only what is handed is looked at: see [`look`](Self::look).
///
/// A scan judges a stream's end by one length word: the last, at the place that the file's length gives. It does not read the words
/// before that. So it finds a second stream in the same file, unless both streams' segments fall on the same places. By chance, that
/// happens to one pair in 65,536. `files::verify` reads a whole stream and finds every such pair.
/// **What is seen and cannot be examined is a finding** of a [class](crate::archive::FindingClass), and stands against the destruction until the
/// key's owner [accepts](Self::accept) it.
///
/// The scan begins with [`new`](Self::new). Rewrap before that; begin it once the settling time is over. If a passphrase's slot stands
/// before the keyring's and the cipher has the passphrase, each file costs an Argon2id.
///
/// It holds in memory the names of all folders, of detached headers and payloads, and of files with several names.
///
/// ```no_run
/// use phi_envelope::{EnvelopeCipher, KeyringFile, Passphrase, archive::{EvidenceScan, FileTree}};
///
/// let file = KeyringFile::open("ehr.keyring", Passphrase::new("correct horse")?)?;
/// let cipher = EnvelopeCipher::new(file.keyring());
/// # let (old, rows) = (file.keyring().active()?, Vec::<phi_envelope::Result<(u64, Vec<u8>)>>::new());
/// let mut scan = EvidenceScan::new(&file, &cipher, old)?;
/// scan.tree("/archive", FileTree::new(["/archive"]))?;
/// scan.rows("ehr.db, notes", rows)?;
/// let evidence = scan.finish();
/// println!("{evidence}");
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub struct EvidenceScan {
    pub(super) examiner: Arc<Examiner>,
    keyring: Option<KeyringRevision>,
    clocks: Clocks,
    pub(super) allowance: Duration,
    pub(super) places: Vec<PlaceBook>,
    /// The folders and files that were named, without links in their paths.
    pub(super) roots: Vec<PathBuf>,
    pub(super) names_before: Vec<NamesBefore>,
    pub(super) previous: Option<Previous>,
    accepted: Vec<ClassCount>,
    pub(super) budget: Budget,
    waiting: HashMap<u64, Waiting>,
    next: u64,
    in_use: Vec<String>,
}

/// Something that was looked at and not opened or searched yet.
struct Waiting {
    place: usize,
    path: PathBuf,
    bytes: u64,
}

/// A place of a scan to which entries are handed one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceId(pub(super) usize);

/// An entry that a scan waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryId(u64);

/// What a scan needs to know of an entry that it has looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Looked {
    /// Nothing more.
    Done,
    /// So many of its first bytes. It was not counted: look once more.
    More(usize),
    /// Whether its header opens: [`HeaderOpener::open`] tells, and [`EvidenceScan::opened`] takes the answer.
    Open(EntryId),
    /// Whether an envelope stands inside it, anywhere from its first byte to its last: [`EvidenceScan::searched`] takes the answer.
    Search(EntryId),
}

/// Opens headers without the key that a scan is about, from any thread.
#[derive(Clone)]
pub struct HeaderOpener(Arc<Examiner>);

/// A header that was opened.
#[derive(Debug)]
pub struct OpenedHeader(Option<StreamProof>);

impl EvidenceScan {
    /// Begins a scan for what still needs `key`. Everything is opened with the cipher's other keys. The keyring's file is read again, and
    /// the clocks are: the system's, and that of the store of the keyring's file, by a file that is made beside it and goes at once.
    ///
    /// # Errors
    /// Those of [`KeyringFile::reload`]; [`Error::NoMatchingKey`] if the keyring has no such key; [`Error::Io`].
    pub fn new(file: &KeyringFile, cipher: &EnvelopeCipher, key: KeyId) -> Result<Self> {
        file.reload()?;
        let keys = file.keyring().snapshot();
        let unknown = || Error::NoMatchingKey {
            slots: vec![key.into()],
        };
        let changed = keys.keys().find(|info| info.id == key);
        let changed = changed.ok_or_else(unknown)?.changed;
        let clocks = Clocks::read(&Disk::default(), file.path(), changed)?;
        let keyring = Some(Subject::of(&keys).revision);
        Ok(Self::of(cipher, key.into(), keyring, clocks))
    }

    /// Begins a scan for what still needs a key that is in no keyring's file, such as one of a key service. Its evidence permits no
    /// destruction: that is the service's.
    #[must_use]
    pub fn of_slot(cipher: &EnvelopeCipher, slot: SlotId) -> Self {
        Self::of(cipher, slot, None, Clocks::of_scanner())
    }

    fn of(
        cipher: &EnvelopeCipher,
        slot: SlotId,
        keyring: Option<KeyringRevision>,
        clocks: Clocks,
    ) -> Self {
        Self {
            examiner: Arc::new(Examiner::new(cipher, slot)),
            keyring,
            clocks,
            allowance: ALLOWANCE,
            places: Vec::new(),
            roots: Vec::new(),
            names_before: Vec::new(),
            previous: None,
            accepted: Vec::new(),
            budget: Budget::new(),
            waiting: HashMap::new(),
            next: 0,
            in_use: Vec::new(),
        }
    }

    /// How far clocks may differ, and the rest of what FORMAT §9.2 counts to the allowance: 300 seconds unless said.
    #[must_use]
    pub fn allowance(mut self, allowance: Duration) -> Self {
        self.allowance = allowance;
        self
    }

    /// Accepts what is found, by class and exact count. What is found in another number, or in another class, is not accepted.
    #[must_use]
    pub fn accept(mut self, accepted: impl IntoIterator<Item = ClassCount>) -> Self {
        self.accepted.extend(accepted);
        self
    }

    /// Compares with what was found before: a place that holds less now is a finding.
    #[must_use]
    pub fn since(mut self, previous: Previous) -> Self {
        self.previous = Some(previous);
        self
    }

    /// Takes up what files had several names before they were rewrapped: a rewrap gives a record a file of its own, and the other name,
    /// in a snapshot perhaps, keeps the old one.
    #[must_use]
    pub fn names_before(mut self, names: NamesBefore) -> Self {
        self.names_before.push(names);
        self
    }

    /// What the clocks were in the way of, in words, if they were.
    #[must_use]
    pub fn clock_warning(&self) -> Option<&'static str> {
        if self.clocks.differ(self.allowance) {
            Some(
                "the clock of this machine and that of the keyring's file differ by more than the allowance, so that nothing counts as settled: set the clocks right and scan again",
            )
        } else if self.keyring.is_some() && !self.clocks.has_store() {
            Some(
                "no file could be made beside the keyring's, so that the scan trusts the clock of this machine alone",
            )
        } else {
            None
        }
    }

    /// Since when the key does not wrap any more, in seconds since 1970.
    pub(super) fn settled_since(&self) -> u64 {
        self.clocks.settled_since(self.allowance)
    }

    /// The first of the envelopes that have a slot of the key.
    #[must_use]
    pub fn in_use(&self) -> &[String] {
        &self.in_use
    }

    /// Begins a place whose entries are handed to [`look`](Self::look) one by one. A place without an entry is a finding.
    pub fn place(&mut self, name: impl AsRef<Path>, kind: PlaceKind) -> PlaceId {
        let mut book = PlaceBook::new(name.as_ref(), kind);
        let _ = book.part(Path::new(""));
        self.places.push(book);
        PlaceId(self.places.len() - 1)
    }

    /// Looks at an entry of a place: its path, its length and its first bytes; 8,266 of them are enough for most.
    ///
    /// **What stands behind these bytes is the caller's to vouch for.** A header tells nothing of it: where two envelopes were written one
    /// behind the other into one entry, the first speaks for both, and the key that the second needs is destroyed. An entry that
    /// [`files::encrypt`](crate::files::encrypt) or a writer of this crate has made in one piece holds one envelope. Of any other, hand
    /// [`rows`](Self::rows) all of it in place of this, under a place of its own: it searches behind a record and looks at the end of a stream.
    /// Where [`Looked::Search`] is answered, the whole entry is searched, from its first byte to its last, for what an envelope begins with:
    /// `50 48 49 45 01` with a kind from 01 to 0B behind it, `50 48 49 50 01 03`, or the text `UEhJRQE`.
    pub fn look(
        &mut self,
        place: PlaceId,
        path: impl AsRef<Path>,
        length: u64,
        head: &[u8],
    ) -> Looked {
        if let Some(more) = Head::wanted(head, length) {
            return Looked::More(more);
        }
        let path = path.as_ref();
        let head = Head::of_first(head, length);
        let found = match content(&head) {
            EntryKind::Envelope(found) => {
                let is_in_use = found.all_slots().any(|slot| slot == self.examiner.slot());
                if !is_in_use && found.blocks_alike {
                    return Looked::Open(self.wait(place, path, length));
                }
                self.examiner.head(&EntryKind::Envelope(found), &head)
            }
            EntryKind::NotAnEnvelope => return Looked::Search(self.wait(place, path, length)),
            content => self.examiner.head(&content, &head),
        };
        self.add(place.0, path, length, found);
        Looked::Done
    }

    /// What opens headers for this scan, from any thread.
    #[must_use]
    pub fn opener(&self) -> HeaderOpener {
        HeaderOpener(Arc::clone(&self.examiner))
    }

    /// Takes what opening the header of an entry came to. An entry for which it is never called was not opened, and is a finding.
    pub fn opened(&mut self, id: EntryId, outcome: Result<OpenedHeader>) {
        let found = match outcome {
            Ok(opened) => Found::WithKey(opened.0),
            Err(error) => Found::Failed(error.to_string()),
        };
        self.answer(id, found);
    }

    /// Takes what searching an entry came to: where an envelope stands inside it, if one does.
    pub fn searched(&mut self, id: EntryId, outcome: Result<Option<u64>>) {
        let found = match outcome {
            Ok(inside) => Found::Other(inside),
            Err(error) => Found::Unreadable(error.to_string()),
        };
        self.answer(id, found);
    }

    /// The evidence.
    #[must_use]
    pub fn finish(mut self) -> Evidence {
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            let found =
                Found::Failed("it was looked at, and neither opened nor searched".to_owned());
            self.add(waiting.place, &waiting.path, waiting.bytes, found);
        }
        let last = self.close();
        let (began, settled_since) = (self.clocks.began(), self.settled_since());
        let places: Vec<_> = self.places.iter().map(PlaceBook::place).collect();
        let mut sum = super::ledger::Sum::default();
        for part in self.places.into_iter().flat_map(|place| place.parts) {
            part.1.sum_into(&mut sum);
        }
        last.sum_into(&mut sum);
        sum.findings.sort();
        Evidence {
            keyring: self.keyring,
            key: self.examiner.slot().clone(),
            began,
            // A clock that was set back meanwhile does not end the scan before it began.
            ended: seconds(SystemTime::now()),
            settled_since,
            places,
            opened: sum.opened,
            in_use: sum.in_use,
            findings: sum.findings,
            more: sum.more.list(),
            accepted: self.accepted,
            previous: self.previous.map(|previous| previous.digest),
        }
    }

    fn wait(&mut self, place: PlaceId, path: &Path, bytes: u64) -> EntryId {
        let id = self.next;
        self.next += 1;
        let waiting = Waiting {
            place: place.0,
            path: path.to_owned(),
            bytes,
        };
        self.waiting.insert(id, waiting);
        EntryId(id)
    }

    fn answer(&mut self, id: EntryId, found: Found) {
        if let Some(waiting) = self.waiting.remove(&id.0) {
            self.add(waiting.place, &waiting.path, waiting.bytes, found);
        }
    }

    pub(super) fn add(&mut self, place: usize, path: &Path, bytes: u64, found: Found) {
        if let Some(place) = self.places.get_mut(place) {
            let part = place.part(Path::new(""));
            if part.add(path, bytes, found, &mut self.budget) {
                self.name_in_use(path);
            }
        }
    }

    pub(super) fn name_in_use(&mut self, path: &Path) {
        if self.in_use.len() < MOST_NAMED {
            self.in_use.push(path.to_string_lossy().into_owned());
        }
    }
}

impl HeaderOpener {
    /// Opens a header, given the first bytes of its entry, as many as [`EvidenceScan::look`] asked for, and the entry's length.
    ///
    /// # Errors
    /// Those of opening an envelope. [`EvidenceScan::opened`] takes them.
    pub fn open(&self, length: u64, head: &[u8]) -> Result<OpenedHeader> {
        let head = Head::of_first(head, length);
        Ok(OpenedHeader(self.0.open(&head)?))
    }
}

impl fmt::Debug for HeaderOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeaderOpener").field(self.0.slot()).finish()
    }
}

impl fmt::Debug for EvidenceScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvidenceScan")
            .field("slot", self.examiner.slot())
            .finish_non_exhaustive()
    }
}
