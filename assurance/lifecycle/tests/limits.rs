//! What no rule stops, and the format says in words. These break although every rule is in force.

mod common;

use common::breaks;
use phi_envelope_lifecycle::Property::{NothingLost, StatesTakeEffect};
use phi_envelope_lifecycle::scenes;

/// No restores between a scan and the destruction.
#[test]
fn an_envelope_that_is_put_back_behind_the_scan() {
    let mut setup = scenes::records();
    setup.budget.returns = 1;
    breaks("an envelope put back", &setup, NothingLost);
}

/// A file whose link count is not 1 is an unreachable store.
#[test]
fn a_bind_mounted_reader_and_a_compromised_key() {
    let mut setup = scenes::reads();
    setup.bind_mount = true;
    setup.blames_unreachable = true;
    breaks("a bind-mounted reader", &setup, StatesTakeEffect);
}

/// The allowance covers the sum of what it covers, and no more.
#[test]
fn a_clock_that_stands_still_beyond_the_allowance() {
    let mut setup = scenes::still();
    setup.budget.stills = 4;
    breaks("a clock beyond the allowance", &setup, NothingLost);
}
