//! `bareflight workload`: what a workload file holds, and the same in another format.

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};

use crate::cli::exit::{Coded, Exit};
use crate::cli::resolve::resolve;
use crate::cli::run::print;
use crate::cli::typed::{Settings, WorkloadFlags};
use crate::console;
use crate::experiment::preflight::prompts::HfTokenizer;
use crate::load::Load;
use crate::load::plan::{Plan, PlanSize, PlanStart};
use crate::report::html::page;
use crate::report::html::text::escape;
use crate::request::RequestId;
use crate::settings::load_rules::RequestCount;
use crate::settings::seed_choice::SeedChoice;
use crate::settings::served::ServedSettings;
use crate::store::write::write_whole;
use crate::tokenizer::tokenize::Tokenize;
use crate::workload::dataset::bench_config::BenchDataset;
use crate::workload::dataset::choose::choose;
use crate::workload::dataset::convert::{ConvertTo, convert};
use crate::workload::dataset::entries::Tally;
use crate::workload::dataset::profile::{Histogram, Profile};
use crate::workload::dataset::resolve::Counter;
use crate::workload::dataset::{FileKind, FileSource, FileWorkload};
use crate::workload::mixture::SourceText;
use crate::workload::mixture::choose::choose_mixed;
use crate::workload::prompts::PromptSource;
use crate::workload::vocabulary::Vocabulary;
use crate::workload::{PromptKind, Workload};

/// Columns of a bar.
const BAR: usize = 40;

/// Requests that are profiled where a workload is not one file as a whole.
const PLANNED_REQUESTS: u32 = 1_000;

/// Ids of a model that nobody has named: which ones they are changes no figure.
const VOCABULARY: u32 = 32_000;

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
        /// Which file, or several with weights: `sharegpt:FILE`, `0.3:synthetic:D(600,8)`, …
        #[arg(value_name = "[WEIGHT:]KIND:FILE", required = true)]
        sources: Vec<SourceText>,
        /// How files are read
        #[command(flatten)]
        read: ReadArgs,
        /// What is drawn where a part is random or there are several
        #[command(flatten)]
        planned: PlannedArgs,
        /// Write the same as a page, too
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Write a file's entries in another format, in its order
    Convert {
        /// Which file: `sharegpt:FILE`, `mooncake:FILE`, …
        #[arg(value_name = "KIND:FILE")]
        source: FileSource,
        /// How it is read
        #[command(flatten)]
        read: ReadArgs,
        /// The other format
        #[arg(long, value_enum)]
        to: ConvertTo,
        /// Where to; `-` is standard output
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// How a file is read.
#[derive(Debug, Args)]
struct ReadArgs {
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
    /// Length of every output, whatever a file says
    #[arg(long, value_name = "N")]
    output_tokens: Option<u32>,
}

/// What is drawn of a workload.
#[derive(Debug, Args)]
struct PlannedArgs {
    /// Profile the prompts of so many requests, as a run draws them (default: a file alone as a whole, else 1000)
    #[arg(long, short = 'n', value_name = "N")]
    requests: Option<u32>,
    /// Seed of the draw
    #[arg(long, value_name = "N|random")]
    seed: Option<SeedChoice>,
    /// Tokens that random prompts begin with alike
    #[arg(long, value_name = "N")]
    prefix_tokens: Option<u32>,
    /// So many groups of prompts, each with a prefix of its own
    #[arg(long, value_name = "N")]
    prefix_groups: Option<u32>,
    /// Share of the prompts of each group
    #[arg(long, value_name = "SHARES", value_delimiter = ',')]
    prefix_shares: Option<Vec<f64>>,
}

impl PlannedArgs {
    fn is_given(&self) -> bool {
        let Self { requests, seed, prefix_tokens, prefix_groups, prefix_shares } = self;
        let of_prefix = prefix_tokens.is_some() || prefix_groups.is_some();
        requests.is_some() || seed.is_some() || of_prefix || prefix_shares.is_some()
    }

    /// The profile of the requests that a run of this workload measures first.
    fn profile(&self, workload: &Workload, counter: &Counter) -> Coded<Profile> {
        let requests = self.requests.unwrap_or(PLANNED_REQUESTS);
        let seeds = workload.seeds();
        let chosen = match (&workload.mixture, &workload.file) {
            (Some(mixture), _) => Some(choose_mixed(mixture, counter, &seeds, requests as usize)),
            (None, Some(file)) => Some(choose(file, counter, &seeds, requests as usize)),
            (None, None) => None,
        };
        let chosen = chosen.transpose().map_err(in_the_way)?;
        let size = counter.tokenizer.as_ref().map_or(VOCABULARY, |it| it.vocab_size());
        let vocabulary = Vocabulary::new(size, []).map_err(in_the_way)?;
        let entries = chosen.as_ref().map(|it| it.entries.clone());
        let source = PromptSource::ids(vocabulary).with_entries(entries);
        let size = PlanSize { requests: Some(requests), ..PlanSize::default() };
        let start = PlanStart { point: 0, first_id: RequestId(0) };
        let load = Load::Closed { concurrency: 1 };
        let plan = Plan::draw(workload, &load, size, start, &source).map_err(in_the_way)?;
        let mut profile = Profile::default();
        for shot in plan.shots().shots() {
            let request = shot.map_err(in_the_way)?.request;
            profile.add_drawn(&request.prompt, request.output.max_tokens);
        }
        profile.drawn = Some(plan.shots().len());
        profile.tally = chosen.map_or_else(Tally::default, |it| it.tally);
        Ok(profile)
    }
}

impl ReadArgs {
    fn flags(&self, sources: &[SourceText]) -> WorkloadFlags {
        WorkloadFlags {
            workload: Some(sources.to_vec()),
            prompt_column: self.prompt_column.clone(),
            output_tokens_column: self.output_tokens_column.clone(),
            output_tokens: self.output_tokens,
            skip_bad_lines: self.skip_bad_lines.then_some(true),
            ..WorkloadFlags::default()
        }
    }

    fn file(&self, source: &FileSource) -> Coded<FileWorkload> {
        let (source, prompt_column) = if source.kind == FileKind::GenaiBench {
            let named = BenchDataset::read(&source.path);
            let named = named.map_err(|error| (Exit::Usage, error.into()))?;
            (named.source, self.prompt_column.clone().or(named.prompt_column))
        } else {
            (source.clone(), self.prompt_column.clone())
        };
        let of_columns = |name: &Option<String>| name.clone().filter(|_| source.kind.has_columns());
        Ok(FileWorkload {
            prompt_column: of_columns(&prompt_column),
            output_column: of_columns(&self.output_tokens_column),
            output_tokens: self.output_tokens,
            skip_bad_lines: self.skip_bad_lines,
            ..FileWorkload::new(source.clone())
        })
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
        What::Inspect { sources, read, planned, html } => {
            let (title, profile) = profile(sources, read, planned)?;
            let text = render(&title, &profile);
            if let Some(path) = html {
                let body = format!("<h1>{}</h1>\n<pre>{}</pre>\n", escape(&title), escape(&text));
                let page = page(&title, &body, SMALL_PRINT);
                write_whole(path, page.as_bytes()).map_err(failure)?;
            }
            print(&text).map_err(failure)?;
        }
        What::Convert { source, read, to, out } => {
            let file = read.file(source)?;
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
            console::print_notice(format_args!("{source}: {tally}"));
        }
    }
    Ok(Exit::Ok)
}

/// The profile of one file as a whole, or of the requests that a run would send.
fn profile(
    sources: &[SourceText],
    read: &ReadArgs,
    planned: &PlannedArgs,
) -> Coded<(String, Profile)> {
    let settings = Settings {
        workload: read.flags(sources),
        prefix_tokens: planned.prefix_tokens,
        prefix_groups: planned.prefix_groups,
        prefix_shares: planned.prefix_shares.clone(),
        requests: Some(RequestCount::Fixed(planned.requests.unwrap_or(PLANNED_REQUESTS))),
        concurrency: Some(vec![1.into()]),
        seed: planned.seed,
        ..Settings::default()
    };
    let workload = resolve(&settings).map_err(|error| (Exit::Usage, error.into()))?.workload;
    let (title, counter) = (workload.asked(), read.counter()?);
    let profile = match &workload.file {
        Some(file) if !planned.is_given() && !file.source.kind.is_drawn() => {
            Profile::of(file, &counter).map_err(in_the_way)?
        }
        Some(_) | None => planned.profile(&workload, &counter)?,
    };
    Ok((title, profile))
}

/// What stands below the page.
const SMALL_PRINT: &str = "A profile of a file: nothing was measured.";

fn render(source: &str, profile: &Profile) -> String {
    // Writing to a string cannot fail, here and below.
    let read = match profile.drawn {
        None => profile.tally.to_string(),
        Some(drawn) => format!("the first {drawn} requests of a run"),
    };
    let mut text = format!("{source}\n  {read}\n");
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
        // Enough digits to tell two bars apart.
        let digits = if seconds < 0.1 { 3 } else { 1 };
        for (number, count) in counts.iter().enumerate() {
            let (from, rate) = (number as f64 * seconds, *count as f64 / seconds);
            let _infallible =
                writeln!(text, "  from {from:>10.digits$} s {rate:>10.3} {}", bar(*count, most));
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
