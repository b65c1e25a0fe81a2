//! `trtllm:ENGINE_DIR`: TensorRT-LLM's executor in this process; without the feature `trtllm`, an error with the remedy.

#[cfg(feature = "trtllm")]
mod target;

#[cfg(feature = "trtllm")]
pub use target::TrtllmTarget;

use crate::settings::engine::EngineSettings;
use crate::settings::served::ServedSettings;
use crate::targets::TargetError;
use crate::targets::named::Named;
use crate::targets::registry::{Abilities, Kind, TargetName};

/// `trtllm:ENGINE_DIR`.
pub const KIND: Kind = Kind {
    name: "trtllm",
    help: "`trtllm:ENGINE_DIR` (TensorRT-LLM)",
    has_argument: true,
    describe,
    abilities: Abilities {
        in_process: true,
        engine: true,
        scheduler_settings: true,
        executor_settings: true,
        writes_log: true,
        engine_stamps: true,
        priorities: true,
        local_gpus: true,
        several_ranks: true,
        engine_directory: true,
        tells_answers: true,
        ..Abilities::NONE
    },
};

#[cfg(feature = "trtllm")]
fn describe(
    name: &TargetName,
    settings: &EngineSettings,
    served: &ServedSettings,
) -> Result<Named, TargetError> {
    use crate::targets::named::Tokens;

    let target = TrtllmTarget::new(name.argument, settings.clone(), served)?;
    let (directory, loader) = (target.directory().clone(), target.loader());
    let tokens = Tokens::named(name.whole, served, Some(&directory));
    let (special_ids, draft) = (target.end_ids(), target.draft_directory().cloned());
    let named = Named::new(target, special_ids, tokens);
    let named = named.from_engine_directory(directory).loaded_by(loader);
    Ok(if draft.is_some() { named.drafted_by(draft) } else { named })
}

#[cfg(not(feature = "trtllm"))]
fn describe(
    name: &TargetName,
    _: &EngineSettings,
    _: &ServedSettings,
) -> Result<Named, TargetError> {
    Err(TargetError::Unusable {
        name: name.whole.to_owned(),
        reason: "this program was built without TensorRT-LLM: build it with `cargo build --release --features \
                 trtllm` where TensorRT-LLM 1.2 or older is installed"
            .into(),
    })
}
