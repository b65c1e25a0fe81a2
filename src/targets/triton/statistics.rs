//! The server's own counters over the load: requests, executions, and where their time went.

use serde::Serialize;

use crate::request::Failure;
use crate::targets::TargetError;
use crate::targets::triton::kserve::{InferStatistics, ModelStatistics, Spent};
use crate::targets::triton::metadata;
use crate::targets::triton::options::TritonOptions;

/// Reads a server's counters.
#[derive(Debug, Clone)]
pub struct StatisticsReader {
    options: TritonOptions,
}

/// A server's counters at one instant, or what they grew by between two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Statistics {
    models: Vec<ModelStatistics>,
}

impl StatisticsReader {
    pub(super) fn new(options: TritonOptions) -> Self {
        Self { options }
    }

    /// Queries the server over a connection of its own. Blocks for at most the connect timeout.
    ///
    /// # Errors
    /// With the server's message.
    pub fn read(&self) -> Result<Statistics, TargetError> {
        let unusable = |failure: Failure| TargetError::Unusable {
            name: format!("triton:{}", self.options.address),
            reason: format!("its statistics cannot be read: {}", failure.message),
        };
        metadata::query_statistics(&self.options)
            .map(|answer| Statistics { models: answer.model_stats })
            .map_err(unusable)
    }
}

impl Statistics {
    /// Counts since `before`, for models that ran; an ensemble's steps are models of their own.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |model: &ModelStatistics| {
            before
                .models
                .iter()
                .find(|known| known.name == model.name && known.version == model.version)
        };
        let models = self
            .models
            .iter()
            .map(|model| {
                earlier(model).map_or_else(|| model.clone(), |earlier| grown(model, earlier))
            })
            .filter(|model| model.inference_count > 0 || failures(model) > 0)
            .collect();
        Self { models }
    }

    /// Counters per model and version.
    pub fn models(&self) -> &[ModelStatistics] {
        &self.models
    }
}

fn failures(model: &ModelStatistics) -> u64 {
    model.inference_stats.and_then(|stats| stats.fail).map_or(0, |fail| fail.count)
}

fn grown(now: &ModelStatistics, before: &ModelStatistics) -> ModelStatistics {
    ModelStatistics {
        name: now.name.clone(),
        version: now.version.clone(),
        inference_count: now.inference_count.saturating_sub(before.inference_count),
        execution_count: now.execution_count.saturating_sub(before.execution_count),
        inference_stats: now.inference_stats.map(|stats| {
            let before = before.inference_stats.unwrap_or_default();
            InferStatistics {
                success: grown_by(stats.success, before.success),
                fail: grown_by(stats.fail, before.fail),
                queue: grown_by(stats.queue, before.queue),
                compute_input: grown_by(stats.compute_input, before.compute_input),
                compute_infer: grown_by(stats.compute_infer, before.compute_infer),
                compute_output: grown_by(stats.compute_output, before.compute_output),
            }
        }),
    }
}

fn grown_by(now: Option<Spent>, before: Option<Spent>) -> Option<Spent> {
    let before = before.unwrap_or_default();
    now.map(|now| Spent {
        count: now.count.saturating_sub(before.count),
        ns: now.ns.saturating_sub(before.ns),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str, count: u64, queue_ns: u64) -> ModelStatistics {
        ModelStatistics {
            name: name.into(),
            inference_count: count,
            execution_count: count,
            inference_stats: Some(InferStatistics {
                queue: Some(Spent { count, ns: queue_ns }),
                ..InferStatistics::default()
            }),
            ..ModelStatistics::default()
        }
    }

    #[test]
    fn only_what_grew_is_left_and_only_by_how_much() {
        let before = Statistics { models: vec![model("a", 2, 10), model("b", 1, 1)] };
        let after =
            Statistics { models: vec![model("a", 5, 70), model("b", 1, 1), model("c", 1, 3)] };
        assert_eq!(after.since(&before).models(), [model("a", 3, 60), model("c", 1, 3)]);
    }
}
