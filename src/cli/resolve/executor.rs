//! Resolution of executor settings: ranges, dependencies, defaults, and the way back to flags.

use crate::cli::resolve::SettingsError;
use crate::cli::typed::{ExecutorFlags, RequestFlags};
use crate::settings::engine::{
    DEFAULT_DRAFT_KV_FRACTION, DEFAULT_DRAFT_TOKENS, Decoding, Drafting, EngineSettings,
};
use crate::settings::engine_arg::EngineArg;

/// The settings that an executor alone has; all others have their defaults.
pub(super) fn executor_settings(
    typed: &ExecutorFlags,
    request: &RequestFlags,
) -> Result<EngineSettings, SettingsError> {
    hold_ranges(typed)?;
    hold_together(typed, request)?;
    hold_apart(typed.engine_arg.as_deref().unwrap_or_default())?;
    let default = EngineSettings::default();
    let max_beam_width = request.beam_width.unwrap_or(default.max_beam_width);
    Ok(EngineSettings {
        kv_fraction: typed.kv_fraction,
        kv_host_cache_bytes: typed.kv_host_cache_bytes,
        kv_partial_reuse: !typed.no_kv_partial_reuse.unwrap_or(!default.kv_partial_reuse),
        attention_windows: typed.attention_windows.clone().unwrap_or_default(),
        sink_tokens: typed.sink_tokens,
        kv_events: typed.kv_events,
        cuda_graphs: typed.cuda_graphs.unwrap_or(default.cuda_graphs),
        cuda_graph_cache: typed.cuda_graph_cache,
        multi_block: !typed.no_multi_block.unwrap_or(!default.multi_block),
        weights_percent: typed.weights_percent.unwrap_or(default.weights_percent),
        max_beam_width,
        decoding: typed.decoding.or((max_beam_width > 1).then_some(Decoding::Beam)),
        lookahead: typed.lookahead,
        draft_choices: typed.draft_choices.clone(),
        drafting: drafting(typed),
        device_ids: typed.device_ids.clone().unwrap_or_default(),
        lora_dir: typed.lora_dir.clone(),
        lora_max_rank: typed.lora_max_rank,
        lora_fraction: typed.lora_fraction,
        lora_host_cache_bytes: typed.lora_host_cache_bytes,
        iteration_stats: typed.iteration_stats,
        log_level: typed.engine_log,
        engine_args: typed.engine_arg.clone().unwrap_or_default(),
        python: typed.python.clone(),
        ..default
    })
}

/// The draft engine, with an explicit share of memory: otherwise the target would find none left.
fn drafting(typed: &ExecutorFlags) -> Option<Drafting> {
    let fraction = typed.draft_kv_tokens.is_none().then_some(DEFAULT_DRAFT_KV_FRACTION);
    Some(Drafting {
        engine: typed.draft_engine.clone()?,
        tokens: typed.draft_tokens.unwrap_or(DEFAULT_DRAFT_TOKENS),
        kv_fraction: typed.draft_kv_fraction.or(fraction),
        kv_tokens: typed.draft_kv_tokens,
        device_ids: typed.draft_device_ids.clone().unwrap_or_default(),
    })
}

fn hold_ranges(typed: &ExecutorFlags) -> Result<(), SettingsError> {
    let shares = [
        ("--kv-fraction", typed.kv_fraction),
        ("--draft-kv-fraction", typed.draft_kv_fraction),
        ("--lora-fraction", typed.lora_fraction),
    ];
    for (flag, share) in shares {
        if let Some(given) = share.filter(|share| !(*share > 0.0 && *share < 1.0)) {
            let range = "a share above 0 and below 1";
            return Err(SettingsError::Range { flag, given: given.to_string(), range });
        }
    }
    if let Some(given) = typed.weights_percent.filter(|it| !(0.0..=100.0).contains(it)) {
        let (flag, range) = ("--weights-percent", "a number from 0 to 100");
        return Err(SettingsError::Range { flag, given: given.to_string(), range });
    }
    let counts = [
        ("--sink-tokens", typed.sink_tokens),
        ("--kv-events", typed.kv_events),
        ("--cuda-graph-cache", typed.cuda_graph_cache),
        ("--lora-max-rank", typed.lora_max_rank),
        ("--draft-tokens", typed.draft_tokens),
        ("--draft-kv-tokens", typed.draft_kv_tokens),
        ("--attention-windows", typed.attention_windows.iter().flatten().min().copied()),
    ];
    for (flag, count) in counts {
        // The executor counts in 32 bits with a sign.
        if let Some(given) = count.filter(|count| *count == 0 || i32::try_from(*count).is_err()) {
            let range = "a whole number from 1 to 2147483647";
            return Err(SettingsError::Range { flag, given: given.to_string(), range });
        }
    }
    Ok(())
}

/// An argument has one value.
fn hold_apart(arguments: &[EngineArg]) -> Result<(), SettingsError> {
    for (i, argument) in arguments.iter().enumerate() {
        if arguments[..i].iter().any(|earlier| earlier.key == argument.key) {
            let (flag, range) = ("--engine-arg", "each key once");
            return Err(SettingsError::Range { flag, given: argument.to_string(), range });
        }
    }
    Ok(())
}

/// What would be ignored without its counterpart is refused.
fn hold_together(typed: &ExecutorFlags, request: &RequestFlags) -> Result<(), SettingsError> {
    let decodes = |wanted: &[Decoding]| typed.decoding.is_some_and(|it| wanted.contains(&it));
    let drafting = decodes(&[Decoding::Medusa, Decoding::Eagle]);
    let with_lora = typed.lora_dir.is_some();
    let with_draft = typed.draft_engine.is_some();
    if with_draft && (request.beam_width.is_some_and(|beams| beams > 1) || typed.decoding.is_some())
    {
        return Err(SettingsError::Apart(
            "--draft-engine",
            "`--beam-width` above 1 and `--decoding`",
            "drafts are verified for one beam, in a decoding mode of their own",
        ));
    }
    for (flag, given, there, needed) in [
        (
            "--lookahead",
            typed.lookahead.is_some(),
            decodes(&[Decoding::Lookahead]),
            "`--decoding lookahead`",
        ),
        (
            "--draft-choices",
            typed.draft_choices.is_some(),
            drafting,
            "`--decoding medusa` or `--decoding eagle`",
        ),
        (
            "--cuda-graph-cache",
            typed.cuda_graph_cache.is_some(),
            typed.cuda_graphs == Some(true),
            "`--cuda-graphs`",
        ),
        ("--draft-tokens", typed.draft_tokens.is_some(), with_draft, "`--draft-engine DIR`"),
        (
            "--draft-kv-fraction",
            typed.draft_kv_fraction.is_some(),
            with_draft,
            "`--draft-engine DIR`",
        ),
        ("--draft-kv-tokens", typed.draft_kv_tokens.is_some(), with_draft, "`--draft-engine DIR`"),
        (
            "--draft-device-ids",
            typed.draft_device_ids.is_some(),
            with_draft,
            "`--draft-engine DIR`",
        ),
        ("--lora", request.lora.is_some(), with_lora, "`--lora-dir DIR`, where the adapters lie"),
        ("--lora-max-rank", typed.lora_max_rank.is_some(), with_lora, "`--lora-dir DIR`"),
        ("--lora-fraction", typed.lora_fraction.is_some(), with_lora, "`--lora-dir DIR`"),
        (
            "--lora-host-cache-bytes",
            typed.lora_host_cache_bytes.is_some(),
            with_lora,
            "`--lora-dir DIR`",
        ),
        (
            "--decoding beam",
            decodes(&[Decoding::Beam]),
            request.beam_width.is_some_and(|beams| beams > 1),
            "`--beam-width N`",
        ),
    ] {
        if given && !there {
            return Err(SettingsError::Needs(flag, needed));
        }
    }
    Ok(())
}

/// As they would have to be typed, defaults included.
pub(super) fn to_flags(engine: &EngineSettings) -> ExecutorFlags {
    let list = |ids: &[u32]| (!ids.is_empty()).then(|| ids.to_vec());
    let drafting = engine.drafting.as_ref();
    ExecutorFlags {
        kv_fraction: engine.kv_fraction,
        kv_host_cache_bytes: engine.kv_host_cache_bytes,
        no_kv_partial_reuse: Some(!engine.kv_partial_reuse),
        attention_windows: list(&engine.attention_windows),
        sink_tokens: engine.sink_tokens,
        kv_events: engine.kv_events,
        cuda_graphs: Some(engine.cuda_graphs),
        cuda_graph_cache: engine.cuda_graph_cache,
        no_multi_block: Some(!engine.multi_block),
        weights_percent: Some(engine.weights_percent),
        decoding: engine.decoding,
        lookahead: engine.lookahead,
        draft_choices: engine.draft_choices.clone(),
        draft_engine: drafting.map(|it| it.engine.clone()),
        draft_tokens: drafting.map(|it| it.tokens),
        draft_kv_fraction: drafting.and_then(|it| it.kv_fraction),
        draft_kv_tokens: drafting.and_then(|it| it.kv_tokens),
        draft_device_ids: drafting.and_then(|it| list(&it.device_ids)),
        device_ids: list(&engine.device_ids),
        lora_dir: engine.lora_dir.clone(),
        lora_max_rank: engine.lora_max_rank,
        lora_fraction: engine.lora_fraction,
        lora_host_cache_bytes: engine.lora_host_cache_bytes,
        iteration_stats: engine.iteration_stats,
        engine_log: engine.log_level,
        engine_arg: (!engine.engine_args.is_empty()).then(|| engine.engine_args.clone()),
        python: engine.python.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::resolve::resolve;
    use crate::cli::typed::Settings;

    #[test]
    fn what_is_out_of_range_or_would_be_ignored_is_refused_by_name() {
        for (settings, named) in [
            ("[engine]\nkv_fraction = 1.0", "--kv-fraction"),
            ("[engine]\nweights_percent = 101.0", "--weights-percent"),
            ("[engine]\nattention_windows = [128, 0]", "--attention-windows"),
            ("[engine]\nlookahead = '4,3,4'", "--decoding lookahead"),
            ("[engine]\ndecoding = 'top_k'\ndraft_choices = '0'", "--decoding medusa"),
            ("[engine]\ncuda_graph_cache = 4", "--cuda-graphs"),
            ("[engine]\ndraft_tokens = 4", "--draft-engine"),
            ("[engine]\ndraft_engine = 'small'", "--kv-reuse"),
            ("[engine]\ndraft_engine = 'small'\ndraft_tokens = 0", "--draft-tokens"),
            ("[engine]\ndraft_engine = 'small'\ndraft_kv_fraction = 1.0", "--draft-kv-fraction"),
            ("[engine]\ndraft_engine = 'small'\ndecoding = 'top_k'", "--decoding"),
            ("[engine]\ndraft_engine = 'small'\n[request]\nbeam_width = 2", "--beam-width"),
            ("[engine]\ndecoding = 'beam'", "--beam-width"),
            ("[engine]\nengine_arg = ['a=1', 'b=1', 'a=2']", "--engine-arg a=2"),
            ("[engine]\nkv_events = 100", "--kv-reuse"),
            ("kv_reuse = true\n[engine]\nkv_events = 0", "--kv-events"),
            ("[request]\nlora = '1'", "--lora-dir"),
            ("[request]\nbeam_width = 0", "--beam-width"),
            ("[request]\nmin_p = 1.5", "--min-p"),
            ("[request]\nrepetition_penalty = 0.0", "--repetition-penalty"),
            ("[request]\npriority = 2.0", "--priority"),
            ("[request]\npriority = '0.9:0.2,1.5:0.8'", "--priority"),
            ("[request]\nallotted_time = '0s'", "--allotted-time"),
            ("[request]\nstop_text = ['END', '']", "--stop-text"),
        ] {
            let typed: Settings = toml::from_str(settings).expect(settings);
            let error = resolve(&typed).expect_err(settings).to_string();
            assert!(error.contains(named), "{settings}: {error}");
        }
    }

    #[test]
    fn a_draft_engine_leaves_memory_to_its_target_and_is_written_back() {
        let typed: Settings =
            toml::from_str("kv_reuse = true\n[engine]\ndraft_engine = 'small'").expect("settings");
        let resolved = resolve(&typed).expect("they make sense");
        let drafting = resolved.engine.drafting.clone().expect("a draft engine");
        assert_eq!((drafting.tokens, drafting.kv_fraction), (4, Some(0.1)));
        let written = resolved.to_settings();
        assert_eq!((written.engine.draft_tokens, written.engine.draft_kv_tokens), (Some(4), None));
        assert_eq!(resolve(&written).expect("as written").engine, resolved.engine);
    }

    #[test]
    fn beams_open_the_executor_for_their_width_and_search_it() {
        let typed: Settings = toml::from_str("[request]\nbeam_width = 4").expect("settings");
        let engine = resolve(&typed).expect("they make sense").engine;
        assert_eq!((engine.max_beam_width, engine.decoding), (4, Some(Decoding::Beam)));
    }
}
