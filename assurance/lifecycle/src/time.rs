//! How time passes.

use crate::rules::Rule;
use crate::setup::{Setup, full};
use crate::world::{NEVER, World};

impl Setup {
    /// One tick passes. The clock by which one process measures its lease may stand still.
    pub(crate) fn tick(&self, world: &mut World, still: Option<usize>) -> Option<()> {
        world.now += 1;
        for (index, process) in world.processes.iter_mut().enumerate() {
            if still != Some(index) {
                process.left = process.left.saturating_sub(1);
            }
            if let Some(look) = &mut process.look {
                look.age = look.age.saturating_add(1);
            }
            if let Some((_, age)) = &mut process.in_flight {
                *age += 1;
                // The allowance covers no longer flight, so there is none.
                if *age > self.flight {
                    return None;
                }
            }
        }
        let most = self.grace() + 1;
        let record = &mut world.record;
        for since in record.off.iter_mut().chain(&mut record.inactive) {
            if *since != NEVER {
                *since = most.min(*since + 1);
            }
        }
        Some(())
    }

    /// Somebody sets a wall clock back. It matters only to a lease that is measured by it.
    pub(crate) fn set_back(&self, world: &mut World, who: usize, ticks: u8) -> Option<()> {
        world.budget.set_backs -= 1;
        let process = &mut world.processes[who];
        if !self.wall_lease || process.left == 0 {
            return None;
        }
        let most = full(process.ring.lease);
        let before_confirmation = process.left + ticks > most;
        process.left = if before_confirmation && self.has(Rule::ClockBackEndsLease) {
            0
        } else {
            most.min(process.left + ticks)
        };
        Some(())
    }
}
