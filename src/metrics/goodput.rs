//! Goodput: whether a request meets the service-level objectives.

use crate::metrics::definition::Quantity;
use crate::settings::slo::{Slo, SloMetric};

impl SloMetric {
    /// The value of a request that is held against the bound.
    pub const fn quantity(self) -> Quantity {
        match self {
            Self::Ttft => Quantity::Ttft,
            Self::TtftIntended => Quantity::TtftIntended,
            Self::E2e => Quantity::E2e,
            Self::E2eIntended => Quantity::E2eIntended,
            Self::Tpot | Self::Itl => Quantity::Tpot,
            Self::Stall => Quantity::Stall,
            Self::NormLatency => Quantity::NormLatency,
        }
    }

    /// Whether a completed request without this value meets any bound on it: with a single delivery there is no gap
    /// that could be too long, whereas a request without a first token was never answered.
    const fn is_met_when_undefined(self) -> bool {
        match self {
            Self::Tpot | Self::Itl | Self::Stall => true,
            Self::Ttft | Self::TtftIntended | Self::E2e | Self::E2eIntended | Self::NormLatency => {
                false
            }
        }
    }
}

impl Slo {
    /// Whether a completed request with this value, in ms, meets it.
    pub fn is_met(&self, value: Option<f64>) -> bool {
        value.map_or(self.metric.is_met_when_undefined(), |ms| ms <= self.bound.as_millis_f64())
    }
}
