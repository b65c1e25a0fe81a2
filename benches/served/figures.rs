//! Statistics of the served benchmarks: medians over passes, nearest-rank percentiles, and the CSV file of results.

use std::io;
use std::path::PathBuf;

use bareflight::observe::host::{Build, Host};

/// The nearest rank.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// The nearest rank at one half.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The conditions, for the line above every table.
pub fn conditions() -> String {
    let host = Host::read();
    let build = Build::this();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "{} cores{}, {} build, load average before: {}",
        host.usable_cores.map_or("?".to_owned(), |cores| cores.to_string()),
        if host.virtual_machine { " of a virtual machine, shared with the server" } else { "" },
        build.profile,
        load.split(' ').next().unwrap_or("?"),
    )
}

/// Writes the rows below the build folder and returns the path.
pub fn keep(name: &str, rows: &[String]) -> io::Result<PathBuf> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, rows.join("\n") + "\n")?;
    Ok(path)
}
