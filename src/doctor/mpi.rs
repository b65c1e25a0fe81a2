//! Checks of MPI: library, launcher, number of ranks, shared memory.

use crate::doctor::check_result::{Area, Check, CheckResult};
use crate::doctor::loader::SearchPaths;

/// What was found of MPI.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MpiFacts {
    /// The library, where the loader finds one.
    pub library: Option<String>,
    /// `mpirun`, where it is in `PATH`.
    pub launcher: Option<String>,
    /// Ranks that a launcher has started, from the environment.
    pub ranks: Option<u32>,
    /// Whether this runs as root, which Open MPI refuses by default.
    pub root_refused: bool,
    /// Size of `/dev/shm` in bytes, through which ranks of one machine talk.
    pub shared_memory: Option<u64>,
    /// Ranks that the engine was built for, where one was named.
    pub engine_ranks: Option<u32>,
    /// Whether a target that needs MPI was asked for.
    pub wanted: bool,
}

/// Names under which MPI libraries are known, Open MPI's before MPICH's.
const LIBRARIES: [&str; 3] = ["libmpi.so.40", "libmpi.so", "libmpi.so.12"];
/// NCCL takes some tens of megabytes per rank, UCX some more.
const SHARED_MEMORY_WANTED: u64 = 1 << 30;

impl MpiFacts {
    /// Looks for the library, the launcher and the launcher's environment variables.
    pub fn gather(paths: &SearchPaths, wanted: bool) -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse().ok();
        let search = std::env::var_os("PATH").unwrap_or_default();
        let launcher = std::env::split_paths(&search)
            .map(|folder| folder.join("mpirun"))
            .find(|path| path.is_file());
        let may_be_root = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"];
        let shm = rustix::fs::statvfs("/dev/shm").ok();
        Self {
            library: LIBRARIES
                .iter()
                .find_map(|name| paths.find(name))
                .map(|path| path.display().to_string()),
            launcher: launcher.map(|path| path.display().to_string()),
            ranks: ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE"].iter().find_map(|n| number(n)),
            root_refused: rustix::process::geteuid().is_root()
                && may_be_root.iter().any(|name| std::env::var_os(name).is_none()),
            shared_memory: shm.map(|shm| shm.f_frsize * shm.f_blocks),
            engine_ranks: None,
            wanted,
        }
    }
}

/// Whether an executor in this process would come up.
pub fn check_results(facts: &MpiFacts) -> Vec<CheckResult> {
    let mut all = vec![library(facts)];
    if facts.engine_ranks.is_some_and(|ranks| ranks > 1)
        || facts.ranks.is_some_and(|ranks| ranks > 1)
    {
        all.extend([launcher(facts), ranks(facts), shared_memory(facts)]);
    }
    all
}

fn library(facts: &MpiFacts) -> CheckResult {
    let check = Check {
        area: Area::Mpi,
        id: "mpi_library",
        why: "TensorRT-LLM's executor initialises MPI even for one GPU, and cannot be loaded without it",
    };
    match &facts.library {
        Some(path) => check.pass(format!("MPI library `{path}`")),
        None if facts.wanted => check.fail(
            "no `libmpi.so.40` where the loader looks",
            "sudo apt-get install libopenmpi3  (or add the container's `/usr/local/mpi/lib` to `LD_LIBRARY_PATH`)",
        ),
        None => check.skip("no MPI library here: not checked (only `trtllm:` needs it)"),
    }
}

fn launcher(facts: &MpiFacts) -> CheckResult {
    let check = Check {
        area: Area::Mpi,
        id: "mpirun",
        why: "an engine on several GPUs is one process per GPU, started together",
    };
    match (&facts.launcher, facts.root_refused) {
        (None, _) => check.fail("no `mpirun` in PATH", "sudo apt-get install openmpi-bin"),
        (Some(path), true) => check.warn(
            format!("`{path}` refuses to run as root"),
            "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
        ),
        (Some(path), false) => check.pass(format!("`{path}`")),
    }
}

fn ranks(facts: &MpiFacts) -> CheckResult {
    let check = Check {
        area: Area::Mpi,
        id: "ranks",
        why: "the executor wants exactly as many ranks as the engine has parts, or it does not start",
    };
    match (facts.ranks, facts.engine_ranks) {
        (Some(started), Some(built)) if started == built => {
            check.pass(format!("{started} ranks, as the engine was built for"))
        }
        (Some(started), Some(built)) => check.fail(
            format!("{started} ranks were started, and the engine was built for {built}"),
            format!("mpirun -n {built} bareflight run --target trtllm:ENGINE_DIR …"),
        ),
        (None, Some(built)) => check.skip(format!(
            "the engine was built for {built} ranks, and this was not started by mpirun: run it as `mpirun -n {built} \
             bareflight run …`"
        )),
        (Some(started), None) => check.skip(format!("{started} ranks were started, and no engine was named")),
        (None, None) => check.skip("one process, and no engine was named"),
    }
}

fn shared_memory(facts: &MpiFacts) -> CheckResult {
    let check = Check {
        area: Area::Mpi,
        id: "shared_memory",
        why: "ranks on one machine exchange activations through `/dev/shm`; a container's default of 64 MiB is too small",
    };
    match facts.shared_memory {
        None => check.skip("this system has no `/dev/shm`"),
        Some(bytes) if bytes < SHARED_MEMORY_WANTED => check.warn(
            format!("`/dev/shm` has {} MiB", bytes >> 20),
            "start the container with `--ipc=host`, or with `--shm-size=8g`",
        ),
        Some(bytes) => check.pass(format!("`/dev/shm` has {} MiB", bytes >> 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check_result::Status;

    fn two_gpus() -> MpiFacts {
        MpiFacts {
            library: Some("/usr/lib/libmpi.so.40".into()),
            launcher: Some("/usr/bin/mpirun".into()),
            ranks: Some(2),
            root_refused: false,
            shared_memory: Some(8 << 30),
            engine_ranks: Some(2),
            wanted: true,
        }
    }

    fn not_passed(facts: &MpiFacts) -> Vec<(&'static str, Status)> {
        let found = check_results(facts);
        found.iter().filter(|f| f.status != Status::Pass).map(|f| (f.id, f.status)).collect()
    }

    #[test]
    fn two_ranks_for_two_parts_pass() {
        assert_eq!(not_passed(&two_gpus()), []);
    }

    #[test]
    fn each_reason_why_two_ranks_do_not_start_is_reported() {
        let with = |spoil: fn(&mut MpiFacts)| {
            let mut facts = two_gpus();
            spoil(&mut facts);
            not_passed(&facts)
        };
        assert_eq!(with(|f| f.library = None), [("mpi_library", Status::Fail)]);
        assert_eq!(with(|f| f.launcher = None), [("mpirun", Status::Fail)]);
        assert_eq!(with(|f| f.root_refused = true), [("mpirun", Status::Warn)]);
        assert_eq!(with(|f| f.ranks = Some(4)), [("ranks", Status::Fail)]);
        assert_eq!(with(|f| f.shared_memory = Some(64 << 20)), [("shared_memory", Status::Warn)]);
    }

    #[test]
    fn a_machine_for_served_targets_is_not_asked_for_mpi() {
        assert_eq!(not_passed(&MpiFacts::default()), [("mpi_library", Status::Skip)]);
    }
}
