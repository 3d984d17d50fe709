/* core_guards: see core_guards.h. In C, as each plugin's interpreter has them: in Python they would take 12 kB. */
#include "core_guards.h"

#include <string.h>

#include "pace.h"
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

/* A process inherits its parent's priority, for good, and is not to be LOW because a call was. `self` is what this
 * stands for. */
static PyObject *guard_start(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    pyh_pace_hold();
    PyObject *result = PyObject_Vectorcall(self, arguments, (size_t)count, names);
    pyh_pace_release();
    return result;
}

#define GUARD_START(name) {name, (PyCFunction)(void (*)(void))guard_start, METH_FASTCALL | METH_KEYWORDS, NULL}

static PyMethodDef start_guards[] = {
    GUARD_START("posix_spawn"),
    GUARD_START("posix_spawnp"),
    GUARD_START("system"),
    {NULL, NULL, 0, NULL},
};
static PyMethodDef fork_exec = GUARD_START("fork_exec");

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

/* Puts one into its target. */
typedef int placing(PyObject *target, PyMethodDef *guard);

static int replace(PyObject *target, PyMethodDef *guard)
{
    return put(target, guard, NULL);
}

/* Replaces a function by one that calls it. */
static int wrap(PyObject *target, PyMethodDef *guard)
{
    PyObject *inner = PyObject_GetAttrString(target, guard->ml_name);
    int result = inner != NULL ? put(target, guard, inner) : -1;
    Py_XDECREF(inner);
    return result;
}

static int place_all(PyObject *target, PyMethodDef *guards, placing *place)
{
    int result = 0;
    for (; guards->ml_name != NULL && result == 0; guards++) {
        result = place(target, guards);
    }
    return result;
}

static int place_all_in(const char *name, PyMethodDef *guards, placing *place)
{
    PyObject *target = PyImport_ImportModule(name);
    int result = target != NULL ? place_all(target, guards, place) : -1;
    Py_XDECREF(target);
    return result;
}

/* Of modules that few plugins import. -1: an exception is set. */
static int guard_module(PyObject *module)
{
    const char *name = PyModule_GetName(module);
    if (name == NULL) {
        return -1;
    }
    if (strcmp(name, "_signal") == 0) {
        return place_all(module, signal_guards, replace);
    }
    return strcmp(name, "_posixsubprocess") == 0 ? wrap(module, &fork_exec) : 0;
}

/* Runs a module in C, by `self`. The arguments end with it; the loader is before it where it is one for each file. */
static PyObject *exec_module(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    PyObject *none = PyObject_Vectorcall(self, arguments, (size_t)count, NULL);
    if (none != NULL && guard_module(arguments[count - 1]) < 0) {
        Py_CLEAR(none);
    }
    return none;
}

static PyMethodDef guarded_exec_module = {"exec_module", (PyCFunction)(void (*)(void))exec_module, METH_FASTCALL, NULL};

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

/* Modules in files of their own: of what replaces it the loader's class makes a method. */
static int guard_extensions(void)
{
    PyObject *target = PyImport_ImportModule("_frozen_importlib_external");
    PyObject *loader = target != NULL ? PyObject_GetAttrString(target, "ExtensionFileLoader") : NULL;
    PyObject *inner = loader != NULL ? PyObject_GetAttrString(loader, "exec_module") : NULL;
    PyObject *function = inner != NULL ? PyCFunction_New(&guarded_exec_module, inner) : NULL;
    PyObject *method = function != NULL ? PyInstanceMethod_New(function) : NULL;
    int result = method != NULL ? PyObject_SetAttrString(loader, "exec_module", method) : -1;
    Py_XDECREF(method);
    Py_XDECREF(function);
    Py_XDECREF(inner);
    Py_XDECREF(loader);
    Py_XDECREF(target);
    return result;
}

PyObject *pyh_core_install_guards(PyObject *module, PyObject *importer)
{
    (void)module;
    if (place_all_in("posix", process_guards, replace) < 0 || place_all_in("posix", start_guards, wrap) < 0 ||
        place_all_in("sys", frame_guards, replace) < 0 || guard_threads() < 0 ||
        wrap(importer, &guarded_exec_module) < 0 || guard_extensions() < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}
