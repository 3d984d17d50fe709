/* invoke: run one exported function on a request, in the interpreter that the thread is attached to. */
#ifndef PYH_INVOKE_H
#define PYH_INVOKE_H

#include "cpu.h"
#include "interp.h"

/* Calls the interpreter's function number `index` with the request's arguments, and charges its processor time to the
 * route's `function`. On return *reply is the encoded result (OK), a failure (see failure.h) or NULL (interrupted:
 * TIMEOUT, or CANCELLED when its calls were given up). The thread is attached to the interpreter; the activation is its
 * own. The call is what the owner thread runs it for, NULL for a direct one. */
pyhost_status pyh_invoke(pyh_interp *interp, pyh_activation *activation, pyh_call *call, pyh_function *function,
                         size_t index, pyh_message *request, int64_t deadline_ns, pyh_message **reply);

/* A stretch of a function's code on this thread: bounded by a deadline, its processor time charged to the function. */
typedef struct pyh_stretch {
    pyh_activation *activation;
    pyh_stats *stats;
    pyh_activation_outer outer;
    pyh_cpu_span span;
} pyh_stretch;

/* Begins and ends one, attached to the interpreter. The activation and the stats are borrowed meanwhile. */
pyh_stretch pyh_stretch_begin(pyh_interp *interp, pyh_activation *activation, pyh_stats *stats, int64_t deadline_ns);
void pyh_stretch_end(pyh_stretch *stretch);

/* The status of the exception that is set: TIMEOUT for DeadlineInterrupt, OVER_LIMIT for a MemoryError when the
 * interpreter has met its memory limit since started_ns, BAD_ARGUMENTS when a function refused its arguments before its
 * first line, RAISED otherwise. GIL held. */
pyhost_status pyh_invoke_classify(pyh_interp *interp, int64_t started_ns);

/* Encodes the result of a function that began at started_ns (borrowed), or the exception that is set when it is NULL,
 * as pyh_invoke does. Past the deadline an exception is TIMEOUT. */
pyhost_status pyh_invoke_conclude(pyh_interp *interp, PyObject *result, int64_t started_ns, int64_t deadline_ns,
                                  pyh_message **reply);

#endif
