//! Session over client threads: distributes shots among them and waits for their end.

use std::io;
use std::sync::mpsc::channel;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::clock::{MonoNs, now};
use crate::load::plan::Shot;
use crate::network::socket::StampKeeper;
use crate::network::thread;
use crate::network::thread::NetThread;
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::openai::client_thread;
use crate::targets::openai::client_thread::{ClientCommand, ClientSettings};
use crate::targets::openai::request_body::{Outgoing, RequestWriter};
use crate::targets::{Drain, Prepare, Session};
use crate::threads::Own;

/// Session with an OpenAI-compatible server.
#[derive(Debug)]
pub struct OpenAiSession {
    writer: RequestWriter,
    clients: Vec<ClientHandle>,
    _keeps_kernel_stamps_on: StampKeeper,
}

#[derive(Debug)]
struct ClientHandle {
    commands: UnboundedSender<ClientCommand>,
    thread: NetThread<usize>,
}

impl OpenAiSession {
    /// Starts `threads` client threads, each with its own sink.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        writer: RequestWriter,
        settings: &ClientSettings,
        keeper: StampKeeper,
        threads: u16,
        sink: Sink,
    ) -> io::Result<Self> {
        let mut sinks: Vec<_> = (1..threads).map(|_| sink.for_another_thread()).collect();
        sinks.push(sink);
        let clients = sinks.into_iter().enumerate().map(|(number, sink)| {
            let (commands, received) = unbounded_channel();
            let settings = settings.clone();
            let thread = thread::spawn(Own::Net.numbered(number), move || {
                client_thread::run(settings, sink, received)
            })?;
            Ok(ClientHandle { commands, thread })
        });
        let clients = clients.collect::<io::Result<_>>()?;
        Ok(Self { writer, clients, _keeps_kernel_stamps_on: keeper })
    }

    fn client_of(&self, id: RequestId) -> &ClientHandle {
        &self.clients[id.0 as usize % self.clients.len()]
    }
}

impl Session for OpenAiSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        let outgoing = Outgoing {
            id: shot.id,
            message: self.writer.message_of(shot)?,
            max_tokens: shot.request.output.max_tokens,
            expects: self.writer.expects(shot),
            streaming: shot.request.streaming,
            handed_over: now(),
        };
        let send = ClientCommand::Send(Box::new(outgoing));
        self.client_of(shot.id)
            .commands
            .send(send)
            .map_err(|_| Failure::new(FailureKind::ShutDown, "the client's thread has ended"))
    }

    fn preparer(&self) -> Option<Box<dyn Prepare>> {
        Some(Box::new(self.writer.clone()))
    }

    fn connect(&mut self, in_flight: usize) {
        let share = in_flight.div_ceil(self.clients.len());
        let (ready, opened) = channel();
        for client in &self.clients {
            let open = ClientCommand::Connect(share, ready.clone());
            // A thread that has ended tells so when it is asked.
            let _ended = client.commands.send(open);
        }
        drop(ready);
        // Until every thread has dropped its end.
        while opened.recv().is_ok() {}
    }

    fn cancel(&mut self, id: RequestId) {
        // A thread that has ended has ended its requests too.
        let _nothing_left_to_cancel = self.client_of(id).commands.send(ClientCommand::Cancel(id));
    }

    fn finish(self: Box<Self>, by: MonoNs) -> Drain {
        for client in &self.clients {
            let _seen_when_joined = client.commands.send(ClientCommand::Finish(by));
        }
        let (mut open, mut panicked) = (0, 0);
        for client in self.clients {
            match client.thread.join() {
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
