//! `null:`, a target that replies at once from a thread of its own: the floor of the harness.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::clock::{MonoNs, now};
use crate::load::plan::Shot;
use crate::record::event::Ending;
use crate::record::request_record::{FinishReason, StampSource};
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind, Limits};
use crate::targets::named::{Named, Tokens};
use crate::targets::registry::{Abilities, Kind};
use crate::targets::{Drain, Session, Target, TargetError, TargetInfo};
use crate::threads::Own;

/// `null:`.
pub const KIND: Kind = Kind {
    name: "null",
    help: "`null:` (the harness's own floor)",
    has_argument: false,
    describe: |_, _, _| Ok(Named::new(NullTarget::default(), Vec::new(), Tokens::Ids)),
    abilities: Abilities { in_process: true, replies_at_once: true, ..Abilities::NONE },
};

/// Ids of prompts are below this; it looks at none.
const VOCABULARY: u32 = 32_000;

/// Replies at once with as many single-token deliveries as were asked for.
#[derive(Debug)]
pub struct NullTarget {
    info: TargetInfo,
}

impl Default for NullTarget {
    fn default() -> Self {
        Self {
            info: TargetInfo {
                name: "null:".into(),
                kind: "null".into(),
                title: "no engine at all: the harness's own floor".into(),
                simulated: true,
                dummy_weights: false,
                gpus: 0,
                limits: Limits { vocab_size: Some(VOCABULARY), ..Limits::default() },
                details: serde_json::json!({}),
            },
        }
    }
}

impl Target for NullTarget {
    fn describe(&self) -> &TargetInfo {
        &self.info
    }

    fn open(self: Box<Self>, sink: Sink) -> Result<Box<dyn Session>, TargetError> {
        sink.set_stamp_source(StampSource::User);
        let (queue, inbox) = channel();
        let thread =
            Own::Null.builder().spawn(move || reply_to_all(&inbox, sink)).map_err(|error| {
                TargetError::Unusable {
                    name: "null:".into(),
                    reason: format!("its thread cannot be started: {error}"),
                }
            })?;
        Ok(Box::new(NullSession { queue, thread }))
    }
}

struct QueuedRequest {
    id: RequestId,
    tokens: u32,
}

struct NullSession {
    queue: Sender<QueuedRequest>,
    thread: JoinHandle<()>,
}

fn reply_to_all(inbox: &Receiver<QueuedRequest>, mut sink: Sink) {
    for QueuedRequest { id, tokens } in inbox {
        for _ in 0..tokens {
            sink.output(id, now(), std::iter::once(0));
        }
        sink.end(id, now(), Ending::Completed(FinishReason::Length));
    }
}

impl Session for NullSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        let request = QueuedRequest { id: shot.id, tokens: shot.request.output.max_tokens };
        self.queue
            .send(request)
            .map_err(|_| Failure::new(FailureKind::ShutDown, "the null target's thread has ended"))
    }

    fn cancel(&mut self, _id: RequestId) {
        // Every request has been answered, or is about to be, by the time that a cancel could reach it.
    }

    fn finish(self: Box<Self>, _by: MonoNs) -> Drain {
        drop(self.queue);
        match self.thread.join() {
            Ok(()) => Drain::Clean,
            Err(_) => Drain::Forced("the null target's thread panicked".into()),
        }
    }
}
