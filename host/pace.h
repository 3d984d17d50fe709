/* pace: how eagerly the system lets a thread run. One that keeps a processor for long with the same call gets long
 * slices (slice.h): threads that wake up for a moment, as those of short calls do, then take the processor from it at
 * once, where they would wait for the end of its slice otherwise. Its share of the processors stays what it was, so it
 * holds nobody up by a lock that it has.
 *
 * Whoever calls look does so on one thread, the watchdog's. */
#ifndef PYH_PACE_H
#define PYH_PACE_H

#include <time.h>

#include "watchdog.h"

/* When a thread that begins something is looked at first. */
#define PYH_PACE_FIRST_NS (3 * 1000 * 1000)

typedef struct pyh_pace {
    pyh_timer timer; /* its owner's, for the next look */
    /* fixed after init */
    pid_t thread;
    clockid_t clock; /* its processor time */
    _Atomic bool watched; /* a look is due, or none ever will be; its owner's */
    _Atomic bool is_long;
    /* who looks */
    uint64_t sequence; /* of what it was seen to run */
    int64_t began_ns;  /* its clock then */
    int64_t seen_ns;   /* its clock at the last look */
    int64_t pause_ns;  /* before that look */
} pyh_pace;

/* For the calling thread. */
void pyh_pace_init(pyh_pace *pace);

/* Looks at the thread, which runs what has that number: odd for something, even for nothing. Nanoseconds until the next
 * look; 0: none before it begins something new. endless: what it runs may wait for ever. */
int64_t pyh_pace_look(pyh_pace *pace, const _Atomic uint64_t *sequence, bool endless);

/* What it runs has something to notice, and gets the slices of others for it; look goes on from there. Who looks. */
void pyh_pace_hurry(pyh_pace *pace);

void pyh_pace_restore(pyh_pace *pace);

/* The thread has ended what it ran; the number is another one. That thread. */
static inline void pyh_pace_end(pyh_pace *pace)
{
    if (atomic_load_explicit(&pace->is_long, memory_order_relaxed)) {
        pyh_pace_restore(pace);
    }
}

#endif
