//! Stages: a load that changes at instants that are known beforehand, such as a ramp in steps or a burst.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// Stages of one load, at most.
pub const MOST_STAGES: usize = 32;

/// A stretch of time at one level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadStage {
    /// How long it lasts.
    pub span: Nanos,
    /// Its level in millionths, so that two loads that are written alike are alike.
    pub millionths: u64,
}

/// What the levels of stages are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum StagesOf {
    /// Arrivals per second of an open loop.
    #[default]
    Rate,
    /// Slots of a closed loop.
    Concurrency,
}

/// A load in stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stages {
    /// What their levels are.
    pub of: StagesOf,
    /// One after the other.
    pub list: StageList,
}

/// Between one and [`MOST_STAGES`] stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<LoadStage>", into = "Vec<LoadStage>")]
pub struct StageList {
    stages: [LoadStage; MOST_STAGES],
    count: u8,
}

/// A number of stages that no list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give between 1 and {MOST_STAGES} stages")]
pub struct StageCountError;

impl LoadStage {
    /// Arrivals per second, or slots.
    pub fn level(self) -> f64 {
        self.millionths as f64 / 1e6
    }
}

impl StageList {
    /// The stages in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = LoadStage> + Clone {
        self.stages[..usize::from(self.count)].iter().copied()
    }

    /// All of them together.
    pub fn span(&self) -> Nanos {
        Nanos(self.iter().map(|stage| stage.span.0).sum())
    }

    /// The highest level.
    pub fn highest(&self) -> f64 {
        self.iter().map(LoadStage::level).fold(0.0, f64::max)
    }

    /// The mean over time.
    pub fn mean(&self) -> f64 {
        let area: f64 = self.iter().map(|it| it.level() * it.span.as_secs_f64()).sum();
        area / self.span().as_secs_f64()
    }

    /// Each stage with the instant that it begins at, from the start.
    pub fn placed(&self) -> impl Iterator<Item = (Nanos, LoadStage)> + Clone {
        self.iter().scan(Nanos::ZERO, |begins, stage| {
            let at = *begins;
            *begins = Nanos(at.0 + stage.span.0);
            Some((at, stage))
        })
    }

    /// The stage at an instant from the start, where one is under way, and when it ends.
    pub fn at(&self, after: Nanos) -> Option<(LoadStage, Nanos)> {
        let mut ending =
            self.placed().map(|(begins, stage)| (stage, Nanos(begins.0 + stage.span.0)));
        ending.find(|(_, ends)| after < *ends)
    }

    /// When so many arrivals of mean gap 1 have come about, from the start; `None` where the stages end before. In a stage of
    /// rate r, r of them come in a second.
    pub fn instant_of(&self, arrivals: f64) -> Option<Nanos> {
        let mut before = 0.0;
        for (begins, stage) in self.placed() {
            let within = stage.level() * stage.span.as_secs_f64();
            if stage.millionths > 0 && arrivals < before + within {
                let seconds = (arrivals - before) / stage.level();
                return Some(Nanos(begins.0 + (seconds * 1e9).round() as i64));
            }
            before += within;
        }
        None
    }
}

impl TryFrom<Vec<LoadStage>> for StageList {
    type Error = StageCountError;

    fn try_from(list: Vec<LoadStage>) -> Result<Self, StageCountError> {
        if list.is_empty() || list.len() > MOST_STAGES {
            return Err(StageCountError);
        }
        let mut stages = [LoadStage::default(); MOST_STAGES];
        stages[..list.len()].copy_from_slice(&list);
        Ok(Self { stages, count: list.len() as u8 })
    }
}

impl From<StageList> for Vec<LoadStage> {
    fn from(list: StageList) -> Self {
        list.iter().collect()
    }
}

impl StagesOf {
    /// `/s` behind a rate.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Rate => "/s",
            Self::Concurrency => " in flight",
        }
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stages ")?;
        for (index, stage) in self.list.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let (seconds, unit) = (stage.span.as_secs_f64(), self.of.unit());
            write!(f, "{comma}{}{unit} for {seconds} s", stage.level())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(stages: &[(f64, f64)]) -> StageList {
        let stage = |(seconds, level): &(f64, f64)| LoadStage {
            span: Nanos::from_secs_f64(*seconds),
            millionths: (level * 1e6) as u64,
        };
        StageList::try_from(stages.iter().map(stage).collect::<Vec<_>>()).expect("stages")
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "whole seconds and levels are exact")]
    fn equal_gaps_give_each_stage_its_rate_times_its_span() {
        let list = list(&[(10.0, 5.0), (4.0, 0.0), (2.0, 20.0)]);
        let instants: Vec<Nanos> =
            (0..).map_while(|arrival| list.instant_of(f64::from(arrival))).collect();
        let within = |from: f64, to: f64| {
            let holds = |at: &&Nanos| (from..to).contains(&at.as_secs_f64());
            instants.iter().filter(holds).count()
        };
        assert_eq!((within(0.0, 10.0), within(10.0, 14.0), within(14.0, 16.0)), (50, 0, 40));
        assert_eq!(instants[50].as_secs_f64(), 14.0, "the first of the last stage");
        assert_eq!((instants.len(), list.span().as_secs_f64()), (90, 16.0));
        assert_eq!((list.mean(), list.highest()), (90.0 / 16.0, 20.0));
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "levels are as they were given")]
    fn a_stage_is_under_way_from_its_beginning_to_its_end_and_not_at_it() {
        let list = list(&[(1.0, 2.0), (1.0, 8.0)]);
        let level = |seconds| list.at(Nanos::from_secs_f64(seconds)).map(|(it, _)| it.level());
        assert_eq!(
            [0.0, 0.5, 1.0, 1.9, 2.0].map(level).map(Option::unwrap_or_default),
            [2.0, 2.0, 8.0, 8.0, 0.0]
        );
    }

    #[test]
    fn a_list_has_a_stage_and_no_more_than_fit() {
        assert!(StageList::try_from(Vec::new()).is_err());
        assert!(StageList::try_from(vec![LoadStage::default(); MOST_STAGES + 1]).is_err());
    }
}
