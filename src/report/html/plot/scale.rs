//! Axis scales and ticks.

/// How values are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Equal differences take equal room.
    Linear,
    /// Equal ratios take equal room; values above 0 only.
    Log,
}

/// An axis from a value to a value, over a stretch of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    spread: Spread,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// From `low` at picture position `from` to `high` at `to`. An axis without length is given one.
    pub fn new(spread: Spread, (low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let (low, high) = match spread {
            _ if high > low => (low, high),
            Spread::Linear => (low - 0.5, low + 0.5),
            Spread::Log => (low / 2.0, low * 2.0),
        };
        Self { spread, low, high, from, to }
    }

    /// Picture position of a value, kept inside the axis.
    pub fn at(&self, value: f64) -> f64 {
        let share = match self.spread {
            Spread::Linear => (value - self.low) / (self.high - self.low),
            Spread::Log if value <= 0.0 => 0.0,
            Spread::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// What the axis shows, with how values are spread where that is not evenly.
    pub fn label(&self, shown: &str) -> String {
        match self.spread {
            Spread::Linear => shown.to_owned(),
            Spread::Log => format!("{shown}, log scale"),
        }
    }

    /// Round values inside the axis, about `wanted` of them.
    pub fn ticks(&self, wanted: usize) -> Vec<f64> {
        match self.spread {
            Spread::Linear => linear_ticks(self.low, self.high, wanted),
            Spread::Log => log_ticks(self.low, self.high, wanted),
        }
    }
}

/// The smallest linear axis from 0 that ends on a tick and holds `high`.
pub fn from_zero(high: f64, wanted: usize) -> (f64, f64) {
    if high <= 0.0 {
        return (0.0, 1.0);
    }
    let step = round_step(high / wanted.max(1) as f64);
    (0.0, (high / step).ceil() * step)
}

/// 1, 2 or 5 times a power of ten, at least `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= rough * (1.0 - 1e-9))
        .unwrap_or(power * 10.0)
}

fn linear_ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let step = round_step((high - low) / wanted.max(1) as f64);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|k| k as f64 * step).collect()
}

fn log_ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let decades = || low.log10().floor() as i32..=high.log10().ceil() as i32;
    let inside = |digits: &[f64]| -> Vec<f64> {
        decades()
            .flat_map(|power| digits.iter().map(move |digit| digit * 10_f64.powi(power)))
            .filter(|tick| *tick >= low * (1.0 - 1e-9) && *tick <= high * (1.0 + 1e-9))
            .collect()
    };
    let coarse = inside(&[1.0]);
    let fine = inside(&[1.0, 2.0, 5.0]);
    let ticks = if fine.len() > 2 * wanted { coarse } else { fine };
    // Decades beyond what there is room for are thinned evenly.
    let every = ticks.len().div_ceil(2 * wanted.max(1)).max(1);
    ticks.into_iter().step_by(every).collect()
}

/// `0`, `0.5`, `250`, `12k`, `3.4M`: as short as a tick can be.
pub fn tick_label(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = format!("{scaled:.6}");
    format!("{}{suffix}", digits.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_without_length_still_has_room_for_its_value() {
        let scale = Scale::new(Spread::Log, (8.0, 8.0), (0.0, 100.0));
        assert!((scale.at(8.0) - 50.0).abs() < 1e-9);
        let scale = Scale::new(Spread::Linear, (0.0, 0.0), (0.0, 100.0));
        assert!((scale.at(0.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn an_axis_of_ratios_says_so() {
        let label = |spread| Scale::new(spread, (1.0, 9.0), (0.0, 100.0)).label("ms");
        assert_eq!([label(Spread::Log), label(Spread::Linear)], ["ms, log scale", "ms"]);
    }

    #[test]
    fn a_value_beyond_the_axis_stays_in_the_picture() {
        let scale = Scale::new(Spread::Log, (1.0, 10.0), (0.0, 100.0));
        assert!(scale.at(0.0).abs() < 1e-9 && (scale.at(1e9) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn linear_ticks_are_round_and_inside() {
        assert_eq!(linear_ticks(0.0, 50.0, 5), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(linear_ticks(0.0, 0.9, 4), [0.0, 0.5]);
    }

    #[test]
    fn log_ticks_are_ones_twos_and_fives_or_whole_decades() {
        assert_eq!(log_ticks(3.0, 120.0, 5), [5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(log_ticks(1.0, 10_000.0, 4), [1.0, 10.0, 100.0, 1_000.0, 10_000.0]);
    }

    #[test]
    fn an_axis_from_zero_ends_on_a_tick_above_every_value() {
        assert_eq!(from_zero(43.0, 5), (0.0, 50.0));
        assert_eq!(from_zero(0.0, 5), (0.0, 1.0));
    }

    #[test]
    fn tick_labels_are_short() {
        let labels = [0.0, 0.25, 250.0, 12_000.0, 3.4e6, 2e9].map(tick_label);
        assert_eq!(labels, ["0", "0.25", "250", "12k", "3.4M", "2G"]);
    }
}
