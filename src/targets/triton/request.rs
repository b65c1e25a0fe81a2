//! Requests to a Triton model: the value of each input, written as tensors or as JSON.

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};

use crate::load::plan::Shot;
use crate::request::RequestId;
use crate::request::spec::RequestSpec;
use crate::request::{Failure, FailureKind};
use crate::targets::triton::datatype::Value;
use crate::targets::triton::extra_inputs::{extra_tensor, parameter};
use crate::targets::triton::kserve::{
    Choice, ENABLE_EMPTY_FINAL, InputTensor, ModelInferRequest, ParameterEntry, RequestedOutput,
};
use crate::targets::triton::metadata::ModelFacts;
use crate::targets::triton::model_io::{Input, ModelIo};
use crate::targets::triton::options::AskOptions;
use crate::targets::triton::tensor_roles::Role;

/// Template of all requests of a session.
#[derive(Debug, Clone)]
pub struct RequestTemplate {
    model_io: ModelIo,
    version: String,
    end_id: Option<i32>,
    pad_id: Option<i32>,
    extra_tensors: Vec<(InputTensor, Bytes)>,
    extra_json: Map<String, Json>,
    parameters: Vec<ParameterEntry>,
    extra_parameters: Map<String, Json>,
    outputs: Vec<RequestedOutput>,
}

impl RequestTemplate {
    /// The template for one model with this metadata.
    ///
    /// # Errors
    /// When an extra input or parameter cannot be encoded; the message names it.
    pub fn new(
        model_io: ModelIo,
        facts: &ModelFacts,
        version: &str,
        options: &AskOptions,
    ) -> Result<Self, String> {
        let mut extra_tensors = Vec::new();
        for (name, value) in &options.extra_inputs {
            extra_tensors.push(extra_tensor(name, value, facts)?);
        }
        let mut parameters = vec![ParameterEntry::new(ENABLE_EMPTY_FINAL, Choice::Bool(true))];
        for (name, value) in &options.extra_parameters {
            parameters.push(ParameterEntry::new(name, parameter(name, value)?));
        }
        let outputs =
            model_io.requested.iter().map(|name| RequestedOutput { name: name.clone() }).collect();
        Ok(Self {
            model_io,
            version: version.to_owned(),
            end_id: options.end_id,
            pad_id: options.pad_id,
            extra_tensors,
            extra_json: options.extra_inputs.clone(),
            parameters,
            extra_parameters: options.extra_parameters.clone(),
            outputs,
        })
    }

    /// The tensors in use.
    pub fn model_io(&self) -> &ModelIo {
        &self.model_io
    }

    /// The request as a gRPC message.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] when the model cannot take what the shot asks.
    pub fn message(&self, shot: &Shot) -> Result<ModelInferRequest, Failure> {
        let mut message = self.empty_message(shot.id);
        let sampling = self.sampling_json(&shot.request);
        for input in &self.model_io.inputs {
            if let Some(value) = self.value(input, &shot.request, &sampling)? {
                push(&mut message, input, &value)?;
            }
        }
        for (head, raw) in &self.extra_tensors {
            message.inputs.push(head.clone());
            message.raw_input_contents.push(raw.clone());
        }
        Ok(message)
    }

    /// Stop request for a request that shares its stream with others; `None` where the model has no `stop` input.
    pub fn stop_message(&self, id: RequestId) -> Option<ModelInferRequest> {
        self.model_io.input(Role::Stop)?;
        let mut message = self.empty_message(id);
        for input in &self.model_io.inputs {
            let value = match input.role {
                Role::PromptIds => Value::Ids(&[0]),
                Role::PromptLength | Role::MaxTokens => Value::Whole(1),
                Role::Stop => Value::Flag(true),
                _ => continue,
            };
            push(&mut message, input, &value).ok()?;
        }
        Some(message)
    }

    /// The request as the body of Triton's generate endpoints.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] when the model cannot take what the shot asks.
    pub fn json(&self, shot: &Shot) -> Result<Bytes, Failure> {
        let sampling = self.sampling_json(&shot.request);
        let mut body = Map::new();
        body.insert("id".into(), json!(shot.id.0.to_string()));
        for input in &self.model_io.inputs {
            if let Some(value) = self.value(input, &shot.request, &sampling)? {
                body.insert(input.name.clone(), value.json());
            }
        }
        body.extend(self.extra_json.clone());
        body.extend(self.extra_parameters.clone());
        Ok(Json::Object(body).to_string().into())
    }

    fn empty_message(&self, id: RequestId) -> ModelInferRequest {
        ModelInferRequest {
            model_name: self.model_io.model.clone(),
            model_version: self.version.clone(),
            id: id.0.to_string(),
            parameters: self.parameters.clone(),
            inputs: Vec::with_capacity(self.model_io.inputs.len()),
            outputs: self.outputs.clone(),
            raw_input_contents: Vec::with_capacity(self.model_io.inputs.len()),
        }
    }

    /// Value of an input; `None` omits it.
    fn value<'a>(
        &self,
        input: &Input,
        request: &'a RequestSpec,
        sampling_json: &'a str,
    ) -> Result<Option<Value<'a>>, Failure> {
        let (output, sampling) = (&request.output, &request.sampling);
        let number = |value: Option<f32>| value.map(|value| Value::Number(f64::from(value)));
        let whole = |value: u32| Value::Whole(i64::from(value));
        let value = match input.role {
            Role::PromptIds => Some(Value::Ids(&request.prompt.ids)),
            Role::PromptLength => Some(whole(request.prompt.tokens())),
            Role::PromptText => Some(Value::Text(self.prompt_text(request)?)),
            Role::MaxTokens => Some(whole(output.max_tokens)),
            Role::MinTokens => self.min_tokens(request).map(whole),
            Role::Streaming => Some(Value::Flag(request.streaming && self.model_io.decoupled)),
            Role::EndId if output.ignore_eos => Some(Value::Whole(-1)),
            Role::EndId => self.end_id.map(|id| Value::Whole(i64::from(id))),
            Role::IgnoreEos => Some(Value::Flag(output.ignore_eos)),
            Role::PadId => self.pad_id.map(|id| Value::Whole(i64::from(id))),
            Role::Temperature => number(sampling.temperature),
            Role::TopP => number(sampling.top_p),
            // Greedy is sent explicitly: the server's default may have been changed.
            Role::TopK if sampling.temperature.is_none() => Some(Value::Whole(1)),
            Role::TopK => sampling.top_k.map(whole),
            Role::Seed => Some(Value::Whole(sampling.seed as i64)),
            Role::ExcludeInput => Some(Value::Flag(true)),
            Role::PerfMetrics | Role::CountTokens | Role::FinishReason => Some(Value::Flag(true)),
            Role::SamplingJson => Some(Value::Text(sampling_json)),
            Role::Stop => None,
        };
        Ok(value.or_else(|| input.required.then(|| neutral(input.role))))
    }

    fn prompt_text<'a>(&self, request: &'a RequestSpec) -> Result<&'a str, Failure> {
        request.prompt.text.as_deref().ok_or_else(|| {
            let message = format!(
                "model `{}` takes text, and prompts are token ids: draw words with `--prompts text --tokenizer FILE`, read texts with `--workload KIND:FILE`, or name a model that takes `input_ids`",
                self.model_io.model
            );
            Failure::new(FailureKind::Refused, message)
        })
    }

    /// Where end tokens are to be ignored and the model has no other input for that, `min_tokens` is `max_tokens`.
    fn min_tokens(&self, request: &RequestSpec) -> Option<u32> {
        let has_own_input = self.model_io.has(Role::EndId) || self.model_io.has(Role::IgnoreEos);
        if request.output.ignore_eos && !has_own_input {
            return Some(request.output.max_tokens);
        }
        (request.output.min_tokens > 0).then_some(request.output.min_tokens)
    }

    fn sampling_json(&self, request: &RequestSpec) -> String {
        if !self.model_io.has(Role::SamplingJson) {
            return String::new();
        }
        let (output, sampling) = (&request.output, &request.sampling);
        let mut all = Map::new();
        all.insert("max_tokens".into(), json!(output.max_tokens));
        all.insert("temperature".into(), json!(sampling.temperature.unwrap_or(0.0)));
        all.insert("seed".into(), json!(sampling.seed as i64));
        if let Some(top_p) = sampling.top_p {
            all.insert("top_p".into(), json!(top_p));
        }
        if let Some(top_k) = sampling.top_k {
            all.insert("top_k".into(), json!(top_k));
        }
        if output.min_tokens > 0 {
            all.insert("min_tokens".into(), json!(output.min_tokens));
        }
        if output.ignore_eos {
            all.insert("ignore_eos".into(), json!(true));
        }
        Json::Object(all).to_string()
    }
}

/// Default of a required input that the request does not set.
fn neutral(role: Role) -> Value<'static> {
    match role {
        Role::Temperature | Role::TopP => Value::Number(1.0),
        Role::EndId => Value::Whole(-1),
        Role::TopK => Value::Whole(1),
        Role::Stop => Value::Flag(false),
        _ => Value::Whole(0),
    }
}

fn push(message: &mut ModelInferRequest, input: &Input, value: &Value<'_>) -> Result<(), Failure> {
    let raw = value.encode(input.datatype).ok_or_else(|| {
        let (name, datatype) = (&input.name, input.datatype.name());
        Failure::new(
            FailureKind::Refused,
            format!("{value:?} does not fit the input `{name}` of type {datatype}"),
        )
    })?;
    let mut shape = vec![1; input.rank];
    if let Some(last) = shape.last_mut() {
        *last = value.elements() as i64;
    }
    message.inputs.push(InputTensor {
        name: input.name.clone(),
        datatype: input.datatype.name().to_owned(),
        shape,
    });
    message.raw_input_contents.push(raw);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::spec::{Beside, OutputSpec, Prompt, Sampling};
    use crate::targets::triton::model_io::tests::facts;

    fn shot(text: Option<&str>, ignore_eos: bool) -> Shot {
        Shot::new(
            RequestId(7),
            RequestSpec {
                beside: Beside::Nothing,
                prompt: Prompt { ids: [5, 6, 7].into(), text: text.map(Into::into) },
                output: OutputSpec { max_tokens: 9, min_tokens: 0, ignore_eos },
                sampling: Sampling::greedy(3),
                streaming: true,
                priority: 0.5,
                adapter: None,
                terms: std::sync::Arc::default(),
            },
        )
    }

    fn template(
        facts: &ModelFacts,
        change: impl FnOnce(&mut AskOptions),
    ) -> Result<RequestTemplate, String> {
        let mut options = AskOptions::default();
        change(&mut options);
        let names = options.extra_inputs.keys().map(String::as_str);
        let model_io = ModelIo::choose(facts, names, options.engine_stamps)?;
        RequestTemplate::new(model_io, facts, "", &options)
    }

    fn engine(rank: usize) -> ModelFacts {
        let names = [
            "input_ids! INT32",
            "input_lengths! INT32",
            "request_output_len! INT32",
            "end_id INT32",
            "streaming BOOL",
            "stop BOOL",
        ];
        let inputs: Vec<_> = names.iter().map(|name| format!("{name} {rank}")).collect();
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        facts(&inputs, &["output_ids INT32 3", "sequence_length INT32 2"])
    }

    fn sent(message: &ModelInferRequest, name: &str) -> Option<(Vec<i64>, Vec<u8>)> {
        let index = message.inputs.iter().position(|input| input.name == name)?;
        Some((message.inputs[index].shape.clone(), message.raw_input_contents[index].to_vec()))
    }

    #[test]
    fn a_text_model_refuses_a_shot_without_text() {
        let facts =
            facts(&["text_input! BYTES 2", "max_tokens! INT32 2"], &["text_output BYTES 2"]);
        let failure = template(&facts, |_| {}).unwrap().message(&shot(None, true)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused);
        assert!(failure.message.contains("prompts are token ids"), "{failure:?}");
    }

    #[test]
    fn an_extra_input_that_the_model_lacks_or_cannot_take_is_named() {
        let unknown = template(&engine(2), |options| {
            options.extra_inputs.insert("lora_task_id".into(), json!(1));
        });
        assert!(unknown.unwrap_err().contains("no input `lora_task_id`"));
        let wrong = template(&engine(2), |options| {
            options.extra_inputs.insert("end_id".into(), json!("two"));
        });
        assert!(wrong.unwrap_err().contains("`end_id` does not fit its type INT32"));
    }

    #[test]
    fn ids_and_scalars_get_a_batch_dimension_where_the_model_has_one() {
        for (rank, ids, scalar) in [(2, vec![1, 3], vec![1, 1]), (1, vec![3], vec![1])] {
            let message =
                template(&engine(rank), |_| {}).unwrap().message(&shot(None, true)).unwrap();
            assert_eq!(sent(&message, "input_ids").unwrap().0, ids);
            assert_eq!(sent(&message, "input_lengths").unwrap(), (scalar, vec![3, 0, 0, 0]));
        }
    }

    #[test]
    fn a_request_that_ignores_end_tokens_says_so_and_another_names_its_own() {
        let template = template(&engine(2), |options| options.end_id = Some(2)).unwrap();
        let ignoring = template.message(&shot(None, true)).unwrap();
        assert_eq!(sent(&ignoring, "end_id").unwrap().1, (-1_i32).to_le_bytes());
        let stopping = template.message(&shot(None, false)).unwrap();
        assert_eq!(sent(&stopping, "end_id").unwrap().1, 2_i32.to_le_bytes());
    }

    #[test]
    fn every_message_asks_for_the_final_marker_and_only_for_outputs_that_are_read() {
        let message = template(&engine(2), |_| {}).unwrap().message(&shot(None, true)).unwrap();
        assert_eq!(
            message.parameters[0],
            ParameterEntry::new(ENABLE_EMPTY_FINAL, Choice::Bool(true))
        );
        let names: Vec<_> = message.outputs.iter().map(|output| output.name.as_str()).collect();
        assert_eq!(names, ["output_ids", "sequence_length"]);
        assert!(sent(&message, "stop").is_none());
    }

    #[test]
    fn a_stop_message_repeats_the_id_and_what_is_required() {
        let message = template(&engine(2), |_| {}).unwrap().stop_message(RequestId(7)).unwrap();
        assert_eq!(message.id, "7");
        assert_eq!(sent(&message, "stop").unwrap().1, [1]);
        assert!(
            sent(&message, "input_ids").is_some() && sent(&message, "request_output_len").is_some()
        );
    }

    #[test]
    fn a_vllm_model_gets_its_sampling_as_json() {
        let facts = facts(
            &["text_input! BYTES 1", "sampling_parameters BYTES 1"],
            &["text_output BYTES 1"],
        );
        let message = template(&facts, |_| {}).unwrap().message(&shot(Some("hi"), true)).unwrap();
        let (_, raw) = sent(&message, "sampling_parameters").unwrap();
        let sampling: Json = serde_json::from_slice(&raw[4..]).unwrap();
        assert_eq!(
            sampling,
            json!({"max_tokens": 9, "temperature": 0.0, "seed": 3, "ignore_eos": true})
        );
    }

    #[test]
    fn the_json_body_holds_the_same_values_under_the_same_names() {
        let template = template(&engine(2), |options| {
            options.extra_parameters.insert("ttft_ms".into(), json!(5));
        });
        let body: Json =
            serde_json::from_slice(&template.unwrap().json(&shot(None, true)).unwrap()).unwrap();
        assert_eq!(body["input_ids"], json!([5, 6, 7]));
        assert_eq!(
            (&body["streaming"], &body["end_id"], &body["ttft_ms"]),
            (&json!(true), &json!(-1), &json!(5))
        );
    }
}
