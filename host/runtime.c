/* runtime: see runtime.h. Facts used: a new interpreter copies the main one's configuration. Without `site` it comes up
 * in half the time and 0.55 MB smaller, so site_import is 0 while one is created; the host sets sys.path itself. On
 * 3.13, datetime must have been imported in the main interpreter first, or interpreters that use it abort at their end
 * when several are alive. */
#include "runtime.h"

#include <stdlib.h>

#include "background.h"
#include "fence.h"
#include "interp.h"
#include "memory.h"
#include "pyhost.h"

static struct {
    bool embedded;
    PyConfig *config; /* the main interpreter's; guarded by mutex after attach */
    pthread_once_t once;
    pyh_mutex mutex;
} runtime = {.once = PTHREAD_ONCE_INIT};

/* Exported by every CPython since 3.9, though its header does not promise it. The configuration of the current
 * interpreter; there is no public way to what a new one copies. */
extern const PyConfig *_Py_GetConfig(void);

static void runtime_init(void)
{
    pyh_mutex_init(&runtime.mutex, PYH_RANK_CREATION);
}

int pyh_runtime_attach(void)
{
    pthread_once(&runtime.once, runtime_init);
    if (runtime.config != NULL) {
        return 0;
    }
    PyObject *datetime = PyImport_ImportModule("datetime");
    if (datetime == NULL) {
        return -1;
    }
    Py_DECREF(datetime);
    runtime.config = (PyConfig *)(uintptr_t)_Py_GetConfig();
    pyh_memory_install();
    pyh_fence_register();
    return 0;
}

bool pyh_runtime_is_embedded(void)
{
    return runtime.embedded;
}

/* Those before this thread give way no more, unless it does itself. */
static void take_turn(void)
{
    if (!pyh_mutex_try_lock(&runtime.mutex)) {
        pyh_background_hurry();
        pyh_mutex_lock(&runtime.mutex);
    }
}

PyThreadState *pyh_runtime_new_interpreter(pyh_account *account)
{
    const PyInterpreterConfig config = {
        .use_main_obmalloc = 0,
        .allow_fork = 0,
        .allow_exec = 0,
        .allow_threads = 1,
        .allow_daemon_threads = 0,
        .check_multi_interp_extensions = 1,
        .gil = PyInterpreterConfig_OWN_GIL,
    };
    PyThreadState *thread_state = NULL;
    take_turn();
    int site_import = runtime.config->site_import;
    runtime.config->site_import = 0;
    pyh_this_thread.scope = account;
    PyStatus status = Py_NewInterpreterFromConfig(&thread_state, &config);
    runtime.config->site_import = site_import;
    if (PyStatus_Exception(status)) {
        thread_state = NULL;
        pyh_memory_reclaim(account);
    } else {
        pyh_account_open(account, PyThreadState_GetInterpreter(thread_state));
        pyh_async_exception_learn(thread_state);
    }
    pyh_this_thread.scope = NULL;
    pyh_mutex_unlock(&runtime.mutex);
    return thread_state;
}

void pyh_runtime_end_interpreter(PyThreadState *thread_state, pyh_account *account)
{
    take_turn();
    pyh_this_thread.scope = account;
    /* Before its end: somebody else's new interpreter may get the same address. */
    pyh_account_close(account);
    Py_EndInterpreter(thread_state);
    pyh_this_thread.scope = NULL;
    pyh_memory_reclaim(account);
    pyh_mutex_unlock(&runtime.mutex);
}

static PyStatus configure(PyConfig *config, const char *python, int argc, char **argv)
{
    config->parse_argv = 0;
    config->safe_path = 1;
    config->site_import = 0; /* run by hand: see the top */
    /* Reading any string of the configuration pre-initializes CPython, which chooses the allocators. */
    PyStatus status = PyConfig_SetBytesString(config, &config->program_name, python);
    pyh_memory_install();
    if (!PyStatus_Exception(status)) {
        status = PyConfig_SetBytesArgv(config, argc, argv);
    }
    return status;
}

/* A program's locale stays what it has made it: Python takes everything for UTF-8 instead. */
static PyStatus leave_locale_alone(void)
{
    PyPreConfig config;
    PyPreConfig_InitPythonConfig(&config);
    config.configure_locale = 0;
    config.coerce_c_locale = 0;
    config.utf8_mode = 1;
    return Py_PreInitialize(&config);
}

PyStatus pyh_runtime_initialize(const char *python, int argc, char **argv, bool owns_process)
{
    PyConfig config;
    PyStatus status = owns_process ? PyStatus_Ok() : leave_locale_alone();
    if (PyStatus_Exception(status)) {
        return status;
    }
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = owns_process;
    config.configure_c_stdio = owns_process; /* changing stdin's buffer drops what is in it */
    runtime.embedded = true;
    status = configure(&config, python, argc, argv);
    if (!PyStatus_Exception(status)) {
        status = Py_InitializeFromConfig(&config);
    }
    PyConfig_Clear(&config);
    return status;
}

int pyh_runtime_run_site(void)
{
    PyObject *site = PyImport_ImportModule("site");
    PyObject *none = site != NULL ? PyObject_CallMethod(site, "main", NULL) : NULL;
    Py_XDECREF(site);
    Py_XDECREF(none);
    return none != NULL ? 0 : -1;
}

/* pyhost.cli.main() in the main interpreter, with site as in any Python. The exit code, or -1 with an exception. */
static int run_command_line(void)
{
    int code = -1;
    PyObject *cli = pyh_runtime_run_site() == 0 ? PyImport_ImportModule("pyhost.cli") : NULL;
    PyObject *result = cli != NULL ? PyObject_CallMethod(cli, "main", NULL) : NULL;
    if (result != NULL) {
        code = PyLong_Check(result) ? (int)PyLong_AsLong(result) : 0;
    }
    Py_XDECREF(result);
    Py_XDECREF(cli);
    return code;
}

/* The exit code for the exception that is set, printed as python prints it. */
static int exit_code_of_exception(void)
{
    int code = 1;
    if (PyErr_ExceptionMatches(PyExc_SystemExit)) {
        PyObject *exception = PyErr_GetRaisedException();
        PyObject *value = PyObject_GetAttrString(exception, "code");
        if (value == Py_None) {
            code = 0;
        } else if (value != NULL && PyLong_Check(value)) {
            code = (int)PyLong_AsLong(value);
        } else if (value != NULL) {
            PySys_FormatStderr("%S\n", value);
        }
        Py_XDECREF(value);
        Py_DECREF(exception);
    } else {
        PyErr_Print();
    }
    PyErr_Clear();
    return code;
}

int pyhost_main(int argc, char **argv)
{
    const char *python = getenv("PYHOST_PYTHON");
    if (python == NULL) {
        fputs("pyhost: PYHOST_PYTHON does not name a Python. Start pyhost by the `pyhost` command of the virtual "
              "environment in which it is installed.\n",
              stderr);
        return 2;
    }
    pyh_thread_allow_wake();
    PyStatus status = pyh_runtime_initialize(python, argc, argv, true);
    if (PyStatus_Exception(status)) {
        Py_ExitStatusException(status);
    }
    int code = run_command_line();
    if (code < 0) {
        code = exit_code_of_exception();
    }
    if (pyh_interp_left_count() > 0) {
        /* A thread is still inside an interpreter: finalizing CPython would abort or hang. */
        PyRun_SimpleString("import sys; sys.stdout.flush(); sys.stderr.flush()");
        fflush(NULL);
        _exit(code);
    }
    return Py_FinalizeEx() < 0 && code == 0 ? 120 : code;
}
