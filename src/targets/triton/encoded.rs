//! Request encoded for its protocol, ahead of its instant where someone prepares it.

use std::sync::Arc;

use bytes::Bytes;

use crate::load::plan::Shot;
use crate::request::{Failure, Prepared};
use crate::targets::Prepare;
use crate::targets::triton::address::Protocol;
use crate::targets::triton::kserve::ModelInferRequest;
use crate::targets::triton::request::RequestTemplate;

/// A request encoded for its protocol.
#[derive(Debug, Clone)]
pub enum Encoded {
    /// For gRPC. A copy shares the contents of its tensors.
    Message(ModelInferRequest),
    /// For a generate endpoint.
    Body(Bytes),
}

/// Encodes requests of one model for one protocol.
#[derive(Clone)]
pub struct Encoder {
    /// Of the model.
    pub template: Arc<RequestTemplate>,
    /// Where they go.
    pub protocol: Protocol,
}

impl Encoder {
    /// The request of a shot, as it was prepared or made now.
    ///
    /// # Errors
    /// When the model cannot take what the shot asks.
    pub fn request_of(&self, shot: &Shot) -> Result<Encoded, Failure> {
        match shot.prepared.get::<Encoded>() {
            Some(prepared) => Ok(Encoded::clone(&prepared)),
            None => self.encode(shot),
        }
    }

    fn encode(&self, shot: &Shot) -> Result<Encoded, Failure> {
        Ok(match self.protocol {
            Protocol::Grpc => Encoded::Message(self.template.message(shot)?),
            Protocol::HttpGenerate => Encoded::Body(self.template.json(shot)?),
        })
    }
}

impl Prepare for Encoder {
    fn prepare(&mut self, shot: &Shot) -> Prepared {
        self.encode(shot).map_or_else(|_| Prepared::default(), Prepared::new)
    }
}
