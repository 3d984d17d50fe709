/* activation: what one thread runs in one interpreter, and until when.
 *
 * Each call begins and ends here. When its deadline passes while it runs, the watchdog posts the interpreter's
 * DeadlineInterrupt to the running thread, again and again until the call has ended. One that runs on for longer than
 * the interpreter's grace time makes the interpreter overdue.
 * Beginning a call costs no more than a few stores: the timer is armed only if none is armed for an earlier time, and
 * looks again when it fires. What keeps a processor for long is paced (pace.h), which costs a call one load. Reference
 * counted, as an armed timer refers to it. */
#ifndef PYH_ACTIVATION_H
#define PYH_ACTIVATION_H

#include <Python.h>

#include "pace.h"

struct pyh_call;
struct pyh_interp;

typedef struct pyh_activation {
    _Atomic uint32_t references;
    /* fixed after new */
    struct pyh_interp *interp; /* owned */
    unsigned long thread;      /* CPython's identity of the thread that runs calls */
    pthread_t system_thread;   /* the system's */
    /* that thread only */
    PyThreadState *thread_state; /* what it runs calls with; set before the first */
    /* atomic; between deadline_ns and armed_ns there is a fence on both sides, who must agree who arms the timer */
    _Atomic uint64_t sequence;   /* odd while a call runs; changed only by that thread with the GIL held */
    _Atomic int64_t deadline_ns; /* when the running call is interrupted, or PYH_NEVER */
    _Atomic int64_t limit_ns;    /* its deadline, whoever lets it be interrupted before; or PYH_NEVER */
    _Atomic int64_t armed_ns;    /* when the timer fires, or PYH_NEVER */
    _Atomic bool is_interrupting; /* an interrupt is posted right now; likewise a fence between it and sequence */
    pyh_timer timer;
    pyh_pace pace;
    /* the watchdog's thread only */
    uint64_t interrupted; /* the sequence that was interrupted last */
    int64_t pause_ns;     /* before it is interrupted again */
} pyh_activation;

/* For the calling thread. NULL: no memory. */
pyh_activation *pyh_activation_new(struct pyh_interp *interp);
/* It is that of an interpreter's own thread, the calling one, which is to be paced. Before the first call. */
void pyh_activation_pace(pyh_activation *activation);
pyh_activation *pyh_activation_ref(pyh_activation *activation);
pyh_activation *pyh_activation_unref(pyh_activation *activation);

/* Its thread runs no more calls: drops the thread's reference, and that of a timer which is armed, so that the interp
 * is not kept until that would fire. NULL is allowed. */
void pyh_activation_retire(pyh_activation *activation);

/* What an outer call of the same thread needs back when an inner one ends. */
typedef struct pyh_activation_outer {
    uint64_t sequence;
    int64_t deadline_ns;
    int64_t limit_ns;
    int64_t thread_deadline_ns;
} pyh_activation_outer;

/* The deadline of what this thread runs, in whichever interpreter; it bounds the calls that it makes. PYH_NEVER outside
 * any call. */
extern _Thread_local int64_t pyh_current_deadline_ns;

/* That deadline, and never later than what this thread runs has. */
static inline int64_t pyh_deadline_within(int64_t deadline_ns)
{
    return deadline_ns < pyh_current_deadline_ns ? deadline_ns : pyh_current_deadline_ns;
}

/* Begins a call that should end by the deadline; keep *outer for its end. This thread, GIL held. */
void pyh_activation_begin(pyh_activation *activation, int64_t deadline_ns, pyh_activation_outer *outer);

/* The call that has begun kept a processor for long the last time, and gives way from its beginning. This thread. */
void pyh_activation_give_way(pyh_activation *activation);

/* Lets the running call's deadline pass at that time, if it is still the same call. Any thread, GIL held or not. */
void pyh_activation_expire(pyh_activation *activation, int64_t at_ns);

/* The same, if what the activation's owner thread runs is this call. */
void pyh_activation_expire_call(pyh_activation *activation, const struct pyh_call *call);

/* What runs goes on as if it had begun now, without a deadline: no interrupt reaches this thread that was meant for what
 * it did before. This thread, GIL held, within one call and no inner one. */
void pyh_activation_go_on(pyh_activation *activation);

/* Ends it, now; no interrupt reaches this thread afterwards. This thread, GIL held. */
void pyh_activation_end(pyh_activation *activation, const pyh_activation_outer *outer, int64_t now_ns);

#endif
