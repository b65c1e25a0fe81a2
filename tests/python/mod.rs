//! Where do Python packages for a test come from? From a registry, into a virtual environment below `target/`.

#![allow(dead_code)] // Each test binary uses a part of it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The interpreter of an environment of this name into which `installs` were installed, one call of pip each; `None`,
/// after printing why, if no registry can be reached. It is made once and kept.
pub fn environment(name: &str, installs: &[&[&str]]) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
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

/// A script that says `READY name=value …` and then runs until its standard input is closed, which happens when this
/// process ends.
pub struct Script {
    process: Child,
    ready: String,
}

impl Script {
    pub fn start(python: &Path, path: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script starts");
        let mut ready = String::new();
        let out = process.stdout.take().expect("the output is piped");
        BufReader::new(out).read_line(&mut ready).expect("the script says something");
        assert!(ready.starts_with("READY "), "{path} did not start: {ready}");
        Self { process, ready }
    }

    /// What the script said of itself.
    pub fn field(&self, name: &str) -> String {
        let mut words = self.ready.split_whitespace();
        let found = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no `{name}` in: {}", self.ready)).to_owned()
    }

    /// SIGKILL, in the middle of whatever it does.
    pub fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it was ours");
    }
}
