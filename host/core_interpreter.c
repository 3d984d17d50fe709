/* core_interpreter: _core.Interpreter, by which the host starts, watches and ends a plugin's interpreter. */
#include "background.h"
#include "core.h"
#include "cpu.h"
#include "failure.h"
#include "memory.h"

typedef struct {
    PyObject_HEAD
    pyh_interp *interp; /* owned */
} Interpreter;

static pyh_interp *interp_of(PyObject *self)
{
    return ((Interpreter *)self)->interp;
}

pyh_interp *pyh_core_unwrap_interpreter(PyObject *interpreter)
{
    return interp_of(interpreter);
}

static PyObject *interpreter_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"router", NULL};
    pyh_core *core = pyh_core_of(type);
    PyTypeObject *router_type = pyh_core_type(core, PYH_CORE_ROUTER);
    PyObject *router;
    if (router_type == NULL ||
        !PyArg_ParseTupleAndKeywords(arguments, keywords, "O!:Interpreter", names, router_type, &router)) {
        return NULL;
    }
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_RuntimeError, "only the main interpreter can start plugin interpreters");
        return NULL;
    }
    Interpreter *self = (Interpreter *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->interp = pyh_interp_new(pyh_core_unwrap_router(router));
        if (self->interp == NULL) {
            Py_DECREF(self);
            return PyErr_NoMemory();
        }
    }
    return (PyObject *)self;
}

static void interpreter_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    pyh_interp *interp = interp_of(object);
    if (interp != NULL) {
        pyh_interp_close(interp);
        pyh_interp_unref(interp);
    }
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *interpreter_warm_up(PyObject *self, PyObject *bundle)
{
    pyh_core *core = pyh_core_of(Py_TYPE(self));
    pyh_message *message;
    if (pyh_codec_encode_message(&core->codec, bundle, &message) != PYHOST_OK) {
        return NULL;
    }
    if (pyh_interp_warm_up(interp_of(self), message) != PYHOST_OK) {
        PyErr_SetString(PyExc_OSError, "the operating system gives no more threads");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *interpreter_step_back(PyObject *self, PyObject *unused)
{
    (void)unused;
    pyh_interp_step_back(interp_of(self));
    Py_RETURN_NONE;
}

/* Bytes, or None for no limit. -1 with an exception set. */
static int64_t limit_of(PyObject *memory)
{
    return memory != Py_None ? PyLong_AsLongLong(memory) : PYH_NO_LIMIT;
}

static int64_t nanoseconds(double seconds)
{
    return (int64_t)(seconds * 1e9);
}

static PyObject *interpreter_start(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"name", "boot", "inbox", "memory", "start_limit", "stop_limit", "grace", NULL};
    pyh_assignment assignment;
    Py_ssize_t inbox;
    PyObject *boot, *memory;
    double start_limit, stop_limit, grace;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "sO$nOddd:start", names, &assignment.name, &boot, &inbox,
                                     &memory, &start_limit, &stop_limit, &grace)) {
        return NULL;
    }
    if (inbox < 1) {
        return PyErr_Format(PyExc_ValueError, "inbox is %zd; allowed: 1 and more", inbox);
    }
    assignment.inbox_capacity = (size_t)inbox;
    assignment.memory_limit_bytes = limit_of(memory);
    assignment.start_limit_ns = nanoseconds(start_limit);
    assignment.stop_limit_ns = nanoseconds(stop_limit);
    assignment.grace_ns = nanoseconds(grace);
    if (PyErr_Occurred() || pyh_codec_encode_message(&pyh_core_of(Py_TYPE(self))->codec, boot, &assignment.boot) != 0) {
        return NULL;
    }
    if (pyh_interp_start(interp_of(self), &assignment) == PYHOST_NO_MEMORY) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE; /* one that was closed meanwhile has failed to start: start_outcome says so */
}

/* Waits for an event with the GIL released; True when it is set in time. */
static PyObject *wait_event(pyh_event *event, PyObject *timeout)
{
    int64_t timeout_ns = pyh_core_timeout(timeout, PYH_NEVER);
    if (timeout_ns < 0) {
        return NULL;
    }
    int outcome = pyh_core_wait(event, pyh_deadline_after(timeout_ns), NULL);
    return outcome < 0 ? NULL : PyBool_FromLong(outcome);
}

static PyObject *interpreter_get_is_warm(PyObject *self, void *unused)
{
    (void)unused;
    pyh_interp *interp = interp_of(self);
    return PyBool_FromLong(pyh_event_is_set(&interp->warm) && !pyh_event_is_set(&interp->ready));
}

static PyObject *interpreter_wait_warm(PyObject *self, PyObject *timeout)
{
    pyh_event *warm = &interp_of(self)->warm;
    if (!pyh_event_is_set(warm)) {
        pyh_background_hurry();
    }
    return wait_event(warm, timeout);
}

static PyObject *interpreter_wait_ready(PyObject *self, PyObject *timeout)
{
    return wait_event(&interp_of(self)->ready, timeout);
}

static PyObject *interpreter_wait_ended(PyObject *self, PyObject *timeout)
{
    return wait_event(&interp_of(self)->ended, timeout);
}

/* (name of a status, decoded reply or None) */
static PyObject *outcome(PyObject *self, pyhost_status status, pyh_message *reply)
{
    PyObject *value = Py_NewRef(Py_None);
    if (reply != NULL && pyh_codec_decode_message(&pyh_core_of(Py_TYPE(self))->codec, reply, &value) != PYHOST_OK) {
        return NULL;
    }
    return Py_BuildValue("(sN)", pyhost_status_name(status), value);
}

static PyObject *interpreter_start_outcome(PyObject *self, PyObject *unused)
{
    (void)unused;
    pyh_interp *interp = interp_of(self);
    if (!pyh_event_is_set(&interp->ready)) {
        PyErr_SetString(PyExc_RuntimeError, "the interpreter is still starting");
        return NULL;
    }
    return outcome(self, interp->start_status, interp->start_reply);
}

static PyObject *interpreter_stop_outcome(PyObject *self, PyObject *unused)
{
    (void)unused;
    pyh_interp *interp = interp_of(self);
    if (!pyh_event_is_set(&interp->ended)) {
        PyErr_SetString(PyExc_RuntimeError, "the interpreter has not ended");
        return NULL;
    }
    return outcome(self, interp->stop_reply != NULL ? PYHOST_RAISED : PYHOST_OK, interp->stop_reply);
}

static PyObject *interpreter_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    pyh_interp_close(interp_of(self));
    Py_RETURN_NONE;
}

static PyObject *interpreter_abandon(PyObject *self, PyObject *unused)
{
    (void)unused;
    pyh_interp_abandon(interp_of(self));
    Py_RETURN_NONE;
}

static PyObject *interpreter_hand_over(PyObject *self, PyObject *successor)
{
    if (Py_TYPE(successor) != Py_TYPE(self)) {
        return PyErr_Format(PyExc_TypeError, "expected an Interpreter, not %T", successor);
    }
    pyh_interp_hand_over(interp_of(self), interp_of(successor));
    Py_RETURN_NONE;
}

static PyObject *interpreter_set_aside(PyObject *self, PyObject *unused)
{
    (void)unused;
    pyh_interp_set_aside(interp_of(self));
    Py_RETURN_NONE;
}

static PyObject *interpreter_recall(PyObject *self, PyObject *unused)
{
    (void)unused;
    pyh_interp_recall(interp_of(self));
    Py_RETURN_NONE;
}

static PyObject *interpreter_get_id(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(interp_of(self)->id);
}

static PyObject *interpreter_get_state(PyObject *self, void *unused)
{
    static const char *const names[] = {
        [PYH_INTERP_STARTING] = "starting", [PYH_INTERP_RUNNING] = "running", [PYH_INTERP_DRAINING] = "draining",
        [PYH_INTERP_STOPPED] = "stopped",   [PYH_INTERP_FAILED] = "failed",   [PYH_INTERP_LOST] = "lost",
    };
    (void)unused;
    return PyUnicode_FromString(names[atomic_load(&interp_of(self)->state)]);
}

static PyObject *interpreter_get_queued(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(pyh_channel_depth(&interp_of(self)->inbox));
}

static PyObject *interpreter_get_load(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(pyh_interp_load(interp_of(self)));
}

static PyObject *interpreter_get_running(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(pyh_interp_running(interp_of(self)));
}

static PyObject *interpreter_get_served(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(atomic_load(&interp_of(self)->served));
}

static PyObject *interpreter_condemn(PyObject *self, PyObject *unused)
{
    (void)unused;
    pyh_message *reply = pyh_failure_over_limit(interp_of(self));
    pyh_interp_condemn(interp_of(self), reply);
    pyh_message_unref(reply);
    Py_RETURN_NONE;
}

static PyObject *interpreter_get_memory(PyObject *self, void *unused)
{
    (void)unused;
    if (!pyh_memory_is_counted()) {
        Py_RETURN_NONE;
    }
    pyh_account_figures figures = pyh_account_read(interp_of(self)->account);
    PyObject *limit =
        figures.limit_bytes != PYH_NO_LIMIT ? PyLong_FromLongLong(figures.limit_bytes) : Py_NewRef(Py_None);
    return Py_BuildValue("(LLNLKK)", (long long)figures.current_bytes, (long long)figures.peak_bytes, limit,
                         (long long)figures.allocations, (unsigned long long)figures.refused,
                         (unsigned long long)figures.raised);
}

static PyObject *interpreter_get_cpu(PyObject *self, void *unused)
{
    (void)unused;
    return PyFloat_FromDouble((double)pyh_cpu_read(interp_of(self)->account) / 1e9);
}

static PyObject *interpreter_get_condemned(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(atomic_load(&interp_of(self)->account->condemned));
}

static PyObject *interpreter_get_overdue(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(atomic_load(&interp_of(self)->overdue));
}

static PyObject *interpreter_get_stalled(PyObject *self, void *unused)
{
    (void)unused;
    return PyFloat_FromDouble((double)pyh_interp_stalled_ns(interp_of(self)) / 1e9);
}

static PyMethodDef interpreter_methods[] = {
    {"warm_up", interpreter_warm_up, METH_O,
     "warm_up(bundle, /)\n--\n\nStart the owner thread, once: it creates the interpreter with pyhost's side in it "
     "(bundle.guest_bundle()), and waits for its plugin. Raises OSError: no thread can be had."},
    {"wait_warm", interpreter_wait_warm, METH_O,
     "wait_warm(timeout, /)\n--\n\nWait until it waits for its plugin, or has failed; False when it takes longer."},
    {"start", (PyCFunction)(void (*)(void))interpreter_start, METH_VARARGS | METH_KEYWORDS,
     "start(name, boot, *, inbox, memory, start_limit, stop_limit, grace)\n--\n\nLet it load and run a plugin, once. boot: "
     "what guest.Guest starts with; memory: its limit in bytes, or None; the limits, in seconds, bound import with "
     "on_start, and on_stop; grace: what runs past its deadline for so many seconds makes it overdue."},
    {"wait_ready", interpreter_wait_ready, METH_O,
     "wait_ready(timeout, /)\n--\n\nWait until it has started or failed to; False when it takes longer."},
    {"start_outcome", interpreter_start_outcome, METH_NOARGS,
     "start_outcome()\n--\n\n(\"OK\", the plugin's description) or (name of a status, failure or None)."},
    {"step_back", interpreter_step_back, METH_NOARGS,
     "step_back()\n--\n\nLet calls to others go before what it does until it is given a plugin, and once that has "
     "stopped."},
    {"close", interpreter_close, METH_NOARGS,
     "close()\n--\n\nStop taking calls; those in the inbox are run, then it ends. Does not wait."},
    {"wait_ended", interpreter_wait_ended, METH_O,
     "wait_ended(timeout, /)\n--\n\nWait until its thread has done its last; False when it takes longer."},
    {"stop_outcome", interpreter_stop_outcome, METH_NOARGS,
     "stop_outcome()\n--\n\n(\"OK\", None), or (\"RAISED\", the failure of on_stop)."},
    {"abandon", interpreter_abandon, METH_NOARGS,
     "abandon()\n--\n\nClose it and give up its calls: their callers get CallCancelledError now, and Python code that "
     "runs is interrupted."},
    {"condemn", interpreter_condemn, METH_NOARGS,
     "condemn()\n--\n\nClose it because it went past its hard memory limit; the calls in its inbox end with that."},
    {"hand_over", interpreter_hand_over, METH_O,
     "hand_over(successor, /)\n--\n\nClose it, and move the calls that wait in its inbox to an interpreter that runs "
     "the same plugin."},
    {"set_aside", interpreter_set_aside, METH_NOARGS,
     "set_aside()\n--\n\nGive it up: it is lost unless its thread comes back."},
    {"recall", interpreter_recall, METH_NOARGS,
     "recall()\n--\n\nLet one that is set aside give way to others no more: somebody waits for its end."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef interpreter_getset[] = {
    {"is_warm", interpreter_get_is_warm, NULL, "Whether it has come so far that it can load its plugin, and has not.", NULL},
    {"id", interpreter_get_id, NULL, "pyhost's own number for it, unique in the process.", NULL},
    {"state", interpreter_get_state, NULL, "starting, running, draining, stopped, failed or lost.", NULL},
    {"queued", interpreter_get_queued, NULL, "How many calls wait in its inbox.", NULL},
    {"load", interpreter_get_load, NULL, "How many calls it has accepted and not finished.", NULL},
    {"running", interpreter_get_running, NULL, "How many calls it is executing.", NULL},
    {"served", interpreter_get_served, NULL, "How many calls it has finished.", NULL},
    {"memory", interpreter_get_memory, NULL,
     "(current, peak, limit or None, allocations, refused, raised) as status.MemoryAccount has them; None when memory "
     "is "
     "not counted.",
     NULL},
    {"cpu", interpreter_get_cpu, NULL, "Seconds of processor time of its threads, ended ones too.", NULL},
    {"condemned", interpreter_get_condemned, NULL, "Whether it went past its hard memory limit.", NULL},
    {"overdue", interpreter_get_overdue, NULL,
     "Whether a call in it has run past its deadline and the grace time; it may have ended since.", NULL},
    {"stalled", interpreter_get_stalled, NULL,
     "For how many seconds its event loop has not looked at its inbox although it was asked to, while it ran no call.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot interpreter_slots[] = {
    {Py_tp_doc, (void *)"Interpreter(router)\n--\n\nOne plugin interpreter and its owner thread: warm_up, then start."},
    {Py_tp_new, interpreter_new},
    {Py_tp_dealloc, interpreter_dealloc},
    {Py_tp_methods, interpreter_methods},
    {Py_tp_getset, interpreter_getset},
    {0, NULL},
};

PyType_Spec pyh_interpreter_spec = {
    .name = "pyhost._core.Interpreter",
    .basicsize = sizeof(Interpreter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = interpreter_slots,
};
