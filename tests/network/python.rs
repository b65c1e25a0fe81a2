//! Python environments from `environment.sh`, and scripts that run in them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The interpreter of an environment of `environment.sh`. It is made once and kept; where it cannot be made, every test
/// that needs it fails.
pub fn environment(name: &str) -> PathBuf {
    // What failed once is not tried again: without a network each try takes minutes.
    static MADE: Mutex<BTreeMap<String, Result<PathBuf, String>>> = Mutex::new(BTreeMap::new());
    let made = {
        let mut all = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.to_owned()).or_insert_with(|| make(name)).clone()
    };
    made.unwrap_or_else(|error| {
        panic!(
            "the Python environment `{name}` cannot be made; BAREFLIGHT_SKIP_NETWORK=1 ignores tests that need a network: \
             {error}"
        )
    })
}

fn make(name: &str) -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/network/environment.sh");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let made = Command::new("bash").arg(script).arg(folder).arg(name).output();
    let made = made.map_err(|error| format!("bash: {error}"))?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned());
    }
    Ok(folder.join(format!("{name}-venv/bin/python")))
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
