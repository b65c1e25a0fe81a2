//! Tables of several runs: for the console, in Markdown, and with ratio lines as `benchmark_summary.txt`.

use std::fmt::Write as _;

use super::{Against, Number, Side, SideLoad, against, loads};
use crate::metrics::compare::ComparisonVerdict;
use crate::report::figures::{self, ABSENT};
use crate::report::table::lines::{coded, plain_table, printed, sentence};
use crate::warning::{Code, Note};

/// Why most answers are what they are.
const FEW: &str = "fewer than 5 points of one load decide nothing: repeat it (`--concurrency 8,8,8,8,8`), or measure in turns \
     with `bareflight compare`; runs of different times are likely at best";

/// For the console.
pub fn console(sides: &[Side], margin: f64) -> String {
    let mut text = String::new();
    for side in sides {
        text.push_str(&sentence(&format!("  {}  ", side.name), &title(side)));
    }
    text.push_str(&sentence("  ", &heading_line(margin)));
    for load in loads(sides) {
        // Writing to a string cannot fail, here and below.
        let _infallible = writeln!(text, "\n{}", load.label());
        let header: Vec<String> =
            std::iter::once(String::new()).chain(headers(sides, load)).collect();
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let mut table = plain_table(&header);
        for row in rows(sides, load, margin) {
            table.add_row(row);
        }
        text.push_str(&printed(&table));
    }
    text.push_str("\nnotes\n");
    text.extend(notes(sides).iter().map(coded));
    text
}

/// For pull requests.
pub fn markdown(sides: &[Side], margin: f64) -> String {
    let mut text = String::new();
    for side in sides {
        let _infallible = writeln!(text, "- **{}** {}", side.name, title(side).replace('|', "\\|"));
    }
    for load in loads(sides) {
        let header = headers(sides, load);
        let _infallible = write!(
            text,
            "\n**{}**\n\n| | {} |\n|---|{}\n",
            load.label(),
            header.join(" | "),
            "--:|".repeat(header.len())
        );
        for row in rows(sides, load, margin) {
            let _infallible = writeln!(text, "| {} |", row.join(" | "));
        }
    }
    text.push('\n');
    for note in notes(sides) {
        let _infallible = writeln!(text, "- `{}` {}", note.code, note.text);
    }
    text
}

/// `benchmark_summary.txt`: values and ratio lines per load.
pub fn summary(sides: &[Side], margin: f64) -> String {
    let rule = "=".repeat(72);
    let mut text = format!("{rule}\nBENCHMARK SUMMARY\n{rule}\n");
    for side in sides {
        let _infallible = writeln!(text, "{}: {}", side.name, title(side));
    }
    for load in loads(sides) {
        let _infallible = writeln!(text, "\n{}\n{}", load.label(), "-".repeat(72));
        for number in Number::ALL {
            let at = |side| against(sides, side, load, number, margin);
            let values: Vec<String> = (0..sides.len())
                .map(|side| {
                    let value = at(side).map(|it| figures::figure(it.value));
                    format!("{} {:>10}", sides[side].name, value.as_deref().unwrap_or(ABSENT))
                })
                .collect();
            let _infallible = writeln!(text, "  {:<16} {}", number.label(), values.join("  "));
            for (place, side) in sides.iter().enumerate().skip(1) {
                let Some((ratio, word)) = at(place).and_then(ratio_and_word) else { continue };
                let _infallible = writeln!(
                    text,
                    "  {:<16} {} / {} = {ratio:.3}x, {word}",
                    "", side.name, sides[0].name
                );
            }
        }
    }
    text.push('\n');
    for note in notes(sides) {
        text.push_str(&sentence(&format!("{} note: ", note.code), &note.text));
    }
    text
}

/// How these numbers came together.
pub(super) fn heading_line(margin: f64) -> String {
    let percent = figures::figure(100.0 * margin);
    format!("NOT INTERLEAVED: results of different times; margin {percent} %")
}

/// What a side is, with who measured it where that was somebody else.
pub(super) fn title(side: &Side) -> String {
    match &side.measured_by {
        Some(_) => format!("{} [SOMEBODY ELSE'S NUMBERS]", side.title),
        None => side.title.clone(),
    }
}

/// Places of the sides in a table of a load.
fn shown(sides: &[Side], load: SideLoad) -> impl Iterator<Item = usize> + Clone {
    (0..sides.len()).filter(move |place| has(&sides[*place], load))
}

fn has(side: &Side, load: SideLoad) -> bool {
    side.points.iter().any(|point| point.load == load)
}

/// Whether a side is held against the first one, which has the load too.
fn is_held(sides: &[Side], place: usize, load: SideLoad) -> bool {
    place > 0 && has(&sides[0], load)
}

/// Names of the columns.
pub(super) fn headers(sides: &[Side], load: SideLoad) -> Vec<String> {
    let mut headers = Vec::new();
    for place in shown(sides, load) {
        let name = &sides[place].name;
        headers.push(name.clone());
        if is_held(sides, place, load) {
            headers.push(format!("{name} ÷ {}", sides[0].name));
            headers.push(String::new());
        }
    }
    headers
}

/// Requests first, then every number that any side has at this load.
pub(super) fn rows(sides: &[Side], load: SideLoad, margin: f64) -> Vec<Vec<String>> {
    let mut rows = vec![requests(sides, load)];
    for number in Number::ALL {
        let cell = |place| (place, against(sides, place, load, number, margin));
        let cells: Vec<(usize, Option<Against>)> = shown(sides, load).map(cell).collect();
        if cells.iter().all(|(_, cell)| cell.is_none()) {
            continue;
        }
        let mut row = vec![number.label().to_owned()];
        for (place, cell) in cells {
            row.push(figures::maybe(cell.map(|it| it.value)));
            if is_held(sides, place, load) {
                let (ratio, word) = cell.and_then(ratio_and_word).unzip();
                row.push(ratio.map_or_else(|| ABSENT.to_owned(), |it| figures::fixed(it, 3)));
                row.push(word.unwrap_or(ABSENT).to_owned());
            }
        }
        rows.push(row);
    }
    rows
}

fn requests(sides: &[Side], load: SideLoad) -> Vec<String> {
    let mut row = vec!["requests completed".to_owned()];
    for place in shown(sides, load) {
        let here = sides[place].points.iter().filter(|point| point.load == load);
        let counts: Option<Vec<(u64, u64)>> = here.map(|point| point.requests).collect();
        row.push(match counts.as_deref() {
            Some([]) | None => ABSENT.to_owned(),
            Some(counts) => {
                let total = |of: fn(&(u64, u64)) -> u64| counts.iter().map(of).sum::<u64>();
                format!("{} of {}", total(|it| it.0), total(|it| it.1))
            }
        });
        if is_held(sides, place, load) {
            row.extend([String::new(), String::new()]);
        }
    }
    row
}

/// The words of `compare` for runs that were not measured in turns.
fn ratio_and_word(against: Against) -> Option<(f64, &'static str)> {
    let word = match against.answer? {
        ComparisonVerdict::Faster => "likely better",
        ComparisonVerdict::Slower => "likely worse",
        ComparisonVerdict::Equivalent => "likely equal",
        ComparisonVerdict::Undecided => "undecided",
    };
    Some((against.ratio?, word))
}

pub(super) fn notes(sides: &[Side]) -> Vec<Note> {
    let of_side = |side: &Side| {
        let name = side.name.clone();
        let notes = side.notes.clone().into_iter();
        notes.map(move |note| Note::new(note.code, format!("{name}: {}", note.text)))
    };
    let few = (sides.len() > 1).then(|| Note::new(Code::FewBlocks, FEW));
    sides.iter().flat_map(of_side).chain(few).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::together::{SidePoint, name_sides};

    pub(in crate::report::together) fn sides() -> Vec<Side> {
        let side = |title: &str, measured_by: Option<&str>, ttft: f64| Side {
            name: String::new(),
            title: title.to_owned(),
            measured_by: measured_by.map(str::to_owned),
            notes: measured_by
                .map(|_| Note::new(Code::NotOurs, "cannot tell"))
                .into_iter()
                .collect(),
            points: vec![SidePoint {
                load: SideLoad::Concurrency(8),
                requests: Some((9, 10)),
                values: Number::ALL.map(|number| (number == Number::Ttft).then_some(ttft)),
            }],
        };
        let mut sides = vec![side("ours", None, 10.0), side("theirs", Some("aiperf"), 25.0)];
        name_sides(&mut sides);
        sides
    }

    #[test]
    fn every_form_marks_numbers_of_others_and_gives_the_same_ratio() {
        for text in [console(&sides(), 0.02), markdown(&sides(), 0.02), summary(&sides(), 0.02)] {
            assert!(text.contains("SOMEBODY ELSE'S NUMBERS") && text.contains("B: cannot tell"));
            assert!(text.contains("2.500") && text.contains("undecided"), "{text}");
        }
    }

    #[test]
    fn a_side_without_a_load_has_no_column_of_it() {
        let mut sides = sides();
        sides[1].points[0].load = SideLoad::Concurrency(2);
        let text = markdown(&sides, 0.02);
        let (two, eight) = (SideLoad::Concurrency(2), SideLoad::Concurrency(8));
        assert_eq!(headers(&sides, two), ["B"]);
        assert_eq!(headers(&sides, eight), ["A"]);
        assert!(text.contains("| TTFT mean, ms | 25.00 |\n"), "{text}");
        assert!(text.contains("| TTFT mean, ms | 10.00 |\n"), "{text}");
    }

    #[test]
    fn a_number_that_no_side_has_is_no_row_of_the_table() {
        assert!(!console(&sides(), 0.02).contains("TPOT"));
        assert!(console(&sides(), 0.02).contains("9 of 10"));
    }
}
