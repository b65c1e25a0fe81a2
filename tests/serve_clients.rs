//! Do the clients that people use get along with `bareflight serve`? OpenAI's package, Triton's, and curl.

#[path = "python/mod.rs"]
mod python;
#[allow(dead_code)] // Each test file looks at its own part.
mod serve_process;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serve_process::Serving;

const KEY: &str = "sk-test-key";

fn python() -> Option<&'static PathBuf> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let packages = &["openai>=1.60", "tritonclient[grpc]>=2.50", "numpy"][..];
    PYTHON.get_or_init(|| python::environment("clients-venv", &[packages])).as_ref()
}

/// One of each kind of engine, with a key.
fn serve(target: &str, folder: &Path) -> Serving {
    let path = folder.join("key");
    std::fs::write(&path, KEY).expect("the folder is ours");
    let key = path.to_str().expect("a plain path");
    Serving::start(&["--target", target, "--api-key-file", key])
}

fn script(python: &Path, name: &str, arguments: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve_clients");
    let output = Command::new(python).arg(folder.join(name)).args(arguments).output();
    let output = output.expect("the interpreter starts");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}:\n{words}");
}

#[test]
fn openais_own_package_gets_along_with_every_engine() {
    let Some(python) = python() else { return };
    for target in ["sim:explicit,base_us=2000", "local:dummy-pico"] {
        let folder = tempfile::tempdir().expect("a folder");
        let serving = serve(target, folder.path());
        let model = serving.ready["model"].as_str().expect("a name");
        script(python, "openai_client.py", &[&serving.openai, model, KEY]);
    }
}

#[test]
fn tritons_own_client_gets_along_with_every_engine() {
    let Some(python) = python() else { return };
    for target in ["sim:explicit,base_us=2000", "local:dummy-pico"] {
        let folder = tempfile::tempdir().expect("a folder");
        let serving = serve(target, folder.path());
        script(python, "triton_client.py", &[&serving.grpc, KEY]);
    }
}

#[test]
fn curl_sees_every_event_of_a_stream() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = serve("null:", folder.path());
    let output = Command::new("curl")
        .args([
            "-sS",
            "--no-buffer",
            "--fail-with-body",
            "-H",
            &format!("authorization: Bearer {KEY}"),
        ])
        .args(["-H", "content-type: application/json"])
        .args(["-d", r#"{"prompt":"w0001 w0002","max_tokens":3,"stream":true}"#])
        .arg(format!("{}/v1/completions", serving.openai))
        .output()
        .expect("curl is needed for this test");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let events: Vec<_> = printed.lines().filter(|line| line.starts_with("data: ")).collect();
    assert_eq!(events.len(), 5, "three tokens, the finish and the end mark: {printed}");
    assert_eq!(events.last(), Some(&"data: [DONE]"));
}
