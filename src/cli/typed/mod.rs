//! Command-line flags, each also an environment variable or a key of the configuration file.

mod engine;
mod launch;
mod list_or_one;
mod request;
mod settings;
mod workload;

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::cli::adapter::AdapterArgs;
use crate::cli::compare::CompareArgs;
use crate::cli::doctor::DoctorArgs;
use crate::cli::explain::ExplainArgs;
use crate::cli::help::{self, HelpArgs};
use crate::cli::init::InitArgs;
use crate::cli::inspect::InspectArgs;
use crate::cli::ladder::LadderArgs;
use crate::cli::report::{ImportArgs, ReportArgs};
use crate::cli::search::SearchArgs;
use crate::cli::serve::ServeArgs;
use crate::cli::spelling;
use crate::cli::translate::TranslateArgs;
use crate::cli::upload::UploadArgs;
use crate::cli::workload::WorkloadArgs;
use crate::settings::load_rules::RequestCount;
pub use engine::{EXECUTOR_HEADING, ExecutorFlags};
pub use launch::LaunchFlags;
pub use request::RequestFlags;
pub use settings::Settings;
pub use workload::WorkloadFlags;

const EXIT_CODES: &str = "Exit codes: 0 completed and valid · 1 runtime failure · 2 usage or configuration · \
     3 preflight failed · 4 measurement invalid · 5 SLO missed · 6 regression · 7 upload failed · 130 interrupted";

/// With the revision, so that two builds can be told apart.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BAREFLIGHT_REVISION"), ")");

/// Measures what an LLM engine can do with nothing in the way, and what everything in the way costs.
#[derive(Debug, Parser)]
#[command(version = VERSION, after_help = EXIT_CODES, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure: play a plan of requests against a target and report
    Run(Box<MeasureArgs>),
    /// Resolve everything and run nothing: what would be measured, and where each value comes from
    Plan(Box<RunArgs>),
    /// Compare targets: blocks of one plan on each in turns, ratios with intervals, a verdict against a margin
    Compare(Box<CompareArgs>),
    /// Find the highest rate or concurrency that meets objectives: bracket, bisection, a limit with an interval
    Search(Box<SearchArgs>),
    /// Measure what each layer adds: harness, bridge, engine, text, and a server over HTTP and gRPC, in turns
    Ladder(Box<LadderArgs>),
    /// Look whether this machine is fit to measure: what is in the way, why it matters, what mends it
    Doctor(DoctorArgs),
    /// Make the reports of a run directory again from its records, or show several runs side by side
    Report(ReportArgs),
    /// Show results of other tools, beside each other and beside runs of ours
    Import(ImportArgs),
    /// Upload a run directory to an object store or a folder, or go on with an upload that was ended
    Upload(UploadArgs),
    /// Serve an engine of this process over OpenAI's and Triton's protocols
    Serve(Box<ServeArgs>),
    /// Print our command for one of another benchmark, and what has no counterpart
    Translate(TranslateArgs),
    /// Ask five questions and write a settings file with comments
    Init(InitArgs),
    /// Look at what would be loaded, without loading it
    Inspect(InspectArgs),
    /// Look at a dataset or a trace: lengths, prefix reuse, arrivals
    Workload(WorkloadArgs),
    /// Look after an adapter of an engine in Python (see docs/PYTHON_ENGINES.md)
    Adapter(AdapterArgs),
    /// Explain a topic, or a command with all its flags
    Help(HelpArgs),
    /// Explain a warning: what it means, why it matters, what helps
    Explain(ExplainArgs),
    /// Print the JSON schema of `summary.json`, or of another document
    Schema {
        /// Which document
        #[arg(value_enum, default_value_t)]
        of: Document,
    },
    /// Print completions for a shell: `eval "$(bareflight completions bash)"`
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a folder, which `man -M` or `MANPATH` then finds in its `man1`
    Man {
        /// Where to
        #[arg(default_value = "man1")]
        folder: PathBuf,
    },
}

impl Settings {
    /// Requests of each run, where they do not follow from its load.
    pub fn fixed_requests(&self) -> Option<u32> {
        self.requests.and_then(RequestCount::fixed)
    }

    /// The same; a closed loop at so many where no load was given.
    #[must_use]
    pub fn or_concurrency(mut self, concurrency: u32) -> Self {
        if self.concurrency.is_none()
            && self.rate.is_none()
            && self.stages.is_none()
            && self.batch != Some(true)
            && self.workload.replay != Some(true)
        {
            // No more slots than requests: the default must not be what is refused.
            let slots =
                self.fixed_requests().map_or(concurrency, |most| concurrency.min(most.max(1)));
            self.concurrency = Some(vec![slots.into()]);
        }
        self
    }
}

/// Documents that have a schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Document {
    /// `summary.json` of a run.
    #[default]
    Summary,
    /// `comparison.json` of a comparison.
    Comparison,
    /// `ladder.json` of a ladder.
    Ladder,
    /// `search.json` of a search.
    Search,
}

impl Cli {
    /// What can be typed: as derived, but that a comparison takes a target for each of its sides, and that a number below
    /// 0 is a value of its flag, which can say what is wrong with it, and not a flag that nobody knows.
    pub fn clap_command() -> clap::Command {
        let program = Self::command().mut_subcommand("compare", |compare| {
            compare
                .mut_arg("target", |target| {
                    target
                        .action(ArgAction::Append)
                        .help("What answers, as for `run`: once for each side, the baseline first")
                })
                .mut_arg("python", |python| python.action(ArgAction::Append))
        });
        let program = program
            .mut_subcommand("search", |search| search.mut_arg("slo", |slo| slo.help(SEARCHED_FOR)));
        let program = [("serve", SERVED_HERE), ("ladder", LADDERS_START)].into_iter().fold(
            program,
            |program, (name, help)| {
                program.mut_subcommand(name, |command| {
                    command.mut_arg("target", |target| target.help(help))
                })
            },
        );
        MEASURING.into_iter().fold(program, |program, name| {
            program.mut_subcommand(name, |measuring| {
                help::with_effects(spelling::show_aliases(measuring)).mut_args(|flag| {
                    // Without a number of values, a flag takes one.
                    let takes_one = flag.get_num_args().is_none_or(|count| count.takes_values());
                    let is_set = matches!(flag.get_action(), ArgAction::Set | ArgAction::Append);
                    flag.allow_negative_numbers(is_set && takes_one)
                })
            })
        })
    }
}

/// Only an engine in this process can be served.
const SERVED_HERE: &str = "What is served: `local:dummy-nano`, `local:MODEL_DIR`, `sim:PROFILE`, `trtllm:ENGINE_DIR`, `null:`";
/// Objectives have percentiles.
const SEARCHED_FOR: &str = "What a load must meet: `ttft.p99<2s,tpot.p99<40ms`; bounds without a percentile together for 99 % of all requests; or a preset, e.g. `mlperf:llama2-70b-interactive`";
/// Every other rung is made from this one.
const LADDERS_START: &str =
    "The engine: `local:dummy-nano`, `local:MODEL_DIR`, `sim:PROFILE`, `trtllm:ENGINE_DIR`";
/// Subcommands that take the settings of a run.
pub const MEASURING: [&str; 6] = ["run", "plan", "compare", "ladder", "search", "serve"];

/// Everything about a run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Read settings from this TOML file; flags and environment variables win over it
    #[arg(long, value_name = "FILE", env = "BAREFLIGHT_CONFIG")]
    pub config: Option<PathBuf>,
    /// All that a configuration file can say too.
    #[command(flatten)]
    pub settings: Settings,
}

/// Everything about a run that may go on where one was ended.
#[derive(Debug, Args)]
pub struct MeasureArgs {
    /// All that a configuration file can say too.
    #[command(flatten)]
    pub run: RunArgs,
    /// Go on with a run of cells that was ended: its folder. Finished cells stay as they are, and its settings are used
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub resume: Option<PathBuf>,
    /// Wait at this address for the workers, which other hosts start with `--worker-of`, instead of starting them here
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Load")]
    pub workers_listen: Option<String>,
    /// Be a worker of the process that was started with `--workers-listen` there; all else is typed as it was there
    #[arg(
        long,
        value_name = "HOST:PORT",
        help_heading = "Load",
        conflicts_with_all = ["workers_listen", "resume"]
    )]
    pub worker_of: Option<String>,
    /// Environment variable with a key that `--workers-listen` and each `--worker-of` must share; without it whoever reaches the
    /// port can take part
    #[arg(long, value_name = "NAME", help_heading = "Load")]
    pub workers_key_env: Option<String>,
}

/// Distribution of the gaps between arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArrivalKind {
    /// Equal gaps.
    Constant,
    /// Exponential gaps.
    Poisson,
    /// Uniform gaps.
    Uniform,
    /// Gamma gaps; see `--burstiness`.
    Gamma,
}

/// What prompts are drawn as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptFormat {
    /// Random token ids.
    Ids,
    /// Words that re-tokenise to exactly the wanted count.
    Text,
}
