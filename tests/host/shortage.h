/* shortage: lets the i-th allocation of pyhost's own code fail, or its i-th thread or descriptor, and each i in turn.
 *
 * Programs that include it are linked with --wrap for each function below (tests/host/meson.build). The linker does
 * that for the objects of the program alone, pyhost's and the test's: CPython, libc and the sanitizers get what they
 * ask for.
 *
 * A scenario does something once, cleans up and returns its outcome. shortage_main fails everything that it asks for,
 * one after the other, until a run asks for less: alone, and together with the next ones. After each failure the
 * scenario runs again with nothing missing, and must be OK, and no block may be left.
 *
 * To add one: write a function that returns OK where nothing fails and checks what must hold where something does (no
 * output, one release, nothing counted as running), and give it a line in the program's table with the outcomes that a
 * failed allocation may have, those of a failed thread or descriptor (0: it asks for none), and what it keeps. */
#ifndef PYH_TEST_SHORTAGE_H
#define PYH_TEST_SHORTAGE_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "memory.h"
#include "message.h"
#include "sync.h"

/* What is short. */
typedef enum { SHORTAGE_MEMORY, SHORTAGE_SYSTEM } shortage_kind;

/* How many in a row fail where not one alone does; and how often what is counted exactly runs before. */
enum { SHORTAGE_MANY = 16, SHORTAGE_FIRST_TIMES = 4 };

static struct {
    atomic_int kind;
    atomic_long first; /* the number of the first that fails; 0: nothing does */
    atomic_long count; /* how many do, from that one on */
    atomic_long asked; /* for what is short, since shortage_begin */
    atomic_long failed;
    atomic_long blocks; /* that pyhost's code has allocated and not freed */
} shortage;

/* Every message is asked for anew. */
__attribute__((constructor)) static void shortage_keep_no_spares(void)
{
    pyh_message_keeps_spares = false;
}

/* From here on the requests of that number and of the next count - 1 fail, on whichever thread. */
static inline void shortage_begin(shortage_kind kind, long first, long count)
{
    shortage.kind = (int)kind;
    shortage.count = count;
    shortage.asked = shortage.failed = 0;
    shortage.first = first;
}

/* Nothing is short any more; how many have failed. */
static inline long shortage_end(void)
{
    shortage.first = 0;
    return shortage.failed;
}

/* Whether this request fails. */
static inline bool shortage_hits(shortage_kind kind)
{
    long first = shortage.first;
    if (first == 0 || shortage.kind != (int)kind) {
        return false;
    }
    long number = atomic_fetch_add(&shortage.asked, 1) + 1;
    bool hits = number >= first && number < first + shortage.count;
    shortage.failed += hits;
    errno = hits ? (kind == SHORTAGE_MEMORY ? ENOMEM : EMFILE) : errno;
    return hits;
}

static inline void *shortage_block(void *block)
{
    shortage.blocks += block != NULL;
    return block;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
char *__real_realpath(const char *path, char *resolved);
void __real_free(void *block);
void *__real_PyMem_Malloc(size_t size);
int __real_eventfd(unsigned count, int flags);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_realpath(const char *path, char *resolved);
int __wrap_asprintf(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void __wrap_free(void *block);
void *__wrap_PyMem_Malloc(size_t size);
int __wrap_eventfd(unsigned count, int flags);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);

void *__wrap_malloc(size_t size)
{
    return shortage_hits(SHORTAGE_MEMORY) ? NULL : shortage_block(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return shortage_hits(SHORTAGE_MEMORY) ? NULL : shortage_block(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t size)
{
    if (shortage_hits(SHORTAGE_MEMORY)) {
        return NULL;
    }
    return block == NULL ? shortage_block(__real_malloc(size)) : __real_realloc(block, size);
}

char *__wrap_strdup(const char *text)
{
    return shortage_hits(SHORTAGE_MEMORY) ? NULL : shortage_block(__real_strdup(text));
}

char *__wrap_realpath(const char *path, char *resolved)
{
    return shortage_hits(SHORTAGE_MEMORY) ? NULL : shortage_block(__real_realpath(path, resolved));
}

int __wrap_asprintf(char **text, const char *format, ...)
{
    va_list arguments;
    if (shortage_hits(SHORTAGE_MEMORY)) {
        return -1;
    }
    va_start(arguments, format);
    int size = vasprintf(text, format, arguments);
    va_end(arguments);
    shortage_block(size >= 0 ? *text : NULL);
    return size;
}

void __wrap_free(void *block)
{
    shortage.blocks -= block != NULL;
    __real_free(block);
}

void *__wrap_PyMem_Malloc(size_t size)
{
    return shortage_hits(SHORTAGE_MEMORY) ? NULL : __real_PyMem_Malloc(size);
}

int __wrap_eventfd(unsigned count, int flags)
{
    return shortage_hits(SHORTAGE_SYSTEM) ? -1 : __real_eventfd(count, flags);
}

/* The watchdog starts kickers whenever a call happens to run long, and does without those that it cannot start: no
 * scenario has asked for them. */
static bool shortage_is_watchdogs(void)
{
    char name[16];
    return pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strcmp(name, "pyh-watchdog") == 0;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    if (!shortage_is_watchdogs() && shortage_hits(SHORTAGE_SYSTEM)) {
        return EAGAIN;
    }
    return __real_pthread_create(thread, attributes, run, argument);
}

/* Which blocks a scenario leaves allocated. */
typedef enum {
    SHORTAGE_KEEPS_NOTHING,
    SHORTAGE_KEEPS_REGIONS, /* those that note what CPython maps, which goes on without; where it is counted */
    SHORTAGE_KEEPS_SOME,    /* only LeakSanitizer can tell them from lost ones */
} shortage_keeps;

/* Outcomes that a failure may have, as bits. */
#define SHORTAGE_OUTCOME(status) (1u << PYHOST_##status)

typedef struct shortage_scenario {
    const char *name;
    pyhost_status (*run)(void);
    unsigned memory; /* what may come of a failed allocation; 0: there is none to fail */
    unsigned system; /* the same for threads and descriptors */
    shortage_keeps keeps;
} shortage_scenario;

#define SHORTAGE_SCENARIO(name, memory, system, keeps)                                                                 \
    {                                                                                                                  \
#name, name, memory, system, SHORTAGE_KEEPS_##keeps                                                            \
    }

static char shortage_place[128];
static long shortage_failures; /* in all scenarios */

static inline bool shortage_is_exact(const shortage_scenario *scenario)
{
    return scenario->keeps == SHORTAGE_KEEPS_NOTHING ||
           (scenario->keeps == SHORTAGE_KEEPS_REGIONS && !pyh_memory_is_counted());
}

/* No more blocks are allocated than before, once other threads have let go of theirs; they may have had some then. */
static inline void shortage_check_blocks(long before)
{
    int64_t deadline_ns = pyh_deadline_after((int64_t)10 * 1000 * 1000 * 1000);
    while (shortage.blocks > before && pyh_now_ns() < deadline_ns) {
        sched_yield();
    }
    if (shortage.blocks > before) {
        check_failed(__FILE__, __LINE__, "%ld blocks are lost", shortage.blocks - before);
    }
}

/* The i-th fails, with those after it; false: there is no i-th. */
static inline bool shortage_fail(const shortage_scenario *scenario, shortage_kind kind, long number, long count)
{
    unsigned outcomes = kind == SHORTAGE_MEMORY ? scenario->memory : scenario->system;
    outcomes |= scenario->keeps == SHORTAGE_KEEPS_REGIONS && pyh_memory_is_counted() ? SHORTAGE_OUTCOME(OK) : 0;
    snprintf(shortage_place, sizeof shortage_place, "%s, where %s %ld and %ld more fail", scenario->name,
             kind == SHORTAGE_MEMORY ? "allocation" : "thread or descriptor", number, count - 1);
    check_running = shortage_place;
    long blocks = shortage.blocks;
    shortage_begin(kind, number, count);
    pyhost_status status = scenario->run();
    if (shortage_end() == 0) {
        CHECK_STATUS(status, PYHOST_OK);
        return false;
    }
    shortage_failures++;
    if ((outcomes >> status & 1) == 0) {
        check_failed(__FILE__, __LINE__, "the outcome is %s", pyhost_status_name(status));
    }
    CHECK_STATUS(scenario->run(), PYHOST_OK);
    if (shortage_is_exact(scenario)) {
        shortage_check_blocks(blocks);
    }
    return true;
}

/* Fails each in turn, up to the last; how many there are. */
static inline long shortage_sweep(const shortage_scenario *scenario, shortage_kind kind, long count)
{
    long number = 1;
    while (shortage_fail(scenario, kind, number, count)) {
        number++;
    }
    return number - 1;
}

static inline void shortage_run(const shortage_scenario *scenario)
{
    /* What stays with a thread from its first time in an interpreter on. */
    for (int i = 0; i < SHORTAGE_FIRST_TIMES && scenario->keeps == SHORTAGE_KEEPS_REGIONS; i++) {
        CHECK_STATUS(scenario->run(), PYHOST_OK);
    }
    /* Threads first, as some start once in a process; unless there are none: tables grow once. */
    long others = scenario->system != 0 ? shortage_sweep(scenario, SHORTAGE_SYSTEM, 1) : 0;
    long allocations = shortage_sweep(scenario, SHORTAGE_MEMORY, 1);
    others = scenario->system != 0 ? others : shortage_sweep(scenario, SHORTAGE_SYSTEM, 1);
    CHECK_EQUAL(allocations > 0, scenario->memory != 0);
    CHECK_EQUAL(others > 0, scenario->system != 0);
    shortage_sweep(scenario, SHORTAGE_MEMORY, SHORTAGE_MANY);
    shortage_sweep(scenario, SHORTAGE_SYSTEM, SHORTAGE_MANY);
    printf("ok %s: %ld allocations, %ld threads and descriptors\n", scenario->name, allocations, others);
    fflush(stdout);
}

/* Runs the scenarios that the arguments name, or all; the exit code. */
static inline int shortage_main(const shortage_scenario *scenarios, size_t count, int argc, char **argv)
{
    int named = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_wanted = argc < 2;
        for (int j = 1; j < argc; j++) {
            bool is_named = strcmp(argv[j], scenarios[i].name) == 0;
            named += is_named;
            is_wanted = is_wanted || is_named;
        }
        if (is_wanted) {
            shortage_run(&scenarios[i]);
        }
    }
    printf("%ld failures in %zu scenarios\n", shortage_failures, argc < 2 ? count : (size_t)named);
    return named < argc - 1 ? 2 : 0;
}

#endif
