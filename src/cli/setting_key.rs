//! Check of setting keys, with the nearest known key as a suggestion.

use clap::{Args, Command};

use crate::cli::typed::{ExecutorFlags, LaunchFlags, RequestFlags, Settings, WorkloadFlags};

/// Names less alike than this are not taken for a slip of the keyboard.
const ALIKE: f64 = 0.7;

/// A key of no setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no setting `{given}`: {}", remedy(nearest.as_deref()))]
pub struct UnknownKey {
    given: String,
    nearest: Option<String>,
}

fn remedy(nearest: Option<&str>) -> String {
    match nearest {
        Some(key) => format!("did you mean `{key}`?"),
        None => "`bareflight run --help` lists all, and `--max-batch-size` there is the key `max_batch_size`".into(),
    }
}

/// The first of the keys that no setting has; those of a table are `table.key`.
///
/// # Errors
/// With the nearest key that there is.
pub fn check<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<(), UnknownKey> {
    let known = known();
    match keys.into_iter().find(|given| !known.iter().any(|key| key == given)) {
        None => Ok(()),
        Some(given) => Err(UnknownKey { given: given.to_owned(), nearest: nearest(given, known) }),
    }
}

/// Compared without the table, so that a key in the wrong one finds its own.
fn nearest(given: &str, known: Vec<String>) -> Option<String> {
    let name = |key: &str| key.rsplit('.').next().unwrap_or(key).replace('-', "_");
    let given = name(given);
    known
        .into_iter()
        .map(|key| (strsim::jaro_winkler(&given, &name(&key)), key))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, key)| key)
}

/// Every key is a flag too, by the same name.
fn known() -> Vec<String> {
    let names = |flags: Command| -> Vec<String> {
        flags.get_arguments().map(|flag| flag.get_id().to_string()).collect()
    };
    let tables = [
        ("engine", names(ExecutorFlags::augment_args(Command::new("")))),
        ("request", names(RequestFlags::augment_args(Command::new("")))),
        ("workload", names(WorkloadFlags::augment_args(Command::new("")))),
        ("launch", names(LaunchFlags::augment_args(Command::new("")))),
    ];
    let table_of = |name: &String| {
        tables.iter().find(|(_, keys)| keys.contains(name)).map(|(table, _)| *table)
    };
    let all = names(Settings::augment_args(Command::new(""))).into_iter();
    all.map(|name| match table_of(&name) {
        None => name,
        Some(table) => format!("{table}.{name}"),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_gets_the_nearest_key_and_no_list() {
        for (given, meant) in [
            ("max_batchsize", "did you mean `max_batch_size`?"),
            ("concurency", "did you mean `concurrency`?"),
            ("max-num-tokens", "did you mean `max_num_tokens`?"),
            ("engine.kv_fractoin", "did you mean `engine.kv_fraction`?"),
            ("kv_fraction", "did you mean `engine.kv_fraction`?"),
            ("engine.min_p", "did you mean `request.min_p`?"),
            ("zzz", "`bareflight run --help`"),
        ] {
            let said = check([given]).expect_err(given).to_string();
            assert!(said.contains(meant) && said.contains(given), "{said}");
            assert!(said.len() < 200, "{said}");
        }
        assert_eq!(check(["target", "engine.kv_fraction", "request.min_p"]), Ok(()));
    }
}
