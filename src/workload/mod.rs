//! Workload: lengths, prompts and outputs of requests, and the seed that they are drawn from.

pub mod adapters;
pub mod dataset;
#[cfg(test)]
mod distribution_tests;
pub mod images;
pub mod mix;
pub mod mixture;
pub mod prefixes;
pub mod priorities;
pub mod prompts;
pub mod scenario;
pub mod seeds;
pub mod stop_texts;
pub mod text;
pub mod vocabulary;
pub mod words;

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::request::spec::{OutputSpec, Sampling};
use crate::request::terms::Terms;
use adapters::AdapterMix;
use dataset::{ConversationRules, FileWorkload};
use images::GivenImages;
use mixture::{Mixture, MixturePart};
use prefixes::{PrefixGroups, SharedPrefix};
use priorities::PriorityMix;
use scenario::{Lengths, Scenario};
use seeds::{Phase, Seeds, Stream, below, unit};
use stop_texts::StopTexts;

/// Draws of a request under way before the last one is taken as it is.
const RESIDUAL_TRIES: u32 = 256;

/// The priority that an executor gives a request by default.
pub const DEFAULT_PRIORITY: f32 = 0.5;

/// What is asked, before it is drawn: everything but the instants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// How long prompts and outputs are; not used where they come from a file.
    pub scenario: Scenario,
    /// The file that prompts or their lengths come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileWorkload>,
    /// Several workloads by weight, in place of the two above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixture: Option<Mixture>,
    /// So many prompts are different in one phase of a point, and come again and again; `None` is as many as requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct_prompts: Option<u32>,
    /// Texts that each request asks embeddings of, or documents that it has put in order; `None` is a single text that is
    /// sent as such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<u32>,
    /// Images that go with each request, where they are not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<GivenImages>,
    /// What prompts are made of.
    pub prompts: PromptKind,
    /// So many first tokens are the same in every prompt of one point; part of the prompt's length, not on top.
    pub prefix_tokens: u32,
    /// Groups of prompts that each have a prefix of their own; `None` is one for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_groups: Option<PrefixGroups>,
    /// What may end an output.
    pub output: OutputPolicy,
    /// How tokens are chosen.
    pub sampling: SamplingPolicy,
    /// Deliver tokens as they come (`true`), or all at the end.
    pub streaming: bool,
    /// What else every request asks for.
    #[serde(default)]
    pub terms: Terms,
    /// Stop and bad words that were given as text; their ids are among the words of `terms` before anything is drawn.
    #[serde(default)]
    pub stop_texts: StopTexts,
    /// Which LoRA adapters requests ask for; `None` is the model itself, always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapters: Option<AdapterMix>,
    /// How urgent requests are; `None` is the executor's default, always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priorities: Option<PriorityMix>,
    /// The one seed; [`Seeds`] derives all others from it.
    pub seed: u64,
}

/// What prompts are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptKind {
    /// Token ids, uniform over the vocabulary except special ids; no text goes with them.
    Ids,
    /// Words that re-tokenise to exactly the wanted number of ids.
    Text,
}

/// What may end an output before the drawn length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputPolicy {
    /// Never stop on an end token: every output has exactly the drawn length.
    pub ignore_eos: bool,
    /// No end token before this many; 0 for no minimum.
    pub min_tokens: u32,
}

/// How tokens are chosen; the seed of each request is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingPolicy {
    /// `None` is greedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Cumulative probability to sample from, in (0, 1].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Number of candidates to sample from, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
}

impl Workload {
    /// Random ids of these lengths, streamed, greedy, each output exactly as long as drawn.
    pub fn synthetic(scenario: Scenario, seed: u64) -> Self {
        Self {
            scenario,
            file: None,
            mixture: None,
            distinct_prompts: None,
            documents: None,
            images: None,
            prompts: PromptKind::Ids,
            prefix_tokens: 0,
            prefix_groups: None,
            output: OutputPolicy { ignore_eos: true, min_tokens: 0 },
            sampling: SamplingPolicy::default(),
            streaming: true,
            terms: Terms::default(),
            stop_texts: StopTexts::default(),
            adapters: None,
            priorities: None,
            seed,
        }
    }

    /// The seeds that follow from [`Workload::seed`].
    pub fn seeds(&self) -> Seeds {
        Seeds::from_root(self.seed)
    }

    /// Lengths of request `index`. The same at every point of a sweep, so that points differ by load alone.
    /// `seeds` are [`Workload::seeds`], derived once for all requests.
    pub fn lengths(&self, seeds: &Seeds, phase: Phase, index: u32) -> Lengths {
        let first =
            self.scenario.draw(&mut seeds.rng(Stream::Lengths, &[phase.code(), index.into()]));
        let others = (1..self.documents.unwrap_or(1))
            .map(|number| self.document_tokens(seeds, phase, index, number));
        let query = self.query_tokens().unwrap_or(0);
        Lengths { input: first.input + query + others.sum::<u32>(), output: first.output }
    }

    /// Tokens of one text of request `index`, the first of which is number 0.
    pub fn document_tokens(&self, seeds: &Seeds, phase: Phase, index: u32, number: u32) -> u32 {
        let place = [phase.code(), index.into(), number.into()];
        let place = if number == 0 { &place[..2] } else { &place[..] };
        self.scenario.draw(&mut seeds.rng(Stream::Lengths, place)).input
    }

    /// Tokens of the query that documents are held against.
    pub fn query_tokens(&self) -> Option<u32> {
        match self.scenario {
            Scenario::Rerank { query, .. } if !self.has_entries() => Some(query),
            _ => None,
        }
    }

    /// Whether requests are turns of conversations.
    pub fn is_conversation(&self) -> bool {
        self.conversation().is_some()
    }

    /// How conversations are played, where requests are turns of them.
    pub fn conversation(&self) -> Option<ConversationRules> {
        self.files().find_map(|file| file.conversation)
    }

    /// Whether prompts, or their lengths, are chosen before the plan, from files or as parts of a mixture.
    pub fn has_entries(&self) -> bool {
        self.file.is_some() || self.mixture.is_some()
    }

    /// What prompts begin with alike.
    pub fn prefix(&self) -> SharedPrefix {
        SharedPrefix { tokens: self.prefix_tokens, groups: self.prefix_groups.clone() }
    }

    /// The files that prompts come from.
    pub fn files(&self) -> impl Iterator<Item = &FileWorkload> {
        let of_parts = self.mixture.iter().flat_map(|mixture| &mixture.parts);
        self.file.iter().chain(of_parts.filter_map(MixturePart::file))
    }

    /// What is asked, as it is typed: a scenario, a file, or parts with their weights.
    pub fn asked(&self) -> String {
        match (&self.mixture, &self.file) {
            (Some(mixture), _) => mixture.to_string(),
            (None, Some(file)) => file.source.to_string(),
            (None, None) => self.scenario.to_string(),
        }
    }

    /// Whether requests carry images.
    pub fn has_images(&self) -> bool {
        let of_file = self.files().any(|file| file.image_column.is_some());
        of_file || self.images_each().is_some()
    }

    /// Images of each request, made or given; `None` where there are none, or each entry of a file has its own.
    pub fn images_each(&self) -> Option<u32> {
        match (&self.images, self.scenario) {
            (Some(given), _) => Some(given.each),
            (None, Scenario::Images { made, .. }) if !self.has_entries() => Some(made.count),
            _ => None,
        }
    }

    /// Lengths of a request that stands for one under way: its output is what is left of it at an instant that knows nothing
    /// of it. Long requests are under way more often, so the whole is drawn in proportion to its length, and what is left
    /// is uniform over it.
    pub fn residual_lengths(&self, seeds: &Seeds, phase: Phase, index: u32) -> Lengths {
        let mut rng = seeds.rng(Stream::Residual, &[phase.code(), index.into()]);
        let longest = f64::from(self.scenario.longest_likely_output());
        if longest == 0.0 {
            return self.lengths(seeds, phase, index);
        }
        let tries = (0..RESIDUAL_TRIES).map(|_| {
            let drawn = self.scenario.draw(&mut rng);
            (drawn, unit(&mut rng) * longest < f64::from(drawn.output))
        });
        let (mut last, mut taken) = (None, None);
        for (drawn, is_taken) in tries {
            last = Some(drawn);
            if is_taken {
                taken = Some(drawn);
                break;
            }
        }
        let whole = taken.or(last).unwrap_or_else(|| self.scenario.mean());
        Lengths { input: whole.input, output: left_of(whole.output, &mut rng) }
    }

    /// Which of the distinct prompts request `index` has.
    pub fn prompt_of(&self, index: u32) -> u32 {
        match self.distinct_prompts {
            // A file's entries come again of themselves.
            Some(distinct) if !self.has_entries() => index % distinct.max(1),
            _ => index,
        }
    }

    /// What is left of a request of a file that is under way: uniform over its output.
    pub fn rest_of(&self, seeds: &Seeds, index: u32, whole: Lengths) -> Lengths {
        let mut rng = seeds.rng(Stream::Residual, &[Phase::Fill.code(), index.into()]);
        Lengths { input: whole.input, output: left_of(whole.output, &mut rng) }
    }

    /// What request `index` asks back, given its drawn length.
    pub fn output(&self, lengths: Lengths) -> OutputSpec {
        OutputSpec {
            max_tokens: lengths.output,
            // What is left of a request that is under way may be shorter than the least of a whole one.
            min_tokens: self.output.min_tokens.min(lengths.output),
            ignore_eos: self.output.ignore_eos,
        }
    }

    /// How tokens of request `index` are chosen; `seeds` as for [`Workload::lengths`].
    pub fn sampling(&self, seeds: &Seeds, phase: Phase, index: u32) -> Sampling {
        let SamplingPolicy { temperature, top_p, top_k } = self.sampling;
        let seed = seeds.seed(Stream::Sampling, &[phase.code(), index.into()]);
        Sampling { temperature, top_p, top_k, seed: seed & Sampling::LARGEST_SEED }
    }

    /// The LoRA adapter that request `index` asks for; `seeds` as for [`Workload::lengths`].
    pub fn adapter(&self, seeds: &Seeds, phase: Phase, index: u32) -> Option<u64> {
        let mix = self.adapters.as_ref()?;
        mix.draw(&mut seeds.rng(Stream::Adapters, &[phase.code(), index.into()]))
    }

    /// How urgent request `index` is; `seeds` as for [`Workload::lengths`].
    pub fn priority(&self, seeds: &Seeds, phase: Phase, index: u32) -> f32 {
        let Some(mix) = &self.priorities else { return DEFAULT_PRIORITY };
        mix.draw(&mut seeds.rng(Stream::Priorities, &[phase.code(), index.into()]))
    }
}

/// What is left of an output, uniform over it; nothing of nothing.
fn left_of(output: u32, rng: &mut Xoshiro256PlusPlus) -> u32 {
    if output == 0 { 0 } else { 1 + below(rng, output.into()) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(seed: u64) -> Workload {
        Workload::synthetic("U(1,1000)/(1,1000)".parse().expect("a scenario"), seed)
    }

    #[test]
    fn a_workload_survives_being_written_and_read_again() {
        let mut written = workload(7);
        written.sampling.temperature = Some(0.5);
        let text = toml::to_string(&written).expect("a workload is plain data");
        assert_eq!(toml::from_str::<Workload>(&text).expect("what was written reads"), written);
        assert!(text.contains(r#"scenario = "U(1,1000)/(1,1000)""#), "{text}");
    }

    #[test]
    fn an_unknown_setting_is_refused_and_not_ignored() {
        let text = toml::to_string(&workload(7)).expect("a workload is plain data");
        assert!(toml::from_str::<Workload>(&format!("prefix = 3\n{text}")).is_err());
    }

    #[test]
    fn what_is_left_of_requests_under_way_has_the_residual_life_distribution() {
        let mean_left = |scenario: &str| {
            let workload = Workload::synthetic(scenario.parse().expect("a scenario"), 3);
            let seeds = workload.seeds();
            let left = |index| workload.residual_lengths(&seeds, Phase::Fill, index).output;
            (0..20_000).map(|index| f64::from(left(index))).sum::<f64>() / 20_000.0
        };
        // Of lengths X it is (E[X²] / E[X] + 1) / 2.
        for (scenario, expected) in [
            ("D(8,12)", 6.5),
            ("D(8,1)", 1.0),
            // E[X] = 256, E[X²] = 256² + (481² − 1) / 12; below 200 and 200² + 20².
            ("U(8,8)/(16,496)", 166.16),
            ("N(8,0)/(200,20)", 101.5),
        ] {
            let seen = mean_left(scenario);
            assert!((seen / expected - 1.0).abs() < 0.03, "{scenario}: {seen}, not {expected}");
        }
    }

    #[test]
    fn a_seed_is_one_that_every_target_takes_as_it_is() {
        let workload = workload(1);
        let seeds = workload.seeds();
        let all = (0..100).map(|index| workload.sampling(&seeds, Phase::Measure, index).seed);
        assert!(all.clone().all(|seed| i32::try_from(seed).is_ok()));
        assert!(all.max() > Some(1 << 30), "and uses all of the range");
    }

    #[test]
    fn requests_and_phases_and_seeds_each_have_lengths_and_sampling_of_their_own() {
        let drawn = |root, phase, index| {
            let workload = workload(root);
            let seeds = workload.seeds();
            let sampling = workload.sampling(&seeds, phase, index);
            (workload.lengths(&seeds, phase, index), sampling.seed)
        };
        let all = [
            drawn(7, Phase::Measure, 0),
            drawn(7, Phase::Measure, 1),
            drawn(7, Phase::Warmup, 0),
            drawn(8, Phase::Measure, 0),
        ];
        for (i, one) in all.iter().enumerate() {
            for other in &all[i + 1..] {
                assert!(one.0 != other.0 && one.1 != other.1, "{one:?} {other:?}");
            }
        }
        assert_eq!(drawn(7, Phase::Measure, 5), drawn(7, Phase::Measure, 5));
    }
}
