//! Tests of plans: they hold what was asked for, and impossible ones are refused before anything is drawn.

mod drawn;
mod hashes;
mod refusals;

use std::sync::Arc;

use super::*;
use crate::load::Arrivals;
use crate::load::course::{Ramp, Tail};
use crate::request::Limits;
use crate::tokenizer::tokenize::{Tokenize, TokenizeError};
use crate::workload::prompts::{PromptError, PromptSource};
use crate::workload::vocabulary::Vocabulary;
use crate::workload::{PromptKind, Workload};

const CLOSED: Load = Load::Closed { concurrency: 4 };
const POISSON: Load = Load::Open { arrivals: Arrivals::Poisson, rate: 10.0, max_in_flight: None };
const FIRST: PlanStart = PlanStart { point: 0, first_id: RequestId(0) };

fn workload(scenario: &str) -> Workload {
    Workload::synthetic(scenario.parse().expect("a scenario"), 42)
}

fn requests(requests: u32) -> PlanSize {
    PlanSize { requests: Some(requests), duration: None, warmup: 0, ..PlanSize::default() }
}

fn source() -> PromptSource {
    PromptSource::ids(Vocabulary::new(1000, [0, 1, 2]).expect("997 ids are left"))
}

#[allow(clippy::large_types_passed_by_value, reason = "as the claims read")]
fn draw(workload: &Workload, load: Load, size: PlanSize) -> Result<Plan, PlanError> {
    Plan::draw(workload, &load, size, FIRST, &source())
}

#[allow(clippy::large_types_passed_by_value, reason = "as the claims read")]
fn drawn(workload: &Workload, load: Load, size: PlanSize) -> Plan {
    draw(workload, load, size).expect("it makes sense")
}

fn all(list: &ShotList) -> Vec<Shot> {
    list.shots().collect::<Result<_, _>>().expect("ids can always be drawn")
}
