//! Session over client threads: distributes shots among them and waits for their end.

use std::io;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::clock::{MonoNs, now};
use crate::load::plan::Shot;
use crate::network::socket::StampKeeper;
use crate::network::thread;
use crate::network::thread::NetThread;
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::openai::lane;
use crate::targets::openai::lane::{Command, LaneSettings};
use crate::targets::openai::request_body::{Outgoing, RequestWriter};
use crate::targets::{Drain, Session};

/// An opened server.
#[derive(Debug)]
pub struct OpenAiSession {
    writer: RequestWriter,
    lanes: Vec<LaneThread>,
    _keeps_kernel_stamps_on: StampKeeper,
}

#[derive(Debug)]
struct LaneThread {
    commands: UnboundedSender<Command>,
    thread: NetThread<usize>,
}

impl OpenAiSession {
    /// Starts `threads` lanes, each with a sink of its own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        writer: RequestWriter,
        settings: &LaneSettings,
        keeper: StampKeeper,
        threads: u16,
        sink: Sink,
    ) -> io::Result<Self> {
        let mut sinks: Vec<_> = (1..threads).map(|_| sink.for_another_thread()).collect();
        sinks.push(sink);
        let lanes = sinks.into_iter().enumerate().map(|(number, sink)| {
            let (commands, received) = unbounded_channel();
            let settings = settings.clone();
            let name = format!("bf-net-{number}");
            let thread = thread::spawn(&name, move || lane::run(settings, sink, received))?;
            Ok(LaneThread { commands, thread })
        });
        let lanes = lanes.collect::<io::Result<_>>()?;
        Ok(Self { writer, lanes, _keeps_kernel_stamps_on: keeper })
    }

    fn lane_of(&self, id: RequestId) -> &LaneThread {
        &self.lanes[id.0 as usize % self.lanes.len()]
    }
}

impl Session for OpenAiSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        let outgoing = Outgoing {
            id: shot.id,
            message: self.writer.post(shot)?,
            max_tokens: shot.request.output.max_tokens,
            streaming: shot.request.streaming,
            handed_over: now(),
        };
        let fire = Command::Fire(Box::new(outgoing));
        self.lane_of(shot.id)
            .commands
            .send(fire)
            .map_err(|_| Failure::new(FailureKind::ShutDown, "the client's thread has ended"))
    }

    fn cancel(&mut self, id: RequestId) {
        // A lane that has ended has ended its requests too.
        let _nothing_left_to_cancel = self.lane_of(id).commands.send(Command::Cancel(id));
    }

    fn finish(self: Box<Self>, by: MonoNs) -> Drain {
        for lane in &self.lanes {
            let _told_by_its_result = lane.commands.send(Command::Finish(by));
        }
        let (mut open, mut panicked) = (0, 0);
        for lane in self.lanes {
            match lane.thread.join() {
                Some(forced) => open += forced,
                None => panicked += 1,
            }
        }
        match (open, panicked) {
            (0, 0) => Drain::Clean,
            (open, 0) => {
                Drain::Forced(format!("{open} requests were still open and were cancelled"))
            }
            (_, panicked) => Drain::Forced(format!("{panicked} client threads had panicked")),
        }
    }
}
