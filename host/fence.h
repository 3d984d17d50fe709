/* fence: one full memory fence in two unequal halves, for a side that passes often and another that passes seldom.
 *
 * Each side stores something of its own, passes its fence, and then reads what the other stores: at least one of them
 * sees the other's. The light side costs next to nothing once the process is registered; the heavy one lets the kernel
 * put a fence into every running thread (membarrier(2), Linux 4.14), 1 to 20 µs. Where that is not to be had both are
 * ordinary full fences. */
#ifndef PYH_FENCE_H
#define PYH_FENCE_H

#include <stdatomic.h>
#include <stdbool.h>

/* Registers the process with the kernel; may take some milliseconds if it has several threads. Again does nothing. */
void pyh_fence_register(void);

extern _Atomic bool pyh_fence_is_registered;
extern _Atomic unsigned pyh_fences_passed; /* ThreadSanitizer's alone */

static inline void pyh_fence_full(void)
{
#ifdef __SANITIZE_THREAD__
    atomic_fetch_add(&pyh_fences_passed, 1); /* it knows no fences */
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Any thread. */
static inline void pyh_fence_light(void)
{
    if (atomic_load_explicit(&pyh_fence_is_registered, memory_order_relaxed)) {
        atomic_signal_fence(memory_order_seq_cst);
    } else {
        pyh_fence_full();
    }
}

/* Any thread. */
void pyh_fence_heavy(void);

#endif
