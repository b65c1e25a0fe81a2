// Products for GPUs that do not exist: cuBLASLt's functions that the probe calls. Each moves the simulated clock of cuda.c on, at
// 800 TFLOP/s in BF16 and 1 600 TFLOP/s in FP8, which no GPU has.
//   FAKE_CUDA_NO_FP8  set: FP8 is not known, as on GPUs before Ada
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum { BF16 = 14, F32 = 0, E4M3 = 28, COMPUTE_32F = 68, TRANSA = 3, FAST_ACCUM = 25, MAX_WORKSPACE = 1 };

struct layout {
    int type;
    uint64_t rows, columns;
};
struct description {
    int transposed, fast;
};
struct heuristic {
    uint64_t algorithm[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

void fake_cuda_advance(double ms);

static int made(void** into, size_t bytes) { return (*into = calloc(1, bytes)) ? OK : NOT_INITIALIZED; }
static int ended(void* it) {
    free(it);
    return OK;
}

int cublasLtCreate(void** handle) { return made(handle, 1); }
int cublasLtDestroy(void* handle) { return ended(handle); }
int cublasLtMatrixLayoutCreate(void** into, int type, uint64_t rows, uint64_t columns, int64_t leading) {
    int code = leading >= (int64_t)rows ? made(into, sizeof(struct layout)) : INVALID_VALUE;
    if (code == OK) *(struct layout*)*into = (struct layout){type, rows, columns};
    return code;
}
int cublasLtMatrixLayoutDestroy(void* layout) { return ended(layout); }
int cublasLtMatmulDescCreate(void** into, int compute, int scale) {
    return compute == COMPUTE_32F && scale == F32 ? made(into, sizeof(struct description)) : INVALID_VALUE;
}
int cublasLtMatmulDescSetAttribute(struct description* of, int attribute, void const* value, size_t bytes) {
    if (attribute == TRANSA && bytes == 4) memcpy(&of->transposed, value, 4);
    else if (attribute == FAST_ACCUM && bytes == 1) of->fast = *(char const*)value;
    else return INVALID_VALUE;
    return OK;
}
int cublasLtMatmulDescDestroy(void* description) { return ended(description); }
int cublasLtMatmulPreferenceCreate(void** into) { return made(into, 1); }
int cublasLtMatmulPreferenceSetAttribute(void* of, int attribute, void const* value, size_t bytes) {
    return of && attribute == MAX_WORKSPACE && bytes == 8 && *(uint64_t const*)value ? OK : INVALID_VALUE;
}
int cublasLtMatmulPreferenceDestroy(void* preference) { return ended(preference); }
int cublasLtMatmulAlgoGetHeuristic(void* handle, struct description* how, struct layout* a, struct layout* b, struct layout* c,
    struct layout* d, void* preference, int wanted, struct heuristic* into, int* found) {
    if (!handle || !preference || wanted != 1 || a->columns != b->rows || c->type != BF16 || d->type != BF16) return INVALID_VALUE;
    // FP8 asks for the left factor transposed.
    if (a->type == E4M3 && (getenv("FAKE_CUDA_NO_FP8") || !how->transposed)) return NOT_SUPPORTED;
    memset(into, 0, sizeof *into);
    *found = 1;
    return OK;
}
int cublasLtMatmul(void* handle, struct description* how, float const* alpha, void const* a, struct layout* left, void const* b,
    struct layout* right, float const* beta, void const* c, struct layout* before, void* d, struct layout* after,
    uint64_t const* algorithm, void* workspace, size_t bytes, void* stream) {
    if (!handle || *alpha != 1 || *beta != 0 || !a || !b || !c || !d || !algorithm || !workspace || !bytes || !stream) return INVALID_VALUE;
    if (before->type != BF16 || after->rows != left->columns || after->columns != right->columns) return INVALID_VALUE;
    double operations = 2.0 * (double)after->rows * (double)after->columns * (double)left->rows;
    fake_cuda_advance(operations / (left->type == E4M3 && how->fast ? 1600e12 : 800e12) * 1e3);
    return OK;
}
