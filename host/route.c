/* route: see route.h. Looking up is a walk under a short lock; callers keep what they found until the version
 * changes, so it is not on the way of a call. */
#include "route.h"

#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "interp.h"

/* Takes a share of a direct function's stats for each of so many interpreters. */
static bool take_shares(pyh_function *function, size_t count)
{
    function->shares = calloc(count > 0 ? count : 1, sizeof *function->shares);
    for (size_t i = 0; function->shares != NULL && i < count; i++) {
        function->shares[i] = pyh_stats_take_share(function->stats);
        if (function->shares[i] == NULL) {
            return false;
        }
    }
    return function->shares != NULL;
}

static bool copy_function(pyh_function *to, const pyh_function *from, size_t interp_count, pyh_route *before)
{
    pyh_function *counted = before != NULL ? pyh_route_find(before, from->name) : NULL;
    to->direct = from->direct;
    to->deadline_ns = from->deadline_ns;
    to->name = strdup(from->name);
    to->stats = counted != NULL ? pyh_stats_ref(counted->stats) : pyh_stats_new();
    return to->name != NULL && to->stats != NULL && (!to->direct || take_shares(to, interp_count));
}

static void clear_function(pyh_function *function, size_t interp_count)
{
    for (size_t i = 0; function->shares != NULL && i < interp_count && function->shares[i] != NULL; i++) {
        pyh_stats_give_back(function->shares[i]);
    }
    free(function->shares);
    free(function->name);
    pyh_stats_unref(function->stats);
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
    route->functions = calloc(function_count > 0 ? function_count : 1, sizeof *route->functions);
    if (route->plugin == NULL || route->interps == NULL || route->functions == NULL) {
        return pyh_route_unref(route);
    }
    while (route->interp_count < interp_count) {
        route->interps[route->interp_count] = pyh_interp_ref(interps[route->interp_count]);
        route->interp_count++;
    }
    while (route->function_count < function_count) {
        size_t place = route->function_count++;
        if (!copy_function(&route->functions[place], &functions[place], interp_count, before)) {
            return pyh_route_unref(route);
        }
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
        for (size_t i = 0; i < route->function_count; i++) {
            clear_function(&route->functions[i], route->interp_count);
        }
        for (size_t i = 0; i < route->interp_count; i++) {
            pyh_interp_unref(route->interps[i]);
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

/* The place of the least loaded interpreter that does not wait for the call; interp_count if there is none. */
static size_t pick_for(pyh_route *route, const pyh_call *call)
{
    size_t count = route->interp_count;
    size_t start = count > 1 ? atomic_fetch_add_explicit(&route->turn, 1, memory_order_relaxed) % count : 0;
    uint32_t least = UINT32_MAX;
    size_t picked = count;
    for (size_t i = 0; i < count; i++) {
        size_t place = start + i < count ? start + i : start + i - count;
        uint32_t load = pyh_interp_load(route->interps[place]);
        if (load < least && !pyh_call_holds_up(call, route->interps[place])) {
            least = load;
            picked = place;
        }
    }
    return picked;
}

size_t pyh_route_pick(pyh_route *route)
{
    return route->interp_count > 1 ? pick_for(route, NULL) : 0;
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
    size_t place = pick_for(route, call);
    if (place == route->interp_count) {
        return PYHOST_REENTRANT;
    }
    pyhost_status status = pyh_interp_submit(route->interps[place], call);
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
