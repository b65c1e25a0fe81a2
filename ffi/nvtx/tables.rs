//! NVTX export tables: for each function of each module a slot, which the tool fills with a function of its own or
//! leaves empty.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Functions of each `NvtxCallbackModule`, the unused number 0 counted in: core, CUDA, OpenCL, CUDA runtime, core 2
/// (domains), synchronisation. A tool asks for any of them, and only those of core 2 are ever called here.
const FUNCTIONS: [usize; 6] = [16, 9, 15, 7, 16, 7];
/// The number of core 2 among modules, which count from 1.
const CORE_2: usize = 5;
/// `NVTX_VERSION`.
pub(super) const VERSION: u32 = 3;
/// `NvtxExportTableID`.
const CALLBACKS_ID: u32 = 1;
const VERSION_INFO_ID: u32 = 3;

/// One module: a slot for each function, and the table of pointers to slots that the tool sees.
struct Module {
    slots: Box<[AtomicPtr<c_void>]>,
    /// Null first and last, as in NVTX's own tables.
    table: Box<[AtomicPtr<*mut c_void>]>,
}

impl Module {
    fn new(functions: usize) -> Self {
        let slots: Box<[AtomicPtr<c_void>]> =
            (0..functions).map(|_| AtomicPtr::default()).collect();
        let pointer = |number: usize| match slots.get(number) {
            Some(slot) if number > 0 => AtomicPtr::new(slot.as_ptr()),
            _ => AtomicPtr::new(null_mut()),
        };
        let table = (0..=functions).map(pointer).collect();
        Self { slots, table }
    }
}

fn modules() -> &'static [Module; 6] {
    static MODULES: OnceLock<[Module; 6]> = OnceLock::new();
    MODULES.get_or_init(|| FUNCTIONS.map(Module::new))
}

/// The function of core 2 with this `NvtxCallbackIdCore2` as the tool has it now; null where it does not listen to it.
#[inline]
pub(super) fn core_2(number: usize) -> *mut c_void {
    modules()[CORE_2 - 1].slots[number].load(Ordering::Acquire)
}

/// `NvtxExportTableCallbacks`.
#[repr(C)]
struct Callbacks {
    size: usize,
    module_table: unsafe extern "C" fn(c_int, *mut *mut c_void, *mut c_uint) -> c_int,
}

/// `NvtxExportTableVersionInfo`.
#[repr(C)]
struct VersionInfo {
    size: usize,
    version: u32,
    reserved: u32,
    set_version_of_tool: extern "C" fn(u32),
}

static CALLBACKS: Callbacks = Callbacks { size: size_of::<Callbacks>(), module_table };
static VERSION_INFO: VersionInfo = VersionInfo {
    size: size_of::<VersionInfo>(),
    version: VERSION,
    reserved: 0,
    set_version_of_tool,
};

/// What the tool asks first.
pub(super) extern "C" fn export_table(id: u32) -> *const c_void {
    match id {
        CALLBACKS_ID => (&raw const CALLBACKS).cast(),
        VERSION_INFO_ID => (&raw const VERSION_INFO).cast(),
        _ => null(),
    }
}

/// Reserved by NVTX: its own headers do nothing either.
extern "C" fn set_version_of_tool(_: u32) {}

/// # Safety
/// Each pointer is null or may be written to, which is NVTX's contract with a tool.
unsafe extern "C" fn module_table(
    module: c_int,
    table: *mut *mut c_void,
    functions: *mut c_uint,
) -> c_int {
    let number = usize::try_from(module).ok().and_then(|module| module.checked_sub(1));
    let Some(module) = number.and_then(|number| modules().get(number)) else { return 0 };
    // SAFETY: what the caller promises. The table lives as long as the process, and atomics are as large as their values.
    unsafe {
        if let Some(table) = table.as_mut() {
            *table = module.table.as_ptr().cast_mut().cast();
        }
        if let Some(functions) = functions.as_mut() {
            *functions = module.slots.len() as c_uint;
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_or_table_that_nvtx_does_not_have_is_none() {
        assert!(
            export_table(0).is_null() && export_table(2).is_null() && export_table(4).is_null()
        );
        for module in [-1, 0, 7] {
            // SAFETY: both pointers are null.
            assert_eq!(unsafe { module_table(module, null_mut(), null_mut()) }, 0, "{module}");
        }
    }

    #[test]
    fn each_module_shows_a_slot_for_each_function_and_none_outside() {
        for (module, functions) in (1..).zip(FUNCTIONS) {
            let (mut table, mut size) = (null_mut(), 0);
            // SAFETY: both are locals that outlive the call.
            let found = unsafe { module_table(module, &raw mut table, &raw mut size) };
            assert_eq!((found, size as usize), (1, functions));
            let table = table.cast::<*mut *mut c_void>();
            for number in 0..=functions {
                // SAFETY: the table has a null behind its last slot.
                let slot = unsafe { *table.add(number) };
                assert_eq!(slot.is_null(), number == 0 || number == functions, "{module} {number}");
            }
        }
    }
}
