//! Figures of one GPU as they were measured on it, beside those of its datasheet.

use serde::{Deserialize, Serialize};

use crate::specs::figures::{MachineFigures, PeakFlops};

/// What one GPU was measured to do. What is absent could not be measured, and `missing` says why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MeasuredGpu {
    /// As the driver writes it: `GPU-…`.
    pub uuid: String,
    /// Its product name.
    pub name: String,
    /// When, in UTC.
    pub at: String,
    /// Version of the driver.
    pub driver: Option<String>,
    /// Bytes per second that its multiprocessors read from its memory.
    pub read_bytes_per_s: Option<f64>,
    /// Bytes per second of a copy within its memory; those read and those written count.
    pub copy_bytes_per_s: Option<f64>,
    /// Operations per second of a dense product in BF16.
    pub bfloat16_flops: Option<f64>,
    /// The same in FP8.
    pub float8_flops: Option<f64>,
    /// Bytes per second from memory of the host that is locked in place.
    pub from_host_bytes_per_s: Option<f64>,
    /// The same to the host.
    pub to_host_bytes_per_s: Option<f64>,
    /// To other GPUs.
    pub peers: Vec<MeasuredPeer>,
    /// Microseconds from one launch of an empty kernel to the next.
    pub launch_us: Option<f64>,
    /// The same where each is waited for.
    pub launch_and_wait_us: Option<f64>,
    /// Clock of the multiprocessors while they multiplied, in MHz; the middle of what was seen.
    pub sm_mhz: Option<u32>,
    /// What held clocks down meanwhile.
    pub throttled_by: Vec<String>,
    /// How long all of it took, in seconds.
    pub took_s: f64,
    /// What could not be measured, and why.
    pub missing: Vec<String>,
}

/// A way to another GPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasuredPeer {
    /// The other GPU.
    pub uuid: String,
    /// Bytes per second.
    pub bytes_per_s: f64,
    /// Without the host between.
    pub direct: bool,
}

impl MeasuredGpu {
    /// As a machine of a roofline; `None` where its memory was not measured.
    pub fn figures(&self) -> Option<MachineFigures> {
        Some(MachineFigures {
            name: self.name.clone(),
            bandwidth_bytes_per_s: self.read_bytes_per_s?,
            peak: PeakFlops {
                float16: self.bfloat16_flops,
                float8: self.float8_flops,
                ..PeakFlops::default()
            },
            source: format!("measured at {}", self.at),
        })
    }

    /// The least of several GPUs in each figure: what work that is shared evenly can count on. `None` of none.
    pub fn least(all: &[Self]) -> Option<MachineFigures> {
        let least = |of: &dyn Fn(&MachineFigures) -> Option<f64>, figures: &[MachineFigures]| {
            let found: Option<Vec<f64>> = figures.iter().map(of).collect();
            found?.into_iter().min_by(f64::total_cmp)
        };
        let figures: Vec<MachineFigures> = all.iter().map(Self::figures).collect::<Option<_>>()?;
        let first = figures.first()?;
        Some(MachineFigures {
            bandwidth_bytes_per_s: least(&|it| Some(it.bandwidth_bytes_per_s), &figures)?,
            peak: PeakFlops {
                float16: least(&|it| it.peak.float16, &figures),
                float8: least(&|it| it.peak.float8, &figures),
                ..PeakFlops::default()
            },
            ..first.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "the figures are passed on as they are")]

    use super::*;

    fn gpu(read: f64, bfloat16: f64, float8: Option<f64>) -> MeasuredGpu {
        MeasuredGpu {
            read_bytes_per_s: Some(read),
            bfloat16_flops: Some(bfloat16),
            float8_flops: float8,
            ..MeasuredGpu::default()
        }
    }

    #[test]
    fn several_gpus_are_as_good_as_the_least_of_them_in_each_figure() {
        let least = MeasuredGpu::least(&[gpu(4e12, 7e14, Some(1e15)), gpu(5e12, 6e14, Some(2e15))]);
        let least = least.expect("both were measured");
        assert_eq!(least.bandwidth_bytes_per_s, 4e12);
        assert_eq!((least.peak.float16, least.peak.float8), (Some(6e14), Some(1e15)));
    }

    #[test]
    fn what_one_of_them_lacks_is_not_known_of_them_together() {
        let least = MeasuredGpu::least(&[gpu(4e12, 7e14, Some(1e15)), gpu(5e12, 6e14, None)]);
        assert_eq!(least.expect("their memory was measured").peak.float8, None);
        let unread = MeasuredGpu { read_bytes_per_s: None, ..gpu(1.0, 1.0, None) };
        assert_eq!(MeasuredGpu::least(&[gpu(4e12, 7e14, None), unread]), None);
        assert_eq!(MeasuredGpu::least(&[]), None);
    }
}
