//! `triton-c:REPOSITORY/MODEL`: Triton's scheduler in this process, through its C API: no network in between.

mod event_thread;
mod session;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::clock::{self, Nanos};
use crate::ffi::triton::{Core, CoreOptions, Library, LoadError};
use crate::record::request_record::StampSource;
use crate::record::sink::Sink;
use crate::request::Limits;
use crate::targets::named::Named;
use crate::targets::registry::{Abilities, Kind};
use crate::targets::triton::in_flight::SessionSettings;
use crate::targets::triton::metadata::ServerFacts;
use crate::targets::triton::metadata_json::{
    facts_from_json, is_loaded, not_loaded, why_not_ready,
};
use crate::targets::triton::model_io::ModelIo;
use crate::targets::triton::options::{AskOptions, Timeouts};
use crate::targets::triton::request::RequestTemplate;
use crate::targets::triton::token_source;
use crate::targets::triton_c::session::CoreSession;
use crate::targets::{Session, Target, TargetError, TargetInfo};

/// `triton-c:REPOSITORY/MODEL`.
pub const KIND: Kind = Kind {
    name: "triton-c",
    help: "`triton-c:REPOSITORY/MODEL` (Triton's core in this process)",
    has_argument: true,
    describe: |name, _, served| {
        Ok(Named::served(TritonCTarget::new(served.triton_c(name.argument)?)?, served))
    },
    abilities: Abilities {
        extra_inputs: true,
        engine_stamps: true,
        loads_triton: true,
        ..Abilities::NONE
    },
};

/// Options of a `triton-c:` target.
#[derive(Debug, Clone)]
pub struct TritonCOptions {
    /// Folder of models.
    pub repository: PathBuf,
    /// The model's name.
    pub model: String,
    /// `libtritonserver.so`, or a folder that holds it; looked for in the usual places where `None`.
    pub library: Option<PathBuf>,
    /// Folder of backends; the one that belongs to the library where `None`.
    pub backends: Option<PathBuf>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Settings that apply to every request.
    pub asking: AskOptions,
}

impl TritonCOptions {
    /// Defaults for `REPOSITORY/MODEL`.
    ///
    /// # Errors
    /// When the text names no model, or there is no such model in the repository.
    pub fn new(place: &str) -> Result<Self, TargetError> {
        let unknown = |reason: String| TargetError::Unusable {
            name: format!("triton-c:{place}"),
            reason: format!("{reason}: write `triton-c:REPOSITORY/MODEL`"),
        };
        let (repository, model) =
            place.rsplit_once('/').ok_or_else(|| unknown("it names no model".into()))?;
        let repository = PathBuf::from(repository);
        if !repository.is_dir() {
            return Err(unknown(format!("there is no folder `{}`", repository.display())));
        }
        if model.is_empty() || !repository.join(model).is_dir() {
            let reason = format!("`{}` holds no model `{model}`", repository.display());
            return Err(unknown(reason));
        }
        Ok(Self {
            repository,
            model: model.to_owned(),
            library: None,
            backends: None,
            timeouts: Timeouts::default(),
            asking: AskOptions::default(),
        })
    }
}

/// One model in a Triton core of our own.
#[derive(Debug)]
pub struct TritonCTarget {
    options: TritonCOptions,
    library: Library,
    info: TargetInfo,
}

/// Version −1 leaves the choice to the core.
const ANY_VERSION: i64 = -1;
/// Seconds that stopping waits for models to unload; their requests have been cancelled before.
const EXIT_TIMEOUT_S: u32 = 20;

/// From the load of a model until it may be unloaded: the core's threads still hold it when it says that it is loaded, and on a
/// busy machine one that is unloaded at once has crashed it (`TritonModelInstance::~TritonModelInstance`, while its thread was in
/// `Payload::Execute`).
const SETTLING: Nanos = Nanos::from_millis(1_000);

impl TritonCTarget {
    /// Finds and loads the library; no model is loaded.
    ///
    /// # Errors
    /// When there is no library, or one of an unknown API version.
    pub fn new(mut options: TritonCOptions) -> Result<Self, TargetError> {
        let name = format!("triton-c:{}/{}", options.repository.display(), options.model);
        let unusable = |error: LoadError| TargetError::Unusable {
            name: name.clone(),
            reason: error.to_string(),
        };
        let path = Library::find(options.library.as_deref()).map_err(unusable)?;
        let library = Library::load(&path).map_err(unusable)?;
        options.backends = options.backends.or_else(|| Library::backends_of(&path));
        let (major, minor) = library.version;
        let info = TargetInfo {
            title: format!("Triton core in this process, model `{}`", options.model),
            name,
            kind: "triton-c".into(),
            simulated: false,
            dummy_weights: false,
            // Triton does not say how many GPUs a model uses.
            gpus: 0,
            limits: Limits::default(),
            details: json!({
                "model": options.model,
                "library": path.file_name().map(|name| name.to_string_lossy()),
                "api_version": format!("{major}.{minor}"),
                "metrics": false,
            }),
        };
        Ok(Self { options, library, info })
    }
}

/// Starts the core, loads its model and asks for it.
fn start(
    library: Library,
    options: &TritonCOptions,
) -> Result<(Arc<Core>, RequestTemplate), String> {
    let set_up = CoreOptions {
        repository: options.repository.clone(),
        backends: options.backends.clone(),
        exit_timeout_s: EXIT_TIMEOUT_S,
    };
    let core = Core::start(library, &set_up).map_err(|error| error.to_string())?;
    load(&core, &options.model)?;
    let template = template_of(&core, options).inspect_err(|_| clock::sleep(SETTLING))?;
    load_the_others(&core)?;
    Ok((core, template))
}

/// What the model is asked with.
fn template_of(core: &Core, options: &TritonCOptions) -> Result<RequestTemplate, String> {
    let facts = query_model(core, &options.model)?;
    let filled = options.asking.extra_inputs.keys().map(String::as_str);
    let model_io = ModelIo::choose(&facts.model, filled, options.asking.engine_stamps)?;
    RequestTemplate::new(model_io, &facts.model, "", &options.asking)
}

fn load(core: &Core, model: &str) -> Result<(), String> {
    let Err(error) = core.load(model) else { return Ok(()) };
    let index = core.model_index().map_err(|error| error.to_string())?;
    // The call also fails where one version of several did not load.
    if is_loaded(&index, model) {
        return Ok(());
    }
    Err(why_not_ready(&index, model, &error.message))
}

/// Loads the rest of the repository: a model may call others by name. What does not load is in the core's log, and keeps none
/// of the others from being used.
fn load_the_others(core: &Core) -> Result<(), String> {
    let index = core.model_index().map_err(|error| error.to_string())?;
    for model in not_loaded(&index) {
        let _in_the_cores_log = core.load(&model);
    }
    Ok(())
}

fn query_model(core: &Core, model: &str) -> Result<ServerFacts, String> {
    let server = core.metadata().map_err(|error| error.to_string())?;
    let metadata = core.model_metadata(model, ANY_VERSION).map_err(|error| error.to_string())?;
    let config = core.model_config(model, ANY_VERSION).map_err(|error| error.to_string())?;
    facts_from_json(server.as_bytes(), metadata.as_bytes(), config.as_bytes())
        .map_err(|failure| failure.message)
}

impl Target for TritonCTarget {
    fn describe(&self) -> &TargetInfo {
        &self.info
    }

    fn open(self: Box<Self>, sink: Sink) -> Result<Box<dyn Session>, TargetError> {
        let Self { options, library, info } = *self;
        let unusable = |reason: String| TargetError::Unusable { name: info.name.clone(), reason };
        let (core, template) = start(library, &options).map_err(unusable)?;
        let settings = SessionSettings {
            timeouts: options.timeouts,
            tokens: token_source(&options.asking, template.model_io()),
            count_tokens: options.asking.count_tokens,
            same_host: true,
            stamps: StampSource::Engine,
        };
        sink.set_stamp_source(settings.stamps);
        sink.tokens_come_from(settings.tokens);
        let session = CoreSession::start(core, template, settings, sink)
            .map_err(|error| unusable(format!("its thread cannot be started: {error}")))?;
        Ok(Box::new(session))
    }
}
