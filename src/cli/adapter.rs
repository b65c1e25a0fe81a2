//! `bareflight adapter check`: conformance test of an adapter of an engine in Python.

use anyhow::anyhow;
use clap::{Args, Subcommand};

use crate::cli::exit::{Coded, Exit};
use crate::cli::run::print;
use crate::targets::python::{adapter_of, host_or_remedy};

/// What to do with an adapter.
#[derive(Debug, Args)]
pub struct AdapterArgs {
    /// What to do.
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run an adapter without a clock and hold it against the contract: 8 requests, one of them cancelled
    Check {
        /// Its module, or a target: `my_adapter`, `my_adapter,KEY=VALUE`, `vllm:MODEL_DIR`
        #[arg(value_name = "MODULE|TARGET")]
        adapter: String,
    },
}

/// Runs it; ends with 1 where the contract is broken.
///
/// # Errors
/// When what was typed cannot be meant, or Python does not hold this program.
pub fn run(arguments: &AdapterArgs) -> Coded<Exit> {
    let What::Check { adapter } = &arguments.what;
    let usage = |sentence: String| (Exit::Usage, anyhow!(sentence));
    let target = if adapter.contains(':') { adapter.clone() } else { format!("py:{adapter}") };
    let asked = adapter_of(&target)
        .unwrap_or_else(|| {
            Err(format!("`{target}` has no adapter: name a module, or a target of Python's"))
        })
        .map_err(usage)?;
    let host = host_or_remedy()
        .map_err(|remedy| usage(format!("`{target}` is not in this program: {remedy}")))?;
    match host.check(&asked) {
        Ok(text) => {
            print(&format!("{text}\n")).map_err(|error| (Exit::Failure, error))?;
            Ok(Exit::Ok)
        }
        Err(faults) => Err((Exit::Failure, anyhow!(faults))),
    }
}
