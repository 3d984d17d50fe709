/* priority: see priority.h. Under SCHED_IDLE, which is lower still, threads that wake up come onto the same processor
 * as others, since the kernel takes one with nothing but such threads for idle; they wait for each other then, and for
 * the next tick (measured: 4.3 ms in place of 0.4, 99th percentile). */
#include "priority.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sync.h"

#if defined(__linux__) && defined(SYS_sched_setattr)
enum {
    LOWEST_NICE = 19,
    SHORTEST_SLICE_NS = 100 * 1000,
    /* Longer than anybody's own, which are 2.8 ms at most; several that are LOW take turns by it. */
    LOW_SLICE_NS = 5 * 1000 * 1000,
    LONGEST_SLICE_NS = 100 * 1000 * 1000,
};

/* The kernel's struct sched_attr, which glibc has from 2.41 on. */
typedef struct {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime;
    uint64_t deadline;
    uint64_t period;
} attributes;

static pthread_once_t once = PTHREAD_ONCE_INIT;
/* fixed once they are known */
static bool may_rise;
static int ordinary_nice;

/* Tried on a thread that is of no other use. */
static void *try(void *unused)
{
    may_rise = setpriority(PRIO_PROCESS, 0, LOWEST_NICE) == 0 && setpriority(PRIO_PROCESS, 0, ordinary_nice) == 0;
    return unused;
}

static void find_out(void)
{
    pthread_t thread;
    ordinary_nice = getpriority(PRIO_PROCESS, (id_t)getpid()); /* the first thread's */
    if (pyh_thread_start(&thread, "pyh-try", try, NULL) == PYHOST_OK) {
        pthread_join(thread, NULL);
    }
}

/* 0: the system's own. */
static uint64_t slice_ns(pyh_priority priority)
{
    if (priority == PYH_PRIORITY_LOW) {
        return may_rise ? LOW_SLICE_NS : LONGEST_SLICE_NS;
    }
    return priority == PYH_PRIORITY_PROMPT ? SHORTEST_SLICE_NS : 0;
}

void pyh_priority_set(pid_t thread, pyh_priority priority)
{
    attributes now = {0};
    pthread_once(&once, find_out);
    if (syscall(SYS_sched_getattr, thread, &now, sizeof now, 0) == 0 && now.policy == 0) {
        now.runtime = slice_ns(priority);
        if (may_rise) {
            now.nice = priority == PYH_PRIORITY_LOW ? LOWEST_NICE : ordinary_nice;
        }
        syscall(SYS_sched_setattr, thread, &now, 0);
    }
}

bool pyh_priority_gives_way(void)
{
    pthread_once(&once, find_out);
    return may_rise;
}

void pyh_priority_settle(void)
{
    if (getpriority(PRIO_PROCESS, 0) == LOWEST_NICE) {
        pyh_priority_set(0, PYH_PRIORITY_ORDINARY);
    }
}
#else
void pyh_priority_set(pid_t thread, pyh_priority priority)
{
    (void)thread;
    (void)priority;
}

bool pyh_priority_gives_way(void)
{
    return false;
}

void pyh_priority_settle(void)
{
}
#endif
