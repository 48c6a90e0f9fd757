//! A command on a file system: what it says, and what is there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use crate::columns::{Column, On, Right};
use crate::files::{CANARY, Content, Files, Fixture, files, plain, record_opens};
use crate::mounts::Mounts;
use crate::rows::{Effect, Row};
use crate::runner::{Ran, User, run};

/// What says that a failure has changed something.
const TOOK_EFFECT: &str = "took effect";
/// What says that one of two header blocks is torn, which changes nothing for whoever opens the file.
const TORN: &str = "the old header holds";
/// What says that some files of many are done.
const MOVED: &str = "rewrapped";
/// What the names of files on their way begin with.
const MEANWHILE: &str = ".phi-tmp-";

pub(crate) struct Cell<'a> {
    mounts: &'a Mounts,
    fixture: &'a Fixture,
    column: &'a Column,
    row: &'a Row,
    user: User,
    number: usize,
    /// The folder as the program sees it, and as it is.
    folder: PathBuf,
    behind: PathBuf,
}

impl<'a> Cell<'a> {
    pub(crate) fn new(
        mounts: &'a Mounts,
        fixture: &'a Fixture,
        column: &'a Column,
        row: &'a Row,
        user: User,
    ) -> Self {
        let number = mounts.number();
        let (seen, is) = match column.on {
            On::Ext4 => ("ext4", "ext4"),
            On::Tmpfs => ("tmpfs", "tmpfs"),
            On::ReadOnly => ("read-only", "tmpfs"),
            On::Fuse => ("fuse", "behind"),
        };
        let place = |name: &str| mounts.path(name).join(column.name).join(number.to_string());
        Self {
            mounts,
            fixture,
            column,
            row,
            user,
            number,
            folder: place(seen),
            behind: place(is),
        }
    }

    /// Runs the command and returns its exit code, or what is wrong with it.
    pub(crate) fn run(&self) -> Result<i32, String> {
        self.fixture.put(&self.behind, self.user, self.column.name);
        self.column.finish(&self.behind);
        let mut before = files(&self.behind);
        let call = words(self.row.call, &self.fixture.old_key);
        let ran = run(self.mounts, self.user, &self.folder, &call);
        let after = files(&self.behind);
        // To look at it, its user needs no way round.
        fs::set_permissions(&self.behind, fs::Permissions::from_mode(0o755)).unwrap();
        if self.column.is_of_sources() {
            // Not by the program.
            before.insert("plain".to_owned(), after["plain"].clone());
        }
        let checked = self.check(&before, &after, &ran);
        fs::remove_dir_all(&self.behind).unwrap();
        checked.map_err(|what| format!("{what}; {}: {}", ran.code, ran.stderr.trim()))?;
        Ok(ran.code)
    }

    fn check(&self, before: &Files, after: &Files, ran: &Ran) -> Result<(), String> {
        let seen = Seen {
            mounts: self.mounts,
            fixture: self.fixture,
            user: self.user,
            folder: &self.behind,
        };
        let right = (self.column.right)(self.row, self.user);
        let wanted = match right {
            Right::Done => ran.code == 0,
            Right::Fails => ran.code != 0,
            Right::Either => true,
        };
        said(wanted, || format!("{right:?} would be right"))?;
        said(!ran.stderr.contains("panicked"), || "a panic".to_owned())?;
        self.no_plaintext(after, ran)?;
        if ran.code == 0 {
            said((self.row.is_done)(&seen), || "not done".to_owned())?;
            self.nothing_else(before, after)?;
            self.access_is_kept(before, after, ran)?;
            return self.durable(before, after);
        }
        let codes = self.column.codes.iter().chain(self.row.effect.codes());
        said(codes.into_iter().any(|code| *code == ran.code), || {
            "another code".to_owned()
        })?;
        said(ran.stderr.contains(self.column.word), || {
            format!("no word of {}", self.column.word)
        })?;
        let names = after.keys().chain(before.keys());
        let mut changed = names.filter(|name| before.get(*name) != after.get(*name));
        let Some(name) = changed.next() else {
            return said(!ran.stderr.contains(TOOK_EFFECT), || {
                "nothing took effect".to_owned()
            });
        };
        if [Effect::Passes, Effect::Retires].contains(&self.row.effect) {
            return self.some_is_done(&seen, before, after, ran);
        }
        let is_left = self.column.may_leave_files() && name.contains(MEANWHILE);
        let is_told = [TOOK_EFFECT, TORN].map(|words| ran.stderr.contains(words));
        said(
            is_told.contains(&true) || is_left && ran.stderr.contains(name),
            || format!("{name} was changed, which is not said"),
        )?;
        self.nothing_else(before, after)?;
        said(seen.is_whole(self.row.changes), || {
            format!("{:?} do not open", self.row.changes)
        })
    }

    /// A pass that fails at one file goes on with others, and says how many it moved; the keyring is what it was.
    fn some_is_done(
        &self,
        seen: &Seen,
        before: &Files,
        after: &Files,
        ran: &Ran,
    ) -> Result<(), String> {
        let is_told = ran.told(MOVED) || ran.told(TOOK_EFFECT);
        let is_moved = before["data/one"] != after["data/one"];
        said(is_told || !is_moved, || {
            "files were moved, which is not said".to_owned()
        })?;
        let evidence = after.contains_key("evidence");
        said(!evidence || ran.told("evidence"), || {
            "evidence is there, which is not said".to_owned()
        })?;
        // A report tells of each file, also of those that failed.
        let report = after.get("report").and_then(|file| file.bytes.as_ref());
        let lines = report.map_or(2, |bytes| {
            bytes.iter().filter(|byte| **byte == b'\n').count()
        });
        said(lines == 2, || format!("a report of {lines} lines"))?;
        // All is done but the report.
        let is_done = ran.code != 5 || report.is_none() && seen.is_moved("data/one");
        said(is_done, || "not done".to_owned())?;
        let is_same = before["k"] == after["k"] || ran.stderr.contains(TOOK_EFFECT);
        said(is_same, || {
            "the keyring was changed, which is not said".to_owned()
        })?;
        self.nothing_else(before, after)?;
        said(seen.is_whole(self.row.changes), || {
            format!("{:?} do not open", self.row.changes)
        })
    }

    /// Only what the command makes or changes is new or other, but for a file that cannot be removed or told from another.
    fn nothing_else(&self, before: &Files, after: &Files) -> Result<(), String> {
        let expected =
            |name: &str| self.row.makes.contains(&name) || self.row.changes.contains(&name);
        let names = after.keys().chain(before.keys());
        let mut others = names.filter(|name| before.get(*name) != after.get(*name));
        let other = others.find(|name| {
            let left = self.column.may_leave_files() && name.contains(MEANWHILE);
            !expected(name) && !left
        });
        match other {
            Some(name) => Err(format!("{name} was changed or made")),
            None => Ok(()),
        }
    }

    fn no_plaintext(&self, after: &Files, ran: &Ran) -> Result<(), String> {
        let is_there = ran.code == 0 || ran.stderr.contains(TOOK_EFFECT);
        let opens = self.row.call.starts_with("decrypt") && is_there;
        let mut others = after.iter().filter(|(name, _)| {
            let is_output = ["new", "out"].contains(&name.as_str());
            *name != "plain" && !(opens && is_output)
        });
        let has = |content: &Content| {
            let bytes = content.bytes.as_deref().unwrap_or_default();
            bytes.windows(CANARY.len()).any(|window| window == CANARY)
        };
        match others.find(|(_, content)| has(content)) {
            Some((name, _)) => Err(format!("{name} has plaintext")),
            None => Ok(()),
        }
    }

    /// What is there anew is nobody else's, and what was replaced is as open to others as it was, or it is said.
    fn access_is_kept(&self, before: &Files, after: &Files, ran: &Ran) -> Result<(), String> {
        for name in self.row.makes {
            let is_own = after[*name].owner == (self.user.0, self.user.0);
            said(is_own, || format!("{name} is another's"))?;
        }
        for name in self.row.changes.iter().filter(|name| **name != "out") {
            let (old, new) = (&before[*name], &after[*name]);
            let same =
                (old.mode, old.owner, &old.attribute) == (new.mode, new.owner, &new.attribute);
            let is_told = ran.stderr.contains("warning") && new.mode & !old.mode == 0;
            said(same || is_told, || {
                format!(
                    "{name} has mode {:o} in place of {:o}, or lost more",
                    new.mode, old.mode
                )
            })?;
        }
        Ok(())
    }

    /// Whether a file system that writes down what reaches the disk has all of it there.
    fn durable(&self, before: &Files, after: &Files) -> Result<(), String> {
        if self.column.on != On::Fuse {
            return Ok(());
        }
        let log = self.mounts.log(self.number);
        // When each step was met last.
        let last: BTreeMap<_, _> = log
            .iter()
            .enumerate()
            .map(|(at, step)| (step.as_str(), at))
            .collect();
        let synced_names = last.get("names-synced");
        let can_sync_names = !self.column.name.starts_with("fsyncdir");
        for (name, content) in after.iter().filter(|(_, content)| content.bytes.is_some()) {
            if before.get(name) == Some(content) || name.contains(MEANWHILE) {
                continue;
            }
            let inode = fs::metadata(self.behind.join(name)).unwrap().ino();
            let at = |step: &str| last.get(format!("{step} {inode}").as_str());
            said(at("write") < at("sync"), || {
                format!("{name} is not durable")
            })?;
            let base = name.rsplit('/').next().unwrap_or_default();
            let named = last.get(format!("name {base}").as_str());
            said(
                named.is_none() || !can_sync_names || named < synced_names,
                || format!("the name {name} is not durable"),
            )?;
        }
        Ok(())
    }
}

fn said(is_right: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if is_right { Ok(()) } else { Err(what()) }
}

/// A call with its options.
fn words(call: &str, old_key: &str) -> String {
    call.replace("KEYS", "--keyring k MASTER")
        .replace("MASTER", "--master-key-file FIRST")
        .replace("OLDEST", old_key)
}

/// A folder as a fresh process of the same user sees it, on a file system without defects.
pub(crate) struct Seen<'a> {
    mounts: &'a Mounts,
    fixture: &'a Fixture,
    user: User,
    folder: &'a PathBuf,
}

impl Seen<'_> {
    fn run(&self, call: &str) -> Ran {
        run(self.mounts, self.user, self.folder, &words(call, ""))
    }

    /// Whether an envelope holds what all of them were made of.
    pub(crate) fn opens(&self, file: &str) -> bool {
        let mut ran = self.run(&format!("cat {file} KEYS"));
        // A keyring that has its new secret opens with that.
        if ran.code != 0 {
            ran = self.run(&format!("cat {file} --keyring k --master-key-file OTHER"));
        }
        ran.code == 0 && ran.stdout == plain()
    }

    pub(crate) fn record_opens(&self) -> bool {
        record_opens(self.folder)
    }

    pub(crate) fn is_plain(&self, file: &str) -> bool {
        fs::read(self.folder.join(file)).is_ok_and(|bytes| bytes == plain())
    }

    pub(crate) fn exists(&self, file: &str) -> bool {
        fs::metadata(self.folder.join(file)).is_ok_and(|file| file.len() > 0)
    }

    /// Whether every slot in the file is of the new key.
    pub(crate) fn is_moved(&self, file: &str) -> bool {
        let found = &self.run(&format!("inspect {file} --json")).json()["files"][0];
        let slots = found["slots"].as_array().unwrap();
        found["blocks_alike"] == true
            && slots
                .iter()
                .all(|slot| slot["key_id"] == self.fixture.new_key)
    }

    pub(crate) fn block_length(&self, file: &str) -> u64 {
        let found = self.run(&format!("inspect {file} --json")).json();
        found["files"][0]["block_length"].as_u64().unwrap()
    }

    /// The states of a keyring's keys, where this secret opens it.
    pub(crate) fn states(&self, keyring: &str, secret: &str) -> Vec<String> {
        let ran = self.run(&format!(
            "keyring list {keyring} --json --master-key-file {secret}"
        ));
        if ran.code != 0 {
            return Vec::new();
        }
        let json = ran.json();
        let keys = json["keys"].as_array().unwrap().iter();
        keys.map(|key| key["state"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Whether these files open, be they old or new.
    fn is_whole(&self, names: &[&str]) -> bool {
        names.iter().all(|name| match *name {
            "k" => ["FIRST", "OTHER"]
                .iter()
                .any(|secret| !self.states("k", secret).is_empty()),
            "head" => self.opens("body --detached head"),
            "record" => self.record_opens(),
            "out" => true,
            name => self.opens(name),
        })
    }
}
