//! Kernel counters read before and after a run.

use std::collections::HashMap;
use std::fs;

use crate::clock::{self, MonoNs, Nanos};
use crate::observe::health::Health;

/// Names of the harness's own threads begin with this; the main thread is the issuer.
pub const HARNESS_THREAD_PREFIX: &str = "bf-";

/// Threads of the harness that stamp nothing and send nothing: what they wait for is part of no latency.
const COLD_THREADS: [&str; 9] = [
    "bf-recorder",
    "bf-plan",
    "bf-gpu",
    "bf-iterations",
    "bf-kv-events",
    "bf-numbers",
    "bf-profiler",
    "bf-openai-ask",
    "bf-triton-ask",
];

/// Counters at the start of a run.
#[derive(Debug)]
pub struct Probe {
    at: MonoNs,
    process_cpu: Nanos,
    machine: Option<MachineCpu>,
    throttled: Option<u64>,
    threads: HashMap<u32, ThreadCounters>,
}

#[derive(Debug, Clone, Copy)]
struct MachineCpu {
    total: u64,
    steal: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct ThreadCounters {
    cpu_ns: u64,
    /// Ready to run, and waiting for a core.
    wait_ns: u64,
    involuntary_switches: u64,
    /// It stamps or sends.
    is_hot: bool,
}

impl Probe {
    /// Reads the counters now.
    pub fn start() -> Self {
        Self {
            at: clock::now(),
            process_cpu: clock::process_cpu(),
            machine: machine_cpu(),
            throttled: cgroup_throttled_periods(),
            threads: harness_threads(),
        }
    }

    /// Changes since the start, as far as the kernel reports them.
    pub fn finish(&self) -> Health {
        let wall = (clock::now() - self.at).as_secs_f64().max(1e-9);
        let steal = self.machine.zip(machine_cpu()).and_then(|(before, after)| {
            let total = after.total.saturating_sub(before.total);
            (total > 0).then(|| after.steal.saturating_sub(before.steal) as f64 / total as f64)
        });
        let threads = self.thread_deltas();
        let sum = |field: fn(&ThreadCounters) -> u64| threads.iter().map(field).sum::<u64>();
        let seen = !threads.is_empty();
        let hot = || threads.iter().filter(|thread| thread.is_hot);
        Health {
            harness_cpu: seen.then(|| sum(|t| t.cpu_ns) as f64 / 1e9 / wall),
            process_cpu: Some((clock::process_cpu().0 - self.process_cpu.0) as f64 / 1e9 / wall),
            cgroup_throttled: self
                .throttled
                .zip(cgroup_throttled_periods())
                .map(|(before, after)| after.saturating_sub(before)),
            steal,
            involuntary_switches: seen.then(|| hot().map(|t| t.involuntary_switches).sum()),
            core_wait: hot().map(|t| t.wait_ns).max().map(|ns| ns as f64 / 1e9 / wall),
            ..Health::default()
        }
    }

    fn thread_deltas(&self) -> Vec<ThreadCounters> {
        let since = |id: u32, now: ThreadCounters| {
            let before = self.threads.get(&id).copied().unwrap_or_default();
            ThreadCounters {
                cpu_ns: now.cpu_ns.saturating_sub(before.cpu_ns),
                wait_ns: now.wait_ns.saturating_sub(before.wait_ns),
                involuntary_switches: now
                    .involuntary_switches
                    .saturating_sub(before.involuntary_switches),
                is_hot: now.is_hot,
            }
        };
        harness_threads().into_iter().map(|(id, now)| since(id, now)).collect()
    }
}

fn machine_cpu() -> Option<MachineCpu> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    parse_machine_cpu(&stat)
}

/// The first line of `/proc/stat`: user nice system idle iowait irq softirq steal …
fn parse_machine_cpu(stat: &str) -> Option<MachineCpu> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let steal = *fields.get(7)?;
    Some(MachineCpu { total: fields.iter().take(8).sum(), steal })
}

/// `nr_throttled` of the cgroup (version 2) that this process is in.
fn cgroup_throttled_periods() -> Option<u64> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = membership.lines().find_map(|line| line.strip_prefix("0::"))?;
    let stat = fs::read_to_string(format!("/sys/fs/cgroup{path}/cpu.stat")).ok()?;
    value_after(&stat, "nr_throttled ")
}

fn value_after(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.trim().parse().ok()
}

fn harness_threads() -> HashMap<u32, ThreadCounters> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return HashMap::new() };
    let main = std::process::id();
    tasks
        .filter_map(|task| task.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|id| {
            let name = fs::read_to_string(format!("/proc/self/task/{id}/comm")).ok()?;
            let is_ours = id == main || name.starts_with(HARNESS_THREAD_PREFIX);
            let is_hot = !COLD_THREADS.contains(&name.trim());
            is_ours.then(|| Some((id, thread_counters(id, is_hot)?))).flatten()
        })
        .collect()
}

fn thread_counters(id: u32, is_hot: bool) -> Option<ThreadCounters> {
    let schedstat = fs::read_to_string(format!("/proc/self/task/{id}/schedstat")).ok()?;
    let status = fs::read_to_string(format!("/proc/self/task/{id}/status")).ok()?;
    let mut times = schedstat.split_whitespace().map_while(|field| field.parse().ok());
    Some(ThreadCounters {
        cpu_ns: times.next()?,
        wait_ns: times.next()?,
        involuntary_switches: value_after(&status, "nonvoluntary_ctxt_switches:")?,
        is_hot,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_field_of_the_first_line() {
        let stat = "cpu  10 0 20 60 0 0 0 10 5 5\ncpu0 1 2 3\n";
        let cpu = parse_machine_cpu(stat).expect("a whole line");
        assert_eq!((cpu.total, cpu.steal), (100, 10));
    }

    #[test]
    fn an_old_kernel_without_steal_says_nothing() {
        assert!(parse_machine_cpu("cpu  1 2 3 4\n").is_none());
    }

    fn spin(name: &str) -> std::thread::JoinHandle<()> {
        std::thread::Builder::new()
            .name(name.into())
            .spawn(|| {
                let start = clock::thread_cpu();
                while clock::thread_cpu().0 - start.0 < 30_000_000 {}
                std::thread::park_timeout(std::time::Duration::from_millis(300));
            })
            .expect("a thread starts")
    }

    fn seen_while(names: &[&str]) -> Health {
        let probe = Probe::start();
        let threads: Vec<_> = names.iter().map(|name| spin(name)).collect();
        std::thread::sleep(std::time::Duration::from_millis(200));
        let health = probe.finish();
        for thread in threads {
            thread.join().expect("spins and ends");
        }
        health
    }

    #[test]
    fn work_of_a_harness_thread_is_seen_and_other_work_is_not() {
        let health = seen_while(&["bf-test-spin", "other"]);
        let harness = health.harness_cpu.expect("Linux tells CPU time per thread");
        assert!(harness > 0.0 && harness < health.process_cpu.expect("always known") + 0.05);
    }

    #[test]
    fn more_threads_than_cores_are_seen_to_wait_for_one() {
        let cores = std::thread::available_parallelism().expect("Linux tells").get();
        let health = seen_while(&vec!["bf-test-share"; 2 * cores]);
        let wait = health.core_wait.expect("Linux tells how long threads wait");
        assert!(wait > 0.0, "{wait}");
    }
}
