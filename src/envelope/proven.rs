//! Which keys of a network gave back what was wrapped under them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Keys that are remembered. A provider with more of them is asked again.
const MOST: usize = 1024;

/// The number of a provider, and the scheme and key id of its slot.
pub(super) type Named = (usize, Box<[u8]>);

/// The keys of providers that ask a network.
#[derive(Debug, Default)]
pub(super) struct Proven(Mutex<HashSet<Named>>);

impl Proven {
    pub(super) fn holds(&self, named: &Named) -> bool {
        let proven = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        proven.contains(named)
    }

    pub(super) fn add(&self, named: Named) {
        let mut proven = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if proven.len() >= MOST {
            proven.clear();
        }
        proven.insert(named);
    }
}
