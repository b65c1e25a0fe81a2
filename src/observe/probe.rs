//! Kernel counters read before and after a run.

use std::collections::HashMap;
use std::fs;

use crate::clock::{self, MonoNs, Nanos};
use crate::observe::health::Health;
use crate::observe::long_waits::Watching;
use crate::threads::{self, Own, Work};

/// Threads that compute for an engine in this process: the loop of the embedded one and its pool, and what an engine in Python
/// runs on, with the threads that it starts (a thread has the name of the one that started it until it gets another), and the
/// loop of the simulated executor.
const ENGINE_THREADS: [&str; 4] = ["bareflight-cpu", "candle-", "engine-python", "simulated-loop"];
/// A thread that computes less than this share of what the busiest one does wants no core of its own.
const BUSY_SHARE: f64 = 0.1;

/// Counters at the start of a run.
#[derive(Debug)]
pub struct Probe {
    at: MonoNs,
    process_cpu: Nanos,
    machine: Option<MachineCpu>,
    throttled: Option<u64>,
    threads: HashMap<u32, ThreadCounters>,
    /// `None` where no thread could be started for it.
    long_waits: Option<Watching>,
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
    role: Role,
}

/// What a thread is there for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Role {
    /// To stamp or to send.
    Hot,
    /// Other work of the harness.
    #[default]
    Cold,
    /// To compute for an engine in this process.
    Engine,
}

impl Role {
    /// `None` of a thread that is of no concern.
    fn of(name: &str, is_main: bool) -> Option<Self> {
        if is_main {
            Some(Self::Hot)
        } else if ENGINE_THREADS.iter().any(|prefix| name.starts_with(prefix)) {
            Some(Self::Engine)
        } else {
            match Own::named(name).map(Own::work) {
                Some(Work::Hot) => Some(Self::Hot),
                Some(Work::Cold) => Some(Self::Cold),
                None => name.starts_with(threads::PREFIX).then_some(Self::Cold),
            }
        }
    }
}

impl Probe {
    /// Reads the counters now.
    pub fn start() -> Self {
        Self {
            at: clock::now(),
            process_cpu: clock::process_cpu(),
            machine: machine_cpu(),
            throttled: cgroup_throttled_periods(),
            threads: watched_threads(),
            long_waits: Watching::start(awaited_threads).ok(),
        }
    }

    /// Changes since the start, as far as the kernel reports them.
    pub fn finish(self) -> Health {
        let long_waits = self.long_waits.and_then(Watching::finish);
        let wall = (clock::now() - self.at).as_secs_f64().max(1e-9);
        let steal = self.machine.zip(machine_cpu()).and_then(|(before, after)| {
            let total = after.total.saturating_sub(before.total);
            (total > 0).then(|| after.steal.saturating_sub(before.steal) as f64 / total as f64)
        });
        let (engine, threads): (Vec<_>, Vec<_>) =
            deltas_since(&self.threads).into_iter().partition(|thread| thread.role == Role::Engine);
        let sum = |field: fn(&ThreadCounters) -> u64| threads.iter().map(field).sum::<u64>();
        let seen = !threads.is_empty();
        let hot = || threads.iter().filter(|thread| thread.role == Role::Hot);
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
            engine_core_wait_s: usable_cores().and_then(|cores| engine_wait_s(&engine, cores)),
            long_waits: long_waits.filter(|_| seen),
            ..Health::default()
        }
    }
}

fn deltas_since(start: &HashMap<u32, ThreadCounters>) -> Vec<ThreadCounters> {
    let since = |id: u32, now: ThreadCounters| {
        let before = start.get(&id).copied().unwrap_or_default();
        ThreadCounters {
            cpu_ns: now.cpu_ns.saturating_sub(before.cpu_ns),
            wait_ns: now.wait_ns.saturating_sub(before.wait_ns),
            involuntary_switches: now
                .involuntary_switches
                .saturating_sub(before.involuntary_switches),
            role: now.role,
        }
    };
    watched_threads().into_iter().map(|(id, now)| since(id, now)).collect()
}

fn usable_cores() -> Option<usize> {
    std::thread::available_parallelism().ok().map(usize::from)
}

/// The longest wait for a core of an engine's threads, in seconds. More busy threads than cores take turns: of the time in
/// which one of `n` is ready it runs in `cores / n`, whatever else the machine does, and only what it waits beyond counts.
fn engine_wait_s(threads: &[ThreadCounters], cores: usize) -> Option<f64> {
    let busiest = threads.iter().map(|thread| thread.cpu_ns).max()?;
    let is_busy = |thread: &&ThreadCounters| thread.cpu_ns as f64 >= BUSY_SHARE * busiest as f64;
    let busy = threads.iter().filter(is_busy).count();
    let in_turn = (1.0 - cores as f64 / busy as f64).max(0.0);
    let beyond = |thread: &ThreadCounters| {
        let ready = (thread.cpu_ns + thread.wait_ns) as f64;
        (thread.wait_ns as f64 - in_turn * ready).max(0.0) / 1e9
    };
    threads.iter().filter(is_busy).map(beyond).reduce(f64::max)
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

fn watched_threads() -> HashMap<u32, ThreadCounters> {
    let counted = |(id, role)| Some((id, thread_counters(id, role)?));
    threads_with_roles().filter_map(counted).collect()
}

/// Threads whose wait for a core makes a latency longer. Those of an engine that outnumber the cores wait for each other.
fn awaited_threads() -> Vec<u32> {
    let roles: Vec<(u32, Role)> = threads_with_roles().collect();
    let engines = roles.iter().filter(|(_, role)| *role == Role::Engine).count();
    let has_room = usable_cores().is_some_and(|cores| engines <= cores);
    let is_awaited = |role: Role| role == Role::Hot || (role == Role::Engine && has_room);
    roles.into_iter().filter(|(_, role)| is_awaited(*role)).map(|(id, _)| id).collect()
}

fn threads_with_roles() -> impl Iterator<Item = (u32, Role)> {
    let main = std::process::id();
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let ids = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(move |id| {
        let name = fs::read_to_string(format!("/proc/self/task/{id}/comm")).ok()?;
        Some((id, Role::of(name.trim(), id == main)?))
    })
}

fn thread_counters(id: u32, role: Role) -> Option<ThreadCounters> {
    let schedstat = fs::read_to_string(format!("/proc/self/task/{id}/schedstat")).ok()?;
    let status = fs::read_to_string(format!("/proc/self/task/{id}/status")).ok()?;
    let mut times = schedstat.split_whitespace().map_while(|field| field.parse().ok());
    Some(ThreadCounters {
        cpu_ns: times.next()?,
        wait_ns: times.next()?,
        involuntary_switches: value_after(&status, "nonvoluntary_ctxt_switches:")?,
        role,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

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

    /// A thread that computes, tells that it has, and lives until it was looked at.
    fn spin(name: &str, done: Arc<Barrier>, seen: Arc<Barrier>) -> std::thread::JoinHandle<()> {
        threads::other(name)
            .spawn(move || {
                let start = clock::thread_cpu();
                while clock::thread_cpu().0 - start.0 < 30_000_000 {}
                done.wait();
                seen.wait();
            })
            .expect("a thread starts")
    }

    fn seen_while(names: &[&str]) -> Health {
        let probe = Probe::start();
        let [done, seen] = [(); 2].map(|()| Arc::new(Barrier::new(names.len() + 1)));
        let begin = |name: &&str| spin(name, Arc::clone(&done), Arc::clone(&seen));
        let threads: Vec<_> = names.iter().map(begin).collect();
        done.wait();
        let health = probe.finish();
        seen.wait();
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
        let health = seen_while(&vec!["bf-net-7"; 2 * cores]);
        let wait = health.core_wait.expect("Linux tells how long threads wait");
        assert!(wait > 0.0, "{wait}");
    }

    #[test]
    fn threads_of_an_engine_are_none_of_the_harness() {
        let roles = [
            ("bareflight-cpu", Some(Role::Engine)),
            ("candle-bp-0", Some(Role::Engine)),
            ("engine-python", Some(Role::Engine)),
            ("simulated-loop", Some(Role::Engine)),
            (Own::LongWaits.name(), Some(Role::Cold)),
            ("bf-net-3", Some(Role::Hot)),
            ("bf-of-a-library", Some(Role::Cold)),
            ("bf-triton-c", Some(Role::Hot)),
            ("bf-recorder", Some(Role::Cold)),
            ("bf-scrape", Some(Role::Cold)),
            ("bf-ask-triton", Some(Role::Cold)),
            ("bareflight", None),
            ("tokio", None),
        ];
        for (name, role) in roles {
            assert_eq!(Role::of(name, false), role, "{name}");
        }
        assert_eq!(Role::of("python3", true), Some(Role::Hot));
    }

    fn engine_thread(cpu_ms: u64, wait_ms: u64) -> ThreadCounters {
        let (cpu_ns, wait_ns) = (cpu_ms * 1_000_000, wait_ms * 1_000_000);
        ThreadCounters { cpu_ns, wait_ns, involuntary_switches: 0, role: Role::Engine }
    }

    #[test]
    fn the_wait_of_an_engine_is_that_of_its_worst_thread() {
        let wait = |threads: &[(u64, u64)], cores| {
            let threads: Vec<_> =
                threads.iter().map(|(cpu, wait)| engine_thread(*cpu, *wait)).collect();
            engine_wait_s(&threads, cores).map(|s| (s * 1e3).round())
        };
        assert_eq!(wait(&[], 2), None);
        assert_eq!(wait(&[(400, 600)], 2), Some(600.0));
        assert_eq!(wait(&[(400, 100), (400, 300)], 2), Some(300.0));
        // Of little work little is lost.
        assert_eq!(wait(&[(400, 100), (5, 300)], 2), Some(100.0));
    }

    #[test]
    fn threads_that_outnumber_the_cores_wait_for_each_other_and_only_what_is_beyond_counts() {
        let wait_ms = |cpu_ms, waited_ms| {
            let seconds = engine_wait_s(&[engine_thread(cpu_ms, waited_ms); 4], 2);
            seconds.map(|seconds| (seconds * 1e3).round())
        };
        assert_eq!(wait_ms(500, 500), Some(0.0));
        // Four others on the same two cores: a quarter of the time is left to each.
        assert_eq!(wait_ms(250, 750), Some(250.0));
    }
}
