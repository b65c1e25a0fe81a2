//! Scenarios: distributions of prompt and output lengths.

use std::fmt;
use std::str::FromStr;

use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::workload::seeds::below;

/// Longest prompt or output that can be asked for, in tokens; above what any model takes.
pub const MAX_TOKENS: u32 = 1 << 24;

/// Draws of a normal length before it is clamped. With a mean of at least 1 about half of all draws are accepted.
const RESAMPLES: u32 = 64;

/// Distribution of prompt and output lengths, in tokens, written as genai-bench writes traffic scenarios.
///
/// | notation | meaning |
/// |---|---|
/// | `D(in,out)` | always these lengths |
/// | `N(mean,std)/(mean,std)` | normal: input, then output |
/// | `U(min,max)/(min,max)` | uniform, both ends included: input, then output |
/// | `U(max_in,max_out)` | short for `U(1,max_in)/(1,max_out)` |
///
/// The letter may be small, spaces are ignored, and `Display` writes the long form. A normal length is rounded to
/// a whole number and drawn again until it is at least 1: nothing piles up at 1, and where the deviation is large
/// against the mean, the mean of what is drawn lies above the one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scenario {
    /// Always the same lengths.
    Deterministic {
        /// Prompt tokens.
        input: u32,
        /// Output tokens.
        output: u32,
    },
    /// Normal, truncated below 1.
    Normal {
        /// Prompt tokens.
        input: Normal,
        /// Output tokens.
        output: Normal,
    },
    /// Uniform.
    Uniform {
        /// Prompt tokens.
        input: Span,
        /// Output tokens.
        output: Span,
    },
}

/// Mean and standard deviation, in tokens, before truncation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normal {
    /// At least 1.
    pub mean: f64,
    /// At least 0.
    pub std: f64,
}

/// Smallest and largest length, in tokens, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// At least 1.
    pub min: u32,
    /// At least `min`.
    pub max: u32,
}

/// Lengths of one request, in tokens, each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Prompt tokens.
    pub input: u32,
    /// Output tokens asked for.
    pub output: u32,
}

/// A text is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "'{text}' is not a traffic scenario: {why}; write D(in,out), N(mean,std)/(mean,std) or \
     U(min,max)/(min,max), e.g. D(512,128), N(480,240)/(300,150) or U(50,100)/(200,250)"
)]
pub struct ScenarioError {
    text: String,
    why: String,
}

impl Scenario {
    /// Draws the lengths of one request: input first.
    pub fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> Lengths {
        match *self {
            Self::Deterministic { input, output } => Lengths { input, output },
            Self::Normal { input, output } => {
                Lengths { input: input.draw(rng), output: output.draw(rng) }
            }
            Self::Uniform { input, output } => {
                Lengths { input: input.draw(rng), output: output.draw(rng) }
            }
        }
    }

    /// The distribution of prompt lengths alone, as text that two scenarios share where their prompts do.
    pub fn prompt_lengths(&self) -> String {
        match self {
            Self::Deterministic { input, .. } => format!("D({input})"),
            Self::Normal { input: Normal { mean, std }, .. } => format!("N({mean},{std})"),
            Self::Uniform { input: Span { min, max }, .. } => format!("U({min},{max})"),
        }
    }

    /// The longest output, or one that a normal length is beyond once in a million draws.
    pub fn longest_likely_output(&self) -> u32 {
        match *self {
            Self::Deterministic { output, .. } => output,
            Self::Uniform { output, .. } => output.max,
            Self::Normal { output: Normal { mean, std }, .. } => {
                (mean + 5.0 * std).round().clamp(1.0, f64::from(MAX_TOKENS)) as u32
            }
        }
    }

    /// The lengths that it is about, before truncation and rounded.
    pub fn mean(&self) -> Lengths {
        let middle = |span: Span| span.min.midpoint(span.max);
        match *self {
            Self::Deterministic { input, output } => Lengths { input, output },
            Self::Normal { input, output } => {
                Lengths { input: input.mean.round() as u32, output: output.mean.round() as u32 }
            }
            Self::Uniform { input, output } => {
                Lengths { input: middle(input), output: middle(output) }
            }
        }
    }
}

impl Normal {
    fn draw(self, rng: &mut Xoshiro256PlusPlus) -> u32 {
        let range = 1.0..=f64::from(MAX_TOKENS);
        let mut draw = || {
            let z: f64 = StandardNormal.sample(rng);
            (self.mean + self.std * z).round()
        };
        let accepted = (0..RESAMPLES).map(|_| draw()).find(|length| range.contains(length));
        accepted.unwrap_or(self.mean.round()) as u32
    }
}

impl Span {
    fn draw(self, rng: &mut Xoshiro256PlusPlus) -> u32 {
        self.min + below(rng, u64::from(self.max - self.min) + 1) as u32
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deterministic { input, output } => write!(f, "D({input},{output})"),
            Self::Normal { input: i, output: o } => {
                write!(f, "N({},{})/({},{})", i.mean, i.std, o.mean, o.std)
            }
            Self::Uniform { input: i, output: o } => {
                write!(f, "U({},{})/({},{})", i.min, i.max, o.min, o.max)
            }
        }
    }
}

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        parse(text).map_err(|why| ScenarioError { text: text.to_owned(), why })
    }
}

impl TryFrom<String> for Scenario {
    type Error = ScenarioError;

    fn try_from(text: String) -> Result<Self, ScenarioError> {
        text.parse()
    }
}

impl From<Scenario> for String {
    fn from(scenario: Scenario) -> Self {
        scenario.to_string()
    }
}

fn parse(text: &str) -> Result<Scenario, String> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let letter = compact.chars().next().ok_or("it is empty")?;
    let pairs = compact[letter.len_utf8()..].split('/').map(pair).collect::<Result<Vec<_>, _>>()?;
    match (letter.to_ascii_uppercase(), pairs.as_slice()) {
        ('D', [(input, output)]) => {
            Ok(Scenario::Deterministic { input: tokens(input)?, output: tokens(output)? })
        }
        ('N', [input, output]) => {
            Ok(Scenario::Normal { input: normal(input)?, output: normal(output)? })
        }
        ('U', [input, output]) => {
            Ok(Scenario::Uniform { input: span(input)?, output: span(output)? })
        }
        ('U', [(max_in, max_out)]) => Ok(Scenario::Uniform {
            input: Span { min: 1, max: tokens(max_in)? },
            output: Span { min: 1, max: tokens(max_out)? },
        }),
        ('D', _) => Err("D takes one pair".to_owned()),
        ('N', _) => Err("N takes two pairs, input and output".to_owned()),
        ('U', _) => Err("U takes one pair or two".to_owned()),
        _ => Err(format!("there is no distribution '{letter}'")),
    }
}

fn pair(text: &str) -> Result<(&str, &str), String> {
    text.strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .and_then(|inside| inside.split_once(','))
        .ok_or_else(|| format!("'{text}' is not a pair in parentheses"))
}

fn tokens(text: &str) -> Result<u32, String> {
    let count: u32 =
        text.parse().map_err(|_| format!("'{text}' is not a whole number of tokens"))?;
    if (1..=MAX_TOKENS).contains(&count) {
        Ok(count)
    } else {
        Err(format!("{count} tokens is outside 1 to {MAX_TOKENS}"))
    }
}

fn span((min, max): &(&str, &str)) -> Result<Span, String> {
    let span = Span { min: tokens(min)?, max: tokens(max)? };
    if span.min > span.max {
        return Err(format!("the minimum {min} is above the maximum {max}"));
    }
    Ok(span)
}

fn normal((mean, std): &(&str, &str)) -> Result<Normal, String> {
    let number = |text: &str| text.parse::<f64>().map_err(|_| format!("'{text}' is not a number"));
    let normal = Normal { mean: number(mean)?, std: number(std)? };
    let most = f64::from(MAX_TOKENS);
    if !(1.0..=most).contains(&normal.mean) {
        return Err(format!("a mean of {mean} tokens is outside 1 to {MAX_TOKENS}"));
    }
    if !(0.0..=most).contains(&normal.std) {
        return Err(format!("a deviation of {std} tokens is outside 0 to {MAX_TOKENS}"));
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::workload::seeds::generator;

    fn parsed(text: &str) -> Scenario {
        text.parse().expect("a scenario")
    }

    #[test]
    fn what_is_no_scenario_is_refused_with_the_reason_and_all_three_forms() {
        for (text, why) in [
            ("", "empty"),
            ("é(1,2)", "no distribution"),
            ("X(1,2)", "no distribution"),
            ("D(1)", "pair"),
            ("D(1,2", "pair"),
            ("D(1,2)/(3,4)", "one pair"),
            ("D(0,2)", "outside 1"),
            ("D(1.5,2)", "whole number"),
            ("D(1,2,3)", "whole number"),
            ("N(480,240)", "two pairs"),
            ("N(0,240)/(300,150)", "mean"),
            ("N(480,-1)/(300,150)", "deviation"),
            ("N(NaN,1)/(300,150)", "mean"),
            ("N(480,inf)/(300,150)", "deviation"),
            ("U(100,50)/(1,2)", "above the maximum"),
            ("U(1,99999999)", "outside 1"),
        ] {
            let said = text.parse::<Scenario>().expect_err(text).to_string();
            assert!(said.contains(why), "{said}");
            for form in ["D(in,out)", "N(mean,std)/(mean,std)", "U(min,max)/(min,max)"] {
                assert!(said.contains(form), "{said}");
            }
        }
    }

    #[test]
    fn small_letters_spaces_and_the_short_form_are_understood() {
        assert_eq!(parsed(" d( 512 , 128 ) "), Scenario::Deterministic { input: 512, output: 128 });
        assert_eq!(parsed("n(480,240) / (300,150)"), parsed("N(480,240)/(300,150)"));
        assert_eq!(parsed("U(100,200)").to_string(), "U(1,100)/(1,200)");
    }

    #[test]
    fn normal_lengths_have_the_mean_and_deviation_that_were_asked_for() {
        let mut rng = generator(3);
        let scenario = parsed("N(1000,100)/(300,30)");
        let drawn: Vec<f64> =
            (0..20_000).map(|_| f64::from(scenario.draw(&mut rng).input)).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!((mean - 1000.0).abs() < 3.5, "mean {mean}");
        assert!((variance.sqrt() - 100.0).abs() < 3.0, "deviation {}", variance.sqrt());
    }

    #[test]
    fn a_wide_normal_does_not_pile_up_at_one() {
        let mut rng = generator(3);
        let scenario = parsed("N(50,100)/(1,0)");
        let ones = (0..10_000).filter(|_| scenario.draw(&mut rng).input == 1).count();
        // A clamp would put about 31 % of all lengths at 1; a truncated density leaves about 0.5 %.
        assert!(ones < 200, "{ones}");
    }

    #[test]
    fn uniform_lengths_reach_both_ends_evenly() {
        let mut rng = generator(3);
        let scenario = parsed("U(50,59)/(7,7)");
        let mut counts = [0_u32; 10];
        for _ in 0..10_000 {
            let Lengths { input, output } = scenario.draw(&mut rng);
            counts[input as usize - 50] += 1;
            assert_eq!(output, 7);
        }
        let chi_square: f64 =
            counts.iter().map(|n| (f64::from(*n) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi_square < 27.9, "9 degrees of freedom, p 0.001: {chi_square}");
    }

    fn any_scenario() -> impl Strategy<Value = Scenario> {
        let length = 1..=MAX_TOKENS;
        let span = (length.clone(), length.clone())
            .prop_map(|(a, b)| Span { min: a.min(b), max: a.max(b) });
        let normal = (1.0..1e6_f64, 0.0..1e7_f64).prop_map(|(mean, std)| Normal { mean, std });
        prop_oneof![
            (length.clone(), length)
                .prop_map(|(input, output)| Scenario::Deterministic { input, output }),
            (normal.clone(), normal).prop_map(|(input, output)| Scenario::Normal { input, output }),
            (span.clone(), span).prop_map(|(input, output)| Scenario::Uniform { input, output }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same(scenario in any_scenario()) {
            prop_assert_eq!(parsed(&scenario.to_string()), scenario);
        }

        #[test]
        fn every_length_is_at_least_one_and_never_absurd(scenario in any_scenario(), seed: u64) {
            let Lengths { input, output } = scenario.draw(&mut generator(seed));
            prop_assert!((1..=MAX_TOKENS).contains(&input) && (1..=MAX_TOKENS).contains(&output));
        }

        #[test]
        fn whatever_is_accepted_is_written_back_as_something_accepted(text in "[dnuDNU(),/0-9. ]{0,24}") {
            if let Ok(scenario) = text.parse::<Scenario>() {
                prop_assert_eq!(parsed(&scenario.to_string()), scenario);
            }
        }
    }
}
