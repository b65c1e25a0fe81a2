//! What happens between two points: a pause, and a command, such as one that empties a server's cache.

use std::process::{Command, Stdio};

use crate::clock::{self, Nanos};
use crate::experiment::cache_reset::{CacheReset, ResetError};
use crate::issue::stop::Stop;
use crate::settings::Resolved;

/// Between two looks whether the end was asked for.
const LOOK: Nanos = Nanos::from_millis(50);

/// Tries a preset of `--between` before any load: what the server needs for it is told now, and not after the first point.
///
/// # Errors
/// When the preset cannot be used with this target, or the server does not do it.
pub fn check(resolved: &Resolved, stop: &Stop) -> Result<(), ResetError> {
    let preset = resolved.between.as_deref().and_then(CacheReset::named);
    preset.map_or(Ok(()), |preset| preset.ask(resolved, stop))
}

/// Waits for `--cool-down` and runs `--between`; what went wrong, where something did.
pub fn rest(resolved: &Resolved, stop: &Stop) -> Option<String> {
    if let Some(span) = resolved.cool_down {
        let until = clock::now() + span;
        while clock::now() < until && !stop.is_asked() {
            clock::sleep_until((clock::now() + LOOK).min(until));
        }
    }
    let given = resolved.between.as_deref().filter(|_| !stop.is_asked())?;
    if let Some(preset) = CacheReset::named(given) {
        return preset.ask(resolved, stop).err().map(|error| error.to_string());
    }
    let output = Command::new("sh").arg("-c").arg(given).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            Some(format!("`--between` failed with {}: {given}: {}", output.status, words.trim()))
        }
        Err(error) => Some(format!("`--between` cannot be run: {error}")),
    }
}
