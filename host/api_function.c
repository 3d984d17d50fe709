/* api_function: a handle for "plugin.function" for threads without a GIL, and calls that wait for their answer.
 *
 * A handle keeps the route that it found and looks again only when the router's version has changed; a short lock of
 * its own guards that, so that any number of threads can share it. A call that meets an ended interpreter looks again
 * as well: that is how calls live through a reload. */
#include "api_function.h"

#include <stdlib.h>
#include <string.h>

#include "direct.h"

/* Waking a thread on an idle processor takes tens of microseconds, so a caller first spins for the answer, as long as
 * that pays: see core_function.c. */
enum { SPIN_NS = 25 * 1000, MOST_PATIENCE = 4, PROBE_EVERY = 256 };

/* How often a call looks for a newer route before it calls the plugin unavailable. */
enum { MOST_ATTEMPTS = 8 };

struct pyhost_function {
    _Atomic uint32_t references;
    /* fixed after new */
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
};

pyhost_status pyhost_function_new(pyhost_runtime *runtime, const char *name, pyhost_function **function)
{
    const char *dot = strchr(name, '.');
    if (dot == NULL || dot == name || dot[1] == '\0') {
        return PYHOST_MISUSED;
    }
    pyhost_function *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return PYHOST_NO_MEMORY;
    }
    atomic_init(&made->references, 1);
    atomic_init(&made->patience, MOST_PATIENCE);
    pyh_mutex_init(&made->mutex, PYH_RANK_FUNCTION);
    made->name = strdup(name);
    made->plugin = strdup(name);
    if (made->name == NULL || made->plugin == NULL) {
        pyhost_function_unref(made);
        return PYHOST_NO_MEMORY;
    }
    made->plugin[dot - name] = '\0';
    made->function = made->plugin + (dot - name) + 1;
    made->router = pyh_router_ref(pyh_api_router(runtime));
    *function = made;
    return PYHOST_OK;
}

pyhost_function *pyhost_function_ref(pyhost_function *function)
{
    atomic_fetch_add_explicit(&function->references, 1, memory_order_relaxed);
    return function;
}

void pyhost_function_unref(pyhost_function *function)
{
    if (function != NULL && atomic_fetch_sub_explicit(&function->references, 1, memory_order_acq_rel) == 1) {
        pyh_route_unref(function->route);
        pyh_router_unref(function->router);
        pyh_mutex_deinit(&function->mutex);
        free(function->plugin);
        free(function->name);
        free(function);
    }
}

const char *pyh_function_name(const pyhost_function *function)
{
    return function->name;
}

/* What the handle has found; a new reference to the route. The mutex is held. */
static pyhost_status take_found(pyhost_function *self, pyh_route **route, pyh_function **found)
{
    if (self->route == NULL) {
        return PYHOST_NO_PLUGIN;
    }
    if (self->route->interp_count == 0) {
        return PYHOST_UNAVAILABLE;
    }
    if (self->found == NULL) {
        return PYHOST_NO_FUNCTION;
    }
    *route = pyh_route_ref(self->route);
    *found = self->found;
    return PYHOST_OK;
}

/* The route as of now, a new reference, and the function in it. */
static pyhost_status resolve(pyhost_function *self, pyh_route **route, pyh_function **found)
{
    pyh_route *old = NULL;
    /* While the host is closed, only calls from within plugins find their way. */
    if (atomic_load(&self->router->draining) && pyh_current_interp == NULL) {
        return PYHOST_UNAVAILABLE;
    }
    pyh_mutex_lock(&self->mutex);
    if (self->route == NULL || self->version != atomic_load(&self->router->version)) {
        old = self->route;
        self->route = pyh_router_find(self->router, self->plugin, &self->version);
        self->found = self->route != NULL ? pyh_route_find(self->route, self->function) : NULL;
    }
    pyhost_status status = take_found(self, route, found);
    pyh_mutex_unlock(&self->mutex);
    pyh_route_unref(old);
    return status;
}

/* The time until when a call of this thread may take: its own limit, and that of the call that it is part of. */
static int64_t deadline_for(int64_t timeout_ns, const pyh_function *found)
{
    int64_t deadline_ns = pyh_deadline_after(timeout_ns > 0 ? timeout_ns : found->deadline_ns);
    return deadline_ns < pyh_current_deadline_ns ? deadline_ns : pyh_current_deadline_ns;
}

/* Whether the answer came while we spun. */
static bool spin_for(pyhost_function *self, pyh_call *call)
{
    uint32_t patience = atomic_load_explicit(&self->patience, memory_order_relaxed);
    if (patience == 0 && atomic_fetch_add_explicit(&self->unspun, 1, memory_order_relaxed) + 1 < PROBE_EVERY) {
        return false;
    }
    atomic_store_explicit(&self->unspun, 0, memory_order_relaxed);
    bool answered = pyh_event_spin(&call->answered, SPIN_NS);
    uint32_t after = answered ? patience + (patience < MOST_PATIENCE) : patience - (patience > 0);
    if (after != patience) {
        atomic_store_explicit(&self->patience, after, memory_order_relaxed);
    }
    return answered;
}

pyhost_status pyh_function_conclude(pyhost_status status, pyh_message *reply, const char *name, pyhost_value **result,
                                    pyhost_error **error)
{
    if (status != PYHOST_OK) {
        return pyh_error_of_call(error, status, reply, name);
    }
    if (result != NULL) {
        *result = pyh_value_of(pyh_message_ref(reply));
    }
    return PYHOST_OK;
}

/* The outcome of a call that was made: its status and its reply, a new reference or NULL. */
typedef struct {
    pyhost_status status;
    pyh_message *reply;
} outcome;

/* One attempt at a queued call: whether it was accepted, and then its outcome. CLOSED: the route is old. */
static pyhost_status call_queued(pyhost_function *self, pyh_route *route, pyh_function *found, pyh_message *request,
                                 int64_t timeout_ns, outcome *answer)
{
    pyh_call *call = pyh_call_new(route, found, pyh_message_ref(request));
    if (call == NULL) {
        return PYHOST_NO_MEMORY;
    }
    call->deadline_ns = deadline_for(timeout_ns, found);
    call->origin = pyh_current_interp;
    call->parent = pyh_current_call != NULL ? pyh_call_ref(pyh_current_call) : NULL;
    pyhost_status status = pyh_route_submit(route, call);
    if (status == PYHOST_OK && !spin_for(self, call)) {
        while (pyh_call_wait(call) != PYHOST_OK) {
            /* A signal handler has run; the program's business. */
        }
    }
    if (status == PYHOST_OK) {
        *answer = (outcome){call->status, call->reply != NULL ? pyh_message_ref(call->reply) : NULL};
    }
    pyh_call_unref(call);
    return status;
}

static pyhost_status call_direct(pyh_route *route, pyh_function *found, pyh_message *request, int64_t timeout_ns,
                                 outcome *answer)
{
    int64_t started_ns = pyh_now_ns();
    int64_t deadline_ns = deadline_for(timeout_ns, found);
    pyh_message *reply = NULL;
    pyhost_status status = pyh_direct_call(pyh_route_pick(route), found, (size_t)(found - route->functions), request,
                                           deadline_ns, &reply);
    if (status == PYHOST_CLOSED || status == PYHOST_NO_MEMORY) {
        return status;
    }
    pyh_stats_record(found->stats, status, pyh_now_ns() - started_ns);
    *answer = (outcome){status, reply};
    return PYHOST_OK;
}

/* Calls and waits, on a newer route if one is old. */
static pyhost_status call(pyhost_function *self, pyh_message *request, int64_t timeout_ns, outcome *answer)
{
    pyhost_status status = PYHOST_CLOSED;
    for (int attempt = 0; attempt < MOST_ATTEMPTS && status == PYHOST_CLOSED; attempt++) {
        pyh_route *route;
        pyh_function *found;
        status = resolve(self, &route, &found);
        if (status == PYHOST_OK) {
            /* One that cannot be called directly just now, as it is starting, may take the call into its inbox. */
            bool directly = found->direct && attempt % 2 == 0 && pyh_direct_is_possible();
            status = directly ? call_direct(route, found, request, timeout_ns, answer)
                              : call_queued(self, route, found, request, timeout_ns, answer);
            pyh_route_unref(route);
        }
    }
    return status == PYHOST_CLOSED ? PYHOST_UNAVAILABLE : status;
}

pyhost_status pyhost_function_call(pyhost_function *function, pyhost_builder *arguments, int64_t timeout_ns,
                                   pyhost_value **result, pyhost_error **error)
{
    pyh_message *request = NULL;
    outcome answer = {PYHOST_OK, NULL};
    pyhost_status status = timeout_ns >= 0 ? pyh_builder_take_arguments(arguments, &request) : PYHOST_MISUSED;
    if (status == PYHOST_OK) {
        status = call(function, request, timeout_ns, &answer);
    }
    if (status == PYHOST_OK) {
        status = pyh_function_conclude(answer.status, answer.reply, function->name, result, error);
    } else {
        pyh_error_of_call(error, status, NULL, function->name);
    }
    pyh_message_unref(answer.reply);
    pyh_message_unref(request);
    return status;
}

/* One attempt at queueing a call; on OK *accepted is the caller's. CLOSED: the route is old. */
static pyhost_status submit(pyhost_function *self, pyh_message *request, int64_t timeout_ns,
                            const pyh_submission *how, pyh_call **accepted)
{
    pyh_route *route;
    pyh_function *found;
    pyhost_status status = resolve(self, &route, &found);
    if (status != PYHOST_OK) {
        return status;
    }
    pyh_call *call = pyh_call_new(route, found, pyh_message_ref(request));
    status = PYHOST_NO_MEMORY;
    if (call != NULL) {
        call->deadline_ns = deadline_for(timeout_ns, found);
        call->completions = how->completions != NULL ? pyh_completions_ref(how->completions) : NULL;
        call->token = how->token;
        call->answer = how->answer;
        status = pyh_route_submit(route, call);
    }
    if (status == PYHOST_OK) {
        *accepted = call;
    } else {
        pyh_call_unref(call);
    }
    pyh_route_unref(route);
    return status;
}

pyhost_status pyh_function_submit(pyhost_function *function, pyhost_builder *arguments, int64_t timeout_ns,
                                  const pyh_submission *how, pyh_call **accepted, pyhost_error **error)
{
    pyh_message *request = NULL;
    pyhost_status status = timeout_ns >= 0 ? pyh_builder_take_arguments(arguments, &request) : PYHOST_MISUSED;
    if (status == PYHOST_OK) {
        status = PYHOST_CLOSED;
        for (int attempt = 0; attempt < MOST_ATTEMPTS && status == PYHOST_CLOSED; attempt++) {
            status = submit(function, request, timeout_ns, how, accepted);
        }
    }
    pyh_message_unref(request);
    if (status != PYHOST_OK) {
        status = status == PYHOST_CLOSED ? PYHOST_UNAVAILABLE : status;
        pyh_error_of_call(error, status, NULL, function->name);
    }
    return status;
}

void pyh_struct_copy(void *to, const void *from, size_t from_size)
{
    size_t to_size;
    memcpy(&to_size, to, sizeof to_size);
    size_t shared = to_size < from_size ? to_size : from_size;
    if (shared > sizeof to_size) {
        memcpy((char *)to + sizeof to_size, (const char *)from + sizeof to_size, shared - sizeof to_size);
    }
}

static int64_t number_of(_Atomic uint64_t *counter)
{
    return (int64_t)atomic_load_explicit(counter, memory_order_relaxed);
}

pyhost_status pyhost_function_account_read(pyhost_function *function, pyhost_function_account *account)
{
    uint64_t version;
    pyh_route *route = pyh_router_find(function->router, function->plugin, &version);
    pyh_function *found = route != NULL ? pyh_route_find(route, function->function) : NULL;
    pyhost_status status = route == NULL ? PYHOST_NO_PLUGIN : found == NULL ? PYHOST_NO_FUNCTION : PYHOST_OK;
    if (status == PYHOST_OK) {
        pyh_stats *stats = found->stats;
        pyhost_function_account read = {
            .calls = (uint64_t)number_of(&stats->calls),
            .errors = (uint64_t)number_of(&stats->errors),
            .timeouts = (uint64_t)number_of(&stats->timeouts),
            .rejected = (uint64_t)number_of(&stats->rejected),
            .total_ns = number_of(&stats->total_ns),
            .maximum_ns = number_of(&stats->maximum_ns),
            .processor_ns = number_of(&stats->processor_ns),
        };
        pyh_struct_copy(account, &read, sizeof read);
    }
    pyh_route_unref(route);
    return status;
}
