//! Results in a folder as sides: which of its files are one sweep, and which are those of another server.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use super::Side;

/// What our exports add to the name of a folder whose load was measured before.
const AGAIN: &str = "_again";

/// Files that are one side, and the folders that they lie in.
struct Sweep {
    side: Side,
    folders: Vec<PathBuf>,
}

impl Sweep {
    /// Files of one tool and model are one sweep in one folder, and in folders for a load each: those whose names differ in
    /// figures alone, and that have no load in common. Two servers of one model have a folder each, with the same loads.
    fn takes(&self, folder: &Path, side: &Side) -> bool {
        if self.side.title != side.title || self.side.measured_by != side.measured_by {
            return false;
        }
        let has = |load| self.side.points.iter().any(|point| point.load == load);
        let is_apart = || side.points.iter().all(|point| !has(point.load));
        self.folders.iter().any(|it| it == folder)
            || (self.folders.iter().all(|it| are_alike(it, folder)) && is_apart())
    }

    fn add(&mut self, folder: PathBuf, side: Side) {
        self.side.points.extend(side.points);
        for note in side.notes {
            if !self.side.notes.contains(&note) {
                self.side.notes.push(note);
            }
        }
        if !self.folders.contains(&folder) {
            self.folders.push(folder);
        }
    }

    /// Where it lies: its folder, or the one above those of its loads.
    fn place(&self) -> &Path {
        match self.folders.as_slice() {
            [one] => one,
            several => several.first().and_then(|it| it.parent()).unwrap_or(Path::new("")),
        }
    }
}

/// Sides of the files below a folder, each with the points of its sweep in the order of their loads. Those of one title are told
/// apart by where they lie.
pub fn sides(files: Vec<(PathBuf, Side)>) -> Vec<Side> {
    let mut sweeps: Vec<Sweep> = Vec::new();
    for (file, side) in files {
        let folder = without_again(file.parent().unwrap_or(Path::new("")));
        match sweeps.iter_mut().find(|sweep| sweep.takes(&folder, &side)) {
            Some(sweep) => sweep.add(folder, side),
            None => sweeps.push(Sweep { side, folders: vec![folder] }),
        }
    }
    let titles: Vec<String> = sweeps.iter().map(|sweep| sweep.side.title.clone()).collect();
    let with_place = |mut sweep: Sweep| {
        let place = sweep.place().display().to_string();
        let Side { title, points, .. } = &mut sweep.side;
        if titles.iter().filter(|it| *it == title).count() > 1 {
            *title = format!("{title}, in {place}");
        }
        points.sort_by(|a, b| a.load.partial_cmp(&b.load).unwrap_or(Ordering::Equal));
        sweep.side
    };
    sweeps.into_iter().map(with_place).collect()
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn without_again(folder: &Path) -> PathBuf {
    let name = name(folder);
    folder.with_file_name(name.trim_end_matches(AGAIN))
}

fn are_alike(a: &Path, b: &Path) -> bool {
    let without_figures = |it: &Path| name(it).replace(|it: char| it.is_ascii_digit(), "");
    a.parent() == b.parent() && without_figures(a) == without_figures(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::together::{Number, SideLoad, SidePoint};

    fn found(file: &str, concurrency: u32) -> (PathBuf, Side) {
        let side = Side {
            name: String::new(),
            title: "vLLM benchmark: llama".to_owned(),
            measured_by: None,
            notes: Vec::new(),
            points: vec![SidePoint {
                load: SideLoad::Concurrency(concurrency),
                requests: None,
                values: Number::ALL.map(|_| None),
            }],
        };
        (file.into(), side)
    }

    fn points(files: &[(&str, u32)]) -> Vec<(String, usize)> {
        let files = files.iter().map(|(file, concurrency)| found(file, *concurrency)).collect();
        sides(files).into_iter().map(|side| (side.title, side.points.len())).collect()
    }

    #[test]
    fn two_servers_of_one_model_are_two_sides_named_by_their_folders() {
        let sides = points(&[
            ("r/pytorch_hf/concurrency_1.json", 1),
            ("r/pytorch_hf/concurrency_4.json", 4),
            ("r/trt_engine/concurrency_1.json", 1),
            ("r/trt_engine/concurrency_4.json", 4),
        ]);
        let side = |folder: &str| (format!("vLLM benchmark: llama, in r/{folder}"), 2);
        assert_eq!(sides, [side("pytorch_hf"), side("trt_engine")]);
    }

    #[test]
    fn folders_for_a_load_each_are_one_side_and_so_is_a_load_that_was_measured_again() {
        let one = |count| [("vLLM benchmark: llama".to_owned(), count)];
        assert_eq!(
            points(&[("a/c1/x.json", 1), ("a/c4/x.json", 4), ("a/c1_again/x.json", 1)]),
            one(3)
        );
        assert_eq!(points(&[("a/x1.json", 8), ("a/x2.json", 8)]), one(2));
        let [first, second] = [1, 2].map(|run| format!("vLLM benchmark: llama, in a/run{run}"));
        let twice = points(&[("a/run1/x.json", 8), ("a/run2/x.json", 8)]);
        assert_eq!(twice, [(first, 1), (second, 1)]);
    }

    #[test]
    fn points_stand_in_the_order_of_their_loads() {
        let sides = sides(vec![found("a/x.json", 16), found("a/y.json", 2)]);
        assert_eq!(sides[0].points[0].load, SideLoad::Concurrency(2));
    }
}
