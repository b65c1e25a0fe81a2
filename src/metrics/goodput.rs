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
}

impl Slo {
    /// Whether a completed request with this value, in ms, meets it. What was not measured meets no bound.
    pub fn is_met(&self, value: Option<f64>) -> bool {
        value.is_some_and(|ms| ms <= self.bound.as_millis_f64())
    }
}
