//! Chromium without a window, driven over pipes by the DevTools protocol.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::serve_process::PATIENCE;

/// A program named here is taken instead of those that are looked for.
const VARIABLE: &str = "BAREFLIGHT_CHROMIUM";
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// A browser with one open tab. It ends with this value.
pub struct Chromium {
    process: Child,
    orders: ChildStdin,
    messages: Receiver<Value>,
    number: u64,
    session: Value,
    /// What has happened in the tab since the last navigation.
    events: Vec<Value>,
    _profile: TempDir,
}

/// The program, from the variable or from `PATH`.
fn program() -> OsString {
    if let Some(named) = std::env::var_os(VARIABLE) {
        return named;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let there = |name: &&str| folders.iter().any(|folder| folder.join(name).is_file());
    let found = NAMES.into_iter().find(there);
    found
        .unwrap_or_else(|| {
            panic!("no Chromium on this machine: run `.ci/setup test`, or name one in {VARIABLE}")
        })
        .into()
}

impl Chromium {
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        // Its pipes are descriptors 3 and 4, which a shell can make of its standard input and output.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"])
            .arg(program())
            .args(["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let orders = process.stdin.take().expect("piped");
        let mut answers = BufReader::new(process.stdout.take().expect("piped"));
        let (tell, messages) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            while answers.read_until(0, &mut bytes).is_ok_and(|read| read > 0) {
                let message = serde_json::from_slice(bytes.strip_suffix(&[0]).unwrap_or(&bytes));
                if message.is_ok_and(|message| tell.send(message).is_err()) {
                    return;
                }
                bytes.clear();
            }
        });
        let mut browser = Self {
            process,
            orders,
            messages,
            number: 0,
            session: Value::Null,
            events: Vec::new(),
            _profile: profile,
        };
        browser.open_tab();
        browser
    }

    fn open_tab(&mut self) {
        let tab = self.ask("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": tab["targetId"], "flatten": true});
        self.session = self.ask("Target.attachToTarget", &attach)["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.ask(&format!("{domain}.enable"), &json!({}));
        }
    }

    /// The answer to one order.
    pub fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.number += 1;
        let mut order = json!({"id": self.number, "method": method, "params": parameters});
        if !self.session.is_null() {
            order["sessionId"] = self.session.clone();
        }
        let mut bytes = order.to_string().into_bytes();
        bytes.push(0);
        self.orders.write_all(&bytes).expect("Chromium takes orders");
        loop {
            let message = self.message(method);
            if message["id"] == self.number {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn message(&self, wanted: &str) -> Value {
        let message = self.messages.recv_timeout(PATIENCE);
        message.unwrap_or_else(|error| panic!("Chromium says nothing to {wanted}: {error}"))
    }

    /// Opens a file, and says what it asked for beside itself and what it complained of.
    pub fn open(&mut self, file: &Path) -> Vec<String> {
        self.events.clear();
        let url = format!("file://{}", file.display());
        let answer = self.ask("Page.navigate", &json!({"url": url}));
        assert!(answer["errorText"].is_null(), "{answer}");
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.message("Page.navigate");
            self.events.push(event);
        }
        self.events.iter().filter_map(|event| complaint(event, &url)).collect()
    }

    /// What a JavaScript expression comes to.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let order = json!({"expression": expression, "returnByValue": true});
        let answer = self.ask("Runtime.evaluate", &order);
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// The whole page as PNG.
    pub fn screenshot(&mut self) -> Vec<u8> {
        let order = json!({"format": "png", "captureBeyondViewport": true});
        bytes_of(&self.ask("Page.captureScreenshot", &order)["data"])
    }

    /// The whole page as PDF on A4.
    pub fn paper(&mut self) -> Vec<u8> {
        let order = json!({"printBackground": true, "paperWidth": 8.27, "paperHeight": 11.69});
        bytes_of(&self.ask("Page.printToPDF", &order)["data"])
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// A request for anything but the page, an entry of the log, a word on the console or an exception.
fn complaint(event: &Value, url: &str) -> Option<String> {
    let parameters = &event["params"];
    match event["method"].as_str()? {
        "Network.requestWillBeSent" if parameters["request"]["url"] == url => None,
        "Network.requestWillBeSent" => Some(format!("asks for {}", parameters["request"]["url"])),
        "Log.entryAdded" => Some(format!("log: {}", parameters["entry"]["text"])),
        "Runtime.consoleAPICalled" => Some(format!("console: {}", parameters["args"])),
        "Runtime.exceptionThrown" => Some(format!("exception: {}", parameters["exceptionDetails"])),
        _ => None,
    }
}

/// The bytes behind base64.
fn bytes_of(text: &Value) -> Vec<u8> {
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for letter in text.as_str().expect("base64").bytes() {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        held = (held << 6 | u32::from(six)) & 0xf_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    bytes
}
