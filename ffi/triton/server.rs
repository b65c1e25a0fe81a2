//! Start, queries and stop of a Triton core.

use std::ffi::{CStr, CString, NulError, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::bindings::{
    TRITONSERVER_Error, TRITONSERVER_Message, TRITONSERVER_ResponseAllocator, TRITONSERVER_Server,
    TRITONSERVER_ServerOptions,
};
use super::library::Library;
use super::outputs::{allocate, release};

/// Settings of a core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreOptions {
    /// Folder of models.
    pub repository: PathBuf,
    /// Folder of backends; the library's default where `None`.
    pub backends: Option<PathBuf>,
    /// Seconds that stopping waits for open requests.
    pub exit_timeout_s: u32,
}

/// Error of the core, with its message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CoreError {
    /// `TRITONSERVER_Error_Code`: see the constants of this type.
    pub code: u32,
    /// The core's message.
    pub message: String,
}

impl CoreError {
    /// `TRITONSERVER_ERROR_NOT_FOUND`
    pub const NOT_FOUND: u32 = 2;
    /// `TRITONSERVER_ERROR_INVALID_ARG`
    pub const INVALID_ARGUMENT: u32 = 3;
    /// `TRITONSERVER_ERROR_UNAVAILABLE`
    pub const UNAVAILABLE: u32 = 4;
    /// `TRITONSERVER_ERROR_UNSUPPORTED`
    pub const UNSUPPORTED: u32 = 5;
}

impl From<NulError> for CoreError {
    fn from(error: NulError) -> Self {
        Self { code: Self::INVALID_ARGUMENT, message: error.to_string() }
    }
}

/// A running core. Shared by its owner and its requests; the last holder deletes it.
pub struct Core {
    pub(super) library: Library,
    pub(super) server: *mut TRITONSERVER_Server,
    pub(super) allocator: *mut TRITONSERVER_ResponseAllocator,
    /// It did not stop in time. It is left as it is until the process ends, since deleting it under a running model crashes.
    runs_on: AtomicBool,
}

// SAFETY: Triton's C API may be called from any thread; the two pointers are written once, before the first share.
unsafe impl Send for Core {}
// SAFETY: as above.
unsafe impl Sync for Core {}

impl Library {
    /// Converts an error object that a call just returned, and deletes it. Null is success.
    pub(super) fn check(&self, error: *mut TRITONSERVER_Error) -> Result<(), CoreError> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: a call that returns an error object gives it to the caller, who deletes it once, after reading it.
        unsafe {
            let known = self.read(error);
            self.api.TRITONSERVER_ErrorDelete(error);
            Err(known)
        }
    }

    /// Reads an error object that another object owns.
    ///
    /// # Safety
    /// `error` must be live.
    pub(super) unsafe fn read(&self, error: *mut TRITONSERVER_Error) -> CoreError {
        // SAFETY: the caller vouches for the object; its message is a C string inside it.
        unsafe {
            let message = text(self.api.TRITONSERVER_ErrorMessage(error));
            CoreError { code: self.api.TRITONSERVER_ErrorCode(error), message }
        }
    }
}

/// A copy of a C string, which may be null.
///
/// # Safety
/// `string` must be null or end in a zero, and live as long as the call.
pub(super) unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: the caller vouches for it.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

impl Core {
    /// Starts a core on a repository. No model is loaded yet: a core that loads models while it starts counts as failed
    /// when one of them does not load, and a failed core is deleted with its models still running, which can crash.
    ///
    /// # Errors
    /// With the core's message.
    pub fn start(library: Library, options: &CoreOptions) -> Result<Arc<Self>, CoreError> {
        let mut allocator = null_mut();
        // SAFETY: both functions are `extern "C"` and live as long as the program.
        library.check(unsafe {
            library.api.TRITONSERVER_ResponseAllocatorNew(
                &raw mut allocator,
                Some(allocate),
                Some(release),
                None,
            )
        })?;
        let mut core =
            Self { library, server: null_mut(), allocator, runs_on: AtomicBool::new(false) };
        core.server = core.start_server(options)?;
        Ok(Arc::new(core))
    }

    fn start_server(&self, options: &CoreOptions) -> Result<*mut TRITONSERVER_Server, CoreError> {
        let api = &self.library.api;
        let (mut made, mut server) = (null_mut(), null_mut());
        // SAFETY: `made` is written by a call that succeeds; it is deleted once, after the server was made from it.
        unsafe {
            self.library.check(api.TRITONSERVER_ServerOptionsNew(&raw mut made))?;
            let started = self.set(made, options).and_then(|()| {
                self.library.check(api.TRITONSERVER_ServerNew(&raw mut server, made))
            });
            let deleted = self.library.check(api.TRITONSERVER_ServerOptionsDelete(made));
            started.and(deleted).map(|()| server)
        }
    }

    /// Sets what differs from the core's own defaults.
    ///
    /// # Safety
    /// `made` must be live.
    unsafe fn set(
        &self,
        made: *mut TRITONSERVER_ServerOptions,
        options: &CoreOptions,
    ) -> Result<(), CoreError> {
        let api = &self.library.api;
        let check = |error| self.library.check(error);
        let repository = c_path(&options.repository)?;
        let (python, prefix) = (c"python", c"shm-region-prefix-name");
        let unique = c_string(&shared_memory_prefix())?;
        // SAFETY: the caller vouches for `made`; texts are copied by the core.
        unsafe {
            check(api.TRITONSERVER_ServerOptionsSetModelRepositoryPath(made, repository.as_ptr()))?;
            if let Some(backends) = &options.backends {
                let folder = c_path(backends)?;
                check(api.TRITONSERVER_ServerOptionsSetBackendDirectory(made, folder.as_ptr()))?;
            }
            check(api.TRITONSERVER_ServerOptionsSetModelControlMode(made, MODELS_ON_REQUEST))?;
            check(api.TRITONSERVER_ServerOptionsSetExitOnError(made, false))?;
            check(api.TRITONSERVER_ServerOptionsSetExitTimeout(made, options.exit_timeout_s))?;
            // 2.51 leaves the number as it finds it in memory, and tried a broken model again for minutes.
            check(api.TRITONSERVER_ServerOptionsSetModelLoadRetryCount(made, 0))?;
            // As the program `tritonserver` has it: a backend may complete what a configuration leaves out.
            check(api.TRITONSERVER_ServerOptionsSetStrictModelConfig(made, false))?;
            check(api.TRITONSERVER_ServerOptionsSetLogInfo(made, false))?;
            // Collecting metrics would cost time in the measurement.
            check(api.TRITONSERVER_ServerOptionsSetMetrics(made, false))?;
            check(api.TRITONSERVER_ServerOptionsSetBackendConfig(
                made,
                python.as_ptr(),
                prefix.as_ptr(),
                unique.as_ptr(),
            ))
        }
    }

    /// Loads a model, and the models that an ensemble is made of. Blocks until it is ready.
    ///
    /// # Errors
    /// With the core's message; what was loaded before stays loaded.
    pub fn load(&self, model: &str) -> Result<(), CoreError> {
        let model = c_string(model)?;
        // SAFETY: the server lives as long as `self`, the name as long as the call.
        self.library.check(unsafe {
            self.library.api.TRITONSERVER_ServerLoadModel(self.server, model.as_ptr())
        })
    }

    /// Name, version and extensions of the core, as JSON.
    ///
    /// # Errors
    /// With the core's message.
    pub fn metadata(&self) -> Result<String, CoreError> {
        self.json(|message| {
            // SAFETY: the server lives as long as `self`.
            unsafe { self.library.api.TRITONSERVER_ServerMetadata(self.server, message) }
        })
    }

    /// Tensors of a model, as JSON.
    ///
    /// # Errors
    /// With the core's message.
    pub fn model_metadata(&self, model: &str, version: i64) -> Result<String, CoreError> {
        let model = c_string(model)?;
        self.json(|message| {
            let api = &self.library.api;
            // SAFETY: the server lives as long as `self`, the name as long as the call.
            unsafe {
                api.TRITONSERVER_ServerModelMetadata(self.server, model.as_ptr(), version, message)
            }
        })
    }

    /// The configuration of a model, as JSON.
    ///
    /// # Errors
    /// With the core's message.
    pub fn model_config(&self, model: &str, version: i64) -> Result<String, CoreError> {
        const CONFIG_VERSION: u32 = 1;
        let model = c_string(model)?;
        self.json(|message| {
            let api = &self.library.api;
            // SAFETY: the server lives as long as `self`, the name as long as the call.
            unsafe {
                api.TRITONSERVER_ServerModelConfig(
                    self.server,
                    model.as_ptr(),
                    version,
                    CONFIG_VERSION,
                    message,
                )
            }
        })
    }

    /// All models of the repository with their states and why some are not loaded, as JSON.
    ///
    /// # Errors
    /// With the core's message.
    pub fn model_index(&self) -> Result<String, CoreError> {
        const ALL: u32 = 0;
        self.json(|message| {
            // SAFETY: the server lives as long as `self`.
            unsafe { self.library.api.TRITONSERVER_ServerModelIndex(self.server, ALL, message) }
        })
    }

    fn json(
        &self,
        ask: impl FnOnce(*mut *mut TRITONSERVER_Message) -> *mut TRITONSERVER_Error,
    ) -> Result<String, CoreError> {
        let mut message = null_mut();
        self.library.check(ask(&raw mut message))?;
        let api = &self.library.api;
        let (mut base, mut size) = (null(), 0);
        // SAFETY: the message was just made; its bytes live until it is deleted, and are copied before.
        unsafe {
            let written =
                api.TRITONSERVER_MessageSerializeToJson(message, &raw mut base, &raw mut size);
            let json = self.library.check(written).map(|()| {
                let bytes = std::slice::from_raw_parts(base.cast::<u8>(), size);
                String::from_utf8_lossy(bytes).into_owned()
            });
            self.library.check(api.TRITONSERVER_MessageDelete(message)).and(json)
        }
    }

    /// Waits for open requests, at most the exit timeout, and unloads all models. Blocks.
    ///
    /// # Errors
    /// With the core's message, for example that requests were still open.
    pub fn stop(&self) -> Result<(), CoreError> {
        // SAFETY: the server lives as long as `self`; stopping twice is allowed.
        let stopped =
            self.library.check(unsafe { self.library.api.TRITONSERVER_ServerStop(self.server) });
        // Only the first call stops, so that only its answer says anything.
        if stopped.is_err() {
            self.runs_on.store(true, Ordering::Relaxed);
        }
        stopped
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if !self.server.is_null() {
            let _told_by_the_flag = self.stop();
        }
        if *self.runs_on.get_mut() {
            return;
        }
        // SAFETY: nobody else holds the core any more, so no request is open; each object is deleted once.
        unsafe {
            if !self.server.is_null() {
                let deleted = self.library.api.TRITONSERVER_ServerDelete(self.server);
                let _nobody_is_left_to_hear_it = self.library.check(deleted);
            }
            let deleted = self.library.api.TRITONSERVER_ResponseAllocatorDelete(self.allocator);
            let _nobody_is_left_to_hear_it = self.library.check(deleted);
        }
    }
}

/// `TRITONSERVER_MODEL_CONTROL_EXPLICIT`
const MODELS_ON_REQUEST: u32 = 2;

/// Two cores on one machine must not share the memory through which they talk to Python models.
fn shared_memory_prefix() -> String {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    format!("bareflight{}_{number}_", std::process::id())
}

fn c_path(path: &Path) -> Result<CString, CoreError> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

pub(super) fn c_string(text: &str) -> Result<CString, CoreError> {
    Ok(CString::new(text)?)
}
