/* activation: see activation.h. Facts used: PyThreadState_SetAsyncExc acts from a thread attached to the same
 * interpreter; it finds its target by the identity of the thread that created the target's thread state. Attaching
 * blocks while a C call keeps the GIL, hence a thread of its own for each runaway call and never the watchdog's. From
 * 3.15 on, a system call that a signal interrupts (a sleep, a read) looks for the exception before it goes on. */
#include "activation.h"

#include <stdlib.h>

#include "fence.h"
#include "interp.h"

enum { FIRST_PAUSE_NS = 5 * 1000 * 1000, LONGEST_PAUSE_NS = 200 * 1000 * 1000 };

_Thread_local int64_t pyh_current_deadline_ns = PYH_NEVER;

static void activation_fire(pyh_timer *timer);
static void pace_fire(pyh_timer *timer);

pyh_activation *pyh_activation_new(struct pyh_interp *interp)
{
    pyh_activation *activation = calloc(1, sizeof *activation);
    if (activation != NULL) {
        atomic_init(&activation->references, 1);
        atomic_init(&activation->deadline_ns, PYH_NEVER);
        atomic_init(&activation->limit_ns, PYH_NEVER);
        atomic_init(&activation->armed_ns, PYH_NEVER);
        activation->interp = pyh_interp_ref(interp);
        activation->thread = PyThread_get_thread_ident();
        activation->system_thread = pthread_self();
        activation->timer.fire = activation_fire;
        atomic_init(&activation->pace.watched, true);
    }
    return activation;
}

void pyh_activation_pace(pyh_activation *activation)
{
    pyh_pace_init(&activation->pace);
    activation->pace.timer.fire = pace_fire;
}

pyh_activation *pyh_activation_ref(pyh_activation *activation)
{
    atomic_fetch_add_explicit(&activation->references, 1, memory_order_relaxed);
    return activation;
}

pyh_activation *pyh_activation_unref(pyh_activation *activation)
{
    if (activation != NULL && atomic_fetch_sub_explicit(&activation->references, 1, memory_order_acq_rel) == 1) {
        pyh_interp_unref(activation->interp);
        free(activation);
    }
    return NULL;
}

static void arm_timer(pyh_activation *activation, pyh_timer *timer, int64_t at_ns)
{
    pyh_activation_ref(activation);
    if (!pyh_watchdog_arm(timer, at_ns)) {
        pyh_activation_unref(activation); /* it was armed already and has its reference */
    }
}

static void arm(pyh_activation *activation, int64_t at_ns)
{
    atomic_store(&activation->armed_ns, at_ns);
    arm_timer(activation, &activation->timer, at_ns);
}

/* Arms the timer for the deadline that was stored just now, unless it fires before: then it looks itself. */
static void see_to_timer(pyh_activation *activation, int64_t deadline_ns)
{
    pyh_fence_light();
    if (deadline_ns < atomic_load_explicit(&activation->armed_ns, memory_order_relaxed)) {
        arm(activation, deadline_ns);
    }
}

static void disarm(pyh_activation *activation, pyh_timer *timer)
{
    if (pyh_watchdog_disarm(timer)) {
        pyh_activation_unref(activation);
    }
}

void pyh_activation_retire(pyh_activation *activation)
{
    if (activation != NULL) {
        disarm(activation, &activation->timer);
        disarm(activation, &activation->pace.timer);
    }
    pyh_activation_unref(activation);
}

static void watch_pace(pyh_activation *activation)
{
    if (!atomic_exchange(&activation->pace.watched, true)) {
        arm_timer(activation, &activation->pace.timer, pyh_deadline_after(PYH_PACE_FIRST_NS));
    }
}

/* On the watchdog's thread, with the reference that arm took. */
static void pace_fire(pyh_timer *timer)
{
    pyh_activation *activation = (pyh_activation *)((char *)timer - offsetof(pyh_activation, pace.timer));
    pyh_pace *pace = &activation->pace;
    int64_t pause_ns =
        pyh_pace_look(pace, &activation->sequence, atomic_load(&activation->deadline_ns) == PYH_NEVER);
    if (pause_ns > 0) {
        arm_timer(activation, timer, pyh_deadline_after(pause_ns));
    } else {
        atomic_store(&pace->watched, false);
        if (atomic_load(&activation->sequence) != pace->sequence) {
            watch_pace(activation); /* what began meanwhile may have seen that it is watched */
        }
    }
    pyh_activation_unref(activation);
}

void pyh_activation_begin(pyh_activation *activation, int64_t deadline_ns, pyh_activation_outer *outer)
{
    outer->sequence = atomic_load_explicit(&activation->sequence, memory_order_relaxed);
    outer->deadline_ns = atomic_load_explicit(&activation->deadline_ns, memory_order_relaxed);
    outer->limit_ns = atomic_load_explicit(&activation->limit_ns, memory_order_relaxed);
    outer->thread_deadline_ns = pyh_current_deadline_ns;
    pyh_current_deadline_ns = deadline_ns;
    pyh_this_thread.calls++;
    /* An inner call takes the next odd number, so that interrupts for the outer one pause meanwhile. */
    atomic_store_explicit(&activation->sequence, outer->sequence + 1 + (outer->sequence & 1), memory_order_release);
    atomic_store_explicit(&activation->limit_ns, deadline_ns, memory_order_relaxed);
    atomic_store_explicit(&activation->deadline_ns, deadline_ns, memory_order_release);
    see_to_timer(activation, deadline_ns);
    if (!atomic_load_explicit(&activation->pace.watched, memory_order_relaxed)) {
        watch_pace(activation);
    }
}

/* Of the call of that sequence. */
static void expire(pyh_activation *activation, uint64_t sequence, int64_t at_ns)
{
    int64_t deadline_ns = atomic_load(&activation->deadline_ns);
    if ((sequence & 1) != 0 && at_ns < deadline_ns && atomic_load(&activation->sequence) == sequence &&
        atomic_compare_exchange_strong(&activation->deadline_ns, &deadline_ns, at_ns)) {
        arm(activation, at_ns);
    }
}

void pyh_activation_expire(pyh_activation *activation, int64_t at_ns)
{
    expire(activation, atomic_load(&activation->sequence), at_ns);
}

void pyh_activation_expire_call(pyh_activation *activation, const struct pyh_call *call)
{
    uint64_t sequence = atomic_load(&activation->sequence);
    if (atomic_load(&activation->interp->running_call) == call) {
        expire(activation, sequence, pyh_now_ns());
    }
}

/* One that was set but not yet raised would hit what comes next. */
static void drop_pending_interrupt(pyh_activation *activation)
{
    PyThreadState_SetAsyncExc(activation->thread, NULL);
}

void pyh_activation_go_on(pyh_activation *activation)
{
    if (atomic_load(&activation->deadline_ns) != PYH_NEVER) {
        atomic_store(&activation->deadline_ns, PYH_NEVER);
        atomic_fetch_add(&activation->sequence, 2);
        drop_pending_interrupt(activation);
    }
}

void pyh_activation_end(pyh_activation *activation, const pyh_activation_outer *outer, int64_t now_ns)
{
    int64_t deadline_ns = atomic_load_explicit(&activation->deadline_ns, memory_order_relaxed);
    uint64_t sequence = atomic_load_explicit(&activation->sequence, memory_order_relaxed);
    bool nested = (outer->sequence & 1) != 0;
    pyh_current_deadline_ns = outer->thread_deadline_ns;
    pyh_this_thread.calls--;
    atomic_store_explicit(&activation->limit_ns, outer->limit_ns, memory_order_relaxed);
    atomic_store_explicit(&activation->deadline_ns, outer->deadline_ns, memory_order_release);
    atomic_store_explicit(&activation->sequence, sequence + (nested ? 2 : 1), memory_order_release);
    pyh_pace_end(&activation->pace);
    if (activation->thread_state->async_exc != NULL || (deadline_ns != PYH_NEVER && now_ns >= deadline_ns)) {
        drop_pending_interrupt(activation);
    }
    if (nested) {
        see_to_timer(activation, outer->deadline_ns);
    }
}

typedef struct {
    pyh_activation *activation; /* owned */
    uint64_t sequence;
} runaway;

/* Raises the interrupt if the call still runs; whether it does. Waits for the interpreter's GIL. */
static bool interrupt(const runaway *call)
{
    pyh_interp *interp = call->activation->interp;
    bool runs = false;
    if (!pyh_interp_enter(interp)) {
        return false;
    }
    pyh_account_before before = pyh_account_enter(interp->account);
    PyThreadState *thread_state = PyThreadState_New(interp->python);
    if (thread_state != NULL) {
        PyEval_RestoreThread(thread_state);
        runs = atomic_load(&call->activation->sequence) == call->sequence;
        if (runs && interp->interrupt_class != NULL) {
            PyThreadState_SetAsyncExc(call->activation->thread, interp->interrupt_class);
            pyh_thread_wake(call->activation->system_thread); /* the GIL keeps it in the call meanwhile */
        }
        PyThreadState_Clear(thread_state);
        PyThreadState_DeleteCurrent();
    }
    pyh_account_leave(before);
    pyh_interp_leave(interp);
    return runs;
}

static void *interrupt_main(void *argument)
{
    runaway *call = argument;
    int64_t pause_ns = FIRST_PAUSE_NS;
    while (interrupt(call)) {
        struct timespec pause = {.tv_nsec = (long)pause_ns};
        nanosleep(&pause, NULL);
        pause_ns = pause_ns * 2 < LONGEST_PAUSE_NS ? pause_ns * 2 : LONGEST_PAUSE_NS;
    }
    pyh_activation_unref(call->activation);
    free(call);
    return NULL;
}

/* Without memory or a thread the call goes on; its caller has been answered all the same. */
static void start_interrupt(pyh_activation *activation, uint64_t sequence)
{
    pthread_t thread;
    runaway *call = malloc(sizeof *call);
    if (call == NULL) {
        return;
    }
    *call = (runaway){.activation = pyh_activation_ref(activation), .sequence = sequence};
    if (pyh_thread_start(&thread, "pyh-interrupt", interrupt_main, call) == PYHOST_OK) {
        pthread_detach(thread);
    } else {
        pyh_activation_unref(activation);
        free(call);
    }
}

/* When a call with that deadline has run for longer than it may at all; PYH_NEVER if it may. */
static int64_t grace_end(const pyh_activation *activation, int64_t limit_ns)
{
    int64_t grace_ns = activation->interp->assignment.grace_ns;
    return limit_ns < PYH_NEVER - grace_ns ? limit_ns + grace_ns : PYH_NEVER;
}

/* The call of that sequence is past its deadline and still runs. */
static void pass_deadline(pyh_activation *activation, uint64_t sequence)
{
    int64_t end_ns = grace_end(activation, atomic_load(&activation->limit_ns));
    if (activation->interrupted != sequence) {
        activation->interrupted = sequence;
        pyh_pace_hurry(&activation->pace);
        watch_pace(activation);
        start_interrupt(activation, sequence);
    }
    if (end_ns <= pyh_now_ns()) {
        pyh_interp_run_over(activation->interp);
    } else if (end_ns != PYH_NEVER) {
        arm(activation, end_ns);
    }
}

/* On the watchdog's thread, with the reference that arm took. */
static void activation_fire(pyh_timer *timer)
{
    pyh_activation *activation = (pyh_activation *)((char *)timer - offsetof(pyh_activation, timer));
    atomic_store(&activation->armed_ns, PYH_NEVER);
    pyh_fence_heavy();
    uint64_t sequence = atomic_load(&activation->sequence);
    int64_t deadline_ns = atomic_load(&activation->deadline_ns);
    bool same_call = atomic_load(&activation->sequence) == sequence && (sequence & 1) != 0;
    if (same_call && deadline_ns <= pyh_now_ns()) {
        pass_deadline(activation, sequence);
    } else if (deadline_ns != PYH_NEVER) {
        arm(activation, deadline_ns);
    }
    pyh_activation_unref(activation);
}
