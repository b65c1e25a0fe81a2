//! curl as a client of `bareflight serve`: every event of a stream, behind a key.

use std::path::Path;
use std::process::Command;

use crate::support::serve_process::Serving;

const KEY: &str = "sk-test-key";

/// A server with a key.
fn serve(target: &str, folder: &Path) -> Serving {
    let path = folder.join("key");
    std::fs::write(&path, KEY).expect("the folder is ours");
    let key = path.to_str().expect("a plain path");
    Serving::start(&["--target", target, "--api-key-file", key])
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
    assert_eq!(
        events.len(),
        4,
        "three tokens, the last with the finish, and the end mark: {printed}"
    );
    assert_eq!(events.last(), Some(&"data: [DONE]"));
}
