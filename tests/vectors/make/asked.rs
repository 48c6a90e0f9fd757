//! Who is asked for a data key, in which order and how often (FORMAT §4).

use super::craft::{Draft, service_slot};
use super::{Case, FAR, NEAR, NOTE, PASSPHRASE, Service, case};

pub(super) const DOWN: Service = Service { fails: true, ..FAR };
const OTHER: Service = Service {
    name: "org.example.other",
    ..FAR
};
pub(super) const AUTHENTIC: Service = Service {
    name: "org.example.authentic",
    authenticates: true,
    ..FAR
};

pub(super) fn cases() -> Vec<Case> {
    [order(), caps(), wrong_tags(), failures()]
        .into_iter()
        .flatten()
        .collect()
}

fn empty() -> Draft {
    Draft::new(1, vec![0, 0])
}

impl Draft {
    /// With slots of a service that do not unwrap.
    pub(super) fn with_wrong(mut self, service: Service, count: u8) -> Self {
        let wrong = |number| service_slot(service.name, &[b'w', number], &[number; 48]);
        self.slots.extend((0..count).map(wrong));
        self
    }

    pub(super) fn of(self, service: Service) -> Self {
        self.with_service(service.name, b"key-1", service.authenticates)
    }

    /// Sealed, with a bit of the generation flipped, which the header tag covers.
    fn seal_with_wrong_tag(&self) -> Vec<u8> {
        let mut record = self.seal(NOTE);
        record[11] ^= 1;
        record
    }
}

fn order() -> Vec<Case> {
    vec![
        case(
            "record_of_a_service",
            "A service that asks a network, asked once.",
            || {
                Case::record(empty().of(FAR).seal(NOTE))
                    .service(FAR, 1)
                    .opens(NOTE)
            },
        ),
        case(
            "record_memory_is_asked_before_a_network",
            "The service's slot stands first, and the master key opens without asking it.",
            || {
                Case::record(empty().of(FAR).with_master(1).seal(NOTE))
                    .key(1)
                    .service(FAR, 0)
                    .opens(NOTE)
            },
        ),
        case(
            "record_a_device_is_asked_before_a_network",
            "Two services, of which the second answers from the device itself.",
            || {
                Case::record(empty().of(FAR).of(NEAR).seal(NOTE))
                    .service(FAR, 0)
                    .service(NEAR, 1)
                    .opens(NOTE)
            },
        ),
        case(
            "record_a_network_is_asked_before_a_passphrase",
            "The passphrase's slot stands first, and its costs are above the reader's ceiling.",
            || {
                let costs = [65_536_u32, 13, 4].map(u32::to_be_bytes).concat();
                let wrapped = [costs.as_slice(), &[1; 92]].concat();
                let draft = empty().with_slot(0x02, &[2; 16], &wrapped).of(FAR);
                Case::record(draft.seal(NOTE))
                    .service(FAR, 1)
                    .passphrase(PASSPHRASE)
                    .opens(NOTE)
            },
        ),
        case(
            "record_a_passphrase_is_asked_last",
            "The service does not unwrap its slot, and the passphrase opens.",
            || {
                let draft = empty().with_passphrase(PASSPHRASE).with_wrong(FAR, 1);
                Case::record(draft.seal(NOTE))
                    .service(FAR, 1)
                    .passphrase(PASSPHRASE)
                    .opens(NOTE)
            },
        ),
        case(
            "record_of_a_service_that_authenticates",
            "What is wrapped binds what is authenticated beside it.",
            || {
                Case::record(empty().of(AUTHENTIC).seal(NOTE))
                    .service(AUTHENTIC, 1)
                    .opens(NOTE)
            },
        ),
    ]
}

fn caps() -> Vec<Case> {
    vec![
        case(
            "record_a_service_is_asked_four_times",
            "The fifth slot would open, and is not tried.",
            || {
                Case::record(empty().with_wrong(FAR, 4).of(FAR).seal(NOTE))
                    .service(FAR, 4)
                    .fails("limit-exceeded/provider-calls")
            },
        ),
        case(
            "record_a_service_opens_at_its_fourth_slot",
            "Three slots before it do not unwrap.",
            || {
                Case::record(empty().with_wrong(FAR, 3).of(FAR).seal(NOTE))
                    .service(FAR, 4)
                    .opens(NOTE)
            },
        ),
        case(
            "record_each_service_is_asked_four_times",
            "What one service was asked does not count for another.",
            || {
                let draft = empty().with_wrong(FAR, 5).with_wrong(OTHER, 3).of(OTHER);
                Case::record(draft.seal(NOTE))
                    .service(FAR, 4)
                    .service(OTHER, 4)
                    .opens(NOTE)
            },
        ),
        case(
            "record_a_passphrase_opens_after_a_cap",
            "A slot left untried is passed over.",
            || {
                let draft = empty().with_wrong(FAR, 5).with_passphrase(PASSPHRASE);
                Case::record(draft.seal(NOTE))
                    .service(FAR, 4)
                    .passphrase(PASSPHRASE)
                    .opens(NOTE)
            },
        ),
        case(
            "record_a_device_is_asked_without_a_cap",
            "Only those that ask a network are asked four times at most.",
            || {
                Case::record(empty().with_wrong(NEAR, 8).of(NEAR).seal(NOTE))
                    .service(NEAR, 9)
                    .opens(NOTE)
            },
        ),
    ]
}

fn wrong_tags() -> Vec<Case> {
    vec![
        case(
            "record_a_wrong_tag_stops_before_a_network",
            "The master key's slot unwraps under authentication and the header tag is wrong: nobody else is asked.",
            || {
                let record = empty().with_master(1).of(FAR).seal_with_wrong_tag();
                Case::record(record)
                    .key(1)
                    .service(FAR, 0)
                    .fails("authentication-failed/header")
            },
        ),
        case(
            "record_a_wrong_tag_stops_before_a_passphrase",
            "As before. The passphrase's costs are above the reader's ceiling, which it does not come to.",
            || {
                let costs = [65_536_u32, 13, 4].map(u32::to_be_bytes).concat();
                let wrapped = [costs.as_slice(), &[1; 92]].concat();
                let draft = empty().with_master(1).with_slot(0x02, &[2; 16], &wrapped);
                Case::record(draft.seal_with_wrong_tag())
                    .key(1)
                    .passphrase(PASSPHRASE)
                    .fails("authentication-failed/header")
            },
        ),
        case(
            "record_a_wrong_tag_stops_no_device",
            "All slots of the first time round are tried.",
            || {
                let record = empty().with_master(1).of(NEAR).seal_with_wrong_tag();
                Case::record(record)
                    .key(1)
                    .service(NEAR, 1)
                    .fails("authentication-failed/header")
            },
        ),
        case(
            "record_a_wrong_tag_behind_an_external_slot_stops_nothing",
            "What an external service unwraps counts as not authenticated, whatever it says.",
            || {
                let record = empty().of(AUTHENTIC).of(FAR).seal_with_wrong_tag();
                Case::record(record)
                    .service(AUTHENTIC, 1)
                    .service(FAR, 1)
                    .fails("authentication-failed/header")
            },
        ),
    ]
}

fn failures() -> Vec<Case> {
    vec![
        case(
            "record_a_service_that_is_down_is_reported",
            "First a failed authentication, then a service that is down.",
            || {
                let mut draft = empty().with_master(1).of(FAR);
                *draft.slots[0].last_mut().unwrap() ^= 1;
                Case::record(draft.seal(NOTE))
                    .key(1)
                    .service(DOWN, 1)
                    .fails("provider")
            },
        ),
        case(
            "record_a_suspended_key_is_reported",
            "First a key that may not be used, then a service whose slot does not unwrap.",
            || {
                let draft = empty().with_master(1).with_wrong(FAR, 1);
                Case::record(draft.seal(NOTE))
                    .suspended_key(1)
                    .service(FAR, 1)
                    .fails("key-not-usable")
            },
        ),
        case(
            "record_the_first_refusal_is_reported",
            "In the order tried: a service that is down comes before a wrong passphrase.",
            || {
                let draft = empty().with_passphrase(PASSPHRASE).of(FAR);
                Case::record(draft.seal(NOTE))
                    .service(DOWN, 1)
                    .passphrase("another")
                    .fails("provider")
            },
        ),
        case(
            "record_a_service_that_is_down_passed_over",
            "The master key's slot does not unwrap, one service is down, and another opens.",
            || {
                Case::record(empty().of(FAR).of(OTHER).seal(NOTE))
                    .service(DOWN, 1)
                    .service(OTHER, 1)
                    .opens(NOTE)
            },
        ),
    ]
}
