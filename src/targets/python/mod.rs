//! Engines that live in Python, in this process: `py:MODULE`, `vllm:MODEL` and `trtllm-torch:MODEL`.
//!
//! Nothing here knows Python. The program that Python holds ([`host`]) starts the engine's thread and hands it an
//! [`engine_end::EngineEnd`]; a session talks to that thread over a [`desk::Desk`].

pub mod desk;
pub mod elsewhere;
pub mod engine_end;
pub mod host;
pub mod interpreter;
mod model_figures;
mod session;
mod target;
pub mod twin;

use crate::settings::engine::EngineSettings;
use crate::settings::served::ServedSettings;
use crate::targets::TargetError;
use crate::targets::named::Named;
use crate::targets::python::host::{Asked, PythonHost};
use crate::targets::python::target::{Adapter, PythonTarget};
use crate::targets::registry::{Abilities, AdapterModule, Kind, TargetName, kind_of};

const ABILITIES: Abilities = Abilities {
    in_process: true,
    engine: true,
    scheduler_settings: true,
    writes_log: true,
    engine_stamps: true,
    ..Abilities::NONE
};

const fn of_model_abilities(module: &'static str) -> Abilities {
    let in_python = Some(AdapterModule::Fixed(module));
    Abilities { model_folder: true, local_gpus: true, in_python, ..ABILITIES }
}

const VLLM_ADAPTER: &str = "bareflight.vllm_adapter";
const TRTLLM_TORCH_ADAPTER: &str = "bareflight.trtllm_torch_adapter";

/// `py:MODULE`.
pub const KIND: Kind = Kind {
    name: "py",
    help: "`py:MODULE[,KEY=VALUE…]` (an engine in Python behind an adapter, with the `bareflight` that pip installs)",
    has_argument: true,
    describe: |name, settings, served| {
        let (module, options) = split_options(name);
        PythonTarget::describe(
            Adapter { kind: "py", module, model: "", options },
            name,
            settings,
            served,
        )
    },
    abilities: Abilities { in_python: Some(AdapterModule::Named), ..ABILITIES },
};

/// `vllm:MODEL`.
pub const VLLM_KIND: Kind = Kind {
    name: "vllm",
    help: "`vllm:MODEL[,KEY=VALUE…]` (vLLM's engine core in this process, with the `bareflight` that pip installs)",
    has_argument: true,
    describe: |name, settings, served| of_model("vllm", VLLM_ADAPTER, name, settings, served),
    abilities: of_model_abilities(VLLM_ADAPTER),
};

/// `trtllm-torch:MODEL`.
pub const TRTLLM_TORCH_KIND: Kind = Kind {
    name: "trtllm-torch",
    help: "`trtllm-torch:MODEL[,KEY=VALUE…]` (TensorRT-LLM's PyTorch backend in this process, with the `bareflight` that pip \
           installs)",
    has_argument: true,
    describe: |name, settings, served| {
        of_model("trtllm-torch", TRTLLM_TORCH_ADAPTER, name, settings, served)
    },
    abilities: of_model_abilities(TRTLLM_TORCH_ADAPTER),
};

fn of_model(
    kind: &str,
    module: &str,
    name: &TargetName<'_>,
    settings: &EngineSettings,
    served: &ServedSettings,
) -> Result<Named, TargetError> {
    let (model, options) = split_options(name);
    PythonTarget::describe(Adapter { kind, module, model, options }, name, settings, served)
}

/// What stands before the first comma, and the options after it.
fn split_options<'a>(name: &TargetName<'a>) -> (&'a str, &'a str) {
    name.argument.split_once(',').unwrap_or((name.argument, ""))
}

/// The adapter of a target; `None` where it is no engine in Python.
pub(super) fn named_adapter(target: &str) -> Option<Adapter<'_>> {
    let (kind, name) = kind_of(target)?;
    let module = kind.abilities.in_python?;
    let (first, options) = split_options(&name);
    let (module, model) = match module {
        AdapterModule::Fixed(module) => (module, first),
        AdapterModule::Named => (first, ""),
    };
    Some(Adapter { kind: kind.name, module, model, options })
}

/// The adapter of a target, its model and its options.
///
/// # Errors
/// When an option is none.
pub fn adapter_of(target: &str) -> Option<Result<Asked, String>> {
    let Adapter { module, model, options, .. } = named_adapter(target)?;
    Some(target::parse_options(options).map(|options| Asked {
        module: module.to_owned(),
        model: model.to_owned(),
        settings: serde_json::json!(options).to_string(),
    }))
}

/// The host, or what to do where Python does not hold this program.
///
/// # Errors
/// In a sentence for the user.
pub fn host_or_remedy() -> Result<&'static dyn PythonHost, &'static str> {
    host::host().ok_or(target::NO_HOST)
}
