/* core_channel: what the codec needs to know of _core.Channel. A GIL is held. */
#ifndef PYH_CORE_CHANNEL_H
#define PYH_CORE_CHANNEL_H

#include <Python.h>

#include "value_channel.h"

/* Whether it is a Channel, of whichever module's type. */
bool pyh_core_is_channel(PyObject *object);
/* Its channel, borrowed. */
pyh_value_channel *pyh_core_channel_of(PyObject *object);
/* A new Channel for it; NULL with an exception set. The reference is taken. */
PyObject *pyh_core_wrap_channel(PyTypeObject *type, pyh_value_channel *channel);

#endif
