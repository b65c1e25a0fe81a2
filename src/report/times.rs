//! Latencies in the unit that the reader has chosen, with as many digits as in milliseconds.

use crate::metrics::Quantity;
use crate::metrics::definition::Unit;
use crate::metrics::summary::{Distribution, PercentileValue};
use crate::report::figures;
use crate::settings::time_unit::TimeUnit;

/// How values of one quantity are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    factor: f64,
    more_digits: usize,
    /// Behind the name of the quantity.
    pub(super) symbol: &'static str,
}

impl Shown {
    /// Times in the reader's unit, everything else in its own.
    pub(super) fn of(quantity: Quantity, unit: TimeUnit) -> Self {
        let own = quantity.definition().unit;
        match (own, unit) {
            (Unit::Ms, TimeUnit::S) => Self { factor: 1e-3, more_digits: 3, symbol: "s" },
            _ => Self { factor: 1.0, more_digits: 0, symbol: own.symbol() },
        }
    }

    /// Digits behind the point, where the value in milliseconds deserves so many.
    pub(super) fn digits(self, own: usize) -> usize {
        own + self.more_digits
    }

    /// A value.
    pub(super) fn value(self, value: f64) -> f64 {
        value * self.factor
    }

    /// A percentile with its interval.
    pub(super) fn percentile(self, it: &PercentileValue) -> PercentileValue {
        PercentileValue {
            value: self.value(it.value),
            low: it.low.map(|value| self.value(value)),
            high: it.high.map(|value| self.value(value)),
            ..*it
        }
    }

    /// A percentile alone, as printed.
    pub(super) fn text(self, it: &PercentileValue) -> String {
        figures::percentile(&self.percentile(it), self.digits(figures::decimals(it.value)))
    }

    /// Digits of a row of statistics.
    pub(super) fn row_digits(self, values: &Distribution) -> usize {
        self.digits(figures::decimals_of_row(values))
    }
}
