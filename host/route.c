/* route: see route.h. Looking up is a walk under a short lock; callers keep what they found until the version
 * changes, so it is not on the way of a call. */
#include "route.h"

#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "interp.h"

static bool copy_functions(pyh_route *route, const pyh_function *functions, size_t count, pyh_route *before)
{
    route->functions = calloc(count > 0 ? count : 1, sizeof *route->functions);
    if (route->functions == NULL) {
        return false;
    }
    for (route->function_count = 0; route->function_count < count; route->function_count++) {
        const pyh_function *from = &functions[route->function_count];
        pyh_function *to = &route->functions[route->function_count];
        to->direct = from->direct;
        to->deadline_ns = from->deadline_ns;
        to->name = strdup(from->name);
        pyh_function *counted = before != NULL ? pyh_route_find(before, from->name) : NULL;
        to->stats = counted != NULL ? pyh_stats_ref(counted->stats) : pyh_stats_new();
        if (to->name == NULL || to->stats == NULL) {
            free(to->name);
            pyh_stats_unref(to->stats);
            return false;
        }
    }
    return true;
}

pyh_route *pyh_route_new(const char *plugin, struct pyh_interp *const *interps, size_t interp_count,
                         const pyh_function *functions, size_t function_count, pyh_route *before)
{
    pyh_route *route = calloc(1, sizeof *route);
    if (route == NULL) {
        return NULL;
    }
    atomic_init(&route->references, 1);
    route->plugin = strdup(plugin);
    route->interps = calloc(interp_count > 0 ? interp_count : 1, sizeof(pyh_interp *));
    if (route->plugin == NULL || route->interps == NULL || !copy_functions(route, functions, function_count, before)) {
        return pyh_route_unref(route);
    }
    for (size_t i = 0; i < interp_count; i++) {
        route->interps[route->interp_count++] = pyh_interp_ref(interps[i]);
    }
    return route;
}

pyh_route *pyh_route_ref(pyh_route *route)
{
    atomic_fetch_add_explicit(&route->references, 1, memory_order_relaxed);
    return route;
}

pyh_route *pyh_route_unref(pyh_route *route)
{
    if (route != NULL && atomic_fetch_sub_explicit(&route->references, 1, memory_order_acq_rel) == 1) {
        for (size_t i = 0; i < route->interp_count; i++) {
            pyh_interp_unref(route->interps[i]);
        }
        for (size_t i = 0; i < route->function_count; i++) {
            free(route->functions[i].name);
            pyh_stats_unref(route->functions[i].stats);
        }
        free(route->functions);
        free(route->interps);
        free(route->plugin);
        free(route);
    }
    return NULL;
}

pyh_function *pyh_route_find(pyh_route *route, const char *function)
{
    for (size_t i = 0; i < route->function_count; i++) {
        if (strcmp(route->functions[i].name, function) == 0) {
            return &route->functions[i];
        }
    }
    return NULL;
}

/* The least loaded interpreter that does not wait for the call; NULL if there is none. */
static pyh_interp *pick_for(pyh_route *route, const pyh_call *call)
{
    size_t count = route->interp_count;
    size_t start = count > 1 ? atomic_fetch_add_explicit(&route->turn, 1, memory_order_relaxed) % count : 0;
    uint32_t least = UINT32_MAX;
    pyh_interp *picked = NULL;
    for (size_t i = 0; i < count; i++) {
        pyh_interp *interp = route->interps[start + i < count ? start + i : start + i - count];
        uint32_t load = pyh_interp_load(interp);
        if (load < least && !pyh_call_holds_up(call, interp)) {
            least = load;
            picked = interp;
        }
    }
    return picked;
}

pyh_interp *pyh_route_pick(pyh_route *route)
{
    return pick_for(route, NULL);
}

/* When the least loaded one refused: any other that takes it. */
static pyhost_status submit_to_any(pyh_route *route, pyh_call *call, pyhost_status first)
{
    pyhost_status refused = first;
    for (size_t i = 0; i < route->interp_count; i++) {
        pyh_interp *interp = route->interps[i];
        pyhost_status status = pyh_call_holds_up(call, interp) ? refused : pyh_interp_submit(interp, call);
        if (status == PYHOST_OK) {
            return status;
        }
        refused = status == PYHOST_FULL ? status : refused;
    }
    return refused;
}

pyhost_status pyh_route_submit(pyh_route *route, pyh_call *call)
{
    if (route->interp_count == 0) {
        return PYHOST_UNAVAILABLE;
    }
    pyh_interp *interp = pick_for(route, call);
    if (interp == NULL) {
        return PYHOST_REENTRANT;
    }
    pyhost_status status = pyh_interp_submit(interp, call);
    if (status != PYHOST_OK && route->interp_count > 1) {
        status = submit_to_any(route, call, status);
    }
    if (status == PYHOST_FULL) {
        pyh_stats_record(call->function->stats, PYHOST_FULL, 0);
    }
    return status;
}

pyh_router *pyh_router_new(void)
{
    pyh_router *router = calloc(1, sizeof *router);
    pyh_log *log = pyh_log_new();
    if (router == NULL || log == NULL) {
        free(router);
        pyh_log_unref(log);
        return NULL;
    }
    atomic_init(&router->references, 1);
    atomic_init(&router->version, 1);
    pyh_mutex_init(&router->mutex, PYH_RANK_ROUTER);
    router->log = log;
    return router;
}

pyh_router *pyh_router_ref(pyh_router *router)
{
    atomic_fetch_add_explicit(&router->references, 1, memory_order_relaxed);
    return router;
}

pyh_router *pyh_router_unref(pyh_router *router)
{
    if (router != NULL && atomic_fetch_sub_explicit(&router->references, 1, memory_order_acq_rel) == 1) {
        for (size_t i = 0; i < router->count; i++) {
            pyh_route_unref(router->routes[i]);
        }
        free(router->routes);
        pyh_log_close(router->log);
        pyh_log_clear(router->log);
        pyh_log_unref(router->log);
        pyh_mutex_deinit(&router->mutex);
        free(router);
    }
    return NULL;
}

/* Where the plugin's route stands, or count. The mutex is held. */
static size_t place_of(const pyh_router *router, const char *plugin)
{
    size_t place = 0;
    while (place < router->count && strcmp(router->routes[place]->plugin, plugin) != 0) {
        place++;
    }
    return place;
}

static bool router_grow(pyh_router *router)
{
    size_t capacity = router->capacity > 0 ? 2 * router->capacity : 16;
    pyh_route **routes = realloc(router->routes, capacity * sizeof(pyh_route *));
    if (routes != NULL) {
        router->routes = routes;
        router->capacity = capacity;
    }
    return routes != NULL;
}

pyhost_status pyh_router_publish(pyh_router *router, pyh_route *route)
{
    pyh_route *replaced = NULL;
    pyhost_status status = PYHOST_OK;
    pyh_mutex_lock(&router->mutex);
    size_t place = place_of(router, route->plugin);
    if (place < router->count) {
        replaced = router->routes[place];
        router->routes[place] = route;
    } else if (router->count < router->capacity || router_grow(router)) {
        router->routes[router->count++] = route;
    } else {
        replaced = route;
        status = PYHOST_NO_MEMORY;
    }
    atomic_fetch_add(&router->version, 1);
    pyh_mutex_unlock(&router->mutex);
    pyh_route_unref(replaced);
    return status;
}

void pyh_router_withdraw(pyh_router *router, const char *plugin)
{
    pyh_route *removed = NULL;
    pyh_mutex_lock(&router->mutex);
    size_t place = place_of(router, plugin);
    if (place < router->count) {
        removed = router->routes[place];
        router->routes[place] = router->routes[--router->count];
        atomic_fetch_add(&router->version, 1);
    }
    pyh_mutex_unlock(&router->mutex);
    pyh_route_unref(removed);
}

pyh_route *pyh_router_find(pyh_router *router, const char *plugin, uint64_t *version)
{
    pyh_mutex_lock(&router->mutex);
    size_t place = place_of(router, plugin);
    pyh_route *route = place < router->count ? pyh_route_ref(router->routes[place]) : NULL;
    *version = atomic_load(&router->version);
    pyh_mutex_unlock(&router->mutex);
    return route;
}
