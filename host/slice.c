/* slice: see slice.h. */
#include "slice.h"

#include <sys/syscall.h>
#include <unistd.h>

#if defined(__linux__) && defined(SYS_sched_setattr)
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

void pyh_slice_set(pid_t thread, uint64_t slice_ns)
{
    attributes now = {0};
    if (syscall(SYS_sched_getattr, thread, &now, sizeof now, 0) == 0 && now.policy == 0) {
        now.runtime = slice_ns;
        syscall(SYS_sched_setattr, thread, &now, 0);
    }
}
#else
void pyh_slice_set(pid_t thread, uint64_t slice_ns)
{
    (void)thread;
    (void)slice_ns;
}
#endif
