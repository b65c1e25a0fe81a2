//! Tensors that a model takes and gives, chosen by name from its metadata, never assumed.

use crate::targets::triton::datatype::Datatype;
use crate::targets::triton::metadata::{ModelFacts, TensorFacts};
use crate::targets::triton::tensor_roles::{NAMES, PERF_OUTPUTS, Role};

/// An input that will be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its purpose.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// Its type.
    pub datatype: Datatype,
    /// Its dimensions, the batch included.
    pub rank: usize,
    /// It must be sent.
    pub required: bool,
}

/// RequestTemplate of the output tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputAs {
    /// `output_ids`, with `sequence_length`.
    Ids,
    /// `text_output`.
    Text,
}

/// Tensors that are sent and requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelIo {
    /// The model.
    pub model: String,
    /// Inputs that may be sent.
    pub inputs: Vec<Input>,
    /// RequestTemplate of the output tokens.
    pub output: OutputAs,
    /// Requested outputs; without a list Triton sends a dozen others.
    pub requested: Vec<String>,
    /// One request may have several responses.
    pub decoupled: bool,
    /// Responses are known to hold all text so far (`Some(true)`), or only what is new (`Some(false)`).
    pub accumulates: Option<bool>,
}

impl ModelIo {
    /// Chooses tensors for a model. `filled` are inputs that the user fills, `engine_stamps` asks for the engine's.
    ///
    /// # Errors
    /// When the model is no known kind of language model; the message names what is missing.
    pub fn choose<'a>(
        facts: &ModelFacts,
        filled: impl Iterator<Item = &'a str> + Clone,
        engine_stamps: bool,
    ) -> Result<Self, String> {
        let model = &facts.name;
        let output = output_of(facts)?;
        let mut inputs = Vec::new();
        for (role, names) in NAMES {
            let Some(tensor) = first_named(&facts.inputs, names) else { continue };
            if filled.clone().any(|name| name == tensor.name) {
                continue;
            }
            let datatype = Datatype::named(&tensor.datatype).ok_or_else(|| {
                format!(
                    "input `{}` of model `{model}` has the type {}, which is not known for it",
                    tensor.name, tensor.datatype
                )
            })?;
            inputs.push(Input {
                role: *role,
                name: tensor.name.clone(),
                datatype,
                rank: tensor.shape.len().max(1),
                required: !tensor.optional,
            });
        }
        let mut model_io = Self {
            model: model.clone(),
            inputs,
            output,
            requested: Vec::new(),
            decoupled: facts.decoupled,
            accumulates: accumulates(facts),
        };
        model_io.keep_one_prompt();
        model_io.check(facts, filled)?;
        model_io.request_outputs(facts, engine_stamps);
        Ok(model_io)
    }

    /// The input of that role, if the model has one.
    pub fn input(&self, role: Role) -> Option<&Input> {
        self.inputs.iter().find(|input| input.role == role)
    }

    /// Whether the model has an input of that role.
    pub fn has(&self, role: Role) -> bool {
        self.input(role).is_some()
    }

    /// Whether end tokens can be ignored.
    pub fn can_ignore_eos(&self) -> bool {
        [Role::EndId, Role::IgnoreEos, Role::SamplingJson, Role::MinTokens]
            .into_iter()
            .any(|role| self.has(role))
            // A bare engine model without an end token in its request does not stop at one.
            || self.has(Role::PromptIds)
    }

    fn keep_one_prompt(&mut self) {
        if self.has(Role::PromptIds) {
            self.inputs.retain(|input| input.role != Role::PromptText);
        }
    }

    fn check<'a>(
        &self,
        facts: &ModelFacts,
        mut filled: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), String> {
        let model = &self.model;
        if !self.has(Role::PromptIds) && !self.has(Role::PromptText) {
            let names = list(&facts.inputs);
            return Err(format!(
                "model `{model}` takes neither `input_ids` nor `text_input`; it takes {names}"
            ));
        }
        if !self.has(Role::MaxTokens) && !self.has(Role::SamplingJson) {
            return Err(format!(
                "model `{model}` has no input for the number of tokens to generate"
            ));
        }
        for tensor in facts.inputs.iter().filter(|tensor| !tensor.optional) {
            let known = self.inputs.iter().any(|input| input.name == tensor.name);
            if !known && !filled.any(|name| name == tensor.name) && tensor.name != "text_input" {
                return Err(format!(
                    "model `{model}` requires the input `{}` ({}), which has no known meaning: set it with an extra input",
                    tensor.name, tensor.datatype
                ));
            }
        }
        Ok(())
    }

    fn request_outputs(&mut self, facts: &ModelFacts, engine_stamps: bool) {
        let gives = |name: &str| facts.outputs.iter().any(|tensor| tensor.name == name);
        let mut names: Vec<&str> = match self.output {
            OutputAs::Ids => vec!["output_ids", "sequence_length"],
            OutputAs::Text => vec!["text_output"],
        };
        names.retain(|name| gives(name));
        let counts = self.output == OutputAs::Text && gives("num_output_tokens");
        self.keep_if(Role::CountTokens, counts);
        if self.has(Role::CountTokens) {
            names.push("num_output_tokens");
        }
        self.keep_if(Role::FinishReason, gives("finish_reason"));
        if self.has(Role::FinishReason) {
            names.push("finish_reason");
        }
        self.keep_if(Role::PerfMetrics, engine_stamps && gives(PERF_OUTPUTS[0]));
        if self.has(Role::PerfMetrics) {
            names.extend(PERF_OUTPUTS.into_iter().filter(|name| gives(name)));
        }
        self.requested = names.into_iter().map(str::to_owned).collect();
    }

    fn keep_if(&mut self, role: Role, keep: bool) {
        if !keep {
            self.inputs.retain(|input| input.role != role || input.required);
        }
    }
}

fn output_of(facts: &ModelFacts) -> Result<OutputAs, String> {
    let gives = |name: &str| facts.outputs.iter().any(|tensor| tensor.name == name);
    if gives("output_ids") {
        Ok(OutputAs::Ids)
    } else if gives("text_output") {
        Ok(OutputAs::Text)
    } else {
        let (model, names) = (&facts.name, list(&facts.outputs));
        Err(format!(
            "model `{model}` gives neither `output_ids` nor `text_output`; it gives {names}"
        ))
    }
}

/// The declared value wins; models of the LLM API send all text so far.
fn accumulates(facts: &ModelFacts) -> Option<bool> {
    let llm_api = facts.inputs.iter().any(|tensor| tensor.name.starts_with("sampling_param_"));
    facts.accumulates.or(llm_api.then_some(true))
}

fn first_named<'a>(tensors: &'a [TensorFacts], names: &[&str]) -> Option<&'a TensorFacts> {
    names.iter().find_map(|name| tensors.iter().find(|tensor| tensor.name == *name))
}

fn list(tensors: &[TensorFacts]) -> String {
    let names: Vec<_> = tensors.iter().map(|tensor| format!("`{}`", tensor.name)).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Facts of a model whose tensors are given as `name TYPE rank`, with a `!` where it is required.
    pub(in crate::targets::triton) fn facts(inputs: &[&str], outputs: &[&str]) -> ModelFacts {
        let tensor = |text: &&str| {
            let words: Vec<_> = text.split(' ').collect();
            TensorFacts {
                name: words[0].trim_end_matches('!').to_owned(),
                datatype: words[1].to_owned(),
                shape: vec![-1; words[2].parse().unwrap()],
                optional: !words[0].ends_with('!'),
            }
        };
        ModelFacts {
            name: "m".into(),
            inputs: inputs.iter().map(tensor).collect(),
            outputs: outputs.iter().map(tensor).collect(),
            max_batch_size: 8,
            decoupled: true,
            accumulates: None,
            runs_on: "python".into(),
            vocab_size: None,
            simulated: false,
            dummy_weights: false,
        }
    }

    fn choose(facts: &ModelFacts) -> Result<ModelIo, String> {
        ModelIo::choose(facts, std::iter::empty(), true)
    }

    #[test]
    fn a_model_without_a_prompt_is_refused_and_its_inputs_are_named() {
        let error = choose(&facts(&["QUERY! BYTES 2"], &["text_output BYTES 2"])).unwrap_err();
        assert!(
            error.contains("neither `input_ids` nor `text_input`; it takes `QUERY`"),
            "{error}"
        );
    }

    #[test]
    fn a_model_without_tokens_is_refused_and_its_outputs_are_named() {
        let error = choose(&facts(&["text_input! BYTES 2"], &["OUTPUT BYTES 2"])).unwrap_err();
        assert!(error.contains("it gives `OUTPUT`"), "{error}");
    }

    #[test]
    fn a_required_input_of_unknown_meaning_is_named_unless_the_user_fills_it() {
        let facts = facts(
            &["text_input! BYTES 2", "max_tokens! INT32 2", "image! UINT8 4"],
            &["text_output BYTES 2"],
        );
        assert!(choose(&facts).unwrap_err().contains("requires the input `image` (UINT8)"));
        assert!(ModelIo::choose(&facts, ["image"].into_iter(), true).is_ok());
    }

    #[test]
    fn a_known_name_with_an_unknown_type_is_refused() {
        let facts = facts(
            &["input_ids! INT32 2", "request_output_len! INT32 2", "temperature FP16 2"],
            &["output_ids INT32 3"],
        );
        assert!(
            choose(&facts).unwrap_err().contains("`temperature` of model `m` has the type FP16")
        );
    }

    #[test]
    fn old_and_new_names_of_one_role_are_both_found() {
        for (seed, min) in [("random_seed", "min_length"), ("seed", "min_tokens")] {
            let (seed_input, min_input) = (format!("{seed} UINT64 2"), format!("{min} INT32 2"));
            let facts = facts(
                &[
                    "input_ids! INT32 2",
                    "input_lengths! INT32 2",
                    "request_output_len! INT32 2",
                    &seed_input,
                    &min_input,
                ],
                &["output_ids INT32 3", "sequence_length INT32 2", "cum_log_probs FP32 2"],
            );
            let model_io = choose(&facts).unwrap();
            assert_eq!(model_io.input(Role::Seed).unwrap().name, seed);
            assert_eq!(model_io.input(Role::MinTokens).unwrap().name, min);
            assert_eq!(model_io.requested, ["output_ids", "sequence_length"]);
        }
    }

    #[test]
    fn stamps_and_counts_are_asked_for_only_where_the_model_gives_them() {
        let inputs = [
            "text_input! BYTES 2",
            "max_tokens! INT32 2",
            "return_perf_metrics BOOL 2",
            "return_num_output_tokens BOOL 2",
        ];
        let without = choose(&facts(&inputs, &["text_output BYTES 2"])).unwrap();
        assert!(!without.has(Role::PerfMetrics) && !without.has(Role::CountTokens));
        let with = choose(&facts(
            &inputs,
            &["text_output BYTES 2", "num_output_tokens INT32 2", "arrival_time_ns INT64 2"],
        ))
        .unwrap();
        assert!(with.has(Role::PerfMetrics) && with.has(Role::CountTokens));
        assert_eq!(with.requested, ["text_output", "num_output_tokens", "arrival_time_ns"]);
    }

    #[test]
    fn a_model_of_the_llm_api_is_known_to_accumulate() {
        let facts = facts(
            &["text_input! BYTES 1", "sampling_param_max_tokens INT32 1", "streaming BOOL 1"],
            &["text_output BYTES 1"],
        );
        let model_io = choose(&facts).unwrap();
        assert_eq!(model_io.accumulates, Some(true));
        assert_eq!(model_io.input(Role::MaxTokens).unwrap().rank, 1);
    }

    #[test]
    fn a_vllm_model_takes_its_lengths_in_one_json_text() {
        let facts = facts(
            &[
                "text_input! BYTES 1",
                "stream BOOL 1",
                "sampling_parameters BYTES 1",
                "exclude_input_in_output BOOL 1",
            ],
            &["text_output BYTES 1"],
        );
        let model_io = choose(&facts).unwrap();
        assert!(model_io.has(Role::SamplingJson) && model_io.can_ignore_eos());
    }
}
