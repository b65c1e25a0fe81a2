//! GPU datasheet figures: memory bandwidth and dense arithmetic (datasheets print it sparse, twice as high).

use crate::specs::figures::{MachineFigures, PeakFlops};

struct Sheet {
    name: &'static str,
    /// What it is called elsewhere, as the driver does; compared without case, blanks and hyphens.
    aliases: &'static [&'static str],
    bandwidth_gb_per_s: f64,
    float16_tflops: f64,
    float8_tflops: Option<f64>,
    int8_tflops: f64,
    float4_tflops: Option<f64>,
    source: &'static str,
}

/// H200 NVL is left out: its arithmetic could not be found in a second place.
const SHEETS: [Sheet; 9] = [
    Sheet {
        name: "H200 SXM",
        aliases: &["H200"],
        bandwidth_gb_per_s: 4_800.0,
        float16_tflops: 989.0,
        float8_tflops: Some(1_979.0),
        int8_tflops: 1_979.0,
        float4_tflops: None,
        source: "NVIDIA H200 Tensor Core GPU datasheet, H200 SXM, dense",
    },
    Sheet {
        name: "H100 SXM",
        aliases: &["H100", "H100 80GB HBM3"],
        bandwidth_gb_per_s: 3_350.0,
        float16_tflops: 989.0,
        float8_tflops: Some(1_979.0),
        int8_tflops: 1_979.0,
        float4_tflops: None,
        source: "NVIDIA H100 Tensor Core GPU datasheet, H100 SXM, dense",
    },
    Sheet {
        name: "H100 NVL",
        aliases: &[],
        bandwidth_gb_per_s: 3_900.0,
        float16_tflops: 835.5,
        float8_tflops: Some(1_670.5),
        int8_tflops: 1_670.5,
        float4_tflops: None,
        source: "NVIDIA H100 Tensor Core GPU datasheet, H100 NVL, dense",
    },
    Sheet {
        name: "H100 PCIe",
        aliases: &[],
        bandwidth_gb_per_s: 2_000.0,
        float16_tflops: 756.0,
        float8_tflops: Some(1_513.0),
        int8_tflops: 1_513.0,
        float4_tflops: None,
        source: "NVIDIA H100 PCIe GPU product brief PB-11133 (bandwidth) and H100 datasheet, dense",
    },
    Sheet {
        name: "A100 80GB SXM",
        aliases: &["A100", "A100-SXM4-80GB"],
        bandwidth_gb_per_s: 2_039.0,
        float16_tflops: 312.0,
        float8_tflops: None,
        int8_tflops: 624.0,
        float4_tflops: None,
        source: "NVIDIA A100 Tensor Core GPU datasheet, 80 GB SXM, dense",
    },
    Sheet {
        name: "A100 40GB SXM",
        aliases: &["A100-SXM4-40GB"],
        bandwidth_gb_per_s: 1_555.0,
        float16_tflops: 312.0,
        float8_tflops: None,
        int8_tflops: 624.0,
        float4_tflops: None,
        source: "NVIDIA A100 Tensor Core GPU datasheet, 40 GB SXM, dense",
    },
    Sheet {
        name: "L40S",
        aliases: &[],
        bandwidth_gb_per_s: 864.0,
        float16_tflops: 362.05,
        float8_tflops: Some(733.0),
        int8_tflops: 733.0,
        float4_tflops: None,
        source: "NVIDIA L40S datasheet, dense",
    },
    Sheet {
        name: "L40",
        aliases: &[],
        bandwidth_gb_per_s: 864.0,
        float16_tflops: 181.05,
        float8_tflops: Some(362.0),
        int8_tflops: 362.0,
        float4_tflops: None,
        source: "NVIDIA L40 datasheet, dense",
    },
    Sheet {
        name: "B200",
        aliases: &["B200 SXM"],
        bandwidth_gb_per_s: 8_000.0,
        float16_tflops: 2_250.0,
        float8_tflops: Some(4_500.0),
        int8_tflops: 4_500.0,
        float4_tflops: Some(9_000.0),
        source: "NVIDIA DGX B200 datasheet, one of eight GPUs, dense",
    },
];

impl MachineFigures {
    /// A GPU by the name on its datasheet or by the driver's name for it, e.g. `h200`, `H100 NVL`, `NVIDIA A100-SXM4-80GB`.
    pub fn gpu(name: &str) -> Option<Self> {
        let wanted = plain(name);
        let sheet = SHEETS.iter().find(|sheet| {
            plain(sheet.name) == wanted || sheet.aliases.iter().any(|alias| plain(alias) == wanted)
        })?;
        let tera = |figure: f64| figure * 1e12;
        Some(Self {
            name: sheet.name.to_owned(),
            bandwidth_bytes_per_s: sheet.bandwidth_gb_per_s * 1e9,
            peak: PeakFlops {
                float16: Some(tera(sheet.float16_tflops)),
                float8: sheet.float8_tflops.map(tera),
                int8: Some(tera(sheet.int8_tflops)),
                float4: sheet.float4_tflops.map(tera),
            },
            source: sheet.source.to_owned(),
        })
    }

    /// Every name that [`Self::gpu`] knows, as on the datasheets.
    pub fn gpu_names() -> String {
        SHEETS.map(|sheet| sheet.name).join(", ")
    }

    /// The host's memory, with a bandwidth that the user has measured or looked up. Of its arithmetic nothing is known.
    pub fn host(bandwidth_gb_per_s: f64) -> Self {
        Self {
            name: "host memory".to_owned(),
            bandwidth_bytes_per_s: bandwidth_gb_per_s * 1e9,
            peak: PeakFlops::default(),
            source: "as given".to_owned(),
        }
    }
}

fn plain(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let without_maker = lower.trim().strip_prefix("nvidia").unwrap_or(&lower);
    without_maker.chars().filter(char::is_ascii_alphanumeric).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_known_by_its_own_name_and_by_the_drivers() {
        let name = |given: &str| MachineFigures::gpu(given).map(|gpu| gpu.name);
        assert_eq!(name("h200").as_deref(), Some("H200 SXM"));
        assert_eq!(name("NVIDIA H200").as_deref(), Some("H200 SXM"));
        assert_eq!(name("NVIDIA H100 80GB HBM3").as_deref(), Some("H100 SXM"));
        assert_eq!(name("NVIDIA A100-SXM4-80GB").as_deref(), Some("A100 80GB SXM"));
        assert_eq!(name("h100-nvl").as_deref(), Some("H100 NVL"));
    }

    #[test]
    fn a_gpu_whose_figures_are_not_known_is_not_taken_for_a_sibling() {
        assert_eq!(MachineFigures::gpu("NVIDIA H200 NVL"), None);
        assert_eq!(MachineFigures::gpu("H20"), None);
        assert_eq!(MachineFigures::gpu(""), None);
    }

    #[test]
    fn no_name_means_two_gpus() {
        let mut seen = std::collections::BTreeSet::new();
        for sheet in &SHEETS {
            for name in std::iter::once(&sheet.name).chain(sheet.aliases) {
                assert!(seen.insert(plain(name)), "{name}");
            }
        }
    }
}
