//! Inference requests to the Triton core, and callbacks with their responses.

use std::ffi::{c_char, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use super::bindings::{
    TRITONSERVER_Error, TRITONSERVER_InferenceRequest, TRITONSERVER_InferenceResponse,
    TRITONSERVER_ResponseAllocator,
};
use super::server::{Core, CoreError, c_string, text};

/// `TRITONSERVER_MEMORY_CPU`: every tensor here lies in ordinary memory.
const MEMORY_CPU: u32 = 0;
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

/// An output tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// `INT32`, `BYTES`, …
    pub datatype: String,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Its content, little-endian.
    pub content: Vec<u8>,
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

/// Copies the outputs of a response, and deletes it.
unsafe fn take_response(
    core: &Core,
    response: *mut TRITONSERVER_InferenceResponse,
) -> Result<Vec<Output>, CoreError> {
    let (library, api) = (&core.library, &core.library.api);
    // SAFETY: the response is live; the error it holds is its own and is only read.
    let outputs = unsafe {
        let error = api.TRITONSERVER_InferenceResponseError(response);
        if error.is_null() { copy_outputs(core, response) } else { Err(library.read(error)) }
    };
    // SAFETY: deleted once, after everything was copied.
    library.check(unsafe { api.TRITONSERVER_InferenceResponseDelete(response) }).and(outputs)
}

unsafe fn copy_outputs(
    core: &Core,
    response: *mut TRITONSERVER_InferenceResponse,
) -> Result<Vec<Output>, CoreError> {
    let (library, api) = (&core.library, &core.library.api);
    let mut count = 0;
    // SAFETY: the response is live.
    library.check(unsafe {
        api.TRITONSERVER_InferenceResponseOutputCount(response, &raw mut count)
    })?;
    let mut outputs = Vec::with_capacity(count as usize);
    for index in 0..count {
        let (mut name, mut shape, mut base): (*const c_char, *const i64, *const c_void) =
            (null(), null(), null());
        let (mut datatype, mut rank, mut size, mut memory, mut memory_id) = (0, 0, 0, 0, 0);
        let mut buffer = null_mut();
        // SAFETY: the response is live, and every pointer names a local of the right type.
        library.check(unsafe {
            api.TRITONSERVER_InferenceResponseOutput(
                response,
                index,
                &raw mut name,
                &raw mut datatype,
                &raw mut shape,
                &raw mut rank,
                &raw mut base,
                &raw mut size,
                &raw mut memory,
                &raw mut memory_id,
                &raw mut buffer,
            )
        })?;
        // SAFETY: names are C strings that live as long as the response, or for ever; the core says how long the other
        // two are; our allocator put every buffer into ordinary memory.
        outputs.push(unsafe {
            Output {
                name: text(name),
                datatype: text(api.TRITONSERVER_DataTypeString(datatype)),
                shape: slice(shape, rank as usize).to_vec(),
                content: slice(base.cast::<u8>(), size).to_vec(),
            }
        });
    }
    Ok(outputs)
}

/// A slice whose pointer may be null where it is empty.
unsafe fn slice<'a, T>(base: *const T, length: usize) -> &'a [T] {
    if base.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller vouches for pointer and length.
    unsafe { std::slice::from_raw_parts(base, length) }
}

/// Memory for one output: always ordinary memory, which every backend can write to.
pub(super) unsafe extern "C" fn allocate(
    _: *mut TRITONSERVER_ResponseAllocator,
    _tensor: *const c_char,
    byte_size: usize,
    _wanted: u32,
    _wanted_id: i64,
    _userp: *mut c_void,
    buffer: *mut *mut c_void,
    buffer_userp: *mut *mut c_void,
    actual: *mut u32,
    actual_id: *mut i64,
) -> *mut TRITONSERVER_Error {
    // 8-byte words, so that every type is aligned.
    let words = byte_size.div_ceil(8);
    let memory = Box::into_raw(vec![0_u64; words].into_boxed_slice()).cast::<c_void>();
    // SAFETY: the core passes four valid places to write to. It hands the second back as it is: the length.
    unsafe {
        *buffer = memory;
        *buffer_userp = std::ptr::without_provenance_mut(words);
        *actual = MEMORY_CPU;
        *actual_id = 0;
    }
    null_mut()
}

/// The memory of one output is not needed any more.
pub(super) unsafe extern "C" fn release(
    _: *mut TRITONSERVER_ResponseAllocator,
    buffer: *mut c_void,
    buffer_userp: *mut c_void,
    _byte_size: usize,
    _memory: u32,
    _memory_id: i64,
) -> *mut TRITONSERVER_Error {
    let words = std::ptr::slice_from_raw_parts_mut(buffer.cast::<u64>(), buffer_userp.addr());
    // SAFETY: `allocate` made this box with this length, and the core gives each buffer back once.
    drop(unsafe { Box::from_raw(words) });
    null_mut()
}
