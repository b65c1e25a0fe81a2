//! Sides of a comparison as they are typed: one setting may differ, and what is asked may not.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, anyhow};
use clap::ArgMatches;
use serde_json::{Map, Value};

use crate::cli::compare::{CompareArgs, DEFAULT_CONCURRENCY};
use crate::cli::engine_threads;
use crate::cli::origin::{as_map, as_tables};
use crate::cli::other_python;
use crate::cli::report::refuse_extra;
use crate::cli::resolve::resolve;
use crate::cli::setting_key;
use crate::cli::twin;
use crate::cli::typed::Settings;
use crate::cli::workers;
use crate::metrics::compare::BLOCKS_FOR_A_VERDICT;
use crate::settings::Resolved;

/// A setting of one side.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    side: usize,
    key: String,
    value: Value,
}

impl FromStr for Change {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, anyhow::Error> {
        let wrong =
            || anyhow!("`{text}` is no change of a side: write for example `B:max_batch_size=4`");
        let (side, change) = text.split_once(':').ok_or_else(wrong)?;
        let (key, value) = change.split_once('=').ok_or_else(wrong)?;
        let side = match side.trim().as_bytes() {
            [letter @ b'A'..=b'Z'] => usize::from(letter - b'A'),
            _ => return Err(wrong()),
        };
        // A bare word is text; numbers, booleans and lists are written as in JSON.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        Ok(Self { side, key: key.trim().to_owned(), value })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}={}", letter(self.side), self.key, self.value)
    }
}

/// `A`, `B`, …
pub fn letter(side: usize) -> String {
    char::from(b'A' + (side % 26) as u8).to_string()
}

/// The settings of every side, resolved. They ask the same; only the target and how it is set up may differ.
pub(super) fn resolve_sides(
    arguments: &CompareArgs,
    matches: &ArgMatches,
    said: &Settings,
    python: Option<&Path>,
) -> anyhow::Result<Vec<Resolved>> {
    let typed = matches.get_many::<String>("target");
    let targets: Vec<&String> = typed.map_or_else(Vec::new, Iterator::collect);
    let count = targets.len() + usize::from(arguments.serve_twin);
    if !(2..=26).contains(&count) {
        return Err(anyhow!(
            "a comparison needs two targets or more: give `--target` once for each side, the baseline first"
        ));
    }
    if !arguments.fail_if.is_empty() && (arguments.blocks as usize) < BLOCKS_FOR_A_VERDICT {
        return Err(anyhow!(
            "`--fail-if` needs {BLOCKS_FOR_A_VERDICT} blocks or more to decide anything: raise `--blocks`"
        ));
    }
    if let Some(change) = arguments.set.iter().find(|change| change.side >= count) {
        let side = letter(change.side);
        return Err(anyhow!("there is no side {side}: `--set` names one of the {count} sides"));
    }
    let own = arguments.serve_twin.then(|| twin::without_server(said));
    let said = own.as_ref().unwrap_or(said);
    let pythons = other_python::of_sides(matches, &targets, python)?;
    let sides: Vec<Resolved> = targets
        .into_iter()
        .zip(pythons)
        .enumerate()
        .map(|(side, (target, python))| {
            changes_of(&arguments.set, side)
                .and_then(|changes| one_side(said, target, python, changes))
                .with_context(|| format!("side {} cannot be set up", letter(side)))
        })
        .collect::<Result<_, _>>()?;
    sides.iter().try_for_each(other_python::check_side)?;
    same_question(&sides)?;
    Ok(sides)
}

/// Settings of one side alone.
pub(super) fn changes_of(changes: &[Change], side: usize) -> anyhow::Result<Map<String, Value>> {
    let own = changes.iter().filter(|change| change.side == side);
    own.map(|change| {
        setting_key::check([change.key.as_str()]).with_context(|| format!("`--set {change}`"))?;
        Ok((change.key.clone(), change.value.clone()))
    })
    .collect()
}

fn one_side(
    said: &Settings,
    target: &str,
    python: Option<PathBuf>,
    changes: Map<String, Value>,
) -> anyhow::Result<Resolved> {
    let mut settings = Settings { target: Some(target.to_owned()), ..said.clone() }
        .or_concurrency(DEFAULT_CONCURRENCY);
    settings.engine.python = python;
    let mut map = as_map(&settings)?;
    map.extend(changes);
    let settings: Settings =
        serde_json::from_value(as_tables(map)).context("its `--set` cannot be used")?;
    let resolved = resolve(&settings)?;
    workers::refuse(&resolved, "compare")?;
    Ok(resolved)
}

/// What is asked must be the same of all sides.
///
/// # Errors
/// What differs, or is asked more than once.
pub(super) fn same_question(sides: &[Resolved]) -> anyhow::Result<()> {
    refuse_extra(sides)?;
    let first = &sides[0];
    if first.loads.len() > 1 {
        return Err(anyhow!(
            "a comparison plays one load: give one number of {} and not several",
            first.loads.len()
        ));
    }
    if first.batch_sizes.len() > 1 {
        return Err(anyhow!(
            "a comparison plays one batch size: give one number of `--batch-size`"
        ));
    }
    let asked = |side: &Resolved| {
        let mut workload = side.workload.clone();
        workload.prompts = first.workload.prompts;
        (
            workload,
            side.loads.clone(),
            side.requests,
            side.requests_per_slot,
            side.duration,
            side.warmup,
        )
    };
    if sides.iter().any(|side| asked(side) != asked(first)) {
        return Err(anyhow!(
            "`--set` may change how a side is set up, and not what is asked: the same load and requests go to all sides"
        ));
    }
    let embedded = || sides.iter().filter(|side| engine_threads::is_embedded(&side.target));
    if embedded()
        .any(|side| Some(side.engine.threads) != embedded().next().map(|it| it.engine.threads))
    {
        return Err(anyhow!(
            "embedded engines of one process share their threads: give `--threads` for all sides"
        ));
    }
    Ok(())
}

/// Settings that let a profiler look, or do something between points, are refused where targets are held against each other.
///
/// # Errors
/// The one that was given.
pub(in crate::cli) fn refuse_profiled(sides: &[Resolved]) -> anyhow::Result<()> {
    let flags = [
        ("--profile-window", sides.iter().any(|side| side.profile_window.is_some())),
        ("--nvtx", sides.iter().any(|side| side.nvtx)),
    ];
    let pauses = [
        ("--cool-down", sides.iter().any(|side| side.cool_down.is_some())),
        ("--between", sides.iter().any(|side| side.between.is_some())),
        ("--gpu-hour-price", sides.iter().any(|side| side.gpu_hour_price.is_some())),
    ];
    if let Some((flag, _)) = pauses.into_iter().find(|(_, given)| *given) {
        return Err(anyhow!(
            "sides take turns without a pause, and have no cost of their own: leave out `{flag}` in a comparison"
        ));
    }
    match flags.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((flag, _)) => Err(anyhow!(
            "a profiled run is slowed by what watches it: leave out `{flag}` in a comparison"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_its_side_by_letter() {
        for text in ["max_batch_size=4", "B:max_batch_size", "b:x=1", "AB:x=1", ":x=1"] {
            let error = text.parse::<Change>().unwrap_err().to_string();
            assert!(error.contains("B:max_batch_size=4"), "{text}: {error}");
        }
        let change: Change = "B:max_batch_size=4".parse().unwrap();
        assert_eq!(
            (change.side, change.key.as_str(), change.value),
            (1, "max_batch_size", 4.into())
        );
        let change: Change = "A:quantization=f32".parse().unwrap();
        assert_eq!(change.value, "f32");
    }

    #[test]
    fn a_change_reaches_its_setting_in_a_table_and_a_misspelt_one_names_its_side() {
        let said = Settings::default();
        let side = |change: &str| {
            let change: Change = change.parse().unwrap();
            changes_of(&[change], 1).and_then(|changes| one_side(&said, "sim:null", None, changes))
        };
        let resolved = side("B:engine.kv_fraction=0.5").unwrap();
        assert_eq!(resolved.engine.kv_fraction, Some(0.5));
        let error = format!("{:#}", side("B:max_batchsize=4").unwrap_err());
        assert!(error.contains("--set B:max_batchsize=4") && error.contains("`max_batch_size`"));
        assert!(!error.contains("sim:null"), "{error}");
    }
}
