//! Text rows of requests: written, and read back as the same request.
//!
//! Instants are nanoseconds of the monotonic clock; what was never reached is empty.

use std::io::{self, Read, Seek, Write};

use csv::StringRecord;

use crate::clock::{MonoNs, Nanos};
use crate::record::disk::remedy_of_table;
use crate::record::event::TokenHash;
use crate::record::request_record::{
    ConnectionUse, EngineTimes, EngineUse, FinishReason, NotSentReason, Opened, OtherCounts,
    Outcome, Part, RequestRecord, StampSource, TokenSource,
};
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};

/// The columns of a raw row, in order.
pub const COLUMNS: [&str; 39] = [
    "point",
    "request_id",
    "part",
    "prompt_tokens",
    "requested_tokens",
    "intended_ns",
    "ready_ns",
    "submit_ns",
    "first_token_ns",
    "first_tokens",
    "last_token_ns",
    "end_ns",
    "output_tokens",
    "token_source",
    "token_hash",
    "stamp_source",
    "max_pull_lag_ns",
    "outcome",
    "reason",
    "failure_words",
    "engine_arrival_ns",
    "engine_first_scheduled_ns",
    "engine_first_token_ns",
    "engine_last_token_ns",
    "kv_total_blocks",
    "kv_new_blocks",
    "kv_reused_blocks",
    "kv_missed_blocks",
    "draft_tokens",
    "accepted_draft_tokens",
    "recounted_tokens",
    "prompt_tokens_told",
    "resent",
    "connect_ns",
    "connect_at",
    "oddities",
    "cached_tokens",
    "cancel_asked_ns",
    "workload",
];

/// Columns that files of earlier versions do not have; they are then read as empty.
const LATER: [&str; 8] = [
    "part",
    "resent",
    "connect_ns",
    "connect_at",
    "oddities",
    "cached_tokens",
    "cancel_asked_ns",
    "workload",
];

/// Why rows could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The file itself: the disk is full, a row has too few fields, …
    #[error("rows of requests cannot be read or written: {0}{then}", then = remedy_of_table(.0))]
    Csv(#[from] csv::Error),
    /// A column that every file of requests has is not there.
    #[error("this is no file of requests: the column `{0}` is missing")]
    NoColumn(&'static str),
    /// A field holds something else than it should.
    #[error("line {line}, column `{column}`: `{value}` is not {expected}")]
    Field {
        /// From 1, the header included.
        line: u64,
        /// Name of the column.
        column: &'static str,
        /// What the field holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
}

/// The fields of a raw row, in the order of [`COLUMNS`].
pub fn fields(point: u32, record: &RequestRecord) -> StringRecord {
    let mut row = StringRecord::with_capacity(256, COLUMNS.len() + 16);
    let mut put = |text: &str| row.push_field(text);
    let instant = |at: Option<MonoNs>| at.map_or_else(String::new, |at| at.0.to_string());
    let (reason, words) = why(&record.outcome);
    put(&point.to_string());
    put(&record.id.0.to_string());
    put(record.part.word());
    put(&record.prompt_tokens.to_string());
    put(&record.requested_tokens.to_string());
    put(&instant(record.intended));
    put(&instant(record.ready));
    put(&instant(record.submit));
    put(&instant(record.first_token));
    put(&record.first_tokens.to_string());
    put(&instant(record.last_token));
    put(&instant(record.end));
    put(&record.output_tokens.to_string());
    put(token_source_word(record.token_source));
    put(&format!("{:016x}", record.token_hash.0));
    put(stamp_source_word(record.stamp_source));
    put(&record.max_pull_lag_ns.to_string());
    put(record.outcome.word());
    put(&reason);
    put(words);
    let times =
        |of: fn(&EngineTimes) -> Option<MonoNs>| instant(record.engine_times.as_ref().and_then(of));
    put(&times(|t| t.arrival));
    put(&times(|t| t.first_scheduled));
    put(&times(|t| t.first_token));
    put(&times(|t| t.last_token));
    let counts = |of: fn(&EngineUse) -> u32| {
        record.engine_use.as_ref().map_or_else(String::new, |counts| of(counts).to_string())
    };
    put(&counts(|u| u.kv_total_blocks));
    put(&counts(|u| u.kv_new_blocks));
    put(&counts(|u| u.kv_reused_blocks));
    let missed = record.engine_use.as_ref().and_then(|counts| counts.kv_missed_blocks);
    put(&missed.map_or_else(String::new, |blocks| blocks.to_string()));
    put(&counts(|u| u.draft_tokens));
    put(&counts(|u| u.accepted_draft_tokens));
    let other = |count: Option<u32>| count.map_or_else(String::new, |count| count.to_string());
    put(&other(record.other_counts.recounted));
    put(&other(record.other_counts.prompt));
    put(&record.connection.resent.to_string());
    let (took, place) = connect_fields(record.connection.opened);
    put(&took);
    put(place);
    put(&record.oddities.to_string());
    put(&other(record.other_counts.cached));
    put(&instant(record.cancel_asked));
    put(&record.workload.map_or_else(String::new, |part| part.to_string()));
    row
}

/// Writes raw rows, the header first.
#[derive(Debug)]
pub struct RowWriter<W: Write> {
    out: csv::Writer<W>,
}

impl<W: Write> RowWriter<W> {
    /// Writes the header.
    pub fn new(out: W) -> Result<Self, RowError> {
        let mut out = csv::Writer::from_writer(out);
        out.write_record(COLUMNS)?;
        Ok(Self { out })
    }

    /// Goes on where a header stands already.
    pub fn after_header(out: W) -> Self {
        Self { out: csv::WriterBuilder::new().has_headers(false).from_writer(out) }
    }

    /// Writes one request of a point.
    pub fn write(&mut self, point: u32, record: &RequestRecord) -> Result<(), RowError> {
        Ok(self.out.write_record(&fields(point, record))?)
    }

    /// Hands everything to where it is written, and gives that back.
    pub fn finish(self) -> Result<W, RowError> {
        Ok(self.out.into_inner().map_err(|error| csv::Error::from(error.into_error()))?)
    }
}

impl RowWriter<Vec<u8>> {
    /// Bytes so far.
    pub fn written(&mut self) -> Result<u64, RowError> {
        self.out.flush().map_err(csv::Error::from)?;
        Ok(self.out.get_ref().len() as u64)
    }
}

/// Reads rows back. Columns are found by name, and those it does not know (derived values) are skipped.
pub struct RowReader<R: Read> {
    rows: csv::Reader<R>,
    row: StringRecord,
    places: [Option<usize>; COLUMNS.len()],
}

impl<R: Read> RowReader<R> {
    /// Reads the header.
    pub fn new(from: R) -> Result<Self, RowError> {
        let mut rows = csv::Reader::from_reader(from);
        let header = rows.headers()?;
        let mut places = [None; COLUMNS.len()];
        for (place, name) in places.iter_mut().zip(COLUMNS) {
            *place = header.iter().position(|column| column == name);
            if place.is_none() && !LATER.contains(&name) {
                return Err(RowError::NoColumn(name));
            }
        }
        Ok(Self { rows, row: StringRecord::new(), places })
    }

    /// Reads the next row; `None` at the end.
    fn read_next(&mut self) -> Option<Result<(u32, RequestRecord), RowError>> {
        match self.rows.read_record(&mut self.row) {
            Err(error) => Some(Err(error.into())),
            Ok(false) => None,
            Ok(true) => Some(Row { row: &self.row, places: &self.places }.read()),
        }
    }

    /// Each row with the byte at which it begins and the one after its end.
    pub fn with_offsets(
        mut self,
    ) -> impl Iterator<Item = Result<(u64, u64, RequestRecord), RowError>> {
        std::iter::from_fn(move || {
            let begins = self.rows.position().byte();
            let row = self.read_next()?;
            Some(row.map(|(_, record)| (begins, self.rows.position().byte(), record)))
        })
    }
}

impl<R: Read + Seek> RowReader<R> {
    /// Reads the row that begins at this byte.
    pub fn read_at(&mut self, offset: u64) -> Result<RequestRecord, RowError> {
        if self.rows.position().byte() != offset {
            let mut position = csv::Position::new();
            position.set_byte(offset);
            self.rows.seek(position)?;
        }
        match self.read_next() {
            Some(row) => row.map(|(_, record)| record),
            None => Err(RowError::Csv(io::Error::from(io::ErrorKind::UnexpectedEof).into())),
        }
    }
}

impl<R: Read> Iterator for RowReader<R> {
    type Item = Result<(u32, RequestRecord), RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_next()
    }
}

struct Row<'a> {
    row: &'a StringRecord,
    places: &'a [Option<usize>; COLUMNS.len()],
}

impl Row<'_> {
    fn read(&self) -> Result<(u32, RequestRecord), RowError> {
        let record = RequestRecord {
            id: RequestId(self.number("request_id")?),
            part: self.word("part", part_of)?,
            prompt_tokens: self.number("prompt_tokens")?,
            requested_tokens: self.number("requested_tokens")?,
            intended: self.instant("intended_ns")?,
            ready: self.instant("ready_ns")?,
            submit: self.instant("submit_ns")?,
            first_token: self.instant("first_token_ns")?,
            first_tokens: self.number("first_tokens")?,
            last_token: self.instant("last_token_ns")?,
            end: self.instant("end_ns")?,
            cancel_asked: self.instant("cancel_asked_ns")?,
            output_tokens: self.number("output_tokens")?,
            token_source: self.word("token_source", token_source_of)?,
            other_counts: OtherCounts {
                recounted: self.optional("recounted_tokens")?,
                prompt: self.optional("prompt_tokens_told")?,
                cached: self.optional("cached_tokens")?,
            },
            token_hash: TokenHash(self.word("token_hash", |w| u64::from_str_radix(w, 16).ok())?),
            stamp_source: self.word("stamp_source", stamp_source_of)?,
            max_pull_lag_ns: self.number("max_pull_lag_ns")?,
            outcome: self.outcome()?,
            oddities: self.word("oddities", |words| words.parse().ok())?,
            engine_times: self.engine_times()?,
            engine_use: self.engine_use()?,
            connection: ConnectionUse {
                resent: self.optional("resent")?.unwrap_or_default(),
                opened: self.opened()?,
            },
            workload: self.optional("workload")?,
        };
        Ok((self.number("point")?, record))
    }

    fn field(&self, column: &'static str) -> &str {
        let index = COLUMNS.iter().position(|name| *name == column);
        let index = index.expect("only names in COLUMNS are asked for");
        // The reader refuses rows that are shorter than the header.
        self.places[index].and_then(|place| self.row.get(place)).unwrap_or_default()
    }

    fn wrong(&self, column: &'static str, expected: &'static str) -> RowError {
        let line = self.row.position().map_or(0, csv::Position::line);
        RowError::Field { line, column, value: self.field(column).to_owned(), expected }
    }

    fn optional<T: std::str::FromStr>(&self, column: &'static str) -> Result<Option<T>, RowError> {
        match self.field(column) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| self.wrong(column, "a whole number")),
        }
    }

    fn number(&self, column: &'static str) -> Result<u32, RowError> {
        self.optional(column)?.ok_or_else(|| self.wrong(column, "a whole number"))
    }

    fn instant(&self, column: &'static str) -> Result<Option<MonoNs>, RowError> {
        Ok(self.optional(column)?.map(MonoNs))
    }

    fn word<T>(&self, column: &'static str, of: fn(&str) -> Option<T>) -> Result<T, RowError> {
        of(self.field(column)).ok_or_else(|| self.wrong(column, "a word that is known here"))
    }

    fn outcome(&self) -> Result<Outcome, RowError> {
        Ok(match self.field("outcome") {
            "completed" => Outcome::Completed(self.word("reason", finish_reason_of)?),
            "failed" => {
                let kind = self.word("reason", |word| {
                    FailureKind::ALL.into_iter().find(|kind| kind.word() == word)
                })?;
                Outcome::Failed(Failure { kind, message: self.field("failure_words").to_owned() })
            }
            "cancelled" => Outcome::Cancelled,
            "timed_out" => Outcome::TimedOut,
            "not_sent" => Outcome::NotSent(self.word("reason", not_sent_reason_of)?),
            _ => return Err(self.wrong("outcome", "a word that is known here")),
        })
    }

    /// Engine stamps of which not one is known are no engine stamps.
    fn engine_times(&self) -> Result<Option<EngineTimes>, RowError> {
        let times = EngineTimes {
            arrival: self.instant("engine_arrival_ns")?,
            first_scheduled: self.instant("engine_first_scheduled_ns")?,
            first_token: self.instant("engine_first_token_ns")?,
            last_token: self.instant("engine_last_token_ns")?,
        };
        let none = EngineTimes {
            arrival: None,
            first_scheduled: None,
            first_token: None,
            last_token: None,
        };
        Ok((times != none).then_some(times))
    }

    fn opened(&self) -> Result<Option<Opened>, RowError> {
        let Some(took) = self.optional("connect_ns")?.map(Nanos) else { return Ok(None) };
        match self.field("connect_at") {
            "ahead" => Ok(Some(Opened::Ahead(took))),
            "inside" => Ok(Some(Opened::Inside(took))),
            _ => Err(self.wrong("connect_at", "a word that is known here")),
        }
    }

    fn engine_use(&self) -> Result<Option<EngineUse>, RowError> {
        if self.field("kv_total_blocks").is_empty() {
            return Ok(None);
        }
        Ok(Some(EngineUse {
            kv_total_blocks: self.number("kv_total_blocks")?,
            kv_new_blocks: self.number("kv_new_blocks")?,
            kv_reused_blocks: self.number("kv_reused_blocks")?,
            kv_missed_blocks: self.optional("kv_missed_blocks")?,
            draft_tokens: self.number("draft_tokens")?,
            accepted_draft_tokens: self.number("accepted_draft_tokens")?,
        }))
    }
}

/// How long a connection took to open, and when it was opened.
fn connect_fields(opened: Option<Opened>) -> (String, &'static str) {
    match opened {
        None => (String::new(), ""),
        Some(Opened::Ahead(took)) => (took.0.to_string(), "ahead"),
        Some(Opened::Inside(took)) => (took.0.to_string(), "inside"),
    }
}

/// The words behind an outcome: why it ended so, and the target's own text.
fn why(outcome: &Outcome) -> (String, &str) {
    match outcome {
        Outcome::Completed(FinishReason::Other(code)) => (format!("other_{code}"), ""),
        Outcome::Completed(reason) => (finish_reason_word(*reason).to_owned(), ""),
        Outcome::Failed(failure) => (failure.kind.word().to_owned(), &failure.message),
        Outcome::Cancelled | Outcome::TimedOut => (String::new(), ""),
        Outcome::NotSent(reason) => (not_sent_reason_word(*reason).to_owned(), ""),
    }
}

const fn finish_reason_word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Length => "length",
        FinishReason::EndToken => "end_token",
        FinishReason::StopWords => "stop_words",
        FinishReason::Unknown => "unknown",
        FinishReason::Other(_) => "other",
    }
}

fn finish_reason_of(word: &str) -> Option<FinishReason> {
    if let Some(code) = word.strip_prefix("other_") {
        return code.parse().ok().map(FinishReason::Other);
    }
    [FinishReason::Length, FinishReason::EndToken, FinishReason::StopWords, FinishReason::Unknown]
        .into_iter()
        .find(|reason| finish_reason_word(*reason) == word)
}

const fn not_sent_reason_word(reason: NotSentReason) -> &'static str {
    match reason {
        NotSentReason::NotReached => "not_reached",
        NotSentReason::Missed => "missed",
        NotSentReason::Interrupted => "interrupted",
        NotSentReason::TargetFailed => "target_failed",
        NotSentReason::WorkerLost => "worker_lost",
    }
}

fn not_sent_reason_of(word: &str) -> Option<NotSentReason> {
    [
        NotSentReason::NotReached,
        NotSentReason::Missed,
        NotSentReason::Interrupted,
        NotSentReason::TargetFailed,
        NotSentReason::WorkerLost,
    ]
    .into_iter()
    .find(|reason| not_sent_reason_word(*reason) == word)
}

fn part_of(word: &str) -> Option<Part> {
    if word.is_empty() {
        return Some(Part::Measured);
    }
    Part::ALL.into_iter().find(|part| part.word() == word)
}

const fn token_source_word(source: TokenSource) -> &'static str {
    match source {
        TokenSource::Ids => "ids",
        TokenSource::Usage => "usage",
        TokenSource::Retokenized => "retokenized",
        TokenSource::Chunks => "chunks",
    }
}

fn token_source_of(word: &str) -> Option<TokenSource> {
    [TokenSource::Ids, TokenSource::Usage, TokenSource::Retokenized, TokenSource::Chunks]
        .into_iter()
        .find(|source| token_source_word(*source) == word)
}

const fn stamp_source_word(source: StampSource) -> &'static str {
    match source {
        StampSource::Engine => "engine",
        StampSource::Kernel => "kernel",
        StampSource::User => "user",
    }
}

fn stamp_source_of(word: &str) -> Option<StampSource> {
    [StampSource::Engine, StampSource::Kernel, StampSource::User]
        .into_iter()
        .find(|source| stamp_source_word(*source) == word)
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
