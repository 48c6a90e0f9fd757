//! Explores every order of events in which the keys of a keyring live and die, for small numbers.
//!
//! [`Setup`] states the bounds of an exploration. [`explore`] visits every state within them, and [`counterexample`] finds the shortest
//! way to break a [`Property`]. Each [`Rule`] of the format can be dropped. `README.md` says what is modelled and what is not.

mod actions;
mod evidence;
mod explore;
mod properties;
mod rules;
pub mod scenes;
mod setup;
mod store;
mod time;
mod work;
mod world;

pub use actions::{Action, Change};
pub use explore::{Explored, counterexample, explore};
pub use properties::Property;
pub use rules::{Rule, Rules};
pub use setup::{Setup, Work};
pub use world::{Budget, KeyState};
