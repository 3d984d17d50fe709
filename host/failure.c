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

static long long bytes_of(_Atomic int64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

/* (limit, peak, description) */
static PyObject *with_figures(pyh_interp *interp, PyObject *description)
{
    pyh_account *account = interp->account;
    return Py_BuildValue("(LLO)", bytes_of(&account->limit_bytes), bytes_of(&account->peak_bytes), description);
}

static pyh_message *encode_plain(PyObject *value)
{
    /* str, int and tuples only: neither pickle nor a type of _core is needed. */
    pyh_codec plain = {.plain = true};
    pyh_message *message = NULL;
    pyh_codec_encode_message(&plain, value, &message);
    PyErr_Clear();
    return message;
}

/* What the status carries of the description, which is taken over. */
static PyObject *content_for(pyh_interp *interp, pyhost_status status, PyObject *description)
{
    PyObject *content = description;
    if (status == PYHOST_OVER_LIMIT) {
        content = with_figures(interp, description);
        Py_DECREF(description);
    } else if (status != PYHOST_RAISED) {
        content = one_line(description);
        Py_DECREF(description);
    }
    return content;
}

pyh_message *pyh_failure_over_limit(pyh_interp *interp)
{
    pyh_account_pause(interp->account);
    PyObject *content = with_figures(interp, Py_None);
    pyh_message *message = content != NULL ? encode_plain(content) : NULL;
    PyErr_Clear();
    Py_XDECREF(content);
    pyh_account_resume(interp->account);
    return message;
}

pyh_message *pyh_failure_take(pyh_interp *interp, pyhost_status status)
{
    pyh_message *message = NULL;
    pyh_account_pause(interp->account); /* describing takes memory, too */
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *description = exception != NULL ? describe(interp, exception) : NULL;
    PyObject *content = description != NULL ? content_for(interp, status, description) : NULL;
    if (content != NULL) {
        message = encode_plain(content);
    }
    PyErr_Clear();
    Py_XDECREF(content);
    Py_XDECREF(exception);
    pyh_account_resume(interp->account);
    return message;
}
