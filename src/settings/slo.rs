//! Service-level objectives (SLO): bounds on latencies of one request, as they are typed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// The bounds that one request must meet, all of them. Empty: no goodput is reported.
///
/// Written `ttft<2s,itl<40ms,e2e<10s`. A latency equal to its bound meets it, so `<` and `<=` mean the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slos(pub Vec<Slo>);

/// The share of attempted requests that must meet every SLO for a run to pass.
pub const GOOD_FRACTION: f64 = 0.99;

/// A bound on one latency of one request: met where the latency is at most `bound`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slo {
    /// Which latency.
    pub metric: SloMetric,
    /// The most it may be.
    #[serde(rename = "bound_ns")]
    pub bound: Nanos,
}

/// A latency that a request can be held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SloMetric {
    /// Time to first token.
    Ttft,
    /// Time to first token from the intended arrival.
    TtftIntended,
    /// Request latency.
    E2e,
    /// Request latency from the intended arrival.
    E2eIntended,
    /// Time per output token.
    Tpot,
    /// The request's mean inter-token latency, which is its time per output token; for its worst gap use `stall`.
    Itl,
    /// The request's largest gap.
    Stall,
    /// Normalised latency.
    NormLatency,
}

/// Why a text is no list of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SloError {
    /// No comparison sign.
    #[error("SLO `{0}` has no bound: write it like `ttft<2s`")]
    NoBound(String),
    /// A latency that does not exist.
    #[error("SLO `{given}` names no latency of a request: use one of {known}", known = SloMetric::names())]
    UnknownMetric {
        /// What was typed.
        given: String,
    },
    /// The bound is no time.
    #[error(
        "SLO `{slo}`: `{bound}` is not a time above 0: write it like `500us`, `40ms`, `1.5s` or `2m`"
    )]
    NotATime {
        /// The whole bound as typed.
        slo: String,
        /// Its right-hand side.
        bound: String,
    },
    /// One latency has two bounds.
    #[error("SLO `{0}` is given twice: keep the tighter bound")]
    Twice(&'static str),
}

impl SloMetric {
    /// Every latency, in the order of help texts.
    pub const ALL: [Self; 8] = [
        Self::Ttft,
        Self::TtftIntended,
        Self::E2e,
        Self::E2eIntended,
        Self::Tpot,
        Self::Itl,
        Self::Stall,
        Self::NormLatency,
    ];

    /// The word users type.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ttft => "ttft",
            Self::TtftIntended => "ttft_intended",
            Self::E2e => "e2e",
            Self::E2eIntended => "e2e_intended",
            Self::Tpot => "tpot",
            Self::Itl => "itl",
            Self::Stall => "stall",
            Self::NormLatency => "norm_latency",
        }
    }

    fn names() -> String {
        Self::ALL.map(|metric| format!("`{}`", metric.word())).join(", ")
    }
}

impl FromStr for Slos {
    type Err = SloError;

    fn from_str(text: &str) -> Result<Self, SloError> {
        let mut slos: Vec<Slo> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let slo: Slo = part.parse()?;
            if slos.iter().any(|known| known.metric == slo.metric) {
                return Err(SloError::Twice(slo.metric.word()));
            }
            slos.push(slo);
        }
        Ok(Self(slos))
    }
}

impl FromStr for Slo {
    type Err = SloError;

    fn from_str(text: &str) -> Result<Self, SloError> {
        let (name, bound) =
            text.split_once('<').ok_or_else(|| SloError::NoBound(text.to_owned()))?;
        let (name, bound) = (name.trim(), bound.strip_prefix('=').unwrap_or(bound).trim());
        let metric = SloMetric::ALL
            .into_iter()
            .find(|metric| metric.word() == name)
            .ok_or_else(|| SloError::UnknownMetric { given: name.to_owned() })?;
        let bound = time(bound)
            .ok_or_else(|| SloError::NotATime { slo: text.to_owned(), bound: bound.to_owned() })?;
        Ok(Self { metric, bound })
    }
}

fn time(text: &str) -> Option<Nanos> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic() || c == 'µ')?;
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        _ => return None,
    };
    let number: f64 = number.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0)?;
    Some(Nanos::from_secs_f64(number * seconds)).filter(|bound| *bound > Nanos::ZERO)
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.bound.0;
        let word = self.metric.word();
        if ns % 1_000_000_000 == 0 {
            write!(f, "{word}<{}s", ns / 1_000_000_000)
        } else if ns % 1_000 != 0 {
            write!(f, "{word}<{}us", ns as f64 / 1e3)
        } else {
            write!(f, "{word}<{}ms", ns as f64 / 1e6)
        }
    }
}

impl fmt::Display for Slos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Slo::to_string).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Slos>().unwrap_err().to_string()
    }

    #[test]
    fn a_wrong_bound_is_an_error_with_a_remedy() {
        assert_eq!(error("ttft"), "SLO `ttft` has no bound: write it like `ttft<2s`");
        assert!(
            error("tftf<2s")
                .starts_with("SLO `tftf` names no latency of a request: use one of `ttft`")
        );
        for bad in ["ttft<2", "ttft<s", "ttft<-2s", "ttft<0s", "ttft<2h", "ttft<nans", "e2e<infs"] {
            assert!(error(bad).contains("is not a time above 0"), "{bad}: {}", error(bad));
        }
        assert_eq!(error("e2e<1s,e2e<2s"), "SLO `e2e` is given twice: keep the tighter bound");
    }

    #[test]
    fn bounds_are_read_and_printed_in_every_unit() {
        let slos: Slos = "ttft<2s, itl<40ms,e2e<=1.5s,stall<250us,norm_latency<2m".parse().unwrap();
        let bounds: Vec<i64> = slos.0.iter().map(|slo| slo.bound.0).collect();
        assert_eq!(bounds, [2_000_000_000, 40_000_000, 1_500_000_000, 250_000, 120_000_000_000]);
        assert_eq!(slos.to_string(), "ttft<2s,itl<40ms,e2e<1500ms,stall<0.25ms,norm_latency<120s");
        assert_eq!(slos.to_string().parse::<Slos>().unwrap(), slos);
    }

    #[test]
    fn nothing_typed_is_no_bound() {
        assert_eq!("".parse::<Slos>().unwrap(), Slos::default());
    }
}
