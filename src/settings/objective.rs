//! Objectives of a search: a share of requests that must meet a bound, as typed or by the name of a published preset.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::settings::slo::{GOOD_FRACTION, Slo, SloError, SloMetric, Slos};

/// Requests of which at least `share` must meet every bound. Most objectives have one bound; bounds without a percentile
/// are one objective together, which is goodput.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// What a request must meet.
    pub bounds: Slos,
    /// The share of attempted requests that must.
    pub share: f64,
}

/// All that a load must meet at once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Objectives(pub Vec<Objective>);

/// Why a text is no list of objectives.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ObjectiveError {
    /// Nothing to search for.
    #[error("a search needs objectives: give for example `--slo 'ttft.p99<2s,tpot.p99<40ms'`, or a preset: {known}",
            known = preset_names())]
    None,
    /// A bound that is none.
    #[error(transparent)]
    Slo(#[from] SloError),
    /// A percentile that is none.
    #[error(
        "`{0}` is no percentile of an objective: write for example `ttft.p99<2s`, with a percentile above 0 and below 100"
    )]
    Percentile(String),
    /// A preset that nobody has published.
    #[error("there is no preset `{given}`: use one of {known}", known = preset_names())]
    UnknownPreset {
        /// What was typed.
        given: String,
    },
    /// A latency that is only known once a point is over.
    #[error(
        "`stall` cannot be searched for: it is known only when a point is over; bound `tpot` or `e2e` instead"
    )]
    Stall,
}

/// A published pair of limits on 99 % of all requests.
struct Preset {
    name: &'static str,
    ttft: &'static str,
    tpot: &'static str,
}

const fn preset(name: &'static str, ttft: &'static str, tpot: &'static str) -> Preset {
    Preset { name, ttft, tpot }
}

/// MLPerf Inference, server scenario and its interactive variants: `*.Server.ttft_latency` and `tpot_latency` of
/// `loadgen/mlperf.conf` of `mlcommons/inference` (read at commit 001712e); its `target_latency_percentile` is 99.
const PRESETS: [Preset; 9] = [
    preset("mlperf:llama2-70b", "2s", "200ms"),
    preset("mlperf:llama2-70b-interactive", "450ms", "40ms"),
    preset("mlperf:mixtral-8x7b", "2s", "200ms"),
    preset("mlperf:llama3.1-405b", "6s", "175ms"),
    preset("mlperf:llama3.1-405b-interactive", "4500ms", "80ms"),
    preset("mlperf:llama3.1-8b", "2s", "100ms"),
    preset("mlperf:llama3.1-8b-interactive", "500ms", "30ms"),
    preset("mlperf:deepseek-r1", "2s", "80ms"),
    preset("mlperf:deepseek-r1-interactive", "1500ms", "15ms"),
];

fn preset_names() -> String {
    PRESETS.map(|preset| format!("`{}`", preset.name)).join(", ")
}

impl Objectives {
    /// Every bound on its own, for the goodput of each point: of a latency with several percentiles, that of the highest.
    pub fn bounds(&self) -> Slos {
        let mut ordered: Vec<&Objective> = self.0.iter().collect();
        ordered.sort_by(|a, b| b.share.total_cmp(&a.share));
        let mut bounds: Vec<Slo> = Vec::new();
        for bound in ordered.into_iter().flat_map(|objective| &objective.bounds.0) {
            if bounds.iter().all(|known| known.metric != bound.metric) {
                bounds.push(*bound);
            }
        }
        Slos(bounds)
    }
}

impl FromStr for Objectives {
    type Err = ObjectiveError;

    fn from_str(text: &str) -> Result<Self, ObjectiveError> {
        let mut objectives: Vec<Objective> = Vec::new();
        let mut goodput = Slos::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            if part.contains(':') {
                // MLPerf itself writes `llama3_1-8b`.
                let written = part.to_lowercase().replace('_', ".");
                let known = PRESETS.iter().find(|preset| preset.name == written);
                let preset = known
                    .ok_or_else(|| ObjectiveError::UnknownPreset { given: part.to_owned() })?;
                for bound in [format!("ttft<{}", preset.ttft), format!("tpot<{}", preset.tpot)] {
                    objectives.push(Objective { bounds: bound.parse()?, share: 0.99 });
                }
                continue;
            }
            let name = part.split('<').next().unwrap_or(part).trim();
            match name.split_once('.') {
                None => goodput.0.push(part.parse()?),
                Some((metric, which)) => {
                    let bound: Slo = part.replacen(name, metric, 1).parse()?;
                    objectives
                        .push(Objective { bounds: Slos(vec![bound]), share: share(which, part)? });
                }
            }
        }
        if !goodput.0.is_empty() {
            objectives.push(Objective { bounds: goodput, share: GOOD_FRACTION });
        }
        if objectives.is_empty() {
            return Err(ObjectiveError::None);
        }
        let bounds = || objectives.iter().flat_map(|objective| &objective.bounds.0);
        if bounds().any(|bound| bound.metric == SloMetric::Stall) {
            return Err(ObjectiveError::Stall);
        }
        Ok(Self(objectives))
    }
}

/// `p99` and `p99.9` as shares.
fn share(which: &str, part: &str) -> Result<f64, ObjectiveError> {
    let percent: Option<f64> = which.strip_prefix('p').and_then(|digits| digits.parse().ok());
    let percent = percent.filter(|it| *it > 0.0 && *it < 100.0);
    // Rounded, so that 99 % is the number that 0.99 is.
    percent
        .map(|percent| (percent * 1e6).round() / 1e8)
        .ok_or_else(|| ObjectiveError::Percentile(part.to_owned()))
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = (self.share * 1e8).round() / 1e6;
        match &*self.bounds.0 {
            [bound] => {
                let text = bound.to_string();
                let (metric, limit) = text.split_once('<').unwrap_or((&text, ""));
                write!(f, "{metric}.p{percent}<{limit}")
            }
            _ => write!(f, "{} for {percent} %", self.bounds),
        }
    }
}

impl fmt::Display for Objectives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Objective::to_string).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Objectives {
        text.parse().expect(text)
    }

    #[test]
    fn a_percentile_belongs_to_its_bound_and_bounds_without_one_are_goodput() {
        let objectives = parsed("ttft.p99<2s,tpot.p99.9<=40ms,e2e<10s,itl<50ms");
        let shares: Vec<f64> = objectives.0.iter().map(|it| it.share).collect();
        assert_eq!(shares, [0.99, 0.999, GOOD_FRACTION]);
        assert_eq!(
            objectives.to_string(),
            "ttft.p99<2s, tpot.p99.9<40ms, e2e<10s,itl<50ms for 99 %"
        );
    }

    #[test]
    fn presets_are_what_mlperf_publishes() {
        assert_eq!(
            parsed("mlperf:llama2-70b-interactive").to_string(),
            "ttft.p99<450ms, tpot.p99<40ms"
        );
        for preset in PRESETS {
            assert_eq!(parsed(preset.name).0.len(), 2, "{}", preset.name);
        }
        assert_eq!(parsed("mlperf:llama3_1-8b"), parsed("mlperf:llama3.1-8b"));
        let error = "mlperf:llama9".parse::<Objectives>().unwrap_err().to_string();
        assert!(error.contains("`mlperf:llama3.1-8b`"), "{error}");
    }

    #[test]
    fn a_point_is_held_to_the_bound_of_the_highest_percentile() {
        let bounds = parsed("ttft.p50<1s,ttft.p99<2s,tpot.p90<40ms").bounds();
        assert_eq!(bounds.to_string(), "ttft<2s,tpot<40ms");
    }

    #[test]
    fn a_wrong_objective_is_an_error_with_a_remedy() {
        for (text, remedy) in [
            ("", "--slo 'ttft.p99<2s"),
            ("ttft.p0<1s", "above 0 and below 100"),
            ("ttft.p100<1s", "above 0 and below 100"),
            ("ttft.99<1s", "ttft.p99<2s"),
            ("tftf.p99<1s", "`ttft`"),
            ("ttft.p99", "ttft<2s"),
            ("stall.p99<1s", "`tpot`"),
        ] {
            let error = text.parse::<Objectives>().expect_err(text).to_string();
            assert!(error.contains(remedy), "{text}: {error}");
        }
    }
}
