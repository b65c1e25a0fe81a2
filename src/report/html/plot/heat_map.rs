//! Heat map as inline SVG: cells over time and a logarithmic axis, darker where they hold more.

use std::fmt::Write as _;

use super::frame::{ACROSS, UP, extent, figure, plain_axes};
use super::scale::{Scale, Spread};
use crate::report::figures::figure as number;

/// Steps of darkness. Weights are told apart by ratio: half as much is about two steps lighter.
const STEPS: usize = 8;

/// Cells of a plane.
pub struct HeatMap {
    /// What it shows.
    pub title: String,
    /// From left to right, with its unit.
    pub x_label: String,
    /// From bottom to top, with its unit.
    pub y_label: String,
    /// What a cell holds.
    pub weight_label: String,
    /// In any order, each place at most once.
    pub cells: Vec<Cell>,
}

/// One cell.
pub struct Cell {
    /// From, to.
    pub x: (f64, f64),
    /// From, to; above 0.
    pub y: (f64, f64),
    /// What it holds; above 0.
    pub weight: f64,
}

impl HeatMap {
    /// A `<figure>`, or nothing where no cell holds anything.
    pub fn figure(&self) -> String {
        let Some(left_right) = extent(self.cells.iter().flat_map(|cell| [cell.x.0, cell.x.1]))
        else {
            return String::new();
        };
        let Some(low_high) = extent(self.cells.iter().flat_map(|cell| [cell.y.0, cell.y.1])) else {
            return String::new();
        };
        let most = self.cells.iter().map(|cell| cell.weight).fold(0.0, f64::max);
        let x = Scale::new(Spread::Linear, left_right, ACROSS);
        let y = Scale::new(Spread::Log, low_high, UP);
        let mut paths: [String; STEPS] = Default::default();
        for cell in &self.cells {
            let (left, right) = (x.at(cell.x.0), x.at(cell.x.1));
            let (bottom, top) = (y.at(cell.y.0), y.at(cell.y.1));
            // Writing to a string cannot fail, here and below.
            let _infallible = write!(
                paths[step(cell.weight, most)],
                "M{left:.1} {top:.1}H{right:.1}V{bottom:.1}H{left:.1}z"
            );
        }
        let mut svg = plain_axes(&x, &y, &self.x_label, &self.y_label);
        for (step, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
            let least = most * weight_share(step);
            let _infallible = write!(
                svg,
                r#"<path class="heat" style="opacity:{:.2}" d="{path}"><title>{} {} or more</title></path>"#,
                (step + 1) as f64 / STEPS as f64,
                number(least),
                self.weight_label
            );
        }
        figure(&self.title, &[], &svg)
    }
}

/// Share of the heaviest cell at which a step begins.
fn weight_share(step: usize) -> f64 {
    0.5_f64.powf((STEPS - 1 - step) as f64 / 1.5) * 0.5
}

fn step(weight: f64, most: f64) -> usize {
    let heavier = (0..STEPS).rev().find(|step| weight >= most * weight_share(*step));
    heavier.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_cell_is_darkest_and_a_trace_is_still_seen() {
        assert_eq!(step(100.0, 100.0), STEPS - 1);
        assert_eq!(step(1e-9, 100.0), 0);
        assert!(step(20.0, 100.0) < step(60.0, 100.0));
    }

    #[test]
    fn without_cells_there_is_no_figure() {
        let map = HeatMap {
            title: "gaps".into(),
            x_label: "s".into(),
            y_label: "ms".into(),
            weight_label: "tokens".into(),
            cells: vec![],
        };
        assert_eq!(map.figure(), "");
    }
}
