/* slice: for how long the system lets a thread run at a time. It changes nothing about a thread's share of the
 * processors. One with short slices gets a processor soon when it wakes up, one with long slices gives it up soon to
 * others that do. It takes no privilege. Linux keeps a thread's own slice from 6.12 on (`sched_runtime` of
 * sched_setattr(2)), 0.1 to 100 ms; elsewhere nothing changes. */
#ifndef PYH_SLICE_H
#define PYH_SLICE_H

#include <stdint.h>
#include <sys/types.h>

enum { PYH_SLICE_ORDINARY = 0, PYH_SLICE_SHORTEST_NS = 100 * 1000, PYH_SLICE_LONGEST_NS = 100 * 1000 * 1000 };

/* For the thread with that number of the kernel's; threads that it starts have the same. ORDINARY: the system's own. One
 * that gives way to all others is left alone. Any thread. */
void pyh_slice_set(pid_t thread, uint64_t slice_ns);

#endif
