/* priorities: which priority a thread has, for tests. Before Linux 6.12 the kernel tells 0 for every slice. */
#ifndef PYH_TEST_PRIORITIES_H
#define PYH_TEST_PRIORITIES_H

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "priority.h"
#include "threads.h"

typedef struct {
    int nice;
    uint64_t slice_ns;
} standing;

/* By pyh_priority; those that the process may have, once priorities_begin has found out. */
static standing priorities[3];

/* What sched_getattr(2) tells of the thread, 0: the calling one; the slice is the fourth pair of words from 6.12 on. */
static inline standing standing_of(pid_t thread)
{
    uint64_t attributes[6] = {0};
    CHECK_EQUAL(syscall(SYS_sched_getattr, thread, attributes, sizeof attributes, 0), 0);
    return (standing){.nice = (int)(uint32_t)attributes[2], .slice_ns = attributes[3]};
}

/* What it tells of this thread with that slice. */
static inline uint64_t slice_told_ns(uint64_t wanted_ns)
{
    uint64_t attributes[6] = {sizeof attributes, 0, (uint32_t)standing_of(0).nice, wanted_ns};
    CHECK_EQUAL(syscall(SYS_sched_setattr, 0, attributes, 0), 0);
    return standing_of(0).slice_ns;
}

/* On a thread that is of no other use: it may not be able to return. */
static inline void find_out(size_t index, void *unused)
{
    (void)index;
    (void)unused;
    standing ordinary = standing_of(0);
    bool gives_way = setpriority(PRIO_PROCESS, 0, 19) == 0 && setpriority(PRIO_PROCESS, 0, ordinary.nice) == 0;
    CHECK_EQUAL(gives_way, pyh_priority_gives_way());
    priorities[PYH_PRIORITY_ORDINARY] = ordinary;
    priorities[PYH_PRIORITY_PROMPT] = (standing){ordinary.nice, slice_told_ns(100 * 1000)};
    priorities[PYH_PRIORITY_LOW] =
        (standing){gives_way ? 19 : ordinary.nice, slice_told_ns((gives_way ? 5 : 100) * 1000 * 1000)};
}

/* Before any other thread of the test is started. */
static inline void priorities_begin(void)
{
    threads_run(1, find_out, NULL);
}

static inline void check_priority(pid_t thread, pyh_priority priority)
{
    CHECK_EQUAL(standing_of(thread).nice, priorities[priority].nice);
    CHECK_EQUAL(standing_of(thread).slice_ns, priorities[priority].slice_ns);
}

#endif
