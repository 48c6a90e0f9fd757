//! The bytes of an envelope: limits, header, labels, blocks, text form. Knows no key and calls no cipher.

pub(crate) mod blocks;
mod codec;
pub(crate) mod context_encoding;
pub(crate) mod header;
#[allow(dead_code)] // until keyrings and evidence are read with it
pub(crate) mod json;
#[cfg(test)]
mod json_tests;
pub(crate) mod limits;
#[allow(dead_code)] // until detached streams are written with it
pub(crate) mod payload_head;
pub(crate) mod slot;
pub(crate) mod text;

#[cfg(test)]
mod tests;
