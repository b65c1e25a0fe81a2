//! Outputs of a Triton core's responses: their memory, and copies of them.

use std::ffi::{c_char, c_void};
use std::ptr::{null, null_mut};

use super::bindings::{
    TRITONSERVER_Error, TRITONSERVER_InferenceResponse, TRITONSERVER_ResponseAllocator,
};
use super::server::{Core, CoreError, text};

/// `TRITONSERVER_MEMORY_CPU`: every tensor here lies in ordinary memory.
pub(super) const MEMORY_CPU: u32 = 0;

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

/// Copies the outputs of a response, and deletes it.
///
/// # Safety
/// `response` must be live, and is not used again.
pub(super) unsafe fn take_response(
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
