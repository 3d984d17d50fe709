/* invoke: run one exported function on a request, in the interpreter that the thread is attached to. */
#ifndef PYH_INVOKE_H
#define PYH_INVOKE_H

#include "cpu.h"
#include "interp.h"

/* One run of a function, and what has come of it. */
typedef struct pyh_invocation {
    pyh_call *call;         /* borrowed; what the owner thread runs it for, NULL for a direct one */
    pyh_function *function; /* borrowed; the route's, whose stats are charged */
    pyh_stats_share *share; /* borrowed; what is charged and counts the outcome instead; NULL: counted elsewhere */
    size_t index;           /* its number in the interpreter's own table */
    pyh_message *request;   /* borrowed */
    int64_t started_ns;
    int64_t deadline_ns;
    /* written by pyh_invoke */
    int64_t ended_ns;
    pyh_message *reply; /* the caller's: the encoded result (OK), a failure (see failure.h), or NULL (interrupted) */
} pyh_invocation;

/* Runs it, and charges its processor time. An interrupted one is a TIMEOUT, or CANCELLED when its calls were given up.
 * The thread is attached to the interpreter; the activation is its own. */
pyhost_status pyh_invoke(pyh_interp *interp, pyh_activation *activation, pyh_invocation *invocation);

/* A stretch of a function's code on this thread: bounded by a deadline, its processor time charged to the function. */
typedef struct pyh_stretch {
    /* the caller's, borrowed until its end */
    pyh_activation *activation;
    pyh_stats *stats;
    pyh_stats_share *share; /* charged instead, if it is not NULL */
    bool is_prelude;        /* it is over at once, however long what follows it is */
    /* from begin to end */
    pyh_activation_outer outer;
    pyh_cpu_span span;
} pyh_stretch;

/* Begins and ends one, now, attached to the interpreter. Where the one before it was slow, this one gives way. */
void pyh_stretch_begin(pyh_stretch *stretch, pyh_interp *interp, int64_t now_ns, int64_t deadline_ns);
void pyh_stretch_end(pyh_stretch *stretch, int64_t now_ns);

/* The status of the exception that is set: TIMEOUT for DeadlineInterrupt, OVER_LIMIT for a MemoryError when the
 * interpreter has met its memory limit since started_ns, BAD_ARGUMENTS when a function refused its arguments before its
 * first line, RAISED otherwise. GIL held. */
pyhost_status pyh_invoke_classify(pyh_interp *interp, int64_t started_ns);

/* Of a call that ended with that status at that time: a value past its deadline is for nobody, though whoever waits may
 * not have noticed yet. TIMEOUT then, and the reply is dropped. */
pyhost_status pyh_invoke_settle(pyhost_status status, int64_t ended_ns, int64_t deadline_ns, pyh_message **reply);

/* Encodes the result of a function that began at started_ns (borrowed), or the exception that is set when it is NULL,
 * as pyh_invoke does. Past the deadline an exception is TIMEOUT. */
pyhost_status pyh_invoke_conclude(pyh_interp *interp, PyObject *result, int64_t started_ns, int64_t deadline_ns,
                                  pyh_message **reply);

#endif
