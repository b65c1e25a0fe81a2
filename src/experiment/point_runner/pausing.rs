//! Pause of a point runner: its target is closed and can be opened again, its folder and what was measured stay.

use super::opening::{open_stage, write_not_opened};
use super::progress::RunProgress;
use super::{PointRunner, Room};
use crate::experiment::collectors::Collectors;
use crate::experiment::sweep::ExperimentError;
use crate::issue::phase::Stage;
use crate::store::measured_run::MeasuredRun;
use crate::store::run_directory::file;
use crate::targets::{Drain, Target};

/// A point runner whose target is closed.
pub struct PausedRunner<'a> {
    pub(super) run: RunProgress<'a>,
    /// Why its target had failed as a whole when it was closed.
    pub(super) broken: Option<String>,
}

impl<'a> PointRunner<'a> {
    /// Closes the target.
    pub fn pause(self) -> PausedRunner<'a> {
        let (stage, mut paused) = self.part();
        paused.note_closed(stage.finish());
        paused
    }

    /// The target that is still open, which nobody reads from any more, and all the rest.
    pub(super) fn part(self) -> (Stage, PausedRunner<'a>) {
        let mut run = self.run;
        let broken = self.stage.broken().map(str::to_owned);
        if let Err(text) = self.collectors.stop() {
            run.manifest.faults.push(text);
        }
        (self.stage, PausedRunner { run, broken })
    }
}

impl<'a> PausedRunner<'a> {
    /// Keeps what did not go well when the target was closed.
    pub(super) fn note_closed(&mut self, drain: Drain) {
        if let Drain::Forced(text) = drain {
            self.run.manifest.faults.push(format!("closing the target: {text}"));
        }
    }

    /// Whether its target can be opened again and measured.
    pub fn can_go_on(&self) -> bool {
        !self.run.stop.is_asked() && !self.run.is_cut_off && self.broken.is_none()
    }

    /// Opens the target again, with room for the whole session.
    ///
    /// # Errors
    /// When it cannot be opened. The manifest on disk then says so.
    pub fn resume(
        self,
        target: Box<dyn Target>,
        room: Room,
    ) -> Result<PointRunner<'a>, ExperimentError> {
        let run = self.run;
        let (path, on_disk) = (run.directory.file(file::MANIFEST), run.manifest.clone());
        open_again(run, target, room).inspect_err(|error| write_not_opened(&path, on_disk, error))
    }

    /// Writes the manifest for the last time; the reports are made from what is returned.
    pub fn close(self) -> MeasuredRun {
        self.run.close(self.broken)
    }
}

fn open_again(
    run: RunProgress<'_>,
    target: Box<dyn Target>,
    room: Room,
) -> Result<PointRunner<'_>, ExperimentError> {
    let stage = match &run.elsewhere {
        Some(it) => it.open(run.resolved, &run.directory, run.stop)?,
        None => open_stage(run.resolved, target, room, run.stop, run.tool)?,
    };
    let collectors = Collectors::start(&stage, &run.directory)?;
    Ok(PointRunner { collectors, stage, run, listener: None })
}
