/* background: stretches of threads' work that nobody waits for. They take the processor time that others leave, so that
 * calls do not queue behind them, until somebody waits for them after all, or they have given way for long enough. */
#ifndef PYH_BACKGROUND_H
#define PYH_BACKGROUND_H

#include "watchdog.h"

/* How long others come first. A thread that gets no time may hold a lock of CPython's or malloc's that they wait for, or
 * the main GIL, which an import of a module in C takes; so it is not long. */
#define PYH_BACKGROUND_NS (100 * 1000 * 1000)

typedef struct pyh_background {
    /* fixed from begin to end */
    pyh_timer timer;
    pid_t thread; /* the kernel's number of it */
    pyh_event over;
    _Atomic bool is_called_off; /* it gives way no more */
    struct pyh_background *next; /* guarded by the list's mutex */
} pyh_background;

/* Begins one, for this thread, which gives way for at most `limit_ns` (PYH_PRIORITY_LOW). The memory must stay until the
 * end. */
void pyh_background_begin(pyh_background *stretch, int64_t limit_ns);

/* Ends it, on the same thread. */
void pyh_background_end(pyh_background *stretch);

/* This thread waits: those under way give way no more, unless it is in one itself. It holds no lock but creation's. */
void pyh_background_hurry(void);

#endif
