//! Records, sessions, streams and their headers, well-formed and hostile; the format's vectors and its second reader.
// A test stops where something is not as it says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod canaries;
mod cipher;
#[path = "../common/mod.rs"]
mod common;
mod floe;
mod hostile;
mod hunt;
mod public_types;
mod rules;
mod second_reader;
mod session;
mod streams;
mod tamper;
mod text;
#[path = "../common/vector.rs"]
mod vector;
mod vectors;
