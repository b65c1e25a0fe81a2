//! Pictures as PNG files: of a run, of a sweep, of runs side by side; or refused with the command that builds them.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::left_behind::{directory, in_one_line, words};

fn bareflight(out: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(arguments).current_dir(out.path()).env("CI", "1");
    command.output().expect("the binary runs")
}

fn play(out: &TempDir, arguments: &[&str]) -> Output {
    let sim = ["run", "--target", "sim:explicit,base_us=500", "--isl=16", "--osl=8", "-n=60"];
    bareflight(out, &[&sim, arguments].concat())
}

#[cfg(not(feature = "png"))]
#[test]
fn a_build_without_png_refuses_it_with_the_command_that_builds_it() {
    let out = tempfile::tempdir().expect("a folder");
    let output = play(&out, &["--concurrency=2", "--plots=png"]);
    let said = words(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--features png") && said.contains("--plots svg"), "{said}");
    assert!(!out.path().join("runs").exists(), "nothing was sent");
}

#[test]
fn a_plot_that_has_nothing_to_draw_is_named() {
    let out = tempfile::tempdir().expect("a folder");
    let output = play(&out, &["--concurrency=2", "--no-streaming", "--plots=svg"]);
    let said = in_one_line(&words(&output.stderr));
    assert!(said.contains("no picture of ttft_ms_over_percentile, itl_ms"), "{said}");
    let plots = directory(&out).join("plots");
    assert!(plots.join("e2e_ms_cumulative.svg").is_file(), "{said}");
    assert!(!plots.join("itl_ms_cumulative.svg").exists(), "{said}");
}

#[test]
fn a_ladder_a_search_and_a_comparison_leave_the_picture_of_their_page_beside_it() {
    let sim = "sim:explicit,base_us=500";
    for (arguments, name) in [
        (&["ladder", sim, "--blocks", "2", "--in-process"][..], "ladder"),
        (&["search", sim, "--slo", "ttft.p50<10s", "--max-probes", "3"], "search"),
        (&["compare", sim, sim, "--blocks", "2"], "comparison"),
    ] {
        let out = tempfile::tempdir().expect("a folder");
        let asked = ["--isl=16", "--osl=8", "-n=40", "-q", "--plots=svg"];
        let output = bareflight(&out, &[arguments, &asked].concat());
        let printed = words(&output.stdout);
        let folder = directory(&out);
        let svg = fs::read_to_string(folder.join(format!("{name}.svg")));
        let svg = svg.unwrap_or_else(|_| panic!("{printed}{}", words(&output.stderr)));
        assert!(svg.contains("SIMULATED") && svg.contains("<title>"), "{name}: {svg}");
        assert!(!svg.contains("var(") && printed.contains(&format!("{name}.svg")), "{printed}");
        let refused = [arguments, &["--export", "md"]].concat();
        let refused = bareflight(&out, &refused);
        assert_eq!(refused.status.code(), Some(2), "{name}: {}", words(&refused.stderr));
        assert!(words(&refused.stderr).contains("`--export`"), "{}", words(&refused.stderr));
    }
}

#[cfg(feature = "png")]
mod built {
    use std::path::Path;

    use resvg::tiny_skia::Pixmap;

    use super::*;

    /// PNG files of a folder by name, read back: each has a size and pixels of several colours.
    fn pictures(folder: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|it| it != "png") {
                continue;
            }
            let picture = Pixmap::load_png(&path).expect("a PNG");
            assert!(picture.width() > 400 && picture.height() > 200, "{}", path.display());
            let mut colours: Vec<_> = picture
                .pixels()
                .iter()
                .map(|it| (it.red(), it.green(), it.blue(), it.alpha()))
                .collect();
            colours.sort_unstable();
            colours.dedup();
            assert!(colours.len() > 8, "{}: {} colours", path.display(), colours.len());
            names.push(path.file_stem().expect("a name").to_string_lossy().into_owned());
        }
        names.sort();
        names
    }

    #[test]
    fn a_run_and_a_sweep_leave_every_plot_as_png_beside_its_svg() {
        for (concurrency, wanted) in
            [("--concurrency=2", "ttft_ms_cumulative"), ("--concurrency=1,2,4", "throughput")]
        {
            let out = tempfile::tempdir().expect("a folder");
            let output = play(&out, &[concurrency, "--plots=png,svg"]);
            assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
            let plots = directory(&out).join("plots");
            let names = pictures(&plots);
            assert!(names.iter().any(|name| name == wanted), "{names:?}");
            for name in &names {
                let svg = fs::read_to_string(plots.join(format!("{name}.svg"))).expect("its SVG");
                assert!(svg.contains("SIMULATED"), "{name}");
            }
            assert_eq!(fs::read_dir(&plots).expect("a folder").count(), 2 * names.len());
        }
    }

    #[test]
    fn runs_side_by_side_are_one_picture() {
        let out = tempfile::tempdir().expect("a folder");
        for seed in ["--seed=1", "--seed=2"] {
            let output = play(&out, &["--concurrency=1,2,4", seed, "--quiet"]);
            assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
        }
        let runs = fs::read_dir(out.path().join("runs")).expect("a folder");
        let runs: Vec<String> =
            runs.map(|run| run.expect("an entry").path().display().to_string()).collect();
        let asked = ["report", &runs[0], &runs[1], "--plots=png", "-o=together"];
        let output = bareflight(&out, &asked);
        assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
        assert_eq!(pictures(&out.path().join("together")), ["benchmark_comparison"]);
    }
}
