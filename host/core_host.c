/* core_host: see core_host.h. What the program's function is given and gives is copied once on each side, as any other
 * call's values. */
#include "core_host.h"

#include <stdlib.h>

#include "api_host.h"
#include "core.h"

_Thread_local unsigned pyh_host_functions_running;

/* A message with both values. NULL with an exception set. */
static pyh_message *encode(pyh_core *core, PyObject *positional, PyObject *keywords)
{
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    if (pyh_codec_encode(&core->codec, &writer, positional) != PYHOST_OK ||
        pyh_codec_encode(&core->codec, &writer, keywords) != PYHOST_OK) {
        pyh_writer_discard(&writer);
    } else if (pyh_writer_finish(&writer, &message) != PYHOST_OK) {
        PyErr_NoMemory();
    }
    return message;
}

/* The value that came back, or NULL with the exception for the status. */
static PyObject *conclude(pyh_core *core, const char *name, pyhost_status status, pyh_message *reply, const char *text)
{
    PyObject *value = NULL;
    if (status == PYHOST_OK) {
        pyh_codec_decode_message(&core->codec, reply, &value);
    } else if (status == PYHOST_NO_FUNCTION) {
        PyErr_Format(PyExc_AttributeError, "the program offers no function %s to its plugins", name);
    } else {
        PyErr_Format(PyExc_RuntimeError, "pyhost.host.%s: %s", name,
                     text != NULL ? text : pyhost_status_message(status));
    }
    return value;
}

PyObject *pyh_core_call_host(PyObject *module, PyObject *arguments)
{
    pyh_core *core = PyModule_GetState(module);
    const char *name;
    PyObject *positional, *keywords;
    if (!PyArg_ParseTuple(arguments, "sO!O!:call_host", &name, &PyTuple_Type, &positional, &PyDict_Type, &keywords)) {
        return NULL;
    }
    pyh_message *message = encode(core, positional, keywords);
    if (message == NULL) {
        return NULL;
    }
    pyh_message *reply = NULL;
    char *text = NULL;
    pyhost_status status;
    Py_BEGIN_ALLOW_THREADS
    pyh_host_functions_running++;
    status = pyh_host_call(name, message, &reply, &text);
    pyh_host_functions_running--;
    Py_END_ALLOW_THREADS
    PyObject *value = conclude(core, name, status, reply, text);
    free(text);
    pyh_message_unref(reply);
    pyh_message_unref(message);
    return value;
}
