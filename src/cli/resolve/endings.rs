//! Resolution of what ends a run or its warm-up: windows that agree, a rate that is too high, a time.

use super::SettingsError;
use crate::cli::typed::Settings;
use crate::clock::Nanos;
use crate::settings::warm_up_end::WarmUpEnd;
use crate::settings::window_rule::WindowRule;

/// As perf_analyzer has it.
const DEFAULT_PERCENT: f64 = 10.0;

/// Windows that end a run, where any were asked for.
pub(super) fn windows(typed: &Settings) -> Result<Option<WindowRule>, SettingsError> {
    let percent = typed.stability_percentage;
    let Some(interval) = typed.measurement_interval.map(|span| span.0) else {
        return match percent {
            Some(_) => {
                Err(SettingsError::Needs("--stability-percentage", "`--measurement-interval`"))
            }
            None => Ok(None),
        };
    };
    if interval == Nanos::ZERO {
        return Err(SettingsError::Zero("--measurement-interval", "give for example `5s`"));
    }
    let percent = percent.unwrap_or(DEFAULT_PERCENT);
    if !(percent > 0.0 && percent.is_finite()) {
        let (given, range) = (percent.to_string(), "a number of percent above 0");
        return Err(SettingsError::Range { flag: "--stability-percentage", given, range });
    }
    let why = "windows are those of a load that stays the same";
    for (name, given) in [
        ("--batch", typed.batch == Some(true)),
        ("--replay", typed.workload.replay == Some(true)),
        ("--stages", typed.stages.is_some()),
    ] {
        if given {
            return Err(SettingsError::Apart(name, "`--measurement-interval`", why));
        }
    }
    Ok(Some(WindowRule { interval, percent }))
}

/// Whether a rate that is too high ends its run.
pub(super) fn stop_when_saturated(typed: &Settings) -> Result<bool, SettingsError> {
    let asked = typed.stop_when_saturated.unwrap_or(false);
    if asked && typed.rate.is_none() {
        let needed = "an open loop at a rate (`--rate`)";
        return Err(SettingsError::Needs("--stop-when-saturated", needed));
    }
    Ok(asked)
}

/// The end of a warm-up that has no number of requests.
pub(super) fn warmup_until(typed: &Settings) -> Result<Option<WarmUpEnd>, SettingsError> {
    if typed.warmup.is_some() && typed.warmup_until.is_some() {
        let why = "both say when a warm-up ends";
        return Err(SettingsError::Apart("--warmup", "`--warmup-until`", why));
    }
    Ok(typed.warmup_until)
}
