/* core_guards: see core_guards.h. In C, as each plugin's interpreter has them: in Python they would take 12 kB. */
#include "core_guards.h"

#include <string.h>

#include "sync.h"

static PyObject *guard_exit(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    static char *names[] = {"status", NULL};
    PyObject *status;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O:_exit", names, &status)) {
        return NULL;
    }
    return PyErr_Format(PyExc_SystemExit,
                        "os._exit(%R) would end the host with every other plugin, and ended only what called it",
                        status);
}

static PyObject *guard_abort(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyErr_Format(PyExc_SystemExit,
                        "os.abort() would end the host with every other plugin, and ended only what called it");
}

static PyObject *guard_frames(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyErr_Format(PyExc_RuntimeError, "sys._current_frames and sys._current_exceptions would reach into the other "
                                            "interpreters, and crash the host");
}

static PyObject *guard_timer(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyErr_Format(PyExc_RuntimeError, "the signal of a timer would end the host, as a plugin can handle none; use "
                                            "threading.Timer or a deadline");
}

#if PY_VERSION_HEX < 0x030e0000
/* CPython counts calls within C and not the bytes that they take. `self` is what this stands for. */
static PyObject *guard_stack_size(PyObject *self, PyObject *arguments)
{
    long size = 0;
    if (!PyArg_ParseTuple(arguments, "|l:stack_size", &size)) {
        return NULL;
    }
    return PyObject_CallFunction(self, "l", size > pyh_stack_bytes ? size : pyh_stack_bytes);
}

static PyMethodDef stack_size = {"stack_size", guard_stack_size, METH_VARARGS, NULL};
#endif

static PyMethodDef process_guards[] = {
    {"_exit", (PyCFunction)(void (*)(void))guard_exit, METH_VARARGS | METH_KEYWORDS, NULL},
    {"abort", guard_abort, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef frame_guards[] = {
    {"_current_frames", guard_frames, METH_NOARGS, NULL},
    {"_current_exceptions", guard_frames, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef signal_guards[] = {
    {"alarm", guard_timer, METH_VARARGS, NULL},
    {"setitimer", guard_timer, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int put(PyObject *target, PyMethodDef *guard, PyObject *self)
{
    PyObject *function = PyCFunction_New(guard, self);
    int result = function != NULL ? PyObject_SetAttrString(target, guard->ml_name, function) : -1;
    Py_XDECREF(function);
    return result;
}

static int put_all(PyObject *target, PyMethodDef *guards)
{
    int result = 0;
    for (; guards->ml_name != NULL && result == 0; guards++) {
        result = put(target, guards, NULL);
    }
    return result;
}

static int put_all_in(const char *name, PyMethodDef *guards)
{
    PyObject *target = PyImport_ImportModule(name);
    int result = target != NULL ? put_all(target, guards) : -1;
    Py_XDECREF(target);
    return result;
}

/* Runs a module that CPython has built in, by `self`; _signal with guards. Few plugins import it. */
static PyObject *exec_module(PyObject *self, PyObject *module)
{
    PyObject *none = PyObject_CallOneArg(self, module);
    const char *name = none != NULL ? PyModule_GetName(module) : NULL;
    if (name == NULL || (strcmp(name, "_signal") == 0 && put_all(module, signal_guards) < 0)) {
        Py_CLEAR(none);
    }
    return none;
}

static PyMethodDef guarded_exec_module = {"exec_module", exec_module, METH_O, NULL};

/* Replaces a function by one that calls it. */
static int wrap(PyObject *target, PyMethodDef *guard)
{
    PyObject *inner = PyObject_GetAttrString(target, guard->ml_name);
    int result = inner != NULL ? put(target, guard, inner) : -1;
    Py_XDECREF(inner);
    return result;
}

static int guard_threads(void)
{
    int result = 0;
#if PY_VERSION_HEX < 0x030e0000
    PyObject *target = PyImport_ImportModule("_thread");
    PyObject *before = target != NULL ? PyObject_CallMethod(target, "stack_size", "l", pyh_stack_bytes) : NULL;
    result = before != NULL ? wrap(target, &stack_size) : -1;
    Py_XDECREF(before);
    Py_XDECREF(target);
#endif
    return result;
}

PyObject *pyh_core_install_guards(PyObject *module, PyObject *importer)
{
    (void)module;
    if (put_all_in("posix", process_guards) < 0 || put_all_in("sys", frame_guards) < 0 || guard_threads() < 0 ||
        wrap(importer, &guarded_exec_module) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}
