//! Console table of a search: the limit, every probe, notes.

use crate::metrics::search::Search;
use crate::report::figures::{figure, maybe};
use crate::report::search::{good, headline, how, load, notes, over, verdict};
use crate::report::table::lines::{coded, plain_table, printed, sentence};
use crate::report::table::titled;

/// The whole text.
pub fn render(search: &Search) -> String {
    let mut text = titled(&search.title, search.marks());
    let objectives: Vec<String> =
        search.question.objectives.0.iter().map(|it| format!("over\n{it}")).collect();
    let mut header = vec!["probe", "load"];
    header.extend(objectives.iter().map(String::as_str));
    header.extend(["good\n%", "req/s", "s", "verdict"]);
    let mut table = plain_table(&header);
    for probe in &search.probes {
        let mut row = vec![format!("{} {}", probe.number, probe.role.word()), load(search, probe)];
        row.extend(probe.counts.iter().map(|count| over(count, probe)));
        row.extend([good(probe), maybe(probe.throughput), figure(probe.seconds), verdict(probe)]);
        table.add_row(row);
    }
    text.push_str(&printed(&table));
    text.push_str(&sentence("  ", &how(search)));
    text.extend(notes(search).iter().map(coded));
    text.push_str(&sentence("\nlimit  ", &headline(search)));
    text
}
