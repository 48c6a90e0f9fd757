//! What speaks against a header block and what stops the reader (FORMAT §7), and whose slots show a maker (§4).

use super::asked::{AUTHENTIC, DOWN};
use super::craft::{Draft, service_slot};
use super::keyrings::content;
use super::{Case, FAR, NEAR, NOTE, PASSPHRASE, Service, case};

pub(super) fn cases() -> Vec<Case> {
    [blocks(), makers()].into_iter().flatten().collect()
}

/// Two blocks, of which the second is a generation newer.
fn with_newer(older: &Draft, mut newer: Draft) -> Case {
    newer.generation = older.generation + 1;
    let payload = older.floe().message(&[NOTE]);
    Case::inline([older.block(), newer.block(), payload].concat())
}

fn blocks() -> Vec<Case> {
    let bare = || Draft::new(2, vec![0, 0]);
    let emptied = |draft: &Draft| {
        let mut again = draft.again();
        again.slots.clear();
        again
    };
    // The older opens by master key 1.
    let stopped = |newer: &dyn Fn(Draft) -> Draft| {
        let older = bare().with_master(1);
        let newer = newer(emptied(&older));
        with_newer(&older, newer).key(1)
    };
    vec![
        case(
            "stream_inline_newer_block_whose_slot_does_not_unwrap",
            "A failed authentication of every slot speaks against the newer block: A opens.",
            || {
                stopped(&|mut newer| {
                    newer = newer.with_master(1);
                    *newer.slots[0].last_mut().unwrap() ^= 1;
                    newer
                })
                .opens(NOTE)
                .damage("second-block")
            },
        ),
        case(
            "stream_inline_newer_block_of_a_suspended_key",
            "A key that may not be used does not speak against the newer block: no falling back.",
            || {
                stopped(&|newer| newer.with_master(2))
                    .suspended_key(2)
                    .fails("key-not-usable")
            },
        ),
        case(
            "stream_inline_newer_block_of_another_passphrase",
            "A wrong passphrase does not speak against the newer block: no falling back.",
            || {
                stopped(&|newer| newer.with_passphrase(PASSPHRASE))
                    .passphrase("another")
                    .fails("wrong-passphrase")
            },
        ),
        case(
            "stream_inline_newer_block_of_a_service_that_is_down",
            "A service that is down does not speak against the newer block: no falling back.",
            || {
                stopped(&|newer| newer.of(FAR))
                    .service(DOWN, 1)
                    .fails("provider")
            },
        ),
        case(
            "stream_inline_newer_block_of_a_slot_left_untried",
            "A cap does not speak against the newer block: no falling back.",
            || {
                stopped(&|newer| newer.with_wrong(FAR, 5))
                    .service(FAR, 4)
                    .fails("limit-exceeded/provider-calls")
            },
        ),
        case(
            "stream_inline_newer_block_of_four_wrong_slots",
            "Every slot was tried, and each failed authentication: A opens.",
            || {
                stopped(&|newer| newer.with_wrong(FAR, 4))
                    .service(FAR, 4)
                    .opens(NOTE)
                    .damage("second-block")
            },
        ),
        case(
            "stream_inline_newer_block_of_one_refusal",
            "One slot does not unwrap and one key may not be used: the refusal stops the reader.",
            || {
                stopped(&|mut newer| {
                    newer = newer.with_master(1).with_master(2);
                    *newer.slots[0].last_mut().unwrap() ^= 1;
                    newer
                })
                .suspended_key(2)
                .fails("key-not-usable")
            },
        ),
        case(
            "stream_inline_newer_block_with_bindings",
            "A context mismatch does not speak against the newer block: no falling back.",
            || {
                stopped(&|mut newer| {
                    newer.bindings = super::craft::pairs(&[(b"patient", b"MRN-0042")]);
                    newer.with_master(1)
                })
                .fails("context-mismatch/bindings-missing")
            },
        ),
        case(
            "stream_inline_answers_serve_both_blocks",
            "Slots whose bytes were tried in the newer block are not asked for again in the older.",
            || {
                let older = bare().with_wrong(FAR, 3).of(FAR);
                let newer = emptied(&older).with_wrong(FAR, 3);
                with_newer(&older, newer)
                    .service(FAR, 4)
                    .opens(NOTE)
                    .damage("second-block")
            },
        ),
        case(
            "stream_inline_each_block_has_calls_of_its_own",
            "Four wrong slots of the newer block leave four calls for the older.",
            || {
                let mut older = bare().of(FAR);
                older
                    .slots
                    .insert(0, service_slot(FAR.name, b"other", &[9; 48]));
                let newer = emptied(&older).with_wrong(FAR, 4);
                with_newer(&older, newer)
                    .service(FAR, 6)
                    .opens(NOTE)
                    .damage("second-block")
            },
        ),
    ]
}

/// Files of the format's own are believed by slots that show their maker alone.
fn makers() -> Vec<Case> {
    let keyring = |services: &[Service]| {
        let file = super::keyrings::new_file(1);
        let file = services
            .iter()
            .fold(file, |file, service| file.of(*service));
        file.seal(content().to_string().as_bytes())
    };
    vec![
        case(
            "keyring_file_of_a_service_that_authenticates",
            "The service says that it authenticates what is wrapped beside the data key.",
            || {
                Case::keyring_file(keyring(&[AUTHENTIC]))
                    .service(AUTHENTIC, 1)
                    .holds(&content())
            },
        ),
        case(
            "keyring_file_of_a_service_that_does_not_authenticate",
            "The service would open it, is not asked, and nobody knows the maker.",
            || {
                Case::keyring_file(keyring(&[FAR]))
                    .service(FAR, 0)
                    .fails("maker-unknown")
            },
        ),
        case(
            "keyring_file_of_two_services",
            "Only the slot that shows the maker is tried.",
            || {
                Case::keyring_file(keyring(&[NEAR, AUTHENTIC]))
                    .service(NEAR, 0)
                    .service(AUTHENTIC, 1)
                    .holds(&content())
            },
        ),
    ]
}
