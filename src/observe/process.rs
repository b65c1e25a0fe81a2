//! CPU time of another process, summed over its threads.

use std::fs;

use crate::clock::Nanos;

/// CPU time that the threads of process `pid` that live now have used; `None` where the kernel does not tell.
pub fn cpu_of(pid: u32) -> Option<Nanos> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let spent = threads.filter_map(|thread| {
        let schedstat = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        schedstat.split_whitespace().next()?.parse::<i64>().ok()
    });
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
