//! Number formatting: three to four significant digits, units, intervals.

use crate::metrics::definition::Unit;
use crate::metrics::summary::{Distribution, PercentileValue, Verdict};
use crate::metrics::{Percentile, Quantity};

/// What stands where there is no number.
pub const ABSENT: &str = "–";

/// Digits behind the point that a value of this size deserves.
pub fn decimals(size: f64) -> usize {
    match size.abs() {
        size if size >= 1_000.0 || size == 0.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 => 3,
        _ => 4,
    }
}

/// Digits behind the point for a whole row of statistics, so that its figures can be compared at a glance: those of the
/// mean, fewer where the tail is so far out that they would only widen it.
pub fn decimals_of_row(values: &Distribution) -> usize {
    let tail = values.percentiles.get(&Percentile::P99).map_or(values.max, |it| it.value);
    let tail_digits = decimals(tail);
    decimals(values.mean).min(if tail_digits == 0 { 0 } else { tail_digits + 1 })
}

/// A number on its own, e.g. `1234`, `123.4`, `12.34`, `0.123`.
pub fn figure(value: f64) -> String {
    fixed(value, decimals(value))
}

/// With so many digits behind the point; never `-0`.
pub fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let is_zero = text.bytes().all(|c| matches!(c, b'-' | b'0' | b'.'));
    if is_zero { text.trim_start_matches('-').to_owned() } else { text }
}

/// A number that may be absent.
pub fn maybe(value: Option<f64>) -> String {
    value.map_or_else(|| ABSENT.to_owned(), figure)
}

/// A number with its unit, e.g. `12.34 ms`; a share is printed in percent.
pub fn with_unit(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Fraction => format!("{} %", share(value)),
        Unit::Tokens => format!("{value:.0} tokens"),
        Unit::Ms
        | Unit::TokensPerS
        | Unit::RequestsPerS
        | Unit::DocumentsPerS
        | Unit::ImagesPerS
        | Unit::Joules
        | Unit::TokensPerJoule => {
            format!("{} {}", figure(value), unit.symbol())
        }
    }
}

/// A share in percent with one decimal, rounded down, so that what fell short never looks whole.
pub fn share(value: f64) -> String {
    // 0.686 times a thousand is a little less than 686.
    format!("{:.1}", (value * 1_000.0 * (1.0 + 1e-12)).floor() / 10.0)
}

/// A percentile; `~` before it where the sample is too small to certify it.
pub fn percentile(value: &PercentileValue, decimals: usize) -> String {
    let mark = if value.certified { "" } else { "~" };
    format!("{mark}{}", fixed(value.value, decimals))
}

/// What stands before a value that depends on how many tokens a chunk held, where that is not known.
pub const fn roughly(is_approximate: bool) -> &'static str {
    if is_approximate { "≈" } else { "" }
}

/// The 95 % interval of a percentile, e.g. `12.1…13.4`; a side that the sample cannot bound is left open.
pub fn interval(value: &PercentileValue, decimals: usize) -> String {
    let end = |value| fixed(value, decimals);
    match (value.low, value.high) {
        (Some(low), Some(high)) => format!("{}…{}", end(low), end(high)),
        (Some(low), None) => format!("≥ {}", end(low)),
        (None, Some(high)) => format!("≤ {}", end(high)),
        (None, None) => String::new(),
    }
}

/// The short name that tables have room for.
pub fn short_name(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Ttft => "TTFT",
        Quantity::TtftIntended => "TTFT, intended",
        Quantity::E2e => "Request latency",
        Quantity::E2eIntended => "  from intended",
        Quantity::Tpot => "TPOT",
        Quantity::Itl => "ITL",
        Quantity::Icl => "ICL",
        Quantity::StreamClose => "Stream close",
        Quantity::OutputTokens => "Output tokens",
        other => other.definition().label,
    }
}

/// The verdict in the room of a column.
pub const fn short_verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::ValidWithWarnings => "warnings",
        Verdict::Invalid => "INVALID",
    }
}

/// `1 request`, `2 requests`.
pub fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn value(low: Option<f64>, high: Option<f64>, certified: bool) -> PercentileValue {
        PercentileValue { value: 12.345, low, high, certified, certified_bound: None }
    }

    #[test]
    fn a_percentile_that_is_not_certified_is_marked() {
        assert_eq!(percentile(&value(None, None, false), 2), "~12.35");
        assert_eq!(percentile(&value(None, None, true), 1), "12.3");
    }

    #[test]
    fn an_interval_leaves_a_side_open_that_the_sample_cannot_bound() {
        assert_eq!(interval(&value(Some(12.0), None, false), 1), "≥ 12.0");
        assert_eq!(interval(&value(None, Some(13.0), false), 1), "≤ 13.0");
        assert_eq!(interval(&value(Some(12.0), Some(13.0), true), 0), "12…13");
        assert_eq!(interval(&value(None, None, false), 0), "");
    }

    #[test]
    fn a_number_has_as_many_digits_as_its_size_deserves() {
        let printed = [0.0, 0.012_345, 0.123_456, 1.234_56, 123.456, 12_345.6, -2.5].map(figure);
        assert_eq!(printed, ["0", "0.0123", "0.123", "1.23", "123.5", "12346", "-2.50"]);
    }

    #[test]
    fn what_rounds_to_zero_has_no_sign() {
        assert_eq!([-0.0, -0.000_001].map(figure), ["0", "0.0000"]);
        assert_eq!(fixed(-0.5, 1), "-0.5");
    }

    #[test]
    fn a_share_is_printed_in_percent() {
        assert_eq!(with_unit(0.985, Unit::Fraction), "98.5 %");
        assert_eq!(with_unit(12.345, Unit::Ms), "12.35 ms");
    }
}
