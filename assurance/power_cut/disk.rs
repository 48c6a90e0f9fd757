//! Disks: one whose every write is recorded, and those that a power cut left.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Bytes of a disk: little, so that thousands of states are looked at, and the journal comes round.
const SIZE: u64 = 16 << 20;
const TOOLS: [&str; 6] = [
    "qemu-storage-daemon",
    "losetup",
    "mkfs.ext4",
    "e2fsck",
    "mount",
    "umount",
];

/// Why no disk can be recorded here.
pub(crate) fn what_is_missing() -> Option<String> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Some("not root".to_owned());
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        if fs::File::options()
            .read(true)
            .write(true)
            .open(device)
            .is_err()
        {
            return Some(format!("no {device}"));
        }
    }
    for tool in TOOLS {
        let there = Command::new("sh")
            .args([
                "-c",
                &format!("PATH=$PATH:/sbin:/usr/sbin command -v {tool}"),
            ])
            .stdout(Stdio::null())
            .status();
        if !there.is_ok_and(|status| status.success()) {
            return Some(format!("no {tool}"));
        }
    }
    let help = run("qemu-storage-daemon", &["--help"]).unwrap_or_default();
    if !help.contains("type=]fuse") {
        return Some("a qemu-storage-daemon without FUSE".to_owned());
    }
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !filesystems.contains("\text4\n") {
        return Some("no ext4 in the kernel".to_owned());
    }
    None
}

/// An ext4 file system on a disk whose writes and flushes are written down.
pub(crate) struct Recorded {
    pub(crate) log: PathBuf,
    /// The disk before all of them.
    pub(crate) blank: Vec<u8>,
    mounted: Option<Mounted>,
    daemon: Child,
}

impl Recorded {
    /// In a folder of its own, with blocks of so many bytes.
    pub(crate) fn start(folder: &Path, block: usize) -> Self {
        let [image, log, face, there] =
            ["image", "log", "face", "there"].map(|name| folder.join(name));
        fs::File::create(&image).unwrap().set_len(SIZE).unwrap();
        fs::write(&log, []).unwrap();
        fs::write(&face, []).unwrap();
        let now = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
        let block = block.to_string();
        let image_name = image.to_str().unwrap();
        run("mkfs.ext4", &["-q", "-b", &block, "-E", now, image_name]).unwrap();
        let blank = fs::read(&image).unwrap();
        let (image, log_name) = (image.display(), log.display());
        let daemon = Command::new("qemu-storage-daemon")
            .args([
                "--blockdev",
                &format!("driver=file,node-name=image,filename={image},cache.no-flush=on"),
                "--blockdev",
                &format!("driver=file,node-name=log,filename={log_name},cache.no-flush=on"),
                "--blockdev",
                "driver=blklogwrites,node-name=recorded,file=image,log=log,log-sector-size=512",
                "--export",
                &format!(
                    "type=fuse,id=face,node-name=recorded,mountpoint={},writable=on",
                    face.display()
                ),
            ])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut recorded = Self {
            log,
            blank,
            mounted: None,
            daemon,
        };
        while fs::metadata(&face).map_or(0, |face| face.len()) != SIZE {
            assert!(recorded.daemon.try_wait().unwrap().is_none(), "no export");
            sleep(Duration::from_millis(10));
        }
        recorded.mounted = Some(Mounted::new(&face, &there).unwrap());
        recorded
    }

    /// Where its files are.
    pub(crate) fn path(&self) -> &Path {
        &self.mounted.as_ref().unwrap().there
    }

    /// How long the log is now.
    pub(crate) fn mark(&self) -> u64 {
        fs::metadata(&self.log).unwrap().len()
    }

    /// Stops, and leaves the log.
    pub(crate) fn stop(self) -> (PathBuf, Vec<u8>) {
        (self.log.clone(), self.blank.clone())
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        drop(self.mounted.take());
        // It takes its face away when it is told to end.
        let _ = run("kill", &[&self.daemon.id().to_string()]);
        let _ = self.daemon.wait();
    }
}

/// A file that holds a file system, mounted.
pub(crate) struct Mounted {
    device: String,
    there: PathBuf,
}

impl Mounted {
    pub(crate) fn new(image: &Path, there: &Path) -> Result<Self, String> {
        fs::create_dir_all(there).unwrap();
        let device = run("losetup", &["-f", "--show", image.to_str().unwrap()])?;
        let device = device.trim().to_owned();
        let path = there.to_str().unwrap();
        if let Err(error) = run("mount", &["-t", "ext4", "-o", "nodiscard", &device, path]) {
            let _ = run("losetup", &["-d", &device]);
            return Err(error);
        }
        Ok(Self {
            device,
            there: there.to_owned(),
        })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = run("umount", &[self.there.to_str().unwrap()]);
        let _ = run("losetup", &["-d", &self.device]);
    }
}

/// What `e2fsck` has to say against a file system that was unmounted.
pub(crate) fn complaint(image: &Path) -> Option<String> {
    run("e2fsck", &["-f", "-n", image.to_str().unwrap()]).err()
}

fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .args(args)
        .env("PATH", format!("{path}:/sbin:/usr/sbin"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    let text = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned());
    if output.status.success() {
        Ok(text[0].clone())
    } else {
        Err(format!("{program} {args:?}: {}", text.concat()))
    }
}
