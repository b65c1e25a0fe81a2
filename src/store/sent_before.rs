//! Search among the runs of one place for one that sent the same prompts to the same server.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::metrics::facts::SentBefore;
use crate::store::run_directory::file;
use crate::targets::TargetInfo;
use crate::workload::{PromptKind, Workload};

/// What prompts were drawn from, besides the seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptFacts {
    /// Ids or text.
    pub kind: PromptKind,
    /// Distribution of their lengths, or the file that they come from.
    pub lengths: String,
    /// Tokens that all of them begin with.
    pub prefix_tokens: u32,
    /// Groups that have prefixes of their own, or their shares; empty where there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix_groups: String,
}

impl PromptFacts {
    /// Of a workload. Its outputs do not matter: they follow the prompt.
    pub fn of(workload: &Workload) -> Self {
        Self {
            kind: workload.prompts,
            lengths: if workload.has_entries() {
                workload.asked()
            } else {
                workload.scenario.prompt_lengths()
            },
            prefix_tokens: workload.prefix_tokens,
            prefix_groups: workload
                .prefix_groups
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
        }
    }
}

/// As much of a manifest as tells what was sent where. Manifests of other versions may lack any of it.
#[derive(Debug, Deserialize)]
struct Earlier {
    started: String,
    target: EarlierTarget,
    seed: u64,
    prompts: PromptFacts,
    #[serde(default)]
    points: Vec<Value>,
    #[serde(default)]
    unfinished: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct EarlierTarget {
    name: String,
    details: Value,
}

/// Details of a target that say who reads the prompts, and in which form.
const WHO_READS: [&str; 2] = ["model", "endpoint"];

/// The latest run below `place` whose prompts were these and went to this server. Folders that hold no run, or one that cannot
/// be read, are passed over: they are no evidence.
pub fn sent_before(place: &Path, target: &TargetInfo, workload: &Workload) -> Option<SentBefore> {
    target.abilities().server?;
    let prompts = PromptFacts::of(workload);
    let is_same = |earlier: &Earlier| {
        let alike = |key: &&str| earlier.target.details.get(key) == target.details.get(key);
        earlier.seed == workload.seed
            && earlier.prompts == prompts
            && earlier.target.name == target.name
            && WHO_READS.iter().all(alike)
            && !(earlier.points.is_empty() && earlier.unfinished.is_empty())
    };
    let found = folders(place).into_iter().filter_map(|folder| {
        let text = fs::read(folder.join(file::MANIFEST)).ok()?;
        let earlier: Earlier = serde_json::from_slice(&text).ok()?;
        is_same(&earlier).then_some((earlier.started, folder))
    });
    let (started, folder) = found.max()?;
    let run = folder.strip_prefix(place).unwrap_or(&folder).display().to_string();
    Some(SentBefore { run, started, seed: workload.seed })
}

/// Whether two targets are one server that reads these prompts alike, so that what one leaves in its cache serves the other.
pub fn is_one_server(one: &TargetInfo, other: &TargetInfo) -> bool {
    let alike = |key: &&str| one.details.get(key) == other.details.get(key);
    one.abilities().server.is_some() && one.name == other.name && WHO_READS.iter().all(alike)
}

/// Folders of runs, and of the sides of comparisons, which lie one level deeper.
fn folders(place: &Path) -> Vec<PathBuf> {
    let within = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|it| it.is_dir());
        entries.filter(is_folder).map(|entry| entry.path()).collect()
    };
    let mut folders = Vec::new();
    for folder in within(place) {
        if !folder.join(file::MANIFEST).exists() {
            folders.extend(within(&folder));
        }
        folders.push(folder);
    }
    folders
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::request::Limits;

    fn server(url: &str) -> TargetInfo {
        TargetInfo {
            name: format!("openai:{url}"),
            kind: "openai".to_owned(),
            title: String::new(),
            simulated: false,
            dummy_weights: false,
            gpus: 0,
            limits: Limits::default(),
            details: json!({ "model": "m", "endpoint": "completions" }),
        }
    }

    fn workload(scenario: &str, seed: u64) -> Workload {
        Workload::synthetic(scenario.parse().expect("a scenario"), seed)
    }

    /// A place with one run, as its manifest tells of it.
    fn place(change: impl Fn(&mut Value), below: &str) -> tempfile::TempDir {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = place.path().join(below);
        fs::create_dir_all(&folder).expect("a folder");
        let mut manifest = json!({
            "started": "2026-01-01T00:00:00Z",
            "seed": 42,
            "target": server("http://a:1"),
            "prompts": PromptFacts::of(&workload("D(16,8)", 42)),
            "points": [{}],
            "more": "that later versions write",
        });
        change(&mut manifest);
        fs::write(folder.join(file::MANIFEST), manifest.to_string()).expect("a file");
        place
    }

    fn is_found(place: &tempfile::TempDir, url: &str, scenario: &str, seed: u64) -> bool {
        sent_before(place.path(), &server(url), &workload(scenario, seed)).is_some()
    }

    #[test]
    fn one_server_is_known_by_address_model_and_endpoint() {
        let a = server("http://a:1");
        assert!(is_one_server(&a, &a.clone()));
        assert!(!is_one_server(&a, &server("http://b:1")));
        let other_model = TargetInfo { details: json!({ "model": "n" }), ..a.clone() };
        assert!(!is_one_server(&a, &other_model));
    }

    #[test]
    fn the_same_prompts_at_the_same_server_are_found_whatever_was_to_be_answered() {
        let before = place(|_| (), "run");
        let found = sent_before(before.path(), &server("http://a:1"), &workload("D(16,8)", 42));
        let found = found.expect("it was sent before");
        assert_eq!((found.run.as_str(), found.seed), ("run", 42));
        assert!(is_found(&before, "http://a:1", "D(16,64)", 42));
    }

    #[test]
    fn other_servers_seeds_and_lengths_are_other_prompts() {
        let before = place(|_| (), "run");
        assert!(!is_found(&before, "http://a:2", "D(16,8)", 42));
        assert!(!is_found(&before, "http://a:1", "D(16,8)", 43));
        assert!(!is_found(&before, "http://a:1", "D(17,8)", 42));
        let other_model = place(|it| it["target"]["details"]["model"] = json!("n"), "run");
        assert!(!is_found(&other_model, "http://a:1", "D(16,8)", 42));
    }

    #[test]
    fn a_side_of_a_comparison_has_sent_its_prompts_too() {
        assert!(is_found(&place(|_| (), "comparison/a"), "http://a:1", "D(16,8)", 42));
    }

    #[test]
    fn a_run_that_sent_nothing_and_a_manifest_that_cannot_be_read_are_no_evidence() {
        let nothing_sent = place(|it| it["points"] = json!([]), "run");
        assert!(!is_found(&nothing_sent, "http://a:1", "D(16,8)", 42));
        let older = place(|it| it["prompts"] = Value::Null, "run");
        assert!(!is_found(&older, "http://a:1", "D(16,8)", 42));
    }

    #[test]
    fn an_engine_that_a_run_starts_itself_has_seen_nothing() {
        let local = |it: &TargetInfo| TargetInfo { kind: "local".to_owned(), ..it.clone() };
        let before = place(|it| it["target"]["kind"] = json!("local"), "run");
        let target = local(&server("http://a:1"));
        assert_eq!(sent_before(before.path(), &target, &workload("D(16,8)", 42)), None);
    }
}
