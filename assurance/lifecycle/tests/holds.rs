//! With every rule, each property holds within larger bounds, where several kinds of events meet. Each exploration ends.

mod common;

use common::{holds, stated};
use phi_envelope_lifecycle::{Setup, scenes};

/// Demands that all holds, and that a key is destroyed somewhere: else it would show nothing.
fn holds_and_destroys(name: &str, setup: Setup) {
    let explored = holds(&setup);
    println!("{name}: {} states", explored.states);
    assert!(explored.destroyed);
    stated(name, &explored.states.to_string());
}

#[test]
fn all_that_encrypts() {
    let mut setup = scenes::still();
    setup.work.sessions = true;
    setup.work.streams = true;
    setup.budget.envelopes = 2;
    holds_and_destroys("all_that_encrypts", setup);
}

#[test]
fn two_workers_and_two_rotations() {
    let mut setup = scenes::records();
    setup.workers = &[0, 2];
    setup.budget.rotations = 2;
    setup.ticks = 7;
    holds_and_destroys("two_workers_and_two_rotations", setup);
}

#[test]
fn an_administrator_who_encrypts() {
    let mut setup = scenes::sessions();
    setup.workers = &[0, 1];
    setup.work.records = true;
    setup.budget.envelopes = 2;
    setup.budget.suspensions = 1;
    setup.ticks = 6;
    holds_and_destroys("an_administrator_who_encrypts", setup);
}

#[test]
fn passes_records_and_moves() {
    let mut setup = scenes::moves();
    setup.work.records = true;
    setup.budget.moves = 2;
    setup.budget.replacements = 1;
    setup.ticks = 7;
    holds_and_destroys("passes_records_and_moves", setup);
}

#[test]
fn passes_sessions_and_a_clock_that_stands_still() {
    let mut setup = scenes::one_pass();
    setup.work.sessions = true;
    setup.allowance = 1;
    setup.budget.stills = 2;
    setup.budget.hidings = 1;
    setup.ticks = 9;
    holds_and_destroys("passes_sessions_and_a_clock_that_stands_still", setup);
}

#[test]
fn two_passes_and_two_rotations() {
    let mut setup = scenes::one_pass();
    setup.workers = &[0, 1];
    setup.budget.envelopes = 0;
    setup.budget.rotations = 2;
    setup.ticks = 6;
    holds_and_destroys("two_passes_and_two_rotations", setup);
}

#[test]
fn three_clocks_apart() {
    let mut setup = scenes::records();
    setup.administrators = &[1, 2];
    setup.work.streams = true;
    setup.clocks = [1, -3, 3];
    setup.store_clock = 1;
    setup.allowance = 1;
    setup.ticks = 11;
    holds_and_destroys("three_clocks_apart", setup);
}

#[test]
fn a_flight_a_slow_look_and_a_clock_that_stands_still() {
    let mut setup = scenes::flight();
    setup.slow_looks = true;
    setup.budget.stills = 1;
    holds_and_destroys("a_flight_a_slow_look_and_a_clock_that_stands_still", setup);
}

#[test]
fn a_bind_mount_links_and_two_writers() {
    let mut setup = scenes::hard_link_in_between();
    setup.administrators = &[1, 2];
    setup.budget.restarts = 1;
    setup.ticks = 6;
    holds_and_destroys("a_bind_mount_links_and_two_writers", setup);
}

#[test]
fn a_forgery_and_two_rotations() {
    let mut setup = scenes::forgery();
    setup.budget.rotations = 2;
    setup.ticks = 5;
    holds_and_destroys("a_forgery_and_two_rotations", setup);
}

#[test]
fn a_shorter_lease_and_streams() {
    let mut setup = scenes::shorter_lease();
    setup.work.streams = true;
    setup.work.sessions = true;
    setup.ticks = 9;
    holds_and_destroys("a_shorter_lease_and_streams", setup);
}
