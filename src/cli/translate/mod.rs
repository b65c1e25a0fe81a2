//! `bareflight translate`: the command of another benchmark as one of ours, and what has no counterpart.

mod aiperf;
mod asked;
mod draft;
mod genai_bench;
mod genai_perf;
mod guidellm;
mod lengths;
mod pasted;
mod perf_analyzer;
mod reader;
mod sglang_bench;
mod trtllm_bench;
mod vllm_bench;

use anyhow::anyhow;
use clap::Args;

use crate::cli::exit::{Coded, Exit};
use crate::cli::run;
use draft::Draft;
use pasted::Pasted;
use reader::{Dialect, read};

/// What is to be translated.
#[derive(Debug, Args)]
pub struct TranslateArgs {
    /// The other command, behind `--` or in quotation marks: of genai-perf, aiperf, genai-bench, vllm bench serve, SGLang's bench_serving, guidellm, trtllm-bench or perf_analyzer
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub words: Vec<String>,
}

/// Every command that is understood.
const DIALECTS: [&Dialect; 8] = [
    &aiperf::DIALECT,
    &genai_bench::DIALECT,
    &genai_perf::DIALECT,
    &guidellm::DIALECT,
    &perf_analyzer::DIALECT,
    &sglang_bench::DIALECT,
    &trtllm_bench::DIALECT,
    &vllm_bench::DIALECT,
];

/// The benchmark that has a flag of this name, with its dashes.
pub fn program_with(flag: &str) -> Option<String> {
    let has = |dialect: &&Dialect| dialect.flags.iter().any(|it| it.names.contains(&flag));
    let program = DIALECTS.into_iter().find(has)?.programs.first()?;
    Some(program.join(" "))
}

/// Prints our command, and as comments what it leaves out.
///
/// # Errors
/// When the command is none that is known, or a value of it makes no sense.
pub fn run(arguments: &TranslateArgs) -> Coded<Exit> {
    let text = translate(&arguments.words).map_err(|why| (Exit::Usage, anyhow!(why)))?;
    run::print(&text).map_err(|error| (Exit::Failure, error))?;
    Ok(Exit::Ok)
}

/// Our command, one comment for each thing that it leaves out, and one for what the other does by itself and we do not.
///
/// # Errors
/// In a sentence, when the command is none that is known, or a value of it makes no sense.
pub fn translate(words: &[String]) -> Result<String, String> {
    let pasted = Pasted::of(words)?;
    let dialect = pasted.dialect;
    let mut draft = Draft::new(dialect.service, dialect.streams);
    draft.is_of_a_shell = pasted.is_of_a_shell;
    read(dialect, &pasted.flags, &mut draft)?;
    (dialect.finish)(&mut draft);
    pasted.leave_out_the_rest(&mut draft);
    draft.render()
}

#[cfg(test)]
mod tests;
