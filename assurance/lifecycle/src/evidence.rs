//! Scans, the evidence that they write, and the one destruction that it permits.

use crate::rules::Rule;
use crate::setup::Setup;
use crate::world::{Evidence, KeyState, PLACES, Scan, World};

impl Setup {
    pub(crate) fn scan_begins(&self, world: &mut World, who: usize, key: usize) -> Option<()> {
        if world.scan.is_some() || world.evidence[key].is_some() {
            return None;
        }
        let mut ring = self.load(world, who)?;
        if ring.states[key] <= KeyState::Active || !ring.states[key].exists() {
            return None;
        }
        let read_first = ring.modified;
        if self.retire && !self.has(Rule::NothingWrittenTwice) {
            // The deactivation that `archive::retire` begins with changes nothing, and writes the file.
            let same = self.revise(world, ring);
            self.save(world, who, same)?;
            ring = same;
        }
        // FORMAT §9.4: the later of the key's `changed` and the file's modification time, read before anything is written.
        let mut settled_since = ring.changed[key];
        if self.has(Rule::ModificationTime) {
            settled_since = settled_since.max(if self.has(Rule::ModificationTimeReadFirst) {
                read_first
            } else {
                ring.modified
            });
        }
        // FORMAT §9.4: the earlier of the scanner's clock and the store's. If they differ too much, nothing is settled.
        let (own, store) = (self.clock(world, who), self.store_clock(world));
        let began = if self.has(Rule::StoreClock) {
            own.min(store)
        } else {
            own
        };
        if self.has(Rule::ClocksCompared) && own.abs_diff(store) > self.allowance {
            settled_since = began;
        }
        world.scan = Some(Scan {
            key: u8::try_from(key).ok()?,
            evidence: Evidence {
                settled_since,
                began,
                revision: ring.revision,
                foreign: false,
            },
            step: 0,
            changed: [false; PLACES],
            again: false,
            used: false,
        });
        Some(())
    }

    /// Reads one place. In later rounds it reads only a place that changed since.
    ///
    /// FORMAT §9.4: a scan reads again what changed, until none did in one whole round.
    pub(crate) fn scan_goes_on(&self, world: &mut World) -> Option<()> {
        let mut scan = world.scan?;
        let place = usize::from(scan.step) % PLACES;
        let first_round = usize::from(scan.step) < PLACES;
        if first_round || scan.changed[place] {
            scan.again |= !first_round;
            scan.used |= self.used(world, usize::from(scan.key), place);
            let fresh =
                self.coarse_folders && world.place_changed[place] == self.store_clock(world);
            scan.changed[place] = fresh && self.has(Rule::FreshFoldersAgain);
        }
        scan.step += 1;
        if usize::from(scan.step) == 2 * PLACES && scan.again {
            scan.step = u8::try_from(PLACES).ok()?;
            scan.again = false;
        }
        let rounds = if self.has(Rule::FoldersAgain) { 2 } else { 1 };
        if usize::from(scan.step) < rounds * PLACES {
            world.scan = Some(scan);
            return Some(());
        }
        world.scan = None;
        // FORMAT §9.4: `in_use` is 0.
        if !(scan.used && self.has(Rule::InUseZero)) {
            world.evidence[usize::from(scan.key)] = Some(scan.evidence);
        }
        Some(())
    }

    /// FORMAT §9.4: `in_use` counts each envelope that has a slot of the key, whatever else opens it.
    fn used(&self, world: &World, key: usize, place: usize) -> bool {
        let others = (0..world.store.ring.states.len())
            .filter(|other| *other != key && world.store.ring.states[*other].exists())
            .fold(0, |all, other| all | 1 << other);
        world.stored().any(|(_, envelope)| {
            let uses = if envelope.hidden {
                self.has(Rule::FindingsRefuse)
            } else {
                envelope.slots & 1 << key != 0
                    && (self.has(Rule::InUseCountsSlots) || envelope.slots & others == 0)
            };
            uses && usize::from(envelope.place) == place
        })
    }

    /// FORMAT §9.4: what evidence permits.
    pub(crate) fn destroy(&self, world: &mut World, who: usize, key: usize) -> Option<()> {
        let evidence = world.evidence[key]?;
        let mut ring = self.load(world, who)?;
        let now = self.clock(world, who);
        let Evidence {
            settled_since,
            began,
            revision,
            foreign,
        } = evidence;
        let settled = settled_since + self.settling_time(&ring, began, now);
        let counted_to = if self.has(Rule::SettlingUpToBegan) {
            began
        } else {
            now
        };
        let refused = [
            (Rule::NotActive, ring.states[key] == KeyState::Active),
            (Rule::EvidenceNamesKeyring, foreign),
            (Rule::EvidenceRevision, ring.revision < revision),
            (Rule::ChangedNotAfter, ring.changed[key] > settled_since),
            (Rule::Settling, settled > counted_to),
            (Rule::BeganNotLater, began > now + self.allowance),
            (
                Rule::EvidenceAge,
                now.saturating_sub(began) > self.evidence_age,
            ),
        ]
        .into_iter()
        .any(|(rule, broken)| broken && self.has(rule));
        let tie =
            settled == counted_to && self.has(Rule::Settling) && self.has(Rule::SettlingStrictly);
        if refused || tie || !ring.states[key].exists() {
            return None;
        }
        ring.set(key, KeyState::Destroyed, now);
        let ring = self.revise(world, ring);
        self.save(world, who, ring)?;
        world.evidence[key] = None;
        world.record.destroyed |= 1 << key;
        world.pinned = ring.revision;
        world.pinned_data_key = ring.data_key;
        Some(())
    }

    /// FORMAT §9.2: `lease` + allowance, and the longest lease + allowance as long as a lease is new.
    fn settling_time(&self, ring: &crate::world::Ring, began: u8, now: u8) -> u8 {
        let allowance = if self.has(Rule::Allowance) {
            self.allowance
        } else {
            0
        };
        let mut window = self.longest_lease;
        if self.has(Rule::LeaseWindowAllowance) {
            window += allowance;
        }
        let asked = if self.has(Rule::LeaseWindowAtBegan) {
            began
        } else {
            now
        };
        let new = ring
            .lease_changed
            .is_some_and(|changed| asked <= changed + window);
        let lease = if new && self.has(Rule::LeaseWindow) {
            self.longest_lease
        } else {
            ring.lease
        };
        lease + allowance
    }

    /// FORMAT §9.4: evidence of another keyring to which the same key was imported. It never looked here.
    pub(crate) fn foreign_evidence(&self, world: &mut World, key: usize) -> Option<()> {
        world.budget.foreign -= 1;
        if world.evidence[key].is_some() {
            return None;
        }
        let began = self.store_clock(world);
        world.evidence[key] = Some(Evidence {
            settled_since: began.saturating_sub(self.longest_lease + self.allowance + 1),
            began,
            revision: 1,
            foreign: true,
        });
        Some(())
    }
}
