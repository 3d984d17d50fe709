/* priority: who comes first when several threads want a processor. Linux only; elsewhere nothing changes.
 *
 * LOW takes leave to rise again: CAP_SYS_NICE, or RLIMIT_NICE 20, see sched(7). A process without it gets its slices
 * only, and keeps its share of the processors. Linux keeps a thread's own slices (`sched_runtime` of sched_setattr(2),
 * 0.1 to 100 ms) from 6.12 on; before that, only what is LOW differs. */
#ifndef PYH_PRIORITY_H
#define PYH_PRIORITY_H

#include <stdbool.h>
#include <sys/types.h>

typedef enum pyh_priority {
    PYH_PRIORITY_ORDINARY, /* that of the process */
    PYH_PRIORITY_PROMPT,   /* gets a processor soon after it wakes up, for the shortest slices; its share is ordinary */
    PYH_PRIORITY_LOW,      /* gives way: has a seventieth of an ordinary share, and long slices, so that others which
                              wake up take the processor from it at once */
} pyh_priority;

/* For the thread with that number of the kernel's, 0 for the calling one; threads and processes that it starts have the
 * same. One that the system schedules by other rules than its ordinary ones is left alone. Any thread. */
void pyh_priority_set(pid_t thread, pyh_priority priority);

/* Whether LOW takes time from a thread, and not only its slices are long. */
bool pyh_priority_gives_way(void);

/* The calling thread may have been started by one that was LOW, and is ORDINARY from now on. */
void pyh_priority_settle(void);

#endif
