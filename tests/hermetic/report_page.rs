//! Tests of the HTML report, as read in a browser, mail or print.

use crate::support::report_fixture::{Paper, experiment, sweep};
use bareflight::load::{Arrivals, Load};
use bareflight::metrics::{Quantity, Rate};
use bareflight::report::{Experiment, html};

fn open_loops() -> Experiment {
    let at = |rate| Paper {
        load: Load::Open { arrivals: Arrivals::Poisson, rate, max_in_flight: None },
        slos: "ttft<400ms,itl<40ms",
        ..Paper::closed(8, 300)
    };
    experiment(&[at(5.0), at(10.0), at(20.0), at(40.0)])
}

fn one(run: Paper) -> Experiment {
    experiment(&[run])
}

/// Every page that is made here, also for the eye: `KEEP_PAGES=folder` writes them there.
fn pages() -> Vec<(&'static str, String)> {
    let cut = Paper { complete: false, fails_every: 7, simulated: false, ..Paper::closed(8, 90) };
    let pages: Vec<_> = [
        ("sweep", sweep()),
        ("open", open_loops()),
        ("interrupted", one(cut)),
        ("all-failed", one(Paper { fails_every: 1, ..Paper::closed(4, 20) })),
        ("not-streamed", one(Paper { streaming: false, ..Paper::closed(2, 40) })),
        ("one-request", one(Paper::closed(1, 1))),
        ("nothing", experiment(&[])),
    ]
    .into_iter()
    .map(|(name, experiment)| (name, html::render(&experiment)))
    .collect();
    if let Some(folder) = std::env::var_os("KEEP_PAGES") {
        for (name, page) in &pages {
            let path = std::path::Path::new(&folder).join(format!("{name}.html"));
            std::fs::write(path, page).unwrap();
        }
    }
    pages
}

/// The names of elements that are open where the page ends, or the first end that fits no beginning.
fn unbalanced(page: &str) -> Vec<String> {
    const VOID: [&str; 4] = ["meta", "br", "!doctype", "link"];
    let mut open: Vec<String> = Vec::new();
    let body = page.split_once("</style>").map_or(page, |(_, body)| body);
    for tag in body.split('<').skip(1).map(|rest| rest.split('>').next().unwrap_or_default()) {
        let name: String = tag.trim_start_matches('/').split_whitespace().next().unwrap().into();
        if tag.starts_with('/') {
            if open.pop().as_ref() != Some(&name) {
                return vec![format!("</{name}>")];
            }
        } else if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
            open.push(name);
        }
    }
    open
}

#[test]
fn text_from_outside_cannot_become_markup() {
    let mut hostile = sweep();
    hostile.title = "<script>alert(1)</script>".to_owned();
    hostile.target.title = "\"><img src=x>".to_owned();
    hostile.points[0].label = "<em>1</em>".to_owned();
    hostile.manifest = serde_json::json!({"<i>": {"key": "<u>"}});
    let page = html::render(&hostile);
    for markup in ["<script", "<img", "<em>", "<i>", "<u>"] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)"));
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    for (name, page) in pages() {
        for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(outside), "{name}: {outside}");
        }
    }
}

#[test]
fn every_element_that_begins_ends() {
    for (name, page) in pages() {
        // `html`, `head` and `style` begin before the part that is looked at, and end in it or before it.
        assert_eq!(
            unbalanced(page.trim_end().trim_end_matches("</html>").trim_end())
                .into_iter()
                .filter(|tag| tag != "</head>")
                .collect::<Vec<_>>(),
            Vec::<String>::new(),
            "{name}"
        );
    }
}

#[test]
fn no_chart_holds_a_number_that_is_none() {
    for (name, page) in pages() {
        assert!(!page.contains("NaN") && !page.contains("inf "), "{name}");
    }
}

#[test]
fn every_definition_stands_on_every_page() {
    for (name, page) in pages() {
        let quantities = Quantity::ALL.map(Quantity::definition);
        for definition in quantities.into_iter().chain(Rate::ALL.map(Rate::definition)) {
            assert!(page.contains(definition.key), "{name}: {}", definition.key);
        }
    }
}

#[test]
fn a_mark_stands_beside_every_heading_that_it_concerns() {
    let page = html::render(&sweep());
    assert_eq!(page.matches(">simulated</span>").count(), 1 + 6);
}

#[test]
fn loads_that_have_no_axis_in_common_are_not_drawn_over_one() {
    let batch = Paper { load: Load::Batch, ..Paper::closed(8, 40) };
    let mixed = html::render(&experiment(&[Paper::closed(8, 40), batch]));
    assert!(!mixed.contains("Under load"));
    assert!(html::render(&open_loops()).contains("offered load (requests/s)"));
}

#[test]
fn an_open_loop_shows_goodput_and_what_counts_from_the_intended_arrival() {
    let page = html::render(&open_loops());
    assert!(page.contains("from intended arrival") && page.contains("Goodput</span>"));
}

#[test]
fn the_verdict_names_what_speaks_against_the_numbers() {
    let mut lossy = Paper::closed(16, 300);
    lossy.health.dropped_events = 7;
    let page = html::render(&one(lossy));
    assert!(page.contains("<div class=\"verdict invalid\"><b>invalid</b>: see recorder"));
    assert!(page.contains("invalid[recorder]") && page.contains("Remedy: "));
    assert!(page.contains("no number here can be trusted"));
}
