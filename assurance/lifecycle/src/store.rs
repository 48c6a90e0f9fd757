//! The keyring's store: who believes what it holds, who changes it, and what outsiders do to it.

use crate::actions::Change;
use crate::properties::Property;
use crate::rules::Rule;
use crate::setup::{Setup, full};
use crate::world::{File, KeyState, Look, Process, REVISIONS, Ring, World};

impl Setup {
    /// The file that a process finds under its path.
    pub(crate) fn seen_by(&self, world: &World, who: usize) -> File {
        match world.orphan {
            Some(orphan) if who == 0 => orphan,
            _ => world.store,
        }
    }

    /// Whether a process that knows one keyring believes another.
    ///
    /// FORMAT §9.2: another plaintext of the same revision, a lower revision, and one whose `before` does not fit are refused.
    fn believes(&self, world: &World, known: &Ring, other: &Ring) -> bool {
        if self.has(Rule::PinWhenConfirming) && !self.as_pinned(world, other) {
            return false;
        }
        if self.has(Rule::DataKeyNumber) && other.data_key < known.data_key {
            return false;
        }
        match other.revision.cmp(&known.revision) {
            std::cmp::Ordering::Less => !self.has(Rule::RevisionNotLower),
            std::cmp::Ordering::Equal => {
                !self.has(Rule::SameRevisionSamePlaintext) || other.plaintext() == known.plaintext()
            }
            std::cmp::Ordering::Greater => !self.has(Rule::Chain) || other.comes_of(known),
        }
    }

    /// FORMAT §9.2: who is told the least numbers refuses lower ones.
    fn as_pinned(&self, world: &World, ring: &Ring) -> bool {
        ring.revision >= world.pinned
            && (ring.data_key >= world.pinned_data_key || !self.has(Rule::DataKeyNumber))
    }

    /// Takes a keyring into a process's memory.
    fn learn(&self, world: &mut World, who: usize, ring: Ring, age: u8) {
        let known = &world.processes[who].ring;
        let forged = !known.forged && world.is_forged_for(known.revision, &ring);
        if !ring.comes_of(known) || forged {
            world.breaks(Property::NoOlderKeyring);
        }
        let process = &mut world.processes[who];
        process.ring = ring;
        process.left = full(ring.lease).saturating_sub(age);
    }

    /// FORMAT §9.2: a process confirms that the file is still the one that it has read, or reads it again.
    pub(crate) fn confirm(&self, world: &mut World, who: usize) -> Option<()> {
        let file = self.seen_by(world, who);
        if self.confirmable(world, who, &file) {
            self.learn(world, who, file.ring, 0);
            Some(())
        } else {
            None
        }
    }

    /// Whether a process may confirm the file that it finds.
    pub(crate) fn confirmable(&self, world: &World, who: usize, file: &File) -> bool {
        (file.links == 1 || !self.has(Rule::LinksWhenConfirming))
            && self.believes(world, &world.processes[who].ring, &file.ring)
    }

    pub(crate) fn look_begins(&self, world: &mut World, who: usize) -> Option<()> {
        let file = self.seen_by(world, who);
        if world.processes[who].look.is_some() || !self.confirmable(world, who, &file) {
            return None;
        }
        world.processes[who].look = Some(Look {
            ring: file.ring,
            age: 0,
        });
        Some(())
    }

    pub(crate) fn look_ends(&self, world: &mut World, who: usize) -> Option<()> {
        let look = world.processes[who].look.take()?;
        let age = if self.has(Rule::LeaseFromBeforeLook) {
            look.age
        } else {
            0
        };
        self.learn(world, who, look.ring, age);
        Some(())
    }

    /// A process starts again. It knows nothing but the revision that it is told.
    pub(crate) fn restart(&self, world: &mut World, who: usize) -> Option<()> {
        world.budget.restarts -= 1;
        let File { ring, links } = self.seen_by(world, who);
        if self.has(Rule::PinWhenOpening) {
            if !self.as_pinned(world, &ring) {
                return None;
            }
            if world.is_forged_for(world.pinned, &ring) {
                world.breaks(Property::NoOlderKeyring);
            }
        }
        let confirms = links == 1 || !self.has(Rule::LinksWhenOpening);
        world.processes[who] = Process {
            ring,
            left: if confirms { full(ring.lease) } else { 0 },
            look: None,
            session: None,
            stream: None,
            pass: None,
            in_flight: None,
            draft: None,
            copy: None,
        };
        Some(())
    }

    /// Reads the keyring that a change is made from.
    pub(crate) fn load(&self, world: &mut World, who: usize) -> Option<Ring> {
        let File { ring, links } = world.store;
        if links != 1 && self.has(Rule::LinksWhenChanging)
            || !self.believes(world, &world.processes[who].ring, &ring)
            || usize::from(ring.revision) + 1 >= REVISIONS
        {
            return None;
        }
        self.learn(world, who, ring, 0);
        Some(ring)
    }

    /// Puts a changed keyring into the store.
    pub(crate) fn save(&self, world: &mut World, who: usize, ring: Ring) -> Option<()> {
        if world.store.links != 1 && self.has(Rule::LinksAfterExchange) {
            // Both names were exchanged back.
            return None;
        }
        if self.bind_mount && world.orphan.is_none() {
            world.orphan = Some(File {
                ring: world.store.ring,
                links: world.store.links - 1,
            });
        }
        let record = &mut world.record;
        for (key, (new, old)) in ring.states.iter().zip(&world.store.ring.states).enumerate() {
            if *old == KeyState::Active && *new > *old {
                record.inactive[key] = 0;
            }
            if *old < KeyState::Suspended && *new >= KeyState::Suspended {
                record.off[key] = 0;
            }
        }
        world.store = File { ring, links: 1 };
        let process = &mut world.processes[who];
        process.ring = ring;
        process.left = full(ring.lease);
        Some(())
    }

    /// Numbers a changed keyring and states when its file was written.
    pub(crate) fn revise(&self, world: &mut World, mut ring: Ring) -> Ring {
        ring.revision += 1;
        world.plaintexts += 1;
        ring.history[usize::from(ring.revision)] = world.plaintexts;
        ring.modified = self.store_clock(world);
        // Whoever believed a forged keyring was wrong then, or could not know better.
        ring.forged = false;
        if self.has(Rule::NewDataKey) && !self.keeps_data_key {
            ring.data_key = ring.revision;
        }
        ring
    }

    /// Makes a change, or nothing if it is impossible.
    fn changed(
        &self,
        world: &mut World,
        who: usize,
        mut ring: Ring,
        change: Change,
    ) -> Option<Ring> {
        let clock = self.clock(world, who);
        match change {
            Change::Rotate | Change::RotateTo(_) => {
                let new = usize::from(world.keys);
                if new >= ring.states.len() {
                    return None;
                }
                world.budget.rotations -= 1;
                if let Change::RotateTo(same) = change {
                    world.budget.imports -= 1;
                    if self.has(Rule::KeysCompared) || ring.states[same] <= KeyState::Active {
                        return None;
                    }
                    world.bytes[new] = u8::try_from(same).ok()?;
                }
                world.keys += 1;
                ring.set(ring.active(), KeyState::Deactivated, clock);
                ring.set(new, KeyState::Active, clock);
            }
            Change::Suspend(key) | Change::Compromise(key) => {
                if ring.states[key] != KeyState::Deactivated {
                    return None;
                }
                world.budget.suspensions -= 1;
                let state = if matches!(change, Change::Suspend(_)) {
                    KeyState::Suspended
                } else {
                    KeyState::Compromised
                };
                ring.set(key, state, clock);
            }
            Change::Lease => {
                world.budget.lease_changes -= 1;
                ring.lease = self.new_lease;
                ring.lease_changed = Some(if self.has(Rule::LeaseChangedByLaterClock) {
                    clock.max(self.store_clock(world))
                } else {
                    clock
                });
            }
        }
        Some(self.revise(world, ring))
    }

    pub(crate) fn change(&self, world: &mut World, who: usize, change: Change) -> Option<()> {
        let ring = self.load(world, who)?;
        let ring = self.changed(world, who, ring, change)?;
        self.save(world, who, ring)
    }

    pub(crate) fn draft(&self, world: &mut World, who: usize, change: Change) -> Option<()> {
        if world.processes[who].draft.is_some() {
            return None;
        }
        let loaded = self.load(world, who)?;
        let ring = self.changed(world, who, loaded, change)?;
        world.processes[who].draft = Some((ring, loaded.plaintext()));
        Some(())
    }

    pub(crate) fn commit(&self, world: &mut World, who: usize) -> Option<()> {
        let (mut ring, from) = world.processes[who].draft.take()?;
        if self.has(Rule::CompareAndSwap) && world.store.ring.plaintext() != from {
            return Some(());
        }
        ring.modified = self.store_clock(world);
        // If it is refused, the draft is gone, and nothing else happened.
        let _refused = self.save(world, who, ring);
        Some(())
    }

    /// Keeps a copy of the keyring. The public type can be copied, or somebody writes one that can.
    pub(crate) fn keep_copy(&self, world: &mut World, who: usize) -> Option<()> {
        world.budget.kept_copies -= 1;
        world.processes[who].copy = Some(self.load(world, who)?);
        Some(())
    }

    pub(crate) fn assign_copy(&self, world: &mut World, who: usize) -> Option<()> {
        let copy = world.processes[who].copy.take()?;
        let loaded = self.load(world, who)?;
        if self.has(Rule::UpdateFollows) && !copy.follows(&loaded) {
            return None;
        }
        let ring = self.revise(
            world,
            Ring {
                states: copy.states,
                changed: copy.changed,
                ..loaded
            },
        );
        self.save(world, who, ring)
    }

    /// A retirement begins with a deactivation. If it is refused, a key that was suspended must stay so.
    pub(crate) fn retire_refused(&self, world: &mut World, who: usize, key: usize) -> Option<()> {
        world.budget.refusals -= 1;
        if self.has(Rule::RefusalChangesNothing) {
            return None;
        }
        let mut ring = self.load(world, who)?;
        if ring.states[key] != KeyState::Suspended {
            return None;
        }
        ring.set(key, KeyState::Deactivated, self.clock(world, who));
        let ring = self.revise(world, ring);
        self.save(world, who, ring)
    }

    pub(crate) fn backup(&self, world: &mut World) -> Option<()> {
        world.budget.store_copies -= 1;
        world.backup = Some(world.store.ring);
        Some(())
    }

    /// Somebody puts an older file back. The keys that vanish by it are no process's fault.
    pub(crate) fn restore(&self, world: &mut World) -> Option<()> {
        world.budget.store_copies -= 1;
        let mut ring = world.backup?;
        if ring == world.store.ring {
            return None;
        }
        self.take_away(world, &ring);
        ring.modified = self.store_clock(world);
        world.store = File { ring, links: 1 };
        Some(())
    }

    /// Notes the keys that an outsider takes away.
    fn take_away(&self, world: &mut World, ring: &Ring) {
        for (key, state) in ring.states.iter().enumerate() {
            if world.store.ring.states[key].exists() && !state.exists() {
                world.record.taken |= 1 << key;
            }
        }
    }

    /// Somebody who has the data key of the copy, and the copy's slots, writes a later revision.
    ///
    /// They read the store if its data key is the same, and then know every plaintext.
    pub(crate) fn forge(&self, world: &mut World) -> Option<()> {
        world.budget.forgeries -= 1;
        let copy = world.backup?;
        let stored = world.store.ring;
        let mut ring = if stored.data_key == copy.data_key {
            stored
        } else {
            copy
        };
        while ring.revision <= stored.revision {
            ring.revision += 1;
            world.plaintexts += 1;
            *ring.history.get_mut(usize::from(ring.revision))? = world.plaintexts;
        }
        ring.forged = true;
        ring.modified = self.store_clock(world);
        self.take_away(world, &ring);
        world.store = File { ring, links: 1 };
        Some(())
    }

    pub(crate) fn link(&self, world: &mut World) -> Option<()> {
        world.budget.links -= 1;
        world.store.links += 1;
        Some(())
    }
}
