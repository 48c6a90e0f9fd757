//! The commands, and how a folder shows that one is done.

use crate::cell::Seen;

/// What a command does to names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It only reads.
    Reads,
    /// It makes a file that was not there.
    Makes,
    /// It puts a file in the place of another that nobody changes meanwhile.
    Overwrites,
    /// It changes a file, by putting another in its place.
    Replaces,
    /// It changes a file where that is.
    InPlace,
    /// It changes all files of a folder where they are, and makes a file that tells of them.
    Passes,
    /// It does all of that, and changes the keyring.
    Retires,
}

impl Effect {
    /// What such a command may also end with where it is not done: files moved and not told of, or a key that was not destroyed.
    pub(crate) fn codes(self) -> &'static [i32] {
        match self {
            Self::Passes => &[5],
            Self::Retires => &[7],
            _ => &[],
        }
    }
}

/// A command.
pub(crate) struct Row {
    /// `KEYS` and `MASTER` stand for options, `OLDEST` for the old key.
    pub(crate) call: &'static str,
    pub(crate) effect: Effect,
    /// The names that it makes.
    pub(crate) makes: &'static [&'static str],
    /// The files that it changes.
    pub(crate) changes: &'static [&'static str],
    /// Whether it is done.
    pub(crate) is_done: fn(&Seen) -> bool,
}

pub(crate) const ROWS: [Row; 19] = [
    Row {
        call: "verify sealed KEYS",
        effect: Effect::Reads,
        makes: &[],
        changes: &[],
        is_done: |_| true,
    },
    Row {
        call: "inventory data --keyring k MASTER",
        effect: Effect::Reads,
        makes: &[],
        changes: &[],
        is_done: |_| true,
    },
    Row {
        call: "encrypt plain -o new KEYS",
        effect: Effect::Makes,
        makes: &["new"],
        changes: &[],
        is_done: |seen| seen.opens("new"),
    },
    Row {
        call: "encrypt plain -o new --detached newhead KEYS",
        effect: Effect::Makes,
        makes: &["new", "newhead"],
        changes: &[],
        is_done: |seen| seen.opens("new --detached newhead"),
    },
    Row {
        call: "encrypt plain -o out --overwrite KEYS",
        effect: Effect::Overwrites,
        makes: &[],
        changes: &["out"],
        is_done: |seen| seen.opens("out"),
    },
    Row {
        call: "decrypt sealed -o new KEYS",
        effect: Effect::Makes,
        makes: &["new"],
        changes: &[],
        is_done: |seen| seen.is_plain("new"),
    },
    Row {
        call: "decrypt sealed -o out --overwrite KEYS",
        effect: Effect::Overwrites,
        makes: &[],
        changes: &["out"],
        is_done: |seen| seen.is_plain("out"),
    },
    Row {
        call: "rewrap sealed KEYS",
        effect: Effect::InPlace,
        makes: &[],
        changes: &["sealed"],
        is_done: |seen| seen.is_moved("sealed") && seen.opens("sealed"),
    },
    Row {
        call: "rewrap record KEYS",
        effect: Effect::Replaces,
        makes: &[],
        changes: &["record"],
        is_done: |seen| seen.is_moved("record") && seen.record_opens(),
    },
    Row {
        call: "rewrap --detached head KEYS",
        effect: Effect::Replaces,
        makes: &[],
        changes: &["head"],
        is_done: |seen| seen.is_moved("head") && seen.opens("body --detached head"),
    },
    Row {
        call: "reencrypt sealed KEYS",
        effect: Effect::Replaces,
        makes: &[],
        changes: &["sealed"],
        is_done: |seen| seen.is_moved("sealed") && seen.opens("sealed"),
    },
    Row {
        call: "repack sealed --block-length 8192 KEYS",
        effect: Effect::Replaces,
        makes: &[],
        changes: &["sealed"],
        is_done: |seen| seen.block_length("sealed") == 8192 && seen.opens("sealed"),
    },
    Row {
        call: "keyring new n --label new MASTER",
        effect: Effect::Makes,
        makes: &["n"],
        changes: &[],
        is_done: |seen| seen.states("n", "FIRST") == ["active"],
    },
    Row {
        call: "keyring rotate k --label third MASTER",
        effect: Effect::Replaces,
        makes: &[],
        changes: &["k"],
        is_done: |seen| seen.states("k", "FIRST") == ["deactivated", "deactivated", "active"],
    },
    Row {
        call: "keyring set-state k OLDEST suspended MASTER",
        effect: Effect::Replaces,
        makes: &[],
        changes: &["k"],
        is_done: |seen| seen.states("k", "FIRST") == ["suspended", "active"],
    },
    Row {
        call: "keyring passwd k --new-master-key-file OTHER MASTER",
        effect: Effect::Replaces,
        makes: &[],
        changes: &["k"],
        is_done: |seen| {
            seen.states("k", "OTHER") == ["deactivated", "active"]
                && seen.states("k", "FIRST").is_empty()
        },
    },
    Row {
        call: "retire OLDEST data --evidence evidence --settling-time 2s --allowance 1s KEYS",
        effect: Effect::Retires,
        makes: &["evidence"],
        changes: &["k", "data/one"],
        is_done: |seen| {
            seen.states("k", "FIRST") == ["destroyed", "active"] && seen.opens("data/one")
        },
    },
    Row {
        call: "rewrap --recursive data --report report KEYS",
        effect: Effect::Passes,
        makes: &["report"],
        changes: &["data/one"],
        is_done: |seen| {
            seen.exists("report") && seen.is_moved("data/one") && seen.opens("data/one")
        },
    },
    Row {
        call: "inventory data --save snapshot --keyring k MASTER",
        effect: Effect::Makes,
        makes: &["snapshot"],
        changes: &[],
        is_done: |seen| seen.exists("snapshot"),
    },
];
