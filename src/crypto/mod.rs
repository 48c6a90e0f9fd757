//! AES-256-GCM, randomness and derivations: composed from crates, over byte slices, knowing no header.

pub(crate) mod derive;
pub(crate) mod gcm;
pub(crate) mod mac;
pub(crate) mod random;

#[cfg(test)]
mod wycheproof;

use ctutils::CtEq as _;

/// Compares in time that depends on the lengths alone.
pub(crate) fn equal(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).to_bool()
}
