/* handle: a lasting name for "plugin.function", and the way from it to the interpreters that serve it now.
 *
 * A handle keeps the route that it found and looks again only when the router's version has changed. Each thread
 * remembers the way that it took last, too, so that a call which takes the same one again has no lock and no count to
 * touch. A call that meets an ended interpreter looks again as well: that is how calls live through a reload. Any
 * number of threads, GIL held or not. */
#ifndef PYH_HANDLE_H
#define PYH_HANDLE_H

#include <Python.h>

#include "call.h"
#include "route.h"

/* How often a call looks for a newer route before it calls the plugin unavailable. */
enum { PYH_HANDLE_ATTEMPTS = 8 };

typedef struct pyh_handle {
    /* fixed after init */
    uint64_t id;        /* unique in the process; what threads remember it by */
    pyh_router *router; /* owned */
    char *name;         /* owned; "plugin.function" */
    char *plugin;       /* owned; the same, cut in two */
    const char *function;
    /* guarded by mutex: what was found at `version` */
    pyh_mutex mutex;
    uint64_t version;
    pyh_route *route; /* owned */
    pyh_function *found;
    /* atomic, relaxed: hints */
    _Atomic uint32_t patience; /* how often spinning for an answer may still fail */
    _Atomic uint32_t unspun;   /* calls that did not spin since the last one that did */
} pyh_handle;

/* Makes zeroed memory a handle. The router is borrowed, the name copied. OK; MISUSED: the name has no dot with something
 * on both sides; NO_MEMORY. Deinit after any of them; zeroed memory is accepted. */
pyhost_status pyh_handle_init(pyh_handle *handle, pyh_router *router, const char *name);
void pyh_handle_deinit(pyh_handle *handle);

/* Where a handle led to. The route lives until pyh_way_leave. */
typedef struct pyh_way {
    pyh_route *route;
    pyh_function *function; /* the route's */
    bool is_remembered;     /* the route is kept by the thread's memory, not by a reference of its own */
} pyh_way;

/* The way as of now, for a plugin's call or another: on OK to be left, by this thread. NO_PLUGIN, NO_FUNCTION,
 * UNAVAILABLE. */
pyhost_status pyh_handle_find(pyh_handle *handle, bool for_plugin, pyh_way *way);
void pyh_way_leave(pyh_way *way);

/* A call to be queued there, with this thread's deadline: timeout_ns from now (0: the function's own), and never later
 * than that of the call which this thread runs. The request is borrowed. The caller's; NULL: no memory. */
pyh_call *pyh_way_new_call(const pyh_way *way, pyh_message *request, int64_t timeout_ns);

/* Runs the function on this thread instead, which is attached to `outer` or NULL, with the same deadline (see
 * pyh_direct_call). CLOSED or NO_MEMORY: it has not run. OK: *status is its outcome, counted, and *reply what
 * pyh_invocation says. */
pyhost_status pyh_way_run(const pyh_way *way, PyThreadState *outer, pyh_message *request, int64_t timeout_ns,
                          pyhost_status *status, pyh_message **reply);

/* Waking a thread on an idle processor takes tens of microseconds, so a caller first spins for the answer, as long as
 * that pays for this handle: answers that come in time give patience, others take it away; with none left, one call in
 * many tries again. Whether to spin; and spinning: whether the answer came. No GIL is to be held while spinning. */
bool pyh_handle_should_spin(pyh_handle *handle);
bool pyh_handle_spin(pyh_handle *handle, pyh_call *call);

#endif
