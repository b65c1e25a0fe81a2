//! Resolution of a workload's flags: a scenario by its means and deviations, or a file.

use super::{SettingsError, conversation};
use crate::cli::typed::{Settings, WorkloadFlags};
use crate::settings::DEFAULT_SCENARIO;
use crate::settings::human_duration::HumanDuration;
use crate::workload::Workload;
use crate::workload::dataset::{FileOrder, FileWorkload};
use crate::workload::images::ImagesFrom;
use crate::workload::scenario::{MAX_TOKENS, Scenario};

/// The scenarios, as they were typed or one by its means and deviations; never empty.
pub(super) fn scenarios(typed: &Settings) -> Result<Vec<Scenario>, SettingsError> {
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

/// A length as a whole number of tokens; its own where none is given.
fn whole_or(flag: &'static str, given: Option<f64>, own: u32) -> Result<u32, SettingsError> {
    let Some(given) = given else { return Ok(own) };
    let is_length = given.fract() == 0.0 && (1.0..=f64::from(MAX_TOKENS)).contains(&given);
    let range = "a whole number of tokens";
    let wrong = || SettingsError::Range { flag, given: given.to_string(), range };
    is_length.then_some(given as u32).ok_or_else(wrong)
}

/// The file, where one was named.
pub(super) fn file(typed: &Settings) -> Result<Option<FileWorkload>, SettingsError> {
    let flags = &typed.workload;
    let Some(source) = &flags.workload else { return refuse_without_file(flags).map(|()| None) };
    refuse_beside_file(typed)?;
    let kind = source.kind;
    for (name, given) in [
        ("--prompt-column", flags.prompt_column.is_some()),
        ("--output-tokens-column", flags.output_tokens_column.is_some()),
        ("--image-column", flags.image_column.is_some()),
    ] {
        if given && !kind.has_columns() {
            return Err(SettingsError::Needs(name, "a workload of kind `jsonl`, `json` or `csv`"));
        }
    }
    for (name, given) in
        [("--replay", flags.replay == Some(true)), ("--trace-window", flags.trace_window.is_some())]
    {
        if given && !kind.has_instants() {
            return Err(SettingsError::Needs(
                name,
                "a trace: `mooncake`, `burstgpt` or `azure-llm`",
            ));
        }
    }
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
    if let Some(scale) = flags.time_scale {
        if !replay {
            return Err(SettingsError::Needs("--time-scale", "`--replay`"));
        }
        if !(scale > 0.0 && scale.is_finite()) {
            let range = "a number above 0: 2 is twice as fast";
            return Err(SettingsError::Range {
                flag: "--time-scale",
                given: scale.to_string(),
                range,
            });
        }
    }
    let own_order = if kind.has_instants() { FileOrder::File } else { FileOrder::Shuffled };
    let order = flags.workload_order.unwrap_or(own_order);
    if replay && order == FileOrder::Shuffled {
        let why = "a trace is replayed in its own order";
        return Err(SettingsError::Apart("--workload-order shuffled", "`--replay`", why));
    }
    Ok(Some(FileWorkload {
        source: source.clone(),
        order,
        prompt_column: flags.prompt_column.clone(),
        output_column: flags.output_tokens_column.clone(),
        image_column: flags.image_column.clone(),
        output_tokens: flags.output_tokens,
        skip_bad_lines: flags.skip_bad_lines.unwrap_or(false),
        max_input: flags.max_isl,
        max_output: flags.max_osl,
        replay,
        time_scale: flags.time_scale.unwrap_or(1.0),
        window: flags.trace_window,
        conversation: conversation::rules(typed),
    }))
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

fn refuse_beside_file(typed: &Settings) -> Result<(), SettingsError> {
    let flags = &typed.workload;
    for (name, given) in [
        ("--scenario", typed.scenario.is_some()),
        ("--isl", flags.input_tokens_mean.is_some()),
        ("--osl", flags.output_tokens_mean.is_some()),
        ("--isl-stddev", flags.input_tokens_stddev.is_some()),
        ("--osl-stddev", flags.output_tokens_stddev.is_some()),
    ] {
        if given {
            return Err(SettingsError::Apart(name, "`--workload`", "lengths come from the file"));
        }
    }
    if typed.prefix_tokens.is_some_and(|tokens| tokens > 0) {
        let why = "prompts come from the file";
        return Err(SettingsError::Apart("--prefix-tokens", "`--workload`", why));
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
    let Some(file) = &workload.file else { return of_requests };
    WorkloadFlags {
        workload: Some(file.source.clone()),
        workload_order: Some(file.order),
        prompt_column: file.prompt_column.clone(),
        output_tokens_column: file.output_column.clone(),
        image_column: file.image_column.clone(),
        output_tokens: file.output_tokens,
        skip_bad_lines: Some(file.skip_bad_lines),
        max_isl: file.max_input,
        max_osl: file.max_output,
        replay: Some(file.replay),
        time_scale: file.replay.then_some(file.time_scale),
        trace_window: file.window,
        history: file.conversation.map(|it| it.history),
        think_time: file.conversation.map(|it| HumanDuration(it.think)),
        sessions: file.conversation.and_then(|it| it.sessions),
        ..of_requests
    }
}
