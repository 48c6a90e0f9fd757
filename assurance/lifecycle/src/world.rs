//! What exists: the keyring's store, the processes that hold the keyring, the envelopes, a scan and its evidence.
//!
//! Everything is small and of fixed size, so that millions of states fit into memory. Where a time is only compared with a bound, the
//! world holds the time that has passed, cut at the bound: states that differ by nothing else become one.

/// Ticks of real time in one stamp. A stamp is a second, rounded down: with one tick in a stamp, no rule could be wrong by a second.
pub const TICKS: u8 = 2;
/// Processes.
pub const PROCESSES: usize = 3;
/// Keys that ever exist.
pub const KEYS: usize = 3;
/// Envelopes that ever exist.
pub const ENVELOPES: usize = 3;
/// Places in which envelopes lie. A scan reads them in this order.
pub const PLACES: usize = 2;
/// Revisions of a keyring, the first being 1.
pub const REVISIONS: usize = 8;
/// A counter of ticks that was never started.
pub const NEVER: u8 = u8::MAX;

/// The state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // The names are NIST SP 800-57's.
pub enum KeyState {
    Absent,
    Active,
    Deactivated,
    Suspended,
    Compromised,
    Destroyed,
}

impl KeyState {
    /// Whether envelopes are opened with the key.
    #[must_use]
    pub const fn opens(self) -> bool {
        matches!(self, Self::Active | Self::Deactivated)
    }

    /// Whether the key's material exists.
    #[must_use]
    pub const fn exists(self) -> bool {
        !matches!(self, Self::Absent | Self::Destroyed)
    }
}

/// One revision of the keyring, and the modification time of the file that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are the format's.
pub struct Ring {
    pub revision: u8,
    pub states: [KeyState; KEYS],
    pub changed: [u8; KEYS],
    pub lease: u8,
    pub lease_changed: Option<u8>,
    pub modified: u8,
    /// The revision at which its data key was made.
    pub data_key: u8,
    /// Whether somebody made it who has only an old data key.
    pub forged: bool,
    /// Which plaintext each revision had, the own one included: what the hashes in `before` say.
    pub history: [u8; REVISIONS],
}

impl Ring {
    /// The active key.
    #[must_use]
    pub fn active(&self) -> usize {
        self.states
            .iter()
            .position(|state| *state == KeyState::Active)
            .unwrap_or(0)
    }

    /// Changes the state of a key.
    pub fn set(&mut self, key: usize, state: KeyState, changed: u8) {
        self.states[key] = state;
        self.changed[key] = changed;
    }

    /// Which plaintext it is.
    #[must_use]
    pub fn plaintext(&self) -> u8 {
        self.history[usize::from(self.revision)]
    }

    /// Whether `other` is this revision or one of which this one came.
    #[must_use]
    pub fn comes_of(&self, other: &Self) -> bool {
        self.revision >= other.revision
            && self.history[usize::from(other.revision)] == other.plaintext()
    }

    /// Whether a change from `other` to this is one that a keyring can make: no key vanishes, returns or becomes active again.
    #[must_use]
    pub fn follows(&self, other: &Self) -> bool {
        use KeyState::{Absent, Active, Destroyed};
        self.states
            .iter()
            .zip(&other.states)
            .all(|(new, old)| match old {
                Absent => true,
                Active => new.exists(),
                Destroyed => *new == Destroyed,
                _ => !matches!(new, Absent | Active),
            })
    }
}

/// A file as a process finds it under its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct File {
    /// What it holds.
    pub ring: Ring,
    /// How many names it has.
    pub links: u8,
}

/// A look at the store that has begun and not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Look {
    /// What it saw.
    pub ring: Ring,
    /// Ticks since it began.
    pub age: u8,
}

/// An envelope that has been read by a pass, which will write its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pass {
    /// The envelope.
    pub envelope: u8,
    /// Whether it has changed since.
    pub overtaken: bool,
}

/// A process that holds the keyring, or one step of which is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// The keyring in its memory.
    pub ring: Ring,
    /// Ticks for which it may still wrap.
    pub left: u8,
    /// A look at the store.
    pub look: Option<Look>,
    /// The key of a session's slot.
    pub session: Option<u8>,
    /// The key of the slot of a stream that has no name yet.
    pub stream: Option<u8>,
    /// A pass over envelopes.
    pub pass: Option<Pass>,
    /// The key of an envelope that has been made and not stored, and the ticks since.
    pub in_flight: Option<(u8, u8)>,
    /// A change that has been made from a revision's plaintext, and not stored.
    pub draft: Option<(Ring, u8)>,
    /// A copy of a keyring that was kept from an earlier change.
    pub copy: Option<Ring>,
}

/// A stored envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// The keys for which it has slots, a bit each.
    pub slots: u8,
    /// Where it lies.
    pub place: u8,
    /// Whether a scan sees that something is there, and cannot examine it.
    pub hidden: bool,
}

/// A scan under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scan {
    /// The key that is sought.
    pub key: u8,
    /// What its evidence will say.
    pub evidence: Evidence,
    /// Its next step: each place is read, and then compared.
    pub step: u8,
    /// Which places changed since they were read.
    pub changed: [bool; PLACES],
    /// Whether a place was read again in this round of comparisons.
    pub again: bool,
    /// Whether the key is in use, or something was not examined.
    pub used: bool,
}

/// What permits the destruction of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are the format's.
pub struct Evidence {
    pub settled_since: u8,
    pub began: u8,
    pub revision: u8,
    /// Whether it is for another keyring that has the same key.
    pub foreign: bool,
}

/// What is left of the events that the bounds limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Named like the actions.
pub struct Budget {
    pub rotations: u8,
    pub envelopes: u8,
    pub suspensions: u8,
    pub lease_changes: u8,
    pub stills: u8,
    pub sleeps: u8,
    pub set_backs: u8,
    pub restarts: u8,
    pub moves: u8,
    pub replacements: u8,
    pub store_copies: u8,
    pub links: u8,
    pub kept_copies: u8,
    pub foreign: u8,
    pub refusals: u8,
    pub returns: u8,
    pub forgeries: u8,
    pub imports: u8,
    pub hidings: u8,
    pub bad_wraps: u8,
}

/// A state of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// Ticks of real time.
    pub now: u8,
    /// The file under the store's path.
    pub store: File,
    /// The file that process 0 still sees because its path is a bind mount, once the store's file was exchanged.
    pub orphan: Option<File>,
    /// A copy that an outsider took of the store.
    pub backup: Option<Ring>,
    /// The least revision that processes are told.
    pub pinned: u8,
    /// The least number of a data key that processes are told.
    pub pinned_data_key: u8,
    /// The processes.
    pub processes: [Process; PROCESSES],
    /// The envelopes.
    pub envelopes: [Option<Envelope>; ENVELOPES],
    /// The stamps at which the places last changed.
    pub place_changed: [u8; PLACES],
    /// A scan.
    pub scan: Option<Scan>,
    /// Evidence for each key.
    pub evidence: [Option<Evidence>; KEYS],
    /// The key whose bytes each key has.
    pub bytes: [u8; KEYS],
    /// How many keys were ever made.
    pub keys: u8,
    /// How many plaintexts of the keyring were ever made.
    pub plaintexts: u8,
    /// What may still happen.
    pub budget: Budget,
    /// What the properties remember.
    pub record: Record,
}

/// What no process knows, and the properties need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// Ticks since each key was suspended, compromised or destroyed.
    pub off: [u8; KEYS],
    /// Ticks since each key was no longer active.
    pub inactive: [u8; KEYS],
    /// The keys that were destroyed, a bit each.
    pub destroyed: u8,
    /// The keys that an outsider took away when they put an older file back, a bit each.
    pub taken: u8,
    /// The properties that are broken, a bit each.
    pub broken: u8,
}
