//! `launch.json`: the server that was started for a run, from its command line to its end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is known of a launched server once it is ready; part of the manifest too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchFacts {
    /// What it is called.
    pub name: String,
    /// Its command line, without secrets.
    pub command_line: Vec<String>,
    /// Variables that were set for it, without secrets.
    pub env: BTreeMap<String, String>,
    /// What it says of its version, where it says so in time.
    pub version: Option<String>,
    /// What was measured.
    pub target: String,
    /// Its process, the leader of a group.
    pub pid: i32,
    /// When it was started, wall clock, UTC.
    pub started: String,
    /// What said that it is ready.
    pub ready_when: String,
    /// How long that took; `None` where it never was.
    pub ready_after_s: Option<f64>,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchFile {
    /// What the manifest says too.
    #[serde(flatten)]
    pub facts: LaunchFacts,
    /// Variables that it inherited, without secrets.
    pub inherited_env: BTreeMap<String, String>,
    /// How often it was started: more than once where one side is open at a time.
    #[serde(default = "once")]
    pub starts: u32,
    /// How its own process ended, e.g. `exit code 0` or `signal SIGKILL`.
    pub ended: Option<String>,
    /// The last signal that was needed to end all that it had started; none where it ended by itself.
    pub stopped_by: Option<String>,
    /// From the first signal until nothing of it was left.
    pub stopped_after_s: Option<f64>,
    /// Processes that outlived SIGKILL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<i32>,
}

fn once() -> u32 {
    1
}

impl LaunchFile {
    /// As text.
    ///
    /// # Panics
    /// Never: every key is a string.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .expect("every key is a string, and a string in memory takes any length");
        text.push('\n');
        text
    }
}
