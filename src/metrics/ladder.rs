//! Ladder: the overhead that each layer between a request and the engine adds, from rungs measured in turns.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::metrics::compare::{Block, Difference, difference, mean};
use crate::metrics::comparison::{Comparison, Measured, MeasuredBlock};
use crate::record::request_record::{EngineTimes, RequestRecord};

/// A rung: the same requests, with one more layer in the way than on the rung below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// The harness alone: a target that replies at once.
    #[serde(rename = "L0")]
    Harness,
    /// The executor bridge over the simulated executor.
    #[serde(rename = "L1")]
    Simulated,
    /// The engine in this process, ids in and out.
    #[serde(rename = "L2")]
    Engine,
    /// The engine in this process, text in and out.
    #[serde(rename = "L3")]
    Text,
    /// The engine in a server on loopback: OpenAI completions, ids as prompt.
    #[serde(rename = "L4")]
    ServedIds,
    /// The engine in a server on loopback: OpenAI chat, text through the chat template.
    #[serde(rename = "L5")]
    ServedText,
    /// The engine in a server on loopback: KServe v2 over gRPC, ids in and out.
    #[serde(rename = "L6")]
    Grpc,
    /// The engine behind a server of its own: OpenAI completions, ids as prompt.
    #[serde(rename = "L7")]
    Twin,
}

impl Level {
    /// Every rung, from the floor up.
    pub const ALL: [Self; 8] = [
        Self::Harness,
        Self::Simulated,
        Self::Engine,
        Self::Text,
        Self::ServedIds,
        Self::ServedText,
        Self::Grpc,
        Self::Twin,
    ];

    /// `L0` to `L7`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Harness => "L0",
            Self::Simulated => "L1",
            Self::Engine => "L2",
            Self::Text => "L3",
            Self::ServedIds => "L4",
            Self::ServedText => "L5",
            Self::Grpc => "L6",
            Self::Twin => "L7",
        }
    }

    /// What is in the way, in a few words.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Harness => "harness alone",
            Self::Simulated => "executor bridge, simulated",
            Self::Engine => "engine in process, ids",
            Self::Text => "engine in process, text",
            Self::ServedIds => "served, OpenAI, ids",
            Self::ServedText => "served, OpenAI chat, text",
            Self::Grpc => "served, gRPC, ids",
            Self::Twin => "its own server, OpenAI, ids",
        }
    }

    /// Whether the ladder's own server, this program, answers.
    pub const fn is_served(self) -> bool {
        matches!(self, Self::ServedIds | Self::ServedText | Self::Grpc)
    }

    /// The rung that this one is compared with: what it adds is shown against the nearest rung below that has the same
    /// layers but one. gRPC and the engine's own server are other ways to the same ids as L4, and no layers on top of text.
    pub const fn may_stand_on(self, below: Self) -> bool {
        match self {
            Self::Grpc | Self::Twin => !(below.is_served() || matches!(below, Self::Text)),
            Self::ServedIds => !matches!(below, Self::Text),
            _ => true,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name(), self.description())
    }
}

/// `ladder.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    /// Rungs that apply, as sides of a comparison; each pair is a rung against the one that it stands on.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// Every rung, from the floor up.
    pub rungs: Vec<Rung>,
}

/// One rung.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// Which one.
    pub level: Level,
    /// What is in the way, in a few words.
    #[serde(rename = "words")]
    pub description: String,
    /// Its place among the sides; `None` where it does not apply.
    pub side: Option<usize>,
    /// Why it does not apply.
    pub not_applicable: Option<String>,
    /// The side that it is compared with, by place.
    pub stands_on: Option<usize>,
    /// CPU time per completed request.
    pub cpu: Option<Cpu>,
    /// Where the time of its requests went.
    pub parts: Option<Parts>,
}

/// CPU time per completed request, in milliseconds, mean over blocks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Of this process: the harness, and the engine where it is in this process.
    pub here_ms: f64,
    /// Of the server; `None` where none was asked.
    pub server_ms: Option<f64>,
    /// Of both, against the rung that it stands on.
    pub adds_ms: Option<Difference>,
}

/// Where the time of a request goes: means over completed requests, in milliseconds.
///
/// The first four add up to the mean request latency; `pull` comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// Requests that the means are over.
    pub requests: u64,
    /// t_end − t_submit.
    pub e2e_ms: f64,
    /// From the engine's stamps; `None` where it gave none.
    pub engine: Option<EngineParts>,
    /// From a stamp (the kernel's, or the engine's side) to our own thread's look at it.
    pub pull_ms: f64,
}

/// What the engine's stamps tell apart, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EngineParts {
    /// first_scheduled − arrival.
    pub queue_ms: f64,
    /// first_token − first_scheduled.
    pub prefill_ms: f64,
    /// last_token − first_token.
    pub decode_ms: f64,
    /// (t_end − t_submit) − (last_token − arrival): hand-over, text, server and transport.
    #[serde(rename = "around_ms")]
    pub overhead_ms: f64,
}

/// CPU time that one block of one rung took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockCpu {
    /// Of this process, in nanoseconds.
    pub here_ns: i64,
    /// Of the server, in nanoseconds.
    pub server_ns: Option<i64>,
}

/// A rung before it was measured: which side it is, or why it is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Which one.
    pub level: Level,
    /// Its place among the sides, or why it does not apply.
    pub side: Result<usize, String>,
}

/// Which rung each rung that applies is compared with: `(below, above)`, by place among the sides.
pub fn steps(planned: &[Planned]) -> Vec<(usize, usize)> {
    let applies: Vec<(Level, usize)> =
        planned.iter().filter_map(|rung| Some((rung.level, *rung.side.as_ref().ok()?))).collect();
    let below = |place: usize| {
        let (level, side) = applies[place];
        let stands_on = applies[..place].iter().rev().find(|(it, _)| level.may_stand_on(*it))?;
        Some((stands_on.1, side))
    };
    (0..applies.len()).filter_map(below).collect()
}

/// The document, from what the sides came to and the CPU time that was seen meanwhile.
pub fn conclude(
    comparison: Comparison,
    planned: &[Planned],
    measured: &[Measured],
    cpu: &[Vec<BlockCpu>],
) -> Ladder {
    let steps = steps(planned);
    let blocks = comparison.blocks as usize;
    let per_request: Vec<Vec<(f64, Option<f64>)>> = measured
        .iter()
        .zip(cpu)
        .map(|(side, cpu)| cpu_per_request(&side.blocks[..blocks], cpu))
        .collect();
    let rung = |planned: &Planned| {
        let side = planned.side.as_ref().ok().copied();
        let stands_on = side.and_then(|side| {
            steps.iter().find(|(_, above)| *above == side).map(|(below, _)| *below)
        });
        Rung {
            level: planned.level,
            description: planned.level.description().to_owned(),
            side,
            not_applicable: planned.side.clone().err(),
            stands_on,
            cpu: side.and_then(|side| {
                // Of the engine's own server, with all its children, nothing is known.
                let below = stands_on.filter(|_| planned.level != Level::Twin);
                cpu_of(&per_request[side], below.map(|below| &*per_request[below]))
            }),
            parts: side.and_then(|side| parts_of(&measured[side].blocks[..blocks])),
        }
    };
    Ladder { rungs: planned.iter().map(rung).collect(), comparison }
}

/// Milliseconds of this process and of the server, for each block in which a request completed.
fn cpu_per_request(blocks: &[MeasuredBlock], cpu: &[BlockCpu]) -> Vec<(f64, Option<f64>)> {
    blocks
        .iter()
        .zip(cpu)
        .filter(|(block, _)| block.summary.counts.completed > 0)
        .map(|(block, cpu)| {
            let each = |ns: i64| ns as f64 / 1e6 / block.summary.counts.completed as f64;
            (each(cpu.here_ns), cpu.server_ns.map(each))
        })
        .collect()
}

fn cpu_of(own: &[(f64, Option<f64>)], below: Option<&[(f64, Option<f64>)]>) -> Option<Cpu> {
    let here: Vec<f64> = own.iter().map(|(here, _)| *here).collect();
    let server: Option<Vec<f64>> = own.iter().map(|(_, server)| *server).collect();
    let both = |(here, server): &(f64, Option<f64>)| here + server.unwrap_or(0.0);
    let adds_ms = below.and_then(|below| {
        let blocks: Vec<Block> = below
            .iter()
            .zip(own)
            .map(|(below, own)| Block { baseline: both(below), candidate: both(own) })
            .collect();
        difference(&blocks)
    });
    Some(Cpu { here_ms: mean(&here)?, server_ms: server.and_then(|it| mean(&it)), adds_ms })
}

fn parts_of(blocks: &[MeasuredBlock]) -> Option<Parts> {
    let completed: Vec<&RequestRecord> = blocks
        .iter()
        .flat_map(|block| block.records.measured())
        .filter(|record| record.outcome.is_completed())
        .collect();
    let of = |value: &dyn Fn(&RequestRecord) -> Option<f64>| {
        mean(&completed.iter().filter_map(|record| value(record)).collect::<Vec<_>>())
    };
    let engine: Option<Vec<EngineParts>> =
        completed.iter().map(|record| engine_parts(record)).collect();
    Some(Parts {
        requests: completed.len() as u64,
        e2e_ms: of(&e2e_ms)?,
        engine: engine.and_then(|parts| mean_of(&parts)),
        pull_ms: of(&|record| Some(f64::from(record.max_pull_lag_ns) / 1e6))?,
    })
}

fn e2e_ms(record: &RequestRecord) -> Option<f64> {
    Some((record.last_token.or(record.end)? - record.submit?).as_millis_f64())
}

fn engine_parts(record: &RequestRecord) -> Option<EngineParts> {
    let EngineTimes { arrival, first_scheduled, first_token, last_token } = record.engine_times?;
    let (arrival, scheduled) = (arrival?, first_scheduled?);
    let (first, last) = (first_token?, last_token?);
    Some(EngineParts {
        queue_ms: (scheduled - arrival).as_millis_f64(),
        prefill_ms: (first - scheduled).as_millis_f64(),
        decode_ms: (last - first).as_millis_f64(),
        overhead_ms: e2e_ms(record)? - (last - arrival).as_millis_f64(),
    })
}

fn mean_of(parts: &[EngineParts]) -> Option<EngineParts> {
    let of = |value: fn(&EngineParts) -> f64| mean(&parts.iter().map(value).collect::<Vec<_>>());
    Some(EngineParts {
        queue_ms: of(|it| it.queue_ms)?,
        prefill_ms: of(|it| it.prefill_ms)?,
        decode_ms: of(|it| it.decode_ms)?,
        overhead_ms: of(|it| it.overhead_ms)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MonoNs;
    use crate::request::RequestId;

    fn planned(levels: &[Level]) -> Vec<Planned> {
        let mut side = 0..;
        Level::ALL
            .into_iter()
            .map(|level| {
                let applies = levels.contains(&level);
                let side = if applies { Ok(side.next().unwrap()) } else { Err("no".to_owned()) };
                Planned { level, side }
            })
            .collect()
    }

    #[test]
    fn a_rung_stands_on_the_nearest_one_with_a_layer_less() {
        assert_eq!(
            steps(&planned(&Level::ALL)),
            [(0, 1), (1, 2), (2, 3), (2, 4), (4, 5), (2, 6), (2, 7)],
            "text on ids; served ids, gRPC and its own server on the engine itself; served text on served ids"
        );
    }

    #[test]
    fn a_rung_that_does_not_apply_is_stepped_over() {
        let there = [Level::Harness, Level::Simulated, Level::ServedIds, Level::Grpc];
        assert_eq!(steps(&planned(&there)), [(0, 1), (1, 2), (1, 3)]);
    }

    #[test]
    fn the_parts_of_a_request_add_up_to_its_latency() {
        let at = |ms: f64| Some(MonoNs((ms * 1e6) as i64));
        let mut record = RequestRecord::planned(RequestId(0), 1, 1);
        assert_eq!(engine_parts(&record), None);
        (record.submit, record.end) = (at(10.0), at(50.0));
        record.engine_times = Some(EngineTimes {
            arrival: at(12.0),
            first_scheduled: at(15.0),
            first_token: at(25.0),
            last_token: at(45.0),
        });
        let parts = engine_parts(&record).expect("every stamp is there");
        let parts_ms = [parts.queue_ms, parts.prefill_ms, parts.decode_ms, parts.overhead_ms];
        let e2e = e2e_ms(&record).expect("it ended");
        assert_eq!(parts_ms.map(|ms| ms.round() as i64), [3, 10, 20, 7]);
        assert!((parts_ms.iter().sum::<f64>() - e2e).abs() < 1e-9, "{parts_ms:?} {e2e}");
    }
}
