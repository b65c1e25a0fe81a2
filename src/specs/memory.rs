//! Memory of a GPU: free and total bytes.

/// Memory of a GPU at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuMemory {
    /// What a new allocation could have.
    pub free_bytes: u64,
    /// All of it.
    pub total_bytes: u64,
}
