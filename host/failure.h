/* failure: a Python exception as a message, for the caller of the interpreter in which it was raised.
 *
 * RAISED carries the tuple (type_name: str, message: str, notes: tuple of str, traceback_text: str). OVER_LIMIT carries
 * (limit: int, peak: int, such a tuple or None), in bytes. Every other status carries one str, "Type: text". Pure data,
 * so that any interpreter can read it. */
#ifndef PYH_FAILURE_H
#define PYH_FAILURE_H

#include "interp.h"

/* Takes the exception that is set in the interpreter (GIL held) and encodes it. NULL when even that fails. */
pyh_message *pyh_failure_take(pyh_interp *interp, pyhost_status status);

/* The reply of calls that end because their interpreter is over its memory limit, and that did not run. Any
 * interpreter, GIL held. NULL: no memory. */
pyh_message *pyh_failure_over_limit(pyh_interp *interp);

#endif
