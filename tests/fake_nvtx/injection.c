// What would Nsight Systems be told of a run? A tool as NVTX 3 loads it, by NVTX_INJECTION64_PATH, that writes down each call
// it hears. The tables are those of NVTX's public headers, in our own words.
//
//   FAKE_NVTX_LOG   the file to append to
//   FAKE_NVTX_DEAF  set: it listens to nothing, as a tool that was told to trace something else
//   FAKE_NVTX_POOR  set: it listens to starts and ends alone, and registers no text
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef void (*function)(void);
typedef void const* (*export_table)(uint32_t);
struct callbacks {
    size_t size;
    int (*module_table)(int module, function*** table, unsigned* functions);
};
struct version_info {
    size_t size;
    uint32_t version, reserved;
    void (*set)(uint32_t);
};
struct attributes {
    uint16_t version, size;
    uint32_t category;
    int32_t color_type;
    uint32_t color;
    int32_t payload_type, reserved;
    uint64_t payload;
    int32_t message_type;
    union {
        char const* text;
        struct text* registered;
    } message;
};
struct text {
    char words[64];
};
struct domain {
    char name[64];
};

enum { CALLBACKS = 1, VERSION_INFO = 3, CORE_2 = 5, CORE_2_FUNCTIONS = 16, TEXT = 1, REGISTERED = 3 };

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last_range;

static void heard(char const* what, struct domain const* domain, uint64_t number, struct attributes const* said) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&one_at_a_time);
    FILE* log = fopen(getenv("FAKE_NVTX_LOG"), "a");
    fprintf(log, "%lld %s %s %llu", (long long)now.tv_sec * 1000000000LL + now.tv_nsec, what,
            domain ? domain->name : "-", (unsigned long long)number);
    if (said) {
        char const* words = said->message_type == REGISTERED ? said->message.registered->words
                            : said->message_type == TEXT     ? said->message.text
                                                             : "?";
        int is_whole = said->version == 3 && said->size == sizeof *said;
        fprintf(log, " %u %lld %s%s", said->category, said->payload_type == 1 ? (long long)said->payload : -1LL, words,
                is_whole ? "" : " MALFORMED");
    }
    fputc('\n', log);
    fclose(log);
    pthread_mutex_unlock(&one_at_a_time);
}

static uint64_t start(struct domain* domain, struct attributes const* said) {
    uint64_t number = __atomic_add_fetch(&last_range, 1, __ATOMIC_RELAXED);
    heard("start", domain, number, said);
    return number;
}
static void end(struct domain* domain, uint64_t number) { heard("end", domain, number, NULL); }
static int push(struct domain* domain, struct attributes const* said) {
    heard("push", domain, 0, said);
    return 0;
}
static int pop(struct domain* domain) {
    heard("pop", domain, 0, NULL);
    return 0;
}
static struct text* registered(struct domain* domain, char const* words) {
    struct text* text = calloc(1, sizeof *text);
    (void)domain;
    snprintf(text->words, sizeof text->words, "%s", words);
    return text;
}
static struct domain* created(char const* name) {
    struct domain* domain = calloc(1, sizeof *domain);
    snprintf(domain->name, sizeof domain->name, "%s", name);
    return domain;
}

int InitializeInjectionNvtx2(export_table ask) {
    struct callbacks const* callbacks = ask(CALLBACKS);
    struct version_info const* version = ask(VERSION_INFO);
    function** table;
    unsigned functions;
    if (!callbacks || callbacks->size < sizeof *callbacks || !version || version->version < 2) return 0;
    version->set(3);
    // As Nsight Systems does: every module must be there, whoever uses it.
    for (int module = 1; module <= 6; module++) {
        if (callbacks->module_table(module, &table, &functions) != 1 || !table || table[functions]) return 0;
    }
    if (callbacks->module_table(CORE_2, &table, &functions) != 1 || functions < CORE_2_FUNCTIONS) return 0;
    if (getenv("FAKE_NVTX_DEAF")) return 1;
    *table[2] = (function)start;
    *table[3] = (function)end;
    if (getenv("FAKE_NVTX_POOR")) return 1;
    *table[4] = (function)push;
    *table[5] = (function)pop;
    *table[10] = (function)registered;
    *table[12] = (function)created;
    return 1;
}
