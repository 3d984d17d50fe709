/* embed: CPython in a test program, the Python that the environment variable PYHOST_PYTHON names. */
#ifndef PYH_TEST_EMBED_H
#define PYH_TEST_EMBED_H

#include <Python.h>

#include <stdlib.h>

#include "check.h"

/* Starts CPython; this thread has its GIL then. */
static inline void embed_start(void)
{
    const char *python = getenv("PYHOST_PYTHON");
    PyConfig config;
    if (python == NULL) {
        check_failed(__FILE__, __LINE__, "PYHOST_PYTHON names no Python; meson test sets it");
    }
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = 0;
    config.install_signal_handlers = 0;
    config.write_bytecode = 0;
    PyStatus status = PyConfig_SetBytesString(&config, &config.program_name, python);
    if (!PyStatus_Exception(status)) {
        status = Py_InitializeFromConfig(&config);
    }
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) {
        Py_ExitStatusException(status);
    }
}

/* Ends CPython; returns the program's exit code. */
static inline int embed_end(int code)
{
    return Py_FinalizeEx() < 0 ? 1 : code;
}

/* Fails with the exception that is set, if one is. */
static inline void embed_check_no_exception(const char *source)
{
    if (PyErr_Occurred()) {
        PyErr_Print();
        check_failed(__FILE__, __LINE__, "an exception: %s", source);
    }
}

/* Runs statements in __main__. */
static inline void embed_run(const char *statements)
{
    PyObject *names = PyModule_GetDict(PyImport_AddModule("__main__"));
    Py_XDECREF(PyRun_String(statements, Py_file_input, names, names));
    embed_check_no_exception(statements);
}

/* The value of an expression in __main__; a new reference. */
static inline PyObject *embed_eval(const char *expression)
{
    PyObject *names = PyModule_GetDict(PyImport_AddModule("__main__"));
    PyObject *value = PyRun_String(expression, Py_eval_input, names, names);
    embed_check_no_exception(expression);
    return value;
}

/* The exception that is set is of this type: clears it. */
static inline void embed_check_raised(PyObject *type)
{
    PyObject *raised = PyErr_GetRaisedException();
    CHECK(raised != NULL);
    if (!PyErr_GivenExceptionMatches(raised, type)) {
        check_failed(__FILE__, __LINE__, "%s was raised, expected %s", Py_TYPE(raised)->tp_name,
                     ((PyTypeObject *)type)->tp_name);
    }
    Py_DECREF(raised);
}

#endif
