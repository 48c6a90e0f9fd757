//! Errors that say which file it is: of every public call that takes a path, on a file that is missing, on what is no file, and in
//! folders that take nothing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{context, keyring, keyring_of};
use phi_envelope::{
    Context, EnvelopeCipher, Keyring, KeyringFile, Result,
    archive::{self, RetireOptions},
    files::{self, FileOptions},
};

type Call = (&'static str, fn(&Scene, &Path) -> Result<()>);

struct Scene {
    _folder: tempfile::TempDir,
    at: PathBuf,
    cipher: EnvelopeCipher,
    keys: Keyring,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        let keys = keyring();
        let scene = Self {
            cipher: EnvelopeCipher::new(keys.clone()),
            _folder: folder,
            at,
            keys,
        };
        for folder in ["folder", "empty"] {
            fs::create_dir(scene.path(folder)).unwrap();
        }
        fs::write(scene.path("plain"), "weight 71 kg").unwrap();
        let sealed = scene.path("sealed");
        files::encrypt(
            &scene.cipher,
            scene.path("plain"),
            sealed,
            &context(),
            options(),
        )
        .unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    /// A keyring's file, whose first key was rotated away from.
    fn keyring_file(&self) -> KeyringFile {
        let path = self.path("keyring");
        let file = KeyringFile::create(path, "ehr", self.keys.clone()).unwrap();
        file.update(|keys| keys.rotate("next").map(drop)).unwrap();
        file
    }
}

fn options() -> FileOptions<'static> {
    FileOptions::new()
}

/// Calls that are given a file to read or to change.
const INPUTS: [Call; 16] = [
    ("encrypt", |scene, path| {
        let out = scene.path("out");
        files::encrypt(&scene.cipher, path, out, &context(), options()).map(drop)
    }),
    ("decrypt", |scene, path| {
        let out = scene.path("out");
        files::decrypt(&scene.cipher, path, out, &context(), options()).map(drop)
    }),
    ("files::decrypt, the header", |scene, path| {
        let (input, out) = (scene.path("plain"), scene.path("out"));
        let options = options().detached_header(path);
        files::decrypt(&scene.cipher, input, out, &context(), options).map(drop)
    }),
    ("verify", |scene, path| {
        files::verify(&scene.cipher, path, &context(), options()).map(drop)
    }),
    ("files::verify, the header", |scene, path| {
        let options = options().detached_header(path);
        files::verify(&scene.cipher, scene.path("plain"), &context(), options).map(drop)
    }),
    ("inspect", |_, path| files::inspect(path).map(drop)),
    ("open", |scene, path| {
        files::open(&scene.cipher, path, &context(), options()).map(drop)
    }),
    ("rewrap", |scene, path| {
        files::rewrap(&scene.cipher, path).map(drop)
    }),
    ("reencrypt", |scene, path| {
        files::reencrypt(&scene.cipher, path, &context(), options()).map(drop)
    }),
    ("repack_file", |scene, path| {
        files::repack(&scene.cipher, path, options()).map(drop)
    }),
    ("add_recipient", |scene, path| {
        files::add_recipient(&scene.cipher, path, &keyring_of(2), &labels()).map(drop)
    }),
    ("remove_recipient_file", |scene, path| {
        files::remove_recipient(&scene.cipher, path, &keyring_of(2), &labels()).map(drop)
    }),
    ("replace_recipient_file", |scene, path| {
        let (old, new) = (keyring_of(2), keyring_of(3));
        files::replace_recipient(&scene.cipher, path, &old, &new, &labels()).map(drop)
    }),
    ("KeyringFile::open", |scene, path| {
        KeyringFile::open(path, scene.keys.clone()).map(drop)
    }),
    ("KeyringFile::reload", |scene, path| {
        let moved = scene.path("keyring");
        let file = scene.keyring_file();
        fs::remove_file(&moved).unwrap();
        if path.is_dir() {
            fs::create_dir(&moved).unwrap();
        }
        let outcome = file.reload().map(drop);
        let _ = fs::remove_dir(&moved);
        // It is the keyring's own name that is told.
        outcome.map_err(|error| {
            assert!(
                error.to_string().contains(&*moved.to_string_lossy()),
                "{error}"
            );
            std::io::Error::other(path.display().to_string()).into()
        })
    }),
    ("retire, a place", |scene, path| {
        let file = scene.keyring_file();
        let places = [if path.is_dir() {
            path.join("none")
        } else {
            path.into()
        }];
        let (id, evidence) = (
            file.keyring().keys().first().unwrap().id,
            scene.path("evidence"),
        );
        let outcome = archive::retire(
            &file,
            &scene.cipher,
            id,
            &places,
            evidence,
            RetireOptions::new(),
        );
        fs::remove_file(scene.path("keyring")).unwrap();
        outcome.map(drop)
    }),
];

/// Calls that are given a name for what they make.
const OUTPUTS: [Call; 9] = [
    ("encrypt", |scene, path| {
        files::encrypt(
            &scene.cipher,
            scene.path("plain"),
            path,
            &context(),
            options(),
        )
        .map(drop)
    }),
    ("files::encrypt, the header", |scene, path| {
        let (input, out) = (scene.path("plain"), scene.path("out"));
        let options = options().detached_header(path);
        files::encrypt(&scene.cipher, input, out, &context(), options).map(drop)
    }),
    ("encrypt_from", |scene, path| {
        let input = fs::File::open(scene.path("plain")).unwrap();
        files::encrypt_from(&scene.cipher, &input, path, &context(), options()).map(drop)
    }),
    ("encrypt_read", |scene, path| {
        files::encrypt_read(&scene.cipher, &b"text"[..], path, &context(), options()).map(drop)
    }),
    ("decrypt", |scene, path| {
        files::decrypt(
            &scene.cipher,
            scene.path("sealed"),
            path,
            &context(),
            options(),
        )
        .map(drop)
    }),
    ("decrypt_from", |scene, path| {
        let input = fs::File::open(scene.path("sealed")).unwrap();
        files::decrypt_from(&scene.cipher, &input, path, &context(), options()).map(drop)
    }),
    ("decrypt_read", |scene, path| {
        let sealed = fs::read(scene.path("sealed")).unwrap();
        files::decrypt_read(&scene.cipher, &sealed[..], path, &context(), options()).map(drop)
    }),
    ("KeyringFile::create", |scene, path| {
        KeyringFile::create(path, "ehr", scene.keys.clone()).map(drop)
    }),
    ("retire, the evidence", |scene, path| {
        let file = scene.keyring_file();
        let (id, place) = (
            file.keyring().keys().first().unwrap().id,
            scene.path("empty"),
        );
        let outcome = archive::retire(
            &file,
            &scene.cipher,
            id,
            &[place],
            path,
            RetireOptions::new(),
        );
        fs::remove_file(scene.path("keyring")).unwrap();
        outcome.map(drop)
    }),
];

fn labels() -> Context {
    Context::new()
}

fn assert_names(scene: &Scene, (name, call): &Call, path: &Path) {
    let error = call(scene, path).unwrap_err().to_string();
    let shown = path.display().to_string();
    assert!(error.contains(&shown), "{name} on {shown}: {error}");
    assert_eq!(error.matches(&shown).count(), 1, "{name}: {error}");
}

#[test]
fn what_cannot_be_read_or_changed_is_named() {
    let scene = Scene::new();
    for call in &INPUTS {
        assert_names(&scene, call, &scene.path("missing"));
        assert_names(&scene, call, &scene.path("plain/below-a-file"));
        assert_names(&scene, call, &scene.path("folder"));
    }
}

#[test]
fn what_cannot_be_made_is_named() {
    let scene = Scene::new();
    for call in &OUTPUTS {
        assert_names(&scene, call, &scene.path("missing/out.phi"));
        assert_names(&scene, call, &scene.path("plain/out.phi"));
        assert_names(&scene, call, &scene.path("folder"));
        // Nobody makes a file there, root neither.
        assert_names(&scene, call, Path::new("/proc/out.phi"));
    }
}
