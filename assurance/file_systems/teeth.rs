//! The defects are there: a matrix on file systems without them would pass as well.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, XattrFlags, openat, renameat_with, setxattr};

use crate::mounts::{Mounts, alone};

type Call = fn(&Path) -> io::Result<()>;
type Look = fn(&Path) -> bool;

/// Calls that fail on a file system, and with what.
const FAILS: [(&str, Call, i32); 18] = [
    ("fine", nameless, 95),
    ("fsyncdir-einval", sync_folder, 22),
    ("fsyncdir-enotsup", sync_folder, 95),
    (
        "fsyncdir-eio",
        |at| name(at).and_then(|()| sync_folder(at)),
        5,
    ),
    (
        "fsync-eio",
        |at| File::create(at.join("new"))?.sync_all(),
        5,
    ),
    (
        "flock-enosys",
        |at| File::open(at.join("plain"))?.lock(),
        38,
    ),
    (
        "flock-enolck",
        |at| File::open(at.join("plain"))?.lock(),
        37,
    ),
    ("chmod-eperm", |at| set_mode(at, 0o600), 1),
    ("modes-fixed", |at| set_mode(at, 0o600), 1),
    (
        "chown-eperm",
        |at| chown(at.join("plain"), Some(1), None),
        1,
    ),
    (
        "xattr-enotsup",
        |at| {
            Ok(setxattr(
                at.join("plain"),
                "user.a",
                b"b",
                XattrFlags::empty(),
            )?)
        },
        95,
    ),
    (
        "link-eperm",
        |at| fs::hard_link(at.join("plain"), at.join("new")),
        1,
    ),
    ("exchange-einval", exchange, 22),
    (
        "rename-eio",
        |at| fs::rename(at.join("plain"), at.join("new")),
        5,
    ),
    ("unlink-eperm", |at| fs::remove_file(at.join("plain")), 1),
    ("enospc-1", |at| write(at, 1), 28),
    ("enospc-2", |at| write(at, 2), 28),
    ("enospc-3", |at| write(at, 3), 28),
];

/// What a file system shows that is not so.
const SHOWS: [(&str, Look); 9] = [
    ("size-zero", |at| len(at) == 0 && read(at) == CONTENT.len()),
    ("size-half", |at| {
        len(at) == CONTENT.len() / 2 && read(at) == CONTENT.len()
    }),
    ("size-more", |at| {
        len(at) > CONTENT.len() && read(at) == CONTENT.len()
    }),
    ("reads-short", |at| {
        let mut buffer = [0; 2000];
        File::open(at.join("plain"))
            .unwrap()
            .read(&mut buffer)
            .unwrap()
            == 1000
    }),
    ("inodes-change", |at| {
        metadata(at).ino() != metadata(at).ino()
    }),
    ("links-zero", |at| metadata(at).nlink() == 0),
    ("modes-fixed", |at| metadata(at).mode() & 0o777 == 0o755),
    ("grows", |at| read(at) > CONTENT.len()),
    ("torn", |at| {
        read(at);
        fs::read(at.join("plain")).unwrap() != CONTENT
    }),
];

const CONTENT: [u8; 3000] = [7; 3000];

#[test]
#[ignore = "needs fuse"]
fn every_defect_is_there() {
    alone("teeth::every_defect_is_there", |mounts| {
        for (defect, call, wanted) in FAILS {
            let at = folder(mounts, defect);
            let error = call(&at).expect_err(defect);
            assert_eq!(error.raw_os_error(), Some(wanted), "{defect}: {error}");
            if defect != "fine" {
                // It is not the file system that the mount stands on.
                assert!(call(&folder(mounts, "fine")).is_ok(), "{defect}");
            }
        }
        for (defect, shows) in SHOWS {
            assert!(shows(&folder(mounts, defect)), "{defect}");
            assert!(!shows(&folder(mounts, "fine")), "{defect}");
        }
        let read_only = fs::write(mounts.path("read-only").join("new"), "");
        assert_eq!(read_only.unwrap_err().raw_os_error(), Some(30));
    });
}

/// A folder with a file, as FUSE shows it.
fn folder(mounts: &Mounts, defect: &str) -> std::path::PathBuf {
    let number = mounts.number().to_string();
    let [behind, seen] = ["behind", "fuse"].map(|at| mounts.path(at).join(defect).join(&number));
    fs::create_dir_all(&behind).unwrap();
    fs::write(behind.join("plain"), CONTENT).unwrap();
    seen
}

fn nameless(at: &Path) -> io::Result<()> {
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    Ok(openat(CWD, at, flags, Mode::RUSR).map(drop)?)
}

fn sync_folder(at: &Path) -> io::Result<()> {
    File::open(at)?.sync_all()
}

fn name(at: &Path) -> io::Result<()> {
    File::create(at.join("new")).map(drop)
}

fn set_mode(at: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(at.join("plain"), Permissions::from_mode(mode))
}

fn exchange(at: &Path) -> io::Result<()> {
    name(at)?;
    let (one, other) = (at.join("plain"), at.join("new"));
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

fn write(at: &Path, times: usize) -> io::Result<()> {
    let mut file = File::create(at.join("new"))?;
    (0..times).try_for_each(|_| file.write_all(b"a"))
}

fn metadata(at: &Path) -> fs::Metadata {
    fs::metadata(at.join("plain")).unwrap()
}

fn len(at: &Path) -> usize {
    usize::try_from(metadata(at).len()).unwrap()
}

fn read(at: &Path) -> usize {
    fs::read(at.join("plain")).unwrap().len()
}
