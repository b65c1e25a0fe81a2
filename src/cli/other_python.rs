//! `--python`: a run goes on as the program of another environment, and a comparison has each side played by a process of its own.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::ArgMatches;

use crate::cli::configuration;
use crate::cli::exit::{Coded, Exit};
use crate::cli::origin::Origins;
use crate::cli::resolve::resolve;
use crate::cli::typed::{RunArgs, Settings};
use crate::experiment::workers::{play_side, side_of_this_process};
use crate::host;
use crate::settings::{DEFAULT_TARGET, Resolved};
use crate::targets::python::interpreter::Interpreter;
use crate::targets::registry;

/// Says that this process is the program of the Python that was named.
const GONE_OVER: &str = "BAREFLIGHT_PYTHON";

/// Plays a side of a comparison, where this process was started for that.
///
/// # Errors
/// When the leading process cannot be reached.
pub fn play_as_asked() -> Coded<Option<Exit>> {
    let Some(socket) = side_of_this_process() else { return Ok(None) };
    play_side(&socket, resolved_text)
        .context("the process that leads the comparison is gone")
        .map_err(|error| (Exit::Failure, error))?;
    Ok(Some(Exit::Ok))
}

fn resolved_text(text: &str) -> Result<Resolved, String> {
    let settings: Settings = toml::from_str(text).map_err(|error| error.to_string())?;
    resolve(&settings).map_err(|error| error.to_string())
}

/// As [`configuration::read_settings`], in the Python that the settings name: this process becomes its program.
///
/// # Errors
/// As there; and when that Python cannot be used.
pub fn read_settings(arguments: &RunArgs, matches: &ArgMatches) -> Coded<(Settings, Origins)> {
    let (mut settings, origins) = configuration::read_settings(arguments, matches)?;
    if let Some(python) = settings.engine.python.take() {
        let target = settings.target.as_deref().unwrap_or(DEFAULT_TARGET);
        refuse_without_python(target).map_err(|error| (Exit::Usage, error))?;
        // Once is enough, whatever that Python calls itself.
        if std::env::var_os(GONE_OVER).is_none() {
            go_over(&python).map_err(|error| (Exit::Preflight, error))?;
        }
    }
    Ok((settings, origins))
}

/// A flag that only engines in Python have.
fn refuse_without_python(target: &str) -> anyhow::Result<()> {
    if registry::abilities_of(target).in_python.is_some() {
        return Ok(());
    }
    Err(anyhow!(
        "target `{target}` has no `--python`: leave it out, or measure `vllm:`, `trtllm-torch:` or `py:`"
    ))
}

/// Becomes the program of another Python, with the same arguments.
fn go_over(python: &Path) -> anyhow::Result<()> {
    let interpreter = Interpreter::new(python);
    interpreter.has_this_version().map_err(|words| anyhow!("`--python`: {words}"))?;
    let mut program = interpreter.program();
    program.args(host::arguments().into_iter().skip(1)).env(GONE_OVER, python);
    if let Some(results) = host::results() {
        // Where Python holds this program, its standard output belongs to engines.
        program.stdout(results.try_clone().context("standard output cannot be handed on")?);
    }
    let error = program.exec();
    Err(error).with_context(|| format!("`{}` cannot be started", python.display()))
}

/// The Python of each side: of the last `--python` between its `--target` and the next one, else of the one before all targets
/// where the side has an engine in Python; `of_file` stands where none is typed.
///
/// # Errors
/// When a side would have two, or one that cannot have any.
pub fn of_sides(
    matches: &ArgMatches,
    targets: &[&String],
    of_file: Option<&Path>,
) -> anyhow::Result<Vec<Option<PathBuf>>> {
    let places = |name: &str| matches.indices_of(name).into_iter().flatten().collect::<Vec<_>>();
    let typed: Vec<&PathBuf> = matches.get_many("python").map_or_else(Vec::new, Iterator::collect);
    match of_file.map(Path::to_owned).filter(|_| typed.is_empty()) {
        Some(python) => divided(targets, &places("target"), &[&python], &[0]),
        None => divided(targets, &places("target"), &typed, &places("python")),
    }
}

/// What a process of its own does not play.
///
/// # Errors
/// It names it, and the remedy.
pub fn check_side(side: &Resolved) -> anyhow::Result<()> {
    if side.engine.python.is_none() {
        return Ok(());
    }
    for (given, what) in [
        (side.workload.is_conversation(), "conversations"),
        (side.has_stages_of_a_closed_loop(), "`--stages` of a closed loop"),
        (side.engine.kv_events.is_some(), "events of the KV cache (`--kv-events`)"),
    ] {
        if given {
            return Err(anyhow!(
                "{what} are not available in the process of another environment: leave out `--python`, and start the `bareflight` of \
                 the engine's environment"
            ));
        }
    }
    Ok(())
}

fn divided(
    targets: &[&String],
    targets_at: &[usize],
    given: &[&PathBuf],
    given_at: &[usize],
) -> anyhow::Result<Vec<Option<PathBuf>>> {
    let mut of_all: Option<&PathBuf> = None;
    let mut own: Vec<Option<PathBuf>> = vec![None; targets.len()];
    for (python, at) in given.iter().zip(given_at) {
        let before = targets_at.iter().filter(|target| *target < at).count();
        let Some(side) = before.checked_sub(1) else {
            if of_all.replace(python).is_some() {
                return Err(anyhow!(
                    "`--python` comes twice before the first `--target`: give one"
                ));
            }
            continue;
        };
        refuse_without_python(targets[side])?;
        if own[side].replace((*python).clone()).is_some() {
            return Err(anyhow!("`{}` has two `--python`: give one behind it", targets[side]));
        }
    }
    let has_engine = |target: &str| registry::abilities_of(target).in_python.is_some();
    for (own, target) in own.iter_mut().zip(targets) {
        if own.is_none() && has_engine(target) {
            *own = of_all.cloned();
        }
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(targets: &[&str], at: &[usize], given: &[(&str, usize)]) -> Result<Vec<String>, String> {
        let targets: Vec<String> = targets.iter().map(|it| (*it).to_owned()).collect();
        let paths: Vec<PathBuf> = given.iter().map(|(path, _)| PathBuf::from(path)).collect();
        let given_at: Vec<usize> = given.iter().map(|(_, at)| *at).collect();
        let (targets, paths): (Vec<_>, Vec<_>) = (targets.iter().collect(), paths.iter().collect());
        divided(&targets, at, &paths, &given_at)
            .map(|all| {
                let text = |it: Option<PathBuf>| {
                    it.map_or_else(String::new, |it| it.display().to_string())
                };
                all.into_iter().map(text).collect()
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_python_belongs_to_the_target_before_it_or_to_all_engines_in_python() {
        let two = ["vllm:/m", "vllm:/m"];
        assert_eq!(of(&two, &[1, 5], &[("a", 3), ("b", 7)]), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(of(&two, &[3, 7], &[("a", 1), ("b", 9)]), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(of(&two, &[1, 5], &[("b", 7)]), Ok(vec![String::new(), "b".into()]));
        let mixed = ["vllm:/m", "openai:http://h/v1"];
        assert_eq!(of(&mixed, &[3, 5], &[("a", 1)]), Ok(vec!["a".into(), String::new()]));
    }

    #[test]
    fn a_python_that_no_side_or_another_one_has_is_refused_by_name() {
        let two = ["vllm:/m", "openai:http://h/v1"];
        let error = of(&two, &[1, 3], &[("a", 5)]).expect_err("a server has none");
        assert!(error.contains("`openai:http://h/v1` has no `--python`"), "{error}");
        let error = of(&two, &[1, 7], &[("a", 3), ("b", 5)]).expect_err("two");
        assert!(error.contains("`vllm:/m` has two `--python`"), "{error}");
    }
}
