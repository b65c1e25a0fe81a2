//! Report of a run of cells: the points of each scenario, and the cells that have no result.

use crate::report::{Experiment, PointReport};

/// Cells as reports show them.
#[derive(Debug, Clone, PartialEq)]
pub struct CellsReport {
    /// Every measured cell as a point with the name of its folder.
    pub experiment: Experiment,
    /// The same, scenario by scenario.
    pub groups: Vec<Group>,
    /// Cells without a result: the name of each, and why.
    pub lost: Vec<(String, String)>,
}

/// The cells of one scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// How long prompts and outputs are.
    pub scenario: String,
    /// Its loads.
    pub points: Vec<PointReport>,
}

impl CellsReport {
    /// Of the cells without a result, a sentence each.
    pub(in crate::report) fn losses(&self) -> impl Iterator<Item = String> {
        self.lost.iter().map(|(name, why)| format!("{name} has no result: {why}"))
    }
}
