//! Two processes that rewrap one tree at once, while a third takes its inventory.
//!
//! The children are this very test binary, told by its environment what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use phi_envelope::{
    Context, EnvelopeCipher, Keyring, KeyringFile, MasterKey,
    archive::{self, EntryKind, FileTree, RewrapOptions},
    files::{self, FileOptions},
};

use super::{LONG, SHORT, Shift};

/// The variable that tells a child where to work.
const FOLDER: &str = "PHI_TEST_FOLDER";
const FILES: usize = 40;

#[test]
fn processes_share_a_tree() {
    share(SHORT);
}

#[test]
#[ignore = "takes a minute"]
fn processes_share_a_tree_for_a_minute() {
    share(LONG);
}

#[test]
#[ignore = "what the children of the other tests do"]
fn work() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let keyring = KeyringFile::open(folder.join("keyring"), protection()).unwrap();
    let cipher = EnvelopeCipher::new(keyring.keyring());
    let tree = FileTree::new([folder.join("tree")]);
    for entry in archive::rewrap(&cipher, tree, RewrapOptions::new()).unwrap() {
        assert!(!entry.is_failure(), "{entry:?}");
    }
}

fn share(time: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let keyring =
        KeyringFile::create(folder.path().join("keyring"), "first", protection()).unwrap();
    let cipher = EnvelopeCipher::new(keyring.keyring());
    let plain = folder.path().join("plain");
    fs::write(&plain, [7; 5_000]).unwrap();
    for number in 0..FILES / 2 {
        let stream = tree.join(format!("{number}.phi"));
        files::encrypt(&cipher, &plain, stream, &context(), FileOptions::new()).unwrap();
        let record = cipher.encrypt([7; 5_000], &context()).unwrap();
        fs::write(tree.join(format!("{number}.record")), record).unwrap();
    }

    let (shift, mut looks) = (Shift::of(time), 0);
    shift.repeat(|_| {
        let key = keyring.update(|keys| keys.rotate("next")).unwrap();
        let mut children = [child(folder.path()), child(folder.path())];
        while children
            .iter_mut()
            .any(|child| child.try_wait().unwrap().is_none())
        {
            look(&tree);
            looks += 1;
        }
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        for entry in archive::inventory(FileTree::new([tree.clone()])).unwrap() {
            let found = entry.inspection().unwrap();
            assert!(found.blocks_alike && !entry.is_temporary, "{entry:?}");
            assert_eq!(found.header.slots[0].key_id, key.as_bytes());
        }
    });
    println!(
        "{} rotations of {FILES} files by two processes, {looks} inventories",
        shift.done()
    );
    for number in 0..FILES / 2 {
        let stream = tree.join(format!("{number}.phi"));
        files::verify(&cipher, stream, &context(), FileOptions::new()).unwrap();
        let record = fs::read(tree.join(format!("{number}.record"))).unwrap();
        assert_eq!(cipher.decrypt(record, &context()).unwrap()[..], [7; 5_000]);
    }
}

/// All files are there and whole, whatever the two are at.
fn look(tree: &Path) {
    let mut seen = 0;
    for entry in archive::inventory(FileTree::new([tree.to_owned()])).unwrap() {
        match entry.content {
            _ if entry.is_temporary => {}
            EntryKind::Envelope(_) => seen += 1,
            other => panic!("{}: {other:?}", entry.path.display()),
        }
    }
    assert_eq!(seen, FILES);
}

fn child(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::work", "--ignored"])
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn protection() -> Keyring {
    let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    Keyring::from_master_key(MasterKey::from_base64(text).unwrap(), "protection")
}

fn context() -> Context {
    Context::new().bind("export", "42").unwrap()
}
