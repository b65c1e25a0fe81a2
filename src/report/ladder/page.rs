//! HTML page of a ladder: waterfall chart, then tables.

use std::fmt::Write as _;

use crate::metrics::ladder::{Ladder, Rung};
use crate::report::comparison::page::SMALL_PRINT;
use crate::report::figures::{ABSENT, figure, short_verdict};
use crate::report::html::plot::{BarLayout, Drawing, file, wide_and_narrow};
use crate::report::html::tables::table;
use crate::report::html::text::{escape, name};
use crate::report::html::{badges, before_quoting, page};
use crate::report::ladder::{
    LEGEND, RungValue, SHOWN, added, difference, notes, row, slices, value,
};
use crate::report::table::marks;

const COLOURS: [(&str, &str); 5] = [
    ("queue", "var(--s1)"),
    ("prefill", "var(--s0)"),
    ("decode", "var(--good)"),
    ("overhead", "var(--s2)"),
    ("not broken down", "var(--soft)"),
];
const TITLE: &str = "Mean request latency, ms";
/// Room for the figure at the end of a bar, and thickness of the bar.
const FIGURES: f64 = 90.0;
const THICK: f64 = 20.0;

const WIDE: BarLayout =
    BarLayout { width: 1060.0, left: 250.0, row: 30.0, bar: 6.0, name_end: Some(238.0) };
/// For a phone.
const NARROW: BarLayout =
    BarLayout { width: 330.0, left: 4.0, row: 46.0, bar: 20.0, name_end: None };

/// The whole page.
pub fn render(ladder: &Ladder) -> String {
    let comparison = &ladder.comparison;
    let body = format!(
        "<h1>{}{}</h1>\n<p class=\"soft\">{} of {} blocks; the rungs took turns, with the same requests in each block</p>\n\
         <h2>Where the milliseconds of a request go</h2>\n{}<p class=\"soft\">{}</p>\n\
         <h2>What each layer adds</h2>\n{}{}",
        name(&comparison.title),
        badges(&comparison.marks),
        comparison.blocks,
        comparison.planned_blocks,
        waterfall(ladder),
        escape(LEGEND),
        additions(ladder),
        before_quoting(&notes(ladder)),
    );
    page(&comparison.title, &body, SMALL_PRINT)
}

fn colour(part: &str) -> &'static str {
    COLOURS.iter().find(|(name, _)| *name == part).map_or("var(--soft)", |(_, colour)| colour)
}

fn waterfall(ladder: &Ladder) -> String {
    let (wide, narrow) = (drawing(ladder, &WIDE), drawing(ladder, &NARROW));
    let pictures = wide_and_narrow("where the milliseconds go", &wide, &narrow);
    let legend: Vec<String> = COLOURS
        .iter()
        .map(|(name, colour)| format!(r#"<span><i style="background:{colour}"></i>{name}</span>"#))
        .collect();
    format!(
        "<figure><figcaption>{TITLE}<span class=\"legend\">{}</span></figcaption>{pictures}</figure>\n",
        legend.concat()
    )
}

/// The waterfall as an SVG file.
pub fn svg(ladder: &Ladder) -> String {
    let marks = marks(ladder.comparison.marks.iter().copied());
    file::drawn(TITLE, &COLOURS, &drawing(ladder, &WIDE), marks.trim())
}

/// The waterfall.
fn drawing(ladder: &Ladder, layout: &BarLayout) -> Drawing {
    let rungs: Vec<_> =
        ladder.rungs.iter().filter_map(|rung| Some((rung, rung.parts.as_ref()?))).collect();
    let longest = rungs.iter().map(|(_, parts)| parts.e2e_ms).fold(1e-9, f64::max);
    let width = |ms: f64| ms.max(0.0) / longest * (layout.width - layout.left - FIGURES);
    let mut svg = String::new();
    for (index, (rung, parts)) in rungs.iter().enumerate() {
        let top = layout.row * index as f64;
        let y = top + layout.bar;
        let base = y + 15.0;
        let mut x = layout.left;
        let (name_x, name_base, anchor) = match layout.name_end {
            Some(end) => (end, base, "end"),
            None => (layout.left, top + 14.0, "start"),
        };
        // Writing to a string cannot fail, here and below.
        let _infallible = write!(
            svg,
            r#"<text class="name" x="{name_x:.1}" y="{name_base:.1}" text-anchor="{anchor}">{}</text>"#,
            escape(&rung.level.to_string())
        );
        for (name, ms) in slices(parts) {
            let _infallible = write!(
                svg,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{:.2}" height="{THICK}" style="fill:{}"><title>{name} {} ms</title></rect>"#,
                width(ms),
                colour(name),
                figure(ms)
            );
            x += width(ms);
        }
        let _infallible = write!(
            svg,
            r#"<text class="tick" x="{:.1}" y="{base:.1}">{} ms</text>"#,
            x + 8.0,
            figure(parts.e2e_ms)
        );
    }
    Drawing { size: (layout.width, layout.row * rungs.len() as f64 + 10.0), elements: svg }
}

fn additions(ladder: &Ladder) -> String {
    let header = [
        "Rung",
        "TTFT<small>p50, ms</small>",
        "ITL<small>avg, ms</small>",
        "Request latency<small>p50, ms</small>",
        "Output<small>tokens/s</small>",
        "CPU per request<small>here + server, ms</small>",
        "Verdict",
    ];
    let applies = ladder.rungs.iter().filter(|rung| rung.side.is_some());
    let rows: Vec<Vec<String>> = applies.map(|rung| cells(ladder, rung)).collect();
    table("", &header, &rows)
}

/// An interval stays on one line.
fn unbroken(text: &str) -> String {
    text.replace(", ", ",\u{a0}")
}

fn cells(ladder: &Ladder, rung: &Rung) -> Vec<String> {
    let below = ladder.rungs.iter().find(|it| it.side.is_some() && it.side == rung.stands_on);
    let against =
        below.map_or_else(String::new, |below| format!("added to {}", below.level.name()));
    let mut cells = vec![format!("{}<small>{against}</small>", escape(&rung.level.to_string()))];
    cells.extend(SHOWN.map(|measure| {
        let value = value(ladder, rung, measure).map_or_else(|| ABSENT.to_owned(), RungValue::text);
        let added = row(ladder, rung, measure).map_or_else(String::new, |it| unbroken(&added(it)));
        format!("{value}<small>{added}</small>")
    }));
    cells.push(rung.cpu.as_ref().map_or_else(
        || ABSENT.to_owned(),
        |cpu| {
            let server = cpu.server_ms.map_or_else(String::new, |ms| format!(" + {}", figure(ms)));
            let added = cpu
                .adds_ms
                .map_or_else(String::new, |it| unbroken(&difference(it.mean, it.low, it.high)));
            format!("{}{server}<small>{added}</small>", figure(cpu.here_ms))
        },
    ));
    let side = rung.side.map(|side| &ladder.comparison.sides[side]);
    cells.push(side.and_then(|side| side.verdict).map_or(ABSENT, short_verdict).to_owned());
    cells
}
