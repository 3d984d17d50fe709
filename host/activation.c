/* activation: see activation.h. Fact used: from 3.15 on, a system call that a signal interrupts (a sleep, a read) looks
 * for a posted exception before it goes on. */
#include "activation.h"

#include <sched.h>
#include <stdlib.h>

#include "fence.h"
#include "interp.h"

/* Between interrupts of the same call. */
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

/* Who sets `watched` is the only one to look until the timer fires. */
static void watch_pace(pyh_activation *activation)
{
    if (!atomic_exchange(&activation->pace.watched, true)) {
        pyh_pace_begin(&activation->pace, atomic_load(&activation->sequence));
        arm_timer(activation, &activation->pace.timer, pyh_deadline_after(PYH_PACE_FIRST_NS));
    }
}

/* On the watchdog's thread, with the reference that arm took. */
static void pace_fire(pyh_timer *timer)
{
    pyh_activation *activation = (pyh_activation *)((char *)timer - offsetof(pyh_activation, pace.timer));
    pyh_pace *pace = &activation->pace;
    bool endless = atomic_load(&activation->deadline_ns) == PYH_NEVER;
    bool is_loop = endless && atomic_load(&activation->interp->has_notifier);
    int64_t pause_ns = pyh_pace_look(pace, &activation->sequence, endless, is_loop);
    if (pause_ns > 0) {
        arm_timer(activation, timer, pyh_deadline_after(pause_ns));
    } else {
        uint64_t seen = pace->sequence;
        atomic_store(&pace->watched, false);
        if (atomic_load(&activation->sequence) != seen) {
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

void pyh_activation_give_way(pyh_activation *activation)
{
    if (activation->pace.thread != 0) {
        pyh_pace_lower(&activation->pace, atomic_load_explicit(&activation->sequence, memory_order_relaxed));
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

/* The sequence has changed; an interrupt that was meant for the call before may be posted right now. */
static void wait_for_interrupt(pyh_activation *activation)
{
    pyh_fence_light();
    while (atomic_load_explicit(&activation->is_interrupting, memory_order_acquire)) {
        sched_yield();
    }
}

/* One that was posted but not yet raised would hit what comes next. */
static void drop_pending_interrupt(pyh_activation *activation)
{
    PyThreadState_SetAsyncExc(activation->thread, NULL);
}

void pyh_activation_go_on(pyh_activation *activation)
{
    if (atomic_load(&activation->deadline_ns) != PYH_NEVER) {
        atomic_store(&activation->deadline_ns, PYH_NEVER);
        atomic_fetch_add(&activation->sequence, 2);
        wait_for_interrupt(activation);
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
    wait_for_interrupt(activation); /* the light fence in it is for the pace, too */
    pyh_pace_end(&activation->pace);
    bool is_late = deadline_ns != PYH_NEVER && now_ns >= deadline_ns;
    if (is_late || pyh_async_exception_is_pending(activation->thread_state)) {
        drop_pending_interrupt(activation);
    }
    if (nested) {
        see_to_timer(activation, outer->deadline_ns);
    }
}

/* What it runs cannot end meanwhile, and may never, nor tell how long it was. */
static void note_slow(pyh_activation *activation)
{
    if (pyh_pace_is_low(&activation->pace)) { /* so the thread is the owner's */
        const pyh_call *running = atomic_load(&activation->interp->running_call);
        if (running != NULL) {
            pyh_stats_note(running->function->stats, PYH_LENGTH_SLOW);
        }
    }
}

/* Raises the interrupt in the running call, if it is still that one: it cannot end meanwhile. */
static void interrupt(pyh_activation *activation, uint64_t sequence)
{
    atomic_store(&activation->is_interrupting, true);
    pyh_fence_heavy();
    if (atomic_load(&activation->sequence) == sequence) {
        note_slow(activation);
        pyh_async_class_post(&activation->interp->interrupt, activation->thread_state);
        pyh_thread_wake(activation->system_thread);
    }
    atomic_store(&activation->is_interrupting, false);
}

/* When a call with that deadline has run for longer than it may at all; PYH_NEVER if it may. */
static int64_t grace_end(const pyh_activation *activation, int64_t limit_ns)
{
    int64_t grace_ns = activation->interp->assignment.grace_ns;
    return limit_ns < PYH_NEVER - grace_ns ? limit_ns + grace_ns : PYH_NEVER;
}

/* The call of that sequence is past its deadline and still runs. */
static void pass_deadline(pyh_activation *activation, uint64_t sequence, int64_t now_ns)
{
    pyh_interp *interp = activation->interp;
    int64_t end_ns = grace_end(activation, atomic_load(&activation->limit_ns));
    if (activation->interrupted != sequence) {
        activation->interrupted = sequence;
        activation->pause_ns = FIRST_PAUSE_NS;
        pyh_pace_note_deadline(&activation->pace);
    } else if (end_ns <= now_ns && !atomic_load(&interp->overdue) && !pyh_pace_is_kept_waiting(&activation->pace)) {
        pyh_interp_run_over(interp);
    }
    interrupt(activation, sequence); /* last: it wakes a thread that sleeps */
    int64_t next_ns = now_ns + activation->pause_ns;
    activation->pause_ns = pyh_pause_doubled(activation->pause_ns, LONGEST_PAUSE_NS);
    arm(activation, now_ns < end_ns && end_ns < next_ns ? end_ns : next_ns);
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
    int64_t now_ns = pyh_now_ns();
    if (same_call && deadline_ns <= now_ns) {
        pass_deadline(activation, sequence, now_ns);
    } else if (deadline_ns != PYH_NEVER) {
        arm(activation, deadline_ns);
    }
    pyh_activation_unref(activation);
}
