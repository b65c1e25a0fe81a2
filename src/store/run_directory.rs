//! Run directory: its location, its name and the names of its files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::clock;

/// Names of the files of a run.
pub mod file {
    /// What, where, with which versions, seeds and hashes.
    pub const MANIFEST: &str = "manifest.json";
    /// Every setting, to be run again.
    pub const RESOLVED: &str = "resolved.toml";
    /// What was going to be asked, and when.
    pub const PLAN: &str = "plan.csv";
    /// One row per request.
    pub const REQUESTS: &str = "requests.csv";
    /// Rows of ended requests of the point that runs.
    pub const PARTIAL_REQUESTS: &str = "requests.partial.csv";
    /// Deliveries of the point that runs.
    pub const PARTIAL_DELIVERIES: &str = "deliveries.partial.bin";
    /// The stamp of each delivery.
    pub const DELIVERIES: &str = "deliveries.csv.gz";
    /// Iteration statistics of the engine.
    pub const ITERATIONS: &str = "iterations.jsonl";
    /// What happened to blocks of the KV cache.
    pub const KV_EVENTS: &str = "kv_events.jsonl";
    /// What the engine wrote to its own log.
    pub const ENGINE_LOG: &str = "engine.log";
    /// What a process in another environment wrote to standard error, which has the engine's log too.
    pub const CHILD_LOG: &str = "child.log";
    /// The same of the server that a ladder starts.
    pub const SERVED_LOG: &str = "served.engine.log";
    /// What a launched server wrote to its standard streams.
    pub const SERVER_LOG: &str = "server.log";
    /// How a launched server was started and how it ended.
    pub const LAUNCH: &str = "launch.json";
    /// A server's own metrics, twice a second.
    pub const SERVER_METRICS: &str = "server_metrics.jsonl";
    /// GPU samples, ten per second.
    pub const GPU: &str = "gpu.jsonl";
    /// All metrics.
    pub const SUMMARY_JSON: &str = "summary.json";
    /// One row per point of load.
    pub const SUMMARY_CSV: &str = "summary.csv";
    /// What several sides come to together.
    pub const COMPARISON_JSON: &str = "comparison.json";
    /// One row per pair of sides and number.
    pub const COMPARISON_CSV: &str = "comparison.csv";
    /// The same for people.
    pub const COMPARISON_PAGE: &str = "comparison.html";
    /// What each layer adds.
    pub const LADDER_JSON: &str = "ladder.json";
    /// One row per rung.
    pub const LADDER_CSV: &str = "ladder.csv";
    /// The same for people.
    pub const LADDER_PAGE: &str = "ladder.html";
    /// The limit, and every probe.
    pub const SEARCH_JSON: &str = "search.json";
    /// One row per probe.
    pub const SEARCH_CSV: &str = "search.csv";
    /// The same for people.
    pub const SEARCH_PAGE: &str = "search.html";
    /// What several runs of each load come to.
    pub const REPEATS_CSV: &str = "repeats.csv";
    /// Every cell of a sweep: its folder, how far it has come, its main numbers.
    pub const INDEX_JSON: &str = "index.json";
    /// One row per cell.
    pub const INDEX_CSV: &str = "index.csv";
    /// Settings of the server that a ladder starts.
    pub const SERVED: &str = "served.toml";
    /// Folder of files in the shapes of other tools.
    pub const EXPORTS: &str = "exports";
    /// Folder of pictures.
    pub const PLOTS: &str = "plots";
    /// Results for Prometheus' textfile collector.
    pub const PROMETHEUS: &str = "metrics.prom";
    /// For people.
    pub const REPORT: &str = "report.html";
}

/// A folder of its own for each experiment.
#[derive(Debug, Clone)]
pub struct RunDirectory(PathBuf);

/// Why there is no run directory.
#[derive(Debug, thiserror::Error)]
#[error("the run directory `{path}` cannot be made ({source}): choose another place with `--out`")]
pub struct DirectoryError {
    path: PathBuf,
    source: io::Error,
}

impl RunDirectory {
    /// Makes `<base>/<utc>_<target>_<load>_<hash>`.
    ///
    /// # Errors
    /// When the folder cannot be made, or is there already.
    pub fn create(
        base: &Path,
        target: &str,
        load: &str,
        hash: &str,
    ) -> Result<Self, DirectoryError> {
        let utc = clock::utc_now().strftime("%Y-%m-%dT%H-%M-%SZ");
        let short = &hash[..hash.len().min(8)];
        let stem = format!("{utc}_{}_{}_{short}", word(target), word(load));
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DirectoryError { path, source }
        };
        fs::create_dir_all(base).map_err(failed(base))?;
        // Two runs within one second get a number; a folder that is there is never written into.
        for attempt in 1.. {
            let name = if attempt == 1 { stem.clone() } else { format!("{stem}-{attempt}") };
            let path = base.join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 1_000 => {}
                Err(error) => return Err(failed(&path)(error)),
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// A new folder within this one, for a part of the experiment.
    ///
    /// # Errors
    /// When the folder cannot be made, or is there already.
    pub fn below(&self, name: &str) -> Result<Self, DirectoryError> {
        let path = self.0.join(word(name));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(DirectoryError { path, source }),
        }
    }

    /// The same for a cell, whose name is kept as it is.
    ///
    /// # Errors
    /// As [`Self::below`].
    pub fn cell(&self, name: &str) -> Result<Self, DirectoryError> {
        let path = self.0.join(name);
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(DirectoryError { path, source }),
        }
    }

    /// An existing one.
    pub fn existing(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// As part of a file name: letters, digits, dots and dashes.
fn word(text: &str) -> String {
    let mut word: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    while word.contains("--") {
        word = word.replace("--", "-");
    }
    let word = word.trim_matches(['-', '.']);
    word.chars().take(48).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_of_one_second_do_not_share_a_folder() {
        let base = tempfile::tempdir().expect("a temporary folder");
        let make =
            || RunDirectory::create(base.path(), "null:", "batch", "abcdef0123").expect("new");
        assert_ne!(make().path(), make().path());
    }

    #[test]
    fn a_base_that_is_a_file_is_refused_with_the_remedy() {
        let base = tempfile::NamedTempFile::new().expect("a temporary file");
        let error = RunDirectory::create(base.path(), "t", "l", "h").expect_err("no folder");
        assert!(error.to_string().contains("--out"));
    }

    #[test]
    fn names_hold_nothing_that_a_shell_would_mind() {
        assert_eq!(word("local:/a b/../model"), "local-a-b-..-model");
        assert_eq!(word("poisson 20/s, at most 3"), "poisson-20-s-at-most-3");
    }
}
