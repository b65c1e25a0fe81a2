//! HTML page of several runs: a chart for each number, then a table for each load.

use super::pictures::charts;
use super::table::{headers, heading_line, notes, rows, title};
use super::{Side, loads};
use crate::report::html::plot::Chart;
use crate::report::html::tables::table;
use crate::report::html::text::{escape, prose};
use crate::report::html::{before_quoting, page};

/// What the words of such a page mean.
const SMALL_PRINT: &str = "Ratios are held against the first run. Runs of different times are never more than <i>likely</i> \
     better, worse or equal; five points of one load decide it by the rule of <code>compare</code>.";

/// The whole page.
pub fn render(sides: &[Side], margin: f64) -> String {
    let names: Vec<&str> = sides.iter().map(|side| side.name.as_str()).collect();
    let name = format!("{} side by side", names.join(", "));
    let mut body =
        format!("<h1>{}</h1>\n<p class=\"soft\">{}</p>\n", escape(&name), heading_line(margin));
    body.push_str(&of_sides(sides));
    body.push_str(&before_quoting(&notes(sides)));
    let plots: String = charts(sides).iter().map(Chart::figure).collect();
    if !plots.is_empty() {
        body.extend(["<h2>Under load</h2>\n<div class=\"plots\">\n", &plots, "</div>\n"]);
    }
    body.push_str(&of_loads(sides, margin));
    page(&name, &body, SMALL_PRINT)
}

fn of_sides(sides: &[Side]) -> String {
    let row = |side: &Side| {
        let measured_by = side.measured_by.as_deref().unwrap_or(env!("CARGO_PKG_NAME"));
        vec![escape(&side.name), prose(&title(side)), escape(measured_by)]
    };
    let rows: Vec<Vec<String>> = sides.iter().map(row).collect();
    table("wrapped", &["Run", "What it is", "Measured by"], &rows)
}

fn of_loads(sides: &[Side], margin: f64) -> String {
    let of = |load| {
        let header: Vec<String> = std::iter::once(String::new())
            .chain(headers(sides, load))
            .map(|it| escape(&it))
            .collect();
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> = rows(sides, load, margin)
            .into_iter()
            .map(|row| row.iter().map(|cell| escape(cell)).collect())
            .collect();
        format!("<h3>{}</h3>\n{}", escape(&load.label()), table("", &header, &rows))
    };
    let tables: String = loads(sides).into_iter().map(of).collect();
    if tables.is_empty() {
        return "<p>No run has a point, so there is nothing to hold against each other.</p>\n"
            .to_owned();
    }
    format!("<h2>Per load</h2>\n{tables}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::together::table::tests::sides;

    #[test]
    fn the_page_says_what_the_console_says() {
        let page = render(&sides(), 0.02);
        for words in
            ["SOMEBODY ELSE&#39;S NUMBERS", "2.500", "undecided", "9 of 10", "concurrency 8"]
        {
            assert!(page.contains(words), "{words} in {page}");
        }
    }

    #[test]
    fn a_number_that_a_side_has_is_drawn() {
        let page = render(&sides(), 0.02);
        assert!(page.contains("<svg") && page.contains("TTFT, mean"));
    }

    #[test]
    fn markup_in_a_title_stays_text() {
        let mut sides = sides();
        sides[0].title = "<script>".to_owned();
        assert!(!render(&sides, 0.02).contains("<script>"));
    }
}
