//! Errors of a target as a whole: unknown, unusable, or without a requested ability.

/// Why a target could not be opened or described. The text names the thing and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The name of the target makes no sense.
    #[error("target `{given}` is not known: {remedy}")]
    Unknown {
        /// What was typed.
        given: String,
        /// What can be typed instead.
        remedy: String,
    },
    /// The target exists but cannot be used.
    #[error("target `{name}` cannot be opened: {reason}")]
    Unusable {
        /// Which target.
        name: String,
        /// What is wrong, in the target's own words, and what to do.
        reason: String,
    },
    /// It does not have what was asked for.
    #[error("target `{name}` has no `{flag}`: {remedy}")]
    Impossible {
        /// Which target.
        name: String,
        /// What was typed.
        flag: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// An adapter is not where it should be.
    #[error(
        "LoRA task {task} has no `{missing}`: put the converted adapter there, or take the task out of `--lora`"
    )]
    Adapter {
        /// Its id.
        task: u64,
        /// The file that was looked for.
        missing: String,
    },
}
