//! The manual: prose beside the reference.
//!
//! * [`rotation`]: what to do with master keys, step by step: a year has passed, a key is stolen, a key is lost, an old backup
//!   comes back.
//! * [`files`]: files with the library and with the program `phi`: ranges, crashes, permissions, exit codes.
//! * [`threat_model`]: what is promised, to whom, and what is left to you.
//! * [`considerations`]: how far the construction carries, in numbers, and what the leak of a key means.
//! * [`assurance`]: how the promises were attacked, with figures and commands.
//! * [`compliance`]: which sentences of HIPAA's Security Rule and of NIST's publications it helps with, and what stays with you.
//! * [`format`](mod@format): the envelope byte for byte, for another implementation.
//! * [`performance`]: what each operation costs and why, and what there is to choose.
//! * [`architecture`]: for whoever changes the crate.
//! * [`why`]: the reasons, and what each of them costs.

// A page links to others by names. Here they lead to modules, and below each page, where it is read as a file, to files: of two
// definitions of one name the first counts.

/// [FORMAT]: crate::manual::format
#[doc = include_str!("architecture.md")]
pub mod architecture {}

/// [threat model]: crate::manual::threat_model
#[doc = include_str!("assurance.md")]
pub mod assurance {}

/// [FORMAT]: crate::manual::format
/// [threat model]: crate::manual::threat_model
/// [considerations]: crate::manual::considerations
/// [runbook]: crate::manual::rotation
#[doc = include_str!("compliance.md")]
pub mod compliance {}

/// [FORMAT]: crate::manual::format
/// [threat model]: crate::manual::threat_model
#[doc = include_str!("considerations.md")]
pub mod considerations {}

#[doc = include_str!("files.md")]
pub mod files {}

#[doc = include_str!("format.md")]
pub mod format {}

#[doc = include_str!("performance.md")]
pub mod performance {}

/// [FORMAT]: crate::manual::format
/// [threat model]: crate::manual::threat_model
/// [why]: crate::manual::why
#[doc = include_str!("rotation.md")]
pub mod rotation {}

/// [runbook]: crate::manual::rotation
/// [considerations]: crate::manual::considerations
#[doc = include_str!("threat_model.md")]
pub mod threat_model {}

/// [FORMAT]: crate::manual::format
#[doc = include_str!("why.md")]
pub mod why {}
