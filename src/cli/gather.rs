//! What was said, all in all? Flags before environment before file before defaults.

use std::fs;

use anyhow::Context;
use clap::ArgMatches;

use crate::cli::exit::{Coded, Exit};
use crate::cli::origin::{Origins, merge};
use crate::cli::resolve::{Resolved, resolve};
use crate::cli::typed::{RunArgs, Settings};

/// What was said, not yet resolved, and where each value comes from.
///
/// # Errors
/// With the exit code for usage, when the configuration file cannot be used.
pub fn said(arguments: &RunArgs, matches: &ArgMatches) -> Coded<(Settings, Origins)> {
    let file = match &arguments.config {
        None => Settings::default(),
        Some(path) => fs::read_to_string(path)
            .context("it cannot be read")
            .and_then(|text| toml::from_str(&text).context("it is not a configuration"))
            .with_context(|| format!("configuration file `{}`", path.display()))
            .map_err(usage)?,
    };
    merge(&arguments.settings, &file, matches).map_err(usage)
}

/// Everything resolved, and where each value comes from.
///
/// # Errors
/// With the exit code for usage, when a file or a value cannot be used.
pub fn gather(arguments: &RunArgs, matches: &ArgMatches) -> Coded<(Resolved, Origins)> {
    let (settings, origins) = said(arguments, matches)?;
    Ok((resolve(&settings).map_err(usage)?, origins))
}

fn usage(error: impl Into<anyhow::Error>) -> (Exit, anyhow::Error) {
    (Exit::Usage, error.into())
}
