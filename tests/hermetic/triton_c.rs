//! What `triton-c:` refuses before Triton's library is loaded: a place without a model, a library that is not there.

use bareflight::targets::triton_c::{TritonCOptions, TritonCTarget};

#[test]
fn a_place_that_holds_no_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = |place: &str| TritonCOptions::new(place).unwrap_err().to_string();
    let missing = error(&format!("{}/nonsense", folder.path().display()));
    assert!(missing.contains("holds no model `nonsense`"), "{missing}");
    assert!(error("nonsense").contains("names no model"));
    assert!(error("/nowhere/model").contains("there is no folder `/nowhere`"));
}

#[test]
fn a_missing_library_is_reported_before_anything_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("m")).unwrap();
    let mut options = TritonCOptions::new(&format!("{}/m", folder.path().display())).unwrap();
    options.library = Some("/nowhere/libtritonserver.so".into());
    let error = TritonCTarget::new(options).unwrap_err().to_string();
    assert!(error.contains("/nowhere/libtritonserver.so"), "{error}");
    assert!(error.contains("--triton-library"), "{error}");
}
