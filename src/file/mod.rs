//! Files: positional I/O on all cores, header blocks changed in place, output that appears whole or not at all.

mod change;

pub use change::{Rewrapped, rewrap_file};
