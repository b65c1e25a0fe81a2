//! Number of threads of the embedded engine, set in the environment before it starts.

use std::os::unix::process::CommandExt;

use anyhow::Context;

use crate::cli::exit::{Coded, Exit};
use crate::host;
use crate::settings::Resolved;
use crate::targets::registry;

/// Set where this program has started itself again.
const DONE: &str = "BAREFLIGHT_THREADS_SET";

/// Whether the first start has said already what there is to say of the command line.
pub fn has_started_again() -> bool {
    std::env::var_os(DONE).is_some()
}

/// The embedded engine's arithmetic reads its number of threads from the environment, once, before it starts. A process
/// cannot safely change its own environment, so it starts itself again with the one it needs. From then on every embedded
/// engine among the sides records its number, so that a machine with other cores can repeat it.
///
/// # Errors
/// When this program cannot find or start itself.
pub fn ensure(sides: &mut [Resolved]) -> Coded<()> {
    let Some(first) = sides.iter().find(|side| is_embedded(&side.target)) else { return Ok(()) };
    let threads = first
        .engine
        .threads
        .map_or_else(bareflight_engine::default_threads, |threads| threads as usize);
    if has_started_again() {
        set_resolved_threads(sides, threads);
        return Ok(());
    }
    let mut program = host::this_program()
        .context("this program cannot find itself")
        .map_err(|error| (Exit::Failure, error))?;
    let error = program
        .args(host::arguments().into_iter().skip(1))
        .envs(bareflight_engine::thread_environment(threads))
        .env(DONE, "1")
        .exec();
    Err((
        Exit::Failure,
        anyhow::Error::new(error).context("this program cannot start itself again"),
    ))
}

fn set_resolved_threads(sides: &mut [Resolved], threads: usize) {
    for side in sides.iter_mut().filter(|side| is_embedded(&side.target)) {
        side.engine.threads.get_or_insert(threads as u32);
    }
}

/// Whether a target is the embedded engine, behind its tokenizer or not.
pub fn is_embedded(target: &str) -> bool {
    registry::engine_abilities_of(target).arithmetic_threads
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::resolve::resolve;
    use crate::cli::typed::Settings;

    #[test]
    fn default_threads_are_reported_by_embedded_engines_only() {
        let side = |target: &str, threads| {
            let target = Some(target.to_owned());
            resolve(&Settings { target, threads, ..Settings::default() }).expect("sound settings")
        };
        let mut sides = [
            side("local:dummy-pico", None),
            side("text:local:dummy-pico", None),
            side("local:dummy-pico", Some(2)),
            side("sim:null", None),
        ];
        set_resolved_threads(&mut sides, 3);
        let threads = sides.map(|side| side.to_settings().threads);
        assert_eq!(threads, [Some(3), Some(3), Some(2), None]);
    }
}
