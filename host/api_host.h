/* api_host: the functions that a program offers to plugins. Any thread; no GIL is needed or looked at. */
#ifndef PYH_API_HOST_H
#define PYH_API_HOST_H

#include "api.h"

/* Calls the program's function of that name with the arguments, a message with a tuple of the positional ones and a
 * dict of the keyword ones (borrowed). OK: *reply is the result. NO_FUNCTION: there is none of that name. Another
 * status: *text says why, malloc'ed, or is NULL. May run for long: no GIL should be held. */
pyhost_status pyh_host_call(const char *name, pyh_message *arguments, pyh_message **reply, char **text);

#endif
