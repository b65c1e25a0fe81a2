//! Interpreter of another environment: what an engine is and how it is served is asked in a process of its own.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde::Deserialize;
use serde_json::json;

use crate::console::shell_word;
use crate::host::VERSION;
use crate::targets::python::engine_end::EngineEnd;
use crate::targets::python::host::{Asked, PythonHost};

/// A Python that is not this process.
#[derive(Debug, Clone)]
pub struct Interpreter(PathBuf);

/// What it says.
#[derive(Debug, Deserialize)]
struct Answer {
    version: String,
    answered: bool,
    text: String,
}

impl Interpreter {
    /// With this path, as `--python` has it.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its program `bareflight`; arguments follow.
    pub fn program(&self) -> Command {
        let mut command = Command::new(&self.0);
        command.args(["-m", "bareflight"]);
        command
    }

    /// That it has this version of the program.
    ///
    /// # Errors
    /// With the command that installs it.
    pub fn has_this_version(&self) -> Result<(), String> {
        let nothing = Asked { module: String::new(), model: String::new(), settings: "{}".into() };
        self.ask("version", &nothing, None).map(drop)
    }

    fn ask(&self, what: &str, asked: &Asked, name: Option<&str>) -> Result<String, String> {
        let Asked { module, model, settings } = asked;
        let question = json!({
            "ask": what, "module": module, "model": model, "settings": settings, "name": name
        });
        let output = self.run(&question.to_string()).map_err(|error| {
            let path = self.0.display();
            format!("`{path}` cannot be started ({error}): name a Python with `--python`, such as ENVIRONMENT/bin/python")
        })?;
        if !output.status.success() {
            return Err(self.why(&output));
        }
        let answer: Answer = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("what `{}` answers: {error}", self.0.display()))?;
        if answer.version != VERSION {
            return Err(format!(
                "`{}` has bareflight {}, and this is {VERSION}: {}",
                self.0.display(),
                answer.version,
                self.remedy()
            ));
        }
        if answer.answered { Ok(answer.text) } else { Err(answer.text) }
    }

    fn run(&self, question: &str) -> io::Result<Output> {
        let mut child = Command::new(&self.0)
            .args(["-m", "bareflight.ask"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        // A process that ends before it has read all says why on its own.
        let _it_has_ended = stdin.map(|mut to| to.write_all(question.as_bytes()));
        child.wait_with_output()
    }

    /// Why nothing was answered.
    fn why(&self, output: &Output) -> String {
        let words = String::from_utf8_lossy(&output.stderr);
        let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
        let path = self.0.display();
        if last.contains("No module named") && last.contains("bareflight") {
            return format!("`{path}` has no bareflight: {}", self.remedy());
        }
        format!("`{path} -m bareflight.ask` ended with {}; its last words: {last}", output.status)
    }

    fn remedy(&self) -> String {
        format!(
            "run `{} -m pip install .` in bareflight's source folder",
            shell_word::path(&self.0)
        )
    }
}

impl PythonHost for Interpreter {
    fn describe(&self, asked: &Asked) -> Result<String, String> {
        self.ask("describe", asked, None)
    }

    fn examine(&self, _module: &str) -> Result<Vec<(String, String)>, String> {
        Err(self.itself("doctor"))
    }

    fn check(&self, _asked: &Asked) -> Result<String, String> {
        Err(self.itself("adapter check"))
    }

    fn served(&self, asked: &Asked, name: &str) -> Result<String, String> {
        self.ask("served", asked, Some(name))
    }

    fn start(&self, _asked: &Asked, _end: EngineEnd) -> Result<(), String> {
        Err(format!("an engine of `{}` is opened in a child process", self.0.display()))
    }
}

impl Interpreter {
    /// What this program does not do for another environment.
    fn itself(&self, command: &str) -> String {
        let path = shell_word::path(&self.0);
        format!("`{command}` looks at its own environment: run `{path} -m bareflight {command}`")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn says(script: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("python");
        fs::write(&path, format!("#!/bin/sh\ncat > /dev/null\n{script}\n")).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it may run");
        let said = Interpreter::new(&path).has_this_version();
        said.map_or_else(|words| words, |()| "it has it".into())
    }

    #[test]
    fn a_python_without_this_program_is_an_error_with_the_command_that_installs_it() {
        let said = says("echo 'x: No module named bareflight' >&2; exit 1");
        assert!(said.contains("has no bareflight") && said.contains("-m pip install ."), "{said}");
        let old = says(r#"echo '{"version":"0.0.1","answered":true,"text":""}'"#);
        assert!(old.contains("bareflight 0.0.1") && old.contains("-m pip install ."), "{old}");
        let other = says("echo 'Segmentation fault' >&2; exit 139");
        assert!(other.contains("its last words: Segmentation fault"), "{other}");
        let now = says(&format!(r#"echo '{{"version":"{VERSION}","answered":true,"text":""}}'"#));
        assert_eq!(now, "it has it");
        let gone = Interpreter::new(Path::new("/no/python"))
            .has_this_version()
            .expect_err("it is not there");
        assert!(gone.contains("`/no/python` cannot be started"), "{gone}");
    }
}
