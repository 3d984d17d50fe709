/* core_call: _core.Call, a call under way, and _core.Completions, where answered ones are fetched. */
#include "core.h"
#include "failure.h"
#include "invoke.h"
#include "lines.h"

/* Steps that begin after the deadline clean up, and may take so long. */
enum { CLEAN_UP_NS = 1000 * 1000 * 1000 };

typedef struct {
    PyObject_HEAD
    pyh_call *call; /* owned; NULL once a plugin has answered it */
} Call;

typedef struct {
    PyObject_HEAD
    pyh_completions *completions; /* owned */
} Completions;

PyObject *pyh_core_wrap_call(pyh_core *core, pyh_call *call)
{
    PyTypeObject *type = pyh_core_type(core, PYH_CORE_CALL);
    Call *self = type != NULL ? (Call *)type->tp_alloc(type, 0) : NULL;
    if (self != NULL) {
        self->call = pyh_call_ref(call);
    }
    return (PyObject *)self;
}

static void call_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    pyh_call_unref(((Call *)object)->call);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *call_cancel(PyObject *object, PyObject *unused)
{
    (void)unused;
    pyh_call *call = ((Call *)object)->call;
    return PyBool_FromLong(call != NULL && pyh_call_give_up(call));
}

static PyObject *call_get_answered(PyObject *object, void *unused)
{
    (void)unused;
    pyh_call *call = ((Call *)object)->call;
    return PyBool_FromLong(call == NULL || pyh_call_is_answered(call));
}

/* Until when code of the plugin may run for the call now: it may clean up after the deadline. */
static int64_t limit_of(const pyh_call *call, int64_t now_ns)
{
    bool is_late = call->deadline_ns != PYH_NEVER && call->deadline_ns <= now_ns;
    return is_late ? now_ns + CLEAN_UP_NS : call->deadline_ns;
}

/* Answers a call that this plugin interpreter runs with the result, or with the exception that is set: their encoding
 * may run code of the plugin. */
static void conclude(pyh_core *core, Call *self, PyObject *result)
{
    pyh_call *call = self->call;
    pyh_message *reply = NULL;
    pyh_interp_run_call(call);
    pyh_activation_outer outer;
    pyh_activation_begin(core->interp->activation, limit_of(call, pyh_now_ns()), &outer);
    pyh_interp_expose_call(core->interp, call);
    pyhost_status status = pyh_invoke_conclude(core->interp, result, call->submitted_ns, call->deadline_ns, &reply);
    pyh_interp_expose_call(core->interp, NULL);
    int64_t ended_ns = pyh_now_ns();
    pyh_activation_end(core->interp->activation, &outer, ended_ns);
    status = pyh_invoke_settle(status, ended_ns, call->deadline_ns, &reply);
    pyh_interp_run_call(NULL);
    self->call = NULL;
    pyh_lines_end(core->interp->log_source);
    pyh_interp_end_call(core->interp);
    pyh_call_answer(call, status, reply);
    pyh_call_unref(call);
}

static int check_unanswered(pyh_core *core, Call *self)
{
    if (core->interp == NULL || self->call == NULL || self->call->interp != core->interp) {
        PyErr_SetString(PyExc_RuntimeError, "not a call that this interpreter is running");
        return -1;
    }
    return 0;
}

static PyObject *call_answer(PyObject *object, PyObject *result)
{
    pyh_core *core = pyh_core_of(Py_TYPE(object));
    if (check_unanswered(core, (Call *)object) < 0) {
        return NULL;
    }
    conclude(core, (Call *)object, result);
    Py_RETURN_NONE;
}

static PyObject *call_fail(PyObject *object, PyObject *exception)
{
    pyh_core *core = pyh_core_of(Py_TYPE(object));
    if (!PyExceptionInstance_Check(exception)) {
        return PyErr_Format(PyExc_TypeError, "expected an exception, not %T", exception);
    }
    if (check_unanswered(core, (Call *)object) < 0) {
        return NULL;
    }
    PyErr_SetRaisedException(Py_NewRef(exception));
    conclude(core, (Call *)object, NULL);
    Py_RETURN_NONE;
}

/* Runs one step of the coroutine that answers the call: the code between two awaits, bounded by the call's deadline. */
static PyObject *call_step(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    pyh_core *core = pyh_core_of(Py_TYPE(object));
    if (check_unanswered(core, (Call *)object) < 0) {
        return NULL;
    }
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "step takes a method of a coroutine and its argument");
        return NULL;
    }
    pyh_call *call = ((Call *)object)->call;
    int64_t now_ns = pyh_now_ns();
    pyh_interp_run_call(call);
    pyh_stretch stretch = {.activation = core->interp->activation, .stats = call->function->stats};
    pyh_stretch_begin(&stretch, core->interp, now_ns, limit_of(call, now_ns));
    pyh_interp_expose_call(core->interp, call);
    PyObject *result = PyObject_CallOneArg(arguments[0], arguments[1]);
    pyh_interp_expose_call(core->interp, NULL);
    pyh_stretch_end(&stretch, pyh_now_ns());
    pyh_interp_run_call(NULL);
    return result;
}

static PyMethodDef call_methods[] = {
    {"cancel", call_cancel, METH_NOARGS,
     "cancel()\n--\n\nGive the call up: what runs for it is interrupted. True if it had no answer yet; its completion is then "
     "CallCancelledError."},
    {"answer", call_answer, METH_O, "answer(result, /)\n--\n\nIn a plugin: answer a call of serve_ready, once."},
    {"step", (PyCFunction)(void (*)(void))call_step, METH_FASTCALL,
     "step(method, argument, /)\n--\n\nIn a plugin: method(argument), where method is the coroutine's send or throw; "
     "interrupted when the call's deadline passes meanwhile."},
    {"fail", call_fail, METH_O, "fail(exception, /)\n--\n\nIn a plugin: answer it with an exception, once."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef call_getset[] = {
    {"answered", call_get_answered, NULL, "Whether it has its answer, from whomever.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_doc, (void *)"A call under way."},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_methods, call_methods},
    {Py_tp_getset, call_getset},
    {0, NULL},
};

PyType_Spec pyh_call_spec = {
    .name = "pyhost._core.Call",
    .basicsize = sizeof(Call),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = call_slots,
};

pyh_completions *pyh_core_unwrap_completions(PyObject *completions)
{
    return ((Completions *)completions)->completions;
}

static PyObject *completions_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, ":Completions", names)) {
        return NULL;
    }
    Completions *self = (Completions *)type->tp_alloc(type, 0);
    pyhost_status status = self != NULL ? pyh_completions_new(&self->completions) : PYHOST_OK;
    if (status != PYHOST_OK) {
        Py_CLEAR(self);
        if (status == PYHOST_NO_MEMORY) {
            PyErr_NoMemory();
        } else {
            PyErr_SetString(PyExc_OSError, "no file descriptor for completions");
        }
    }
    return (PyObject *)self;
}

static void completions_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    pyh_completions_unref(((Completions *)object)->completions);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *completions_fileno(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyLong_FromLong(pyh_core_unwrap_completions(object)->notifier.read_fd);
}

/* (future, value, None) or (future, None, exception); takes over the token. */
static PyObject *outcome_of(pyh_core *core, pyh_call *call)
{
    PyObject *token = call->token;
    PyObject *value = pyh_core_answer(core, call->status, call->reply, PyTuple_GET_ITEM(token, 1));
    PyObject *error = value == NULL ? PyErr_GetRaisedException() : NULL;
    PyObject *outcome =
        PyTuple_Pack(3, PyTuple_GET_ITEM(token, 0), value != NULL ? value : Py_None, error != NULL ? error : Py_None);
    Py_XDECREF(error);
    Py_XDECREF(value);
    Py_DECREF(token);
    return outcome;
}

static PyObject *completions_drain(PyObject *object, PyObject *unused)
{
    (void)unused;
    pyh_core *core = pyh_core_of(Py_TYPE(object));
    pyh_call *call = pyh_completions_drain(pyh_core_unwrap_completions(object));
    PyObject *outcomes = PyList_New(0);
    while (call != NULL) {
        pyh_call *next = call->next;
        PyObject *outcome = outcome_of(core, call);
        if (outcomes != NULL && (outcome == NULL || PyList_Append(outcomes, outcome) < 0)) {
            Py_CLEAR(outcomes);
        }
        Py_XDECREF(outcome);
        pyh_call_unref(call);
        call = next;
    }
    return outcomes;
}

static PyObject *completions_wait(PyObject *object, PyObject *unused)
{
    (void)unused;
    pyh_completions *completions = pyh_core_unwrap_completions(object);
    for (;;) {
        pyhost_status status;
        Py_BEGIN_ALLOW_THREADS
        status = pyh_notifier_wait(&completions->notifier, PYH_NEVER);
        Py_END_ALLOW_THREADS
        if (status == PYHOST_OK) {
            Py_RETURN_NONE;
        }
        if (status == PYHOST_SYSTEM) {
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        if (PyErr_CheckSignals() < 0) {
            return NULL;
        }
    }
}

static PyObject *completions_notify(PyObject *object, PyObject *unused)
{
    (void)unused;
    pyh_notifier_notify(&pyh_core_unwrap_completions(object)->notifier);
    Py_RETURN_NONE;
}

static PyMethodDef completions_methods[] = {
    {"fileno", completions_fileno, METH_NOARGS, "fileno()\n--\n\nReadable while there may be something to drain."},
    {"drain", completions_drain, METH_NOARGS,
     "drain()\n--\n\nAll outcomes that are there, oldest first: (future, value, None) or (future, None, exception)."},
    {"wait", completions_wait, METH_NOARGS, "wait()\n--\n\nBlock until there may be something to drain."},
    {"notify", completions_notify, METH_NOARGS, "notify()\n--\n\nWake whoever waits; drain may then be empty."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot completions_slots[] = {
    {Py_tp_doc, (void *)"Completions()\n--\n\nWhere answered calls gather for an event loop or a thread."},
    {Py_tp_new, completions_new},
    {Py_tp_dealloc, completions_dealloc},
    {Py_tp_methods, completions_methods},
    {0, NULL},
};

PyType_Spec pyh_completions_spec = {
    .name = "pyhost._core.Completions",
    .basicsize = sizeof(Completions),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = completions_slots,
};
