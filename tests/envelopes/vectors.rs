//! The frozen vectors, read through the public API alone.

use std::path::Path;

use crate::vector::check_all;

#[test]
fn every_vector_has_its_outcome() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let read = check_all(&folder);
    assert!(read >= 528, "only {read} vectors were read");
}
