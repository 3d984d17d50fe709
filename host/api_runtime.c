/* api_runtime: starts and ends the one CPython of a program, on a thread of its own: for CPython that is the main one.
 *
 * On it pyhost/embed.py runs a Host and answers orders (orders.h) until the program stops it. The program's threads
 * never have a thread state of the main interpreter. */
#include "api_runtime.h"

#include <Python.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "api_call.h"
#include "api_function.h"
#include "core.h"
#include "orders.h"
#include "runtime.h"

struct pyhost_runtime {
    /* fixed while the thread runs */
    char *python;  /* owned */
    char *plugins; /* owned; NULL for none */
    uint32_t warm;
    pyhost_log_function *log;
    void *log_context;
    pthread_t thread;
    pyh_router *router; /* owned; set by the thread before `started` */
    pyh_event started;  /* the plugins are loaded, or it has failed */
    /* written by the thread before `started`, or before it ends */
    pyhost_status status;
    pyhost_error *error; /* owned */
    /* written before no more orders are taken */
    _Atomic int64_t grace_ns;
};

/* The process's only one, while it is there. */
static _Atomic(pyhost_runtime *) current;
static atomic_bool started_before;

pyh_router *pyh_api_router(pyhost_runtime *runtime)
{
    return runtime->router;
}

void pyh_runtime_ready(pyh_router *router)
{
    pyhost_runtime *self = atomic_load(&current);
    self->router = pyh_router_ref(router);
    pyh_event_set(&self->started);
}

bool pyh_runtime_log(int level, const char *logger, const char *message)
{
    pyhost_runtime *self = atomic_load(&current);
    if (self->log != NULL) {
        self->log(self->log_context, level, logger, message);
    }
    return self->log != NULL;
}

int64_t pyh_runtime_grace_ns(void)
{
    return atomic_load(&atomic_load(&current)->grace_ns);
}

static void free_runtime(pyhost_runtime *self)
{
    pyh_router_unref(self->router);
    pyh_event_deinit(&self->started);
    pyhost_error_free(self->error);
    free(self->plugins);
    free(self->python);
    free(self);
}

/* Cuts the last part off a path; false: there is none. */
static bool go_up(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path) {
        return false;
    }
    *slash = '\0';
    return true;
}

/* The program of the environment in which this library stands, PREFIX/lib/pythonX.Y/site-packages/pyhost/; malloc'ed,
 * NULL if it stands in none. OK or NO_MEMORY. */
static pyhost_status find_python(char **python)
{
    Dl_info info;
    char *path = NULL, *found = NULL;
    if (dladdr((const void *)(uintptr_t)pyhost_version, &info) != 0 && info.dli_fname != NULL) {
        path = realpath(info.dli_fname, NULL);
        if (path == NULL && errno == ENOMEM) {
            return PYHOST_NO_MEMORY;
        }
    }
    bool is_found = path != NULL;
    for (int i = 0; i < 5 && is_found; i++) {
        is_found = go_up(path);
    }
    pyhost_status status = PYHOST_OK;
    if (is_found && asprintf(&found, "%s/bin/python%d.%d", path, PY_MAJOR_VERSION, PY_MINOR_VERSION) < 0) {
        found = NULL;
        status = PYHOST_NO_MEMORY;
    }
    if (found != NULL && access(found, X_OK) != 0) {
        free(found);
        found = NULL;
    }
    free(path);
    *python = found;
    return status;
}

/* A copy; NULL of NULL. OK or NO_MEMORY. */
static pyhost_status copy_text(const char *text, char **copy)
{
    *copy = text != NULL ? strdup(text) : NULL;
    return text == NULL || *copy != NULL ? PYHOST_OK : PYHOST_NO_MEMORY;
}

static pyhost_status choose_python(const char *wanted, char **python)
{
    const char *named = wanted != NULL ? wanted : getenv("PYHOST_PYTHON");
    return named != NULL ? copy_text(named, python) : find_python(python);
}

/* A host that was loaded as a plugin of another program, with RTLD_LOCAL, has libpython to itself; Python's extension
 * modules look for it in the whole process. */
static void make_libpython_global(void)
{
    Dl_info info;
    if (dladdr((const void *)(uintptr_t)Py_InitializeFromConfig, &info) != 0 && info.dli_fname != NULL) {
        dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
    }
}

/* The exception that is set, as the runtime's error. */
static void keep_exception(pyhost_runtime *self)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *text = exception != NULL ? PyObject_Str(exception) : NULL;
    const char *message = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    const char *type = exception != NULL ? Py_TYPE(exception)->tp_name : "";
    PyErr_Clear();
    self->status = pyh_error_set(
        &self->error, PYHOST_NOT_STARTED,
        &(pyh_error_parts){.message = pyh_text_of(message != NULL ? message : type), .type = pyh_text_of(type)});
    Py_XDECREF(text);
    Py_XDECREF(exception);
}

/* _core is that of this very library, whatever stands in the environment: a second one would have a second state. Every
 * finder of the environment comes later. */
static const char bootstrap[] = "import sys\n"
                                "from _frozen_importlib import BuiltinImporter, module_from_spec\n"
                                "spec = BuiltinImporter.find_spec('pyhost._core')\n"
                                "core = sys.modules['pyhost._core'] = module_from_spec(spec)\n"
                                "spec.loader.exec_module(core)\n"
                                "from pyhost import embed\n"
                                "main = embed.main\n";

/* Runs pyhost/embed.py until the program stops it. -1 with an exception set. */
static int orchestrate(pyhost_runtime *self)
{
    if (pyh_runtime_run_site() < 0) {
        return -1;
    }
    PyObject *names = Py_BuildValue("{ss}", "__name__", "pyhost-embed");
    PyObject *result = names != NULL ? PyRun_String(bootstrap, Py_file_input, names, names) : NULL;
    PyObject *embed_main = result != NULL ? PyDict_GetItemString(names, "main") : NULL;
    Py_XDECREF(result);
    result = embed_main != NULL ? PyObject_CallFunction(embed_main, "zI", self->plugins, (unsigned)self->warm) : NULL;
    Py_XDECREF(names);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

/* Ends CPython, if no thread is stuck in it. */
static void finalize(pyhost_runtime *self)
{
    if (pyh_interp_left_count() > 0) {
        PyEval_SaveThread();
        self->status = pyh_error_say(&self->error, PYHOST_UNFINISHED,
                                     "%u interpreter(s) did not end, as a thread is stuck in each; Python stays in the "
                                     "process until that ends",
                                     pyh_interp_left_count());
    } else if (Py_FinalizeEx() < 0 && self->status == PYHOST_OK) {
        self->status = pyh_error_say(&self->error, PYHOST_UNFINISHED, "Python's buffered output could not be written");
    }
}

static void *runtime_main(void *argument)
{
    pyhost_runtime *self = argument;
    char program[] = "pyhost", *arguments[] = {program, NULL};
    PyStatus status = pyh_runtime_initialize(self->python, 1, arguments, false);
    if (PyStatus_Exception(status)) {
        self->status = pyh_error_say(&self->error, PYHOST_NOT_STARTED, "Python (%s) did not start: %s", self->python,
                                     status.err_msg != NULL ? status.err_msg : "no reason given");
    } else {
        if (orchestrate(self) < 0) {
            keep_exception(self);
        }
        pyh_orders_end();
        finalize(self);
    }
    pyh_event_set(&self->started);
    return NULL;
}

static void take_signals(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    pyh_thread_allow_wake();
}

static pyhost_status say_no_memory(pyhost_error **error)
{
    return pyh_error_say(error, PYHOST_NO_MEMORY, "out of memory");
}

/* Whether there is a Python that can be run. */
static pyhost_status check_python(const char *python, pyhost_error **error)
{
    if (python == NULL) {
        return pyh_error_say(error, PYHOST_NOT_STARTED,
                             "no Python is named, and libpyhost does not stand in a virtual environment: name one in "
                             "the options, or set PYHOST_PYTHON");
    }
    if (access(python, X_OK) != 0) {
        return pyh_error_say(error, PYHOST_NOT_STARTED,
                             "%s is not a program that can be run; name the python of the virtual "
                             "environment in which pyhost is installed",
                             python);
    }
    return PYHOST_OK;
}

/* What the program has asked for. */
static pyhost_status make_runtime(const pyhost_runtime_options *given, pyhost_runtime **made, pyhost_error **error)
{
    pyhost_runtime_options options = {.size = sizeof options};
    if (given != NULL) {
        pyh_struct_copy(&options, given, given->size);
    }
    pyhost_runtime *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return say_no_memory(error);
    }
    pyh_event_init(&self->started);
    self->warm = options.warm;
    self->log = options.log;
    self->log_context = options.log_context;
    bool is_copied = choose_python(options.python, &self->python) == PYHOST_OK &&
                     copy_text(options.plugins, &self->plugins) == PYHOST_OK;
    pyhost_status status = is_copied ? check_python(self->python, error) : say_no_memory(error);
    if (status != PYHOST_OK) {
        free_runtime(self);
        return status;
    }
    if (options.owns_signals) {
        take_signals();
    }
    *made = self;
    return PYHOST_OK;
}

/* Gives it a thread to run Python on. After a failure all is as before. */
static pyhost_status launch(pyhost_runtime *self)
{
    static bool has_core; /* it stays in CPython's table */
    has_core = has_core || PyImport_AppendInittab("pyhost._core", pyhost_core_init) == 0;
    pyhost_status status = has_core ? pyh_orders_open() : PYHOST_NO_MEMORY;
    if (status != PYHOST_OK) {
        return status;
    }
    atomic_store(&current, self);
    status = pyh_thread_start(&self->thread, "pyhost", runtime_main, self);
    if (status != PYHOST_OK) {
        atomic_store(&current, NULL);
        pyh_orders_drop();
    }
    return status;
}

/* Waits for the end of the thread and gives its outcome. */
static pyhost_status join(pyhost_runtime *self, pyhost_error **error)
{
    pthread_join(self->thread, NULL);
    atomic_store(&current, NULL);
    pyhost_status status = self->status;
    if (error != NULL && status != PYHOST_OK) {
        *error = self->error;
        self->error = NULL;
    }
    free_runtime(self);
    return status;
}

pyhost_status pyhost_runtime_start(const pyhost_runtime_options *options, pyhost_runtime **runtime,
                                   pyhost_error **error)
{
    pyhost_runtime *self = NULL;
    if (atomic_exchange(&started_before, true) || Py_IsInitialized()) {
        return pyh_error_say(error, PYHOST_STARTED_BEFORE,
                             "this process has started Python before, and can do so only once: keep the runtime, or "
                             "start a new process");
    }
    pyhost_status status = make_runtime(options, &self, error);
    if (status == PYHOST_OK) {
        make_libpython_global();
        status = launch(self);
        if (status != PYHOST_OK) {
            free_runtime(self);
            pyh_error_say(error, status, "Python did not start: %s", pyhost_status_message(status));
        }
    }
    if (status != PYHOST_OK) {
        atomic_store(&started_before, false); /* nothing of Python has run */
        return status;
    }
    while (pyh_event_wait(&self->started, PYH_NEVER) != PYHOST_OK) {
        /* A signal handler has run; the program's business. */
    }
    if (self->router == NULL) {
        return join(self, error);
    }
    *runtime = self;
    return PYHOST_OK;
}

pyhost_status pyhost_runtime_stop(pyhost_runtime *runtime, int64_t grace_ns, pyhost_error **error)
{
    /* No order: that would take memory. */
    atomic_store(&runtime->grace_ns, grace_ns > 0 ? grace_ns : 0);
    pyh_orders_close();
    pyh_callbacks_close();
    return join(runtime, error);
}

/* Reads what an order failed with. */
static pyhost_status order_failed(pyhost_status status, pyh_message *reply, pyhost_error **error)
{
    pyh_error_parts parts = {.message = pyh_text_of(pyhost_status_message(status))};
    pyhost_reader inner;
    if (reply != NULL) {
        pyhost_reader reader = pyhost_reader_make(pyh_value_of(reply));
        if (pyhost_reader_enter(&reader, &inner) == PYHOST_OK) {
            parts.message = pyh_text_read(&inner);
            parts.plugin = pyh_text_read(&inner);
            parts.type = pyh_text_read(&inner);
            parts.traceback = pyh_text_read(&inner);
        }
    }
    return pyh_error_set(error, status, &parts);
}

pyhost_status pyh_runtime_order(const char *verb, pyhost_builder *request, pyh_message **reply, pyhost_error **error)
{
    pyhost_value *value = NULL;
    pyh_message *answer = NULL;
    pyhost_status status = request != NULL ? pyhost_builder_finish(request, &value) : PYHOST_NO_MEMORY;
    if (status == PYHOST_OK) {
        status = pyh_orders_give(verb, pyh_message_of(value), &answer);
    }
    if (status != PYHOST_OK) {
        order_failed(status, answer, error);
    } else if (reply != NULL) {
        *reply = answer;
        answer = NULL;
    }
    pyh_message_unref(answer);
    return status;
}
