//! Host and build facts for the manifest.

use std::fs;

use serde::{Deserialize, Serialize};

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Host name.
    pub name: String,
    /// Kernel release.
    pub kernel: String,
    /// Processor model.
    pub cpu: Option<String>,
    /// Cores this process may use.
    pub usable_cores: Option<usize>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Frequency governor of the first core.
    pub governor: Option<String>,
    /// What the kernel takes the time from.
    pub clock_source: Option<String>,
    /// The cgroup's CPU quota, as written in `cpu.max`.
    pub cgroup_cpu_max: Option<String>,
    /// Whether the processor reports a virtual machine.
    pub virtual_machine: bool,
}

impl Host {
    /// Reads the facts of this system.
    pub fn read() -> Self {
        let system = rustix::system::uname();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            name: system.nodename().to_string_lossy().into_owned(),
            kernel: system.release().to_string_lossy().into_owned(),
            cpu: field(&cpuinfo, "model name"),
            usable_cores: std::thread::available_parallelism().ok().map(usize::from),
            memory_bytes: memory_bytes(),
            governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            cgroup_cpu_max: line("/sys/fs/cgroup/cpu.max"),
            virtual_machine: field(&cpuinfo, "flags")
                .is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor")),
        }
    }
}

/// This program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Package version.
    pub version: String,
    /// Git revision, with `-dirty` where the tree had changes.
    pub revision: String,
    /// `release` or `debug`.
    pub profile: String,
}

impl Build {
    /// Of the running program.
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            revision: env!("BAREFLIGHT_REVISION").into(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.into(),
        }
    }
}

fn line(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// The value of the first `key : value` line.
fn field(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

fn memory_bytes() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = field(&meminfo, "MemTotal")?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_tells_its_kernel_and_memory() {
        let host = Host::read();
        assert!(!host.kernel.is_empty());
        assert!(host.memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
    }
}
