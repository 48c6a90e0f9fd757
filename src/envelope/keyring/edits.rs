//! Edits that are not of the file that they are to be stored in.

use super::crafted::{Scene, outer};
use crate::envelope::KeyringFile;
use crate::error::Error;

#[test]
fn an_edit_of_another_keyring_is_not_stored() {
    let (scene, other) = (Scene::new(), Scene::new());
    let file = KeyringFile::create(&scene.path, "first", outer()).unwrap();
    let second = KeyringFile::create(&other.path, "other", outer()).unwrap();
    let before = std::fs::read(&scene.path).unwrap();
    let refused = file.update(|keys| {
        second.update(|others| {
            std::mem::swap(keys, others);
            Ok(())
        })
    });
    assert!(matches!(refused, Err(Error::Misuse(_))), "{refused:?}");
    assert_eq!(std::fs::read(&scene.path).unwrap(), before);
}

/// A copy of the file is no store, and its older content no change of the newer.
#[test]
fn an_edit_of_an_older_copy_is_not_stored() {
    let (scene, other) = (Scene::new(), Scene::new());
    let file = KeyringFile::create(&scene.path, "first", outer()).unwrap();
    std::fs::copy(&scene.path, &other.path).unwrap();
    let copy = KeyringFile::open(&other.path, outer()).unwrap();
    let lease = std::time::Duration::from_secs(60);
    file.update(|keys| keys.set_lease(lease)).unwrap();
    let before = std::fs::read(&scene.path).unwrap();
    let refused = file.update(|keys| {
        copy.update(|others| {
            std::mem::swap(keys, others);
            Err::<(), _>(Error::Misuse("the copy stays"))
        })
        .unwrap_err();
        Ok(())
    });
    assert!(matches!(refused, Err(Error::Misuse(_))), "{refused:?}");
    assert_eq!(std::fs::read(&scene.path).unwrap(), before);
}
