/* route: from a plugin's name to the interpreters that serve it.
 *
 * A route is an immutable, reference counted snapshot: a plugin's functions and its interpreters. A router is the
 * table of routes by plugin name; publishing replaces one in one step, and raises the router's version so that who
 * holds a route knows to look again. Any thread, GIL held or not. */
#ifndef PYH_ROUTE_H
#define PYH_ROUTE_H

#include <stddef.h>

#include "log.h"
#include "stats.h"
#include "sync.h"

struct pyh_call;
struct pyh_interp;

typedef struct pyh_function {
    char *name;
    bool direct;         /* runs on the caller's thread */
    int64_t deadline_ns; /* default time for a call; PYH_NEVER for none */
    pyh_stats *stats;    /* owned */
    pyh_stats_share **shares; /* of a direct function: one for each interpreter of the route, taken for it; or NULL */
} pyh_function;

typedef struct pyh_route {
    _Atomic uint32_t references;
    _Atomic uint32_t turn; /* where the next search starts, so that ties go round */
    /* fixed after new; the functions' stats are atomic */
    char *plugin;
    size_t interp_count; /* 0: known, but not running */
    struct pyh_interp **interps;
    size_t function_count;
    pyh_function *functions; /* in the order of the interpreters' own tables */
} pyh_route;

/* Copies the names and takes its own references to the interpreters; the functions' stats given are not read. Functions
 * count on with those of the same name in `before`, which may be NULL. NULL: no memory. */
pyh_route *pyh_route_new(const char *plugin, struct pyh_interp *const *interps, size_t interp_count,
                         const pyh_function *functions, size_t function_count, pyh_route *before);
pyh_route *pyh_route_ref(pyh_route *route);
pyh_route *pyh_route_unref(pyh_route *route);

/* The function of that name, or NULL. */
pyh_function *pyh_route_find(pyh_route *route, const char *function);

/* The place of the least loaded interpreter in the route, which has some. */
size_t pyh_route_pick(pyh_route *route);

/* Queues a call with the least loaded interpreter that takes it: OK, FULL (counted), CLOSED when every one has ended
 * (the route is old), REENTRANT when the calling thread could only wait for itself, UNAVAILABLE for an empty route. */
pyhost_status pyh_route_submit(pyh_route *route, struct pyh_call *call);

typedef struct pyh_router {
    _Atomic uint32_t references;
    /* fixed after new */
    pyh_log *log; /* owned; of the interpreters that use this router */
    _Atomic uint64_t version; /* raised after each change; acquire/release */
    _Atomic bool draining;    /* only calls between plugins find their way */
    pyh_mutex mutex;
    /* guarded by mutex */
    pyh_route **routes;
    size_t count;
    size_t capacity;
} pyh_router;

pyh_router *pyh_router_new(void);
pyh_router *pyh_router_ref(pyh_router *router);
pyh_router *pyh_router_unref(pyh_router *router);

/* Makes the route that of its plugin, in place of an older one. Takes over the reference. OK or NO_MEMORY. */
pyhost_status pyh_router_publish(pyh_router *router, pyh_route *route);
/* Forgets the plugin. */
void pyh_router_withdraw(pyh_router *router, const char *plugin);
/* The plugin's route, a new reference, and the version that it was found at. NULL: unknown. */
pyh_route *pyh_router_find(pyh_router *router, const char *plugin, uint64_t *version);

#endif
