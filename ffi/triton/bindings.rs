//! Which functions does Triton core export? Made by bindings.sh from tritonserver.h: change these, not this.

#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TRITONSERVER_Error {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TRITONSERVER_InferenceRequest {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TRITONSERVER_InferenceResponse {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TRITONSERVER_InferenceTrace {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TRITONSERVER_Message {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TRITONSERVER_ResponseAllocator {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TRITONSERVER_Server {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TRITONSERVER_ServerOptions {
    _unused: [u8; 0],
}
pub type TRITONSERVER_DataType = u32;
pub type TRITONSERVER_Error_Code = u32;
pub type TRITONSERVER_MemoryType = u32;
pub type TRITONSERVER_ModelControlMode = u32;
pub type TRITONSERVER_ResponseAllocatorAllocFn_t = ::std::option::Option<
    unsafe extern "C" fn(
        allocator: *mut TRITONSERVER_ResponseAllocator,
        tensor: *const ::std::os::raw::c_char,
        byte_size: usize,
        wanted: TRITONSERVER_MemoryType,
        wanted_id: i64,
        userp: *mut ::std::os::raw::c_void,
        buffer: *mut *mut ::std::os::raw::c_void,
        buffer_userp: *mut *mut ::std::os::raw::c_void,
        actual: *mut TRITONSERVER_MemoryType,
        actual_id: *mut i64,
    ) -> *mut TRITONSERVER_Error,
>;
pub type TRITONSERVER_ResponseAllocatorReleaseFn_t = ::std::option::Option<
    unsafe extern "C" fn(
        allocator: *mut TRITONSERVER_ResponseAllocator,
        buffer: *mut ::std::os::raw::c_void,
        buffer_userp: *mut ::std::os::raw::c_void,
        byte_size: usize,
        memory: TRITONSERVER_MemoryType,
        memory_id: i64,
    ) -> *mut TRITONSERVER_Error,
>;
pub type TRITONSERVER_ResponseAllocatorStartFn_t = ::std::option::Option<
    unsafe extern "C" fn(
        allocator: *mut TRITONSERVER_ResponseAllocator,
        userp: *mut ::std::os::raw::c_void,
    ) -> *mut TRITONSERVER_Error,
>;
pub type TRITONSERVER_InferenceRequestReleaseFn_t = ::std::option::Option<
    unsafe extern "C" fn(
        request: *mut TRITONSERVER_InferenceRequest,
        flags: u32,
        userp: *mut ::std::os::raw::c_void,
    ),
>;
pub type TRITONSERVER_InferenceResponseCompleteFn_t = ::std::option::Option<
    unsafe extern "C" fn(
        response: *mut TRITONSERVER_InferenceResponse,
        flags: u32,
        userp: *mut ::std::os::raw::c_void,
    ),
>;
pub struct TritonApi {
    __library: ::libloading::Library,
    pub TRITONSERVER_ApiVersion:
        unsafe extern "C" fn(major: *mut u32, minor: *mut u32) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ErrorCode:
        unsafe extern "C" fn(error: *mut TRITONSERVER_Error) -> TRITONSERVER_Error_Code,
    pub TRITONSERVER_ErrorMessage:
        unsafe extern "C" fn(error: *mut TRITONSERVER_Error) -> *const ::std::os::raw::c_char,
    pub TRITONSERVER_ErrorDelete: unsafe extern "C" fn(error: *mut TRITONSERVER_Error),
    pub TRITONSERVER_DataTypeString:
        unsafe extern "C" fn(datatype: TRITONSERVER_DataType) -> *const ::std::os::raw::c_char,
    pub TRITONSERVER_StringToDataType:
        unsafe extern "C" fn(name: *const ::std::os::raw::c_char) -> TRITONSERVER_DataType,
    pub TRITONSERVER_MessageSerializeToJson: unsafe extern "C" fn(
        message: *mut TRITONSERVER_Message,
        base: *mut *const ::std::os::raw::c_char,
        byte_size: *mut usize,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_MessageDelete:
        unsafe extern "C" fn(message: *mut TRITONSERVER_Message) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerOptionsNew: unsafe extern "C" fn(
        options: *mut *mut TRITONSERVER_ServerOptions,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerOptionsDelete:
        unsafe extern "C" fn(options: *mut TRITONSERVER_ServerOptions) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerOptionsSetModelRepositoryPath:
        unsafe extern "C" fn(
            options: *mut TRITONSERVER_ServerOptions,
            path: *const ::std::os::raw::c_char,
        ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerOptionsSetBackendDirectory:
        unsafe extern "C" fn(
            options: *mut TRITONSERVER_ServerOptions,
            path: *const ::std::os::raw::c_char,
        ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerOptionsSetBackendConfig: unsafe extern "C" fn(
        options: *mut TRITONSERVER_ServerOptions,
        backend: *const ::std::os::raw::c_char,
        setting: *const ::std::os::raw::c_char,
        value: *const ::std::os::raw::c_char,
    )
        -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerOptionsSetModelControlMode:
        unsafe extern "C" fn(
            options: *mut TRITONSERVER_ServerOptions,
            mode: TRITONSERVER_ModelControlMode,
        ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerOptionsSetExitOnError: unsafe extern "C" fn(
        options: *mut TRITONSERVER_ServerOptions,
        exit: bool,
    )
        -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerOptionsSetExitTimeout: unsafe extern "C" fn(
        options: *mut TRITONSERVER_ServerOptions,
        seconds: ::std::os::raw::c_uint,
    )
        -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerOptionsSetModelLoadRetryCount:
        unsafe extern "C" fn(
            options: *mut TRITONSERVER_ServerOptions,
            retries: ::std::os::raw::c_uint,
        ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerOptionsSetStrictModelConfig:
        unsafe extern "C" fn(
            options: *mut TRITONSERVER_ServerOptions,
            strict: bool,
        ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerOptionsSetLogInfo: unsafe extern "C" fn(
        options: *mut TRITONSERVER_ServerOptions,
        log: bool,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerOptionsSetMetrics: unsafe extern "C" fn(
        options: *mut TRITONSERVER_ServerOptions,
        metrics: bool,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerNew: unsafe extern "C" fn(
        server: *mut *mut TRITONSERVER_Server,
        options: *mut TRITONSERVER_ServerOptions,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerStop:
        unsafe extern "C" fn(server: *mut TRITONSERVER_Server) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerDelete:
        unsafe extern "C" fn(server: *mut TRITONSERVER_Server) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerLoadModel: unsafe extern "C" fn(
        server: *mut TRITONSERVER_Server,
        model: *const ::std::os::raw::c_char,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerMetadata: unsafe extern "C" fn(
        server: *mut TRITONSERVER_Server,
        metadata: *mut *mut TRITONSERVER_Message,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerModelMetadata: unsafe extern "C" fn(
        server: *mut TRITONSERVER_Server,
        model: *const ::std::os::raw::c_char,
        version: i64,
        metadata: *mut *mut TRITONSERVER_Message,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerModelConfig: unsafe extern "C" fn(
        server: *mut TRITONSERVER_Server,
        model: *const ::std::os::raw::c_char,
        version: i64,
        config_version: u32,
        config: *mut *mut TRITONSERVER_Message,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerModelIndex: unsafe extern "C" fn(
        server: *mut TRITONSERVER_Server,
        flags: u32,
        index: *mut *mut TRITONSERVER_Message,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ResponseAllocatorNew: unsafe extern "C" fn(
        allocator: *mut *mut TRITONSERVER_ResponseAllocator,
        alloc_fn: TRITONSERVER_ResponseAllocatorAllocFn_t,
        release_fn: TRITONSERVER_ResponseAllocatorReleaseFn_t,
        start_fn: TRITONSERVER_ResponseAllocatorStartFn_t,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ResponseAllocatorDelete: unsafe extern "C" fn(
        allocator: *mut TRITONSERVER_ResponseAllocator,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceRequestNew: unsafe extern "C" fn(
        request: *mut *mut TRITONSERVER_InferenceRequest,
        server: *mut TRITONSERVER_Server,
        model: *const ::std::os::raw::c_char,
        version: i64,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceRequestDelete: unsafe extern "C" fn(
        request: *mut TRITONSERVER_InferenceRequest,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceRequestSetId: unsafe extern "C" fn(
        request: *mut TRITONSERVER_InferenceRequest,
        id: *const ::std::os::raw::c_char,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceRequestAddInput: unsafe extern "C" fn(
        request: *mut TRITONSERVER_InferenceRequest,
        name: *const ::std::os::raw::c_char,
        datatype: TRITONSERVER_DataType,
        shape: *const i64,
        dim_count: u64,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceRequestAppendInputData:
        unsafe extern "C" fn(
            request: *mut TRITONSERVER_InferenceRequest,
            name: *const ::std::os::raw::c_char,
            base: *const ::std::os::raw::c_void,
            byte_size: usize,
            memory: TRITONSERVER_MemoryType,
            memory_id: i64,
        ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceRequestAddRequestedOutput:
        unsafe extern "C" fn(
            request: *mut TRITONSERVER_InferenceRequest,
            name: *const ::std::os::raw::c_char,
        ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceRequestSetStringParameter:
        unsafe extern "C" fn(
            request: *mut TRITONSERVER_InferenceRequest,
            key: *const ::std::os::raw::c_char,
            value: *const ::std::os::raw::c_char,
        ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceRequestSetIntParameter:
        unsafe extern "C" fn(
            request: *mut TRITONSERVER_InferenceRequest,
            key: *const ::std::os::raw::c_char,
            value: i64,
        ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceRequestSetBoolParameter:
        unsafe extern "C" fn(
            request: *mut TRITONSERVER_InferenceRequest,
            key: *const ::std::os::raw::c_char,
            value: bool,
        ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceRequestSetDoubleParameter:
        unsafe extern "C" fn(
            request: *mut TRITONSERVER_InferenceRequest,
            key: *const ::std::os::raw::c_char,
            value: f64,
        ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceRequestSetReleaseCallback:
        unsafe extern "C" fn(
            request: *mut TRITONSERVER_InferenceRequest,
            release_fn: TRITONSERVER_InferenceRequestReleaseFn_t,
            userp: *mut ::std::os::raw::c_void,
        ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceRequestSetResponseCallback:
        unsafe extern "C" fn(
            request: *mut TRITONSERVER_InferenceRequest,
            allocator: *mut TRITONSERVER_ResponseAllocator,
            allocator_userp: *mut ::std::os::raw::c_void,
            response_fn: TRITONSERVER_InferenceResponseCompleteFn_t,
            userp: *mut ::std::os::raw::c_void,
        ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceRequestCancel: unsafe extern "C" fn(
        request: *mut TRITONSERVER_InferenceRequest,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_ServerInferAsync: unsafe extern "C" fn(
        server: *mut TRITONSERVER_Server,
        request: *mut TRITONSERVER_InferenceRequest,
        trace: *mut TRITONSERVER_InferenceTrace,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceResponseError: unsafe extern "C" fn(
        response: *mut TRITONSERVER_InferenceResponse,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceResponseOutputCount: unsafe extern "C" fn(
        response: *mut TRITONSERVER_InferenceResponse,
        count: *mut u32,
    )
        -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceResponseOutput: unsafe extern "C" fn(
        response: *mut TRITONSERVER_InferenceResponse,
        index: u32,
        name: *mut *const ::std::os::raw::c_char,
        datatype: *mut TRITONSERVER_DataType,
        shape: *mut *const i64,
        dim_count: *mut u64,
        base: *mut *const ::std::os::raw::c_void,
        byte_size: *mut usize,
        memory: *mut TRITONSERVER_MemoryType,
        memory_id: *mut i64,
        userp: *mut *mut ::std::os::raw::c_void,
    ) -> *mut TRITONSERVER_Error,
    pub TRITONSERVER_InferenceResponseDelete: unsafe extern "C" fn(
        response: *mut TRITONSERVER_InferenceResponse,
    ) -> *mut TRITONSERVER_Error,
}
impl TritonApi {
    pub unsafe fn new<P>(path: P) -> Result<Self, ::libloading::Error>
    where
        P: AsRef<::std::ffi::OsStr>,
    {
        let library = ::libloading::Library::new(path)?;
        Self::from_library(library)
    }
    pub unsafe fn from_library<L>(library: L) -> Result<Self, ::libloading::Error>
    where
        L: Into<::libloading::Library>,
    {
        let __library = library.into();
        let TRITONSERVER_ApiVersion =
            __library.get(b"TRITONSERVER_ApiVersion\0").map(|sym| *sym)?;
        let TRITONSERVER_ErrorCode = __library.get(b"TRITONSERVER_ErrorCode\0").map(|sym| *sym)?;
        let TRITONSERVER_ErrorMessage =
            __library.get(b"TRITONSERVER_ErrorMessage\0").map(|sym| *sym)?;
        let TRITONSERVER_ErrorDelete =
            __library.get(b"TRITONSERVER_ErrorDelete\0").map(|sym| *sym)?;
        let TRITONSERVER_DataTypeString =
            __library.get(b"TRITONSERVER_DataTypeString\0").map(|sym| *sym)?;
        let TRITONSERVER_StringToDataType =
            __library.get(b"TRITONSERVER_StringToDataType\0").map(|sym| *sym)?;
        let TRITONSERVER_MessageSerializeToJson =
            __library.get(b"TRITONSERVER_MessageSerializeToJson\0").map(|sym| *sym)?;
        let TRITONSERVER_MessageDelete =
            __library.get(b"TRITONSERVER_MessageDelete\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerOptionsNew =
            __library.get(b"TRITONSERVER_ServerOptionsNew\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerOptionsDelete =
            __library.get(b"TRITONSERVER_ServerOptionsDelete\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerOptionsSetModelRepositoryPath =
            __library.get(b"TRITONSERVER_ServerOptionsSetModelRepositoryPath\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerOptionsSetBackendDirectory =
            __library.get(b"TRITONSERVER_ServerOptionsSetBackendDirectory\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerOptionsSetBackendConfig =
            __library.get(b"TRITONSERVER_ServerOptionsSetBackendConfig\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerOptionsSetModelControlMode =
            __library.get(b"TRITONSERVER_ServerOptionsSetModelControlMode\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerOptionsSetExitOnError =
            __library.get(b"TRITONSERVER_ServerOptionsSetExitOnError\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerOptionsSetExitTimeout =
            __library.get(b"TRITONSERVER_ServerOptionsSetExitTimeout\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerOptionsSetModelLoadRetryCount =
            __library.get(b"TRITONSERVER_ServerOptionsSetModelLoadRetryCount\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerOptionsSetStrictModelConfig =
            __library.get(b"TRITONSERVER_ServerOptionsSetStrictModelConfig\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerOptionsSetLogInfo =
            __library.get(b"TRITONSERVER_ServerOptionsSetLogInfo\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerOptionsSetMetrics =
            __library.get(b"TRITONSERVER_ServerOptionsSetMetrics\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerNew = __library.get(b"TRITONSERVER_ServerNew\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerStop =
            __library.get(b"TRITONSERVER_ServerStop\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerDelete =
            __library.get(b"TRITONSERVER_ServerDelete\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerLoadModel =
            __library.get(b"TRITONSERVER_ServerLoadModel\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerMetadata =
            __library.get(b"TRITONSERVER_ServerMetadata\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerModelMetadata =
            __library.get(b"TRITONSERVER_ServerModelMetadata\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerModelConfig =
            __library.get(b"TRITONSERVER_ServerModelConfig\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerModelIndex =
            __library.get(b"TRITONSERVER_ServerModelIndex\0").map(|sym| *sym)?;
        let TRITONSERVER_ResponseAllocatorNew =
            __library.get(b"TRITONSERVER_ResponseAllocatorNew\0").map(|sym| *sym)?;
        let TRITONSERVER_ResponseAllocatorDelete =
            __library.get(b"TRITONSERVER_ResponseAllocatorDelete\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceRequestNew =
            __library.get(b"TRITONSERVER_InferenceRequestNew\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceRequestDelete =
            __library.get(b"TRITONSERVER_InferenceRequestDelete\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceRequestSetId =
            __library.get(b"TRITONSERVER_InferenceRequestSetId\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceRequestAddInput =
            __library.get(b"TRITONSERVER_InferenceRequestAddInput\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceRequestAppendInputData =
            __library.get(b"TRITONSERVER_InferenceRequestAppendInputData\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceRequestAddRequestedOutput =
            __library.get(b"TRITONSERVER_InferenceRequestAddRequestedOutput\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceRequestSetStringParameter =
            __library.get(b"TRITONSERVER_InferenceRequestSetStringParameter\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceRequestSetIntParameter =
            __library.get(b"TRITONSERVER_InferenceRequestSetIntParameter\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceRequestSetBoolParameter =
            __library.get(b"TRITONSERVER_InferenceRequestSetBoolParameter\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceRequestSetDoubleParameter =
            __library.get(b"TRITONSERVER_InferenceRequestSetDoubleParameter\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceRequestSetReleaseCallback =
            __library.get(b"TRITONSERVER_InferenceRequestSetReleaseCallback\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceRequestSetResponseCallback =
            __library.get(b"TRITONSERVER_InferenceRequestSetResponseCallback\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceRequestCancel =
            __library.get(b"TRITONSERVER_InferenceRequestCancel\0").map(|sym| *sym)?;
        let TRITONSERVER_ServerInferAsync =
            __library.get(b"TRITONSERVER_ServerInferAsync\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceResponseError =
            __library.get(b"TRITONSERVER_InferenceResponseError\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceResponseOutputCount =
            __library.get(b"TRITONSERVER_InferenceResponseOutputCount\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceResponseOutput =
            __library.get(b"TRITONSERVER_InferenceResponseOutput\0").map(|sym| *sym)?;
        let TRITONSERVER_InferenceResponseDelete =
            __library.get(b"TRITONSERVER_InferenceResponseDelete\0").map(|sym| *sym)?;
        Ok(TritonApi {
            __library,
            TRITONSERVER_ApiVersion,
            TRITONSERVER_ErrorCode,
            TRITONSERVER_ErrorMessage,
            TRITONSERVER_ErrorDelete,
            TRITONSERVER_DataTypeString,
            TRITONSERVER_StringToDataType,
            TRITONSERVER_MessageSerializeToJson,
            TRITONSERVER_MessageDelete,
            TRITONSERVER_ServerOptionsNew,
            TRITONSERVER_ServerOptionsDelete,
            TRITONSERVER_ServerOptionsSetModelRepositoryPath,
            TRITONSERVER_ServerOptionsSetBackendDirectory,
            TRITONSERVER_ServerOptionsSetBackendConfig,
            TRITONSERVER_ServerOptionsSetModelControlMode,
            TRITONSERVER_ServerOptionsSetExitOnError,
            TRITONSERVER_ServerOptionsSetExitTimeout,
            TRITONSERVER_ServerOptionsSetModelLoadRetryCount,
            TRITONSERVER_ServerOptionsSetStrictModelConfig,
            TRITONSERVER_ServerOptionsSetLogInfo,
            TRITONSERVER_ServerOptionsSetMetrics,
            TRITONSERVER_ServerNew,
            TRITONSERVER_ServerStop,
            TRITONSERVER_ServerDelete,
            TRITONSERVER_ServerLoadModel,
            TRITONSERVER_ServerMetadata,
            TRITONSERVER_ServerModelMetadata,
            TRITONSERVER_ServerModelConfig,
            TRITONSERVER_ServerModelIndex,
            TRITONSERVER_ResponseAllocatorNew,
            TRITONSERVER_ResponseAllocatorDelete,
            TRITONSERVER_InferenceRequestNew,
            TRITONSERVER_InferenceRequestDelete,
            TRITONSERVER_InferenceRequestSetId,
            TRITONSERVER_InferenceRequestAddInput,
            TRITONSERVER_InferenceRequestAppendInputData,
            TRITONSERVER_InferenceRequestAddRequestedOutput,
            TRITONSERVER_InferenceRequestSetStringParameter,
            TRITONSERVER_InferenceRequestSetIntParameter,
            TRITONSERVER_InferenceRequestSetBoolParameter,
            TRITONSERVER_InferenceRequestSetDoubleParameter,
            TRITONSERVER_InferenceRequestSetReleaseCallback,
            TRITONSERVER_InferenceRequestSetResponseCallback,
            TRITONSERVER_InferenceRequestCancel,
            TRITONSERVER_ServerInferAsync,
            TRITONSERVER_InferenceResponseError,
            TRITONSERVER_InferenceResponseOutputCount,
            TRITONSERVER_InferenceResponseOutput,
            TRITONSERVER_InferenceResponseDelete,
        })
    }
    pub unsafe fn TRITONSERVER_ApiVersion(
        &self,
        major: *mut u32,
        minor: *mut u32,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ApiVersion)(major, minor)
    }
    pub unsafe fn TRITONSERVER_ErrorCode(
        &self,
        error: *mut TRITONSERVER_Error,
    ) -> TRITONSERVER_Error_Code {
        (self.TRITONSERVER_ErrorCode)(error)
    }
    pub unsafe fn TRITONSERVER_ErrorMessage(
        &self,
        error: *mut TRITONSERVER_Error,
    ) -> *const ::std::os::raw::c_char {
        (self.TRITONSERVER_ErrorMessage)(error)
    }
    pub unsafe fn TRITONSERVER_ErrorDelete(&self, error: *mut TRITONSERVER_Error) {
        (self.TRITONSERVER_ErrorDelete)(error)
    }
    pub unsafe fn TRITONSERVER_DataTypeString(
        &self,
        datatype: TRITONSERVER_DataType,
    ) -> *const ::std::os::raw::c_char {
        (self.TRITONSERVER_DataTypeString)(datatype)
    }
    pub unsafe fn TRITONSERVER_StringToDataType(
        &self,
        name: *const ::std::os::raw::c_char,
    ) -> TRITONSERVER_DataType {
        (self.TRITONSERVER_StringToDataType)(name)
    }
    pub unsafe fn TRITONSERVER_MessageSerializeToJson(
        &self,
        message: *mut TRITONSERVER_Message,
        base: *mut *const ::std::os::raw::c_char,
        byte_size: *mut usize,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_MessageSerializeToJson)(message, base, byte_size)
    }
    pub unsafe fn TRITONSERVER_MessageDelete(
        &self,
        message: *mut TRITONSERVER_Message,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_MessageDelete)(message)
    }
    pub unsafe fn TRITONSERVER_ServerOptionsNew(
        &self,
        options: *mut *mut TRITONSERVER_ServerOptions,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerOptionsNew)(options)
    }
    pub unsafe fn TRITONSERVER_ServerOptionsDelete(
        &self,
        options: *mut TRITONSERVER_ServerOptions,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerOptionsDelete)(options)
    }
    pub unsafe fn TRITONSERVER_ServerOptionsSetModelRepositoryPath(
        &self,
        options: *mut TRITONSERVER_ServerOptions,
        path: *const ::std::os::raw::c_char,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerOptionsSetModelRepositoryPath)(options, path)
    }
    pub unsafe fn TRITONSERVER_ServerOptionsSetBackendDirectory(
        &self,
        options: *mut TRITONSERVER_ServerOptions,
        path: *const ::std::os::raw::c_char,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerOptionsSetBackendDirectory)(options, path)
    }
    pub unsafe fn TRITONSERVER_ServerOptionsSetBackendConfig(
        &self,
        options: *mut TRITONSERVER_ServerOptions,
        backend: *const ::std::os::raw::c_char,
        setting: *const ::std::os::raw::c_char,
        value: *const ::std::os::raw::c_char,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerOptionsSetBackendConfig)(options, backend, setting, value)
    }
    pub unsafe fn TRITONSERVER_ServerOptionsSetModelControlMode(
        &self,
        options: *mut TRITONSERVER_ServerOptions,
        mode: TRITONSERVER_ModelControlMode,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerOptionsSetModelControlMode)(options, mode)
    }
    pub unsafe fn TRITONSERVER_ServerOptionsSetExitOnError(
        &self,
        options: *mut TRITONSERVER_ServerOptions,
        exit: bool,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerOptionsSetExitOnError)(options, exit)
    }
    pub unsafe fn TRITONSERVER_ServerOptionsSetExitTimeout(
        &self,
        options: *mut TRITONSERVER_ServerOptions,
        seconds: ::std::os::raw::c_uint,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerOptionsSetExitTimeout)(options, seconds)
    }
    pub unsafe fn TRITONSERVER_ServerOptionsSetModelLoadRetryCount(
        &self,
        options: *mut TRITONSERVER_ServerOptions,
        retries: ::std::os::raw::c_uint,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerOptionsSetModelLoadRetryCount)(options, retries)
    }
    pub unsafe fn TRITONSERVER_ServerOptionsSetStrictModelConfig(
        &self,
        options: *mut TRITONSERVER_ServerOptions,
        strict: bool,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerOptionsSetStrictModelConfig)(options, strict)
    }
    pub unsafe fn TRITONSERVER_ServerOptionsSetLogInfo(
        &self,
        options: *mut TRITONSERVER_ServerOptions,
        log: bool,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerOptionsSetLogInfo)(options, log)
    }
    pub unsafe fn TRITONSERVER_ServerOptionsSetMetrics(
        &self,
        options: *mut TRITONSERVER_ServerOptions,
        metrics: bool,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerOptionsSetMetrics)(options, metrics)
    }
    pub unsafe fn TRITONSERVER_ServerNew(
        &self,
        server: *mut *mut TRITONSERVER_Server,
        options: *mut TRITONSERVER_ServerOptions,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerNew)(server, options)
    }
    pub unsafe fn TRITONSERVER_ServerStop(
        &self,
        server: *mut TRITONSERVER_Server,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerStop)(server)
    }
    pub unsafe fn TRITONSERVER_ServerDelete(
        &self,
        server: *mut TRITONSERVER_Server,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerDelete)(server)
    }
    pub unsafe fn TRITONSERVER_ServerLoadModel(
        &self,
        server: *mut TRITONSERVER_Server,
        model: *const ::std::os::raw::c_char,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerLoadModel)(server, model)
    }
    pub unsafe fn TRITONSERVER_ServerMetadata(
        &self,
        server: *mut TRITONSERVER_Server,
        metadata: *mut *mut TRITONSERVER_Message,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerMetadata)(server, metadata)
    }
    pub unsafe fn TRITONSERVER_ServerModelMetadata(
        &self,
        server: *mut TRITONSERVER_Server,
        model: *const ::std::os::raw::c_char,
        version: i64,
        metadata: *mut *mut TRITONSERVER_Message,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerModelMetadata)(server, model, version, metadata)
    }
    pub unsafe fn TRITONSERVER_ServerModelConfig(
        &self,
        server: *mut TRITONSERVER_Server,
        model: *const ::std::os::raw::c_char,
        version: i64,
        config_version: u32,
        config: *mut *mut TRITONSERVER_Message,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerModelConfig)(server, model, version, config_version, config)
    }
    pub unsafe fn TRITONSERVER_ServerModelIndex(
        &self,
        server: *mut TRITONSERVER_Server,
        flags: u32,
        index: *mut *mut TRITONSERVER_Message,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerModelIndex)(server, flags, index)
    }
    pub unsafe fn TRITONSERVER_ResponseAllocatorNew(
        &self,
        allocator: *mut *mut TRITONSERVER_ResponseAllocator,
        alloc_fn: TRITONSERVER_ResponseAllocatorAllocFn_t,
        release_fn: TRITONSERVER_ResponseAllocatorReleaseFn_t,
        start_fn: TRITONSERVER_ResponseAllocatorStartFn_t,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ResponseAllocatorNew)(allocator, alloc_fn, release_fn, start_fn)
    }
    pub unsafe fn TRITONSERVER_ResponseAllocatorDelete(
        &self,
        allocator: *mut TRITONSERVER_ResponseAllocator,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ResponseAllocatorDelete)(allocator)
    }
    pub unsafe fn TRITONSERVER_InferenceRequestNew(
        &self,
        request: *mut *mut TRITONSERVER_InferenceRequest,
        server: *mut TRITONSERVER_Server,
        model: *const ::std::os::raw::c_char,
        version: i64,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceRequestNew)(request, server, model, version)
    }
    pub unsafe fn TRITONSERVER_InferenceRequestDelete(
        &self,
        request: *mut TRITONSERVER_InferenceRequest,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceRequestDelete)(request)
    }
    pub unsafe fn TRITONSERVER_InferenceRequestSetId(
        &self,
        request: *mut TRITONSERVER_InferenceRequest,
        id: *const ::std::os::raw::c_char,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceRequestSetId)(request, id)
    }
    pub unsafe fn TRITONSERVER_InferenceRequestAddInput(
        &self,
        request: *mut TRITONSERVER_InferenceRequest,
        name: *const ::std::os::raw::c_char,
        datatype: TRITONSERVER_DataType,
        shape: *const i64,
        dim_count: u64,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceRequestAddInput)(request, name, datatype, shape, dim_count)
    }
    pub unsafe fn TRITONSERVER_InferenceRequestAppendInputData(
        &self,
        request: *mut TRITONSERVER_InferenceRequest,
        name: *const ::std::os::raw::c_char,
        base: *const ::std::os::raw::c_void,
        byte_size: usize,
        memory: TRITONSERVER_MemoryType,
        memory_id: i64,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceRequestAppendInputData)(
            request, name, base, byte_size, memory, memory_id,
        )
    }
    pub unsafe fn TRITONSERVER_InferenceRequestAddRequestedOutput(
        &self,
        request: *mut TRITONSERVER_InferenceRequest,
        name: *const ::std::os::raw::c_char,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceRequestAddRequestedOutput)(request, name)
    }
    pub unsafe fn TRITONSERVER_InferenceRequestSetStringParameter(
        &self,
        request: *mut TRITONSERVER_InferenceRequest,
        key: *const ::std::os::raw::c_char,
        value: *const ::std::os::raw::c_char,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceRequestSetStringParameter)(request, key, value)
    }
    pub unsafe fn TRITONSERVER_InferenceRequestSetIntParameter(
        &self,
        request: *mut TRITONSERVER_InferenceRequest,
        key: *const ::std::os::raw::c_char,
        value: i64,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceRequestSetIntParameter)(request, key, value)
    }
    pub unsafe fn TRITONSERVER_InferenceRequestSetBoolParameter(
        &self,
        request: *mut TRITONSERVER_InferenceRequest,
        key: *const ::std::os::raw::c_char,
        value: bool,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceRequestSetBoolParameter)(request, key, value)
    }
    pub unsafe fn TRITONSERVER_InferenceRequestSetDoubleParameter(
        &self,
        request: *mut TRITONSERVER_InferenceRequest,
        key: *const ::std::os::raw::c_char,
        value: f64,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceRequestSetDoubleParameter)(request, key, value)
    }
    pub unsafe fn TRITONSERVER_InferenceRequestSetReleaseCallback(
        &self,
        request: *mut TRITONSERVER_InferenceRequest,
        release_fn: TRITONSERVER_InferenceRequestReleaseFn_t,
        userp: *mut ::std::os::raw::c_void,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceRequestSetReleaseCallback)(request, release_fn, userp)
    }
    pub unsafe fn TRITONSERVER_InferenceRequestSetResponseCallback(
        &self,
        request: *mut TRITONSERVER_InferenceRequest,
        allocator: *mut TRITONSERVER_ResponseAllocator,
        allocator_userp: *mut ::std::os::raw::c_void,
        response_fn: TRITONSERVER_InferenceResponseCompleteFn_t,
        userp: *mut ::std::os::raw::c_void,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceRequestSetResponseCallback)(
            request,
            allocator,
            allocator_userp,
            response_fn,
            userp,
        )
    }
    pub unsafe fn TRITONSERVER_InferenceRequestCancel(
        &self,
        request: *mut TRITONSERVER_InferenceRequest,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceRequestCancel)(request)
    }
    pub unsafe fn TRITONSERVER_ServerInferAsync(
        &self,
        server: *mut TRITONSERVER_Server,
        request: *mut TRITONSERVER_InferenceRequest,
        trace: *mut TRITONSERVER_InferenceTrace,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_ServerInferAsync)(server, request, trace)
    }
    pub unsafe fn TRITONSERVER_InferenceResponseError(
        &self,
        response: *mut TRITONSERVER_InferenceResponse,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceResponseError)(response)
    }
    pub unsafe fn TRITONSERVER_InferenceResponseOutputCount(
        &self,
        response: *mut TRITONSERVER_InferenceResponse,
        count: *mut u32,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceResponseOutputCount)(response, count)
    }
    pub unsafe fn TRITONSERVER_InferenceResponseOutput(
        &self,
        response: *mut TRITONSERVER_InferenceResponse,
        index: u32,
        name: *mut *const ::std::os::raw::c_char,
        datatype: *mut TRITONSERVER_DataType,
        shape: *mut *const i64,
        dim_count: *mut u64,
        base: *mut *const ::std::os::raw::c_void,
        byte_size: *mut usize,
        memory: *mut TRITONSERVER_MemoryType,
        memory_id: *mut i64,
        userp: *mut *mut ::std::os::raw::c_void,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceResponseOutput)(
            response, index, name, datatype, shape, dim_count, base, byte_size, memory, memory_id,
            userp,
        )
    }
    pub unsafe fn TRITONSERVER_InferenceResponseDelete(
        &self,
        response: *mut TRITONSERVER_InferenceResponse,
    ) -> *mut TRITONSERVER_Error {
        (self.TRITONSERVER_InferenceResponseDelete)(response)
    }
}
