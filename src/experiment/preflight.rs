//! Preflight: everything that can be checked before load is sent.

use std::sync::Arc;

use bareflight_engine::tokenizers::Tokenizer;

use crate::engine_directory::EngineProblem;
use crate::engine_directory::check::warn;
use crate::engine_directory::memory::KvEstimate;
use crate::experiment::engines::check_engines;
use crate::experiment::open_files::{self, TooFewOpenFiles};
use crate::experiment::point_runner::Opening;
use crate::experiment::{gpu_watch, machine, workload_file};
use crate::ffi::cuda::CudaError;
use crate::load::plan::{Plan, PlanError, PlanStart};
use crate::observe::gpu::library::NvmlUnavailable;
use crate::request::RequestId;
use crate::request::spec::{Beside, Prompt, RequestSpec};
use crate::settings::Resolved;
use crate::settings::served::{ServedEndpoint, ServedSettings};
use crate::specs::RooflineFacts;
use crate::store::launch_file::LaunchFacts;
use crate::targets::named::Named;
use crate::targets::registry::DefaultPrompts;
use crate::targets::{Target, TargetError, TargetInfo, abilities, registry};
use crate::tokenizer::tokenize::{Tokenize, TokenizeError};
use crate::workload::dataset::DatasetError;
use crate::workload::dataset::entries::Entries;
use crate::workload::images::{ImageError, ImageUrls};
use crate::workload::prompts::{PromptError, PromptSource};
use crate::workload::stop_texts::StopTextError;
use crate::workload::vocabulary::Vocabulary;
use crate::workload::{PromptKind, Workload};

/// What stands in the way of a run.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The plan, as such or against the target's limits.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The prompts.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The file of a workload.
    #[error(transparent)]
    Workload(#[from] DatasetError),
    /// Images that were named.
    #[error(transparent)]
    Images(#[from] ImageError),
    /// Text without a tokenizer.
    #[error(
        "`{targets}` has no tokenizer that text prompts could be counted with: name one with `--tokenizer FILE`{}",
        with_ids(.targets, *.endpoint)
    )]
    NoTokenizer {
        /// Which targets.
        targets: String,
        /// What is asked of the first one that is a server.
        endpoint: ServedEndpoint,
    },
    /// Random ids without a vocabulary.
    #[error(
        "nothing says how many tokens `{0}` knows, and random ids may not exist there: name its tokenizer with `--tokenizer \
         FILE`, or give `--vocab-size N`; with a tokenizer, `--prompts text` asks in words"
    )]
    NoVocabulary(String),
    /// Words as text without a tokenizer.
    #[error(
        "`{flag}` is text, and `{target}` has no tokenizer that could tell its token ids: name one with `--tokenizer FILE`, \
         or give the ids with `--stop-words` and `--bad-words`"
    )]
    NoTokenizerOfWords {
        /// What was typed.
        flag: &'static str,
        /// Which target.
        target: String,
    },
    /// Words as text that the tokenizer has no ids for.
    #[error(transparent)]
    Words(#[from] StopTextError),
    /// GPUs or a library that were named are not there.
    #[error(transparent)]
    Gpu(#[from] NvmlUnavailable),
    /// CUDA's library was named, and does not say which GPUs there are.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// More connections than the system allows files.
    #[error(transparent)]
    OpenFiles(#[from] TooFewOpenFiles),
    /// The engine's configuration does not go with what is asked of it.
    #[error("target `{target}` does not take this run: {}", refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Engine {
        /// Which target.
        target: String,
        /// What it was refused for.
        refused: Vec<EngineProblem>,
    },
}

/// What a message adds where one of the targets takes ids, perhaps at another endpoint.
fn with_ids(targets: &str, endpoint: ServedEndpoint) -> &'static str {
    let mut names = targets.split("`, `");
    let by_endpoint =
        names.any(|name| registry::abilities_of(name).prompts == DefaultPrompts::ByEndpoint);
    match endpoint {
        ServedEndpoint::Rerank => ", which text to rerank needs",
        ServedEndpoint::Chat if by_endpoint => ", or draw `--endpoint completions --prompts ids`",
        ServedEndpoint::Chat | ServedEndpoint::Completions | ServedEndpoint::Embeddings => {
            ", or draw `--prompts ids`"
        }
    }
}

/// A described target and the plans of all points, checked against it.
pub struct Ready {
    /// What answers, not yet opened.
    pub opening: Opening,
    /// One plan for each cell: each load, of each scenario.
    pub plans: Vec<Plan>,
    /// What should be known of the engine before its numbers are read.
    pub warnings: Vec<EngineProblem>,
    /// The model on its machine, where both are known.
    pub roofline: Option<RooflineFacts>,
    /// What the KV cache of an engine directory holds, and what the largest load takes of it.
    pub kv: Option<KvEstimate>,
    /// What prompts are drawn from, for plans that follow from what earlier ones have shown.
    pub source: PromptSource,
    /// The server that was started for it.
    pub launched: Option<LaunchFacts>,
}

/// Describes the target, draws every plan, and holds the plans against the target's limits. Words that were given as text
/// get their token ids in `resolved`, which so says what is asked.
///
/// # Errors
/// The first thing that is in the way, with its remedy.
pub fn prepare(resolved: &mut Resolved) -> Result<Ready, PreflightError> {
    workload_file::send_text_where_nothing_counts(resolved)?;
    let mut named = [registry::describe(&resolved.target, &resolved.engine, &resolved.served)?];
    let info = named[0].target.describe();
    abilities::check(info, &resolved.engine, &resolved.workload)?;
    abilities::check_served(info, &resolved.served)?;
    let kind = resolved.workload.prompts;
    let chosen = workload_file::choose_entries(resolved, kind, &mut named, 1)?;
    let entries = chosen.as_ref().map(|it| it.entries.clone());
    let images = resolved.workload.images.as_ref().map(ImageUrls::read).transpose()?;
    let source = prompt_source(kind, &mut named, &mut [&mut resolved.served], entries)?;
    let mut source = source.with_images(images);
    tokenise_words(&mut resolved.workload, &mut named)?;
    let resolved = &*resolved;
    let [named] = named;
    let limits = named.target.describe().limits;
    let cells = resolved.grid();
    let mut plans: Vec<Plan> = Vec::with_capacity(cells.len());
    for (point, cell) in cells.iter().enumerate() {
        let first_id = plans.last().map_or(RequestId(0), Plan::next_id);
        let start = PlanStart { point: point as u32, first_id };
        let load = &cell.load;
        let plan = Plan::draw(&cell.workload(resolved), load, resolved.size(load), start, &source)?;
        plan.check(&limits)?;
        if let Some(directory) = named.engine_directory() {
            plan.check(&directory.limits(&resolved.engine))?;
        }
        source = source.behind(&plan);
        plans.push(plan);
    }
    open_files::raise(named.target.describe(), &plans)?;
    let telemetry = gpu_watch::find(resolved, named.target.describe().abilities())?;
    let gpus = machine::gpus(&named, resolved, telemetry.as_ref())?;
    let (mut warnings, kv) = check_engines(&named, resolved, &plans, gpus.as_ref())?;
    let (roofline, lacking) = machine::roofline(named.deployment(), resolved, gpus.as_ref());
    warnings.extend(lacking);
    warnings.extend(gpus_said_otherwise(named.target.describe(), resolved));
    warnings.extend(chosen.iter().flat_map(|it| workload_file::notices(it, &plans)));
    let opening = Opening::of(named, telemetry);
    Ok(Ready { opening, plans, warnings, roofline, kv, source, launched: None })
}

/// That the target knows its GPUs, and others were said.
fn gpus_said_otherwise(info: &TargetInfo, resolved: &Resolved) -> Option<EngineProblem> {
    let said = resolved.declared.server.gpu_count.filter(|said| *said != info.gpus)?;
    (info.gpus > 0).then(|| {
        warn(
            "gpus",
            format!("`--server-gpu-count {said}` is kept as said, and the target itself runs on {} GPUs", info.gpus),
            "rates per GPU are over those of the target",
        )
    })
}

/// Describes the target once more, for a session behind one that has ended. What is asked of it was checked before.
///
/// # Errors
/// When the target is not there any more, or its GPUs cannot be watched.
pub fn describe_again(resolved: &Resolved) -> Result<Opening, PreflightError> {
    let named = registry::describe(&resolved.target, &resolved.engine, &resolved.served)?;
    let telemetry = gpu_watch::find(resolved, named.target.describe().abilities())?;
    Ok(Opening::of(named, telemetry))
}

/// Sends a short request or two to a target that can only be known by asking it; they are no part of the load.
///
/// # Errors
/// When the target would refuse the load, with its words and the remedy; or the request cannot be drawn.
pub fn probe(target: &mut dyn Target, plans: &[Plan]) -> Result<(), PreflightError> {
    let Some(plan) = plans.first() else { return Ok(()) };
    let list = if plan.warmup().is_empty() { plan.shots() } else { plan.warmup() };
    if list.is_empty() {
        return Ok(());
    }
    let mut shot = list.shot(0)?;
    let planned = shot.request.output.max_tokens;
    shorten(&mut shot.request);
    match target.probe(&shot) {
        // What is too short for a server says nothing of the load.
        Err(TargetError::Refused { reason, .. })
            if is_about_output_length(&reason) && shot.request.output.max_tokens < planned =>
        {
            shot.request.output.max_tokens = planned;
            Ok(target.probe(&shot)?)
        }
        probed => Ok(probed?),
    }
}

/// Whether a refusal names the member that bounds the output.
fn is_about_output_length(reason: &str) -> bool {
    reason.contains("max_tokens") || reason.contains("max_completion_tokens")
}

/// Tokens of a probe's prompt: too few for a block of any cache.
const PROBE_PROMPT: usize = 8;
/// Tokens of its output.
const PROBE_OUTPUT: u32 = 4;

fn shorten(request: &mut RequestSpec) {
    request.prompt = few(&request.prompt);
    if let Beside::Texts(texts) = &request.beside {
        request.beside = Beside::Texts(texts.iter().map(few).collect());
    }
    let least = request.output.min_tokens.max(PROBE_OUTPUT);
    request.output.max_tokens = request.output.max_tokens.min(least);
}

/// The end of a prompt, so that no prompt of the load begins alike.
fn few(Prompt { ids, text }: &Prompt) -> Prompt {
    let few = |text: &Arc<str>| {
        let words: Vec<&str> = text.split_whitespace().rev().take(PROBE_PROMPT).collect();
        Arc::from(words.join(" "))
    };
    Prompt {
        ids: ids.iter().rev().copied().take(PROBE_PROMPT).collect(),
        text: text.as_ref().map(few),
    }
}

/// Prompts that every one of these targets takes: ids below the smallest vocabulary and special to none of them, text of the
/// first tokenizer that there is, or texts of a file that nothing counts; with the entries of a file where there is one.
pub(super) fn prompt_source(
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
pub(super) fn told_by(targets: &[Named]) -> impl Iterator<Item = u32> {
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
pub(super) fn tokenise_words(
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

    #[test]
    fn a_chat_server_without_a_tokenizer_is_offered_what_it_takes() {
        let targets = "openai:http://host".to_owned();
        let error = PreflightError::NoTokenizer { targets, endpoint: ServedEndpoint::Chat };
        let error = error.to_string();
        for remedy in ["--tokenizer FILE", "`--endpoint completions --prompts ids`"] {
            assert!(error.contains(remedy), "{error}");
        }
    }
}
