//! Files of several servers that were launched and measured in turn: a text, a picture, and the folder `bench_results`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::experiment::artefacts::{self, ExtraFilesError};
use crate::report::together::{Side, name_sides, page, pictures, side_of, table};
use crate::settings::export::PlotFormat;
use crate::settings::launch::FolderLayout;
use crate::store::measured_run::MeasuredRun;
use crate::store::run_directory::RunDirectory;
use crate::store::write::write_whole;

/// Differences within this share count as none, as in `compare` and `report`.
pub const MARGIN: f64 = 0.02;
/// The folder of [`FolderLayout::BenchResults`].
const BENCH_RESULTS: &str = "bench_results";

/// Writes `benchmark_summary.txt`, `benchmark_comparison.html` and `benchmark_comparison.svg`, and gives back the table for the console.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    directory: &RunDirectory,
    runs: &[(String, MeasuredRun)],
    margin: f64,
    plots: &[PlotFormat],
) -> Result<String, ExtraFilesError> {
    let sides = sides(runs);
    write_together(directory.path(), &sides, margin, plots)?;
    let folder = directory.path().display();
    Ok(format!("\n{}\n{folder}\n", table::console(&sides, margin)))
}

fn sides(runs: &[(String, MeasuredRun)]) -> Vec<Side> {
    let side = |(name, run): &(String, MeasuredRun)| {
        let side = side_of(&artefacts::as_experiment(run));
        // Its address is another one each time.
        let target = run.manifest.launch.as_ref().map(|launch| format!("{}, ", launch.target));
        let rest = target.and_then(|target| side.title.strip_prefix(&target).map(str::to_owned));
        Side { title: format!("{name}, {}", rest.unwrap_or(side.title)), ..side }
    };
    let mut sides: Vec<Side> = runs.iter().map(side).collect();
    name_sides(&mut sides);
    sides
}

fn write_together(
    folder: &Path,
    sides: &[Side],
    margin: f64,
    plots: &[PlotFormat],
) -> Result<(), ExtraFilesError> {
    write_whole(&folder.join("benchmark_summary.txt"), table::summary(sides, margin).as_bytes())?;
    let page = page::render(sides, margin);
    write_whole(&folder.join("benchmark_comparison.html"), page.as_bytes())?;
    // Without a load that can be drawn there is no picture.
    let Some(svg) = pictures::comparison(sides) else { return Ok(()) };
    let formats = if plots.is_empty() { &[PlotFormat::Svg] } else { plots };
    for format in formats {
        let (extension, bytes) = artefacts::as_picture(&svg, *format)?;
        write_whole(&folder.join(format!("benchmark_comparison.{extension}")), &bytes)?;
    }
    Ok(())
}

/// Writes the results as a folder that other scripts know, and gives back where it is.
///
/// # Errors
/// When records cannot be read or a file not be written.
pub fn write_layout(
    directory: &RunDirectory,
    runs: &[(String, MeasuredRun)],
    layout: FolderLayout,
    margin: f64,
    plots: &[PlotFormat],
) -> Result<PathBuf, ExtraFilesError> {
    let FolderLayout::BenchResults = layout;
    let folder = directory.file(BENCH_RESULTS);
    let mut taken: Vec<String> = Vec::new();
    for (name, run) in runs {
        let own = folder_of(name, &taken);
        artefacts::write_by_load(run, &folder.join(&own))?;
        taken.push(own);
    }
    fs::create_dir_all(&folder).map_err(|error| ExtraFilesError::Folder(folder.clone(), error))?;
    write_together(&folder, &sides(runs), margin, plots)?;
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
