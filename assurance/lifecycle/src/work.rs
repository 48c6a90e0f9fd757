//! What workers do with envelopes, and what else happens to envelopes.

use crate::properties::Property;
use crate::rules::Rule;
use crate::setup::Setup;
use crate::world::{Envelope, KeyState, NEVER, Pass, World};

impl Setup {
    /// FORMAT §9.2: without a confirmed lease a process wraps nothing.
    fn may_wrap(&self, world: &World, who: usize) -> bool {
        world.processes[who].left > 0 || !self.has(Rule::Lease)
    }

    /// Notes a wrap under a key.
    fn wrapped(&self, world: &mut World, key: usize) {
        for key in [key, usize::from(world.bytes[key])] {
            let off = world.record.off[key];
            if off != NEVER && off > self.grace() {
                world.breaks(Property::NoLateWrap);
            }
        }
    }

    /// Stores a new envelope. It goes to the place that a scan reads first, so that a scan under way misses it.
    fn put(&self, world: &mut World, key: usize) -> Option<()> {
        let free = world.envelopes.iter_mut().find(|slot| slot.is_none())?;
        *free = Some(Envelope {
            slots: 1 << key,
            place: 0,
            hidden: false,
        });
        self.touch(world, 0);
        Some(())
    }

    /// Changes the list of names in a place.
    fn touch(&self, world: &mut World, place: usize) {
        let stamp = self.store_clock(world);
        let seen = !self.coarse_folders || world.place_changed[place] != stamp;
        world.place_changed[place] = stamp;
        if let Some(scan) = &mut world.scan {
            scan.changed[place] |= seen;
        }
    }

    fn begin(&self, world: &mut World, who: usize) -> Option<usize> {
        if world.budget.envelopes == 0 || !self.may_wrap(world, who) {
            return None;
        }
        world.budget.envelopes -= 1;
        let key = world.processes[who].ring.active();
        self.wrapped(world, key);
        Some(key)
    }

    pub(crate) fn encrypt(&self, world: &mut World, who: usize) -> Option<()> {
        let key = self.begin(world, who)?;
        self.put(world, key)
    }

    pub(crate) fn wrap(&self, world: &mut World, who: usize) -> Option<()> {
        if world.processes[who].in_flight.is_some() {
            return None;
        }
        let key = self.begin(world, who)?;
        world.processes[who].in_flight = Some((small(key), 0));
        Some(())
    }

    pub(crate) fn store(&self, world: &mut World, who: usize) -> Option<()> {
        let (key, _) = world.processes[who].in_flight.take()?;
        self.put(world, usize::from(key))
    }

    pub(crate) fn session_begins(&self, world: &mut World, who: usize) -> Option<()> {
        if world.processes[who].session.is_some() || !self.may_wrap(world, who) {
            return None;
        }
        let key = world.processes[who].ring.active();
        self.wrapped(world, key);
        world.processes[who].session = Some(small(key));
        Some(())
    }

    pub(crate) fn session_writes(&self, world: &mut World, who: usize) -> Option<()> {
        let process = &world.processes[who];
        let key = usize::from(process.session?);
        if world.budget.envelopes == 0
            || self.has(Rule::SessionRollsOver) && process.ring.active() != key
            || self.has(Rule::SessionRecordNeedsLease) && !self.may_wrap(world, who)
        {
            return None;
        }
        world.budget.envelopes -= 1;
        self.wrapped(world, key);
        self.put(world, key)
    }

    pub(crate) fn stream_begins(&self, world: &mut World, who: usize) -> Option<()> {
        if world.processes[who].stream.is_some() {
            return None;
        }
        let key = self.begin(world, who)?;
        world.processes[who].stream = Some(small(key));
        Some(())
    }

    pub(crate) fn stream_finishes(&self, world: &mut World, who: usize) -> Option<()> {
        let mut key = usize::from(world.processes[who].stream.take()?);
        let ring = &world.processes[who].ring;
        if self.has(Rule::FinishMakesSlotAgain) && ring.states[key] != KeyState::Active {
            // Opening the old slot needs its key.
            if !ring.states[key].opens() {
                return Some(());
            }
            key = ring.active();
        }
        if self.has(Rule::FinishNeedsLease) && !self.may_wrap(world, who) {
            return Some(());
        }
        self.wrapped(world, key);
        self.put(world, key)
    }

    pub(crate) fn pass_reads(&self, world: &mut World, who: usize, index: usize) -> Option<()> {
        let envelope = world.envelopes[index]?;
        let process = &world.processes[who];
        let ring = &process.ring;
        let opens = (0..ring.states.len())
            .any(|key| envelope.slots & 1 << key != 0 && ring.states[key].opens());
        if process.pass.is_some()
            || !opens
            || envelope.slots == 1 << ring.active()
            || !self.may_wrap(world, who)
        {
            return None;
        }
        world.processes[who].pass = Some(Pass {
            envelope: small(index),
            overtaken: false,
        });
        Some(())
    }

    pub(crate) fn pass_writes(&self, world: &mut World, who: usize, good: bool) -> Option<()> {
        let pass = world.processes[who].pass.take()?;
        if self.has(Rule::PassLeaseAtEachHeader) && !self.may_wrap(world, who) {
            return Some(());
        }
        if pass.overtaken {
            if self.has(Rule::Exchange) {
                return Some(());
            }
            world.breaks(Property::NothingOverwritten);
        }
        let key = world.processes[who].ring.active();
        if !good {
            world.budget.bad_wraps -= 1;
            if self.has(Rule::WrapsAreTried) {
                return Some(());
            }
        }
        self.wrapped(world, key);
        let inactive = world.record.inactive[key];
        if inactive != NEVER && inactive > self.grace() {
            world.breaks(Property::PassesGoForward);
        }
        // A header that is written in place changes no list of names.
        self.rewrite(world, usize::from(pass.envelope), u8::from(good) << key);
        Some(())
    }

    /// Replaces an envelope's slots. Whoever has read it before is overtaken.
    fn rewrite(&self, world: &mut World, index: usize, slots: u8) {
        for process in &mut world.processes {
            if let Some(pass) = &mut process.pass {
                pass.overtaken |= usize::from(pass.envelope) == index;
            }
        }
        if let Some(envelope) = &mut world.envelopes[index] {
            envelope.slots = slots;
        }
    }

    /// A worker opens an envelope. It confirms first if its lease is over, and goes on if it cannot.
    pub(crate) fn read(&self, world: &mut World, who: usize, index: usize) -> Option<()> {
        let envelope = world.envelopes[index]?;
        let file = self.seen_by(world, who);
        let reachable = self.confirmable(world, who, &file);
        if self.has(Rule::ReadingConfirms) && world.processes[who].left == 0 && reachable {
            self.confirm(world, who)?;
        }
        for key in 0..world.record.off.len() {
            let opens =
                envelope.slots & 1 << key != 0 && world.processes[who].ring.states[key].opens();
            let off = world.record.off[key];
            if opens && (reachable || self.blames_unreachable) && off != NEVER && off > self.grace()
            {
                world.breaks(Property::StatesTakeEffect);
            }
        }
        Some(())
    }

    pub(crate) fn move_envelope(&self, world: &mut World, index: usize) -> Option<()> {
        world.budget.moves -= 1;
        let envelope = world.envelopes[index].as_mut()?;
        envelope.place = 1 - envelope.place;
        self.touch(world, 0);
        self.touch(world, 1);
        Some(())
    }

    /// An envelope is still there, and nobody can say what it is: behind a link, in a volume that is not mounted, with a rotten byte.
    pub(crate) fn hide(&self, world: &mut World, index: usize) -> Option<()> {
        world.budget.hidings -= 1;
        world.envelopes[index].as_mut()?.hidden = true;
        Some(())
    }

    /// The application, which knows the store's keyring, replaces an envelope by a newer one.
    pub(crate) fn replace(&self, world: &mut World, index: usize) -> Option<()> {
        world.budget.replacements -= 1;
        let place = usize::from(world.envelopes[index]?.place);
        let slots = 1 << world.store.ring.active();
        self.rewrite(world, index, slots);
        self.touch(world, place);
        Some(())
    }

    /// Somebody puts an envelope back that is under the first key.
    pub(crate) fn put_back(&self, world: &mut World) -> Option<()> {
        world.budget.returns -= 1;
        self.put(world, 0)
    }
}

/// The number of a key or an envelope, of which there are three.
fn small(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
