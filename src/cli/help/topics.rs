//! Topics of help: targets, scenarios, metrics, files, exit codes, each made from what the program knows.

use super::wrapped::Line;
use crate::cli::exit::Exit;
use crate::experiment::artefacts;
use crate::metrics::definition::{Definition, Quantity, Rate};
use crate::store::run_directory::file;
use crate::targets::registry::{Abilities, DefaultPrompts, KINDS};
use crate::workload::dataset::FileKind;

/// What can be read about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// What can be measured.
    Targets,
    /// Lengths and prompts.
    Scenarios,
    /// What each number means.
    Metrics,
    /// What a run leaves behind.
    Files,
    /// How the program ends.
    ExitCodes,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 5] =
        [Self::Targets, Self::Scenarios, Self::Metrics, Self::Files, Self::ExitCodes];

    /// As it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Targets => "targets",
            Self::Scenarios => "scenarios",
            Self::Metrics => "metrics",
            Self::Files => "files",
            Self::ExitCodes => "exit-codes",
        }
    }

    /// The topic of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// What is to be read.
    pub fn lines(self) -> Vec<Line> {
        match self {
            Self::Targets => targets(),
            Self::Scenarios => scenarios(),
            Self::Metrics => metrics(),
            Self::Files => files(),
            Self::ExitCodes => exit_codes(),
        }
    }
}

fn heading(text: &str) -> Line {
    Line::Heading(text.to_owned())
}

fn text(words: &str) -> Line {
    Line::Text(words.to_owned())
}

fn term(name: &str, meaning: &str) -> Line {
    Line::Term(name.to_owned(), meaning.to_owned())
}

fn code(line: &str) -> Line {
    Line::Code(line.to_owned())
}

fn targets() -> Vec<Line> {
    let mut lines = vec![heading("Targets: what answers (`--target KIND:NAME`)")];
    for kind in KINDS {
        let (spelt, what) = kind.help.rsplit_once(" (").unwrap_or((kind.help, ""));
        let what = what.strip_suffix(')').unwrap_or(what);
        lines.push(term(&spelt.replace('`', ""), &format!("{what}. {}", can(kind.abilities))));
    }
    lines.extend([
        heading("Addresses"),
        text(
            "`--target` may be left out. A URL or HOST:PORT is `openai:`, and so is what `-u`, `--url`, `--api-base` and `--base-url` name. Without a path \
             it is `/v1`; `--endpoint chat|completions|embeddings` says which endpoint is asked.",
        ),
        heading("Examples"),
        code("bareflight run --target sim:h200-llama3-8b-fp8 --concurrency 1,8,32"),
        code("bareflight run http://localhost:8000 -m NAME --rate 5,10"),
        code("bareflight run --target triton:localhost:8001/ensemble"),
        text("docs/targets/ has a page for each; `bareflight doctor --target …` tells what one lacks."),
    ]);
    lines
}

/// What of a kind a user has to know to choose flags.
fn can(abilities: Abilities) -> String {
    let prompts = match abilities.prompts {
        DefaultPrompts::Ids => "prompts are token ids",
        DefaultPrompts::Text => "prompts are text",
        DefaultPrompts::ByEndpoint => "prompts are text, and token ids at `completions`",
    };
    let place = match (abilities.server.is_some(), abilities.wraps_target) {
        (true, _) => "Over the network",
        (false, true) => "In front of another target",
        (false, false) => "In this process",
    };
    let parts = [
        (true, place),
        (true, prompts),
        (abilities.simulated, "simulated"),
        (abilities.scheduler_settings, "settings of a scheduler (`--max-batch-size`, …)"),
        (abilities.executor_settings, "settings of an executor (table `[engine]`)"),
        (abilities.engine_stamps, "time stamps of the engine itself"),
    ];
    let told: Vec<&str> = parts.into_iter().filter(|(is, _)| *is).map(|(_, words)| words).collect();
    told.join("; ")
}

fn scenarios() -> Vec<Line> {
    let kinds: Vec<&str> = FileKind::ALL.iter().map(|kind| kind.name()).collect();
    vec![
        heading("Scenarios: lengths in tokens (`--scenario`)"),
        term("D(in,out)", "every prompt and every output of the same length"),
        term("N(mean,std)/(mean,std)", "normal lengths of prompts and outputs, never below 1"),
        term("U(min,max)/(min,max)", "uniform lengths"),
        term("U(in,out)", "uniform from 1 up to these"),
        text("`--isl 512 --osl 128` is D(512,128); with `--isl-stddev` or `--osl-stddev` it is N."),
        heading("What a prompt is"),
        term(
            "--prompts ids|text",
            "random token ids, or words that re-tokenise to exactly the count",
        ),
        term("--prefix-tokens N", "a beginning that all prompts share, for prefix caches"),
        term(
            "--prefix-groups N",
            "so many of them, each shared by a group; shares with --prefix-shares",
        ),
        term(
            "--num-prompts N",
            "so many different prompts, again and again; not the number of requests",
        ),
        term("--seed N|random", "lengths, prompts, arrivals and sampling follow from it"),
        heading("Files and traces instead (`--workload KIND:FILE`)"),
        text(&kinds.join(", ")),
        text(
            "`--replay` sends a trace's requests at its own instants. docs/workloads.md has the formats.",
        ),
        heading("Examples"),
        code("bareflight run --scenario 'N(480,240)/(300,150)' --concurrency 8"),
        code("bareflight run --workload sharegpt:FILE --rate 5"),
        code("bareflight run --workload 0.7:sharegpt:FILE --workload '0.3:synthetic:D(128,64)'"),
        code("bareflight workload inspect mooncake:FILE"),
    ]
}

fn metrics() -> Vec<Line> {
    let line = |it: &Definition| {
        let unit = it.unit.symbol();
        let unit = if unit.is_empty() { "a share".to_owned() } else { unit.to_owned() };
        Line::Term(it.id.to_owned(), format!("{} ({unit}): {}", it.label, it.formula))
    };
    let mut lines = vec![heading("Latencies and counts of each request, with percentiles")];
    lines.extend(Quantity::ALL.map(|quantity| line(quantity.definition())));
    lines.push(heading("Rates of a point"));
    lines.extend(Rate::ALL.map(|rate| line(rate.definition())));
    lines.extend([
        heading("Marks"),
        term("~", "a percentile that so few samples cannot certify"),
        term("≈", "tokens were spread evenly over chunks, since nothing told how many each held"),
        text("docs/METRICS.md defines every stamp, and `summary.json` repeats each definition beside its values."),
    ]);
    lines
}

fn files() -> Vec<Line> {
    let mut lines = vec![heading("Files of a run (`--out DIR`, default `runs`)")];
    lines.extend(artefacts::FILES.iter().map(|(name, holds)| term(name, holds)));
    lines.push(term(file::PLAN, "what was going to be asked, and when"));
    lines.extend([
        heading("Of experiments with several sides"),
        term("comparison.json/.csv/.html", "of `bareflight compare`; a folder for each side"),
        term("ladder.json/.csv/.html", "of `bareflight ladder`; a folder for each rung"),
        term("search.json/.csv/.html", "of `bareflight search`; one point for each probe"),
        heading("Again from the records"),
        code("bareflight report RUN_DIR                # the same reports, byte for byte"),
        code("bareflight run --config RUN_DIR/resolved.toml"),
        text("`bareflight schema` prints the JSON schema of summary.json."),
    ]);
    lines
}

fn exit_codes() -> Vec<Line> {
    let mut lines = vec![heading("Exit codes")];
    let codes = Exit::ALL.map(|exit| term(&(exit as u8).to_string(), exit.meaning()));
    lines.extend(codes);
    lines.push(text(
        "The gravest that applies is given. Of several sides, the worst side decides. Artefacts are written in every case in which \
         load was sent.",
    ));
    lines
}
