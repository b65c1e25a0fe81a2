//! Cells of a sweep: every scenario with every load, each with the name of its folder.

use crate::load::Load;
use crate::settings::Resolved;
use crate::workload::Workload;
use crate::workload::scenario::Scenario;

/// One scenario at one load.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Of its folder, e.g. `isl_1024_osl_1024_conc_8`.
    pub name: String,
    /// How long prompts and outputs are.
    pub scenario: Scenario,
    /// Texts of each request, where requests are batches.
    pub documents: Option<u32>,
    /// When requests arrive.
    pub load: Load,
    /// Which of several runs this is, from 1, and how many there are; `None` where there is one.
    pub run: Option<(u32, u32)>,
}

/// Before the number of a run, in the label of a point and in the name of a cell.
const RUN_IN_LABEL: &str = ", run ";
const RUN_IN_NAME: &str = "_run_";

impl Cell {
    /// What is asked in it.
    pub fn workload(&self, resolved: &Resolved) -> Workload {
        Workload { scenario: self.scenario, documents: self.documents, ..resolved.workload.clone() }
    }

    /// The label of its point, from that of its plan.
    pub fn label(&self, of_plan: String) -> String {
        match self.run {
            None => of_plan,
            Some((run, of)) => format!("{of_plan}{RUN_IN_LABEL}{run} of {of}"),
        }
    }
}

/// What several runs of one load have in common in their labels; `None` where a label is that of one run alone.
pub fn common_label(label: &str) -> Option<&str> {
    let of = |mark: &str| {
        let (common, number) = label.rsplit_once(mark)?;
        number.starts_with(|it: char| it.is_ascii_digit()).then_some(common)
    };
    of(RUN_IN_LABEL).or_else(|| of(RUN_IN_NAME))
}

impl Resolved {
    /// Every scenario (and batch size) with every load, a scenario's loads together; all of them once more for each further run, so that a drift
    /// of the machine shows between runs and does not pass for a difference of loads.
    pub fn grid(&self) -> Vec<Cell> {
        let mut cells: Vec<Cell> = Vec::new();
        for number in 1..=self.repeat {
            let run = (self.repeat > 1).then_some((number, self.repeat));
            for (scenario, documents) in self.asked_in_turn() {
                for load in &self.loads {
                    let cell = Cell { name: String::new(), scenario, documents, load: *load, run };
                    let name = unused(&cells, self.name_of(&cell));
                    cells.push(Cell { name, ..cell });
                }
            }
        }
        cells
    }

    /// Every scenario, and of each one every batch size.
    fn asked_in_turn(&self) -> impl Iterator<Item = (Scenario, Option<u32>)> + '_ {
        let sizes: Vec<Option<u32>> = match self.batch_sizes.as_slice() {
            [] => vec![self.workload.documents],
            several => several.iter().copied().map(Some).collect(),
        };
        self.scenarios
            .iter()
            .flat_map(move |scenario| sizes.clone().into_iter().map(|size| (*scenario, size)))
    }

    fn name_of(&self, cell: &Cell) -> String {
        let when = match self.stages {
            Some(_) => "stages".to_owned(),
            None => of_load(&cell.load),
        };
        let batch = match cell.documents {
            Some(documents) if !self.batch_sizes.is_empty() => format!("_batch_{documents}"),
            _ => String::new(),
        };
        let run = cell.run.map_or_else(String::new, |(run, _)| format!("{RUN_IN_NAME}{run}"));
        format!("{}{batch}_{when}{run}", self.asked(&cell.scenario))
    }

    /// Whether each cell has a folder of its own.
    pub fn has_cells(&self) -> bool {
        self.cells || self.scenarios.len() > 1
    }

    /// The settings of one cell alone.
    #[must_use]
    pub fn of_cell(&self, cell: &Cell) -> Self {
        Self {
            workload: cell.workload(self),
            scenarios: vec![cell.scenario],
            batch_sizes: match self.batch_sizes.as_slice() {
                [] => Vec::new(),
                _ => cell.documents.into_iter().collect(),
            },
            loads: vec![cell.load],
            cells: false,
            repeat: 1,
            ..self.clone()
        }
    }

    /// What is asked: lengths, or the kind of the file that they come from.
    fn asked(&self, scenario: &Scenario) -> String {
        match (&self.workload.mixture, &self.workload.file) {
            (Some(_), _) => "mixture".to_owned(),
            (None, Some(file)) => file.source.kind.to_string().replace('-', "_"),
            (None, None) => of_scenario(scenario),
        }
    }
}

/// The name, or another one where a cell has it already.
fn unused(cells: &[Cell], stem: String) -> String {
    let again = (2..).map(|number| format!("{stem}_again_{number}"));
    let mut names = std::iter::once(stem.clone()).chain(again);
    let is_free = |name: &String| cells.iter().all(|cell| cell.name != *name);
    names.find(is_free).unwrap_or_default()
}

fn of_scenario(scenario: &Scenario) -> String {
    match scenario {
        Scenario::Deterministic { input, output } => format!("isl_{input}_osl_{output}"),
        Scenario::Normal { input, output } => {
            let of = |it: &crate::workload::scenario::Normal| format!("{}_std_{}", it.mean, it.std);
            format!("isl_{}_osl_{}", of(input), of(output))
        }
        Scenario::Uniform { input, output } => {
            let of = |it: &crate::workload::scenario::Span| format!("{}_to_{}", it.min, it.max);
            format!("isl_{}_osl_{}", of(input), of(output))
        }
        Scenario::LogNormal { input, output } => {
            let of = |it: &crate::workload::scenario::LogNormal| {
                format!("{}_lognormal_std_{}", it.0.mean, it.0.std)
            };
            format!("isl_{}_osl_{}", of(input), of(output))
        }
        Scenario::Embedding { tokens } => format!("embeddings_{tokens}"),
        Scenario::Rerank { document, query } => format!("rerank_{document}_query_{query}"),
        Scenario::Images { made, input, output } => format!(
            "images_{}_of_{}x{}_isl_{input}_osl_{output}",
            made.count, made.width, made.height
        ),
    }
}

fn of_load(load: &Load) -> String {
    match load {
        Load::Closed { concurrency } => format!("conc_{concurrency}"),
        Load::Open { arrivals: crate::load::Arrivals::Replay, .. } => "replay".to_owned(),
        Load::Open { rate, .. } => format!("rate_{rate}"),
        Load::Batch => "batch".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::resolve::resolve;
    use crate::cli::typed::Settings;

    fn names(settings: &str) -> Vec<String> {
        let typed: Settings = toml::from_str(settings).expect(settings);
        let cells = resolve(&typed).expect(settings).grid();
        cells.into_iter().map(|cell| cell.name).collect()
    }

    #[test]
    fn a_cell_is_named_after_its_lengths_and_its_load() {
        let closed = "scenario = ['D(1024,1024)', 'N(480,240)/(300,150)']\nconcurrency = [1, 8]";
        let lengths = ["isl_1024_osl_1024", "isl_480_std_240_osl_300_std_150"];
        let expected: Vec<String> = lengths
            .iter()
            .flat_map(|it| ["conc_1", "conc_8"].map(|load| format!("{it}_{load}")))
            .collect();
        assert_eq!(names(closed), expected);
        let open = "scenario = 'U(50,100)/(20,40)'\nrate = [2.5, 20]";
        let expected = ["rate_2.5", "rate_20"].map(|it| format!("isl_50_to_100_osl_20_to_40_{it}"));
        assert_eq!(names(open), expected);
        assert_eq!(names("scenario = 'D(8,2)'\nbatch = true"), ["isl_8_osl_2_batch"]);
    }

    #[test]
    fn runs_come_one_sweep_after_the_other_and_have_a_label_in_common() {
        let names = names("scenario = 'D(8,2)'\nconcurrency = [1, 4]\nrepeat = 2");
        let expected = ["conc_1_run_1", "conc_4_run_1", "conc_1_run_2", "conc_4_run_2"];
        assert_eq!(names, expected.map(|it| format!("isl_8_osl_2_{it}")));
        assert_eq!(common_label(&names[2]), Some("isl_8_osl_2_conc_1"));
        assert_eq!(common_label("concurrency 4, run 2 of 3"), Some("concurrency 4"));
        assert_eq!(common_label("concurrency 4"), None);
    }

    #[test]
    fn two_cells_never_share_a_name() {
        let names = names("scenario = ['D(8,2)', 'D(8,2)']\nconcurrency = [4]");
        assert_eq!(names, ["isl_8_osl_2_conc_4", "isl_8_osl_2_conc_4_again_2"]);
    }
}
