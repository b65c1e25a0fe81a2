//! May another request come in, and where does its answer come out?
//!
//! There are as many slots as requests may be in the house at once. A slot is taken here, given to the engine as the
//! request's id, and free again when the engine has said its last word about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use crossbeam_queue::ArrayQueue;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::clock::MonoNs;
use crate::record::event::FewIds;
use crate::record::request_record::{EngineTimes, EngineUse, FinishReason};
use crate::request::RequestId;
use crate::request::spec::RequestSpec;
use crate::serve::metrics::Metrics;
use crate::serve::refusal::Refusal;

/// Tells two requests apart that had the same slot one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestSerial(pub u64);

/// What the dispatcher is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Hand this to the engine.
    Submit {
        /// Its slot.
        slot: RequestId,
        /// Its ticket.
        serial: RequestSerial,
        /// What is asked.
        request: Box<RequestSpec>,
        /// Where the answer goes.
        pieces: UnboundedSender<ResponsePart>,
    },
    /// Nobody waits for this answer any more.
    Cancel {
        /// Its slot.
        slot: RequestId,
        /// Its ticket: the slot may be another's by now.
        serial: RequestSerial,
    },
}

/// One piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ResponsePart {
    /// The engine has it; comes first, and only if so.
    Accepted,
    /// Output.
    Output {
        /// When it became visible.
        at: MonoNs,
        /// Its ids.
        ids: FewIds,
    },
    /// Nothing more comes.
    End(Completion),
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Why it stopped, or why it failed.
    pub how: Result<FinishReason, Refusal>,
    /// The engine's own stamps, where it was asked for them.
    pub times: Option<EngineTimes>,
    /// The engine's own counts.
    pub used: Option<EngineUse>,
}

/// The door.
#[derive(Debug)]
pub struct Admission {
    free: ArrayQueue<RequestId>,
    commands: UnboundedSender<Command>,
    serials: AtomicU64,
    closed: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Admission {
    /// A house with room for so many requests, and the orders that come in.
    pub fn new(capacity: usize, metrics: Arc<Metrics>) -> (Self, UnboundedReceiver<Command>) {
        let (commands, inbox) = unbounded_channel();
        let free = ArrayQueue::new(capacity);
        for slot in 0..capacity {
            // The queue has room for every slot.
            let _fits = free.push(RequestId(slot as u32));
        }
        let (serials, closed) = (AtomicU64::new(1), AtomicBool::new(false));
        (Self { free, commands, serials, closed, metrics }, inbox)
    }

    /// Requests that may be in the house at once.
    pub fn capacity(&self) -> usize {
        self.free.capacity()
    }

    /// Requests that are.
    pub fn active_requests(&self) -> usize {
        self.free.capacity() - self.free.len()
    }

    /// From now on nobody comes in.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether someone may come in, if there is room.
    pub fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// Takes a slot and hands the request to the engine; returns when the engine has it.
    ///
    /// # Errors
    /// When there is no room, the server is about to end, or the engine refuses.
    pub async fn ask(&self, request: RequestSpec) -> Result<ResponseHandle, Refusal> {
        if !self.is_open() {
            return Err(Refusal::Stopping);
        }
        let Some(slot) = self.free.pop() else {
            self.metrics.rejected();
            let message = format!("{} are running or waiting already", self.capacity());
            return Err(Refusal::QueueFull(message));
        };
        let serial = RequestSerial(self.serials.fetch_add(1, Ordering::Relaxed));
        let (sender, pieces) = unbounded_channel();
        let command = Command::Submit { slot, serial, request: Box::new(request), pieces: sender };
        self.commands.send(command).map_err(|_| Refusal::Stopping)?;
        let commands = self.commands.clone();
        let mut answer = ResponseHandle { slot, serial, pieces, commands, ended: false };
        match answer.next().await {
            ResponsePart::End(Completion { how: Err(refusal), .. }) => Err(refusal),
            _ => Ok(answer),
        }
    }

    /// The engine has said its last word about this slot.
    pub(super) fn release(&self, slot: RequestId) {
        self.free.push(slot).expect("a slot is given back once");
    }
}

/// An answer on its way. Dropping it before its end cancels the request.
#[derive(Debug)]
pub struct ResponseHandle {
    slot: RequestId,
    serial: RequestSerial,
    pieces: UnboundedReceiver<ResponsePart>,
    commands: UnboundedSender<Command>,
    ended: bool,
}

/// What is said where the dispatcher itself is gone.
const GONE: ResponsePart =
    ResponsePart::End(Completion { how: Err(Refusal::Stopping), times: None, used: None });

impl ResponseHandle {
    /// Tells this request from every other one of this server.
    pub fn serial(&self) -> RequestSerial {
        self.serial
    }

    /// The next piece; do not ask again after the end.
    pub async fn next(&mut self) -> ResponsePart {
        let piece = self.pieces.recv().await.unwrap_or(GONE);
        self.ended |= matches!(piece, ResponsePart::End(_));
        piece
    }

    /// All pieces that are there, at least one.
    pub async fn next_few(&mut self, into: &mut Vec<ResponsePart>) {
        std::future::poll_fn(|context| self.poll_few(context, into)).await;
    }

    /// As [`Self::next_few`], for a body that is polled.
    pub fn poll_few(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Vec<ResponsePart>,
    ) -> Poll<()> {
        const FEW: usize = 64;
        let count = std::task::ready!(self.pieces.poll_recv_many(context, into, FEW));
        if count == 0 {
            into.push(GONE);
        }
        self.ended |= matches!(into.last(), Some(ResponsePart::End(_)));
        Poll::Ready(())
    }
}

impl Drop for ResponseHandle {
    fn drop(&mut self) {
        if !self.ended {
            // Without a dispatcher nothing runs that could be cancelled.
            let _gone =
                self.commands.send(Command::Cancel { slot: self.slot, serial: self.serial });
        }
    }
}
