//! Explores, prints and compares with the tables of `README.md`.

#![allow(dead_code)] // Each test binary uses some of it.

use std::fs;

use phi_envelope_lifecycle::{Explored, Property, Rule, Setup, counterexample, explore};

/// The whole of `README.md`.
pub fn readme() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

/// Demands that a row of a table begins with one cell and ends with others.
pub fn stated(first: &str, last: &str) {
    let (first, last) = (format!("| `{first}` |"), format!("| {last} |"));
    assert!(
        readme()
            .lines()
            .any(|line| line.starts_with(&first) && line.ends_with(&last)),
        "README.md has no row {first} … {last}"
    );
}

/// The number of a property, as the tables name it.
pub fn number(property: Property) -> &'static str {
    property.name().split(':').next().unwrap()
}

/// Demands that all holds within the bounds.
pub fn holds(setup: &Setup) -> Explored {
    let explored = explore(setup);
    assert_eq!(explored.broken, [], "{explored:?}");
    explored
}

/// Finds the shortest counterexample and prints it.
pub fn breaks(what: &str, setup: &Setup, property: Property) -> usize {
    let Some(events) = counterexample(setup, property) else {
        panic!("{what}: no counterexample to {}", property.name());
    };
    println!("{what}: {} after {} events", property.name(), events.len());
    for event in &events {
        println!("    {event:?}");
    }
    events.len()
}

/// Demands that all holds in a scene, and that each of these properties breaks without its rule.
pub fn needs(setup: Setup, rules: &[(Rule, Property)]) {
    for (rule, property) in rules {
        let name = format!("{rule:?}");
        let length = breaks(&name, &setup.without(*rule), *property);
        stated(&name, &format!("{} | {length}", number(*property)));
    }
    println!("with every rule: {} states", holds(&setup).states);
}
