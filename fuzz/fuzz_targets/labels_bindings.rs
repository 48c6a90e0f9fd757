//! Any labels and bindings: what a context takes is sealed and opened again, in any order, and nothing else opens it.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use phi_envelope::{Context, Error, error::ContextMismatch, inspect};
use phi_envelope_fuzz::READER;

type Pairs = Vec<(String, String)>;

fuzz_target!(|input: (Pairs, Pairs, Pairs)| {
    let (labels, bindings, others) = input;
    let Ok(context) = context(labels.iter(), bindings.iter()) else {
        return;
    };
    let envelope = READER.encrypt("BP", &context).expect("sealing");
    let backwards =
        self::context(labels.iter().rev(), bindings.iter().rev()).expect("the same pairs");
    assert_eq!(
        &READER.decrypt(&envelope, &backwards).expect("opening")[..],
        b"BP"
    );

    let sorted: BTreeMap<_, _> = labels.into_iter().collect();
    let found = inspect(&envelope).expect("what was sealed");
    assert_eq!(found.labels, sorted.into_iter().collect::<Vec<_>>());
    assert_eq!(found.has_bindings, !bindings.is_empty());

    let sets = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<BTreeMap<_, _>>();
    if let Ok(other) = self::context([].iter(), others.iter()) {
        let opened = READER.decrypt(&envelope, &other);
        assert_eq!(opened.is_ok(), sets(&bindings) == sets(&others));
        assert!(matches!(
            opened,
            Ok(_)
                | Err(Error::ContextMismatch(
                    ContextMismatch::BindingsDiffer
                        | ContextMismatch::BindingsMissing
                        | ContextMismatch::BindingsUnexpected
                ))
        ));
    }
});

fn context<'a>(
    labels: impl Iterator<Item = &'a (String, String)>,
    bindings: impl Iterator<Item = &'a (String, String)>,
) -> phi_envelope::Result<Context> {
    let mut context = Context::new();
    for (key, value) in labels {
        context = context.label(key, value)?;
    }
    for (key, value) in bindings {
        context = context.bind(key, value)?;
    }
    Ok(context)
}
