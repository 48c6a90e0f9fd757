//! Labels and bindings that are not the envelope's.

use super::*;

#[test]
fn another_context_opens_nothing_and_wrong_presence_asks_no_provider() {
    let book = OpenBook::new("book");
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(book.clone())
        .segment_length(4096)
        .unwrap();
    let cipher = cipher.build().unwrap();
    let bound = cipher.encrypt("note", &context()).unwrap();
    let unbound = cipher.encrypt("note", &labels()).unwrap();
    let file = seal_inline(&cipher, &sample(STREAM));
    let (header, payload) = seal_detached(&cipher, &sample(STREAM));

    let sealed = Sealed {
        record: &bound,
        file: &file,
        header: &header,
        payload: &payload,
    };
    let differ = [
        (
            "one value differs",
            [("patient", "MRN-0042"), ("record", "78")].as_slice(),
        ),
        ("one is missing", &[("patient", "MRN-0042")]),
        (
            "one is more",
            &[("patient", "MRN-0042"), ("record", "77"), ("ward", "7")],
        ),
        (
            "keys and values moved",
            &[("patien", "tMRN-0042"), ("record", "77")],
        ),
        (
            "values exchanged",
            &[("patient", "77"), ("record", "MRN-0042")],
        ),
        (
            "in upper case",
            &[("Patient", "MRN-0042"), ("record", "77")],
        ),
    ];
    for (what, pairs) in differ {
        let context = &pairs
            .iter()
            .fold(labels(), |c, (key, value)| c.bind(key, value).unwrap());
        check_everywhere(
            &cipher,
            &sealed,
            context,
            ContextMismatch::BindingsDiffer,
            what,
        );
    }
    let labels_differ = [
        ("another value", [("tenant", "clinic-8")].as_slice()),
        ("a label that is not there", &[("ward", "7")]),
        (
            "one right and one wrong",
            &[("tenant", "clinic-7"), ("system", "lab")],
        ),
    ];
    for (what, pairs) in labels_differ {
        let context = &pairs
            .iter()
            .fold(bindings(), |c, (key, value)| c.label(key, value).unwrap());
        check_everywhere(
            &cipher,
            &sealed,
            context,
            ContextMismatch::LabelsDiffer,
            what,
        );
    }
    let asked = book.unwraps();
    check_everywhere(
        &cipher,
        &sealed,
        &labels(),
        ContextMismatch::BindingsMissing,
        "none",
    );
    let unexpected = Error::ContextMismatch(ContextMismatch::BindingsUnexpected);
    assert_record_refused(cipher.decrypt(&unbound, &context()), &unexpected);
    assert_eq!(book.unwraps(), asked);

    cipher.decrypt(&bound, &bindings()).unwrap(); // labels that are not presented are not compared
    cipher.decrypt(&unbound, &Context::new()).unwrap();
}

/// One plaintext in each form.
struct Sealed<'a> {
    record: &'a [u8],
    file: &'a [u8],
    header: &'a [u8],
    payload: &'a [u8],
}

fn check_everywhere(
    cipher: &EnvelopeCipher,
    sealed: &Sealed<'_>,
    context: &Context,
    expected: ContextMismatch,
    what: &str,
) {
    let expected = Error::ContextMismatch(expected);
    assert_same(
        &cipher.decrypt(sealed.record, context).unwrap_err(),
        &expected,
        what,
    );
    let payload = [&payload_head(sealed.header)[..], sealed.payload].concat();
    let streams = [
        drain_opened(cipher.decrypt_reader(sealed.file, context)),
        drain_opened(cipher.decrypt_reader_detached(sealed.header, &payload[..], context)),
    ];
    for (out, end) in streams {
        assert!(out.is_empty());
        assert_same(&end.unwrap_err(), &expected, what);
    }
}
