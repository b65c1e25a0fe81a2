//! Admission control: a fixed number of request slots, and the handle of each response.
//!
//! There is one slot for each active request. A slot is taken here, is the request's id towards the engine, and is free
//! again after the engine's last event of it.

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

/// Serial number of a request, since slots are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestSerial(pub u64);

/// A command to the dispatcher.
#[derive(Debug)]
pub enum Command {
    /// Hand this to the engine.
    Submit {
        /// Its slot.
        slot: RequestId,
        /// Its serial number.
        serial: RequestSerial,
        /// What is asked.
        request: Box<RequestSpec>,
        /// Where the answer goes.
        pieces: UnboundedSender<ResponsePart>,
    },
    /// The client is gone.
    Cancel {
        /// Its slot.
        slot: RequestId,
        /// Its serial number: the slot may belong to another request by now.
        serial: RequestSerial,
    },
}

/// One part of a response.
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
        /// Nothing but the end follows: as many tokens as were asked for, or an end token.
        is_last: bool,
    },
    /// Nothing more comes.
    End(Completion),
}

/// End of a response.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Why it stopped, or why it failed.
    pub how: Result<FinishReason, Refusal>,
    /// The engine's own stamps, where it was asked for them.
    pub times: Option<EngineTimes>,
    /// The engine's own counts.
    pub used: Option<EngineUse>,
}

/// Admission control.
#[derive(Debug)]
pub struct Admission {
    free: ArrayQueue<RequestId>,
    commands: UnboundedSender<Command>,
    serials: AtomicU64,
    closed: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Admission {
    /// Admission of at most `capacity` active requests, and the receiver of its commands.
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

    /// Active requests at most.
    pub fn capacity(&self) -> usize {
        self.free.capacity()
    }

    /// Active requests now.
    pub fn active_requests(&self) -> usize {
        self.free.capacity() - self.free.len()
    }

    /// Refuses all further requests.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether requests are accepted while slots are free.
    pub fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// Takes a slot and hands the request to the engine; returns when the engine has it.
    ///
    /// # Errors
    /// When there is no room, the server is about to end, or the engine refuses.
    pub async fn submit(&self, request: RequestSpec) -> Result<ResponseHandle, Refusal> {
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

    /// Frees a slot after the last event of its request.
    pub(super) fn release(&self, slot: RequestId) {
        self.free.push(slot).expect("a slot is given back once");
    }
}

/// Receiver of a response. Dropping it before its end cancels the request.
#[derive(Debug)]
pub struct ResponseHandle {
    slot: RequestId,
    serial: RequestSerial,
    pieces: UnboundedReceiver<ResponsePart>,
    commands: UnboundedSender<Command>,
    ended: bool,
}

/// Last part of a response whose dispatcher is gone.
const GONE: ResponsePart =
    ResponsePart::End(Completion { how: Err(Refusal::Stopping), times: None, used: None });

impl ResponseHandle {
    /// Serial number of this request, unique in this server.
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
