//! Resolution of a workload's flags: a scenario by its means and deviations, or a file.

use std::ops::RangeInclusive;

use super::{SettingsError, conversation};
use crate::cli::typed::{Settings, WorkloadFlags};
use crate::settings::DEFAULT_SCENARIO;
use crate::settings::human_duration::HumanDuration;
use crate::workload::Workload;
use crate::workload::dataset::bench_config::BenchDataset;
use crate::workload::dataset::{FileKind, FileOrder, FileSource, FileWorkload};
use crate::workload::images::ImagesFrom;
use crate::workload::mixture::{
    MOST_PARTS, Mixture, MixturePart, MixtureSource, PartContent, SourceText,
};
use crate::workload::prefixes::PrefixGroups;
use crate::workload::scenario::{MAX_TOKENS, Scenario};

/// The scenarios, as they were typed or one by its means and deviations; never empty.
fn scenarios(typed: &Settings) -> Result<Vec<Scenario>, SettingsError> {
    let flags = &typed.workload;
    let (input, output) = (flags.input_tokens_mean, flags.output_tokens_mean);
    let deviations = (flags.input_tokens_stddev, flags.output_tokens_stddev);
    let any = input.is_some() || output.is_some() || deviations != (None, None);
    match (&typed.scenario, any) {
        (Some(scenarios), _) if scenarios.is_empty() => Err(SettingsError::EmptyList("scenario")),
        (Some(scenarios), true)
            if let [Scenario::Images { made, input: own_input, output: own_output }] =
                scenarios[..]
                && deviations == (None, None) =>
        {
            // The lengths of the text beside images.
            Ok(vec![Scenario::Images {
                made,
                input: whole_or("--isl", input, own_input)?,
                output: whole_or("--osl", output, own_output)?,
            }])
        }
        (Some(_), true) => {
            let why = "it says the lengths too";
            Err(SettingsError::Apart("--scenario", "`--isl`, `--osl` and their deviations", why))
        }
        (Some(scenarios), false) => Ok(scenarios.clone()),
        (None, false) => Ok(vec![DEFAULT_SCENARIO.parse()?]),
        (None, true) => {
            let input = input.ok_or(SettingsError::Needs("--osl", "`--isl`"))?;
            let output = output.ok_or(SettingsError::Needs("--isl", "`--osl`"))?;
            let most = f64::from(MAX_TOKENS);
            in_range("--isl", Some(input), 1.0..=most, "a number of tokens from 1 to 16777216")?;
            in_range("--osl", Some(output), 1.0..=most, "a number of tokens from 1 to 16777216")?;
            let deviation = "a deviation in tokens from 0 to 16777216";
            in_range("--isl-stddev", deviations.0, 0.0..=most, deviation)?;
            in_range("--osl-stddev", deviations.1, 0.0..=most, deviation)?;
            let text = match deviations {
                (None, None) if input.fract() == 0.0 && output.fract() == 0.0 => {
                    format!("D({input},{output})")
                }
                (of_input, of_output) => {
                    let (of_input, of_output) = (of_input.unwrap_or(0.0), of_output.unwrap_or(0.0));
                    format!("N({input},{of_input})/({output},{of_output})")
                }
            };
            Ok(vec![text.parse()?])
        }
    }
}

fn in_range(
    flag: &'static str,
    given: Option<f64>,
    allowed: RangeInclusive<f64>,
    range: &'static str,
) -> Result<(), SettingsError> {
    match given.filter(|given| !allowed.contains(given)) {
        Some(given) => Err(SettingsError::Range { flag, given: given.to_string(), range }),
        None => Ok(()),
    }
}

/// A length as a whole number of tokens; its own where none is given.
fn whole_or(flag: &'static str, given: Option<f64>, own: u32) -> Result<u32, SettingsError> {
    let Some(given) = given else { return Ok(own) };
    let is_length = given.fract() == 0.0 && (1.0..=f64::from(MAX_TOKENS)).contains(&given);
    let range = "a whole number of tokens";
    let wrong = || SettingsError::Range { flag, given: given.to_string(), range };
    is_length.then_some(given as u32).ok_or_else(wrong)
}

/// Where prompts and lengths come from.
pub(super) struct Asked {
    /// Never empty; unused beside a file or a mixture.
    pub(super) scenarios: Vec<Scenario>,
    pub(super) file: Option<FileWorkload>,
    pub(super) mixture: Option<Mixture>,
}

/// The same settings with the files that dataset configurations name; `None` where there is no such configuration.
pub(super) fn follow_configurations(typed: &Settings) -> Result<Option<Settings>, SettingsError> {
    let is_config = |it: &SourceText| matches!(&it.source, MixtureSource::File(file) if file.kind == FileKind::GenaiBench);
    let sources = typed.workload.workload.as_deref().unwrap_or_default();
    if !sources.iter().any(is_config) {
        return Ok(None);
    }
    let mut followed = typed.clone();
    let flags = &mut followed.workload;
    for source in flags.workload.iter_mut().flatten() {
        let MixtureSource::File(file) = &mut source.source else { continue };
        if file.kind != FileKind::GenaiBench {
            continue;
        }
        let BenchDataset { source: named, prompt_column, image_column } =
            BenchDataset::read(&file.path)?;
        for (flag, typed, said) in [
            ("--prompt-column", &mut flags.prompt_column, prompt_column),
            ("--image-column", &mut flags.image_column, image_column),
        ] {
            if typed.is_some() && said.is_some() && *typed != said {
                let why = "whose configuration names another column";
                return Err(SettingsError::Apart(flag, "`--workload genai-bench`", why));
            }
            *typed = typed.take().or(said);
        }
        *file = named;
    }
    Ok(Some(followed))
}

/// A scenario, a file or a mixture, as it was typed.
pub(super) fn asked(typed: &Settings) -> Result<Asked, SettingsError> {
    let flags = &typed.workload;
    let Some(sources) = flags.workload.as_deref() else {
        refuse_without_file(flags)?;
        return Ok(Asked { scenarios: scenarios(typed)?, file: None, mixture: None });
    };
    refuse_lengths(typed)?;
    refuse_what_no_part_has(typed, sources)?;
    let unused = vec![DEFAULT_SCENARIO.parse()?];
    match sources {
        [] => Err(SettingsError::EmptyList("--workload")),
        [SourceText { source: MixtureSource::Synthetic(scenario), .. }] => {
            refuse_without_file(flags)?;
            Ok(Asked { scenarios: vec![*scenario], file: None, mixture: None })
        }
        [SourceText { source: MixtureSource::File(source), .. }] => {
            let file = file(typed, source)?;
            Ok(Asked { scenarios: unused, file: Some(file), mixture: None })
        }
        several => {
            refuse_beside_mixture(typed, several)?;
            if several.iter().all(|it| matches!(it.source, MixtureSource::Synthetic(_))) {
                refuse_without_file(flags)?;
            }
            let part = |text: &SourceText| {
                let asks = match &text.source {
                    MixtureSource::Synthetic(scenario) => PartContent::Synthetic(*scenario),
                    MixtureSource::File(source) => {
                        PartContent::File(Box::new(file(typed, source)?))
                    }
                };
                Ok(MixturePart { weight: text.weight, asks })
            };
            let parts = several.iter().map(part).collect::<Result<_, SettingsError>>()?;
            Ok(Asked { scenarios: unused, file: None, mixture: Some(Mixture { parts }) })
        }
    }
}

/// Flags that say how a file is read, and no file that was named is read so.
fn refuse_what_no_part_has(typed: &Settings, sources: &[SourceText]) -> Result<(), SettingsError> {
    let flags = &typed.workload;
    let any = |has: fn(FileKind) -> bool| {
        sources.iter().any(|it| matches!(&it.source, MixtureSource::File(file) if has(file.kind)))
    };
    for (name, given) in [
        ("--prompt-column", flags.prompt_column.is_some()),
        ("--output-tokens-column", flags.output_tokens_column.is_some()),
        ("--image-column", flags.image_column.is_some()),
    ] {
        if given && !any(FileKind::has_columns) {
            return Err(SettingsError::Needs(name, "a workload of kind `jsonl`, `json` or `csv`"));
        }
    }
    for (name, given) in
        [("--replay", flags.replay == Some(true)), ("--trace-window", flags.trace_window.is_some())]
    {
        if given && !any(FileKind::has_instants) {
            let needed = "a trace: `mooncake`, `burstgpt`, `azure-llm` or `plan`";
            return Err(SettingsError::Needs(name, needed));
        }
    }
    let has_order =
        |it: &SourceText| matches!(&it.source, MixtureSource::File(file) if !file.kind.is_drawn());
    if flags.workload_order.is_some() && !sources.iter().any(has_order) {
        let needed = "a file of requests: those of a histogram or a scenario are drawn";
        return Err(SettingsError::Needs("--workload-order", needed));
    }
    let has_prefix = typed.prefix_tokens.is_some_and(|tokens| tokens > 0);
    let is_random = |it: &SourceText| match &it.source {
        MixtureSource::Synthetic(_) => true,
        MixtureSource::File(file) => file.kind.has_lengths_alone(),
    };
    if has_prefix && !sources.iter().any(is_random) {
        let why = "prompts come from the file";
        return Err(SettingsError::Apart("--prefix-tokens", "`--workload`", why));
    }
    Ok(())
}

/// What only one workload can have.
fn refuse_beside_mixture(typed: &Settings, several: &[SourceText]) -> Result<(), SettingsError> {
    let flags = &typed.workload;
    if several.len() > MOST_PARTS {
        let (flag, given) = ("--workload", several.len().to_string());
        return Err(SettingsError::Range { flag, given, range: "up to 64 workloads" });
    }
    let other = "several `--workload`";
    if flags.replay == Some(true) {
        let why = "shares of requests and the instants of traces cannot both hold: play the mixture at a `--rate` once, and replay its `plan.csv` \
             with `--workload plan:RUN/plan.csv --replay`";
        return Err(SettingsError::Apart("--replay", other, why));
    }
    if flags.batch_size.iter().flatten().any(|size| *size > 1) {
        let why = "the texts of one request would be of several workloads";
        return Err(SettingsError::Apart("--batch-size", other, why));
    }
    Ok(())
}

/// How one file is read.
fn file(typed: &Settings, source: &FileSource) -> Result<FileWorkload, SettingsError> {
    let flags = &typed.workload;
    let kind = source.kind;
    if flags.replay == Some(true) && flags.num_prompts.is_some() {
        let why = "a trace is played as it is";
        return Err(SettingsError::Apart("--num-prompts", "`--replay`", why));
    }
    for (name, value) in [
        ("--output-tokens", flags.output_tokens),
        ("--max-isl", flags.max_isl),
        ("--max-osl", flags.max_osl),
    ] {
        if value == Some(0) {
            return Err(SettingsError::Zero(name, "give at least 1, or leave it out"));
        }
    }
    let replay = flags.replay.unwrap_or(false);
    let own_order = if kind.has_instants() { FileOrder::File } else { FileOrder::Shuffled };
    let order = flags.workload_order.unwrap_or(own_order);
    if replay && order == FileOrder::Shuffled {
        let why = "a trace is replayed in its own order";
        return Err(SettingsError::Apart("--workload-order shuffled", "`--replay`", why));
    }
    let of_columns = |name: &Option<String>| name.clone().filter(|_| kind.has_columns());
    Ok(FileWorkload {
        source: source.clone(),
        order,
        prompt_column: of_columns(&flags.prompt_column),
        output_column: of_columns(&flags.output_tokens_column),
        image_column: of_columns(&flags.image_column),
        output_tokens: flags.output_tokens,
        skip_bad_lines: flags.skip_bad_lines.unwrap_or(false),
        max_input: flags.max_isl,
        max_output: flags.max_osl,
        replay,
        time_scale: time_scale(flags, replay)?,
        window: flags.trace_window.filter(|_| kind.has_instants()),
        conversation: conversation::rules(typed, kind),
    })
}

/// How many times faster than itself a trace is replayed.
fn time_scale(flags: &WorkloadFlags, replay: bool) -> Result<f64, SettingsError> {
    let Some(scale) = flags.time_scale else { return Ok(1.0) };
    if !replay {
        return Err(SettingsError::Needs("--time-scale", "`--replay`"));
    }
    if !(scale > 0.0 && scale.is_finite()) {
        let range = "a number above 0: 2 is twice as fast";
        let (flag, given) = ("--time-scale", scale.to_string());
        return Err(SettingsError::Range { flag, given, range });
    }
    Ok(scale)
}

/// Groups of prompts with prefixes of their own; `None` where there is one group.
pub(super) fn prefix_groups(typed: &Settings) -> Result<Option<PrefixGroups>, SettingsError> {
    let (count, shares) = (typed.prefix_groups, typed.prefix_shares.as_deref());
    let flag = if count.is_some() { "--prefix-groups" } else { "--prefix-shares" };
    if count.is_none() && shares.is_none() {
        return Ok(None);
    }
    if typed.prefix_tokens.is_none_or(|tokens| tokens == 0) {
        return Err(SettingsError::Needs(flag, "`--prefix-tokens N`, the length of each prefix"));
    }
    let range = |flag, given: String, range| SettingsError::Range { flag, given, range };
    let groups = match (count, shares) {
        (Some(count), Some(shares)) if count as usize != shares.len() => {
            let why = "they name different numbers of groups";
            return Err(SettingsError::Apart("--prefix-groups", "`--prefix-shares`", why));
        }
        (_, Some(shares)) => PrefixGroups::of_shares(shares.to_vec()).ok_or_else(|| {
            let given: Vec<String> = shares.iter().map(ToString::to_string).collect();
            range("--prefix-shares", given.join(","), "numbers above 0, one for each group")
        })?,
        (Some(count), None) => PrefixGroups::equal(count)
            .ok_or_else(|| range("--prefix-groups", count.to_string(), "groups from 1 to 65536"))?,
        (None, None) => return Ok(None),
    };
    Ok((groups.count() > 1).then_some(groups))
}

fn refuse_without_file(flags: &WorkloadFlags) -> Result<(), SettingsError> {
    let given = [
        ("--workload-order", flags.workload_order.is_some()),
        ("--prompt-column", flags.prompt_column.is_some()),
        ("--output-tokens-column", flags.output_tokens_column.is_some()),
        ("--image-column", flags.image_column.is_some()),
        ("--output-tokens", flags.output_tokens.is_some()),
        ("--skip-bad-lines", flags.skip_bad_lines == Some(true)),
        ("--max-isl", flags.max_isl.is_some()),
        ("--max-osl", flags.max_osl.is_some()),
        ("--history", flags.history.is_some()),
        ("--think-time", flags.think_time.is_some()),
        ("--sessions", flags.sessions.is_some()),
        ("--replay", flags.replay == Some(true)),
        ("--time-scale", flags.time_scale.is_some()),
        ("--trace-window", flags.trace_window.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(SettingsError::Needs(name, "a file (`--workload KIND:FILE`)")),
        None => Ok(()),
    }
}

fn refuse_lengths(typed: &Settings) -> Result<(), SettingsError> {
    let flags = &typed.workload;
    for (name, given) in [
        ("--scenario", typed.scenario.is_some()),
        ("--isl", flags.input_tokens_mean.is_some()),
        ("--osl", flags.output_tokens_mean.is_some()),
        ("--isl-stddev", flags.input_tokens_stddev.is_some()),
        ("--osl-stddev", flags.output_tokens_stddev.is_some()),
    ] {
        if given {
            return Err(SettingsError::Apart(name, "`--workload`", "which says the lengths"));
        }
    }
    Ok(())
}

/// The flags of a workload, as they would have to be typed.
pub(super) fn to_flags(workload: &Workload, batch_sizes: &[u32]) -> WorkloadFlags {
    let from = workload.images.as_ref().map(|it| &it.from);
    let of_requests = WorkloadFlags {
        num_prompts: workload.distinct_prompts,
        batch_size: Some(batch_sizes.to_vec()).filter(|sizes| !sizes.is_empty()),
        image_folder: from.and_then(|from| match from {
            ImagesFrom::Folder(path) => Some(path.clone()),
            ImagesFrom::Urls(_) => None,
        }),
        image_url: from.and_then(|from| match from {
            ImagesFrom::Urls(urls) => Some(urls.clone()),
            ImagesFrom::Folder(_) => None,
        }),
        images_per_request: workload.images.as_ref().map(|it| it.each),
        ..WorkloadFlags::default()
    };
    let sources: Vec<SourceText> = match (&workload.mixture, &workload.file) {
        (Some(mixture), _) => mixture
            .parts
            .iter()
            .map(|part| SourceText { weight: part.weight, source: part.source() })
            .collect(),
        (None, Some(file)) => {
            vec![SourceText { weight: 1.0, source: MixtureSource::File(file.source.clone()) }]
        }
        (None, None) => return of_requests,
    };
    let of_any = |of: fn(&FileWorkload) -> Option<String>| workload.files().find_map(of);
    let of_files = WorkloadFlags {
        workload: Some(sources),
        prompt_column: of_any(|file| file.prompt_column.clone()),
        output_tokens_column: of_any(|file| file.output_column.clone()),
        image_column: of_any(|file| file.image_column.clone()),
        trace_window: workload.files().find_map(|file| file.window),
        history: workload.conversation().map(|it| it.history),
        think_time: workload.conversation().map(|it| HumanDuration(it.think)),
        sessions: workload.conversation().and_then(|it| it.sessions),
        ..of_requests
    };
    let Some(file) = workload.files().next() else { return of_files };
    // Files of a mixture may have orders of their own where none was typed.
    let has_order = workload.files().any(|file| !file.source.kind.is_drawn());
    let is_one_order = workload.files().all(|other| other.order == file.order);
    WorkloadFlags {
        workload_order: Some(file.order).filter(|_| is_one_order && has_order),
        output_tokens: file.output_tokens,
        skip_bad_lines: Some(file.skip_bad_lines),
        max_isl: file.max_input,
        max_osl: file.max_output,
        replay: Some(file.replay),
        time_scale: file.replay.then_some(file.time_scale),
        ..of_files
    }
}
