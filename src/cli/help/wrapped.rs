//! Text of a topic broken to the width of a terminal.

use crate::console::columns;

/// The first column of a table is no wider.
const TERM: usize = 26;

/// A piece of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Over what follows.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// A word and what it means.
    Term(String, String),
    /// As it is, for a shell.
    Code(String),
}

/// How wide a page is.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    width: usize,
}

impl Page {
    /// As wide as the terminal, or as `COLUMNS` says.
    pub fn for_terminal() -> Self {
        let terminal = console::Term::stdout();
        let seen = || terminal.size_checked().map(|(_, columns)| usize::from(columns));
        Self { width: columns::within_bounds(columns::told().or_else(seen)) }
    }

    /// Of a width, within what can be read.
    pub fn of(width: usize) -> Self {
        Self { width: columns::within_bounds(Some(width)) }
    }

    /// Everything, one piece below the other.
    pub fn render(self, lines: &[Line]) -> String {
        let mut text = String::new();
        for (place, line) in lines.iter().enumerate() {
            match line {
                Line::Heading(heading) => {
                    text.push_str(if place == 0 { "" } else { "\n" });
                    text.push_str(heading);
                    text.push('\n');
                }
                Line::Text(words) => self.flow(&mut text, "  ", 2, words),
                Line::Term(term, meaning) => self.term(&mut text, term, meaning),
                Line::Code(code) => {
                    text.push_str("  ");
                    text.push_str(code);
                    text.push('\n');
                }
            }
        }
        text
    }

    fn term(self, text: &mut String, term: &str, meaning: &str) {
        let begin = format!("  {term:TERM$}");
        if term.chars().count() < TERM {
            self.flow(text, &begin, TERM + 2, meaning);
        } else {
            text.push_str(begin.trim_end());
            text.push('\n');
            self.flow(text, &" ".repeat(TERM + 2), TERM + 2, meaning);
        }
    }

    /// Words behind `begin`; further lines start at column `indent`.
    fn flow(self, text: &mut String, begin: &str, indent: usize, words: &str) {
        let mut line = begin.to_owned();
        let mut is_empty = true;
        for word in words.split_whitespace() {
            let taken = line.chars().count() + usize::from(!is_empty) + word.chars().count();
            if !is_empty && taken > self.width {
                text.push_str(&line);
                text.push('\n');
                line = " ".repeat(indent);
                is_empty = true;
            }
            line.push_str(if is_empty { "" } else { " " });
            line.push_str(word);
            is_empty = false;
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}
