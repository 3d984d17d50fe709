/* core_serve: the plugin's side of an interpreter that runs an asyncio loop. The loop watches the inbox's descriptor
 * and calls serve_ready, which runs plain functions at once and hands coroutines over. Owner thread only. */
#include "core.h"
#include "invoke.h"
#include "owner.h"

/* At most so many calls in one go, so that the loop's own work gets its turn. */
enum { MOST_AT_ONCE = 64 };

static pyh_interp *owned_interp(PyObject *module)
{
    pyh_core *core = PyModule_GetState(module);
    if (core->interp == NULL || core->interp != pyh_current_interp) {
        PyErr_SetString(PyExc_RuntimeError, "only the owner thread of a plugin's interpreter can do this");
        return NULL;
    }
    return core->interp;
}

PyObject *pyh_core_open_inbox(PyObject *module, PyObject *unused)
{
    (void)unused;
    pyh_interp *interp = owned_interp(module);
    if (interp == NULL) {
        return NULL;
    }
    if (!atomic_load(&interp->has_notifier)) {
        if (pyh_notifier_init(&interp->notifier) != PYHOST_OK) {
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        atomic_store(&interp->has_notifier, true);
        pyh_channel_set_notifier(&interp->inbox, &interp->notifier);
    }
    return PyLong_FromLong(interp->notifier.read_fd);
}

/* Calls the coroutine function, whose own code may run already, as may code that rebuilds the arguments. */
static PyObject *make_coroutine(pyh_core *core, pyh_call *call, PyObject *function)
{
    pyh_arguments arguments;
    PyObject *coroutine = NULL;
    pyh_interp_run_call(call);
    pyh_stretch stretch = {
        .activation = core->interp->activation,
        .stats = call->function->stats,
        .is_prelude = true,
    };
    pyh_stretch_begin(&stretch, core->interp, pyh_now_ns(), call->deadline_ns);
    pyh_interp_expose_call(core->interp, call);
    if (pyh_codec_decode_arguments(&core->codec, call->request, &arguments) == PYHOST_OK) {
        coroutine = PyObject_Vectorcall(function, arguments.values, arguments.count | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                        arguments.keyword_names);
        pyh_arguments_clear(&arguments);
    }
    pyh_interp_expose_call(core->interp, NULL);
    pyh_stretch_end(&stretch, pyh_now_ns());
    pyh_interp_run_call(NULL);
    return coroutine;
}

/* Calls the coroutine function and hands the coroutine to start(coroutine, call, seconds_left). -1: start raised. */
static int start_coroutine(pyh_core *core, pyh_call *call, PyObject *function, PyObject *start)
{
    PyObject *seconds_left = NULL, *none = NULL;
    PyObject *handle = pyh_core_wrap_call(core, call);
    if (handle == NULL) {
        pyh_call_unref(call);
        return -1;
    }
    PyObject *coroutine = make_coroutine(core, call, function);
    if (coroutine == NULL) {
        PyObject *exception = PyErr_GetRaisedException();
        none = PyObject_CallMethod(handle, "fail", "O", exception);
        Py_DECREF(exception);
    } else {
        int64_t left_ns = call->deadline_ns - pyh_now_ns();
        seconds_left = call->deadline_ns == PYH_NEVER ? Py_NewRef(Py_None) : PyFloat_FromDouble((double)left_ns / 1e9);
        none = seconds_left != NULL ? PyObject_CallFunctionObjArgs(start, coroutine, handle, seconds_left, NULL) : NULL;
    }
    Py_XDECREF(seconds_left);
    Py_XDECREF(coroutine);
    Py_DECREF(handle);
    pyh_call_unref(call);
    Py_XDECREF(none);
    return none != NULL ? 0 : -1;
}

PyObject *pyh_core_serve_ready(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    pyh_interp *interp = owned_interp(module);
    if (interp == NULL) {
        return NULL;
    }
    if (count != 2 || !PyTuple_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "serve_ready takes start and a tuple of bool");
        return NULL;
    }
    pyh_call *call;
    pyhost_status status = PYHOST_OK;
    pyh_interp_look(interp);
    pyh_pace_come_back();
    pyh_notifier_clear(&interp->notifier);
    for (int i = 0; i < MOST_AT_ONCE && (status = pyh_owner_take(interp, 0, &call)) == PYHOST_OK; i++) {
        Py_ssize_t index = call->function - call->route->functions;
        if (PyTuple_GET_ITEM(arguments[1], index) != Py_True) {
            pyh_owner_run(interp, call);
        } else if (start_coroutine(PyModule_GetState(module), call, PyTuple_GET_ITEM(interp->functions, index),
                                   arguments[0]) < 0) {
            return NULL;
        }
    }
    if (status == PYHOST_OK) {
        pyh_notifier_notify(&interp->notifier); /* there may be more */
    }
    return Py_BuildValue("(NNN)", PyBool_FromLong(status != PYHOST_CLOSED),
                         PyBool_FromLong(atomic_exchange(&interp->cancelled, false)),
                         PyBool_FromLong(atomic_load(&interp->abandoned)));
}
