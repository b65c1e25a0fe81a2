//! Signals that a thread has blocked: whatever it becomes by `exec` would find them blocked too.

use std::ffi::{c_int, c_ulong};
use std::io;
use std::ptr;

/// `sigset_t` of Linux: 1 024 bits, of which none is a set of no signals.
#[repr(C)]
struct SignalSet([c_ulong; 1024 / c_ulong::BITS as usize]);

/// `SIG_SETMASK` of Linux.
const SET_MASK: c_int = 2;

unsafe extern "C" {
    fn pthread_sigmask(how: c_int, new: *const SignalSet, old: *mut SignalSet) -> c_int;
}

/// Blocks no signal any more in this thread.
///
/// # Errors
/// As the kernel says.
pub fn block_none() -> io::Result<()> {
    let none = SignalSet([0; 1024 / c_ulong::BITS as usize]);
    // SAFETY: the set is as large as the C library's own and is only read during the call; the old set is not asked for.
    match unsafe { pthread_sigmask(SET_MASK, &raw const none, ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn blocked() -> u64 {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap()
    }

    #[test]
    fn what_was_blocked_is_blocked_no_more() {
        let interrupt = SignalSet(std::array::from_fn(|word| if word == 0 { 1 << 1 } else { 0 }));
        // SAFETY: as above.
        let set = unsafe { pthread_sigmask(SET_MASK, &raw const interrupt, ptr::null_mut()) };
        assert_eq!((set, blocked()), (0, 1 << 1));
        block_none().unwrap();
        assert_eq!(blocked(), 0);
    }
}
