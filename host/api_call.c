/* api_call: calls that nobody waits for at once, and where their answers go: completions of the program's own, or a
 * callback, which one thread of pyhost's calls. */
#include <stdlib.h>

#include "api_call.h"
#include "api_function.h"

struct pyhost_completions {
    pyh_completions *queue; /* owned */
    pyh_call *taken;        /* drained, and not given out yet; linked by next, each with its reference */
};

/* "plugin.function"; without memory for that the function's own name. */
static const char *name_of(const pyh_call *call, char **owned)
{
    if (asprintf(owned, "%s.%s", call->route->plugin, call->function->name) < 0) {
        *owned = NULL;
    }
    return *owned != NULL ? *owned : call->function->name;
}

/* Lets the deadline answer an accepted call, and gives it to the program, if that wants it. */
static void hand_out(pyh_call *accepted, pyhost_call **call)
{
    if (accepted->completions != NULL) {
        pyh_call_arm(accepted, accepted->deadline_ns);
    }
    if (call != NULL) {
        *call = (pyhost_call *)accepted;
    } else {
        pyh_call_unref(accepted);
    }
}

pyhost_status pyhost_function_submit(pyhost_function *function, pyhost_builder *arguments, int64_t timeout_ns,
                                     pyhost_completions *completions, void *token, pyhost_call **call,
                                     pyhost_error **error)
{
    pyh_call *accepted = NULL;
    pyh_submission how = {.completions = completions != NULL ? completions->queue : NULL, .token = token};
    pyhost_status status = pyh_function_submit(function, arguments, timeout_ns, &how, &accepted, error);
    if (status == PYHOST_OK) {
        hand_out(accepted, call);
    }
    return status;
}

pyhost_call *pyhost_call_ref(pyhost_call *call)
{
    return (pyhost_call *)pyh_call_ref(pyh_call_of(call));
}

void pyhost_call_unref(pyhost_call *call)
{
    pyh_call_unref(pyh_call_of(call));
}

bool pyhost_call_is_answered(pyhost_call *call)
{
    return pyh_call_is_answered(pyh_call_of(call));
}

bool pyhost_call_cancel(pyhost_call *call)
{
    return pyh_call_give_up(pyh_call_of(call));
}

pyhost_status pyhost_call_result(pyhost_call *call, pyhost_value **result, pyhost_error **error)
{
    pyh_call *self = pyh_call_of(call);
    char *owned = NULL;
    while (pyh_call_wait(self) != PYHOST_OK) {
        /* A signal handler has run; the program's business. */
    }
    const char *name = self->status != PYHOST_OK ? name_of(self, &owned) : "";
    pyh_message *reply = self->reply != NULL ? pyh_message_ref(self->reply) : NULL;
    pyhost_status status = pyh_function_conclude(self->status, reply, name, result, error);
    free(owned);
    return status;
}

pyhost_status pyhost_completions_new(pyhost_completions **completions)
{
    pyhost_completions *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return PYHOST_NO_MEMORY;
    }
    pyhost_status status = pyh_completions_new(&made->queue);
    if (status != PYHOST_OK) {
        free(made);
        return status;
    }
    *completions = made;
    return PYHOST_OK;
}

void pyhost_completions_free(pyhost_completions *completions)
{
    if (completions == NULL) {
        return;
    }
    pyh_completions_close(completions->queue);
    while (completions->taken != NULL) {
        pyh_call *next = completions->taken->next;
        pyh_call_unref(completions->taken);
        completions->taken = next;
    }
    pyh_completions_unref(completions->queue);
    free(completions);
}

int pyhost_completions_fd(const pyhost_completions *completions)
{
    return completions->queue->notifier.read_fd;
}

pyhost_call *pyhost_completions_take(pyhost_completions *completions)
{
    if (completions->taken == NULL) {
        completions->taken = pyh_completions_drain(completions->queue);
    }
    pyh_call *call = completions->taken;
    if (call != NULL) {
        completions->taken = call->next;
    }
    return (pyhost_call *)call;
}

pyhost_status pyhost_completions_wait(pyhost_completions *completions, int64_t timeout_ns)
{
    int64_t deadline_ns = pyh_deadline_after(timeout_ns);
    pyhost_status status = PYHOST_OK;
    if (completions->taken == NULL) {
        do {
            status = pyh_notifier_wait(&completions->queue->notifier, deadline_ns);
        } while (status == PYHOST_INTERRUPTED);
    }
    return status;
}

static struct {
    pthread_once_t once;
    pyh_mutex mutex;
    /* guarded by mutex */
    pyh_completions *queue; /* owned; NULL: the thread has not started */
    pthread_t thread;
    /* atomic */
    _Atomic bool closing;
    _Atomic uint64_t pending; /* calls whose callback has not returned */
} callbacks = {.once = PTHREAD_ONCE_INIT};

static void callbacks_init(void)
{
    pyh_mutex_init(&callbacks.mutex, PYH_RANK_CALLBACKS);
}

void *pyhost_call_token(const pyhost_call *call)
{
    return pyh_call_of(call)->token;
}

static void deliver(pyh_call *call)
{
    call->answer(call->token, (pyhost_call *)call);
    pyh_call_unref(call);
    atomic_fetch_sub(&callbacks.pending, 1);
}

static void *callbacks_main(void *argument)
{
    pyh_completions *queue = argument;
    while (!atomic_load(&callbacks.closing) || atomic_load(&callbacks.pending) > 0) {
        pyh_notifier_wait(&queue->notifier, PYH_NEVER);
        pyh_call *call = pyh_completions_drain(queue);
        while (call != NULL) {
            pyh_call *next = call->next;
            deliver(call);
            call = next;
        }
    }
    return NULL;
}

/* The queue of the thread, which starts with the first call; a new reference. */
static pyhost_status open_callbacks(pyh_completions **queue)
{
    pyhost_status status = PYHOST_OK;
    pthread_once(&callbacks.once, callbacks_init);
    pyh_mutex_lock(&callbacks.mutex);
    if (atomic_load(&callbacks.closing)) {
        status = PYHOST_UNAVAILABLE;
    } else if (callbacks.queue == NULL) {
        status = pyh_completions_new(&callbacks.queue);
        if (status == PYHOST_OK) {
            status = pyh_thread_start(&callbacks.thread, "pyhost-answers", callbacks_main, callbacks.queue);
        }
        if (status != PYHOST_OK) {
            callbacks.queue = pyh_completions_unref(callbacks.queue);
        }
    }
    if (status == PYHOST_OK) {
        atomic_fetch_add(&callbacks.pending, 1);
        *queue = pyh_completions_ref(callbacks.queue);
    }
    pyh_mutex_unlock(&callbacks.mutex);
    return status;
}

/* A call that was to have a callback was not accepted. */
static void forget_pending(pyh_completions *queue)
{
    atomic_fetch_sub(&callbacks.pending, 1);
    pyh_notifier_notify(&queue->notifier); /* the thread may have waited for this one alone */
}

void pyh_callbacks_close(void)
{
    pthread_once(&callbacks.once, callbacks_init);
    pyh_mutex_lock(&callbacks.mutex);
    pyh_completions *queue = callbacks.queue;
    atomic_store(&callbacks.closing, true);
    pyh_mutex_unlock(&callbacks.mutex);
    if (queue != NULL) {
        pyh_notifier_notify(&queue->notifier);
        pthread_join(callbacks.thread, NULL);
        callbacks.queue = pyh_completions_unref(queue);
    }
}

pyhost_status pyhost_function_submit_callback(pyhost_function *function, pyhost_builder *arguments, int64_t timeout_ns,
                                              pyhost_answer_function *answer, void *context, pyhost_call **call,
                                              pyhost_error **error)
{
    pyh_call *accepted = NULL;
    pyh_completions *queue = NULL;
    pyhost_status status = open_callbacks(&queue);
    if (status != PYHOST_OK) {
        pyhost_builder_clear(arguments);
        return pyh_error_of_call(error, status, NULL, pyh_function_name(function));
    }
    pyh_submission how = {.completions = queue, .token = context, .answer = answer};
    status = pyh_function_submit(function, arguments, timeout_ns, &how, &accepted, error);
    if (status == PYHOST_OK) {
        hand_out(accepted, call);
    } else {
        forget_pending(queue);
    }
    pyh_completions_unref(queue);
    return status;
}
