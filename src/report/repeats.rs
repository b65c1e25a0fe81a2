//! Tables of repeated runs: the mean of each number with its interval, and how much the runs differ.

use std::fmt::Write as _;

use crate::metrics::repeats::{RepeatedNumber, Repeats, of};
use crate::report::figures::{ABSENT, figure, share};
use crate::report::html::tables::table as html_table;
use crate::report::html::text::escape;
use crate::report::table::lines::{plain_table, printed};
use crate::report::{PointReport, mark_words};
use crate::settings::cells::common_label;

const HEADER: [&str; 6] = ["number", "mean", "95 % interval", "variation, %", "min", "max"];

/// Every load that was measured more than once.
pub fn repeats(points: &[PointReport]) -> Vec<Repeats> {
    of(points.iter().map(|point| (common_label(&point.label), &point.summary)))
}

/// For the console; nothing where no load was repeated.
pub(in crate::report) fn text(points: &[PointReport]) -> String {
    let mut text = String::new();
    for repeats in repeats(points) {
        let _infallible = writeln!(text, "\n{}: between {} runs", repeats.label, repeats.runs);
        let mut table = plain_table(&HEADER);
        for number in &repeats.numbers {
            table.add_row(row(number));
        }
        text.push_str(&printed(&table));
    }
    text
}

/// For the page; nothing where no load was repeated.
pub(in crate::report) fn page(points: &[PointReport]) -> String {
    let section = |repeats: &Repeats| {
        let rows: Vec<Vec<String>> = repeats.numbers.iter().map(row).collect();
        let heading = format!("{}: between {} runs", repeats.label, repeats.runs);
        format!("<h3>{}</h3>\n{}", escape(&heading), html_table("", &HEADER, &rows))
    };
    let sections: String = repeats(points).iter().map(section).collect();
    if sections.is_empty() {
        return sections;
    }
    format!(
        "<h2>Between runs</h2>\n<p class=\"soft\">Interval of the mean: Student's t over runs. Variation: standard deviation over \
         mean.</p>\n{sections}"
    )
}

fn row(number: &RepeatedNumber) -> Vec<String> {
    vec![
        number.key.clone(),
        figure(number.mean),
        format!("{}…{}", figure(number.interval.0), figure(number.interval.1)),
        number.variation.map_or_else(|| ABSENT.to_owned(), share),
        figure(number.min),
        figure(number.max),
    ]
}

/// `repeats.csv`: one row for each number of each load; empty where no load was repeated.
///
/// # Panics
/// Never: rows of equal length in memory are always accepted.
pub fn csv(points: &[PointReport]) -> Vec<u8> {
    let all = repeats(points);
    if all.is_empty() {
        return Vec::new();
    }
    let in_memory = "rows of equal length in memory are always accepted";
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header =
        ["load", "runs", "number", "mean", "low", "high", "variation", "min", "max", "marks"];
    let marks = mark_words(points.iter().flat_map(|point| point.summary.marks.iter().copied()));
    writer.write_record(header).expect(in_memory);
    for repeats in &all {
        for number in &repeats.numbers {
            let row = [
                repeats.label.clone(),
                repeats.runs.to_string(),
                number.key.clone(),
                number.mean.to_string(),
                number.interval.0.to_string(),
                number.interval.1.to_string(),
                number.variation.map_or_else(String::new, |it| it.to_string()),
                number.min.to_string(),
                number.max.to_string(),
                marks.clone(),
            ];
            writer.write_record(row).expect(in_memory);
        }
    }
    writer.into_inner().expect(in_memory)
}
