//! Tasks besides text on served targets: batches of embeddings, rerank in the shapes of its servers, images with text.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use bareflight_engine::dummy_tokenizer;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::fault_server::{FaultServer, Next, Out, Request};
use crate::support::left_behind::{self, in_one_line, words};
use crate::support::served_run::Run;

struct Bench {
    folder: TempDir,
    tokenizer: String,
}

impl Bench {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("tokenizer.json");
        dummy_tokenizer(4_096).save(&file, false).expect("a file");
        let tokenizer = file.to_str().expect("a path of text").to_owned();
        Self { folder, tokenizer }
    }
}

fn served(answer: impl Fn(&Request) -> Value + Send + Sync + 'static) -> FaultServer {
    FaultServer::start(move |request, out: &mut Out<'_>| -> Next {
        match request.method.as_str() {
            "GET" => out.json(404, "{}"),
            _ => out.json(200, &answer(request).to_string()),
        }
    })
}

fn tokens_of(text: &Value) -> usize {
    text.as_str().expect("text").split_whitespace().count()
}

/// A vector for each text, as OpenAI answers.
fn embedder() -> FaultServer {
    served(|request| {
        let body = request.json();
        let texts = body["input"].as_array().expect("a list of texts").clone();
        let tokens: usize = texts.iter().map(tokens_of).sum();
        let of = |index| json!({ "object": "embedding", "index": index, "embedding": [0.5, 0.25] });
        let data: Vec<Value> = (0..texts.len()).map(of).collect();
        json!({ "object": "list", "data": data, "usage": { "prompt_tokens": tokens, "total_tokens": tokens } })
    })
}

fn points(run: &Run) -> Vec<Value> {
    let document: Value = serde_json::from_str(&run.text("summary.json")).expect("JSON");
    document["points"].as_array().expect("points").clone()
}

fn rate(point: &Value, name: &str) -> f64 {
    point["rates"][name].as_f64().unwrap_or_else(|| panic!("{name}: {}", point["rates"]))
}

fn posts(server: &FaultServer) -> Vec<Request> {
    server.requests().into_iter().filter(|it| it.method == "POST").collect()
}

/// The embedding benchmark of genai-bench's guide, scenario by scenario and as a whole, as `translate` has it with our names.
#[test]
fn the_embedding_commands_of_genai_bench_s_guide_are_played_as_they_are_translated() {
    let (bench, server) = (Bench::new(), embedder());
    let guide = |scenarios: &[u32]| -> Vec<String> {
        let mut typed: Vec<String> = [
            "genai-bench",
            "benchmark",
            "--api-backend",
            "openai",
            "--api-base",
            &server.url(),
            "--api-key",
            "xxx",
            "--api-model-name",
            "e5",
            "--model-tokenizer",
            &bench.tokenizer,
            "--task",
            "text-to-embeddings",
            "--server-engine",
            "SGLang",
            "--max-time-per-run",
            "15",
            "--max-requests-per-run",
            "6",
            "--server-gpu-type",
            "H100",
            "--server-version",
            "v0.4.2",
            "--server-gpu-count",
            "1",
            "--batch-size",
            "1",
            "--batch-size",
            "8",
            "--num-concurrency",
            "1",
        ]
        .map(str::to_owned)
        .to_vec();
        for tokens in scenarios {
            typed.extend(["--traffic-scenario".to_owned(), format!("E({tokens})")]);
        }
        typed
    };
    let all = [64, 128, 512, 1024];
    for scenarios in all.chunks(1).chain([&all[..]]) {
        let translated = Command::new(env!("CARGO_BIN_EXE_bareflight"))
            .args(["translate", "--"])
            .args(guide(scenarios))
            .output()
            .expect("the binary runs");
        let printed = words(&translated.stdout);
        let line = printed.lines().find(|line| line.starts_with("bareflight run"));
        let line = line.unwrap_or_else(|| panic!("{printed}{}", words(&translated.stderr)));
        let out = TempDir::new().expect("a folder");
        let program = env!("CARGO_BIN_EXE_bareflight");
        // A shell reads it as a user's does.
        let ours = line.replacen("bareflight", &format!("'{program}'"), 1) + " --warmup 0 -q";
        let played = Command::new("sh")
            .args(["-c", &ours])
            .current_dir(out.path())
            .envs([("API_KEY", "xxx"), ("CI", "1")])
            .output()
            .expect("a shell");
        let said = words(&played.stderr);
        assert!(matches!(played.status.code(), Some(0 | 4)), "{line}: {said}");
        let document = left_behind::directory(&out).join("summary.json");
        let document = fs::read_to_string(document).expect("a summary");
        let document: Value = serde_json::from_str(&document).expect("JSON");
        let points = document["points"].as_array().expect("points");
        assert_eq!(points.len(), 2 * scenarios.len(), "{line}");
        for point in points {
            assert_eq!(point["counts"]["completed"], 6, "{line}: {point}");
            assert!(rate(point, "document_throughput_per_s") > 0.0);
        }
    }
    let asked = posts(&server);
    let keys = asked.iter().filter(|it| it.header("authorization") == Some("Bearer xxx")).count();
    assert_eq!(keys, asked.len());
}

#[test]
fn embeddings_are_swept_over_batch_sizes_with_their_documents_and_no_first_token() {
    let (bench, server) = (Bench::new(), embedder());
    let asked = ["--scenario", "E(20)", "--batch-size", "1,8", "--tokenizer", &bench.tokenizer];
    let load = ["--concurrency", "1", "--requests", "10"];
    let run = Run::asked(&server, "embeddings", &[&asked[..], &load].concat());
    let points = points(&run);
    let console = &run.console;
    assert_eq!(points.len(), 2, "{console}");
    for (point, size) in points.iter().zip([1_u32, 8]) {
        assert_eq!(point["counts"]["completed"], 10, "{console}");
        assert_eq!(point["documents"], size);
        let requests = rate(point, "request_throughput_per_s");
        let documents = rate(point, "document_throughput_per_s");
        assert!((documents / requests - f64::from(size)).abs() < 1e-9, "{documents} of {requests}");
        let input = rate(point, "input_throughput_tokens_per_s");
        assert!((input / documents - 20.0).abs() < 1e-6, "{input} of {documents}");
        assert_eq!(point["distributions"]["ttft_ms"], Value::Null);
        assert_eq!(point["distributions"]["prompt_tokens"]["min"], 20.0 * f64::from(size));
        assert_eq!(point["rates"]["image_throughput_per_s"], Value::Null);
    }
    let sizes: Vec<usize> =
        posts(&server)[1..].iter().map(|it| it.json()["input"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [[1; 10], [8; 10]].concat());
    let mut texts: Vec<String> = posts(&server)[1..]
        .iter()
        .flat_map(|it| it.json()["input"].as_array().unwrap().clone())
        .map(|text| text.as_str().unwrap().to_owned())
        .collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 90, "no text comes twice");
    for part in ["docs/s", "batch", "batch size 8"] {
        assert!(words(console.as_bytes()).contains(part), "{part}: {console}");
    }
    for absent in ["TTFT", "ITL", "output"] {
        assert!(!console.contains(absent), "{absent} in {console}");
    }
    let page = run.text("report.html");
    assert!(
        page.contains("Documents<small>per s") && page.contains("batch size (texts of a request)")
    );
    assert!(run.text("summary.csv").contains("document_throughput_per_s"));
}

/// genai-bench takes texts to embed by batch size, one request at a time, and names its files and columns so.
#[test]
fn batch_sizes_of_embeddings_are_the_levels_of_an_export_for_genai_bench_and_of_its_import() {
    let (bench, server) = (Bench::new(), embedder());
    let asked = ["--scenario", "E(20)", "--batch-size", "1,8", "--tokenizer", &bench.tokenizer];
    let formats = "genai-bench,aiperf,benchmark-serving";
    let load = ["--concurrency", "1", "--requests", "10", "--export", formats];
    let run = Run::asked(&server, "embeddings", &[&asked[..], &load].concat());
    let folder = run.folder.join("exports/genai-bench");
    let read = |path: &Path| -> Value {
        serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON")
    };
    let metadata = read(&folder.join("experiment_metadata.json"));
    assert_eq!(metadata["iteration_type"], "batch_size", "{}", run.console);
    assert_eq!(metadata["batch_size"], json!([1, 8]));
    assert_eq!(metadata["num_concurrency"], json!([1]));
    assert_eq!(metadata["traffic_scenario"], json!(["E(20)"]));
    for size in [1, 8] {
        let begin = format!("E20_text-to-embeddings_batch_size_{size}_time_");
        let names = fs::read_dir(&folder).expect("a folder").flatten();
        let path = names.map(|it| it.path()).find(|it| {
            it.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begin))
        });
        let document = read(&path.unwrap_or_else(|| panic!("{begin}: {}", run.console)));
        let aggregated = &document["aggregated_metrics"];
        assert_eq!(aggregated["batch_size"], size);
        assert_eq!(aggregated["stats"]["num_input_tokens"]["mean"], f64::from(20 * size));
        assert_eq!(document["individual_request_metrics"][0]["tpot"], 0.0);
    }
    for folder in ["concurrency1", "concurrency1_batch_size8"] {
        assert!(run.folder.join("exports/aiperf").join(folder).is_dir(), "{folder}");
    }
    let serving = fs::read_dir(run.folder.join("exports/benchmark-serving")).expect("a folder");
    let serving =
        serving.flatten().filter(|it| it.path().extension().is_some_and(|it| it == "json"));
    assert_eq!(serving.count(), 2);
    let program = env!("CARGO_BIN_EXE_bareflight");
    let imported = Command::new(program).arg("import").arg(&folder).output().expect("it runs");
    let said = in_one_line(&words(&imported.stdout));
    for load in ["batch size 1, concurrency 1", "batch size 8, concurrency 1"] {
        assert!(said.contains(load), "{load}: {said}{}", words(&imported.stderr));
    }
    let both = ["--concurrency", "1,2", "--requests", "4", "--export", "genai-bench"];
    let both = Run::asked(&server, "embeddings", &[&asked[..], &both].concat());
    let console = in_one_line(&both.console);
    assert!(console.contains("a file of this concurrency exists already"), "{console}");
}

#[test]
fn a_file_of_texts_is_embedded_in_batches_without_a_tokenizer() {
    let (bench, server) = (Bench::new(), embedder());
    let path = bench.folder.path().join("texts.txt");
    let text: Vec<String> = (0..12).map(|line| format!("line {line} of twelve")).collect();
    fs::write(&path, text.join("\n")).expect("a file");
    let file = format!("text:{}", path.display());
    let asked = ["--workload", &file, "--workload-order", "file", "--batch-size", "4"];
    let load = ["--concurrency", "1", "--requests", "3"];
    let run = Run::asked(&server, "embeddings", &[&asked[..], &load].concat());
    assert_eq!(run.point()["counts"]["completed"], 3, "{}", run.console);
    let sent: Vec<Value> = posts(&server)[1..]
        .iter()
        .flat_map(|it| it.json()["input"].as_array().unwrap().clone())
        .collect();
    assert_eq!(sent, text);
    assert_eq!(run.column("prompt_tokens_told"), ["16"; 3]);
}

#[test]
fn an_answer_with_fewer_vectors_than_texts_is_a_failure() {
    let bench = Bench::new();
    let asked_before = AtomicUsize::new(0);
    // The request before the load gets what it asks for: it would stop the run.
    let server = served(move |_| {
        let is_first = asked_before.fetch_add(1, Ordering::SeqCst) == 0;
        let data = vec![json!({ "embedding": [0.5] }); if is_first { 3 } else { 1 }];
        json!({ "data": data, "usage": { "prompt_tokens": 3 } })
    });
    let asked = ["--scenario", "E(4)", "--batch-size", "3", "--tokenizer", &bench.tokenizer];
    let run = Run::asked(
        &server,
        "embeddings",
        &[&asked[..], &["--concurrency", "1", "--requests", "2"]].concat(),
    );
    assert_eq!(run.point()["counts"]["failed"], 2, "{}", run.console);
    assert!(
        words(run.console.as_bytes()).contains("1 vectors or scores for 3 texts"),
        "{}",
        run.console
    );
}

/// Scores for so many documents and the tokens of it all, in the shape of one server.
type Shape = fn(Vec<Value>, usize) -> Value;

fn scored(name: &str, count: usize) -> Vec<Value> {
    let of = |index: usize| json!({ "index": index, name: 1.0 / (index + 1) as f64 });
    (0..count).map(of).collect()
}

#[test]
fn rerank_is_understood_in_the_shapes_of_its_servers() {
    let vllm: Shape = |results, tokens| json!({ "id": "rerank-1", "model": "m", "results": results, "usage": { "total_tokens": tokens } });
    let jina: Shape = |results, tokens| json!({ "model": "m", "object": "list", "usage": { "total_tokens": tokens, "prompt_tokens": tokens }, "results": results });
    let cohere: Shape = |results, tokens| {
        let meta = json!({ "api_version": { "version": "2" }, "billed_units": { "search_units": 1 }, "tokens": { "input_tokens": tokens } });
        json!({ "id": "x", "results": results, "meta": meta })
    };
    for (name, shape) in [("vLLM", vllm), ("Jina", jina), ("Cohere", cohere)] {
        let bench = Bench::new();
        let server = served(move |request| {
            let body = request.json();
            let documents = body["documents"].as_array().expect("documents").clone();
            let tokens = tokens_of(&body["query"]) + documents.iter().map(tokens_of).sum::<usize>();
            shape(scored("relevance_score", documents.len()), tokens)
        });
        let asked =
            ["--scenario", "R(30,10)", "--batch-size", "5", "--tokenizer", &bench.tokenizer];
        let load = ["--concurrency", "2", "--requests", "8"];
        let run = Run::asked(&server, "rerank", &[&asked[..], &load].concat());
        let point = run.point();
        assert_eq!(point["counts"]["completed"], 8, "{name}: {}", run.console);
        assert_eq!(run.column("prompt_tokens_told"), ["160"; 8], "{name}");
        assert_eq!(run.column("prompt_tokens"), ["160"; 8], "{name}");
        let per_request =
            rate(&point, "document_throughput_per_s") / rate(&point, "request_throughput_per_s");
        assert!((per_request - 5.0).abs() < 1e-9);
        assert_eq!(point["distributions"]["ttft_ms"], Value::Null);
        let sent = posts(&server);
        assert!(sent.iter().all(|it| it.path == "/v1/rerank"));
        let body = sent[1].json();
        assert_eq!((body["model"].as_str(), tokens_of(&body["query"])), (Some("m"), 10));
        assert!(body["max_tokens"].is_null() && body["stream"].is_null(), "{body}");
    }
}

/// A chat that tells nothing of images but their number.
fn sees() -> FaultServer {
    FaultServer::start(|request, out| match request.method.as_str() {
        "GET" => out.json(404, "{}"),
        _ => out.good(3),
    })
}

fn images_of(request: &Request) -> Vec<String> {
    let body = request.json();
    let parts = body["messages"][0]["content"].as_array().expect("parts").clone();
    assert_eq!(parts[0]["type"], "text");
    let images = parts.iter().filter(|part| part["type"] == "image_url");
    images.map(|part| part["image_url"]["url"].as_str().expect("a URL").to_owned()).collect()
}

#[test]
fn images_of_the_asked_size_and_number_go_with_a_text_and_none_comes_twice() {
    let (bench, server) = (Bench::new(), sees());
    let asked = ["--scenario", "I(64,32,2)/(12,3)", "--tokenizer", &bench.tokenizer];
    let load = ["--concurrency", "1", "--requests", "6"];
    let run = Run::asked(&server, "chat", &[&asked[..], &load].concat());
    let point = run.point();
    assert_eq!(point["counts"]["completed"], 6, "{}", run.console);
    assert_eq!(point["images"], 2);
    let per_request =
        rate(&point, "image_throughput_per_s") / rate(&point, "request_throughput_per_s");
    assert!((per_request - 2.0).abs() < 1e-9);
    assert!(
        point["distributions"]["ttft_ms"]["p50"].is_object()
            || point["distributions"]["ttft_ms"].is_object()
    );
    let mut urls: Vec<String> = posts(&server)[1..].iter().flat_map(images_of).collect();
    assert_eq!(urls.len(), 12);
    // 64 × 32 pixels of three bytes, which nothing makes smaller.
    assert!(
        urls.iter().all(|url| url.starts_with("data:image/png;base64,") && url.len() > 64 * 32 * 4)
    );
    urls.sort();
    urls.dedup();
    assert_eq!(urls.len(), 12);
    assert!(words(run.console.as_bytes()).contains("images/s"), "{}", run.console);
    assert!(run.text("report.html").contains("Image throughput"));
}

#[test]
fn images_come_from_a_folder_from_addresses_or_from_a_column() {
    let bench = Bench::new();
    let folder = bench.folder.path().join("images");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("a.jpg"), [0xff, 0xd8, 0xff, 0xe0]).expect("a file");
    fs::write(folder.join("b.png"), b"\x89PNG\r\n").expect("a file");
    let (jpeg, png) = ("data:image/jpeg;base64,/9j/4A==", "data:image/png;base64,iVBORw0K");
    let column = bench.folder.path().join("asked.jsonl");
    let lines = [
        json!({ "prompt": "what is it", "max_tokens": 3, "image": "images/b.png" }),
        json!({ "prompt": "and this", "max_tokens": 3, "image": ["http://h/c.png"] }),
    ];
    fs::write(&column, lines.map(|line| line.to_string()).join("\n")).expect("a file");
    let (folder, column) = (folder.display().to_string(), format!("jsonl:{}", column.display()));
    let text = ["--scenario", "D(6,3)", "--tokenizer", &bench.tokenizer];
    let of_folder = [&text[..], &["--image-folder", &folder, "--images-per-request", "3"]].concat();
    let of_urls =
        [&text[..], &["--image-url", "http://h/a.png", "--image-url", "http://h/b.png"]].concat();
    let of_column =
        vec!["--workload", &column, "--workload-order", "file", "--image-column", "image"];
    for (asked, expected) in [
        (of_folder, vec![vec![jpeg, png, jpeg], vec![png, jpeg, png]]),
        (of_urls, vec![vec!["http://h/a.png"], vec!["http://h/b.png"]]),
        (of_column, vec![vec![png], vec!["http://h/c.png"]]),
    ] {
        let server = sees();
        let run = Run::asked(
            &server,
            "chat",
            &[&asked[..], &["--concurrency", "1", "--requests", "2"]].concat(),
        );
        assert_eq!(run.point()["counts"]["completed"], 2, "{}", run.console);
        let sent: Vec<Vec<String>> = posts(&server)[1..].iter().map(images_of).collect();
        assert_eq!(sent, expected);
        assert_eq!(run.point()["images"], expected[0].len(), "{asked:?}");
        // Run again from its own settings, it asks for the same.
        let plan = run.text("plan.csv");
        let again = bench.folder.path().join("again");
        let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
        let settings = run.folder.join("resolved.toml");
        command.args(["run", "--config"]).arg(settings).arg("--out").arg(&again);
        let output = command.output().expect("the binary runs");
        assert!(again.exists(), "{}", words(&output.stderr));
        let rerun =
            fs::read_dir(&again).expect("runs").next().expect("a run").expect("a folder").path();
        assert_eq!(fs::read_to_string(rerun.join("plan.csv")).expect("a plan"), plan);
        fs::remove_dir_all(&again).expect("a folder");
    }
}

#[test]
fn a_task_that_endpoint_or_target_do_not_have_is_refused_by_its_flag() {
    let bench = Bench::new();
    let nowhere = "openai:http://127.0.0.1:9";
    let cases: [(&[&str], &[&str]); 11] = [
        (&["--target", "local:dummy-nano", "--scenario", "E(8)"], &["E(n)", "openai:URL"]),
        (&["--target", "sim:null", "--scenario", "I(8,8)"], &["I(w,h)", "openai:URL"]),
        (&["--target", "null:", "--image-folder", "x"], &["--image-folder", "openai:URL"]),
        (&["--target", nowhere, "--batch-size", "4"], &["--batch-size", "embeddings"]),
        (&["--target", nowhere, "--endpoint", "rerank"], &["--endpoint rerank", "R(doc,query)"]),
        (
            &["--target", nowhere, "--endpoint", "completions", "--scenario", "I(8,8)"],
            &["I(w,h)", "chat"],
        ),
        (
            &["--target", nowhere, "--scenario", "E(8)", "--batch-size", "0"],
            &["--batch-size", "1 to"],
        ),
        (
            &["--target", nowhere, "--scenario", "I(8,8)", "--image-url", "http://h"],
            &["--image-url", "I(w,h)"],
        ),
        (
            &["--target", nowhere, "--images-per-request", "2"],
            &["--images-per-request", "--image-folder"],
        ),
        (&["--target", nowhere, "--image-column", "x"], &["--image-column", "--workload"]),
        (&["--target", nowhere, "--scenario", "I(0,8)"], &["pixels"]),
    ];
    for (asked, parts) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
        command.args(["run", "--model", "m"]).args(asked).current_dir(bench.folder.path());
        let output = command.output().expect("the binary runs");
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{asked:?}: {said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{asked:?}: {said}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(["run", "--target", nowhere, "--model", "m", "--scenario", "R(8,8)"]);
    let output = command.output().expect("the binary runs");
    let said = words(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("--tokenizer FILE"), "{said}");
    assert!(!said.contains("--prompts ids"), "a rerank takes none: {said}");
}
