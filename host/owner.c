/* owner: see owner.h. What the interpreter loads and how it describes itself is Python's business (pyhost/guest.py);
 * here is only the order of things. */
#include "owner.h"

#include <marshal.h>

#include "background.h"
#include "cpu.h"
#include "crash.h"
#include "ending.h"
#include "failure.h"
#include "invoke.h"
#include "lines.h"
#include "memory.h"
#include "news.h"
#include "runtime.h"

/* Runs the host's bootstrap (pyhost/boot.py, marshalled in the bundle); a new reference to the module pyhost.guest. */
static PyObject *run_bootstrap(PyObject *bundle)
{
    PyObject *guest = NULL, *none = NULL;
    PyObject *bytes = PyDict_GetItemString(bundle, "bootstrap");
    PyObject *code =
        bytes != NULL ? PyMarshal_ReadObjectFromString(PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes)) : NULL;
    PyObject *namespace = code != NULL ? PyDict_New() : NULL;
    if (namespace != NULL && PyDict_SetItemString(namespace, "bundle", bundle) == 0 &&
        PyDict_SetItemString(namespace, "__builtins__", PyEval_GetBuiltins()) == 0) {
        none = PyEval_EvalCode(code, namespace, namespace);
        guest = none != NULL ? Py_XNewRef(PyDict_GetItemString(namespace, "guest")) : NULL;
    }
    Py_XDECREF(none);
    Py_XDECREF(namespace);
    Py_XDECREF(code);
    return guest;
}

/* The value of a message without pickles; a new reference, or NULL with an exception set. Takes the message over. */
static PyObject *decode_plain(pyh_message *message)
{
    pyh_codec plain = {.plain = true};
    PyObject *value = NULL;
    pyh_codec_decode_message(&plain, message, &value);
    pyh_codec_clear(&plain);
    pyh_message_unref(message);
    return value;
}

/* Loads pyhost's side. */
static pyhost_status load_guest(pyh_interp *interp)
{
    PyObject *bundle = decode_plain(interp->bundle);
    interp->bundle = NULL;
    interp->module = bundle != NULL ? run_bootstrap(bundle) : NULL;
    interp->describe = interp->module != NULL ? PyObject_GetAttrString(interp->module, "describe_exception") : NULL;
    pyh_async_class_init(&interp->interrupt, interp->describe != NULL
                                                 ? PyObject_GetAttrString(interp->module, "DeadlineInterrupt")
                                                 : NULL);
    Py_XDECREF(bundle);
    return interp->interrupt.object != NULL && interp->codec != NULL ? PYHOST_OK : PYHOST_RAISED;
}

/* From here on the plugin's own code runs. OVER_LIMIT: the interpreter without it takes more than the limit. */
static pyhost_status set_limit(pyh_interp *interp)
{
    int64_t limit_bytes = interp->assignment.memory_limit_bytes;
    PyObject *limit_class = PyObject_GetAttrString(interp->module, "MemoryLimitReached");
    if (limit_class == NULL) {
        return PYHOST_RAISED;
    }
    pyh_account_set_limit(interp->account, limit_bytes, limit_class);
    Py_DECREF(limit_class);
    return pyh_account_bytes(interp->account) < limit_bytes ? PYHOST_OK : PYHOST_OVER_LIMIT;
}

/* Imports the plugin, runs its on_start and encodes its description. */
static pyhost_status load_plugin(pyh_interp *interp)
{
    pyhost_status status = PYHOST_RAISED;
    PyObject *description = NULL;
    PyObject *boot = decode_plain(interp->assignment.boot);
    interp->assignment.boot = NULL;
    interp->guest = boot != NULL ? PyObject_CallMethod(interp->module, "Guest", "O", boot) : NULL;
    interp->functions = interp->guest != NULL ? PyObject_GetAttrString(interp->guest, "functions") : NULL;
    description = interp->functions != NULL ? PyObject_GetAttrString(interp->guest, "description") : NULL;
    if (description != NULL) {
        status = pyh_codec_encode_message(interp->codec, description, &interp->start_reply);
    }
    Py_XDECREF(description);
    Py_XDECREF(boot);
    return status;
}

/* What has come of a start, with the exception that is set for a failure. */
static void conclude_start(pyh_interp *interp, pyhost_status status, int64_t started_ns)
{
    interp->start_status = status;
    if (status == PYHOST_OVER_LIMIT) {
        interp->start_reply = pyh_failure_over_limit(interp);
    } else if (status != PYHOST_OK) {
        status = pyh_invoke_classify(interp, started_ns);
        bool is_limit = status == PYHOST_TIMEOUT || status == PYHOST_OVER_LIMIT;
        interp->start_status = is_limit ? status : PYHOST_RAISED;
        interp->start_reply = pyh_failure_take(interp, status == PYHOST_OVER_LIMIT ? status : PYHOST_RAISED);
    }
}

/* Whether the plugin runs now. */
static bool start_plugin(pyh_interp *interp)
{
    pyh_activation_outer outer;
    pyh_activation_begin(interp->activation, pyh_deadline_after(interp->assignment.start_limit_ns), &outer);
    /* So that the first call is not told the import's time. */
    pyh_cpu_span span;
    pyh_cpu_begin(&span, interp->account, pyh_now_ns(), false);
    pyhost_status status = set_limit(interp);
    if (status == PYHOST_OK) {
        status = load_plugin(interp);
    }
    conclude_start(interp, status, span.started_ns);
    pyh_lines_end(interp->log_source);
    int64_t ended_ns = pyh_now_ns();
    pyh_activation_end(interp->activation, &outer, ended_ns);
    pyh_cpu_end(&span, ended_ns);
    return interp->start_status == PYHOST_OK;
}

/* After an allocation that failed, CPython's state is in doubt: no more calls. */
static void condemn(pyh_interp *interp)
{
    pyh_message *reply = pyh_failure_over_limit(interp);
    pyh_interp_condemn(interp, reply);
    pyh_message_unref(reply);
}

pyhost_status pyh_owner_take(pyh_interp *interp, int64_t deadline_ns, pyh_call **call)
{
    for (;;) {
        void *item;
        if (atomic_load_explicit(&interp->account->condemned, memory_order_relaxed)) {
            condemn(interp);
        }
        pyhost_status status = pyh_channel_receive(&interp->inbox, 0, &item);
        if (status == PYHOST_TIMEOUT && deadline_ns != 0) {
            PyThreadState *thread_state = PyEval_SaveThread();
            status = pyh_channel_receive(&interp->inbox, deadline_ns, &item);
            PyEval_RestoreThread(thread_state);
        }
        if (status != PYHOST_OK) {
            return status;
        }
        if (pyh_call_begin(item)) {
            pyh_interp_begin_call(interp);
            *call = item;
            return PYHOST_OK;
        }
        pyh_interp_drop_call(interp);
        pyh_call_unref(item);
    }
}

void pyh_owner_run(pyh_interp *interp, pyh_call *call)
{
    pyh_invocation invocation = {
        .call = call,
        .function = call->function,
        .index = (size_t)(call->function - call->route->functions),
        .request = call->request,
        .started_ns = pyh_now_ns(),
        .deadline_ns = call->deadline_ns,
    };
    pyh_interp_run_call(call);
    pyhost_status status = pyh_invoke(interp, interp->activation, &invocation);
    status = pyh_invoke_settle(status, invocation.ended_ns, invocation.deadline_ns, &invocation.reply);
    pyh_lines_end(interp->log_source);
    pyh_interp_run_call(NULL);
    pyh_interp_end_call(interp);
    pyh_call_answer(call, status, invocation.reply);
    pyh_call_unref(call);
}

/* Runs an event loop. It can be interrupted, too, but while it runs no call the plugin's memory limit raises nothing:
 * the loop's own code would not survive that. */
static void run_loop(pyh_interp *interp, PyObject *serve_loop)
{
    pyh_activation_outer outer;
    pyh_activation_begin(interp->activation, PYH_NEVER, &outer);
    pyh_this_thread.calls--;
    PyObject *none = PyObject_CallNoArgs(serve_loop);
    pyh_this_thread.calls++;
    pyh_activation_end(interp->activation, &outer, pyh_now_ns());
    if (none == NULL) {
        PyErr_WriteUnraisable(serve_loop);
    }
    Py_XDECREF(none);
}

/* Runs calls until the inbox is closed and empty. */
static void serve(pyh_interp *interp)
{
    PyObject *serve_loop = PyObject_GetAttrString(interp->guest, "serve");
    if (serve_loop != NULL && serve_loop != Py_None) {
        run_loop(interp, serve_loop);
    }
    Py_XDECREF(serve_loop);
    PyErr_Clear();
    pyh_call *call;
    while (pyh_owner_take(interp, PYH_NEVER, &call) == PYHOST_OK) {
        pyh_owner_run(interp, call);
    }
}

static void set_activation(pyh_interp *interp, pyh_activation *activation)
{
    pyh_mutex_lock(&interp->mutex);
    interp->activation = activation;
    pyh_mutex_unlock(&interp->mutex);
}

/* Creates the interpreter with pyhost's side in it; whether it can load a plugin now. */
static bool warm_up(pyh_interp *interp)
{
    pyh_this_thread.is_owner = true;
    pyh_this_thread.is_booting = true;
    pyh_cpu_join(interp->account);
    interp->thread_state = pyh_runtime_new_interpreter(interp->account);
    if (interp->thread_state == NULL) {
        interp->start_status = PYHOST_SYSTEM;
        return false;
    }
    interp->python = PyThreadState_GetInterpreter(interp->thread_state);
    set_activation(interp, pyh_activation_new(interp));
    if (interp->activation == NULL) {
        interp->start_status = PYHOST_NO_MEMORY;
        return false;
    }
    interp->activation->thread_state = interp->thread_state;
    pyh_activation_pace(interp->activation);
    conclude_start(interp, load_guest(interp), pyh_now_ns());
    pyh_this_thread.is_booting = false;
    return interp->start_status == PYHOST_OK;
}

static bool warm_up_in_background(pyh_interp *interp)
{
    pyh_background stretch;
    pyh_background_begin(&stretch, PYH_BACKGROUND_NS);
    bool is_warm = warm_up(interp);
    pyh_background_end(&stretch);
    return is_warm;
}

/* Gives back what coming so far took, and is needed no more. */
static void release_memory(void)
{
    pyh_thread_release_stack();
    pyh_memory_trim();
}

/* Waits for the plugin; false: it was closed without one. */
static bool wait_assigned(pyh_interp *interp)
{
    if (!pyh_event_is_set(&interp->assigned)) {
        PyThreadState *thread_state = PyEval_SaveThread();
        release_memory();
        while (pyh_event_wait(&interp->assigned, PYH_NEVER) != PYHOST_OK) {
        }
        PyEval_RestoreThread(thread_state);
    }
    pyh_mutex_lock(&interp->mutex);
    bool has_plugin = interp->assignment.boot != NULL;
    pyh_mutex_unlock(&interp->mutex);
    if (has_plugin) {
        pyh_thread_rename(interp->assignment.name);
        pyh_crash_note(interp->python, interp->id, interp->name);
    } else {
        interp->start_status = PYHOST_CLOSED;
    }
    return has_plugin;
}

/* From nothing to a plugin that runs, or to a start_status that says why not. */
static bool start(pyh_interp *interp)
{
    bool is_warm = atomic_load(&interp->in_background) ? warm_up_in_background(interp) : warm_up(interp);
    if (!is_warm) {
        pyh_event_set(&interp->ready);
    }
    pyh_event_set(&interp->warm);
    bool running = is_warm && wait_assigned(interp) && start_plugin(interp);
    if (running) {
        uint32_t starting = PYH_INTERP_STARTING;
        atomic_compare_exchange_strong(&interp->state, &starting, PYH_INTERP_RUNNING);
    }
    pyh_event_set(&interp->ready);
    return running;
}

void *pyh_owner_main(void *argument)
{
    pyh_interp *interp = argument;
    pyh_current_interp = interp;
    bool running = start(interp);
    release_memory();
    if (running) {
        serve(interp);
    }
    bool has_failed = !running && interp->start_status != PYHOST_CLOSED;
    if (interp->thread_state != NULL) {
        pyh_ending_run(interp);
    }
    pyh_interp_gone(); /* first: who sees that it is not lost any more may finalize CPython */
    pyh_interp_ended(interp, has_failed ? PYH_INTERP_FAILED : PYH_INTERP_STOPPED);
    pyh_activation *activation = interp->activation;
    set_activation(interp, NULL);
    pyh_activation_retire(activation);
    pyh_memory_trim();
    pyh_event_set(&interp->ended);
    pyh_news_tell();
    pyh_interp_unref(interp);
    return NULL;
}
