//! A key taken out of use, with proof, and destroyed.

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::evidence::Evidence;
use super::outcome::{RewrapEntry, RewrapSummary};
use super::rewrap::{RewrapOptions, rewrap_tree};
use super::scan::EvidenceScan;
use super::tree::Tree;
use crate::disk::{Disk, folder_of};
use crate::envelope::{EnvelopeCipher, KeyringFile};
use crate::error::{Error, EvidenceFault, KeyId, KeyState, Result};
use crate::keys::Keyring;

const SECOND: Duration = Duration::from_secs(1);

/// On what terms evidence is enough to destroy a key.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct DestroyOptions {
    age: Duration,
    settling_time: Duration,
    although_in_use: bool,
}

impl DestroyOptions {
    /// The defaults: the scan began within the last 24 hours, and an hour or more after the last rotation; everything was opened under
    /// another key.
    pub fn new() -> Self {
        Self {
            age: Duration::from_secs(24 * 60 * 60),
            settling_time: Duration::from_secs(60 * 60),
            although_in_use: false,
        }
    }

    /// The scan began within this time.
    pub fn evidence_not_older_than(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// The scan began this long after the last rotation, or later.
    ///
    /// What was begun before a rotation, an upload, a transaction, a process that reloads the keyring now and then, ends after it, and may
    /// be under the old key where no scan has met it yet. Less than the default is for whoever knows that there was nothing of the kind.
    pub fn settling_time(mut self, time: Duration) -> Self {
        self.settling_time = time;
        self
    }

    /// Destroys the key although the evidence shows that it is in use, or that not everything was opened. **What only this key can
    /// open is lost.**
    pub fn although_in_use(mut self) -> Self {
        self.although_in_use = true;
        self
    }
}

impl Default for DestroyOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Destroys a master key of a keyring's file for ever, on evidence that it is out of use. The file records the SHA-256 of the
/// evidence, an envelope as [`Evidence::seal`] makes it, which `cipher` opens with another key.
///
/// What was begun before the last rotation, an upload, a transaction, a process that has not reloaded the keyring, must have ended before
/// the scan began: no scan meets it, and what is sealed under the key after the scan is lost. See [`DestroyOptions::settling_time`]. Another keyring's
/// file that is sealed for a master key of this one is lost with it, keys and all.
///
/// Without evidence there is [`KeyringEdit::destroy_without_evidence`](crate::KeyringEdit::destroy_without_evidence).
///
/// # Errors
/// [`Error::Evidence`] where the evidence does not show what the options ask for; those of opening it; those of
/// [`KeyringFile::update`]; [`Error::KeyNotUsable`] where the key is active.
///
/// ```no_run
/// use phi_envelope::{DestroyOptions, EnvelopeCipher, KeyringFile, Passphrase, destroy_key};
///
/// let file = KeyringFile::open("ehr.keyring", Passphrase::new("correct horse")?)?;
/// let cipher = EnvelopeCipher::new(file.keyring());
/// let evidence = std::fs::read("ehr-2026.evidence.phi").map_err(phi_envelope::Error::Io)?;
/// let old = file.keyring().keys()[0].id;
/// destroy_key(&file, &cipher, old, &evidence, DestroyOptions::new())?;
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn destroy_key(
    file: &KeyringFile,
    cipher: &EnvelopeCipher,
    key: KeyId,
    evidence: &[u8],
    options: DestroyOptions,
) -> Result<()> {
    let known = file.keyring().keys().into_iter().find(|it| it.id == key);
    if let Some(state @ (KeyState::Active | KeyState::Destroyed)) = known.map(|it| it.state) {
        return Err(Error::KeyNotUsable { key_id: key, state });
    }
    // Whoever held the key, or one that is compromised, could have forged evidence under it.
    let content = Evidence::open(&cipher.without(&key.into(), false), evidence)?;
    content.check_subject(key, options.age, SystemTime::now())?;
    if !options.although_in_use {
        content.check()?;
    }
    let begun = content.begun()?;
    let digest = Sha256::digest(evidence).into();
    file.update(|keys| {
        // Until the last rotation, something may have been sealed under it. Times are whole seconds: the same is not later.
        let is_late_enough = keys.last_rotation().is_some_and(|rotation| {
            begun
                .duration_since(rotation)
                .is_ok_and(|since| !since.is_zero() && since >= options.settling_time)
        });
        if !is_late_enough {
            return Err(EvidenceFault::TooSoon.into());
        }
        keys.destroy_on_evidence(key, digest)
    })
}

/// The choices there are in retiring a key: none must be made.
#[must_use]
pub struct RetireOptions<'a> {
    rewrap: RewrapOptions,
    destroy: Option<DestroyOptions>,
    threads: Option<NonZeroUsize>,
    files_per_second: Option<NonZeroU32>,
    watch: Box<dyn FnMut(&RewrapEntry) + 'a>,
}

impl<'a> RetireOptions<'a> {
    /// The defaults: the key is destroyed where the evidence shows that it is out of use, and kept otherwise.
    pub fn new() -> Self {
        Self {
            rewrap: RewrapOptions::new(),
            destroy: Some(DestroyOptions::new()),
            threads: None,
            files_per_second: None,
            watch: Box::new(|_| ()),
        }
    }

    /// How the places are rewrapped.
    pub fn rewrap(mut self, options: RewrapOptions) -> Self {
        self.rewrap = options;
        self
    }

    /// On what terms the key is destroyed.
    pub fn destroy(mut self, options: DestroyOptions) -> Self {
        self.destroy = Some(options);
        self
    }

    /// Keeps the key in any case: [`destroy_key`] can destroy it later, on the same evidence while it is young.
    pub fn keep(mut self) -> Self {
        self.destroy = None;
        self
    }

    /// [`Tree::threads`], for the rewrap and for the scan.
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// [`Tree::files_per_second`], for the rewrap and for the scan. Evidence is as old as the beginning of its scan.
    pub fn files_per_second(mut self, most: NonZeroU32) -> Self {
        self.files_per_second = Some(most);
        self
    }

    /// Is shown every file that was rewrapped, or was not.
    pub fn watch(mut self, watch: impl FnMut(&RewrapEntry) + 'a) -> Self {
        self.watch = Box::new(watch);
        self
    }
}

impl Default for RetireOptions<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RetireOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetireOptions")
            .field("rewrap", &self.rewrap)
            .field("destroy", &self.destroy)
            .finish_non_exhaustive()
    }
}

/// What retiring a key came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Retired {
    /// What the rewrap did.
    pub rewrapped: RewrapSummary,
    /// What the scan after it found. It lies, sealed, where it was to be put.
    pub evidence: Evidence,
    /// Whether the key was destroyed.
    pub destroyed: bool,
    /// Why it was not, where it was to be.
    pub refused: Option<EvidenceFault>,
}

/// Retires a master key: deactivates it, rewraps every envelope in `places`, opens every header there without it, puts the sealed
/// [`Evidence`] of that into a new file `evidence`, and destroys the key where the evidence shows that it is out of use.
///
/// `places` must be all there is: what is elsewhere, in a backup or in a database, the evidence does not speak of, and is lost with the
/// key. For rows, do the same step by step: [`rewrap_rows`](crate::rewrap_rows), [`EvidenceScan`], [`destroy_key`]. Every process that has the keyring's
/// file open must have [reloaded](KeyringFile::reload) it, and what was begun before the rotation have ended, as [`destroy_key`] says: within an
/// hour of a rotation the key is kept.
///
/// To run it again is to go on, with another file for the evidence. A suspended key is made a deactivated one first. A compromised key stays
/// so; what is under it is to be re-encrypted before, or here by [`RewrapOptions::reencrypt`] with a cipher that allows it.
///
/// # Errors
/// [`Error::KeyNotUsable`] where the key is active ([rotate](crate::KeyringEdit::rotate) first) or destroyed; [`Error::Misuse`] where `evidence` would lie in one
/// of the places, or the rewrap is to be a dry run; [`Error::Io`], also where it exists; those of [`KeyringFile::update`]. That the key is not out of use is no error:
/// [`Retired::refused`] says it.
///
/// ```no_run
/// use phi_envelope::{EnvelopeCipher, KeyringFile, Passphrase, RetireOptions, retire};
///
/// let file = KeyringFile::open("ehr.keyring", Passphrase::new("correct horse")?)?;
/// let old = file.keyring().active()?;
/// file.update(|keyring| keyring.rotate("ehr-2027"))?;
///
/// let cipher = EnvelopeCipher::new(file.keyring());
/// let retired = retire(&file, &cipher, old, &["/archive"], "2026.evidence.phi", RetireOptions::new())?;
/// println!("{}\n{}", retired.rewrapped, retired.evidence);
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn retire(
    file: &KeyringFile,
    cipher: &EnvelopeCipher,
    key: KeyId,
    places: &[impl AsRef<Path>],
    evidence: impl AsRef<Path>,
    mut options: RetireOptions<'_>,
) -> Result<Retired> {
    if options.rewrap.dry_run {
        return Err(Error::Misuse(
            "a key is not retired in a dry run; rewrap_tree has one",
        ));
    }
    let path = evidence.as_ref();
    let disk = Disk::default();
    let whole = |place: &Path| disk.resolve(place);
    let folder = whole(&folder_of(path))?;
    let roots = places.iter().map(|place| place.as_ref().to_owned());
    let roots: Vec<PathBuf> = roots.collect();
    let names = roots.iter().map(|root| whole(root));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    if names.iter().any(|name| folder.starts_with(name)) {
        return Err(Error::Misuse(
            "the evidence would lie in a place that it is about",
        ));
    }
    disk.refuse_taken(path)?;
    file.update(|keys| match keys.state(key)? {
        // Rotated away from, it could still be opened, and was not to be used.
        KeyState::Compromised => Ok(()),
        _ => keys.deactivate(key),
    })?;

    let tree = |roots: Vec<PathBuf>| {
        let mut tree = Tree::new(roots);
        if let Some(threads) = options.threads {
            tree = tree.threads(threads);
        }
        if let Some(most) = options.files_per_second {
            tree = tree.files_per_second(most);
        }
        tree
    };
    let mut pass = rewrap_tree(cipher, tree(roots.clone()), options.rewrap.clone())?;
    for entry in &mut pass {
        (options.watch)(&entry);
    }
    let rewrapped = pass.summary().clone();

    leave_the_second_of(&file.keyring());
    let mut scan = EvidenceScan::new(cipher, key);
    for (root, name) in roots.into_iter().zip(names) {
        scan.tree(name.to_string_lossy(), tree(vec![root]))?;
    }
    let evidence = scan.finish();
    let sealed = evidence.seal(cipher)?;
    disk.put_new(path, &sealed)?;

    let (destroyed, refused) = match options.destroy {
        None => (false, None),
        Some(terms) => match destroy_key(file, cipher, key, &sealed, terms) {
            Ok(()) => (true, None),
            Err(Error::Evidence(fault)) => (false, Some(fault)),
            Err(error) => return Err(error),
        },
    };
    Ok(Retired {
        rewrapped,
        evidence,
        destroyed,
        refused,
    })
}

/// Waits until the second is over in which the keyring was rotated, so that the scan is seen to begin after it.
fn leave_the_second_of(keyring: &Keyring) {
    let keys = keyring.keys();
    let rotated = keys.iter().find(|key| key.state == KeyState::Active);
    let Some(next) = rotated.and_then(|key| key.created.checked_add(SECOND)) else {
        return;
    };
    let left = next.duration_since(SystemTime::now()).unwrap_or_default();
    std::thread::sleep(left.min(SECOND));
}
