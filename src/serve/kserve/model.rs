//! Served models and their tensors, named as in TensorRT-LLM's Triton repository.

use crate::serve::service::Service;
use crate::targets::triton::kserve::{
    EnsembleStep, Ensembling, ModelConfig, ModelConfigInput, ModelConfigOutput, ModelMetadata,
    ModelParameter, ModelParameterEntry, TensorMapEntry, TensorMetadata, TransactionPolicy,
    data_type,
};
use crate::targets::triton::tensor_roles::{PERF_OUTPUTS, Role};

/// The version that both models have.
pub const VERSION: &str = "1";

/// One engine, spoken to in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// `tensorrt_llm`: token ids in and out.
    Ids,
    /// `ensemble`: text in and out.
    Text,
}

/// One input.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    /// Its name.
    pub name: &'static str,
    /// KServe's word for its type.
    pub datatype: &'static str,
    /// What it is for; `None` where its value is only checked, or makes no difference here.
    pub role: Option<Role>,
    /// It must be there.
    pub required: bool,
}

const fn required(name: &'static str, datatype: &'static str, role: Role) -> Input {
    Input { name, datatype, role: Some(role), required: true }
}

const fn optional(name: &'static str, datatype: &'static str, role: Role) -> Input {
    Input { name, datatype, role: Some(role), required: false }
}

/// Both of TensorRT-LLM's spellings are known: `random_seed` and `min_length` are the older ones.
const IDS_INPUTS: [Input; 17] = [
    required("input_ids", "INT32", Role::PromptIds),
    required("input_lengths", "INT32", Role::PromptLength),
    required("request_output_len", "INT32", Role::MaxTokens),
    optional("end_id", "INT32", Role::EndId),
    optional("pad_id", "INT32", Role::PadId),
    optional("streaming", "BOOL", Role::Streaming),
    optional("min_tokens", "INT32", Role::MinTokens),
    optional("min_length", "INT32", Role::MinTokens),
    optional("temperature", "FP32", Role::Temperature),
    optional("runtime_top_k", "INT32", Role::TopK),
    optional("runtime_top_p", "FP32", Role::TopP),
    optional("seed", "UINT64", Role::Seed),
    optional("random_seed", "UINT64", Role::Seed),
    optional("exclude_input_in_output", "BOOL", Role::ExcludeInput),
    optional("return_perf_metrics", "BOOL", Role::PerfMetrics),
    optional("stop", "BOOL", Role::Stop),
    Input { name: BEAM_WIDTH, datatype: "INT32", role: None, required: false },
];

/// Only one beam is searched here.
pub const BEAM_WIDTH: &str = "beam_width";

const TEXT_INPUTS: [Input; 15] = [
    required("text_input", "BYTES", Role::PromptText),
    required("max_tokens", "INT32", Role::MaxTokens),
    optional("end_id", "INT32", Role::EndId),
    optional("pad_id", "INT32", Role::PadId),
    optional("stream", "BOOL", Role::Streaming),
    optional("min_tokens", "INT32", Role::MinTokens),
    optional("min_length", "INT32", Role::MinTokens),
    optional("temperature", "FP32", Role::Temperature),
    optional("top_k", "INT32", Role::TopK),
    optional("top_p", "FP32", Role::TopP),
    optional("seed", "UINT64", Role::Seed),
    optional("random_seed", "UINT64", Role::Seed),
    optional("exclude_input_in_output", "BOOL", Role::ExcludeInput),
    optional("return_perf_metrics", "BOOL", Role::PerfMetrics),
    Input { name: BEAM_WIDTH, datatype: "INT32", role: None, required: false },
];

impl Model {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ids, Self::Text];

    /// The model of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ids => "tensorrt_llm",
            Self::Text => "ensemble",
        }
    }

    /// What it takes.
    pub const fn inputs(self) -> &'static [Input] {
        match self {
            Self::Ids => &IDS_INPUTS,
            Self::Text => &TEXT_INPUTS,
        }
    }

    /// What it gives beside the engine's stamps and counts, with the type and the rank of each.
    pub const fn outputs(self) -> &'static [(&'static str, &'static str, usize)] {
        match self {
            Self::Ids => &[("output_ids", "INT32", 3), ("sequence_length", "INT32", 2)],
            Self::Text => &[("text_output", "BYTES", 2)],
        }
    }

    const fn platform(self) -> &'static str {
        match self {
            Self::Ids => "tensorrtllm",
            Self::Text => "ensemble",
        }
    }

    /// The response of `ModelMetadata`.
    pub fn metadata(self) -> ModelMetadata {
        let tensor = |name: &str, datatype: &str, shape: Vec<i64>| TensorMetadata {
            name: name.to_owned(),
            datatype: datatype.to_owned(),
            shape,
        };
        let input = |input: &Input| {
            let length = if input.role == Some(Role::PromptIds) { -1 } else { 1 };
            tensor(input.name, input.datatype, vec![-1, length])
        };
        let output =
            |(name, datatype, rank): &(&str, &str, usize)| tensor(name, datatype, vec![-1; *rank]);
        let perf = |name: &&str| tensor(name, perf_type(name), vec![-1, 1]);
        ModelMetadata {
            name: self.name().to_owned(),
            versions: vec![VERSION.to_owned()],
            platform: self.platform().to_owned(),
            inputs: self.inputs().iter().map(input).collect(),
            outputs: self
                .outputs()
                .iter()
                .map(output)
                .chain(PERF_OUTPUTS.iter().map(perf))
                .collect(),
        }
    }

    /// The response of `ModelConfig`. The batch is the engine's, as in TensorRT-LLM's repository; a request holds one prompt.
    pub fn config(self, service: &Service) -> ModelConfig {
        let parameter = |key: &str, value: &str| ModelParameterEntry {
            key: key.to_owned(),
            value: Some(ModelParameter { string_value: value.to_owned() }),
        };
        let is_text = self == Self::Text;
        let word = |is_so: bool| if is_so { "true" } else { "false" };
        let mut parameters = vec![
            parameter("accumulate_tokens", "false"),
            parameter("bareflight_target", &service.info.name),
            parameter("bareflight_simulated", word(service.has_no_engine())),
            parameter("bareflight_dummy_weights", word(service.info.dummy_weights)),
        ];
        let vocabulary = service.info.limits.vocab_size;
        parameters.extend(vocabulary.map(|it| parameter("bareflight_vocab_size", &it.to_string())));
        let Tensors { input, output } = self.tensors();
        ModelConfig {
            name: self.name().to_owned(),
            platform: if is_text { self.platform().to_owned() } else { String::new() },
            max_batch_size: service.info.limits.max_batch_size.unwrap_or(1) as i32,
            input,
            output,
            parameters,
            ensemble_scheduling: is_text.then(ensembling),
            backend: if is_text { String::new() } else { self.platform().to_owned() },
            model_transaction_policy: Some(TransactionPolicy { decoupled: true }),
        }
    }

    /// Inputs and outputs as the configuration has them: without the batch dimension.
    fn tensors(self) -> Tensors {
        let metadata = self.metadata();
        let dims = |tensor: &TensorMetadata| tensor.shape.iter().skip(1).copied().collect();
        let required = self.inputs().iter().map(|input| input.required);
        let input =
            metadata.inputs.iter().zip(required).map(|(tensor, required)| ModelConfigInput {
                name: tensor.name.clone(),
                data_type: data_type(&tensor.datatype),
                dims: dims(tensor),
                optional: !required,
            });
        let output = metadata.outputs.iter().map(|tensor| ModelConfigOutput {
            name: tensor.name.clone(),
            data_type: data_type(&tensor.datatype),
            dims: dims(tensor),
        });
        Tensors { input: input.collect(), output: output.collect() }
    }
}

/// Tensors of a model's configuration.
struct Tensors {
    input: Vec<ModelConfigInput>,
    output: Vec<ModelConfigOutput>,
}

/// The ensemble's one step: the engine. The tokenizer's work is done around it, in this server.
fn ensembling() -> Ensembling {
    let entry =
        |key: &str, value: &str| TensorMapEntry { key: key.to_owned(), value: value.to_owned() };
    let same_role = |engine: &Input| {
        let of_text = TEXT_INPUTS.iter().find(|text| match engine.role {
            Some(Role::PromptIds) => text.role == Some(Role::PromptText),
            role => role.is_some() && text.role == role,
        });
        of_text.map(|text| entry(engine.name, text.name))
    };
    let perf = PERF_OUTPUTS.iter().map(|name| entry(name, name));
    Ensembling {
        step: vec![EnsembleStep {
            model_name: Model::Ids.name().to_owned(),
            model_version: -1,
            input_map: IDS_INPUTS.iter().filter_map(same_role).collect(),
            output_map: [entry("output_ids", "text_output")].into_iter().chain(perf).collect(),
        }],
    }
}

/// Stamps are wide, counts are not.
pub fn perf_type(name: &str) -> &'static str {
    if name.ends_with("_ns") { "INT64" } else { "INT32" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tensor_of_a_configuration_has_a_type_and_dimensions() {
        for model in Model::ALL {
            let Tensors { input, output } = model.tensors();
            assert!(input.iter().all(|it| it.data_type > 0 && !it.dims.is_empty()), "{input:?}");
            assert!(output.iter().all(|it| it.data_type > 0 && !it.dims.is_empty()), "{output:?}");
        }
    }

    #[test]
    fn the_step_of_the_ensemble_names_tensors_that_both_models_have() {
        let step = &ensembling().step[0];
        assert_eq!(step.model_name, "tensorrt_llm");
        let (engine, text) = (Model::Ids.tensors(), Model::Text.tensors());
        let required = engine.input.iter().filter(|input| !input.optional);
        let is_fed = |input: &ModelConfigInput| {
            input.name == "input_lengths" || step.input_map.iter().any(|it| it.key == input.name)
        };
        assert!(required.clone().all(is_fed), "{:?}", step.input_map);
        for entry in &step.input_map {
            assert!(text.input.iter().any(|input| input.name == entry.value), "{entry:?}");
        }
        for entry in &step.output_map {
            assert!(engine.output.iter().any(|output| output.name == entry.key), "{entry:?}");
            assert!(text.output.iter().any(|output| output.name == entry.value), "{entry:?}");
        }
    }
}
