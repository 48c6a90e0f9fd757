//! Rules that stand behind others: nothing breaks without them alone. Each shows what it is for if its first line is dropped too.

mod common;

use common::{breaks, holds, number, stated};
use phi_envelope_lifecycle::Property::{self, NothingLost};
use phi_envelope_lifecycle::scenes::{self, without};
use phi_envelope_lifecycle::{Rule, Setup, explore};

/// All holds without the second line, and without the first, and not without both.
fn stands_behind(setup: Setup, second: Rule, first: &[Rule], property: Property) {
    let name = format!("{second:?}");
    holds(&setup);
    holds(&setup.without(second));
    let length = breaks(&name, &without(setup.without(second), first), property);
    stated(&name, &format!("{} | {length}", number(property)));
    holds(&without(setup, first));
}

#[test]
fn a_file_with_two_names_is_not_changed() {
    stands_behind(
        scenes::hard_link(),
        Rule::LinksWhenChanging,
        &[Rule::LinksAfterExchange],
        NothingLost,
    );
}

#[test]
fn both_clocks_are_compared() {
    stands_behind(
        scenes::early_scanner(),
        Rule::ClocksCompared,
        &[Rule::StoreClock],
        NothingLost,
    );
}

#[test]
fn evidence_of_a_later_revision_is_refused() {
    let setup = scenes::old_evidence();
    holds(&setup.without(Rule::EvidenceRevision));
    let first = setup.without(Rule::NotActive);
    let alone = breaks("NotActive", &first, NothingLost);
    let both = breaks(
        "EvidenceRevision",
        &first.without(Rule::EvidenceRevision),
        NothingLost,
    );
    assert!(both < alone);
    stated("EvidenceRevision", &format!("P1 | {both}"));
}

/// `archive::retire` can be repeated until the keyring has settled. Without either rule, each attempt makes it begin to settle again.
#[test]
fn a_key_that_is_out_of_use_can_be_destroyed() {
    let setup = scenes::retire();
    let first = setup.without(Rule::NothingWrittenTwice);
    let second = setup.without(Rule::ModificationTimeReadFirst);
    for setup in [setup, first, second] {
        assert!(holds(&setup).destroyed);
    }
    assert!(!holds(&first.without(Rule::ModificationTimeReadFirst)).destroyed);
}

/// A lease that is measured by the wall clock needs the rule, and the rule is not enough for it.
#[test]
fn a_wall_clock_that_went_back_ends_the_lease() {
    let mut boot = scenes::wall_clock();
    boot.wall_lease = false;
    holds(&boot.without(Rule::ClockBackEndsLease));
    let wall = scenes::wall_clock();
    let length = breaks(
        "ClockBackEndsLease",
        &wall.without(Rule::ClockBackEndsLease),
        NothingLost,
    );
    stated("ClockBackEndsLease", &format!("P1 | {length}"));
    assert_eq!(explore(&wall).broken, [NothingLost]);
}

/// These check that times make sense. No order of events was found in which they decide.
#[test]
fn checks_that_decide_nothing() {
    let mut setup = scenes::early_scanner();
    setup.evidence_age = 1;
    holds(&setup.without(Rule::BeganNotLater));
    holds(&setup.without(Rule::EvidenceAge));
    // Where the scanner's clock alone is believed, the check of `began` saves nothing: the destruction only waits.
    let believed = without(setup, &[Rule::StoreClock, Rule::ClocksCompared]);
    breaks("with BeganNotLater", &believed, NothingLost);
}
