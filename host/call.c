/* call: see call.h. The one transition that matters is to ANSWERING, by compare and exchange. */
#include "call.h"

#include <stdlib.h>

#include "background.h"
#include "completions.h"
#include "interp.h"

_Thread_local uint64_t *pyh_running_number;

static _Atomic uint64_t last_number;

static void call_fire(pyh_timer *timer);

uint64_t pyh_call_running_number(void)
{
    uint64_t *number = pyh_running_number;
    if (number == NULL) {
        return 0;
    }
    if (*number == 0) {
        *number = atomic_fetch_add_explicit(&last_number, 1, memory_order_relaxed) + 1;
    }
    return *number;
}

pyh_call *pyh_call_new(pyh_route *route, pyh_function *function, pyh_message *request)
{
    pyh_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        pyh_message_unref(request);
        return NULL;
    }
    call->route = pyh_route_ref(route);
    call->function = function;
    call->request = request;
    call->submitted_ns = pyh_now_ns();
    call->deadline_ns = PYH_NEVER;
    call->run_limit_ns = PYH_NEVER;
    call->timer.fire = call_fire;
    atomic_init(&call->references, 1);
    pyh_event_init(&call->answered);
    return call;
}

void pyh_call_tie(pyh_call *call)
{
    call->origin = pyh_current_interp;
    call->parent = pyh_current_call != NULL ? pyh_call_ref(pyh_current_call) : NULL;
}

pyh_call *pyh_call_ref(pyh_call *call)
{
    atomic_fetch_add_explicit(&call->references, 1, memory_order_relaxed);
    return call;
}

pyh_call *pyh_call_unref(pyh_call *call)
{
    /* A loop, not recursion: a chain of parents may be long. */
    while (call != NULL && atomic_fetch_sub_explicit(&call->references, 1, memory_order_acq_rel) == 1) {
        pyh_call *parent = call->parent;
        pyh_message_unref(call->request);
        pyh_message_unref(call->reply);
        pyh_interp_unref(call->interp);
        pyh_route_unref(call->route);
        pyh_completions_unref(call->completions);
        pyh_event_deinit(&call->answered);
        free(call);
        call = parent;
    }
    return NULL;
}

bool pyh_call_holds_up(const pyh_call *call, const struct pyh_interp *interp)
{
    /* An origin is alive as long as it waits, so comparing addresses is enough. */
    while (call != NULL && call->origin != interp) {
        call = call->parent;
    }
    return call != NULL;
}

bool pyh_call_begin(pyh_call *call)
{
    uint32_t state = PYH_CALL_QUEUED;
    if (!atomic_compare_exchange_strong(&call->state, &state, PYH_CALL_RUNNING)) {
        return false;
    }
    if (call->run_limit_ns != PYH_NEVER) {
        call->deadline_ns = pyh_deadline_after(call->run_limit_ns);
        pyh_call_arm(call, call->deadline_ns);
    }
    return true;
}

/* The state before this thread won the right to answer; ANSWERING and above if it did not. */
static uint32_t win(pyh_call *call)
{
    uint32_t state = atomic_load(&call->state);
    while (state < PYH_CALL_ANSWERING &&
           !atomic_compare_exchange_weak(&call->state, &state, PYH_CALL_ANSWERING)) {
    }
    return state;
}

/* Writes the answer of a call that this thread has won. */
static void write_answer(pyh_call *call, pyhost_status status, pyh_message *reply)
{
    call->status = status;
    call->reply = reply;
    pyh_stats_record(call->function->stats, status, pyh_now_ns() - call->submitted_ns);
    atomic_store(&call->state, PYH_CALL_ANSWERED);
    /* Read before the event is set: a waiter may then use the call as it likes. */
    struct pyh_completions *completions = call->completions;
    bool has_timer = completions != NULL || call->run_limit_ns != PYH_NEVER;
    if (completions != NULL) {
        pyh_completions_push(completions, pyh_call_ref(call));
    }
    pyh_event_set(&call->answered);
    if (has_timer && pyh_watchdog_disarm(&call->timer)) {
        pyh_call_unref(call);
    }
}

bool pyh_call_answer(pyh_call *call, pyhost_status status, pyh_message *reply)
{
    if (win(call) >= PYH_CALL_ANSWERING) {
        pyh_message_unref(reply);
        return false;
    }
    write_answer(call, status, reply);
    return true;
}

bool pyh_call_give_up(pyh_call *call)
{
    uint32_t before = win(call);
    if (before >= PYH_CALL_ANSWERING) {
        return false;
    }
    write_answer(call, PYHOST_CANCELLED, NULL);
    if (before == PYH_CALL_RUNNING) {
        pyh_interp_call_given_up(call->interp, call);
    }
    return true;
}

/* On the watchdog's thread, with the reference that pyh_call_arm took. */
static void call_fire(pyh_timer *timer)
{
    pyh_call *call = (pyh_call *)((char *)timer - offsetof(pyh_call, timer));
    if (pyh_call_answer(call, PYHOST_TIMEOUT, NULL)) {
        pyh_background_hurry(); /* who hears of it may need the main GIL, and one that imports hold it */
    }
    pyh_call_unref(call);
}

void pyh_call_arm(pyh_call *call, int64_t at_ns)
{
    pyh_call_ref(call);
    if (at_ns == PYH_NEVER || !pyh_watchdog_arm(&call->timer, at_ns)) {
        pyh_call_unref(call);
    } else if (pyh_call_is_answered(call) && pyh_watchdog_disarm(&call->timer)) {
        /* It was answered before the timer was armed, so nobody else takes it away. */
        pyh_call_unref(call);
    }
}

bool pyh_call_is_answered(pyh_call *call)
{
    return atomic_load(&call->state) == PYH_CALL_ANSWERED;
}

pyhost_status pyh_call_wait(pyh_call *call)
{
    pyhost_status status = pyh_event_wait(&call->answered, call->deadline_ns);
    if (status == PYHOST_TIMEOUT) {
        if (!pyh_call_answer(call, PYHOST_TIMEOUT, NULL)) {
            /* The answer is being written right now. */
            while (pyh_event_wait(&call->answered, PYH_NEVER) != PYHOST_OK) {
            }
        }
        status = PYHOST_OK;
    }
    return status;
}
