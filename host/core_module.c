/* core_module: the module's definition, its state, and how answers become values and exceptions. */
#include <math.h>

#include "buffer.h"
#include "core.h"
#include "core_code.h"
#include "core_embed.h"
#include "core_guards.h"
#include "core_host.h"
#include "memory.h"
#include "news.h"
#include "runtime.h"

pyh_core *pyh_core_of(PyTypeObject *type)
{
    return PyType_GetModuleState(type);
}

static int load_build_error(pyh_core *core)
{
    if (core->build_error == NULL) {
        PyObject *errors = PyImport_ImportModule("pyhost.errors");
        core->build_error = errors != NULL ? PyObject_GetAttrString(errors, "build") : NULL;
        Py_XDECREF(errors);
    }
    return core->build_error != NULL ? 0 : -1;
}

void pyh_core_raise(pyh_core *core, pyhost_status status, PyObject *function, PyObject *detail)
{
    if (load_build_error(core) < 0) {
        return;
    }
    PyObject *error = PyObject_CallFunction(core->build_error, "sOO", pyhost_status_name(status), function,
                                            detail != NULL ? detail : Py_None);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
}

PyObject *pyh_core_describe(PyObject *exception, PyObject *prefix)
{
    PyObject *text = PyObject_Str(exception);
    if (text == NULL) {
        PyErr_Clear();
        text = PyUnicode_FromString("(its str() raised)");
    }
    PyObject *description =
        text != NULL ? PyUnicode_FromFormat("%V%s: %U", prefix, "", Py_TYPE(exception)->tp_name, text) : NULL;
    Py_XDECREF(text);
    return description;
}

void pyh_core_raise_from(pyh_core *core, pyhost_status status, PyObject *function, PyObject *prefix)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return;
    }
    PyObject *cause = PyErr_GetRaisedException();
    PyObject *detail = pyh_core_describe(cause, prefix);
    if (detail != NULL) {
        pyh_core_raise(core, status, function, detail);
        Py_DECREF(detail);
    }
    PyObject *error = PyErr_GetRaisedException();
    PyException_SetCause(error, cause);
    PyErr_SetRaisedException(error);
}

PyObject *pyh_core_answer(pyh_core *core, pyhost_status status, pyh_message *reply, PyObject *function)
{
    PyObject *value = NULL;
    if (reply != NULL && pyh_codec_decode_message(&core->codec, reply, &value) != PYHOST_OK) {
        pyh_core_raise_from(core, PYHOST_BAD_RESULT, function, NULL);
        return NULL;
    }
    if (status == PYHOST_OK) {
        return value;
    }
    pyh_core_raise(core, status, function, value);
    Py_XDECREF(value);
    return NULL;
}

int pyh_core_wait(pyh_event *event, int64_t deadline_ns, void (*late)(void))
{
    for (;;) {
        pyhost_status status;
        /* A signal that arrives just before the wait does not end it, so the wait ends by itself now and then. */
        int64_t check_ns = pyh_deadline_after(PYH_SIGNAL_CHECK_NS);
        bool is_last = deadline_ns <= check_ns;
        Py_BEGIN_ALLOW_THREADS
        status = pyh_event_wait(event, is_last ? deadline_ns : check_ns);
        if (status == PYHOST_TIMEOUT && is_last && late != NULL) {
            late();
        }
        Py_END_ALLOW_THREADS
        if (status == PYHOST_OK || (status == PYHOST_TIMEOUT && is_last)) {
            return status == PYHOST_OK;
        }
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
    }
}

int pyh_core_check_interrupts(void)
{
    if (PyErr_CheckSignals() < 0) {
        return -1;
    }
    /* As CPython's loop takes it at the next bytecode; that finds nothing then. */
    PyThreadState *state = PyThreadState_Get();
    PyObject *interrupt = __atomic_exchange_n(&state->async_exc, NULL, __ATOMIC_ACQ_REL);
    if (interrupt == NULL) {
        return 0;
    }
    PyErr_SetNone(interrupt);
    Py_DECREF(interrupt);
    return -1;
}

int64_t pyh_core_nanoseconds(double seconds)
{
    return seconds < 9e9 ? (int64_t)ceil(seconds * 1e9) : PYH_NEVER;
}

int64_t pyh_core_timeout(PyObject *seconds, int64_t default_ns)
{
    if (seconds == NULL || seconds == Py_None) {
        return default_ns;
    }
    double value = PyFloat_AsDouble(seconds);
    if (value == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (!(value > 0)) {
        PyErr_Format(PyExc_ValueError, "timeout is %R; allowed: a number of seconds above 0", seconds);
        return -1;
    }
    return pyh_core_nanoseconds(value);
}

static const struct {
    const char *name;
    PyType_Spec *spec;
} lazy_types[PYH_CORE_TYPES] = {
    [PYH_CORE_ROUTER] = {"Router", &pyh_router_spec},
    [PYH_CORE_FUNCTION] = {"Function", &pyh_function_spec},
    [PYH_CORE_MAP] = {"Map", &pyh_map_spec},
    [PYH_CORE_CALL] = {"Call", &pyh_call_spec},
    [PYH_CORE_COMPLETIONS] = {"Completions", &pyh_completions_spec},
    [PYH_CORE_INTERPRETER] = {"Interpreter", &pyh_interpreter_spec},
    [PYH_CORE_CHANNEL] = {"Channel", &pyh_channel_spec},
};

PyTypeObject *pyh_core_type(pyh_core *core, pyh_core_type_index index)
{
    if (core->types[index] == NULL) {
        PyObject *type = PyType_FromModuleAndSpec(core->module, lazy_types[index].spec, NULL);
        if (type == NULL || PyModule_AddType(core->module, (PyTypeObject *)type) < 0) {
            Py_XDECREF(type);
            return NULL;
        }
        core->types[index] = (PyTypeObject *)type;
    }
    return core->types[index];
}

/* The module's __getattr__: types, and in a plugin's interpreter the way to the other plugins. */
static PyObject *core_getattr(PyObject *module, PyObject *name)
{
    pyh_core *core = PyModule_GetState(module);
    /* There is no state yet while the import system looks at the new module. */
    for (pyh_core_type_index i = 0; core != NULL && i < PYH_CORE_TYPES; i++) {
        if (PyUnicode_CompareWithASCIIString(name, lazy_types[i].name) == 0) {
            return Py_XNewRef(pyh_core_type(core, i));
        }
    }
    if (core != NULL && core->interp != NULL && PyUnicode_CompareWithASCIIString(name, "router") == 0) {
        PyObject *router = pyh_core_wrap_router(core, core->interp->router);
        if (router != NULL && PyModule_AddObjectRef(module, "router", router) < 0) {
            Py_CLEAR(router);
        }
        return router;
    }
    return PyErr_Format(PyExc_AttributeError, "module 'pyhost._core' has no attribute %R", name);
}

/* For the codec: it is the first member of the state. */
static PyTypeObject *channel_type(pyh_codec *codec)
{
    return pyh_core_type((pyh_core *)codec, PYH_CORE_CHANNEL);
}

static int core_exec(PyObject *module)
{
    pyh_core *core = PyModule_GetState(module);
    core->module = module;
    core->codec.channel_type = channel_type;
    core->codec.buffer_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &pyh_buffer_spec, NULL);
    if (core->codec.buffer_type == NULL) {
        return -1;
    }
    if (pyh_current_interp != NULL) {
        core->interp = pyh_interp_ref(pyh_current_interp);
        core->interp->codec = &core->codec;
    } else if (PyInterpreterState_Get() == PyInterpreterState_Main() && pyh_runtime_attach() < 0) {
        return -1;
    }
    if (PyModule_AddObjectRef(module, "embedded", pyh_runtime_is_embedded() ? Py_True : Py_False) < 0 ||
        PyModule_AddObjectRef(module, "memory_counted", pyh_memory_is_counted() ? Py_True : Py_False) < 0) {
        return -1;
    }
    return PyModule_AddStringConstant(module, "version", pyhost_version());
}

static int core_traverse(PyObject *module, visitproc visit, void *arg)
{
    pyh_core *core = PyModule_GetState(module);
    Py_VISIT(core->build_error);
    for (size_t i = 0; i < PYH_CORE_TYPES; i++) {
        Py_VISIT(core->types[i]);
    }
    return pyh_codec_traverse(&core->codec, visit, arg);
}

static int core_clear(PyObject *module)
{
    pyh_core *core = PyModule_GetState(module);
    Py_CLEAR(core->build_error);
    for (size_t i = 0; i < PYH_CORE_TYPES; i++) {
        Py_CLEAR(core->types[i]);
    }
    pyh_codec_clear(&core->codec);
    return 0;
}

static void core_free(void *module)
{
    pyh_core *core = PyModule_GetState(module);
    core_clear(module);
    core->interp = pyh_interp_unref(core->interp);
}

static PyObject *core_copy(PyObject *module, PyObject *value)
{
    pyh_core *core = PyModule_GetState(module);
    pyh_message *message = NULL;
    if (pyh_codec_encode_message(&core->codec, value, &message) != PYHOST_OK) {
        return NULL;
    }
    PyObject *decoded = NULL;
    pyh_codec_decode_message(&core->codec, message, &decoded);
    pyh_message_unref(message);
    return decoded;
}

static PyObject *core_left_count(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromUnsignedLong(pyh_interp_left_count());
}

static PyObject *core_lost_count(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromUnsignedLong(pyh_interp_lost_count());
}

static PyObject *core_ends(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    pyh_interp_ends ends = pyh_interp_count_ends();
    return Py_BuildValue("(KL)", (unsigned long long)ends.count, (long long)ends.left_bytes);
}

static PyObject *core_wait_news(PyObject *module, PyObject *arguments)
{
    (void)module;
    unsigned long long seen;
    PyObject *timeout = Py_None;
    uint64_t now;
    if (!PyArg_ParseTuple(arguments, "K|O:wait_news", &seen, &timeout)) {
        return NULL;
    }
    int64_t timeout_ns = pyh_core_timeout(timeout, PYH_NEVER);
    if (timeout_ns < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    now = pyh_news_wait(seen, pyh_deadline_after(timeout_ns));
    Py_END_ALLOW_THREADS
    return PyLong_FromUnsignedLongLong(now);
}

static PyObject *core_tell_news(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    pyh_news_tell();
    Py_RETURN_NONE;
}

static PyMethodDef core_methods[] = {
    {"__getattr__", core_getattr, METH_O, "__getattr__(name, /)\n--\n\nThe types, made when they are first asked for."},
    {"copy", core_copy, METH_O,
     "copy(value)\n--\n\nThe value as it arrives in another interpreter: encoded to a message and decoded again."},
    {"install_guards", pyh_core_install_guards, METH_O,
     "install_guards(importer, /)\n--\n\nIn a plugin, once: functions that would end or crash the process are refused. "
     "importer: that of built-in modules."},
    {"keep_code", pyh_core_keep_code, METH_VARARGS,
     "keep_code(name, code, /)\n--\n\nKeep marshalled code for the plugins' interpreters, once for the process."},
    {"kept_code", pyh_core_kept_code, METH_O,
     "kept_code(name, /)\n--\n\nThe marshalled code that was kept under that name. Raises KeyError."},
    {"left_count", core_left_count, METH_NOARGS,
     "left_count()\n--\n\nHow many interpreters there are, lost ones too; while there are any, CPython cannot be "
     "finalized."},
    {"lost_count", core_lost_count, METH_NOARGS,
     "lost_count()\n--\n\nHow many interpreters have been set aside."},
    {"ends", core_ends, METH_NOARGS,
     "ends()\n--\n\n(how many interpreters have ended, the bytes that their accounts held even then)."},
    {"wait_news", core_wait_news, METH_VARARGS,
     "wait_news(seen, timeout=None, /)\n--\n\nWait until there are more news than seen, or so many seconds; how many "
     "there are: one for each interpreter that went past its hard memory limit, whose call ran past its grace time, or "
     "whose thread has ended, and one for each tell_news()."},
    {"tell_news", core_tell_news, METH_NOARGS, "tell_news()\n--\n\nEnd the waits of wait_news."},
    {"take_order", pyh_core_take_order, METH_NOARGS,
     "take_order()\n--\n\nFor pyhost.embed: wait for what the program asks next; (order, verb, value), or None when it will "
     "ask no more."},
    {"stop_grace", pyh_core_stop_grace, METH_NOARGS,
     "stop_grace()\n--\n\nFor pyhost.embed: once there are no more orders, how many seconds the calls under way have."},
    {"answer_order", pyh_core_answer_order, METH_VARARGS,
     "answer_order(order, status, value, /)\n--\n\nFor pyhost.embed: answer an order, once, with the name of a "
     "pyhost_status and a value; for a failure the value is (message, plugin, type, traceback)."},
    {"tell_ready", pyh_core_tell_ready, METH_O,
     "tell_ready(router, /)\n--\n\nFor pyhost.embed: the plugins of this router are loaded; the program goes on."},
    {"tell_log", pyh_core_tell_log, METH_VARARGS,
     "tell_log(level, logger, message, /)\n--\n\nFor pyhost.embed: hand a line to the program's log function; whether it "
     "has one."},
    {"call_host", pyh_core_call_host, METH_VARARGS,
     "call_host(name, args, kwargs, /)\n--\n\nCall a function of the program that embeds pyhost."},
    {"open_inbox", pyh_core_open_inbox, METH_NOARGS,
     "open_inbox()\n--\n\nIn a plugin: a file descriptor that is readable while calls wait in this interpreter's "
     "inbox."},
    {"serve_ready", (PyCFunction)(void (*)(void))pyh_core_serve_ready, METH_FASTCALL,
     "serve_ready(start, is_coroutine_function)\n--\n\nIn a plugin: run the calls that wait. Plain functions are "
     "called; for coroutine functions start(coroutine, call, seconds_left) is. Returns three truths: more may come; "
     "some "
     "running call was given up; all are to be."},
    {"log_level", pyh_core_log_level, METH_NOARGS,
     "log_level()\n--\n\nIn a plugin: from which level on the host wants records; None where nobody reads them."},
    {"log_name", pyh_core_log_name, METH_VARARGS,
     "log_name(plugin, version, /)\n--\n\nIn a plugin, once: what its records name. Elsewhere it does nothing."},
    {"log_record", pyh_core_log_record, METH_VARARGS,
     "log_record(level, logger, text, /)\n--\n\nIn a plugin: add a record to the host's log. Never waits."},
    {"log_install", pyh_core_log_install, METH_NOARGS,
     "log_install()\n--\n\nIn a plugin, once: what is printed, what logging is given and what nobody catches goes to "
     "the "
     "host's log. Nothing where the host reads none."},
    {"report_thread", pyh_core_report_thread, METH_O, "report_thread(arguments, /)\n--\n\nthreading.excepthook."},
    {"report_unraisable", pyh_core_report_unraisable, METH_O,
     "report_unraisable(arguments, /)\n--\n\nsys.unraisablehook."},
    {"find_spec", (PyCFunction)(void (*)(void))pyh_core_find_spec, METH_FASTCALL,
     "find_spec(name, path=None, target=None, /)\n--\n\nAs a finder of sys.meta_path: sees the import of logging."},
    {"name_crashes", pyh_core_name_crashes, METH_NOARGS,
     "name_crashes()\n--\n\nFrom now on a signal that ends the process names the plugin on stderr. After "
     "faulthandler.enable()."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {0, NULL},
};

PyModuleDef pyh_core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pyhost._core",
    .m_doc = "The C half of pyhost: interpreters, routes and calls.",
    .m_size = sizeof(pyh_core),
    .m_methods = core_methods,
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyObject *pyhost_core_init(void)
{
    return PyModuleDef_Init(&pyh_core_module);
}
