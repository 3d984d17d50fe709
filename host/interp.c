/* interp: see interp.h. The life of the owner thread is in owner.c. */
#include "interp.h"

#include <stdlib.h>
#include <string.h>

#include "news.h"
#include "owner.h"

/* The occupancy: 24 bits of queued calls, 22 of running ones, 17 of visitors, and the top one. Together, as a call that
 * runs on its caller's thread changes two of them at its beginning and at its end. */
#define ONE_QUEUED ((uint64_t)1)
#define ONE_RUNNING ((uint64_t)1 << 24)
#define ONE_VISITOR ((uint64_t)1 << 46)
#define CLOSED_TO_VISITORS ((uint64_t)1 << 63)

enum { STALL_NS = 250 * 1000 * 1000 };

_Thread_local pyh_interp *pyh_current_interp;
_Thread_local pyh_call *pyh_current_call;

static _Atomic uint64_t last_id;
static _Atomic uint32_t left_count;
static _Atomic uint32_t lost_count;
static _Atomic uint64_t ended_count;
static _Atomic int64_t left_bytes;

pyh_interp *pyh_interp_new(pyh_router *router)
{
    pyh_interp *interp = calloc(1, sizeof *interp);
    if (interp == NULL) {
        return NULL;
    }
    atomic_init(&interp->references, 1);
    interp->id = atomic_fetch_add(&last_id, 1) + 1;
    interp->router = pyh_router_ref(router);
    pyh_mutex_init(&interp->mutex, PYH_RANK_INTERP);
    pyh_event_init(&interp->warm);
    pyh_event_init(&interp->assigned);
    pyh_event_init(&interp->ready);
    pyh_event_init(&interp->ended);
    pyh_event_init(&interp->vacated);
    interp->account = pyh_account_new();
    interp->log_source = pyh_log_source_new(router->log, interp->id);
    if (interp->account == NULL || interp->log_source == NULL || pyh_channel_init(&interp->inbox, 1) != PYHOST_OK) {
        return pyh_interp_unref(interp);
    }
    return interp;
}

pyh_interp *pyh_interp_ref(pyh_interp *interp)
{
    atomic_fetch_add_explicit(&interp->references, 1, memory_order_relaxed);
    return interp;
}

pyh_interp *pyh_interp_unref(pyh_interp *interp)
{
    if (interp != NULL && atomic_fetch_sub_explicit(&interp->references, 1, memory_order_acq_rel) == 1) {
        pyh_channel_deinit(&interp->inbox);
        if (atomic_load(&interp->has_notifier)) {
            pyh_notifier_deinit(&interp->notifier);
        }
        pyh_event_deinit(&interp->vacated);
        pyh_event_deinit(&interp->ended);
        pyh_event_deinit(&interp->ready);
        pyh_event_deinit(&interp->assigned);
        pyh_event_deinit(&interp->warm);
        pyh_mutex_deinit(&interp->mutex);
        pyh_message_unref(interp->bundle);
        pyh_message_unref(interp->assignment.boot);
        pyh_message_unref(interp->start_reply);
        pyh_message_unref(interp->stop_reply);
        pyh_router_unref(interp->router);
        pyh_account_unref(interp->account);
        pyh_log_source_unref(interp->log_source);
        free(interp->name);
        free(interp);
    }
    return NULL;
}

pyhost_status pyh_interp_warm_up(pyh_interp *interp, pyh_message *bundle)
{
    interp->bundle = bundle;
    pyh_interp_ref(interp); /* the owner thread's */
    atomic_fetch_add(&left_count, 1);
    pyhost_status status = pyh_thread_start(&interp->thread, "pyh-warm", pyh_owner_main, interp);
    if (status != PYHOST_OK) {
        pyh_interp_gone();
        interp->bundle = pyh_message_unref(bundle); /* it may be tried again */
        pyh_interp_unref(interp);
        return status;
    }
    pthread_detach(interp->thread);
    return PYHOST_OK;
}

void pyh_interp_step_back(pyh_interp *interp)
{
    atomic_store(&interp->in_background, true);
}

pyhost_status pyh_interp_start(pyh_interp *interp, const pyh_assignment *assignment)
{
    char *name = strdup(assignment->name);
    if (name == NULL || pyh_channel_resize(&interp->inbox, assignment->inbox_capacity) != PYHOST_OK) {
        free(name);
        pyh_message_unref(assignment->boot);
        return PYHOST_NO_MEMORY;
    }
    atomic_store(&interp->in_background, false);
    pyh_mutex_lock(&interp->mutex);
    bool closed = pyh_event_is_set(&interp->assigned);
    if (!closed) {
        interp->assignment = *assignment;
        interp->assignment.name = interp->name = name;
        pyh_event_set(&interp->assigned);
    }
    pyh_mutex_unlock(&interp->mutex);
    if (closed) {
        free(name);
        pyh_message_unref(assignment->boot);
    }
    return closed ? PYHOST_CLOSED : PYHOST_OK;
}

/* Its event loop has something to look at. */
static void ask(pyh_interp *interp)
{
    int64_t nothing = 0;
    if (atomic_load_explicit(&interp->has_notifier, memory_order_relaxed)) {
        atomic_compare_exchange_strong(&interp->asked_ns, &nothing, pyh_now_ns());
    }
}

void pyh_interp_close(pyh_interp *interp)
{
    uint32_t running = PYH_INTERP_RUNNING;
    atomic_compare_exchange_strong(&interp->state, &running, PYH_INTERP_DRAINING);
    pyh_channel_close(&interp->inbox);
    ask(interp);
    pyh_mutex_lock(&interp->mutex);
    pyh_event_set(&interp->assigned); /* one without a plugin gets none any more */
    pyh_mutex_unlock(&interp->mutex);
}

static pyh_activation *ref_activation(pyh_interp *interp)
{
    pyh_mutex_lock(&interp->mutex);
    pyh_activation *activation = interp->activation != NULL ? pyh_activation_ref(interp->activation) : NULL;
    pyh_mutex_unlock(&interp->mutex);
    return activation;
}

/* Interrupts what it runs. An event loop that runs no call has time to look at its inbox first: interrupting it could
 * hit its own code. */
static void interrupt(pyh_interp *interp)
{
    pyh_activation *activation = ref_activation(interp);
    if (activation != NULL && !atomic_load(&interp->stopping)) {
        bool may_idle = atomic_load(&activation->deadline_ns) == PYH_NEVER && atomic_load(&interp->has_notifier);
        pyh_activation_expire(activation, pyh_now_ns() + (may_idle ? STALL_NS : 0));
    }
    pyh_activation_unref(activation);
}

/* Closes it, and answers the calls in its inbox. */
static void give_up_inbox(pyh_interp *interp, pyhost_status status, pyh_message *reply)
{
    void *item;
    pyh_interp_close(interp);
    while (pyh_channel_receive(&interp->inbox, 0, &item) == PYHOST_OK) {
        pyh_call_answer(item, status, reply != NULL ? pyh_message_ref(reply) : NULL);
        pyh_interp_drop_call(interp);
        pyh_call_unref(item);
    }
}

void pyh_interp_condemn(pyh_interp *interp, pyh_message *reply)
{
    give_up_inbox(interp, PYHOST_OVER_LIMIT, reply);
}

void pyh_interp_abandon(pyh_interp *interp)
{
    atomic_store(&interp->abandoned, true);
    give_up_inbox(interp, PYHOST_CANCELLED, NULL);
    interrupt(interp);
    pyh_interp_call_given_up(interp, NULL);
}

void pyh_interp_run_over(pyh_interp *interp)
{
    if (!atomic_exchange(&interp->overdue, true)) {
        pyh_news_tell();
    }
}

/* Nobody looks at a waiting call's interpreter: who takes it from the inbox may change it. */
void pyh_interp_hand_over(pyh_interp *interp, pyh_interp *successor)
{
    void *item;
    pyh_interp_close(interp);
    while (pyh_channel_receive(&interp->inbox, 0, &item) == PYHOST_OK) {
        pyh_call *call = item;
        call->interp = pyh_interp_unref(call->interp);
        pyhost_status status = pyh_interp_submit(successor, call);
        if (status != PYHOST_OK) {
            pyh_call_answer(call, status, NULL);
        }
        pyh_interp_drop_call(interp);
        pyh_call_unref(call);
    }
}

void pyh_interp_call_given_up(pyh_interp *interp, const pyh_call *call)
{
    pyh_activation *activation = call != NULL ? ref_activation(interp) : NULL;
    if (activation != NULL) {
        pyh_activation_expire_call(activation, call);
    }
    pyh_activation_unref(activation);
    atomic_store(&interp->cancelled, true);
    ask(interp);
    pyh_channel_notify(&interp->inbox);
}

void pyh_interp_run_call(pyh_call *call)
{
    pyh_current_call = call;
    pyh_running_number = call != NULL ? &call->number : NULL;
}

void pyh_interp_expose_call(pyh_interp *interp, const pyh_call *call)
{
    atomic_store(&interp->running_call, call);
}

int64_t pyh_interp_stalled_ns(pyh_interp *interp)
{
    int64_t asked_ns = atomic_load(&interp->asked_ns);
    return asked_ns != 0 && atomic_load(&interp->running_call) == NULL ? pyh_now_ns() - asked_ns : 0;
}

void pyh_interp_look(pyh_interp *interp)
{
    atomic_store(&interp->asked_ns, 0);
    pyh_activation_go_on(interp->activation);
}

/* Does that to the owner thread, if it is there and has not begun to end: its end does not give way, as that holds up
 * the start of others. */
static void with_owner_thread(pyh_interp *interp, void (*set)(pyh_pace *pace))
{
    pyh_mutex_lock(&interp->mutex);
    if (interp->activation != NULL && !atomic_load(&interp->stopping)) {
        set(&interp->activation->pace);
    }
    pyh_mutex_unlock(&interp->mutex);
}

void pyh_interp_set_aside(pyh_interp *interp)
{
    uint32_t state = atomic_load(&interp->state);
    while (state < PYH_INTERP_STOPPED) {
        if (atomic_compare_exchange_weak(&interp->state, &state, PYH_INTERP_LOST)) {
            atomic_fetch_add(&lost_count, 1);
            interrupt(interp);
            with_owner_thread(interp, pyh_pace_set_aside); /* it takes only what the others leave of the processors */
            return;
        }
    }
}

void pyh_interp_recall(pyh_interp *interp)
{
    if (atomic_load(&interp->state) == PYH_INTERP_LOST) {
        with_owner_thread(interp, pyh_pace_recall);
    }
}

void pyh_interp_ended(pyh_interp *interp, pyh_interp_state state)
{
    atomic_fetch_add(&ended_count, 1);
    atomic_fetch_add(&left_bytes, pyh_account_bytes(interp->account));
    if (atomic_exchange(&interp->state, state) == PYH_INTERP_LOST) {
        atomic_fetch_sub(&lost_count, 1); /* it came back after all */
    }
}

pyh_interp_ends pyh_interp_count_ends(void)
{
    return (pyh_interp_ends){.count = atomic_load(&ended_count), .left_bytes = atomic_load(&left_bytes)};
}

void pyh_interp_gone(void)
{
    atomic_fetch_sub(&left_count, 1);
}

uint32_t pyh_interp_left_count(void)
{
    return atomic_load(&left_count);
}

uint32_t pyh_interp_lost_count(void)
{
    return atomic_load(&lost_count);
}

pyhost_status pyh_interp_submit(pyh_interp *interp, pyh_call *call)
{
    size_t sent;
    return pyh_interp_send(interp, &call, 1, &sent);
}

pyhost_status pyh_interp_send(pyh_interp *interp, pyh_call *const *calls, size_t count, size_t *sent)
{
    /* Counted and owned before they are visible: the owner thread may be done with them before send returns. */
    atomic_fetch_add_explicit(&interp->occupancy, count * ONE_QUEUED, memory_order_relaxed);
    for (size_t i = 0; i < count; i++) {
        calls[i]->interp = pyh_interp_ref(interp);
        pyh_call_ref(calls[i]);
    }
    pyhost_status status = pyh_channel_send(&interp->inbox, (void *const *)calls, count, sent);
    ask(interp);
    for (size_t i = *sent; i < count; i++) {
        calls[i]->interp = pyh_interp_unref(interp);
        pyh_call_unref(calls[i]);
    }
    atomic_fetch_sub_explicit(&interp->occupancy, (count - *sent) * ONE_QUEUED, memory_order_relaxed);
    return status;
}

static uint64_t occupancy_of(const pyh_interp *interp)
{
    return atomic_load_explicit(&interp->occupancy, memory_order_relaxed);
}

static uint32_t count_queued(uint64_t occupancy)
{
    return (uint32_t)(occupancy % ONE_RUNNING);
}

static uint32_t count_running(uint64_t occupancy)
{
    return (uint32_t)(occupancy % ONE_VISITOR / ONE_RUNNING);
}

uint32_t pyh_interp_load(const pyh_interp *interp)
{
    uint64_t occupancy = occupancy_of(interp);
    return count_queued(occupancy) + count_running(occupancy);
}

uint32_t pyh_interp_running(const pyh_interp *interp)
{
    return count_running(occupancy_of(interp));
}

void pyh_interp_begin_call(pyh_interp *interp)
{
    atomic_fetch_add_explicit(&interp->occupancy, ONE_RUNNING - ONE_QUEUED, memory_order_relaxed);
}

void pyh_interp_count_served(pyh_interp *interp)
{
    uint64_t served = atomic_load_explicit(&interp->served, memory_order_relaxed);
    atomic_store_explicit(&interp->served, served + 1, memory_order_relaxed);
}

void pyh_interp_end_call(pyh_interp *interp)
{
    pyh_interp_count_served(interp);
    atomic_fetch_sub_explicit(&interp->occupancy, ONE_RUNNING, memory_order_relaxed);
}

void pyh_interp_drop_call(pyh_interp *interp)
{
    atomic_fetch_sub_explicit(&interp->occupancy, ONE_QUEUED, memory_order_relaxed);
}

static void leave(pyh_interp *interp, uint64_t share)
{
    uint64_t before = atomic_fetch_sub(&interp->occupancy, share);
    if (before >= CLOSED_TO_VISITORS && before - CLOSED_TO_VISITORS < 2 * ONE_VISITOR) {
        pyh_event_set(&interp->vacated);
    }
}

static bool enter(pyh_interp *interp, uint64_t share)
{
    if (atomic_fetch_add(&interp->occupancy, share) < CLOSED_TO_VISITORS) {
        return true;
    }
    leave(interp, share);
    return false;
}

bool pyh_interp_enter(pyh_interp *interp)
{
    return enter(interp, ONE_VISITOR);
}

void pyh_interp_leave(pyh_interp *interp)
{
    leave(interp, ONE_VISITOR);
}

bool pyh_interp_enter_call(pyh_interp *interp)
{
    return enter(interp, ONE_VISITOR + ONE_RUNNING);
}

void pyh_interp_leave_call(pyh_interp *interp)
{
    leave(interp, ONE_VISITOR + ONE_RUNNING);
}

void pyh_interp_vacate(pyh_interp *interp)
{
    if (atomic_fetch_or(&interp->occupancy, CLOSED_TO_VISITORS) % CLOSED_TO_VISITORS < ONE_VISITOR) {
        pyh_event_set(&interp->vacated);
    }
    while (pyh_event_wait(&interp->vacated, PYH_NEVER) != PYHOST_OK) {
    }
}
