//! Every command of `phi` that reads or writes, on file systems that lack something: its exit code and what is there agree.
//!
//! A cell of the matrix is a command on a file system, as root or as another user. Exit code 0 means that it is done and durable: a
//! fresh process finds it done, and every write and every name has reached the disk. Any other code means that every byte, name, mode and
//! owner is what it was, or the message says what took effect. `rows.rs` has the commands, `columns.rs` the file systems and what is
//! right there, and `defects.py` shows a folder as a file system with one defect.
//!
//! Mounts are in a namespace of their own, which ends with the test, however it ends.
#![cfg(target_os = "linux")]
// A test stops where something is not as it says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod cell;
mod columns;
mod files;
mod mounts;
mod rows;
mod runner;
mod siblings;
#[allow(dead_code)] // a part of it serves here
#[path = "../../crates/cli/tests/phi/support.rs"]
mod support;
mod teeth;

use std::time::Instant;

use cell::Cell;
use columns::{COLUMNS, Column};
use files::Fixture;
use mounts::Mounts;
use rows::ROWS;
use runner::User;

#[test]
#[ignore = "needs fuse"]
fn an_exit_code_says_what_is_there_as_root() {
    mounts::alone("an_exit_code_says_what_is_there_as_root", |mounts| {
        matrix(mounts, User::ROOT);
    });
}

#[test]
#[ignore = "needs fuse"]
fn an_exit_code_says_what_is_there_as_another_user() {
    mounts::alone(
        "an_exit_code_says_what_is_there_as_another_user",
        |mounts| {
            matrix(mounts, User::OTHER);
        },
    );
}

/// The variable that names the one file system to look at.
const COLUMN: &str = "FILE_SYSTEM";

fn matrix(mounts: &Mounts, user: User) {
    let began = Instant::now();
    let fixture = Fixture::new(mounts, user);
    let (mut cells, mut done) = (0, 0);
    let mut wrong = Vec::new();
    let only = std::env::var(COLUMN).ok();
    let is_wanted = |column: &&Column| only.as_deref().is_none_or(|name| name == column.name);
    for column in COLUMNS.iter().filter(is_wanted) {
        for row in ROWS.iter().filter(|row| column.has(row)) {
            cells += 1;
            let cell = Cell::new(mounts, &fixture, column, row, user);
            match cell.run() {
                Ok(code) => done += usize::from(code == 0),
                Err(what) => wrong.push(format!("{} × {}: {what}", column.name, row.call)),
            }
        }
    }
    println!(
        "{cells} cells, {done} done, {} wrong, {:?}",
        wrong.len(),
        began.elapsed()
    );
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
