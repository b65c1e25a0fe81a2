//! Sample statistics as NumPy computes them: linear percentiles, population deviation.

/// Values of one quantity, in ascending order; never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// `None` of no values. All values must be finite.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        (!values.is_empty()).then_some(Self(values))
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// All of them together.
    pub fn sum(&self) -> f64 {
        self.0.iter().sum()
    }

    /// Arithmetic mean.
    pub fn mean(&self) -> f64 {
        self.sum() / self.0.len() as f64
    }

    /// The smallest.
    pub fn min(&self) -> f64 {
        self.0[0]
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    /// Deviation of a whole population, as of `numpy.std`.
    pub fn std(&self) -> f64 {
        let mean = self.mean();
        let squares: f64 = self.0.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / self.0.len() as f64).sqrt()
    }

    /// Between the two nearest values, as of `numpy.percentile`; `percent` from 0 to 100.
    pub fn percentile(&self, percent: f64) -> f64 {
        let place = percent / 100.0 * (self.0.len() - 1) as f64;
        let below = place.floor() as usize;
        let above = (below + 1).min(self.0.len() - 1);
        let (a, b) = (self.0[below], self.0[above]);
        a + (b - a) * (place - below as f64)
    }

    /// The value at place ⌊n · p⌋ of the sorted ones, as `trtllm-bench` takes it.
    pub fn at_floor(&self, percent: f64) -> f64 {
        let place = (self.0.len() as f64 * percent / 100.0) as usize;
        self.0[place.min(self.0.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_lies_between_its_two_neighbours_as_in_numpy() {
        let sample = Sample::of([4.0, 1.0, 3.0, 2.0]).expect("four values");
        let close = |percent: f64, value: f64| (sample.percentile(percent) - value).abs() < 1e-12;
        assert!(close(50.0, 2.5) && close(90.0, 3.7) && close(99.0, 3.97));
        assert!(close(0.0, 1.0) && close(100.0, 4.0));
        assert!((sample.std() - 1.25_f64.sqrt()).abs() < 1e-12);
        assert!((sample.at_floor(50.0) - 3.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_has_no_statistics() {
        assert_eq!(Sample::of([]), None);
    }
}
