/* pace: see pace.h. */
#include "pace.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "fence.h"
#include "kicker.h"
#include "priority.h"

enum {
    LONGEST_PAUSE_NS = 160 * 1000 * 1000,  /* how far apart looks at short calls are */
    LOW_PAUSE_NS = 100 * 1000 * 1000,      /* how far apart looks at one that is low are */
    LEAST_NS = 5 * 1000 * 1000,            /* what it should have got in between */
    LEAST_OF_ALL_NS = 10 * 1000 * 1000,    /* what all that are low should have got */
    NOTHING_NS = 500 * 1000,               /* less is nothing */
    PATIENCE = 5,                          /* looks with little, as they do not take turns so soon */
    FIRST_RAISE_NS = 200 * 1000 * 1000,    /* for how long it is ordinary if it has not; doubled each time */
    LONGEST_RAISE_NS = 1600 * 1000 * 1000,
    NOTICE_NS = 10 * 1000 * 1000,          /* what it takes to notice an interrupt, at most */
    SHARED_NS = 100 * 1000 * 1000,         /* for how long processors are taken to be shared after one was */
    LONGEST_GLANCE_NS = 800 * 1000 * 1000, /* how far apart glances at one that is set aside are */
};

static _Thread_local pyh_pace *own; /* that of this thread */
/* who looks */
static int64_t all_used_ns;     /* by those that are low, as far as looks have seen */
static int64_t shared_until_ns; /* others want the processors of those that are low */

void pyh_pace_init(pyh_pace *pace)
{
    *pace = (pyh_pace){.thread = pyh_thread_number(), .pause_ns = PYH_PACE_FIRST_NS, .raise_ns = FIRST_RAISE_NS};
    pthread_getcpuclockid(pthread_self(), &pace->clock);
    own = pace;
}

/* -1: the thread has ended. */
static int64_t clock_of(const pyh_pace *pace)
{
    struct timespec time;
    return clock_gettime(pace->clock, &time) == 0 ? time.tv_sec * INT64_C(1000000000) + time.tv_nsec : -1;
}

/* What the kernel tells of a thread in the line with that name; "" if it tells nothing. */
static const char *told(const pyh_pace *pace, const char *name, char *text, size_t bytes)
{
    pyh_thread_told(pace->thread, "status", text, bytes);
    const char *line = strstr(text, name);
    return line != NULL ? line + strlen(name) : "";
}

/* How often it has waited, for anything but a processor. */
static int64_t sleeps_of(const pyh_pace *pace)
{
    char text[4096];
    return strtoll(told(pace, "\nvoluntary_ctxt_switches:\t", text, sizeof text), NULL, 10);
}

/* It has a processor, or waits for one. */
static bool is_runnable(const pyh_pace *pace)
{
    char text[4096];
    return *told(pace, "\nState:\t", text, sizeof text) == 'R';
}

bool pyh_pace_is_kept_waiting(const pyh_pace *pace)
{
    return pace->thread != 0 && clock_of(pace) - pace->due_ns < NOTICE_NS && is_runnable(pace);
}

static void raise_priority(pyh_pace *pace)
{
    atomic_store(&pace->state, PYH_PACE_ORDINARY);
    pyh_priority_set(pace->thread, PYH_PRIORITY_ORDINARY);
}

void pyh_pace_restore(pyh_pace *pace)
{
    atomic_store(&pace->is_set_aside, false);
    raise_priority(pace);
}

void pyh_pace_settle(pyh_pace *pace)
{
    while (atomic_load_explicit(&pace->state, memory_order_acquire) == PYH_PACE_LOWERING) {
        sched_yield();
    }
    pyh_pace_restore(pace);
}

void pyh_pace_lower(pyh_pace *pace, uint64_t sequence)
{
    atomic_store(&pace->low_for, sequence);
    atomic_store(&pace->state, PYH_PACE_LOWERING);
    pyh_priority_set(pace->thread, PYH_PRIORITY_LOW);
    atomic_store(&pace->state, PYH_PACE_LOW);
}

/* Behind the fence either side sees what the other has done: this that the thread ends what it runs, or holds itself, or
 * the thread that it is being lowered. */
static void lower_running(pyh_pace *pace, const _Atomic uint64_t *sequence)
{
    atomic_store(&pace->state, PYH_PACE_LOWERING);
    pyh_fence_heavy();
    if (atomic_load(sequence) == pace->sequence && !atomic_load(&pace->is_held)) {
        pyh_pace_lower(pace, pace->sequence);
    } else {
        pyh_pace_restore(pace);
    }
}

/* The next look at what is not low comes later by this much if there is no reason to hurry. */
static int64_t next_pause(pyh_pace *pace, bool is_busy)
{
    pace->pause_ns = is_busy ? PYH_PACE_FIRST_NS : pyh_pause_doubled(pace->pause_ns, LONGEST_PAUSE_NS);
    return pace->pause_ns;
}

static void note(pyh_pace *pace, uint64_t sequence, int64_t clock_ns)
{
    pace->sequence = sequence;
    pace->began_ns = clock_ns;
    pace->raise_ns = FIRST_RAISE_NS;
    pace->lean_looks = 0;
    pace->look_at_ns = 0;
}

void pyh_pace_begin(pyh_pace *pace, uint64_t sequence)
{
    note(pace, sequence, clock_of(pace));
    pace->pause_ns = PYH_PACE_FIRST_NS;
}

static void restore_if_low(pyh_pace *pace)
{
    if (pyh_pace_is_low(pace)) {
        pyh_pace_restore(pace);
    }
}

/* Until it is looked at again. */
static int64_t glances_begin(pyh_pace *pace, int64_t clock_ns, int64_t now_ns)
{
    pace->look_at_ns = now_ns + LOW_PAUSE_NS;
    pace->glanced_at_ns = now_ns;
    pace->glance_clock_ns = clock_ns;
    pace->glance_pause_ns = PYH_KICKER_ASK_NS;
    return PYH_KICKER_ASK_NS;
}

/* It is low. Where it has had only a part of a processor it shares that with somebody. */
static int64_t glance(pyh_pace *pace, int64_t clock_ns, int64_t now_ns)
{
    int64_t used_ns = clock_ns - pace->glance_clock_ns, passed_ns = now_ns - pace->glanced_at_ns;
    pace->glanced_at_ns = now_ns;
    pace->glance_clock_ns = clock_ns;
    if (used_ns > 0 && used_ns < passed_ns - passed_ns / 16) {
        shared_until_ns = now_ns + SHARED_NS;
    }
    if (now_ns >= shared_until_ns) {
        pace->glance_pause_ns = pyh_pause_doubled(pace->glance_pause_ns, LONGEST_GLANCE_NS);
        int64_t left_ns = pace->look_at_ns - now_ns;
        return left_ns > 0 && left_ns < pace->glance_pause_ns ? left_ns : pace->glance_pause_ns;
    }
    if (used_ns > 0) {
        pyh_kicker_ask(pace->thread);
    }
    pace->glance_pause_ns = PYH_KICKER_ASK_NS;
    return PYH_KICKER_ASK_NS;
}

/* It has begun something since the last look. */
static int64_t move_on(pyh_pace *pace, uint64_t sequence, int64_t clock_ns, int64_t now_ns)
{
    note(pace, sequence, clock_ns);
    pace->all_seen_ns = all_used_ns;
    if (atomic_load(&pace->low_for) != sequence) {
        restore_if_low(pace); /* it was lowered for an outer call */
    }
    if (pyh_pace_is_low(pace) && pyh_priority_gives_way()) {
        return glances_begin(pace, clock_ns, now_ns);
    }
    return next_pause(pace, false);
}

/* Whether one that is low gets too little. */
static bool is_starved(pyh_pace *pace, int64_t used_ns)
{
    all_used_ns += used_ns;
    bool do_others_get = all_used_ns - pace->all_seen_ns >= LEAST_OF_ALL_NS;
    pace->all_seen_ns = all_used_ns;
    if (used_ns >= LEAST_NS) {
        pace->lean_looks = 0;
        pace->raise_ns = FIRST_RAISE_NS;
        return false;
    }
    pace->lean_looks++;
    return pace->lean_looks == PATIENCE || (pace->lean_looks >= 2 && used_ns < NOTHING_NS && !do_others_get);
}

/* What it runs is long. */
static int64_t look_at_long(pyh_pace *pace, const _Atomic uint64_t *sequence, int64_t used_ns, int64_t now_ns)
{
    bool was_low = pyh_pace_is_low(pace);
    if (!was_low && used_ns > 0) {
        pace->all_seen_ns = all_used_ns;
        pace->lean_looks = pace->raise_ns > FIRST_RAISE_NS ? PATIENCE - 1 : 0; /* no second chance */
        lower_running(pace, sequence);
    }
    if (!pyh_priority_gives_way()) {
        return 0;
    }
    bool is_first = pace->look_at_ns == 0; /* it has given way from its beginning, which was just now */
    if (!was_low || is_first || !is_starved(pace, used_ns)) {
        return glances_begin(pace, pace->seen_ns, now_ns);
    }
    int64_t raise_ns = pace->raise_ns;
    pace->raise_ns = pyh_pause_doubled(raise_ns, LONGEST_RAISE_NS);
    raise_priority(pace);
    if (atomic_load(&pace->is_set_aside)) {
        pyh_pace_lower(pace, pace->sequence); /* since just now */
    }
    return raise_ns;
}

int64_t pyh_pace_look(pyh_pace *pace, const _Atomic uint64_t *sequence, bool endless, bool is_loop)
{
    uint64_t running = atomic_load(sequence);
    int64_t clock_ns = clock_of(pace), used_ns = clock_ns - pace->seen_ns, now_ns = pyh_now_ns();
    bool was_low = pyh_pace_is_low(pace), is_set_aside = atomic_load(&pace->is_set_aside);
    if (clock_ns < 0) {
        return 0;
    }
    bool is_glance_due = now_ns < pace->look_at_ns || (is_set_aside && pyh_priority_gives_way());
    if (running == pace->sequence && was_low && is_glance_due) {
        return glance(pace, clock_ns, now_ns);
    }
    pace->seen_ns = clock_ns;
    if (running != pace->sequence) {
        return move_on(pace, running, clock_ns, now_ns);
    }
    bool waits = endless && used_ns == 0 && !was_low && !is_runnable(pace); /* and may do so for ever */
    if ((running & 1) == 0 || waits || is_set_aside) {
        pace->pause_ns = PYH_PACE_FIRST_NS;
        return 0;
    }
    if (clock_ns - pace->began_ns < PYH_PACE_LONG_NS && !was_low) {
        return next_pause(pace, used_ns > 0);
    }
    int64_t sleeps = is_loop ? sleeps_of(pace) : 0;
    if (sleeps != pace->sleeps) {
        pace->sleeps = sleeps;
        restore_if_low(pace);
        return move_on(pace, running, clock_ns, now_ns);
    }
    return look_at_long(pace, sequence, used_ns, now_ns);
}

void pyh_pace_note_deadline(pyh_pace *pace)
{
    pace->due_ns = pace->thread != 0 ? clock_of(pace) : 0;
}

/* One that comes back at the same time is low until its interpreter ends. */
void pyh_pace_set_aside(pyh_pace *pace)
{
    atomic_store(&pace->is_set_aside, true);
    pyh_pace_lower(pace, atomic_load(&pace->low_for));
    pyh_fence_heavy();
}

void pyh_pace_recall(pyh_pace *pace)
{
    atomic_store(&pace->is_held, true);
    pyh_fence_light();
    pyh_pace_restore(pace);
}

void pyh_pace_hold(void)
{
    if (own != NULL) {
        atomic_store(&own->is_held, true);
        pyh_fence_light();
        pyh_pace_end(own);
    }
}

void pyh_pace_release(void)
{
    if (own != NULL) {
        atomic_store(&own->is_held, false);
    }
}

void pyh_pace_come_back(void)
{
    if (own != NULL) {
        pyh_pace_end(own);
    }
}
