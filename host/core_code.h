/* core_code: code that the host has compiled once for all plugins' interpreters, which fetch it when they run it. */
#ifndef PYH_CORE_CODE_H
#define PYH_CORE_CODE_H

#include <Python.h>

/* _core.keep_code(name, code): keeps a copy for the process; nothing if there is one of that name. Any thread. */
PyObject *pyh_core_keep_code(PyObject *module, PyObject *arguments);

/* _core.kept_code(name): a copy as bytes, or KeyError. Any interpreter. */
PyObject *pyh_core_kept_code(PyObject *module, PyObject *name);

#endif
