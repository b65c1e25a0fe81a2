//! What does an engine say of its iterations? Each with its own words.

use std::io::{self, Write};

use crate::observe::scribe::Speaker;
use crate::record::iterations_file::{Iteration, write_line};
use crate::record::run_directory::file;
use crate::target::{EngineStatistics, Said};

impl Speaker for Box<dyn EngineStatistics> {
    type Said = Said;
    type Gist = Iteration;
    const WHAT: &'static str = "iteration statistics";
    const FILE: &'static str = file::ITERATIONS;
    const THREAD: &'static str = "bf-iterations";

    fn listen(&mut self, into: &mut Vec<Said>) -> Result<(), String> {
        self.iterations(into)
    }

    fn write(out: &mut impl Write, point: u32, said: &Said) -> io::Result<()> {
        write_line(out, point, said.iteration, &said.words)
    }

    fn gist(said: Said) -> Iteration {
        said.iteration
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::BufReader;
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::clock::{MonoNs, Nanos};
    use crate::observe::scribe::Scribe;
    use crate::record::iterations_file::read_all;

    /// An engine that says what the test tells it to.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<u64>>>);

    impl EngineStatistics for Told {
        fn iterations(&mut self, into: &mut Vec<Said>) -> Result<(), String> {
            let mut numbers = self.0.lock().unwrap();
            if numbers.contains(&u64::MAX) {
                return Err("the engine is gone".into());
            }
            into.extend(
                numbers
                    .drain(..)
                    .map(|number| Said { iteration: some(number), words: "{}".into() }),
            );
            Ok(())
        }
    }

    fn listening(told: &Told, path: &Path) -> Scribe<Box<dyn EngineStatistics>> {
        Scribe::start(Box::new(told.clone()) as Box<dyn EngineStatistics>, path).unwrap()
    }

    fn some(number: u64) -> Iteration {
        Iteration {
            iteration: number,
            at: MonoNs(5),
            latency: Nanos(1),
            active: 0,
            queued: 0,
            completed: 0,
            max_batch_size: None,
            batch: None,
            kv: None,
        }
    }

    #[test]
    fn an_engine_that_says_no_more_leaves_what_it_said_and_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let told = Told::default();
        let watch = listening(&told, &folder.path().join("i"));
        watch.begin(0);
        told.0.lock().unwrap().push(u64::MAX);
        let kept = watch.end();
        assert!(kept.fault.unwrap().contains("the engine is gone"));
        watch.stop();
    }

    #[test]
    fn what_was_said_before_a_point_is_left_out_and_the_rest_is_on_disk_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("iterations.jsonl");
        let told = Told::default();
        let watch = listening(&told, &path);
        let say = |numbers: &[u64]| told.0.lock().unwrap().extend_from_slice(numbers);
        for (point, first) in [(0, 10), (1, 20)] {
            say(&[first]);
            watch.begin(point);
            say(&[first + 1, first + 2]);
            let kept = watch.end();
            assert_eq!(kept.said, [some(first + 1), some(first + 2)]);
            assert_eq!(kept.fault, None);
        }
        watch.stop();
        let lines = read_all(BufReader::new(File::open(&path).unwrap())).unwrap();
        let numbers: Vec<_> = lines.iter().map(|(point, it)| (*point, it.iteration)).collect();
        assert_eq!(numbers, [(0, 11), (0, 12), (1, 21), (1, 22)]);
    }
}
