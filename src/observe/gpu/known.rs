//! GPUs visible to an in-process engine and their memory, from NVML or CUDA.

use std::path::Path;

use crate::ffi::cuda::{CudaError, device_memory, visible_devices};
use crate::observe::gpu::over_window::Watched;
use crate::observe::gpu::state::Machine;
use crate::specs::GpuMemory;

/// Source of the memory figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemorySource {
    /// The management library.
    Nvml,
    /// CUDA, where there is no management library, or it reports the whole board and not an instance (MIG).
    Cuda,
}

/// A GPU as far as it is known before anything is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownGpu {
    /// As the driver writes it: `GPU-…`.
    pub uuid: String,
    /// Its product name.
    pub name: String,
    /// Its memory, where it is known.
    pub memory: Option<GpuMemory>,
}

/// All visible GPUs, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownGpus {
    /// Source of the memory figures.
    pub teller: MemorySource,
    /// Each GPU.
    pub gpus: Vec<KnownGpu>,
}

/// Which GPUs CUDA is asked about: those that an engine takes.
#[derive(Debug, Clone, Copy)]
pub struct CudaQuery<'a> {
    /// The driver's library, where it is not the system's.
    pub library: Option<&'a Path>,
    /// As many of the first, where none is named.
    pub ranks: u32,
    /// Device ids of the engine, CUDA's numbers.
    pub device_ids: &'a [u32],
}

impl CudaQuery<'_> {
    /// UUIDs of the GPUs that the device ids mean.
    fn uuids(&self) -> Result<Vec<String>, CudaError> {
        let shown = visible_devices(self.library)?;
        let meant = shown.into_iter().filter(|it| self.device_ids.contains(&it.ordinal));
        Ok(meant.map(|it| it.uuid).collect())
    }
}

impl KnownGpus {
    /// GPUs as NVML reports them: those with these UUIDs where an engine's are known, else the watched ones. `None` where
    /// there is none of them, or one is cut into instances.
    fn from_nvml(machine: &Machine, watched: &[Watched], taken: Option<&[String]>) -> Option<Self> {
        let is_meant = |gpu: &Watched| {
            taken.map_or_else(|| watched.contains(gpu), |uuids| uuids.contains(&gpu.uuid))
        };
        let states = || machine.gpus.iter().filter(|state| is_meant(&state.gpu));
        if states().next().is_none() || states().any(|state| state.mig == Some(true)) {
            return None;
        }
        let gpus = states().map(|state| KnownGpu {
            uuid: state.gpu.uuid.clone(),
            name: state.gpu.name.clone(),
            memory: state
                .memory_bytes
                .zip(state.memory_free_bytes)
                .map(|(total_bytes, free_bytes)| GpuMemory { free_bytes, total_bytes }),
        });
        Some(Self { teller: MemorySource::Nvml, gpus: gpus.collect() })
    }

    /// NVML's word of those that are watched, or CUDA's where that tells nothing of them and CUDA may be asked. Of an engine
    /// with device ids it is NVML's word of the GPUs that CUDA knows by these numbers, as NVML counts in another order. `None`
    /// where nobody tells of any.
    ///
    /// # Errors
    /// When a named CUDA library fails; the system's may be missing or refuse.
    pub fn find(
        nvml: Option<(&Machine, &[Watched])>,
        cuda: Option<&CudaQuery>,
    ) -> Result<Option<Self>, CudaError> {
        let taken = cuda.filter(|it| !it.device_ids.is_empty()).map(CudaQuery::uuids);
        let taken = match taken {
            Some(Ok(uuids)) => Some(uuids),
            Some(Err(error)) if cuda.is_some_and(|it| it.library.is_some()) => return Err(error),
            Some(Err(_)) | None => None,
        };
        let of_nvml =
            nvml.and_then(|(machine, watched)| Self::from_nvml(machine, watched, taken.as_deref()));
        let Some(cuda) = cuda.filter(|_| of_nvml.is_none()) else { return Ok(of_nvml) };
        match Self::from_cuda(cuda) {
            // CUDA was not asked for; an engine that needs the driver fails when it is opened.
            Err(_) if cuda.library.is_none() => Ok(None),
            known => known,
        }
    }

    /// GPUs of an engine as CUDA reports them. `None` where there is none of them.
    fn from_cuda(asked: &CudaQuery) -> Result<Option<Self>, CudaError> {
        let shown = visible_devices(asked.library)?;
        let reported = asked.device_ids;
        let takes = |ordinal| {
            if reported.is_empty() { ordinal < asked.ranks } else { reported.contains(&ordinal) }
        };
        let gpus = shown.into_iter().filter(|device| takes(device.ordinal)).map(|device| {
            let memory = device_memory(asked.library, device.ordinal)?;
            let memory =
                GpuMemory { free_bytes: memory.free_bytes, total_bytes: memory.total_bytes };
            Ok(KnownGpu { uuid: device.uuid, name: device.name, memory: Some(memory) })
        });
        let gpus = gpus.collect::<Result<Vec<_>, _>>()?;
        Ok((!gpus.is_empty()).then_some(Self { teller: MemorySource::Cuda, gpus }))
    }

    /// The memory that each of so many ranks finds at least, if they are put on the GPUs that have most free.
    ///
    /// Which GPUs an engine takes is its own choice and known only once it runs, so this is the best that it can do.
    pub fn memory_for(&self, ranks: u32) -> Option<GpuMemory> {
        let mut reported: Vec<GpuMemory> = self.gpus.iter().filter_map(|gpu| gpu.memory).collect();
        reported.sort_unstable_by_key(|memory| std::cmp::Reverse(memory.free_bytes));
        let last = (ranks.max(1) as usize).min(reported.len());
        reported.get(last.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(free_gib: &[u64]) -> KnownGpus {
        let gpu = |gib: &u64| KnownGpu {
            uuid: "GPU-made-up".into(),
            name: "NVIDIA H200".into(),
            memory: Some(GpuMemory { free_bytes: gib << 30, total_bytes: 141 << 30 }),
        };
        KnownGpus { teller: MemorySource::Nvml, gpus: free_gib.iter().map(gpu).collect() }
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
