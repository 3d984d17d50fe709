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

/* What there is to say of the exception that is set, which is cleared. */
static pyhost_status status_of_exception(void)
{
    bool is_memory = PyErr_ExceptionMatches(PyExc_MemoryError);
    PyErr_Clear();
    return is_memory ? PYHOST_NO_MEMORY : PYHOST_UNENCODABLE;
}

/* (order, verb, value). NULL: the order has been answered, as it cannot be brought to Python. */
static PyObject *bring_in(pyh_core *core, pyh_order *order)
{
    PyObject *value = NULL, *taken = NULL;
    PyObject *capsule = PyCapsule_New(order, ORDER, drop_order);
    if (capsule != NULL && pyh_codec_decode_message(&core->codec, order->request, &value) == PYHOST_OK) {
        taken = Py_BuildValue("(OsO)", capsule, order->verb, value);
    }
    if (taken == NULL) {
        if (capsule != NULL) {
            PyCapsule_SetContext(capsule, order);
        }
        pyh_orders_answer(order, status_of_exception(), NULL);
    }
    Py_XDECREF(value);
    Py_XDECREF(capsule);
    return taken;
}

PyObject *pyh_core_take_order(PyObject *module, PyObject *unused)
{
    (void)unused;
    PyObject *taken = NULL;
    while (taken == NULL) {
        pyh_order *order = NULL;
        pyhost_status status;
        Py_BEGIN_ALLOW_THREADS
        status = pyh_orders_take(&order);
        Py_END_ALLOW_THREADS
        if (status != PYHOST_OK) {
            Py_RETURN_NONE;
        }
        taken = bring_in(PyModule_GetState(module), order);
    }
    return taken;
}

PyObject *pyh_core_stop_grace(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyFloat_FromDouble((double)pyh_runtime_grace_ns() / 1e9);
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
    if (order == NULL) {
        return NULL;
    }
    if (PyCapsule_GetContext(capsule) != NULL || PyCapsule_SetContext(capsule, order) < 0) {
        return PyErr_Format(PyExc_RuntimeError, "the order has been answered");
    }
    pyhost_status status = status_of(name);
    if (pyh_codec_encode_message(&core->codec, value, &reply) != PYHOST_OK) {
        pyhost_status failed = status_of_exception();
        status = status == PYHOST_OK ? failed : status;
    }
    pyh_orders_answer(order, status, reply);
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
