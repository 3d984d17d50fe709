/* failure: see failure.h. The words are made by guest.describe_exception in Python, which knows chains, groups and
 * notes; if that fails (no memory, deep recursion), the type's name alone is sent. */
#include "failure.h"

static PyObject *describe(pyh_interp *interp, PyObject *exception)
{
    PyObject *description = NULL;
    if (interp->describe != NULL) {
        description = PyObject_CallOneArg(interp->describe, exception);
    }
    if (description == NULL) {
        PyErr_Clear();
        PyObject *text = PyObject_Str(exception);
        if (text == NULL) {
            PyErr_Clear();
            text = PyUnicode_FromString("");
        }
        description = Py_BuildValue("(sN()s)", Py_TYPE(exception)->tp_name, text, "");
    }
    return description;
}

/* "Type: text" of a description. */
static PyObject *one_line(PyObject *description)
{
    PyObject *type_name = PyTuple_GetItem(description, 0);
    PyObject *text = PyTuple_GetItem(description, 1);
    return type_name != NULL && text != NULL ? PyUnicode_FromFormat("%U: %U", type_name, text) : NULL;
}

pyh_message *pyh_failure_take(pyh_interp *interp, pyhost_status status)
{
    pyh_message *message = NULL;
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *description = exception != NULL ? describe(interp, exception) : NULL;
    if (description != NULL && status != PYHOST_RAISED) {
        Py_SETREF(description, one_line(description));
    }
    if (description != NULL) {
        /* str and tuples only: neither pickle nor a type of _core is needed. */
        pyh_codec plain = {.plain = true};
        pyh_codec_encode_message(&plain, description, &message);
    }
    PyErr_Clear();
    Py_XDECREF(description);
    Py_XDECREF(exception);
    return message;
}
