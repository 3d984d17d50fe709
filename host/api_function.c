/* api_function: a handle for "plugin.function" for threads without a GIL, and calls that wait for their answer. */
#include "api_function.h"

#include <stdlib.h>
#include <string.h>

#include "direct.h"
#include "handle.h"

struct pyhost_function {
    _Atomic uint32_t references;
    pyh_handle handle;
};

pyhost_status pyhost_function_new(pyhost_runtime *runtime, const char *name, pyhost_function **function)
{
    pyhost_function *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return PYHOST_NO_MEMORY;
    }
    atomic_init(&made->references, 1);
    pyhost_status status = pyh_handle_init(&made->handle, pyh_api_router(runtime), name);
    if (status != PYHOST_OK) {
        pyhost_function_unref(made);
        return status;
    }
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
        pyh_handle_deinit(&function->handle);
        free(function);
    }
}

const char *pyh_function_name(const pyhost_function *function)
{
    return function->handle.name;
}

static pyhost_status find(pyhost_function *self, pyh_way *way)
{
    return pyh_handle_find(&self->handle, pyh_current_interp != NULL, way);
}

pyhost_status pyh_function_conclude(pyhost_status status, pyh_message *reply, const char *name, pyhost_value **result,
                                    pyhost_error **error)
{
    if (status != PYHOST_OK) {
        pyh_error_of_call(error, status, reply, name);
    } else if (result != NULL) {
        *result = pyh_value_of(reply);
        return status;
    }
    pyh_message_unref(reply);
    return status;
}

/* The outcome of a call that was made: its status and its reply, a new reference or NULL. */
typedef struct {
    pyhost_status status;
    pyh_message *reply;
} outcome;

/* One attempt at a queued call: whether it was accepted, and then its outcome. CLOSED: the route is old. */
static pyhost_status call_queued(pyhost_function *self, const pyh_way *way, pyh_message *request, int64_t timeout_ns,
                                 outcome *answer)
{
    pyh_call *call = pyh_way_new_call(way, request, timeout_ns);
    if (call == NULL) {
        return PYHOST_NO_MEMORY;
    }
    pyh_call_tie(call);
    pyhost_status status = pyh_route_submit(way->route, call);
    if (status == PYHOST_OK && !(pyh_handle_should_spin(&self->handle) && pyh_handle_spin(&self->handle, call))) {
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

/* Calls and waits, on a newer route if one is old. */
static pyhost_status call(pyhost_function *self, pyh_message *request, int64_t timeout_ns, outcome *answer)
{
    pyhost_status status = PYHOST_CLOSED;
    for (int attempt = 0; attempt < PYH_HANDLE_ATTEMPTS && status == PYHOST_CLOSED; attempt++) {
        pyh_way way;
        status = find(self, &way);
        if (status == PYHOST_OK) {
            /* One that cannot be called directly just now, as it is starting, may take the call into its inbox. */
            bool directly = way.function->direct && attempt % 2 == 0 && pyh_direct_is_possible();
            status = directly ? pyh_way_run(&way, NULL, request, timeout_ns, &answer->status, &answer->reply)
                              : call_queued(self, &way, request, timeout_ns, answer);
            pyh_way_leave(&way);
        }
    }
    return status == PYHOST_CLOSED ? PYHOST_UNAVAILABLE : status;
}

pyhost_status pyhost_function_call(pyhost_function *function, pyhost_builder *arguments, int64_t timeout_ns,
                                   pyhost_value **result, pyhost_error **error)
{
    pyh_message *request = NULL;
    outcome answer = {PYHOST_OK, NULL};
    pyhost_status status = pyh_builder_take_arguments(arguments, &request);
    status = timeout_ns >= 0 ? status : PYHOST_MISUSED;
    if (status == PYHOST_OK) {
        status = call(function, request, timeout_ns, &answer);
    }
    if (status == PYHOST_OK) {
        status = pyh_function_conclude(answer.status, answer.reply, function->handle.name, result, error);
    } else {
        pyh_error_of_call(error, status, NULL, function->handle.name);
    }
    pyh_message_unref(request);
    return status;
}

/* One attempt at queueing a call; on OK *accepted is the caller's. CLOSED: the route is old. */
static pyhost_status submit(pyhost_function *self, pyh_message *request, int64_t timeout_ns,
                            const pyh_submission *how, pyh_call **accepted)
{
    pyh_way way;
    pyhost_status status = find(self, &way);
    if (status != PYHOST_OK) {
        return status;
    }
    pyh_call *call = pyh_way_new_call(&way, request, timeout_ns);
    status = PYHOST_NO_MEMORY;
    if (call != NULL) {
        call->completions = how->completions != NULL ? pyh_completions_ref(how->completions) : NULL;
        call->token = how->token;
        call->answer = how->answer;
        status = pyh_route_submit(way.route, call);
    }
    if (status == PYHOST_OK) {
        *accepted = call;
    } else {
        pyh_call_unref(call);
    }
    pyh_way_leave(&way);
    return status;
}

pyhost_status pyh_function_submit(pyhost_function *function, pyhost_builder *arguments, int64_t timeout_ns,
                                  const pyh_submission *how, pyh_call **accepted, pyhost_error **error)
{
    pyh_message *request = NULL;
    pyhost_status status = pyh_builder_take_arguments(arguments, &request);
    status = timeout_ns >= 0 ? status : PYHOST_MISUSED;
    if (status == PYHOST_OK) {
        status = PYHOST_CLOSED;
        for (int attempt = 0; attempt < PYH_HANDLE_ATTEMPTS && status == PYHOST_CLOSED; attempt++) {
            status = submit(function, request, timeout_ns, how, accepted);
        }
    }
    pyh_message_unref(request);
    if (status != PYHOST_OK) {
        status = status == PYHOST_CLOSED ? PYHOST_UNAVAILABLE : status;
        pyh_error_of_call(error, status, NULL, function->handle.name);
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

pyhost_status pyhost_function_account_read(pyhost_function *function, pyhost_function_account *account)
{
    pyh_handle *handle = &function->handle;
    uint64_t version;
    pyh_route *route = pyh_router_find(handle->router, handle->plugin, &version);
    pyh_function *found = route != NULL ? pyh_route_find(route, handle->function) : NULL;
    pyhost_status status = route == NULL ? PYHOST_NO_PLUGIN : found == NULL ? PYHOST_NO_FUNCTION : PYHOST_OK;
    if (status == PYHOST_OK) {
        pyh_figures figures;
        pyh_stats_read(found->stats, &figures);
        pyhost_function_account read = {
            .calls = figures.calls,
            .errors = figures.errors,
            .timeouts = figures.timeouts,
            .rejected = figures.rejected,
            .total_ns = (int64_t)figures.total_ns,
            .maximum_ns = (int64_t)figures.maximum_ns,
            .processor_ns = (int64_t)figures.processor_ns,
        };
        pyh_struct_copy(account, &read, sizeof read);
    }
    pyh_route_unref(route);
    return status;
}
