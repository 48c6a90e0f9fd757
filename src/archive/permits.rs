//! FORMAT §9.4: whether evidence permits the destruction of a key. All of the rule is one pure function.

use super::evidence::{Evidence, KeyringRevision};
use crate::error::{EvidenceError, KeyId, SlotId};

/// Seconds for which a changed lease counts: no process held a longer one.
const LONGEST_LEASE: u64 = 86_400;

/// The destruction that is asked for. Times are seconds, since 1970 if they are points in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Destruction {
    /// The key.
    pub(super) key: KeyId,
    /// Whether it is active.
    pub(super) is_active: bool,
    /// When its state last changed.
    pub(super) changed: u64,
    /// The keyring, as its file is now.
    pub(super) keyring: KeyringRevision,
    /// Its lease, and when the lease was last changed.
    pub(super) lease: u64,
    pub(super) lease_changed: Option<u64>,
    /// Now.
    pub(super) now: u64,
    /// How far clocks may differ, and the rest of what FORMAT §9.2 counts to the allowance.
    pub(super) allowance: u64,
    /// A settling time of the owner's; the one that the lease demands counts if it is longer.
    pub(super) settling: Option<u64>,
    /// How long ago the scan may have begun.
    pub(super) age: u64,
}

// FORMAT §9.2: settling time: at least lease + allowance, and at least 86,400 seconds + allowance where `began` ≤ lease_changed +
// 86,400 + allowance.
/// The least settling time of a scan that began at `began`.
pub(super) fn settling_time(destruction: &Destruction, began: u64) -> u64 {
    let allowance = destruction.allowance;
    let mut least = destruction.lease.saturating_add(allowance);
    if let Some(changed) = destruction.lease_changed {
        let until = changed.saturating_add(LONGEST_LEASE);
        if began <= until.saturating_add(allowance) {
            least = least.max(LONGEST_LEASE.saturating_add(allowance));
        }
    }
    least.max(destruction.settling.unwrap_or(0))
}

/// From when on a scan may begin that permits the destruction of a key that is settled since `settled_since`.
pub(super) fn not_before(destruction: &Destruction, settled_since: u64) -> u64 {
    // A scan that begins later may be under a shorter settling time, which is only ever reached later.
    let mut from = settled_since;
    loop {
        let next = settled_since
            .saturating_add(settling_time(destruction, from))
            .saturating_add(1);
        if next <= from {
            return from;
        }
        from = next;
        if from == u64::MAX {
            return from;
        }
    }
}

// FORMAT §9.4, "It permits one destruction".
/// Whether the evidence permits the destruction.
pub(super) fn permits(evidence: &Evidence, asked: &Destruction) -> Result<(), EvidenceError> {
    let require = |holds: bool, fault| if holds { Ok(()) } else { Err(fault) };
    // `key.scheme` is 0x01 and `keyring` is not null; of this key in the keyring of this id, at a revision not below its own.
    let keyring = evidence.keyring.ok_or(EvidenceError::OtherKey)?;
    require(
        evidence.key == SlotId::from(asked.key),
        EvidenceError::OtherKey,
    )?;
    require(keyring.id == asked.keyring.id, EvidenceError::OtherKeyring)?;
    require(
        asked.keyring.revision >= keyring.revision,
        EvidenceError::OlderKeyring,
    )?;
    // The key is not active; its `changed` ≤ `settled_since`.
    require(!asked.is_active, EvidenceError::ChangedSince)?;
    require(
        asked.changed <= evidence.settled_since,
        EvidenceError::ChangedSince,
    )?;
    // `settled_since` + settling time < `began` ≤ `ended` ≤ now + allowance.
    let settled = settling_time(asked, evidence.began).checked_add(evidence.settled_since);
    require(
        settled.is_some_and(|settled| settled < evidence.began),
        EvidenceError::TooSoon,
    )?;
    let latest = asked.now.saturating_add(asked.allowance);
    require(
        evidence.began <= evidence.ended && evidence.ended <= latest,
        EvidenceError::Clock,
    )?;
    // now − `began` is at most the owner's age for evidence.
    require(
        asked.now.saturating_sub(evidence.began) <= asked.age,
        EvidenceError::TooOld,
    )?;
    // `places` is not empty; `in_use` is 0.
    require(!evidence.places.is_empty(), EvidenceError::NoPlaces)?;
    require(evidence.in_use == 0, EvidenceError::InUse)?;
    // `accepted` names exactly the classes found, each once, with exactly its count.
    let mut accepted = evidence.accepted.clone();
    accepted.sort_by_key(|accepted| accepted.class);
    require(accepted == evidence.found(), EvidenceError::Found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test stops where something is not as it says
mod tests {
    use super::*;
    use crate::archive::class::{ClassCount, FindingClass};
    use crate::archive::evidence::{Finding, PlaceKind, ScannedPlace};

    const KEY: KeyId = KeyId::from_bytes([1; 16]);
    const NOW: u64 = 1_800_000_000;

    /// Everything holds, with the default terms, by a second.
    fn case() -> (Evidence, Destruction) {
        let keyring = KeyringRevision::new([9; 16], 7);
        let asked = Destruction {
            key: KEY,
            is_active: false,
            changed: NOW - 2000,
            keyring,
            lease: 900,
            lease_changed: None,
            now: NOW,
            allowance: 300,
            settling: None,
            age: 86_400,
        };
        let place = ScannedPlace {
            name: "/archive".to_owned(),
            path_base64: None,
            kind: PlaceKind::Tree,
            envelopes: 1,
            bytes: 500,
        };
        let evidence = Evidence {
            keyring: Some(keyring),
            key: KEY.into(),
            began: NOW - 799,
            ended: NOW,
            settled_since: NOW - 2000,
            places: vec![place],
            opened: 1,
            in_use: 0,
            findings: Vec::new(),
            more: Vec::new(),
            accepted: Vec::new(),
            previous: None,
        };
        (evidence, asked)
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Evidence, &mut Destruction), fault: EvidenceError) {
        let (mut evidence, mut asked) = case();
        change(&mut evidence, &mut asked);
        assert_eq!(permits(&evidence, &asked), Err(fault));
    }

    #[track_caller]
    fn permitted(change: impl FnOnce(&mut Evidence, &mut Destruction)) {
        let (mut evidence, mut asked) = case();
        change(&mut evidence, &mut asked);
        assert_eq!(permits(&evidence, &asked), Ok(()));
    }

    #[test]
    fn what_holds_in_all_is_permitted() {
        permitted(|_, _| ());
    }

    #[test]
    fn a_key_of_another_scheme_or_of_no_keyring_is_refused() {
        refused(|it, _| it.keyring = None, EvidenceError::OtherKey);
        refused(|it, _| it.key.scheme = 0x0A, EvidenceError::OtherKey);
        refused(|it, _| it.key.key_id = vec![2; 16], EvidenceError::OtherKey);
    }

    #[test]
    fn evidence_of_another_keyring_that_shares_the_key_is_refused() {
        let id = |it: &mut Evidence, _: &mut _| {
            it.keyring = Some(KeyringRevision::new([8; 16], 7));
        };
        refused(id, EvidenceError::OtherKeyring);
    }

    #[test]
    fn a_keyring_that_was_rolled_back_is_refused() {
        refused(
            |_, asked| asked.keyring.revision = 6,
            EvidenceError::OlderKeyring,
        );
        permitted(|_, asked| asked.keyring.revision = 8);
    }

    #[test]
    fn an_active_key_is_refused() {
        refused(
            |_, asked| asked.is_active = true,
            EvidenceError::ChangedSince,
        );
    }

    #[test]
    fn a_key_that_changed_after_the_scan_counts_is_refused() {
        refused(
            |_, asked| asked.changed = NOW - 1999,
            EvidenceError::ChangedSince,
        );
    }

    #[test]
    fn the_scan_begins_later_than_the_settling_time() {
        refused(|it, _| it.began = NOW - 800, EvidenceError::TooSoon);
        refused(|it, _| it.settled_since += 1, EvidenceError::TooSoon);
        refused(|_, asked| asked.lease = 901, EvidenceError::TooSoon);
        refused(
            |_, asked| asked.settling = Some(1201),
            EvidenceError::TooSoon,
        );
        // A shorter settling time than the lease demands is none.
        refused(
            |it, asked| {
                it.began = NOW - 800;
                asked.settling = Some(0);
            },
            EvidenceError::TooSoon,
        );
        refused(|it, _| it.settled_since = u64::MAX, EvidenceError::TooSoon);
        refused(
            |_, asked| asked.settling = Some(u64::MAX),
            EvidenceError::TooSoon,
        );
        // Nothing is settled where both clocks differ too much.
        refused(|it, _| it.settled_since = it.began, EvidenceError::TooSoon);
    }

    #[test]
    fn a_lease_that_was_changed_counts_for_a_day() {
        let changed = |ago| {
            move |it: &mut Evidence, asked: &mut Destruction| {
                asked.lease_changed = Some(it.began - ago);
            }
        };
        refused(changed(86_700), EvidenceError::TooSoon);
        permitted(changed(86_701));
        // In the window, a day and the allowance must have passed.
        let settled = |ago| {
            move |it: &mut Evidence, asked: &mut Destruction| {
                asked.lease_changed = Some(it.began);
                it.settled_since = it.began - ago;
                asked.changed = it.settled_since;
            }
        };
        refused(settled(86_700), EvidenceError::TooSoon);
        permitted(settled(86_701));
    }

    #[test]
    fn a_scan_ends_after_it_began_and_not_in_the_future() {
        refused(|it, _| it.ended = it.began - 1, EvidenceError::Clock);
        permitted(|it, _| it.ended = it.began);
        permitted(|it, _| it.ended = NOW + 300);
        refused(|it, _| it.ended = NOW + 301, EvidenceError::Clock);
    }

    #[test]
    fn a_scan_is_not_older_than_its_owner_allows() {
        permitted(|_, asked| asked.age = 799);
        refused(|_, asked| asked.age = 798, EvidenceError::TooOld);
    }

    #[test]
    fn no_place_is_no_evidence() {
        refused(|it, _| it.places.clear(), EvidenceError::NoPlaces);
    }

    #[test]
    fn a_key_in_use_is_refused() {
        refused(|it, _| it.in_use = 1, EvidenceError::InUse);
    }

    #[test]
    fn findings_are_accepted_exactly() {
        let class = FindingClass::LinkOut;
        let found = |it: &mut Evidence| {
            it.findings = vec![Finding::new(class, "a".as_ref(), "b")];
            it.more = vec![ClassCount::new(class, 2)];
        };
        permitted(|it, _| {
            found(it);
            it.accepted = vec![ClassCount::new(class, 3)];
        });
        for accepted in [
            vec![],
            vec![ClassCount::new(class, 1)],
            vec![ClassCount::new(class, 4)],
            vec![ClassCount::new(class, 3), ClassCount::new(class, 3)],
            vec![ClassCount::new(class, 1), ClassCount::new(class, 2)],
            vec![
                ClassCount::new(class, 3),
                ClassCount::new(FindingClass::Moved, 0),
            ],
            vec![ClassCount::new(FindingClass::Moved, 3)],
        ] {
            refused(
                |it, _| {
                    found(it);
                    it.accepted = accepted;
                },
                EvidenceError::Found,
            );
        }
        // What was not found is not accepted either.
        refused(
            |it, _| it.accepted = vec![ClassCount::new(class, 0)],
            EvidenceError::Found,
        );
        // The order is free.
        permitted(|it, _| {
            found(it);
            it.findings
                .push(Finding::new(FindingClass::Moved, "c".as_ref(), "d"));
            it.accepted = vec![
                ClassCount::new(FindingClass::Moved, 1),
                ClassCount::new(class, 3),
            ];
        });
    }

    #[test]
    fn the_time_from_which_a_scan_counts_is_told() {
        let (mut evidence, mut asked) = case();
        assert_eq!(not_before(&asked, evidence.settled_since), NOW - 799);
        asked.lease_changed = Some(NOW - 2000);
        let from = not_before(&asked, evidence.settled_since);
        (evidence.began, evidence.ended, asked.now) = (from, from, from);
        assert_eq!(permits(&evidence, &asked), Ok(()));
        evidence.began -= 1;
        assert_eq!(permits(&evidence, &asked), Err(EvidenceError::TooSoon));
        assert_eq!(not_before(&asked, u64::MAX), u64::MAX);
    }
}
