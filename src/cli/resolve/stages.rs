//! Resolution of a load in stages.

use super::{SettingsError, loads};
use crate::cli::typed::Settings;
use crate::load::Load;
use crate::load::course::WindowKind;
use crate::load::stages::{LoadStage, Stages, StagesOf};
use crate::settings::Resolved;
use crate::settings::stages_text::StagesText;

/// The stages, where any were given.
pub(super) fn stages(typed: &Settings) -> Result<Option<Stages>, SettingsError> {
    let Some(StagesText(list)) = typed.stages else {
        return match typed.stages_of {
            Some(_) => Err(SettingsError::Needs("--stages-of", "`--stages`")),
            None => Ok(None),
        };
    };
    let why = "stages say how much is sent, when and for how long";
    for (name, given) in [
        ("--concurrency", typed.concurrency.is_some()),
        ("--rate", typed.rate.is_some()),
        ("--batch", typed.batch == Some(true)),
        ("--replay", typed.workload.replay == Some(true)),
        ("--requests", typed.requests.is_some()),
        ("--duration", typed.duration.is_some()),
        ("--ramp", typed.ramp.is_some()),
        ("--spawn-rate", typed.spawn_rate.is_some()),
        ("--window steady", typed.window == Some(WindowKind::Steady)),
    ] {
        if given {
            return Err(SettingsError::Apart(name, "`--stages`", why));
        }
    }
    let of = typed.stages_of.unwrap_or_default();
    if of == StagesOf::Concurrency {
        loads::refuse_terms_of_rates(typed)?;
        if let Some(part) = list.iter().map(LoadStage::level).find(|level| level.fract() != 0.0) {
            let range = "whole numbers of slots with `--stages-of concurrency`";
            return Err(SettingsError::Range { flag: "--stages", given: part.to_string(), range });
        }
    }
    Ok(Some(Stages { of, list }))
}

/// The closed loop that has as many slots as the highest stage.
pub(super) fn most_slots(stages: &Stages) -> Load {
    Load::Closed { concurrency: stages.list.highest() as u32 }
}

impl Resolved {
    /// Stages as they would have to be typed, in the place of a load and its size.
    pub(super) fn write_stages(&self, settings: &mut Settings, stages: &Stages) {
        if stages.of == StagesOf::Rate {
            self.write_loads(settings);
            settings.rate = None;
        }
        settings.stages = Some(StagesText(stages.list));
        settings.stages_of = Some(stages.of);
        (settings.requests, settings.duration, settings.window) = (None, None, None);
    }
}
