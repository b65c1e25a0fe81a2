//! Rank and size of the MPI job of this process, read from the environment before MPI itself starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGTERM;

/// Place of this process in its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MpiJob {
    /// From 0; rank 0 drives.
    pub rank: u32,
    /// Processes in the job, at least 2.
    pub size: u32,
}

/// Variables of the launchers: Open MPI, MPICH and Intel MPI, MVAPICH, and Slurm with PMIx.
const LAUNCHERS: [(&str, &str); 4] = [
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("PMIX_RANK", "SLURM_NTASKS"),
];

/// The names of all of these variables.
pub fn variables() -> impl Iterator<Item = &'static str> {
    LAUNCHERS.into_iter().flat_map(|(rank, size)| [rank, size])
}

impl MpiJob {
    /// This process' place; `None` where it was started alone.
    pub fn of_this_process() -> Option<Self> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| variable(name)?.parse::<u32>().ok();
        let (rank, size) =
            LAUNCHERS.iter().find_map(|(rank, size)| number(rank).zip(number(size)))?;
        (size > 1).then_some(Self { rank, size })
    }
}

/// End of the MPI job from outside: `mpirun` sends SIGTERM to every rank when one has died, and kills the rest soon after.
/// Never happens without a job.
#[derive(Debug, Clone, Default)]
pub struct JobEnd(Arc<AtomicBool>);

impl JobEnd {
    /// Message for the requests that fail with it.
    pub const MESSAGE: &'static str = "mpirun ended the job (SIGTERM): another rank has died, as mpirun says beside \
         this, or the job was interrupted";

    /// Watches from now on.
    ///
    /// # Errors
    /// When the kernel refuses the handler.
    pub fn watch(job: Option<MpiJob>) -> std::io::Result<Self> {
        let end = Self::default();
        if job.is_some() {
            signal_hook::flag::register(SIGTERM, Arc::clone(&end.0))?;
        }
        Ok(end)
    }

    /// Whether it has come.
    pub fn has_come(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(variables: &[(&str, &str)]) -> Option<MpiJob> {
        MpiJob::from_variables(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_rank_is_known_whichever_launcher_started_it() {
        for (rank, size) in LAUNCHERS {
            assert_eq!(
                job(&[(rank, "1"), (size, "4")]),
                Some(MpiJob { rank: 1, size: 4 }),
                "{rank}"
            );
        }
    }

    #[test]
    fn a_process_alone_is_no_job_even_under_mpirun() {
        assert_eq!(job(&[]), None);
        assert_eq!(job(&[("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "1")]), None);
        assert_eq!(
            job(&[("SLURM_NTASKS", "8")]),
            None,
            "tasks of a Slurm job that MPI does not connect"
        );
    }
}
