//! `trtllm:ENGINE_DIR`: TensorRT-LLM's executor on a built engine, in this process and its other ranks.

use std::path::Path;

use crate::engine_directory::{EndToken, EngineDirectory};
use crate::ffi::engine::{Engine, trtllm_version};
use crate::record::sink::Sink;
use crate::request::Limits;
use crate::settings::engine::{Drafting, EngineSettings};
use crate::settings::served::ServedSettings;
use crate::targets::executor::{Engines, NO_DRAFTS, PerRequest, Verifier, combined_limits};
use crate::targets::mpi_job::{JobEnd, MpiJob};
use crate::targets::named::Loader;
use crate::targets::sim::wire_config;
use crate::targets::{Session, Target, TargetError, TargetInfo};

/// Suffix of our simulated library's version.
const SIMULATED: &str = "+simulated";

/// TensorRT-LLM's executor on one engine.
#[derive(Debug)]
pub struct TrtllmTarget {
    directory: EngineDirectory,
    draft: Option<EngineDirectory>,
    settings: EngineSettings,
    version: String,
    end_token: Option<EndToken>,
    info: TargetInfo,
}

impl TrtllmTarget {
    /// Reads the engine's configuration and the library's version; nothing is loaded. The end token comes from the files
    /// of the model, whose folder `served` may name.
    ///
    /// # Errors
    /// When the library is not of the headers' version, the directory holds no engine, or outputs are to stop at an end
    /// token that no file names.
    pub fn new(
        directory: &str,
        settings: EngineSettings,
        served: &ServedSettings,
    ) -> Result<Self, TargetError> {
        let name = format!("trtllm:{directory}");
        let unusable = |reason: String| TargetError::Unusable { name: name.clone(), reason };
        let version = trtllm_version().map_err(|error| unusable(error.to_string()))?;
        if let Some(worker) = settings.worker.as_ref().filter(|worker| !worker.is_file()) {
            return Err(unusable(format!(
                "its worker `{}` is not there: name the installation's bin/executorWorker",
                worker.display()
            )));
        }
        let directory = EngineDirectory::read(Path::new(directory))
            .map_err(|error| unusable(error.to_string()))?;
        let end_token =
            EndToken::find_if_needed(&directory, served.tokenizer.as_deref(), served.ignore_eos)
                .map_err(|error| unusable(error.to_string()))?;
        if end_token.is_none() && !served.ignore_eos {
            return Err(unusable(
                "an engine does not say which token ends an output, which `--stop-at-eos` wants to know: name the \
                 folder of its model with `--tokenizer DIR`, or copy the model's generation_config.json into the \
                 engine's directory"
                    .into(),
            ));
        }
        if settings.drafting.is_none() && directory.config.external_drafts() > 0 {
            return Err(unusable(NO_DRAFTS.into()));
        }
        let draft = draft_of(&settings).map_err(unusable)?;
        let mut info = info_of(name.clone(), &version, &directory, &settings, end_token.as_ref());
        info.details["settings"] =
            settings.to_json().map_err(|error| unusable(error.to_string()))?;
        if let (Some(drafting), Some(draft)) = (&settings.drafting, &draft) {
            info.limits =
                limits_of_both(drafting, draft, &directory, &settings).map_err(unusable)?;
            info.title += &drafting.description();
            let own = draft.config.mapping.world_size();
            info.gpus += drafting.gpus_beside(own, &settings.device_ids, info.gpus);
            info.details["draft"] = serde_json::json!(draft);
        }
        Ok(Self { directory, draft, settings, version, end_token, info })
    }

    /// Processes that load it: this one and its ranks, or workers.
    pub fn loader(&self) -> Loader {
        let started = || MpiJob::of_this_process().map_or(1, |job| job.size);
        Loader {
            ranks: self.settings.worker.is_none().then(started),
            // The simulated library accepts engines of any version.
            library_version: (!self.info.simulated).then(|| self.version.clone()),
        }
    }

    /// The token that ends an output, where a file names it.
    pub fn end_ids(&self) -> Vec<u32> {
        self.end_token.iter().map(|end| end.id).collect()
    }

    /// Contents of the engine's directory.
    pub fn directory(&self) -> &EngineDirectory {
        &self.directory
    }

    /// Contents of the draft engine's directory.
    pub fn draft_directory(&self) -> Option<&EngineDirectory> {
        self.draft.as_ref()
    }
}

fn draft_of(settings: &EngineSettings) -> Result<Option<EngineDirectory>, String> {
    let read = |drafting: &Drafting| {
        EngineDirectory::read(Path::new(&drafting.engine))
            .map_err(|error| format!("its draft engine: {error}"))
    };
    settings.drafting.as_ref().map(read).transpose()
}

/// In leader mode both engines would use the same ranks at once, which the library does not support.
fn limits_of_both(
    drafting: &Drafting,
    draft: &EngineDirectory,
    target: &EngineDirectory,
    settings: &EngineSettings,
) -> Result<Limits, String> {
    let ranks = [draft, target].map(|engine| engine.config.mapping.world_size());
    if ranks != [1, 1] && settings.worker.is_none() {
        return Err(format!(
            "its draft engine was built for {} ranks and it for {}: two engines in one process take several GPUs in \
             orchestrator mode alone, with `--worker` and without mpirun",
            ranks[0], ranks[1]
        ));
    }
    let verifier = Verifier {
        limits: target.limits(settings),
        most_drafts: target.config.external_drafts(),
        remedy: "build it with `trtllm-build --speculative_decoding_mode draft_tokens_external --max_draft_len N`",
    };
    combined_limits(drafting, &verifier, &draft.limits(&settings.of_draft(drafting)))
}

fn info_of(
    name: String,
    version: &str,
    directory: &EngineDirectory,
    settings: &EngineSettings,
    end_token: Option<&EndToken>,
) -> TargetInfo {
    let config = &directory.config;
    let simulated = version.ends_with(SIMULATED);
    TargetInfo {
        title: format!(
            "{}TensorRT-LLM {version}, {} {}, tensor {} × pipeline {}",
            if simulated { "SIMULATED " } else { "" },
            config.model.architecture,
            config.model.dtype.word(),
            config.mapping.tensor,
            config.mapping.pipeline
        ),
        name,
        kind: "trtllm".into(),
        simulated,
        dummy_weights: false,
        gpus: config.mapping.world_size(),
        limits: directory.limits(settings),
        details: serde_json::json!({
            "library_version": version,
            "engine": directory,
            "end_token": end_token,
        }),
    }
}

impl Target for TrtllmTarget {
    fn describe(&self) -> &TargetInfo {
        &self.info
    }

    fn open(self: Box<Self>, sink: Sink) -> Result<Box<dyn Session>, TargetError> {
        let unusable =
            |reason: String| TargetError::Unusable { name: self.info.name.clone(), reason };
        let open = |model: &str, settings: &EngineSettings| {
            Engine::open_trtllm(&wire_config(model, settings)).map_err(|error| error.to_string())
        };
        let model = self.directory.path.display().to_string();
        let engines = Engines::open(&model, &self.settings, open).map_err(unusable)?;
        // After the library's MPI, which installs handlers of its own.
        let job_end = JobEnd::watch(MpiJob::of_this_process())
            .map_err(|error| unusable(format!("SIGTERM cannot be watched: {error}")))?;
        let end_id = self.end_token.map_or(-1, |end| end.id as i32);
        let per_request = PerRequest { perf_metrics: self.settings.perf_metrics, end_id };
        engines.drive(&self.settings, per_request, job_end, sink).map_err(unusable)
    }
}
