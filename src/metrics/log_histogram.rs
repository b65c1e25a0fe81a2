//! Log-linear histogram of weighted values, for samples beyond the budget of exact ones.
//!
//! A bucket holds the values that share sign, exponent and the first 10 bits of the mantissa of an IEEE 754 double, and is
//! read off at its middle: the relative error of a value is at most 2⁻¹¹, which is 0.05 %.

/// Buckets of one power of two.
const BUCKETS: usize = 1 << 10;
/// Bits of a double below the bucket's.
const DROPPED_BITS: u32 = 52 - 10;
/// Sign and exponent.
const PAGES: usize = 1 << 12;

/// Weights by value.
#[derive(Debug, Clone)]
pub struct LogHistogram {
    /// One page for each sign and exponent that occurred, in the order of values.
    pages: Vec<Option<Box<[f64; BUCKETS]>>>,
    total: f64,
}

impl Default for LogHistogram {
    fn default() -> Self {
        Self { pages: vec![None; PAGES], total: 0.0 }
    }
}

/// A number whose order is that of the doubles.
fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// The double of such a number.
fn value_of(ordered: u64) -> f64 {
    f64::from_bits(if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered })
}

impl LogHistogram {
    /// The largest relative error of a value that is read off.
    pub const RELATIVE_ERROR: f64 = 0.000_5;

    /// Adds a value, which must be finite.
    pub fn add(&mut self, value: f64, weight: f64) {
        let key = ordered(value) >> DROPPED_BITS;
        let page = &mut self.pages[(key as usize) / BUCKETS];
        let page = page.get_or_insert_with(|| Box::new([0.0; BUCKETS]));
        page[key as usize % BUCKETS] += weight;
        self.total += weight;
    }

    /// All weight.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// Each bucket that holds anything: its middle and its weight, in ascending order.
    fn buckets(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let pages = self.pages.iter().enumerate();
        pages.filter_map(|(place, page)| Some((place, page.as_ref()?))).flat_map(|(place, page)| {
            let first = (place * BUCKETS) as u64;
            page.iter().enumerate().filter(|(_, weight)| **weight > 0.0).map(move |(at, weight)| {
                let low = (first + at as u64) << DROPPED_BITS;
                (value_of(low | 1 << (DROPPED_BITS - 1)), *weight)
            })
        })
    }

    /// The smallest value up to which so much weight lies.
    pub fn at_weight(&self, weight: f64) -> Option<f64> {
        let mut up_to = 0.0;
        let mut last = None;
        for (value, own) in self.buckets() {
            up_to += own;
            last = Some(value);
            // Weights that are no integers add up with rounding.
            if up_to >= weight * (1.0 - 1e-12) {
                break;
            }
        }
        last
    }

    /// Weight of values below `value` and of values up to it, each read off as one between `min` and `max`.
    pub fn weight_around(&self, value: f64, min: f64, max: f64) -> (f64, f64) {
        let (mut below, mut up_to) = (0.0, 0.0);
        for (middle, weight) in self.buckets() {
            let read = middle.clamp(min, max);
            below += if read < value { weight } else { 0.0 };
            up_to += if read <= value { weight } else { 0.0 };
        }
        (below, up_to)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "whole weights are exact")]

    use super::*;

    #[test]
    fn a_value_that_is_read_off_is_within_the_stated_error() {
        let mut histogram = LogHistogram::default();
        let mut values: Vec<f64> =
            (1..40_000).map(|i| 0.0003 * (1.0 + f64::from(i) / 3_000.0).powi(5)).collect();
        values.extend([-5.0, -0.25, 0.0]);
        for value in &values {
            histogram.add(*value, 1.0);
        }
        values.sort_by(f64::total_cmp);
        for rank in [1, 2, 3, 4, 100, 20_000, 39_999, values.len()] {
            let (exact, read) = (values[rank - 1], histogram.at_weight(rank as f64).unwrap());
            let error = (read - exact).abs();
            assert!(error <= exact.abs() * LogHistogram::RELATIVE_ERROR + 1e-300, "{exact} {read}");
        }
        assert!((histogram.total() - values.len() as f64).abs() < 1e-9);
    }

    #[test]
    fn weights_count_as_so_many_values() {
        let mut histogram = LogHistogram::default();
        histogram.add(1.0, 3.0);
        histogram.add(2.0, 1.0);
        let near =
            |weight: f64, value: f64| (histogram.at_weight(weight).unwrap() - value).abs() < 0.01;
        assert!(near(3.0, 1.0) && near(3.5, 2.0) && near(4.0, 2.0));
        assert_eq!(histogram.weight_around(1.5, 1.0, 2.0), (3.0, 3.0));
        assert_eq!(histogram.weight_around(1.0, 1.0, 1.0), (0.0, 4.0));
        assert_eq!(LogHistogram::default().at_weight(1.0), None);
    }
}
