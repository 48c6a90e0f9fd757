//! Explores a setup.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use crate::actions::Action;
use crate::properties::{DESTROYED, Property};
use crate::setup::Setup;

/// What an exploration found that visited every state within the bounds.
#[derive(Clone, Debug)]
pub struct Explored {
    /// How many states there are.
    pub states: usize,
    /// The properties that break somewhere.
    pub broken: Vec<Property>,
    /// Whether a key is destroyed somewhere.
    pub destroyed: bool,
}

/// Visits every state within the bounds.
#[must_use]
pub fn explore(setup: &Setup) -> Explored {
    // With one thread, the order and so the result are always the same.
    let checker = setup
        .checker_of()
        .finish_when(HasDiscoveries::AllFailures)
        .spawn_bfs()
        .join();
    Explored {
        states: checker.unique_state_count(),
        broken: Property::ALL
            .into_iter()
            .filter(|property| checker.discovery(property.name()).is_some())
            .collect(),
        destroyed: checker.discovery(DESTROYED).is_some(),
    }
}

/// The shortest list of events that breaks a property.
#[must_use]
pub fn counterexample(setup: &Setup, property: Property) -> Option<Vec<Action>> {
    let mut found: Option<Vec<Action>> = None;
    loop {
        let mut builder = setup
            .checker_of()
            .finish_when(HasDiscoveries::AllOf(BTreeSet::from([property.name()])));
        if let Some(found) = &found {
            // The checker counts states, of which a list of events has one more, and visits only those below the depth.
            builder = builder.target_max_depth(found.len() + 1);
        }
        match builder.spawn_bfs().join().discovery(property.name()) {
            // The checker works off blocks of states, so the first that it names need not be the shortest.
            Some(path) => found = Some(path.into_actions()),
            None => return found,
        }
    }
}

impl Setup {
    fn checker_of(&self) -> stateright::CheckerBuilder<Self> {
        (*self).checker().threads(1)
    }
}
