//! Resolution of loads: closed loops, open loops, a batch, a replay.

use super::{SettingsError, stages};
use crate::cli::typed::{ArrivalKind, Settings};
use crate::load::course::WindowKind;
use crate::load::stages::StagesOf;
use crate::load::{Arrivals, Load};
use crate::settings::DEFAULT_CONCURRENCIES;
use crate::settings::load_rules::ConcurrencyItem;

/// One load for each point of a sweep.
pub(super) fn loads(typed: &Settings) -> Result<Vec<Load>, SettingsError> {
    let batch = typed.batch.unwrap_or(false);
    if typed.requests.is_some_and(|it| it.per_slot().is_some()) && (batch || typed.rate.is_some()) {
        let needed = "a closed loop, whose slots it counts (`--concurrency`)";
        return Err(SettingsError::Needs("--requests Nx", needed));
    }
    match (&typed.concurrency, &typed.rate, batch) {
        (Some(_), Some(_), _) => {
            return Err(SettingsError::TwoLoads("`--concurrency`", "`--rate`"));
        }
        (Some(_), _, true) => return Err(SettingsError::TwoLoads("`--concurrency`", "`--batch`")),
        (_, Some(_), true) => return Err(SettingsError::TwoLoads("`--rate`", "`--batch`")),
        _ => {}
    }
    if typed.workload.replay == Some(true) {
        return replay_load(typed);
    }
    if let Some(stages) = stages::stages(typed)? {
        return match stages.of {
            StagesOf::Rate => open_loads(typed, &[stages.list.mean()]),
            StagesOf::Concurrency => Ok(vec![stages::most_slots(&stages)]),
        };
    }
    if let Some(rates) = &typed.rate {
        return open_loads(typed, rates);
    }
    refuse_terms_of_rates(typed)?;
    if batch {
        return batch_load(typed);
    }
    let enough = |slots: u32| typed.fixed_requests().is_none_or(|requests| requests >= slots);
    let Some(concurrencies) = &typed.concurrency else {
        let filled = DEFAULT_CONCURRENCIES.into_iter().filter(|slots| enough(*slots));
        return Ok(filled.map(|concurrency| Load::Closed { concurrency }).collect());
    };
    let concurrencies: Vec<u32> =
        concurrencies.iter().flat_map(ConcurrencyItem::numbers).copied().collect();
    if concurrencies.is_empty() {
        return Err(SettingsError::EmptyList("--concurrency"));
    }
    if concurrencies.contains(&0) {
        return Err(SettingsError::Zero("--concurrency", "nothing would ever be sent"));
    }
    if let (Some(requests), Some(slots)) = (
        typed.fixed_requests(),
        concurrencies.iter().copied().filter(|slots| !enough(*slots)).max(),
    ) {
        return Err(SettingsError::SlotsNotFilled { requests, slots });
    }
    Ok(concurrencies.iter().map(|concurrency| Load::Closed { concurrency: *concurrency }).collect())
}

/// A trace's own arrivals; its rate is known when it has been read.
fn replay_load(typed: &Settings) -> Result<Vec<Load>, SettingsError> {
    let why = "a trace is played as it is";
    for (name, given) in [
        ("--concurrency", typed.concurrency.is_some()),
        ("--rate", typed.rate.is_some()),
        ("--batch", typed.batch == Some(true)),
        ("--arrivals", typed.arrivals.is_some()),
        ("--burstiness", typed.burstiness.is_some()),
        ("--ramp", typed.ramp.is_some()),
        ("--window steady", typed.window == Some(WindowKind::Steady)),
    ] {
        if given {
            return Err(SettingsError::Apart(name, "`--replay`", why));
        }
    }
    let max_in_flight = typed.max_in_flight;
    Ok(vec![Load::Open { arrivals: Arrivals::Replay, rate: 1.0, max_in_flight }])
}

fn batch_load(typed: &Settings) -> Result<Vec<Load>, SettingsError> {
    if typed.ramp.is_some() {
        return Err(SettingsError::Apart("--ramp", "`--batch`", "a batch is sent all at once"));
    }
    if typed.window == Some(WindowKind::Steady) {
        let why = "a batch has no steady state";
        return Err(SettingsError::Apart("--window steady", "`--batch`", why));
    }
    if typed.duration.is_some() && typed.fixed_requests().is_none() {
        let needed = "`--requests`, which says how many a batch sends at once";
        return Err(SettingsError::Needs("--batch --duration", needed));
    }
    Ok(vec![Load::Batch])
}

fn open_loads(typed: &Settings, rates: &[f64]) -> Result<Vec<Load>, SettingsError> {
    if rates.is_empty() {
        return Err(SettingsError::EmptyList("--rate"));
    }
    let arrivals = match (typed.arrivals.unwrap_or(ArrivalKind::Poisson), typed.burstiness) {
        (ArrivalKind::Gamma, Some(burstiness)) => Arrivals::Gamma { burstiness },
        (ArrivalKind::Gamma, None) => return Err(SettingsError::GammaWithoutBurstiness),
        (_, Some(_)) => return Err(SettingsError::BurstinessWithoutGamma),
        (ArrivalKind::Constant, None) => Arrivals::Constant,
        (ArrivalKind::Poisson, None) => Arrivals::Poisson,
        (ArrivalKind::Uniform, None) => Arrivals::Uniform,
    };
    let max_in_flight = typed.max_in_flight;
    Ok(rates.iter().map(|rate| Load::Open { arrivals, rate: *rate, max_in_flight }).collect())
}

/// What only an open loop has.
pub(super) fn refuse_terms_of_rates(typed: &Settings) -> Result<(), SettingsError> {
    let given = [
        ("--arrivals", typed.arrivals.is_some()),
        ("--burstiness", typed.burstiness.is_some()),
        ("--max-in-flight", typed.max_in_flight.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(SettingsError::NeedsRate(name)),
        None => Ok(()),
    }
}
