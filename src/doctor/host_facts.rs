//! Facts of the host read from the system, with timings of its clock and sleeps.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::{Resource, getrlimit};

use crate::clock::{self, Nanos};

/// The machine as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct HostFacts {
    /// Cores that this process may run on.
    pub usable_cores: Option<usize>,
    /// Cores of the machine.
    pub machine_cores: Option<usize>,
    /// Smallest CPU quota of the cgroups around this process, in cores.
    pub quota_cores: Option<f64>,
    /// Periods in which the quota has held the cgroup back since it was made.
    pub throttled_periods: Option<u64>,
    /// Frequency governors that are in use; empty where the system shows none.
    pub governors: BTreeSet<String>,
    /// NUMA nodes that usable cores lie on.
    pub numa_nodes_spanned: Vec<u32>,
    /// What the kernel takes the time from.
    pub clock_source: Option<String>,
    /// Cost of one clock read.
    pub clock_read_ns: f64,
    /// How late sleeps end.
    pub wakes: Wakes,
    /// Load average of the last minute.
    pub load_average: Option<f64>,
    /// `MemAvailable`, bytes.
    pub memory_available: Option<u64>,
    /// What the cgroup's memory limit leaves, bytes.
    pub cgroup_memory_left: Option<u64>,
    /// Swap in use, bytes.
    pub swap_used: Option<u64>,
    /// Soft limit of open files; `None` without a limit.
    pub open_files: Option<u64>,
}

/// How late sleeps of one millisecond end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wakes {
    /// Median lateness in µs.
    pub p50_us: f64,
    /// 99th percentile in µs.
    pub p99_us: f64,
    /// Number of sleeps.
    pub sleeps: usize,
}

impl HostFacts {
    /// Reads the system's files, and takes a fifth of a second to see how clock and sleeps behave.
    pub fn gather() -> Self {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let allowed = allowed_cores();
        Self {
            usable_cores: std::thread::available_parallelism().ok().map(usize::from),
            machine_cores: machine_cores(),
            quota_cores: smallest_quota(),
            throttled_periods: cgroup_files("cpu.stat")
                .iter()
                .filter_map(|stat| number_after(stat, "nr_throttled "))
                .max(),
            governors: governors(),
            numa_nodes_spanned: nodes_of(&allowed),
            clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            clock_read_ns: clock_read_ns(),
            wakes: wakes(),
            load_average: line("/proc/loadavg")
                .and_then(|text| text.split_whitespace().next()?.parse().ok()),
            memory_available: kib(&meminfo, "MemAvailable:"),
            cgroup_memory_left: cgroup_memory_left(),
            swap_used: kib(&meminfo, "SwapTotal:")
                .zip(kib(&meminfo, "SwapFree:"))
                .map(|(total, free)| total.saturating_sub(free)),
            open_files: getrlimit(Resource::Nofile).current,
        }
    }
}

fn line(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn number_after(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn kib(meminfo: &str, key: &str) -> Option<u64> {
    number_after(meminfo, key).map(|kib| kib * 1024)
}

/// The file of that name in the cgroup (version 2) of this process and in each one around it.
fn cgroup_files(name: &str) -> Vec<String> {
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(path) = membership.lines().find_map(|line| line.strip_prefix("0::")) else {
        return Vec::new();
    };
    let mut folder = std::path::PathBuf::from(format!("/sys/fs/cgroup{path}"));
    let mut texts = Vec::new();
    while folder.starts_with("/sys/fs/cgroup") {
        texts.extend(fs::read_to_string(folder.join(name)).ok());
        folder.pop();
    }
    texts
}

fn smallest_quota() -> Option<f64> {
    let quotas = cgroup_files("cpu.max").iter().filter_map(|text| quota_of(text)).reduce(f64::min);
    quotas.or_else(|| {
        let number = |name| line(&format!("/sys/fs/cgroup/cpu/cpu.cfs_{name}_us"))?.parse().ok();
        let (quota, period): (f64, f64) = (number("quota")?, number("period")?);
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    })
}

/// `cpu.max`: `QUOTA PERIOD` in microseconds, or `max PERIOD`.
fn quota_of(text: &str) -> Option<f64> {
    let mut sentence = text.split_whitespace();
    let quota: f64 = sentence.next()?.parse().ok()?;
    let period: f64 = sentence.next()?.parse().ok()?;
    (period > 0.0).then(|| quota / period)
}

fn cgroup_memory_left() -> Option<u64> {
    let limits = cgroup_files("memory.max");
    let used = cgroup_files("memory.current");
    let number = |text: &String| text.trim().parse::<u64>().ok();
    let left = limits.iter().zip(&used).filter_map(|(limit, used)| {
        number(limit).zip(number(used)).map(|(limit, used)| limit.saturating_sub(used))
    });
    left.min()
}

fn machine_cores() -> Option<usize> {
    let cpuinfo = fs::read_to_string("/proc/stat").ok()?;
    let is_core = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    Some(cpuinfo.lines().filter(is_core).count())
}

fn governors() -> BTreeSet<String> {
    let Ok(folders) = fs::read_dir("/sys/devices/system/cpu") else { return BTreeSet::new() };
    let paths =
        folders.filter_map(|folder| Some(folder.ok()?.path().join("cpufreq/scaling_governor")));
    paths
        .filter_map(|path| fs::read_to_string(path).ok())
        .map(|text| text.trim().to_owned())
        .collect()
}

fn allowed_cores() -> BTreeSet<u32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    core_list(list.unwrap_or_default())
}

/// `0-3,8` as numbers.
fn core_list(text: &str) -> BTreeSet<u32> {
    let range = |part: &str| -> Option<std::ops::RangeInclusive<u32>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

/// NUMA nodes on which one of these cores lies.
pub fn nodes_of(cores: &BTreeSet<u32>) -> Vec<u32> {
    let Ok(folders) = fs::read_dir("/sys/devices/system/node") else { return Vec::new() };
    let mut nodes: Vec<u32> = folders
        .filter_map(|folder| {
            let path = folder.ok()?.path();
            let node = path.file_name()?.to_str()?.strip_prefix("node")?.parse().ok()?;
            let list = fs::read_to_string(path.join("cpulist")).ok()?;
            core_list(&list).intersection(cores).next().map(|_| node)
        })
        .collect();
    nodes.sort_unstable();
    nodes
}

/// Of the quickest of several batches: the others were interrupted, which is no fault of the clock.
fn clock_read_ns() -> f64 {
    const READS: u32 = 2_000;
    let batch = |_| {
        let start = clock::now();
        for _ in 0..READS {
            std::hint::black_box(clock::now());
        }
        (clock::now() - start).0 as f64 / f64::from(READS)
    };
    (0..10).map(batch).fold(f64::INFINITY, f64::min)
}

/// On the calling thread, which sleeps as exactly as the issuer does; where the kernel refuses that, so it does to the
/// issuer, and the lateness shows it.
fn wakes() -> Wakes {
    const SLEEPS: usize = 150;
    let _shows_in_what_follows = clock::minimise_timer_slack();
    let mut late: Vec<f64> = (0..SLEEPS)
        .map(|_| {
            let due = clock::now() + Nanos::from_millis(1);
            clock::sleep_until(due);
            (clock::now() - due).0 as f64 / 1e3
        })
        .collect();
    late.sort_unstable_by(f64::total_cmp);
    Wakes { p50_us: late[SLEEPS / 2], p99_us: late[SLEEPS * 99 / 100], sleeps: SLEEPS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_tells_what_every_linux_tells() {
        let facts = HostFacts::gather();
        assert!(facts.usable_cores.is_some_and(|cores| cores >= 1));
        assert!(facts.machine_cores >= facts.usable_cores);
        assert!(facts.memory_available.is_some_and(|bytes| bytes > 0));
        assert!(facts.clock_read_ns > 0.0);
        assert!(facts.wakes.p50_us >= 0.0 && facts.wakes.p99_us >= facts.wakes.p50_us);
    }

    #[test]
    fn a_list_of_cores_is_read_with_its_ranges() {
        assert_eq!(core_list(" 0-2,5\n"), BTreeSet::from([0, 1, 2, 5]));
        assert_eq!(core_list(""), BTreeSet::new());
    }

    #[test]
    fn a_quota_is_read_in_cores_and_max_is_none() {
        assert_eq!(quota_of("350000 100000\n"), Some(3.5));
        assert_eq!(quota_of("max 100000\n"), None);
    }
}
