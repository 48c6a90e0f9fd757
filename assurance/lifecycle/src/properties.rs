//! What must hold in every state.

use stateright::{Model, Property as Checked};

use crate::actions::Action;
use crate::setup::Setup;
use crate::world::{Envelope, Ring, World};

/// A promise about the life of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Property {
    /// P1: each stored envelope has a slot whose key is in the store's keyring, and was never destroyed.
    NothingLost,
    /// P2: nothing is wrapped under a key that has been suspended, compromised or destroyed for longer than lease and allowance.
    NoLateWrap,
    /// P3: a process believes no keyring that does not come of the one that it knows.
    NoOlderKeyring,
    /// P4: a process that can reach the store opens nothing with a key that has been suspended or compromised for longer than that.
    StatesTakeEffect,
    /// P5: a pass writes no header under a key that has not been active for longer than that.
    PassesGoForward,
    /// P5: a pass overwrites no newer version.
    NothingOverwritten,
}

impl Property {
    /// Every property.
    pub const ALL: [Self; 6] = [
        Self::NothingLost,
        Self::NoLateWrap,
        Self::NoOlderKeyring,
        Self::StatesTakeEffect,
        Self::PassesGoForward,
        Self::NothingOverwritten,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NothingLost => "P1: nothing is lost",
            Self::NoLateWrap => "P2: no wrap beyond a lease",
            Self::NoOlderKeyring => "P3: no older keyring is believed",
            Self::StatesTakeEffect => "P4: a state takes effect within a lease",
            Self::PassesGoForward => "P5: a pass moves nothing back",
            Self::NothingOverwritten => "P5: a pass overwrites nothing newer",
        }
    }

    /// Whether it holds in a state.
    #[must_use]
    pub fn holds(self, world: &World) -> bool {
        match self {
            Self::NothingLost => world.stored().all(|(_, envelope)| world.opens(&envelope)),
            _ => world.record.broken & 1 << self as u8 == 0,
        }
    }
}

/// That a key was destroyed. It must be reachable, else an exploration shows nothing.
pub const DESTROYED: &str = "a key is destroyed";

impl World {
    /// The stored envelopes with their numbers.
    pub fn stored(&self) -> impl Iterator<Item = (usize, Envelope)> + '_ {
        self.envelopes
            .iter()
            .enumerate()
            .filter_map(|(index, envelope)| Some((index, (*envelope)?)))
    }

    /// Whether an envelope can be opened, or only could be before an outsider put an older keyring back.
    fn opens(&self, envelope: &Envelope) -> bool {
        let ring = &self.store.ring;
        (0..ring.states.len()).any(|key| {
            let has = |keys: u8| keys & 1 << key != 0;
            has(envelope.slots)
                && (has(self.record.taken)
                    || ring.states[key].exists() && !has(self.record.destroyed))
        })
    }

    /// Whether a keyring was made by somebody who has only an older data key than that of a revision that was known.
    pub(crate) fn is_forged_for(&self, known: u8, ring: &Ring) -> bool {
        ring.forged && self.backup.is_some_and(|copy| known > copy.revision)
    }

    /// Notes that a property is broken.
    pub(crate) fn breaks(&mut self, property: Property) {
        self.record.broken |= 1 << property as u8;
    }
}

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.world()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        // What is broken stays broken.
        if Property::ALL.iter().all(|property| property.holds(world)) {
            self.offer(world, actions);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = *world;
        self.act(&mut next, action)?;
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Checked<Self>> {
        macro_rules! always {
            ($($property:ident),*) => {
                vec![
                    $(Checked::always(Property::$property.name(), |_, world: &World| Property::$property.holds(world)),)*
                    Checked::sometimes(DESTROYED, |_, world: &World| world.record.destroyed != 0),
                ]
            };
        }
        always![
            NothingLost,
            NoLateWrap,
            NoOlderKeyring,
            StatesTakeEffect,
            PassesGoForward,
            NothingOverwritten
        ]
    }
}
