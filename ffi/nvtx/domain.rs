//! NVTX domain: push, pop and mark of ranges, through the function slots that the tool filled.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::transmute;

use super::tables::{VERSION, core_2};

/// `NvtxCallbackIdCore2`.
const RANGE_START: usize = 2;
const RANGE_END: usize = 3;
const RANGE_PUSH: usize = 4;
const RANGE_POP: usize = 5;
const NAME_CATEGORY: usize = 8;
const REGISTER_STRING: usize = 10;
const DOMAIN_CREATE: usize = 12;

type Start = unsafe extern "C" fn(*mut c_void, *const Attributes) -> u64;
type End = unsafe extern "C" fn(*mut c_void, u64);
type Push = unsafe extern "C" fn(*mut c_void, *const Attributes) -> c_int;
type Pop = unsafe extern "C" fn(*mut c_void) -> c_int;
type NameCategory = unsafe extern "C" fn(*mut c_void, u32, *const c_char);
type RegisterString = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;
type Create = unsafe extern "C" fn(*const c_char) -> *mut c_void;

/// `nvtxPayloadType_t` and `nvtxMessageType_t`.
const NO_PAYLOAD: i32 = 0;
const UNSIGNED_64: i32 = 1;
const ASCII: i32 = 1;
const REGISTERED: i32 = 3;

/// `nvtxEventAttributes_v2`: attributes of a range.
#[repr(C)]
struct Attributes {
    version: u16,
    size: u16,
    category: u32,
    color_type: i32,
    color: u32,
    payload_type: i32,
    reserved: i32,
    payload: u64,
    message_type: i32,
    message: *const c_void,
}

/// What NVTX's header says of it on a machine of 64 bits.
const _: () = assert!(size_of::<Attributes>() == 48);

impl Attributes {
    fn new(kind: &Kind, payload: Option<u64>) -> Self {
        Self {
            version: VERSION as u16,
            size: size_of::<Self>() as u16,
            category: kind.category,
            color_type: 0,
            color: 0,
            payload_type: if payload.is_some() { UNSIGNED_64 } else { NO_PAYLOAD },
            reserved: 0,
            payload: payload.unwrap_or_default(),
            message_type: kind.message_type,
            message: kind.message,
        }
    }
}

/// The NVTX domain of this program. It separates our ranges from those of an engine in the same process.
#[derive(Debug)]
pub struct Domain {
    /// The tool's handle; null if it does not support domains.
    handle: *mut c_void,
}

// SAFETY: the handle is the tool's, which takes it from any thread; here it is only passed on.
unsafe impl Send for Domain {}
// SAFETY: as above; NVTX's functions may be called from several threads at once.
unsafe impl Sync for Domain {}

/// Name of one kind of range, registered with the tool so that each use costs only a handle.
#[derive(Debug)]
pub struct Kind {
    category: u32,
    message_type: i32,
    message: *const c_void,
}

// SAFETY: the message is a handle of the tool's, or text that is never freed; neither is written to.
unsafe impl Send for Kind {}
// SAFETY: as above.
unsafe impl Sync for Kind {}

/// A range that has begun, as the tool calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeId(pub u64);

/// A function of the tool's, if it listens to this one.
macro_rules! listened {
    ($number:expr, $type:ty) => {{
        let function = core_2($number);
        // SAFETY: the tool put it into the slot that NVTX has for functions of this type.
        (!function.is_null()).then(|| unsafe { transmute::<*mut c_void, $type>(function) })
    }};
}

impl Domain {
    /// Registers this program with the tool; `None` if the tool does not record ranges.
    pub(super) fn named(name: &CStr) -> Option<Self> {
        let hears = !core_2(RANGE_START).is_null() || !core_2(RANGE_PUSH).is_null();
        // SAFETY: the name is a C string, which the tool copies.
        let create =
            || listened!(DOMAIN_CREATE, Create).map(|create| unsafe { create(name.as_ptr()) });
        hears.then(|| Self { handle: create().unwrap_or(std::ptr::null_mut()) })
    }

    /// A kind of range, with a category of its own.
    pub fn kind(&self, category: u32, text: &'static CStr) -> Kind {
        if let Some(name) = listened!(NAME_CATEGORY, NameCategory) {
            // SAFETY: the handle is the tool's own, and the text is a C string, which it copies.
            unsafe { name(self.handle, category, text.as_ptr()) };
        }
        let known = listened!(REGISTER_STRING, RegisterString)
            // SAFETY: as above.
            .map(|register| unsafe { register(self.handle, text.as_ptr()) })
            .filter(|handle| !handle.is_null());
        match known {
            Some(message) => Kind { category, message_type: REGISTERED, message },
            None => Kind { category, message_type: ASCII, message: text.as_ptr().cast() },
        }
    }

    /// Starts a range that any thread may end; `None` if the tool does not record such ranges.
    #[inline]
    pub fn start(&self, kind: &Kind, payload: u64) -> Option<RangeId> {
        let start = listened!(RANGE_START, Start)?;
        let attributes = Attributes::new(kind, Some(payload));
        // SAFETY: the handle is the tool's own; it reads the attributes during the call and keeps nothing of them.
        Some(RangeId(unsafe { start(self.handle, &raw const attributes) }))
    }

    /// Ends the range.
    #[inline]
    pub fn end(&self, range: RangeId) {
        if let Some(end) = listened!(RANGE_END, End) {
            // SAFETY: handle and number are the tool's own.
            unsafe { end(self.handle, range.0) };
        }
    }

    /// Starts a nested range of this thread.
    pub fn push(&self, category: u32, text: &CStr) {
        let message = text.as_ptr().cast();
        let attributes = Attributes::new(&Kind { category, message_type: ASCII, message }, None);
        if let Some(push) = listened!(RANGE_PUSH, Push) {
            // SAFETY: as in `start`; the tool copies the text.
            unsafe { push(self.handle, &raw const attributes) };
        }
    }

    /// Ends the innermost range of this thread.
    pub fn pop(&self) {
        if let Some(pop) = listened!(RANGE_POP, Pop) {
            // SAFETY: the handle is the tool's own.
            unsafe { pop(self.handle) };
        }
    }
}
