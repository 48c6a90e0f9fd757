//! Cases of FORMAT §9.4, "It permits one destruction", in `tests/vectors/evidence`: what evidence says, what is asked, and the verdict.

use serde::Serialize;
use serde_json::{Value, json};

use super::evidences::content;
use super::keyrings::encoded;

/// One case, field for field as its file holds it.
#[derive(Serialize)]
pub(super) struct Permission {
    #[serde(skip)]
    pub(super) name: &'static str,
    about: &'static str,
    evidence: Value,
    /// What the keyring's file says at the destruction.
    keyring: Value,
    /// What it says of the key.
    key: Value,
    now: u64,
    allowance: u64,
    age: u64,
    permits: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
}

impl Permission {
    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap() + "\n"
    }
}

const NOW: u64 = 1_800_000_050;
const BEGAN: u64 = 1_800_000_000;
const SETTLED: u64 = 1_799_998_799;
const DAY: u64 = 86_400;

/// Everything holds, by a second where seconds count.
fn permission() -> Permission {
    Permission {
        name: "",
        about: "",
        evidence: content(),
        keyring: json!({"id": encoded(&[0x1D; 16]), "revision": 7, "lease": 900}),
        key: json!({"id": encoded(&[0xC4; 16]), "state": "deactivated", "changed": SETTLED}),
        now: NOW,
        allowance: 300,
        age: DAY,
        permits: true,
        fault: None,
    }
}

type Edit = fn(&mut Permission);

fn permitted(name: &'static str, about: &'static str, edit: Edit) -> Permission {
    let mut case = permission();
    edit(&mut case);
    Permission {
        name,
        about,
        ..case
    }
}

fn refused(name: &'static str, about: &'static str, fault: &'static str, edit: Edit) -> Permission {
    Permission {
        permits: false,
        fault: Some(fault),
        ..permitted(name, about, edit)
    }
}

pub(super) fn cases() -> Vec<Permission> {
    [subjects(), times(), leases(), findings()]
        .into_iter()
        .flatten()
        .collect()
}

fn subjects() -> Vec<Permission> {
    vec![
        permitted(
            "all_of_it_holds",
            "By a second where seconds count.",
            |_| {},
        ),
        permitted(
            "the_key_is_compromised",
            "Any state but active and destroyed will do.",
            |case| case.key["state"] = json!("compromised"),
        ),
        permitted(
            "the_key_is_suspended",
            "Any state but active and destroyed will do.",
            |case| case.key["state"] = json!("suspended"),
        ),
        permitted(
            "the_keyring_went_on",
            "The keyring is a revision later than the scan has seen it.",
            |case| case.keyring["revision"] = json!(8),
        ),
        refused(
            "the_keyring_went_back",
            "The keyring is a revision older than the scan has seen it.",
            "older-keyring",
            |case| case.keyring["revision"] = json!(6),
        ),
        refused(
            "another_keyring",
            "Another keyring may hold the same key.",
            "other-keyring",
            |case| case.keyring["id"] = encoded(&[0x2D; 16]),
        ),
        refused(
            "another_key",
            "The key asked for is another than that of the evidence.",
            "other-key",
            |case| case.key["id"] = encoded(&[0xC3; 16]),
        ),
        refused(
            "the_key_of_a_service",
            "Such a key has no destruction on evidence.",
            "other-key",
            |case| {
                case.evidence["keyring"] = Value::Null;
                case.evidence["key"]["scheme"] = json!(4);
            },
        ),
        refused(
            "evidence_of_another_scheme",
            "An id of 16 bytes, and not of a keyring's slot.",
            "other-key",
            |case| case.evidence["key"]["scheme"] = json!(2),
        ),
        refused(
            "evidence_without_a_keyring",
            "A key of scheme 0x01 whose keyring is null.",
            "other-key",
            |case| case.evidence["keyring"] = Value::Null,
        ),
        refused(
            "the_key_is_active",
            "An active key is in use, whatever was found.",
            "changed-since",
            |case| case.key["state"] = json!("active"),
        ),
    ]
}

fn times() -> Vec<Permission> {
    vec![
        refused(
            "the_key_changed_since",
            "The key's state changed a second after the time from which the scan counts.",
            "changed-since",
            |case| case.key["changed"] = json!(SETTLED + 1),
        ),
        refused(
            "the_scan_began_when_the_settling_time_ended",
            "It begins after the settling time, and not in its last second.",
            "too-soon",
            |case| case.evidence["began"] = json!(BEGAN - 1),
        ),
        refused(
            "nothing_is_settled",
            "The clocks differed, so that the scan counts from when it began.",
            "too-soon",
            |case| case.evidence["settled_since"] = json!(BEGAN),
        ),
        refused(
            "a_time_beyond_all_clocks",
            "The settling time ends at no time that there is.",
            "too-soon",
            |case| case.evidence["settled_since"] = json!(9_007_199_254_740_991_u64),
        ),
        refused(
            "the_scan_ended_before_it_began",
            "A clock went back.",
            "clock",
            |case| case.evidence["ended"] = json!(BEGAN - 1),
        ),
        permitted(
            "the_scan_ended_when_it_began",
            "A scan of less than a second.",
            |case| case.evidence["ended"] = json!(BEGAN),
        ),
        permitted(
            "the_scan_ended_within_the_allowance",
            "Its clock may be ahead by the allowance.",
            |case| case.evidence["ended"] = json!(NOW + 300),
        ),
        refused(
            "the_scan_ended_in_the_future",
            "Its clock is ahead by a second more than the allowance.",
            "clock",
            |case| case.evidence["ended"] = json!(NOW + 301),
        ),
        permitted("the_scan_is_a_day_old", "As old as it may be.", |case| {
            case.now = BEGAN + DAY;
        }),
        refused(
            "the_scan_is_older_than_a_day",
            "A second older than it may be.",
            "too-old",
            |case| case.now = BEGAN + DAY + 1,
        ),
    ]
}

fn leases() -> Vec<Permission> {
    vec![
        refused(
            "a_longer_lease",
            "The lease of the keyring's file at the destruction counts.",
            "too-soon",
            |case| case.keyring["lease"] = json!(901),
        ),
        permitted("a_shorter_lease", "The lease was never changed.", |case| {
            case.keyring["lease"] = json!(1);
        }),
        refused(
            "a_longer_allowance",
            "The allowance is a part of the settling time.",
            "too-soon",
            |case| case.allowance = 301,
        ),
        refused(
            "the_lease_was_changed_a_day_ago",
            "A process may hold the longest lease that there was.",
            "too-soon",
            |case| case.keyring["lease_changed"] = json!(BEGAN - DAY - 300),
        ),
        permitted(
            "the_lease_was_changed_before_that",
            "A day and the allowance, and a second.",
            |case| case.keyring["lease_changed"] = json!(BEGAN - DAY - 301),
        ),
        permitted(
            "the_lease_was_changed_and_a_day_has_passed",
            "The scan counts from a day, the allowance and a second before it began.",
            |case| {
                case.keyring["lease_changed"] = json!(BEGAN);
                case.evidence["settled_since"] = json!(BEGAN - DAY - 301);
                case.key["changed"] = json!(BEGAN - DAY - 301);
            },
        ),
        refused(
            "the_lease_was_changed_and_less_than_a_day_has_passed",
            "A second less.",
            "too-soon",
            |case| {
                case.keyring["lease"] = json!(1);
                case.keyring["lease_changed"] = json!(BEGAN);
                case.evidence["settled_since"] = json!(BEGAN - DAY - 300);
                case.key["changed"] = json!(BEGAN - DAY - 300);
            },
        ),
    ]
}

/// Two links by name and two more, and one file that is excluded.
fn found(case: &mut Permission) {
    let finding = |class: &str| json!({"class": class, "path": "/archive/x", "rule": "r"});
    case.evidence["findings"] = json!([
        finding("link-out"),
        finding("excluded"),
        finding("link-out"),
    ]);
    case.evidence["more"] = json!([{"class": "link-out", "count": 2}]);
}

fn accepted(case: &mut Permission, accepted: &[(&str, u64)]) {
    found(case);
    let accepted = accepted
        .iter()
        .map(|(class, count)| json!({"class": class, "count": count}));
    case.evidence["accepted"] = accepted.collect();
}

fn findings() -> Vec<Permission> {
    vec![
        refused("no_places", "Nothing was looked at.", "no-places", |case| {
            case.evidence["places"] = json!([]);
        }),
        refused(
            "an_envelope_uses_the_key",
            "One, whatever else opens it.",
            "in-use",
            |case| case.evidence["in_use"] = json!(1),
        ),
        permitted(
            "all_findings_are_accepted",
            "Each class with its count, of both lists, in any order.",
            |case| accepted(case, &[("link-out", 4), ("excluded", 1)]),
        ),
        permitted(
            "all_findings_are_accepted_in_another_order",
            "Each class with its count, of both lists, in any order.",
            |case| accepted(case, &[("excluded", 1), ("link-out", 4)]),
        ),
        refused("no_finding_is_accepted", "Five findings.", "found", found),
        refused(
            "one_class_is_not_accepted",
            "One of two classes.",
            "found",
            |case| accepted(case, &[("link-out", 4)]),
        ),
        refused(
            "fewer_are_accepted_than_were_found",
            "The count of the second list is left out.",
            "found",
            |case| accepted(case, &[("link-out", 2), ("excluded", 1)]),
        ),
        refused(
            "more_are_accepted_than_were_found",
            "A count too great.",
            "found",
            |case| accepted(case, &[("link-out", 5), ("excluded", 1)]),
        ),
        refused(
            "one_class_is_accepted_twice",
            "The counts of one class add up.",
            "found",
            |case| accepted(case, &[("link-out", 3), ("link-out", 1), ("excluded", 1)]),
        ),
        refused(
            "a_class_is_accepted_that_was_not_found",
            "None of a class.",
            "found",
            |case| accepted(case, &[("link-out", 4), ("excluded", 1), ("moved", 0)]),
        ),
    ]
}
