//! Mounts in a namespace of their own.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::runner;
use crate::support::phi;

/// What tells a test that it has its namespace.
const ALONE: &str = "PHI_FILE_SYSTEMS_ALONE";
/// Where a test works: every user can go there, which is not so below a private folder.
const FOLDER: &str = "/mnt";
/// The Python that has `mfusepy`, as `requirements.txt` names it.
const PYTHON: &str = "PHI_ENVELOPE_PYTHON";
const TOOLS: [&str; 5] = ["unshare", "mount", "umount", "mkfs.ext4", "timeout"];
const SERVER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../assurance/file_systems/defects.py"
);

/// Runs a test of this name in a process that has a namespace of mounts for itself. What is missing here is said, and is a failure
/// where `ASSURANCE_MUST_RUN` is set.
pub(crate) fn alone(name: &str, test: impl FnOnce(&Mounts)) {
    if std::env::var_os(ALONE).is_some() {
        test(&Mounts::new(Path::new(FOLDER)));
        return;
    }
    if let Some(missing) = what_is_missing() {
        let must = std::env::var_os("ASSURANCE_MUST_RUN").is_some_and(|must| !must.is_empty());
        assert!(!must, "{missing}, and ASSURANCE_MUST_RUN is set");
        println!("SKIPPED: {missing}");
        return;
    }
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(ALONE, "1")
        .env("TMPDIR", FOLDER)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{name}: {status}");
}

fn what_is_missing() -> Option<String> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Some("not root".to_owned());
    }
    if !Path::new(FOLDER).is_dir() {
        return Some(format!("no {FOLDER}"));
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        let mut options = fs::File::options();
        if options.read(true).write(true).open(device).is_err() {
            return Some(format!("no {device}"));
        }
    }
    for tool in TOOLS {
        let look = format!("PATH=$PATH:/sbin:/usr/sbin command -v {tool}");
        if run("sh", ["-c", &look]).is_err() {
            return Some(format!("no {tool}"));
        }
    }
    let script = "import os; os.environ['FUSE_LIBRARY_NAME'] = 'fuse3'; import mfusepy";
    if run(&python(), ["-c", script]).is_err() {
        return Some(format!(
            "{PYTHON} names no Python with mfusepy and libfuse 3"
        ));
    }
    None
}

fn python() -> String {
    std::env::var(PYTHON).unwrap_or_else(|_| "python3".to_owned())
}

/// The file systems of a test.
pub(crate) struct Mounts {
    folder: PathBuf,
    /// A copy of the program, which every user may run.
    pub(crate) phi: PathBuf,
    server: Option<Child>,
    cells: Cell<usize>,
}

impl Mounts {
    fn new(folder: &Path) -> Self {
        let at = |name: &str| folder.join(name);
        mount(["-t", "tmpfs", "-o", "mode=755"], "tmpfs", folder);
        for name in ["ext4", "tmpfs", "behind", "fuse", "read-only"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::copy(phi(), at("phi")).unwrap();

        fs::File::create(at("image"))
            .unwrap()
            .set_len(64 << 20)
            .unwrap();
        let image = at("image");
        run("mkfs.ext4", [OsStr::new("-q"), image.as_ref()]).unwrap();
        mount(["-o", "loop"], &image, &at("ext4"));
        mount(["-t", "tmpfs"], "tmpfs", &at("tmpfs"));
        mount(["-t", "tmpfs"], "tmpfs", &at("behind"));
        mount(["--bind", "-v"], at("tmpfs"), &at("read-only"));
        mount(["-o", "remount,bind,ro"], "none", &at("read-only"));

        let server = Command::new(python())
            .args([SERVER.as_ref(), at("behind").as_os_str()])
            .args([at("fuse"), at("log")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut mounts = Self {
            folder: folder.to_owned(),
            phi: at("phi"),
            server: Some(server),
            cells: Cell::new(0),
        };
        let device = |name: &str| fs::metadata(at(name)).unwrap().dev();
        let without = fs::metadata(folder).unwrap().dev();
        while device("fuse") == without {
            let ended = mounts.server.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the FUSE server ended");
            sleep(Duration::from_millis(10));
        }
        mounts
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A number that no cell has had.
    pub(crate) fn number(&self) -> usize {
        self.cells.set(self.cells.get() + 1);
        self.cells.get()
    }

    /// What the FUSE server wrote down of a cell.
    pub(crate) fn log(&self, number: usize) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap();
        let begin = format!("{number} ");
        let lines = log.lines().filter_map(|line| line.strip_prefix(&begin));
        lines.map(str::to_owned).collect()
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for name in ["read-only", "fuse", "ext4", "tmpfs", "behind"] {
            let _ = run("umount", [self.path(name)]);
        }
        // Without its mount, the server ends.
        if let Some(mut server) = self.server.take() {
            let _ = server.wait();
        }
    }
}

fn mount<const N: usize>(options: [&str; N], what: impl AsRef<OsStr>, there: &Path) {
    let words = options.map(OsStr::new);
    let words = words.into_iter().chain([what.as_ref(), there.as_ref()]);
    run("mount", words).unwrap();
}

fn run<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> Result<(), String> {
    let output = runner::found(program).args(args).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{program}: {text}"))
    }
}
