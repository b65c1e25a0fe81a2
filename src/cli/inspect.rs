//! `bareflight inspect engine DIR`: contents and problems of an engine directory, without loading it.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cli::exit::{Coded, Exit};
use crate::cli::run::print;
use crate::engine_directory::config::{BuildLimits, EngineConfig, Plugins};
use crate::engine_directory::{EngineDirectory, EngineProblem, Files, PlannedUse, Severity};
use crate::request::Limits;
use crate::settings::engine::EngineSettings;
use crate::specs::ModelFigures;

/// What to look at.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// What to look at.
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// An engine directory of TensorRT-LLM: architecture, limits, plugins, files
    Engine {
        /// The output directory of `trtllm-build`
        directory: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Everything that is known of an engine directory, and what of it would be refused.
#[derive(Debug, Serialize)]
struct Inspection {
    #[serde(flatten)]
    directory: EngineDirectory,
    /// With the settings that a run has by default.
    limits_in_use: Limits,
    figures: Option<ModelFigures>,
    #[serde(rename = "findings")]
    problems: Vec<EngineProblem>,
}

/// Reads, shows and judges.
///
/// # Errors
/// With the exit code for a preflight that failed, when it cannot be read.
pub fn run(arguments: &InspectArgs) -> Coded<Exit> {
    let What::Engine { directory, json } = &arguments.what;
    let directory = EngineDirectory::read(directory)
        .map_err(|error| (Exit::Preflight, anyhow::Error::new(error)))?;
    let settings = EngineSettings::default();
    let inspection = Inspection {
        limits_in_use: directory.limits(&settings),
        figures: directory.figures(),
        problems: directory.check(&PlannedUse::settings(&settings)),
        directory,
    };
    let text = if *json {
        let json =
            serde_json::to_string_pretty(&inspection).context("it cannot be written as JSON");
        json.map(|json| json + "\n").map_err(|error| (Exit::Failure, error))?
    } else {
        render(&inspection)
    };
    print(&text).map_err(|error| (Exit::Failure, error))?;
    let refused = inspection.problems.iter().any(|problem| problem.severity == Severity::Refuse);
    Ok(if refused { Exit::Preflight } else { Exit::Ok })
}

fn render(inspection: &Inspection) -> String {
    let directory = &inspection.directory;
    let config = &directory.config;
    let mut rows = vec![
        ("model", model(config)),
        ("weights", weights(config, inspection.figures.as_ref())),
        ("built by", built_by(config)),
        ("mapping", mapping(config)),
        ("limits", limits(&config.limits)),
        ("in a run", limits_in_use(&inspection.limits_in_use)),
        ("plugins", plugins(&config.plugins)),
        ("KV cache", cache(config, inspection.figures.as_ref())),
        ("files", files(&directory.files)),
    ];
    if let Some(profile) = &config.simulated_profile {
        rows.push(("stand-in", format!("simulated executor, profile `{profile}`: SIMULATED")));
    }
    let mut text = format!("{}\n", directory.path.display());
    for (name, value) in rows {
        // Writing to a string cannot fail, here and below.
        let _infallible = writeln!(text, "  {name:9} {value}");
    }
    for problem in &inspection.problems {
        let word = match problem.severity {
            Severity::Refuse => "refused",
            Severity::Warn => "warning",
        };
        let _infallible = writeln!(text, "\n{word}[{}]: {}", problem.about, problem.sentence);
        let _infallible = writeln!(text, "  remedy: {}", problem.remedy);
    }
    text
}

fn model(config: &EngineConfig) -> String {
    let model = &config.model;
    let experts = model.experts.map_or_else(String::new, |experts| {
        format!(", {} of {} experts", experts.chosen, experts.count)
    });
    format!(
        "{}, {} layers, hidden size {}, {} heads of {} ({} for keys and values){experts}, vocabulary {}",
        model.architecture,
        model.layers,
        model.hidden_size,
        model.heads,
        model.head_size,
        model.kv_heads,
        model.vocab_size
    )
}

fn weights(config: &EngineConfig, figures: Option<&ModelFigures>) -> String {
    let dtype = config.model.dtype.word();
    let stored = match &config.quantization.weights {
        Some(algorithm) => format!("{algorithm} over {dtype}"),
        None => dtype.to_owned(),
    };
    let Some(figures) = figures else {
        return format!("{stored}; their number does not follow from this configuration");
    };
    let experts = figures.experts.map_or(0.0, |experts| experts.count * experts.bytes_each);
    format!(
        "{stored}, {} B parameters, {} read by a step{}",
        billions(figures.parameters),
        gigabytes(figures.weight_bytes + experts),
        if experts > 0.0 { " that uses every expert" } else { "" }
    )
}

fn billions(count: f64) -> String {
    format!("{:.2}", count / 1e9)
}

fn gigabytes(bytes: f64) -> String {
    match bytes {
        bytes if bytes >= 1e9 => format!("{:.2} GB", bytes / 1e9),
        bytes if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        bytes if bytes >= 1e3 => format!("{:.1} kB", bytes / 1e3),
        bytes => format!("{bytes:.0} B"),
    }
}

fn built_by(config: &EngineConfig) -> String {
    match &config.version {
        Some(version) => format!("TensorRT-LLM {version}"),
        None => "a version of TensorRT-LLM that it does not say".to_owned(),
    }
}

fn mapping(config: &EngineConfig) -> String {
    let mapping = &config.mapping;
    format!(
        "{} GPU{}: tensor {} × pipeline {} × context {}",
        mapping.world_size(),
        if mapping.world_size() == 1 { "" } else { "s" },
        mapping.tensor,
        mapping.pipeline,
        mapping.context
    )
}

fn limits(limits: &BuildLimits) -> String {
    let iteration = limits
        .max_num_tokens
        .map_or_else(String::new, |tokens| format!(", {tokens} tokens in an iteration"));
    let draft = match limits.max_draft_len {
        0 => String::new(),
        tokens => format!(", {tokens} draft tokens"),
    };
    format!(
        "batch {}, prompt {}, sequence {}{iteration}, {} beam{}{draft}",
        limits.max_batch_size,
        limits.max_input_len,
        limits.max_seq_len,
        limits.max_beam_width,
        if limits.max_beam_width == 1 { "" } else { "s" }
    )
}

fn limits_in_use(limits: &Limits) -> String {
    let limit_text =
        |limit: Option<u32>| limit.map_or_else(|| "unknown".into(), |it| it.to_string());
    format!(
        "prompts up to {} tokens, {} with their output, {} at once",
        limit_text(limits.max_prompt_tokens),
        limit_text(limits.max_sequence_tokens),
        limit_text(limits.max_batch_size)
    )
}

fn plugins(plugins: &Plugins) -> String {
    let kinds =
        [("attention", &plugins.gpt_attention), ("GEMM", &plugins.gemm), ("LoRA", &plugins.lora)];
    let flags = [
        ("packed input", plugins.remove_input_padding),
        ("fused context attention", plugins.context_fmha),
        ("paged-context attention", plugins.paged_context_fmha),
        ("8-bit context attention", plugins.fp8_context_fmha),
    ];
    let kinds = kinds.into_iter().map(|(name, kind)| match kind {
        Some(kind) => format!("{name} {kind}"),
        None => format!("no {name}"),
    });
    let flags =
        flags.into_iter().map(|(name, on)| if on { name.into() } else { format!("no {name}") });
    kinds.chain(flags).collect::<Vec<String>>().join(", ")
}

fn cache(config: &EngineConfig, figures: Option<&ModelFigures>) -> String {
    let kind = if config.plugins.paged_kv_cache { "paged" } else { "not paged" };
    let dtype = config.quantization.kv_cache.as_deref().unwrap_or(config.model.dtype.word());
    let block = config
        .plugins
        .tokens_per_block
        .map_or_else(String::new, |tokens| format!(", {tokens} tokens in a block"));
    let bytes = figures.map_or_else(String::new, |figures| {
        format!(", {} for each token", gigabytes(figures.kv_bytes_per_token))
    });
    format!("{kind}, {dtype}{block}{bytes}")
}

fn files(files: &Files) -> String {
    let ranks = files.ranks.iter().map(|rank| match rank.bytes {
        Some(bytes) => format!("{} {}", rank.name, gigabytes(bytes as f64)),
        None => format!("{} MISSING", rank.name),
    });
    let tokenizer = match &files.tokenizer {
        Some(_) => "tokenizer.json",
        None => "no tokenizer.json",
    };
    ranks.chain([tokenizer.to_owned()]).collect::<Vec<_>>().join(", ")
}
