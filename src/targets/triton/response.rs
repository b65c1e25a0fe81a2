//! HOT PATH. Fields of one response: tensors that are read, found by name, nothing copied.

use serde_json::Value as Json;

use crate::clock::MonoNs;
use crate::record::request_record::{EngineTimes, EngineUse};
use crate::targets::triton::datatype::{first_text, first_whole};
use crate::targets::triton::kserve::{Choice, FINAL_RESPONSE, ModelInferResponse};

/// Fields of one response.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading<'a> {
    /// Token ids, little-endian, of the first (and only) beam; padding is cut off.
    pub ids: Option<&'a [u8]>,
    /// Text, of the first (and only) output.
    pub text: Option<&'a [u8]>,
    /// `num_output_tokens`: of this response, or of all so far.
    pub count: Option<u32>,
    /// Why the output stopped.
    pub finish: Option<&'a [u8]>,
    /// The engine's stamps, as sent.
    pub times: Option<[i64; 4]>,
    /// The engine's counts.
    pub used: Option<EngineUse>,
    /// Nothing more comes for this request.
    pub is_final: bool,
}

/// Bytes of one id in `output_ids`.
pub const ID_WIDTH: usize = 4;

impl<'a> Reading<'a> {
    /// Reads a gRPC response.
    ///
    /// # Errors
    /// When a tensor is not what its head says.
    #[inline]
    pub fn of(response: &'a ModelInferResponse) -> Result<Self, String> {
        let mut reading = Self { is_final: is_final(response), ..Self::default() };
        let mut length = None;
        for (index, head) in response.outputs.iter().enumerate() {
            let raw = response.raw_output_contents.get(index).map_or(&[][..], |raw| &raw[..]);
            match head.name.as_str() {
                "output_ids" if head.datatype == "INT32" => {
                    let beam = head.shape.last().copied().unwrap_or(0).max(0) as usize * ID_WIDTH;
                    reading.ids = Some(raw.get(..beam).ok_or_else(|| cut_short(&head.name))?);
                }
                "sequence_length" => length = first_whole(&head.datatype, raw),
                "text_output" if !raw.is_empty() => {
                    reading.text = Some(first_text(raw).ok_or_else(|| cut_short(&head.name))?);
                }
                "num_output_tokens" => {
                    reading.count =
                        first_whole(&head.datatype, raw).and_then(|n| u32::try_from(n).ok());
                }
                "finish_reason" => reading.finish = first_text(raw),
                other => {
                    if let Some(number) = first_whole(&head.datatype, raw) {
                        reading.note_perf(other, number);
                    }
                }
            }
        }
        if let Some(ids) = reading.ids {
            reading.ids = Some(without_padding(ids, length));
        }
        Ok(reading)
    }

    /// Stores one of [`crate::targets::triton::tensor_roles::PERF_OUTPUTS`]; other names are ignored.
    pub fn note_perf(&mut self, name: &str, number: i64) {
        let stamp = match name {
            "arrival_time_ns" => Some(0),
            "first_scheduled_time_ns" => Some(1),
            "first_token_time_ns" => Some(2),
            "last_token_time_ns" => Some(3),
            _ => None,
        };
        if let Some(stamp) = stamp {
            self.times.get_or_insert_default()[stamp] = number;
            return;
        }
        let mut used = self.used.unwrap_or_default();
        let count = number.clamp(0, i64::from(u32::MAX)) as u32;
        match name {
            "kv_cache_alloc_total_blocks" => used.kv_total_blocks = count,
            "kv_cache_alloc_new_blocks" => used.kv_new_blocks = count,
            "kv_cache_reused_blocks" => used.kv_reused_blocks = count,
            "total_draft_tokens" => used.draft_tokens = count,
            "total_accepted_draft_tokens" => used.accepted_draft_tokens = count,
            _ => return,
        }
        self.used = Some(used);
    }
}

fn cut_short(tensor: &str) -> String {
    format!("the tensor `{tensor}` is shorter than it says")
}

/// Whether the response says that nothing more comes.
#[inline]
pub fn is_final(response: &ModelInferResponse) -> bool {
    response.parameters.iter().any(|entry| {
        entry.key == FINAL_RESPONSE
            && entry.value.as_ref().and_then(|value| value.choice.as_ref())
                == Some(&Choice::Bool(true))
    })
}

/// `sequence_length` says how many ids count; where it is missing, those before the first −1.
#[inline]
fn without_padding(ids: &[u8], length: Option<i64>) -> &[u8] {
    let count = match length {
        Some(length) => length.max(0) as usize,
        None => ids.chunks_exact(ID_WIDTH).take_while(|id| *id != [0xff; ID_WIDTH]).count(),
    };
    ids.get(..count * ID_WIDTH).unwrap_or(ids)
}

/// One parsed response of a generate endpoint.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JsonResponse {
    ids: Option<Vec<u8>>,
    text: Option<String>,
    finish: Option<String>,
    numbers: Vec<(String, i64)>,
    complains: bool,
}

impl JsonResponse {
    /// Parses an object of a generate endpoint.
    ///
    /// # Errors
    /// `Err(Some(message))` for an error object, `Err(None)` for anything that is no object.
    pub fn parse(bytes: &[u8]) -> Result<Self, Option<String>> {
        let object: serde_json::Map<String, Json> = serde_json::from_slice(bytes)
            .or_else(|error| serde_json::from_slice(&finite(bytes).ok_or(error)?))
            .map_err(|_| None)?;
        let mut parts = Self::default();
        for (name, value) in object {
            match (name.as_str(), value) {
                ("error", message) if means_something(&message) => {
                    return Err(Some(message.as_str().map_or(message.to_string(), str::to_owned)));
                }
                ("output_ids", ids @ (Json::Array(_) | Json::Number(_))) => {
                    parts.ids = Some(row(&ids).iter().flat_map(little_endian).collect());
                }
                ("text_output", text) => parts.text = first(text).as_str().map(str::to_owned),
                ("finish_reason", reason) => {
                    parts.finish = first(reason).as_str().map(str::to_owned);
                }
                ("message" | "msg" | "detail", words) => {
                    parts.complains |= means_something(&words);
                }
                (_, number @ (Json::Array(_) | Json::Number(_))) => {
                    parts.numbers.extend(first(number).as_i64().map(|number| (name, number)));
                }
                _ => {}
            }
        }
        Ok(parts)
    }

    /// Whether it has an output that is read, perhaps an empty one.
    pub fn holds_output(&self) -> bool {
        let is_count = |(name, _): &(String, i64)| name == "num_output_tokens";
        self.ids.is_some() || self.text.is_some() || self.numbers.iter().any(is_count)
    }

    /// Whether it says in words why there is no output.
    pub const fn complains(&self) -> bool {
        self.complains
    }

    /// Its fields. HTTP has no final marker: the end of the body is the end.
    pub fn reading(&self) -> Reading<'_> {
        let mut reading = Reading {
            text: self.text.as_deref().map(str::as_bytes),
            finish: self.finish.as_deref().map(str::as_bytes),
            ..Reading::default()
        };
        let mut length = None;
        for (name, number) in &self.numbers {
            match name.as_str() {
                "sequence_length" => length = Some(*number),
                "num_output_tokens" => reading.count = u32::try_from(*number).ok(),
                other => reading.note_perf(other, *number),
            }
        }
        reading.ids = self.ids.as_deref().map(|ids| without_padding(ids, length));
        reading
    }
}

/// The first element of a tensor: one alone is written without a list, and one of a batch in a list of lists.
fn first(value: Json) -> Json {
    match value {
        Json::Array(elements) => elements.into_iter().next().map_or(Json::Null, first),
        element => element,
    }
}

/// The elements of a tensor's first row.
fn row(value: &Json) -> &[Json] {
    match value {
        Json::Array(rows) if rows.first().is_some_and(Json::is_array) => row(&rows[0]),
        Json::Array(elements) => elements,
        element => std::slice::from_ref(element),
    }
}

/// Whether an `error` is one: not null, `""`, `{}`, `[]`, false or 0, nor an object of such members alone.
fn means_something(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(is_true) => *is_true,
        Json::Number(number) => number.as_f64() != Some(0.0),
        Json::String(text) => !text.is_empty(),
        Json::Array(elements) => !elements.is_empty(),
        Json::Object(members) => members.values().any(means_something),
    }
}

/// The same text with `null` for each `NaN`, `Infinity` and `-Infinity` outside strings, which are no JSON and which
/// servers in Python write; `None` where there is none.
#[cold]
fn finite(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut rest, mut in_string, mut changed) = (bytes, false, false);
    while let Some((&byte, tail)) = rest.split_first() {
        let word = [&b"NaN"[..], b"-Infinity", b"Infinity"];
        let word = word.into_iter().find(|word| !in_string && rest.starts_with(word));
        if let Some(word) = word {
            out.extend_from_slice(b"null");
            rest = &rest[word.len()..];
            changed = true;
            continue;
        }
        let taken = if in_string && byte == b'\\' { 2.min(rest.len()) } else { 1 };
        in_string ^= byte == b'"';
        out.extend_from_slice(&rest[..taken]);
        rest = if taken == 1 { tail } else { &rest[taken..] };
    }
    changed.then_some(out)
}

fn little_endian(id: &Json) -> [u8; ID_WIDTH] {
    (id.as_i64().unwrap_or(-1) as i32).to_le_bytes()
}

/// The engine's stamps, if they are plausible on this machine's clock: in order, and within the request's lifetime.
///
/// The clock of another host has another origin, so its stamps are left out.
pub fn plausible_times(stamps: [i64; 4], handed_over: MonoNs, seen: MonoNs) -> Option<EngineTimes> {
    let in_order = stamps.windows(2).all(|pair| pair[0] <= pair[1]);
    (in_order && stamps[0] >= handed_over.0 && stamps[3] <= seen.0).then(|| EngineTimes {
        arrival: Some(MonoNs(stamps[0])),
        first_scheduled: Some(MonoNs(stamps[1])),
        first_token: Some(MonoNs(stamps[2])),
        last_token: Some(MonoNs(stamps[3])),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::targets::triton::datatype::{Datatype, Value};
    use crate::targets::triton::kserve::{OutputTensor, ParameterEntry};

    /// A response with these tensors.
    pub(in crate::targets::triton) fn response(
        tensors: &[(&str, Datatype, Vec<i64>, Value<'_>)],
        is_final: bool,
    ) -> ModelInferResponse {
        let mut response = ModelInferResponse { id: "0".into(), ..Default::default() };
        for (name, datatype, shape, value) in tensors {
            response.outputs.push(OutputTensor {
                name: (*name).to_owned(),
                datatype: datatype.name().to_owned(),
                shape: shape.clone(),
            });
            response.raw_output_contents.push(value.encode(*datatype).unwrap());
        }
        response.parameters.push(ParameterEntry::new(FINAL_RESPONSE, Choice::Bool(is_final)));
        response
    }

    fn ids(ids: &[u32], length: Option<i64>) -> ModelInferResponse {
        let mut tensors =
            vec![("output_ids", Datatype::Int32, vec![1, 1, ids.len() as i64], Value::Ids(ids))];
        if let Some(length) = length {
            tensors.push(("sequence_length", Datatype::Int32, vec![1, 1], Value::Whole(length)));
        }
        response(&tensors, false)
    }

    #[test]
    fn a_tensor_shorter_than_its_shape_is_malformed() {
        let mut response = ids(&[1, 2], None);
        response.raw_output_contents[0].truncate(5);
        assert!(Reading::of(&response).unwrap_err().contains("`output_ids` is shorter"));
    }

    #[test]
    fn padding_is_no_token() {
        let padded = |length| {
            let mut response = ids(&[7, 8, 0], length);
            let mut raw = response.raw_output_contents[0].to_vec();
            raw[8..].fill(0xff);
            response.raw_output_contents[0] = raw.into();
            response
        };
        assert_eq!(Reading::of(&padded(None)).unwrap().ids.unwrap().len(), 2 * ID_WIDTH);
        assert_eq!(Reading::of(&padded(Some(1))).unwrap().ids.unwrap().len(), ID_WIDTH);
        assert_eq!(Reading::of(&padded(Some(9))).unwrap().ids.unwrap().len(), 3 * ID_WIDTH);
    }

    #[test]
    fn only_the_first_beam_is_read() {
        let two_beams = response(
            &[("output_ids", Datatype::Int32, vec![1, 2, 2], Value::Ids(&[1, 2, 3, 4]))],
            false,
        );
        assert_eq!(Reading::of(&two_beams).unwrap().ids.unwrap().len(), 2 * ID_WIDTH);
    }

    #[test]
    fn an_empty_final_response_holds_nothing_but_the_end() {
        let reading_of_nothing = response(&[], true);
        let reading = Reading::of(&reading_of_nothing).unwrap();
        assert!(reading.is_final && reading.ids.is_none() && reading.text.is_none());
    }

    #[test]
    fn stamps_and_counts_of_the_engine_are_found() {
        let whole = |name, number| (name, Datatype::Int64, vec![1, 1], Value::Whole(number));
        let response = response(
            &[
                whole("arrival_time_ns", 10),
                whole("first_scheduled_time_ns", 20),
                whole("first_token_time_ns", 30),
                whole("last_token_time_ns", 40),
                whole("kv_cache_reused_blocks", 3),
                whole("acceptance_rate", 1),
            ],
            false,
        );
        let reading = Reading::of(&response).unwrap();
        assert_eq!(reading.times, Some([10, 20, 30, 40]));
        assert_eq!(reading.used, Some(EngineUse { kv_reused_blocks: 3, ..EngineUse::default() }));
    }

    #[test]
    fn stamps_of_another_clock_are_left_out() {
        let life = |stamps| plausible_times(stamps, MonoNs(100), MonoNs(200));
        assert!(life([110, 120, 130, 190]).is_some());
        assert!(life([90, 120, 130, 190]).is_none(), "before the request existed");
        assert!(life([110, 120, 130, 210]).is_none(), "after it was seen");
        assert!(life([110, 140, 130, 190]).is_none(), "out of order");
        assert!(life([0; 4]).is_none(), "never stamped");
    }

    #[test]
    fn an_error_object_keeps_the_servers_words() {
        assert_eq!(JsonResponse::parse(br#"{"error":"no"}"#), Err(Some("no".into())));
        assert_eq!(JsonResponse::parse(b"<html>"), Err(None));
    }

    #[test]
    fn an_error_member_that_is_empty_is_no_error() {
        for nothing in ["null", "\"\"", "{}", "[]", "false", "0", "{\"code\":null}"] {
            let text = format!(r#"{{"error":{nothing},"text_output":"x"}}"#);
            let response = JsonResponse::parse(text.as_bytes()).unwrap();
            assert_eq!(response.reading().text, Some(&b"x"[..]), "{text}");
        }
    }

    #[test]
    fn numbers_that_are_none_in_python_spoil_no_response() {
        let text = r#"{"text_output":"a \" NaN","cum_log_probs":NaN,"p":[-Infinity,Infinity]}"#;
        let response = JsonResponse::parse(text.as_bytes()).unwrap();
        assert_eq!(response.reading().text, Some(&b"a \" NaN"[..]));
        assert_eq!(JsonResponse::parse(b"{NaN}"), Err(None));
    }

    #[test]
    fn what_comes_in_a_list_is_read_by_its_first_element() {
        let text =
            r#"{"text_output":["a","b"],"finish_reason":["length"],"num_output_tokens":[3]}"#;
        let response = JsonResponse::parse(text.as_bytes()).unwrap();
        let reading = response.reading();
        assert_eq!((reading.text, reading.finish), (Some(&b"a"[..]), Some(&b"length"[..])));
        assert_eq!(reading.count, Some(3));
    }

    #[test]
    fn an_object_without_any_output_is_known_from_one_whose_output_is_empty() {
        let parsed = |text: &str| JsonResponse::parse(text.as_bytes()).unwrap();
        assert!(parsed(r#"{"text_output":""}"#).holds_output());
        let other = parsed(r#"{"choices":[{"text":"a"}],"usage":{"completion_tokens":3}}"#);
        assert!(!other.holds_output() && !other.complains());
        assert!(parsed(r#"{"message":"the model is loading"}"#).complains());
    }

    #[test]
    fn ids_come_as_an_array_or_as_one_number() {
        for (text, count) in [
            (r#"{"output_ids":[5,6,7],"sequence_length":2}"#, 2),
            (r#"{"output_ids":[5,6,-1]}"#, 2),
            (r#"{"output_ids":5,"sequence_length":1}"#, 1),
            (r#"{"output_ids":[[5,6,7]],"sequence_length":[[2]]}"#, 2),
        ] {
            let response = JsonResponse::parse(text.as_bytes()).unwrap();
            assert_eq!(response.reading().ids.unwrap().len(), count * ID_WIDTH, "{text}");
        }
    }
}
