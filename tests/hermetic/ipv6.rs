//! Servers at addresses of IPv6. Names with addresses of both families have claims beside the connector.

use std::net::{Ipv6Addr, TcpListener};
use std::process::Command;

use crate::support::fault_server::{FaultServer, Next, Out};
use crate::support::left_behind::{directory, read, words};
use crate::support::serve_process::Serving;
use crate::support::served_run::{done, tokens};
use serde_json::Value;
use tempfile::TempDir;

/// `None` on a machine whose kernel has no IPv6: there is then nothing to claim.
fn loopback() -> Option<TcpListener> {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok()
}

fn good(out: &mut Out<'_>) -> Next {
    out.stream_head();
    out.raw(tokens(8).concat());
    out.raw(done(8));
    Next::KeepAlive
}

/// A run of twelve requests at this target, and its summary.
fn measured(target: &str, more: &[&str]) -> Value {
    let out = TempDir::new().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "--target", target, "--scenario", "D(4,8)", "--concurrency", "2"])
        .args(["--requests", "12", "--warmup", "0", "--window", "whole"])
        .args(more)
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let told = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{target}: {told}");
    let summary: Value =
        serde_json::from_str(&read(&directory(&out), "summary.json")).expect("JSON");
    summary["points"][0].clone()
}

const AS_SERVED: [&str; 4] = ["--endpoint", "completions", "--model", "m"];

#[test]
fn a_server_at_an_address_of_ipv6_is_measured_like_any_other() {
    let Some(listener) = loopback() else { return };
    let server = FaultServer::start_at(listener, |_, out| good(out));
    let point = measured(&format!("openai:http://[::1]:{}/v1", server.address.port()), &AS_SERVED);
    assert_eq!(point["counts"]["completed"], 12);
    assert_eq!(point["distributions"]["ttft_ms"]["count"], 12);
    let host = format!("[::1]:{}", server.address.port());
    for request in server.requests() {
        assert_eq!(request.header("host"), Some(&*host), "{} {}", request.method, request.path);
    }
}

#[test]
fn our_own_server_listens_on_ipv6_and_is_measured_over_both_protocols() {
    if loopback().is_none() {
        return;
    }
    let served = ["--target", "sim:explicit,base_us=200", "--host", "::1"];
    let server = Serving::start(&served);
    assert!(server.openai.contains("[::1]:"), "{}", server.openai);
    let point = measured(&format!("openai:{}", server.openai), &["--endpoint", "completions"]);
    assert_eq!(point["counts"]["completed"], 12);
    let triton = format!("triton:{}/tensorrt_llm", server.grpc);
    assert_eq!(measured(&triton, &[])["counts"]["completed"], 12);
}
