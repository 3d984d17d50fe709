/* fence: see fence.h. */
#include "fence.h"

_Atomic bool pyh_fence_is_registered;
_Atomic unsigned pyh_fences_passed;

/* ThreadSanitizer does not see what the kernel does. */
#if defined(__linux__) && !defined(__SANITIZE_THREAD__)

#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

void pyh_fence_register(void)
{
    if (!atomic_load(&pyh_fence_is_registered) && membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)) {
        atomic_store(&pyh_fence_is_registered, true);
    }
}

void pyh_fence_heavy(void)
{
    pyh_fence_full();
    /* A kernel that has registered the process does not refuse; without the fence a call could miss its deadline. */
    if (atomic_load(&pyh_fence_is_registered) && !membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) {
        abort();
    }
}

#else

void pyh_fence_register(void)
{
}

void pyh_fence_heavy(void)
{
    pyh_fence_full();
}

#endif
