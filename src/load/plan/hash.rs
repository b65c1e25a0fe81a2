//! Is this the same plan? A hash over a byte form that no compiler, machine or library chooses.
//!
//! All numbers are little endian; floats are their IEEE bits; an absent value is the byte 0, a present one the
//! byte 1 and the value; a text is its length in 8 bytes and its UTF-8. A prompt stands as the SHA-256 of its ids.

use sha2::{Digest, Sha256};

use super::{Plan, PromptSha, Shot};
use crate::load::{Arrivals, Load};
use crate::request::spec::{OutputSpec, Prompt, RequestSpec, Sampling};
use crate::request::terms::Terms;
use crate::workload::seeds::Phase;

const VERSION: &[u8] = b"bareflight plan v1\n";

/// Tags of what most requests do not have. A shot begins with 0 or 1, so that they cannot be taken for one.
const ADAPTER: u8 = 2;
const TERMS: u8 = 3;

/// Ids turned into bytes at a time.
const CHUNK: usize = 1024;

pub(super) fn prompt_sha(shot: &Shot) -> PromptSha {
    let mut hasher = Sha256::new();
    let mut bytes = [0_u8; 4 * CHUNK];
    for ids in shot.request.prompt.ids.chunks(CHUNK) {
        for (four, id) in bytes.chunks_exact_mut(4).zip(ids) {
            four.copy_from_slice(&id.to_le_bytes());
        }
        hasher.update(&bytes[..4 * ids.len()]);
    }
    PromptSha(hasher.finalize().into())
}

pub(super) fn of(plan: &Plan) -> String {
    let mut form = Form(Sha256::new());
    form.0.update(VERSION);
    form.load(plan.load);
    form.optional(plan.size.duration.map(|time| time.0.to_le_bytes()));
    form.0.update((plan.warmup.len() as u64).to_le_bytes());
    form.0.update((plan.shots.len() as u64).to_le_bytes());
    let first = plan.start.first_id.0;
    for (phase, shot, sha) in plan.all_shots() {
        form.shot(phase, shot, sha, first);
    }
    format!("{:x}", form.0.finalize())
}

struct Form(Sha256);

impl Form {
    fn optional<const N: usize>(&mut self, value: Option<[u8; N]>) {
        self.0.update([u8::from(value.is_some())]);
        if let Some(bytes) = value {
            self.0.update(bytes);
        }
    }

    fn load(&mut self, load: Load) {
        match load {
            Load::Closed { concurrency } => {
                self.0.update([1]);
                self.0.update(concurrency.to_le_bytes());
            }
            Load::Open { arrivals, rate, max_in_flight } => {
                self.0.update([2]);
                self.arrivals(arrivals);
                self.0.update(rate.to_bits().to_le_bytes());
                self.optional(max_in_flight.map(u32::to_le_bytes));
            }
            Load::Batch => self.0.update([3]),
        }
    }

    fn arrivals(&mut self, arrivals: Arrivals) {
        match arrivals {
            Arrivals::Constant => self.0.update([1]),
            Arrivals::Poisson => self.0.update([2]),
            Arrivals::Uniform => self.0.update([3]),
            Arrivals::Gamma { burstiness } => {
                self.0.update([4]);
                self.0.update(burstiness.to_bits().to_le_bytes());
            }
        }
    }

    // Taken apart field by field, so that a new field does not compile until it is hashed.
    fn shot(&mut self, phase: Phase, shot: &Shot, sha: PromptSha, first: u32) {
        let Shot { id, intended, request } = shot;
        let RequestSpec { prompt, output, sampling, streaming, priority, adapter, terms } = request;
        let Prompt { ids, text } = prompt;
        let OutputSpec { max_tokens, min_tokens, ignore_eos } = output;
        let Sampling { temperature, top_p, top_k, seed } = sampling;
        self.0.update([phase.code() as u8]);
        self.0.update((id.0 - first).to_le_bytes());
        self.optional(intended.map(|at| at.0.to_le_bytes()));
        self.0.update((ids.len() as u64).to_le_bytes());
        self.0.update(sha.0);
        self.optional(text.as_ref().map(|text| (text.len() as u64).to_le_bytes()));
        self.0.update(text.as_deref().unwrap_or_default());
        self.0.update(max_tokens.to_le_bytes());
        self.0.update(min_tokens.to_le_bytes());
        self.0.update([u8::from(*ignore_eos)]);
        self.optional(temperature.map(|value| value.to_bits().to_le_bytes()));
        self.optional(top_p.map(|value| value.to_bits().to_le_bytes()));
        self.optional(top_k.map(u32::to_le_bytes));
        self.0.update(seed.to_le_bytes());
        self.0.update([u8::from(*streaming)]);
        self.0.update(priority.to_bits().to_le_bytes());
        if let Some(adapter) = adapter {
            self.0.update([ADAPTER]);
            self.0.update(adapter.to_le_bytes());
        }
        if **terms != Terms::default() {
            self.0.update([TERMS]);
            self.terms(terms);
        }
    }

    fn terms(&mut self, terms: &Terms) {
        let Terms {
            beam_width,
            min_p,
            repetition_penalty,
            presence_penalty,
            frequency_penalty,
            length_penalty,
            stop_words,
            bad_words,
            allotted,
        } = terms;
        self.optional(beam_width.map(u32::to_le_bytes));
        for number in
            [min_p, repetition_penalty, presence_penalty, frequency_penalty, length_penalty]
        {
            self.optional(number.map(|value| value.to_bits().to_le_bytes()));
        }
        for words in [stop_words, bad_words] {
            let text = words.as_ref().map(ToString::to_string);
            self.optional(text.as_ref().map(|text| (text.len() as u64).to_le_bytes()));
            self.0.update(text.unwrap_or_default());
        }
        self.optional(allotted.map(|time| time.0.to_le_bytes()));
    }
}
