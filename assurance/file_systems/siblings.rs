//! What is like a cell of the matrix and in none of its columns.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::files::{Fixture, files};
use crate::mounts::{Mounts, alone};
use crate::runner::{Ran, User, run};

const KEYS: &str = "--keyring k --master-key-file FIRST";

/// A folder on a file system with all that commands find.
struct Place<'a> {
    mounts: &'a Mounts,
    user: User,
    folder: PathBuf,
    old_key: String,
}

impl<'a> Place<'a> {
    fn new(mounts: &'a Mounts, user: User, folder: PathBuf) -> Self {
        let fixture = Fixture::new(mounts, user);
        fixture.put(&folder, user, "");
        Self {
            mounts,
            user,
            folder,
            old_key: fixture.old_key,
        }
    }

    fn run(&self, call: &str) -> Ran {
        let call = call.replace("KEYS", KEYS).replace("OLDEST", &self.old_key);
        run(self.mounts, self.user, &self.folder, &call)
    }

    fn done(&self, call: &str) -> Vec<u8> {
        let ran = self.run(call);
        assert_eq!(ran.code, 0, "{call}: {}", ran.stderr);
        ran.stdout
    }
}

#[test]
#[ignore = "needs fuse"]
fn a_file_that_states_a_wrong_size_is_sealed_as_it_reads() {
    alone(
        "siblings::a_file_that_states_a_wrong_size_is_sealed_as_it_reads",
        |mounts| {
            let place = Place::new(mounts, User::ROOT, mounts.path("tmpfs").join("sizes"));
            // The first states no bytes, the second a page.
            for source in [
                "/proc/version",
                "/sys/kernel/mm/transparent_hugepage/enabled",
            ] {
                let Ok(content) = fs::read(source) else {
                    continue;
                };
                let sealed = "out --overwrite";
                place.done(&format!("encrypt {source} -o {sealed} KEYS"));
                assert_eq!(place.done("cat out KEYS"), content, "{source}");
                place.done("reencrypt out KEYS");
                assert_eq!(place.done("cat out KEYS"), content, "{source}");
            }
        },
    );
}

#[test]
#[ignore = "needs fuse"]
fn a_folder_that_only_root_reads_is_looked_at_or_excluded_by_name() {
    alone(
        "siblings::a_folder_that_only_root_reads_is_looked_at_or_excluded_by_name",
        |mounts| {
            let user = User::OTHER;
            let place = Place::new(mounts, user, mounts.path("tmpfs").join("keys"));
            // The root of a file system, with its lost+found.
            let volume = mounts.path("ext4");
            user.own(&volume);
            fs::copy(place.folder.join("data/one"), volume.join("one")).unwrap();
            user.own(&volume.join("one"));
            let retire = format!(
                "retire OLDEST {} --evidence first --settling-time 2s --allowance 1s KEYS",
                volume.display()
            );
            let states = || {
                let list = place
                    .run("keyring list k --json --master-key-file FIRST")
                    .json();
                list["keys"][0]["state"].as_str().unwrap().to_owned()
            };
            let refused = place.run(&retire);
            assert!([1, 7].contains(&refused.code), "{}", refused.stderr);
            assert!(refused.told("lost+found"), "{}", refused.stderr);
            assert_eq!(states(), "deactivated");

            let call = retire.replace("first", "second") + " --exclude lost+found";
            let excluded = place.run(&call);
            assert_eq!(excluded.code, 7, "{}", excluded.stderr);
            assert_eq!(states(), "deactivated");
            // What was not looked at is accepted by a person, by its class and count.
            let call = call.replace("second", "third") + " --accept excluded=1";
            place.done(&call);
            assert_eq!(states(), "destroyed");
            let moved = format!("verify {} KEYS", volume.join("one").display());
            place.done(&moved);
        },
    );
}

#[test]
#[ignore = "needs fuse"]
fn a_keyring_lives_in_a_folder_that_only_takes_files() {
    alone(
        "siblings::a_keyring_lives_in_a_folder_that_only_takes_files",
        |mounts| {
            for (file_system, user) in [
                ("ext4", User::OTHER),
                ("tmpfs", User::OTHER),
                ("ext4", User::ROOT),
            ] {
                let folder = mounts.path(file_system).join(format!("drop-{}", user.0));
                let place = Place::new(mounts, user, folder.clone());
                set_mode(&folder, 0o333);
                let before = files(&folder).len();
                place.done("keyring new n --label first --master-key-file FIRST");
                place.done("keyring rotate n --label second --master-key-file FIRST");
                place.done("keyring passwd n --new-master-key-file OTHER --master-key-file FIRST");
                let list = "keyring list n --json --master-key-file OTHER";
                let keys = place.run(list).json()["keys"].as_array().unwrap().len();
                assert_eq!(keys, 2);
                // Nothing else was left.
                assert_eq!(files(&folder).len(), before + 1);
            }
        },
    );
}

#[test]
#[ignore = "needs fuse"]
fn what_may_be_changed_without_a_lock_is_changed() {
    alone(
        "siblings::what_may_be_changed_without_a_lock_is_changed",
        |mounts| {
            for defect in ["flock-enosys", "flock-enolck"] {
                let (behind, seen) = ["behind", "fuse"]
                    .map(|at| mounts.path(at).join(defect).join("0"))
                    .into();
                let mut place = Place::new(mounts, User::OTHER, behind);
                place.folder = seen;
                for call in [
                    "rewrap sealed record",
                    "rewrap --detached head",
                    "repack sealed --block-length 8192",
                    "reencrypt sealed",
                ] {
                    let refused = place.run(&format!("{call} KEYS"));
                    assert_eq!(refused.code, 1, "{call}: {}", refused.stderr);
                    assert!(
                        refused.told("--allow-without-lock"),
                        "{call}: {}",
                        refused.stderr
                    );
                    place.done(&format!("{call} --allow-without-lock KEYS"));
                }
                place.done("verify sealed KEYS");
            }
        },
    );
}

fn set_mode(folder: &Path, mode: u32) {
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
}
