/* core_host: functions of the program that embeds pyhost, called by plugins. */
#ifndef PYH_CORE_HOST_H
#define PYH_CORE_HOST_H

#include <Python.h>

/* How many functions of the program this thread is in: it belongs to an interpreter then, but is not attached to it. */
extern _Thread_local unsigned pyh_host_functions_running;

/* _core.call_host(name, args, kwargs): encodes, calls the program's function without the GIL, decodes. GIL held. */
PyObject *pyh_core_call_host(PyObject *module, PyObject *arguments);

#endif
