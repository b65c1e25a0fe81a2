//! Console report of a run of cells: a table for each scenario.

use super::lines::sentence;
use super::{files, opening, sweep, what_to_know};
use crate::report::cells::CellsReport;
use crate::report::{cost, repeats};

/// Everything but the tables of the cells, which were printed as they ended.
pub fn render(cells: &CellsReport) -> String {
    let experiment = &cells.experiment;
    let mut text = opening(experiment);
    for group in &cells.groups {
        text.extend(["\n", group.scenario.as_str(), "\n"]);
        text.push_str(&sweep::render(&group.points, experiment.time_unit));
    }
    text.push_str(&repeats::text(&experiment.points));
    if let Some(cost) = cost::sentence(experiment) {
        text.push_str(&sentence("  cost  ", &cost));
    }
    let mut lost = cells.losses().peekable();
    if lost.peek().is_some() {
        text.push_str("\ncells without a result\n");
    }
    for loss in lost {
        text.push_str(&sentence("  ", &loss));
    }
    text.push_str(&what_to_know(experiment));
    text.push_str(&files(&experiment.folder, &experiment.files));
    text
}
