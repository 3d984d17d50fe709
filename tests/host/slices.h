/* slices: how long a thread's slices are, for tests. Before Linux 6.12 the kernel tells 0 whatever was set. */
#ifndef PYH_TEST_SLICES_H
#define PYH_TEST_SLICES_H

#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

/* What sched_getattr(2) tells of the thread, 0: the calling one; the slice is the fifth pair of words from 6.12 on. */
static inline uint64_t slice_ns(pid_t thread)
{
    uint64_t attributes[6] = {0};
    CHECK_EQUAL(syscall(SYS_sched_getattr, thread, attributes, sizeof attributes, 0), 0);
    return attributes[3];
}

/* What it tells once the calling thread has set that much, which the thread then takes back. */
static inline uint64_t slice_told_ns(uint64_t wanted_ns)
{
    uint64_t attributes[6] = {sizeof attributes, 0, 0, wanted_ns};
    CHECK_EQUAL(syscall(SYS_sched_setattr, 0, attributes, 0), 0);
    uint64_t told_ns = slice_ns(0);
    attributes[3] = 0;
    CHECK_EQUAL(syscall(SYS_sched_setattr, 0, attributes, 0), 0);
    return told_ns;
}

#endif
