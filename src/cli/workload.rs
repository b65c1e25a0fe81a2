//! `bareflight workload`: what a workload file holds, and the same in another format.

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};

use crate::cli::exit::{Coded, Exit};
use crate::cli::run::print;
use crate::console;
use crate::experiment::preflight::HfTokenizer;
use crate::report::html::page;
use crate::report::html::text::escape;
use crate::settings::served::ServedSettings;
use crate::store::write::write_whole;
use crate::tokenizer::tokenize::Tokenize;
use crate::workload::PromptKind;
use crate::workload::dataset::convert::{ConvertTo, convert};
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
        /// Which file, and how it is read
        #[command(flatten)]
        read: ReadArgs,
        /// Write the same as a page, too
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Write a file's entries in another format, in its order
    Convert {
        /// Which file, and how it is read
        #[command(flatten)]
        read: ReadArgs,
        /// The other format
        #[arg(long, value_enum)]
        to: ConvertTo,
        /// Where to; `-` is standard output
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Length of every output, whatever the file says
        #[arg(long, value_name = "N")]
        output_tokens: Option<u32>,
    },
}

/// Which file, and how it is read.
#[derive(Debug, Args)]
struct ReadArgs {
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
}

impl ReadArgs {
    fn file(&self) -> FileWorkload {
        FileWorkload {
            prompt_column: self.prompt_column.clone(),
            output_column: self.output_tokens_column.clone(),
            skip_bad_lines: self.skip_bad_lines,
            ..FileWorkload::new(self.source.clone())
        }
    }

    fn counter(&self) -> Coded<Counter> {
        let tokenizer = self.tokenizer.clone();
        let named = ServedSettings { tokenizer, ..ServedSettings::default() };
        let tokenizer = named
            .read_tokenizer("workload")
            .map_err(in_the_way)?
            .map(|it| Arc::new(HfTokenizer(it)) as Arc<dyn Tokenize>);
        Ok(Counter { tokenizer, prompts: PromptKind::Ids, vocabulary: None, has_output: true })
    }
}

fn in_the_way(error: impl Into<anyhow::Error>) -> (Exit, anyhow::Error) {
    (Exit::Preflight, error.into())
}

fn failure(error: impl Into<anyhow::Error>) -> (Exit, anyhow::Error) {
    (Exit::Failure, error.into())
}

/// Reads the file and shows what it holds, or writes it in another format.
///
/// # Errors
/// With the exit code for a preflight that failed, when it cannot be read.
pub fn run(arguments: &WorkloadArgs) -> Coded<Exit> {
    match &arguments.what {
        What::Inspect { read, html } => {
            let profile = Profile::of(&read.file(), &read.counter()?).map_err(in_the_way)?;
            let text = render(&read.source, &profile);
            if let Some(path) = html {
                let title = read.source.to_string();
                let body = format!("<h1>{}</h1>\n<pre>{}</pre>\n", escape(&title), escape(&text));
                let page = page(&title, &body, SMALL_PRINT);
                write_whole(path, page.as_bytes()).map_err(failure)?;
            }
            print(&text).map_err(failure)?;
        }
        What::Convert { read, to, out, output_tokens } => {
            let file = FileWorkload { output_tokens: *output_tokens, ..read.file() };
            let counter = read.counter()?;
            let tally = if out.as_os_str() == "-" {
                let mut text = Vec::new();
                let tally = convert(&file, &counter, *to, &mut text).map_err(in_the_way)?;
                print(&String::from_utf8_lossy(&text)).map_err(failure)?;
                tally
            } else {
                let unmade =
                    |error| anyhow::anyhow!("`{}` cannot be written: {error}", out.display());
                let made = File::create(out).map_err(|error| failure(unmade(error)))?;
                convert(&file, &counter, *to, BufWriter::new(made)).map_err(in_the_way)?
            };
            console::print_notice(format_args!("{}: {tally}", read.source));
        }
    }
    Ok(Exit::Ok)
}

/// What stands below the page.
const SMALL_PRINT: &str = "A profile of a file: nothing was measured.";

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
