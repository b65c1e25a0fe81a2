//! Cost of a million output tokens, from a price of an hour of one GPU.

use crate::metrics::definition::Rate;
use crate::report::figures::figure;
use crate::report::{Experiment, PointReport};

/// Output tokens that the cost is given for.
const TOKENS: f64 = 1e6;
const SECONDS_OF_AN_HOUR: f64 = 3_600.0;

/// What a million output tokens cost at a point, where an hour of a GPU (of the process, where it has none) costs so much.
fn per_million(point: &PointReport, price: f64) -> Option<f64> {
    let per_second = point.summary.rate(Rate::OutputThroughput).filter(|rate| *rate > 0.0)?;
    Some(of(price, point.summary.gpus, per_second))
}

fn of(price: f64, gpus: u32, per_second: f64) -> f64 {
    price * f64::from(gpus.max(1)) / SECONDS_OF_AN_HOUR / per_second * TOKENS
}

/// The cost at every point, in a sentence; `None` where no price was given.
pub(super) fn sentence(experiment: &Experiment) -> Option<String> {
    let price = experiment.manifest.get("gpu_hour_price")?.as_f64()?;
    let costs: Vec<String> = experiment
        .points
        .iter()
        .filter_map(|point| {
            Some(format!("{} at {}", figure(per_million(point, price)?), point.label))
        })
        .collect();
    let whose = match experiment.points.first().map_or(0, |point| point.summary.gpus) {
        0 => "an hour of the process, which names no GPU,".to_owned(),
        1 => "an hour of its GPU".to_owned(),
        gpus => format!("an hour of each of its {gpus} GPUs"),
    };
    (!costs.is_empty()).then(|| {
        format!("a million output tokens cost {}, where {whose} costs {price}", costs.join(" · "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_per_hour_of_each_gpu_becomes_one_per_million_tokens() {
        // 1 000 tokens a second are 3.6 million an hour.
        assert!((of(3.6, 1, 1_000.0) - 1.0).abs() < 1e-12);
        assert!((of(3.6, 8, 1_000.0) - 8.0).abs() < 1e-12);
        assert!((of(3.6, 0, 1_000.0) - 1.0).abs() < 1e-12, "a process without GPUs is one");
    }
}
