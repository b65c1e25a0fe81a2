//! Triton core in this process, through the C API of `libtritonserver`, loaded at run time.
//!
//! `tritonserver.h` holds the prototypes in our own words, `bindings.rs` is what bindgen makes of them. Threads: the
//! core calls back on threads of its own; [`Deliver`] must therefore be cheap and never block. Ownership: a request and
//! its input tensors live until the core has released the request *and* its last response has come. Outputs are copied
//! out of a response before the callback returns. Errors: every error object becomes a [`CoreError`] and is deleted.

#[allow(
    dead_code,
    non_camel_case_types,
    non_snake_case,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::pedantic
)]
mod bindings;
mod infer;
mod library;
mod server;

pub use infer::{Deliver, Handle, Input, Output, Parameter, Request, Response};
pub use library::{Library, LoadError};
pub use server::{Core, CoreError, CoreOptions};
