//! Paired comparison of two sides of an experiment, metric by metric, and the gate of `--fail-if`.

use serde::{Deserialize, Serialize};

use crate::metrics::compare::{
    BLOCKS_FOR_A_VERDICT, Block, Comparison, ComparisonVerdict, Difference, compare, difference,
    mean,
};
use crate::metrics::definition::{Better, Unit};
use crate::metrics::measure::Measure;
use crate::metrics::summary::{Summary, Verdict};
use crate::metrics::threshold::Threshold;
use crate::metrics::withheld::Withheld;

/// One number on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which number.
    pub metric: Measure,
    /// Unit of the values.
    pub unit: Unit,
    /// Which direction a user wants.
    pub better: Better,
    /// Blocks in which both sides have it.
    pub blocks: u64,
    /// Whether every block's sample can carry it; `~` stands beside it if not.
    pub certified: bool,
    /// On which sides the value spreads tokens over chunks; `≈` stands beside it there.
    #[serde(default)]
    pub approximate: Approximate,
    /// Why the answer is `undecided` whatever the interval; `None` where the interval decides.
    #[serde(default)]
    pub withheld: Option<Withheld>,
    /// Mean over blocks on the side that is compared with.
    pub baseline: f64,
    /// Mean over blocks on the side in question.
    pub candidate: f64,
    /// By how much they differ.
    pub difference: Difference,
    /// How they relate, and the answer; `None` where a value is not above 0, so that there is no ratio.
    pub ratio: Option<Comparison>,
}

/// The sides on which a value is approximate in any block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approximate {
    /// On the side that is compared with.
    pub baseline: bool,
    /// On the side in question.
    pub candidate: bool,
}

/// How numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Ratios within this share of 1 count as the same.
    pub margin: f64,
    /// Seed of the first block's requests.
    pub seed: u64,
}

/// Every number that both sides have; the summaries of a block stand at the same place on both sides.
pub fn rows(baseline: &[&Summary], candidate: &[&Summary], terms: Terms) -> Vec<Row> {
    Measure::all().filter_map(|metric| row(metric, baseline, candidate, terms)).collect()
}

fn row(
    metric: Measure,
    baseline: &[&Summary],
    candidate: &[&Summary],
    terms: Terms,
) -> Option<Row> {
    let paired: Vec<(Block, bool)> = baseline
        .iter()
        .zip(candidate)
        .filter_map(|(a, b)| {
            let block = Block { baseline: metric.value(a)?, candidate: metric.value(b)? };
            Some((block, metric.is_certified(a) && metric.is_certified(b)))
        })
        .collect();
    let blocks: Vec<Block> = paired.iter().map(|(block, _)| *block).collect();
    let side = |of: fn(&Block) -> f64| mean(&blocks.iter().map(of).collect::<Vec<_>>());
    let definition = metric.definition();
    let withheld = Withheld::of(metric, baseline.iter().chain(candidate).copied());
    // A value of 0 (a queue that never waited, say) has a difference and no ratio.
    let mut ratio = compare(&blocks, definition.better, terms.margin).ok();
    if let (Some(ratio), Some(_)) = (&mut ratio, withheld) {
        ratio.answer = ComparisonVerdict::Undecided;
    }
    Some(Row {
        metric,
        unit: definition.unit,
        better: definition.better,
        blocks: blocks.len() as u64,
        certified: paired.iter().all(|(_, certified)| *certified),
        approximate: Approximate {
            baseline: baseline.iter().any(|summary| metric.is_approximate(summary)),
            candidate: candidate.iter().any(|summary| metric.is_approximate(summary)),
        },
        withheld,
        baseline: side(|block| block.baseline)?,
        candidate: side(|block| block.candidate)?,
        difference: difference(&blocks)?,
        ratio,
    })
}

/// What became of a number that may get worse by so much and no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// What was allowed.
    #[serde(flatten)]
    pub threshold: Threshold,
    /// What came of it.
    pub finding: GateStatus,
}

/// Whether a number got worse by more than is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateStatus {
    /// The whole interval lies beyond what is allowed.
    Regression,
    /// The whole interval lies within what is allowed.
    Held,
    /// The interval reaches across, or there are too few blocks.
    Undecided,
    /// The number does not exist in this experiment.
    NotMeasured,
    /// The measurement of a side is invalid, so that nothing follows from it.
    InvalidSide,
    /// On a side the number tells nothing of the engine.
    Withheld,
}

impl GateStatus {
    /// Whether nothing can be said of the number, so that a gate that asks for it is not passed.
    pub const fn is_unknowable(self) -> bool {
        match self {
            Self::NotMeasured | Self::InvalidSide | Self::Withheld => true,
            Self::Regression | Self::Held | Self::Undecided => false,
        }
    }
}

/// Holds the rows of two sides, whose worst verdict is `verdict`, against what is allowed.
pub fn evaluate_gate(thresholds: &[Threshold], rows: &[Row], verdict: Verdict) -> Vec<GateResult> {
    let of = |threshold: &Threshold| {
        let row = rows.iter().find(|row| row.metric == threshold.measure);
        match (row, verdict) {
            (None, _) => GateStatus::NotMeasured,
            (Some(_), Verdict::Invalid) => GateStatus::InvalidSide,
            (Some(row), Verdict::Valid | Verdict::ValidWithWarnings) if row.withheld.is_some() => {
                GateStatus::Withheld
            }
            (Some(row), Verdict::Valid | Verdict::ValidWithWarnings) => finding(threshold, row),
        }
    };
    thresholds
        .iter()
        .map(|threshold| GateResult { threshold: *threshold, finding: of(threshold) })
        .collect()
}

fn finding(threshold: &Threshold, row: &Row) -> GateStatus {
    let Some(ratio) = &row.ratio else { return GateStatus::Undecided };
    let (Some(low), Some(high)) = (ratio.low, ratio.high) else { return GateStatus::Undecided };
    if ratio.block_ratios.len() < BLOCKS_FOR_A_VERDICT {
        return GateStatus::Undecided;
    }
    // By which share of the baseline it got worse, at least and at most.
    let (least, most) = match row.better {
        Better::Lower => (low - 1.0, high - 1.0),
        Better::Higher => (1.0 - high, 1.0 - low),
        Better::Neither => return GateStatus::NotMeasured,
    };
    let allowed = threshold.percent.share();
    if least > allowed {
        GateStatus::Regression
    } else if most <= allowed {
        GateStatus::Held
    } else {
        GateStatus::Undecided
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::compare::ComparisonVerdict;
    use crate::metrics::definition::Rate;

    fn row_of(metric: &str, ratios: &[f64]) -> Row {
        let metric: Measure = metric.parse().unwrap();
        let blocks: Vec<Block> =
            ratios.iter().map(|ratio| Block { baseline: 10.0, candidate: 10.0 * ratio }).collect();
        let definition = metric.definition();
        Row {
            metric,
            unit: definition.unit,
            better: definition.better,
            blocks: blocks.len() as u64,
            certified: true,
            approximate: Approximate::default(),
            withheld: None,
            baseline: 10.0,
            candidate: 10.0,
            difference: difference(&blocks).unwrap(),
            ratio: compare(&blocks, definition.better, 0.01).ok(),
        }
    }

    fn finding_of(threshold: &str, row: Row) -> GateStatus {
        evaluate_gate(&[threshold.parse().unwrap()], &[row], Verdict::Valid)[0].finding
    }

    #[test]
    fn a_number_that_was_not_measured_holds_nothing() {
        let other = row_of("e2e_p50", &[1.0; 6]);
        assert_eq!(finding_of("ttft_p99>5%", other), GateStatus::NotMeasured);
    }

    #[test]
    fn nothing_is_held_by_a_side_that_is_invalid() {
        let rows = [row_of("e2e_p50", &[1.0; 6])];
        let thresholds = ["e2e_p50>5%".parse().unwrap()];
        assert_eq!(
            evaluate_gate(&thresholds, &rows, Verdict::Invalid)[0].finding,
            GateStatus::InvalidSide
        );
    }

    #[test]
    fn what_tells_nothing_of_the_engine_holds_nothing() {
        for withheld in [Withheld::Burst, Withheld::Spread] {
            let row = Row { withheld: Some(withheld), ..row_of("itl_p50", &[1.0; 6]) };
            assert_eq!(finding_of("itl_p50>5%", row), GateStatus::Withheld);
        }
        assert!(GateStatus::Withheld.is_unknowable());
    }

    #[test]
    fn too_few_blocks_find_no_regression_however_large() {
        assert_eq!(finding_of("ttft_p99>5%", row_of("ttft_p99", &[2.0; 4])), GateStatus::Undecided);
    }

    #[test]
    fn a_regression_is_a_whole_interval_beyond_what_is_allowed() {
        let slower = [1.2, 1.21, 1.19, 1.2, 1.22, 1.2];
        assert_eq!(finding_of("ttft_p99>5%", row_of("ttft_p99", &slower)), GateStatus::Regression);
        assert_eq!(finding_of("ttft_p99>50%", row_of("ttft_p99", &slower)), GateStatus::Held);
        let noisy = [0.8, 1.4, 0.9, 1.5, 1.0, 1.2];
        assert_eq!(finding_of("ttft_p99>5%", row_of("ttft_p99", &noisy)), GateStatus::Undecided);
    }

    #[test]
    fn what_is_worse_depends_on_the_number() {
        let less = [0.8, 0.81, 0.79, 0.8, 0.8, 0.82];
        let throughput = row_of(Rate::OutputThroughput.definition().id, &less);
        assert_eq!(throughput.ratio.as_ref().unwrap().answer, ComparisonVerdict::Slower);
        assert_eq!(finding_of("output_throughput>5%", throughput), GateStatus::Regression);
        assert_eq!(finding_of("e2e_p50>5%", row_of("e2e_p50", &less)), GateStatus::Held);
    }

    #[test]
    fn a_bound_is_a_share_of_the_baseline_whichever_way_is_worse() {
        let gate = |metric: &str, ratio: f64, bound: &str| {
            let row = row_of(metric, &[ratio - 0.001, ratio, ratio, ratio, ratio, ratio + 0.001]);
            finding_of(&format!("{metric}>{bound}"), row)
        };
        assert_eq!(gate("ttft_p99", 2.4, "150%"), GateStatus::Held);
        assert_eq!(gate("ttft_p99", 2.6, "150%"), GateStatus::Regression);
        assert_eq!(gate("output_throughput", 0.6, "50%"), GateStatus::Held, "it lost 40 %");
        assert_eq!(gate("output_throughput", 0.4, "50%"), GateStatus::Regression);
    }
}
