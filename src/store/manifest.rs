//! Run manifest: what is needed to repeat an experiment and to judge it. Written at its start and at its end.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::Nanos;
use crate::engine_directory::EngineProblem;
use crate::metrics::RunFacts;
use crate::metrics::summary::SCHEMA_VERSION;
use crate::observe::gpu::state::Machine;
use crate::observe::health::{ClientRate, Health, NullRate};
use crate::observe::host::{Build, Host};
use crate::request::RequestId;
use crate::settings::Resolved;
use crate::settings::declared::Declared;
use crate::settings::masking;
use crate::settings::time_unit::TimeUnit;
use crate::store::launch_file::LaunchFacts;
use crate::store::partial_files::PartialNames;
use crate::store::sent_before::PromptFacts;
use crate::store::write::write_whole;
use crate::targets::TargetInfo;
use crate::warning::Code;
use crate::workload::Workload;

/// How far an experiment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has begun. Found in a folder whose process is gone, it means that the process was killed.
    Running,
    /// Every point was measured.
    Complete,
    /// The user ended it early.
    Interrupted,
    /// The target failed as a whole.
    Failed,
    /// Measured to the end, and not everything could be written.
    Incomplete,
}

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the shape of the files.
    pub schema_version: u32,
    /// How far it has come.
    pub state: State,
    /// This program.
    pub tool: Build,
    /// As typed.
    pub command_line: Vec<String>,
    /// When it began, wall clock, UTC.
    pub started: String,
    /// When it ended.
    pub ended: Option<String>,
    /// The machine.
    pub host: Host,
    /// The GPUs as they were before the first request, where any are watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Machine>,
    /// What answered.
    pub target: TargetInfo,
    /// The server that was started for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch: Option<LaunchFacts>,
    /// The processes that sent the load, where it was divided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<WorkerEntry>,
    /// A title for reports.
    pub title: String,
    /// The one seed.
    pub seed: u64,
    /// What prompts were drawn from with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<PromptFacts>,
    /// What the harness reaches on this machine (L0).
    pub null_rate: Option<NullRate>,
    /// What its client reads at most on this machine, where the target is a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_rate: Option<ClientRate>,
    /// What an hour of one GPU costs, where the user says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_hour_price: Option<f64>,
    /// What the user says of server and run.
    #[serde(default, skip_serializing_if = "Declared::is_empty")]
    pub declared: Declared,
    /// What latencies are shown in, on the console and in Markdown.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub time_unit: TimeUnit,
    /// Warning codes that must not come up, as the user says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<Code>,
    /// Warning codes that came up, in the order of numbers; known at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<Code>,
    /// One entry for each point whose records are in the files of the run.
    pub points: Vec<PointEntry>,
    /// Points whose records are in partial files: the one that runs, and those that could not be taken over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<UnfinishedPoint>,
    /// What was known of the engine before it was loaded, and should be known of its numbers.
    #[serde(default)]
    pub warnings: Vec<EngineProblem>,
    /// What went wrong beside requests: a journal that could not be written, a target that did not close.
    pub faults: Vec<String>,
}

/// One of several processes that sent the load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerEntry {
    /// From 1.
    pub worker: u32,
    /// Its process id.
    pub process: u32,
    /// Its machine.
    pub host: String,
    /// How far its clock was ahead of ours, which its stamps were corrected by; 0 where the two may be one clock.
    pub clock_ahead_ns: Nanos,
    /// Its corrected stamps are off by so much at most. The largest of all points.
    pub clock_bound_ns: Nanos,
    /// Why it was lost, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_usual(unit: &TimeUnit) -> bool {
    *unit == TimeUnit::default()
}

/// A point that is not in the files of the run yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnfinishedPoint {
    /// Id of its first request.
    pub first_id: RequestId,
    /// Where its records are.
    pub files: PartialNames,
    /// What is known of it; its window is known at its end.
    pub entry: PointEntry,
}

/// What must be known of one point, beside its records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointEntry {
    /// What tells it from the others.
    pub label: String,
    /// SHA-256 of what was asked and when.
    pub plan_hash: String,
    /// Requests sent before the measurement.
    pub warmup_requests: u32,
    /// Of these, completed.
    pub warmup_completed: u32,
    /// The plan was a supply for a given time and ran out before it.
    pub ran_out: bool,
    /// How far that supply was drawn; `None` where the plan was no supply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supply: Option<Supply>,
    /// Events that came after their point was over.
    pub late_events: u64,
    /// Number of the last iteration that the engine reported before the point; `None` where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iteration_before: Option<u64>,
    /// Number of the last event of the KV cache before the point; `None` where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_event_before: Option<u64>,
    /// What the summary needs beside the records.
    pub facts: RunFacts,
    /// What the machine did meanwhile.
    pub health: Health,
}

/// A plan for a given time, of which only the beginning is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supply {
    /// Requests that were planned and hashed.
    pub requests: u32,
    /// Of these, the first ones, which were drawn and are in `plan.csv`. The others were left unplayed.
    pub in_plan_file: u32,
}

impl Manifest {
    /// Whether the process ended in the middle of the run and its engine, which lives in Python, may have ended it. Only of a
    /// manifest that was read back.
    pub fn was_ended_by_its_engine(&self) -> bool {
        self.state == State::Running && self.target.abilities().in_python.is_some()
    }

    /// At the start.
    pub fn begin(target: TargetInfo, title: String, workload: &Workload) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            state: State::Running,
            tool: Build::this(),
            command_line: command_line(),
            started: crate::clock::utc_now().to_string(),
            ended: None,
            host: Host::read(),
            gpus: None,
            target,
            launch: None,
            workers: Vec::new(),
            title,
            seed: workload.seed,
            prompts: Some(PromptFacts::of(workload)),
            null_rate: None,
            client_rate: None,
            gpu_hour_price: None,
            declared: Declared::default(),
            time_unit: TimeUnit::default(),
            denied: Vec::new(),
            codes: Vec::new(),
            points: Vec::new(),
            unfinished: Vec::new(),
            warnings: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Keeps what the user wants said, shown and denied.
    pub fn keep_wishes(&mut self, resolved: &Resolved) {
        self.declared.clone_from(&resolved.declared);
        self.denied.clone_from(&resolved.deny);
        self.time_unit = resolved.time_unit;
    }

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

/// Makes a manifest on disk that says `running` say `interrupted`, for a program that is about to end with work undone. Whatever
/// else its manifest says stays: this is asked of a thread that knows nothing of the experiment.
///
/// # Errors
/// When the file cannot be read or written.
pub fn mark_interrupted(path: &Path) -> std::io::Result<()> {
    let mut manifest: Value = serde_json::from_slice(&fs::read(path)?)?;
    if manifest["state"] != json!(State::Running) {
        return Ok(());
    }
    manifest["state"] = json!(State::Interrupted);
    manifest["ended"] = json!(crate::clock::utc_now().to_string());
    let mut text = serde_json::to_string_pretty(&manifest)?;
    text.push('\n');
    write_whole(path, text.as_bytes()).map_err(std::io::Error::other)
}

/// What was typed, but for the values of headers and of flags and variables whose names say that they are secrets.
pub fn command_line() -> Vec<String> {
    let lossy = |word: std::ffi::OsString| word.to_string_lossy().into_owned();
    without_secrets(crate::host::arguments().into_iter().map(lossy))
}

/// Flags whose values are masked as a whole, by what they hold.
#[derive(Clone, Copy)]
enum Holds {
    Header,
    Command,
    Variables,
}

impl Holds {
    fn of(flag: &str) -> Option<Self> {
        match flag {
            "--header" => Some(Self::Header),
            "--launch" => Some(Self::Command),
            "--env" => Some(Self::Variables),
            _ => None,
        }
    }

    fn mask(self, value: &str) -> String {
        match self {
            Self::Header => match value.split_once(':') {
                Some((name, _)) => format!("{name}: {}", masking::HIDDEN),
                None => masking::HIDDEN.to_owned(),
            },
            Self::Command => masking::command(value),
            Self::Variables => masking::variables(value),
        }
    }
}

fn without_secrets(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut next: Option<Holds> = None;
    arguments
        .map(|argument| {
            if let Some(holds) = std::mem::replace(&mut next, Holds::of(&argument)) {
                return holds.mask(&argument);
            }
            match argument.split_once('=') {
                Some((flag, value)) => match Holds::of(flag) {
                    Some(holds) => format!("{flag}={}", holds.mask(value)),
                    None => argument,
                },
                None => argument,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_header_is_kept_out_of_the_manifest() {
        let typed = ["run", "--header", "x-key: sk-secret", "--header=y: sk-secret", "--seed", "1"];
        let kept = without_secrets(typed.iter().map(ToString::to_string));
        let expected =
            ["run", "--header", "x-key: (hidden)", "--header=y: (hidden)", "--seed", "1"];
        assert_eq!(kept, expected);
    }

    #[test]
    fn secrets_of_a_launched_server_are_kept_out_of_the_manifest() {
        let typed = ["--launch", "vllm serve m --api-key sk-1", "--env", "A=1,HF_TOKEN=hf-2"];
        let kept = without_secrets(typed.iter().map(ToString::to_string)).join(" ");
        assert!(!kept.contains("sk-1") && !kept.contains("hf-2"), "{kept}");
        assert!(kept.contains("vllm serve m --api-key") && kept.contains("A=1"), "{kept}");
    }

    #[test]
    fn a_manifest_that_says_running_is_made_to_say_interrupted_and_nothing_else_changes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("manifest.json");
        let marked = |text: &str| {
            fs::write(&path, text).expect("a file");
            mark_interrupted(&path).expect("it is a manifest");
            let manifest: Value =
                serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
            manifest
        };
        let running = marked(r#"{"b":0.1,"state":"running","ended":null,"a":[1]}"#);
        assert_eq!(running["state"], "interrupted");
        assert!(running["ended"].is_string());
        assert_eq!((&running["b"], &running["a"]), (&json!(0.1), &json!([1])));
        let failed = r#"{"state":"failed","ended":"x"}"#;
        assert_eq!(marked(failed).to_string(), failed);
        assert!(mark_interrupted(&folder.path().join("none")).is_err());
    }
}
