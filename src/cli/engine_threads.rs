//! How many threads may the embedded engine's arithmetic use?

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;

use crate::cli::exit::{Coded, Exit};

/// The embedded engine's arithmetic reads its number of threads from the environment, once, before it starts. A process
/// cannot safely change its own environment, so it starts itself again with the one it needs.
///
/// # Errors
/// When this program cannot find or start itself.
pub fn ensure(target: &str, threads: Option<u32>) -> Coded<()> {
    const DONE: &str = "BAREFLIGHT_THREADS_SET";
    if !is_embedded(target) || std::env::var_os(DONE).is_some() {
        return Ok(());
    }
    let threads =
        threads.map_or_else(bareflight_engine::default_threads, |threads| threads as usize);
    let program = std::env::current_exe()
        .context("this program cannot find itself")
        .map_err(|error| (Exit::Failure, error))?;
    let error = Command::new(program)
        .args(std::env::args_os().skip(1))
        .envs(bareflight_engine::thread_environment(threads))
        .env(DONE, "1")
        .exec();
    Err((
        Exit::Failure,
        anyhow::Error::new(error).context("this program cannot start itself again"),
    ))
}

/// Whether a target is the embedded engine, behind its tokenizer or not.
pub fn is_embedded(target: &str) -> bool {
    target.strip_prefix("text:").unwrap_or(target).starts_with("local:")
}
