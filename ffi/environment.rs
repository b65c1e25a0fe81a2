//! Change of this process's environment, while no other thread can read it.

use std::fs;

/// Other threads run already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("threads that a library has started may be reading the environment")]
pub struct NotAlone;

/// Sets a variable for what is called later in this process, and for its children.
///
/// # Errors
/// When this is not the only thread.
pub fn set(name: &str, value: &str) -> Result<(), NotAlone> {
    let threads = fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        return Err(NotAlone);
    }
    // SAFETY: no other thread exists that could read or write the environment meanwhile, and this one is here.
    unsafe { std::env::set_var(name, value) };
    Ok(())
}
