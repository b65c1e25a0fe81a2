//! Seeds of every random stream, derived from the one that the user gives.
//!
//! `--seed` is the root. A stream's seed is the first 8 bytes (little endian) of SHA-256 over
//! `"bareflight seed v1/" name` followed by the root as 8 little-endian bytes. A place within a stream (a phase, a
//! point, a request) is mixed in one coordinate at a time: `s = splitmix64(s XOR splitmix64(coordinate))`. The
//! result seeds Xoshiro256++. So every request is a pure function of the root and of where it stands: it does not
//! change when others are added, left out, or drawn on other threads.

use rand::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Is this request measured? Each kind is drawn apart, so that none primes a cache for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Sent before the measurement, and never counted in it.
    Warmup,
    /// Counted.
    Measure,
    /// Sent right before and right after those that are counted, to keep the load up: ramp and tail.
    Fill,
}

impl Phase {
    /// Its coordinate in every stream, and its tag in a plan's hash.
    pub const fn code(self) -> u64 {
        match self {
            Self::Warmup => 0,
            Self::Measure => 1,
            Self::Fill => 2,
        }
    }
}

/// What is drawn; each kind has a seed of its own, so that changing one leaves the others as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Lengths of prompts and outputs.
    Lengths,
    /// Content of prompts.
    Prompts,
    /// Content of shared prefixes.
    Prefixes,
    /// Instants of arrival.
    Schedule,
    /// The seed that goes out with each request.
    Sampling,
    /// LoRA adapters of requests.
    Adapters,
    /// Priorities of requests.
    Priorities,
    /// Lengths of requests that stand for ones under way.
    Residual,
    /// Order of a file's entries.
    Entries,
    /// Content of a trace's blocks.
    Blocks,
    /// Pixels of images.
    Images,
    /// Parts of a mixture.
    Mixture,
    /// Groups of prompts with a prefix of their own.
    PrefixGroups,
}

impl Stream {
    const fn name(self) -> &'static str {
        match self {
            Self::Lengths => "lengths",
            Self::Prompts => "prompts",
            Self::Prefixes => "prefixes",
            Self::Schedule => "schedule",
            Self::Sampling => "sampling",
            Self::Adapters => "adapters",
            Self::Priorities => "priorities",
            Self::Residual => "residual",
            Self::Entries => "entries",
            Self::Blocks => "blocks",
            Self::Images => "images",
            Self::Mixture => "mixture",
            Self::PrefixGroups => "prefix groups",
        }
    }
}

/// The seeds of all streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeds {
    lengths: u64,
    prompts: u64,
    prefixes: u64,
    schedule: u64,
    sampling: u64,
    adapters: u64,
    priorities: u64,
    residual: u64,
    entries: u64,
    blocks: u64,
    images: u64,
    mixture: u64,
    prefix_groups: u64,
}

impl Seeds {
    /// All seeds that follow from the one that the user gave.
    pub fn from_root(root: u64) -> Self {
        Self {
            lengths: derive(Stream::Lengths, root),
            prompts: derive(Stream::Prompts, root),
            prefixes: derive(Stream::Prefixes, root),
            schedule: derive(Stream::Schedule, root),
            sampling: derive(Stream::Sampling, root),
            adapters: derive(Stream::Adapters, root),
            priorities: derive(Stream::Priorities, root),
            residual: derive(Stream::Residual, root),
            entries: derive(Stream::Entries, root),
            blocks: derive(Stream::Blocks, root),
            images: derive(Stream::Images, root),
            mixture: derive(Stream::Mixture, root),
            prefix_groups: derive(Stream::PrefixGroups, root),
        }
    }

    /// The seed of a stream.
    pub const fn of(&self, stream: Stream) -> u64 {
        match stream {
            Stream::Lengths => self.lengths,
            Stream::Prompts => self.prompts,
            Stream::Prefixes => self.prefixes,
            Stream::Schedule => self.schedule,
            Stream::Sampling => self.sampling,
            Stream::Adapters => self.adapters,
            Stream::Priorities => self.priorities,
            Stream::Residual => self.residual,
            Stream::Entries => self.entries,
            Stream::Blocks => self.blocks,
            Stream::Images => self.images,
            Stream::Mixture => self.mixture,
            Stream::PrefixGroups => self.prefix_groups,
        }
    }

    /// The seed of one place in a stream.
    pub fn seed(&self, stream: Stream, place: &[u64]) -> u64 {
        place.iter().fold(self.of(stream), |seed, at| splitmix64(seed ^ splitmix64(*at)))
    }

    /// The generator of one place in a stream.
    pub fn rng(&self, stream: Stream, place: &[u64]) -> Xoshiro256PlusPlus {
        generator(self.seed(stream, place))
    }
}

/// The generator that everything is drawn with.
pub fn generator(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// Uniform over `0..bound`, one draw, the same on every machine and with every version of `rand`.
///
/// The high half of a 64×64-bit product; its bias is below `bound / 2^64`.
#[inline]
pub fn below(rng: &mut Xoshiro256PlusPlus, bound: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(bound)) >> 64) as u64
}

/// Uniform over [0, 1) in steps of 2^-53, the same on every machine.
#[inline]
pub fn unit(rng: &mut Xoshiro256PlusPlus) -> f64 {
    (rng.next_u64() >> 11) as f64 * (0.5_f64).powi(53)
}

fn derive(stream: Stream, root: u64) -> u64 {
    let digest = Sha256::new()
        .chain_update("bareflight seed v1/")
        .chain_update(stream.name())
        .chain_update(root.to_le_bytes())
        .finalize();
    digest[..8].iter().rev().fold(0, |seed, byte| (seed << 8) | u64::from(*byte))
}

/// Steele, Lea and Flood's finaliser: neighbouring inputs give unrelated outputs.
const fn splitmix64(input: u64) -> u64 {
    let x = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_roots_streams_and_places_share_no_seed() {
        let mut seen = std::collections::HashSet::new();
        for root in 0..4 {
            let seeds = Seeds::from_root(root);
            for stream in [Stream::Lengths, Stream::Prompts, Stream::Prefixes, Stream::Schedule] {
                for place in 0..1000 {
                    assert!(
                        seen.insert(seeds.seed(stream, &[1, place])),
                        "{root} {stream:?} {place}"
                    );
                    assert!(seen.insert(seeds.seed(stream, &[place + 2, 1])));
                }
            }
        }
    }

    #[test]
    fn the_derivation_is_the_documented_one_and_stays_so() {
        let seeds = Seeds::from_root(42);
        assert_eq!(seeds.of(Stream::Prompts), 0xd7f7_f0c7_3c93_c82f);
        assert_eq!(seeds.seed(Stream::Prompts, &[1, 0, 3]), 0x9e77_10fe_5731_51ff);
    }

    #[test]
    fn draws_stay_in_range_and_reach_both_ends() {
        let mut rng = generator(1);
        let drawn: Vec<u64> = (0..1000).map(|_| below(&mut rng, 7)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&0), Some(&6)));
        assert!((0..1000).all(|_| (0.0..1.0).contains(&unit(&mut rng))));
        assert_eq!(below(&mut rng, 1), 0);
    }
}
