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

/// A load and its place: that of its runs in the mean, where it was measured several times.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spot {
    /// The load, in a word.
    pub(super) label: String,
    /// `None` where a run of it has none.
    pub(super) place: Option<Place>,
}

/// Every load's place, in the order in which they were measured.
pub(super) fn spots(points: &[PointReport]) -> Vec<Spot> {
    let rate = rate(points);
    let place = |point: &PointReport| {
        let per_user = point.summary.percentile(Quantity::PerUser, Percentile::P50)?.value;
        Some(Place { per_user, together: point.summary.rate(rate)? })
    };
    by_load(points.iter().map(|point| (point.short_label(), place(point))))
}

fn by_load(runs: impl Iterator<Item = (String, Option<Place>)>) -> Vec<Spot> {
    let mut loads: Vec<(String, Vec<Option<Place>>)> = Vec::new();
    for (label, place) in runs {
        match loads.iter_mut().find(|(known, _)| *known == label) {
            Some((_, places)) => places.push(place),
            None => loads.push((label, vec![place])),
        }
    }
    let spot = |(label, places): (String, Vec<Option<Place>>)| {
        let places: Option<Vec<Place>> = places.into_iter().collect();
        Spot { label, place: places.map(|places| mean(&places)) }
    };
    loads.into_iter().map(spot).collect()
}

fn mean(places: &[Place]) -> Place {
    let of = |value: fn(&Place) -> f64| places.iter().map(value).sum::<f64>() / places.len() as f64;
    Place { per_user: of(|it| it.per_user), together: of(|it| it.together) }
}

/// Whether another place is at least as good in both, and better in one.
pub(super) fn is_dominated(place: Place, spots: &[Spot]) -> bool {
    spots.iter().filter_map(|spot| spot.place).any(|other| {
        let no_worse = other.per_user >= place.per_user && other.together >= place.together;
        no_worse && other != place
    })
}

/// The loads that another one beats, in a sentence; `None` where there is none.
pub(super) fn dominated(points: &[PointReport]) -> Option<String> {
    let spots = spots(points);
    let beaten: Vec<&str> = spots
        .iter()
        .filter(|spot| spot.place.is_some_and(|place| is_dominated(place, &spots)))
        .map(|spot| spot.label.as_str())
        .collect();
    let of_means = if spots.len() < points.len() { " in the mean of its runs" } else { "" };
    (!beaten.is_empty()).then(|| {
        format!(
            "dominated: {}; another point has no less throughput and no less speed per user{of_means}, and more of one",
            beaten.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(per_user: f64, together: f64) -> Place {
        Place { per_user, together }
    }

    fn spots_of(runs: &[(&str, Option<Place>)]) -> Vec<Spot> {
        by_load(runs.iter().map(|(label, place)| ((*label).to_owned(), *place)))
    }

    fn beaten(spots: &[Spot]) -> Vec<&str> {
        let is_beaten = |spot: &&Spot| spot.place.is_some_and(|it| is_dominated(it, spots));
        spots.iter().filter(is_beaten).map(|spot| spot.label.as_str()).collect()
    }

    #[test]
    fn a_point_is_dominated_where_another_is_no_worse_in_both_and_better_in_one() {
        let spots = spots_of(&[
            ("1", Some(place(100.0, 100.0))),
            ("8", Some(place(50.0, 400.0))),
            ("16", Some(place(40.0, 390.0))),
            ("32", Some(place(50.0, 300.0))),
            ("64", None),
        ]);
        assert_eq!(beaten(&spots), ["16", "32"]);
    }

    #[test]
    fn runs_of_one_load_are_one_point_and_do_not_beat_each_other() {
        let spots = spots_of(&[
            ("1", Some(place(100.0, 100.0))),
            ("8", Some(place(40.0, 300.0))),
            ("1", Some(place(90.0, 80.0))),
            ("8", Some(place(50.0, 400.0))),
        ]);
        assert_eq!(spots.len(), 2);
        assert_eq!(spots[1].place, Some(place(45.0, 350.0)));
        assert!(beaten(&spots).is_empty());
        let unmeasured = spots_of(&[("1", Some(place(1.0, 1.0))), ("1", None)]);
        assert_eq!(unmeasured[0].place, None);
    }
}
