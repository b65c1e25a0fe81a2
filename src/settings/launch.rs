//! Launch settings: the server that a run starts, waits for and stops.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::settings::server_metrics::MetricsUrl;

/// How long loading may take, where nothing else is said: weights of a large model come through a network.
pub const DEFAULT_READY_TIMEOUT: Nanos = Nanos::from_millis(600_000);
/// How long is waited after each signal, where nothing else is said.
pub const DEFAULT_STOP_TIMEOUT: Nanos = Nanos::from_millis(15_000);

/// A server that is to be started, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchSettings {
    /// A command line, or a preset's name.
    pub launch: String,
    /// What a preset serves.
    pub model: Option<String>,
    /// GPUs that a preset spreads the model over.
    pub world_size: Option<u32>,
    /// Configuration file of the server, for a preset.
    pub extra_options: Option<PathBuf>,
    /// Variables that are set for it, beside those of this process.
    pub env: Vec<(String, String)>,
    /// What the server is run under.
    pub profile: Option<LaunchProfiler>,
    /// Its log goes to standard error too.
    pub log_server: bool,
    /// How it is known to be ready; `None` leaves it to the preset.
    pub ready: Option<ReadySign>,
    /// How long loading may take.
    pub ready_timeout: Nanos,
    /// How long is waited after each signal.
    pub stop_timeout: Nanos,
    /// The target as typed, with its placeholders; `None` leaves it to the preset.
    pub target: Option<String>,
    /// Where its metrics are, once it has ports.
    pub metrics: Option<MetricsUrl>,
    /// What the adapter of an engine says beside the command line, where this is the engine's twin.
    pub twin: Option<TwinSettings>,
}

/// The twin of an engine: the same engine behind its own server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinSettings {
    /// What it is called in words and folders.
    pub name: String,
    /// Files that its command reads: a path, which may begin with `{folder}`, and a text.
    pub files: Vec<(String, String)>,
}

/// What says that a server is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadySign {
    /// A GET of this path is answered with success.
    Path(String),
    /// Its log holds this text.
    Log(String),
}

/// A profiler that a server is run under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LaunchProfiler {
    /// Nsight Systems: `nsys profile` around the server; its report is `server.nsys-rep` in the run directory
    Nsys,
}

/// How the folder of several launches is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum FolderLayout {
    /// A folder `bench_results` too: `pytorch_hf/concurrency_16.json`, `trt_engine/…`, a picture and a text
    BenchResults,
}

/// A text of `--env` that is no list of variables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`--env {0}` sets no variable: write `NAME=VALUE`, several with commas")]
pub struct BadEnv(String);

/// Reads `NAME=VALUE,NAME=VALUE`. A piece without a name of its own belongs to the value before it, as in
/// `CUDA_VISIBLE_DEVICES=0,1`.
///
/// # Errors
/// When the first piece has no name.
pub fn parse_env(text: &str) -> Result<Vec<(String, String)>, BadEnv> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for piece in text.split(',') {
        match (piece.split_once('='), variables.last_mut()) {
            (Some((name, value)), _) if is_name(name) => {
                variables.push((name.to_owned(), value.to_owned()));
            }
            (_, Some((_, value))) => {
                value.push(',');
                value.push_str(piece);
            }
            (_, None) => return Err(BadEnv(text.to_owned())),
        }
    }
    Ok(variables)
}

fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(is_part) && text.chars().next().is_some_and(|c| !c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_value_is_no_new_variable() {
        let read = |text: &str| {
            let pairs = parse_env(text)?;
            Ok(pairs.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>())
        };
        assert_eq!(read("A=1,B=2"), Ok(vec!["A: 1".into(), "B: 2".into()]));
        let devices = read("CUDA_VISIBLE_DEVICES=0,1,NCCL_DEBUG=INFO");
        assert_eq!(
            devices,
            Ok(vec!["CUDA_VISIBLE_DEVICES: 0,1".into(), "NCCL_DEBUG: INFO".into()])
        );
        assert_eq!(read("A="), Ok(vec!["A: ".into()]));
        for text in ["", "=1", "1=2", "A"] {
            let error: BadEnv = read(text).expect_err(text);
            assert!(error.to_string().contains("NAME=VALUE"));
        }
    }
}
