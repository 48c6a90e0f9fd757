//! Explorations with a name. Each allows the events that a few rules are about, and no others, so that it ends soon.

use crate::rules::Rule;
use crate::setup::Setup;
use crate::world::KeyState::{Active, Deactivated};

/// Processes encrypt records.
#[must_use]
pub fn records() -> Setup {
    let mut setup = Setup::new();
    setup.work.records = true;
    setup
}

/// A look at the store takes time.
#[must_use]
pub fn slow_looks() -> Setup {
    let mut setup = records();
    setup.slow_looks = true;
    setup
}

/// A machine sleeps.
#[must_use]
pub fn sleep() -> Setup {
    let mut setup = records();
    setup.budget.sleeps = 2;
    setup
}

/// A lease is measured by a wall clock, which somebody sets back.
#[must_use]
pub fn wall_clock() -> Setup {
    let mut setup = records();
    setup.wall_lease = true;
    setup.budget.set_backs = 1;
    setup
}

/// A machine stops, its clock too.
#[must_use]
pub fn still() -> Setup {
    let mut setup = records();
    setup.budget.stills = 1;
    setup.allowance = 1;
    setup.ticks = 10;
    setup
}

/// An envelope is on its way to its place for a while.
#[must_use]
pub fn flight() -> Setup {
    let mut setup = Setup::new();
    setup.work.records_in_flight = true;
    setup.flight = 1;
    setup.allowance = 1;
    setup.ticks = 10;
    setup
}

/// The administrator who rotates has a clock that is two stamps behind.
#[must_use]
pub fn late_rotator() -> Setup {
    let mut setup = records();
    setup.administrators = &[1, 2];
    setup.clocks = [0, -4, 0];
    setup
}

/// An administrator who scans has a clock that is two stamps ahead.
#[must_use]
pub fn early_scanner() -> Setup {
    let mut setup = records();
    setup.administrators = &[1, 2];
    setup.clocks = [0, 0, 4];
    setup
}

/// A scanner's clock is ahead by the whole allowance, and a machine stops.
#[must_use]
pub fn spent_allowance() -> Setup {
    let mut setup = still();
    setup.administrators = &[1, 2];
    setup.clocks = [0, 0, 2];
    setup
}

/// Processes keep sessions.
#[must_use]
pub fn sessions() -> Setup {
    let mut setup = Setup::new();
    setup.work.sessions = true;
    setup
}

/// Processes write long streams.
#[must_use]
pub fn streams() -> Setup {
    let mut setup = Setup::new();
    setup.work.streams = true;
    setup
}

/// Passes rewrap an envelope, beside two rotations and an application that replaces it.
#[must_use]
pub fn passes() -> Setup {
    let mut setup = one_pass();
    setup.budget.rotations = 2;
    setup.budget.replacements = 1;
    setup
}

/// A pass rewraps an envelope.
#[must_use]
pub fn one_pass() -> Setup {
    let mut setup = Setup::new();
    setup.work.passes = true;
    setup.envelopes = &[1];
    setup
}

/// A process reads while keys are suspended, compromised, and refused a retirement.
#[must_use]
pub fn reads() -> Setup {
    let mut setup = Setup::new();
    setup.work.reads = true;
    setup.envelopes = &[1];
    setup.budget.suspensions = 1;
    setup.budget.refusals = 1;
    setup
}

/// A worker sees the store through a bind mount of the file.
#[must_use]
pub fn bind_mount() -> Setup {
    let mut setup = records();
    setup.bind_mount = true;
    setup.budget.restarts = 1;
    setup
}

/// The same, and somebody gives the store's file another name.
#[must_use]
pub fn hard_link() -> Setup {
    let mut setup = records();
    setup.bind_mount = true;
    setup.budget.links = 1;
    setup
}

/// The same, while a change is being made.
#[must_use]
pub fn hard_link_in_between() -> Setup {
    let mut setup = hard_link();
    setup.slow_changes = true;
    setup
}

/// An outsider puts an older keyring back, and two administrators change it who keep its data key.
#[must_use]
pub fn forks() -> Setup {
    let mut setup = Setup::new();
    setup.workers = &[];
    setup.administrators = &[1, 2];
    setup.keeps_data_key = true;
    setup.ticks = 1;
    setup.budget.store_copies = 2;
    setup.budget.restarts = 1;
    setup.budget.rotations = 2;
    setup.budget.lease_changes = 1;
    setup
}

/// An outsider puts an older keyring back after a destruction.
#[must_use]
pub fn old_keyring() -> Setup {
    let mut setup = records();
    setup.budget.store_copies = 2;
    setup.budget.restarts = 1;
    setup
}

/// An outsider who has an old copy and what opened it writes a keyring.
#[must_use]
pub fn forgery() -> Setup {
    let mut setup = records();
    setup.budget.store_copies = 1;
    setup.budget.forgeries = 1;
    setup.budget.restarts = 1;
    setup
}

/// Two administrators change the keyring at the same time, and encrypt.
#[must_use]
pub fn two_writers() -> Setup {
    let mut setup = records();
    setup.workers = &[1];
    setup.administrators = &[1, 2];
    setup.slow_changes = true;
    setup.ticks = 3;
    setup.budget.rotations = 2;
    setup
}

/// An administrator keeps a copy of the keyring and assigns it later.
#[must_use]
pub fn kept_copy() -> Setup {
    let mut setup = records();
    setup.budget.kept_copies = 1;
    setup.ticks = 7;
    setup
}

/// An administrator imports a key's bytes again.
#[must_use]
pub fn import() -> Setup {
    let mut setup = records();
    setup.budget.imports = 1;
    setup.budget.rotations = 2;
    setup.budget.suspensions = 1;
    setup.ticks = 4;
    setup
}

/// Another keyring has the same key, and its owner gets evidence.
#[must_use]
pub fn shared_key() -> Setup {
    let mut setup = records();
    setup.budget.foreign = 1;
    setup
}

/// The lease is made shorter.
#[must_use]
pub fn shorter_lease() -> Setup {
    let mut setup = records();
    setup.lease = 2;
    setup.longest_lease = 2;
    setup.new_lease = 1;
    setup.budget.lease_changes = 1;
    setup.ticks = 12;
    setup
}

/// The lease is made shorter, and a machine stops twice.
#[must_use]
pub fn shorter_lease_still() -> Setup {
    let mut setup = shorter_lease();
    setup.allowance = 1;
    setup.budget.stills = 2;
    setup.ticks = 10;
    setup
}

/// The lease is made shorter by an administrator whose clock is two stamps behind.
#[must_use]
pub fn shorter_lease_late() -> Setup {
    let mut setup = shorter_lease();
    setup.administrators = &[1, 2];
    setup.clocks = [0, -4, 0];
    setup.ticks = 8;
    setup
}

/// Two keys are out of use, and an envelope has a slot of both.
#[must_use]
pub fn two_slots() -> Setup {
    let mut setup = Setup::new();
    setup.states = [Deactivated, Deactivated, Active];
    setup.envelopes = &[3];
    setup.work.passes = true;
    setup.budget.rotations = 0;
    setup.ticks = 3;
    setup
}

/// An outsider puts an older keyring back, and evidence from before is used.
#[must_use]
pub fn old_evidence() -> Setup {
    let mut setup = old_keyring();
    setup.budget.lease_changes = 1;
    setup.ticks = 5;
    setup
}

/// The same, with a second rotation.
#[must_use]
pub fn old_evidence_rotated() -> Setup {
    let mut setup = old_keyring();
    setup.budget.restarts = 2;
    setup.budget.rotations = 2;
    setup.ticks = 4;
    setup
}

/// Envelopes move while a scan goes on.
#[must_use]
pub fn moves() -> Setup {
    let mut setup = one_pass();
    setup.budget.moves = 3;
    setup
}

/// The same, where a folder's time is a whole stamp.
#[must_use]
pub fn moves_in_coarse_folders() -> Setup {
    let mut setup = moves();
    setup.coarse_folders = true;
    setup
}

/// A scan cannot examine an envelope, or a provider wraps wrongly.
#[must_use]
pub fn bad_answers() -> Setup {
    let mut setup = one_pass();
    setup.budget.hidings = 1;
    setup.budget.bad_wraps = 1;
    setup
}

/// Each scan begins with a deactivation, as `archive::retire` does.
#[must_use]
pub fn retire() -> Setup {
    let mut setup = records();
    setup.retire = true;
    setup
}

/// Drops rules that are second lines of each other.
#[must_use]
pub fn without(setup: Setup, rules: &[Rule]) -> Setup {
    rules.iter().fold(setup, |setup, rule| setup.without(*rule))
}
