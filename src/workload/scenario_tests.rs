//! Tests of scenarios.

use proptest::prelude::*;

use super::*;
use crate::workload::seeds::generator;

fn parsed(text: &str) -> Scenario {
    text.parse().expect("a scenario")
}

#[test]
fn what_is_no_scenario_is_refused_with_the_reason_and_all_forms() {
    for (text, why) in [
        ("", "empty"),
        ("é(1,2)", "no distribution"),
        ("X(1,2)", "no distribution"),
        ("D(1)", "pair"),
        ("D(1,2", "parentheses"),
        ("D(1,2)/(3,4)", "one pair"),
        ("D(0,2)", "outside 1"),
        ("D(1.5,2)", "whole number"),
        ("D(1,2,3)", "one pair"),
        ("E(1,2)", "one number"),
        ("R(4)", "one pair"),
        ("I(0,4)", "pixels"),
        ("I(4,4,99)", "number of images"),
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
    let drawn: Vec<f64> = (0..20_000).map(|_| f64::from(scenario.draw(&mut rng).input)).collect();
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
    let chi_square: f64 = counts.iter().map(|n| (f64::from(*n) - 1000.0).powi(2) / 1000.0).sum();
    assert!(chi_square < 27.9, "9 degrees of freedom, p 0.001: {chi_square}");
}

fn any_scenario() -> impl Strategy<Value = Scenario> {
    let length = 1..=MAX_TOKENS;
    let span =
        (length.clone(), length.clone()).prop_map(|(a, b)| Span { min: a.min(b), max: a.max(b) });
    let normal = (1.0..1e6_f64, 0.0..1e7_f64).prop_map(|(mean, std)| Normal { mean, std });
    prop_oneof![
        (length.clone(), length)
            .prop_map(|(input, output)| Scenario::Deterministic { input, output }),
        (normal.clone(), normal).prop_map(|(input, output)| Scenario::Normal { input, output }),
        (span.clone(), span).prop_map(|(input, output)| Scenario::Uniform { input, output }),
        (1..=MAX_TOKENS).prop_map(|tokens| Scenario::Embedding { tokens }),
        (1..=MAX_TOKENS, 1..=MAX_TOKENS)
            .prop_map(|(document, query)| Scenario::Rerank { document, query }),
        (1..=LONGEST_SIDE, 1..=LONGEST_SIDE, 1..=MOST_IMAGES, 1..=MAX_TOKENS).prop_map(
            |(width, height, count, input)| {
                let made = MadeImages { width, height, count };
                Scenario::Images { made, input, output: 7 }
            }
        ),
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
        let has_output = matches!(scenario.task(), Task::Text | Task::ImageText);
        prop_assert!((1..=MAX_TOKENS).contains(&input));
        prop_assert!((u32::from(has_output)..=MAX_TOKENS).contains(&output));
    }

    #[test]
    fn whatever_is_accepted_is_written_back_as_something_accepted(text in "[dnulerDNULERIi(),/0-9. ]{0,24}") {
        if let Ok(scenario) = text.parse::<Scenario>() {
            prop_assert_eq!(parsed(&scenario.to_string()), scenario);
        }
    }
}
