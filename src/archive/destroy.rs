//! A key destroyed, on evidence that it is out of use.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::evidence::Evidence;
use super::evidence_scan::ALLOWANCE;
use super::json::seconds;
use super::permits::{Destruction, not_before, permits};
use super::subject::Subject;
use crate::envelope::{KeyringFile, inspect};
use crate::error::{Error, KeyId, KeyState, Result, SlotId};
use crate::keys::{KeyInfo, KeyringTransaction};

/// On what terms evidence is enough to destroy a key.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct DestroyOptions {
    age: Duration,
    settling_time: Option<Duration>,
    pub(super) allowance: Duration,
}

impl DestroyOptions {
    /// The defaults: the scan began within the last 24 hours, and later than the keyring's lease and an allowance of 300 seconds after the
    /// key, or the keyring's file, changed last.
    pub fn new() -> Self {
        Self {
            age: Duration::from_secs(24 * 60 * 60),
            settling_time: None,
            allowance: ALLOWANCE,
        }
    }

    /// The scan began within this time.
    pub fn max_evidence_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// The scan began this long after the last change, or later: what was under way then, a long upload perhaps, has ended. It cannot
    /// be shorter than the keyring's lease and the allowance.
    pub fn settling_time(mut self, time: Duration) -> Self {
        self.settling_time = Some(time);
        self
    }

    /// How far clocks may differ, how long a machine may be stopped while its clock stands, how old an answer of a file system may be,
    /// and the time from a wrap until the envelope is in its place, all together: 300 seconds unless said.
    pub fn allowance(mut self, allowance: Duration) -> Self {
        self.allowance = allowance;
        self
    }

    /// The destruction of a key, asked for now.
    pub(super) fn asked(&self, keys: &KeyringTransaction, key: KeyId) -> Result<Destruction> {
        let unknown = || Error::NoMatchingKey {
            slots: vec![key.into()],
        };
        let info = keys
            .keys()
            .find(|info| info.id == key)
            .ok_or_else(unknown)?;
        if let state @ (KeyState::Active | KeyState::Destroyed) = info.state {
            return Err(Error::KeyNotUsable { key_id: key, state });
        }
        let subject = Subject::of(keys);
        let asked = Destruction {
            key,
            is_active: info.state == KeyState::Active,
            changed: seconds(info.changed),
            keyring: subject.revision,
            lease: subject.lease,
            lease_changed: subject.lease_changed,
            now: seconds(SystemTime::now()),
            allowance: whole_seconds(self.allowance),
            settling: self.settling_time.map(whole_seconds),
            age: self.age.as_secs(),
        };
        let least = asked.lease.saturating_add(asked.allowance);
        if asked.settling.is_some_and(|settling| settling < least) {
            return Err(Error::Misuse(
                "the settling time is shorter than the keyring's lease and the allowance together",
            ));
        }
        Ok(asked)
    }
}

impl Default for DestroyOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Destroys a master key of a keyring's file for ever, on evidence that it is out of use (FORMAT §9.4). The file records the SHA-256 of
/// the evidence's content, which a rewrap does not change.
///
/// The evidence is an envelope as [`archive::retire`](crate::archive::retire) or [`Evidence::seal`] makes it. It is opened with what protects the
/// keyring's file, and never with keys of the keyring itself.
///
/// Restore nothing between a scan and the destruction, or scan again: the evidence does not know what came since. Another keyring's
/// file that is encrypted for a master key of this one is lost with it, keys and all.
///
/// Without evidence there is [`KeyringTransaction::destroy_without_evidence`](crate::keys::KeyringTransaction::destroy_without_evidence).
///
/// # Errors
/// [`Error::Evidence`] if the evidence does not permit it; those of opening it; [`Error::Misuse`] if the settling time is too short, or
/// if the evidence has a slot of a key of the keyring;
/// those of [`KeyringFile::update`]; [`Error::KeyNotUsable`] if the key is active or destroyed. Nothing has changed then.
///
/// ```no_run
/// use phi_envelope::{KeyringFile, Passphrase, archive::{self, DestroyOptions}};
///
/// let file = KeyringFile::open("ehr.keyring", Passphrase::new("correct horse")?)?;
/// let evidence = std::fs::read("ehr-2026.evidence.phi").map_err(phi_envelope::Error::Io)?;
/// let old = file.keyring().keys()[0].id;
/// archive::destroy_key(&file, old, &evidence, DestroyOptions::new())?;
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn destroy_key(
    file: &KeyringFile,
    key: KeyId,
    evidence: &[u8],
    options: DestroyOptions,
) -> Result<()> {
    // What can be refused is, before a passphrase is worked on.
    options.asked(&file.keyring().snapshot(), key)?;
    let content = Evidence::open_content(&file.protection(), evidence)?;
    let slots = inspect(evidence)?.slots;
    file.update(|keys| {
        // With the file's keys as they are now: what protects the file may be keys of its own too.
        refuse_own_keys(keys.keys(), &slots)?;
        let asked = options.asked(keys, key)?;
        permits(&content.evidence, &asked)?;
        keys.destroy_on_evidence(key, content.digest)
    })
}

// FORMAT §9.4: never keys of the keyring of which it speaks. Whoever has, or had, one of them could say of another what he likes.
/// Refuses evidence about a keyring that one of its own keys opens.
pub(super) fn refuse_own_keys<'k>(
    mut keys: impl Iterator<Item = &'k KeyInfo>,
    slots: &[SlotId],
) -> Result<()> {
    if keys.any(|key| slots.contains(&key.id.into())) {
        return Err(Error::Misuse(
            "evidence about a keyring cannot be encrypted for keys of that keyring",
        ));
    }
    Ok(())
}

/// From when on a scan may begin that permits the destruction.
pub(super) fn may_begin(
    file: &KeyringFile,
    key: KeyId,
    settled_since: u64,
    options: DestroyOptions,
) -> Option<SystemTime> {
    let asked = options.asked(&file.keyring().snapshot(), key).ok()?;
    let from = not_before(&asked, settled_since);
    UNIX_EPOCH.checked_add(Duration::from_secs(from))
}

/// Rounded up: a time that is to pass has passed.
fn whole_seconds(time: Duration) -> u64 {
    let rest = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(rest)
}
