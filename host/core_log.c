/* core_log: the door of a log. In a plugin functions of the module, by which records go in; in the host methods of
 * Router, by which they come out. What is printed goes in by core_stream.c. */
#include "core.h"
#include "crash.h"
#include "lines.h"

#include <string.h>

PyObject *pyh_core_log_level(PyObject *module, PyObject *unused)
{
    (void)unused;
    pyh_core *core = PyModule_GetState(module);
    pyh_log *log = core->interp != NULL ? core->interp->log_source->log : NULL;
    if (log == NULL || !pyh_log_is_open(log)) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLong(atomic_load(&log->level));
}

PyObject *pyh_core_log_name(PyObject *module, PyObject *arguments)
{
    const char *plugin, *version;
    pyh_core *core = PyModule_GetState(module);
    if (!PyArg_ParseTuple(arguments, "ss:log_name", &plugin, &version)) {
        return NULL;
    }
    if (core->interp != NULL && pyh_log_source_name(core->interp->log_source, plugin, version) != PYHOST_OK) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

/* UTF-8, with escapes for what has no character; a new reference. */
static PyObject *encoded(PyObject *text)
{
    return PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
}

PyObject *pyh_core_log_record(PyObject *module, PyObject *arguments)
{
    int level;
    PyObject *logger, *text;
    pyh_core *core = PyModule_GetState(module);
    if (!PyArg_ParseTuple(arguments, "iUU:log_record", &level, &logger, &text)) {
        return NULL;
    }
    if (core->interp == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "only a plugin's interpreter writes to the host's log");
        return NULL;
    }
    pyh_log_source *source = core->interp->log_source;
    PyObject *logger_bytes = encoded(logger);
    PyObject *text_bytes = logger_bytes != NULL ? encoded(text) : NULL;
    if (text_bytes != NULL) {
        pyh_log_entry entry = {
            .call = pyh_call_running_number(),
            .level = level,
            .logger = PyBytes_AS_STRING(logger_bytes),
            .logger_size = (size_t)PyBytes_GET_SIZE(logger_bytes),
            .text = PyBytes_AS_STRING(text_bytes),
            .text_size = (size_t)PyBytes_GET_SIZE(text_bytes),
        };
        pyh_lines_end(source); /* what was printed before stands before */
        pyh_log_add(source, &entry);
    }
    Py_XDECREF(logger_bytes);
    Py_XDECREF(text_bytes);
    return text_bytes != NULL ? Py_NewRef(Py_None) : NULL;
}

PyObject *pyh_core_name_crashes(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    pyh_crash_install();
    Py_RETURN_NONE;
}

static pyh_log *log_of(PyObject *router)
{
    return pyh_core_unwrap_router(router)->log;
}

PyObject *pyh_core_router_open_log(PyObject *router, PyObject *level)
{
    int number = PyLong_AsInt(level);
    if (number == -1 && PyErr_Occurred()) {
        return NULL;
    }
    pyh_log_open(log_of(router), number);
    Py_RETURN_NONE;
}

PyObject *pyh_core_router_close_log(PyObject *router, PyObject *unused)
{
    (void)unused;
    pyh_log_close(log_of(router));
    Py_RETURN_NONE;
}

/* (plugin, version, interpreter, call or None, time, level, logger, text, left_out, lost) */
static PyObject *record_tuple(pyh_log_record *record, const char *plugin, const char *version)
{
    PyObject *call = record->call > 0 ? PyLong_FromUnsignedLongLong(record->call) : Py_NewRef(Py_None);
    PyObject *logger = PyUnicode_DecodeUTF8(record->bytes, (Py_ssize_t)record->logger_size, "replace");
    PyObject *text =
        PyUnicode_DecodeUTF8(record->bytes + record->logger_size, (Py_ssize_t)record->text_size, "replace");
    /* "N" takes over what is there, and fails where something is not. */
    return Py_BuildValue("(ssKNdiNNnK)", plugin, version, (unsigned long long)record->source->id, call,
                         (double)record->time_ns / 1e9, record->level, logger, text, (Py_ssize_t)record->left_out,
                         (unsigned long long)record->lost);
}

PyObject *pyh_core_router_take_log(PyObject *router, PyObject *arguments)
{
    PyObject *timeout;
    Py_ssize_t most;
    pyh_log_record *record = NULL;
    pyhost_status status;
    if (!PyArg_ParseTuple(arguments, "On:take_log", &timeout, &most)) {
        return NULL;
    }
    int64_t timeout_ns = pyh_core_timeout(timeout, PYH_NEVER);
    if (timeout_ns < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = pyh_log_take(log_of(router), pyh_deadline_after(timeout_ns), most > 0 ? (size_t)most : 1, &record);
    Py_END_ALLOW_THREADS
    if (status == PYHOST_CLOSED) {
        Py_RETURN_NONE;
    }
    PyObject *records = PyList_New(0);
    const char *plugin = "", *version = "";
    for (pyh_log_source *source = NULL; record != NULL; record = pyh_log_record_free(record)) {
        if (record->source != source) {
            source = record->source;
            pyh_log_source_names(source, &plugin, &version);
        }
        PyObject *tuple = records != NULL ? record_tuple(record, plugin, version) : NULL;
        if (records != NULL && (tuple == NULL || PyList_Append(records, tuple) < 0)) {
            Py_CLEAR(records);
        }
        Py_XDECREF(tuple);
    }
    return records;
}
