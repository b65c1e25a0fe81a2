//! Where do Python packages for a test come from? From a registry, into a virtual environment below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter of an environment of this name into which `installs` were installed, one call of pip each; `None`,
/// after printing why, if no registry can be reached. It is made once and kept.
pub fn environment(name: &str, installs: &[&[&str]]) -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let python = venv.join("bin/python");
    let complete = venv.join("complete");
    let wanted = format!("{installs:?}");
    if std::fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        return Some(python);
    }
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv).output();
    let made = made.expect("python3 is needed for this test");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for packages in installs {
        let pip = Command::new(&python)
            .args(["-m", "pip", "install", "-q", "--disable-pip-version-check"])
            .args(*packages)
            .output()
            .expect("the new environment has pip");
        if !pip.status.success() {
            let words = String::from_utf8_lossy(&pip.stderr).into_owned();
            let unreachable = ["connection", "retries", "resolve", "timed out", "network"];
            assert!(
                unreachable.iter().any(|word| words.to_lowercase().contains(word)),
                "pip install {packages:?}: {words}"
            );
            eprintln!("SKIPPED: no package registry can be reached, so {name} is missing: {words}");
            return None;
        }
    }
    std::fs::write(&complete, wanted).expect("the environment is ours to write to");
    Some(python)
}
