//! Check of CUDA devices visible to this process.

use std::path::Path;

use crate::doctor::check_result::{Area, Check, CheckResult};
use crate::engine_directory::fit::gib;
use crate::ffi::cuda::{CudaError, Device, visible_devices};

/// What hides a GPU.
const REMEDY: &str =
    "echo \"$CUDA_VISIBLE_DEVICES\"; nvidia-smi -L  (in a container: `docker run --gpus all …`)";

/// Devices that CUDA reports.
#[derive(Debug)]
pub struct CudaFacts {
    /// Each, or why there are none.
    pub devices: Result<Vec<Device>, CudaError>,
    /// How many the management library shows.
    pub known_to_nvml: usize,
    /// Whether a target that needs a GPU was asked for.
    pub wanted: bool,
}

impl CudaFacts {
    /// Starts the driver, where there is one; no context is made.
    pub fn gather(library: Option<&Path>, known_to_nvml: usize, wanted: bool) -> Self {
        Self { devices: visible_devices(library), known_to_nvml, wanted }
    }
}

/// The one line about it.
pub fn check_result(facts: &CudaFacts) -> CheckResult {
    let check = Check {
        area: Area::Gpu,
        id: "cuda",
        why: "an engine runs on the GPUs that CUDA shows to its process, which containers and variables can hide",
    };
    match &facts.devices {
        Err(error @ CudaError::Library(..)) if !facts.wanted && facts.known_to_nvml == 0 => {
            check.skip(format!("not checked: {error}"))
        }
        Err(error) => check.fail(error.to_string(), REMEDY),
        Ok(devices) if devices.is_empty() => {
            let sentence = format!("CUDA shows no GPU, of {} that NVML shows", facts.known_to_nvml);
            if facts.wanted || facts.known_to_nvml > 0 {
                check.fail(sentence, REMEDY)
            } else {
                check.skip(sentence)
            }
        }
        Ok(devices) => {
            let each: Vec<String> = devices.iter().map(described).collect();
            check.pass(format!("CUDA shows {}", each.join(", ")))
        }
    }
}

fn described(device: &Device) -> String {
    let Device { ordinal, name, memory_bytes, compute_capability, multiprocessors, .. } = device;
    format!(
        "{ordinal}: {name} ({}, compute capability {compute_capability}, {multiprocessors} multiprocessors)",
        gib(*memory_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check_result::Status;

    fn not_passed(
        devices: Result<Vec<Device>, CudaError>,
        known_to_nvml: usize,
        wanted: bool,
    ) -> Status {
        check_result(&CudaFacts { devices, known_to_nvml, wanted }).status
    }

    fn absent() -> CudaError {
        CudaError::Library("libcuda.so.1".into(), "not found".into())
    }

    #[test]
    fn a_driver_that_is_missing_is_a_fault_only_where_a_gpu_is_there_or_wanted() {
        assert_eq!(not_passed(Err(absent()), 0, false), Status::Skip);
        assert_eq!(not_passed(Err(absent()), 0, true), Status::Fail);
        assert_eq!(not_passed(Err(absent()), 2, false), Status::Fail);
    }

    #[test]
    fn a_driver_that_refuses_or_hides_its_gpus_is_a_fault() {
        assert_eq!(not_passed(Err(CudaError::Call("cuInit", 803)), 0, false), Status::Fail);
        assert_eq!(not_passed(Ok(Vec::new()), 1, false), Status::Fail);
        assert_eq!(not_passed(Ok(Vec::new()), 0, true), Status::Fail);
        assert_eq!(not_passed(Ok(Vec::new()), 0, false), Status::Skip);
    }

    #[test]
    fn a_gpu_is_reported_with_its_cuda_properties() {
        let device = Device {
            ordinal: 0,
            uuid: "GPU-made-up".into(),
            name: "NVIDIA H200".into(),
            memory_bytes: 140 << 30,
            compute_capability: "9.0".into(),
            multiprocessors: 132,
        };
        let found =
            check_result(&CudaFacts { devices: Ok(vec![device]), known_to_nvml: 8, wanted: true });
        assert_eq!(found.status, Status::Pass);
        let sentence = "0: NVIDIA H200 (140.0 GiB, compute capability 9.0, 132 multiprocessors)";
        assert!(found.sentence.contains(sentence), "{}", found.sentence);
    }
}
