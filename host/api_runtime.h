/* api_runtime: the thread that runs Python for a program, and what Python tells it. */
#ifndef PYH_API_RUNTIME_H
#define PYH_API_RUNTIME_H

#include "api.h"
#include "route.h"

/* From the orchestrating Python, GIL held or not: the plugins are loaded, and this is their table; a reference is
 * taken. */
void pyh_runtime_ready(pyh_router *router);

/* Hands a line to the program's log function, if it has one, without a GIL. Whether it has. */
bool pyh_runtime_log(int level, const char *logger, const char *message);

/* How long calls that are under way may go on once the program has stopped the runtime. */
int64_t pyh_runtime_grace_ns(void);

/* Gives an order with what the builder holds, one value (NULL: None), and tells of a failure: reply is a tuple
 * (message, plugin, type, traceback) then. On OK *reply is the caller's unless reply is NULL. */
pyhost_status pyh_runtime_order(const char *verb, pyhost_builder *request, pyh_message **reply, pyhost_error **error);

#endif
