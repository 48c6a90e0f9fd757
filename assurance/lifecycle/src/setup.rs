//! The bounds of one exploration: who there is, what may happen, how often, and which rules are in force.

use crate::rules::{Rule, Rules};
use crate::world::{
    Budget, ENVELOPES, Envelope, File, KEYS, KeyState, NEVER, PLACES, PROCESSES, Process,
    REVISIONS, Record, Ring, TICKS, World,
};

/// The real time at the start, in ticks. An even number, far enough from 0 for clocks that are behind.
const START: u8 = 20;

/// Who encrypts, and how.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)] // Named like the actions.
pub struct Work {
    pub records: bool,
    pub records_in_flight: bool,
    pub sessions: bool,
    pub streams: bool,
    pub passes: bool,
    pub reads: bool,
}

/// The bounds of one exploration.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The rules in force.
    pub rules: Rules,
    /// The last tick.
    pub ticks: u8,
    /// The lease at the start, in stamps.
    pub lease: u8,
    /// The lease that an administrator may change it to.
    pub new_lease: u8,
    /// The longest lease that the format allows (86,400 seconds there), in stamps.
    pub longest_lease: u8,
    /// The allowance, in stamps.
    pub allowance: u8,
    /// How long an envelope may be under way to its place, in ticks.
    pub flight: u8,
    /// The greatest age of evidence, in stamps.
    pub evidence_age: u8,
    /// By how many ticks the processes' clocks are ahead.
    pub clocks: [i8; PROCESSES],
    /// By how many ticks the store's clock is ahead.
    pub store_clock: i8,
    /// The processes that encrypt and read.
    pub workers: &'static [usize],
    /// The processes that rotate, scan and destroy.
    pub administrators: &'static [usize],
    /// What workers do.
    pub work: Work,
    /// Whether a look at the store takes time.
    pub slow_looks: bool,
    /// Whether a change of the store takes two steps.
    pub slow_changes: bool,
    /// Whether writers keep the data key, because they cannot wrap for one of the slots.
    pub keeps_data_key: bool,
    /// Whether process 0 sees the store through a bind mount of the file.
    pub bind_mount: bool,
    /// Whether a process counts as late that cannot reach the store. The format says that it goes on reading.
    pub blames_unreachable: bool,
    /// Whether the time of a folder's last change is a stamp, so that two changes within it look like one.
    pub coarse_folders: bool,
    /// Whether the lease is measured by the wall clock, where a system has nothing better.
    pub wall_lease: bool,
    /// Whether each scan begins with a deactivation of its key, as `archive::retire` does.
    pub retire: bool,
    /// The slots of the envelopes at the start, which lie in the last place.
    pub envelopes: &'static [u8],
    /// The states of the keys at the start.
    pub states: [KeyState; KEYS],
    /// How often things may happen.
    pub budget: Budget,
}

impl Setup {
    /// One worker, one administrator who is somebody else, one rotation, two envelopes, a lease of one stamp, right clocks.
    #[must_use]
    pub fn new() -> Self {
        use KeyState::{Absent, Active};
        Self {
            rules: Rules::ALL,
            ticks: 8,
            lease: 1,
            new_lease: 1,
            longest_lease: 1,
            allowance: 0,
            flight: 0,
            evidence_age: u8::MAX,
            clocks: [0; PROCESSES],
            store_clock: 0,
            workers: &[0],
            administrators: &[1],
            work: Work::default(),
            slow_looks: false,
            slow_changes: false,
            keeps_data_key: false,
            bind_mount: false,
            blames_unreachable: false,
            coarse_folders: false,
            wall_lease: false,
            retire: false,
            envelopes: &[],
            states: [Active, Absent, Absent],
            budget: Budget {
                rotations: 1,
                envelopes: 1,
                ..Budget::default()
            },
        }
    }

    /// Drops one more rule.
    #[must_use]
    pub fn without(mut self, rule: Rule) -> Self {
        self.rules = self.rules.without(rule);
        self
    }

    /// Whether a rule is in force.
    #[must_use]
    pub fn has(&self, rule: Rule) -> bool {
        self.rules.has(rule)
    }

    /// The world at the start. The keyring settled long ago.
    #[must_use]
    pub fn world(&self) -> World {
        let long_ago = 1;
        let mut history = [0; REVISIONS];
        history[1] = 1;
        let ring = Ring {
            revision: 1,
            states: self.states,
            changed: [long_ago; KEYS],
            lease: self.lease,
            lease_changed: None,
            modified: long_ago,
            data_key: 1,
            forged: false,
            history,
        };
        let process = Process {
            ring,
            left: full(self.lease),
            look: None,
            session: None,
            stream: None,
            pass: None,
            in_flight: None,
            draft: None,
            copy: None,
        };
        let mut envelopes = [None; ENVELOPES];
        for (envelope, slots) in envelopes.iter_mut().zip(self.envelopes) {
            *envelope = Some(Envelope {
                slots: *slots,
                place: 1,
                hidden: false,
            });
        }
        World {
            now: 0,
            store: File { ring, links: 1 },
            orphan: None,
            backup: None,
            pinned: 0,
            pinned_data_key: 0,
            bytes: [0, 1, 2],
            processes: [process; PROCESSES],
            envelopes,
            place_changed: [long_ago; PLACES],
            scan: None,
            evidence: [None; KEYS],
            keys: self
                .states
                .iter()
                .map(|state| u8::from(*state != KeyState::Absent))
                .sum(),
            plaintexts: 1,
            budget: self.budget,
            record: Record {
                off: [NEVER; KEYS],
                inactive: self.states.map(|state| {
                    if state > KeyState::Active {
                        self.grace() + 1
                    } else {
                        NEVER
                    }
                }),
                destroyed: 0,
                taken: 0,
                broken: 0,
            },
        }
    }

    /// What a process's clock says.
    #[must_use]
    pub fn clock(&self, world: &World, process: usize) -> u8 {
        stamp(world.now, self.clocks[process])
    }

    /// What the store's clock says.
    #[must_use]
    pub fn store_clock(&self, world: &World) -> u8 {
        stamp(world.now, self.store_clock)
    }

    /// For how many ticks a key that is off, or no longer active, may still be used somewhere.
    #[must_use]
    pub fn grace(&self) -> u8 {
        TICKS * (self.longest_lease.max(self.lease) + self.allowance)
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

/// For how many ticks a process may wrap that has confirmed just now, this tick included.
#[must_use]
pub const fn full(lease: u8) -> u8 {
    lease * TICKS + 1
}

fn stamp(now: u8, ahead: i8) -> u8 {
    (START + now).saturating_add_signed(ahead) / TICKS
}
