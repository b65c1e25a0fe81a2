//! Presets of launched servers: from a name and its settings to a command line, as pure functions.

use std::path::Path;

use crate::experiment::launch::places::names_a_port;
use crate::experiment::launch::words::{self, NoCommand};
use crate::host;
use crate::settings::launch::{LaunchProfiler, LaunchSettings, ReadySign};

/// Everything about a launch before its ports are known; texts may hold placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchPlan {
    /// What it is called in words and folders.
    pub name: String,
    /// Command line.
    pub argv: Vec<String>,
    /// The program whose presence and version count; a profiler may stand before it.
    pub program: String,
    /// Command line that prints its version.
    pub version: Vec<String>,
    /// How it is known to be ready.
    pub ready: ReadyWhen,
    /// What is measured.
    pub target: String,
    /// Where its metrics are.
    pub metrics: Option<String>,
}

/// What says that a server is ready; texts may hold placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyWhen {
    /// A GET of this path on this port of loopback is answered with success.
    Answers {
        /// Which port.
        port: String,
        /// Which path.
        path: String,
    },
    /// Its log holds this text.
    Says(String),
    /// Something listens on this port of loopback, and does not say at `/health` that it is still loading.
    Listens(String),
}

impl ReadyWhen {
    /// The port of loopback that it looks at.
    pub fn port(&self) -> Option<&str> {
        match self {
            Self::Answers { port, .. } | Self::Listens(port) => Some(port),
            Self::Says(_) => None,
        }
    }
}

impl std::fmt::Display for ReadyWhen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answers { port, path } => {
                write!(f, "GET http://127.0.0.1:{port}{path} is answered with success")
            }
            Self::Says(text) => write!(f, "its log holds `{text}`"),
            Self::Listens(port) => write!(f, "127.0.0.1:{port} is open"),
        }
    }
}

/// Why there is no command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPlan {
    /// A command line that is none.
    #[error(transparent)]
    Command(#[from] NoCommand),
    /// A preset without what it serves.
    #[error("`--launch {0}` needs what it serves: give `--launch-model {1}`")]
    NoModel(String, &'static str),
    /// A backend of `trtllm-serve` that it does not have.
    #[error(
        "`trtllm-serve` has no backend `{0}`: write `trtllm-serve:pytorch`, `:engine` or `:autodeploy`"
    )]
    NoBackend(String),
    /// A flag that the preset has no place for.
    #[error("`--launch {preset}` has no place for `{flag}`: {remedy}")]
    NoPlace {
        /// Which preset.
        preset: String,
        /// Which flag.
        flag: &'static str,
        /// What can be done instead.
        remedy: &'static str,
    },
    /// A command line without a port.
    #[error(
        "nothing says where `--launch {0}` listens: write `{{port}}` where its port stands, or name it with `--target`"
    )]
    NoPort(String),
    /// This program cannot find itself.
    #[error("`--launch bareflight`: this program cannot find itself")]
    NoSelf,
}

/// A known server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preset {
    TrtllmServe(Backend),
    Triton,
    Vllm,
    Sglang,
    LlamaServer,
    Bareflight,
}

/// What runs the model behind `trtllm-serve`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    Engine,
    Pytorch,
    AutoDeploy,
}

const OPENAI: &str = "openai:http://127.0.0.1:{port}/v1";
const LOOPBACK: [&str; 4] = ["--host", "127.0.0.1", "--port", "{port}"];

impl Preset {
    fn named(text: &str) -> Result<Option<Self>, NoPlan> {
        Ok(Some(match text {
            "triton" | "tritonserver" => Self::Triton,
            "vllm" => Self::Vllm,
            "sglang" => Self::Sglang,
            "llama-server" | "llama.cpp" => Self::LlamaServer,
            "bareflight" => Self::Bareflight,
            "trtllm-serve" => Self::TrtllmServe(Backend::Pytorch),
            other => match other.strip_prefix("trtllm-serve:") {
                None => return Ok(None),
                Some("pytorch") => Self::TrtllmServe(Backend::Pytorch),
                Some("engine" | "tensorrt" | "trt") => Self::TrtllmServe(Backend::Engine),
                Some("autodeploy" | "_autodeploy") => Self::TrtllmServe(Backend::AutoDeploy),
                Some(backend) => return Err(NoPlan::NoBackend(backend.to_owned())),
            },
        }))
    }

    /// What `--launch-model` is for it.
    fn serves(self) -> &'static str {
        match self {
            Self::TrtllmServe(Backend::Engine) => "ENGINE_DIR",
            Self::Triton => "MODEL_REPOSITORY",
            Self::LlamaServer => "FILE.gguf",
            Self::Bareflight => "TARGET (such as `local:dummy-nano`)",
            Self::TrtllmServe(_) | Self::Vllm | Self::Sglang => "MODEL",
        }
    }
}

/// The command line of a launch, and all that follows from it.
///
/// # Errors
/// One sentence that names the flag and the remedy.
pub fn plan(settings: &LaunchSettings, tokenizer: Option<&Path>) -> Result<LaunchPlan, NoPlan> {
    let mut plan = match Preset::named(settings.launch.trim())? {
        Some(preset) => of_preset(preset, settings, tokenizer)?,
        None => of_command(settings)?,
    };
    match &settings.ready {
        Some(ReadySign::Path(path)) => {
            let port = match &plan.ready {
                ReadyWhen::Answers { port, .. } | ReadyWhen::Listens(port) => port.clone(),
                ReadyWhen::Says(_) => "{port}".into(),
            };
            plan.ready = ReadyWhen::Answers { port, path: path.clone() };
        }
        Some(ReadySign::Log(text)) => plan.ready = ReadyWhen::Says(text.clone()),
        None => {}
    }
    if let Some(target) = &settings.target {
        plan.target.clone_from(target);
    }
    if settings.profile == Some(LaunchProfiler::Nsys) {
        plan.argv = [nsys(), plan.argv].concat();
    }
    Ok(plan)
}

/// Traces everything from start to stop, the workers of a tensor-parallel server too.
fn nsys() -> Vec<String> {
    words(&[
        "nsys",
        "profile",
        "--output",
        "{folder}/server",
        "--force-overwrite",
        "true",
        "--trace",
        "cuda,nvtx,osrt",
        "--cuda-graph-trace",
        "node",
        "--trace-fork-before-exec",
        "true",
        "--sample",
        "none",
    ])
}

fn of_preset(
    preset: Preset,
    settings: &LaunchSettings,
    tokenizer: Option<&Path>,
) -> Result<LaunchPlan, NoPlan> {
    let name = settings.launch.trim().to_owned();
    let Some(model) = settings.model.as_deref() else {
        return Err(NoPlan::NoModel(name, preset.serves()));
    };
    let no_place = |flag, remedy| NoPlan::NoPlace { preset: name.clone(), flag, remedy };
    let options = settings.extra_options.as_ref().map(|path| path.display().to_string());
    let ranks = settings.world_size;
    let mut openai = LaunchPlan {
        name: name.replace(':', "-"),
        argv: Vec::new(),
        program: String::new(),
        version: Vec::new(),
        ready: ReadyWhen::Answers { port: "{port}".into(), path: "/health".into() },
        target: OPENAI.into(),
        metrics: Some("http://127.0.0.1:{port}/metrics".into()),
    };
    let argv = match preset {
        Preset::TrtllmServe(backend) => {
            openai.metrics = Some("http://127.0.0.1:{port}/prometheus/metrics".into());
            trtllm_serve(backend, model, tokenizer, ranks, options)
        }
        Preset::Vllm => {
            let ranks = flag_of("--tensor-parallel-size", ranks);
            let config = flag_of("--config", options);
            [words(&["vllm", "serve", model]), words(&LOOPBACK), ranks, config].concat()
        }
        Preset::Sglang => {
            let start = words(&["python3", "-m", "sglang.launch_server", "--model-path", model]);
            let (ranks, config) = (flag_of("--tp-size", ranks), flag_of("--config", options));
            [start, words(&LOOPBACK), words(&["--enable-metrics"]), ranks, config].concat()
        }
        Preset::LlamaServer => {
            if ranks.is_some() {
                let remedy = "it spreads over the GPUs that it sees; choose them with `--env CUDA_VISIBLE_DEVICES=…`";
                return Err(no_place("--world-size", remedy));
            }
            if options.is_some() {
                return Err(no_place(
                    "--extra-options",
                    "it reads no file; write the whole command line",
                ));
            }
            [words(&["llama-server", "--model", model]), words(&LOOPBACK), words(&["--metrics"])]
                .concat()
        }
        Preset::Bareflight => {
            if ranks.is_some() {
                return Err(no_place(
                    "--world-size",
                    "its engine runs in one process; leave it out",
                ));
            }
            bareflight(model, options)?
        }
        Preset::Triton => {
            if options.is_some() {
                let remedy = "its models are configured in the repository's `config.pbtxt`";
                return Err(no_place("--extra-options", remedy));
            }
            openai.ready =
                ReadyWhen::Answers { port: "{http_port}".into(), path: "/v2/health/ready".into() };
            openai.target = "triton:127.0.0.1:{port}/ensemble".into();
            openai.metrics = Some("http://127.0.0.1:{metrics_port}/metrics".into());
            triton(model, ranks.unwrap_or(1))
        }
    };
    openai.program.clone_from(&argv[0]);
    openai.version = version_of(preset, &argv[0]);
    Ok(LaunchPlan { argv, ..openai })
}

fn version_of(preset: Preset, program: &str) -> Vec<String> {
    match preset {
        Preset::Sglang => words(&[program, "-c", "import sglang; print(sglang.__version__)"]),
        // Its command line has no such flag in every version.
        Preset::TrtllmServe(_) => {
            let ask = "from importlib.metadata import version; print(version('tensorrt_llm'))";
            words(&["python3", "-c", ask])
        }
        // `tritonserver` prints its version at start only, and `mpirun` would print its own.
        Preset::Triton => Vec::new(),
        Preset::Vllm | Preset::LlamaServer | Preset::Bareflight => words(&[program, "--version"]),
    }
}

fn trtllm_serve(
    backend: Backend,
    model: &str,
    tokenizer: Option<&Path>,
    ranks: Option<u32>,
    options: Option<String>,
) -> Vec<String> {
    let backend_name = match backend {
        Backend::Engine => "tensorrt",
        Backend::Pytorch => "pytorch",
        Backend::AutoDeploy => "_autodeploy",
    };
    let tokenizer = match backend {
        // An engine directory has none; it is read from a folder.
        Backend::Engine => tokenizer.map(|path| match path.parent() {
            Some(folder) if path.extension().is_some_and(|it| it == "json") => folder,
            _ => path,
        }),
        Backend::Pytorch | Backend::AutoDeploy => None,
    };
    [
        words(&["trtllm-serve", model, "--backend", backend_name]),
        words(&LOOPBACK),
        flag_of("--tokenizer", tokenizer.map(|path| path.display().to_string())),
        flag_of("--tp_size", ranks),
        flag_of("--extra_llm_api_options", options),
    ]
    .concat()
}

fn bareflight(target: &str, options: Option<String>) -> Result<Vec<String>, NoPlan> {
    let program = host::this_program().map_err(|_| NoPlan::NoSelf)?;
    let itself = std::iter::once(program.get_program()).chain(program.get_args());
    let itself: Vec<String> = itself.map(|word| word.to_string_lossy().into_owned()).collect();
    let start = [itself, words(&["serve", "--target", target])].concat();
    let grpc = words(&["--grpc-port", "{http_port}"]);
    Ok([start, words(&LOOPBACK), grpc, flag_of("--config", options)].concat())
}

/// One process for each rank of an engine; the first serves, the others load the model and wait for it.
fn triton(repository: &str, ranks: u32) -> Vec<String> {
    let server = |rank: u32| {
        let mut argv = words(&["tritonserver", "--model-repository", repository]);
        if ranks > 1 {
            let shared = format!("--backend-config=python,shm-region-prefix-name=prefix{rank}_");
            argv.extend(["--disable-auto-complete-config".to_owned(), shared]);
        }
        if rank == 0 {
            argv.extend(words(&[
                "--grpc-address",
                "127.0.0.1",
                "--grpc-port",
                "{port}",
                "--http-address",
                "127.0.0.1",
                "--http-port",
                "{http_port}",
                "--metrics-address",
                "127.0.0.1",
                "--metrics-port",
                "{metrics_port}",
            ]));
        } else {
            argv.extend(words(&[
                "--model-control-mode=explicit",
                "--load-model=tensorrt_llm",
                "--allow-http=false",
                "--allow-grpc=false",
                "--allow-metrics=false",
            ]));
        }
        argv
    };
    if ranks == 1 {
        return server(0);
    }
    let each = (0..ranks).map(|rank| {
        let colon = if rank == 0 { Vec::new() } else { words(&[":"]) };
        [colon, words(&["-n", "1"]), server(rank)].concat()
    });
    [words(&["mpirun", "--allow-run-as-root"]), each.collect::<Vec<_>>().concat()].concat()
}

/// A command line of the user's own.
fn of_command(settings: &LaunchSettings) -> Result<LaunchPlan, NoPlan> {
    let preset_flags = [
        ("--launch-model", settings.model.is_some()),
        ("--world-size", settings.world_size.is_some()),
        ("--extra-options", settings.extra_options.is_some()),
    ];
    let text = settings.launch.trim();
    if let Some((flag, _)) = preset_flags.into_iter().find(|(_, given)| *given) {
        let preset = text.to_owned();
        let remedy = "it is a command line and no preset; write the server's own flag into it";
        return Err(NoPlan::NoPlace { preset, flag, remedy });
    }
    let argv = words::split(text)?;
    let has_port = argv.iter().any(|word| names_a_port(word))
        || settings.env.iter().any(|(_, value)| names_a_port(value));
    let port = match &settings.target {
        _ if has_port => "{port}".to_owned(),
        Some(target) => port_of(target).ok_or_else(|| NoPlan::NoPort(text.to_owned()))?,
        None => return Err(NoPlan::NoPort(text.to_owned())),
    };
    let has_metrics = argv.iter().any(|word| word.contains("{metrics_port}"));
    let program = argv[0].clone();
    // A twin is of the environment of its engine, which says its version.
    let (name, version) = match &settings.twin {
        Some(twin) => (twin.name.clone(), Vec::new()),
        None => (name_of(&argv), vec![program.clone(), "--version".into()]),
    };
    Ok(LaunchPlan {
        name,
        version,
        program,
        argv,
        ready: ReadyWhen::Listens(port),
        target: OPENAI.into(),
        metrics: has_metrics.then(|| "http://127.0.0.1:{metrics_port}/metrics".into()),
    })
}

/// The program's name, or that of the script or module which an interpreter runs.
fn name_of(argv: &[String]) -> String {
    let stem = |path: &str| {
        let stem = Path::new(path).file_stem();
        stem.map_or_else(|| path.to_owned(), |stem| stem.to_string_lossy().into_owned())
    };
    let (program, rest) = argv.split_first().map_or(("", argv), |(first, rest)| (first, rest));
    let program = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
    let what_it_runs = match rest {
        _ if !program.starts_with("python") => None,
        [flag, module, ..] if flag == "-m" => Some(module.clone()),
        _ => rest.iter().find(|word| !word.starts_with('-')).map(|script| stem(script)),
    };
    what_it_runs.unwrap_or_else(|| program.into_owned())
}

/// The port of a target such as `openai:http://127.0.0.1:8000/v1`.
fn port_of(target: &str) -> Option<String> {
    let authority = target.split("://").last()?.split('/').next()?;
    let port = authority.rsplit(':').next()?;
    port.parse::<u16>().ok().map(|port| port.to_string())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn flag_of(flag: &str, value: Option<impl ToString>) -> Vec<String> {
    value.map_or_else(Vec::new, |value| vec![flag.to_owned(), value.to_string()])
}

#[cfg(test)]
#[path = "preset_tests.rs"]
mod tests;
