//! `bareflight explain`: what a warning means, why it matters and what helps.

use anyhow::anyhow;
use clap::Args;

use crate::cli::exit::{Coded, Exit};
use crate::cli::help::{Line, Page};
use crate::cli::run;
use crate::warning::{Code, document, entries};

/// Which warnings are to be explained.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Codes or names, e.g. `W005` or `headroom`; all of them in a line each where none is given
    #[arg(value_name = "CODE")]
    pub codes: Vec<String>,
    /// All of them as `docs/WARNINGS.md`
    #[arg(long, conflicts_with = "codes")]
    pub markdown: bool,
}

/// Prints what is known of codes.
///
/// # Errors
/// When there is no such code.
pub fn run(arguments: &ExplainArgs) -> Coded<Exit> {
    let text = if arguments.markdown {
        document::markdown()
    } else {
        let lines = lines(&arguments.codes).map_err(|error| (Exit::Usage, error))?;
        Page::for_terminal().render(&lines)
    };
    run::print(&text).map_err(|error| (Exit::Failure, error))?;
    Ok(Exit::Ok)
}

fn lines(codes: &[String]) -> anyhow::Result<Vec<Line>> {
    if codes.is_empty() {
        return Ok(list());
    }
    let mut lines = Vec::new();
    for code in codes {
        let code: Code = code.parse().map_err(|error| anyhow!("{error}"))?;
        let [(heading, source), rest @ ..] = document::paragraphs(code);
        lines.push(Line::Heading(format!("{heading} ({})", source.to_lowercase())));
        lines.extend(rest.into_iter().map(|(name, words)| Line::Term(name, words)));
    }
    Ok(lines)
}

fn list() -> Vec<Line> {
    let mut lines = Vec::new();
    let mut source = None;
    for entry in entries() {
        if source != Some(entry.source) {
            source = Some(entry.source);
            lines.push(Line::Heading(entry.source.heading().to_owned()));
        }
        let term = format!("{} {}", entry.number, entry.name);
        lines.push(Line::Term(term, entry.means.to_owned()));
    }
    lines
}
