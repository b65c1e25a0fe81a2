//! Prometheus' view of a run: while it goes on, and as a file at its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::left_behind::{directory, read, words};

/// The page, where somebody answers by now.
fn page(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
fn a_run_answers_while_it_goes_on_and_leaves_its_results_in_a_file() {
    let out = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "-q", "--target", "sim:explicit,base_us=2000", "--isl=16", "--osl=8"])
        .args(["--concurrency=2", "--duration=4s", "--prometheus", "127.0.0.1:0"])
        .current_dir(out.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut errors = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    errors.read_line(&mut said).expect("text");
    let address = said.split("metrics at http://").nth(1).and_then(|rest| rest.split('/').next());
    let address = address.unwrap_or_else(|| panic!("it says where: {said}")).to_owned();
    let until = Instant::now() + Duration::from_secs(60);
    let seen = loop {
        let seen =
            page(&address).filter(|text| text.contains("bareflight_live_submitted_total{point="));
        if seen.is_some() || Instant::now() > until {
            break seen;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    if seen.is_none() {
        let _gone = child.kill();
    }
    errors.read_to_string(&mut said).expect("text");
    child.wait_with_output().expect("it ends");
    let seen = seen.unwrap_or_else(|| panic!("nobody answered: {said}"));
    assert!(seen.contains("bareflight_info{version="), "{seen}");
    assert!(seen.contains("marks=\"simulated\""), "known before a point has ended: {seen}");
    let file = read(&directory(&out), "metrics.prom");
    assert!(
        file.contains("bareflight_ttft_seconds{point=\"concurrency 2\",quantile=\"0.5\"}"),
        "{file}"
    );
    assert!(file.contains("bareflight_output_throughput_tokens_per_s{point=\"concurrency 2\"}"));
    assert!(file.contains("code=\"W041\""), "{file}");
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn a_port_that_is_taken_is_told_before_any_load_is_sent() {
    let out = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "--target", "sim:null", "--prometheus", &address])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let said = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&address) && said.contains("choose another port"), "{said}");
    assert!(!out.path().join("runs").exists(), "no run was begun");
}
