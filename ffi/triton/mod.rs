//! Triton core in this process, through the C API of `libtritonserver`, loaded at run time.
//!
//! `tritonserver.h` holds our own copy of the prototypes; bindgen generates `bindings.rs` from it. Threads: the
//! core calls back on threads of its own; [`Deliver`] must therefore be cheap and never block. Ownership: a request and
//! its input tensors live until the core has released the request *and* its last response has come *and* the [`Handle`]
//! is gone. Outputs are copied out of a response before the callback returns. The last holder of the [`Core`] deletes
//! it, which joins the core's threads: callbacks hold it too, so an owner stops it and waits for them first. Errors:
//! every error object becomes a [`CoreError`] and is deleted. Panics: a callback is `extern "C"`, which aborts rather
//! than let one through.

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
mod outputs;
mod server;

pub use infer::{Deliver, Handle, Input, Parameter, Request, Response};
pub use library::{Library, LoadError};
pub use outputs::Output;
pub use server::{Core, CoreError, CoreOptions};
