//! Roofline lower bound of a step: memory time or compute time, whichever is longer.

use serde::{Deserialize, Serialize};

use crate::specs::figures::{ModelFigures, RooflineFacts};

/// What holds a step back at best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Memory bandwidth.
    Memory,
    /// Arithmetic.
    Compute,
}

impl Bound {
    /// As printed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Compute => "compute",
        }
    }
}

/// The two sides of a roofline, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// Bytes ÷ bandwidth.
    pub memory_ms: f64,
    /// Operations ÷ peak; `None` where no peak is known.
    pub compute_ms: Option<f64>,
}

impl Floor {
    /// The longer side.
    pub fn ms(&self) -> f64 {
        self.compute_ms.map_or(self.memory_ms, |compute| compute.max(self.memory_ms))
    }

    /// Which side that is.
    pub fn bound(&self) -> Bound {
        match self.compute_ms {
            Some(compute) if compute > self.memory_ms => Bound::Compute,
            _ => Bound::Memory,
        }
    }
}

/// One decoding step of `batch` sequences that look at `context` tokens each.
///
/// Memory: all weights once, and the keys and values of every sequence. Stages of a pipeline read their weights one after
/// another, for a share of the batch at a time. Arithmetic: two operations per active weight and token, and four per pair
/// that attention multiplies (scores, and values by scores).
pub fn decode(facts: &RooflineFacts, batch: f64, context: f64) -> Floor {
    let model = &facts.model;
    let machines = f64::from(facts.machines());
    let bandwidth = facts.machine.bandwidth_bytes_per_s;
    let weights = weight_bytes(model, batch) / f64::from(facts.tensor_parallel);
    let cache = batch * context * model.kv_bytes_per_token / machines;
    let operations = batch * decode_operations(model, context) / machines;
    Floor {
        memory_ms: (weights + cache) / bandwidth * 1e3,
        compute_ms: compute_ms(facts, operations),
    }
}

/// The prefill of one prompt of so many tokens, alone on all machines.
pub fn prefill(facts: &RooflineFacts, prompt: f64) -> Floor {
    let machines = f64::from(facts.machines());
    let bytes = weight_bytes(&facts.model, prompt) / machines;
    let operations = prefill_operations(&facts.model, prompt) / machines;
    Floor {
        memory_ms: bytes / facts.machine.bandwidth_bytes_per_s * 1e3,
        compute_ms: compute_ms(facts, operations),
    }
}

/// Operations that one decoded token takes.
pub fn decode_operations(model: &ModelFigures, context: f64) -> f64 {
    2.0 * model.active_parameters + 4.0 * model.attention_width * context
}

/// Operations that one prompt takes: each token looks at half of the prompt on average.
pub fn prefill_operations(model: &ModelFigures, prompt: f64) -> f64 {
    2.0 * model.active_parameters * prompt + 2.0 * model.attention_width * prompt * prompt
}

fn compute_ms(facts: &RooflineFacts, operations: f64) -> Option<f64> {
    let peak = facts.machine.peak.of(facts.model.arithmetic)?;
    Some(operations / peak * 1e3)
}

/// Bytes of weights that a step of so many tokens reads. Of `count` experts, `tokens` tokens that each choose `chosen`
/// evenly and independently use `count × (1 − (1 − chosen ÷ count)^tokens)` different ones.
fn weight_bytes(model: &ModelFigures, tokens: f64) -> f64 {
    let experts = model.experts.map_or(0.0, |experts| {
        let unused = (1.0 - experts.chosen / experts.count).powf(tokens);
        experts.count * (1.0 - unused) * experts.bytes_each
    });
    model.weight_bytes + experts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "the figures are chosen so that results are exact")]

    use super::*;
    use crate::specs::figures::{Arithmetic, ExpertFigures, MachineFigures, PeakFlops};

    /// 8 GB of weights on a machine of 1 TB/s and 1 PFLOP/s.
    fn facts() -> RooflineFacts {
        RooflineFacts {
            model: ModelFigures {
                parameters: 8e9,
                active_parameters: 8e9,
                weight_bytes: 8e9,
                experts: None,
                kv_bytes_per_token: 1e5,
                attention_width: 1e5,
                arithmetic: Arithmetic::Float8,
            },
            machine: MachineFigures {
                name: "paper".into(),
                bandwidth_bytes_per_s: 1e12,
                peak: PeakFlops::only(Arithmetic::Float8, 1e15),
                source: "a sheet of paper".into(),
            },
            machine_from: None,
            measured: None,
            tensor_parallel: 1,
            pipeline_parallel: 1,
        }
    }

    #[test]
    fn one_sequence_reads_all_weights_and_its_own_cache() {
        let floor = decode(&facts(), 1.0, 1_000.0);
        assert_eq!(floor.memory_ms, 8.1);
        assert!((floor.compute_ms.unwrap() - 0.0164).abs() < 1e-12);
        assert_eq!((floor.ms(), floor.bound()), (8.1, Bound::Memory));
    }

    #[test]
    fn a_large_batch_is_bound_by_arithmetic() {
        let floor = decode(&facts(), 1_000.0, 10.0);
        assert_eq!(floor.memory_ms, 9.0);
        assert_eq!(floor.compute_ms, Some(16.004));
        assert_eq!((floor.ms(), floor.bound()), (16.004, Bound::Compute));
    }

    #[test]
    fn a_prompt_looks_at_half_of_itself() {
        let floor = prefill(&facts(), 1_000.0);
        assert_eq!(floor.memory_ms, 8.0);
        assert_eq!(floor.compute_ms, Some(16.2));
        assert_eq!(prefill(&facts(), 10.0).bound(), Bound::Memory);
    }

    #[test]
    fn layers_that_are_shared_are_read_side_by_side_and_stages_one_after_another() {
        let with = |tensor_parallel, pipeline_parallel| RooflineFacts {
            tensor_parallel,
            pipeline_parallel,
            ..facts()
        };
        assert_eq!(decode(&with(2, 1), 1.0, 0.0).memory_ms, 4.0);
        assert_eq!(decode(&with(1, 2), 1.0, 0.0).memory_ms, 8.0);
        // The cache of the batch: half of it on each machine, either way.
        assert_eq!(decode(&with(1, 2), 10.0, 1_000.0).memory_ms, 8.5);
        assert_eq!(decode(&with(2, 2), 1_000.0, 10.0).compute_ms, Some(4.001));
        assert_eq!(with(2, 2).machine_description(), "4 × paper");
    }

    #[test]
    fn a_step_of_a_mixture_reads_the_experts_that_somebody_chose() {
        let mut mixture = facts();
        let experts = ExpertFigures { count: 8.0, chosen: 2.0, bytes_each: 1e9 };
        mixture.model.experts = Some(experts);
        let read = |tokens: f64| decode(&mixture, tokens, 0.0).memory_ms - 8.0;
        assert_eq!((read(1.0), read(2.0)), (2.0, 3.5));
        assert!((read(1_000.0) - 8.0).abs() < 1e-9);
    }

    #[test]
    fn without_a_peak_the_memory_is_the_floor() {
        let mut host = facts();
        host.machine = MachineFigures::host(40.0);
        let floor = decode(&host, 1_000.0, 0.0);
        assert_eq!((floor.memory_ms, floor.compute_ms), (200.0, None));
        assert_eq!(floor.bound(), Bound::Memory);
    }
}
