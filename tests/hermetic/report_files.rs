//! Tests of `summary.csv` and `summary.json`, which programs read.

use crate::support::report_fixture::{Paper, experiment, sweep};
use bareflight::load::{Arrivals, Load};
use bareflight::metrics::{Quantity, Rate};
use bareflight::report::{Experiment, summary_csv, summary_json};
use serde_json::Value;

const HEADER: &str = "concurrency,total_requests,successful_requests,failed_requests,total_time_s,\
    requests_per_sec,throughput_tokens_per_sec,avg_latency_ms,p50_latency_ms,p90_latency_ms,\
    p99_latency_ms,avg_ttft_ms";

fn open(arrivals: Arrivals, max_in_flight: Option<u32>) -> Paper {
    Paper { load: Load::Open { arrivals, rate: 40.0, max_in_flight }, ..Paper::closed(8, 120) }
}

/// Everything that a document can look like.
fn every_kind() -> Vec<(&'static str, Experiment)> {
    let failed = Paper { fails_every: 1, ..Paper::closed(4, 20) };
    let none = Paper { requests: 0, complete: false, ..Paper::closed(4, 1) };
    let bounded = Paper { slos: "ttft<60ms,itl<40ms", gpus: 2, ..Paper::closed(8, 50) };
    let gamma = open(Arrivals::Gamma { burstiness: 0.5 }, Some(16));
    let mut lossy = Paper::closed(2, 40);
    lossy.health.dropped_events = 7;
    vec![
        ("a sweep", sweep()),
        ("no point", experiment(&[])),
        ("all failed", experiment(&[failed])),
        ("zero requests", experiment(&[none])),
        ("one request", experiment(&[Paper::closed(1, 1)])),
        ("one token each", experiment(&[Paper { output_tokens: 1, ..Paper::closed(2, 30) }])),
        ("not streamed", experiment(&[Paper { streaming: false, ..Paper::closed(2, 40) }])),
        ("interrupted", experiment(&[Paper { complete: false, ..Paper::closed(2, 40) }])),
        ("bounds and GPUs", experiment(&[bounded])),
        ("invalid", experiment(&[lossy])),
        ("open loops", experiment(&[open(Arrivals::Poisson, None), gamma])),
        ("batch", experiment(&[Paper { load: Load::Batch, ..Paper::closed(8, 40) }])),
    ]
}

fn document(experiment: &Experiment) -> Value {
    serde_json::from_str(&summary_json::render(experiment)).unwrap()
}

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(summary_json::SUMMARY_SCHEMA).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

#[test]
fn a_document_that_is_wrong_in_one_place_is_rejected() {
    let validator = validator();
    let right = document(&experiment(&[Paper::closed(2, 40)]));
    assert!(validator.is_valid(&right));
    let wrong: [(&str, &str, Value); 7] = [
        ("an unknown verdict", "/points/0/verdict", "fine".into()),
        ("a number as text", "/points/0/rates/request_throughput_per_s", "8.4".into()),
        ("a count below zero", "/points/0/counts/completed", (-1).into()),
        (
            "a percentile without certification",
            "/points/0/distributions/ttft_ms/percentiles/p99",
            serde_json::json!({"value": 1.0}),
        ),
        ("a load that does not exist", "/points/0/load/kind", "tidal".into()),
        ("another version", "/schema_version", 1.into()),
        ("fewer definitions than numbers", "/definitions", serde_json::json!([])),
    ];
    for (what, place, value) in wrong {
        let mut document = right.clone();
        *document.pointer_mut(place).expect(place) = value;
        assert!(!validator.is_valid(&document), "{what} was accepted");
    }
    let mut extra = right.clone();
    extra["points"][0]["rates"]["made_up_per_s"] = 1.0.into();
    assert!(!validator.is_valid(&extra), "a number without a definition was accepted");
}

#[test]
fn every_kind_of_document_keeps_to_the_published_schema() {
    let validator = validator();
    for (what, experiment) in every_kind() {
        let document = document(&experiment);
        let errors: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{what}: {errors:#?}");
    }
}

#[test]
fn the_schema_describes_every_property() {
    fn undescribed(at: &str, schema: &Value, found: &mut Vec<String>) {
        let Value::Object(fields) = schema else { return };
        for (name, value) in fields {
            let here = format!("{at}/{name}");
            if let (true, Value::Object(properties)) = (name == "properties", value) {
                for (property, schema) in properties {
                    if schema.get("description").is_none() {
                        found.push(format!("{here}/{property}"));
                    }
                }
            }
            undescribed(&here, value, found);
        }
    }
    let schema: Value = serde_json::from_str(summary_json::SUMMARY_SCHEMA).unwrap();
    let mut found = Vec::new();
    undescribed("", &schema, &mut found);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn no_number_is_exported_without_its_definition() {
    let document = document(&sweep());
    let defined = |place: &str| -> Vec<&str> {
        let entries = document["definitions"].as_array().unwrap().iter();
        let mut keys: Vec<_> = entries
            .filter(|entry| entry["place"] == place)
            .map(|entry| entry["key"].as_str().unwrap())
            .collect();
        keys.sort_unstable();
        keys
    };
    for point in document["points"].as_array().unwrap() {
        for place in ["rates", "distributions"] {
            let mut keys: Vec<_> = point[place].as_object().unwrap().keys().collect();
            keys.sort_unstable();
            assert_eq!(keys, defined(place));
        }
    }
}

#[test]
fn absent_is_null_in_json_and_empty_in_csv() {
    let experiment = experiment(&[Paper { fails_every: 1, ..Paper::closed(4, 20) }]);
    assert_eq!(document(&experiment)["points"][0]["distributions"]["ttft_ms"], Value::Null);
    let row = &rows(&experiment)[0];
    assert_eq!(field(row, "avg_ttft_ms"), "");
    assert_eq!(field(row, "ttft_ms_p99"), "");
    assert_eq!(field(row, "failed_by_kind"), "queue_full:20");
}

#[test]
fn the_csv_begins_with_the_columns_that_other_tools_know() {
    for (what, experiment) in every_kind() {
        let text = String::from_utf8(summary_csv::render(&experiment)).unwrap();
        let header = text.lines().next().unwrap();
        assert!(header.starts_with(HEADER), "{what}: {header}");
        assert_eq!(text.lines().count(), 1 + experiment.points.len(), "{what}");
    }
}

#[test]
fn every_attempted_request_is_a_success_or_a_failure() {
    let experiment = experiment(&[Paper { fails_every: 3, ..Paper::closed(4, 30) }]);
    let row = &rows(&experiment)[0];
    let fields = ["concurrency", "total_requests", "successful_requests", "failed_requests"];
    assert_eq!(fields.map(|name| field(row, name)), ["4", "30", "20", "10"]);
}

#[test]
fn an_open_loop_has_a_concurrency_only_where_it_is_capped() {
    let capped = open(Arrivals::Gamma { burstiness: 0.5 }, Some(16));
    let rows = rows(&experiment(&[open(Arrivals::Poisson, None), capped]));
    let of = |row: &Row| {
        ["concurrency", "load", "arrivals", "burstiness", "offered_requests_per_s"]
            .map(|name| field(row, name).to_owned())
    };
    assert_eq!(of(&rows[0]), ["", "open", "poisson", "", "40"]);
    assert_eq!(of(&rows[1]), ["16", "open", "gamma", "0.5", "40"]);
}

#[test]
fn both_files_hold_the_same_numbers() {
    let experiment = sweep();
    let document = document(&experiment);
    for (row, point) in rows(&experiment).iter().zip(document["points"].as_array().unwrap()) {
        for quantity in Quantity::ALL {
            let key = quantity.definition().key;
            let inside =
                |name: &str| point["distributions"][key]["percentiles"][name]["value"].as_f64();
            assert_eq!(number(row, &format!("{key}_p50")), inside("p50"), "{key}");
            assert_eq!(number(row, &format!("{key}_p99_9")), inside("p99_9"), "{key}");
            assert_eq!(
                number(row, &format!("{key}_avg")),
                point["distributions"][key]["mean"].as_f64()
            );
        }
        for rate in Rate::ALL {
            let key = rate.definition().key;
            assert_eq!(number(row, key), point["rates"][key].as_f64(), "{key}");
        }
    }
}

#[test]
fn the_csv_says_up_to_which_percentile_the_sample_certifies() {
    let certified = |requests| {
        let rows = rows(&experiment(&[Paper::closed(8, requests)]));
        field(&rows[0], "ttft_ms_certified_to").to_owned()
    };
    assert_eq!([5, 11, 129, 2_000].map(certified), ["", "p50", "p90", "p99"]);
}

type Row = Vec<(String, String)>;

fn rows(experiment: &Experiment) -> Vec<Row> {
    let file = summary_csv::render(experiment);
    let mut reader = csv::Reader::from_reader(&*file);
    let header = reader.headers().unwrap().clone();
    let names = || header.iter().map(str::to_owned);
    reader
        .records()
        .map(|record| names().zip(record.unwrap().iter().map(str::to_owned)).collect())
        .collect()
}

fn field<'a>(row: &'a Row, name: &str) -> &'a str {
    let found: Vec<_> = row.iter().filter(|(column, _)| column == name).collect();
    assert_eq!(found.len(), 1, "`{name}` is a column once");
    &found[0].1
}

fn number(row: &Row, name: &str) -> Option<f64> {
    Some(field(row, name)).filter(|text| !text.is_empty()).map(|text| text.parse().unwrap())
}
