//! Where does a real Triton come from? From the wheel `nvidia-pytriton`, in a virtual environment below `target/`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[path = "../python/mod.rs"]
mod python;

/// A Triton that runs until its standard input is closed, which happens when this process ends.
pub struct RealTriton {
    pub grpc: String,
    pub http: String,
    /// Requests whose cancellation the model has seen, one id a line.
    pub cancelled: PathBuf,
    _process: Child,
}

fn python_sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/triton_server/python")
}

/// The interpreter of an environment that holds Triton; `None`, after printing why, if the registry cannot be reached.
pub fn python_with_triton() -> Option<PathBuf> {
    // Triton's Python backend breaks on text tensors under numpy 2.
    python::environment("triton-venv", &[&["--no-deps", "nvidia-pytriton==0.7.0"], &["numpy<2"]])
}

impl RealTriton {
    /// Starts one whose models answer with this timing; `None` where it cannot be installed.
    pub fn start(ttft_ms: u32, itl_ms: u32) -> Option<Self> {
        let python = python_with_triton()?;
        let mut process = Command::new(python)
            .arg(python_sources().join("serve.py"))
            .args(["--ttft-ms", &ttft_ms.to_string(), "--itl-ms", &itl_ms.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Triton's script starts");
        let mut line = String::new();
        let out = process.stdout.take().expect("the output is piped");
        BufReader::new(out).read_line(&mut line).expect("the script says something");
        assert!(line.starts_with("READY "), "Triton did not start: {line}");
        let field = |name: &str| {
            let found = line.split_whitespace().find_map(|word| word.strip_prefix(name));
            found.expect("the script says where it listens").to_owned()
        };
        Some(Self {
            grpc: field("grpc="),
            http: field("http="),
            cancelled: field("cancelled=").into(),
            _process: process,
        })
    }
}
