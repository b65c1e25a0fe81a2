//! Settings merged from flags, environment, configuration file and defaults, in this order.

use std::fs;

use anyhow::Context;
use clap::ArgMatches;
use toml::Value;

use crate::cli::exit::{Coded, Exit};
use crate::cli::origin::{Origin, Origins, merge};
use crate::cli::other_python;
use crate::cli::resolve::resolve;
use crate::cli::setting_key;
use crate::cli::spelling;
use crate::cli::typed::{RunArgs, Settings};
use crate::cli::variables;
use crate::console;
use crate::settings::Resolved;
use crate::settings::seed_choice::SeedChoice;

/// Settings before resolution, and the origin of each. A seed that is to be random is drawn here, once for every target.
///
/// # Errors
/// With the exit code for usage, when the configuration file cannot be used.
pub fn read_settings(arguments: &RunArgs, matches: &ArgMatches) -> Coded<(Settings, Origins)> {
    let file = match &arguments.config {
        None => Settings::default(),
        Some(path) => fs::read_to_string(path)
            .context("it cannot be read")
            .and_then(|text| settings_of(&text).context("it is not a configuration"))
            .with_context(|| format!("configuration file `{}`", path.display()))
            .map_err(usage)?,
    };
    let (mut settings, origins) = merge(&arguments.settings, &file, matches).map_err(usage)?;
    draw_seed(&mut settings);
    name_kind(&mut settings);
    tell_prompts(&settings, &origins);
    Ok((settings, origins))
}

/// Whoever wants a random seed is told which it is, to run it again.
fn draw_seed(settings: &mut Settings) {
    if settings.seed == Some(SeedChoice::Random) {
        let seed = SeedChoice::Random.number();
        settings.seed = Some(SeedChoice::Number(seed));
        console::print_notice(format_args!("`--seed random` is {seed}"));
    }
}

/// What was typed has its kind by now; the environment and files may name an address alone.
fn name_kind(settings: &mut Settings) {
    let Some(target) = &mut settings.target else { return };
    let whole = spelling::with_kind(target);
    if whole != *target {
        console::print_notice(format_args!("the target is an address and read as `openai:`"));
        *target = whole;
    }
}

/// `--num-prompts` means one thing in GenAI-Perf and another in vLLM bench, and nothing else tells which was meant.
fn tell_prompts(settings: &Settings, origins: &Origins) {
    let typed = origins.get("workload.num_prompts") == Some(&Origin::Flag);
    let (Some(prompts), None, None) =
        (settings.workload.num_prompts, settings.requests, settings.duration)
    else {
        return;
    };
    if typed && settings.quiet != Some(true) {
        console::print_notice(format_args!(
            "`--num-prompts {prompts}` is how many different prompts there are, as in GenAI-Perf; how many requests there \
             are, as vLLM bench means it, is `--requests {prompts}`"
        ));
    }
}

/// What a file says, with variables of the environment in it. Keys are checked first, since its errors name the key that was
/// probably meant.
pub(crate) fn settings_of(text: &str) -> anyhow::Result<Settings> {
    let text = &variables::expand(text, |name| std::env::var(name).ok())?;
    let tables: toml::Table = toml::from_str(text)?;
    let keys: Vec<String> = tables
        .iter()
        .flat_map(|(key, value)| match value {
            Value::Table(table) => {
                table.keys().map(|name| format!("{key}.{name}")).collect::<Vec<_>>()
            }
            _ => vec![key.clone()],
        })
        .collect();
    setting_key::check(keys.iter().map(String::as_str))?;
    Ok(toml::from_str(text)?)
}

/// Everything resolved, and where each value comes from.
///
/// # Errors
/// With the exit code for usage, when a file or a value cannot be used.
pub fn resolve_run(arguments: &RunArgs, matches: &ArgMatches) -> Coded<(Resolved, Origins)> {
    let (settings, origins) = other_python::read_settings(arguments, matches)?;
    Ok((resolve(&settings).map_err(usage)?, origins))
}

fn usage(error: impl Into<anyhow::Error>) -> (Exit, anyhow::Error) {
    (Exit::Usage, error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_of_a_file_gets_the_one_that_was_meant() {
        for (text, meant) in [
            ("concurency = [1]", "`concurrency`"),
            ("[engine]\nkv_fractoin = 0.5", "`engine.kv_fraction`"),
            ("kv_fraction = 0.5", "`engine.kv_fraction`"),
            ("requests = 'many'", "requests = 'many'"),
        ] {
            let said = format!("{:#}", settings_of(text).expect_err(text));
            assert!(said.contains(meant) && !said.contains("expected one of"), "{said}");
        }
    }
}
