//! Command of ours in the making: what another benchmark asked for, in our terms.

use std::fmt::Write as _;

use super::lengths::{self, Length};
use crate::console::shell_word::{quoted, quoted_for_variables};

/// perf_analyzer's own, where only a percentage is given.
const DEFAULT_INTERVAL: &str = "5s";

/// What is asked where a command does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// An OpenAI-compatible server.
    OpenAi,
    /// A Triton server.
    Triton,
    /// An engine of TensorRT-LLM in this process.
    TrtLlm,
    /// TensorRT-LLM's PyTorch backend in this process.
    TrtLlmTorch,
}

/// The shape of a file of prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Nothing was said.
    Unsaid,
    /// As `--workload` names it.
    Of(&'static str),
    /// Prompts come from no file.
    NoFile,
}

/// The command so far.
#[derive(Debug)]
pub struct Draft {
    /// What is asked.
    pub service: Service,
    /// URL or address of the server.
    pub url: Option<String>,
    /// Host and port where they were given apart.
    pub host: Option<String>,
    /// The same; of some programs their own.
    pub port: Option<String>,
    /// Name of the model.
    pub model: Option<String>,
    /// Its name at the server, where that is another one.
    pub served_as: Option<String>,
    /// A folder with an engine.
    pub engine: Option<String>,
    /// A folder with a model and its tokenizer.
    pub model_folder: Option<String>,
    /// Endpoint of an OpenAI-compatible server.
    pub endpoint: Option<String>,
    /// Length of prompts.
    pub input: Length,
    /// Length of outputs.
    pub output: Length,
    /// Lengths in our own words.
    pub scenarios: Vec<String>,
    /// A file of prompts.
    pub file: Option<String>,
    /// Its shape.
    pub file_kind: FileKind,
    /// Sizes of batches of texts.
    pub batch_sizes: Vec<String>,
    /// Bounds that a good request meets.
    pub bounds: Vec<String>,
    /// Closed loops.
    pub concurrencies: Vec<String>,
    /// Open loops.
    pub rates: Vec<String>,
    /// Most requests in flight of an open loop.
    pub cap: Option<String>,
    /// All requests go at once where neither loop is asked for.
    pub at_once: bool,
    /// How far prompts and outputs vary about their lengths, as shares of these.
    pub ratios: Option<(f64, f64)>,
    /// What the numbers of a load mean, in programs that say it apart.
    pub profile: Option<String>,
    /// Whether tokens come as they are made.
    pub streaming: bool,
    /// Members of every request.
    pub extra: serde_json::Map<String, serde_json::Value>,
    /// Our flags that need nothing else to be known.
    flags: Vec<(&'static str, String)>,
    /// What is left out, and why or what to do.
    left_out: Vec<(String, String)>,
    /// What was made of something that has two meanings.
    told: Vec<String>,
    /// The command is a text for a shell, which puts in its variables.
    pub is_of_a_shell: bool,
}

impl Draft {
    /// Nothing yet, for such a service.
    pub fn new(service: Service, streaming: bool) -> Self {
        Self {
            service,
            url: None,
            host: None,
            port: None,
            model: None,
            served_as: None,
            engine: None,
            model_folder: None,
            endpoint: None,
            input: Length::default(),
            output: Length::default(),
            scenarios: Vec::new(),
            file: None,
            file_kind: FileKind::Unsaid,
            batch_sizes: Vec::new(),
            bounds: Vec::new(),
            concurrencies: Vec::new(),
            rates: Vec::new(),
            cap: None,
            at_once: false,
            ratios: None,
            profile: None,
            streaming,
            extra: serde_json::Map::new(),
            flags: Vec::new(),
            left_out: Vec::new(),
            told: Vec::new(),
            is_of_a_shell: false,
        }
    }

    /// Adds a flag of ours; the last one of a name is the one that counts.
    pub fn add(&mut self, flag: &'static str, value: impl Into<String>) {
        self.flags.retain(|(name, _)| *name != flag);
        self.flags.push((flag, value.into()));
    }

    /// Adds a flag of ours that may stand several times.
    pub fn add_another(&mut self, flag: &'static str, value: impl Into<String>) {
        self.flags.push((flag, value.into()));
    }

    /// Whether a flag of ours was added.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|(name, _)| *name == flag)
    }

    /// Notes what has no counterpart, and what to do about it.
    pub fn leave_out(&mut self, what: &str, remedy: &str) {
        let note = (what.to_owned(), remedy.to_owned());
        if !self.left_out.contains(&note) {
            self.left_out.push(note);
        }
    }

    /// Notes what was made of something that has two meanings.
    pub fn tell(&mut self, sentence: &str) {
        self.told.push(sentence.to_owned());
    }

    /// `NAME:VALUE`, `NAME=VALUE` or a JSON object, for every request.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn add_extra(&mut self, text: &str) -> Result<(), String> {
        if let Ok(serde_json::Value::Object(members)) = serde_json::from_str(text) {
            members.iter().for_each(|(name, value)| self.add_member(name, value));
            return Ok(());
        }
        let pair = text.split_once(':').or_else(|| text.split_once('='));
        let (name, value) = pair.ok_or("NAME:VALUE or a JSON object is expected")?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        self.add_member(name, &value);
        Ok(())
    }

    /// A member of every request: as the flag of ours that gives it, where there is one.
    fn add_member(&mut self, name: &str, value: &serde_json::Value) {
        const FLAGS: [(&str, &str); 3] =
            [("temperature", "--temperature"), ("top_p", "--top-p"), ("top_k", "--top-k")];
        if let Some((_, flag)) = FLAGS.iter().find(|(member, _)| *member == name) {
            return self.add(flag, value.to_string());
        }
        let decided = match name {
            "ignore_eos" => {
                // It is always sent, unless outputs may end by themselves.
                if *value == false {
                    self.add("--stop-at-eos", "");
                }
                return;
            }
            "max_tokens" | "min_tokens" | "max_completion_tokens" => {
                "the lengths of `--scenario` decide it"
            }
            "seed" => "requests get seeds of their own, which follow from `--seed`",
            "stream_options" => "a stream is asked for the server's own counts",
            "stream" | "model" | "prompt" | "messages" | "input" | "n" => "the run decides it",
            _ => {
                self.extra.insert(name.to_owned(), value.clone());
                return;
            }
        };
        self.leave_out(&format!("{name} {value}"), decided);
    }

    /// Our command, and what it leaves out as comments.
    ///
    /// # Errors
    /// When a number that is needed makes no sense.
    pub fn render(mut self) -> Result<String, String> {
        self.model = self.served_as.take().or(self.model.take());
        self.settle_workers();
        self.settle_prompts();
        let scenarios = lengths::scenarios(&mut self)?;
        let of_a_shell = self.is_of_a_shell;
        let mut words = vec!["bareflight".to_owned(), "run".to_owned()];
        let mut put = |flag: &str, value: &str| {
            words.push(flag.to_owned());
            if !value.is_empty() {
                words.push(if of_a_shell {
                    quoted_for_variables(value)
                } else {
                    quoted(value, "")
                });
            }
        };
        put("--target", &self.target());
        if let Some(model) = self.model.as_ref().filter(|_| self.service == Service::OpenAi) {
            put("--model", model);
        }
        if let Some(endpoint) = self.endpoint.as_ref().filter(|_| self.service == Service::OpenAi) {
            put("--endpoint", endpoint);
        }
        match self.workload(&scenarios) {
            Some(file) => {
                put("--workload", &file);
                if let Some(output) = &self.output.mean {
                    put("--output-tokens", output);
                }
            }
            None => scenarios.iter().for_each(|scenario| put("--scenario", scenario)),
        }
        if !self.batch_sizes.is_empty() {
            put("--batch-size", &self.batch_sizes.join(","));
        }
        if self.rates.is_empty() {
            if !self.concurrencies.is_empty() {
                put("--concurrency", &self.concurrencies.join(","));
            } else if self.at_once {
                put("--batch", "");
            }
        } else {
            put("--rate", &self.rates.join(","));
            let cap = self.cap.take().or_else(|| self.concurrencies.first().cloned());
            if let Some(cap) = cap {
                put("--max-in-flight", &cap);
            }
        }
        for (flag, value) in &self.flags {
            put(flag, value);
        }
        if self.has("--stability-percentage") && !self.has("--measurement-interval") {
            put("--measurement-interval", DEFAULT_INTERVAL);
        }
        if let Some(folder) = self.model_folder.as_ref().filter(|_| self.service == Service::TrtLlm)
        {
            put("--tokenizer", folder);
        }
        if !self.bounds.is_empty() {
            put("--slo", &self.bounds.join(","));
        }
        if !self.extra.is_empty() {
            put("--extra-inputs", &serde_json::Value::Object(self.extra.clone()).to_string());
        }
        if !self.streaming && self.endpoint.as_deref() != Some("embeddings") {
            put("--no-streaming", "");
        }
        let mut text = words.join(" ") + "\n";
        for sentence in &self.told {
            // Writing to a string cannot fail.
            let _infallible = writeln!(text, "# note: {sentence}");
        }
        for (what, remedy) in &self.left_out {
            // Writing to a string cannot fail.
            let _infallible = writeln!(text, "# left out: {what}: {remedy}");
        }
        Ok(text)
    }

    /// Prompts of exact lengths are drawn with the model's tokenizer, where a server takes text; columns are those of a file.
    fn settle_prompts(&mut self) {
        if self.file.is_some() {
            let counts_text =
                self.file_kind == FileKind::Of("sharegpt") && self.output.mean.is_none();
            if counts_text && !self.has("--tokenizer") {
                self.leave_out_tokenizer();
            }
            return;
        }
        for column in ["--prompt-column", "--image-column"] {
            if let Some(place) = self.flags.iter().position(|(name, _)| *name == column) {
                let (_, value) = self.flags.remove(place);
                self.leave_out(&format!("{column} {value}"), "there is no file");
            }
        }
        let takes_text = match self.service {
            Service::OpenAi => self.endpoint.as_deref() != Some("completions"),
            Service::Triton => self.model.as_deref() != Some("tensorrt_llm"),
            Service::TrtLlm | Service::TrtLlmTorch => false,
        };
        if takes_text && self.service == Service::Triton {
            self.add("--prompts", "text");
        }
        if takes_text && !self.has("--tokenizer") {
            self.leave_out_tokenizer();
        }
    }

    fn leave_out_tokenizer(&mut self) {
        self.leave_out(
            "the tokenizer of the model",
            "nothing is downloaded here: name a folder with its `tokenizer.json` (`--tokenizer FOLDER`)",
        );
    }

    /// Workers send one scenario, and each needs a request in flight; where that is not so, one process sends all.
    fn settle_workers(&mut self) {
        let Some(place) = self.flags.iter().position(|(name, _)| *name == "--workers") else {
            return;
        };
        let workers: u32 = self.flags[place].1.parse().unwrap_or(u32::MAX);
        let is_few = |slots: &String| slots.parse::<u32>().is_ok_and(|slots| slots < workers);
        let remedy = if self.scenarios.len() > 1 {
            "several processes send one scenario: give each `--scenario` in a run of its own, with `--workers`"
        } else if self.concurrencies.iter().any(is_few) {
            "each process needs a request in flight: give concurrencies of that many or more, with `--workers`"
        } else {
            return;
        };
        let (_, value) = self.flags.remove(place);
        self.leave_out(&format!("{value} workers"), remedy);
    }

    /// The file that prompts come from, where they are not drawn.
    fn workload(&mut self, scenarios: &[String]) -> Option<String> {
        let file = self.file.take()?;
        match self.file_kind {
            FileKind::Of(_) if !self.scenarios.is_empty() => {
                let what = format!("the file {file}");
                self.leave_out(&what, "prompts are drawn, of the lengths of `--scenario`");
                None
            }
            FileKind::Of(kind) => {
                if !scenarios.is_empty() {
                    self.leave_out("the length of prompts", "that of the file's prompts is kept");
                }
                Some(format!("{kind}:{file}"))
            }
            FileKind::Unsaid => {
                self.leave_out(
                    &format!("the file {file}"),
                    "name its shape: `--workload KIND:FILE`",
                );
                None
            }
            FileKind::NoFile => None,
        }
    }

    fn target(&self) -> String {
        let model = self.model.as_deref().unwrap_or("MODEL");
        match self.service {
            Service::OpenAi => format!("openai:{}", self.openai_url()),
            Service::Triton => {
                let address = self.url.as_deref().map_or("localhost:8001", |url| {
                    url.trim_start_matches("grpc://").trim_end_matches('/')
                });
                format!("triton:{address}/{model}")
            }
            Service::TrtLlm => format!("trtllm:{}", self.engine.as_deref().unwrap_or("ENGINE_DIR")),
            Service::TrtLlmTorch => {
                format!("trtllm-torch:{}", self.model_folder.as_deref().unwrap_or(model))
            }
        }
    }

    /// Host and port as they were given apart.
    pub fn address(&self) -> String {
        let host = self.host.as_deref().unwrap_or("localhost");
        let address = format!("{host}:{}", self.port.as_deref().unwrap_or("8000"));
        address.trim_start_matches("http://").to_owned()
    }

    fn openai_url(&self) -> String {
        let url = self.url.clone().unwrap_or_else(|| self.address());
        if url.contains("://") { url } else { format!("http://{url}") }
    }
}
