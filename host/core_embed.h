/* core_embed: _core's functions for pyhost/embed.py, the Python that looks after a program's plugins. Main interpreter,
 * GIL held. */
#ifndef PYH_CORE_EMBED_H
#define PYH_CORE_EMBED_H

#include <Python.h>

PyObject *pyh_core_take_order(PyObject *module, PyObject *unused);
PyObject *pyh_core_stop_grace(PyObject *module, PyObject *unused);
PyObject *pyh_core_answer_order(PyObject *module, PyObject *arguments);
PyObject *pyh_core_tell_ready(PyObject *module, PyObject *router);
PyObject *pyh_core_tell_log(PyObject *module, PyObject *arguments);

#endif
