//! Bindings of Triton's C API: every function of the header, and generated from the header that is here.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

/// Names of functions in a text, each before one of these marks.
fn functions(text: &str, mark: char) -> BTreeSet<&str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != mark)
        .filter_map(|word| word.split_once(mark))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("TRITONSERVER_"))
        .collect()
}

#[test]
fn the_bindings_are_those_of_the_header() {
    let header = functions(include_str!("../../ffi/triton/tritonserver.h"), '(');
    let bindings = functions(include_str!("../../ffi/triton/bindings.rs"), ':');
    assert_eq!(header, bindings);
}

/// Of the header that `bindings.rs` was made from. Whoever changes the header runs `just bindings`, then
/// `sha256sum ffi/triton/tritonserver.h`; `just bindings --check` compares all of it, where bindgen is installed.
const HEADER: &str = "3522399b86676992b66443c180246061d3230f3a4f302242c65a47440504bb07";

#[test]
fn the_header_is_the_one_that_the_bindings_were_made_from() {
    let digest = Sha256::digest(include_bytes!("../../ffi/triton/tritonserver.h"));
    assert_eq!(format!("{digest:x}"), HEADER);
}
