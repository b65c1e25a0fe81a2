//! `RepositoryIndex` of `bareflight serve`, over the wire: which models there are, for clients that look before they ask.

use bareflight::targets::triton::kserve::{
    ModelIndex, RepositoryIndex, RepositoryIndexRequest, path,
};
use bytes::{BufMut, Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use serde_json::json;

use crate::support::serve_process::Serving;

/// The models that a server lists, or the status that it gives instead.
fn index(
    serving: &Serving,
    key: &str,
    asked: &RepositoryIndexRequest,
) -> Result<Vec<ModelIndex>, String> {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(asked.encoded_len() as u32);
    asked.encode(&mut framed).expect("there is room");
    let request = Request::post(format!("http://{}{}", serving.grpc, path::REPOSITORY_INDEX))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {key}"))
        .body(Full::new(framed.freeze()))
        .expect("a request");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let stream = tokio::net::TcpStream::connect(&serving.grpc).await.expect("it listens");
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("HTTP/2");
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.expect("it answers").into_parts();
        let whole = body.collect().await.expect("a body");
        let trailers = whole.trailers().cloned().unwrap_or_default();
        let said = |name: &str| {
            let value = trailers.get(name).or_else(|| head.headers.get(name));
            value.map(|value| value.to_str().expect("a text").to_owned())
        };
        if said("grpc-status").as_deref() != Some("0") {
            return Err(said("grpc-message").expect("words"));
        }
        let bytes: Bytes = whole.to_bytes();
        Ok(RepositoryIndex::decode(&bytes[5..]).expect("the message").models)
    })
}

fn states(models: &[ModelIndex]) -> Vec<(&str, &str, &str)> {
    models.iter().map(|it| (&*it.name, &*it.version, &*it.state)).collect()
}

#[test]
fn the_index_lists_every_model_that_can_be_asked_and_wants_the_key_as_they_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    std::fs::write(&path, "sk-house").expect("the folder is ours");
    let key = path.to_str().expect("a plain path");
    let target = ["--target", "sim:explicit,base_us=200", "--api-key-file", key];
    let serving = Serving::start(&target);
    for ready in [false, true] {
        let asked = RepositoryIndexRequest { ready, ..RepositoryIndexRequest::default() };
        let models = index(&serving, "sk-house", &asked).expect("an index");
        let each = [("ensemble", "1", "READY"), ("tensorrt_llm", "1", "READY")];
        let mut listed = states(&models);
        listed.sort_unstable();
        assert_eq!(listed, each);
    }
    let refused = index(&serving, "sk-other", &RepositoryIndexRequest::default());
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn a_server_that_is_stopping_lists_its_models_as_not_available() {
    let mut serving = Serving::start(&["--target", "sim:explicit,base_us=100000"]);
    let ask = json!({ "prompt": [1], "max_tokens": 20, "ignore_eos": true, "stream": true });
    let running = serving.send("POST", "/v1/completions", "", &ask.to_string());
    serving.wait_for("bareflight_requests_total", 1.0);
    serving.terminate();
    let all = RepositoryIndexRequest::default();
    let ready = RepositoryIndexRequest { ready: true, ..all.clone() };
    // The signal may not have come yet.
    while states(&index(&serving, "", &all).expect("an index")).iter().any(|it| it.2 == "READY") {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let models = index(&serving, "", &all).expect("an index");
    assert!(models.iter().all(|model| model.state == "UNAVAILABLE") && models.len() == 2);
    assert!(index(&serving, "", &ready).expect("an index").is_empty());
    drop(running);
    assert_eq!(serving.exit_code(), Some(0));
}
