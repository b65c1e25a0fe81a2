//! Table of aliases: flags of other benchmarks that have one meaning here.

use std::ffi::OsString;

use crate::cli::spelling::target;

/// A flag of other benchmarks.
pub struct Alias {
    /// Every name of it, without dashes and with `-` for `_`.
    pub names: &'static [&'static str],
    /// What it is here.
    pub means: Means,
}

/// What an alias is here.
#[derive(Clone, Copy)]
pub enum Means {
    /// Our flag, with the same value.
    Same(&'static str),
    /// A switch, as our flag with its value.
    Switch(&'static str),
    /// Our words for any value.
    Words(fn(&str, Asked) -> Vec<String>),
    /// Our words for a value, or what can be given instead.
    Converted(fn(&str, Asked) -> Result<Vec<String>, String>),
}

/// What the rest of a command line asks for, as far as an alias depends on it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// Arrivals per second.
    rate: bool,
    /// Requests in flight.
    in_flight: bool,
}

const ENDLESS: &str = "inf";

impl Asked {
    /// Looks at a whole command line.
    pub fn of(typed: &[OsString]) -> Self {
        let mut asked = Self::default();
        for (place, word) in typed.iter().enumerate() {
            let Some(word) = word.to_str() else { continue };
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let next = typed.get(place + 1).and_then(|next| next.to_str()).unwrap_or_default();
            match name.replace('_', "-").as_str() {
                "--rate" => asked.rate = true,
                "--request-rate" => asked.rate |= value != ENDLESS && next != ENDLESS,
                "--concurrency" | "--num-concurrency" | "--max-concurrency" => {
                    asked.in_flight = true;
                }
                _ => {}
            }
        }
        asked
    }
}

/// Every alias.
pub const ALIASES: &[Alias] = &[
    alias(&["request-rate"], Means::Words(request_rate)),
    alias(&["num-concurrency"], Means::Same("concurrency")),
    alias(&["max-concurrency"], Means::Words(max_concurrency)),
    alias(&["max-requests", "request-count", "num-requests"], Means::Same("requests")),
    alias(&["max-time-per-run"], Means::Words(minutes)),
    alias(&["warmup-request-count", "num-warmup-requests"], Means::Same("warmup")),
    alias(&["traffic-scenario"], Means::Same("scenario")),
    alias(&["random-input-len"], Means::Same("input-tokens-mean")),
    alias(&["random-output-len"], Means::Same("output-tokens-mean")),
    alias(&["random-seed"], Means::Same("seed")),
    alias(&["streaming"], Means::Switch("no-streaming=false")),
    alias(&["ignore-eos"], Means::Switch("stop-at-eos=false")),
    alias(&["url", "api-base", "base-url"], Means::Words(url)),
    alias(&["endpoint-type"], Means::Converted(endpoint)),
    alias(&["tokenizer-dir"], Means::Same("tokenizer")),
    alias(&["artifact-dir", "artifact-directory", "output-dir"], Means::Same("out")),
];

const fn alias(names: &'static [&'static str], means: Means) -> Alias {
    Alias { names, means }
}

impl Alias {
    /// The alias of that name, which is written with `-`.
    pub fn find(name: &str) -> Option<&'static Self> {
        ALIASES.iter().find(|alias| alias.names.contains(&name))
    }
}

fn words(flag: &str, value: &str) -> Vec<String> {
    vec![flag.to_owned(), value.to_owned()]
}

/// vLLM bench sends as fast as it may where the rate is `inf`: a closed loop where requests in flight are bounded.
fn request_rate(value: &str, asked: Asked) -> Vec<String> {
    match (value, asked.in_flight) {
        (ENDLESS, true) => Vec::new(),
        (ENDLESS, false) => vec!["--batch".to_owned()],
        (rate, _) => words("--rate", rate),
    }
}

/// A closed loop, or the cap of an open one.
fn max_concurrency(value: &str, asked: Asked) -> Vec<String> {
    words(if asked.rate { "--max-in-flight" } else { "--concurrency" }, value)
}

/// genai-bench counts the time of a run in minutes.
fn minutes(value: &str, _: Asked) -> Vec<String> {
    let bare = value.parse::<f64>().is_ok();
    words("--duration", &if bare { format!("{value}m") } else { value.to_owned() })
}

/// Whatever it looks like, it is a server's.
fn url(value: &str, _: Asked) -> Vec<String> {
    words("--target", &target::of_url(value))
}

fn endpoint(value: &str, _: Asked) -> Result<Vec<String>, String> {
    let last = value.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let ours = match (value, last) {
        ("openai-chat", _) | (_, "chat") => "chat",
        ("v1/chat/completions" | "/v1/chat/completions", _) => "chat",
        ("openai" | "vllm", _) | (_, "completions") => "completions",
        ("openai-embeddings", _) | (_, "embeddings") => "embeddings",
        _ => return Err("give `chat`, `completions` or `embeddings`".to_owned()),
    };
    Ok(words("--endpoint", ours))
}
