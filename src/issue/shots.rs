//! HOT PATH. Shots on their way to the issuer: a list that is ready, or a queue that the drawing thread fills.

use std::ops::Range;
use std::sync::atomic::{Ordering, fence};

use crate::load::plan::{Shot, ShotFacts, ShotList};
use crate::request::RequestId;

/// The shots of one phase, handed out one after another.
pub struct Shots<'a>(Source<'a>);

enum Source<'a> {
    Ready { list: &'a [Shot], next: usize },
    Drawn { list: &'a ShotList, queue: &'a mut ShotQueue },
}

/// The issuer's end of the queue of drawn shots.
#[derive(Debug)]
pub struct ShotQueue {
    drawn: rtrb::Consumer<Shot>,
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
        Self(Source::Ready { list, next: 0 })
    }

    /// Shots of `list`, which come out of `queue`.
    pub fn drawn(list: &'a ShotList, queue: &'a mut ShotQueue) -> Self {
        Self(Source::Drawn { list, queue })
    }

    /// How many shots are planned.
    pub fn len(&self) -> usize {
        match &self.0 {
            Source::Ready { list, .. } => list.len(),
            Source::Drawn { list, .. } => list.len(),
        }
    }

    /// Whether none is planned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of every planned shot, sent or not.
    pub fn facts(&self) -> impl ExactSizeIterator<Item = ShotFacts> {
        (0..self.len()).map(|index| self.facts_of(index))
    }

    /// What is known of one planned shot, sent or not.
    pub fn facts_of(&self, index: usize) -> ShotFacts {
        match &self.0 {
            Source::Ready { list, .. } => ShotFacts::from(&list[index]),
            Source::Drawn { list, .. } => list.facts_of(index),
        }
    }

    /// Ids of the first so many shots.
    pub fn ids(&self, count: usize) -> Range<u32> {
        let first = if self.is_empty() { 0 } else { self.facts_of(0).id.0 };
        first..first + count as u32
    }

    /// Looks for the next shot.
    #[inline]
    pub fn look(&mut self) -> Look {
        match &mut self.0 {
            Source::Ready { list, next } if *next < list.len() => Look::Ready,
            Source::Ready { .. } => Look::End,
            Source::Drawn { list, queue } => queue.look(list.first_id()),
        }
    }

    /// Takes the next shot, which is ready.
    #[inline]
    pub fn take(&mut self) -> Option<&Shot> {
        match &mut self.0 {
            Source::Ready { list, next } => {
                let shot = list.get(*next);
                *next += 1;
                shot
            }
            Source::Drawn { queue, .. } => queue.take(),
        }
    }
}

impl ShotQueue {
    /// A queue without a shot; sent ones go into `sent`.
    pub fn new(drawn: rtrb::Consumer<Shot>, sent: rtrb::Producer<Shot>) -> Self {
        Self { drawn, sent, current: None }
    }

    /// Looks for a shot from `first` on: earlier ones belong to a phase that ended before they were sent.
    #[inline]
    fn look(&mut self, first: RequestId) -> Look {
        loop {
            // Before the look, so that a queue that is empty and has no producer stays empty.
            let is_last_look = self.drawn.is_abandoned();
            fence(Ordering::Acquire);
            match self.drawn.peek() {
                Ok(shot) if shot.id >= first => return Look::Ready,
                Ok(_) => drop(self.take()),
                Err(_) if is_last_look => return Look::End,
                Err(_) => return Look::NotDrawn,
            }
        }
    }

    #[inline]
    fn take(&mut self) -> Option<&Shot> {
        if let Some(shot) = self.current.take() {
            // It holds more than the queue; where the drawing thread has ended, the shot is freed here.
            let _freed_here = self.sent.push(shot);
        }
        self.current = self.drawn.pop().ok();
        self.current.as_ref()
    }
}
