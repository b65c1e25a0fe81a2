//! Prompt sources: token ids or text, of exact lengths, drawn by index.

use std::sync::{Arc, OnceLock};

use rand_xoshiro::Xoshiro256PlusPlus;
use thiserror::Error;

use crate::request::spec::Prompt;
use crate::tokenizer::tokenize::{Tokenize, TokenizeError};
use crate::workload::PromptKind;
use crate::workload::dataset::entries::{Content as EntryContent, Entries, Entry};
use crate::workload::images::{ImageUrls, noise};
use crate::workload::prefixes::{PrefixGroups, SharedPrefix};
use crate::workload::scenario::{MadeImages, Scenario};
use crate::workload::seeds::{Phase, Seeds, Stream};
use crate::workload::text::{TextPrefix, TextSource};
use crate::workload::vocabulary::Vocabulary;
use crate::workload::words::Words;

/// Draws prompts of exact lengths. Holds no seed and does not change, so it may be shared between threads; a copy costs
/// no more than a reference count.
#[derive(Debug, Clone)]
pub struct PromptSource {
    content: Content,
    entries: Option<Entries>,
    images: Option<ImageUrls>,
}

#[derive(Debug, Clone)]
enum Content {
    Ids(Vocabulary),
    Text(Arc<TextSource>),
    /// Texts of a file as they stand there, which nothing here can count.
    Verbatim,
}

/// The prompts of one stretch of a session: one phase of one point of load.
///
/// Prompt `index` is a pure function of the seeds, the phase, the point and the index. Prompts of other points
/// and phases differ, and so does the shared prefix: no stretch finds a cache that an earlier one has filled.
#[derive(Debug)]
pub struct PromptSeries {
    seeds: Seeds,
    phase: Phase,
    point: u32,
    content: SeriesContent,
    entries: Option<Entries>,
    images: Option<ImageUrls>,
    shared: SharedPrefix,
}

#[derive(Debug)]
enum SeriesContent {
    Ids { vocabulary: Vocabulary, prefixes: Groups<Vec<u32>> },
    Text { source: Arc<TextSource>, prefixes: Groups<TextPrefix> },
    Verbatim,
}

/// The prefix of each group, drawn when a prompt first begins with it.
#[derive(Debug)]
struct Groups<T>(Vec<OnceLock<T>>);

impl<T> Groups<T> {
    fn new(shared: &SharedPrefix) -> Self {
        let groups = shared.groups.as_ref().map_or(1, PrefixGroups::count);
        Self((0..groups).map(|_| OnceLock::new()).collect())
    }

    fn get(
        &self,
        group: u32,
        draw: impl FnOnce() -> Result<T, PromptError>,
    ) -> Result<&T, PromptError> {
        let place = &self.0[group as usize];
        if let Some(drawn) = place.get() {
            return Ok(drawn);
        }
        let drawn = draw()?;
        // Another thread may have drawn the same.
        Ok(place.get_or_init(|| drawn))
    }
}

/// Why a prompt could not be drawn.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PromptError {
    /// Fewer than two ids to draw from.
    #[error(
        "a vocabulary of {size} ids has {allowed} left after the special ones, and random prompts need \
         at least 2: give the vocabulary size of the model"
    )]
    VocabularyTooSmall {
        /// Ids in the vocabulary.
        size: u32,
        /// Ids that may be drawn.
        allowed: u32,
    },
    /// The tokenizer splits no word into ordinary tokens.
    #[error(
        "the tokenizer turns none of the tried words into ordinary tokens: draw prompts as token ids instead"
    )]
    NoWords,
    /// No text of this length was found.
    #[error(
        "no text that re-tokenises to exactly {wanted} tokens was found in {tries} tries (closest: {closest}): \
         draw prompts as token ids, or ask for another length"
    )]
    Unreachable {
        /// Tokens asked for.
        wanted: u32,
        /// Nearest count that was reached with the shared prefix intact.
        closest: u32,
        /// Encodings tried.
        tries: u32,
    },
    /// The shared prefix does not fit into the prompt.
    #[error(
        "a prompt of {tokens} tokens cannot begin with a shared prefix of {prefix}: shorten the prefix, or \
         raise the shortest prompt of the scenario to {prefix} tokens"
    )]
    PrefixTooLong {
        /// Tokens of the prompt.
        tokens: u32,
        /// Tokens of the prefix.
        prefix: u32,
    },
    /// Random text without a tokenizer.
    #[error("random text needs a tokenizer that counts it: name one with `--tokenizer FILE`")]
    NothingToDrawFrom,
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
}

impl PromptSource {
    /// Prompts of random ids, uniform over what the vocabulary allows.
    pub fn ids(vocabulary: Vocabulary) -> Self {
        Self { content: Content::Ids(vocabulary), entries: None, images: None }
    }

    /// Prompts of random words that re-tokenise to exactly the wanted count with this tokenizer, of ids below `limit`
    /// where there is one.
    ///
    /// # Errors
    /// When the tokenizer fails or knows no words.
    pub fn text(tokenizer: Arc<dyn Tokenize>, limit: Option<u32>) -> Result<Self, PromptError> {
        let content = Content::Text(Arc::new(TextSource::new(tokenizer, limit)?));
        Ok(Self { content, entries: None, images: None })
    }

    /// Prompts of these entries as they stand in their file, each of which has a text.
    pub fn verbatim(entries: Entries) -> Self {
        Self { content: Content::Verbatim, entries: Some(entries), images: None }
    }

    /// The same, with the entries of a file in place of random prompts, of random lengths, or both.
    #[must_use]
    pub fn with_entries(self, entries: Option<Entries>) -> Self {
        Self { entries, ..self }
    }

    /// The same, with images that were given.
    #[must_use]
    pub fn with_images(self, images: Option<ImageUrls>) -> Self {
        Self { images, ..self }
    }

    /// The entries of a file, where there is one.
    pub fn entries(&self) -> Option<&Entries> {
        self.entries.as_ref()
    }

    /// The same behind so many texts that were measured and sent unmeasured: the next plan has entries of its own.
    #[must_use]
    pub fn behind_texts(self, measured: usize, unmeasured: usize) -> Self {
        let entries = self.entries.map(|it| it.behind(measured, unmeasured));
        Self { entries, ..self }
    }

    /// What its prompts are made of.
    pub fn kind(&self) -> PromptKind {
        match self.content {
            Content::Ids(_) => PromptKind::Ids,
            Content::Text(_) | Content::Verbatim => PromptKind::Text,
        }
    }

    /// The prompts of one phase of one point, which begin with the same tokens, or those of one group do.
    ///
    /// # Errors
    /// When no prefix of that length can be drawn.
    pub fn series(
        &self,
        seeds: Seeds,
        shared: impl Into<SharedPrefix>,
        phase: Phase,
        point: u32,
    ) -> Result<PromptSeries, PromptError> {
        let shared = shared.into();
        let content = match &self.content {
            Content::Ids(vocabulary) => SeriesContent::Ids {
                prefixes: Groups::new(&shared),
                vocabulary: vocabulary.clone(),
            },
            Content::Text(source) => {
                SeriesContent::Text { prefixes: Groups::new(&shared), source: Arc::clone(source) }
            }
            Content::Verbatim => SeriesContent::Verbatim,
        };
        let (entries, images) = (self.entries.clone(), self.images.clone());
        let series = PromptSeries { seeds, phase, point, content, entries, images, shared };
        if let SeriesContent::Text { source, prefixes } = &series.content {
            // Whether there is such a text at all is known before any prompt is drawn.
            series.text_prefix(source, prefixes, 0)?;
        }
        Ok(series)
    }
}

impl PromptSeries {
    /// The ids that prompts are made of; `None` where nobody here knows any.
    pub fn vocabulary(&self) -> Option<&Vocabulary> {
        match &self.content {
            SeriesContent::Ids { vocabulary, .. } => Some(vocabulary),
            SeriesContent::Text { source, .. } => Some(source.vocabulary()),
            SeriesContent::Verbatim => None,
        }
    }

    /// The words that prompts are made of; `None` where they are drawn as ids.
    pub fn words(&self) -> Option<&Words> {
        match &self.content {
            SeriesContent::Ids { .. } | SeriesContent::Verbatim => None,
            SeriesContent::Text { source, .. } => Some(source.words()),
        }
    }

    /// Tokens that prompts begin with alike.
    pub fn prefix_tokens(&self) -> usize {
        match &self.content {
            SeriesContent::Ids { .. } | SeriesContent::Text { .. } => self.shared.tokens as usize,
            SeriesContent::Verbatim => 0,
        }
    }

    /// The group whose prefix prompt `index` begins with; `None` where all begin alike, or this one is a file's.
    pub fn group_of(&self, index: u32) -> Option<u32> {
        let groups = self.shared.groups.as_ref()?;
        let draws = self.shared.tokens > 0 && self.draws(index);
        draws.then(|| groups.group_of(&self.seeds, self.phase, index))
    }

    /// Of a group's prefix; that of the first one is the prefix where there are no groups.
    fn prefix_rng(&self, group: u32) -> Xoshiro256PlusPlus {
        let place = [prefix_phase(self.phase).code(), self.point.into(), group.into()];
        let place = if group == 0 { &place[..2] } else { &place[..] };
        self.seeds.rng(Stream::Prefixes, place)
    }

    fn ids_prefix<'a>(
        &self,
        vocabulary: &Vocabulary,
        prefixes: &'a Groups<Vec<u32>>,
        group: u32,
    ) -> Result<&'a Vec<u32>, PromptError> {
        prefixes.get(group, || {
            let mut rng = self.prefix_rng(group);
            Ok((0..self.shared.tokens).map(|_| vocabulary.draw(&mut rng)).collect())
        })
    }

    fn text_prefix<'a>(
        &self,
        source: &TextSource,
        prefixes: &'a Groups<TextPrefix>,
        group: u32,
    ) -> Result<&'a TextPrefix, PromptError> {
        prefixes.get(group, || source.prefix(&mut self.prefix_rng(group), self.shared.tokens))
    }

    /// The entry of a file that text `index` comes from, where there is a file.
    pub fn entry(&self, index: u64) -> Option<&Entry> {
        self.entries.as_ref().map(|entries| entries.of(self.phase, index))
    }

    /// Whether the prompt of request `index` is drawn as a whole, behind the shared prefix, and is no file's.
    pub fn draws(&self, index: u32) -> bool {
        match self.entry(index.into()).map(|entry| &entry.content) {
            Some(EntryContent::Prompt(_) | EntryContent::Blocks { .. }) => false,
            Some(EntryContent::Length) | None => true,
        }
    }

    /// Images that were given, where there are any.
    pub fn images(&self) -> Option<&ImageUrls> {
        self.images.as_ref()
    }

    /// Images of request `index`: those of its entry, given ones in turns, or made ones; `None` where it has none.
    pub fn images_of(&self, index: u32, scenario: Scenario) -> Option<Arc<[Arc<str>]>> {
        if let Some(entry) = self.entry(index.into()) {
            let of_entry = entry.images.as_ref().map(Arc::clone);
            return of_entry.or_else(|| Some(self.images.as_ref()?.of(index)));
        }
        if let Some(images) = &self.images {
            return Some(images.of(index));
        }
        let Scenario::Images { made: MadeImages { width, height, count }, .. } = scenario else {
            return None;
        };
        let place =
            |number: u32| [self.phase.code(), self.point.into(), index.into(), number.into()];
        let image =
            |number| noise(&mut self.seeds.rng(Stream::Images, &place(number)), width, height);
        Some((0..count).map(image).collect())
    }

    /// A prompt whose blocks are a function of their ids: equal ids are equal tokens, so that a cache of prefixes finds them.
    fn of_blocks(
        &self,
        index: u32,
        tokens: u32,
        block: u32,
        ids: &[u64],
    ) -> Result<Prompt, PromptError> {
        let phase = prefix_phase(self.phase).code();
        let rng_of = |id: u64| self.seeds.rng(Stream::Blocks, &[phase, self.point.into(), id]);
        let place = [self.phase.code(), self.point.into(), index.into()];
        // What no id names is the request's own.
        let own = || self.seeds.rng(Stream::Prompts, &place);
        let ends = (1..).map(|number: u32| number.saturating_mul(block).min(tokens));
        let ends = ids.iter().map(|id| rng_of(*id)).zip(ends).chain([(own(), tokens)]);
        match &self.content {
            SeriesContent::Ids { vocabulary, .. } => {
                let mut drawn = Vec::with_capacity(tokens as usize);
                for (mut rng, end) in ends {
                    let missing = end as usize - drawn.len();
                    drawn.extend((0..missing).map(|_| vocabulary.draw(&mut rng)));
                }
                Ok(Prompt { ids: drawn.into(), text: None })
            }
            SeriesContent::Text { source, .. } => {
                let mut text = TextPrefix::default();
                for (mut rng, end) in ends {
                    text = source.extend(&mut rng, &text, end)?;
                }
                Ok(text.into_prompt())
            }
            SeriesContent::Verbatim => Err(PromptError::NothingToDrawFrom),
        }
    }

    /// Whether a prompt may have this length.
    ///
    /// # Errors
    /// When the shared prefix is longer.
    pub fn check(&self, tokens: u32) -> Result<(), PromptError> {
        own_tokens(tokens, self.prefix_tokens()).map(|_| ())
    }

    /// Prompt `index`, exactly `tokens` long, the shared prefix included.
    ///
    /// # Errors
    /// When the prefix is longer than that, or no such text can be found.
    pub fn prompt(&self, index: u32, tokens: u32) -> Result<Prompt, PromptError> {
        match self.entry(index.into()).map(|entry| &entry.content) {
            Some(EntryContent::Prompt(prompt)) => return Ok(prompt.clone()),
            Some(EntryContent::Blocks { block, ids }) => {
                return self.of_blocks(index, tokens, *block, ids);
            }
            Some(EntryContent::Length) | None => {}
        }
        self.drawn(index, &[self.phase.code(), self.point.into(), index.into()], tokens)
    }

    /// Another text of request `index`, numbered from 1, exactly `tokens` long.
    ///
    /// # Errors
    /// As [`Self::prompt`].
    pub fn further(&self, index: u32, number: u32, tokens: u32) -> Result<Prompt, PromptError> {
        let place = [self.phase.code(), self.point.into(), index.into(), number.into()];
        self.drawn(index, &place, tokens)
    }

    fn drawn(&self, index: u32, place: &[u64], tokens: u32) -> Result<Prompt, PromptError> {
        let mut rng = self.seeds.rng(Stream::Prompts, place);
        let group = self.group_of(index).unwrap_or(0);
        match &self.content {
            SeriesContent::Ids { vocabulary, prefixes } => {
                let prefix = self.ids_prefix(vocabulary, prefixes, group)?;
                let own = own_tokens(tokens, prefix.len())?;
                let drawn = (0..own).map(|_| vocabulary.draw(&mut rng));
                Ok(Prompt { ids: prefix.iter().copied().chain(drawn).collect(), text: None })
            }
            SeriesContent::Text { source, prefixes } => {
                let prefix = self.text_prefix(source, prefixes, group)?;
                own_tokens(tokens, prefix.tokens())?;
                source.prompt(&mut rng, prefix, tokens)
            }
            SeriesContent::Verbatim => Err(PromptError::NothingToDrawFrom),
        }
    }
}

/// Ramp and tail are of one kind with what is measured between them.
fn prefix_phase(phase: Phase) -> Phase {
    match phase {
        Phase::Warmup => Phase::Warmup,
        Phase::Measure | Phase::Fill => Phase::Measure,
    }
}

fn own_tokens(tokens: u32, prefix: usize) -> Result<usize, PromptError> {
    (tokens as usize)
        .checked_sub(prefix)
        .ok_or(PromptError::PrefixTooLong { tokens, prefix: prefix as u32 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source() -> PromptSource {
        PromptSource::ids(Vocabulary::new(1000, [0, 1, 2, 999]).expect("996 ids are left"))
    }

    fn series(source: &PromptSource, root: u64, prefix: u32) -> PromptSeries {
        source
            .series(Seeds::from_root(root), prefix, Phase::Measure, 0)
            .expect("ids can always be drawn")
    }

    #[test]
    fn a_prefix_longer_than_the_prompt_is_refused() {
        let source = source();
        let refused = series(&source, 1, 9).prompt(0, 8);
        assert_eq!(refused, Err(PromptError::PrefixTooLong { tokens: 8, prefix: 9 }));
    }

    #[test]
    fn a_prompt_is_the_same_whatever_was_drawn_before_it() {
        let source = source();
        let forwards: Vec<_> = (0..50).map(|i| series(&source, 7, 4).prompt(i, 16)).collect();
        let one = series(&source, 7, 4);
        let backwards: Vec<_> = (0..50).rev().map(|i| one.prompt(i, 16)).collect();
        assert!(forwards.iter().eq(backwards.iter().rev()));
    }

    #[test]
    fn prompts_share_the_prefix_and_nothing_else() {
        let source = source();
        let one = series(&source, 7, 4);
        let (a, b) = (one.prompt(0, 32).expect("drawn"), one.prompt(1, 32).expect("drawn"));
        assert_eq!(a.ids[..4], b.ids[..4]);
        assert!(a.ids[4..].iter().zip(&b.ids[4..]).filter(|(x, y)| x == y).count() < 4);
    }

    #[test]
    fn phases_points_and_seeds_share_neither_prompts_nor_prefixes() {
        let source = source();
        let mut seen = std::collections::HashSet::new();
        for root in [1, 2] {
            for phase in [Phase::Warmup, Phase::Measure] {
                for point in [0, 1] {
                    let drawn = source
                        .series(Seeds::from_root(root), 8, phase, point)
                        .and_then(|series| series.prompt(0, 16))
                        .expect("drawn");
                    assert!(seen.insert(drawn.ids[..8].to_vec()));
                    assert!(seen.insert(drawn.ids[8..].to_vec()));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_prompt_has_exactly_the_tokens_asked_for_and_no_special_id(
            root: u64, index: u32, tokens in 1_u32..300, prefix in 0_u32..300,
        ) {
            let source = source();
            let drawn = series(&source, root, prefix).prompt(index, tokens);
            if prefix > tokens {
                prop_assert!(drawn.is_err());
            } else {
                let prompt = drawn.expect("the prefix fits");
                prop_assert_eq!(prompt.tokens(), tokens);
                prop_assert!(prompt.ids.iter().all(|id| (3..999).contains(id)));
            }
        }
    }
}
