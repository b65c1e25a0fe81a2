//! Model and machine figures of a roofline: parameters, bytes, bandwidth, arithmetic.

use serde::{Deserialize, Serialize};

/// A model as its weights lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ModelFigures {
    /// Every weight.
    pub parameters: f64,
    /// Weights that one token is multiplied with: without the input embedding, which is looked up, and with no more
    /// experts than a token uses.
    pub active_parameters: f64,
    /// Bytes of the weights that every step reads, whatever its batch: without the input embedding and without experts.
    pub weight_bytes: f64,
    /// Only in a mixture of experts.
    pub experts: Option<ExpertFigures>,
    /// Bytes of keys and values of one token, over all layers.
    pub kv_bytes_per_token: f64,
    /// Layers × query heads × head size: attention multiplies so many pairs, twice, for each token that it looks at.
    pub attention_width: f64,
    /// What matrices are multiplied in.
    pub arithmetic: Arithmetic,
}

/// The experts of a mixture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExpertFigures {
    /// In each layer.
    pub count: f64,
    /// That one token uses in each layer.
    pub chosen: f64,
    /// Bytes of one expert, over all layers.
    pub bytes_each: f64,
}

/// What matrices are multiplied in: a weight that is only stored in fewer bits is multiplied in more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arithmetic {
    /// 32-bit floats.
    Float32,
    /// 16-bit floats of either kind.
    Float16,
    /// 8-bit floats.
    Float8,
    /// 8-bit integers.
    Int8,
    /// 4-bit floats.
    Float4,
}

/// One GPU, or the host where the engine runs on its CPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineFigures {
    /// As shown, e.g. `H200 SXM`.
    pub name: String,
    /// Of its memory, in bytes per second.
    pub bandwidth_bytes_per_s: f64,
    /// Of its matrix units.
    pub peak: PeakFlops,
    /// Where the figures are from.
    pub source: String,
}

/// Dense multiplications and additions per second; `None` where the machine has no such unit, or no figure is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PeakFlops {
    /// In 16-bit floats.
    pub float16: Option<f64>,
    /// In 8-bit floats.
    pub float8: Option<f64>,
    /// In 8-bit integers.
    pub int8: Option<f64>,
    /// In 4-bit floats.
    pub float4: Option<f64>,
}

impl PeakFlops {
    /// The peak in one arithmetic.
    pub const fn of(&self, arithmetic: Arithmetic) -> Option<f64> {
        match arithmetic {
            Arithmetic::Float32 => None,
            Arithmetic::Float16 => self.float16,
            Arithmetic::Float8 => self.float8,
            Arithmetic::Int8 => self.int8,
            Arithmetic::Float4 => self.float4,
        }
    }

    /// The peak in one arithmetic, and nothing known of the others.
    pub fn only(arithmetic: Arithmetic, flops: f64) -> Self {
        let mut peak = Self::default();
        match arithmetic {
            Arithmetic::Float32 => {}
            Arithmetic::Float16 => peak.float16 = Some(flops),
            Arithmetic::Float8 => peak.float8 = Some(flops),
            Arithmetic::Int8 => peak.int8 = Some(flops),
            Arithmetic::Float4 => peak.float4 = Some(flops),
        }
        peak
    }
}

/// Source of the machine's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineOrigin {
    /// The user, with `--gpu` or `--memory-bandwidth-gbps`.
    User,
    /// The target itself, as a simulated profile does.
    Target,
    /// NVIDIA's management library, of the GPUs that are watched.
    Nvml,
    /// CUDA, of the GPUs that it shows to this process.
    Cuda,
}

impl MachineOrigin {
    /// To be read behind the name of the machine; empty where the user gave the name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::User | Self::Target => "",
            Self::Nvml => " (as NVML names it)",
            Self::Cuda => " (as CUDA names it)",
        }
    }
}

/// A model on machines of one kind: everything that a roofline needs beside the records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RooflineFacts {
    /// The model.
    pub model: ModelFigures,
    /// One of the machines.
    pub machine: MachineFigures,
    /// Source of the machine's name; `None` in records of versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_from: Option<MachineOrigin>,
    /// The same machine as it was measured; `None` where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<MachineFigures>,
    /// How many share the work of each layer.
    pub tensor_parallel: u32,
    /// Into how many stages the layers are cut.
    pub pipeline_parallel: u32,
}

impl RooflineFacts {
    /// The same model on the machine as it was measured.
    pub fn on_measured(&self) -> Option<Self> {
        let machine = self.measured.clone()?;
        Some(Self { machine, measured: None, ..self.clone() })
    }

    /// Machines in use.
    pub const fn machines(&self) -> u32 {
        self.tensor_parallel * self.pipeline_parallel
    }

    /// `H200 SXM`, or `2 × H200 SXM`.
    pub fn machine_description(&self) -> String {
        match self.machines() {
            1 => self.machine.name.clone(),
            machines => format!("{machines} × {}", self.machine.name),
        }
    }
}
