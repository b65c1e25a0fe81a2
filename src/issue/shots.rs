//! HOT PATH. Shots on their way to the issuer: lists that are ready, or queues that the drawing thread fills.

use std::ops::Range;
use std::sync::atomic::{Ordering, fence};

use crate::load::plan::{Shot, ShotFacts, ShotList};
use crate::request::RequestId;

/// The shots of one phase, handed out one after another: those that count, and a supply for ramp and tail.
pub struct Shots<'a>(Source<'a>);

enum Source<'a> {
    Ready { lists: [&'a [Shot]; 2], next: [usize; 2] },
    DrawingOutcome { list: &'a ShotList, fill: Option<&'a ShotList>, queue: &'a mut ShotQueue },
}

/// Which of the two a shot comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Those that count.
    Counted,
    /// The supply for ramp and tail.
    Fill,
}

/// The issuer's end of the queues of drawn shots.
#[derive(Debug)]
pub struct ShotQueue {
    /// One for each [`Lane`].
    drawn: [rtrb::Consumer<Shot>; 2],
    /// Sent shots go back, so that the drawing thread frees their memory and not the issuer.
    sent: rtrb::Producer<Shot>,
    current: Option<Shot>,
}

/// What the issuer finds when it looks for the next shot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It can be taken.
    Ready,
    /// It has not been drawn yet.
    NotDrawn,
    /// There is none.
    End,
}

impl<'a> Shots<'a> {
    /// Shots that are there already; their ids follow one another without a gap.
    pub fn ready(list: &'a [Shot]) -> Self {
        Self::ready_with_fill(list, &[])
    }

    /// The same with a supply for ramp and tail, whose ids follow.
    pub fn ready_with_fill(list: &'a [Shot], fill: &'a [Shot]) -> Self {
        Self(Source::Ready { lists: [list, fill], next: [0; 2] })
    }

    /// Shots of `list`, and of `fill` where there is a ramp or a tail, which come out of `queue`.
    pub fn drawn(list: &'a ShotList, fill: Option<&'a ShotList>, queue: &'a mut ShotQueue) -> Self {
        Self(Source::DrawingOutcome { list, fill, queue })
    }

    /// How many shots that count are planned.
    pub fn len(&self) -> usize {
        match &self.0 {
            Source::Ready { lists: [list, _], .. } => list.len(),
            Source::DrawingOutcome { list, .. } => list.len(),
        }
    }

    /// Whether none is planned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are at most for ramp and tail.
    pub fn fill_len(&self) -> usize {
        match &self.0 {
            Source::Ready { lists: [_, fill], .. } => fill.len(),
            Source::DrawingOutcome { fill, .. } => fill.map_or(0, ShotList::len),
        }
    }

    /// What is known of every planned shot that counts, sent or not.
    pub fn facts(&self) -> impl ExactSizeIterator<Item = ShotFacts> {
        (0..self.len()).map(|index| self.facts_of(index))
    }

    /// What is known of one planned shot that counts, sent or not.
    pub fn facts_of(&self, index: usize) -> ShotFacts {
        match &self.0 {
            Source::Ready { lists: [list, _], .. } => ShotFacts::from(&list[index]),
            Source::DrawingOutcome { list, .. } => list.facts_of(index),
        }
    }

    /// What is known of every shot for ramp and tail, sent or not.
    pub fn fill_facts(&self) -> impl Iterator<Item = ShotFacts> {
        (0..self.fill_len()).filter_map(|index| self.fill_facts_of(index))
    }

    /// What is known of one shot for ramp and tail, where there is one.
    pub fn fill_facts_of(&self, index: usize) -> Option<ShotFacts> {
        match &self.0 {
            Source::Ready { lists: [_, fill], .. } => fill.get(index).map(ShotFacts::from),
            Source::DrawingOutcome { fill, .. } => {
                fill.filter(|fill| index < fill.len()).map(|fill| fill.facts_of(index))
            }
        }
    }

    /// Whether this shot is the first turn of a conversation, or no turn at all.
    pub fn begins_conversation(&self, index: usize) -> bool {
        let turn = match &self.0 {
            Source::Ready { lists: [list, _], .. } => list[index].turn,
            Source::DrawingOutcome { list, .. } => list.turn_of(index),
        };
        turn.is_none_or(|turn| turn.number == 0)
    }

    /// Ids of the first so many shots that count.
    pub fn ids(&self, count: usize) -> Range<u32> {
        let first = if self.is_empty() { 0 } else { self.facts_of(0).id.0 };
        first..first + count as u32
    }

    /// Ids of all shots for ramp and tail.
    pub fn fill_ids(&self) -> Range<u32> {
        let first = self.fill_facts_of(0).map_or(0, |shot| shot.id.0);
        first..first + self.fill_len() as u32
    }

    /// Looks for the next shot.
    #[inline]
    pub fn look(&mut self, lane: Lane) -> Look {
        match &mut self.0 {
            Source::Ready { lists, next } if next[lane as usize] < lists[lane as usize].len() => {
                Look::Ready
            }
            Source::Ready { .. } => Look::End,
            Source::DrawingOutcome { list, fill, queue } => {
                let list = match lane {
                    Lane::Counted => Some(*list),
                    Lane::Fill => *fill,
                };
                list.map_or(Look::End, |list| queue.look(lane, list.first_id()))
            }
        }
    }

    /// Takes the next shot, which is ready.
    #[inline]
    pub fn take(&mut self, lane: Lane) -> Option<&Shot> {
        match &mut self.0 {
            Source::Ready { lists, next } => {
                let shot = lists[lane as usize].get(next[lane as usize]);
                next[lane as usize] += 1;
                shot
            }
            Source::DrawingOutcome { queue, .. } => queue.take(lane),
        }
    }

    /// Takes the next shot to keep it.
    pub fn take_away(&mut self, lane: Lane) -> Option<Shot> {
        match &mut self.0 {
            Source::Ready { .. } => self.take(lane).cloned(),
            Source::DrawingOutcome { queue, .. } => queue.drawn[lane as usize].pop().ok(),
        }
    }
}

impl ShotQueue {
    /// Queues without a shot, one for each [`Lane`]; sent ones go into `sent`.
    pub fn new(drawn: [rtrb::Consumer<Shot>; 2], sent: rtrb::Producer<Shot>) -> Self {
        Self { drawn, sent, current: None }
    }

    /// Looks for a shot from `first` on: earlier ones belong to a phase that ended before they were sent.
    #[inline]
    fn look(&mut self, lane: Lane, first: RequestId) -> Look {
        loop {
            let drawn = &self.drawn[lane as usize];
            // Before the look, so that a queue that is empty and has no producer stays empty.
            let is_last_look = drawn.is_abandoned();
            fence(Ordering::Acquire);
            match drawn.peek() {
                Ok(shot) if shot.id >= first => return Look::Ready,
                Ok(_) => drop(self.take(lane)),
                Err(_) if is_last_look => return Look::End,
                Err(_) => return Look::NotDrawn,
            }
        }
    }

    #[inline]
    fn take(&mut self, lane: Lane) -> Option<&Shot> {
        if let Some(shot) = self.current.take() {
            // It holds more than the queue; where the drawing thread has ended, the shot is freed here.
            let _freed_here = self.sent.push(shot);
        }
        self.current = self.drawn[lane as usize].pop().ok();
        self.current.as_ref()
    }
}
