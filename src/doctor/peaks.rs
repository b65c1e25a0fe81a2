//! Lines about what each GPU was measured to do, beside its datasheet.

use crate::doctor::check_result::{Area, Check, CheckResult};
use crate::observe::gpu::peaks::PeaksError;
use crate::specs::{MachineFigures, MeasuredGpu};

/// A GPU that reads less than this share of its datasheet's bandwidth is not as it should be.
const LEAST_BANDWIDTH: f64 = 0.7;
/// The same for products, whose clocks fall at the power cap on any GPU.
const LEAST_ARITHMETIC: f64 = 0.45;

/// What to look at where a GPU is slow.
const REMEDY: &str =
    "nvidia-smi -q -d CLOCK,PERFORMANCE,POWER,PIDS  (and look for other processes on it)";

/// One line for each GPU, and where figures were not kept, one about that.
pub fn check_results(
    measured: &Result<Vec<MeasuredGpu>, PeaksError>,
    not_kept: Option<&str>,
) -> Vec<CheckResult> {
    let check = Check {
        area: Area::Gpu,
        id: "probe",
        why: "a roofline holds a run against what the GPU can do; a GPU that is held down makes every figure worse",
    };
    let all = match measured {
        Ok(all) => all,
        Err(error) => return vec![check.fail(error.to_string(), "nvidia-smi -L")],
    };
    let mut lines: Vec<CheckResult> = all.iter().map(|gpu| of_one(check, gpu)).collect();
    if let Some(why) = not_kept {
        let remedy = "export XDG_CACHE_HOME=/a/folder/that/is/writable";
        lines.push(check.warn(format!("rooflines will not show these figures: {why}"), remedy));
    }
    lines
}

fn of_one(check: Check, gpu: &MeasuredGpu) -> CheckResult {
    let sheet = MachineFigures::gpu(&gpu.name);
    let sentence =
        format!("{} ({}): {}", gpu.name, gpu.uuid, parts(gpu, sheet.as_ref()).join(", "));
    let nothing = gpu.read_bytes_per_s.is_none() && gpu.bfloat16_flops.is_none();
    let slow = sheet.is_some_and(|sheet| {
        let below = |measured: Option<f64>, peak: Option<f64>, least: f64| {
            measured.zip(peak).is_some_and(|(measured, peak)| measured < least * peak)
        };
        below(gpu.read_bytes_per_s, Some(sheet.bandwidth_bytes_per_s), LEAST_BANDWIDTH)
            || below(gpu.bfloat16_flops, sheet.peak.float16, LEAST_ARITHMETIC)
    });
    if nothing {
        check.fail(sentence, REMEDY)
    } else if slow {
        check.warn(format!("{sentence}; far below the datasheet"), REMEDY)
    } else {
        check.pass(sentence)
    }
}

/// Each figure that is there, with its share of the datasheet's, and what is missing.
fn parts(gpu: &MeasuredGpu, sheet: Option<&MachineFigures>) -> Vec<String> {
    let bandwidth = sheet.map(|sheet| sheet.bandwidth_bytes_per_s);
    let peak = sheet.map(|sheet| sheet.peak).unwrap_or_default();
    let bytes = |name: &str, value: Option<f64>, of: Option<f64>| {
        value.map(|it| format!("{name} {:.0} GB/s{}", it / 1e9, share(it, of)))
    };
    let flops = |name: &str, value: Option<f64>, of: Option<f64>| {
        value.map(|it| format!("{name} {:.0} TFLOP/s{}", it / 1e12, share(it, of)))
    };
    let time = |name: &str, value: Option<f64>| value.map(|us| format!("{name} {us:.1} µs"));
    let figures = [
        bytes("reads", gpu.read_bytes_per_s, bandwidth),
        bytes("copies", gpu.copy_bytes_per_s, bandwidth),
        flops("BF16", gpu.bfloat16_flops, peak.float16),
        flops("FP8", gpu.float8_flops, peak.float8),
        bytes("from the host", gpu.from_host_bytes_per_s, None),
        bytes("to the host", gpu.to_host_bytes_per_s, None),
        time("a launch", gpu.launch_us),
        time("and waiting for it", gpu.launch_and_wait_us),
        gpu.sm_mhz.map(|mhz| format!("{mhz} MHz while it multiplied")),
    ];
    let peers = gpu.peers.iter().map(|peer| {
        let way = if peer.direct { "" } else { " through the host" };
        format!("to {}{way} {:.0} GB/s", peer.uuid, peer.bytes_per_s / 1e9)
    });
    let held = (!gpu.throttled_by.is_empty())
        .then(|| format!("held down by {}", gpu.throttled_by.join(" and ")));
    let missing = gpu.missing.iter().map(|what| format!("not measured: {what}"));
    figures.into_iter().flatten().chain(peers).chain(held).chain(missing).collect()
}

fn share(measured: f64, of: Option<f64>) -> String {
    of.map_or_else(String::new, |of| format!(" ({:.0} % of the datasheet)", 100.0 * measured / of))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check_result::Status;
    use crate::specs::MeasuredPeer;

    fn h200() -> MeasuredGpu {
        MeasuredGpu {
            uuid: "GPU-1".into(),
            name: "NVIDIA H200".into(),
            read_bytes_per_s: Some(4.32e12),
            bfloat16_flops: Some(7e14),
            launch_us: Some(2.04),
            sm_mhz: Some(1_500),
            ..MeasuredGpu::default()
        }
    }

    #[test]
    fn each_figure_stands_beside_its_share_of_the_datasheet() {
        let peer = MeasuredPeer { uuid: "GPU-2".into(), bytes_per_s: 4e11, direct: true };
        let gpu = MeasuredGpu {
            peers: vec![peer],
            throttled_by: vec!["the power cap".into()],
            missing: vec!["FP8: no cuBLASLt".into()],
            ..h200()
        };
        let found = check_results(&Ok(vec![gpu]), None);
        assert_eq!(found[0].status, Status::Pass);
        assert_eq!(
            found[0].sentence,
            "NVIDIA H200 (GPU-1): reads 4320 GB/s (90 % of the datasheet), \
             BF16 700 TFLOP/s (71 % of the datasheet), a launch 2.0 µs, 1500 MHz while it multiplied, \
             to GPU-2 400 GB/s, held down by the power cap, not measured: FP8: no cuBLASLt"
        );
    }

    #[test]
    fn a_gpu_that_is_far_below_its_datasheet_is_warned_of() {
        let slow = MeasuredGpu { read_bytes_per_s: Some(2e12), ..h200() };
        assert_eq!(check_results(&Ok(vec![slow]), None)[0].status, Status::Warn);
        let throttled = MeasuredGpu { bfloat16_flops: Some(3e14), ..h200() };
        assert_eq!(check_results(&Ok(vec![throttled]), None)[0].status, Status::Warn);
        let unknown = MeasuredGpu { name: "a GPU of next year".into(), ..h200() };
        assert_eq!(check_results(&Ok(vec![unknown]), None)[0].status, Status::Pass);
    }

    #[test]
    fn a_gpu_that_does_nothing_is_a_fault_and_so_is_no_gpu() {
        let dead = MeasuredGpu { read_bytes_per_s: None, bfloat16_flops: None, ..h200() };
        assert_eq!(check_results(&Ok(vec![dead]), None)[0].status, Status::Fail);
        assert_eq!(check_results(&Err(PeaksError::NoGpu), None)[0].status, Status::Fail);
    }

    #[test]
    fn figures_that_could_not_be_kept_are_warned_of() {
        let found = check_results(&Ok(vec![h200()]), Some("no room"));
        assert_eq!(found[1].status, Status::Warn);
        assert!(found[1].sentence.contains("no room"));
    }
}
