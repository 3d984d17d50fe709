/* direct: calls that run on the caller's thread, inside the plugin's interpreter.
 *
 * The thread gets a thread state of its own in each interpreter that it calls, kept for its next call. It is deleted
 * when the thread ends, or by the interpreter's owner when that ends. */
#ifndef PYH_DIRECT_H
#define PYH_DIRECT_H

#include "invoke.h"

/* Runs a function of the interpreter, as pyh_invoke does, on this thread. One that has a thread state elsewhere must
 * be attached to it: CPython would take this interpreter's for the thread's own, even when that is gone. The thread
 * state that the thread is attached to, `outer` or NULL, is detached meanwhile and attached again. CLOSED: the
 * interpreter is ending, or has not started yet, or the thread's stack has no room for what a plugin may run. */
pyhost_status pyh_direct_call(pyh_interp *interp, PyThreadState *outer, pyh_invocation *invocation);

/* Whether this thread, which is not attached to any interpreter, may call directly: it has no thread state but those
 * that it got here. */
bool pyh_direct_is_possible(void);

/* Deletes the thread states of direct callers. The interpreter's owner thread, GIL held, after the last visitor. */
void pyh_direct_clear(pyh_interp *interp);

#endif
