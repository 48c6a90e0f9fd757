//! Rotation over whole trees, by someone who can name and damage the files as he likes.
//!
//! The children are this very test binary, told by its environment what to do.
#![cfg(target_os = "linux")]
// A test stops where something is not as it says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod children;
#[path = "../common/mod.rs"]
mod common;
mod evidence;
mod exposure;
mod inventory;
mod memory;
mod names;
mod office;
mod passes;
mod place;
mod reencrypt;
mod retire;
mod roots;
mod rows;
mod shards;
mod storm;
