// How does the whole path of GPU telemetry behave, where there is no GPU? A management library that plays a script.
//
// It implements the functions of NVML that bareflight calls, for GPUs that do not exist. What they do follows from the
// environment and from the time since the library was loaded:
//   FAKE_NVML_GPUS                how many (1)
//   FAKE_NVML_NAME                product name (one that is no GPU's)
//   FAKE_NVML_CUDA_UUIDS          if set, GPUs have the UUIDs that fake_cuda gives them
//   FAKE_NVML_FREE_GIB            memory of each GPU that is free, of 80 GiB (79, and one less for each further GPU)
//   FAKE_NVML_POWER_W             power of each GPU (200)
//   FAKE_NVML_COUNTER_W           rate of the energy counter (the power); 0 lets it stand still
//   FAKE_NVML_NO_INSTANT_POWER    set: the driver does not know the power of an instant
//   FAKE_NVML_THROTTLE            bits of throttle reasons (0)
//   FAKE_NVML_PERSISTENCE         0 turns persistence mode off (1)
//   FAKE_NVML_INIT                return value of nvmlInit_v2 (0)
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef unsigned int uint;
typedef unsigned long long ull;
typedef int status;
typedef struct gpu* device;

enum { OK = 0, INVALID = 2, UNSUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, MOST_GPUS = 8, POWER_INSTANT = 186 };

struct gpu {
    uint index;
};
struct memory_v2 {
    uint version;
    ull total, reserved, free, used;
};
struct utilization {
    uint gpu, memory;
};
struct process {
    uint pid;
    ull memory;
    uint gpu_instance, compute_instance;
};
struct field {
    uint id, scope;
    long long timestamp, latency;
    int type, result;
    ull value;
};
struct pci {
    char legacy[16];
    uint domain, bus, device, id, subsystem;
    char bus_id[32];
};

static struct gpu gpus[MOST_GPUS];
static double started;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double scripted(char const* name, double otherwise) {
    char const* text = getenv(name);
    return text ? atof(text) : otherwise;
}

static uint count(void) { return (uint)scripted("FAKE_NVML_GPUS", 1); }
static double power_w(void) { return scripted("FAKE_NVML_POWER_W", 200); }

status nvmlInit_v2(void) {
    started = now();
    for (uint i = 0; i < MOST_GPUS; i++) gpus[i].index = i;
    return (status)scripted("FAKE_NVML_INIT", OK);
}
status nvmlShutdown(void) { return OK; }
char const* nvmlErrorString(status code) { return code == OK ? "fine" : "scripted"; }

static status text(char* into, uint length, char const* words) {
    if (strlen(words) >= length) return TOO_SMALL;
    strcpy(into, words);
    return OK;
}
status nvmlSystemGetDriverVersion(char* into, uint length) { return text(into, length, "580.0-fake"); }
status nvmlSystemGetCudaDriverVersion_v2(int* version) {
    *version = 13000;
    return OK;
}
status nvmlDeviceGetCount_v2(uint* number) {
    *number = count();
    return OK;
}
status nvmlDeviceGetHandleByIndex_v2(uint index, device* found) {
    if (index >= count()) return INVALID;
    *found = &gpus[index];
    return OK;
}
static char const* uuid_format(void) {
    return getenv("FAKE_NVML_CUDA_UUIDS") ? "GPU-00000000-0000-0000-0000-%012u" : "GPU-fake-%u";
}
status nvmlDeviceGetUUID(device gpu, char* into, uint length) {
    return snprintf(into, length, uuid_format(), gpu->index) < (int)length ? OK : TOO_SMALL;
}
status nvmlDeviceGetHandleByUUID(char const* uuid, device* found) {
    uint index;
    if (sscanf(uuid, uuid_format(), &index) != 1 || index >= count()) return NOT_FOUND;
    *found = &gpus[index];
    return OK;
}
status nvmlDeviceGetName(device gpu, char* into, uint length) {
    (void)gpu;
    char const* name = getenv("FAKE_NVML_NAME");
    return text(into, length, name ? name : "Fake GPU (no hardware)");
}
status nvmlDeviceGetMemoryInfo_v2(device gpu, struct memory_v2* memory) {
    memory->total = 80ULL << 30;
    memory->free = (ull)(scripted("FAKE_NVML_FREE_GIB", 79.0 - gpu->index) * (1 << 30));
    memory->used = memory->total - memory->free;
    memory->reserved = 0;
    return OK;
}
status nvmlDeviceGetUtilizationRates(device gpu, struct utilization* rates) {
    (void)gpu;
    rates->gpu = 75;
    rates->memory = 50;
    return OK;
}
status nvmlDeviceGetClockInfo(device gpu, uint type, uint* mhz) {
    (void)gpu;
    *mhz = type == 2 ? 2600 : 1500;
    return OK;
}
status nvmlDeviceGetMaxClockInfo(device gpu, uint type, uint* mhz) {
    (void)gpu;
    *mhz = type == 2 ? 2600 : 1980;
    return OK;
}
status nvmlDeviceGetApplicationsClock(device gpu, uint type, uint* mhz) {
    return nvmlDeviceGetClockInfo(gpu, type, mhz);
}
status nvmlDeviceGetDefaultApplicationsClock(device gpu, uint type, uint* mhz) {
    return nvmlDeviceGetMaxClockInfo(gpu, type, mhz);
}
status nvmlDeviceGetTemperature(device gpu, uint sensor, uint* celsius) {
    (void)gpu;
    (void)sensor;
    *celsius = 55;
    return OK;
}
status nvmlDeviceGetTemperatureThreshold(device gpu, uint which, uint* celsius) {
    (void)gpu;
    (void)which;
    *celsius = 87;
    return OK;
}
status nvmlDeviceGetTotalEnergyConsumption(device gpu, ull* millijoules) {
    (void)gpu;
    *millijoules = (ull)(5e6 + (now() - started) * 1e3 * scripted("FAKE_NVML_COUNTER_W", power_w()));
    return OK;
}
status nvmlDeviceGetPowerUsage(device gpu, uint* milliwatts) {
    (void)gpu;
    *milliwatts = (uint)(power_w() * 1e3);
    return OK;
}
status nvmlDeviceGetFieldValues(device gpu, int number, struct field* fields) {
    (void)gpu;
    for (int i = 0; i < number; i++) {
        int known = fields[i].id == POWER_INSTANT && !getenv("FAKE_NVML_NO_INSTANT_POWER");
        fields[i].result = known ? OK : UNSUPPORTED;
        fields[i].type = 1;
        fields[i].value = (ull)(power_w() * 1e3);
    }
    return OK;
}
status nvmlDeviceGetCurrentClocksThrottleReasons(device gpu, ull* reasons) {
    (void)gpu;
    *reasons = (ull)scripted("FAKE_NVML_THROTTLE", 0);
    return OK;
}
status nvmlDeviceGetMigMode(device gpu, uint* current, uint* pending) {
    (void)gpu;
    *current = *pending = 0;
    return OK;
}
status nvmlDeviceGetEccMode(device gpu, uint* current, uint* pending) {
    (void)gpu;
    *current = *pending = 1;
    return OK;
}
status nvmlDeviceGetTotalEccErrors(device gpu, uint kind, uint counter, ull* errors) {
    (void)gpu;
    (void)kind;
    (void)counter;
    *errors = 0;
    return OK;
}
status nvmlDeviceGetPersistenceMode(device gpu, uint* mode) {
    (void)gpu;
    *mode = (uint)scripted("FAKE_NVML_PERSISTENCE", 1);
    return OK;
}
status nvmlDeviceGetEnforcedPowerLimit(device gpu, uint* milliwatts) {
    (void)gpu;
    *milliwatts = 700000;
    return OK;
}
status nvmlDeviceGetPowerManagementDefaultLimit(device gpu, uint* milliwatts) {
    return nvmlDeviceGetEnforcedPowerLimit(gpu, milliwatts);
}
status nvmlDeviceGetCudaComputeCapability(device gpu, int* major, int* minor) {
    (void)gpu;
    *major = 9;
    *minor = 0;
    return OK;
}
status nvmlDeviceGetPciInfo_v3(device gpu, struct pci* pci) {
    memset(pci, 0, sizeof *pci);
    pci->bus = gpu->index;
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:F%u:00.0", gpu->index);
    return OK;
}
status nvmlDeviceGetComputeRunningProcesses_v3(device gpu, uint* number, struct process* processes) {
    (void)gpu;
    (void)processes;
    *number = 0;
    return OK;
}
