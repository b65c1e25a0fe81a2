//! Hash of a plan, over a byte form that no compiler, machine or library chooses.
//!
//! The SHA-256 of, in this order:
//! - `bareflight plan v2` and a line feed; the load; the optional duration;
//! - where groups of prompts have prefixes of their own, `prefix groups`, the seed of their stream and the share of each (8 bytes
//!   each);
//! - where prompts come again, `distinct` and their number (4 bytes);
//! - where they are turns of conversations, `conversation`, whether answers are recorded ones and whether they go as messages;
//! - where requests have several texts, `documents` and their number (4 bytes); where images are made, `images`, their width,
//!   height and number (4 bytes each);
//! - what all shots share: minimum output (4 bytes), whether end tokens are ignored, optional temperature, top-p and
//!   top-k, streaming, terms;
//! - where prompts come from: 1 for ids, 2 for text or 3 for texts of a file that nothing counts; the seeds of the streams
//!   `prompts` and `prefixes`; given images as texts; the point and the prefix in tokens (4 bytes each); but for 3, the
//!   vocabulary's size and its number of excluded ids (4 bytes each) and each of
//!   them; for text the number of words (8 bytes) and each word, its cost and its cost at the beginning of a text;
//! - warm-up, then measured shots: the phase in 1 byte and the number of shots in 8; where there are any, the SHA-256 of
//!   the first prompt's ids and its optional text; then of each shot the optional intended instant, prompt and output
//!   tokens (4 bytes each), the sampling seed (the low 31 bits of its stream, in 8 bytes), the priority and the optional adapter;
//!   where entries of a file are asked, the SHA-256 of the entry (0; or 1, its ids and its text; or 2, its block's tokens in 4
//!   bytes and its blocks in 8 each; then of each image 3 and its URL; of a turn 4, its number, the time to think and the recorded
//!   answer);
//! - where there is a ramp or a tail, the supply of their shots in the same form, and the course: of the ramp 0 for none, 1
//!   for an estimated one or 2 and its nanoseconds, of the tail 0 or 1;
//! - where there are stages, `stages`, 0 for rates or 1 for slots, their number in 1 byte, and of each its nanoseconds and its
//!   level in millionths (8 bytes each).
//!
//! Prompts are a pure function of this, so their content needs not be drawn to be hashed. The first one is there since the
//! form names a tokenizer by its words only.
//!
//! All numbers are little endian; floats are their IEEE bits; an absent value is the byte 0, a present one the
//! byte 1 and the value; a truth value is one byte; a text is its length in 8 bytes and its UTF-8.

use sha2::digest::Output;
use sha2::{Digest, Sha256};

use super::{PlanError, PlanSize, PromptSha, ShotFacts, ShotList};
use crate::load::course::{Course, Ramp, Tail};
use crate::load::stages::{LoadStage, Stages, StagesOf};
use crate::load::{Arrivals, Load};
use crate::request::spec::{Beside, Prompt, RequestSpec};
use crate::request::terms::Terms;
use crate::workload::dataset::{ConversationRules, History};
use crate::workload::prompts::PromptSeries;
use crate::workload::scenario::{MadeImages, Scenario};
use crate::workload::seeds::{Phase, Seeds, Stream};
use crate::workload::words::Word;
use crate::workload::{OutputPolicy, SamplingPolicy, Workload};

const VERSION: &[u8] = b"bareflight plan v2\n";

/// Bytes hashed at a time: a call per number would cost more than the hash itself.
const CHUNK: usize = 4096;

/// The hash of the texts of a request: of the prompt alone, as it always was, where there is no other.
pub(super) fn texts_sha(request: &RequestSpec) -> PromptSha {
    let mut hasher = Sha256::new();
    put_prompt(&mut hasher, &request.prompt);
    if let Beside::Texts(texts) = &request.beside {
        texts.iter().for_each(|text| put_prompt(&mut hasher, text));
    }
    PromptSha(hasher.finalize().into())
}

fn put_prompt(hasher: &mut Sha256, prompt: &Prompt) {
    if let (true, Some(text)) = (prompt.ids.is_empty(), &prompt.text) {
        hasher.update(text.as_bytes());
    }
    let mut bytes = [0_u8; CHUNK];
    for ids in prompt.ids.chunks(CHUNK / 4) {
        for (four, id) in bytes.chunks_exact_mut(4).zip(ids) {
            four.copy_from_slice(&id.to_le_bytes());
        }
        hasher.update(&bytes[..4 * ids.len()]);
    }
}

/// The hash of a plan of these phases, warm-up first.
///
/// # Errors
/// When the first prompt of a phase cannot be drawn.
pub(super) fn of(
    load: Load,
    size: &PlanSize,
    point: u32,
    phases: [&ShotList; 3],
) -> Result<String, PlanError> {
    let mut form = Form::default();
    form.put(VERSION);
    form.load(load);
    form.optional(size.duration.map(|time| time.0.to_le_bytes()));
    let [_, measured, fill] = phases;
    let content = measured.content();
    form.shared(&content.workload);
    form.source(&content.series, &content.seeds, point);
    // A plan without ramp and tail has the hash that it had before there were any.
    let has_fill = !fill.is_empty();
    for phase in phases.into_iter().filter(|phase| has_fill || phase.phase() != Phase::Fill) {
        form.phase(phase)?;
    }
    if has_fill {
        form.course(size.course);
    }
    // The same of stages.
    if let Some(stages) = size.stages {
        form.stages(stages);
    }
    Ok(format!("{:x}", form.finish()))
}

struct Form {
    hasher: Sha256,
    buffer: [u8; CHUNK],
    filled: usize,
}

impl Default for Form {
    fn default() -> Self {
        Self { hasher: Sha256::new(), buffer: [0; CHUNK], filled: 0 }
    }
}

impl Form {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if let Some(room) = self.buffer.get_mut(self.filled..self.filled + bytes.len()) {
            room.copy_from_slice(bytes);
            self.filled += bytes.len();
        } else {
            self.hasher.update(&self.buffer[..self.filled]);
            self.hasher.update(bytes);
            self.filled = 0;
        }
    }

    fn finish(mut self) -> Output<Sha256> {
        self.hasher.update(&self.buffer[..self.filled]);
        self.hasher.finalize()
    }

    #[inline]
    fn optional<const N: usize>(&mut self, value: Option<[u8; N]>) {
        self.put(&[u8::from(value.is_some())]);
        if let Some(bytes) = value {
            self.put(&bytes);
        }
    }

    fn text(&mut self, text: &str) {
        self.put(&(text.len() as u64).to_le_bytes());
        self.put(text.as_bytes());
    }

    fn optional_text(&mut self, text: Option<&str>) {
        self.put(&[u8::from(text.is_some())]);
        if let Some(text) = text {
            self.text(text);
        }
    }

    fn load(&mut self, load: Load) {
        match load {
            Load::Closed { concurrency } => {
                self.put(&[1]);
                self.put(&concurrency.to_le_bytes());
            }
            Load::Open { arrivals, rate, max_in_flight } => {
                self.put(&[2]);
                self.arrivals(arrivals);
                self.put(&rate.to_bits().to_le_bytes());
                self.optional(max_in_flight.map(u32::to_le_bytes));
            }
            Load::Batch => self.put(&[3]),
        }
    }

    fn course(&mut self, course: Course) {
        let Course { ramp, tail } = course;
        match ramp {
            Ramp::None => self.put(&[0]),
            Ramp::Estimated => self.put(&[1]),
            Ramp::Over(span) => {
                self.put(&[2]);
                self.put(&span.0.to_le_bytes());
            }
        }
        self.put(&[match tail {
            Tail::None => 0,
            Tail::UntilMeasuredEnd => 1,
        }]);
    }

    fn stages(&mut self, Stages { of, list }: Stages) {
        self.put(b"stages");
        self.put(&[match of {
            StagesOf::Rate => 0,
            StagesOf::Concurrency => 1,
        }]);
        self.put(&[list.iter().len() as u8]);
        for LoadStage { span, millionths } in list.iter() {
            self.put(&span.0.to_le_bytes());
            self.put(&millionths.to_le_bytes());
        }
    }

    fn arrivals(&mut self, arrivals: Arrivals) {
        match arrivals {
            Arrivals::Constant => self.put(&[1]),
            Arrivals::Poisson => self.put(&[2]),
            Arrivals::Uniform => self.put(&[3]),
            Arrivals::Replay => self.put(&[5]),
            Arrivals::Gamma { burstiness } => {
                self.put(&[4]);
                self.put(&burstiness.to_bits().to_le_bytes());
            }
        }
    }

    // Taken apart field by field, here and below, so that a new field does not compile until it is hashed.
    fn shared(&mut self, workload: &Workload) {
        let Workload {
            output: OutputPolicy { ignore_eos, min_tokens },
            sampling: SamplingPolicy { temperature, top_p, top_k },
            streaming,
            terms,
            // Their ids are among the words of `terms`.
            stop_texts: _,
            // Each shot has the lengths that are drawn from it.
            scenario,
            // Entries are hashed with the shots that they become.
            mixture: _,
            file: _,
            distinct_prompts,
            documents,
            // The series has them.
            images: _,
            adapters: _,
            priorities: _,
            // The source of prompts has these.
            prompts: _,
            prefix_tokens: _,
            prefix_groups,
            seed: _,
        } = workload;
        if let Some(groups) = prefix_groups {
            self.put(b"prefix groups");
            self.put(&workload.seeds().of(Stream::PrefixGroups).to_le_bytes());
            for share in groups.shares() {
                self.put(&share.to_bits().to_le_bytes());
            }
        }
        if let Some(distinct) = distinct_prompts {
            self.put(b"distinct");
            self.put(&distinct.to_le_bytes());
        }
        if let Some(rules) = workload.conversation() {
            let ConversationRules { history, as_messages, think: _, sessions: _ } = rules;
            self.put(b"conversation");
            self.put(&[u8::from(history == History::Recorded), u8::from(as_messages)]);
        }
        if let Some(documents) = documents {
            self.put(b"documents");
            self.put(&documents.to_le_bytes());
        }
        if let Scenario::Images { made: MadeImages { width, height, count }, .. } = scenario {
            self.put(b"images");
            for number in [width, height, count] {
                self.put(&number.to_le_bytes());
            }
        }
        self.put(&min_tokens.to_le_bytes());
        self.put(&[u8::from(*ignore_eos)]);
        self.optional(temperature.map(|value| value.to_bits().to_le_bytes()));
        self.optional(top_p.map(|value| value.to_bits().to_le_bytes()));
        self.optional(top_k.map(u32::to_le_bytes));
        self.put(&[u8::from(*streaming)]);
        self.terms(terms);
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
            self.optional_text(words.as_ref().map(ToString::to_string).as_deref());
        }
        self.optional(allotted.map(|time| time.0.to_le_bytes()));
    }

    fn source(&mut self, series: &PromptSeries, seeds: &Seeds, point: u32) {
        let (vocabulary, words) = (series.vocabulary(), series.words());
        self.put(&[match (vocabulary, words) {
            (None, _) => 3,
            (Some(_), Some(_)) => 2,
            (Some(_), None) => 1,
        }]);
        for stream in [Stream::Prompts, Stream::Prefixes] {
            self.put(&seeds.of(stream).to_le_bytes());
        }
        for url in series.images().iter().flat_map(|images| images.all()) {
            self.text(url);
        }
        for number in [point, series.prefix_tokens() as u32] {
            self.put(&number.to_le_bytes());
        }
        let Some(vocabulary) = vocabulary else { return };
        for number in [vocabulary.size(), vocabulary.size() - vocabulary.allowed()] {
            self.put(&number.to_le_bytes());
        }
        for id in vocabulary.excluded() {
            self.put(&id.to_le_bytes());
        }
        let Some(words) = words else { return };
        self.put(&(words.iter().len() as u64).to_le_bytes());
        for Word { text, cost, first_cost } in words.iter() {
            self.text(text);
            self.put(&cost.to_le_bytes());
            self.put(&first_cost.to_le_bytes());
        }
    }

    fn phase(&mut self, shots: &ShotList) -> Result<(), PlanError> {
        let phase = shots.phase();
        self.put(&[phase.code() as u8]);
        self.put(&(shots.len() as u64).to_le_bytes());
        if !shots.is_empty() {
            let request = shots.shot(0)?.request;
            self.put(&texts_sha(&request).0);
            self.optional_text(request.prompt.text.as_deref());
        }
        let content = shots.content();
        let (workload, seeds) = (&content.workload, &content.seeds);
        for (index, shot) in (0_u32..).zip(shots.facts()) {
            self.shot(shot, workload, seeds, phase, index);
            let texts = u64::from(workload.documents.unwrap_or(1));
            let first = u64::from(index) * texts;
            for entry in (first..first + texts).map_while(|text| content.series.entry(text)) {
                self.put(&entry.digest());
            }
        }
        Ok(())
    }

    #[inline]
    fn shot(
        &mut self,
        shot: ShotFacts,
        workload: &Workload,
        seeds: &Seeds,
        phase: Phase,
        index: u32,
    ) {
        // The part of a mixture is told by its entry.
        let ShotFacts { id: _, intended, prompt_tokens, output_tokens, workload: _ } = shot;
        self.optional(intended.map(|at| at.0.to_le_bytes()));
        self.put(&prompt_tokens.to_le_bytes());
        self.put(&output_tokens.to_le_bytes());
        self.put(&workload.sampling(seeds, phase, index).seed.to_le_bytes());
        self.put(&workload.priority(seeds, phase, index).to_bits().to_le_bytes());
        self.optional(workload.adapter(seeds, phase, index).map(u64::to_le_bytes));
    }
}
