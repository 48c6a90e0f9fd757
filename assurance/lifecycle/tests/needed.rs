//! Each rule is needed: without it alone, a property breaks; with it, within the same bounds, none does.

mod common;

use common::{needs, readme};
use phi_envelope_lifecycle::Property::{
    NoLateWrap, NoOlderKeyring, NothingLost, NothingOverwritten, PassesGoForward, StatesTakeEffect,
};
use phi_envelope_lifecycle::{Rule, scenes};

#[test]
fn the_tables_name_every_rule() {
    let readme = readme();
    for rule in Rule::ALL {
        assert!(readme.contains(&format!("`{rule:?}`")), "{rule:?}");
    }
}

#[test]
fn a_wrap_needs_the_lease_and_a_scan_a_settled_keyring() {
    needs(
        scenes::records(),
        &[
            (Rule::Lease, NothingLost),
            (Rule::Lease, NoLateWrap),
            (Rule::Settling, NothingLost),
            (Rule::SettlingUpToBegan, NothingLost),
            (Rule::SettlingStrictly, NothingLost),
            (Rule::InUseZero, NothingLost),
        ],
    );
}

#[test]
fn the_lease_counts_from_before_the_look() {
    needs(
        scenes::slow_looks(),
        &[
            (Rule::LeaseFromBeforeLook, NothingLost),
            (Rule::LeaseFromBeforeLook, NoLateWrap),
        ],
    );
}

#[test]
fn the_lease_counts_sleep() {
    needs(scenes::sleep(), &[(Rule::LeaseCountsSleep, NothingLost)]);
}

#[test]
fn the_allowance_covers_a_clock_that_stands_still() {
    needs(scenes::still(), &[(Rule::Allowance, NothingLost)]);
}

#[test]
fn the_allowance_covers_the_way_of_an_envelope_to_its_place() {
    needs(scenes::flight(), &[(Rule::Allowance, NothingLost)]);
}

#[test]
fn a_rotator_whose_clock_is_behind() {
    needs(
        scenes::late_rotator(),
        &[(Rule::ModificationTime, NothingLost)],
    );
}

#[test]
fn a_scanner_whose_clock_is_ahead_by_the_allowance() {
    needs(
        scenes::spent_allowance(),
        &[(Rule::StoreClock, NothingLost)],
    );
}

#[test]
fn a_session() {
    needs(
        scenes::sessions(),
        &[
            (Rule::SessionRecordNeedsLease, NothingLost),
            (Rule::SessionRollsOver, NothingLost),
        ],
    );
}

#[test]
fn a_long_stream() {
    needs(
        scenes::streams(),
        &[
            (Rule::FinishNeedsLease, NothingLost),
            (Rule::FinishMakesSlotAgain, NothingLost),
        ],
    );
}

#[test]
fn a_pass() {
    needs(
        scenes::passes(),
        &[
            (Rule::PassLeaseAtEachHeader, NothingLost),
            (Rule::PassLeaseAtEachHeader, PassesGoForward),
            (Rule::Exchange, NothingOverwritten),
        ],
    );
}

#[test]
fn what_a_provider_answers_and_what_a_scan_does_not_examine() {
    needs(
        scenes::bad_answers(),
        &[
            (Rule::WrapsAreTried, NothingLost),
            (Rule::FindingsRefuse, NothingLost),
        ],
    );
}

#[test]
fn a_suspended_key_and_a_compromised_one() {
    needs(
        scenes::reads(),
        &[
            (Rule::ReadingConfirms, StatesTakeEffect),
            (Rule::RefusalChangesNothing, StatesTakeEffect),
        ],
    );
}

#[test]
fn a_file_that_is_bind_mounted() {
    needs(
        scenes::bind_mount(),
        &[
            (Rule::LinksWhenConfirming, NothingLost),
            (Rule::LinksWhenOpening, NothingLost),
        ],
    );
}

#[test]
fn a_hard_link_made_during_a_change() {
    needs(
        scenes::hard_link_in_between(),
        &[(Rule::LinksAfterExchange, NothingLost)],
    );
}

#[test]
fn a_fork() {
    needs(
        scenes::forks(),
        &[
            (Rule::RevisionNotLower, NoOlderKeyring),
            (Rule::SameRevisionSamePlaintext, NoOlderKeyring),
            (Rule::Chain, NoOlderKeyring),
        ],
    );
}

#[test]
fn an_old_keyring_after_a_destruction() {
    needs(
        scenes::old_keyring(),
        &[
            (Rule::PinWhenOpening, NothingLost),
            (Rule::PinWhenOpening, NoLateWrap),
            (Rule::PinWhenConfirming, NothingLost),
            (Rule::PinWhenConfirming, NoLateWrap),
        ],
    );
}

#[test]
fn a_keyring_forged_with_an_old_data_key() {
    needs(
        scenes::forgery(),
        &[
            (Rule::NewDataKey, NoOlderKeyring),
            (Rule::DataKeyNumber, NoOlderKeyring),
        ],
    );
}

#[test]
fn two_writers() {
    needs(
        scenes::two_writers(),
        &[(Rule::CompareAndSwap, NothingLost)],
    );
}

#[test]
fn a_copy_that_is_assigned_back() {
    needs(scenes::kept_copy(), &[(Rule::UpdateFollows, NothingLost)]);
}

#[test]
fn a_key_that_is_imported_again() {
    needs(scenes::import(), &[(Rule::KeysCompared, NoLateWrap)]);
}

#[test]
fn another_keyring_with_the_same_key() {
    needs(
        scenes::shared_key(),
        &[(Rule::EvidenceNamesKeyring, NothingLost)],
    );
}

#[test]
fn a_shorter_lease() {
    needs(
        scenes::shorter_lease(),
        &[
            (Rule::LeaseWindow, NothingLost),
            (Rule::LeaseWindowAtBegan, NothingLost),
        ],
    );
}

#[test]
fn a_shorter_lease_and_a_clock_that_stands_still() {
    needs(
        scenes::shorter_lease_still(),
        &[(Rule::LeaseWindowAllowance, NothingLost)],
    );
}

#[test]
fn a_shorter_lease_and_a_clock_that_is_behind() {
    needs(
        scenes::shorter_lease_late(),
        &[(Rule::LeaseChangedByLaterClock, NothingLost)],
    );
}

#[test]
fn an_envelope_under_two_keys() {
    needs(
        scenes::two_slots(),
        &[(Rule::InUseCountsSlots, NothingLost)],
    );
}

#[test]
fn old_evidence() {
    needs(scenes::old_evidence(), &[(Rule::NotActive, NothingLost)]);
}

#[test]
fn old_evidence_and_a_second_rotation() {
    needs(
        scenes::old_evidence_rotated(),
        &[(Rule::ChangedNotAfter, NothingLost)],
    );
}

#[test]
fn an_envelope_that_moves_during_a_scan() {
    needs(scenes::moves(), &[(Rule::FoldersAgain, NothingLost)]);
}

#[test]
fn an_envelope_that_moves_where_the_times_of_folders_are_coarse() {
    needs(
        scenes::moves_in_coarse_folders(),
        &[(Rule::FreshFoldersAgain, NothingLost)],
    );
}
