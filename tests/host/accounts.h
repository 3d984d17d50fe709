/* accounts: what tests of interpreters' memory need over plugins.h: calls in a certain interpreter, and figures. */
#ifndef PYH_TEST_ACCOUNTS_H
#define PYH_TEST_ACCOUNTS_H

#include "direct.h"
#include "memory.h"
#include "plugins.h"

enum { KIB = 1 << 10, MIB = 1 << 20 };

/* Two bounds, both allowed. */
#define CHECK_BETWEEN(found, least, most)                                                                              \
    do {                                                                                                               \
        long long check_found = (long long)(found), check_least = (long long)(least), check_most = (long long)(most);  \
        if (check_found < check_least || check_found > check_most) {                                                   \
            check_failed(__FILE__, __LINE__, "%s is %lld, expected %lld to %lld", #found, check_found, check_least,    \
                         check_most);                                                                                  \
        }                                                                                                              \
    } while (0)

/* Runs a function with so many arguments (none or one) in one of the interpreters; the call, answered. */
static inline pyh_call *accounts_call(const plugins *made, size_t index, size_t function, size_t count,
                                      uint64_t argument)
{
    pyh_call *call = plugins_call(made, function, plugins_request(count, argument, 0));
    CHECK_STATUS(pyh_interp_submit(made->interps[index], call), PYHOST_OK);
    CHECK_STATUS(pyh_call_wait(call), PYHOST_OK);
    return call;
}

/* As accounts_call, for one that succeeds. */
static inline void accounts_run(const plugins *made, size_t index, size_t function, size_t count, uint64_t argument)
{
    pyh_call *call = accounts_call(made, index, function, count, argument);
    CHECK_STATUS(call->status, PYHOST_OK);
    pyh_call_unref(call);
}

/* The status of a direct call on this thread, and what it answers. */
static inline pyhost_status accounts_visit(const plugins *made, size_t index, size_t function, size_t count,
                                           uint64_t argument, pyh_message **reply)
{
    pyh_message *request = plugins_request(count, argument, 0);
    pyhost_status status =
        plugins_visit(made->interps[index], &made->route->functions[function], function, request, PYH_NEVER, reply);
    pyh_message_unref(request);
    return status;
}

/* As accounts_run, on the main thread. It has a thread state of its own, which must be the current one around the
 * visit: else CPython takes the visited interpreter's for it, even when that is gone. */
static inline void accounts_run_direct(const plugins *made, size_t index, size_t function, size_t count,
                                       uint64_t argument)
{
    pyh_message *reply = NULL;
    plugins_attach();
    CHECK_STATUS(accounts_visit(made, index, function, count, argument, &reply), PYHOST_OK);
    plugins_detach();
    pyh_message_unref(reply);
}

/* Interpreters whose functions have run once: what they import and keep is there. */
static inline plugins accounts_make(size_t count, int64_t limit_bytes)
{
    plugins made = plugins_make_limited(count, limit_bytes);
    for (size_t i = 0; i < count; i++) {
        accounts_run(&made, i, PLUGIN_HOLD_IN_THREAD, 1, 1);
        accounts_run(&made, i, PLUGIN_HOLD_OBJECTS, 1, 1000);
        accounts_run(&made, i, PLUGIN_DROP, 0, 0);
    }
    return made;
}

static inline pyh_account_figures accounts_figures(const plugins *made, size_t index)
{
    return pyh_account_read(made->interps[index]->account);
}

static inline int64_t accounts_current(const plugins *made, size_t index)
{
    return accounts_figures(made, index).current_bytes;
}

#endif
