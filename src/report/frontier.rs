//! Frontier of a sweep: throughput per GPU against speed per user, and the points that another one beats in both.

use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::percentile::Percentile;
use crate::report::PointReport;

/// What all users get together and what each of them gets; `None` where either was not measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// Tokens per second of a user, median.
    pub(super) per_user: f64,
    /// Output tokens per second: of each GPU where all points have GPUs, else of the process.
    pub(super) together: f64,
}

/// What throughput a sweep is held to.
pub(super) fn rate(points: &[PointReport]) -> Rate {
    let on_gpus = points.iter().all(|point| point.summary.gpus > 0);
    if on_gpus { Rate::PerGpuOutput } else { Rate::OutputThroughput }
}

/// Every point's place.
pub(super) fn places(points: &[PointReport]) -> Vec<Option<Place>> {
    let rate = rate(points);
    let place = |point: &PointReport| {
        let per_user = point.summary.percentile(Quantity::PerUser, Percentile::P50)?.value;
        Some(Place { per_user, together: point.summary.rate(rate)? })
    };
    points.iter().map(place).collect()
}

/// Whether another place is at least as good in both, and better in one.
pub(super) fn is_dominated(place: Place, places: &[Option<Place>]) -> bool {
    places.iter().flatten().any(|other| {
        let no_worse = other.per_user >= place.per_user && other.together >= place.together;
        no_worse && *other != place
    })
}

/// The points that another one beats, in a sentence; `None` where there is none.
pub(super) fn dominated(points: &[PointReport]) -> Option<String> {
    let places = places(points);
    let beaten: Vec<String> = points
        .iter()
        .zip(&places)
        .filter(|(_, place)| place.is_some_and(|place| is_dominated(place, &places)))
        .map(|(point, _)| point.short_label())
        .collect();
    (!beaten.is_empty()).then(|| {
        format!(
            "dominated: {}; another point has no less throughput and no less speed per user, and more of one",
            beaten.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_dominated_where_another_is_no_worse_in_both_and_better_in_one() {
        let place = |per_user, together| Some(Place { per_user, together });
        let places =
            [place(100.0, 100.0), place(50.0, 400.0), place(40.0, 390.0), place(50.0, 300.0), None];
        let beaten: Vec<bool> =
            places.iter().flatten().map(|it| is_dominated(*it, &places)).collect();
        assert_eq!(beaten, [false, false, true, true]);
    }
}
