//! Test double of an NVTX tool: counts calls and allocates nothing.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Domain, ExportTable, through};

/// Calls that the tool received.
pub(crate) static STARTED: AtomicU64 = AtomicU64::new(0);
pub(crate) static ENDED: AtomicU64 = AtomicU64::new(0);
/// Bytes that attributes held in their last start: where NVTX's header has the payload and the message.
pub(crate) static PAYLOAD: AtomicU64 = AtomicU64::new(0);
pub(crate) static MESSAGE: AtomicU64 = AtomicU64::new(0);

/// A handle that means something to nobody else.
pub(crate) const REGISTERED_HANDLE: u64 = 0x5157;

unsafe extern "C" fn start(_: *mut c_void, attributes: *const u64) -> u64 {
    // SAFETY: attributes are 48 bytes: the payload lies at byte 24, the message at byte 40.
    unsafe {
        PAYLOAD.store(*attributes.add(3), Ordering::Relaxed);
        MESSAGE.store(*attributes.add(5), Ordering::Relaxed);
    }
    STARTED.fetch_add(1, Ordering::Relaxed)
}

extern "C" fn end(_: *mut c_void, _: u64) {
    ENDED.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn register(_: *mut c_void, _: *const c_char) -> *mut c_void {
    REGISTERED_HANDLE as usize as *mut c_void
}

/// As a tool does it: the callbacks' table, the table of core 2 in it, its slots.
unsafe extern "C" fn entry(table: ExportTable) -> c_int {
    type ModuleTable =
        unsafe extern "C" fn(c_int, *mut *mut *mut *mut c_void, *mut c_uint) -> c_int;
    let callbacks = table(1).cast::<(usize, ModuleTable)>();
    let (mut slots, mut size) = (null_mut(), 0);
    // SAFETY: the table has a size and a function, which gives a table of so many slots; each may be written to.
    unsafe {
        if (*callbacks).1(5, &raw mut slots, &raw mut size) != 1 || size != 16 {
            return 0;
        }
        **slots.add(2) = start as *mut c_void;
        **slots.add(3) = end as *mut c_void;
        **slots.add(10) = register as *mut c_void;
    }
    1
}

/// The domain at this tool.
pub(crate) fn domain() -> &'static Domain {
    static DOMAIN: OnceLock<Domain> = OnceLock::new();
    DOMAIN.get_or_init(|| through(entry).expect("it listens to ranges"))
}
