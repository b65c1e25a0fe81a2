//! Selection of the GPUs that are watched, by UUID because CUDA and NVML number them differently.

use nvml_wrapper::Nvml;

use crate::observe::gpu::library::NvmlUnavailable;
use crate::settings::gpu_choice::GpuChoice;

/// UUIDs of every GPU that the library shows, in its order.
///
/// # Errors
/// When the driver does not answer.
pub fn all(nvml: &Nvml) -> Result<Vec<String>, NvmlUnavailable> {
    let driver = |error: nvml_wrapper::error::NvmlError| NvmlUnavailable::Driver(error.to_string());
    let count = nvml.device_count().map_err(driver)?;
    (0..count)
        .map(|index| nvml.device_by_index(index).and_then(|gpu| gpu.uuid()).map_err(driver))
        .collect()
}

/// The UUIDs that a choice comes to. `visible` is `CUDA_VISIBLE_DEVICES`, and `in_process` says whether the engine runs
/// in this process.
///
/// # Errors
/// When a GPU that was named is not there. The default choice is never an error.
pub fn resolve(
    choice: &GpuChoice,
    there: Vec<String>,
    visible: Option<&str>,
    in_process: bool,
) -> Result<Vec<String>, NvmlUnavailable> {
    match choice {
        GpuChoice::None => Ok(Vec::new()),
        GpuChoice::All => Ok(there),
        GpuChoice::Auto if !in_process => Ok(Vec::new()),
        GpuChoice::Auto => Ok(visible_by_uuid(visible, there)),
        GpuChoice::Uuids(named) => {
            let is_there = |uuid: &&String| there.contains(uuid);
            match named.iter().find(|uuid| !is_there(uuid)) {
                None => Ok(named.clone()),
                Some(missing) => Err(NvmlUnavailable::NotThere {
                    named: missing.clone(),
                    there: if there.is_empty() { "none".into() } else { there.join(", ") },
                }),
            }
        }
    }
}

/// What CUDA may use, as far as it can be told: without a restriction everything, with UUIDs those, and with numbers only
/// where there is but one GPU, since CUDA counts in another order than the driver.
fn visible_by_uuid(visible: Option<&str>, there: Vec<String>) -> Vec<String> {
    let Some(visible) = visible else { return there };
    let parts: Vec<&str> =
        visible.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.iter().all(|part| part.starts_with("GPU-")) {
        // CUDA takes the beginning of a UUID for the whole.
        return there
            .into_iter()
            .filter(|uuid| parts.iter().any(|part| uuid.starts_with(part)))
            .collect();
    }
    if parts == ["0"] && there.len() == 1 { there } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there() -> Vec<String> {
        vec!["GPU-aa11".into(), "GPU-bb22".into()]
    }

    fn automatic(visible: Option<&str>) -> Vec<String> {
        resolve(&GpuChoice::Auto, there(), visible, true).expect("no error")
    }

    #[test]
    fn a_gpu_that_is_not_there_is_refused_with_those_that_are() {
        let choice: GpuChoice = "GPU-cc33".parse().expect("a UUID");
        let words = resolve(&choice, there(), None, false).expect_err("not there").to_string();
        assert!(words.contains("GPU-cc33") && words.contains("GPU-bb22"), "{words}");
    }

    #[test]
    fn a_number_is_no_choice() {
        assert!("0".parse::<GpuChoice>().expect_err("a number").to_string().contains("UUID"));
    }

    #[test]
    fn visible_devices_by_uuid_are_those_and_by_number_nobody_knows() {
        assert_eq!(automatic(None), there());
        assert_eq!(automatic(Some("GPU-bb")), ["GPU-bb22"]);
        assert_eq!(automatic(Some("1")), [""; 0]);
        assert_eq!(automatic(Some("")), [""; 0]);
        let one = resolve(&GpuChoice::Auto, vec!["GPU-aa11".into()], Some("0"), true);
        assert_eq!(one.expect("no error"), ["GPU-aa11"]);
    }

    #[test]
    fn a_target_outside_this_process_is_watched_only_where_gpus_are_named() {
        assert_eq!(resolve(&GpuChoice::Auto, there(), None, false).expect("no error"), [""; 0]);
        assert_eq!(resolve(&GpuChoice::All, there(), None, false).expect("no error"), there());
    }

    #[test]
    fn a_choice_is_written_as_it_is_read() {
        for text in ["auto", "all", "none", "GPU-aa11,GPU-bb22"] {
            assert_eq!(text.parse::<GpuChoice>().expect("a choice").to_string(), text);
        }
    }
}
