//! Short help: one screen for each command that measures, with the flags that most people need.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::topics::Topic;
use super::wrapped::{Line, Page};

/// Lines of a screen.
#[cfg(test)]
pub const HEIGHT: usize = 24;
/// Columns of it.
pub const WIDTH: usize = 80;

/// One command's screen.
struct Screen {
    command: &'static str,
    usage: &'static str,
    /// Flags by their ids, each with a line.
    flags: &'static [(&'static str, &'static str)],
    examples: &'static [&'static str],
}

const TARGET: (&str, &str) = ("target", "what answers: http://…, local:…, sim:…, trtllm:DIR");
const CONCURRENCY: (&str, &str) = ("concurrency", "requests in flight; a point for each number");
const RATE: (&str, &str) = ("rate", "arrivals per second instead; a point for each");
const REQUESTS: (&str, &str) = ("requests", "requests of each point; 700 certify a p99");
const DURATION: (&str, &str) = ("duration", "or how long each point sends, e.g. 60s");
const SCENARIO: (&str, &str) = ("scenario", "lengths: 'D(128,64)', 'N(480,240)/(300,150)' tokens");
const WORKLOAD: (&str, &str) = ("workload", "prompts of a file: sharegpt:FILE, mooncake:FILE");
const MODEL: (&str, &str) = ("model", "the model's name, where a server has several");
const SLO: (&str, &str) = ("slo", "goodput: what meets 'ttft<200ms,itl<20ms'");
const OUT: (&str, &str) = ("out", "where run directories are made (default: runs)");
const CONFIG: (&str, &str) = ("config", "settings from a TOML file; flags win over it");

const RUN: &[(&str, &str)] =
    &[TARGET, CONCURRENCY, RATE, REQUESTS, DURATION, SCENARIO, WORKLOAD, MODEL, SLO, OUT];

const SCREENS: [Screen; 6] = [
    Screen {
        command: "run",
        usage: "bareflight run [TARGET] [--concurrency N | --rate R | --batch] [FLAGS]",
        flags: RUN,
        examples: &[
            "bareflight run               # first look: a random model on this CPU",
            "bareflight run http://localhost:8000 --concurrency 1,8 --isl 512 --osl 128",
            "bareflight run trtllm:ENGINE_DIR --rate 5,10 -d 60s --slo 'ttft<200ms'",
        ],
    },
    Screen {
        command: "plan",
        usage: "bareflight plan [the flags of run]",
        flags: RUN,
        examples: &["bareflight plan --rate 5,10 -d 60s   # every value and its origin"],
    },
    Screen {
        command: "compare",
        usage: "bareflight compare TARGET TARGET… [FLAGS] | RUN_DIR RUN_DIR",
        flags: &[
            TARGET,
            ("blocks", "times that every side plays; 5 or more decide"),
            ("margin", "differences within this share count as none"),
            ("fail_if", "end with code 6 if worse by more, e.g. 'ttft_p99>5%'"),
            ("set", "change a setting of one side: B:max_batch_size=4"),
            CONCURRENCY,
            REQUESTS,
            SCENARIO,
            MODEL,
            OUT,
        ],
        examples: &["bareflight compare trtllm:ENGINE_DIR http://localhost:8000"],
    },
    Screen {
        command: "search",
        usage: "bareflight search [TARGET] --slo 'ttft.p99<2s,tpot.p99<40ms' [FLAGS]",
        flags: &[
            TARGET,
            ("slo", "what a load must meet: ttft.p99<2s,tpot.p99<40ms"),
            ("axis", "what is searched over: rate or concurrency"),
            ("precision", "how close the limits from below and above are"),
            ("max_probes", "probes at most"),
            ("resume", "go on with a search that was ended"),
            DURATION,
            SCENARIO,
            MODEL,
            OUT,
        ],
        examples: &["bareflight search http://localhost:8000 --slo 'ttft.p99<500ms' --isl 512"],
    },
    Screen {
        command: "ladder",
        usage: "bareflight ladder ENGINE [FLAGS]",
        flags: &[
            ("target", "the engine: local:…, sim:…, trtllm:DIR"),
            ("blocks", "times that every rung plays, in turns"),
            CONCURRENCY,
            REQUESTS,
            DURATION,
            SCENARIO,
            ("tokenizer", "of the model, for the rungs that speak text"),
            SLO,
            CONFIG,
            OUT,
        ],
        examples: &["bareflight ladder local:dummy-nano --concurrency 4"],
    },
    Screen {
        command: "serve",
        usage: "bareflight serve ENGINE [FLAGS]",
        flags: &[
            ("target", "what is served: local:…, sim:…, trtllm:DIR, null:"),
            ("host", "address to listen on (default: 127.0.0.1)"),
            ("port", "port for OpenAI's protocol (default: 8000)"),
            ("grpc_port", "port for Triton's protocol (default: 8001)"),
            ("model_name", "the model's name over OpenAI's protocol"),
            ("tokenizer", "tokenizer of the model"),
            ("max_queue", "requests that may wait; more get 429"),
            ("max_batch_size", "requests in one batch, at most"),
            ("kv_tokens", "KV-cache capacity in tokens"),
            ("api_key_file", "file with the key that clients must send"),
        ],
        examples: &["bareflight serve local:dummy-nano --port 8000"],
    },
];

/// How a command is typed, in a line; `None` where its flags are few.
pub fn usage_of(command: &str) -> Option<&'static str> {
    SCREENS.iter().find(|screen| screen.command == command).map(|screen| screen.usage)
}

/// The screen of a command; `None` where its whole help is short.
pub fn of_command(command: &Command) -> Option<String> {
    let screen = SCREENS.iter().find(|screen| screen.command == command.get_name())?;
    let mut text = format!("{}\n\nUsage: {}\n\n", about(command), screen.usage);
    for (id, words) in screen.flags {
        let Some(flag) = command.get_arguments().find(|flag| flag.get_id() == *id) else {
            continue;
        };
        let _infallible = writeln!(text, "  {:24} {words}", spelt(flag));
    }
    text.push('\n');
    for example in screen.examples {
        let _infallible = writeln!(text, "  {example}");
    }
    let name = screen.command;
    let _infallible = write!(
        text,
        "\nEvery flag: `bareflight {name} --help`\nTopics: `bareflight help {}`\n",
        Topic::ALL.map(Topic::name).join("|")
    );
    Some(text)
}

/// What a command is for, in lines that fit.
fn about(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let about = Page::of(WIDTH).render(&[Line::Text(about)]);
    about.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

/// `-n, --requests N|Nx`.
fn spelt(flag: &Arg) -> String {
    let short = flag.get_short().map_or_else(|| "    ".to_owned(), |it| format!("-{it}, "));
    let long = flag.get_long().unwrap_or_default();
    let value = flag.get_value_names().and_then(|names| names.first());
    // What may stand before a value is for the whole help.
    let value = value.map(|name| name.split_once(']').map_or(name.as_str(), |(_, needed)| needed));
    let value = value.map_or_else(String::new, |name| format!(" {name}"));
    format!("{short}--{long}{value}")
}

/// Commands in the order in which people come to them, with a line each.
const COMMANDS: &[(&str, &str)] = &[
    ("run", "measure a target under one or several loads"),
    ("plan", "the same, resolved and explained, and nothing is sent"),
    ("compare", "two targets or more in turns: ratios, intervals, a verdict"),
    ("search", "the highest rate or concurrency that meets objectives"),
    ("ladder", "what each layer adds: harness, bridge, engine, text, server"),
    ("doctor", "is this machine fit to measure, and what mends it"),
    ("report", "reports again from records; several runs side by side"),
    ("import", "results of other tools beside ours"),
    ("inspect", "look into an engine, a model or a profile without loading it"),
    ("workload", "look into a dataset or a trace"),
    ("serve", "an engine of this process over OpenAI's and Triton's protocols"),
    ("translate", "our command for one of another benchmark"),
    ("init", "five questions, and a settings file"),
    ("help", "a topic, or a command"),
];

/// Commands that people know to look for.
const ALSO: &str = "also: explain, upload, adapter, schema, completions, man";

/// The screen of the program.
pub fn of_program(program: &Command) -> String {
    let mut text = format!("{}\n\nUsage: bareflight COMMAND [FLAGS]\n\n", about(program));
    for (name, words) in COMMANDS {
        if program.find_subcommand(name).is_some() {
            let _infallible = writeln!(text, "  {name:12} {words}");
        }
    }
    let _infallible = write!(
        text,
        "  {ALSO}\n\nBegin with `bareflight run`, or a server: `bareflight http://localhost:8000`\n`bareflight run -h` has ten flags, `--help` has all\nTopics: `bareflight help {}`\n",
        Topic::ALL.map(Topic::name).join("|")
    );
    text
}
