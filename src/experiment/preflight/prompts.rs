//! What prompts are drawn from: the tokenizer and the vocabulary of the targets.

use std::sync::Arc;

use bareflight_engine::tokenizers::Tokenizer;

use crate::experiment::preflight::PreflightError;
use crate::settings::served::{ServedEndpoint, ServedSettings};
use crate::targets::named::Named;
use crate::tokenizer::tokenize::{Tokenize, TokenizeError};
use crate::workload::dataset::entries::Entries;
use crate::workload::prompts::{PromptError, PromptSource};
use crate::workload::vocabulary::Vocabulary;
use crate::workload::{PromptKind, Workload};

/// Prompts that every one of these targets takes: ids below the smallest vocabulary and special to none of them, text of the
/// first tokenizer that there is, or texts of a file that nothing counts; with the entries of a file where there is one.
pub(in crate::experiment) fn prompt_source(
    kind: PromptKind,
    targets: &mut [Named],
    served: &mut [&mut ServedSettings],
    entries: Option<Entries>,
) -> Result<PromptSource, PreflightError> {
    match kind {
        PromptKind::Ids => {
            let size = vocabulary_size(targets, served)?;
            let special: Vec<u32> = targets.iter().flat_map(Named::special_ids).collect();
            Ok(PromptSource::ids(Vocabulary::new(size, special)?).with_entries(entries))
        }
        PromptKind::Text => {
            let said = served.iter().filter_map(|it| it.vocab_size);
            let limit = told_by(targets).chain(said).min();
            for named in targets.iter_mut() {
                let Some(tokenizer) = named.tokenizer()? else { continue };
                match PromptSource::text(Arc::new(HfTokenizer(tokenizer)), limit) {
                    // Nothing is drawn where a file has every text.
                    Err(PromptError::NoWords)
                        if entries.as_ref().is_some_and(Entries::are_all_given) =>
                    {
                        break;
                    }
                    source => return Ok(source?.with_entries(entries)),
                }
            }
            if let Some(entries) = entries.filter(Entries::are_all_given) {
                return Ok(PromptSource::verbatim(entries));
            }
            let names: Vec<String> =
                targets.iter().map(|it| it.target.describe().name.clone()).collect();
            let endpoint = served.first().map_or_else(ServedEndpoint::default, |it| it.endpoint);
            Err(PreflightError::NoTokenizer { targets: names.join("`, `"), endpoint })
        }
    }
}

/// Vocabulary that the targets themselves report.
pub(in crate::experiment) fn told_by(targets: &[Named]) -> impl Iterator<Item = u32> {
    targets.iter().filter_map(|it| it.target.describe().limits.vocab_size)
}

/// Ids that every model has: a vocabulary holds at least the bytes.
const SMALLEST_VOCABULARY: u32 = 256;

/// Random ids are below the smallest vocabulary of all targets.
fn vocabulary_size(
    targets: &mut [Named],
    served: &mut [&mut ServedSettings],
) -> Result<u32, PreflightError> {
    let mut smallest = u32::MAX;
    for (named, served) in targets.iter_mut().zip(served) {
        smallest = smallest.min(vocabulary_of(named, served)?);
    }
    Ok(smallest)
}

/// What the target, its tokenizer or `--vocab-size` tells. Where none does, ids that were asked for are refused; where they are
/// only the default, those are drawn that every model has, and the settings say so.
fn vocabulary_of(named: &mut Named, served: &mut ServedSettings) -> Result<u32, PreflightError> {
    let told = named.target.describe().limits.vocab_size;
    let tokenizer = if told.is_none() { named.tokenizer()? } else { None };
    let counted = tokenizer.map(|it| it.get_vocab_size(true) as u32);
    match [told, counted, served.vocab_size].into_iter().flatten().min() {
        Some(size) => Ok(size),
        None if served.ids_by_default => {
            (served.ids_by_default, served.vocab_size) = (false, Some(SMALLEST_VOCABULARY));
            Ok(SMALLEST_VOCABULARY)
        }
        None => Err(PreflightError::NoVocabulary(named.target.describe().name.clone())),
    }
}

/// Adds the token ids of words that were given as text: of the first tokenizer that there is, below the smallest vocabulary.
pub(in crate::experiment) fn tokenise_words(
    workload: &mut Workload,
    targets: &mut [Named],
) -> Result<(), PreflightError> {
    let Some(flag) = workload.stop_texts.flag() else { return Ok(()) };
    let vocabulary = targets.iter().filter_map(|it| it.target.describe().limits.vocab_size).min();
    for named in targets.iter_mut() {
        if let Some(tokenizer) = named.tokenizer()?.map(HfTokenizer) {
            return Ok(workload.stop_texts.add_to(&mut workload.terms, &tokenizer, vocabulary)?);
        }
    }
    let names: Vec<String> = targets.iter().map(|it| it.target.describe().name.clone()).collect();
    Err(PreflightError::NoTokenizerOfWords { flag, target: names.join("`, `") })
}

/// A tokenizer in Hugging Face's format.
pub struct HfTokenizer(pub Tokenizer);

impl Tokenize for HfTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        let encoding =
            self.0.encode(text, false).map_err(|error| TokenizeError(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizeError> {
        self.0.decode(ids, true).map_err(|error| TokenizeError(error.to_string()))
    }

    fn vocab_size(&self) -> u32 {
        self.0.get_vocab_size(true) as u32
    }

    fn special_ids(&self) -> Vec<u32> {
        let added = self.0.get_added_tokens_decoder();
        added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use bareflight_engine::dummy_tokenizer;

    use super::*;
    use crate::cli::resolve::resolve;
    use crate::cli::typed::Settings;
    use crate::experiment::blocks;
    use crate::experiment::preflight::prepare;
    use crate::settings::Resolved;
    use crate::targets::registry;
    use crate::workload::stop_texts::StopTextError;

    fn resolved(settings: &str) -> Resolved {
        let typed: Settings = toml::from_str(settings).expect(settings);
        resolve(&typed).expect(settings)
    }

    const ASKED: &str = "concurrency = [1]\nrequests = 4";

    #[test]
    fn words_as_text_want_a_tokenizer_and_a_target_that_takes_them() {
        for (target, named) in
            [("sim:null", ["--bad-text", "--tokenizer"]), ("null:", ["--bad-text", "trtllm:"])]
        {
            let mut asked =
                resolved(&format!("target = '{target}'\n{ASKED}\n[request]\nbad_text = ['END']"));
            let error = prepare(&mut asked).err().expect(target).to_string();
            assert!(named.iter().all(|part| error.contains(part)), "{error}");
        }
    }

    #[test]
    fn words_as_text_ask_for_the_same_as_their_ids_do_and_are_written_down_with_them() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("tokenizer.json");
        dummy_tokenizer(100).save(&file, false).expect("a file");
        let asked = |request: &str| {
            let tokenizer = file.display();
            let settings = format!(
                "target = 'sim:null'\ntokenizer = '{tokenizer}'\n{ASKED}\n[request]\n{request}"
            );
            let mut resolved = resolved(&settings);
            let ready = prepare(&mut resolved).expect("it can be asked");
            (ready.plans[0].hash().to_owned(), resolved.to_settings())
        };
        let (as_ids, _) = asked("stop_words = '5,6;7'");
        let (as_text, written) = asked("stop_text = ['w0005 w0006', 'w0007']");
        assert_eq!(as_text, as_ids);
        let words = written.request.stop_words.as_ref().expect("ids").to_string();
        assert_eq!(words, "5,6;7");
        // Run again from its own settings, it is the same run.
        let mut again = resolve(&written).expect("as written");
        let ready = prepare(&mut again).expect("it can be asked");
        assert_eq!((ready.plans[0].hash(), again.to_settings()), (as_ids.as_str(), written));
    }

    #[test]
    fn words_as_text_take_any_side_s_tokenizer_and_must_fit_every_side() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("tokenizer.json");
        dummy_tokenizer(100).save(&file, false).expect("a file");
        let tokenizer = format!("tokenizer = '{}'\n", file.display());
        let asked = |tokenizer: &str| {
            resolved(&format!(
                "target = 'sim:null'\n{tokenizer}{ASKED}\n[request]\nstop_text = ['w0005']"
            ))
        };
        // The first side has none.
        let (mut first, second) = (asked(""), asked(&tokenizer));
        let name = |it: &Resolved| registry::describe(&it.target, &it.engine, &it.served);
        let mut named = [name(&first).expect("a target"), name(&second).expect("a target")];
        tokenise_words(&mut first.workload, &mut named).expect("the second side has one");
        assert_eq!(first.to_settings().request.stop_words.expect("ids").to_string(), "5");
    }

    #[test]
    fn a_word_that_the_first_side_has_and_another_has_not_is_refused_before_anything_is_opened() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("tokenizer.json");
        dummy_tokenizer(100).save(&file, false).expect("a file");
        let side = |vocabulary: u32| {
            resolved(&format!(
                "target = 'sim:null,vocab={vocabulary}'\ntokenizer = '{}'\n{ASKED}\n[request]\nbad_text = ['w0042']",
                file.display()
            ))
        };
        let prepared = |vocabularies: [u32; 2]| {
            let mut sides = vocabularies.map(side);
            let ready = blocks::prepare(&mut sides, 1).map(|_| ());
            ready.map(|()| sides.map(|it| it.workload.terms.bad_words.expect("ids").to_string()))
        };
        // The words of this tokenizer are numbered in base 16.
        assert_eq!(prepared([100, 67]).expect("both have it"), ["66", "66"]);
        for sides in [[100, 66], [66, 100]] {
            let error = prepared(sides).expect_err("one has not");
            let outside = |it: &StopTextError| {
                matches!(
                    it,
                    StopTextError::Outside { flag: "--bad-text", id: 66, vocabulary: 66, .. }
                )
            };
            assert!(
                matches!(&error, PreflightError::Words(it) if outside(it)),
                "{sides:?}: {error}"
            );
        }
    }

    /// The vocabulary that prompts of these settings are drawn from; nobody listens there.
    fn vocabulary(settings: &str) -> Result<(u32, Settings), String> {
        let target = "target = 'openai:http://127.0.0.1:9'\nmodel = 'm'\nendpoint = 'completions'";
        let mut asked = resolved(&format!("{target}\n{ASKED}\n{settings}"));
        let ready = prepare(&mut asked).map_err(|error| error.to_string())?;
        let size = ready.plans[0].shots().series().vocabulary().expect("ids are drawn").size();
        Ok((size, asked.to_settings()))
    }

    #[test]
    fn ids_are_drawn_from_a_vocabulary_that_somebody_tells_and_never_from_a_guess() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("tokenizer.json");
        dummy_tokenizer(8_192).save(&file, false).expect("a file");
        let tokenizer = format!("tokenizer = '{}'", file.display());
        let size = |settings: &str| vocabulary(settings).map(|(size, _)| size);
        assert_eq!(size(&tokenizer), Ok(8_192));
        assert_eq!(size(&format!("{tokenizer}\nvocab_size = 500")), Ok(500), "the smaller one");
        assert_eq!(size("vocab_size = 128000\nprompts = 'ids'"), Ok(128_000));
        let refused = size("prompts = 'ids'").expect_err("nobody tells");
        assert!(refused.contains("--vocab-size") && refused.contains("--tokenizer"), "{refused}");
        let (least, written) = vocabulary("").expect("ids that every model has");
        assert_eq!((least, written.vocab_size), (256, Some(256)), "the settings say so");
    }
}
