/* handle: see handle.h. */
#include "handle.h"

#include <stdlib.h>
#include <string.h>

#include "direct.h"

enum { SPIN_NS = 25 * 1000, MOST_PATIENCE = 4, PROBE_EVERY = 256 };

static _Atomic uint64_t last_id;

/* The way that this thread took last, of the handle with that id. One that is in use is not replaced: calls nest. */
static _Thread_local struct {
    uint64_t id;
    uint64_t version;
    pyh_route *route; /* owned */
    pyh_function *function;
    bool is_in_use;
} memory;

static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void forget_thread(void *unused)
{
    (void)unused;
    memory.route = pyh_route_unref(memory.route);
    memory.id = 0;
}

static void make_key(void)
{
    if (pthread_key_create(&thread_end, forget_thread) != 0) {
        abort();
    }
}

pyhost_status pyh_handle_init(pyh_handle *handle, pyh_router *router, const char *name)
{
    const char *dot = strchr(name, '.');
    if (dot == NULL || dot == name || dot[1] == '\0') {
        return PYHOST_MISUSED;
    }
    handle->name = strdup(name);
    handle->plugin = strdup(name);
    if (handle->name == NULL || handle->plugin == NULL) {
        return PYHOST_NO_MEMORY;
    }
    handle->plugin[dot - name] = '\0';
    handle->function = handle->plugin + (dot - name) + 1;
    handle->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    handle->router = pyh_router_ref(router);
    pyh_mutex_init(&handle->mutex, PYH_RANK_HANDLE);
    atomic_init(&handle->patience, MOST_PATIENCE);
    return PYHOST_OK;
}

void pyh_handle_deinit(pyh_handle *handle)
{
    if (handle->router != NULL) {
        pyh_mutex_deinit(&handle->mutex);
    }
    pyh_route_unref(handle->route);
    pyh_router_unref(handle->router);
    free(handle->plugin);
    free(handle->name);
}

/* What the handle has found; a new reference to the route. The mutex is held. */
static pyhost_status take_found(const pyh_handle *handle, pyh_way *way)
{
    if (handle->route == NULL) {
        return PYHOST_NO_PLUGIN;
    }
    if (handle->route->interp_count == 0) {
        return PYHOST_UNAVAILABLE;
    }
    if (handle->found == NULL) {
        return PYHOST_NO_FUNCTION;
    }
    *way = (pyh_way){.route = pyh_route_ref(handle->route), .function = handle->found};
    return PYHOST_OK;
}

/* Hands the way's reference over to the thread's memory. */
static void remember(const pyh_handle *handle, uint64_t version, pyh_way *way)
{
    pyh_route *before = memory.route;
    if (memory.is_in_use) {
        return;
    }
    pthread_once(&once, make_key);
    if (before == NULL && pthread_setspecific(thread_end, &memory) != 0) {
        return;
    }
    memory.id = handle->id;
    memory.version = version;
    memory.route = way->route;
    memory.function = way->function;
    memory.is_in_use = way->is_remembered = true;
    pyh_route_unref(before);
}

/* What the thread does not remember. */
static pyhost_status look_up(pyh_handle *handle, pyh_way *way)
{
    pyh_route *old = NULL;
    pyh_mutex_lock(&handle->mutex);
    if (handle->route == NULL || handle->version != atomic_load(&handle->router->version)) {
        old = handle->route;
        handle->route = pyh_router_find(handle->router, handle->plugin, &handle->version);
        handle->found = handle->route != NULL ? pyh_route_find(handle->route, handle->function) : NULL;
    }
    pyhost_status status = take_found(handle, way);
    uint64_t version = handle->version;
    pyh_mutex_unlock(&handle->mutex);
    pyh_route_unref(old);
    if (status == PYHOST_OK) {
        remember(handle, version, way);
    }
    return status;
}

pyhost_status pyh_handle_find(pyh_handle *handle, bool for_plugin, pyh_way *way)
{
    if (!for_plugin && atomic_load(&handle->router->draining)) {
        return PYHOST_UNAVAILABLE;
    }
    if (memory.id == handle->id && memory.version == atomic_load(&handle->router->version) && !memory.is_in_use) {
        memory.is_in_use = true;
        *way = (pyh_way){.route = memory.route, .function = memory.function, .is_remembered = true};
        return PYHOST_OK;
    }
    return look_up(handle, way);
}

void pyh_way_leave(pyh_way *way)
{
    if (way->is_remembered) {
        memory.is_in_use = false;
    } else {
        pyh_route_unref(way->route);
    }
}

static int64_t deadline_of(const pyh_way *way, int64_t now_ns, int64_t timeout_ns)
{
    return pyh_deadline_within(pyh_deadline_from(now_ns, timeout_ns > 0 ? timeout_ns : way->function->deadline_ns));
}

pyh_call *pyh_way_new_call(const pyh_way *way, pyh_message *request, int64_t timeout_ns)
{
    pyh_call *call = pyh_call_new(way->route, way->function, pyh_message_ref(request));
    if (call != NULL) {
        call->deadline_ns = deadline_of(way, call->submitted_ns, timeout_ns);
    }
    return call;
}

pyhost_status pyh_way_run(const pyh_way *way, PyThreadState *outer, pyh_message *request, int64_t timeout_ns,
                          pyhost_status *status, pyh_message **reply)
{
    int64_t now_ns = pyh_now_ns();
    size_t place = pyh_route_pick(way->route);
    pyh_invocation invocation = {
        .function = way->function,
        .share = way->function->shares[place],
        .index = (size_t)(way->function - way->route->functions),
        .request = request,
        .started_ns = now_ns,
        .deadline_ns = deadline_of(way, now_ns, timeout_ns),
    };
    pyhost_status outcome = pyh_direct_call(way->route->interps[place], outer, &invocation);
    if (outcome == PYHOST_CLOSED || outcome == PYHOST_NO_MEMORY) {
        return outcome;
    }
    *status = outcome;
    *reply = invocation.reply;
    return PYHOST_OK;
}

bool pyh_handle_should_spin(pyh_handle *handle)
{
    if (atomic_load_explicit(&handle->patience, memory_order_relaxed) == 0 &&
        atomic_fetch_add_explicit(&handle->unspun, 1, memory_order_relaxed) + 1 < PROBE_EVERY) {
        return false;
    }
    atomic_store_explicit(&handle->unspun, 0, memory_order_relaxed);
    return true;
}

bool pyh_handle_spin(pyh_handle *handle, pyh_call *call)
{
    uint32_t patience = atomic_load_explicit(&handle->patience, memory_order_relaxed);
    bool answered = pyh_event_spin(&call->answered, SPIN_NS);
    uint32_t after = answered ? patience + (patience < MOST_PATIENCE) : patience - (patience > 0);
    if (after != patience) {
        atomic_store_explicit(&handle->patience, after, memory_order_relaxed);
    }
    return answered;
}
