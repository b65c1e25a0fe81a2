//! Goodput: whether a request meets the service-level objectives.

use crate::metrics::definition::Quantity;
use crate::metrics::observed::Observed;
use crate::metrics::per_request::Derived;
use crate::record::oddity::Oddity;
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

    /// What is held against the bound, in ms; `None` where it was not measured. What was held back and then came at once has no
    /// gaps that anybody measured.
    pub fn of(self, request: &Observed, streaming: bool) -> Option<f64> {
        let is_held_back = self.is_of_gaps() && request.oddities.has(Oddity::Burst);
        let value = || Derived::one(self.quantity(), request, streaming);
        (!is_held_back).then(value).flatten()
    }

    /// Whether it lies between tokens.
    pub const fn is_of_gaps(self) -> bool {
        match self {
            Self::Tpot | Self::Itl | Self::Stall => true,
            Self::Ttft | Self::TtftIntended | Self::E2e | Self::E2eIntended | Self::NormLatency => {
                false
            }
        }
    }
}

impl Slo {
    /// Whether a completed request with this value, in ms, meets it. What was not measured meets no bound.
    pub fn is_met(&self, value: Option<f64>) -> bool {
        value.is_some_and(|ms| ms <= self.bound.as_millis_f64())
    }
}
