//! Checks of the host: cores, frequency governor, load, memory, clock, limits.

use crate::clock::SPIN_MARGIN;
use crate::doctor::check_result::{Area, Check, CheckResult};
use crate::doctor::host_facts::{HostFacts, Wakes};

/// A clock that is read without a system call takes some twenty nanoseconds.
const SLOW_CLOCK_NS: f64 = 200.0;
/// Connections of a large sweep, and the files of a run.
const FILES_WANTED: u64 = 4_096;
/// Below this not even the default sweep has its connections.
const FILES_NEEDED: u64 = 256;
const GIB: u64 = 1 << 30;
/// The harness's records, and a small engine.
const MEMORY_WANTED: u64 = 4 * GIB;

/// Everything about the machine itself.
pub fn check_results(facts: &HostFacts) -> Vec<CheckResult> {
    vec![
        cores(facts),
        quota(facts),
        governor(facts),
        numa(facts),
        clock_source(facts),
        wake_up(facts),
        busy(facts),
        memory(facts),
        swap(facts),
        open_files(facts),
    ]
}

fn cores(facts: &HostFacts) -> CheckResult {
    let check = Check {
        area: Area::Host,
        id: "cores",
        why: "the issuer spins before each instant, and a server or embedded engine beside it needs cores of its own",
    };
    match facts.usable_cores {
        None => check.skip("this system does not tell how many cores may be used"),
        Some(cores @ 0..=3) => check.warn(
            format!("{cores} cores may be used: issuer, recorder and target share them"),
            "run on more cores, e.g. `docker run --cpuset-cpus 0-7 …` or `srun --cpus-per-task 8 …`",
        ),
        Some(cores) => check.pass(format!("{cores} cores may be used")),
    }
}

fn quota(facts: &HostFacts) -> CheckResult {
    let check = Check {
        area: Area::Host,
        id: "cgroup_quota",
        why: "a quota stops every thread for the rest of a 100 ms period once it is used up, in the middle of a token",
    };
    let cores = facts.usable_cores.map_or(f64::INFINITY, |cores| cores as f64);
    match (facts.quota_cores, facts.throttled_periods) {
        (Some(quota), _) if quota < cores => check.warn(
            format!("a CPU quota of {quota:.1} cores lies below the {cores:.0} that may be used"),
            "pin cores instead of capping time: `docker update --cpus 0 --cpuset-cpus 0-7 CONTAINER`",
        ),
        (_, Some(periods @ 1..)) => check.warn(
            format!("the CPU quota has held this group back in {periods} periods since it was made"),
            "raise the quota: `docker update --cpus N CONTAINER`, or in Kubernetes request whole CPUs with equal limits",
        ),
        (Some(quota), _) => check.pass(format!("the CPU quota of {quota:.1} cores covers all that may be used")),
        (None, _) => check.pass("no CPU quota"),
    }
}

fn governor(facts: &HostFacts) -> CheckResult {
    let check = Check {
        area: Area::Host,
        id: "governor",
        why: "a core that clocks down while it waits answers late, and by a different amount at each load",
    };
    let slow: Vec<&str> =
        facts.governors.iter().map(String::as_str).filter(|name| *name != "performance").collect();
    if facts.governors.is_empty() {
        return check.skip("the system shows no frequency governor (usual in virtual machines)");
    }
    if slow.is_empty() {
        return check.pass("every core's frequency governor is `performance`");
    }
    check.warn(
        format!("frequency governor `{}`", slow.join("`, `")),
        "sudo cpupower frequency-set -g performance",
    )
}

fn numa(facts: &HostFacts) -> CheckResult {
    let check = Check {
        area: Area::Host,
        id: "numa",
        why: "threads and memory that move between nodes change latency from run to run",
    };
    match &facts.numa_nodes_spanned[..] {
        [] => check.skip("the system shows no NUMA nodes"),
        [node] => check.pass(format!("all usable cores lie on NUMA node {node}")),
        [first, ..] => check.warn(
            format!("usable cores lie on {} NUMA nodes", facts.numa_nodes_spanned.len()),
            format!(
                "numactl --cpunodebind={first} --membind={first} bareflight run …  (the node of the GPU or network card)"
            ),
        ),
    }
}

fn clock_source(facts: &HostFacts) -> CheckResult {
    let check = Check {
        area: Area::Host,
        id: "clock_source",
        why: "every stamp is a clock read; one that needs a system call costs microseconds, several times per token",
    };
    let name = facts.clock_source.as_deref().unwrap_or("unknown");
    let cost = facts.clock_read_ns;
    if cost <= SLOW_CLOCK_NS {
        return check.pass(format!("clock source `{name}`, {cost:.0} ns for one read"));
    }
    check.warn(
        format!("clock source `{name}`, {cost:.0} ns for one read"),
        "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource",
    )
}

fn wake_up(facts: &HostFacts) -> CheckResult {
    let check = Check {
        area: Area::Host,
        id: "wake_up",
        why: "a sleep that ends late makes the shot after it late; the issuer spins through the last 80 µs only",
    };
    let Wakes { p50_us, p99_us, sleeps } = facts.wakes;
    let sentence = format!(
        "sleeps of 1 ms end {p50_us:.0} µs late at the median and {p99_us:.0} µs at p99, over {sleeps}"
    );
    if p99_us <= SPIN_MARGIN.0 as f64 / 1e3 {
        return check.pass(sentence);
    }
    check.warn(
        sentence,
        "stop what else runs here, or give the harness idle cores: `taskset -c 2-5 bareflight run …`",
    )
}

fn busy(facts: &HostFacts) -> CheckResult {
    let check = Check {
        area: Area::Host,
        id: "other_load",
        why: "work of others takes cores, caches and memory bandwidth from what is measured",
    };
    let Some((load, cores)) = facts.load_average.zip(facts.machine_cores) else {
        return check.skip("this system does not tell its load");
    };
    let sentence = format!("load average {load:.2} over the last minute, on {cores} cores");
    if load <= 0.1 * cores as f64 + 0.5 {
        return check.pass(sentence);
    }
    check.warn(sentence, "see what runs with `top -b -n 1 | head -20` and stop it")
}

fn memory(facts: &HostFacts) -> CheckResult {
    let check = Check {
        area: Area::Host,
        id: "memory",
        why: "records are kept in memory until the run ends; a machine that runs out ends the run, not only a request",
    };
    let room = facts.memory_available.into_iter().chain(facts.cgroup_memory_left).min();
    let Some(room) = room else { return check.skip("this system does not tell its free memory") };
    let sentence =
        format!("{:.1} GiB of memory are free for this process", room as f64 / GIB as f64);
    if room >= MEMORY_WANTED {
        return check.pass(sentence);
    }
    check.warn(
        sentence,
        "free some, or raise the container's limit: `docker update --memory 32g CONTAINER`",
    )
}

fn swap(facts: &HostFacts) -> CheckResult {
    let check = Check {
        area: Area::Host,
        id: "swap",
        why: "a page that comes back from disk stalls a token by milliseconds",
    };
    match facts.swap_used {
        None => check.skip("this system does not tell its use of swap"),
        Some(used) if used > GIB / 4 => check.warn(
            format!("{:.1} GiB are swapped out", used as f64 / GIB as f64),
            "sudo swapoff -a",
        ),
        Some(_) => check.pass("nothing to speak of is swapped out"),
    }
}

fn open_files(facts: &HostFacts) -> CheckResult {
    let check = Check {
        area: Area::Host,
        id: "open_files",
        why: "each request in flight to a server is a connection, and each connection is an open file",
    };
    let remedy = format!("ulimit -n {}", 16 * FILES_WANTED);
    match facts.open_files {
        None => check.pass("open files are not limited"),
        Some(limit) if limit < FILES_NEEDED => {
            check.fail(format!("at most {limit} open files"), remedy)
        }
        Some(limit) if limit < FILES_WANTED => check.warn(
            format!("at most {limit} open files, so fewer connections than that at once"),
            remedy,
        ),
        Some(limit) => check.pass(format!("up to {limit} open files")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check_result::Status;

    fn quiet() -> HostFacts {
        HostFacts {
            usable_cores: Some(16),
            machine_cores: Some(16),
            quota_cores: None,
            throttled_periods: Some(0),
            governors: ["performance".to_owned()].into(),
            numa_nodes_spanned: vec![0],
            clock_source: Some("tsc".into()),
            clock_read_ns: 22.0,
            wakes: Wakes { p50_us: 8.0, p99_us: 55.0, sleeps: 100 },
            load_average: Some(0.2),
            memory_available: Some(64 * GIB),
            cgroup_memory_left: None,
            swap_used: Some(0),
            open_files: Some(1 << 20),
        }
    }

    fn status_of(facts: &HostFacts, id: &str) -> Status {
        let found = check_results(facts);
        found.iter().find(|result| result.id == id).expect("it is looked at").status
    }

    #[test]
    fn a_quiet_machine_passes_every_look() {
        for result in check_results(&quiet()) {
            assert_eq!(result.status, Status::Pass, "{result:?}");
            assert_eq!(result.remedy, None);
        }
    }

    #[test]
    fn each_problem_is_reported_once_with_its_remedy() {
        type Trouble = (&'static str, fn(&mut HostFacts));
        let troubles: [Trouble; 11] = [
            ("cores", |facts| facts.usable_cores = Some(2)),
            ("cgroup_quota", |facts| facts.quota_cores = Some(3.5)),
            ("cgroup_quota", |facts| facts.throttled_periods = Some(9)),
            ("governor", |facts| facts.governors = ["powersave".to_owned()].into()),
            ("numa", |facts| facts.numa_nodes_spanned = vec![0, 1]),
            ("clock_source", |facts| facts.clock_read_ns = 900.0),
            ("wake_up", |facts| facts.wakes.p99_us = 4_000.0),
            ("other_load", |facts| facts.load_average = Some(11.0)),
            ("memory", |facts| facts.cgroup_memory_left = Some(GIB)),
            ("swap", |facts| facts.swap_used = Some(3 * GIB)),
            ("open_files", |facts| facts.open_files = Some(1_024)),
        ];
        for (id, spoil) in troubles {
            let mut facts = quiet();
            spoil(&mut facts);
            let found = check_results(&facts);
            let not_passed: Vec<_> = found.iter().filter(|f| f.status == Status::Warn).collect();
            assert_eq!(not_passed.len(), 1, "{id}: {not_passed:?}");
            assert_eq!(not_passed[0].id, id);
            assert!(not_passed[0].remedy.as_ref().is_some_and(|sentence| !sentence.is_empty()));
        }
    }

    #[test]
    fn a_limit_that_not_even_a_default_sweep_fits_in_fails() {
        let facts = HostFacts { open_files: Some(64), ..quiet() };
        assert_eq!(status_of(&facts, "open_files"), Status::Fail);
    }

    #[test]
    fn what_the_system_does_not_tell_is_skipped_and_not_passed() {
        let mut facts = quiet();
        facts.governors.clear();
        facts.memory_available = None;
        facts.load_average = None;
        for id in ["governor", "memory", "other_load"] {
            assert_eq!(status_of(&facts, id), Status::Skip, "{id}");
        }
    }
}
