/* owner: see owner.h. What the interpreter loads and how it describes itself is Python's business (pyhost/guest.py);
 * here is only the order of things. Ending: no more visits, on_stop, the direct callers' thread states, and then, only
 * if no other thread is left in it, Py_EndInterpreter: with one left that would kill the process. */
#include "owner.h"

#include "direct.h"
#include "failure.h"
#include "invoke.h"
#include "runtime.h"

/* Loads pyhost from its files, past every finder: a plugin's interpreter has its own sys.path and no site. */
static const char bootstrap[] =
    "import sys, _frozen_importlib, _frozen_importlib_external\n"
    "sys.path[:] = boot['path']\n"
    "sys.modules['pyhost'] = None\n"
    "spec = _frozen_importlib_external.spec_from_file_location(\n"
    "    'pyhost', boot['package'][0] + '/__init__.py', submodule_search_locations=boot['package'])\n"
    "del sys.modules['pyhost']\n"
    "_frozen_importlib._load(spec)\n"
    "from pyhost import guest\n";

/* Runs the bootstrap; a new reference to the module pyhost.guest. */
static PyObject *load_guest(PyObject *boot)
{
    PyObject *guest = NULL;
    PyObject *namespace = PyDict_New();
    if (namespace != NULL && PyDict_SetItemString(namespace, "boot", boot) == 0 &&
        PyDict_SetItemString(namespace, "__builtins__", PyEval_GetBuiltins()) == 0) {
        PyObject *none = PyRun_String(bootstrap, Py_file_input, namespace, namespace);
        if (none != NULL) {
            guest = Py_XNewRef(PyDict_GetItemString(namespace, "guest"));
            Py_DECREF(none);
        }
    }
    Py_XDECREF(namespace);
    return guest;
}

/* Imports the plugin, runs its on_start and encodes its description. */
static pyhost_status start_plugin(pyh_interp *interp, PyObject *module, PyObject *boot)
{
    pyhost_status status = PYHOST_RAISED;
    PyObject *description = NULL;
    interp->guest = PyObject_CallMethod(module, "Guest", "O", boot);
    interp->functions = interp->guest != NULL ? PyObject_GetAttrString(interp->guest, "functions") : NULL;
    description = interp->functions != NULL ? PyObject_GetAttrString(interp->guest, "description") : NULL;
    if (description != NULL) {
        status = pyh_codec_encode_message(interp->codec, description, &interp->start_reply);
    }
    Py_XDECREF(description);
    return status;
}

static pyhost_status boot_guest(pyh_interp *interp)
{
    pyh_codec plain = {.plain = true};
    PyObject *boot = NULL;
    pyhost_status status = pyh_codec_decode_message(&plain, interp->boot, &boot);
    if (status == PYHOST_OK) {
        status = PYHOST_RAISED;
        PyObject *module = load_guest(boot);
        interp->describe = module != NULL ? PyObject_GetAttrString(module, "describe_exception") : NULL;
        interp->interrupt_class = interp->describe ? PyObject_GetAttrString(module, "DeadlineInterrupt") : NULL;
        if (interp->interrupt_class != NULL && interp->codec != NULL) {
            status = start_plugin(interp, module, boot);
        }
        Py_XDECREF(module);
    }
    Py_XDECREF(boot);
    pyh_codec_clear(&plain);
    return status;
}

static void boot(pyh_interp *interp)
{
    pyh_activation_outer outer = pyh_activation_begin(interp->activation, pyh_deadline_after(interp->start_limit_ns));
    interp->start_status = boot_guest(interp);
    if (interp->start_status != PYHOST_OK) {
        interp->start_status = pyh_invoke_classify(interp) == PYHOST_TIMEOUT ? PYHOST_TIMEOUT : PYHOST_RAISED;
        interp->start_reply = pyh_failure_take(interp, PYHOST_RAISED);
    }
    pyh_activation_end(interp->activation, outer);
}

pyhost_status pyh_owner_take(pyh_interp *interp, int64_t deadline_ns, pyh_call **call)
{
    for (;;) {
        void *item;
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
            atomic_fetch_add_explicit(&interp->running, 1, memory_order_relaxed);
            *call = item;
            return PYHOST_OK;
        }
        pyh_interp_finished(interp);
        pyh_call_unref(item);
    }
}

void pyh_owner_run(pyh_interp *interp, pyh_call *call)
{
    pyh_message *reply = NULL;
    size_t index = (size_t)(call->function - call->route->functions);
    pyh_current_call = call;
    pyhost_status status = pyh_invoke(interp, interp->activation, index, call->request, call->deadline_ns, &reply);
    pyh_current_call = NULL;
    atomic_fetch_sub_explicit(&interp->running, 1, memory_order_relaxed);
    pyh_interp_finished(interp);
    pyh_call_answer(call, status, reply);
    pyh_call_unref(call);
}

/* Runs calls until the inbox is closed and empty. */
static void serve(pyh_interp *interp)
{
    PyObject *serve_loop = PyObject_GetAttrString(interp->guest, "serve");
    if (serve_loop != NULL && serve_loop != Py_None) {
        PyObject *none = PyObject_CallNoArgs(serve_loop);
        if (none == NULL) {
            PyErr_WriteUnraisable(serve_loop);
        }
        Py_XDECREF(none);
    }
    Py_XDECREF(serve_loop);
    PyErr_Clear();
    pyh_call *call;
    while (pyh_owner_take(interp, PYH_NEVER, &call) == PYHOST_OK) {
        pyh_owner_run(interp, call);
    }
}

static void stop_plugin(pyh_interp *interp)
{
    atomic_store(&interp->stopping, true);
    pyh_activation_outer outer = pyh_activation_begin(interp->activation, pyh_deadline_after(interp->stop_limit_ns));
    PyObject *none = PyObject_CallMethod(interp->guest, "stop", "d", (double)interp->stop_limit_ns / 1e9);
    pyh_activation_end(interp->activation, outer); /* an interrupt would cut the description short, too */
    if (none == NULL) {
        interp->stop_reply = pyh_failure_take(interp, PYHOST_RAISED);
    }
    Py_XDECREF(none);
}

static bool other_threads_left(pyh_interp *interp)
{
    PyThreadState *first = PyInterpreterState_ThreadHead(interp->python);
    return first != interp->thread_state || PyThreadState_Next(first) != NULL;
}

static void drop_references(pyh_interp *interp)
{
    Py_CLEAR(interp->functions);
    Py_CLEAR(interp->describe);
    Py_CLEAR(interp->interrupt_class);
    Py_CLEAR(interp->guest);
}

/* Ends the interpreter, or sets it aside and returns false. No GIL is held afterwards. */
static bool end(pyh_interp *interp)
{
    if (interp->guest != NULL && interp->start_status == PYHOST_OK) {
        stop_plugin(interp);
    }
    PyEval_SaveThread();
    pyh_interp_vacate(interp);
    PyEval_RestoreThread(interp->thread_state);
    pyh_direct_clear(interp);
    if (other_threads_left(interp)) {
        pyh_interp_set_aside(interp);
        PyEval_SaveThread();
        return false;
    }
    drop_references(interp);
    interp->codec = NULL;
    pyh_runtime_end_interpreter(interp->thread_state);
    return true;
}

static void set_activation(pyh_interp *interp, pyh_activation *activation)
{
    pyh_mutex_lock(&interp->mutex);
    interp->activation = activation;
    pyh_mutex_unlock(&interp->mutex);
}

/* Whether the plugin runs now. */
static bool start(pyh_interp *interp)
{
    interp->thread_state = pyh_runtime_new_interpreter();
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
    boot(interp);
    return interp->start_status == PYHOST_OK;
}

void *pyh_owner_main(void *argument)
{
    pyh_interp *interp = argument;
    pyh_current_interp = interp;
    bool running = start(interp);
    if (running) {
        uint32_t starting = PYH_INTERP_STARTING;
        atomic_compare_exchange_strong(&interp->state, &starting, PYH_INTERP_RUNNING);
    }
    pyh_event_set(&interp->ready);
    if (running) {
        serve(interp);
    }
    if (interp->thread_state == NULL || end(interp)) {
        pyh_interp_ended(interp, running ? PYH_INTERP_STOPPED : PYH_INTERP_FAILED);
    }
    pyh_activation *activation = interp->activation;
    set_activation(interp, NULL);
    pyh_activation_unref(activation);
    pyh_event_set(&interp->ended);
    pyh_interp_unref(interp);
    return NULL;
}
