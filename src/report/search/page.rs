//! HTML page of a search: a picture of the probes, then their table.

use crate::metrics::search::{Axis as SearchAxis, Probe, Search};
use crate::report::figures::{figure, maybe};
use crate::report::html::plot::scale::Spread;
use crate::report::html::plot::{Axis, Chart, Point, Series, file};
use crate::report::html::tables::table;
use crate::report::html::text::{escape, name, prose};
use crate::report::html::{badges, before_quoting, page};
use crate::report::search::{good, good_share, headline, how, load, notes, over, value, verdict};
use crate::report::table::marks;

const SIZE: (f64, f64) = (1060.0, 340.0);
const ON_A_PHONE: (f64, f64) = (330.0, 260.0);
const SMALL_PRINT: &str =
    "The interval is from the highest load that met every objective to the lowest that missed one.";

/// The whole page.
pub fn render(search: &Search) -> String {
    let marks: Vec<_> = search.marks().collect();
    let body = format!(
        "<h1>{}{}</h1>\n<p class=\"soft\">{}</p>\n<h2>Where the limit lies</h2>\n{}<h2>Every probe</h2>\n{}\
         <p class=\"soft\">{}</p>\n{}",
        name(&search.title),
        badges(&marks),
        escape(&headline(search)),
        picture(search, SIZE).figure_or(&picture(search, ON_A_PHONE)),
        probes(search),
        prose(&how(search)),
        before_quoting(&notes(search)),
    );
    page(&search.title, &body, SMALL_PRINT)
}

/// Where the limit lies as an SVG file; `None` where no probe can be drawn.
pub fn svg(search: &Search) -> Option<String> {
    let marks = marks(search.marks());
    file::alone(&picture(search, SIZE), marks.trim())
}

/// The share of good requests over the load, those that met and those that missed in two colours.
fn picture(search: &Search, size: (f64, f64)) -> Chart {
    let series = |name: &str, colour: &str, meets: bool| {
        let mut points: Vec<Point> = search
            .probes
            .iter()
            .filter(|probe| probe.meets == meets)
            .filter_map(|probe| point(search, probe))
            .collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        Series { name: name.to_owned(), colour: colour.to_owned(), points }
    };
    let series = vec![
        series("meets the objectives", "var(--good)", true),
        series("misses", "var(--s2)", false),
    ];
    let label = match search.question.axis {
        SearchAxis::Rate => "offered load (requests/s)",
        SearchAxis::Concurrency => "concurrency (requests in flight)",
    };
    let mut loads: Vec<f64> = search.probes.iter().filter_map(|probe| probe.at).collect();
    loads.sort_by(f64::total_cmp);
    loads.dedup();
    let ticks = loads.iter().map(|at| (*at, value(search, *at))).collect();
    Chart {
        title: "Requests that met every bound".to_owned(),
        x: Axis {
            label: label.to_owned(),
            spread: Spread::Log,
            from_zero: false,
            ticks: Some(ticks),
        },
        y_label: "% of counted requests".to_owned(),
        y_may_be_log: false,
        series,
        size,
        dots: true,
        named_points: true,
    }
}

fn point(search: &Search, probe: &Probe) -> Option<Point> {
    let x = probe.at?;
    Some(Point {
        x,
        y: 100.0 * good_share(probe)?,
        hollow: !probe.certain,
        name: format!("{}: {}", probe.number, value(search, x)),
        ..Point::default()
    })
}

fn probes(search: &Search) -> String {
    let mut header = vec!["Probe".to_owned(), "Load".to_owned()];
    header.extend(search.question.objectives.0.iter().map(|it| format!("Over {it}")));
    header.extend(["Good, %", "Requests/s", "Seconds", "Verdict"].map(str::to_owned));
    let header: Vec<String> = header.iter().map(|it| escape(it)).collect();
    let rows: Vec<Vec<String>> = search
        .probes
        .iter()
        .map(|probe| {
            let mut row = vec![
                format!("{}<small>{}</small>", probe.number, probe.role.word()),
                escape(&load(search, probe)),
            ];
            row.extend(probe.counts.iter().map(|count| over(count, probe)));
            row.extend([
                good(probe),
                maybe(probe.throughput),
                figure(probe.seconds),
                verdict(probe),
            ]);
            row
        })
        .collect();
    table("", &header.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
}
