//! Tests of the drawing thread: bounded ahead of the issuer, saved before it is handed over, errors kept apart.

use std::sync::Mutex;

use super::*;
use crate::clock::Nanos;
use crate::issue::shots::{Lane, Look};
use crate::load::Load;
use crate::load::plan::{PlanSize, PlanStart};
use crate::request::{Prepared, RequestId};
use crate::store::plan_file;
use crate::tokenizer::tokenize::{Tokenize, TokenizeError};
use crate::workload::Workload;
use crate::workload::prompts::PromptSource;
use crate::workload::vocabulary::Vocabulary;

/// A file that others may look into.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    /// Whole rows; the writer may be in the middle of one that nobody has been given yet.
    fn rows(&self) -> usize {
        let bytes = self.0.lock().expect("no writer panics").clone();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        plan_file::read(&bytes[..whole]).expect("whole rows").len()
    }
}

fn plan(scenario: &str, warmup: u32, requests: u32) -> Plan {
    let workload = Workload::synthetic(scenario.parse().expect("a scenario"), 1);
    let source = PromptSource::ids(Vocabulary::new(100, []).expect("100 ids"));
    let size = PlanSize { requests: Some(requests), duration: None, warmup, ..PlanSize::default() };
    let start = PlanStart { point: 0, first_id: RequestId(5) };
    let load = Load::Closed { concurrency: 1 };
    Plan::draw(&workload, &load, size, start, &source).expect("it makes sense")
}

fn started(plan: &Plan) -> (Drawing<Shared>, Shared) {
    let file = Shared::default();
    let drawing =
        Drawing::start(plan, PlanWriter::new(file.clone()), None).expect("ids can be drawn");
    (drawing, file)
}

/// Takes shots until none is left, and gives their ids.
fn take_all(mut shots: Shots<'_>) -> Vec<u32> {
    let mut ids = Vec::new();
    while ids.len() < shots.len() {
        match shots.look(Lane::Counted) {
            Look::Ready => ids.push(shots.take(Lane::Counted).expect("it is ready").id.0),
            Look::NotDrawn => std::thread::yield_now(),
            Look::End => break,
        }
    }
    ids
}

#[test]
fn a_small_plan_is_drawn_and_saved_before_its_first_request() {
    let plan = plan("D(8,2)", 3, 40);
    let (mut drawing, file) = started(&plan);
    assert_eq!(file.rows(), 43);
    assert_eq!(take_all(drawing.shots(plan.warmup())), [5, 6, 7]);
    assert_eq!(take_all(drawing.shots(plan.shots())), (8..48).collect::<Vec<_>>());
    let drawn = drawing.finish(Undrawn::Written);
    assert!(drawn.not_drawn.is_none() && drawn.not_saved.is_none());
    assert_eq!(file.rows(), 43);
}

#[test]
fn of_a_supply_no_row_is_written_that_nobody_came_near() {
    let workload = Workload::synthetic("D(1,1)".parse().expect("a scenario"), 1);
    let source = PromptSource::ids(Vocabulary::new(100, []).expect("100 ids"));
    let size = PlanSize {
        requests: None,
        duration: Some(Nanos::from_millis(1_000)),
        warmup: 3,
        ..PlanSize::default()
    };
    let start = PlanStart { point: 0, first_id: RequestId(0) };
    let load = Load::Closed { concurrency: 2 };
    let plan = Plan::draw(&workload, &load, size, start, &source).expect("it makes sense");
    assert!(plan.is_pool());
    let (mut drawing, file) = started(&plan);
    assert_eq!(file.rows(), FIRST_WINDOW);
    {
        let mut shots = drawing.shots(plan.warmup());
        assert!((0..3).all(|_| shots.take(Lane::Counted).is_some()));
    }
    let mut shots = drawing.shots(plan.shots());
    for _ in 0..FIRST_WINDOW / 2 {
        assert_eq!(shots.look(Lane::Counted), Look::Ready);
        shots.take(Lane::Counted);
    }
    drawing.wait_until_ahead();
    let sent = 3 + FIRST_WINDOW / 2;
    let rows = file.rows();
    assert!(
        rows > FIRST_WINDOW && rows <= sent + 2 * FIRST_WINDOW,
        "{rows}: it draws further ahead"
    );
    let ended = drawing.finish(Undrawn::Written);
    assert_eq!((file.rows(), ended.in_file), (rows, rows - 3));
}

/// Notes the id of each request that it prepares.
struct Noting;

impl Prepare for Noting {
    fn prepare(&mut self, shot: &Shot) -> Prepared {
        Prepared::new(shot.id)
    }
}

#[test]
fn every_shot_was_prepared_by_its_target_when_it_is_taken() {
    let plan = plan("D(2,1)", 0, WINDOW_SHOTS as u32 + 9);
    let file = PlanWriter::new(Vec::new());
    let mut drawing = Drawing::start(&plan, file, Some(Box::new(Noting))).expect("it is drawn");
    let mut shots = drawing.shots(plan.shots());
    let mut taken = 0;
    while taken < shots.len() {
        if shots.look(Lane::Counted) == Look::Ready {
            let shot = shots.take(Lane::Counted).expect("it is ready");
            assert_eq!(shot.prepared.get::<RequestId>().as_deref(), Some(&shot.id));
            taken += 1;
        }
    }
}

#[test]
fn a_large_plan_is_drawn_one_window_ahead_and_no_further() {
    let plan = plan("D(1,1)", 0, 3 * WINDOW_SHOTS as u32);
    let (mut drawing, file) = started(&plan);
    assert_eq!(file.rows(), WINDOW_SHOTS);
    let mut shots = drawing.shots(plan.shots());
    for _ in 0..WINDOW_SHOTS / 2 {
        assert_eq!(shots.look(Lane::Counted), Look::Ready);
        shots.take(Lane::Counted);
    }
    drawing.wait_until_ahead();
    assert_eq!(file.rows(), WINDOW_SHOTS + WINDOW_SHOTS / 2);
    drop(drawing.finish(Undrawn::Left));
    assert_eq!(file.rows(), WINDOW_SHOTS + WINDOW_SHOTS / 2, "nothing more where it was cut off");
}

#[test]
fn long_prompts_are_counted_in_tokens_and_one_is_drawn_whatever_its_length() {
    let window = window_tokens(PromptKind::Ids) as u32;
    let plan = plan(&format!("D({},1)", window / 4), 0, 6);
    let (mut drawing, file) = started(&plan);
    assert_eq!(file.rows(), 4);
    assert_eq!(take_all(drawing.shots(plan.shots())).len(), 6);
    let plan = self::plan(&format!("D({},1)", window + 1), 0, 3);
    let (mut drawing, file) = started(&plan);
    assert_eq!(file.rows(), 1);
    assert_eq!(take_all(drawing.shots(plan.shots())).len(), 3);
}

#[test]
fn every_shot_is_in_the_file_before_it_is_taken_and_comes_in_order() {
    let plan = plan("U(1,3)/(1,1)", 0, 2 * WINDOW_SHOTS as u32 + 77);
    let (mut drawing, file) = started(&plan);
    let mut shots = drawing.shots(plan.shots());
    let mut taken = 0;
    while taken < shots.len() {
        if shots.look(Lane::Counted) == Look::Ready {
            let shot = shots.take(Lane::Counted).expect("it is ready");
            assert_eq!(*shot, plan.shots().shot(taken).expect("drawn"));
            taken += 1;
            assert!(taken % 1000 != 0 || file.rows() >= taken);
        } else {
            // The core may be what the drawing thread waits for.
            std::thread::yield_now();
        }
    }
}

#[test]
fn what_was_never_sent_gets_its_row_at_the_end() {
    let plan = plan("D(1,1)", 2, 2 * WINDOW_SHOTS as u32);
    let (drawing, file) = started(&plan);
    let drawn = drawing.finish(Undrawn::Written);
    assert!(drawn.not_saved.is_none());
    assert_eq!(file.rows(), 2 + 2 * WINDOW_SHOTS);
}

#[test]
fn warm_up_that_ended_early_does_not_leak_into_the_measurement() {
    let plan = plan("D(8,2)", 10, 4);
    let (mut drawing, _) = started(&plan);
    let mut warmup = drawing.shots(plan.warmup());
    assert_eq!(warmup.look(Lane::Counted), Look::Ready);
    warmup.take(Lane::Counted);
    assert_eq!(take_all(drawing.shots(plan.shots())), [15, 16, 17, 18]);
}

/// A tokenizer of single words that fails after some encodings.
struct Tires(std::sync::atomic::AtomicU32);

impl Tokenize for Tires {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 0 {
            self.0.store(0, Ordering::Relaxed);
            return Err(TokenizeError("tired".into()));
        }
        Ok(text.split_whitespace().map(|word| word.len() as u32).collect())
    }
    fn decode(&self, _: &[u32]) -> Result<String, TokenizeError> {
        Ok(String::new())
    }
    fn vocab_size(&self) -> u32 {
        100
    }
    fn special_ids(&self) -> Vec<u32> {
        vec![0]
    }
}

/// Two tries for each of 72 built-in words, and one for the prompt that the hash holds.
const BEFORE_THE_DRAWING: u32 = 2 * 72 + 1;

fn plan_of_texts(encodings: u32, tokens: u32, requests: u32) -> Plan {
    let tokenizer = Tires((BEFORE_THE_DRAWING + encodings).into());
    let source = PromptSource::text(Arc::new(tokenizer), None).expect("words");
    let scenario = format!("D({tokens},1)").parse().expect("a scenario");
    let workload = Workload { prompts: PromptKind::Text, ..Workload::synthetic(scenario, 1) };
    let size =
        PlanSize { requests: Some(requests), duration: None, warmup: 0, ..PlanSize::default() };
    let start = PlanStart { point: 0, first_id: RequestId(0) };
    Plan::draw(&workload, &Load::Batch, size, start, &source).expect("the first prompt is drawn")
}

#[test]
fn a_prompt_of_the_first_window_that_cannot_be_drawn_is_an_error_before_anything_is_sent() {
    let plan = plan_of_texts(3, 10, 9);
    let error = Drawing::start(&plan, PlanWriter::new(Vec::new()), None).err().expect("it tires");
    assert!(matches!(error, DrawingError::Plan(PlanError::Prompt { .. })), "{error}");
}

#[test]
fn a_later_prompt_that_cannot_be_drawn_ends_the_queue_and_is_reported() {
    let window = window_tokens(PromptKind::Text) as u32;
    let plan = plan_of_texts(6, window / 4, 9);
    let file = PlanWriter::new(Vec::new());
    let mut drawing = Drawing::start(&plan, file, None).expect("a window of four");
    assert_eq!(take_all(drawing.shots(plan.shots())), [0, 1, 2, 3, 4, 5]);
    let drawn = drawing.finish(Undrawn::Written);
    let not_drawn = drawn.not_drawn.expect("it tired").to_string();
    assert!(not_drawn.contains("request 6") && not_drawn.contains("tired"), "{not_drawn}");
    let rows = plan_file::read(drawn.file.finish().expect("memory").as_slice());
    assert_eq!(rows.expect("whole rows").len(), 6);
}

/// A disk that takes so many bytes.
struct Disk(usize);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_is_full_stops_a_run_before_it_begins_and_not_after() {
    let plan = plan("D(1,1)", 0, 2 * WINDOW_SHOTS as u32);
    let error = Drawing::start(&plan, PlanWriter::new(Disk(100)), None).err().expect("it is full");
    assert!(matches!(error, DrawingError::File(_)), "{error}");

    let (_, whole) = started(&plan);
    let room = whole.0.lock().expect("no writer panics").len() + 5000;
    let mut drawing =
        Drawing::start(&plan, PlanWriter::new(Disk(room)), None).expect("a window fits");
    assert_eq!(take_all(drawing.shots(plan.shots())).len(), 2 * WINDOW_SHOTS);
    let drawn = drawing.finish(Undrawn::Written);
    assert!(drawn.not_drawn.is_none());
    assert!(drawn.not_saved.expect("it became full").to_string().contains("plan.csv"));
}
