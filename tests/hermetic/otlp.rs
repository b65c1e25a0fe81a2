//! OTLP metrics of a run, as a collector of our own reads them; and a collector that is gone.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};

use bareflight::report::otlp::message::{
    Data, ExportMetricsServiceRequest, KeyValue, Metric, ResourceMetrics, Value,
};
use prost::Message as _;
use tempfile::TempDir;

use crate::support::NOBODY;
use crate::support::left_behind::{directory, document, words};

/// Takes posts until nobody holds the other end: head and message of each.
fn collector(status: &'static str) -> (String, Receiver<(String, ExportMetricsServiceRequest)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (taken, posts) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let Some((head, body)) = read_post(&mut stream) else { continue };
            let message = ExportMetricsServiceRequest::decode(body.as_slice()).expect("a message");
            // Before the answer, so that whoever has seen the sender end finds it.
            if taken.send((head, message)).is_err() {
                return;
            }
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            let _gone = stream.write_all(answer.as_bytes());
        }
    });
    (url, posts)
}

fn read_post(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.trim().parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn play(out: &TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    command.args(["run", "--isl=16", "--osl=8", "--concurrency=2", "-n", "40"]).args(arguments);
    command.envs(variables.iter().copied()).env("CI", "1").env("no_proxy", "*");
    command.current_dir(out.path()).output().expect("the binary runs")
}

fn value(attributes: &[KeyValue], key: &str) -> Option<Value> {
    attributes.iter().find(|it| it.key == key)?.value.as_ref()?.value.clone()
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    match value(attributes, key) {
        Some(Value::Text(text)) => text,
        other => panic!("{key}: {other:?}"),
    }
}

fn metrics(message: &ResourceMetrics) -> &[Metric] {
    &message.scope_metrics[0].metrics
}

fn metric<'a>(message: &'a ResourceMetrics, name: &str) -> &'a Metric {
    metrics(message).iter().find(|it| it.name == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn a_collector_gets_live_figures_and_results_under_the_names_of_the_conventions() {
    let out = tempfile::tempdir().expect("a folder");
    let (url, posts) = collector("200 OK");
    let own = ["--target", "sim:explicit,base_us=2000", "--otlp", &url, "--note", "rack=7"];
    let variables = [
        ("OTEL_METRIC_EXPORT_INTERVAL", "20"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-lab=secret"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=a"),
    ];
    let output = play(&out, &own, &variables);
    let said = words(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("--otlp"), "{said}");
    let posts: Vec<_> = posts.try_iter().collect();
    let head = &posts[0].0;
    assert!(head.starts_with("post /v1/metrics http/1.1"), "{head}");
    assert!(head.contains("application/x-protobuf") && head.contains("x-lab: secret"), "{head}");
    let live = posts.iter().filter(|(_, post)| {
        metrics(&post.resource_metrics[0]).iter().any(|it| it.name == "bareflight.live.submitted")
    });
    assert!(live.count() > 0, "{} posts", posts.len());

    let results = &posts.last().expect("results").1.resource_metrics[0];
    let resource = &results.resource.as_ref().expect("a resource").attributes;
    assert_eq!(value(resource, "bareflight.simulated"), Some(Value::Bool(true)));
    assert_eq!(text(resource, "service.name"), "bareflight");
    assert_eq!(text(resource, "bareflight.note.rack"), "7");
    assert_eq!(text(resource, "team"), "a");
    let summary = document(&directory(&out), "summary");
    let completed = summary["points"][0]["counts"]["completed"].as_u64().expect("a count");
    for name in [
        "gen_ai.server.time_to_first_token",
        "gen_ai.server.time_per_output_token",
        "gen_ai.server.request.duration",
        "gen_ai.client.operation.duration",
    ] {
        let metric = metric(results, name);
        assert_eq!(metric.unit, "s", "{name}");
        let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{metric:?}") };
        let point = &histogram.data_points[0];
        assert_eq!(point.count, completed, "{name}");
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), completed);
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(text(&point.attributes, "bareflight.point"), "concurrency 2");
        assert_eq!(text(&point.attributes, "gen_ai.operation.name"), "text_completion");
        assert!(point.start_time_unix_nano < point.time_unix_nano);
    }
    let Some(Data::Gauge(verdict)) = &metric(results, "bareflight.verdict").data else {
        panic!("a gauge")
    };
    assert!(text(&verdict.data_points[0].attributes, "bareflight.marks").contains("simulated"));
    let resolved = std::fs::read_to_string(directory(&out).join("resolved.toml")).expect("there");
    assert!(resolved.contains("otlp = ") && !resolved.contains("secret"), "{resolved}");
}

#[test]
fn a_collector_that_is_gone_or_refuses_is_told_of_once_and_changes_nothing() {
    let gone = format!("http://{NOBODY}");
    let (refusing, posts) = collector("503 Busy");
    for url in [gone, refusing] {
        let out = tempfile::tempdir().expect("a folder");
        let own = ["--target", "sim:explicit,base_us=2000", "--otlp", &url];
        let output = play(&out, &own, &[("OTEL_METRIC_EXPORT_INTERVAL", "20")]);
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said.matches("the collector takes no metrics").count(), 1, "{said}");
    }
    drop(posts);
}

#[test]
fn the_environment_names_a_collector_only_where_it_is_asked_for() {
    let (url, posts) = collector("200 OK");
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())];
    let out = tempfile::tempdir().expect("a folder");
    assert_eq!(play(&out, &["--target=null:"], &variables).status.code(), Some(0));
    assert_eq!(posts.try_iter().count(), 0);
    let output = play(&out, &["--target=null:", "--otlp"], &variables);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
    assert!(posts.try_iter().count() > 0);
    for (arguments, named) in [
        (&["--target=null:", "--otlp"][..], "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (&["--target=null:", "--otlp", "collector:4318"], "http://HOST:4318"),
    ] {
        let output = play(&out, arguments, &[]);
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(named), "{said}");
    }
}
