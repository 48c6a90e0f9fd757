//! What may happen next.

use crate::setup::Setup;
use crate::world::{KEYS, TICKS, World};

/// A change of the keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A new active key.
    Rotate,
    /// A new active key that was imported and has the bytes of another.
    RotateTo(usize),
    /// A key that opens nothing for now.
    Suspend(usize),
    /// A key that somebody else may have.
    Compromise(usize),
    /// Another lease.
    Lease,
}

/// What happens. The first number is the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Time passes.
    Tick,
    /// Time passes while a process's machine is stopped, its clock too.
    TickWhileStill(usize),
    /// Time passes while a process's machine sleeps.
    TickAsleep(usize),
    /// Somebody sets a process's wall clock back by a lease.
    SetBack(usize),

    /// Looks at the store and believes it.
    Confirm(usize),
    /// Begins to look.
    LookBegins(usize),
    /// Ends the look.
    LookEnds(usize),
    /// Starts again, with nothing in memory.
    Restart(usize),

    /// Makes and stores a record.
    Encrypt(usize),
    /// Makes a record.
    Wrap(usize),
    /// Stores the record that was made.
    Store(usize),
    /// Makes the data key of a session.
    SessionBegins(usize),
    /// Makes and stores a record of the session.
    SessionWrites(usize),
    /// Makes the header of a stream.
    StreamBegins(usize),
    /// Gives the stream its name.
    StreamFinishes(usize),
    /// Reads an envelope to rewrap it.
    PassReads(usize, usize),
    /// Writes the header of the envelope that was read.
    PassWrites(usize),
    /// Writes it with a slot that cannot be unwrapped, because the provider's answer was wrong.
    PassWritesBadly(usize),
    /// Opens an envelope.
    Read(usize, usize),

    /// Changes the keyring.
    Change(usize, Change),
    /// Makes a change.
    Draft(usize, Change),
    /// Stores the change that was made.
    Commit(usize),
    /// Keeps a copy of the keyring as loaded.
    KeepCopy(usize),
    /// Assigns the copy in a later change.
    AssignCopy(usize),
    /// Is refused a retirement.
    RetireRefused(usize, usize),
    /// Begins to look for uses of a key.
    ScanBegins(usize, usize),
    /// Reads one place, or compares it with what it was.
    ScanGoesOn,
    /// Destroys a key on evidence.
    Destroy(usize, usize),

    /// Another keyring that has the same key gets evidence, of its own places.
    ForeignEvidence(usize),
    /// Somebody moves an envelope to the other place.
    Move(usize),
    /// Something makes an envelope unreadable for a scan.
    Hide(usize),
    /// The application replaces an envelope by a newer one.
    Replace(usize),
    /// Somebody puts an old envelope back under the first key.
    Return,
    /// Somebody copies the store.
    Backup,
    /// Somebody puts the copy back.
    Restore,
    /// Somebody who has the copy's data key writes a later revision.
    Forge,
    /// Somebody gives the store's file another name.
    Link,
}

impl Setup {
    /// Adds each action that the bounds allow. Some of them turn out to be impossible or refused.
    pub(crate) fn offer(&self, world: &World, actions: &mut Vec<Action>) {
        if world.now < self.ticks {
            actions.push(Action::Tick);
        }
        for worker in self.workers {
            self.offer_work(world, *worker, actions);
        }
        for administrator in self.administrators {
            self.offer_administration(world, *administrator, actions);
        }
        self.offer_accidents(world, actions);
    }

    fn offer_work(&self, world: &World, who: usize, actions: &mut Vec<Action>) {
        use Action::{
            Confirm, Encrypt, LookBegins, LookEnds, PassReads, PassWrites, PassWritesBadly, Read,
            Restart, SessionBegins, SessionWrites, SetBack, Store, StreamBegins, StreamFinishes,
            TickAsleep, TickWhileStill, Wrap,
        };
        let budget = &world.budget;
        let work = &self.work;
        if budget.stills > 0 && world.now < self.ticks {
            actions.push(TickWhileStill(who));
        }
        if budget.sleeps > 0 && world.now < self.ticks {
            actions.push(TickAsleep(who));
        }
        if budget.set_backs > 0 {
            actions.push(SetBack(who));
        }
        if self.slow_looks {
            actions.extend([LookBegins(who), LookEnds(who)]);
        } else {
            actions.push(Confirm(who));
        }
        if budget.restarts > 0 {
            actions.push(Restart(who));
        }
        if work.records {
            actions.push(Encrypt(who));
        }
        if work.records_in_flight {
            actions.extend([Wrap(who), Store(who)]);
        }
        if work.sessions {
            actions.extend([SessionBegins(who), SessionWrites(who)]);
        }
        if work.streams {
            actions.extend([StreamBegins(who), StreamFinishes(who)]);
        }
        for (index, _) in world.stored() {
            if work.passes {
                actions.push(PassReads(who, index));
            }
            if work.reads {
                actions.push(Read(who, index));
            }
        }
        if work.passes {
            actions.push(PassWrites(who));
            if budget.bad_wraps > 0 {
                actions.push(PassWritesBadly(who));
            }
        }
    }

    fn offer_administration(&self, world: &World, who: usize, actions: &mut Vec<Action>) {
        let budget = &world.budget;
        let mut changes = Vec::new();
        if budget.rotations > 0 {
            changes.push(Change::Rotate);
            if budget.imports > 0 {
                changes.extend((0..KEYS).map(Change::RotateTo));
            }
        }
        if budget.lease_changes > 0 {
            changes.push(Change::Lease);
        }
        if budget.suspensions > 0 {
            changes
                .extend((0..KEYS).flat_map(|key| [Change::Suspend(key), Change::Compromise(key)]));
        }
        for change in changes {
            actions.push(if self.slow_changes {
                Action::Draft(who, change)
            } else {
                Action::Change(who, change)
            });
        }
        if self.slow_changes {
            actions.push(Action::Commit(who));
        }
        if budget.kept_copies > 0 {
            actions.push(Action::KeepCopy(who));
        }
        if world.processes[who].copy.is_some() {
            actions.push(Action::AssignCopy(who));
        }
        for key in 0..usize::from(world.keys) {
            actions.extend([Action::ScanBegins(who, key), Action::Destroy(who, key)]);
            if budget.refusals > 0 {
                actions.push(Action::RetireRefused(who, key));
            }
        }
        if budget.restarts > 0 && !self.workers.contains(&who) {
            actions.push(Action::Restart(who));
        }
    }

    fn offer_accidents(&self, world: &World, actions: &mut Vec<Action>) {
        let budget = &world.budget;
        actions.push(Action::ScanGoesOn);
        if budget.foreign > 0 {
            actions.push(Action::ForeignEvidence(0));
        }
        for (index, _) in world.stored() {
            if budget.moves > 0 {
                actions.push(Action::Move(index));
            }
            if budget.hidings > 0 {
                actions.push(Action::Hide(index));
            }
            if budget.replacements > 0 {
                actions.push(Action::Replace(index));
            }
        }
        if budget.returns > 0 {
            actions.push(Action::Return);
        }
        if budget.store_copies > 0 {
            actions.push(if world.backup.is_none() {
                Action::Backup
            } else {
                Action::Restore
            });
        }
        if budget.forgeries > 0 && world.backup.is_some() {
            actions.push(Action::Forge);
        }
        if budget.links > 0 {
            actions.push(Action::Link);
        }
    }

    /// Does an action. Nothing is answered if it is impossible or refused.
    pub(crate) fn act(&self, world: &mut World, action: Action) -> Option<()> {
        match action {
            Action::Tick => self.tick(world, None),
            Action::TickWhileStill(who) => {
                world.budget.stills -= 1;
                self.tick(world, Some(who))
            }
            Action::TickAsleep(who) => {
                world.budget.sleeps -= 1;
                self.tick(
                    world,
                    (!self.has(crate::Rule::LeaseCountsSleep)).then_some(who),
                )
            }
            Action::SetBack(who) => self.set_back(world, who, self.lease * TICKS),
            Action::Confirm(who) => self.confirm(world, who),
            Action::LookBegins(who) => self.look_begins(world, who),
            Action::LookEnds(who) => self.look_ends(world, who),
            Action::Restart(who) => self.restart(world, who),
            Action::Encrypt(who) => self.encrypt(world, who),
            Action::Wrap(who) => self.wrap(world, who),
            Action::Store(who) => self.store(world, who),
            Action::SessionBegins(who) => self.session_begins(world, who),
            Action::SessionWrites(who) => self.session_writes(world, who),
            Action::StreamBegins(who) => self.stream_begins(world, who),
            Action::StreamFinishes(who) => self.stream_finishes(world, who),
            Action::PassReads(who, index) => self.pass_reads(world, who, index),
            Action::PassWrites(who) => self.pass_writes(world, who, true),
            Action::PassWritesBadly(who) => self.pass_writes(world, who, false),
            Action::Read(who, index) => self.read(world, who, index),
            Action::Change(who, change) => self.change(world, who, change),
            Action::Draft(who, change) => self.draft(world, who, change),
            Action::Commit(who) => self.commit(world, who),
            Action::KeepCopy(who) => self.keep_copy(world, who),
            Action::AssignCopy(who) => self.assign_copy(world, who),
            Action::RetireRefused(who, key) => self.retire_refused(world, who, key),
            Action::ScanBegins(who, key) => self.scan_begins(world, who, key),
            Action::ScanGoesOn => self.scan_goes_on(world),
            Action::Destroy(who, key) => self.destroy(world, who, key),
            Action::ForeignEvidence(key) => self.foreign_evidence(world, key),
            Action::Move(index) => self.move_envelope(world, index),
            Action::Replace(index) => self.replace(world, index),
            Action::Hide(index) => self.hide(world, index),
            Action::Forge => self.forge(world),
            Action::Return => self.put_back(world),
            Action::Backup => self.backup(world),
            Action::Restore => self.restore(world),
            Action::Link => self.link(world),
        }
    }
}
