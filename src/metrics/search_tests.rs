//! Claims about a search as a pure function of its probes.

use super::*;
use crate::load::Arrivals;

fn question(axis: Axis) -> Question {
    Question {
        axis,
        objectives: "ttft.p99<1s".parse().expect("an objective"),
        precision: 0.02,
        flood: 64,
        most_probes: 24,
    }
}

fn probe(number: usize, role: Role, next: Next, axis: Axis, meets: bool) -> Probe {
    let (load, at) = match next {
        Next::InFlight(concurrency) => {
            let at = (axis == Axis::Concurrency).then_some(f64::from(concurrency));
            (Load::Closed { concurrency }, at)
        }
        Next::PerSecond(rate) => {
            let arrivals = Arrivals::Constant;
            (Load::Open { arrivals, rate, max_in_flight: None }, Some(rate))
        }
    };
    Probe {
        number: number as u32,
        role,
        load,
        at,
        counted: 500,
        good: 500,
        counts: Vec::new(),
        meets,
        certain: true,
        throughput: None,
        seconds: 1.0,
        folder: String::new(),
        point: number as u32,
    }
}

/// Plays a search against an engine that tells, for each load, whether it meets.
fn searched(
    question: &Question,
    (sequential, flood): (f64, f64),
    mut engine: impl FnMut(f64, usize) -> bool,
) -> (Vec<Probe>, Outcome) {
    let mut probes: Vec<Probe> = Vec::new();
    loop {
        let (role, at) = match next(question, &probes) {
            Step::Done(outcome) => return (probes, outcome),
            Step::Play(role, at) => (role, at),
        };
        let value = match at {
            Next::InFlight(n) => f64::from(n),
            Next::PerSecond(rate) => rate,
        };
        let only_brackets = question.axis == Axis::Rate && matches!(at, Next::InFlight(_));
        let meets = only_brackets || engine(value, probes.len());
        let mut probe = probe(probes.len() + 1, role, at, question.axis, meets);
        probe.throughput = match role {
            Role::Sequential => Some(sequential),
            Role::Flood => Some(flood),
            _ => None,
        };
        probes.push(probe);
        assert!(probes.len() < 100, "the search ends");
    }
}

#[test]
fn the_limit_is_found_within_two_percent_in_under_twelve_probes() {
    for (sequential, flood, limit) in
        [(1.0, 8.0, 8.0), (1.0, 1.0, 1.0), (5.0, 40.0, 36.0), (4.0, 32.0, 20.0), (1.0, 12.0, 3.0)]
    {
        let question = question(Axis::Rate);
        let (probes, outcome) = searched(&question, (sequential, flood), |rate, _| rate <= limit);
        let found = outcome.limit.expect("a limit");
        assert!((found / limit - 1.0).abs() < 0.02, "{limit}: {found}");
        let (low, high) = outcome.interval;
        assert!(low.expect("low") <= limit && limit < high.expect("high"), "{outcome:?}");
        assert!(probes.len() < 12, "{limit}: {} probes", probes.len());
        assert!(outcome.converged && outcome.contradictions.is_empty(), "{outcome:?}");
    }
}

#[test]
fn the_limit_is_confirmed_with_other_requests() {
    let (probes, _) = searched(&question(Axis::Rate), (1.0, 8.0), |rate, _| rate <= 7.0);
    let last = probes.last().expect("probes");
    assert_eq!(last.role, Role::Confirm);
    assert_eq!(probes.iter().filter(|probe| probe.at == last.at).count(), 2);
}

#[test]
fn concurrencies_are_whole_and_the_exact_one_is_found() {
    for limit in [1.0, 2.0, 7.0, 33.0, 63.0, 64.0, 100.0, 700.0] {
        let question = Question { precision: 0.001, ..question(Axis::Concurrency) };
        let (probes, outcome) = searched(&question, (1.0, 8.0), |slots, _| slots <= limit);
        assert_eq!(outcome.limit, Some(limit), "{probes:?}");
        assert_eq!(outcome.interval.1, Some(limit + 1.0));
    }
}

#[test]
fn a_limit_above_the_flood_or_below_the_sequential_run_is_found_too() {
    for limit in [30.0, 0.2] {
        let (_, outcome) = searched(&question(Axis::Rate), (1.0, 8.0), |rate, _| rate <= limit);
        let found = outcome.limit.expect("a limit");
        assert!((found / limit - 1.0).abs() < 0.021, "{limit}: {found}");
    }
}

#[test]
fn a_load_that_contradicts_itself_is_told_and_the_majority_of_three_counts() {
    // The confirmation of the limit misses once.
    let mut at_limit = 0;
    let mut last_met = 0.0_f64;
    let (probes, outcome) = searched(&question(Axis::Rate), (1.0, 8.0), |rate, _| {
        if rate.to_bits() == last_met.to_bits() {
            at_limit += 1;
            return at_limit != 1;
        }
        let meets = rate <= 5.0;
        if meets {
            last_met = rate;
        }
        meets
    });
    let limit = outcome.limit.expect("a limit");
    assert_eq!(probes.iter().filter(|probe| probe.at == Some(limit)).count(), 3);
    assert!(outcome.contradictions[0].contains("met 2 times and missed once"), "{outcome:?}");
}

#[test]
fn an_order_that_does_not_hold_is_probed_again_and_told() {
    let question = question(Axis::Rate);
    let at = |number: usize, rate: f64, meets: bool| {
        probe(number, Role::Between, Next::PerSecond(rate), Axis::Rate, meets)
    };
    let mut probes = vec![
        probe(1, Role::Sequential, Next::InFlight(1), Axis::Rate, true),
        probe(2, Role::Flood, Next::InFlight(64), Axis::Rate, true),
        at(3, 4.0, false),
        at(4, 6.0, true),
    ];
    probes[0].throughput = Some(1.0);
    probes[1].throughput = Some(8.0);
    for (number, rate, meets) in [(5, 4.0, false), (6, 6.0, true), (7, 4.0, false), (8, 6.0, true)]
    {
        let Step::Play(Role::Again, Next::PerSecond(asked)) = next(&question, &probes) else {
            panic!("{:?}", next(&question, &probes));
        };
        assert_eq!(asked.to_bits(), f64::to_bits(rate));
        probes.push(at(number, rate, meets));
    }
    assert!(
        matches!(next(&question, &probes), Step::Play(Role::Between, Next::PerSecond(below)) if below < 4.0)
    );
    let told = outcome(&question, &probes);
    assert!(told.contradictions[0].contains("more load was not worse"), "{told:?}");
    assert_eq!(told.interval.1, Some(4.0));
}

#[test]
fn a_target_that_is_too_slow_alone_has_no_limit_and_too_few_probes_are_told() {
    let question = question(Axis::Concurrency);
    let (probes, outcome) = searched(&question, (1.0, 8.0), |_, _| false);
    assert_eq!((probes.len(), outcome.limit), (1, None));
    assert!(outcome.notes[0].text.contains("--slo"), "{outcome:?}");
    let few = Question { most_probes: 4, ..question };
    let (probes, outcome) = searched(&few, (1.0, 8.0), |slots, _| slots <= 13.0);
    assert_eq!(probes.len(), 4);
    let ran_out = outcome.notes.iter().any(|note| note.code == Code::OutOfProbes);
    assert!(!outcome.converged && ran_out, "{outcome:?}");
}
