//! Facts about the model and the machine behind a target, as many as a roofline needs.

use crate::specs::{MachineFigures, MachineOrigin, ModelFigures, RooflineFacts};

/// A model where it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// The model in figures.
    pub model: ModelFigures,
    /// What it runs on.
    pub placement: Placement,
    /// How many machines share the work of each layer.
    pub tensor_parallel: u32,
    /// Into how many stages the layers are cut.
    pub pipeline_parallel: u32,
}

/// What a model runs on.
#[derive(Debug, Clone, PartialEq)]
pub enum Placement {
    /// The CPU of this host; its bandwidth is known to the user at best.
    Host,
    /// GPUs; `None` where the target does not say of which type.
    Gpus(Option<MachineFigures>),
}

impl Deployment {
    /// With the figures of the machine: what the user said, else what the target knows, else the GPUs that were `seen`.
    /// `None` where nobody knows.
    pub fn on(
        self,
        gpu: Option<&MachineFigures>,
        host_gb_per_s: Option<f64>,
        seen: Option<(MachineFigures, MachineOrigin)>,
    ) -> Option<RooflineFacts> {
        let (machine, from) = match self.placement {
            Placement::Host => (MachineFigures::host(host_gb_per_s?), MachineOrigin::User),
            Placement::Gpus(known) => gpu
                .map(|said| (said.clone(), MachineOrigin::User))
                .or(known.map(|figures| (figures, MachineOrigin::Target)))
                .or(seen)?,
        };
        Some(RooflineFacts {
            model: self.model,
            machine,
            machine_from: Some(from),
            tensor_parallel: self.tensor_parallel,
            pipeline_parallel: self.pipeline_parallel,
        })
    }
}
