//! Names beside the points of a chart: where there is room for them.

use std::fmt::Write as _;

use super::{Chart, Frame, frame};
use crate::report::html::text::escape;

/// Room of a letter where the picture is made for a phone, and where its text is larger there.
const LETTER: f64 = 7.2;
const LARGER_LETTER: f64 = 8.8;
/// Heights of a name above and below its base line.
const ABOVE: f64 = 10.0;
const BELOW: f64 = 3.0;
/// Distance of base lines that do not cover each other.
const LINE: f64 = 15.0;
/// Between a name and a dot or a line.
const AWAY: f64 = 1.0;
const DOT: f64 = 3.5;

/// Picture positions, from left to right and from top to bottom.
type Place = (f64, f64);

/// Where a name stands.
#[derive(Debug, Clone, Copy)]
struct Room {
    left: f64,
    width: f64,
    base: f64,
}

impl Room {
    fn right(&self) -> f64 {
        self.left + self.width
    }

    fn covers(&self, other: &Self) -> bool {
        self.right() >= other.left
            && other.right() >= self.left
            && (self.base - other.base).abs() <= LINE
    }

    /// Whether a straight line between two places comes nearer than this.
    fn is_crossed(&self, (from, to): (Place, Place), away: f64) -> bool {
        let across = (self.left - away, self.right() + away);
        let down = (self.base - ABOVE - away, self.base + BELOW + away);
        // The stretch of the line, as shares of its length, that lies between both sides, and between top and bottom.
        let between = |from: f64, to: f64, (low, high): (f64, f64)| {
            let length = to - from;
            if length.abs() < 1e-9 {
                return if from >= low && from <= high { (0.0, 1.0) } else { (1.0, 0.0) };
            }
            let (one, other) = ((low - from) / length, (high - from) / length);
            (one.min(other).max(0.0), one.max(other).min(1.0))
        };
        let (x, y) = (between(from.0, to.0, across), between(from.1, to.1, down));
        x.0.max(y.0) <= x.1.min(y.1)
    }
}

/// Writes each name right, left, above or below its point, wherever there is room in the picture, no other name, no dot and no line;
/// one that finds none is left to the pointer.
pub(super) fn draw(chart: &Chart, frame: &Frame, svg: &mut String) {
    let letter = if chart.size.0 > frame::SIZE.0 { LARGER_LETTER } else { LETTER };
    let width_of = |text: &str| text.chars().count() as f64 * letter;
    let series: Vec<Vec<Place>> = chart
        .series
        .iter()
        .map(|it| it.points.iter().map(|it| (frame.x.at(it.x), frame.y.at(it.y))).collect())
        .collect();
    // The label of the vertical axis stands where the highest points have their names.
    let label = width_of(&frame.y.label(&chart.y_label));
    let mut taken = vec![Room { left: frame::LABEL.0, width: label, base: frame::LABEL.1 }];
    let points = chart.series.iter().flat_map(|it| &it.points);
    for (point, at) in points.zip(series.iter().flatten()) {
        let is_free = |room: &Room| {
            room.left > frame::LEFT
                && room.right() < chart.size.0
                && room.base > ABOVE
                && room.base < frame.bottom
                && taken.iter().all(|it| !it.covers(room))
                && series.iter().flatten().all(|it| !room.is_crossed((*it, *it), DOT + AWAY))
                && series
                    .iter()
                    .flat_map(|it| it.windows(2))
                    .all(|it| !room.is_crossed((it[0], it[1]), AWAY))
        };
        let rooms = places(*at, width_of(&point.name));
        let Some(room) = rooms.into_iter().find(is_free) else { continue };
        taken.push(room);
        // Writing to a string cannot fail.
        let _infallible = write!(
            svg,
            r#"<text class="name" x="{:.1}" y="{:.1}">{}</text>"#,
            room.left,
            room.base,
            escape(&point.name)
        );
    }
}

/// Around a point, the best ones first.
fn places((x, y): Place, width: f64) -> [Room; 10] {
    let (right, left, middle) = (x + 8.0, x - 8.0 - width, x - width / 2.0);
    [
        (right, y - 5.0),
        (left, y - 5.0),
        (middle, y + 18.0),
        (right, y + 15.0),
        (left, y + 15.0),
        (middle, y - 9.0),
        (right, y + 31.0),
        (left, y + 31.0),
        (right, y - 21.0),
        (left, y - 21.0),
    ]
    .map(|(left, base)| Room { left, width, base })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_crosses_a_name_where_it_passes_through_its_box_and_not_beside_it() {
        let room = Room { left: 100.0, width: 40.0, base: 50.0 };
        let is_crossed = |from, to| room.is_crossed((from, to), 1.0);
        assert!(is_crossed((0.0, 0.0), (200.0, 80.0)), "slanting through it");
        assert!(is_crossed((0.0, 45.0), (200.0, 45.0)), "along it");
        assert!(is_crossed((120.0, 0.0), (120.0, 90.0)), "upright through it");
        assert!(!is_crossed((0.0, 55.0), (200.0, 55.0)), "below it");
        assert!(!is_crossed((0.0, 45.0), (90.0, 45.0)), "ends before it");
        assert!(!is_crossed((0.0, 0.0), (200.0, 20.0)), "above it");
        assert!(!is_crossed((150.0, 0.0), (150.0, 90.0)), "beside it");
    }
}
