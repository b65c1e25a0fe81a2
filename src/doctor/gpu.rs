//! Checks of GPUs: driver, memory, clocks, power, temperature, other processes.

use crate::doctor::check_result::{Area, Check, CheckResult};
use crate::observe::gpu::library::NvmlUnavailable;
use crate::observe::gpu::state::{GpuState, Machine};

/// Power caps differ by a rounding.
const SAME_WATTS: f64 = 1.0;
/// Memory that a driver keeps to itself, and more.
const FOREIGN_MEMORY: u64 = 1 << 30;
/// Closer than this to the temperature at which clocks are lowered, a run will reach it.
const THERMAL_ROOM_C: u32 = 15;

/// What was found of the GPUs.
#[derive(Debug)]
pub struct GpuFacts {
    /// Driver and GPUs, or why there are none.
    pub machine: Result<Machine, NvmlUnavailable>,
    /// Whether a target that needs a GPU was asked for.
    pub wanted: bool,
    /// Major version of the CUDA runtime that TensorRT-LLM's libraries ask for, where they are here.
    pub runtime_cuda_major: Option<u32>,
    /// NUMA nodes that this process's cores lie on.
    pub own_numa_nodes: Vec<u32>,
    /// This process, which may have a GPU open.
    pub own_pid: u32,
}

/// Everything about the GPUs and their driver.
pub fn check_results(facts: &GpuFacts) -> Vec<CheckResult> {
    let check = Check {
        area: Area::Gpu,
        id: "gpu",
        why: "an engine in this process runs on a GPU; without a driver there is nothing to measure it on",
    };
    let machine = match &facts.machine {
        Ok(machine) if !machine.gpus.is_empty() => machine,
        other => {
            let reason = other
                .as_ref()
                .err()
                .map_or_else(|| "the driver shows none".to_owned(), ToString::to_string);
            let is_fault =
                matches!(other, Err(NvmlUnavailable::Named(..) | NvmlUnavailable::Driver(_)));
            return vec![if facts.wanted || is_fault {
                check.fail(
                    format!("no GPU here: {reason}"),
                    "nvidia-smi -L  (in a container: start it with `docker run --gpus all …`)",
                )
            } else {
                check.skip(format!("no GPU here: not checked ({reason})"))
            }];
        }
    };
    let mut all = vec![driver(facts, machine)];
    for (index, gpu) in machine.gpus.iter().enumerate() {
        all.extend(of_one(facts, index, gpu));
    }
    all
}

fn driver(facts: &GpuFacts, machine: &Machine) -> CheckResult {
    let check = Check {
        area: Area::Gpu,
        id: "driver",
        why: "CUDA libraries newer than the driver refuse to start, or fall back to slower paths",
    };
    let driver = &machine.driver;
    let named =
        if driver.named { format!(", as reported by `{}`", driver.library) } else { String::new() };
    let version = driver.version.as_deref().unwrap_or("of unknown version");
    let cuda = driver.cuda.as_deref().unwrap_or("unknown");
    let sentence = format!("driver {version}, which runs CUDA up to {cuda}{named}");
    let major = driver.cuda.as_ref().and_then(|cuda| cuda.split('.').next()?.parse::<u32>().ok());
    match (major, facts.runtime_cuda_major) {
        (Some(driver), Some(runtime)) if driver < runtime => check.fail(
            format!("{sentence}; TensorRT-LLM's libraries ask for CUDA {runtime}"),
            format!(
                "install a driver for CUDA {runtime} (`nvidia-smi` names what is there), or add the package \
                 `cuda-compat-{runtime}-0` in the container"
            ),
        ),
        (Some(_), Some(runtime)) => {
            check.pass(format!("{sentence}; TensorRT-LLM's libraries ask for CUDA {runtime}"))
        }
        _ => check.pass(sentence),
    }
}

fn of_one(facts: &GpuFacts, index: usize, gpu: &GpuState) -> Vec<CheckResult> {
    let uuid = &gpu.gpu.uuid;
    let results = [
        memory(index, gpu),
        processes(facts, gpu),
        mig(gpu),
        ecc(gpu),
        persistence(gpu),
        power_cap(gpu),
        clocks(gpu),
        throttling(gpu),
        heat(gpu),
        numa(facts, gpu),
    ];
    let place = |result: CheckResult| CheckResult {
        sentence: format!("GPU {index}: {}", result.sentence),
        remedy: result.remedy.map(|remedy| remedy.replace("UUID", uuid)),
        ..result
    };
    results.into_iter().map(place).collect()
}

fn memory(index: usize, gpu: &GpuState) -> CheckResult {
    let check = Check {
        area: Area::Gpu,
        id: "memory",
        why: "the KV cache takes a share of what is free after the engine is loaded: less memory is a smaller batch",
    };
    let name = &gpu.gpu.name;
    let Some((free, all)) = gpu.memory_free_bytes.zip(gpu.memory_bytes) else {
        return check.skip(format!("{name} does not tell its memory"));
    };
    let gib = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
    let sentence = format!("{name}, {:.1} of {:.1} GiB free", gib(free), gib(all));
    if all - free.min(all) > 2 * FOREIGN_MEMORY {
        return check.warn(
            sentence,
            format!("nvidia-smi -i {index} --query-compute-apps=pid,used_memory --format=csv"),
        );
    }
    check.pass(sentence)
}

fn processes(facts: &GpuFacts, gpu: &GpuState) -> CheckResult {
    let check = Check {
        area: Area::Gpu,
        id: "other_processes",
        why: "another process takes turns on the multiprocessors and on memory bandwidth, and its power counts as ours",
    };
    let others: Vec<String> = gpu
        .processes
        .iter()
        .filter(|(pid, _)| *pid != facts.own_pid)
        .map(|(pid, _)| pid.to_string())
        .collect();
    if others.is_empty() {
        return check.pass("nothing else runs on it");
    }
    check.warn(
        format!("processes {} compute on it", others.join(", ")),
        format!(
            "ps -o pid,user,cmd -p {}  (stop them unless one is the server to be measured)",
            others.join(",")
        ),
    )
}

fn mig(gpu: &GpuState) -> CheckResult {
    let check = Check {
        area: Area::Gpu,
        id: "mig",
        why: "an instance has a part of the GPU's multiprocessors, memory and bandwidth, and shares its power and heat",
    };
    match gpu.mig {
        Some(true) => check.warn("MIG is on", "sudo nvidia-smi -i UUID -mig 0"),
        Some(false) => check.pass("MIG is off"),
        None => check.skip("it has no MIG"),
    }
}

fn ecc(gpu: &GpuState) -> CheckResult {
    let check = Check {
        area: Area::Gpu,
        id: "ecc",
        why: "error correction costs bandwidth on some boards, so it belongs to what is compared; errors cost more",
    };
    match (gpu.ecc, gpu.uncorrected_errors) {
        (_, Some(errors @ 1..)) => check.fail(
            format!("{errors} memory errors could not be corrected"),
            "sudo nvidia-smi -i UUID --gpu-reset  (then have the board checked: `nvidia-smi -q -d ECC,ROW_REMAPPER`)",
        ),
        (Some(true), _) => check.pass("ECC is on, no uncorrected error"),
        (Some(false), _) => check.warn(
            "ECC is off, unlike on most servers: compare only with runs without it",
            "sudo nvidia-smi -i UUID -e 1  (takes effect after a reset)",
        ),
        (None, _) => check.skip("it does not tell whether ECC is on"),
    }
}

fn persistence(gpu: &GpuState) -> CheckResult {
    let check = Check {
        area: Area::Gpu,
        id: "persistence",
        why: "without it the driver unloads when nobody uses the GPU, which forgets locked clocks and slows the next start",
    };
    match gpu.persistence {
        Some(true) => check.pass("persistence mode is on"),
        Some(false) => check.warn("persistence mode is off", "sudo nvidia-smi -i UUID -pm 1"),
        None => check.skip("it does not tell whether persistence mode is on"),
    }
}

fn power_cap(gpu: &GpuState) -> CheckResult {
    let check = Check {
        area: Area::Gpu,
        id: "power_cap",
        why: "under load the power limit decides the clocks, and so every number",
    };
    match (gpu.power_cap_w, gpu.power_default_w) {
        (Some(cap), Some(default)) if cap < default - SAME_WATTS => check.warn(
            format!(
                "power is capped at {cap:.0} W, below the {default:.0} W that it is delivered with"
            ),
            format!("sudo nvidia-smi -i UUID -pl {default:.0}"),
        ),
        (Some(cap), _) => check.pass(format!("power limit {cap:.0} W")),
        (None, _) => check.skip("it does not tell its power limit"),
    }
}

fn clocks(gpu: &GpuState) -> CheckResult {
    let check = Check {
        area: Area::Gpu,
        id: "locked_clocks",
        why: "clocks that float with heat and power make two runs of the same thing differ by several percent",
    };
    let Some(max) = gpu.sm_max_mhz else { return check.skip("it does not tell its clocks") };
    let set = gpu.applications_sm_mhz.filter(|set| Some(*set) != gpu.default_applications_sm_mhz);
    match (set, gpu.clocks_set) {
        (Some(clock), _) => check.pass(format!("clocks are set to {clock} MHz for applications")),
        (None, Some(true)) => check.pass("clocks are held by a setting"),
        _ => check.warn(
            format!(
                "clocks may float up to {max} MHz (an idle GPU does not tell of a lock by `-lgc`)"
            ),
            format!("sudo nvidia-smi -i UUID -lgc {0},{0}  (undo with -rgc)", max / 100 * 80),
        ),
    }
}

fn throttling(gpu: &GpuState) -> CheckResult {
    let check = Check {
        area: Area::Gpu,
        id: "throttling",
        why: "a GPU whose clocks are held down now measures its cooling or its power supply",
    };
    if gpu.throttle.is_empty() {
        return check.pass("nothing holds its clocks down now");
    }
    let reasons: Vec<&str> = gpu.throttle.iter().map(|reason| reason.label()).collect();
    check.warn(
        format!("clocks are held down now by {}", reasons.join(" and ")),
        "nvidia-smi -i UUID -q -d PERFORMANCE,TEMPERATURE,POWER",
    )
}

fn heat(gpu: &GpuState) -> CheckResult {
    let check =
        Check { area: Area::Gpu, id: "temperature", why: "a run that begins hot ends throttled" };
    match (gpu.temperature_c, gpu.slowdown_c) {
        (Some(now), Some(limit)) if now + THERMAL_ROOM_C > limit => check.warn(
            format!("{now} °C, and clocks are lowered at {limit} °C"),
            "let it cool: nvidia-smi -i UUID --query-gpu=temperature.gpu --format=csv -l 5",
        ),
        (Some(now), _) => check.pass(format!("{now} °C")),
        (None, _) => check.skip("it does not tell its temperature"),
    }
}

fn numa(facts: &GpuFacts, gpu: &GpuState) -> CheckResult {
    let check = Check {
        area: Area::Gpu,
        id: "numa",
        why: "a thread on another node than its GPU launches kernels and copies over the link between the nodes",
    };
    match gpu.numa_node {
        None => check.skip("the system does not tell on which NUMA node it hangs"),
        Some(node) if facts.own_numa_nodes.contains(&node) || facts.own_numa_nodes.is_empty() => {
            check.pass(format!("it hangs on NUMA node {node}, where this process may run"))
        }
        Some(node) => check.warn(
            format!("it hangs on NUMA node {node}, where this process may not run"),
            format!("numactl --cpunodebind={node} --membind={node} bareflight run …"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check_result::Status;
    use crate::observe::gpu::library::Driver;
    use crate::observe::gpu::over_window::Watched;
    use crate::observe::gpu::sample::Throttle;

    fn h200() -> GpuState {
        GpuState {
            gpu: Watched { uuid: "GPU-made-up".into(), name: "NVIDIA H200".into() },
            compute_capability: Some("9.0".into()),
            memory_bytes: Some(141 << 30),
            memory_free_bytes: Some(140 << 30),
            power_cap_w: Some(700.0),
            power_default_w: Some(700.0),
            sm_mhz: Some(1_500),
            sm_max_mhz: Some(1_980),
            applications_sm_mhz: Some(1_500),
            default_applications_sm_mhz: Some(1_980),
            temperature_c: Some(35),
            slowdown_c: Some(87),
            throttle: Vec::new(),
            clocks_set: Some(false),
            persistence: Some(true),
            ecc: Some(true),
            uncorrected_errors: Some(0),
            mig: Some(false),
            processes: vec![(77, Some(1 << 20))],
            numa_node: Some(0),
        }
    }

    fn facts(gpu: GpuState) -> GpuFacts {
        let driver = Driver {
            library: "libnvidia-ml.so.1".into(),
            named: false,
            version: Some("580.65.06".into()),
            cuda: Some("13.0".into()),
        };
        GpuFacts {
            machine: Ok(Machine { driver, gpus: vec![gpu] }),
            wanted: true,
            runtime_cuda_major: Some(13),
            own_numa_nodes: vec![0],
            own_pid: 77,
        }
    }

    fn not_passed(facts: &GpuFacts) -> Vec<(&'static str, Status)> {
        let found = check_results(facts);
        found.iter().filter(|f| f.status != Status::Pass).map(|f| (f.id, f.status)).collect()
    }

    #[test]
    fn a_gpu_set_up_for_measuring_passes_every_look() {
        assert_eq!(not_passed(&facts(h200())), []);
        assert_eq!(check_results(&facts(h200())).len(), 11);
    }

    #[test]
    fn each_gpu_problem_is_reported_once() {
        type Trouble = (&'static str, Status, fn(&mut GpuState));
        let troubles: [Trouble; 10] = [
            ("memory", Status::Warn, |gpu| gpu.memory_free_bytes = Some(60 << 30)),
            ("other_processes", Status::Warn, |gpu| gpu.processes.push((4_711, None))),
            ("mig", Status::Warn, |gpu| gpu.mig = Some(true)),
            ("ecc", Status::Warn, |gpu| gpu.ecc = Some(false)),
            ("ecc", Status::Fail, |gpu| gpu.uncorrected_errors = Some(2)),
            ("persistence", Status::Warn, |gpu| gpu.persistence = Some(false)),
            ("power_cap", Status::Warn, |gpu| gpu.power_cap_w = Some(500.0)),
            ("locked_clocks", Status::Warn, |gpu| gpu.applications_sm_mhz = Some(1_980)),
            ("throttling", Status::Warn, |gpu| gpu.throttle = vec![Throttle::HardwareThermal]),
            ("numa", Status::Warn, |gpu| gpu.numa_node = Some(1)),
        ];
        for (id, status, spoil) in troubles {
            let mut gpu = h200();
            spoil(&mut gpu);
            assert_eq!(not_passed(&facts(gpu)), [(id, status)]);
        }
    }

    #[test]
    fn a_remedy_names_the_gpu_by_its_uuid() {
        let found = check_results(&facts(GpuState { persistence: Some(false), ..h200() }));
        let remedies: Vec<_> = found.into_iter().filter_map(|result| result.remedy).collect();
        assert_eq!(remedies, ["sudo nvidia-smi -i GPU-made-up -pm 1"]);
    }

    #[test]
    fn a_driver_older_than_the_libraries_fails() {
        let mut old = facts(h200());
        old.machine.as_mut().expect("made up").driver.cuda = Some("12.8".into());
        assert_eq!(not_passed(&old), [("driver", Status::Fail)]);
    }

    #[test]
    fn no_gpu_is_skipped_and_fails_only_where_a_target_needs_one() {
        let without = |wanted, error| GpuFacts { machine: Err(error), wanted, ..facts(h200()) };
        assert_eq!(
            not_passed(&without(false, NvmlUnavailable::NoLibrary)),
            [("gpu", Status::Skip)]
        );
        assert_eq!(not_passed(&without(true, NvmlUnavailable::NoLibrary)), [("gpu", Status::Fail)]);
        let broken = NvmlUnavailable::Driver("driver/library version mismatch".into());
        assert_eq!(not_passed(&without(false, broken)), [("gpu", Status::Fail)]);
    }
}
