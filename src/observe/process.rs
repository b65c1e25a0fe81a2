//! CPU time of threads: all of another process, or some of this one.

use std::fs;
use std::path::Path;

use crate::clock::Nanos;
use crate::threads::Own;

/// CPU time that these threads of the harness have used; `None` where the kernel does not tell. Threads that have ended are not among
/// them.
pub fn cpu_of_own_threads(which: &[Own]) -> Option<Nanos> {
    let is_one = |comm: &str| Own::named(comm.trim()).is_some_and(|own| which.contains(&own));
    let threads = fs::read_dir("/proc/self/task").ok()?;
    let spent = threads.filter_map(|thread| {
        let thread = thread.ok()?.path();
        let comm = fs::read_to_string(thread.join("comm")).ok()?;
        is_one(&comm).then(|| cpu_of_thread(&thread)).flatten()
    });
    Some(Nanos(spent.sum()))
}

fn cpu_of_thread(thread: &Path) -> Option<i64> {
    let schedstat = fs::read_to_string(thread.join("schedstat")).ok()?;
    schedstat.split_whitespace().next()?.parse().ok()
}

/// CPU time that the threads of process `pid` that live now have used; `None` where the kernel does not tell.
pub fn cpu_of(pid: u32) -> Option<Nanos> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let spent = threads.filter_map(|thread| cpu_of_thread(&thread.ok()?.path()));
    Some(Nanos(spent.sum()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::clock::sleep;

    #[test]
    fn a_process_that_is_not_there_has_used_nothing_that_is_known() {
        assert_eq!(cpu_of(u32::MAX), None);
    }

    #[test]
    fn only_threads_that_were_asked_for_are_counted() {
        let (work, done) = std::sync::mpsc::channel::<()>();
        let burn = || {
            let start = crate::clock::thread_cpu();
            while crate::clock::thread_cpu().0 - start.0 < 20_000_000 {}
        };
        let (told, seen) = std::sync::mpsc::channel();
        let thread = Own::Drafts.numbered(7).spawn(move || {
            burn();
            told.send(()).unwrap();
            // It lives until it was looked at.
            done.recv().unwrap_err();
        });
        seen.recv().unwrap();
        let both = cpu_of_own_threads(&[Own::Hangup, Own::Drafts]);
        assert!(both.unwrap() >= Nanos::from_millis(20));
        assert_eq!(cpu_of_own_threads(&[Own::Hangup]), Some(Nanos::ZERO));
        drop(work);
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn work_of_a_process_is_seen() {
        let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let before = cpu_of(busy.id()).expect("this process is there");
        let worked = || cpu_of(busy.id()).is_some_and(|now| now.0 > before.0 + 30_000_000);
        let seen = (0..3000).any(|_| {
            sleep(Nanos::from_secs_f64(0.01));
            worked()
        });
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(seen);
    }
}
