//! Launched server: started, awaited, and stopped with everything that it has started.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::clock::{self, Nanos, now, utc_now};
use crate::console;
use crate::experiment::launch::echo::Echo;
use crate::experiment::launch::guard::{Ended, Order, StopSignal};
use crate::experiment::launch::guarded::{End, Guarded};
use crate::experiment::launch::last_lines::LastLines;
use crate::experiment::launch::places::Places;
use crate::experiment::launch::preset::{LaunchPlan, ReadyWhen};
use crate::experiment::launch::readiness::{Seen, Watcher, is_open};
use crate::experiment::launch::{program, version};
use crate::issue::stop::Stop;
use crate::settings::human_duration::HumanDuration;
use crate::settings::launch::LaunchSettings;
use crate::settings::masking;
use crate::store::launch_file::{LaunchFacts, LaunchFile};
use crate::store::run_directory::{RunDirectory, file};
use crate::store::write::{WriteError, write_whole};
use crate::threads::Own;

/// Between two looks whether it is ready.
const PERIOD: Nanos = Nanos::from_millis(100);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A program is not there.
    #[error(
        "`--launch`: there is no program `{0}`: install it, put its folder into `PATH` (`--env PATH=…`), or write its whole path"
    )]
    NoProgram(String),
    /// A file that is there is none.
    #[error(
        "`--launch`: `{0}` is there and cannot be run: it must be a file, and executable (`chmod +x`)"
    )]
    NotExecutable(String),
    /// Somebody else listens where it should.
    #[error(
        "`--launch`: something listens at 127.0.0.1:{0} before the server is started, and would be measured in its place: stop it, or \
         write `{{port}}` for a port that is free"
    )]
    PortTaken(String),
    /// The system refuses.
    #[error("`--launch`: `{command}` cannot be started: {source}")]
    Start {
        /// What should have been started.
        command: String,
        /// Why not.
        source: io::Error,
    },
    /// A file of the launch.
    #[error("`--launch`: {0}")]
    Write(#[from] WriteError),
    /// It ended before it was ready.
    #[error(
        "the launched server `{command}` ended with {ended} after {after}, before it was ready; {log}\nmend its command line, \
         its model or its environment, and see the whole log"
    )]
    Died {
        /// Its command line.
        command: String,
        /// How.
        ended: Ended,
        /// Since it was started.
        after: HumanDuration,
        /// The last lines of its log.
        log: Box<LastLines>,
    },
    /// It took too long.
    #[error(
        "the launched server `{command}` was not ready within {limit} (`--ready-timeout`): awaited was that {when}, and {seen}; {log}\n\
         give it more time, or say with `--ready-path` or `--ready-log` how it is known to be ready"
    )]
    NotReady {
        /// Its command line.
        command: String,
        /// The limit.
        limit: HumanDuration,
        /// What was awaited.
        when: String,
        /// What was seen instead.
        seen: String,
        /// The last lines of its log.
        log: Box<LastLines>,
    },
    /// The user did not want to wait.
    #[error("interrupted while the launched server was loading; it was stopped")]
    Interrupted,
}

/// A server that is ready; stopped when it is let go.
#[derive(Debug)]
pub struct LaunchedServer {
    guarded: Option<Guarded>,
    settings: LaunchSettings,
    argv: Vec<String>,
    env: Vec<(String, String)>,
    ready: ReadyWhen,
    file: LaunchFile,
    /// Where its log was begun.
    loading: PathBuf,
    /// Where its log is.
    folder: PathBuf,
    places: Places,
    /// Its profiler writes where its log was begun, at its end; or its own files are there.
    keeps_folder: bool,
    echo: Option<Echo>,
}

impl LaunchedServer {
    /// Starts a server and waits until it is ready. Its log and `launch.json` are in `folder`, of which the run takes them over.
    ///
    /// # Errors
    /// When it cannot be started or does not become ready; nothing of it is left then.
    pub fn start(
        plan: &LaunchPlan,
        settings: &LaunchSettings,
        folder: &Path,
        stop: &Stop,
    ) -> Result<Self, LaunchError> {
        check_programs(plan, settings)?;
        let shown = masking::arguments(&plan.argv).join(" ");
        let failed = |source| LaunchError::Start { command: shown.clone(), source };
        let folder = folder.canonicalize().map_err(failed)?;
        let places = Places::free(&folder).map_err(failed)?;
        let argv: Vec<String> = plan.argv.iter().map(|word| places.fill(word)).collect();
        let env: Vec<(String, String)> =
            settings.env.iter().map(|(name, value)| (name.clone(), places.fill(value))).collect();
        let ready = filled(&plan.ready, &places);
        let facts = LaunchFacts {
            name: plan.name.clone(),
            command_line: masking::arguments(&argv),
            env: masked(env.iter().cloned()),
            version: None,
            target: places.fill(&plan.target),
            pid: 0,
            started: String::new(),
            ready_when: ready.to_string(),
            ready_after_s: None,
        };
        let file = LaunchFile {
            facts,
            inherited_env: masked(std::env::vars_os().map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })),
            starts: 0,
            ended: None,
            stopped_by: None,
            stopped_after_s: None,
            left_behind: Vec::new(),
        };
        let has_files = settings.twin.as_ref().is_some_and(|twin| !twin.files.is_empty());
        let mut server = Self {
            guarded: None,
            settings: settings.clone(),
            argv,
            env,
            ready,
            file,
            loading: folder.clone(),
            folder,
            places,
            keeps_folder: settings.profile.is_some() || has_files,
            echo: None,
        };
        let log_before = server.begin()?;
        let is_loading = Arc::new(AtomicBool::new(true));
        let asked = ask_version(plan, &server.env, &server.folder, Arc::clone(&is_loading));
        let outcome = server.wait_until_ready(log_before, stop);
        is_loading.store(false, Ordering::Relaxed);
        server.file.facts.version = asked.and_then(|asking| asking.join().ok().flatten());
        server.note_ready(outcome)?;
        Ok(server)
    }

    /// Starts it again at the same places, where it was stopped, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart(&mut self, stop: &Stop) -> Result<(), LaunchError> {
        if self.guarded.is_some() {
            return Ok(());
        }
        let log_before = self.begin()?;
        let outcome = self.wait_until_ready(log_before, stop);
        self.note_ready(outcome)
    }

    /// Starts its process. Returns how long its log was before.
    fn begin(&mut self) -> Result<u64, LaunchError> {
        let shown = self.file.facts.command_line.join(" ");
        let failed = |source| LaunchError::Start { command: shown.clone(), source };
        if let Some(twin) = self.settings.twin.as_ref().filter(|twin| !twin.files.is_empty()) {
            // It is gone where the run has taken its files over.
            fs::create_dir_all(&self.places.folder).map_err(failed)?;
            for (path, text) in &twin.files {
                write_whole(Path::new(&self.places.fill(path)), text.as_bytes())?;
            }
        }
        if let Some(port) = self.ready.port().filter(|port| is_open(port)) {
            return Err(LaunchError::PortTaken(port.to_owned()));
        }
        let log = self.log();
        let log_before = fs::metadata(&log).map_or(0, |it| it.len());
        let patience_ms = (self.settings.stop_timeout.0 / 1_000_000).unsigned_abs();
        let (argv, env) = (self.argv.clone(), self.env.clone());
        let order = Order { argv, env, log: log.clone(), patience_ms };
        self.file.facts.started = utc_now().to_string();
        let guarded = Guarded::start(&order).map_err(failed)?;
        self.file.facts.pid = guarded.pid();
        self.file.starts += 1;
        (self.file.ended, self.file.stopped_by, self.file.stopped_after_s) = (None, None, None);
        self.guarded = Some(guarded);
        if self.settings.log_server {
            self.echo = Some(Echo::start(&log, log_before).map_err(failed)?);
        }
        self.write()?;
        Ok(log_before)
    }

    /// Writes that it is ready, or stops what is left of it.
    fn note_ready(&mut self, outcome: Result<Nanos, LaunchError>) -> Result<(), LaunchError> {
        match outcome {
            Ok(after) => {
                self.file.facts.ready_after_s = Some(after.as_secs_f64());
                self.write()?;
                Ok(())
            }
            Err(error) => {
                self.stop();
                Err(error)
            }
        }
    }

    fn wait_until_ready(&self, log_before: u64, stop: &Stop) -> Result<Nanos, LaunchError> {
        let (ready, settings) = (&self.ready, &self.settings);
        let begun = now();
        let log = self.log();
        let mut watcher = Watcher::new(ready, &log).after(log_before);
        let command = || self.file.facts.command_line.join(" ");
        loop {
            // Whatever listens there is another one where ours has ended.
            let death = self.guarded.as_ref().and_then(Guarded::death);
            if let Some(ended) = death {
                let after = rounded(now() - begun);
                let log = Box::new(LastLines::of(&log));
                return Err(LaunchError::Died { command: command(), ended, after, log });
            }
            let seen = match watcher.look() {
                Seen::Ready => return Ok(now() - begun),
                Seen::NotYet(words) => words,
            };
            if stop.is_asked() {
                return Err(LaunchError::Interrupted);
            }
            if now() - begun >= settings.ready_timeout {
                return Err(LaunchError::NotReady {
                    command: command(),
                    limit: HumanDuration(settings.ready_timeout),
                    when: ready.to_string(),
                    seen,
                    log: Box::new(LastLines::of(&log)),
                });
            }
            clock::sleep(PERIOD);
        }
    }

    /// What is known of it.
    pub fn facts(&self) -> &LaunchFacts {
        &self.file.facts
    }

    /// Where its ports are.
    pub fn places(&self) -> &Places {
        &self.places
    }

    fn log(&self) -> PathBuf {
        self.folder.join(file::SERVER_LOG)
    }

    /// From now on its death ends the run, which then says so.
    pub fn fail_at_death(&self, stop: &Stop) {
        let stop = stop.clone();
        let duty = move |ended: Ended| {
            stop.fail(format!("the launched server ended during the run with {ended}"));
        };
        if let Some(guarded) = &self.guarded {
            guarded.at_death(Box::new(duty));
        }
    }

    /// Moves its log and `launch.json` into the folder of the run; it goes on writing there.
    ///
    /// # Errors
    /// When they cannot be moved.
    pub fn move_into(&mut self, directory: &RunDirectory) -> io::Result<()> {
        let to = directory.path().canonicalize()?;
        for name in [file::SERVER_LOG, file::LAUNCH] {
            keep_earlier(&to, name)?;
            fs::rename(self.folder.join(name), to.join(name))?;
        }
        self.folder = to;
        if !self.keeps_folder {
            // Nothing is in it any more; a folder that stays is no harm.
            let _not_empty = fs::remove_dir(&self.loading);
        }
        Ok(())
    }

    /// Ends it with everything that it has started, and writes how.
    pub fn stop(&mut self) {
        let Some(guarded) = self.guarded.take() else { return };
        let (ended, end) = guarded.stop();
        self.echo = None;
        self.file.ended = ended.map(|ended| ended.to_string());
        match end {
            Some(End::Gone { signal, after }) => {
                self.file.stopped_by = signal.map(|signal| signal.name().to_owned());
                self.file.stopped_after_s = signal.map(|_| after.as_secs_f64());
                if signal == Some(StopSignal::Kill) {
                    console::print_notice(format_args!(
                        "the launched server did not end when it was asked to, and was killed"
                    ));
                }
            }
            Some(End::Left(pids)) => {
                console::print_notice(format_args!(
                    "processes of the launched server outlived SIGKILL: {pids:?}: look at them with `ps`"
                ));
                self.file.left_behind = pids;
            }
            None => {}
        }
        if let Err(error) = self.write() {
            console::print_notice(format_args!("{error}"));
        }
        self.take_over_what_is_left();
    }

    /// What a profiler wrote at the end goes to the run too.
    fn take_over_what_is_left(&self) {
        if self.loading == self.folder {
            return;
        }
        let entries = fs::read_dir(&self.loading).into_iter().flatten().flatten();
        for entry in entries {
            if let Err(error) = fs::rename(entry.path(), self.folder.join(entry.file_name())) {
                let path = entry.path();
                console::print_notice(format_args!("`{}` stays there: {error}", path.display()));
            }
        }
        let _not_empty = fs::remove_dir(&self.loading);
    }

    /// The end of its log, in words.
    pub fn last_lines(&self) -> LastLines {
        LastLines::of(&self.log())
    }

    fn write(&self) -> Result<(), WriteError> {
        write_whole(&self.folder.join(file::LAUNCH), self.file.to_json().as_bytes())
    }
}

impl Drop for LaunchedServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Both the server's program and the profiler before it.
fn check_programs(plan: &LaunchPlan, settings: &LaunchSettings) -> Result<(), LaunchError> {
    let path = settings.env.iter().rev().find(|(name, _)| name == "PATH");
    for name in [&plan.argv[0], &plan.program] {
        if program::find(name, path.map(|(_, value)| value.as_str())).is_none() {
            let is_there = name.contains('/') && Path::new(name).exists();
            let error = if is_there { LaunchError::NotExecutable } else { LaunchError::NoProgram };
            return Err(error(name.clone()));
        }
    }
    Ok(())
}

/// Asked beside the loading, and answered before any load is sent.
fn ask_version(
    plan: &LaunchPlan,
    env: &[(String, String)],
    folder: &Path,
    is_loading: Arc<AtomicBool>,
) -> Option<thread::JoinHandle<Option<String>>> {
    let (argv, env) = (plan.version.clone(), env.to_vec());
    let said = folder.join("version.txt");
    let ask = move || version::ask(&argv, &env, &said, &is_loading);
    // Without a thread there is no version, which is no reason not to measure.
    Own::Version.builder().spawn(ask).ok()
}

fn filled(ready: &ReadyWhen, places: &Places) -> ReadyWhen {
    match ready {
        ReadyWhen::Answers { port, path } => {
            ReadyWhen::Answers { port: places.fill(port), path: places.fill(path) }
        }
        ReadyWhen::Listens(port) => ReadyWhen::Listens(places.fill(port)),
        ReadyWhen::Says(text) => ReadyWhen::Says(text.clone()),
    }
}

fn masked(variables: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mask = |(name, value): (String, String)| {
        let value = masking::value_of_variable(&name, &value);
        (name, value)
    };
    variables.map(mask).collect()
}

/// To a tenth of a second, for people.
fn rounded(span: Nanos) -> HumanDuration {
    const TENTH: i64 = 100_000_000;
    HumanDuration(Nanos(span.0 / TENTH * TENTH))
}

/// What the server of an earlier attempt left in the folder gets another name.
fn keep_earlier(folder: &Path, name: &str) -> io::Result<()> {
    if !folder.join(name).exists() {
        return Ok(());
    }
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let named = |number: u32| folder.join(format!("{stem}.attempt-{number}.{extension}"));
    match (1..=u32::MAX).map(named).find(|path| !path.exists()) {
        Some(free) => fs::rename(folder.join(name), free),
        None => Ok(()),
    }
}
