/* watchdog: timers on one thread of their own, for deadlines.
 *
 * The thread starts with the first timer and never takes a GIL nor waits for anything but the time. Any thread may
 * arm and disarm, GIL held or not. */
#ifndef PYH_WATCHDOG_H
#define PYH_WATCHDOG_H

#include <stddef.h>

#include "sync.h"

typedef struct pyh_timer {
    /* fixed while armed; runs on the watchdog's thread with no lock held, must not block; may arm again */
    void (*fire)(struct pyh_timer *timer);
    /* guarded by the watchdog */
    int64_t at_ns;
    size_t place; /* 1 + index in the heap; 0: not armed */
} pyh_timer;

/* Fires at at_ns, or, if it is armed for an earlier time already, at that. true if it was not armed before.
 * The owner keeps the memory until it has fired or disarm has returned true. */
bool pyh_watchdog_arm(pyh_timer *timer, int64_t at_ns);

/* true if it was armed: it will not fire now. false: it never was, or it has fired, or is about to. */
bool pyh_watchdog_disarm(pyh_timer *timer);

#endif
