//! A key taken out of use, with proof, and destroyed.

use std::fmt;
use std::io;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::class::ClassCount;
use super::destroy::{DestroyOptions, destroy_key, may_begin, refuse_own_keys};
use super::evidence::Evidence;
use super::evidence_scan::EvidenceScan;
use super::links::NamesBefore;
use super::previous::Previous;
use super::rewrap::{RewrapOptions, rewrap};
use super::rewrap_report::{RewrapEntry, RewrapSummary};
use super::shard::Exclusion;
use super::tree::FileTree;
use crate::disk::{Disk, folder_of, named, of_other};
use crate::envelope::{EnvelopeCipher, KeyringFile, inspect};
use crate::error::{Error, EvidenceError, KeyId, Result};

/// The choices there are in retiring a key: none must be made.
#[must_use]
pub struct RetireOptions<'a> {
    rewrap: RewrapOptions,
    destroy: Option<DestroyOptions>,
    threads: Option<NonZeroUsize>,
    files_per_second: Option<NonZeroU32>,
    excluded: Vec<Exclusion>,
    accepted: Vec<ClassCount>,
    previous: Option<Previous>,
    watch: Box<dyn FnMut(&RewrapEntry) + 'a>,
    go_on: Box<dyn FnMut() -> ControlFlow<()> + 'a>,
}

impl<'a> RetireOptions<'a> {
    /// The defaults: the key is destroyed if the evidence permits it, and kept otherwise.
    pub fn new() -> Self {
        Self {
            rewrap: RewrapOptions::new(),
            destroy: Some(DestroyOptions::new()),
            threads: None,
            files_per_second: None,
            excluded: Vec::new(),
            accepted: Vec::new(),
            previous: None,
            watch: Box::new(|_| ()),
            go_on: Box::new(|| ControlFlow::Continue(())),
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

    /// Keeps the key in any case: [`archive::destroy_key`](crate::archive::destroy_key) can destroy it later, on the same evidence while it is young.
    pub fn keep(mut self) -> Self {
        self.destroy = None;
        self
    }

    /// [`FileTree::threads`], for the rewrap and for the scan.
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// [`FileTree::files_per_second`], for the rewrap and for the scan. Evidence is as old as the beginning of its scan.
    pub fn files_per_second(mut self, most: NonZeroU32) -> Self {
        self.files_per_second = Some(most);
        self
    }

    /// [`FileTree::exclude`], for the rewrap and for the scan. What is excluded is a finding: it was not looked at.
    pub fn exclude(
        mut self,
        rule: impl Into<String>,
        matches: impl Fn(&Path) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.excluded.push(Exclusion::new(rule.into(), matches));
        self
    }

    /// [`EvidenceScan::accept`].
    pub fn accept(mut self, accepted: impl IntoIterator<Item = ClassCount>) -> Self {
        self.accepted.extend(accepted);
        self
    }

    /// [`EvidenceScan::since`].
    pub fn since(mut self, previous: Previous) -> Self {
        self.previous = Some(previous);
        self
    }

    /// Is shown every file that was rewrapped, or was not.
    pub fn watch(mut self, watch: impl FnMut(&RewrapEntry) + 'a) -> Self {
        self.watch = Box::new(watch);
        self
    }

    /// Is asked after each file, in the rewrap and in the scan, and once more before the key is destroyed. `Break` ends the retirement with
    /// [`Error::Cancelled`]: the key is kept, there is no evidence, and what was rewrapped stays so.
    pub fn go_on(mut self, go_on: impl FnMut() -> ControlFlow<()> + 'a) -> Self {
        self.go_on = Box::new(go_on);
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
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}

/// What retiring a key came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct RetireReport {
    /// What the rewrap did.
    pub rewrapped: RewrapSummary,
    /// What the scan after it found. It lies, encrypted, where it was to be put.
    pub evidence: Evidence,
    /// The first of the envelopes that have a slot of the key.
    pub in_use: Vec<String>,
    /// Whether the key was destroyed.
    pub destroyed: bool,
    /// Why it was not, if it was to be. The key is as it was.
    pub refused: Option<EvidenceError>,
    /// From when on it may be retired again, if it is only too soon.
    pub not_before: Option<SystemTime>,
    /// What the clocks were in the way of, if they were.
    pub clock_warning: Option<&'static str>,
}

/// Retires a master key: rewraps every envelope in `places`, opens every header there without it, puts the encrypted
/// [`Evidence`] of that into a new file `evidence`, and destroys the key if the evidence permits it. The key's state is not touched before:
/// **whatever speaks against the destruction, the keyring stays as it is**.
///
/// `places` must be all there is: what is elsewhere, in a backup or in a database, the evidence does not speak of, and is lost with the
/// key. For rows, do the same step by step: [`archive::rewrap_rows`](crate::archive::rewrap_rows), [`EvidenceScan`], [`archive::destroy_key`](crate::archive::destroy_key). What was seen and could
/// not be examined is a finding, and the key is kept until its owner [accepts](RetireOptions::accept) it by class and count.
///
/// A scan counts once the key, and the keyring's file, were left alone for the settling time: the lease of the keyring, within which each
/// process confirms it, and the allowance. Before that the key is kept, and [`RetireReport::not_before`] says how long.
///
/// To run it again is to go on, with another file for the evidence. What is under a suspended key cannot be rewrapped: resume the key before.
/// What is under a compromised key is to be re-encrypted before, or here by [`RewrapOptions::reencrypt`] with a cipher that allows it.
///
/// # Errors
/// [`Error::KeyNotUsable`] if the key is active ([rotate](crate::keys::KeyringTransaction::rotate) first) or destroyed; [`Error::Misuse`] if `evidence`
/// would lie in one of the places, if the rewrap is to be a dry run, if the settling time is too short, or if the keyring's file is encrypted
/// for its own keys; [`Error::Io`], also if the file exists; [`Error::Cancelled`] as [`RetireOptions::go_on`] says; those of [`KeyringFile::reload`] and [`KeyringFile::update`].
/// That the key is not out of use is no error: [`RetireReport::refused`] says it.
///
/// ```no_run
/// use phi_envelope::{EnvelopeCipher, KeyringFile, Passphrase, archive::{self, RetireOptions}};
///
/// let file = KeyringFile::open("ehr.keyring", Passphrase::new("correct horse")?)?;
/// let cipher = EnvelopeCipher::new(file.keyring());
/// # let old = file.keyring().active()?;
/// let retired = archive::retire(&file, &cipher, old, &["/archive"], "2026.evidence.phi", RetireOptions::new())?;
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
) -> Result<RetireReport> {
    if options.rewrap.dry_run {
        return Err(Error::Misuse(
            "a key is not retired in a dry run; rewrap has one",
        ));
    }
    let terms = options.destroy.unwrap_or_default();
    file.reload()?;
    terms.asked(&file.keyring().snapshot(), key)?;
    let protection = file.protection();
    if !protection.writes() {
        return Err(Error::Misuse(
            "evidence is encrypted as the keyring's file is, and what opened that can only read",
        ));
    }
    let disk = Disk::default();
    let roots: Vec<PathBuf> = places
        .iter()
        .map(|place| place.as_ref().to_owned())
        .collect();
    let path = evidence.as_ref();
    let names = resolved(&disk, &roots, path)?;
    // Opened first, and gone unless all of the work is done.
    let new = disk.new_file(path).map_err(|error| at(path, error))?;

    let tree = |roots: Vec<PathBuf>| {
        let mut tree = FileTree::new(roots).excluding(options.excluded.clone());
        if let Some(threads) = options.threads {
            tree = tree.threads(threads);
        }
        if let Some(most) = options.files_per_second {
            tree = tree.files_per_second(most);
        }
        tree
    };
    let names_before = NamesBefore::of([tree(roots.clone())]);
    let mut pass = rewrap(cipher, tree(roots.clone()), options.rewrap.clone())?;
    for entry in &mut pass {
        (options.watch)(&entry);
        asked(&mut options.go_on)?;
    }
    let rewrapped = pass.summary().clone();

    let mut scan = EvidenceScan::new(file, cipher, key)?
        .allowance(terms.allowance)
        .accept(options.accepted.clone())
        .names_before(names_before);
    if let Some(previous) = options.previous.take() {
        scan = scan.since(previous);
    }
    for (root, name) in roots.into_iter().zip(names) {
        scan.tree_while(name.as_ref(), tree(vec![root]), &mut || {
            asked(&mut options.go_on)
        })?;
    }
    let (in_use, clock_warning) = (scan.in_use().to_vec(), scan.clock_warning());
    let evidence = scan.finish();
    let sealed = evidence.seal(&protection)?;
    let slots = inspect(&sealed)?.slots;
    refuse_own_keys(file.keyring().keys().iter(), &slots)?;
    new.write(&sealed, 0)?;
    asked(&mut options.go_on)?;
    new.publish(None, false).map_err(|error| at(path, error))?;

    let (destroyed, refused) = match options.destroy {
        None => (false, None),
        Some(terms) => match destroy_key(file, key, &sealed, terms) {
            Ok(()) => (true, None),
            Err(Error::Evidence(fault)) => (false, Some(fault)),
            Err(error) => return Err(error),
        },
    };
    let is_early = matches!(
        refused,
        Some(EvidenceError::TooSoon | EvidenceError::ChangedSince)
    );
    let not_before = is_early
        .then(|| may_begin(file, key, evidence.settled_since, terms))
        .flatten();
    Ok(RetireReport {
        rewrapped,
        evidence,
        in_use,
        destroyed,
        refused,
        not_before,
        clock_warning,
    })
}

fn asked(go_on: &mut impl FnMut() -> ControlFlow<()>) -> Result<()> {
    match go_on() {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}

/// The places without links in their paths; refuses evidence that exists or would lie in one of them.
fn resolved(disk: &Disk, roots: &[PathBuf], evidence: &Path) -> Result<Vec<PathBuf>> {
    let resolve = |path: &Path| disk.resolve(path);
    let folder = resolve(&folder_of(evidence)).map_err(|error| of_other(evidence, error))?;
    let names = roots.iter().map(|root| resolve(root));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    if names.iter().any(|name| folder.starts_with(name)) {
        return Err(Error::Misuse(
            "the evidence would lie in a place that it is about",
        ));
    }
    disk.refuse_taken(evidence)
        .map_err(|error| at(evidence, error))?;
    Ok(names)
}

/// The error of a file that is to be new, with what to do where it is not.
fn at(path: &Path, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            named(path, error.kind(), "it exists already; name a new file")
        }
        _ => error,
    }
}
