/* completions: where answered calls gather for a consumer that does not wait for each one: an event loop, a thread.
 *
 * Any thread pushes; one consumer drains. The notifier tells when the queue stops being empty, so that many answers
 * cost one wake-up. Reference counted. */
#ifndef PYH_COMPLETIONS_H
#define PYH_COMPLETIONS_H

#include "call.h"

typedef struct pyh_completions {
    _Atomic uint32_t references;
    pyh_notifier notifier;      /* fixed after new */
    _Atomic(pyh_call *) newest; /* a stack of answered calls; acquire/release */
} pyh_completions;

/* An empty queue with one reference. OK, NO_MEMORY, or SYSTEM: no descriptor. */
pyhost_status pyh_completions_new(pyh_completions **completions);
pyh_completions *pyh_completions_ref(pyh_completions *completions);
pyh_completions *pyh_completions_unref(pyh_completions *completions);

/* Takes over a reference to an answered call. */
void pyh_completions_push(pyh_completions *completions, pyh_call *call);

/* Nobody will drain any more: drops what is there and what is still pushed. */
void pyh_completions_close(pyh_completions *completions);

/* All that are there, oldest first, linked by `next`; each with its reference. NULL when there are none. Clears the
 * notifier first. */
pyh_call *pyh_completions_drain(pyh_completions *completions);

#endif
