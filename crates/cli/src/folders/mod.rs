//! Whole folders: sealed, opened, verified and given other recipients, each file by itself, on all cores and with one opening of the keys.

pub(crate) mod args;
mod contexts;
mod files;
mod paths;
mod pool;
mod recipients;
mod run;
mod same;
mod share;
mod walk;

pub(crate) use files::{decrypt, encrypt, verify};
pub(crate) use recipients::recipients;
