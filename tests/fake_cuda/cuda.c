// Is the profiler switched once, and when, and what does CUDA say of its GPUs? A driver library for GPUs that do not exist.
//
//   FAKE_CUDA_LOG       the file that each switch of the profiler is appended to: a word and nanoseconds of CLOCK_MONOTONIC
//   FAKE_CUDA_CONTEXT   set: no context can be had, as on a machine whose driver is broken
//   FAKE_CUDA_CONTEXTS  the file that each step of a context is appended to: retain, push, pop, release
//   FAKE_CUDA_GPUS      how many (1)
//   FAKE_CUDA_NAME      product name (one that is no GPU's)
//   FAKE_CUDA_FREE_GIB  memory that is free, of 80 GiB (78); with commas, that of each GPU, and the last also of all further ones
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OK = 0, INVALID_VALUE = 1, INVALID_DEVICE = 101, INVALID_CONTEXT = 201, UNKNOWN = 999 };

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
