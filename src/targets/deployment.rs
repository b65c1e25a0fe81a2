//! Facts about the model and the machine behind a target, as many as a roofline needs.

use crate::specs::{MachineFigures, MachineOrigin, ModelFigures, RooflineFacts};

/// A model and the machine that it runs on.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// The model's figures.
    pub model: ModelFigures,
    /// What it runs on.
    pub placement: Placement,
    /// Devices that share the work of each layer.
    pub tensor_parallel: u32,
    /// Stages that the layers are split into.
    pub pipeline_parallel: u32,
}

/// What a model runs on.
#[derive(Debug, Clone, PartialEq)]
pub enum Placement {
    /// The CPU of this host; its bandwidth is known only if the user gives it.
    Host,
    /// GPUs; `None` where the target does not give their type.
    Gpus(Option<MachineFigures>),
}

impl Deployment {
    /// Adds the machine's figures: those of the user, else of the target, else of the GPUs that were `seen`. `None` if there are
    /// none.
    pub fn on(
        self,
        gpu: Option<&MachineFigures>,
        host_gb_per_s: Option<f64>,
        seen: Option<(MachineFigures, MachineOrigin)>,
    ) -> Option<RooflineFacts> {
        let (machine, from) = match self.placement {
            Placement::Host => (MachineFigures::host(host_gb_per_s?), MachineOrigin::User),
            Placement::Gpus(known) => gpu
                .map(|given| (given.clone(), MachineOrigin::User))
                .or(known.map(|figures| (figures, MachineOrigin::Target)))
                .or(seen)?,
        };
        Some(RooflineFacts {
            model: self.model,
            machine,
            machine_from: Some(from),
            measured: None,
            tensor_parallel: self.tensor_parallel,
            pipeline_parallel: self.pipeline_parallel,
        })
    }
}
