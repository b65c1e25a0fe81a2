//! Formats of result files in the shapes of other tools, and of pictures.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A tool whose result files are written beside ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportFormat {
    /// `profile_export_aiperf.json` and `.csv`, `profile_export.jsonl`
    Aiperf,
    /// `profile_export_genai_perf.json` and `.csv`, `profile_export.json`, the table of 24.03
    GenaiPerf,
    /// Result JSON of vLLM's `benchmark_serving.py` and `vllm bench serve`
    BenchmarkServing,
    /// `experiment_metadata.json` and a JSON per concurrency
    GenaiBench,
    /// `trtllm-bench --report_json`
    TrtllmBench,
    /// A text laid out like `mlperf_log_summary.txt`; no result of MLPerf
    Mlperf,
    /// Interval log of HdrHistogram: `latency.hlog` with the tags TTFT, ITL, TPOT and latency
    Hlog,
    /// A table for pull requests
    Md,
    /// `requests.parquet` and `deliveries.parquet` (a build with `--features parquet`)
    Parquet,
}

impl ExportFormat {
    /// As typed, and the name of the folder of its files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Aiperf => "aiperf",
            Self::GenaiPerf => "genai-perf",
            Self::BenchmarkServing => "benchmark-serving",
            Self::GenaiBench => "genai-bench",
            Self::TrtllmBench => "trtllm-bench",
            Self::Mlperf => "mlperf",
            Self::Hlog => "hlog",
            Self::Md => "md",
            Self::Parquet => "parquet",
        }
    }
}

/// A format of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlotFormat {
    /// Scalable, with the text as text
    Svg,
    /// Pixels
    Png,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_typed_as_its_folder_is_named() {
        for format in ExportFormat::value_variants() {
            let typed = format.to_possible_value().map(|it| it.get_name().to_owned());
            assert_eq!(typed.as_deref(), Some(format.word()));
            assert_eq!(serde_json::to_value(format).ok(), Some(format.word().into()));
        }
    }
}
