//! Layout of tables and sentences on a console of 100 columns.

use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};

use crate::warning::Note;

/// Columns that are always there.
pub(in crate::report) const WIDTH: usize = 100;

/// A table without borders: a column of names, columns of figures, a rule below the header.
pub(in crate::report) fn plain_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((u16::from(index == 0) * 2, 1));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// What `comfy_table` printed, without blanks at the ends of lines.
pub(in crate::report) fn printed(table: &Table) -> String {
    let mut text = String::new();
    for line in table.to_string().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A sentence behind its `name`, broken between words; further lines start below its first word.
pub(in crate::report) fn sentence(name: &str, text: &str) -> String {
    flowed(name, " ", &text.split_whitespace().collect::<Vec<_>>())
}

/// A note behind its code.
pub(in crate::report) fn coded(note: &Note) -> String {
    sentence(&format!("  {} note: ", note.code), &note.text)
}

/// Parts behind their `name` with `between` between them, broken between parts.
pub(in crate::report) fn flowed(name: &str, between: &str, parts: &[impl AsRef<str>]) -> String {
    let width = |text: &str| text.chars().count();
    let indent = " ".repeat(width(name));
    let mut text = String::new();
    let mut line = name.to_owned();
    for (index, part) in parts.iter().map(AsRef::as_ref).enumerate() {
        let between = if index == 0 { "" } else { between };
        if index > 0 && width(&line) + width(between) + width(part) > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = format!("{indent}{part}");
        } else {
            line.push_str(between);
            line.push_str(part);
        }
    }
    format!("{text}{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_wider_than_the_console_is_kept_whole() {
        let long = "x".repeat(WIDTH + 1);
        assert_eq!(flowed("> ", " ", &["a", &long]), format!("> a\n  {long}\n"));
    }

    #[test]
    fn a_long_sentence_is_broken_below_its_first_word() {
        let text = sentence("  note: ", &"word ".repeat(30));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
        assert!(text.lines().nth(1).unwrap().starts_with("        word"));
    }
}
