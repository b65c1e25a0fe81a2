//! Result files of other tools as sides: vLLM's benchmark, aiperf, GenAI-Perf, genai-bench.

use serde::Deserialize;
use serde_json::Value;

use super::result_file::{self, ImportError};
use super::{Number, Side, SideLoad, SidePoint};
use crate::metrics::summary::Mark;
use crate::report::export::provenance;
use crate::report::table::marks as marks_in_words;
use crate::warning::{Code, Note};

/// What all of them leave open.
const NOT_OURS: &str = "numbers of another tool, as its file gives them: it keeps no proof that its client was not the \
     limit, no plan to repeat, and no intervals";

/// Reads one file, whoever wrote it.
///
/// # Errors
/// When it is no JSON, of no known tool, or has no number that can have been measured.
pub fn read(name: &str, text: &str) -> Result<Side, ImportError> {
    let document = result_file::parsed(name, text)?;
    let readers = [genai_bench, aiperf, genai_perf, vllm];
    let found = readers.into_iter().find_map(|reader| reader(&document));
    let side = found.ok_or_else(|| ImportError::Unknown(name.to_owned()))?;
    result_file::check(name, &side)?;
    Ok(match document.get(provenance::KEY) {
        Some(origin) => of_ours(side, origin),
        None => side,
    })
}

/// A file that an export of ours wrote in the shape of another tool: it says itself what was measured.
fn of_ours(side: Side, origin: &Value) -> Side {
    let marks = origin.get("marks").and_then(|marks| Vec::<Mark>::deserialize(marks).ok());
    let marks = marks.unwrap_or_default();
    let version = word(origin, "/version");
    let mut notes = vec![Note::new(
        Code::NotOurs,
        "measured by bareflight, with figures as that tool computes them: the run directory has ours",
    )];
    notes.extend(marks.iter().map(|mark| {
        Note::new(mark.code(), format!("{}: {}", mark.description(), mark.sentence()))
    }));
    if let Some(verdict) = origin.get("verdict").and_then(Value::as_str).filter(|it| *it != "valid")
    {
        let words = format!("measurement {}", verdict.replace('_', " "));
        notes.push(Note::new(Code::SideChecks, words));
    }
    let title = format!("bareflight {version} as {}{}", side.title, marks_in_words(marks));
    Side { title, measured_by: None, notes, ..side }
}

fn number(document: &Value, pointer: &str) -> Option<f64> {
    document.pointer(pointer).and_then(Value::as_f64)
}

fn word<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or("model not named")
}

fn count(value: Option<f64>) -> Option<u64> {
    value.map(|count| count as u64)
}

fn load(concurrency: Option<f64>, rate: Option<f64>) -> SideLoad {
    match (rate, concurrency) {
        (Some(rate), _) => SideLoad::Rate(rate),
        (None, Some(concurrency)) => SideLoad::Concurrency(concurrency as u32),
        (None, None) => SideLoad::Unbounded,
    }
}

/// One file is one load. Where nothing completed, some tools write latencies of 0.
fn side(tool: &str, model: &str, mut point: SidePoint, cannot_tell: &[&str]) -> Side {
    if point.requests.is_some_and(|(completed, _)| completed == 0) {
        let is_rate = |number: Number| matches!(number, Number::Output | Number::Requests);
        for number in Number::ALL.into_iter().filter(|number| !is_rate(*number)) {
            point.values[number as usize] = None;
        }
    }
    Side {
        name: String::new(),
        title: format!("{tool}: {model}"),
        measured_by: Some(tool.to_owned()),
        notes: [NOT_OURS]
            .iter()
            .chain(cannot_tell)
            .map(|note| Note::new(Code::NotOurs, *note))
            .collect(),
        points: vec![point],
    }
}

fn vllm(document: &Value) -> Option<Side> {
    let at = |key: &str| number(document, key);
    let output = at("/output_throughput").filter(|_| at("/total_input_tokens").is_some())?;
    let values = Number::ALL.map(|number| match number {
        Number::Ttft => at("/mean_ttft_ms"),
        Number::TtftP99 => at("/p99_ttft_ms"),
        Number::Tpot => at("/mean_tpot_ms"),
        Number::Itl => at("/mean_itl_ms"),
        Number::E2el => at("/mean_e2el_ms"),
        Number::E2elP99 => at("/p99_e2el_ms"),
        Number::Output => Some(output),
        Number::Requests => at("/request_throughput"),
    });
    let point = SidePoint {
        load: load(at("/max_concurrency"), at("/request_rate")),
        requests: count(at("/completed")).zip(count(at("/num_prompts"))),
        values,
    };
    let notes = [
        "rates over the whole run, its start and its end included",
        "ITL are gaps between chunks, whatever number of tokens they hold",
    ];
    Some(side("vLLM benchmark", word(document, "/model_id"), point, &notes))
}

fn aiperf(document: &Value) -> Option<Side> {
    let version = document.get("aiperf_version")?.as_str()?;
    let mut point = of_triton_family(document);
    point.values[Number::Itl as usize] = number(document, "/inter_chunk_latency/avg");
    let phase = |key: &str| number(document, &format!("/input_config/phases/0/{key}"));
    point.load = load(
        phase("concurrency").or_else(|| number(document, "/input_config/loadgen/concurrency")),
        phase("rate").or_else(|| number(document, "/input_config/loadgen/request_rate")),
    );
    let mut notes = vec![
        "rates over the time from the first request to the last end",
        "TPOT is its `inter_token_latency`, ITL its `inter_chunk_latency`: gaps between chunks, whatever number of tokens they hold",
    ];
    let is = |key: &str| document.get(key).and_then(Value::as_bool);
    if is("was_cancelled") == Some(true) || is("is_complete") == Some(false) {
        notes.push(
            "its run was cancelled before its end, so it holds fewer requests than were asked for",
        );
    }
    let model = word(document, "/input_config/models/items/0/name");
    Some(side(&format!("aiperf {version}"), model, point, &notes))
}

fn genai_perf(document: &Value) -> Option<Side> {
    document
        .pointer("/request_latency/unit")
        .or_else(|| document.pointer("/request_latency/avg"))?;
    let mut point = of_triton_family(document);
    let config = |key: &str| number(document, &format!("/input_config/{key}"));
    let stimulus = |key: &str| config(&format!("perf_analyzer/stimulus/{key}"));
    point.load = load(
        config("concurrency").or_else(|| stimulus("concurrency")),
        config("request_rate").or_else(|| stimulus("request_rate")),
    );
    let notes = [
        "rates over the time from the first request to the last response",
        "TPOT is its `inter_token_latency`; it has no gaps between tokens",
        "requests that failed are not counted",
    ];
    let model = document
        .pointer("/input_config/model/0")
        .or_else(|| document.pointer("/input_config/model_names/0"));
    let model = model.and_then(Value::as_str).unwrap_or("model not named");
    Some(side("GenAI-Perf", model, point, &notes))
}

/// aiperf and GenAI-Perf name most metrics alike.
fn of_triton_family(document: &Value) -> SidePoint {
    let at = |key: &str| number(document, key);
    let values = Number::ALL.map(|number| match number {
        Number::Ttft => at("/time_to_first_token/avg"),
        Number::TtftP99 => at("/time_to_first_token/p99"),
        Number::Tpot => at("/inter_token_latency/avg"),
        Number::Itl => None,
        Number::E2el => at("/request_latency/avg"),
        Number::E2elP99 => at("/request_latency/p99"),
        Number::Output => at("/output_token_throughput/avg"),
        Number::Requests => at("/request_throughput/avg"),
    });
    let completed = count(at("/request_count/avg"));
    let attempted = count(at("/completed_request_count/avg"));
    SidePoint { load: SideLoad::Unbounded, requests: completed.zip(attempted), values }
}

fn genai_bench(document: &Value) -> Option<Side> {
    let of = document.get("aggregated_metrics")?;
    let scale = match document.get("_time_unit").and_then(Value::as_str) {
        Some("ms") => 1.0,
        Some(_) | None => 1e3,
    };
    let ms = |key: &str| number(of, &format!("/stats/{key}")).map(|value| value * scale);
    // Where answers are no text, the tool writes 0 for what is about output, and the end as the first token.
    let is_without_output = number(of, "/stats/num_output_tokens/max") == Some(0.0);
    let values = Number::ALL.map(|it| match it {
        Number::Ttft | Number::TtftP99 | Number::Tpot | Number::Output if is_without_output => None,
        Number::Ttft => ms("ttft/mean"),
        Number::TtftP99 => ms("ttft/p99"),
        Number::Tpot => ms("tpot/mean"),
        Number::Itl => None,
        Number::E2el => ms("e2e_latency/mean"),
        Number::E2elP99 => ms("e2e_latency/p99"),
        Number::Output => number(of, "/mean_output_throughput_tokens_per_s"),
        Number::Requests => number(of, "/requests_per_second"),
    });
    let point = SidePoint {
        load: match (of.get("iteration_type").and_then(Value::as_str), number(of, "/batch_size")) {
            (Some("batch_size"), Some(size)) => SideLoad::BatchSize {
                size: size as u32,
                concurrency: number(of, "/num_concurrency").unwrap_or(1.0) as u32,
            },
            _ => load(number(of, "/num_concurrency"), None),
        },
        requests: count(number(of, "/num_completed_requests"))
            .zip(count(number(of, "/num_requests"))),
        values,
    };
    let notes = [
        "rates over its run with the time to start and stop its clients",
        "latency lasts until the stream is closed; it has no gaps between tokens",
        "the model stands in `experiment_metadata.json` beside this file, not in it",
    ];
    Some(side("genai-bench", word(of, "/scenario"), point, &notes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_file_of_our_own_export_says_that_it_is_ours_and_keeps_its_marks() {
        let mut document = json!({"model_id": "llama", "completed": 9, "num_prompts": 10, "request_rate": "inf",
            "max_concurrency": 4, "output_throughput": 1.0, "total_input_tokens": 5, "mean_ttft_ms": 2.0});
        let theirs = imported(&document);
        assert_eq!(theirs.measured_by.as_deref(), Some("vLLM benchmark"));
        document["bareflight"] =
            json!({"version": "0.1.0", "marks": ["simulated"], "verdict": "valid_with_warnings"});
        let ours = imported(&document);
        assert_eq!(ours.measured_by, None);
        assert!(
            ours.title.contains("bareflight 0.1.0") && ours.title.contains("[SIMULATED]"),
            "{}",
            ours.title
        );
        let codes: Vec<Code> = ours.notes.iter().map(|note| note.code).collect();
        assert_eq!(codes, [Code::NotOurs, Code::Simulated, Code::SideChecks]);
    }

    fn imported(document: &Value) -> Side {
        read("file", &document.to_string()).expect("a known tool")
    }

    #[test]
    fn a_result_of_vllm_is_a_side_at_its_concurrency_or_rate() {
        let mut document = json!({"model_id": "llama", "completed": 9, "num_prompts": 10, "request_rate": "inf",
            "max_concurrency": 8, "total_input_tokens": 100, "output_throughput": 50.5, "mean_ttft_ms": 12.0});
        let side = imported(&document);
        assert_eq!(side.points[0].load, SideLoad::Concurrency(8));
        assert_eq!(side.points[0].requests, Some((9, 10)));
        assert_eq!(side.points[0].get(Number::Ttft), Some(12.0));
        assert_eq!(side.points[0].get(Number::E2el), None);
        assert!(side.measured_by.is_some() && side.notes[0].text.contains("another tool"));
        document["completed"] = json!(0);
        assert_eq!(imported(&document).points[0].get(Number::Ttft), None, "of no request");
        document["request_rate"] = json!(20.0);
        assert_eq!(imported(&document).points[0].load, SideLoad::Rate(20.0));
    }

    #[test]
    fn seconds_of_genai_bench_become_milliseconds_unless_its_file_has_them_already() {
        let mut document = json!({"aggregated_metrics": {"scenario": "D(64,16)", "num_concurrency": 4,
            "stats": {"ttft": {"mean": 0.012}}}, "_time_unit": "s"});
        assert_eq!(imported(&document).points[0].get(Number::Ttft), Some(12.0));
        document["_time_unit"] = json!("ms");
        assert_eq!(imported(&document).points[0].get(Number::Ttft), Some(0.012));
    }

    #[test]
    fn a_batch_size_of_genai_bench_is_a_load_of_its_own() {
        let document = json!({"aggregated_metrics": {"scenario": "E(64)", "num_concurrency": 1, "batch_size": 8,
            "iteration_type": "batch_size", "stats": {"e2e_latency": {"mean": 0.012}, "ttft": {"mean": 0.012},
            "num_output_tokens": {"max": 0}}}});
        let side = imported(&document);
        assert_eq!(side.points[0].get(Number::E2el), Some(12.0));
        assert_eq!(side.points[0].get(Number::Ttft), None, "there is no first token");
        let load = side.points[0].load;
        assert_eq!(load, SideLoad::BatchSize { size: 8, concurrency: 1 });
        assert_eq!(load.label(), "batch size 8, concurrency 1");
    }

    #[test]
    fn aiperf_and_genai_perf_are_told_apart_though_they_name_metrics_alike() {
        let mut document = json!({"request_latency": {"avg": 87.0}, "inter_chunk_latency": {"avg": 5.0},
            "input_config": {"perf_analyzer": {"stimulus": {"concurrency": 2}}}});
        let side = imported(&document);
        assert_eq!(
            (side.measured_by.as_deref(), side.points[0].get(Number::Itl)),
            (Some("GenAI-Perf"), None)
        );
        assert_eq!(side.points[0].load, SideLoad::Concurrency(2));
        document["aiperf_version"] = json!("0.13.0");
        let side = imported(&document);
        assert_eq!(side.measured_by.as_deref(), Some("aiperf 0.13.0"));
        assert_eq!(side.points[0].get(Number::Itl), Some(5.0));
    }

    #[test]
    fn numbers_that_nobody_can_have_measured_are_refused_and_named() {
        let said =
            |document: Value| read("x.json", &document.to_string()).expect_err("none").to_string();
        let aiperf =
            |value: f64| json!({"aiperf_version": "0.13.0", "request_latency": {"avg": value}});
        for value in [-5.0, 1e300] {
            assert!(said(aiperf(value)).contains("as `E2EL mean, ms`"), "{}", said(aiperf(value)));
        }
        let vllm = |key: &str, value: f64| json!({"output_throughput": 1.0, "total_input_tokens": 5, key: value});
        for (key, value) in
            [("request_rate", 0.0), ("max_concurrency", -3.0), ("max_concurrency", 1e30)]
        {
            assert!(said(vllm(key, value)).contains("no load can have"), "{key}");
        }
        assert!(said(json!({"aiperf_version": "0.13.0"})).contains("aiperf 0.13.0 and none"));
        let said = said(json!({"aggregated_metrics": {}}));
        assert!(said.contains("genai-bench and none of its numbers"), "{said}");
    }

    #[test]
    fn a_run_of_aiperf_that_was_cancelled_says_so() {
        let document = json!({"aiperf_version": "0.13.0", "request_latency": {"avg": 5.0}, "was_cancelled": true});
        assert!(imported(&document).notes.iter().any(|note| note.text.contains("cancelled")));
    }

    #[test]
    fn a_file_of_no_known_tool_is_refused_with_those_that_are() {
        let error = read("x.json", "{}").expect_err("unknown").to_string();
        assert!(error.contains("x.json") && error.contains("aiperf") && error.contains("vllm"));
        assert!(read("x.json", "Metric,avg").is_err());
    }
}
