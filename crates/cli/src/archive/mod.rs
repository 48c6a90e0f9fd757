//! Whole archives: what protects what, moved to new keys, a key retired, and what a stolen key could read.

pub(crate) mod args;
pub(crate) mod evidence;
pub(crate) mod exposure;
pub(crate) mod inventory;
mod places;
pub(crate) mod retire;
pub(crate) mod rewrap;
mod run;
