/* pace: which calls come first. A thread that keeps a processor for long with the same call gives way to others until
 * the call ends (PYH_PRIORITY_LOW), so that calls which are over in a moment find a processor, however many run long.
 *
 * One that gets next to nothing of the processors meanwhile has its ordinary priority for a while, and for longer each
 * time: where others always want the processors, it has most of its fair share in the long run, and a lock that it
 * holds is not held for long. A call that has run past its deadline for too long gives way for good.
 *
 * While one that gives way shares its processor with others, it has a kicker (kicker.h), so that it does so at once.
 *
 * Whoever calls look does so on one thread, the watchdog's. */
#ifndef PYH_PACE_H
#define PYH_PACE_H

#include <time.h>

#include "watchdog.h"

/* How much of a processor makes what runs long. */
#define PYH_PACE_LONG_NS (1000 * 1000)
/* When a thread that begins something is looked at first. */
#define PYH_PACE_FIRST_NS (1500 * 1000)

typedef enum pyh_pace_state {
    PYH_PACE_ORDINARY,
    PYH_PACE_LOWERING, /* somebody is about to lower it, or not, and says which in a moment */
    PYH_PACE_LOW,      /* it may have low priority, and who ends what it runs sees to that */
} pyh_pace_state;

typedef struct pyh_pace {
    pyh_timer timer; /* its owner's, for the next look */
    /* fixed after init */
    pid_t thread;    /* 0: it is not paced */
    clockid_t clock; /* its processor time */
    _Atomic bool watched;      /* a look is due, or none ever will be; its owner's */
    _Atomic uint32_t state;    /* a pyh_pace_state */
    _Atomic uint64_t low_for;  /* the number of what it was lowered for */
    _Atomic bool is_set_aside; /* it is low for good */
    _Atomic bool is_held;      /* it is not to be low now */
    /* who looks */
    uint64_t sequence;   /* of what it was seen to run */
    int64_t began_ns;    /* its clock then */
    int64_t seen_ns;     /* its clock at the last look */
    int64_t all_seen_ns; /* the processor time of all that are low, then */
    int64_t sleeps;      /* how often it had waited by itself, then */
    int64_t pause_ns;    /* before that look */
    int64_t raise_ns;    /* for how long it is ordinary the next time that it gets nothing */
    int lean_looks;      /* in a row at which it had got too little */
    int64_t due_ns;      /* its clock at the deadline of what it runs */
    int64_t look_at_ns;      /* until then one that is low is only glanced at, for its kicker; 0: it was not low */
    int64_t glanced_at_ns;   /* the last time */
    int64_t glance_clock_ns; /* its clock then */
    int64_t glance_pause_ns; /* until the next time */
} pyh_pace;

/* For the calling thread. */
void pyh_pace_init(pyh_pace *pace);

/* Whether it gives way now, or is about to. Any thread. */
static inline bool pyh_pace_is_low(const pyh_pace *pace)
{
    return atomic_load(&pace->state) != PYH_PACE_ORDINARY;
}

/* It begins what has that number, and is not looked at yet. That thread. */
void pyh_pace_begin(pyh_pace *pace, uint64_t sequence);

/* It has begun what has that number, which is long by all experience, and gives way from now on. That thread. */
void pyh_pace_lower(pyh_pace *pace, uint64_t sequence);

/* Looks at the thread, which runs what has that number: odd for something, even for nothing. Nanoseconds until the next
 * look; 0: none before it begins something new. endless: what it runs may wait for ever. is_loop: it is an event loop,
 * which moves on whenever it waits. */
int64_t pyh_pace_look(pyh_pace *pace, const _Atomic uint64_t *sequence, bool endless, bool is_loop);

/* The deadline of what it runs passes now, and it is told. Who looks. */
void pyh_pace_note_deadline(pyh_pace *pace);

/* Whether it has had no chance to notice: it wants a processor and has hardly had one since. Who looks. */
bool pyh_pace_is_kept_waiting(const pyh_pace *pace);

/* It gives way for good, until it comes back or is restored. The thread lives. Any thread. */
void pyh_pace_set_aside(pyh_pace *pace);
/* It is ordinary again, whatever made it low. The thread lives. Any thread. */
void pyh_pace_restore(pyh_pace *pace);
/* It is so for good. The thread lives. Any thread. */
void pyh_pace_recall(pyh_pace *pace);

/* The calling thread is ordinary while this is held, as are threads and processes that it starts. Nothing for one that
 * is not paced. */
void pyh_pace_hold(void);
void pyh_pace_release(void);

/* The calling thread goes on with something else, which others may wait for. Nothing for one that is not paced. */
void pyh_pace_come_back(void);

/* As restore, once it is known whether it was lowered just now. That thread. */
void pyh_pace_settle(pyh_pace *pace);

/* The thread has ended what it ran; the number is another one, and a light fence (fence.h) behind it: it is not lowered
 * for that any more. That thread. */
static inline void pyh_pace_end(pyh_pace *pace)
{
    if (atomic_load_explicit(&pace->state, memory_order_relaxed) != PYH_PACE_ORDINARY) {
        pyh_pace_settle(pace);
    }
}

#endif
