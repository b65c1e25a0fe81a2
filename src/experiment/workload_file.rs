//! Preflight of a workload from a file: entries chosen for all plans together, tokens counted with a target's tokenizer.

use std::sync::Arc;

use crate::engine_directory::EngineProblem;
use crate::engine_directory::check::warn;
use crate::experiment::preflight::PreflightError;
use crate::experiment::preflight::prompts::{HfTokenizer, told_by};
use crate::load::plan::{MAX_PLAN_SHOTS, Plan, requests_at_most};
use crate::load::{Arrivals, Load};
use crate::settings::Resolved;
use crate::settings::cells::Cell;
use crate::targets::named::Named;
use crate::tokenizer::tokenize::Tokenize;
use crate::workload::PromptKind;
use crate::workload::dataset::choose::{Chosen, PartTally, choose};
use crate::workload::dataset::entries::{Content, Entries};
use crate::workload::dataset::resolve::Counter;
use crate::workload::dataset::{DatasetError, Given};
use crate::workload::mixture::choose::choose_mixed;

/// A server that would be sent ids only since nobody said otherwise gets text of a file of text, where no tokenizer was named
/// that could make ids of it.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn send_text_where_nothing_counts(resolved: &mut Resolved) -> Result<(), DatasetError> {
    if !resolved.served.ids_by_default || resolved.served.tokenizer.is_some() {
        return Ok(());
    }
    let mut has_text = false;
    for file in resolved.workload.files() {
        let first = file.first_entry()?;
        has_text |= first.is_some_and(|entry| matches!(entry.given, Given::Text(_)));
    }
    if has_text {
        resolved.workload.prompts = PromptKind::Text;
        resolved.served.prompts = Some(PromptKind::Text);
        resolved.served.ids_by_default = false;
    }
    Ok(())
}

/// Chooses the entries of the file that these settings name, for so many plans at each load. A replay gets its number of
/// requests and its mean rate, which only the file tells.
///
/// # Errors
/// When the file cannot be used, with the line and the reason.
pub(super) fn choose_entries(
    resolved: &mut Resolved,
    prompts: PromptKind,
    named: &mut [Named],
    plans_of_load: usize,
) -> Result<Option<Chosen>, PreflightError> {
    if !resolved.workload.has_entries() {
        return Ok(None);
    }
    let replayed = resolved.workload.file.as_ref().filter(|file| file.replay);
    let mut tokenizer: Option<Arc<dyn Tokenize>> = None;
    for it in named.iter_mut() {
        if tokenizer.is_none() {
            tokenizer = it.tokenizer()?.map(|it| Arc::new(HfTokenizer(it)) as Arc<dyn Tokenize>);
        }
    }
    let vocabulary = told_by(named).chain(resolved.served.vocab_size).min();
    let has_output = resolved.served.endpoint.has_output();
    let counter = Counter { tokenizer, prompts, vocabulary, has_output };
    let most = most_entries(resolved, replayed.is_some()).saturating_mul(plans_of_load);
    let most = most.min(resolved.workload.distinct_prompts.map_or(usize::MAX, |it| it as usize));
    let most = most.min(MAX_PLAN_SHOTS as usize);
    let seeds = resolved.workload.seeds();
    let chosen = match (&resolved.workload.mixture, &resolved.workload.file) {
        (Some(mixture), _) => choose_mixed(mixture, &counter, &seeds, most)?,
        (None, Some(file)) => choose(file, &counter, &seeds, most)?,
        (None, None) => return Ok(None),
    };
    if let Some(file) = replayed {
        let path = file.source.path.clone();
        let why = "a replay needs at least two entries at different instants";
        let rate = mean_rate(&chosen.entries).ok_or(DatasetError::Replay { path, why })?;
        resolved.loads = resolved.loads.iter().map(|load| replayed_at(*load, rate)).collect();
        let all = chosen.entries.all().len() as u32;
        if resolved.duration.is_none() || resolved.requests.is_some() {
            resolved.requests = Some(resolved.requests.unwrap_or(all).min(all));
        }
    }
    Ok(Some(chosen))
}

fn most_entries(resolved: &Resolved, replay: bool) -> usize {
    let of_load = |load: &Load| requests_at_most(load, resolved.size(load));
    match (replay, resolved.requests) {
        (true, None) => MAX_PLAN_SHOTS as usize,
        (true, Some(requests)) => requests as usize,
        (false, _) => {
            let of_cell = |cell: &Cell| of_load(&cell.load) * cell.documents.unwrap_or(1) as usize;
            resolved.grid().iter().map(of_cell).sum()
        }
    }
}

fn mean_rate(entries: &Entries) -> Option<f64> {
    let instants = entries.instants()?;
    let span = instants.last()?.as_secs_f64();
    let rate = (instants.len() - 1) as f64 / span;
    // Four digits: it stands in labels.
    let rounded = format!("{rate:.3e}").parse().unwrap_or(rate);
    (span > 0.0).then_some(rounded)
}

fn replayed_at(load: Load, rate: f64) -> Load {
    match load {
        Load::Open { arrivals: Arrivals::Replay, max_in_flight, .. } => {
            Load::Open { arrivals: Arrivals::Replay, rate, max_in_flight }
        }
        other => other,
    }
}

/// What should be known of the entries before numbers are read: what was left out, and what comes again.
pub(super) fn notices(chosen: &Chosen, plans: &[Plan]) -> Vec<EngineProblem> {
    let Chosen { entries, tally, parts } = chosen;
    let mut notices = Vec::new();
    if !tally.is_clean() {
        notices.push(warn("workload", tally.to_string(), "the run takes what is left"));
    }
    for PartTally { name, tally, .. } in parts.iter().filter(|part| !part.tally.is_clean()) {
        let found = format!("{name}: {tally}");
        notices.push(warn("workload", found, "the run takes what is left"));
    }
    let measured: usize = plans.iter().map(|plan| plan.shots().len()).sum();
    let all = entries.all();
    let given = all.iter().any(|entry| entry.content != Content::Length);
    if all.iter().any(|entry| entry.lengths.input == 0) {
        notices.push(warn(
            "workload",
            "no tokenizer is named, so that prompts go as text whose tokens the server alone counts".to_owned(),
            "`--tokenizer FILE` lets plan, limits and memory be checked before load",
        ));
    }
    notices.extend(parts.iter().zip(0..).filter_map(|(part, number)| {
        let of_part = all.iter().take(measured).filter(|entry| entry.part == Some(number));
        let asked = of_part.clone().count();
        let given = part.entries.filter(|given| asked > *given)?;
        let is_drawn = of_part.clone().all(|entry| entry.content == Content::Length);
        (!is_drawn).then(|| comes_again(&format!("`{}`", part.name), asked, given))
    }));
    if given && measured > all.len() {
        notices.push(comes_again("the file", measured, all.len()));
    }
    notices
}

/// That prompts come again, since a file has fewer than are asked.
fn comes_again(what: &str, asked: usize, given: usize) -> EngineProblem {
    warn(
        "workload",
        format!(
            "{asked} requests are asked and {what} gives {given} prompts, so that prompts come again"
        ),
        "a cache of prefixes makes repeated prompts cheap: ask for fewer requests, or take a larger file",
    )
}
