//! Remedy of a flag that nobody knows: the nearest one of ours, or the benchmark that has it.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::translate;

/// The error, with what to do where the flag belongs to another benchmark.
pub fn with_remedy(mut error: clap::Error) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return error };
    let flag = flag.split('=').next().unwrap_or(flag);
    let tip = match (translate::program_with(flag), error.get(ContextKind::SuggestedArg)) {
        (Some(program), _) => format!(
            "'{flag}' is of `{program}`: `bareflight translate -- {program} …` prints our command for a whole one of it"
        ),
        (None, Some(_)) => return error,
        (None, None) => "`bareflight run --help` lists every flag".to_owned(),
    };
    // Its name says more than its likeness to one of ours.
    error.remove(ContextKind::SuggestedArg);
    error.remove(ContextKind::Usage);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}
