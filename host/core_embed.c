/* core_embed: see core_embed.h. An order is a capsule in Python; one that is dropped without an answer is answered, so
 * that nobody waits for ever. */
#include "core_embed.h"

#include <string.h>

#include "api_runtime.h"
#include "core.h"
#include "orders.h"

static const char ORDER[] = "pyhost.order";

static void drop_order(PyObject *capsule)
{
    pyh_order *order = PyCapsule_GetPointer(capsule, ORDER);
    if (PyCapsule_GetContext(capsule) == NULL) {
        pyh_orders_answer(order, PYHOST_UNAVAILABLE, NULL);
    }
}

PyObject *pyh_core_take_order(PyObject *module, PyObject *unused)
{
    (void)unused;
    pyh_core *core = PyModule_GetState(module);
    pyh_order *order = NULL;
    pyhost_status status;
    Py_BEGIN_ALLOW_THREADS
    status = pyh_orders_take(&order);
    Py_END_ALLOW_THREADS
    if (status != PYHOST_OK) {
        Py_RETURN_NONE;
    }
    PyObject *value = NULL;
    PyObject *capsule = PyCapsule_New(order, ORDER, drop_order);
    if (capsule == NULL) {
        pyh_orders_answer(order, PYHOST_NO_MEMORY, NULL);
        return NULL;
    }
    if (pyh_codec_decode_message(&core->codec, order->request, &value) != PYHOST_OK) {
        Py_DECREF(capsule);
        return NULL;
    }
    return Py_BuildValue("(NsN)", capsule, order->verb, value);
}

/* The status of that name; UNAVAILABLE for another. */
static pyhost_status status_of(const char *name)
{
#define STATUS_IF(status, value, message)                                                                              \
    if (strcmp(name, #status) == 0) {                                                                                  \
        return PYHOST_##status;                                                                                        \
    }
    PYHOST_STATUS_MAP(STATUS_IF)
#undef STATUS_IF
    return PYHOST_UNAVAILABLE;
}

PyObject *pyh_core_answer_order(PyObject *module, PyObject *arguments)
{
    pyh_core *core = PyModule_GetState(module);
    PyObject *capsule, *value;
    const char *name;
    pyh_message *reply = NULL;
    if (!PyArg_ParseTuple(arguments, "OsO:answer_order", &capsule, &name, &value)) {
        return NULL;
    }
    pyh_order *order = PyCapsule_GetPointer(capsule, ORDER);
    if (order == NULL || pyh_codec_encode_message(&core->codec, value, &reply) != PYHOST_OK) {
        return NULL;
    }
    if (PyCapsule_GetContext(capsule) != NULL || PyCapsule_SetContext(capsule, order) < 0) {
        pyh_message_unref(reply);
        return PyErr_Format(PyExc_RuntimeError, "the order has been answered");
    }
    pyh_orders_answer(order, status_of(name), reply);
    Py_RETURN_NONE;
}

PyObject *pyh_core_tell_ready(PyObject *module, PyObject *router)
{
    (void)module;
    pyh_runtime_ready(pyh_core_unwrap_router(router));
    Py_RETURN_NONE;
}

PyObject *pyh_core_tell_log(PyObject *module, PyObject *arguments)
{
    (void)module;
    int level;
    const char *logger, *message;
    bool taken;
    if (!PyArg_ParseTuple(arguments, "iss:tell_log", &level, &logger, &message)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    taken = pyh_runtime_log(level, logger, message);
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(taken);
}
