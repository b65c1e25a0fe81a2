//! HTML section of single requests of a point: their TTFT over time, their course, and gaps between tokens over time.

use crate::metrics::plot_samples::{Course, FirstToken, PlotSamples};
use crate::metrics::summary::Summary;
use crate::record::request_record::Part;
use crate::report::html::plot::dots::{Dots, Group};
use crate::report::html::plot::heat_map::{Cell, HeatMap};
use crate::report::html::plot::spans::{Bar, Spans};

/// Empty where the page is not made from records, or nothing was streamed.
pub(super) fn section(summary: &Summary) -> String {
    let samples = &summary.samples;
    let window_s = summary.window_s.unwrap_or(0.0);
    let plots = [
        first_tokens(samples, window_s).figure(),
        courses(samples).figure(),
        gaps(samples).figure(),
    ];
    if plots.iter().all(String::is_empty) {
        return String::new();
    }
    format!("<div class=\"plots three\">\n{}</div>\n", plots.concat())
}

/// A dot for each request, with the window between ramp and tail.
fn first_tokens(samples: &PlotSamples, window_s: f64) -> Dots {
    let of = |wanted: fn(Part) -> bool| {
        let these = samples.first_tokens.iter().filter(move |it| wanted(it.part));
        these.map(|FirstToken { submit_s, ttft_ms, .. }| (*submit_s, *ttft_ms)).collect()
    };
    Dots {
        title: "Time to first token of each request".into(),
        x_label: "s since start of window, at submission".into(),
        y_label: "ms".into(),
        marked: Some((0.0, window_s)),
        groups: vec![
            Group {
                name: "measured".into(),
                colour: "var(--s0)".into(),
                dots: of(|part| part == Part::Measured),
            },
            Group {
                name: "ramp and tail".into(),
                colour: "var(--soft)".into(),
                dots: of(|part| part != Part::Measured),
            },
        ],
    }
}

/// A bar for each of the first requests.
fn courses(samples: &PlotSamples) -> Spans {
    let bars = samples.courses.iter().map(|course| {
        let Course { submit_s, scheduled_s, first_s, end_s, is_completed, .. } = *course;
        let begun = scheduled_s.unwrap_or(submit_s);
        let first = first_s.unwrap_or(end_s);
        let decode = if is_completed { "var(--s0)" } else { "var(--bad)" };
        Bar(vec![
            (submit_s, begun, "var(--soft)"),
            (begun, first, "var(--s1)"),
            (first, end_s, decode),
        ])
    });
    let waits = samples.courses.iter().any(|course| course.scheduled_s.is_some());
    let fails = samples.courses.iter().any(|course| !course.is_completed);
    let mut legend = vec![
        ("queue", "var(--soft)"),
        (if waits { "prefill" } else { "until first token" }, "var(--s1)"),
        ("decode", "var(--s0)"),
        ("not completed", "var(--bad)"),
    ];
    legend.retain(|(name, _)| (waits || *name != "queue") && (fails || *name != "not completed"));
    Spans {
        title: format!("The first {} requests", samples.courses.len()),
        x_label: "s since start of window".into(),
        y_label: "requests, in the order of submission".into(),
        legend,
        bars: bars.collect(),
    }
}

/// How dense tokens are over time and length of the gap before them.
fn gaps(samples: &PlotSamples) -> HeatMap {
    use crate::metrics::plot_samples::GapCell;
    let map = &samples.gaps;
    let cells = map.cells.iter().map(|cell| {
        let from = map.from_s + map.stretch_s * f64::from(cell.stretch);
        Cell {
            x: (from, from + map.stretch_s),
            y: GapCell::bounds_ms(cell.row),
            weight: cell.tokens,
        }
    });
    HeatMap {
        title: "Gaps between tokens over time".into(),
        x_label: "s since start of window".into(),
        y_label: "ms".into(),
        weight_label: "tokens".into(),
        cells: cells.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(part: Part, submit_s: f64, is_completed: bool) -> Course {
        Course {
            part,
            submit_s,
            scheduled_s: Some(submit_s + 0.1),
            first_s: Some(submit_s + 0.2),
            end_s: submit_s + 1.0,
            is_completed,
        }
    }

    #[test]
    fn what_lies_beside_the_window_is_shaded_and_drawn_apart() {
        let first = |part, submit_s| FirstToken { part, submit_s, ttft_ms: 5.0 };
        let samples = PlotSamples {
            first_tokens: vec![
                first(Part::Ramp, -1.0),
                first(Part::Measured, 0.5),
                first(Part::Tail, 2.0),
            ],
            ..PlotSamples::default()
        };
        let figure = first_tokens(&samples, 1.0).figure();
        assert_eq!(figure.matches("class=\"margin\"").count(), 2, "{figure}");
        assert!(figure.contains("ramp and tail"), "{figure}");
    }

    #[test]
    fn a_request_that_did_not_complete_has_a_colour_of_its_own() {
        let figure = |is_completed| {
            let samples = PlotSamples {
                courses: vec![course(Part::Measured, 0.0, is_completed)],
                ..PlotSamples::default()
            };
            courses(&samples).figure()
        };
        assert!(figure(false).contains("not completed"));
        assert!(!figure(true).contains("not completed"));
        assert!(figure(true).contains("prefill"));
    }

    #[test]
    fn without_samples_nothing_is_drawn() {
        let samples = PlotSamples::default();
        let all = [
            first_tokens(&samples, 1.0).figure(),
            courses(&samples).figure(),
            gaps(&samples).figure(),
        ];
        assert_eq!(all.concat(), "");
    }
}
