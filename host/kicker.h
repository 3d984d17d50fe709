/* kicker: threads that make the kernel choose anew who gets a processor.
 *
 * By itself the kernel does so when somebody wakes up, or waits, and at its ticks, 4 ms apart by default. A thread that
 * has had its share at such a moment, if only by some microseconds, is passed over until the next one, even for a thread
 * of PYH_PRIORITY_LOW (EEVDF: it is not eligible); so whoever shares a processor with that waits for milliseconds again
 * and again. A thread which wakes up there every half a millisecond, and does nothing, is such a moment. */
#ifndef PYH_KICKER_H
#define PYH_KICKER_H

#include <sys/types.h>

/* How often to ask for a thread, which may move, and for how long. */
#define PYH_KICKER_ASK_NS (4 * 1000 * 1000)
#define PYH_KICKER_ASKED_NS (300 * 1000 * 1000)

/* Lets there be one, for PYH_KICKER_ASKED_NS, on the processor where that thread of the process runs or ran last. It is
 * started for it, and ends when nobody has asked for a second. Nothing for a thread that has ended, or where none can be
 * bound to a processor. Any thread. */
void pyh_kicker_ask(pid_t thread);

#endif
