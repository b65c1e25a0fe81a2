//! A run of the binary against a server of the test, and pieces of good answers.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;

use serde_json::Value;
use tempfile::TempDir;

use super::fault_server::{FaultServer, Next, Out, pause};

/// A run that has ended.
pub struct Run {
    out: Rc<TempDir>,
    pub folder: PathBuf,
    pub console: String,
}

impl Run {
    /// So many requests of 8 tokens, one after the other.
    pub fn of(server: &FaultServer, requests: u32, more: &[&str]) -> Self {
        let target = format!("openai:{}", server.url());
        Self::at(&target, Rc::new(TempDir::new().unwrap()), requests, more)
    }

    /// The same at another endpoint.
    pub fn of_endpoint(server: &FaultServer, endpoint: &str, requests: u32, more: &[&str]) -> Self {
        let target = format!("openai:{}", server.url());
        Self::at_endpoint(&target, endpoint, Rc::new(TempDir::new().unwrap()), requests, more)
    }

    /// One more of the same kind, beside this one.
    pub fn again(&self, server: &FaultServer, requests: u32, more: &[&str]) -> Self {
        Self::at(&format!("openai:{}", server.url()), Rc::clone(&self.out), requests, more)
    }

    fn at(target: &str, out: Rc<TempDir>, requests: u32, more: &[&str]) -> Self {
        Self::at_endpoint(target, "completions", out, requests, more)
    }

    fn at_endpoint(
        target: &str,
        endpoint: &str,
        out: Rc<TempDir>,
        requests: u32,
        more: &[&str],
    ) -> Self {
        let requests = requests.to_string();
        let load = ["--scenario", "D(4,8)", "--concurrency", "1", "--requests", &requests];
        Self::with(target, endpoint, out, &[&load[..], more].concat())
    }

    /// A run of exactly what is asked, at an endpoint.
    pub fn asked(server: &FaultServer, endpoint: &str, asked: &[&str]) -> Self {
        let target = format!("openai:{}", server.url());
        Self::with(&target, endpoint, Rc::new(TempDir::new().unwrap()), asked)
    }

    fn with(target: &str, endpoint: &str, out: Rc<TempDir>, asked: &[&str]) -> Self {
        let before = folders(&out);
        let ended = Command::new(env!("CARGO_BIN_EXE_bareflight"))
            .args(["run", "--target", target, "--endpoint", endpoint, "--model", "m"])
            .args(["--warmup", "0", "--window", "whole"])
            .args(asked)
            .current_dir(out.path())
            .output()
            .expect("the binary runs");
        let console = format!(
            "{}{}",
            String::from_utf8_lossy(&ended.stdout),
            String::from_utf8_lossy(&ended.stderr)
        );
        let new = folders(&out).into_iter().find(|folder| !before.contains(folder));
        let folder = new.unwrap_or_else(|| panic!("{console}"));
        Self { out, folder, console }
    }

    pub fn point(&self) -> Value {
        let text = fs::read_to_string(self.folder.join("summary.json")).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        document["points"][0].clone()
    }

    /// A check of the point.
    pub fn check(&self, id: &str) -> Value {
        let point = self.point();
        let checks = point["checks"].as_array().unwrap();
        checks.iter().find(|check| check["id"] == id).unwrap().clone()
    }

    /// A file as text.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }

    pub fn manifest(&self) -> Value {
        let text = fs::read_to_string(self.folder.join("manifest.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// A column of `requests.csv`.
    pub fn column(&self, name: &str) -> Vec<String> {
        let mut rows = csv::Reader::from_path(self.folder.join("requests.csv")).unwrap();
        let place = rows.headers().unwrap().iter().position(|column| column == name).unwrap();
        rows.records().map(|row| row.unwrap()[place].to_owned()).collect()
    }
}

pub fn token(text: &str, finish: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"text":"{text}","finish_reason":{finish}}}]}}"#)
}

pub fn chunk_of(event: &str) -> String {
    let event = format!("data: {event}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}

pub fn tokens(count: usize) -> Vec<String> {
    let finish = |index| if index + 1 == count { "\"length\"" } else { "null" };
    (0..count).map(|index| chunk_of(&token(" a", finish(index)))).collect()
}

pub fn usage(tokens: usize) -> String {
    let usage = format!(r#"{{"prompt_tokens":4,"completion_tokens":{tokens}}}"#);
    chunk_of(&format!(r#"{{"choices":[],"usage":{usage}}}"#))
}

pub fn done(count: usize) -> String {
    format!("{}{}0\r\n\r\n", usage(count), chunk_of("[DONE]"))
}

/// Folders of runs that there are.
fn folders(out: &TempDir) -> Vec<PathBuf> {
    let runs = fs::read_dir(out.path().join("runs")).into_iter().flatten().flatten();
    runs.map(|entry| entry.path()).collect()
}

/// A good answer of 8 tokens, some milliseconds apart.
pub fn good(out: &mut Out<'_>) -> Next {
    out.stream_head();
    for token in tokens(8) {
        out.raw(token);
        pause(2);
    }
    out.raw(done(8));
    Next::KeepAlive
}
