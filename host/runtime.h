/* runtime: the one CPython of the process, whoever started it. */
#ifndef PYH_RUNTIME_H
#define PYH_RUNTIME_H

#include <Python.h>

#include <stdbool.h>

#include "account.h"

/* Makes the running CPython pyhost's. Called by _core when it is imported in the main interpreter, GIL held; again
 * changes nothing. -1 with an exception set. */
int pyh_runtime_attach(void);

/* Starts CPython on this thread, which has its GIL then: the Python of that program, with these arguments. Where it does
 * not own the process, the program's signal handlers, locale and streams stay as they are. Once only. The status is an
 * exception when it does not start. */
PyStatus pyh_runtime_initialize(const char *python, int argc, char **argv, bool owns_process);

/* Imports and runs site, which new interpreters do without. -1 with an exception set. */
int pyh_runtime_run_site(void);

/* Whether pyh_runtime_initialize started this CPython. */
bool pyh_runtime_is_embedded(void);

/* A new own-GIL interpreter, attached to this thread, which must not be attached to any; NULL when CPython refuses.
 * What it allocates is charged to the account. One interpreter is created or ended at a time. */
PyThreadState *pyh_runtime_new_interpreter(pyh_account *account);

/* Ends the interpreter of the attached thread state, its last one, and gives back what CPython leaves of its memory. */
void pyh_runtime_end_interpreter(PyThreadState *thread_state, pyh_account *account);

#endif
