//! The house itself: which part may know which, and that what is promised is tested.
// A test stops where something is not as it says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod architecture;
mod promises;
