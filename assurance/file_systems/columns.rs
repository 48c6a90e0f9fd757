//! The file systems, and what is right on each.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::rows::{Effect, Row};
use crate::runner::User;

/// What a command must end with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Right {
    /// It is done.
    Done,
    /// It is not, or that it is durable cannot be said.
    Fails,
    /// The file system may refuse what it needs; what it says is true.
    Either,
}

use Effect::{InPlace, Makes, Overwrites, Passes, Reads, Replaces, Retires};
use Right::{Done, Either, Fails};

/// What shows the folder to the program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Ext4,
    Tmpfs,
    /// A mount that nothing can be written on, of a folder that elsewhere can be written.
    ReadOnly,
    /// A file system with the defect of the column's name.
    Fuse,
}

/// A file system.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) on: On,
    pub(crate) right: fn(&Row, User) -> Right,
    /// The exit codes of a failure.
    pub(crate) codes: &'static [i32],
    /// A word that a failure's message has.
    pub(crate) word: &'static str,
}

const fn column(name: &'static str, on: On, right: fn(&Row, User) -> Right) -> Column {
    Column {
        name,
        on,
        right,
        codes: &[1],
        word: "",
    }
}

/// A file system with a defect.
const fn defect(name: &'static str, right: fn(&Row, User) -> Right) -> Column {
    column(name, On::Fuse, right)
}

/// A file system of which part of a keyring may be seen.
const fn sizes(name: &'static str, right: fn(&Row, User) -> Right) -> Column {
    let mut column = defect(name, right);
    column.codes = &[1, 3, 4];
    column
}

/// A file system of which a keyring does not believe that it is the store.
const fn no_store(name: &'static str) -> Column {
    let mut column = defect(name, |row, _| match row.effect {
        Reads => Done,
        _ => Either,
    });
    column.codes = &[1, 4];
    column
}

const fn with_word(mut column: Column, word: &'static str) -> Column {
    column.word = word;
    column
}

pub(crate) const COLUMNS: [Column; 34] = [
    column("ext4", On::Ext4, done),
    column("tmpfs", On::Tmpfs, done),
    column("folder-0333", On::Tmpfs, done),
    column("folder-0333-ext4", On::Ext4, done),
    column("folder-0555", On::Tmpfs, |row, user| match row.effect {
        Reads | InPlace => Done,
        _ if user.0 == 0 => Done,
        _ => Fails,
    }),
    column("files-0444", On::Ext4, done),
    column("read-only", On::ReadOnly, only_reads),
    defect("fine", done),
    defect("fsyncdir-einval", done),
    defect("fsyncdir-enotsup", done),
    defect("fsyncdir-eio", |row, _| match row.effect {
        Reads | InPlace => Done,
        _ => Fails,
    }),
    defect("fsync-eio", only_reads),
    with_word(defect("flock-enosys", without_locks), "lock"),
    with_word(defect("flock-enolck", without_locks), "lock"),
    defect("chmod-eperm", done),
    defect("modes-fixed", |_, _| Either),
    defect("chown-eperm", done),
    defect("xattr-enotsup", done),
    defect("flush-eio", done),
    no_store("links-zero"),
    defect("link-eperm", done),
    defect("exchange-einval", done),
    defect("rename-eio", |row, _| match row.effect {
        Reads | InPlace | Passes => Done,
        Makes => Either,
        _ => Fails,
    }),
    defect("unlink-eperm", |_, _| Either),
    sizes("size-zero", |row, _| match row.effect {
        Makes if row.call.starts_with("encrypt") => Done,
        _ => Either,
    }),
    sizes("size-half", |_, _| Either),
    sizes("size-more", |_, _| Either),
    defect("reads-short", done),
    defect("inodes-change", |_, _| Either),
    defect("grows", |_, _| Fails),
    defect("torn", |_, _| Fails),
    defect("enospc-1", |row, _| match row.effect {
        Reads => Done,
        _ => Fails,
    }),
    defect("enospc-2", full_later),
    defect("enospc-3", full_later),
];

fn done(_: &Row, _: User) -> Right {
    Done
}

fn only_reads(row: &Row, _: User) -> Right {
    match row.effect {
        Reads => Done,
        _ => Fails,
    }
}

fn full_later(row: &Row, _: User) -> Right {
    match row.effect {
        Reads => Done,
        _ => Either,
    }
}

/// No lock where none is needed; what is there is not changed without one.
fn without_locks(row: &Row, _: User) -> Right {
    match row.effect {
        Reads | Makes | Overwrites => Done,
        Replaces | InPlace | Passes | Retires => Fails,
    }
}

impl Column {
    /// Whether the command meets what is odd about it.
    pub(crate) fn has(&self, row: &Row) -> bool {
        !self.is_of_sources() || row.call.starts_with("encrypt")
    }

    /// Whether what is read changes meanwhile.
    pub(crate) fn is_of_sources(&self) -> bool {
        ["grows", "torn"].contains(&self.name)
    }

    /// Whether a file on its way to its name may stay there: where no file can be removed, or none be told from another.
    pub(crate) fn may_leave_files(&self) -> bool {
        ["unlink-eperm", "inodes-change"].contains(&self.name)
    }

    /// Gives the folder its mode.
    pub(crate) fn finish(&self, folder: &Path) {
        let mode = match self.name {
            "folder-0333" | "folder-0333-ext4" => 0o333,
            "folder-0555" => 0o555,
            _ => 0o755,
        };
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// The mode of a file in a column.
pub(crate) fn mode(column: &str, name: &str, mode: u32) -> u32 {
    match column {
        "files-0444" if name == "k" => 0o400,
        "files-0444" if name != "data" => 0o444,
        _ => mode,
    }
}
