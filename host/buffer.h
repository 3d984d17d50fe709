/* buffer: _core.Buffer, a Python object that exports one of a message's buffers, read-only, without a copy. It keeps
 * the message alive. */
#ifndef PYH_BUFFER_H
#define PYH_BUFFER_H

#include <Python.h>

#include "message.h"

extern PyType_Spec pyh_buffer_spec;

/* A new Buffer over message->buffers[index]. NULL with an exception set. */
PyObject *pyh_buffer_new(PyTypeObject *type, pyh_message *message, uint32_t index);

#endif
