//! CPU cost of `perf_analyzer` for the same load; it runs beside the others if `PERF_ANALYZER` names it.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bareflight::clock::Nanos;

use crate::client::{Asked, body};

/// Where it is; it comes with `tritonclient`'s wheels for Linux, up to 2.51 for glibc 2.35.
const VARIABLE: &str = "PERF_ANALYZER";
/// Fields 16 and 17 of `/proc/self/stat` (proc(5)): user and system time of children that were waited for.
const CHILDREN: std::ops::Range<usize> = 15..17;
/// Their unit, `USER_HZ`, which is the same on x86-64 and aarch64.
const TICKS_PER_SECOND: f64 = 100.0;

/// The peer's program, if there is one.
pub fn program() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// CPU time, user and system, of the peer's whole process for the load.
///
/// # Errors
/// When it cannot be run, or fails.
pub fn through(program: &PathBuf, address: &str, asked: &Asked) -> io::Result<Nanos> {
    let folder = tempfile::tempdir()?;
    let input = folder.path().join("input.json");
    // It wants the body of a request, and sends the same one again and again.
    let one = body(asked.first_id, asked.tokens);
    std::fs::write(&input, format!(r#"{{"data":[{{"payload":[{one}]}}]}}"#))?;
    let profile = folder.path().join("profile.json");
    let before = children_cpu()?;
    let output = Command::new(program)
        .args(["-m", "a-model-of-8b", "--service-kind", "openai", "-i", "http", "--async"])
        .args(["--endpoint", "v1/chat/completions", "-u", address])
        .args(["--concurrency-range", &asked.concurrency.to_string()])
        .args(["--request-count", &asked.requests.to_string(), "--stability-percentage", "999"])
        .arg("--input-data")
        .arg(&input)
        .arg("--profile-export-file")
        .arg(&profile)
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(io::Error::other(format!("`{}` failed: {message}", program.display())));
    }
    let cpu = Nanos(children_cpu()?.0 - before.0);
    let profile: serde_json::Value = serde_json::from_slice(&std::fs::read(&profile)?)?;
    let played = profile["experiments"][0]["requests"].as_array().map_or(0, Vec::len);
    if played < asked.requests as usize {
        let message = format!("it played {played} of {} requests", asked.requests);
        return Err(io::Error::other(message));
    }
    Ok(cpu)
}

fn children_cpu() -> io::Result<Nanos> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in parentheses, which may hold spaces.
    let rest = stat.rsplit_once(") ").ok_or_else(|| io::Error::other("no such line"))?.1;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = fields[CHILDREN.start - 2..CHILDREN.end - 2]
        .iter()
        .map(|field| field.parse::<u64>().map_err(io::Error::other))
        .sum::<io::Result<u64>>()?;
    Ok(Nanos::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
}
