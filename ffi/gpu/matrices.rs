//! Dense matrix products through cuBLASLt, in BF16 and in FP8.

use std::ffi::c_void;

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys::{
    cublasComputeType_t, cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t,
    cublasLtMatmulHeuristicResult_t, cublasLtMatmulPreference_t,
    cublasLtMatmulPreferenceAttributes_t, cublasLtMatrixLayout_t, cudaDataType_t,
};

use super::buffer::Buffer;
use super::kernels::Bits;
use super::{Gpu, guard, told};
use crate::ffi::cuda::CudaError;

/// What cuBLASLt may use beside the matrices.
const WORKSPACE: usize = 64 << 20;
/// `CUBLAS_STATUS_NOT_SUPPORTED`
const NOT_SUPPORTED: i32 = 15;

/// What the factors are stored in; sums are kept in 32 bits, and products stored as BF16, either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// BF16.
    BFloat16,
    /// FP8, E4M3, with sums that are kept as fast as the unit does (`CUBLASLT_MATMUL_DESC_FAST_ACCUM`).
    Float8,
}

impl Arithmetic {
    const fn stored(self) -> cudaDataType_t {
        match self {
            Self::BFloat16 => cudaDataType_t::CUDA_R_16BF,
            Self::Float8 => cudaDataType_t::CUDA_R_8F_E4M3,
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::BFloat16 => 2,
            Self::Float8 => 1,
        }
    }

    /// Sign and mantissa by chance and exponent 0, so that every value lies between 1 and 2 in size. Zeros would draw less power.
    const fn bits(self) -> Bits {
        match self {
            Self::BFloat16 => Bits { keep: 0x807F_807F, set: 0x3F80_3F80 },
            Self::Float8 => Bits { keep: 0x8787_8787, set: 0x3838_3838 },
        }
    }
}

/// Something of cuBLASLt's with the function that ends it.
#[derive(Debug)]
struct Owned<T: Copy> {
    it: T,
    end: unsafe fn(T) -> Result<(), CublasError>,
}

impl<T: Copy> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it was made once and is ended once. That it cannot be ended changes no figure.
        let _leaks = unsafe { (self.end)(self.it) };
    }
}

/// Two square matrices and their product, ready to be multiplied.
#[derive(Debug)]
pub(super) struct Product<'a> {
    gpu: &'a Gpu,
    left: Buffer,
    right: Buffer,
    output: Buffer,
    workspace: Buffer,
    how: cublasLtMatmulHeuristicResult_t,
    description: Owned<cublasLtMatmulDesc_t>,
    factor: Owned<cublasLtMatrixLayout_t>,
    result: Owned<cublasLtMatrixLayout_t>,
    library: Owned<cublasLtHandle_t>,
}

impl<'a> Product<'a> {
    /// Of matrices of `side` rows and columns.
    pub(super) fn new(
        gpu: &'a Gpu,
        arithmetic: Arithmetic,
        side: usize,
    ) -> Result<Self, CudaError> {
        guard::matrices()?;
        gpu.context.bind_to_thread().map_err(told("cuCtxSetCurrent"))?;
        let buffer = |bytes| Buffer::new(&gpu.context, bytes);
        let area = side * side;
        let (left, right) =
            (buffer(area * arithmetic.bytes())?, buffer(area * arithmetic.bytes())?);
        let (output, workspace) = (buffer(area * 2)?, buffer(WORKSPACE)?);
        gpu.fill(&left, arithmetic.bits())?;
        gpu.fill(&right, arithmetic.bits())?;
        let library = result::create_handle().map_err(refused("cublasLtCreate"))?;
        let library = Owned { it: library, end: result::destroy_handle };
        let description = description(arithmetic)?;
        let (factor, result) =
            (layout(arithmetic.stored(), side)?, layout(cudaDataType_t::CUDA_R_16BF, side)?);
        let how = fastest(&library, &description, &factor, &result)?;
        let of = "cublasLtMatmulAlgoGetHeuristic";
        let how = how.map_err(|code| {
            if code == NOT_SUPPORTED {
                CudaError::NoSuchMatrices
            } else {
                CudaError::Matrices(of, code)
            }
        })?;
        Ok(Self { gpu, left, right, output, workspace, how, description, factor, result, library })
    }

    /// Enqueues one multiplication.
    pub(super) fn multiply(&self) -> Result<(), CudaError> {
        let (one, zero) = (1_f32, 0_f32);
        let at = |buffer: &Buffer| buffer.at as *mut c_void;
        // SAFETY: everything was made for each other in `new` and lives as long as `self`, which is dropped after the stream
        // was waited for; the factors are read and the product and the workspace written on this stream alone.
        unsafe {
            result::matmul(
                self.library.it,
                self.description.it,
                (&raw const one).cast(),
                (&raw const zero).cast(),
                at(&self.left),
                self.factor.it,
                at(&self.right),
                self.factor.it,
                at(&self.output),
                self.result.it,
                at(&self.output),
                self.result.it,
                &raw const self.how.algo,
                at(&self.workspace),
                WORKSPACE,
                self.gpu.stream.cu_stream().cast(),
            )
        }
        .map_err(refused("cublasLtMatmul"))
    }
}

/// The left factor transposed, which FP8 asks for.
fn description(arithmetic: Arithmetic) -> Result<Owned<cublasLtMatmulDesc_t>, CudaError> {
    use cublasLtMatmulDescAttributes_t::{
        CUBLASLT_MATMUL_DESC_FAST_ACCUM, CUBLASLT_MATMUL_DESC_TRANSA,
    };
    let it = result::create_matmul_desc(
        cublasComputeType_t::CUBLAS_COMPUTE_32F,
        cudaDataType_t::CUDA_R_32F,
    )
    .map_err(refused("cublasLtMatmulDescCreate"))?;
    let description = Owned { it, end: result::destroy_matmul_desc };
    let (transposed, fast) = (1_i32, 1_i8);
    let failed = || refused("cublasLtMatmulDescSetAttribute");
    // SAFETY: attributes of these sizes (int32_t and int8_t), which are read during the call.
    unsafe {
        let (value, size) = ((&raw const transposed).cast(), size_of::<i32>());
        result::set_matmul_desc_attribute(it, CUBLASLT_MATMUL_DESC_TRANSA, value, size)
            .map_err(failed())?;
        if arithmetic == Arithmetic::Float8 {
            let (value, size) = ((&raw const fast).cast(), size_of::<i8>());
            result::set_matmul_desc_attribute(it, CUBLASLT_MATMUL_DESC_FAST_ACCUM, value, size)
                .map_err(failed())?;
        }
    }
    Ok(description)
}

fn layout(stored: cudaDataType_t, side: usize) -> Result<Owned<cublasLtMatrixLayout_t>, CudaError> {
    let it = result::create_matrix_layout(stored, side as u64, side as u64, side as i64)
        .map_err(refused("cublasLtMatrixLayoutCreate"))?;
    Ok(Owned { it, end: result::destroy_matrix_layout })
}

/// The way that cuBLASLt believes to be the fastest, or its code where it knows none.
fn fastest(
    library: &Owned<cublasLtHandle_t>,
    description: &Owned<cublasLtMatmulDesc_t>,
    factor: &Owned<cublasLtMatrixLayout_t>,
    product: &Owned<cublasLtMatrixLayout_t>,
) -> Result<Result<cublasLtMatmulHeuristicResult_t, i32>, CudaError> {
    use cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES as AT_MOST;
    let it = result::create_matmul_pref().map_err(refused("cublasLtMatmulPreferenceCreate"))?;
    let preference: Owned<cublasLtMatmulPreference_t> =
        Owned { it, end: result::destroy_matmul_pref };
    let (value, size) = ((&raw const WORKSPACE_BYTES).cast(), size_of::<usize>());
    // SAFETY: an attribute of this size (size_t), which is read during the call; every handle is alive.
    unsafe {
        result::set_matmul_pref_attribute(preference.it, AT_MOST, value, size)
            .map_err(refused("cublasLtMatmulPreferenceSetAttribute"))?;
        let found = result::get_matmul_algo_heuristic(
            library.it,
            description.it,
            factor.it,
            factor.it,
            product.it,
            product.it,
            preference.it,
        );
        Ok(found.map_err(|error| error.0 as i32))
    }
}

static WORKSPACE_BYTES: usize = WORKSPACE;

fn refused(function: &'static str) -> impl FnOnce(CublasError) -> CudaError {
    move |error| CudaError::Matrices(function, error.0 as i32)
}
