// Is the profiler switched once, and when, and what does CUDA say of its GPUs? A driver library for GPUs that do not exist.
//
// Work that is put on a stream takes no time: it moves a simulated clock on, which events read. Its rates are round figures
// that no GPU has: reading 4 000 GB/s, copies within the memory 3 000 GB/s (read and written together), from the host 50 GB/s,
// to the host 40 GB/s, to a peer 400 GB/s, a launch 2 us, waiting for it 5 us more. Products are in cublaslt.c.
//
//   FAKE_CUDA_LOG       the file that each switch of the profiler is appended to: a word and nanoseconds of CLOCK_MONOTONIC
//   FAKE_CUDA_CONTEXT   set: no context can be had, as on a machine whose driver is broken
//   FAKE_CUDA_CONTEXTS  the file that each step of a context is appended to: retain, push, pop, release
//   FAKE_CUDA_GPUS      how many (1)
//   FAKE_CUDA_NAME      product name (one that is no GPU's)
//   FAKE_CUDA_PEERS     0: no GPU reaches another without the host (1)
//   FAKE_CUDA_FAIL      a function that puts work on a stream and fails from its third call on
//   FAKE_CUDA_FREE_GIB  memory that is free, of 80 GiB (78); with commas, that of each GPU, and the last also of all further ones
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef unsigned long long address;

enum { OK = 0, INVALID_VALUE = 1, INVALID_DEVICE = 101, INVALID_CONTEXT = 201, NOT_FOUND = 500, UNKNOWN = 999 };

enum { MOST_GPUS = 8 };

// A context is its GPU's place in here.
static int contexts[MOST_GPUS];
static __thread int* current;

static double scripted(char const* name, double otherwise) {
    char const* text = getenv(name);
    return text ? atof(text) : otherwise;
}

// The entry of a list at this place, or its last.
static double of_list(char const* text, int place, double otherwise) {
    char const* comma;
    for (; text && place > 0 && (comma = strchr(text, ',')); --place) text = comma + 1;
    return text ? atof(text) : otherwise;
}

static int append(char const* path, char const* word, long long number) {
    FILE* log = path ? fopen(path, "a") : NULL;
    if (!log) return UNKNOWN;
    fprintf(log, "%s %lld\n", word, number);
    return fclose(log) == 0 ? OK : UNKNOWN;
}

static int note(char const* word) {
    struct timespec now;
    if (!current) return INVALID_CONTEXT;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return append(getenv("FAKE_CUDA_LOG"), word, (long long)now.tv_sec * 1000000000LL + now.tv_nsec);
}

static void step(char const* word, int device) {
    char const* path = getenv("FAKE_CUDA_CONTEXTS");
    if (path) append(path, word, device);
}

int cuInit(unsigned flags) { return flags == 0 ? OK : INVALID_VALUE; }
int cuDeviceGetCount(int* count) {
    *count = (int)scripted("FAKE_CUDA_GPUS", 1);
    return OK;
}
int cuDeviceGet(int* device, int ordinal) {
    *device = ordinal;
    return ordinal < (int)scripted("FAKE_CUDA_GPUS", 1) ? OK : INVALID_DEVICE;
}
int cuDeviceGetName(char* into, int length, int device) {
    char const* name = getenv("FAKE_CUDA_NAME");
    (void)device;
    return snprintf(into, (size_t)length, "%s", name ? name : "Fake GPU (no hardware)") < length ? OK : INVALID_VALUE;
}
int cuDeviceGetUuid_v2(unsigned char* uuid, int device) {
    memset(uuid, 0, 16);
    uuid[15] = (unsigned char)device;
    return OK;
}
int cuDeviceTotalMem_v2(size_t* bytes, int device) {
    (void)device;
    *bytes = (size_t)80 << 30;
    return OK;
}
int cuDeviceGetAttribute(int* value, int attribute, int device) {
    (void)device;
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : 132;
    return OK;
}
int cuDevicePrimaryCtxRetain(void** into, int device) {
    if (getenv("FAKE_CUDA_CONTEXT")) return UNKNOWN;
    if (device < 0 || device >= MOST_GPUS) return INVALID_DEVICE;
    step("retain", device);
    *into = &contexts[device];
    return OK;
}
int cuDevicePrimaryCtxRelease_v2(int device) {
    step("release", device);
    return OK;
}
int cuCtxPushCurrent_v2(void* wanted) {
    if (current) return INVALID_CONTEXT;
    step("push", 0);
    current = wanted;
    return OK;
}
int cuCtxPopCurrent_v2(void** popped) {
    step("pop", 0);
    *popped = current;
    current = NULL;
    return OK;
}
int cuCtxSetCurrent(void* wanted) {
    current = wanted;
    return OK;
}
int cuMemGetInfo_v2(size_t* free, size_t* total) {
    if (!current) return INVALID_CONTEXT;
    *free = (size_t)(of_list(getenv("FAKE_CUDA_FREE_GIB"), (int)(current - contexts), 78) * (1 << 30));
    *total = (size_t)80 << 30;
    return OK;
}
int cuProfilerStart(void) { return note("start"); }
int cuProfilerStop(void) { return note("stop"); }

// --- work on a stream ---------------------------------------------------------------------------------------------------------

static double simulated_ms;
// A stream is its GPU's place in here: work is put on it while that GPU's context is current.
static int streams[MOST_GPUS];
static int is_own(void const* stream) { return current && stream == &streams[current - contexts]; }
static address next_address = 1 << 20;

// For cublaslt.c, too.
void fake_cuda_advance(double ms) { simulated_ms += ms; }

static int takes(char const* function, double bytes, double gb_per_s) {
    static int calls;
    char const* fails = getenv("FAKE_CUDA_FAIL");
    if (!current) return INVALID_CONTEXT;
    if (fails && strcmp(fails, function) == 0 && ++calls > 2) return UNKNOWN;
    fake_cuda_advance(bytes / gb_per_s / 1e6);
    return OK;
}

int cuCtxGetCurrent(void** into) {
    *into = current;
    return OK;
}
int cuCtxSynchronize(void) { return current ? OK : INVALID_CONTEXT; }
int cuDeviceCanAccessPeer(int* can, int device, int other) {
    *can = device != other && scripted("FAKE_CUDA_PEERS", 1) != 0;
    return OK;
}
int cuCtxEnablePeerAccess(void* peer, unsigned flags) { return peer && peer != current && flags == 0 ? OK : INVALID_VALUE; }

int cuStreamCreate(void** stream, unsigned flags) {
    (void)flags;
    if (!current) return INVALID_CONTEXT;
    *stream = &streams[current - contexts];
    return OK;
}
int cuStreamDestroy_v2(void* stream) { return is_own(stream) ? OK : INVALID_CONTEXT; }
int cuStreamSynchronize(void* stream) {
    if (!is_own(stream)) return INVALID_CONTEXT;
    fake_cuda_advance(5e-3);
    return OK;
}

int cuEventCreate(void** event, unsigned flags) {
    (void)flags;
    *event = calloc(1, sizeof(double));
    return *event ? OK : UNKNOWN;
}
int cuEventRecord(void* event, void* stream) {
    if (!is_own(stream)) return INVALID_CONTEXT;
    *(double*)event = simulated_ms;
    return OK;
}
int cuEventSynchronize(void* event) { return event ? OK : INVALID_VALUE; }
int cuEventElapsedTime(float* ms, void* from, void* to) {
    *ms = (float)(*(double*)to - *(double*)from);
    return OK;
}
int cuEventDestroy_v2(void* event) {
    free(event);
    return OK;
}

int cuMemAlloc_v2(address* at, size_t bytes) {
    if (!current) return INVALID_CONTEXT;
    *at = next_address;
    next_address += (bytes + 511) / 512 * 512;
    return OK;
}
int cuMemFree_v2(address at) { return at ? OK : INVALID_VALUE; }
int cuMemHostAlloc(void** at, size_t bytes, unsigned flags) {
    *at = flags == 0 ? malloc(bytes) : NULL;
    return *at ? OK : UNKNOWN;
}
int cuMemFreeHost(void* at) {
    free(at);
    return OK;
}
int cuMemcpyHtoDAsync_v2(address to, void const* from, size_t bytes, void* stream) {
    return to && from && is_own(stream) ? takes("cuMemcpyHtoDAsync", (double)bytes, 50) : INVALID_VALUE;
}
int cuMemcpyDtoHAsync_v2(void* to, address from, size_t bytes, void* stream) {
    return to && from && is_own(stream) ? takes("cuMemcpyDtoHAsync", (double)bytes, 40) : INVALID_VALUE;
}
int cuMemcpyDtoDAsync_v2(address to, address from, size_t bytes, void* stream) {
    return to && from && is_own(stream) ? takes("cuMemcpyDtoDAsync", 2.0 * (double)bytes, 3000) : INVALID_VALUE;
}
int cuMemcpyPeerAsync(address to, void* into, address from, void* out_of, size_t bytes, void* stream) {
    if (!to || !from || !is_own(stream) || into == out_of) return INVALID_VALUE;
    return takes("cuMemcpyPeerAsync", (double)bytes, 400);
}

static char const* const kernels[] = {"bf_fill", "bf_read", "bf_nothing"};

int cuModuleLoadData(void** module, void const* text) {
    *module = &contexts;
    return strstr(text, ".version") && strstr(text, ".entry bf_read(") ? OK : INVALID_VALUE;
}
int cuModuleGetFunction(void** function, void* module, char const* name) {
    (void)module;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        if (strcmp(name, kernels[i]) != 0) continue;
        *function = (void*)&kernels[i];
        return OK;
    }
    return NOT_FOUND;
}
int cuModuleUnload(void* module) { return module == &contexts ? OK : INVALID_VALUE; }
int cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y, unsigned threads_z,
    unsigned shared, void* stream, void** parameters, void** more) {
    if (x * y * z == 0 || threads * threads_y * threads_z == 0 || shared || !is_own(stream) || more) return INVALID_VALUE;
    if (function == &kernels[0]) return takes("bf_fill", 4.0 * (double)*(address*)parameters[1], 3000);
    if (function == &kernels[1]) return takes("bf_read", 64.0 * (double)*(address*)parameters[1], 4000);
    return takes("bf_nothing", 2e3, 1);
}
