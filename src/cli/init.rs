//! `bareflight init`: five questions on a terminal, and a commented settings file as their answer.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;

use crate::cli::configuration::settings_of;
use crate::cli::exit::{Coded, Exit};
use crate::cli::resolve::resolve;
use crate::cli::run;
use crate::cli::spelling;
use crate::console::shell_word;
use crate::settings::{DEFAULT_SCENARIO, DEFAULT_TARGET};

/// Answers that are known already; what is missing is asked, or has its default with `--yes`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// What answers, as for `run`
    #[arg(long, value_name = "KIND:NAME")]
    pub target: Option<String>,
    /// Lengths in tokens, as for `run`
    #[arg(long, short = 's', value_name = "SCENARIO")]
    pub scenario: Option<String>,
    /// Requests in flight, e.g. `1,8,32`, or arrivals per second, e.g. `5/s,10/s`
    #[arg(long, value_name = "LOAD")]
    pub load: Option<String>,
    /// How much: requests of each point, e.g. `700`, or a span, e.g. `60s`
    #[arg(long, value_name = "N|SPAN")]
    pub size: Option<String>,
    /// Bounds that a good request meets, e.g. `ttft<200ms`; `none` for none
    #[arg(long, value_name = "BOUNDS")]
    pub slo: Option<String>,
    /// The file to write
    #[arg(long, short = 'o', value_name = "FILE", default_value = "bareflight.toml")]
    pub out: PathBuf,
    /// Ask nothing: what is not given has its default
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
}

/// One question, with its answer where it is given or its default.
struct Question {
    about: &'static str,
    default: &'static str,
    /// Lines of the file for an answer, or what is wrong with it.
    lines: fn(&str) -> Result<String, String>,
}

const QUESTIONS: [Question; 5] = [
    Question {
        about: "What answers? A server's address (http://localhost:8000), or KIND:NAME (`bareflight help targets`)",
        default: DEFAULT_TARGET,
        lines: target_lines,
    },
    Question {
        about: "Lengths in tokens? D(in,out), N(mean,std)/(mean,std) or U(min,max)/(min,max)",
        default: DEFAULT_SCENARIO,
        lines: |answer| Ok(format!("scenario = {}\n", quoted(answer))),
    },
    Question {
        about: "How much load? Requests in flight (1,8,32), or arrivals per second (5/s,10/s)",
        default: "1,8,32",
        lines: load_lines,
    },
    Question {
        about: "How long is each point? A number of requests (700 certify a p99), or a span (60s)",
        default: "200",
        lines: |answer| Ok(size_lines(answer)),
    },
    Question {
        about: "What must a good request meet? E.g. ttft<200ms,itl<20ms, or none",
        default: "none",
        lines: |answer| Ok(slo_lines(answer)),
    },
];

/// Asks, and writes the file.
///
/// # Errors
/// When there is nobody to ask, an answer makes no sense, or the file cannot be written.
pub fn init(arguments: &InitArgs) -> Coded<Exit> {
    let usage = |error: anyhow::Error| (Exit::Usage, error);
    let path = &arguments.out;
    if path.exists() && !arguments.force {
        return Err(usage(anyhow!(
            "`{}` is there already: give `--out OTHER.toml`, or `--force` to write over it",
            path.display()
        )));
    }
    let is_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !arguments.yes && !is_terminal {
        return Err(usage(anyhow!(
            "there is no terminal to ask on: give the answers as flags, e.g. `bareflight init --target \
             http://localhost:8000 --scenario 'D(512,128)' --load 1,8,32 --size 200 --slo none --yes`"
        )));
    }
    let given =
        [&arguments.target, &arguments.scenario, &arguments.load, &arguments.size, &arguments.slo];
    let given = given.map(|answer| answer.as_deref());
    let text = if arguments.yes {
        compose(given).map_err(|why| usage(anyhow!(why)))?
    } else {
        let (mut from, mut to) = (io::stdin().lock(), io::stderr().lock());
        ask(given, &mut from, &mut to).map_err(usage)?
    };
    fs::write(path, text)
        .with_context(|| format!("`{}` cannot be written", path.display()))
        .map_err(|error| (Exit::Failure, error))?;
    let said = format!(
        "{} is written; `bareflight plan --config {1}` shows what it comes to, `bareflight run --config {1}` measures it\n",
        path.display(),
        shell_word::path(path)
    );
    run::print(&said).map_err(|error| (Exit::Failure, error))?;
    Ok(Exit::Ok)
}

/// Without a word: what is given, else the defaults.
fn compose(given: [Option<&str>; 5]) -> Result<String, String> {
    let mut text = HEAD.to_owned();
    for (question, given) in QUESTIONS.iter().zip(given) {
        add(question, given.unwrap_or(question.default), &mut text)?;
    }
    text.push_str(TAIL);
    Ok(text)
}

/// Asks what is not given, again and again until it makes sense.
fn ask(
    given: [Option<&str>; 5],
    from: &mut impl BufRead,
    to: &mut impl Write,
) -> anyhow::Result<String> {
    let mut text = HEAD.to_owned();
    for (question, given) in QUESTIONS.iter().zip(given) {
        if let Some(answer) = given {
            add(question, answer, &mut text).map_err(|why| anyhow!(why))?;
            continue;
        }
        loop {
            write!(to, "{}\n  [{}] ", question.about, question.default)?;
            to.flush()?;
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Err(anyhow!("the answers ended early: nothing was written"));
            }
            let answer = Some(line.trim()).filter(|it| !it.is_empty()).unwrap_or(question.default);
            match add(question, answer, &mut text) {
                Ok(()) => break,
                Err(why) => writeln!(to, "  {why}")?,
            }
        }
    }
    text.push_str(TAIL);
    Ok(text)
}

/// Adds the lines of an answer where the file still makes sense with them.
fn add(question: &Question, answer: &str, text: &mut String) -> Result<(), String> {
    let lines = (question.lines)(answer)?;
    let longer = format!("{text}\n# {}\n{lines}", question.about);
    // Where it lies in a file that nobody has seen says nothing.
    let words =
        |error: anyhow::Error| format!("{error:#}").lines().last().unwrap_or_default().to_owned();
    let settings = settings_of(&longer).map_err(words)?;
    resolve(&settings).map_err(|error| error.to_string())?;
    *text = longer;
    Ok(())
}

fn target_lines(answer: &str) -> Result<String, String> {
    let target = spelling::with_kind(answer);
    if crate::targets::registry::kind_of(&target).is_none() {
        return Err(format!("`{answer}` is no target: {}", crate::targets::registry::help()));
    }
    Ok(format!(
        "target = {}\n# model = \"NAME\"                  # where a server has several\n",
        quoted(&target)
    ))
}

fn load_lines(answer: &str) -> Result<String, String> {
    let pieces: Vec<&str> = answer.split([',', ' ']).filter(|it| !it.is_empty()).collect();
    let numbers = |pieces: &[&str]| pieces.join(", ");
    if pieces.iter().all(|piece| piece.ends_with("/s")) {
        let rates: Vec<&str> = pieces.iter().map(|piece| piece.trim_end_matches("/s")).collect();
        if rates.iter().all(|rate| rate.parse::<f64>().is_ok()) {
            return Ok(format!("rate = [{}]\n", numbers(&rates)));
        }
    }
    if pieces.iter().all(|piece| piece.parse::<u32>().is_ok()) {
        return Ok(format!("concurrency = [{}]\n", numbers(&pieces)));
    }
    Err(format!("`{answer}` is no load: write `1,8,32` or `5/s,10/s`"))
}

fn size_lines(answer: &str) -> String {
    if answer.parse::<u32>().is_ok() {
        format!("requests = {answer}\n")
    } else {
        format!("duration = {}\n", quoted(answer))
    }
}

fn slo_lines(answer: &str) -> String {
    match answer {
        "none" => "# slo = \"ttft<200ms,itl<20ms\"\n".to_owned(),
        bounds => format!("slo = {}\n", quoted(bounds)),
    }
}

/// As TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

const HEAD: &str = "\
# Settings of bareflight: `bareflight run --config FILE`. Flags and environment variables win over them.
# ${NAME} and ${NAME:-default} are read from the environment; every flag of `bareflight run --help` is a key, with `_` for `-`.
";

const TAIL: &str = "
# The one seed that lengths, prompts, arrivals and sampling follow from
# seed = 42

# Where run directories are made
# out = \"runs\"

# What every artefact should carry
# server_engine = \"vLLM\"
# server_gpu_count = 1
# note = [\"ticket=A-1\"]

# Settings of an executor (sim: and trtllm:) are a table of their own
# [engine]
# kv_fraction = 0.9
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_answers_make_a_file_that_a_run_accepts() {
        let answers = "http://localhost:8000\nD(8,4)\n5/s 10/s\n60s\nttft<2s\n";
        let mut shown = Vec::new();
        let text = ask([None; 5], &mut answers.as_bytes(), &mut shown).expect("answers");
        let settings = settings_of(&text).expect("a file");
        assert_eq!(settings.target.as_deref(), Some("openai:http://localhost:8000"));
        assert_eq!(settings.rate, Some(vec![5.0, 10.0]));
        assert_eq!(settings.slo.as_deref(), Some("ttft<2s"));
        assert_eq!(String::from_utf8(shown).expect("text").matches("  [").count(), 5);
    }

    #[test]
    fn an_empty_answer_is_the_default_and_a_wrong_one_is_asked_again() {
        let answers = "\nX(1)\n\nmany\n1\n\n\n";
        let mut shown = Vec::new();
        let text = ask([None; 5], &mut answers.as_bytes(), &mut shown).expect("answers");
        let shown = String::from_utf8(shown).expect("text");
        assert!(shown.contains("X(1)") && shown.contains("`many` is no load"), "{shown}");
        assert!(text.contains("concurrency = [1]") && text.contains("# slo"), "{text}");
    }

    #[test]
    fn every_setting_in_a_comment_is_one() {
        let text = compose([None; 5]).expect("defaults");
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("# ") || line.contains(" = ") || line.contains("# ["))
            .map(|line| line.trim_start_matches("# "))
            .collect();
        let bare = lines.join("\n");
        settings_of(&bare).expect("a file");
    }
}
