//! Inference requests to the Triton core, and callbacks with their responses.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

use super::bindings::{TRITONSERVER_InferenceRequest, TRITONSERVER_InferenceResponse};
use super::outputs::{MEMORY_CPU, Output, take_response};
use super::server::{Core, CoreError, c_string};

/// `TRITONSERVER_RESPONSE_COMPLETE_FINAL`: this is the last response.
const FINAL: u32 = 1;
/// `TRITONSERVER_REQUEST_RELEASE_ALL`: the core is done with the request object.
const RELEASE_ALL: u32 = 1;

/// A request, as plain data.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The model.
    pub model: String,
    /// Its version; −1 leaves the choice to the core.
    pub version: i64,
    /// Comes back with every response.
    pub id: u32,
    /// Tensors.
    pub inputs: Vec<Input>,
    /// Requested outputs.
    pub outputs: Vec<String>,
    /// Beside the tensors.
    pub parameters: Vec<(String, Parameter)>,
}

/// An input tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// `INT32`, `BYTES`, …
    pub datatype: String,
    /// Its shape, batch dimension included.
    pub shape: Vec<i64>,
    /// Its content, little-endian.
    pub content: bytes::Bytes,
}

/// A parameter of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
}

/// A response.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Of the request.
    pub id: u32,
    /// Its tensors, or the error.
    pub outputs: Result<Vec<Output>, CoreError>,
    /// It is the last response of the request.
    pub is_final: bool,
}

/// Takes responses, on threads of the core: cheap, and never blocking.
pub type Deliver = Arc<dyn Fn(Response) + Send + Sync>;

/// Handle on a submitted request, to cancel it. Holding one keeps the request's memory.
pub struct Handle {
    held: Arc<Held>,
}

/// A request object and what it points to; deleted when the core, the last response and the caller are done with it.
struct Held {
    core: Arc<Core>,
    request: *mut TRITONSERVER_InferenceRequest,
    // The core reads inputs in place.
    _inputs: Vec<bytes::Bytes>,
}

// SAFETY: the request object is only touched through the thread-safe C API; the inputs are immutable.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: the last holder is gone: the core has released the request, and no response is to come.
        let deleted =
            unsafe { self.core.library.api.TRITONSERVER_InferenceRequestDelete(self.request) };
        let _nobody_is_left_to_hear_it = self.core.library.check(deleted);
    }
}

/// Data of the response callback; lives until the final response.
struct Answering {
    held: Arc<Held>,
    id: u32,
    deliver: Deliver,
}

impl Core {
    /// Submits a request and returns without waiting. Each accepted request ends with one final response.
    ///
    /// # Errors
    /// When the core refuses it at once; nothing is delivered then.
    pub fn infer(
        self: &Arc<Self>,
        request: Request,
        deliver: &Deliver,
    ) -> Result<Handle, CoreError> {
        let api = &self.library.api;
        let model = c_string(&request.model)?;
        let mut made = null_mut();
        // SAFETY: the server lives as long as `self`; the name is copied.
        self.library.check(unsafe {
            api.TRITONSERVER_InferenceRequestNew(
                &raw mut made,
                self.server,
                model.as_ptr(),
                request.version,
            )
        })?;
        let contents = request.inputs.iter().map(|input| input.content.clone()).collect();
        let held = Arc::new(Held { core: Arc::clone(self), request: made, _inputs: contents });
        self.fill(made, &request)?;
        let answering = Box::new(Answering {
            held: Arc::clone(&held),
            id: request.id,
            deliver: Arc::clone(deliver),
        });
        self.launch(&held, Box::into_raw(answering))?;
        Ok(Handle { held })
    }

    fn fill(
        &self,
        made: *mut TRITONSERVER_InferenceRequest,
        request: &Request,
    ) -> Result<(), CoreError> {
        let api = &self.library.api;
        let check = |error| self.library.check(error);
        let id = c_string(&request.id.to_string())?;
        // SAFETY: `made` is a live request; names, shapes and parameters are copied by the core, contents are kept in
        // `Held` for as long as the request lives.
        unsafe {
            check(api.TRITONSERVER_InferenceRequestSetId(made, id.as_ptr()))?;
            for input in &request.inputs {
                let (name, datatype) = (c_string(&input.name)?, c_string(&input.datatype)?);
                let datatype = api.TRITONSERVER_StringToDataType(datatype.as_ptr());
                let (shape, rank) = (input.shape.as_ptr(), input.shape.len() as u64);
                check(api.TRITONSERVER_InferenceRequestAddInput(
                    made,
                    name.as_ptr(),
                    datatype,
                    shape,
                    rank,
                ))?;
                check(api.TRITONSERVER_InferenceRequestAppendInputData(
                    made,
                    name.as_ptr(),
                    input.content.as_ptr().cast(),
                    input.content.len(),
                    MEMORY_CPU,
                    0,
                ))?;
            }
            for output in &request.outputs {
                let name = c_string(output)?;
                check(api.TRITONSERVER_InferenceRequestAddRequestedOutput(made, name.as_ptr()))?;
            }
            for (key, value) in &request.parameters {
                let key = c_string(key)?;
                let key = key.as_ptr();
                check(match value {
                    Parameter::Flag(flag) => {
                        api.TRITONSERVER_InferenceRequestSetBoolParameter(made, key, *flag)
                    }
                    Parameter::Whole(number) => {
                        api.TRITONSERVER_InferenceRequestSetIntParameter(made, key, *number)
                    }
                    Parameter::Number(number) => {
                        api.TRITONSERVER_InferenceRequestSetDoubleParameter(made, key, *number)
                    }
                    Parameter::Text(text) => {
                        let text = c_string(text)?;
                        api.TRITONSERVER_InferenceRequestSetStringParameter(
                            made,
                            key,
                            text.as_ptr(),
                        )
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Hands the request to the core, which then owns one count of `held` and `answering`.
    fn launch(&self, held: &Arc<Held>, answering: *mut Answering) -> Result<(), CoreError> {
        let api = &self.library.api;
        let released: *const Held = Arc::into_raw(Arc::clone(held));
        // SAFETY: both callbacks are `extern "C"`; their pointers were made by `into_raw` and are taken back exactly
        // once: by the callbacks if the core accepts the request, here if it does not.
        unsafe {
            let set = self
                .library
                .check(api.TRITONSERVER_InferenceRequestSetReleaseCallback(
                    held.request,
                    Some(on_release),
                    released.cast_mut().cast(),
                ))
                .and_then(|()| {
                    self.library.check(api.TRITONSERVER_InferenceRequestSetResponseCallback(
                        held.request,
                        self.allocator,
                        null_mut(),
                        Some(on_response),
                        answering.cast(),
                    ))
                })
                .and_then(|()| {
                    self.library.check(api.TRITONSERVER_ServerInferAsync(
                        self.server,
                        held.request,
                        null_mut(),
                    ))
                });
            if set.is_err() {
                drop(Arc::from_raw(released));
                drop(Box::from_raw(answering));
            }
            set
        }
    }
}

impl Handle {
    /// Asks the model to end the request early; the final response still comes.
    ///
    /// # Errors
    /// With the core's message.
    pub fn cancel(&self) -> Result<(), CoreError> {
        let library = &self.held.core.library;
        // SAFETY: the request lives as long as the handle.
        library.check(unsafe { library.api.TRITONSERVER_InferenceRequestCancel(self.held.request) })
    }
}

/// The core has released the request object.
unsafe extern "C" fn on_release(
    _: *mut TRITONSERVER_InferenceRequest,
    flags: u32,
    userp: *mut c_void,
) {
    if flags & RELEASE_ALL != 0 {
        // SAFETY: `userp` is the count that `launch` gave to the core; this call comes once per request.
        drop(unsafe { Arc::from_raw(userp.cast::<Held>().cast_const()) });
    }
}

/// A response has come; we own the response object.
unsafe extern "C" fn on_response(
    response: *mut TRITONSERVER_InferenceResponse,
    flags: u32,
    userp: *mut c_void,
) {
    let is_final = flags & FINAL != 0;
    let answering: *mut Answering = userp.cast();
    // SAFETY: `userp` is the box that `launch` gave to the core; it lives until the final response, and Triton makes
    // these calls for one request one after the other.
    let Answering { held, id, deliver } = unsafe { &*answering };
    let outputs = if response.is_null() {
        Ok(Vec::new())
    } else {
        // SAFETY: a response that is not null is live until it is deleted, which `take_response` does once.
        unsafe { take_response(&held.core, response) }
    };
    deliver(Response { id: *id, outputs, is_final });
    if is_final {
        // SAFETY: no call with this pointer follows the final one.
        drop(unsafe { Box::from_raw(answering) });
    }
}
