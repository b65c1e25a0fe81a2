//! Explanations of warning codes: one entry for a terminal, all of them for `docs/WARNINGS.md`.

use std::fmt::Write as _;

use crate::warning::{Code, Source, entries};

/// `docs/WARNINGS.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Warnings\n\n\
         Every check, warning and note has a code, which is shown on the console, on the page and in the files, and never changes its \
         meaning.\n`--deny W005` ends a run in which it came up with exit code 4; `--allow W005` still tells it, but a warning of that code no \
         longer makes the\nverdict \"with warnings\", and a failed check makes it that and no longer invalid. `bareflight explain W005` prints one \
         entry. This file is written\nby `bareflight explain --markdown`.\n",
    );
    let mut source = None;
    for entry in entries() {
        if source != Some(entry.source) {
            source = Some(entry.source);
            let _infallible =
                write!(text, "\n## {}\n{}\n", entry.source.heading(), entry.source.sentence());
        }
        let _infallible = write!(
            text,
            "\n### {} {}\n{}.\n\n*Why it matters:* {}.\n\n*Remedy:* {}.\n",
            entry.number, entry.name, entry.means, entry.why, entry.remedy
        );
    }
    text
}

/// One entry as paragraphs: heading, meaning, reason, remedy.
pub fn paragraphs(code: Code) -> [(String, String); 4] {
    let entry = code.entry();
    [
        (format!("{} {}", entry.number, entry.name), entry.source.heading().to_owned()),
        ("means".to_owned(), entry.means.to_owned()),
        ("why".to_owned(), entry.why.to_owned()),
        ("remedy".to_owned(), entry.remedy.to_owned()),
    ]
}

impl Source {
    /// Over entries of one source.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Check => "Checks of validity",
            Self::Preflight => "Before the run",
            Self::Mark => "Marks",
            Self::Note => "Notes on results",
            Self::Experiment => "Notes on comparisons, ladders and searches",
        }
    }

    /// What they have in common.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Check => {
                "Made at every point; they alone decide the verdict. A check that warns makes it \"valid with warnings\", one that \
                 fails makes it invalid."
            }
            Self::Preflight => "Found before any load was sent.",
            Self::Mark => "What every artefact says of such a run.",
            Self::Note => {
                "What a reader should know before quoting a number. They do not change the verdict."
            }
            Self::Experiment => {
                "What a reader should know before quoting a number of an experiment that holds several runs against each other. \
                 Codes of its runs come up there as well, and each run's own report has them."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_in_the_repository_is_the_one_that_the_program_writes() {
        let kept = include_str!("../../docs/WARNINGS.md");
        assert!(
            kept == markdown(),
            "write it again: `bareflight explain --markdown > docs/WARNINGS.md`"
        );
    }
}
