//! Iteration statistics of an engine, as a source of the statistics collector.

use crate::observe::collector::Source;
use crate::record::iteration::{Iteration, ReportedIteration};
use crate::targets::EngineStatistics;
use crate::threads::Own;

impl Source for Box<dyn EngineStatistics> {
    type Item = ReportedIteration;
    type Summary = Iteration;
    const WHAT: &'static str = "iteration statistics";
    const THREAD: Own = Own::Iterations;

    fn read(&mut self, into: &mut Vec<ReportedIteration>) -> Result<(), String> {
        self.iterations(into)
    }

    fn summary(item: ReportedIteration) -> Iteration {
        item.iteration
    }
}
