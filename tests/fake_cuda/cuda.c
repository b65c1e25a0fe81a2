// Is the profiler switched once, and when? A driver library that notes each switch with its instant.
//
//   FAKE_CUDA_LOG      the file to append to: a word and nanoseconds of CLOCK_MONOTONIC
//   FAKE_CUDA_CONTEXT  set: no context can be had, as on a machine whose driver is broken
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static __thread void* current;
static int context;

static int note(char const* word) {
    struct timespec now;
    if (current != &context) return 201;  // CUDA_ERROR_INVALID_CONTEXT
    clock_gettime(CLOCK_MONOTONIC, &now);
    FILE* log = fopen(getenv("FAKE_CUDA_LOG"), "a");
    if (!log) return 999;
    fprintf(log, "%s %lld\n", word, (long long)now.tv_sec * 1000000000LL + now.tv_nsec);
    return fclose(log) == 0 ? 0 : 999;
}

int cuInit(unsigned flags) { return flags == 0 ? 0 : 1; }
int cuDeviceGet(int* device, int ordinal) {
    *device = ordinal;
    return 0;
}
int cuDevicePrimaryCtxRetain(void** into, int device) {
    (void)device;
    *into = &context;
    return getenv("FAKE_CUDA_CONTEXT") ? 999 : 0;
}
int cuCtxSetCurrent(void* wanted) {
    current = wanted;
    return 0;
}
int cuProfilerStart(void) { return note("start"); }
int cuProfilerStop(void) { return note("stop"); }
