//! `bareflight workload inspect KIND:FILE`: lengths, prefix reuse and arrivals of a workload file.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};

use crate::cli::exit::{Coded, Exit};
use crate::cli::run::print;
use crate::experiment::preflight::HfTokenizer;
use crate::settings::served::ServedSettings;
use crate::tokenizer::tokenize::Tokenize;
use crate::workload::PromptKind;
use crate::workload::dataset::profile::{Histogram, Profile};
use crate::workload::dataset::resolve::Counter;
use crate::workload::dataset::{FileSource, FileWorkload};

/// Columns of a bar.
const BAR: usize = 40;

/// What to do with a workload file.
#[derive(Debug, Args)]
pub struct WorkloadArgs {
    /// What to do.
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lengths as histograms, share of reusable prefixes, arrivals over time
    Inspect {
        /// Which file: `sharegpt:FILE`, `mooncake:FILE`, …
        #[arg(value_name = "KIND:FILE")]
        source: FileSource,
        /// `tokenizer.json` of the model, or its folder: counts prompts that are text
        #[arg(long, value_name = "PATH")]
        tokenizer: Option<PathBuf>,
        /// JSON and CSV: column of the prompt
        #[arg(long, value_name = "NAME")]
        prompt_column: Option<String>,
        /// JSON and CSV: column of the number of output tokens
        #[arg(long, value_name = "NAME")]
        output_tokens_column: Option<String>,
        /// Count lines that are none of the format and leave them out
        #[arg(long)]
        skip_bad_lines: bool,
    },
}

/// Reads the file and shows what it holds.
///
/// # Errors
/// With the exit code for a preflight that failed, when it cannot be read.
pub fn run(arguments: &WorkloadArgs) -> Coded<Exit> {
    let What::Inspect { source, tokenizer, prompt_column, output_tokens_column, skip_bad_lines } =
        &arguments.what;
    let in_the_way = |error| (Exit::Preflight, error);
    let named = ServedSettings { tokenizer: tokenizer.clone(), ..ServedSettings::default() };
    let tokenizer = named
        .read_tokenizer("workload inspect")
        .map_err(|error| in_the_way(anyhow::Error::new(error)))?
        .map(|it| Arc::new(HfTokenizer(it)) as Arc<dyn Tokenize>);
    let file = FileWorkload {
        prompt_column: prompt_column.clone(),
        output_column: output_tokens_column.clone(),
        skip_bad_lines: *skip_bad_lines,
        ..FileWorkload::new(source.clone())
    };
    let counter =
        Counter { tokenizer, prompts: PromptKind::Ids, vocabulary: None, has_output: true };
    let profile =
        Profile::of(&file, &counter).map_err(|error| in_the_way(anyhow::Error::new(error)))?;
    print(&render(source, &profile)).map_err(|error| (Exit::Failure, error))?;
    Ok(Exit::Ok)
}

fn render(source: &FileSource, profile: &Profile) -> String {
    // Writing to a string cannot fail, here and below.
    let mut text = format!("{source}\n  {}\n", profile.tally);
    histogram(&mut text, "prompts", &profile.inputs);
    histogram(&mut text, "outputs", &profile.outputs);
    if !profile.reuse.is_empty() {
        text.push_str("\nprefixes that an earlier prompt has too, in whole blocks\n");
    }
    for reuse in &profile.reuse {
        let share = 100.0 * reuse.tokens as f64 / profile.inputs.sum.max(1) as f64;
        let _infallible = writeln!(
            text,
            "  blocks of {:<5} {share:5.1} % of prompt tokens ({})",
            reuse.block, reuse.tokens
        );
    }
    if let Some((seconds, counts)) = profile.arrivals() {
        let _infallible = writeln!(text, "\narrivals per second, over time");
        let most = counts.iter().copied().max().unwrap_or(1);
        for (number, count) in counts.iter().enumerate() {
            let (from, rate) = (number as f64 * seconds, *count as f64 / seconds);
            let _infallible =
                writeln!(text, "  from {from:>10.1} s {rate:>10.3} {}", bar(*count, most));
        }
    }
    text
}

fn histogram(text: &mut String, what: &str, lengths: &Histogram) {
    if lengths.count == 0 {
        let _infallible = writeln!(text, "\n{what}: the file tells no length");
        return;
    }
    let (mean, longest) = (lengths.mean(), lengths.longest);
    let _infallible = writeln!(text, "\n{what}: mean {mean:.1} tokens, longest {longest}");
    let most = lengths.bins.iter().copied().max().unwrap_or(1);
    let first = lengths.bins.iter().position(|count| *count > 0).unwrap_or(0);
    for (bin, count) in lengths.bins.iter().enumerate().skip(first) {
        let (from, to) = (1_u64 << bin, (2_u64 << bin) - 1);
        let _infallible = writeln!(text, "  {from:>8} to {to:<8} {count:>8} {}", bar(*count, most));
    }
}

fn bar(count: u64, most: u64) -> String {
    let length = (count as f64 / most.max(1) as f64 * BAR as f64).ceil() as usize;
    "▇".repeat(length)
}
