/* core_router: _core.Router, the table of plugins that a host publishes and calls go through. */
#include "core.h"

#include <stdlib.h>

typedef struct {
    PyObject_HEAD
    pyh_router *router; /* owned */
} Router;

static PyObject *router_alloc(PyTypeObject *type, pyh_router *router)
{
    Router *self = router != NULL ? (Router *)type->tp_alloc(type, 0) : NULL;
    if (self == NULL) {
        pyh_router_unref(router);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    self->router = router;
    return (PyObject *)self;
}

PyObject *pyh_core_wrap_router(pyh_core *core, pyh_router *router)
{
    PyTypeObject *type = pyh_core_type(core, PYH_CORE_ROUTER);
    return type != NULL ? router_alloc(type, pyh_router_ref(router)) : NULL;
}

pyh_router *pyh_core_unwrap_router(PyObject *router)
{
    return ((Router *)router)->router;
}

static PyObject *router_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, ":Router", names)) {
        return NULL;
    }
    return router_alloc(type, pyh_router_new());
}

static void router_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    pyh_router_unref(((Router *)object)->router);
    type->tp_free(object);
    Py_DECREF(type);
}

/* Reads (name, direct, deadline in seconds) into *function, whose name is borrowed from the tuple. */
static int parse_function(PyObject *item, pyh_function *function)
{
    const char *name;
    int direct;
    double deadline;
    if (!PyTuple_Check(item)) {
        PyErr_SetString(PyExc_TypeError, "a function is a tuple (name, direct, deadline)");
        return -1;
    }
    if (!PyArg_ParseTuple(item, "spd", &name, &direct, &deadline)) {
        return -1;
    }
    function->name = (char *)(uintptr_t)name;
    function->direct = direct != 0;
    function->deadline_ns = deadline < 9e9 ? (int64_t)(deadline * 1e9) : PYH_NEVER;
    return 0;
}

static pyh_route *make_route(pyh_core *core, const char *plugin, PyObject *interpreters, PyObject *functions,
                             pyh_route *before)
{
    size_t interp_count = (size_t)PyTuple_GET_SIZE(interpreters);
    size_t function_count = (size_t)PyTuple_GET_SIZE(functions);
    pyh_interp **interps = calloc(interp_count + 1, sizeof(pyh_interp *));
    pyh_function *table = calloc(function_count + 1, sizeof *table);
    pyh_route *route = NULL;
    if (interps == NULL || table == NULL) {
        PyErr_NoMemory();
        goto free_tables;
    }
    for (size_t i = 0; i < interp_count; i++) {
        PyObject *interpreter = PyTuple_GET_ITEM(interpreters, (Py_ssize_t)i);
        if (!Py_IS_TYPE(interpreter, core->types[PYH_CORE_INTERPRETER])) {
            PyErr_Format(PyExc_TypeError, "expected an Interpreter, not %T", interpreter);
            goto free_tables;
        }
        interps[i] = pyh_core_unwrap_interpreter(interpreter);
    }
    for (size_t i = 0; i < function_count; i++) {
        if (parse_function(PyTuple_GET_ITEM(functions, (Py_ssize_t)i), &table[i]) < 0) {
            goto free_tables;
        }
    }
    route = pyh_route_new(plugin, interps, interp_count, table, function_count, before);
    if (route == NULL) {
        PyErr_NoMemory();
    }

free_tables:
    free(table);
    free(interps);
    return route;
}

static PyObject *router_publish(PyObject *self, PyObject *arguments)
{
    const char *plugin;
    PyObject *interpreters, *functions;
    uint64_t version;
    int counts_on = 0;
    if (!PyArg_ParseTuple(arguments, "sO!O!|p:publish", &plugin, &PyTuple_Type, &interpreters, &PyTuple_Type,
                          &functions, &counts_on)) {
        return NULL;
    }
    pyh_route *before = counts_on ? pyh_router_find(pyh_core_unwrap_router(self), plugin, &version) : NULL;
    pyh_route *route = make_route(pyh_core_of(Py_TYPE(self)), plugin, interpreters, functions, before);
    pyh_route_unref(before);
    if (route == NULL) {
        return NULL;
    }
    if (pyh_router_publish(pyh_core_unwrap_router(self), route) != PYHOST_OK) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

static PyObject *router_withdraw(PyObject *self, PyObject *name)
{
    const char *plugin = PyUnicode_AsUTF8(name);
    if (plugin == NULL) {
        return NULL;
    }
    pyh_router_withdraw(pyh_core_unwrap_router(self), plugin);
    Py_RETURN_NONE;
}

static PyObject *router_set_draining(PyObject *self, PyObject *draining)
{
    atomic_store(&pyh_core_unwrap_router(self)->draining, draining == Py_True);
    Py_RETURN_NONE;
}

static PyObject *router_function(PyObject *self, PyObject *name)
{
    return pyh_core_function(pyh_core_of(Py_TYPE(self)), pyh_core_unwrap_router(self), name);
}

static PyObject *function_statistics(pyh_function *function)
{
    pyh_figures figures;
    pyh_stats_read(function->stats, &figures);
    PyObject *buckets = PyTuple_New(PYH_STATS_BUCKETS);
    for (unsigned i = 0; buckets != NULL && i < PYH_STATS_BUCKETS; i++) {
        int64_t bound_ns = pyh_stats_bound_ns(i);
        double bound = bound_ns == INT64_MAX ? Py_HUGE_VAL : (double)bound_ns / 1e9;
        PyObject *pair = Py_BuildValue("(dK)", bound, (unsigned long long)figures.buckets[i]);
        if (pair == NULL) {
            Py_CLEAR(buckets);
        } else {
            PyTuple_SET_ITEM(buckets, i, pair);
        }
    }
    if (buckets == NULL) {
        return NULL;
    }
    return Py_BuildValue("(sKKKKdddN)", function->name, (unsigned long long)figures.calls,
                         (unsigned long long)figures.errors, (unsigned long long)figures.timeouts,
                         (unsigned long long)figures.rejected, (double)figures.total_ns / 1e9,
                         (double)figures.maximum_ns / 1e9, (double)figures.processor_ns / 1e9,
                         buckets);
}

static PyObject *router_statistics(PyObject *self, PyObject *name)
{
    uint64_t version;
    const char *plugin = PyUnicode_AsUTF8(name);
    if (plugin == NULL) {
        return NULL;
    }
    PyObject *list = PyList_New(0);
    pyh_route *route = pyh_router_find(pyh_core_unwrap_router(self), plugin, &version);
    for (size_t i = 0; list != NULL && route != NULL && i < route->function_count; i++) {
        PyObject *statistics = function_statistics(&route->functions[i]);
        if (statistics == NULL || PyList_Append(list, statistics) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(statistics);
    }
    pyh_route_unref(route);
    return list;
}

static PyMethodDef router_methods[] = {
    {"publish", router_publish, METH_VARARGS,
     "publish(plugin, interpreters, functions, counts_on=False, /)\n--\n\nMake these the plugin's interpreters and "
     "functions, in one "
     "step. functions: a tuple of (name, direct, deadline in seconds), in the order of the plugin's own table. No "
     "interpreters: known, but not running. counts_on: the functions keep their counts."},
    {"withdraw", router_withdraw, METH_O, "withdraw(plugin, /)\n--\n\nForget the plugin."},
    {"set_draining", router_set_draining, METH_O,
     "set_draining(draining, /)\n--\n\nWhile it drains, the host's own calls find every plugin unavailable; calls "
     "between "
     "plugins go on."},
    {"function", router_function, METH_O,
     "function(name, /)\n--\n\nA handle for \"plugin.function\"; it follows the plugin through reloads."},
    {"statistics", router_statistics, METH_O,
     "statistics(plugin, /)\n--\n\nFor each function (name, calls, errors, timeouts, rejected, total seconds, maximum "
     "seconds, ((upper bound in seconds, count), ...))."},
    {"open_log", pyh_core_router_open_log, METH_O,
     "open_log(level, /)\n--\n\nTake records of what plugins print and log; they are told to give those from this "
     "level "
     "on."},
    {"take_log", pyh_core_router_take_log, METH_VARARGS,
     "take_log(timeout, most, /)\n--\n\nWait for records, and take at most so many: a list of (plugin, version, "
     "interpreter, call or None, time, level, logger, text, bytes by which the text was too long, records of the "
     "interpreter that were lost after it); empty when the time is over, None when the log is closed and empty. One "
     "thread."},
    {"close_log", pyh_core_router_close_log, METH_NOARGS,
     "close_log()\n--\n\nTake no more records; those that wait can still be taken."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot router_slots[] = {
    {Py_tp_doc, (void *)"Router()\n--\n\nThe table from plugins to the interpreters that serve them."},
    {Py_tp_new, router_new},
    {Py_tp_dealloc, router_dealloc},
    {Py_tp_methods, router_methods},
    {0, NULL},
};

PyType_Spec pyh_router_spec = {
    .name = "pyhost._core.Router",
    .basicsize = sizeof(Router),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = router_slots,
};
