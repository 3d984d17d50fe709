/* owner: the life of an interpreter's owner thread: create, boot, serve, end. */
#ifndef PYH_OWNER_H
#define PYH_OWNER_H

#include "interp.h"

/* The thread's main function; the argument is the interp, whose reference it takes over. */
void *pyh_owner_main(void *interp);

/* Takes one call that is ready and runs it: OK, TIMEOUT when there is none by the deadline, CLOSED when there will be
 * none. The owner thread, GIL held; it is released while waiting. An answered call is dropped unrun. For a function
 * that is a coroutine function, see core_serve.c. */
pyhost_status pyh_owner_take(pyh_interp *interp, int64_t deadline_ns, pyh_call **call);
void pyh_owner_run(pyh_interp *interp, pyh_call *call);

#endif
