//! On which GPUs may an engine of this process run, and how much memory have they? NVML's word, or CUDA's own.

use std::path::Path;

use crate::ffi::cuda::{CudaError, Driver};
use crate::observe::gpu::over_window::Watched;
use crate::observe::gpu::state::Machine;

/// Whose word it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teller {
    /// The management library.
    Nvml,
    /// CUDA, where there is no management library, or it tells of the whole board and not of an instance (MIG).
    Cuda,
}

/// A GPU as far as it is known before anything is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownGpu {
    /// Its product name.
    pub name: String,
    /// Its memory, where that is told.
    pub memory: Option<GpuMemory>,
}

/// Memory of a GPU at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuMemory {
    /// What a new allocation could have.
    pub free_bytes: u64,
    /// All of it.
    pub total_bytes: u64,
}

/// All of them, of which there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownGpus {
    /// Whose word it is.
    pub teller: Teller,
    /// Each GPU.
    pub gpus: Vec<KnownGpu>,
}

impl KnownGpus {
    /// What NVML says of those that are watched; `None` where none is, or one of them is cut into instances.
    pub fn from_nvml(machine: &Machine, watched: &[Watched]) -> Option<Self> {
        let states = || machine.gpus.iter().filter(|state| watched.contains(&state.gpu));
        if states().next().is_none() || states().any(|state| state.mig == Some(true)) {
            return None;
        }
        let gpus = states().map(|state| KnownGpu {
            name: state.gpu.name.clone(),
            memory: state
                .memory_bytes
                .zip(state.memory_free_bytes)
                .map(|(total_bytes, free_bytes)| GpuMemory { free_bytes, total_bytes }),
        });
        Some(Self { teller: Teller::Nvml, gpus: gpus.collect() })
    }

    /// What CUDA says of the GPUs that an engine takes: those that it is told to, by CUDA's numbers, or else as many of the
    /// first as it has ranks. `None` where there is none of them.
    ///
    /// # Errors
    /// When there is no driver, or it refuses.
    pub fn from_cuda(
        library: Option<&Path>,
        ranks: u32,
        told: &[u32],
    ) -> Result<Option<Self>, CudaError> {
        let driver = Driver::load(library)?;
        let shown = driver.devices()?;
        let takes = |ordinal| {
            if told.is_empty() { ordinal < ranks } else { told.contains(&ordinal) }
        };
        let gpus = shown.into_iter().filter(|device| takes(device.ordinal)).map(|device| {
            let memory = driver.memory(device.ordinal)?;
            let memory =
                GpuMemory { free_bytes: memory.free_bytes, total_bytes: memory.total_bytes };
            Ok(KnownGpu { name: device.name, memory: Some(memory) })
        });
        let gpus = gpus.collect::<Result<Vec<_>, _>>()?;
        Ok((!gpus.is_empty()).then_some(Self { teller: Teller::Cuda, gpus }))
    }

    /// The memory that each of so many ranks finds at least, if they are put on the GPUs that have most free.
    ///
    /// Which GPUs an engine takes is its own choice and known only once it runs, so this is the best that it can do.
    pub fn memory_for(&self, ranks: u32) -> Option<GpuMemory> {
        let mut told: Vec<GpuMemory> = self.gpus.iter().filter_map(|gpu| gpu.memory).collect();
        told.sort_unstable_by_key(|memory| std::cmp::Reverse(memory.free_bytes));
        let last = (ranks.max(1) as usize).min(told.len());
        told.get(last.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(free_gib: &[u64]) -> KnownGpus {
        let gpu = |gib: &u64| KnownGpu {
            name: "NVIDIA H200".into(),
            memory: Some(GpuMemory { free_bytes: gib << 30, total_bytes: 141 << 30 }),
        };
        KnownGpus { teller: Teller::Nvml, gpus: free_gib.iter().map(gpu).collect() }
    }

    #[test]
    fn a_full_gpu_counts_only_where_a_rank_must_run_on_it() {
        let free = |gpus: &KnownGpus, ranks| gpus.memory_for(ranks).map(|it| it.free_bytes >> 30);
        let three = gpus(&[140, 3, 90]);
        assert_eq!([1, 2, 3].map(|ranks| free(&three, ranks)), [Some(140), Some(90), Some(3)]);
        // The other ranks run on machines that this one does not see.
        assert_eq!(free(&three, 8), Some(3));
        assert_eq!(free(&gpus(&[]), 1), None);
    }
}
