/* watchdog: timers on one thread of their own, for deadlines.
 *
 * The thread starts with the first timer and never takes a GIL nor waits for anything but the time. Any thread may
 * arm and disarm, GIL held or not; neither takes memory. */
#ifndef PYH_WATCHDOG_H
#define PYH_WATCHDOG_H

#include <stddef.h>

#include "sync.h"

typedef struct pyh_timer {
    /* fixed while armed; runs on the watchdog's thread with no lock held, must not block; may arm again */
    void (*fire)(struct pyh_timer *timer);
    /* guarded by the watchdog */
    int64_t at_ns;
    struct pyh_timer *below; /* the first of those that hang below it: none fires earlier */
    struct pyh_timer *next;  /* hangs below the same one */
    struct pyh_timer **link; /* what points to it; NULL: not armed */
} pyh_timer;

/* Fires at at_ns, or, if it is armed for an earlier time already, at that. true if it was not armed before.
 * The owner keeps the memory until it has fired or disarm has returned true. */
bool pyh_watchdog_arm(pyh_timer *timer, int64_t at_ns);

/* true if it was armed: it will not fire now. false: it never was, or it has fired, or is about to. */
bool pyh_watchdog_disarm(pyh_timer *timer);

#endif
