/* completions: see completions.h. A stack that is taken whole and turned round, so pushing needs no lock. */
#include "completions.h"

#include <stdlib.h>

/* Stands where the newest call does once nobody drains: a queue and the calls in it would keep each other. */
static pyh_call closed;

pyhost_status pyh_completions_new(pyh_completions **completions)
{
    pyh_completions *made = calloc(1, sizeof *made);
    pyhost_status status = made != NULL ? pyh_notifier_init(&made->notifier) : PYHOST_NO_MEMORY;
    if (status != PYHOST_OK) {
        free(made);
        return status;
    }
    atomic_init(&made->references, 1);
    *completions = made;
    return PYHOST_OK;
}

pyh_completions *pyh_completions_ref(pyh_completions *completions)
{
    atomic_fetch_add_explicit(&completions->references, 1, memory_order_relaxed);
    return completions;
}

pyh_completions *pyh_completions_unref(pyh_completions *completions)
{
    if (completions != NULL && atomic_fetch_sub_explicit(&completions->references, 1, memory_order_acq_rel) == 1) {
        pyh_notifier_deinit(&completions->notifier);
        free(completions);
    }
    return NULL;
}

void pyh_completions_push(pyh_completions *completions, pyh_call *call)
{
    pyh_call *newest = atomic_load_explicit(&completions->newest, memory_order_relaxed);
    do {
        if (newest == &closed) {
            pyh_call_unref(call);
            return;
        }
        call->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&completions->newest, &newest, call, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (newest == NULL) {
        pyh_notifier_notify(&completions->notifier);
    }
}

pyh_call *pyh_completions_drain(pyh_completions *completions)
{
    pyh_notifier_clear(&completions->notifier);
    pyh_call *call = atomic_exchange_explicit(&completions->newest, NULL, memory_order_acq_rel);
    pyh_call *oldest = NULL;
    while (call != NULL) {
        pyh_call *next = call->next;
        call->next = oldest;
        oldest = call;
        call = next;
    }
    return oldest;
}

void pyh_completions_close(pyh_completions *completions)
{
    pyh_call *call = atomic_exchange_explicit(&completions->newest, &closed, memory_order_acq_rel);
    while (call != NULL && call != &closed) {
        pyh_call *next = call->next;
        pyh_call_unref(call);
        call = next;
    }
}
