//! Check of shared libraries: missing ones, what needs them, and the package that has them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::doctor::check_result::{Area, Check, CheckResult};
use crate::doctor::loader::{Resolution, SearchPaths};

/// A TensorRT-LLM installation, as far as its files tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installation {
    /// The folder that holds `libtensorrt_llm.so`.
    pub folder: PathBuf,
    /// Its version, where a `version.py` lies beside it.
    pub version: Option<String>,
}

/// What was found of the libraries.
#[derive(Debug, Clone, Default)]
pub struct LibraryFacts {
    /// This program and what it needs.
    pub own: Resolution,
    /// Where TensorRT-LLM is, if it is anywhere.
    pub installation: Option<Installation>,
    /// What its libraries need.
    pub of_engine: Resolution,
    /// Its libraries that are not in the folder.
    pub absent: Vec<&'static str>,
    /// Whether a target that needs it was asked for.
    pub wanted: bool,
}

/// What a target over the executor API links.
const ENGINE_LIBRARIES: [&str; 2] = ["libtensorrt_llm.so", "libnvinfer_plugin_tensorrt_llm.so"];

/// Beginnings of names, and what carries the library.
const CARRIERS: [(&str, &str); 21] = [
    (
        "libcuda.so",
        "the NVIDIA driver; in a container it comes from the host: start it with `--gpus all`",
    ),
    (
        "libnvidia-ml.so",
        "the NVIDIA driver; in a container it comes from the host: start it with `--gpus all`",
    ),
    ("libcudart.so", "the CUDA runtime: `apt-get install cuda-cudart-MAJOR-MINOR`"),
    ("libcublas", "cuBLAS: `apt-get install libcublas-MAJOR-MINOR`"),
    ("libcurand", "cuRAND: `apt-get install libcurand-MAJOR-MINOR`"),
    ("libnvrtc", "NVRTC: `apt-get install cuda-nvrtc-MAJOR-MINOR`"),
    ("libnvJitLink", "nvJitLink: `apt-get install libnvjitlink-MAJOR-MINOR`"),
    ("libcudnn", "cuDNN: `apt-get install libcudnn9-cuda-MAJOR`"),
    ("libnccl", "NCCL: `apt-get install libnccl2`"),
    (
        "libnvinfer_plugin_tensorrt_llm",
        "the TensorRT-LLM wheel or container, in `tensorrt_llm/libs`",
    ),
    (
        "libnvinfer",
        "TensorRT: `apt-get install libnvinfer10 libnvinfer-plugin10`, in the version that TensorRT-LLM was built with",
    ),
    ("libnvonnxparser", "TensorRT: `apt-get install libnvonnxparsers10`"),
    ("libtensorrt_llm", "the TensorRT-LLM wheel or container, in `tensorrt_llm/libs`"),
    ("libth_common", "the TensorRT-LLM wheel or container, in `tensorrt_llm/libs`"),
    ("libdecoder_attention", "the TensorRT-LLM wheel or container, in `tensorrt_llm/libs`"),
    ("libpg_utils", "the TensorRT-LLM wheel or container, in `tensorrt_llm/libs`"),
    (
        "libmpi",
        "Open MPI: `apt-get install libopenmpi3`, or the container's own in `/usr/local/mpi/lib`",
    ),
    ("libuc", "UCX: `apt-get install libucx0`"),
    ("libtorch", "PyTorch, in `torch/lib` of its wheel: add that folder to `LD_LIBRARY_PATH`"),
    ("libc10", "PyTorch, in `torch/lib` of its wheel: add that folder to `LD_LIBRARY_PATH`"),
    ("libtritonserver", "the Triton container, in `/opt/tritonserver/lib`"),
];

/// What carries a library of that name.
pub fn carrier(name: &str) -> Option<&'static str> {
    CARRIERS
        .iter()
        .find(|(beginning, _)| name.starts_with(beginning))
        .map(|(_, sentence)| *sentence)
}

impl LibraryFacts {
    /// Follows the needs of this program and of the TensorRT-LLM that a target would load.
    pub fn gather(paths: &SearchPaths, wanted: bool) -> Self {
        let own = match std::env::current_exe() {
            Ok(program) => resolved(paths, &program),
            Err(error) => Resolution {
                unreadable: BTreeSet::from([(PathBuf::from("this program"), error.to_string())]),
                ..Resolution::default()
            },
        };
        let installation = Installation::find(paths);
        let mut of_engine = Resolution::default();
        let mut absent = Vec::new();
        for name in ENGINE_LIBRARIES {
            let Some(installation) = &installation else { break };
            let path = installation.folder.join(name);
            if path.exists() {
                merge(&mut of_engine, resolved(paths, &path));
            } else {
                absent.push(name);
            }
        }
        Self { own, installation, of_engine, absent, wanted }
    }

    /// Major version of the CUDA runtime that the engine's libraries ask for.
    pub fn cuda_major(&self) -> Option<u32> {
        let names = self.of_engine.needed.iter().chain(&self.own.needed);
        let majors = names.filter_map(|name| {
            let of_cuda = ["libcudart.so.", "libcublas.so.", "libcublasLt.so."];
            of_cuda
                .iter()
                .find_map(|beginning| name.strip_prefix(beginning)?.split('.').next()?.parse().ok())
        });
        majors.max()
    }
}

impl Installation {
    /// Looks in `TRTLLM_ROOT`, where the container has it, and where the loader would.
    pub fn find(paths: &SearchPaths) -> Option<Self> {
        let roots = std::env::var_os("TRTLLM_ROOT").map(PathBuf::from).into_iter();
        let roots = roots.chain([PathBuf::from("/app/tensorrt_llm")]);
        let folders = roots.flat_map(|root| [root.join("lib"), root.join("libs")]);
        let folder = folders
            .filter(|folder| folder.join(ENGINE_LIBRARIES[0]).exists())
            .chain(
                paths.find(ENGINE_LIBRARIES[0]).and_then(|path| path.parent().map(Path::to_owned)),
            )
            .next()?;
        let version = version_beside(&folder);
        Some(Self { folder, version })
    }
}

/// `__version__ = "1.2.1"` of the `version.py` one folder up from the real place of the libraries.
fn version_beside(folder: &Path) -> Option<String> {
    let real = std::fs::canonicalize(folder).ok()?;
    let text = std::fs::read_to_string(real.parent()?.join("version.py")).ok()?;
    let value =
        text.lines().find_map(|line| line.strip_prefix("__version__"))?.split('=').nth(1)?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

fn resolved(paths: &SearchPaths, object: &Path) -> Resolution {
    paths.resolve(object).unwrap_or_else(|error| Resolution {
        unreadable: BTreeSet::from([(object.to_owned(), error.to_string())]),
        ..Resolution::default()
    })
}

fn merge(all: &mut Resolution, more: Resolution) {
    all.found.extend(more.found);
    all.needed.extend(more.needed);
    all.missing.extend(more.missing);
    all.unreadable.extend(more.unreadable);
}

/// Whether everything would be loaded.
pub fn check_results(facts: &LibraryFacts) -> Vec<CheckResult> {
    let mut all = vec![installation(facts)];
    all.extend(of("own_libraries", "this program", &facts.own));
    if facts.installation.is_some() {
        all.extend(of("engine_libraries", "TensorRT-LLM", &facts.of_engine));
    }
    all
}

fn installation(facts: &LibraryFacts) -> CheckResult {
    let check = Check {
        area: Area::Libraries,
        id: "tensorrt_llm",
        why: "`trtllm:` runs the engine in this process and needs the libraries of the version that built it",
    };
    match &facts.installation {
        Some(Installation { folder, version }) => {
            let version = version.as_deref().unwrap_or("of unknown version");
            let place = folder.display();
            if facts.absent.is_empty() {
                return check.pass(format!("TensorRT-LLM {version} in `{place}`"));
            }
            check.fail(
                format!("TensorRT-LLM {version} in `{place}` lacks `{}`", facts.absent.join("`, `")),
                "export TRTLLM_ROOT=DIR  (a folder whose `lib` or `libs` holds both)",
            )
        }
        None if facts.wanted => check.fail(
            "no `libtensorrt_llm.so`: not under `TRTLLM_ROOT`, `/app/tensorrt_llm` or the loader's folders",
            "export TRTLLM_ROOT=DIR  (its `lib` or `libs` holds the library), or work in an NGC `tensorrt-llm/release` 1.2 container",
        ),
        None => check.skip("no TensorRT-LLM here: not checked (only `trtllm:` needs it)"),
    }
}

fn of(id: &'static str, whose: &str, resolution: &Resolution) -> Vec<CheckResult> {
    let check = Check {
        area: Area::Libraries,
        id,
        why: "a library that is not found ends the program before the first request, or at the first call into it",
    };
    if resolution.missing.is_empty() && resolution.unreadable.is_empty() {
        let count = resolution.found.len();
        return vec![check.pass(format!("all {count} libraries that {whose} needs are found"))];
    }
    let missing = resolution.missing.iter().map(|missing| {
        let needed_by = missing.needed_by.display();
        let remedy = carrier(&missing.name).map_or_else(
            || format!("apt-file search {}  (then install that package, or add its folder to `LD_LIBRARY_PATH`)", missing.name),
            |carrier| format!("it comes with {carrier}"),
        );
        check.fail(format!("`{}` is not found; `{needed_by}` needs it", missing.name), remedy)
    });
    let unreadable = resolution.unreadable.iter().map(|(path, sentence)| {
        check.fail(format!("`{}` cannot be read: {sentence}", path.display()), "install it again")
    });
    missing.chain(unreadable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check_result::Status;
    use crate::doctor::loader::Missing;

    fn installed(missing: &[&str]) -> LibraryFacts {
        let missing = missing.iter().map(|name| Missing {
            name: (*name).to_owned(),
            needed_by: PathBuf::from("/app/tensorrt_llm/lib/libtensorrt_llm.so"),
        });
        LibraryFacts {
            installation: Some(Installation {
                folder: PathBuf::from("/app/tensorrt_llm/lib"),
                version: Some("1.2.1".into()),
            }),
            of_engine: Resolution { missing: missing.collect(), ..Resolution::default() },
            wanted: true,
            ..LibraryFacts::default()
        }
    }

    #[test]
    fn a_missing_library_fails_and_is_named_with_what_carries_it() {
        let found = check_results(&installed(&["libnvinfer.so.10", "libunheard_of.so.3"]));
        let failed: Vec<_> = found.iter().filter(|f| f.status == Status::Fail).collect();
        assert_eq!(failed.len(), 2, "{found:?}");
        assert!(failed[0].sentence.contains("libnvinfer.so.10"));
        assert!(failed[0].remedy.as_ref().is_some_and(|sentence| sentence.contains("TensorRT")));
        assert!(
            failed[1]
                .remedy
                .as_ref()
                .is_some_and(|sentence| sentence.contains("libunheard_of.so.3"))
        );
    }

    #[test]
    fn no_installation_fails_only_where_a_target_needs_one() {
        let status = |wanted| {
            let facts = LibraryFacts { wanted, ..LibraryFacts::default() };
            check_results(&facts)[0].status
        };
        assert_eq!((status(false), status(true)), (Status::Skip, Status::Fail));
    }

    #[test]
    fn the_plugin_library_is_not_taken_for_tensorrts_own() {
        let sentence = carrier("libnvinfer_plugin_tensorrt_llm.so").expect("known");
        assert!(sentence.contains("TensorRT-LLM"), "{sentence}");
    }

    #[test]
    fn the_cuda_version_is_read_from_what_the_libraries_ask_for() {
        let mut facts = installed(&[]);
        assert_eq!(facts.cuda_major(), None);
        facts.of_engine.needed.extend(["libcublasLt.so.13", "libc.so.6"].map(str::to_owned));
        assert_eq!(facts.cuda_major(), Some(13));
    }

    #[test]
    fn a_version_is_read_beside_the_real_place_of_the_libraries() {
        let package = tempfile::tempdir().expect("a folder");
        let libraries = package.path().join("libs");
        std::fs::create_dir(&libraries).expect("made");
        assert_eq!(version_beside(&libraries), None);
        std::fs::write(package.path().join("version.py"), "# c\n__version__ = \"1.2.1\"\n")
            .expect("written");
        let link = package.path().join("elsewhere");
        std::os::unix::fs::symlink(&libraries, &link).expect("linked");
        assert_eq!(version_beside(&link).as_deref(), Some("1.2.1"));
    }
}
