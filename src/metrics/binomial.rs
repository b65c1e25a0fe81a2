//! Binomial tail probabilities: the basis of every order-statistic confidence interval.

/// Continued-fraction steps before giving up; n = 10⁸ needs about 10⁴.
const MAX_STEPS: u32 = 200_000;
/// Halvings until a rank is known to a millionth of the sample.
const HALVINGS: u32 = 30;

/// P(X ≤ `k`) for X ~ Binomial(`n`, `p`), with 0 < `p` < 1.
pub fn cdf(k: u64, n: u64, p: f64) -> f64 {
    if k >= n { 1.0 } else { regularised_beta((n - k) as f64, k as f64 + 1.0, 1.0 - p) }
}

/// The largest k with P(X ≤ k) ≤ `alpha` for X ~ Binomial(`n`, `p`); `None` where even k = 0 is too likely.
pub fn largest_within_tail(n: u64, p: f64, alpha: f64) -> Option<u64> {
    if n == 0 || cdf(0, n, p) > alpha {
        return None;
    }
    // cdf(within) ≤ alpha < cdf(beyond) holds throughout, since cdf(n) = 1.
    let (mut within, mut beyond) = (0, n);
    while beyond - within > 1 {
        let middle = within + (beyond - within) / 2;
        if cdf(middle, n, p) <= alpha {
            within = middle;
        } else {
            beyond = middle;
        }
    }
    Some(within)
}

/// The same between whole numbers: the k with P(X ≤ k) = `alpha`, where the tail is continued as a beta distribution;
/// `None` where even k = 0 is too likely.
pub fn within_tail(n: f64, p: f64, alpha: f64) -> Option<f64> {
    let tail = |k: f64| regularised_beta(n - k, k + 1.0, 1.0 - p);
    if n <= 0.0 || tail(0.0) > alpha {
        return None;
    }
    let (mut within, mut beyond) = (0.0, n);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (within + beyond);
        if tail(middle) <= alpha { within = middle } else { beyond = middle }
    }
    Some(within)
}

/// P(T > `t`) for Student's t with `freedom` > 0 degrees of freedom.
pub fn student_upper_tail(t: f64, freedom: f64) -> f64 {
    let half = 0.5 * regularised_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t));
    if t >= 0.0 { half } else { 1.0 - half }
}

/// The t with P(T > t) = `tail`, 0 < `tail` < 0.5.
pub fn student_quantile(tail: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while student_upper_tail(high, freedom) > tail {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if student_upper_tail(middle, freedom) > tail { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// P(Z > `z`) for a standard normal Z.
pub fn normal_upper_tail(z: f64) -> f64 {
    0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
}

/// The regularised incomplete beta function Iₓ(a, b), 0 ≤ x ≤ 1 and a, b > 0 (Abramowitz & Stegun 26.5.8).
fn regularised_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front =
        (libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * x.ln() + b * (-x).ln_1p())
            .exp();
    // The fraction converges quickly on this side of the mean only; the other side is the complement.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    }
}

/// The continued fraction of Iₓ(a, b), evaluated from the front (Lentz's method).
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let away_from_zero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut numerator = 1.0;
    let mut denominator = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut value = denominator;
    for step in (1..MAX_STEPS).map(f64::from) {
        let at = a + 2.0 * step;
        let even = step * (b - step) * x / ((at - 1.0) * at);
        let odd = -(a + step) * (a + b + step) * x / (at * (at + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            denominator = 1.0 / away_from_zero(1.0 + term * denominator);
            numerator = away_from_zero(1.0 + term / numerator);
            change = numerator * denominator;
            value *= change;
        }
        if (change - 1.0).abs() < 1e-14 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summed_cdf(k: u64, n: u64, p: f64) -> f64 {
        let mut term = (1.0 - p).powi(n as i32);
        let mut sum = term;
        for i in 0..k {
            term *= (n - i) as f64 / (i + 1) as f64 * p / (1.0 - p);
            sum += term;
        }
        sum
    }

    #[test]
    fn the_tail_equals_the_sum_of_its_terms() {
        for n in [1, 2, 7, 50, 120] {
            for p in [0.001, 0.01, 0.25, 0.5, 0.9, 0.99] {
                for k in 0..n {
                    let (got, wanted) = (cdf(k, n, p), summed_cdf(k, n, p));
                    assert!((got - wanted).abs() < 1e-11, "n {n} p {p} k {k}: {got} {wanted}");
                }
            }
        }
    }

    #[test]
    fn the_tail_never_falls_even_for_ten_million_samples() {
        let n = 10_000_000;
        let around = 9_000..11_000;
        let values: Vec<f64> = around.step_by(50).map(|k| cdf(k, n, 0.001)).collect();
        assert!(values.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!((cdf(10_000, n, 0.001) - 0.502_66).abs() < 1e-4);
    }

    #[test]
    fn the_largest_k_within_a_tail_is_the_last_one() {
        for n in [5, 64, 1_000, 10_000] {
            for p in [0.01, 0.1, 0.5, 0.95] {
                match largest_within_tail(n, p, 0.025) {
                    Some(k) => {
                        assert!(cdf(k, n, p) <= 0.025);
                        assert!(cdf(k + 1, n, p) > 0.025);
                    }
                    None => assert!(cdf(0, n, p) > 0.025),
                }
            }
        }
    }

    #[test]
    fn student_and_normal_tails_match_printed_tables() {
        assert!((student_quantile(0.025, 4.0) - 2.776_445).abs() < 1e-5);
        assert!((student_quantile(0.01, 30.0) - 2.457_262).abs() < 1e-5);
        assert!((student_upper_tail(0.0, 3.0) - 0.5).abs() < 1e-12);
        assert!((student_upper_tail(-2.776_445, 4.0) - 0.975).abs() < 1e-6);
        assert!((normal_upper_tail(1.959_964) - 0.025).abs() < 1e-7);
    }
}
