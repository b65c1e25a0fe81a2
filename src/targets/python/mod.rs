//! Engines that live in Python, in this process: `py:MODULE` and `vllm:MODEL_DIR`.
//!
//! Nothing here knows Python. The program that Python holds ([`host`]) starts the engine's thread and hands it an
//! [`engine_end::EngineEnd`]; a session talks to that thread over a [`desk::Desk`].

pub mod desk;
pub mod engine_end;
pub mod host;
mod session;
mod target;

use crate::targets::python::target::PythonTarget;
use crate::targets::registry::{Abilities, Kind};

/// The adapter of `vllm:`.
const VLLM_ADAPTER: &str = "bareflight.vllm_adapter";

const ABILITIES: Abilities = Abilities {
    in_process: true,
    engine: true,
    scheduler_settings: true,
    engine_stamps: true,
    ..Abilities::NONE
};

/// `py:MODULE`.
pub const KIND: Kind = Kind {
    name: "py",
    help: "`py:MODULE[,KEY=VALUE…]` (an engine behind an adapter of yours, in the `bareflight` that Python holds)",
    has_argument: true,
    describe: |name, settings, served| {
        let (module, options) = name.argument.split_once(',').unwrap_or((name.argument, ""));
        PythonTarget::describe("py", name, module, "", options, settings, served)
    },
    abilities: ABILITIES,
};

/// `vllm:MODEL_DIR`.
pub const VLLM_KIND: Kind = Kind {
    name: "vllm",
    help: "`vllm:MODEL_DIR[,KEY=VALUE…]` (vLLM's engine core, in the `bareflight` that Python holds)",
    has_argument: true,
    describe: |name, settings, served| {
        let (model, options) = name.argument.split_once(',').unwrap_or((name.argument, ""));
        PythonTarget::describe("vllm", name, VLLM_ADAPTER, model, options, settings, served)
    },
    abilities: Abilities { model_folder: true, ..ABILITIES },
};
