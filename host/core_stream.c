/* core_stream: what a plugin's interpreter is given to write to the host's log: _core.Stream, which is under sys.stdout
 * and sys.stderr, and hooks for what nobody catches and for the import of logging. In C, as each interpreter would have
 * a copy of it in Python; what the hooks do is in pyhost/guest_log.py, which is imported at their first use. */
#include "core.h"
#include "lines.h"

#include <unistd.h>

typedef struct {
    pyh_stream number;
    bool has_descriptor; /* the process has such a stream */
} stream_data;

static stream_data *data_of(PyObject *self)
{
    return PyObject_GetTypeData(self, Py_TYPE(self));
}

static PyObject *stream_write(PyObject *self, PyObject *bytes)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(bytes, &buffer, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    pyh_log_source *source = pyh_core_of(Py_TYPE(self))->interp->log_source;
    Py_ssize_t size = buffer.len;
    pyh_lines_write(source, pyh_call_running_number(), data_of(self)->number, buffer.buf, (size_t)size);
    PyBuffer_Release(&buffer);
    return PyLong_FromSsize_t(size);
}

static PyObject *stream_flush(PyObject *self, PyObject *unused)
{
    (void)unused;
    pyh_lines_flush(data_of(self)->number);
    Py_RETURN_NONE;
}

static PyObject *stream_writable(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_TRUE;
}

static PyObject *stream_fileno(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (!data_of(self)->has_descriptor) {
        PyObject *io = PyImport_ImportModule("_io");
        PyObject *unsupported = io != NULL ? PyObject_GetAttrString(io, "UnsupportedOperation") : NULL;
        if (unsupported != NULL) {
            PyErr_Format(unsupported, "the process has no %s",
                         data_of(self)->number == PYH_STDOUT ? "stdout" : "stderr");
        }
        Py_XDECREF(unsupported);
        Py_XDECREF(io);
        return NULL;
    }
    return PyLong_FromLong(data_of(self)->number == PYH_STDOUT ? STDOUT_FILENO : STDERR_FILENO);
}

static PyObject *stream_get_name(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(data_of(self)->number == PYH_STDOUT ? "<stdout>" : "<stderr>");
}

static PyMethodDef stream_methods[] = {
    {"write", stream_write, METH_O, NULL},
    {"flush", stream_flush, METH_NOARGS, NULL},
    {"writable", stream_writable, METH_NOARGS, NULL},
    {"fileno", stream_fileno, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef stream_getset[] = {
    {"name", stream_get_name, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot stream_slots[] = {
    {Py_tp_methods, stream_methods},
    {Py_tp_getset, stream_getset},
    {0, NULL},
};

/* A subclass of _io._BufferedIOBase, which has the rest of what Python programs do with such an object. */
static PyType_Spec stream_spec = {
    .name = "pyhost._core.Stream",
    .basicsize = -(int)sizeof(stream_data),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = stream_slots,
};

/* Puts a text stream over a new Stream in the place of sys.NAME and sys.__NAME__. -1 with an exception set. Nothing
 * stays in the text stream, which all threads share: lines gather in lines.c, for each thread. */
static int replace_stream(PyObject *io, PyTypeObject *type, pyh_stream number, const char *name, const char *original)
{
    PyObject *stream = type->tp_alloc(type, 0);
    if (stream == NULL) {
        return -1;
    }
    PyObject *before = PySys_GetObject(original); /* borrowed */
    *data_of(stream) = (stream_data){.number = number, .has_descriptor = before != NULL && before != Py_None};
    PyObject *text = PyObject_CallMethod(io, "TextIOWrapper", "OsssOO", stream, "utf-8", "backslashreplace", "\n",
                                         Py_False, Py_True /* write_through */);
    Py_DECREF(stream);
    int result = text != NULL ? PySys_SetObject(name, text) : -1;
    if (result == 0) {
        result = PySys_SetObject(original, text);
    }
    Py_XDECREF(text);
    return result;
}

static int replace_streams(PyObject *module)
{
    int result = -1;
    PyObject *io = PyImport_ImportModule("_io");
    PyObject *base = io != NULL ? PyObject_GetAttrString(io, "_BufferedIOBase") : NULL;
    PyObject *type = base != NULL ? PyType_FromModuleAndSpec(module, &stream_spec, base) : NULL;
    if (type != NULL && replace_stream(io, (PyTypeObject *)type, PYH_STDOUT, "stdout", "__stdout__") == 0) {
        result = replace_stream(io, (PyTypeObject *)type, PYH_STDERR, "stderr", "__stderr__");
    }
    Py_XDECREF(type);
    Py_XDECREF(base);
    Py_XDECREF(io);
    return result;
}

/* sys.unraisablehook, threading.excepthook, which threading takes from _thread, and a finder that sees logging come. */
static int install_hooks(PyObject *module)
{
    PyObject *thread = PyImport_ImportModule("_thread");
    PyObject *report_thread = PyObject_GetAttrString(module, "report_thread");
    PyObject *report_unraisable = PyObject_GetAttrString(module, "report_unraisable");
    PyObject *finders = PySys_GetObject("meta_path"); /* borrowed */
    int result = -1;
    if (thread != NULL && report_thread != NULL && report_unraisable != NULL && finders != NULL &&
        PyObject_SetAttrString(thread, "_excepthook", report_thread) == 0 &&
        PySys_SetObject("unraisablehook", report_unraisable) == 0) {
        result = PyList_Insert(finders, 0, module);
    }
    Py_XDECREF(report_unraisable);
    Py_XDECREF(report_thread);
    Py_XDECREF(thread);
    return result;
}

PyObject *pyh_core_log_install(PyObject *module, PyObject *unused)
{
    (void)unused;
    pyh_core *core = PyModule_GetState(module);
    if (core->interp != NULL && pyh_log_is_open(core->interp->log_source->log) &&
        (replace_streams(module) < 0 || install_hooks(module) < 0)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Calls a function of pyhost.guest_log. */
static PyObject *forward(const char *name, PyObject *const *arguments, size_t count)
{
    PyObject *result = NULL;
    PyObject *guest_log = PyImport_ImportModule("pyhost.guest_log");
    PyObject *function = guest_log != NULL ? PyObject_GetAttrString(guest_log, name) : NULL;
    if (function != NULL) {
        result = PyObject_Vectorcall(function, arguments, count, NULL);
    }
    Py_XDECREF(function);
    Py_XDECREF(guest_log);
    return result;
}

PyObject *pyh_core_report_thread(PyObject *module, PyObject *arguments)
{
    (void)module;
    return forward("report_thread", &arguments, 1);
}

PyObject *pyh_core_report_unraisable(PyObject *module, PyObject *arguments)
{
    (void)module;
    return forward("report_unraisable", &arguments, 1);
}

PyObject *pyh_core_find_spec(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    if (count < 1 || !PyUnicode_Check(arguments[0]) || PyUnicode_CompareWithASCIIString(arguments[0], "logging") != 0) {
        Py_RETURN_NONE;
    }
    return forward("find_logging", arguments, (size_t)count);
}
