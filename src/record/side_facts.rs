//! Facts of requests under way that come beside the ring, kept until the request ends.

use std::collections::HashMap;

use crate::record::oddity::{Oddities, Oddity};
use crate::record::request_record::{
    ConnectionUse, OtherCounts, RequestRecord, StampSource, TokenSource,
};
use crate::request::RequestId;

/// What targets told of requests beside their events.
#[derive(Debug, Default)]
pub(crate) struct SideFacts {
    failure_messages: HashMap<RequestId, String>,
    /// Counts better than the sum over deliveries.
    counts: HashMap<RequestId, (u32, TokenSource)>,
    /// Counts by others.
    other_counts: HashMap<RequestId, OtherCounts>,
    /// What targets found odd.
    oddities: HashMap<RequestId, Oddities>,
    /// Who took the stamps of a request, where it was not the session's default.
    own_stamps: HashMap<RequestId, StampSource>,
    /// What connections cost, where they cost anything.
    connections: HashMap<RequestId, ConnectionUse>,
}

impl SideFacts {
    pub(crate) fn failure_message(&mut self, id: RequestId, message: String) {
        self.failure_messages.insert(id, message);
    }

    pub(crate) fn token_count(&mut self, id: RequestId, tokens: u32, source: TokenSource) {
        self.counts.insert(id, (tokens, source));
    }

    pub(crate) fn recounted(&mut self, id: RequestId, tokens: u32) {
        self.other_counts.entry(id).or_default().recounted = Some(tokens);
    }

    pub(crate) fn prompt_count(&mut self, id: RequestId, tokens: u32) {
        self.other_counts.entry(id).or_default().prompt = Some(tokens);
    }

    pub(crate) fn cached_count(&mut self, id: RequestId, tokens: u32) {
        self.other_counts.entry(id).or_default().cached = Some(tokens);
    }

    pub(crate) fn odd(&mut self, id: RequestId, oddity: Oddity) {
        let marks = self.oddities.entry(id).or_default();
        *marks = marks.with(oddity);
    }

    pub(crate) fn stamps_of(&mut self, id: RequestId, source: StampSource) {
        self.own_stamps.insert(id, source);
    }

    pub(crate) fn connection_of(&mut self, id: RequestId, cost: ConnectionUse) {
        self.connections.insert(id, cost);
    }

    /// The message of a failure, once.
    pub(super) fn take_failure_message(&mut self, id: RequestId) -> String {
        take(&mut self.failure_messages, id).unwrap_or_default()
    }

    /// Puts what was told of a request into its record, once; the marks that the target gave it.
    pub(super) fn complete(&mut self, record: &mut RequestRecord) -> Oddities {
        let id = record.id;
        if let Some((tokens, source)) = take(&mut self.counts, id) {
            record.output_tokens = tokens;
            record.token_source = source;
        }
        if let Some(counts) = take(&mut self.other_counts, id) {
            record.other_counts = counts;
        }
        if let Some(source) = take(&mut self.own_stamps, id) {
            record.stamp_source = source;
        }
        if let Some(cost) = take(&mut self.connections, id) {
            record.connection = cost;
        }
        take(&mut self.oddities, id).unwrap_or_default()
    }
}

/// Most targets tell nothing beside their events: an empty map makes no hash of the id.
fn take<T>(facts: &mut HashMap<RequestId, T>, id: RequestId) -> Option<T> {
    if facts.is_empty() { None } else { facts.remove(&id) }
}
