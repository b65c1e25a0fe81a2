//! Drawing thread of a plan: draws prompts ahead of the issuer, has the target prepare its requests, and writes `plan.csv`.
//!
//! Plans below a window are drawn as a whole before their first request. Of larger ones the window lies between what is
//! drawn and what is sent, so that memory does not grow with the plan. Each shot is in `plan.csv` before it is sent.
//!
//! A plan that is a supply for a given time is drawn a little ahead at first and further as it is used up faster, and no row is
//! written of what nobody came near.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::issue::shots::{ShotQueue, Shots};
use crate::load::Load;
use crate::load::plan::{Plan, PlanError, Shot, ShotList};
use crate::store::plan_file::{PlanFileError, PlanWriter};
use crate::targets::Prepare;
use crate::threads::Own;
use crate::workload::PromptKind;

/// Shots that are drawn ahead at most.
const WINDOW_SHOTS: usize = 16 << 10;

/// Shots of a supply that are drawn ahead at first: some milliseconds of the fastest target.
const FIRST_WINDOW: usize = 2 << 10;

/// Prompt tokens that are drawn ahead at most, unless a single prompt is longer: 8 MiB of ids, or a fraction of a second
/// where each text costs an encoding.
const fn window_tokens(kind: PromptKind) -> u64 {
    match kind {
        PromptKind::Ids => 2 << 20,
        PromptKind::Text => 256 << 10,
    }
}

/// Share of the tokens of a window that ramp and tail have.
const FILL_SHARE: u64 = 4;

/// Shots between two flushes of `plan.csv`.
const BATCH_SHOTS: usize = 512;

/// So much of the window must be free before the thread wakes up to draw, so that it wakes up seldom.
const REFILL: u64 = 8;

/// Pauses of the thread while the window is full: the longer one while nothing is sent.
const PAUSE: Duration = Duration::from_millis(2);
const LONG_PAUSE: Duration = Duration::from_millis(10);

/// Between two looks of a thread that waits for the window to fill.
const LOOK: Duration = Duration::from_micros(200);

/// Why drawing failed.
#[derive(Debug, thiserror::Error)]
pub enum DrawingError {
    /// A prompt could not be drawn.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan could not be saved.
    #[error(transparent)]
    File(#[from] PlanFileError),
    /// No thread.
    #[error("the thread that draws prompts cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// What is left when drawing has ended.
pub struct DrawingOutcome<W: Write> {
    /// `plan.csv`, for the next plan.
    pub file: PlanWriter<W>,
    /// The prompt that could not be drawn: no later shot was sent.
    pub not_drawn: Option<PlanError>,
    /// Why `plan.csv` lacks rows of this plan.
    pub not_saved: Option<PlanFileError>,
    /// Shots that count which are in `plan.csv`.
    pub in_file: usize,
}

/// A plan that is being drawn. Dropping it ends the thread.
pub struct Drawing<W: Write> {
    queue: ShotQueue,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<DrawingOutcome<W>>>,
}

/// What the drawing thread and its owner tell each other.
#[derive(Debug, Default)]
struct Progress {
    order: AtomicU8,
    /// Nothing more is to be drawn at the moment.
    is_ahead: AtomicBool,
    /// A prompt could not be drawn, or not be saved.
    has_failed: AtomicBool,
}

const DRAW: u8 = 0;
/// Write the rows of what was never sent, unless it is the rest of a supply, and end.
const COMPLETE: u8 = 1;
const END: u8 = 2;

/// What becomes of the rows of shots that were never drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undrawn {
    /// They are left out.
    Left,
    /// They are written, but for those of a supply that nobody came near.
    Written,
}

impl<W: Write + Send + 'static> Drawing<W> {
    /// Starts to draw, and returns when a whole window is drawn, prepared and in the file.
    ///
    /// # Errors
    /// When a prompt of the window cannot be drawn or saved: nothing was sent.
    ///
    /// # Panics
    /// If the thread has panicked, which is a bug.
    pub fn start(
        plan: &Plan,
        file: PlanWriter<W>,
        preparer: Option<Box<dyn Prepare>>,
    ) -> Result<Self, DrawingError> {
        let (ready, drawn) = rtrb::RingBuffer::new(WINDOW_SHOTS);
        let (fill_ready, fill_drawn) = rtrb::RingBuffer::new(fill_window(plan));
        let (sent, spent) = rtrb::RingBuffer::new(2 * WINDOW_SHOTS);
        let progress = Arc::new(Progress::default());
        let lanes = [ready, fill_ready];
        let worker = Worker::new(plan, file, Arc::clone(&progress), lanes, spent, preparer);
        let thread = Own::Plan.builder().spawn(move || worker.run())?;
        let mut drawing = Self {
            queue: ShotQueue::new([drawn, fill_drawn], sent),
            progress,
            thread: Some(thread),
        };
        drawing.wait_until_ahead();
        if drawing.progress.has_failed.load(Ordering::Acquire) {
            let DrawingOutcome { file: _, not_drawn, not_saved, in_file: _ } = drawing.end(END);
            let not_drawn = not_drawn.map(DrawingError::Plan);
            return Err(not_drawn.or(not_saved.map(DrawingError::File)).expect("it has failed"));
        }
        Ok(drawing)
    }
}

impl<W: Write> Drawing<W> {
    /// Waits until a whole window is drawn, or all that is left.
    pub fn wait_until_ahead(&mut self) {
        self.progress.is_ahead.store(false, Ordering::Release);
        self.wake();
        let is_drawing = |thread: &JoinHandle<_>| !thread.is_finished();
        while !self.progress.is_ahead.load(Ordering::Acquire)
            && self.thread.as_ref().is_some_and(is_drawing)
        {
            std::thread::park_timeout(LOOK);
        }
    }

    /// The shots of one phase of the plan, for the issuer. Warm-up comes first.
    pub fn shots<'a>(&'a mut self, list: &'a ShotList) -> Shots<'a> {
        Shots::drawn(list, None, &mut self.queue)
    }

    /// The measured shots, with what is sent before and after them.
    pub fn measured<'a>(&'a mut self, plan: &'a Plan) -> Shots<'a> {
        Shots::drawn(plan.shots(), Some(plan.fill()), &mut self.queue)
    }

    /// Ends the thread, which first writes the rows that are wanted.
    ///
    /// # Panics
    /// If the thread has panicked, which is a bug.
    pub fn finish(mut self, undrawn: Undrawn) -> DrawingOutcome<W> {
        self.end(match undrawn {
            Undrawn::Left => END,
            Undrawn::Written => COMPLETE,
        })
    }

    fn end(&mut self, order: u8) -> DrawingOutcome<W> {
        self.progress.order.store(order, Ordering::Release);
        self.wake();
        let thread = self.thread.take().expect("only this takes the thread, and only once");
        thread.join().expect("the drawing thread runs to its end")
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl<W: Write> Drop for Drawing<W> {
    fn drop(&mut self) {
        self.progress.order.store(END, Ordering::Release);
        self.wake();
    }
}

/// Shots that ramp and tail have drawn ahead: a few for each slot, or some of the next arrivals. All of a closed loop's first
/// ones are taken together.
fn fill_window(plan: &Plan) -> usize {
    let wanted = match plan.load() {
        Load::Closed { concurrency } => 2 * concurrency as usize + 8,
        Load::Open { rate, .. } => (rate / 10.0) as usize + 8,
        Load::Batch => 0,
    };
    wanted.min(WINDOW_SHOTS).min(plan.fill().len())
}

/// Shots of a supply that are drawn ahead at first: at least some for each slot.
fn first_window(plan: &Plan) -> usize {
    match plan.load() {
        Load::Closed { concurrency } => FIRST_WINDOW.max(4 * concurrency as usize),
        Load::Open { .. } | Load::Batch => WINDOW_SHOTS,
    }
}

/// Lists that follow each other in one queue; indices run through all of them.
struct Lane {
    lists: Vec<ShotList>,
    /// `None` once a prompt could not be drawn: the issuer then finds the end of the queue.
    ready: Option<rtrb::Producer<Shot>>,
    /// Room of the queue.
    window_shots: usize,
    /// Shots that may be ahead at the moment.
    ahead: usize,
    window_tokens: u64,
    next: usize,
    taken: usize,
    /// Prompt tokens that were drawn and not taken.
    tokens_ahead: u64,
}

impl Lane {
    fn new(lists: Vec<ShotList>, ready: rtrb::Producer<Shot>, window_tokens: u64) -> Self {
        let window_shots = ready.slots();
        let (ready, ahead) = (Some(ready), window_shots);
        Self {
            lists,
            ready,
            window_shots,
            ahead,
            window_tokens,
            next: 0,
            taken: 0,
            tokens_ahead: 0,
        }
    }

    /// That so many shots are ahead at first; more as they are taken faster.
    fn begin_with(mut self, shots: usize) -> Self {
        self.ahead = shots.min(self.window_shots);
        self
    }

    /// Room for shots, of those that may be ahead. Where half of them were taken since the last look, twice as many may.
    fn room(&mut self, queued: usize) -> usize {
        if self.next >= self.ahead && queued * 2 <= self.ahead {
            self.ahead = (2 * self.ahead).min(self.window_shots);
        }
        self.ahead.saturating_sub(queued)
    }

    fn total(&self) -> usize {
        self.lists.iter().map(ShotList::len).sum()
    }

    /// # Panics
    /// When there is no such shot.
    fn place(&self, mut index: usize) -> (&ShotList, usize) {
        for list in &self.lists {
            match index.checked_sub(list.len()) {
                None => return (list, index),
                Some(rest) => index = rest,
            }
        }
        unreachable!("an index is below the total")
    }

    /// Shots of the last list that were drawn.
    fn next_of_last(&self) -> usize {
        let last = self.lists.last().map_or(0, ShotList::len);
        (self.next + last).saturating_sub(self.total())
    }

    fn tokens_of(&self, index: usize) -> u64 {
        let (list, index) = self.place(index);
        list.weight_of(index)
    }

    fn is_done(&self) -> bool {
        self.next == self.total() || self.ready.is_none()
    }

    /// Whether the next shot fits into the window, and enough of it is free to make it worth waking up.
    fn should_draw(&mut self, fill_up: bool) -> bool {
        let Some(ready) = &self.ready else { return false };
        let queued = self.window_shots - ready.slots();
        let taken = self.next - queued;
        while self.taken < taken {
            self.tokens_ahead -= self.tokens_of(self.taken);
            self.taken += 1;
        }
        let free_shots = self.room(queued);
        let free_tokens = self.window_tokens.saturating_sub(self.tokens_ahead);
        let much = free_shots as u64 * REFILL >= self.ahead as u64
            || free_tokens * REFILL >= self.window_tokens;
        free_shots > 0 && self.next_fits() && (fill_up || much)
    }

    fn next_fits(&self) -> bool {
        self.next < self.total()
            && (self.tokens_ahead == 0
                || self.tokens_ahead + self.tokens_of(self.next) <= self.window_tokens)
    }
}

struct Worker<W: Write> {
    /// Warm-up and measured shots; then those of ramp and tail.
    lanes: [Lane; 2],
    /// Whether what counts need not be used up.
    is_supply: bool,
    point: u32,
    file: PlanWriter<W>,
    progress: Arc<Progress>,
    sent: rtrb::Consumer<Shot>,
    preparer: Option<Box<dyn Prepare>>,
    not_drawn: Option<PlanError>,
    not_saved: Option<PlanFileError>,
}

impl<W: Write> Worker<W> {
    fn new(
        plan: &Plan,
        file: PlanWriter<W>,
        progress: Arc<Progress>,
        [ready, fill_ready]: [rtrb::Producer<Shot>; 2],
        sent: rtrb::Consumer<Shot>,
        preparer: Option<Box<dyn Prepare>>,
    ) -> Self {
        let kind = match plan.shots().series().words() {
            Some(_) => PromptKind::Text,
            None => PromptKind::Ids,
        };
        let tokens = window_tokens(kind);
        let counted = Lane::new(vec![plan.warmup().clone(), plan.shots().clone()], ready, tokens);
        let is_supply = plan.is_pool();
        Self {
            lanes: [
                if is_supply { counted.begin_with(first_window(plan)) } else { counted },
                Lane::new(vec![plan.fill().clone()], fill_ready, tokens / FILL_SHARE),
            ],
            is_supply,
            point: plan.point(),
            file,
            progress,
            sent,
            preparer,
            not_drawn: None,
            not_saved: None,
        }
    }

    fn run(mut self) -> DrawingOutcome<W> {
        self.keep_small_lists();
        loop {
            match self.progress.order.load(Ordering::Acquire) {
                DRAW => {}
                COMPLETE if self.is_supply => break,
                COMPLETE => {
                    self.save_rest();
                    break;
                }
                _ => break,
            }
            let freed = self.free_sent();
            let fill_up = !self.progress.is_ahead.load(Ordering::Acquire);
            if let Some(lane) = (0..2).find(|lane| self.lanes[*lane].should_draw(fill_up)) {
                self.progress.is_ahead.store(false, Ordering::Release);
                self.draw_batch(lane);
                continue;
            }
            self.progress.is_ahead.store(true, Ordering::Release);
            if self.lanes.iter().all(Lane::is_done) {
                std::thread::park();
            } else {
                std::thread::park_timeout(if freed > 0 || self.may_grow() {
                    PAUSE
                } else {
                    LONG_PAUSE
                });
            }
        }
        let in_file = self.lanes[0].next_of_last();
        let Self { file, not_drawn, not_saved, .. } = self;
        DrawingOutcome { file, not_drawn, not_saved, in_file }
    }

    /// Whether less is drawn ahead than there is room for.
    fn may_grow(&self) -> bool {
        self.lanes[0].ahead < self.lanes[0].window_shots
    }

    /// A small plan is drawn once, however often it is played.
    fn keep_small_lists(&self) {
        // What ramp and tail take of their supply is seen while they go.
        for list in &self.lanes[0].lists {
            // What cannot be drawn is found again, in its place.
            let _found_again = list.keep_if_small();
        }
    }

    fn free_sent(&mut self) -> usize {
        let slots = self.sent.slots();
        let chunk =
            self.sent.read_chunk(slots).expect("the slots were just counted by their only reader");
        chunk.into_iter().count()
    }

    /// Draws shots, prepares and saves them, and only then hands them over.
    fn draw_batch(&mut self, lane: usize) {
        let Self { lanes, file, preparer, not_saved, point, not_drawn, .. } = self;
        let lane = &mut lanes[lane];
        let free = lane.ready.as_ref().map_or(0, rtrb::Producer::slots);
        let room = lane.ahead.saturating_sub(lane.window_shots - free).min(BATCH_SHOTS);
        let tokens_before = lane.tokens_ahead;
        let mut batch = Vec::with_capacity(room);
        while batch.len() < room
            && lane.next_fits()
            && (lane.tokens_ahead - tokens_before) * REFILL <= lane.window_tokens
        {
            let (list, index) = lane.place(lane.next);
            match list.shot(index) {
                Ok(mut shot) => {
                    if let Some(preparer) = preparer {
                        shot.prepared = preparer.prepare(&shot);
                    }
                    let phase = list.phase();
                    save(not_saved, || file.write(*point, phase, &shot));
                    lane.tokens_ahead += list.weight_of(index);
                    lane.next += 1;
                    batch.push(shot);
                }
                Err(error) => {
                    *not_drawn = Some(error);
                    break;
                }
            }
        }
        save(not_saved, || file.flush());
        if let Some(ready) = &mut lane.ready {
            for shot in batch {
                ready.push(shot).expect("there was room, and only this thread takes it");
            }
        }
        if self.not_drawn.is_some() {
            for lane in &mut self.lanes {
                lane.ready = None;
            }
        }
        if self.not_drawn.is_some() || self.not_saved.is_some() {
            self.progress.has_failed.store(true, Ordering::Release);
        }
    }

    /// Writes the rows of shots that count, were planned and never sent.
    fn save_rest(&mut self) {
        let Self { lanes: [lane, _], file, not_saved, point, not_drawn, .. } = self;
        while lane.next < lane.total() && not_drawn.is_none() && not_saved.is_none() {
            let (list, index) = lane.place(lane.next);
            let phase = list.phase();
            // A prompt that cannot be drawn was not needed: the rows end before it.
            let Ok(shot) = list.shot(index) else { break };
            save(not_saved, || file.write(*point, phase, &shot));
            lane.next += 1;
        }
        save(not_saved, || file.flush());
    }
}

/// Writes to the file until that fails once: the run goes on without it.
fn save(not_saved: &mut Option<PlanFileError>, write: impl FnOnce() -> Result<(), PlanFileError>) {
    if not_saved.is_none() {
        *not_saved = write().err();
    }
}

#[cfg(test)]
#[path = "drawing_tests.rs"]
mod tests;
