//! Stored cells: those of a folder, held against the plans of today where a run goes on.

use std::fs;
use std::path::Path;

use super::MeasuredCells;
use crate::console::shell_word::quoted;
use crate::load::plan::Plan;
use crate::settings::Resolved;
use crate::store::cells_index::{CellEntry, CellNumbers, CellState, CellsIndex};
use crate::store::manifest::{State, command_line};
use crate::store::measured_run::MeasuredRun;
use crate::store::read_back::{ReadError, read_back};
use crate::store::run_directory::{RunDirectory, file};

/// Why a run of cells cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// No such folder.
    #[error(
        "`{0}` cannot be read ({1}): name a run directory with `index.json`, as `--cells` or several `--scenario` leave it"
    )]
    Index(String, #[source] std::io::Error),
    /// Not an index.
    #[error("`{0}` is no index of this version of bareflight: {1}")]
    Json(String, #[source] serde_json::Error),
    /// Other cells than those of the settings.
    #[error("`{0}` has other cells than its `resolved.toml` asks for: begin a new run")]
    OtherCells(String),
    /// A cell would be asked something else today.
    #[error(
        "cell `{name}` was measured with plan {was} and would be asked plan {now} today: its workload's file, its tokenizer, its \
         target or this program has changed; begin a new run, or remove the cell's folder to measure it again"
    )]
    OtherPlan {
        /// Of the cell.
        name: String,
        /// As it was measured.
        was: String,
        /// As it would be.
        now: String,
    },
    /// No cell has numbers.
    #[error("no cell of `{}` was measured: go on with `bareflight run --resume {}`", .0, quoted(.0, ""))]
    NothingMeasured(String),
    /// A finished cell cannot be read.
    #[error("cell `{0}` cannot be read: {1}; remove its folder to measure it again")]
    Cell(String, #[source] ReadError),
}

/// A run of cells about to begin or to go on.
pub struct CellsStart {
    pub(super) directory: Option<RunDirectory>,
    pub(super) index: Option<CellsIndex>,
    pub(super) runs: Vec<(usize, MeasuredRun)>,
}

impl CellsStart {
    /// Nothing has been measured.
    pub const fn new() -> Self {
        Self { directory: None, index: None, runs: Vec::new() }
    }

    /// What lies in this folder, held against the plans of today.
    ///
    /// # Errors
    /// When the folder holds no cells, or other ones than would be asked today.
    pub fn resume(folder: &Path, resolved: &Resolved, plans: &[Plan]) -> Result<Self, ResumeError> {
        let mut index = read_index(folder)?;
        let name = folder.join(file::INDEX_JSON).display().to_string();
        let cells = resolved.grid();
        let names = |cell: &CellEntry| cell.name.clone();
        if !cells.iter().map(|cell| cell.name.clone()).eq(index.cells.iter().map(names)) {
            return Err(ResumeError::OtherCells(name));
        }
        let mut runs = Vec::new();
        for (place, (entry, plan)) in index.cells.iter_mut().zip(plans).enumerate() {
            if let Some(run) = finished(folder, entry, plan)? {
                runs.push((place, run));
            }
        }
        index.command_lines.push(command_line());
        index.ended = None;
        let directory = Some(RunDirectory::existing(folder));
        Ok(Self { directory, index: Some(index), runs })
    }
}

impl Default for CellsStart {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether everything was measured and written.
fn is_whole(run: &MeasuredRun) -> bool {
    run.manifest.state == State::Complete
        && run.points.first().is_some_and(|point| !point.summary.nothing_completed())
}

fn read_index(folder: &Path) -> Result<CellsIndex, ResumeError> {
    let path = folder.join(file::INDEX_JSON);
    let name = path.display().to_string();
    let text =
        fs::read_to_string(&path).map_err(|error| ResumeError::Index(name.clone(), error))?;
    serde_json::from_str(&text).map_err(|error| ResumeError::Json(name, error))
}

/// Cells that lie in a folder, as far as they were measured.
///
/// # Errors
/// When the folder has no index, or a measured cell cannot be read.
pub fn stored(folder: &Path) -> Result<MeasuredCells, ResumeError> {
    let index = read_index(folder)?;
    let mut runs = Vec::new();
    for (place, entry) in index.cells.iter().enumerate() {
        if entry.numbers.is_some() {
            let run = read_back(&folder.join(&entry.name));
            let cell = |error| ResumeError::Cell(entry.name.clone(), error);
            runs.push((place, run.map_err(cell)?));
        }
    }
    let target = runs.first().map(|(_, run)| run.manifest.target.clone());
    let target =
        target.ok_or_else(|| ResumeError::NothingMeasured(folder.display().to_string()))?;
    Ok(MeasuredCells { directory: RunDirectory::existing(folder), index, runs, target })
}

/// The run of a cell that was measured to its end with this plan; what is left of another attempt is no result.
fn finished(
    folder: &Path,
    entry: &mut CellEntry,
    plan: &Plan,
) -> Result<Option<MeasuredRun>, ResumeError> {
    let of_cell = folder.join(&entry.name);
    let run = match entry.state {
        CellState::Complete if of_cell.is_dir() => Some(
            read_back(&of_cell).map_err(|error| ResumeError::Cell(entry.name.clone(), error))?,
        ),
        // The process may have been killed between the cell's end and the index.
        CellState::Missing => read_back(&of_cell).ok().filter(is_whole),
        CellState::Complete | CellState::Failed | CellState::Interrupted => None,
    };
    if let Some(run) = run {
        let was = run.manifest.points.first().map_or("", |point| &point.plan_hash);
        if was != plan.hash() {
            let short = |hash: &str| hash.chars().take(16).collect();
            let name = entry.name.clone();
            return Err(ResumeError::OtherPlan { name, was: short(was), now: short(plan.hash()) });
        }
        entry.state = CellState::Complete;
        entry.numbers = run.points.first().map(|point| CellNumbers::of(&point.summary));
        return Ok(Some(run));
    }
    entry.state = CellState::Missing;
    entry.why = None;
    entry.numbers = None;
    plan.hash().clone_into(&mut entry.plan_hash);
    Ok(None)
}
