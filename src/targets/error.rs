//! Errors of a target as a whole: unknown, unusable, or without a requested ability.

/// Error of opening or describing a target. The message names what is wrong and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The name means no target.
    #[error("target `{given}` is not known: {remedy}")]
    Unknown {
        /// What was typed.
        given: String,
        /// What can be typed instead.
        remedy: String,
    },
    /// Its kind is known, and what it names is missing, or has no place.
    #[error("target `{given}` has {what} behind its kind: write {usage}")]
    Incomplete {
        /// What was typed.
        given: String,
        /// What is wrong: `no name`, or `a name`.
        what: &'static str,
        /// How a target of its kind is written.
        usage: &'static str,
    },
    /// Its engine lives in another program, which does not hold this one.
    #[error("target `{given}` is not in this program: {remedy}")]
    Elsewhere {
        /// What was typed.
        given: String,
        /// Which program has it.
        remedy: &'static str,
    },
    /// The target exists but cannot be used.
    #[error("target `{name}` cannot be opened: {reason}")]
    Unusable {
        /// Which target.
        name: String,
        /// What is wrong, with the target's own message, and the remedy.
        reason: String,
    },
    /// It refused the request that is sent before any load.
    #[error("target `{name}` refuses what would be measured, so no load was sent: {reason}")]
    Refused {
        /// Which target.
        name: String,
        /// Its words, and the remedy.
        reason: String,
    },
    /// It does not support a setting.
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
        /// The missing file.
        missing: String,
    },
}
