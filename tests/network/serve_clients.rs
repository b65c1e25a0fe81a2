//! Clients that people use against `bareflight serve`: OpenAI's package and Triton's.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::python::environment;
use crate::support::serve_process::Serving;

tests! {
    openais_own_package_gets_along_with_every_engine,
    tritons_own_client_gets_along_with_every_engine,
}

const KEY: &str = "sk-test-key";

fn python() -> PathBuf {
    environment("clients")
}

/// One of each kind of engine, with a key.
fn serve(target: &str, folder: &Path) -> Serving {
    let path = folder.join("key");
    std::fs::write(&path, KEY).expect("the folder is ours");
    let key = path.to_str().expect("a plain path");
    Serving::start(&["--target", target, "--api-key-file", key])
}

fn script(python: &Path, name: &str, arguments: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/network/client_scripts");
    let output = Command::new(python).arg(folder.join(name)).args(arguments).output();
    let output = output.expect("the interpreter starts");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}:\n{words}");
}

fn openais_own_package_gets_along_with_every_engine() {
    let python = python();
    for target in ["sim:explicit,base_us=2000", "local:dummy-pico"] {
        let folder = tempfile::tempdir().expect("a folder");
        let serving = serve(target, folder.path());
        let model = serving.ready["model"].as_str().expect("a name");
        script(&python, "openai_client.py", &[&serving.openai, model, KEY]);
    }
}

fn tritons_own_client_gets_along_with_every_engine() {
    let python = python();
    for target in ["sim:explicit,base_us=2000", "local:dummy-pico"] {
        let folder = tempfile::tempdir().expect("a folder");
        let serving = serve(target, folder.path());
        script(&python, "triton_client.py", &[&serving.grpc, KEY]);
    }
}
