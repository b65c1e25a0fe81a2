//! Threads of the embedded engine while it runs: the checks of the host know each of them by its name.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::serve_process::PATIENCE;

/// Names of the threads of a process; none of one that is gone.
fn names_in(process: u32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let name = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("comm")).ok();
    threads.filter_map(name).map(|name| name.trim().to_owned()).collect()
}

/// F32 also computes on a pool whose threads have no name of their own: they have that of the thread that started it.
#[test]
fn every_thread_that_computes_for_the_embedded_engine_has_a_name_that_the_checks_know() {
    let out = TempDir::new().expect("a folder");
    let mut run = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "--target", "local:dummy-pico", "--quantization", "f32", "--threads", "2"])
        .args(["--scenario", "D(64,32)", "--concurrency", "2", "--duration", "10m", "-q"])
        .current_dir(out.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let given_up = Instant::now() + PATIENCE;
    let engine = |name: &&String| *name == "bareflight-cpu";
    let is_known = |name: &&String| {
        ["bf-", "bareflight-cpu", "candle-"].iter().any(|prefix| name.starts_with(prefix))
    };
    let unknown = |names: &[String]| {
        let unknown = names.iter().filter(|name| !is_known(name));
        unknown.cloned().collect::<Vec<_>>()
    };
    let names = loop {
        let names = names_in(run.id());
        // Loop and pool: the pool starts with the first product. A thread that has just begun has its starter's name for a moment.
        let is_up = names.iter().filter(engine).count() > 1 && unknown(&names).len() == 1;
        if is_up || Instant::now() > given_up {
            break names;
        }
        thread::sleep(Duration::from_millis(20));
    };
    run.kill().expect("it runs");
    run.wait().expect("it ends");
    assert!(names.iter().filter(engine).count() > 1, "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("candle-")), "{names:?}");
    assert_eq!(unknown(&names), ["bareflight"], "the main thread alone");
}
