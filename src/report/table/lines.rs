//! Layout of tables and sentences within the columns of a console.

use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};

use crate::console::columns;
use crate::warning::Note;

/// A table without borders: a column of names, columns of figures, a rule below the header.
pub(in crate::report) struct ColumnTable {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl ColumnTable {
    /// The next row.
    pub(in crate::report) fn add_row(&mut self, row: impl Into<Vec<String>>) {
        self.rows.push(row.into());
    }

    /// Columns that a column needs, with what stands around it.
    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let lines = cells.chain(&self.header[column..=column]).flat_map(|cell| cell.lines());
        // Two before the names and one at the end of the line, and a gap of two before each of the others.
        let around = if column == 0 { 3 } else { 2 };
        around + lines.map(width).max().unwrap_or(0)
    }

    /// The columns of each part, of which none is wider than `most`: the names stand in front of each. A column without a
    /// heading stays with the one before it.
    fn parts(&self, most: usize) -> Vec<Vec<usize>> {
        let names = self.width(0);
        let mut parts = vec![vec![0]];
        let mut taken = names;
        let mut next = 1;
        while next < self.header.len() {
            let without_heading = |column: &usize| self.header[*column].is_empty();
            let group_end =
                next + 1 + (next + 1..self.header.len()).take_while(without_heading).count();
            let group: usize = (next..group_end).map(|column| self.width(column)).sum();
            let is_started = parts.last().is_some_and(|part| part.len() > 1);
            if is_started && taken + group > most {
                parts.push(vec![0]);
                taken = names;
            }
            taken += group;
            if let Some(part) = parts.last_mut() {
                part.extend(next..group_end);
            }
            next = group_end;
        }
        parts
    }

    fn part(&self, part: &[usize]) -> Table {
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let chosen = |row: &Vec<String>| -> Vec<String> {
            part.iter().map(|column| cell(row, *column)).collect()
        };
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_style(TableComponent::HeaderLines, '─');
        table.set_style(TableComponent::MiddleHeaderIntersections, '─');
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(chosen(&self.header));
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((u16::from(index == 0) * 2, 1));
            if index > 0 {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for row in &self.rows {
            table.add_row(chosen(row));
        }
        table
    }
}

/// A table with this header and no row.
pub(in crate::report) fn plain_table(header: &[&str]) -> ColumnTable {
    ColumnTable { header: header.iter().map(ToString::to_string).collect(), rows: Vec::new() }
}

/// The table for the console: one that is too wide is printed in parts, one below the other.
pub(in crate::report) fn printed(table: &ColumnTable) -> String {
    printed_within(table, columns::of_results())
}

fn printed_within(table: &ColumnTable, most: usize) -> String {
    let mut text = String::new();
    for (index, part) in table.parts(most).iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        for line in table.part(part).to_string().lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
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

/// Parts behind their `name` with `between` between them, broken between parts, and within one that is wider than a line.
pub(in crate::report) fn flowed(name: &str, between: &str, parts: &[impl AsRef<str>]) -> String {
    flowed_within(name, between, parts, columns::of_results())
}

fn flowed_within(name: &str, between: &str, parts: &[impl AsRef<str>], most: usize) -> String {
    // Below a long name there would be no room for words.
    let indent = " ".repeat(width(name).min(most / 3));
    let mut lines = Lines { text: String::new(), line: name.to_owned(), indent, most };
    for (index, part) in parts.iter().map(AsRef::as_ref).enumerate() {
        let between = if index == 0 { "" } else { between };
        if lines.has_room_for(width(between) + width(part)) {
            lines.line.push_str(between);
            lines.line.push_str(part);
            continue;
        }
        if index > 0 {
            lines.break_line();
        }
        lines.add_words(part);
    }
    lines.text + &lines.line + "\n"
}

/// Lines that are filled one after the other.
struct Lines {
    text: String,
    line: String,
    indent: String,
    most: usize,
}

impl Lines {
    fn has_room_for(&self, columns: usize) -> bool {
        width(&self.line) + columns <= self.most
    }

    fn break_line(&mut self) {
        self.text.push_str(self.line.trim_end());
        self.text.push('\n');
        self.line.clone_from(&self.indent);
    }

    /// A word that is wider than a line is kept whole.
    fn add_words(&mut self, words: &str) {
        let mut between = "";
        for word in words.split_whitespace() {
            if !self.has_room_for(between.len() + width(word)) && !between.is_empty() {
                self.break_line();
                between = "";
            }
            self.line.push_str(between);
            self.line.push_str(word);
            between = " ";
        }
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 100;

    #[test]
    fn a_word_that_is_wider_than_the_console_is_kept_whole() {
        let long = "x".repeat(WIDTH + 1);
        assert_eq!(flowed_within("> ", " ", &["a", &long], WIDTH), format!("> a\n  {long}\n"));
    }

    #[test]
    fn a_part_that_is_wider_than_a_line_is_broken_between_its_words() {
        let part = "word ".repeat(30);
        let text = flowed_within("  note: ", " · ", &["a", part.trim()], 60);
        assert!(text.lines().all(|line| width(line) <= 60), "{text}");
        assert_eq!(text.split_whitespace().filter(|word| *word == "word").count(), 30);
    }

    #[test]
    fn a_long_sentence_is_broken_below_its_first_word() {
        let text = sentence("  note: ", &"word ".repeat(30));
        assert!(text.lines().all(|line| width(line) <= WIDTH));
        assert!(text.lines().nth(1).unwrap().starts_with("        word"));
    }

    #[test]
    fn a_table_that_is_too_wide_stands_in_parts_that_lose_no_column() {
        let mut table = plain_table(&["", "A", "B", "B ÷ A", "", "C", "C ÷ A", ""]);
        let row =
            ["TTFT mean, ms", "2.83", "3.57", "1.262", "undecided", "3.01", "1.066", "undecided"];
        table.add_row(row.map(str::to_owned));
        assert_eq!(printed_within(&table, 100).lines().count(), 3);
        let text = printed_within(&table, 60);
        assert!(text.lines().all(|line| width(line) <= 60), "{text}");
        assert_eq!(text.matches("TTFT mean, ms").count(), 2, "{text}");
        assert!(row.iter().all(|cell| text.contains(cell)), "{text}");
        // Up to its own width it is never wider than a line, and from there on it is whole.
        let whole = printed_within(&table, 200);
        let own = whole.lines().map(width).max().unwrap();
        for most in 40..=200 {
            let text = printed_within(&table, most);
            assert!(text.lines().all(|line| width(line) <= most), "{most}: {text}");
            assert_eq!(text == whole, most >= own, "{most} of {own}: {text}");
        }
        // The word stays with its ratio.
        assert!(
            text.lines().any(|line| line.contains("1.262") && line.contains("undecided")),
            "{text}"
        );
    }
}
