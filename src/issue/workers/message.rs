//! Messages between the process that leads a load and its workers.

use std::io;

use serde::{Deserialize, Serialize};

use super::link::{Inbox, Outbox};
use crate::clock::{MonoNs, Nanos};
use crate::issue::pace::Played;
use crate::load::Load;
use crate::load::course::Tail;
use crate::load::plan::Slice;
use crate::observe::health::{ClientRate, NullRate};
use crate::record::backpressure::Waited;
use crate::record::request_record::{Arrival, RequestRecord};
use crate::request::RequestId;
use crate::store::rows::{RowReader, RowWriter};
use crate::targets::python::elsewhere::Described;

/// What a worker is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Order {
    /// What only the leading process knows of the run.
    Begin {
        /// What answers; a server that was started for the run listens at another port each time.
        target: String,
        /// The seed, which may have been drawn.
        seed: u64,
        /// Which part of the plan the worker plays.
        slice: Slice,
    },
    /// The same of a comparison of which one side is played.
    BeginSide(Box<SideJob>),
    /// Measure what the worker could send and read, while all others do the same.
    Calibrate,
    /// Open what its part of so many shots of this load will need, before an instant is agreed.
    Connect {
        /// The whole load.
        load: Load,
        /// Shots of the whole phase.
        shots: usize,
    },
    /// What time is it?
    Ping(MonoNs),
    /// Play a phase.
    Play(PlayOrder),
    /// Every worker's requests that count have ended: the tail has done its work.
    EndTail,
    /// The phase has shown enough.
    Enough,
    /// The end is asked for.
    Stop,
    /// Close the target.
    Finish,
}

/// A side of a comparison: the plans of all its blocks follow from all sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SideJob {
    /// All sides.
    pub sides: Vec<SideOfJob>,
    /// Which one is played, from 0.
    pub own: usize,
    /// Blocks that every side plays.
    pub blocks: u32,
}

/// What is said of a side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SideOfJob {
    /// Its settings, as in a file.
    pub settings: String,
    /// What it is, where another environment may have it.
    pub described: Described,
}

/// A phase, and when it begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlayOrder {
    /// Id of its first shot in the whole plan.
    pub first: RequestId,
    /// When it begins, on the worker's clock.
    pub at: MonoNs,
    /// The whole load.
    pub load: Load,
    /// The ramp, where there is one.
    pub ramp: Option<RampOrder>,
    /// What is sent behind the last shot that counts.
    pub tail: Tail,
    /// How long shots that count are sent.
    pub duration: Option<Nanos>,
}

/// A ramp whose end all workers know beforehand where arrivals have instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RampOrder {
    /// How long it is.
    pub over: Option<Nanos>,
    /// When the shots that count begin.
    pub then: Option<Nanos>,
}

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// Its target is open.
    Ready {
        /// The hash of each of its plans, which must be those of the leading process.
        plans: Vec<String>,
        /// What is known of the target since it was opened.
        facts: Option<serde_json::Value>,
        /// Its engine reports iterations.
        has_statistics: bool,
        /// The process.
        process: u32,
        /// The machine.
        host: String,
        /// Cores that the process may use.
        cores: u32,
    },
    /// What it could send and read.
    Calibrated(Calibration),
    /// It cannot take part.
    Refused(String),
    /// The answer to a ping.
    Pong {
        /// As it was asked.
        asked: MonoNs,
        /// When the question had come, on the worker's clock.
        received: MonoNs,
        /// When the answer left, on the worker's clock.
        answered: MonoNs,
    },
    /// What the load needs is open.
    Connected,
    /// All of its requests that count have ended.
    CountedEnded,
    /// Iterations of its engine, each as the engine reports it.
    Iterations(Vec<String>),
    /// The phase is over, and all of its records were sent before.
    Played(Box<PlayedPart>),
    /// The target is closed; what was forced, if something was.
    Closed(Option<String>),
}

/// What a worker could send and read, measured while all others measured it too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Against a target that replies at once.
    pub null: Option<NullRate>,
    /// What its client reads, where the target is a server.
    pub client: Option<ClientRate>,
    /// Why something is not known.
    pub fault: Option<String>,
}

/// How a worker's part of a phase went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlayedPart {
    /// Instants are on the worker's clock.
    pub played: Played,
    /// Events of no request of the phase.
    pub late_events: u64,
    /// Backpressure of its recorder, since it began.
    pub waited: Waited,
    /// Ends of no open request, since it began.
    pub stray_ends: u64,
    /// Why its target answers no more.
    pub broken: Option<String>,
    /// CPU time of its recorder, since it began.
    pub recorder_cpu: Nanos,
}

/// Records of a worker, with the ids of the whole plan and on the worker's clock.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecordsPart {
    /// Requests of the phase that were sent so far.
    pub sent: u32,
    /// Of these, those that count.
    pub counted: u32,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that have ended.
    pub ended: Vec<RequestRecord>,
    /// Their deliveries, and those of others that go on.
    pub deliveries: Vec<(RequestId, Arrival)>,
}

/// Whatever comes from a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum FromWorker {
    /// Words.
    Report(Report),
    /// Records.
    Records(RecordsPart),
}

/// Kinds of frames.
const WORDS: u8 = 0;
const RECORDS: u8 = 1;
/// Bytes of one delivery.
const DELIVERY: usize = 16;
/// Bytes before rows and deliveries: three counts, and the length of the rows.
const HEAD: usize = 16;

/// Sends words.
///
/// # Errors
/// When the other side is gone.
pub fn send<T: Serialize>(to: &mut dyn Outbox, message: &T) -> io::Result<()> {
    to.send(WORDS, &serde_json::to_vec(message).map_err(io::Error::other)?)
}

/// Waits for an order.
///
/// # Errors
/// When the other side is gone, or speaks another language.
pub fn next_order(from: &mut dyn Inbox) -> io::Result<Order> {
    let mut content = Vec::new();
    match from.receive(&mut content)? {
        WORDS => serde_json::from_slice(&content).map_err(io::Error::other),
        kind => Err(io::Error::other(format!("an order of kind {kind}"))),
    }
}

/// Waits for something from a worker.
///
/// # Errors
/// When it is gone, or speaks another language.
pub fn next_from_worker(from: &mut dyn Inbox) -> io::Result<FromWorker> {
    let mut content = Vec::new();
    match from.receive(&mut content)? {
        WORDS => {
            let report = serde_json::from_slice(&content).map_err(io::Error::other)?;
            Ok(FromWorker::Report(report))
        }
        RECORDS => Ok(FromWorker::Records(decode(&content)?)),
        kind => Err(io::Error::other(format!("a message of kind {kind}"))),
    }
}

/// Sends records.
///
/// # Errors
/// When the other side is gone.
pub fn send_records(to: &mut dyn Outbox, records: &RecordsPart) -> io::Result<()> {
    to.send(RECORDS, &encode(records)?)
}

fn encode(records: &RecordsPart) -> io::Result<Vec<u8>> {
    let mut rows = RowWriter::after_header(Vec::new());
    for record in &records.ended {
        rows.write(0, record).map_err(io::Error::other)?;
    }
    let rows = rows.finish().map_err(io::Error::other)?;
    let length = u32::try_from(rows.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(HEAD + rows.len() + DELIVERY * records.deliveries.len());
    for number in [records.sent, records.counted, records.in_flight, length] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&rows);
    for (id, arrival) in &records.deliveries {
        bytes.extend_from_slice(&id.0.to_le_bytes());
        bytes.extend_from_slice(&arrival.tokens.to_le_bytes());
        bytes.extend_from_slice(&arrival.at.0.to_le_bytes());
    }
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> io::Result<RecordsPart> {
    let short = || io::Error::other("records that end early");
    let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or_else(short)?;
    let number =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (rows, deliveries) = rest.split_at_checked(number(12) as usize).ok_or_else(short)?;
    let mut text =
        RowWriter::new(Vec::new()).map_err(io::Error::other)?.finish().map_err(io::Error::other)?;
    text.extend_from_slice(rows);
    let ended = RowReader::new(text.as_slice())
        .map_err(io::Error::other)?
        .map(|row| row.map(|(_, record)| record).map_err(io::Error::other))
        .collect::<io::Result<_>>()?;
    let (deliveries, rest) = deliveries.as_chunks::<DELIVERY>();
    if !rest.is_empty() {
        return Err(short());
    }
    let delivery = |bytes: &[u8; DELIVERY]| {
        let [i0, i1, i2, i3, n0, n1, n2, n3, at @ ..] = *bytes;
        let tokens = u32::from_le_bytes([n0, n1, n2, n3]);
        let at = MonoNs(i64::from_le_bytes(at));
        (RequestId(u32::from_le_bytes([i0, i1, i2, i3])), Arrival { at, tokens })
    };
    Ok(RecordsPart {
        sent: number(0),
        counted: number(4),
        in_flight: number(8),
        ended,
        deliveries: deliveries.iter().map(delivery).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::request_record::{FinishReason, Outcome};

    #[test]
    fn records_come_out_as_they_went_in() {
        let ended = |id: u32| RequestRecord {
            outcome: Outcome::Completed(FinishReason::Length),
            submit: Some(MonoNs(5)),
            end: Some(MonoNs(i64::from(id) + 9)),
            ..RequestRecord::planned(RequestId(id), 3, 4)
        };
        let arrival = |at: i64| Arrival { at: MonoNs(at), tokens: 2 };
        let records = RecordsPart {
            sent: 9,
            counted: 7,
            in_flight: 3,
            ended: vec![ended(70), ended(3)],
            deliveries: vec![(RequestId(70), arrival(6)), (RequestId(4), arrival(-2))],
        };
        assert_eq!(decode(&encode(&records).expect("bytes")).expect("records"), records);
        let none = RecordsPart::default();
        assert_eq!(decode(&encode(&none).expect("bytes")).expect("records"), none);
        assert!(decode(&[1, 2, 3]).is_err());
    }
}
