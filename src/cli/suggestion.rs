//! Remedy of a word that nobody knows: the nearest flag of ours, the benchmark that has it, or what a bare word may have meant.

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::translate;
use crate::console::shell_word::quoted;
use crate::store::run_directory::file;

/// The error, with what to do about a word that is no flag, no command and no target.
pub fn with_remedy(mut error: clap::Error, typed: &[OsString]) -> clap::Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let has = |kind| error.get(kind).is_some();
    let tip = match error.kind() {
        ErrorKind::InvalidSubcommand if !has(ContextKind::SuggestedSubcommand) => {
            text(ContextKind::InvalidSubcommand).map(of_bare_word)
        }
        ErrorKind::UnknownArgument => text(ContextKind::InvalidArg)
            .and_then(|word| of_argument(word, typed, has(ContextKind::SuggestedArg))),
        _ => None,
    };
    let Some(tip) = tip else { return error };
    // What a word is says more than its likeness to one of ours.
    error.remove(ContextKind::SuggestedArg);
    error.remove(ContextKind::Usage);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

/// Nothing where the nearest flag of ours is all that there is to say.
fn of_argument(word: &str, typed: &[OsString], has_similar: bool) -> Option<String> {
    if !word.starts_with('-') {
        let is_init = typed.get(1).is_some_and(|command| command == "init");
        return Some(if is_init {
            format!("the file is named with `--out {}`", quoted(word, ""))
        } else {
            of_bare_word(word)
        });
    }
    let flag = word.split('=').next().unwrap_or(word);
    if typed.get(1).is_some_and(|first| first.to_string_lossy().starts_with('-')) {
        return Some(format!("flags stand behind a command: `bareflight run {flag} …`"));
    }
    match translate::program_with(flag) {
        Some(program) => Some(format!(
            "'{flag}' is of `{program}`: `bareflight translate -- {program} …` prints our command for a whole one of it"
        )),
        None if has_similar => None,
        None => Some("`bareflight run --help` lists every flag".to_owned()),
    }
}

/// What to type where a word stands alone, by what lies under its name.
fn of_bare_word(word: &str) -> String {
    let path = Path::new(word);
    let shown = quoted(word, "");
    if path.join(file::MANIFEST).is_file() || path.join(file::INDEX_JSON).is_file() {
        return format!("it is the folder of a run: `bareflight report {shown}` shows it");
    }
    if path.is_dir() {
        let target = |kind: &str| quoted(&format!("{kind}:{word}"), "");
        return format!(
            "it is a folder: say what reads it, `--target {}` for a model, `--target {}` for an engine of TensorRT-LLM",
            target("local"),
            target("trtllm")
        );
    }
    if path.is_file() {
        return format!(
            "it is a file: settings are read with `--config {shown}`, prompts with `--workload KIND:FILE`"
        );
    }
    format!(
        "a target has a kind or is an address, as `local:dummy-nano` or `http://localhost:8000`; the name of a model is \
         `--model {shown}`"
    )
}
