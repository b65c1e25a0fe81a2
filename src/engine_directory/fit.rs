//! Memory checks: weights against GPU memory, planned load against KV-cache capacity.

use crate::engine_directory::EngineDirectory;
use crate::engine_directory::check::{EngineProblem, PlannedUse, refuse, warn};
use crate::engine_directory::memory::{DEFAULT_KV_FRACTION, KvBound, KvCapacity, KvEstimate};
use crate::settings::engine::CapacityPolicy;

impl EngineDirectory {
    /// Weights alone.
    pub(super) fn weights_fit(&self, planned: &PlannedUse<'_>) -> Option<EngineProblem> {
        let (memory, weights) = (planned.memory?, self.weight_bytes(planned.settings)?);
        let of = if self.files.ranks.len() == 1 {
            "the engine's weights take"
        } else {
            "the weights of its largest rank take"
        };
        if weights > memory.total_bytes {
            return Some(refuse(
                "memory",
                format!("{of} {} and a GPU here has {}", gib(weights), gib(memory.total_bytes)),
                "build with quantised weights (`--qformat fp8`), for more GPUs with `--tp_size`, or keep a part on the host \
                 with `--weights-percent`",
            ));
        }
        (weights > memory.free_bytes).then(|| {
            refuse(
                "memory",
                format!(
                    "{of} {} and of a GPU's {} here only {} are free",
                    gib(weights),
                    gib(memory.total_bytes),
                    gib(memory.free_bytes)
                ),
                "stop what holds the memory (`nvidia-smi` lists it), or name another GPU in `CUDA_VISIBLE_DEVICES`",
            )
        })
    }

    /// What the KV cache holds, if the weights fit: without them there is none, and they are told of alone.
    fn room(&self, planned: &PlannedUse<'_>) -> Option<KvCapacity> {
        let fits = self.weights_fit(planned).is_none();
        fits.then(|| self.kv_capacity(planned.settings, planned.memory)).flatten()
    }

    /// What the KV cache holds at most, and what the largest of the loads takes of it; `None` where either is not known.
    pub fn kv_estimate(&self, planned: &PlannedUse<'_>) -> Option<KvEstimate> {
        let need = |plan| self.kv_demand(planned.settings, plan, planned.common_prefix);
        let most = planned.plans.iter().filter_map(need).max_by_key(|need| need.tokens)?;
        Some(KvEstimate { room: self.room(planned)?, need: most })
    }

    /// A request that the KV cache never holds: the executor would shorten its longest sequence without a word.
    pub(super) fn longest_request_fits(&self, planned: &PlannedUse<'_>) -> Option<EngineProblem> {
        let room = self.room(planned)?;
        let shots = planned.plans.iter().flat_map(|plan| plan.shots().facts());
        let taken = shots.map(|shot| {
            self.kv_of_request(planned.settings, shot.prompt_tokens, shot.output_tokens)
        });
        let longest = taken.max()??;
        (longest > room.tokens).then(|| {
            refuse(
                "kv_cache",
                format!(
                    "the longest request here takes {longest} tokens of KV cache and {}",
                    held(&room)
                ),
                format!("shorten prompts or outputs, or {}", larger(planned, &room)),
            )
        })
    }

    /// All requests that are in flight together.
    pub(super) fn load_fits(&self, planned: &PlannedUse<'_>) -> Option<EngineProblem> {
        let KvEstimate { room, need: most } = self.kv_estimate(planned)?;
        if most.tokens <= room.tokens {
            return None;
        }
        let follows = match planned.settings.capacity_policy {
            CapacityPolicy::GuaranteedNoEvict => {
                "so that requests wait for room and TTFT counts it"
            }
            CapacityPolicy::MaxUtilization => "so that requests are paused and computed again",
        };
        let fit = u64::from(most.in_flight) * room.tokens / most.tokens;
        let sentence = format!(
            "{} requests in flight take up to {} tokens of KV cache and {}, {follows}",
            most.in_flight,
            most.tokens,
            held(&room)
        );
        let remedy =
            format!("measure up to about {fit} requests at once, or {}", larger(planned, &room));
        Some(warn("kv_cache", sentence, remedy))
    }
}

fn held(room: &KvCapacity) -> String {
    match room.bound {
        KvBound::Setting => format!("`--kv-tokens` lets it hold {}", room.tokens),
        KvBound::Memory { bytes_per_token, .. } => format!(
            "it holds {} at most in what the weights leave free (at {:.1} KiB each)",
            room.tokens,
            bytes_per_token / 1_024.0
        ),
    }
}

/// What makes the cache larger.
fn larger(planned: &PlannedUse<'_>, room: &KvCapacity) -> String {
    match room.bound {
        KvBound::Setting => "raise `--kv-tokens`".to_owned(),
        KvBound::Memory { .. } => format!(
            "raise `--kv-fraction` (now {}), or build with a cache in 8 bits (`--kv_cache_dtype fp8`) or for more GPUs",
            planned.settings.kv_fraction.unwrap_or(DEFAULT_KV_FRACTION)
        ),
    }
}

/// As `139.8 GiB`.
pub(crate) fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)
}
