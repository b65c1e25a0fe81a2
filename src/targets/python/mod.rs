//! Engines that live in Python, in this process: `py:MODULE`, `vllm:MODEL` and `trtllm-torch:MODEL`.
//!
//! Nothing here knows Python. The program that Python holds ([`host`]) starts the engine's thread and hands it an
//! [`engine_end::EngineEnd`]; a session talks to that thread over a [`desk::Desk`].

pub mod desk;
pub mod engine_end;
pub mod host;
mod session;
mod target;

use crate::settings::engine::EngineSettings;
use crate::settings::served::ServedSettings;
use crate::targets::TargetError;
use crate::targets::named::Named;
use crate::targets::python::target::{Adapter, PythonTarget};
use crate::targets::registry::{Abilities, Kind, TargetName};

const ABILITIES: Abilities = Abilities {
    in_process: true,
    engine: true,
    scheduler_settings: true,
    writes_log: true,
    engine_stamps: true,
    ..Abilities::NONE
};

const OF_MODEL: Abilities = Abilities { model_folder: true, ..ABILITIES };

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
    abilities: ABILITIES,
};

/// `vllm:MODEL`.
pub const VLLM_KIND: Kind = Kind {
    name: "vllm",
    help: "`vllm:MODEL[,KEY=VALUE…]` (vLLM's engine core in this process, with the `bareflight` that pip installs)",
    has_argument: true,
    describe: |name, settings, served| {
        of_model("vllm", "bareflight.vllm_adapter", name, settings, served)
    },
    abilities: OF_MODEL,
};

/// `trtllm-torch:MODEL`.
pub const TRTLLM_TORCH_KIND: Kind = Kind {
    name: "trtllm-torch",
    help: "`trtllm-torch:MODEL[,KEY=VALUE…]` (TensorRT-LLM's PyTorch backend in this process, with the `bareflight` that pip \
           installs)",
    has_argument: true,
    describe: |name, settings, served| {
        of_model("trtllm-torch", "bareflight.trtllm_torch_adapter", name, settings, served)
    },
    abilities: OF_MODEL,
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
