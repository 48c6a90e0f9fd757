//! Whole files: every call, every way in which a file system or another program disturbs one.
// A test stops where something is not as it says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod calls;
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod names;
mod processes;
mod rewrap;
mod storage;
mod world;
