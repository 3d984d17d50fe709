/* calls: routes and calls for tests whose interpreters are never started: nothing here runs Python. */
#ifndef PYH_TEST_CALLS_H
#define PYH_TEST_CALLS_H

#include "call.h"
#include "check.h"
#include "completions.h"
#include "interp.h"

static inline pyh_message *message_with(unsigned char byte)
{
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    pyh_writer_byte(&writer, byte);
    CHECK_STATUS(pyh_writer_finish(&writer, &message), PYHOST_OK);
    return message;
}

/* A route of the plugin with the functions "first" and "second". */
static inline pyh_route *route_with(const char *plugin, pyh_interp *const *interps, size_t count)
{
    static const pyh_function functions[] = {
        {.name = "first", .deadline_ns = PYH_NEVER},
        {.name = "second", .direct = true, .deadline_ns = 5},
    };
    pyh_route *route = pyh_route_new(plugin, interps, count, functions, CHECK_COUNT(functions), NULL);
    CHECK(route != NULL);
    return route;
}

/* A call of "first". */
static inline pyh_call *call_of(pyh_route *route)
{
    pyh_call *call = pyh_call_new(route, &route->functions[0], message_with('r'));
    CHECK(call != NULL);
    return call;
}

static inline pyh_completions *completions_make(void)
{
    pyh_completions *completions = NULL;
    CHECK_STATUS(pyh_completions_new(&completions), PYHOST_OK);
    return completions;
}

static inline pyh_interp *interp_with(pyh_router *router, size_t inbox_capacity)
{
    pyh_interp *interp = pyh_interp_new(router);
    CHECK(interp != NULL);
    CHECK_STATUS(pyh_channel_resize(&interp->inbox, inbox_capacity), PYHOST_OK);
    return interp;
}

/* Does what an owner thread would: takes every call out of the inbox. How many there were. */
static inline size_t empty_inbox(pyh_interp *interp)
{
    size_t count = 0;
    void *call;
    while (pyh_channel_receive(&interp->inbox, 0, &call) == PYHOST_OK) {
        pyh_interp_drop_call(interp);
        pyh_call_unref(call);
        count++;
    }
    return count;
}

#endif
