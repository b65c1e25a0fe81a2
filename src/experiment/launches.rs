//! Files of several servers that were launched and measured in turn: a text, a picture, and the folder `bench_results`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::experiment::artefacts::{self, ExtraFilesError};
use crate::experiment::cells::{self, MeasuredCells};
use crate::report::Experiment;
use crate::report::cells::{CellsReport, Group};
use crate::report::together::{Side, name_sides, page, pictures, side_of, table};
use crate::settings::export::PlotFormat;
use crate::settings::launch::FolderLayout;
use crate::store::launch_file::LaunchFacts;
use crate::store::measured_run::MeasuredRun;
use crate::store::run_directory::RunDirectory;
use crate::store::write::write_whole;

/// Differences within this share count as none, as in `compare` and `report`.
pub const MARGIN: f64 = 0.02;
/// The folder of [`FolderLayout::BenchResults`].
const BENCH_RESULTS: &str = "bench_results";

/// What was measured on one server.
pub struct Launched {
    /// Of the launch.
    pub name: String,
    /// What it came to.
    pub results: Results,
}

/// One run, or cells.
pub enum Results {
    /// All loads in one folder.
    Run(Box<MeasuredRun>),
    /// Every scenario at every load.
    Cells(Box<MeasuredCells>),
}

impl Results {
    /// Where it lies.
    pub fn directory(&self) -> &RunDirectory {
        match self {
            Self::Run(run) => &run.directory,
            Self::Cells(measured) => &measured.directory,
        }
    }
}

impl Launched {
    /// What it came to, by what was asked; a run was asked one thing.
    fn experiments(&self) -> Vec<(String, Experiment)> {
        match &self.results {
            Results::Run(run) => vec![(String::new(), artefacts::as_experiment(run))],
            Results::Cells(measured) => {
                let CellsReport { experiment, groups, .. } = cells::as_report(measured);
                let of_group = |Group { scenario, points }: Group| {
                    (scenario, Experiment { points, ..experiment.clone() })
                };
                groups.into_iter().map(of_group).collect()
            }
        }
    }

    fn facts(&self) -> Option<&LaunchFacts> {
        let run = match &self.results {
            Results::Run(run) => Some(&**run),
            Results::Cells(measured) => measured.runs.last().map(|(_, run)| run),
        };
        run.and_then(|run| run.manifest.launch.as_ref())
    }

    /// Its target as it was typed.
    fn target(&self) -> Option<&str> {
        self.facts().map(|launch| launch.target.as_str())
    }

    /// Its command line without ports, which are others each time.
    fn words(&self) -> Vec<String> {
        let Some(launch) = self.facts() else { return Vec::new() };
        let address = launch.target.rsplit(':').next().unwrap_or_default();
        let port: String = address.chars().take_while(char::is_ascii_digit).collect();
        let is_port = |word: &&String| !port.is_empty() && word.contains(&port);
        launch.command_line.iter().filter(|word| !is_port(word)).cloned().collect()
    }

    fn side(&self, shown: &Experiment) -> Side {
        let side = side_of(shown);
        // Its address is another one each time.
        let rest = self.target().and_then(|target| side.title.strip_prefix(target));
        let rest = rest.map(|rest| rest.trim_start_matches(", ").to_owned());
        Side { title: format!("{}, {}", self.name, rest.unwrap_or(side.title)), ..side }
    }
}

/// Servers side by side where they were asked the same.
struct Together {
    /// What was asked; empty where each server has one run.
    scenario: String,
    sides: Vec<Side>,
}

/// Writes `benchmark_summary.txt`, `benchmark_comparison.html` and `benchmark_comparison.svg`, and gives back the table for the console.
/// Of cells there is one comparison, with a page and a picture, for each scenario.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    directory: &RunDirectory,
    runs: &[Launched],
    margin: f64,
    plots: &[PlotFormat],
) -> Result<String, ExtraFilesError> {
    let together = together(runs);
    write_together(directory.path(), &together, margin, plots)?;
    let mut text = String::new();
    for Together { scenario, sides } in &together {
        if !scenario.is_empty() {
            text.extend(["\n", scenario.as_str()]);
        }
        text.push('\n');
        text.push_str(&table::console(sides, margin));
    }
    Ok(format!("{text}\n{}\n", directory.path().display()))
}

/// Sides by what they were asked, in the order in which it first came.
fn together(runs: &[Launched]) -> Vec<Together> {
    let mut together: Vec<Together> = Vec::new();
    for launched in runs {
        for (scenario, shown) in launched.experiments() {
            let side = launched.side(&shown);
            match together.iter_mut().find(|it| it.scenario == scenario) {
                Some(alike) => alike.sides.push(side),
                None => together.push(Together { scenario, sides: vec![side] }),
            }
        }
    }
    let commands: Vec<Vec<String>> = runs.iter().map(Launched::words).collect();
    for it in &mut together {
        name_sides(&mut it.sides);
        // Where a server has no side, nobody knows which command is whose.
        if it.sides.len() == commands.len() {
            tell_apart(&mut it.sides, &commands);
        }
    }
    together
}

/// Sides of one title are told apart by the words of their command lines that no other of them has.
fn tell_apart(sides: &mut [Side], commands: &[Vec<String>]) {
    let titles: Vec<String> = sides.iter().map(|side| side.title.clone()).collect();
    for (place, side) in sides.iter_mut().enumerate() {
        let others = (0..titles.len()).filter(|it| *it != place && titles[*it] == titles[place]);
        let others: Vec<&String> = others.flat_map(|it| &commands[it]).collect();
        let own = commands[place].iter().filter(|word| !others.contains(word));
        let own: Vec<&str> = own.map(String::as_str).collect();
        if !others.is_empty() && !own.is_empty() {
            side.title = format!("{}, {}", side.title, own.join(" "));
        }
    }
}

fn write_together(
    folder: &Path,
    together: &[Together],
    margin: f64,
    plots: &[PlotFormat],
) -> Result<(), ExtraFilesError> {
    let summaries = together.iter().map(|Together { scenario, sides }| {
        let summary = table::summary(sides, margin);
        if scenario.is_empty() { summary } else { format!("{scenario}\n{summary}\n") }
    });
    let summaries: String = summaries.collect();
    write_whole(&folder.join("benchmark_summary.txt"), summaries.as_bytes())?;
    for Together { scenario, sides } in together {
        let of = in_file_name(scenario);
        let page = page::render(sides, margin);
        write_whole(&folder.join(format!("benchmark_comparison{of}.html")), page.as_bytes())?;
        // Without a load that can be drawn there is no picture.
        let Some(svg) = pictures::comparison(sides) else { continue };
        let formats = if plots.is_empty() { &[PlotFormat::Svg] } else { plots };
        for format in formats {
            let (extension, bytes) = artefacts::as_picture(&svg, *format)?;
            let name = format!("benchmark_comparison{of}.{extension}");
            write_whole(&folder.join(name), &bytes)?;
        }
    }
    Ok(())
}

/// `D(128,64)` is `_D_128_64`.
fn in_file_name(scenario: &str) -> String {
    let words = scenario.split(|it: char| !it.is_ascii_alphanumeric() && it != '.');
    words.filter(|word| !word.is_empty()).flat_map(|word| ["_", word]).collect()
}

/// Writes the results as a folder that other scripts know, and gives back where it is.
///
/// # Errors
/// When records cannot be read or a file not be written.
pub fn write_layout(
    directory: &RunDirectory,
    runs: &[Launched],
    layout: FolderLayout,
    margin: f64,
    plots: &[PlotFormat],
) -> Result<PathBuf, ExtraFilesError> {
    let FolderLayout::BenchResults = layout;
    let folder = directory.file(BENCH_RESULTS);
    let mut taken: Vec<String> = Vec::new();
    for Launched { name, results } in runs {
        // The command line refuses the layout for cells.
        let Results::Run(run) = results else { continue };
        let own = folder_of(name, &taken);
        artefacts::write_by_load(run, &folder.join(&own))?;
        taken.push(own);
    }
    fs::create_dir_all(&folder).map_err(|error| ExtraFilesError::Folder(folder.clone(), error))?;
    write_together(&folder, &together(runs), margin, plots)?;
    Ok(folder)
}

/// The folder of a launch: as such folders are named for the backends of `trtllm-serve`, else as the launch itself.
fn folder_of(name: &str, taken: &[String]) -> String {
    let stem = match name {
        "trtllm-serve" | "trtllm-serve-pytorch" => "pytorch_hf",
        "trtllm-serve-engine" | "trtllm-serve-tensorrt" | "trtllm-serve-trt" => "trt_engine",
        "trtllm-serve-autodeploy" => "autodeploy",
        other => other,
    };
    let free = |name: &String| !taken.contains(name);
    let numbered = (2..).map(|number| format!("{stem}_{number}"));
    std::iter::once(stem.to_owned()).chain(numbered).find(free).unwrap_or_else(|| stem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_one_name_are_told_apart_by_what_their_commands_alone_have() {
        let side = |title: &str| Side {
            name: String::new(),
            title: title.to_owned(),
            measured_by: None,
            notes: Vec::new(),
            points: Vec::new(),
        };
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        let mut sides = [side("vllm"), side("vllm"), side("sglang"), side("x"), side("x")];
        let commands = ["vllm serve m --a", "vllm serve n", "sglang m", "x y", "x y"].map(words);
        tell_apart(&mut sides, &commands);
        let titles = sides.map(|side| side.title);
        assert_eq!(titles, ["vllm, m --a", "vllm, n", "sglang", "x", "x"]);
    }

    #[test]
    fn backends_have_the_folders_that_scripts_know_and_no_two_launches_share_one() {
        let mut taken = Vec::new();
        for (name, folder) in [
            ("trtllm-serve-pytorch", "pytorch_hf"),
            ("trtllm-serve-engine", "trt_engine"),
            ("vllm", "vllm"),
            ("vllm", "vllm_2"),
            ("vllm", "vllm_3"),
        ] {
            let own = folder_of(name, &taken);
            assert_eq!(own, folder);
            taken.push(own);
        }
    }
}
